"""Reads the evidence of words (hybrid.search.evidence) of each hit, by named clauses of the search that finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hybrid.search.evidence import ALL, COVER, EVIDENCE, PHRASE, TITLE, TITLE_COVER, Evidence, Place

_ALL, _TITLE = "hybrid.all", "hybrid.terms.title"
#: Words between two neighbours that still stand side by side.
_SLOP = 1


def clauses(evidence: Evidence) -> list[dict[str, Any]]:
    """One clause a signal, named by it; its score is the raw score."""
    named = [
        _scored(_ALL, evidence.places, ALL),
        _scored(_TITLE, evidence.places, TITLE),
        _should([_has(_ALL, place) for place in evidence.places], COVER),
        _should([_has(_TITLE, place) for place in evidence.places], TITLE_COVER),
    ]
    if pairs := evidence.pairs:
        share = 1 / len(pairs)
        near = [{"match_phrase": {_ALL: {"query": pair, "slop": _SLOP}}} for pair in pairs]
        named.append(_should([{"constant_score": {"filter": clause, "boost": share}} for clause in near], PHRASE))
    return named


def add(body: Mapping[str, Any], evidence: Evidence, shards: int) -> dict[str, Any]:
    """The same search, whose hits have the evidence among their named scores.

    The clauses stand in a filter after the search that every product passes, beside one that the search has: they are
    computed for the hits of the answer alone, where they are read, and not for each product that matches.
    """
    if not evidence.places:
        return dict(body)
    found = {"bool": {"must": [body.get("post_filter") or {"match_all": {}}], "should": clauses(evidence)}}
    if shards == 1:
        return {**body, "post_filter": found}
    # So that a word weighs the same on every shard: only the words of a query and of its rescoring are counted over
    # all shards. It rescores one hit, by nothing.
    words = " ".join(place.term for place in evidence.places)
    counted = {"match": {_ALL: {"query": words}}}
    nothing = {"window_size": 1, "query": {"rescore_query": counted, "query_weight": 1.0, "rescore_query_weight": 0.0}}
    rescore = body.get("rescore")
    before: Sequence[Any] = [rescore] if isinstance(rescore, Mapping) else rescore or []
    return {**body, "post_filter": found, "rescore": [*before, nothing]}


def of_hits(hits: Mapping[str, Mapping[str, Any]], evidence: Evidence) -> dict[str, dict[str, float | None]]:
    """Signal -> product id -> raw score of the hits of searches that `add` made; 0 where a clause does not match."""
    if not evidence.places:
        return {}
    named = [(id, hit.get("matched_queries") or {}) for id, hit in hits.items()]
    wanted = [name for name in EVIDENCE if name != PHRASE or len(evidence.places) > 1]
    return {name: {id: float(scores.get(name, 0.0)) for id, scores in named} for name in wanted}


def _scored(field: str, places: Sequence[Place], name: str) -> dict[str, Any]:
    if not any(place.others for place in places):
        return {"match": {field: {"query": " ".join(place.term for place in places), "_name": name}}}
    return _should([_best(field, place) for place in places], name)


def _best(field: str, place: Place) -> dict[str, Any]:
    typed = {"term": {field: place.term}}
    others = [{"term": {field: {"value": other, "boost": weight}}} for other, weight in place.others]
    return {"dis_max": {"queries": [typed, *others]}} if others else typed


def _has(field: str, place: Place) -> dict[str, Any]:
    worth = [(place.term, place.share), *((other, weight * place.share) for other, weight in place.others)]
    each = [{"constant_score": {"filter": {"term": {field: term}}, "boost": boost}} for term, boost in worth]
    return {"dis_max": {"queries": each}} if len(each) > 1 else each[0]


def _should(clauses: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    return {"bool": {"should": list(clauses), "_name": name}}
