"""Pure builders of the drop-in `_search`: the searches for a shop's candidates, and for its page.

In every search that is built here, the shop's query decides what matches. So totals and aggregations are those of the
shop's own search, and vectors find no product that the query does not match.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hybrid.dropin.own_field import LAYER, SHOP_ALONE
from hybrid.dropin.recognise import Recognised, part, put
from hybrid.elastic.retrieval import bodies

if TYPE_CHECKING:
    import numpy as np

#: Names of the partial scores that are read beside `_score`, where the shop's query adds or multiplies scores.
TEXT, INNER, SHOP = "hybrid:text", "hybrid:inner", "hybrid:shop"
#: The least score of the words. Without it, a product that the layer's words do not find would score zero, and the
#: factor that multiplies its score could not be read.
_FLOOR = 0.001

#: Keys of a search that decide how its hits look. Only the search for the page needs them.
_HIT_KEYS = (
    "_source", "docvalue_fields", "fields", "highlight", "seq_no_primary_term", "stored_fields", "track_scores",
    "version",
)  # fmt: skip


def matching(body: Mapping[str, Any]) -> dict[str, Any]:
    """A filter that matches what the shop's search counts: all that its query matches with at least its `min_score`."""
    query: dict[str, Any] = lean(body["query"])
    if body.get("min_score") is not None:
        return {"function_score": {"query": query, "min_score": body["min_score"]}}
    return query


def lean(query: Any) -> Any:
    """The same query without the keys that only a page of hits needs."""
    if isinstance(query, list):
        return [lean(item) for item in query]
    if isinstance(query, dict):
        return {key: lean(value) for key, value in query.items() if key not in ("_name", "inner_hits")}
    return query


def scored(query: Mapping[str, Any], analysis: Recognised, words: Mapping[str, Any]) -> dict[str, Any]:
    """The shop's query with the words scored by the layer. It matches the same products.

    words: the layer's lexical query. Where the shop adds or multiplies, the parts of the score have names.
    """
    rewritten: Any = lean(query)
    plain = not analysis.adds and analysis.inner is None
    for path in analysis.silent:
        rewritten = put(rewritten, path, {"bool": {"filter": [part(rewritten, path)]}})
    own = part(rewritten, analysis.text)
    if plain:
        return (
            {"bool": {"filter": [own], "should": [dict(words)]}}
            if not analysis.text
            else put(rewritten, analysis.text, {"bool": {"filter": [own], "should": [dict(words)]}})
        )
    if analysis.adds:
        own = {"bool": {"must": [own], "_name": SHOP}}
    floor = {"match_all": {"boost": _FLOOR}}
    text = {"bool": {"filter": [own], "must": [floor], "should": [dict(words)], "_name": TEXT}}
    rewritten = put(rewritten, analysis.text, text)
    if analysis.inner is not None:
        rewritten = put(
            rewritten, analysis.inner, {"bool": {"must": [part(rewritten, analysis.inner)], "_name": INNER}}
        )
    return dict(rewritten)


def beside(query: Mapping[str, Any], analysis: Recognised, words: Mapping[str, Any]) -> dict[str, Any]:
    """A query that scores as `scored` does, for products that the shop's query matches. It does not run that again."""
    return dict(query if analysis.adds or analysis.inner is not None or analysis.text else words)


def counted(body: Mapping[str, Any], query: Mapping[str, Any], codes: Sequence[str], depth: int) -> dict[str, Any]:
    """The shop's own search with candidates in place of its page, for its totals, aggregations and suggestions."""
    rest = {key: value for key, value in body.items() if key not in (*_HIT_KEYS, "sort", "min_score")}
    return {**rest, "query": _down_to_min_score(body, query), "from": 0, "size": depth, **_codes(codes)}


def nearest(
    body: Mapping[str, Any],
    scoring: Mapping[str, Any],
    signal: str,
    vector: np.ndarray | Sequence[float],
    codes: Sequence[str],
    depth: int,
    shards: int,
) -> dict[str, Any]:
    """Of the products that the shop's search matches, the nearest to one vector; `_score` is that of the words.

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
        "bool": {"must": [_down_to_min_score(body, lean(query))], "must_not": [{"ids": {"values": list(exclude)}}]}
    }
    if lean(body["query"]) != body["query"]:  # as in `page`
        rest["bool"]["filter"] = [body["query"]]
    filtered = {"post_filter": body["post_filter"]} if body.get("post_filter") else {}
    return {**_look_of_hits(body), **filtered, "query": rest, "from": start, "size": size}


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
