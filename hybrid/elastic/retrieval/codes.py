"""The search for the products whose code a query names. Pure builders and readers; no client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hybrid.elastic.retrieval import bodies
from hybrid.searches import Codes
from hybrid.signals import CODE
from hybrid.text.codes import KEYS

#: Begins the name of a clause, before the raw score that a product has by it.
_NAME = f"{CODE}:"
_FIELD = f"hybrid.terms.{KEYS}"
#: Products with such a beginning that are looked at; those with the whole code come first.
_MOST = 50


def search(
    asked: Codes,
    words: Mapping[str, Any],
    filters: Sequence[dict[str, Any]],
    codes: Sequence[str],
    facets: Sequence[Any],
) -> dict[str, Any]:
    """The products that have one of the codes, with their BM25 score as `_score`.

    The names of the clauses that a product matches end in the raw scores that it may have. codes: the vector signals
    whose codes are read.
    """
    by_score: dict[float, list[dict[str, Any]]] = {}
    for form, score, begins in asked.forms:
        by_score.setdefault(score, []).append({"prefix" if begins else "term": {_FIELD: {"value": form}}})
    # One clause a score: of clauses with the same name, the last alone is told.
    clauses = [
        {"constant_score": {"filter": {"bool": {"should": group}}, "boost": score, "_name": f"{_NAME}{score}"}}
        for score, group in by_score.items()
    ]
    body = bodies.rescored(
        {"bool": {"must": [{"dis_max": {"queries": clauses}}], "filter": list(filters)}}, words, _MOST
    )
    return {**body, "docvalue_fields": [*bodies.doc_values(codes), *facets], **bodies.NO_STORED_FIELDS}


def scores(answer: Mapping[str, Any]) -> dict[str, float]:
    """Product id -> raw score of every hit of `search`; the hits have their `_id`."""
    return {
        hit["_id"]: max(float(name[len(_NAME) :]) for name in hit["matched_queries"] if name.startswith(_NAME))
        for hit in answer["hits"]["hits"]
    }


def everywhere(raw: Mapping[str, Mapping[str, float | None]], found: Mapping[str, float]) -> dict[str, float | None]:
    """Product id -> raw score of every candidate: 0 of those that have no such code."""
    ids: Iterable[str] = dict.fromkeys(id for scored in raw.values() for id in scored)
    return {id: found.get(id, 0.0) for id in ids}
