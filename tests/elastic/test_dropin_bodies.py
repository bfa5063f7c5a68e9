"""The drop-in's pure parts: what is recognised, what is refused, how bodies and answers are rewritten."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid.dropin import limits, own_field
from hybrid.dropin.answer import behind, boosted, filtered, order
from hybrid.dropin.recognise import Recognised, put, recognise
from hybrid.dropin.request import IncomingSearch, ShopSearch, bounded
from hybrid.elastic.retrieval import dropin_bodies
from hybrid.errors import RefusedError
from tests.support.dropin_requests import KINDS, Kind

MATCH: dict[str, Any] = {"match": {"name": "red shoes"}}
TERM: dict[str, Any] = {"term": {"name": "sale"}}
BRAND: dict[str, Any] = {"term": {"brand": "Acme"}}
NOT_TEXT = ("brand", "price", "color", "category")

SEEN: list[tuple[str, dict[str, Any], Recognised]] = [
    ("match", MATCH, Recognised("", "red shoes")),
    ("numbers are words", {"match": {"name": 747}}, Recognised("", "747")),
    ("a match of values is a filter", {"match": {"brand": "Acme"}}, Recognised("no words that score")),
    (
        "the same words twice",
        {"bool": {"must": [MATCH], "should": [{"match_phrase": {"name": {"query": "Red  Shoes", "boost": 9}}}]}},
        Recognised("", "red shoes"),
    ),
    (
        "several clauses",
        {"bool": {"must": MATCH, "should": {"match": {"maker": "acme"}}}},
        Recognised("", "red shoes acme"),
    ),
    ("a constant in must", {"bool": {"must": [MATCH, BRAND]}}, Recognised("", "red shoes")),
    (
        "a boost in should",
        {"bool": {"must": [MATCH], "should": [BRAND, {"match_phrase": {"name": "red shoes"}}]}},
        Recognised("", "red shoes", ("bool", "must", 0), (("bool", "should", 1),), adds=True),
    ),
    (
        "a text term in must",
        {"bool": {"must": [MATCH, TERM]}},
        Recognised("", "red shoes", ("bool", "must", 0), adds=True),
    ),
    (
        "function_score around bool",
        {"function_score": {"query": {"bool": {"must": [MATCH]}}, "weight": 2}},
        Recognised("", "red shoes", ("function_score", "query"), (), ("function_score", "query")),
    ),
    (
        "function_score inside another clause",
        {"bool": {"must": [{"function_score": {"query": MATCH}}]}},
        Recognised("a function_score clause"),
    ),
    (
        "function_score at random",
        {"function_score": {"query": MATCH, "functions": [{"random_score": {}}]}},
        Recognised("function_score with random_score"),
    ),
    ("must_not is not wanted", {"bool": {"must_not": [MATCH]}}, Recognised("no words that score")),
    ("nested words", {"nested": {"path": "v", "query": {"match": {"v.name": "red"}}}}, Recognised("", "red")),
    (
        "operators of simple_query_string",
        {"simple_query_string": {"query": '+red | "running shoes"~2 -blue wi-fi shoe*'}},
        Recognised("", "red running shoes wi-fi shoe"),
    ),
    ("not a clause", {"match": {}, "term": {}}, Recognised("a query that is not recognised")),
    ("a later Elasticsearch's clause", {"sorcery": {"query": "x"}}, Recognised("a sorcery clause")),
    ("too many words", {"match": {"name": "word " * 300}}, Recognised("more than 1000 characters of words")),
]


@pytest.mark.parametrize(("query", "wanted"), [row[1:] for row in SEEN], ids=[row[0] for row in SEEN])
def test_words_are_recognised(query: dict[str, Any], wanted: Recognised) -> None:
    assert recognise({"query": query}, NOT_TEXT) == wanted


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_every_kind_is_told_by_its_body(kind: Kind) -> None:
    passes = recognise(kind.body, NOT_TEXT).passes
    assert f"passed; {passes}".startswith(kind.how) if passes else kind.how == "ranked"
    limits.check("shop", kind.body)


def nested(levels: int) -> dict[str, Any]:
    query: dict[str, Any] = MATCH
    for _ in range(levels):
        query = {"bool": {"must": [query]}}
    return query


@pytest.mark.parametrize(
    "agg", [{"sampler": {}}, {"top_hits": {"sort": ["_score"]}}, {"filter": {}, "aggs": {"b": {"top_hits": {}}}}]
)
def test_aggregations_of_the_best_hits_pass(agg: dict[str, Any]) -> None:
    assert recognise({"query": MATCH, "aggs": {"a": agg}}).passes == "an aggregation of the best hits"


REFUSED: list[tuple[str, dict[str, Any], int]] = [
    ("script_score", {"query": {"script_score": {"query": MATCH, "script": {"source": "1"}}}}, 400),
    ("script query", {"query": {"bool": {"filter": [{"script": {"script": "true"}}]}}}, 400),
    ("script in a function", {"query": {"function_score": {"query": MATCH, "functions": [{"script_score": {}}]}}}, 400),
    ("script sort", {"sort": {"_script": {"type": "number", "script": "1"}}}, 400),
    ("script fields", {"script_fields": {"a": {"script": "1"}}}, 400),
    ("runtime fields", {"runtime_mappings": {"a": {"type": "keyword"}}}, 400),
    ("scripted aggregation", {"aggs": {"a": {"scripted_metric": {"map_script": "1"}}}}, 400),
    ("script of an aggregation", {"aggs": {"a": {"terms": {"script": "1"}}}}, 400),
    ("bucket script", {"aggs": {"a": {"bucket_script": {"buckets_path": {}, "script": "1"}}}}, 400),
    ("a query that cannot be seen", {"query": {"wrapper": {"query": "e30="}}}, 400),
    ("stored documents as queries", {"query": {"percolate": {"field": "q", "index": "other", "id": "1"}}}, 400),
    ("a lookup elsewhere", {"query": {"terms": {"a": {"index": "secret", "id": "1", "path": "x"}}}}, 403),
    ("more like another's", {"query": {"more_like_this": {"like": [{"_index": "secret", "_id": "1"}]}}}, 403),
    ("a lookup in an index of digits", {"query": {"terms": {"a": {"index": 123, "id": "1", "path": "x"}}}}, 403),
    ("a shape of the default index", {"query": {"geo_shape": {"a": {"indexed_shape": {"id": "1"}}}}}, 403),
    ("a shape of another index", {"query": {"geo_shape": {"a": {"indexed_shape": {"id": 1, "index": "x"}}}}}, 403),
    ("another index boosted", {"indices_boost": [{"secret": 2}]}, 403),
    ("script of terms_set", {"query": {"terms_set": {"a": {"minimum_should_match_script": {"source": "1"}}}}}, 400),
    ("template of a suggester", {"suggest": {"a": {"phrase": {"collate": {"query": {"source": "{}"}}}}}}, 400),
    ("point in time", {"pit": {"id": "abc"}}, 400),
    ("an unknown part", {"query": MATCH, "sub_search": {}}, 400),
    ("huge window", {"from": 9_995, "size": 6}, 400),
    ("huge size as text", {"size": "10001"}, 400),
    ("negative", {"from": -1}, 400),
    ("no number", {"size": True}, 400),
    ("deep nesting", {"query": nested(40)}, 400),
    ("many clauses", {"query": {"bool": {"should": [TERM] * 4_100}}}, 400),
    ("many aggregations", {"aggs": {str(n): {"avg": {"field": "price"}} for n in range(101)}}, 400),
    ("huge aggregation", {"aggs": {"a": {"terms": {"field": "brand", "size": 10_001}}}}, 400),
    ("a long pattern", {"query": {"regexp": {"name": "a" * 300}}}, 400),
    ("many patterns", {"query": {"bool": {"should": [{"wildcard": {"name": "a*"}}] * 9}}}, 400),
    ("leading wildcards", {"query": {"bool": {"must": [{"wildcard": {"a": "*a"}}, {"regexp": {"a": ".*b"}}]}}}, 400),
    ("patterns in query_string", {"query": {"query_string": {"query": "name:*a OR *b"}}}, 400),
    ("expansions", {"query": {"match_phrase_prefix": {"a": {"query": "b", "max_expansions": 10**6}}}}, 400),
    ("huge suggester", {"suggest": {"a": {"prefix": "x", "completion": {"field": "b", "size": 2**31 - 1}}}}, 400),
    ("states of a regexp", {"query": {"regexp": {"a": {"value": "b", "max_determinized_states": 10**6}}}}, 400),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_must_not_reach_the_cluster_is_refused(body: dict[str, Any], status: int) -> None:
    with pytest.raises(RefusedError) as refused:
        limits.check("shop", body)
    assert refused.value.http_status == status


def test_aggregations_have_a_depth() -> None:
    aggs: dict[str, Any] = {"a": {"avg": {"field": "price"}}}
    for _ in range(limits.MAX_AGGREGATION_LEVELS):
        aggs = {"a": {"terms": {"field": "brand"}, "aggs": aggs}}
    with pytest.raises(RefusedError, match="levels deep"):
        limits.check("shop", {"aggs": aggs})
    limits.check("shop", {"query": {"term": {"size": 20_000}}, "aggs": {"a": {"filter": {"term": {"size": 20_000}}}}})


def test_the_address_goes_into_the_body() -> None:
    params = {
        "from": "5", "size": "7", "_source_includes": "a,b", "track_total_hits": "true", "sort": "price:desc,_score",
        "q": "red shoes", "df": "name", "default_operator": "AND", "routing": "x", "suggest_field": "name",
    }  # fmt: skip
    search = ShopSearch.of(IncomingSearch("shop", {"size": 1, "min_score": 2}, params), 10.0)
    assert search.body == {
        "from": 5, "size": 7, "min_score": 2, "_source": {"includes": ["a", "b"]}, "track_total_hits": True,
        "sort": [{"price": {"order": "desc"}}, "_score"], "timeout": "10000ms",
        "query": {"query_string": {"query": "red shoes", "default_field": "name", "default_operator": "AND"}},
    }  # fmt: skip
    assert (search.route, search.plain) == ({"routing": "x"}, {"suggest_field": "name"})


@pytest.mark.parametrize(
    "params", [{"scroll": "1m"}, {"source": "{}"}, {"magic": "1"}, {"version": "yes"}, {"df": "a"}]
)
def test_a_parameter_is_served_or_refused(params: dict[str, str]) -> None:
    with pytest.raises(RefusedError, match=next(iter(params))):
        ShopSearch.of(IncomingSearch("shop", {}, params), 10.0)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [(None, "10000ms"), ("2s", "2s"), ("500ms", "500ms"), ("1h", "10000ms"), ("-1", "10000ms"), ("soon", "10000ms")],
)
def test_a_search_ends(given: str | None, wanted: str) -> None:
    assert bounded(given, 10.0) == wanted


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {"_source": {"excludes": ["hybrid"]}}),
        ({"_source": False}, {"_source": False}),
        ({"_source": "name"}, {"_source": {"includes": "name", "excludes": ["hybrid"]}}),
        ({"_source": ["*"]}, {"_source": {"includes": ["*"], "excludes": ["hybrid"]}}),
        ({"_source": {"exclude": "a"}}, {"_source": {"excludes": ["a", "hybrid"]}}),
        ({"_source": ["name", "hybrid.meta"]}, {"_source": {"includes": ["name", "hybrid.meta"]}}),
        ({"stored_fields": ["a"]}, {"stored_fields": ["a"]}),
        (
            {"_source": False, "aggs": {"a": {"top_hits": {}}}, "query": {"nested": {"inner_hits": {"size": 1}}}},
            {
                "_source": False,
                "aggs": {"a": {"top_hits": {"_source": {"excludes": ["hybrid"]}}}},
                "query": {"nested": {"inner_hits": {"size": 1, "_source": {"excludes": ["hybrid"]}}}},
            },
        ),
        (
            {"_source": False, "aggs": {"top_hits": {"aggs": {"inner_hits": {"top_hits": {"size": 1}}}}}},
            {
                "_source": False,
                "aggs": {
                    "top_hits": {"aggs": {"inner_hits": {"top_hits": {"size": 1, "_source": {"excludes": ["hybrid"]}}}}}
                },
            },
        ),
    ],
)
def test_the_layers_field_is_left_out(given: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert own_field.without_layer(given) == wanted


def test_the_layers_fields_are_taken_out_of_wildcards() -> None:
    assert own_field.may_show_layer({"fields": ["*"]})
    assert own_field.may_show_layer({"highlight": {"fields": {"*": {}}}})
    assert own_field.may_show_layer({"aggs": {"a": {"top_hits": {"docvalue_fields": [{"field": "h*"}]}}}})
    assert not own_field.may_show_layer({"fields": ["name", "hybrid.*"], "_source": ["*"]})
    hit = {"_id": "1", "_source": {"fields": {"hybrid.x": 1}}, "fields": {"a": [1], "hybrid.id": [1]}}
    bare = {"fields": {"a": [1], "hybrid.id": [1]}}  # what `filter_path=hits.hits.fields` leaves
    answer = {"hits": {"hits": [hit, {"_id": "2", "highlight": {"hybrid.terms.title": ["x"]}}, bare]}}
    own_field.hide_layer(answer)
    assert answer["hits"]["hits"] == [
        {"_id": "1", "_source": {"fields": {"hybrid.x": 1}}, "fields": {"a": [1]}},
        {"_id": "2"},
        {"fields": {"a": [1]}},
    ]


def test_the_query_keeps_what_matches_and_the_layer_scores_the_words() -> None:
    words = {"match": {"hybrid.terms.title": "red shoe"}}
    query = {"bool": {"must": [{"match": {"name": {"query": "red", "_name": "mine"}}}], "filter": [BRAND]}}
    seen = recognise({"query": query}, NOT_TEXT)
    assert dropin_bodies.scored(query, seen, words) == {
        "bool": {
            "filter": [{"bool": {"must": [{"match": {"name": {"query": "red"}}}], "filter": [BRAND]}}],
            "should": [words],
        }
    }
    boosting = {"bool": {"must": [MATCH], "should": [BRAND]}}
    scored = dropin_bodies.scored(boosting, recognise({"query": boosting}, NOT_TEXT), words)
    assert scored["bool"]["should"] == [BRAND]
    assert scored["bool"]["must"][0]["bool"]["_name"] == dropin_bodies.TEXT


def test_put_changes_one_part() -> None:
    query = {"bool": {"must": [MATCH, BRAND]}}
    assert put(query, ("bool", "must", 1), TERM) == {"bool": {"must": [MATCH, TERM]}}
    assert query == {"bool": {"must": [MATCH, BRAND]}}


def test_boosts_keep_their_effect() -> None:
    fused, text = {"a": 0.8, "b": 0.4}, {"a": 12.0, "b": 6.0}
    doubled = boosted(fused, text, {"a": 12.0, "b": 6.0 * 2.5}, {"a": 12.0, "b": 6.0}, None)
    assert doubled == {"a": pytest.approx(0.8), "b": pytest.approx(0.4 * 2.5)}
    # A boost of 20 beside words whose best score is 40 counts half as much as the best fused score.
    added = boosted(fused, text, {"a": 12.0, "b": 6.0 + 20.0}, None, {"a": 40.0, "b": 9.0})
    assert added == {"a": pytest.approx(0.8), "b": pytest.approx(0.4 + 20 * 0.8 / 40)}
    assert boosted({}, {}, {}, None, None) == {}
    assert order({"b": 1.0, "a": 1.0, "c": 2.0}) == ["c", "a", "b"]


def test_scores_behind_the_candidates_fall() -> None:
    assert behind([6.0, 4.0, 2.0, None], last=0.3, lowest=4.0) == [0.3, 0.3, pytest.approx(0.3 * 2 / 4), 0.0]
    assert behind([1.0], last=0.3, lowest=0.0) == [0.0]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("took", {"took": 3}),
        ("hits.hits._id", {"hits": {"hits": [{"_id": "1"}, {"_id": "2"}]}}),
        ("hits.total.*,took", {"took": 3, "hits": {"total": {"value": 2}}}),
        ("**._id", {"hits": {"hits": [{"_id": "1"}, {"_id": "2"}]}}),
        ("hits.hits._source.*e", {"hits": {"hits": [{"_source": {"name": "a"}}]}}),
        ("-hits", {"took": 3}),
        ("hits,-hits.hits", {"hits": {"total": {"value": 2}}}),
        ("nothing", {}),
    ],
)
def test_filter_path(path: str, wanted: dict[str, Any]) -> None:
    hits = [{"_id": "1", "_source": {"name": "a"}}, {"_id": "2"}]
    assert filtered({"took": 3, "hits": {"total": {"value": 2}, "hits": hits}}, path) == wanted


@pytest.mark.timeout(120)
def test_a_filter_path_takes_little_time() -> None:
    """Every `**` doubled the work at every level: 24 of them would have taken minutes."""
    answer: dict[str, Any] = {"x": 1}
    for _ in range(30):
        answer = {"a": answer}
    assert filtered(answer, "**." * 200 + "y") == {}
    assert filtered({"a": {"b": {"x": 1, "y": 2}}}, "**." * 200 + "x") == {"a": {"b": {"x": 1}}}
    limits.check_filter_path("**." * 200 + "x")
    with pytest.raises(RefusedError, match="names"):
        limits.check_filter_path("**." * 300 + "x")


ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "*",
    "_none_",
    [],
    {},
    [[]],
    [None],
    {"a": None},
    {"hybrid": {}},
    [{"": ""}],
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path of a body."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(one for key, below in inner for one in places(below, (*path, key)))]


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_no_body_breaks_the_layer(kind: Kind) -> None:
    """Any part of a body replaced by something odd: it is refused, or goes on, and nothing is raised but that."""
    for path in places(kind.body)[1:]:
        for odd in ODD:
            body = put(kind.body, path, odd)
            try:
                search = ShopSearch.of(IncomingSearch("shop", body, {}), 10.0)
                limits.check("shop", search.body)
            except RefusedError:
                continue
            shown = own_field.without_layer(search.body)
            own_field.may_show_layer(shown)
            seen = recognise(shown, NOT_TEXT)
            if not seen.passes:
                query = dropin_bodies.scored(shown["query"], seen, {"match": {"hybrid.terms.title": "x"}})
                dropin_bodies.counted(shown, query, ["text"], 10)
                scoring = dropin_bodies.beside(query, seen, {"match": {"hybrid.terms.title": "x"}})
                dropin_bodies.nearest(shown, scoring, "text", [1.0], ["text"], 10, 1)
                dropin_bodies.page(shown, ["1"])


@pytest.mark.parametrize(
    ("query", "again"),
    [
        ({"match": {"title": "lamp"}}, False),
        ({"bool": {"must": {"match": {"title": "lamp"}}, "filter": {"term": {"brand": "x"}}}}, False),
        ({"bool": {"must": {"match": {"title": "lamp"}}, "should": {"term": {"brand": "x"}}}}, True),
        ({"function_score": {"query": {"match": {"title": "lamp"}}, "weight": 2}}, True),
    ],
)
def test_words_alone_are_scored_without_the_query_again(query: dict[str, Any], again: bool) -> None:
    words = {"match": {"hybrid.terms.title": "lamp"}}
    seen = recognise({"query": query}, NOT_TEXT)
    assert not seen.passes
    scored = dropin_bodies.scored(query, seen, words)
    assert dropin_bodies.beside(scored, seen, words) == (scored if again else words)
