"""Pure builders of what the words of a query become: the query that scores, and what a product must have."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from hybrid.elastic.retrieval.bodies import LEXICAL_FIELDS, lexical_query
from hybrid.searches import Alternative, Reading, Words

#: What the completions of an unfinished word count.
_UNFINISHED_BOOST = 2.0


def query(words: Words, own_fields: Sequence[str] = ()) -> dict[str, Any]:
    """The lexical query of the words. A word that has alternatives scores as the best of them.

    Without alternatives it is that of `lexical_query`. With them, the clauses are summed as the words of that one are,
    so that a product without any alternative scores the same. own_fields: as there.
    """
    typed = words.terms or ""
    if not (words.alternatives or words.unfinished):
        return lexical_query(typed, own_fields)
    scored = _placed(typed, [one for one in words.alternatives if one.of], own_fields)
    if words.unfinished:
        scored = {"bool": {"should": [scored, begun(words.unfinished, own_fields, _UNFINISHED_BOOST)]}}
    beside = [
        {"bool": {"must": [lexical_query(one.terms, own_fields)], "boost": one.weight}}
        for one in words.alternatives
        if not one.of
    ]
    return {"dis_max": {"queries": [scored, *beside]}} if beside else scored


def begun(term: str, own_fields: Sequence[str] = (), boost: float = 1.0) -> dict[str, Any]:
    """What has a word that begins with the term."""
    ((kind, clause),) = lexical_query(term, own_fields).items()
    options = {key: value for key, value in clause.items() if key != "tie_breaker"}
    return {kind: {**options, "type": "bool_prefix", "boost": boost}}


def conditions(words: Words, own_fields: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Filters of what a product must have, and must not have, whichever signal finds it."""
    clauses = [_any(readings, own_fields) for readings in words.phrases]
    if words.excluded:
        clauses.append({"bool": {"must_not": [_any(readings, own_fields) for readings in words.excluded]}})
    return clauses


def _placed(typed: str, alternatives: Sequence[Alternative], own_fields: Sequence[str]) -> dict[str, Any]:
    """The words as they were typed, each with the alternatives that stand in its place."""
    places: list[dict[str, Any]] = []
    rest = typed
    groups = [(of, list(group)) for of, group in groupby(alternatives, key=lambda one: one.of)]
    for of, _ in groups:
        rest = _without(rest, of)
    for of, group in groups:
        elsewhere = set(_without(typed, of).split())
        others = [other for one in group if (other := _other(one, elsewhere, own_fields))]
        places.append({"dis_max": {"queries": [lexical_query(of, own_fields), *others]}})
    if not places:
        return lexical_query(typed, own_fields)
    clauses = [*([lexical_query(rest, own_fields)] if rest else []), *places]
    return {"bool": {"should": clauses}} if len(clauses) > 1 else clauses[0]


def _other(one: Alternative, elsewhere: set[str], own_fields: Sequence[str]) -> dict[str, Any] | None:
    """A product that has all words of an alternative, scored by those that are nowhere else in the query."""
    new = [term for term in one.terms.split() if term not in elsewhere]
    known = [term for term in one.terms.split() if term in elsewhere]
    if not new:
        return None
    scored = _all_of(new, own_fields, one.weight)
    return {"bool": {"must": [scored], "filter": [_all_of(known, own_fields)]}} if known else scored


def _all_of(terms: Sequence[str], own_fields: Sequence[str], boost: float = 1.0) -> dict[str, Any]:
    ((kind, clause),) = lexical_query(" ".join(terms), own_fields).items()
    every = {"operator": "and"} if len(terms) > 1 or own_fields else {}
    return {kind: {**clause, **every, **({"boost": boost} if boost != 1 else {})}}


def _without(terms: str, of: str) -> str:
    """The terms without these, which stand side by side in them; in the shop's own fields a word may have no spaces."""
    padded = f" {terms} "
    found = f" {of} " if f" {of} " in padded else of
    return " ".join(padded.replace(found, " ", 1).split())


def _any(readings: Sequence[Reading], own_fields: Sequence[str]) -> dict[str, Any]:
    """What has one of the readings, in one field."""
    clauses = [clause for reading in readings for clause in _reading(reading, own_fields)]
    return clauses[0] if len(clauses) == 1 else {"bool": {"should": clauses}}


def _reading(reading: Reading, own_fields: Sequence[str]) -> list[dict[str, Any]]:
    # A pattern of the shop's may name a field of numbers too, which has no phrases: it is left out.
    lenient = {"lenient": True} if own_fields else {}
    fields = own_fields or [f"hybrid.terms.{field}" for field in LEXICAL_FIELDS]
    plain = [field.partition("^")[0] for field in fields]
    if not reading.gaps:
        return [{"multi_match": {"query": reading.terms, "type": "phrase", "fields": plain, **lenient}}]
    near = {"query": reading.terms, "ordered": True, "max_gaps": reading.gaps}
    return [{"intervals": {field: {"match": near}}} for field in plain]
