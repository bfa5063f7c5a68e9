"""The drop-in's pure parts: what is recognised, what is refused, how bodies and answers are rewritten."""

from __future__ import annotations

import time
from typing import Any

import pytest

from hybrid.dropin import limits, own_field
from hybrid.dropin.answer import behind, filtered
from hybrid.dropin.reading import SLOT
from hybrid.dropin.recognise import recognise
from hybrid.dropin.request import IncomingSearch, ShopSearch, bounded
from hybrid.elastic.retrieval import dropin_bodies
from hybrid.errors import RefusedError
from tests.support.dropin_requests import KINDS, Kind

MATCH: dict[str, Any] = {"match": {"name": "red shoes"}}
TERM: dict[str, Any] = {"term": {"name": "sale"}}
BRAND: dict[str, Any] = {"term": {"brand": "Acme"}}
NOT_TEXT = ("brand", "price", "color", "category")


def slot(text: dict[str, Any], certain: bool = True) -> dict[str, Any]:
    return {SLOT: {"text": text, "certain": certain}}


#: query, why it passes or its words, and the query that is to be filled; None where the words are all that scores.
SEEN: list[tuple[str, dict[str, Any], str, dict[str, Any] | None]] = [
    ("match", MATCH, "red shoes", None),
    ("numbers are words", {"match": {"name": 747}}, "747", None),
    ("a match of values is a filter", {"match": {"brand": "Acme"}}, "passed; no words that score", None),
    (
        "the same words twice",
        {"bool": {"must": [MATCH], "should": [{"match_phrase": {"name": {"query": "Red  Shoes", "boost": 9}}}]}},
        "red shoes", None,
    ),
    ("several clauses", {"bool": {"must": MATCH, "should": {"match": {"maker": "acme"}}}}, "red shoes acme", None),
    ("a constant in must", {"bool": {"must": [MATCH, BRAND]}}, "red shoes", None),
    (
        "a boost in should",
        {"bool": {"must": [MATCH], "should": [BRAND, {"match_phrase": {"name": "red shoes"}}]}},
        "red shoes",
        {"bool": {"should": [
            slot({"bool": {"must": [MATCH], "should": [{"match_phrase": {"name": "red shoes"}}]}}), BRAND]}},
    ),
    ("a text term in must", {"bool": {"must": [MATCH, TERM]}}, "red shoes", {"bool": {"should": [slot(MATCH), TERM]}}),
    (
        "function_score around bool",
        {"function_score": {"query": {"bool": {"must": [MATCH]}}, "weight": 2}},
        "red shoes", {"function_score": {"query": slot({"bool": {"must": [MATCH]}}), "weight": 2}},
    ),
    (
        "function_score inside another clause",
        {"bool": {"must": [{"function_score": {"query": MATCH, "min_score": 1}}], "filter": [BRAND]}},
        "red shoes", {"bool": {"should": [{"function_score": {"query": slot(MATCH)}}]}},
    ),
    (
        "function_score that need not match",
        {"bool": {"should": [{"function_score": {"query": MATCH, "min_score": 1}}, BRAND]}},
        "red shoes",
        {"bool": {"should": [
            {"bool": {
                "filter": [{"function_score": {"query": MATCH, "min_score": 1}}],
                "must": [{"function_score": {"query": slot(MATCH, False)}}]}},
            BRAND]}},
    ),
    (
        "pinned products",
        {"pinned": {"ids": ["7"], "organic": MATCH}},
        "red shoes", {"pinned": {"ids": ["7"], "organic": slot(MATCH, False)}},
    ),
    (
        "clauses of any kind that add",
        {"bool": {"must": [MATCH], "should": [{"rank_feature": {"field": "sold"}}, {"sorcery": {"query": "x"}}]}},
        "red shoes",
        {"bool": {"should": [slot(MATCH), {"rank_feature": {"field": "sold"}}, {"sorcery": {"query": "x"}}]}},
    ),
    (
        "function_score at random",
        {"function_score": {"query": MATCH, "functions": [{"random_score": {}}]}},
        "passed; function_score with random_score", None,
    ),
    ("must_not is not wanted", {"bool": {"must_not": [MATCH]}}, "passed; no words that score", None),
    ("nested words", {"nested": {"path": "v", "query": {"match": {"v.name": "red"}}}}, "red", None),
    (
        "synonyms",
        {"dis_max": {"queries": [MATCH, {"match": {"name": {"query": "crimson shoes", "boost": 0.5}}}]}},
        "red shoes", None,
    ),
    (
        "operators of simple_query_string",
        {"simple_query_string": {"query": '+red | "running shoes"~2 wi-fi shoe*'}},
        "red running shoes wi-fi shoe", None,
    ),
    (
        "an excluded word",
        {"simple_query_string": {"query": "red -blue"}},
        "red", slot({"simple_query_string": {"query": "red -blue"}}),
    ),
    ("not a clause", {"match": {}, "term": {}}, "passed; a query that is not recognised", None),
    ("a later Elasticsearch's clause", {"sorcery": {"query": "x"}}, "passed; a sorcery clause", None),
    ("too many words", {"match": {"name": "word " * 300}}, "passed; more than 1000 characters of words", None),
]  # fmt: skip


@pytest.mark.parametrize(("query", "words", "shape"), [row[1:] for row in SEEN], ids=[row[0] for row in SEEN])
def test_words_are_recognised(query: dict[str, Any], words: str, shape: dict[str, Any] | None) -> None:
    seen = recognise({"query": query}, NOT_TEXT)
    assert (f"passed; {seen.passes}" if seen.passes else seen.words) == words
    assert seen.query == shape


def test_what_a_shop_adds_is_told_from_what_was_typed() -> None:
    weak = {"match": {"name": {"query": "crimson shoes", "boost": 0.5, "fuzziness": "AUTO:3,6", "prefix_length": "1"}}}
    seen = recognise({"query": {"bool": {"should": [MATCH, weak, {"match": {"title": "red"}}]}}})
    assert (seen.words, seen.alternatives, seen.fields) == ("red shoes", (("crimson shoes", 0.5),), ("name", "title"))
    assert seen.loose and [(one.fuzzy, one.prefix) for one in seen.said] == [("", 0), ("auto", 1), ("", 0)]
    excluded = recognise({"query": {"simple_query_string": {"query": 'red -blue -"wool rug" wi-fi', "fields": ["a"]}}})
    (clause,) = excluded.excluded
    assert clause["simple_query_string"]["query"] == 'blue "wool rug"'


def test_boosts_beyond_any_text_pin_products() -> None:
    ids = {"terms": {"sku": ["1", "2"], "boost": 100_000}}
    field = {"multi_match": {"query": "red", "fields": ["title", "picked^9999"]}}
    picked = {"multi_match": {"query": "red", "fields": ["picked"]}}
    function = {"function_score": {"query": MATCH, "functions": [{"filter": BRAND, "weight": 5_000}, {"weight": 3}]}}
    shopware = {"match": {"name": {"query": "red shoes", "boost": 5_000}}}
    for query, pins in (
        ({"bool": {"must": [MATCH], "should": [ids]}}, (ids,)),
        (field, (picked,)),
        (function, ()),
        ({"bool": {"must": [shopware], "should": [{"term": {"brand": {"value": "Acme", "boost": 9_999}}}]}}, ()),
    ):
        assert recognise({"query": query}, NOT_TEXT).pins == pins
    assert recognise({"query": function}, NOT_TEXT).raised == (BRAND,)


@pytest.mark.parametrize(
    ("sort", "how"),
    [
        ("_score", "light"), ({"_score": {"order": "DESC"}}, "light"), ([], "light"),
        (["_score", {"sku": "asc"}], "whole"),
        ([{"_score": "desc"}, {"_script": {"type": "number"}}], "whole"),
        ([{"position": {"order": "asc", "missing": "_last"}}, "_score"], "whole"),
        ([{"available": "desc"}, "_score"], "whole"),
        ([{"price": "asc"}, "_score"], "sort"), ([{"_score": "asc"}], "sort"), (["price"], "sort"), ([3], "sort"),
        (["_doc", "_score"], "sort"),
    ],
)  # fmt: skip
def test_the_best_score_comes_first(sort: Any, how: str) -> None:
    seen = recognise({"query": MATCH, "sort": sort}, {"price": "double", "available": "boolean"})
    assert (seen.passes or ("light" if seen.query is None else "whole")) == how


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
    ("leading wildcards", {"query": {"bool": {"must": [{"wildcard": {"a": "*a"}}, {"regexp": {"a": ".*"}}] * 3}}}, 400),
    ("patterns in query_string", {"query": {"query_string": {"query": "name:*a OR *b OR *c OR *d OR *e"}}}, 400),
    ("expansions", {"query": {"match_phrase_prefix": {"a": {"query": "b", "max_expansions": 10**6}}}}, 400),
    ("huge suggester", {"suggest": {"a": {"prefix": "x", "completion": {"field": "b", "size": 2**31 - 1}}}}, 400),
    ("states of a regexp", {"query": {"regexp": {"a": {"value": "b", "max_determinized_states": 10**6}}}}, 400),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_must_not_reach_the_cluster_is_refused(body: dict[str, Any], status: int) -> None:
    with pytest.raises(RefusedError) as refused:
        limits.check("shop", body)
    assert refused.value.http_status == status


INLINE = {"sort": ["_score", {"_script": {"type": "number", "script": {"lang": "painless", "source": "1"}}}]}
STORED = {"aggs": {"a": {"bucket_script": {"buckets_path": {}, "script": {"id": "mine", "params": {"source": 1}}}}}}
CLAUSE = {"query": {"bool": {"filter": [{"script": {"script": "true"}}]}}}


def test_the_operator_may_allow_scripts_and_patterns() -> None:
    for body in (INLINE, STORED, CLAUSE):
        with pytest.raises(RefusedError, match="HYBRID_DROPIN_SCRIPTS"):
            limits.check("shop", body)
        limits.check("shop", body, limits.Limits("inline"))
    limits.check("shop", STORED, limits.Limits("stored"))
    for body in (INLINE, CLAUSE):
        with pytest.raises(RefusedError, match="stored scripts alone"):
            limits.check("shop", body, limits.Limits("stored"))
    for body in ({"script_fields": {"a": {"script": "1"}}}, {"runtime_mappings": {"a": {"type": "keyword"}}}):
        with pytest.raises(RefusedError, match="no scripts"):
            limits.check("shop", body, limits.Limits("inline"))
    two = {"query": {"bool": {"should": [{"wildcard": {"a": "*b*"}}] * 2}}}
    limits.check("shop", two)
    with pytest.raises(RefusedError, match="HYBRID_DROPIN_LEADING_WILDCARDS"):
        limits.check("shop", two, limits.Limits(leading=1))
    with pytest.raises(RefusedError, match="HYBRID_DROPIN_PATTERNS"):
        limits.check("shop", two, limits.Limits(patterns=1))


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
    assert dropin_bodies.scored(query, words) == {
        "bool": {
            "filter": [{"bool": {"must": [{"match": {"name": {"query": "red"}}}], "filter": [BRAND]}}],
            "should": [words],
        }
    }


def test_the_cluster_computes_the_shops_own_search_with_other_scores_of_its_words() -> None:
    words = {"match": {"hybrid.terms.title": "red shoe"}}
    script = {"_script": {"type": "number", "script": {"id": "rank"}}}
    named = {"match": {"name": {"query": "red shoes", "_name": "mine"}}}
    body = {
        "query": {"pinned": {"ids": ["7"], "organic": {"bool": {"must": [named], "should": [BRAND]}}}},
        "sort": ["_score", script], "collapse": {"field": "parent"}, "min_score": 2, "size": 3,
    }  # fmt: skip
    seen = recognise(body, NOT_TEXT)
    sent = dropin_bodies.final(body, seen, words, {"a": 0.8, "b": 0.4}, 2.0, [40.0])
    assert {key: value for key, value in sent.items() if key != "query"} == {
        key: body[key] for key in ("sort", "collapse", "size")
    }
    filter, (should,) = sent["query"]["bool"]["filter"], sent["query"]["bool"]["should"]
    assert filter == [body["query"], dropin_bodies.matching(body)]
    assert should["pinned"]["ids"] == ["7"]
    organic = should["pinned"]["organic"]["bool"]
    assert organic["should"][1] == BRAND
    # The best candidate has the best score that the shop's own words give.
    layer = organic["should"][0]["bool"]["should"]
    assert [one["constant_score"]["boost"] for one in layer[:2]] == [pytest.approx(40.0), pytest.approx(20.0)]
    tail, own = layer[2]["bool"], layer[3]["bool"]
    assert tail["must"] == [words] and tail["boost"] * 2.0 < 20.0
    assert own["must"] == [{"match": {"name": {"query": "red shoes"}}}] and own["boost"] * 40.0 < 1.0


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
    # Every field of every hit was compared with every name: ten times as long as the rest of the search.
    hits = [{"_source": {f"field{at}": at for at in range(30)}} for _ in range(2_000)]
    for stars in ("**.", "hits.*."):
        path = ",".join(f"{stars}*{name}" for name in range(60, 120))
        took = []
        for _ in range(3):  # the least: other threads and the collection of garbage take their share
            started = time.thread_time()
            assert filtered({"hits": hits}, f"{path},**.field7") == {"hits": [{"_source": {"field7": 7}}] * 2_000}
            took.append(time.thread_time() - started)
        assert min(took) < 0.5


ODD: list[Any] = [
    "inf",
    {SLOT: {}},
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


def put(value: Any, path: tuple[Any, ...], part: Any) -> Any:
    """A copy of a body with another part at a path."""
    if not path:
        return part
    if isinstance(value, list):
        return [put(item, path[1:], part) if at == path[0] else item for at, item in enumerate(value)]
    return {**value, path[0]: put(value[path[0]], path[1:], part)}


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
                words = {"match": {"hybrid.terms.title": "x"}}
                dropin_bodies.counted(shown, dropin_bodies.scored(shown["query"], words), ["text"], 10)
                dropin_bodies.nearest(shown, words, "text", [1.0], ["text"], 10, 1, seen.excluded)
                if seen.query is not None:
                    dropin_bodies.texts(seen)
                    dropin_bodies.final(shown, seen, words, {"1": 1.0}, 1.0, [1.0])
                    dropin_bodies.listed(shown, seen, words, ["text"], 10)
                dropin_bodies.page(shown, ["1"])
