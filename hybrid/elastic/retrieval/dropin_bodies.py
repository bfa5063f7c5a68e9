"""Pure builders of the drop-in `_search`: the searches for a shop's candidates, and for its page.

In every search that is built here, the shop's query decides what matches. So totals and aggregations are those of the
shop's own search, and vectors find no product that the query does not match.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hybrid.dropin.order import BEHIND, slot_scores
from hybrid.dropin.order import last as last_of
from hybrid.dropin.own_field import LAYER, SHOP_ALONE
from hybrid.dropin.reading import Query, filled, lean, slots
from hybrid.dropin.recognise import Recognised
from hybrid.elastic.retrieval import bodies
from hybrid.elastic.retrieval import codes as product_codes
from hybrid.searches import Codes

if TYPE_CHECKING:
    import numpy as np

#: Keys of a search that decide how its hits look. Only the search for the page needs them.
_HIT_KEYS = (
    "_source", "docvalue_fields", "fields", "highlight", "seq_no_primary_term", "stored_fields", "track_scores",
    "version",
)  # fmt: skip
#: How much of the last candidate's score remains for products that a function of the shop puts first.
_RAISED = 0.5


def matching(body: Mapping[str, Any]) -> Query:
    """A filter that matches what the shop's search counts: all that its query matches with at least its `min_score`."""
    query: Query = lean(body["query"])
    if body.get("min_score") is not None:
        return {"function_score": {"query": query, "min_score": body["min_score"]}}
    return query


def scored(query: Mapping[str, Any], words: Mapping[str, Any]) -> Query:
    """What the shop's query matches, scored by the layer's words."""
    return {"bool": {"filter": [lean(query)], "should": [dict(words)]}}


def counted(body: Mapping[str, Any], query: Mapping[str, Any], codes: Sequence[str], depth: int) -> dict[str, Any]:
    """The shop's own search with candidates in place of its page, for its totals, aggregations and suggestions."""
    rest = {key: value for key, value in body.items() if key not in (*_HIT_KEYS, "sort", "min_score", "post_filter")}
    return {
        **rest,
        **_filtered(body),
        "query": _down_to_min_score(body, query),
        "from": 0,
        "size": depth,
        **_codes(codes),
    }


def listed(
    body: Mapping[str, Any], analysis: Recognised, words: Mapping[str, Any], codes: Sequence[str], depth: int
) -> dict[str, Any]:
    """The best of the layer's words of what the shop's search matches, where its page is searched for later."""
    within = {"filter": [matching(body)], "must_not": list(analysis.excluded), "should": [dict(words)]}
    options = {"size": depth, "track_total_hits": False, "timeout": body["timeout"]}
    return {"query": {"bool": within}, **_filtered(body), **options, **_codes(codes)}


def named(search: Mapping[str, Any], queries: Sequence[Query]) -> dict[str, Any]:
    """The same search, whose hits tell the scores of named queries (`include_named_queries_score`)."""
    # Beside a filter they match nothing more or less, and only the hits are scored by them.
    only = [search["post_filter"]] if "post_filter" in search else [{"match_all": {}}]
    return {**search, "post_filter": {"bool": {"filter": only, "should": list(queries)}}}


def best(body: Mapping[str, Any], text: Query, pins: Sequence[Query]) -> dict[str, Any]:
    """The best score of a part of the shop's query, of the products that the shop does not pin."""
    within = matching(body)
    query: Query = {"bool": {"must": [text], "filter": [within], "must_not": list(pins)}}
    if not pins and text == _unboosted(within):  # what has a score is what matches
        query = text
    return {"query": query, "size": 1, "track_total_hits": False, "timeout": body["timeout"], **_codes(())}


def _unboosted(query: Query) -> Query:
    """A query that matches the same, without the functions around it."""
    clause = query.get("function_score", {})
    return _unboosted(clause["query"]) if "query" in clause and "min_score" not in clause else query


def nearest(
    body: Mapping[str, Any],
    words: Mapping[str, Any],
    signal: str,
    vector: np.ndarray | Sequence[float],
    codes: Sequence[str],
    depth: int,
    shards: int,
    excluded: Sequence[Query] = (),
) -> dict[str, Any]:
    """Of the products that the shop's search matches, the nearest to one vector; `_score` is that of the words."""
    knn = {
        "field": f"{LAYER}.{signal}",
        "query_vector": vector,
        "k": depth,
        "num_candidates": max(depth, 100),
        "filter": _shown(body, excluded),
    }
    return {
        **bodies.nearest(knn, shards, words),
        "timeout": body["timeout"],
        **_codes(codes),
    }


def coded(
    body: Mapping[str, Any],
    words: Mapping[str, Any],
    asked: Codes,
    codes: Sequence[str],
    excluded: Sequence[Query] = (),
) -> dict[str, Any]:
    """Of the products that the shop's search matches, those whose code the query names; `_score` is that of the words.

    codes: the vector signals whose codes are read.
    """
    found = product_codes.search(asked, words, _shown(body, excluded), (), ())
    return {**found, "timeout": body["timeout"], **_codes(codes)}


def _shown(body: Mapping[str, Any], excluded: Sequence[Query]) -> list[Query]:
    """Filters of what the shop's search shows, and its words do not exclude."""
    within = [matching(body)]
    if body.get("post_filter"):
        within.append(lean(body["post_filter"]))
    if excluded:
        within.append({"bool": {"must_not": list(excluded)}})
    return within


def final(
    body: Mapping[str, Any],
    analysis: Recognised,
    words: Mapping[str, Any],
    scores: Mapping[str, float],
    lowest: float,
    units: Sequence[float],
) -> dict[str, Any]:
    """The shop's whole search, with the fused scores in place of those of its words.

    So its functions, boosts, pins, sort and groups are computed as the shop wrote them. scores: of the candidates.
    lowest: the score of the words of the last candidate; 0 where no other product has them. units: the best score of
    each text of the query. The best candidate has that score, so that a boost counts beside it for what it did.
    """
    rest = iter(units)

    def fill(slot: Query) -> Query:
        unit = next(rest, 0.0)
        return _slot(slot, analysis, words, slot_scores(scores, unit if analysis.scaled else 0.0), lowest, unit or 1.0)

    within: list[Query] = [body["query"]]
    if body.get("min_score") is not None:
        within.append(matching(body))
    look = {key: value for key, value in body.items() if key not in ("query", "min_score")}
    if look.get("_source") == SHOP_ALONE:  # as in `_look_of_hits`
        del look["_source"]
    if isinstance(look.get("highlight"), dict):
        look["highlight"] = {"highlight_query": lean(body["query"]), **look["highlight"]}
    return {**look, "query": {"bool": {"filter": within, "should": [filled(analysis.query, fill)]}}}


def _slot(
    slot: Query,
    analysis: Recognised,
    words: Mapping[str, Any],
    scores: Mapping[str, float],
    lowest: float,
    unit: float,
) -> Query:
    """What scores as one text of the shop's query is to score. unit: the best score of that text by itself."""
    text, excluded = slot["text"], list(analysis.excluded)
    last = last_of(scores)
    least = 3 * BEHIND * last
    candidates = {"ids": {"values": list(scores)}}
    parts: list[Query] = [
        {"constant_score": {"filter": {"ids": {"values": [id]}}, "boost": score}} for id, score in scores.items()
    ]
    if lowest > 0:  # the words' other matches come behind, in the order of their scores
        boost = (last - least) / lowest
        parts.append({"bool": {"must": [dict(words)], "must_not": [candidates, *excluded], "boost": boost}})
    parts.append({"bool": {"must": [text], "must_not": [candidates], "boost": last * BEHIND / unit}})
    if analysis.raised:  # a function multiplies these; behind by BEHIND they would not come first
        within = {"filter": [{"bool": {"should": list(analysis.raised)}}], "must_not": [candidates, words, *excluded]}
        parts.append({"bool": {"must": [text], **within, "boost": last * _RAISED / unit}})
    if excluded:
        others = {"bool": {"must_not": [candidates, *excluded]}}
        parts.append({"constant_score": {"filter": others, "boost": last * BEHIND * 2}})
    layered: Query = {"bool": {"should": parts}}
    if not slot["certain"]:
        layered["bool"] |= {"filter": [text], "minimum_should_match": 0}
    if not analysis.pins:
        return layered
    pins = list(analysis.pins)  # the order of these is the shop's own
    pinned = {"bool": {"must": [text], "filter": [{"bool": {"should": pins}}]}}
    return {"bool": {"should": [pinned, {"bool": {"must": [layered], "must_not": pins}}]}}


def texts(analysis: Recognised) -> list[Query]:
    """The texts of the shop's query, in the order of their slots."""
    return [slot["text"] for slot in slots(analysis.query)]


def codes(body: Mapping[str, Any], ids: Sequence[str], signals: Sequence[str]) -> dict[str, Any]:
    """The codes of these products, with their `_id`, in any order."""
    query = {"bool": {"filter": [{"ids": {"values": list(ids)}}]}}
    options = {"size": len(ids), "track_total_hits": False, "timeout": body["timeout"]}
    return bodies.with_ids({"query": query, **options, **_codes(signals)})


def page(body: Mapping[str, Any], ids: Sequence[str]) -> dict[str, Any]:
    """These products, with hits that look as those of the shop's search do, in any order."""
    filters: list[dict[str, Any]] = [{"ids": {"values": list(ids)}}]
    if lean(body["query"]) != body["query"]:  # the names and inner hits of the query are part of its hits
        filters.append(body["query"])
    return {**_look_of_hits(body), "query": {"bool": {"filter": filters}}, "from": 0, "size": len(ids)}


def look(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """All but the product that decides how a hit of `page` looks; None where the query decides it too."""
    if lean(body["query"]) != body["query"]:
        return None
    return {key: value for key, value in _look_of_hits(body).items() if key != "timeout"}


def tail(
    body: Mapping[str, Any], query: Mapping[str, Any], exclude: Sequence[str], start: int, size: int
) -> dict[str, Any]:
    """The matches of the shop's search that come after the candidates, in the order of the words' scores."""
    rest: dict[str, Any] = {
        "bool": {"must": [_down_to_min_score(body, query)], "must_not": [{"ids": {"values": list(exclude)}}]}
    }
    if lean(body["query"]) != body["query"]:  # as in `page`
        rest["bool"]["filter"] = [body["query"]]
    filtered = {"post_filter": body["post_filter"]} if body.get("post_filter") else {}
    return {**_look_of_hits(body), **filtered, "query": rest, "from": start, "size": size}


def _filtered(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"post_filter": lean(body["post_filter"])} if body.get("post_filter") else {}


def _down_to_min_score(body: Mapping[str, Any], query: Mapping[str, Any]) -> dict[str, Any]:
    """A query of the shop's matches, without those below the `min_score` of the shop's search."""
    if body.get("min_score") is None:
        return dict(query)
    return {"bool": {"must": [dict(query)], "filter": [matching(body)]}}


def _look_of_hits(body: Mapping[str, Any]) -> dict[str, Any]:
    look: dict[str, Any] = {key: body[key] for key in _HIT_KEYS if key in body}
    if look.get("_source") == SHOP_ALONE:  # we do it more quickly than the cluster; see `own_field.drop_from_sources`
        del look["_source"]
    if isinstance(look.get("highlight"), dict):  # the page is found by id, and the shop's words are marked in it
        look["highlight"] = {"highlight_query": lean(body["query"]), **look["highlight"]}
    return {**look, "track_total_hits": False, "timeout": body["timeout"]}


def _codes(signals: Sequence[str]) -> dict[str, Any]:
    fields = [f"{LAYER}.id", *(f"{LAYER}.codes.{name}" for name in signals)]
    return {"docvalue_fields": fields, "stored_fields": "_none_", "seq_no_primary_term": True}
