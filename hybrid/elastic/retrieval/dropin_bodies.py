"""Pure builders of the drop-in `_search`: the searches for a shop's candidates, and for its page.

The shop's query decides what matches, in every search that is built here: so totals and aggregations are those of the
shop's own search, and vectors reach no further than it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hybrid.dropin.own_field import LAYER, SHOP_ALONE
from hybrid.dropin.recognise import Recognised, part, put
from hybrid.elastic.retrieval import bodies

if TYPE_CHECKING:
    import numpy as np

#: Names of the scores that are read beside `_score`, where the shop adds to them or multiplies them.
TEXT, INNER, SHOP = "hybrid:text", "hybrid:inner", "hybrid:shop"
#: Keeps a product that the layer's words do not find above zero, so that what multiplies it can be read.
_FLOOR = 0.001

#: How a search is shown; needed for the hits of the page alone.
_SHOWING = (
    "_source", "docvalue_fields", "fields", "highlight", "seq_no_primary_term", "stored_fields", "track_scores",
    "version",
)  # fmt: skip


def matching(body: Mapping[str, Any]) -> dict[str, Any]:
    """A filter that matches what the shop's search counts: its query, down to its `min_score`."""
    query: dict[str, Any] = lean(body["query"])
    if body.get("min_score") is not None:
        return {"function_score": {"query": query, "min_score": body["min_score"]}}
    return query


def lean(query: Any) -> Any:
    """The same query without what only a page of hits needs of it."""
    if isinstance(query, list):
        return [lean(item) for item in query]
    if isinstance(query, dict):
        return {key: lean(value) for key, value in query.items() if key not in ("_name", "inner_hits")}
    return query


def scored(query: Mapping[str, Any], analysis: Recognised, words: Mapping[str, Any]) -> dict[str, Any]:
    """The shop's query with the words scored by the layer; it matches what it did.

    words: the layer's lexical query. Where the shop adds or multiplies, the parts of the score have names.
    """
    found: Any = lean(query)
    plain = not analysis.adds and analysis.inner is None
    for path in analysis.silent:
        found = put(found, path, {"bool": {"filter": [part(found, path)]}})
    own = part(found, analysis.text)
    if plain:
        return (
            {"bool": {"filter": [own], "should": [dict(words)]}}
            if not analysis.text
            else put(found, analysis.text, {"bool": {"filter": [own], "should": [dict(words)]}})
        )
    if analysis.adds:
        own = {"bool": {"must": [own], "_name": SHOP}}
    floor = {"match_all": {"boost": _FLOOR}}
    text = {"bool": {"filter": [own], "must": [floor], "should": [dict(words)], "_name": TEXT}}
    found = put(found, analysis.text, text)
    if analysis.inner is not None:
        found = put(found, analysis.inner, {"bool": {"must": [part(found, analysis.inner)], "_name": INNER}})
    return dict(found)


def beside(query: Mapping[str, Any], analysis: Recognised, words: Mapping[str, Any]) -> dict[str, Any]:
    """What scores as `scored` does where the shop's query matches already: it is not run again."""
    return dict(query if analysis.adds or analysis.inner is not None or analysis.text else words)


def counted(body: Mapping[str, Any], query: Mapping[str, Any], codes: Sequence[str], depth: int) -> dict[str, Any]:
    """The shop's search itself, for its totals, aggregations and suggestions, with candidates in place of its page."""
    kept = {key: value for key, value in body.items() if key not in (*_SHOWING, "sort", "min_score")}
    return {**kept, "query": _asked(body, query), "from": 0, "size": depth, **_codes(codes)}


def nearest(
    body: Mapping[str, Any],
    scoring: Mapping[str, Any],
    signal: str,
    vector: np.ndarray | Sequence[float],
    codes: Sequence[str],
    depth: int,
    shards: int,
) -> dict[str, Any]:
    """The nearest by one vector of what the shop's search matches; `_score` is that of the words.

    scoring: see `beside`.
    """
    within = [matching(body)]
    if body.get("post_filter"):
        within.append(lean(body["post_filter"]))
    knn = {
        "field": f"{LAYER}.{signal}",
        "query_vector": vector,
        "k": depth,
        "num_candidates": max(depth, 100),
        "filter": within,
    }
    return {
        **bodies.nearest(knn, shards, scoring),
        "timeout": body["timeout"],
        **_codes(codes),
    }


def codes(body: Mapping[str, Any], ids: Sequence[str], signals: Sequence[str]) -> dict[str, Any]:
    """The codes of these products, with their `_id`, in any order."""
    wanted = {"bool": {"filter": [{"ids": {"values": list(ids)}}]}}
    shown = {"size": len(ids), "track_total_hits": False, "timeout": body["timeout"]}
    return bodies.with_ids({"query": wanted, **shown, **_codes(signals)})


def page(body: Mapping[str, Any], ids: Sequence[str]) -> dict[str, Any]:
    """These products as the shop's search shows them, in any order."""
    wanted: list[dict[str, Any]] = [{"ids": {"values": list(ids)}}]
    if lean(body["query"]) != body["query"]:  # its names and inner hits are shown
        wanted.append(body["query"])
    return {**_shown(body), "query": {"bool": {"filter": wanted}}, "from": 0, "size": len(ids)}


def look(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """All but the product that decides how a hit of `page` looks; None where its look is not the product's alone."""
    if lean(body["query"]) != body["query"]:
        return None
    return {key: value for key, value in _shown(body).items() if key != "timeout"}


def tail(
    body: Mapping[str, Any], query: Mapping[str, Any], exclude: Sequence[str], start: int, size: int
) -> dict[str, Any]:
    """What the shop's search matches behind the candidates, in the order of the words."""
    rest: dict[str, Any] = {
        "bool": {"must": [_asked(body, lean(query))], "must_not": [{"ids": {"values": list(exclude)}}]}
    }
    if lean(body["query"]) != body["query"]:  # as in `page`
        rest["bool"]["filter"] = [body["query"]]
    filtered = {"post_filter": body["post_filter"]} if body.get("post_filter") else {}
    return {**_shown(body), **filtered, "query": rest, "from": start, "size": size}


def _asked(body: Mapping[str, Any], query: Mapping[str, Any]) -> dict[str, Any]:
    if body.get("min_score") is None:
        return dict(query)
    return {"bool": {"must": [dict(query)], "filter": [matching(body)]}}


def _shown(body: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {key: body[key] for key in _SHOWING if key in body}
    if shown.get("_source") == SHOP_ALONE:  # quicker here than in the cluster; see `own_field.drop_from_sources`
        del shown["_source"]
    if isinstance(shown.get("highlight"), dict):  # the page is found by id; what is marked are the shop's words
        shown["highlight"] = {"highlight_query": lean(body["query"]), **shown["highlight"]}
    return {**shown, "track_total_hits": False, "timeout": body["timeout"]}


def _codes(signals: Sequence[str]) -> dict[str, Any]:
    fields = [f"{LAYER}.id", *(f"{LAYER}.codes.{name}" for name in signals)]
    return {"docvalue_fields": fields, "stored_fields": "_none_", "seq_no_primary_term": True}
