"""Reads a shop's query: which clauses are words, and what else scores. Pure.

A *text* is a part of the query whose score is that of words alone. Around it, the shop may add to its score, multiply
it, or pin products. `read` gives the query with a slot in place of each text, so that whoever fills the slots with
other scores of the words has everything else computed as the shop wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hybrid.dropin import wording
from hybrid.dropin.wording import (
    FIELD_TEXT,
    FIELDS_TEXT,
    PIN_RATIO,
    Passes,
    Said,
    distinct,
    field_boosts,
    folded,
    number,
)

Query = dict[str, Any]

#: The name of a slot in a query. It has the "text" that it stands for, and is "certain" where every hit matches that.
SLOT = "hybrid:words"
MAX_SLOTS = 8
#: Texts of a query, and characters of those that differ: each is compared with each, at every level of the query.
MAX_TEXTS, MAX_TEXT_CHARS = 64, 4_000
_MAX_ALTERNATIVES = 4

#: Clauses whose score, if any, is a constant or the shop's own business.
_NEUTRAL = frozenset(
    {
        "constant_score", "distance_feature", "exists", "fuzzy", "geo_bounding_box", "geo_distance", "geo_shape", "ids",
        "match_all", "match_none", "prefix", "range", "rank_feature", "regexp", "script", "term", "terms", "terms_set",
        "wildcard",
    }
)  # fmt: skip
#: Of these, the clauses that give some products a better score than others.
_UNEVEN = frozenset({"distance_feature", "fuzzy", "geo_shape", "rank_feature", "terms_set"})
_NESTED = ("nested", "has_child", "has_parent")
_SCORE_MODE = {"nested": "avg", "has_child": "none"}
#: Clauses around one other query -> the key of that query.
_AROUND = {"function_score": "query", "boosting": "positive", "pinned": "organic", "script_score": "query"}


class _TooMuch(Passes):
    """More texts than are compared with each other. No clause of `should` makes up for that."""


class Read(NamedTuple):
    """A query that has words.

    query: with a slot for each text; of a text itself, the text. pins: what the products match that the shop pins.
    excluded: what the products match that the words exclude. raised: what the products match whose score a function
    multiplies so that they come first, but not how they are ordered among each other.
    """

    query: Query
    said: tuple[Said, ...]
    pure: bool
    pins: tuple[Query, ...] = ()
    excluded: tuple[Query, ...] = ()
    raised: tuple[Query, ...] = ()

    @property
    def slotted(self) -> Query:
        return _slot(self.query, True) if self.pure else self.query

    @property
    def words(self) -> str:
        """The words that the shopper typed, each once."""
        return " ".join(distinct(one.words for one in self.said if not one.alternative))

    @property
    def alternatives(self) -> tuple[tuple[str, float], ...]:
        """(words, how much they count beside what was typed): words that the shop adds, such as synonyms."""
        if not any(one.alternative for one in self.said):
            return ()
        typed = max((one.boost for one in self.said if not one.alternative), default=1.0)
        boosts: dict[str, float] = {}
        known = folded(self.words)
        for one in self.said:
            if one.alternative and folded(one.words) not in known:
                boosts[one.words] = max(boosts.get(one.words, 0.0), one.boost / typed if typed > 0 else 1.0)
        kept = sorted(boosts.items(), key=lambda pair: (-pair[1], pair[0]))[:_MAX_ALTERNATIVES]
        return tuple((words, min(boost, 1.0)) for words, boost in kept)


def read(query: Any, not_text: Collection[str]) -> Read:
    """Read a whole query. not_text: fields of values, not text: a `match` on one of them is a filter, not words.

    Raises:
        Passes: it cannot be ranked anew.
    """
    if any(True for _ in slots(query)):
        raise Passes(f"the name {SLOT}")
    reader = _Reader(frozenset(not_text))
    found = reader.read(query, True)
    if found is None or not found.words:
        raise Passes(reader.unknown or "no words that score")
    if not found.pure and sum(1 for _ in slots(found.query)) > MAX_SLOTS:
        raise Passes(f"words in more than {MAX_SLOTS} parts of the query")
    return found


def lean(query: Any) -> Any:
    """The same query without the keys that only a page of hits needs."""
    if isinstance(query, list):
        return [lean(item) for item in query]
    if isinstance(query, dict):
        return {key: lean(value) for key, value in query.items() if key not in ("_name", "inner_hits")}
    return query


def slots(query: Any) -> Iterable[Query]:
    """What is in the slots of a query, in order."""
    if isinstance(query, list):
        for item in query:
            yield from slots(item)
    elif isinstance(query, dict):
        if SLOT in query:
            yield query[SLOT]
        else:
            for inner in query.values():
                yield from slots(inner)


def filled(query: Any, fill: Callable[[Query], Query]) -> Any:
    """A copy of the query with something in place of each slot. fill: is given what is in a slot, in order."""
    if isinstance(query, list):
        return [filled(item, fill) for item in query]
    if isinstance(query, dict):
        return fill(query[SLOT]) if SLOT in query else {key: filled(inner, fill) for key, inner in query.items()}
    return query


class _Reader:
    """unknown: why a clause of `should` was not read, the first such clause."""

    def __init__(self, not_text: frozenset[str]) -> None:
        self.not_text = not_text
        self.unknown = ""
        self.texts = self.chars = 0
        self.met: set[str] = set()

    def read(self, query: Any, certain: bool) -> Read | None:
        """None where the query has no words. certain: whether every hit of the search matches the query."""
        kind, clause = _clause(query)
        if _scoreless(kind, clause):
            return None
        if kind == "bool":
            return self._bool(query, clause, certain)
        if kind == "dis_max":
            return self._dis_max(query, clause)
        if kind in _AROUND:
            return self._around(query, kind, clause, certain)
        if kind in _NESTED and isinstance(clause.get("query"), dict):
            inner = self.read(clause["query"], False)
            return _nested(query, kind, clause, inner) if inner is not None and inner.pure else None
        if kind in FIELD_TEXT or kind in FIELDS_TEXT:
            return self._text(query, kind, clause)
        if kind in _NEUTRAL:
            return None
        raise Passes(f"a {kind} clause")

    def _text(self, query: Query, kind: str, clause: Mapping[str, Any]) -> Read | None:
        said = wording.said(kind, clause)
        if said.fields and all(name in self.not_text for name in said.fields):
            return None
        self._count(said.words)
        pins = _pinned_fields(kind, clause) if kind in FIELDS_TEXT else []
        excluded = []
        if kind == "simple_query_string" and (bare := wording.excluded(clause)):
            # With the operator `or`, what is excluded only has no score for it.
            options = {key: value for key, value in lean(clause).items() if key != "minimum_should_match"}
            excluded = [{kind: {**options, "query": bare, "default_operator": "or"}}]
        return Read(query, (said,) if said.words else (), True, tuple(pins), tuple(excluded))

    def _count(self, words: str) -> None:
        self.texts += 1
        if words not in self.met:
            self.met.add(words)
            self.chars += len(words)
        if self.texts > MAX_TEXTS:
            raise _TooMuch(f"words in more than {MAX_TEXTS} clauses")
        if self.chars > MAX_TEXT_CHARS:
            raise _TooMuch(f"more than {MAX_TEXT_CHARS} characters of different words")

    def _bool(self, query: Query, clause: Mapping[str, Any], certain: bool) -> Read | None:
        musts, shoulds = _listed(clause.get("must")), _listed(clause.get("should"))
        required = [(child, self.read(child, certain)) for child in musts]
        has_words = any(found is not None and found.said for _, found in required)
        optional = [(child, self._optional(child, has_words)) for child in shoulds]
        found_all = [found for _, found in (*required, *optional) if found is not None]
        if not any(found.said for found in found_all):
            return None
        alike = certain and all(found is not None or self._constant(child) for child, found in required)
        pins = [pin for found in found_all for pin in found.pins]
        excluded = tuple(one for found in found_all for one in found.excluded)
        raised = tuple(one for found in found_all for one in found.raised)
        said = _alternatives(
            [one for _, found in required if found for one in found.said],
            [one for _, found in optional if found for one in found.said],
        )
        words = [one.boost for one in said]
        for child, found in optional:
            if _boost_of(child, found) >= PIN_RATIO * (max(words) if found is None else min(words)) > 0:
                pins.append(lean(child))
        said = _boosted(said, clause)
        pure = all(found is None or found.pure for _, found in (*required, *optional))
        other_musts = any(found is None for _, found in required)
        if pure and (alike or not other_musts) and not any(found is None for _, found in optional):
            return Read(query, said, True, tuple(pins), excluded)
        scoring: list[Query] = []
        text_musts = [found.query for _, found in required if found is not None and found.pure]
        text_shoulds = [found.query for _, found in optional if found is not None and found.pure]
        if text_musts or text_shoulds:
            alone = [*text_musts, *text_shoulds]
            text = alone[0] if len(alone) == 1 else {"bool": _given(must=text_musts, should=text_shoulds)}
            scoring.append(_slot(text, certain and bool(text_musts)))
        for child, found in (*required, *optional):
            if found is None:
                scoring.append(lean(child))
            elif not found.pure:
                scoring.append(found.query)
        rewritten: Query = {"bool": {"should": scoring}}
        if not certain:
            rewritten["bool"]["filter"] = [lean(query)]
        if "boost" in clause:
            rewritten["bool"]["boost"] = clause["boost"]
        return Read(rewritten, said, False, tuple(pins), excluded, raised)

    def _optional(self, child: Any, beside_words: bool) -> Read | None:
        """A clause of `should`. Where the words are in `must`, what is not words alone only adds to them."""
        try:
            found = self.read(child, False)
        except _TooMuch:
            raise
        except Passes as why:
            _clause(child)  # not a query at all
            self.unknown = self.unknown or str(why)
            return None
        return None if found is not None and beside_words and not found.pure else found

    def _dis_max(self, query: Query, clause: Mapping[str, Any]) -> Read | None:
        queries = clause.get("queries")
        if not isinstance(queries, list):
            raise Passes("a query that is not recognised")
        children = [(child, self._optional(child, False)) for child in queries]
        found_all = [found for _, found in children if found is not None]
        said = _alternatives([], [one for found in found_all for one in found.said])
        if not said:
            return None
        pins = tuple(pin for found in found_all for pin in found.pins)
        excluded = tuple(one for found in found_all for one in found.excluded)
        raised = tuple(one for found in found_all for one in found.raised)
        said = _boosted(said, clause)
        if len(found_all) == len(children) and all(found.pure for found in found_all):
            return Read(query, said, True, pins, excluded)
        parts = [
            lean(child) if found is None else _slot(found.query, False) if found.pure else found.query
            for child, found in children
        ]
        return Read({"dis_max": {**lean(clause), "queries": parts}}, said, False, pins, excluded, raised)

    def _around(self, query: Query, kind: str, clause: Mapping[str, Any], certain: bool) -> Read | None:
        key = _AROUND[kind]
        if not isinstance(clause.get(key), dict):
            return None
        if kind == "function_score":
            functions = functions_of(clause)
        # The products of `pinned` need not match the organic query.
        surely = certain and kind != "pinned"
        found = self.read(clause[key], surely)
        if found is None or not found.said:
            return None
        raised = list(found.raised)
        if kind == "function_score":
            heavy = [one for one in functions if "filter" in one and number(one.get("weight", 1)) >= PIN_RATIO]
            raised += [lean(one["filter"]) for one in heavy]
        # `min_score` would compare other scores than the shop's, and so match other products.
        around = {name: value for name, value in lean(clause).items() if name != "min_score"}
        around[key] = _slot(found.query, surely) if found.pure else found.query
        rewritten: Query = {kind: around}
        if clause.get("min_score") is not None and not certain:
            rewritten = {"bool": {"filter": [lean(query)], "must": [rewritten]}}
        return Read(rewritten, found.said, False, found.pins, found.excluded, tuple(raised))

    def _constant(self, query: Any) -> bool:
        """Whether a clause has the same score for all that it matches. As a `must`, it does not change the order."""
        kind, clause = _clause(query)
        if _scoreless(kind, clause):
            return True
        if kind in ("term", "match"):
            return any(name in self.not_text for name in clause)
        return kind in _NEUTRAL and kind not in _UNEVEN


def _scoreless(kind: str, clause: Mapping[str, Any]) -> bool:
    """Whether a clause only filters, whatever is in it. These are the defaults of Elasticsearch."""
    if kind == "has_parent":
        filters = str(clause.get("score", False)).lower() != "true"
    else:
        filters = kind in _NESTED and clause.get("score_mode", _SCORE_MODE.get(kind)) == "none"
    specs = clause.values() if kind in FIELD_TEXT else ()
    return filters or any(number(one.get("boost", 1.0)) == 0 for one in (clause, *specs) if isinstance(one, dict))


def _nested(query: Query, kind: str, clause: Mapping[str, Any], inner: Read) -> Read:
    """What the products pin or exclude is in their parts, and is looked for there."""

    def around(parts: Iterable[Query]) -> tuple[Query, ...]:
        return tuple({kind: {**lean(clause), "query": part}} for part in parts)

    return inner._replace(query=query, pins=around(inner.pins), excluded=around(inner.excluded))


def _slot(text: Query, certain: bool) -> Query:
    return {SLOT: {"text": lean(text), "certain": certain}}


def _given(**parts: list[Query]) -> Query:
    return {name: part for name, part in parts.items() if part}


def _listed(children: Any) -> list[Any]:
    return children if isinstance(children, list) else [children] if children else []


def _alternatives(required: Sequence[Said], optional: Sequence[Said]) -> tuple[Said, ...]:
    """All of them. Of those that need not match, words with a lower boost than others are alternatives to these."""
    if not optional:
        return tuple(required)
    best = max((one.boost for one in (*required, *optional) if not one.alternative), default=0.0)
    typed = [*required, *(one for one in optional if one.boost >= best)]
    known = {folded(one.words) for one in typed if not one.alternative}
    everything = "\n".join(known)  # a text in it is in one of them

    def is_typed(one: Said) -> bool:
        words = folded(one.words)
        return words in everything or any(other in words for other in known)

    return (*required, *(one if is_typed(one) else one._replace(alternative=True) for one in optional))


def _boosted(said: tuple[Said, ...], clause: Mapping[str, Any]) -> tuple[Said, ...]:
    """The words in a clause that has a boost itself."""
    if "boost" not in clause:
        return said
    boost = number(clause["boost"])
    return tuple(one._replace(boost=one.boost * boost) for one in said)


def _clause(query: Any) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(query, dict) or len(query) != 1:
        raise Passes("a query that is not recognised")
    kind, clause = next(iter(query.items()))
    if not isinstance(clause, dict):
        raise Passes("a query that is not recognised")
    return kind, clause


def functions_of(clause: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The functions of a `function_score`.

    Raises:
        Passes: they cannot be read, or give another score each time.
    """
    functions = clause.get("functions", [clause])
    if not isinstance(functions, list) or any("random_score" in one for one in functions if isinstance(one, dict)):
        raise Passes("function_score with random_score")
    return [one for one in functions if isinstance(one, dict)]


def _boost_of(child: Any, found: Read | None) -> float:
    """The boost of a clause of `should`, where it matters whether the shop pins with it."""
    if found is not None:
        return max((one.boost for one in found.said), default=0.0) if found.pure else 0.0
    kind, clause = _clause(child)
    if kind not in _NEUTRAL and kind != "match":
        return 0.0
    inner = next((spec for spec in clause.values() if isinstance(spec, dict) and "boost" in spec), {})
    return number(clause.get("boost", 1.0)) * number(inner.get("boost", 1.0))


def _pinned_fields(kind: str, clause: Mapping[str, Any]) -> list[Query]:
    """What a product matches by the fields whose boost is beyond that of the others."""
    boosts = field_boosts(clause)
    lowest = min(boosts.values(), default=1.0)
    pinned = [name for name, boost in boosts.items() if boost >= PIN_RATIO * lowest > 0]
    return [{kind: {**lean(clause), "fields": pinned}}] if pinned else []
