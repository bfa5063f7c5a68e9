"""What shops send: one kind of request each, as its JSON body and its parameters, for the Python and the JS client."""

from __future__ import annotations

from typing import Any, NamedTuple


class Kind(NamedTuple):
    """body: the search. how: what X-Hybrid begins with. params: of the address."""

    name: str
    how: str
    body: dict[str, Any]
    params: dict[str, Any] = {}


WORDS: dict[str, Any] = {"match": {"description": "light reading lamp"}}
FIELDS = {"multi_match": {"query": "running shoes", "fields": ["name^3", "description"]}}
FILTERED = {"bool": {"must": [FIELDS], "filter": [{"range": {"price": {"lte": 500}}}]}}
FACETS = {
    "brands": {"terms": {"field": "brand"}, "aggs": {"price": {"avg": {"field": "price"}}}},
    "price": {"stats": {"field": "price"}},
}

KINDS = [
    # ranked
    Kind("match", "ranked", {"query": WORDS}),
    Kind("match with options", "ranked", {
        "query": {"match": {"name": {"query": "knit trainer", "operator": "or", "fuzziness": "AUTO"}}}}),
    Kind("multi_match best_fields", "ranked", {"query": FIELDS}),
    Kind("multi_match cross_fields", "ranked", {
        "query": {"multi_match": {"query": "steel lamp", "type": "cross_fields", "fields": ["name", "description"]}}}),
    Kind("match_phrase", "ranked", {"query": {"match_phrase": {"description": "springy sole"}}}),
    Kind("match_bool_prefix", "ranked", {"query": {"match_bool_prefix": {"description": "light running sh"}}}),
    Kind("simple_query_string", "ranked", {
        "query": {"simple_query_string": {"query": 'oak +chair -"wool rug"', "fields": ["name", "description"]}}}),
    Kind("query_string of words", "ranked", {
        "query": {"query_string": {"query": "oak AND chair", "fields": ["name", "description"]}}}),
    Kind("combined_fields", "ranked", {
        "query": {"combined_fields": {"query": "oak chair", "fields": ["name", "description"]}}}),
    Kind("dis_max", "ranked", {
        "query": {"dis_max": {"queries": [{"match": {"name": "tote bag"}}, {"match": {"description": "tote bag"}}]}}}),
    Kind("bool with filters", "ranked", {"query": FILTERED}),
    Kind("filters in must", "ranked", {
        "query": {"bool": {"must": [FIELDS, {"term": {"category": "Shoes"}}, {"range": {"price": {"gte": 1}}}]}}}),
    Kind("words and a phrase", "ranked", {
        "query": {"bool": {"must": [{"match": {"description": "cotton shirt"}}],
                           "should": [{"match_phrase": {"description": "cotton shirt"}}]}}}),
    Kind("must_not", "ranked", {
        "query": {"bool": {"must": [WORDS], "must_not": [{"term": {"color": "navy"}}]}}}),
    Kind("a clause that boosts", "ranked", {
        "query": {"bool": {"must": [WORDS], "should": [{"term": {"brand": {"value": "Lumen", "boost": 3}}}]}}}),
    Kind("function_score with weights", "ranked", {
        "query": {"function_score": {"query": FILTERED, "functions": [
            {"filter": {"term": {"color": "navy"}}, "weight": 5}, {"weight": 1}], "score_mode": "max"}}}),
    Kind("function_score with field_value_factor", "ranked", {
        "query": {"function_score": {"query": WORDS, "field_value_factor": {
            "field": "price", "modifier": "log1p", "missing": 1}}}}),
    Kind("boosting", "ranked", {
        "query": {"boosting": {"positive": WORDS, "negative": {"term": {"color": "clay"}}, "negative_boost": 0.2}}}),
    Kind("aggregations", "ranked", {"query": FIELDS, "aggs": FACETS}),
    Kind("aggregations with typed keys", "ranked", {"query": FIELDS, "aggs": FACETS}, {"typed_keys": "true"}),
    Kind("an aggregation of the cheapest hits", "ranked", {
        "query": FIELDS, "aggs": {"by": {"terms": {"field": "brand"}, "aggs": {
            "cheapest": {"top_hits": {"size": 1, "sort": [{"price": "asc"}, {"color": "asc"}]}}}}}}),
    Kind("post_filter", "ranked", {
        "query": FIELDS, "aggs": FACETS, "post_filter": {"term": {"color": "sand"}}}),
    Kind("highlight", "ranked", {
        "query": FIELDS, "highlight": {"pre_tags": ["<em>"], "post_tags": ["</em>"],
                                       "fields": {"name": {}, "description": {"number_of_fragments": 0}}}}),
    Kind("from and size", "ranked", {"query": WORDS, "from": 2, "size": 3}),
    Kind("from and size in the address", "ranked", {"query": WORDS}, {"size": "3"}),
    Kind("_source list", "ranked", {"query": WORDS, "_source": ["name", "price"]}),
    Kind("_source includes and excludes", "ranked", {
        "query": WORDS, "_source": {"includes": ["*"], "excludes": ["description"]}}),
    Kind("no _source, fields", "ranked", {
        "query": WORDS, "_source": False, "fields": ["name", {"field": "price"}, "*"]}),
    Kind("docvalue_fields", "ranked", {"query": WORDS, "docvalue_fields": ["brand"], "version": True}),
    Kind("stored_fields", "ranked", {"query": WORDS, "stored_fields": ["name"]}),
    Kind("sequence numbers", "ranked", {"query": WORDS, "seq_no_primary_term": True}),
    Kind("named queries", "ranked", {
        "query": {"bool": {"must": [{"match": {"description": {"query": "light lamp", "_name": "words"}}}]}}}),
    Kind("suggest beside it", "ranked", {
        "query": WORDS, "suggest": {"typo": {"text": "lamb", "term": {"field": "description"}}}}),
    Kind("min_score", "ranked", {"query": WORDS, "min_score": 2.0, "aggs": FACETS}),
    Kind("track_total_hits false", "ranked", {"query": WORDS, "track_total_hits": False}),
    Kind("track_total_hits 5", "ranked", {"query": WORDS, "track_total_hits": 5}),
    Kind("total as a number", "ranked", {"query": WORDS}, {"rest_total_hits_as_int": "true"}),
    Kind("filter_path", "ranked", {"query": WORDS}, {"filter_path": "took,hits.hits._id,hits.total.*"}),
    Kind("routing and preference", "ranked", {"query": WORDS}, {"preference": "_local"}),
    Kind("the way of a search", "ranked", {"query": WORDS}, {
        "search_type": "dfs_query_then_fetch", "request_cache": "false", "allow_partial_search_results": "true",
        "ignore_unavailable": "true", "max_concurrent_shard_requests": "2"}),
    Kind("sort by score", "ranked", {"query": WORDS, "sort": ["_score"]}),
    Kind("timeout", "ranked", {"query": WORDS, "timeout": "2s"}),
    Kind("nothing matches", "ranked", {"query": {"match": {"name": "zeppelin"}}, "aggs": FACETS}),
    Kind("hits without ids", "ranked", {"query": WORDS, "stored_fields": ["_none_"], "docvalue_fields": ["brand"]}),
    Kind("a tie breaker", "ranked", {"query": WORDS, "sort": [{"_score": "desc"}, {"price": "asc"}], "aggs": FACETS}),
    Kind("a field that few have before the score", "ranked", {
        "query": WORDS, "sort": [{"place": {"order": "asc", "missing": "_last", "unmapped_type": "long"}}, "_score"]}),
    Kind("collapse", "ranked", {
        "query": FIELDS, "collapse": {"field": "brand", "inner_hits": {
            "name": "more", "size": 2, "sort": [{"price": "asc"}, {"color": "asc"}]}}}),
    Kind("function_score that replaces", "ranked", {
        "query": {"function_score": {"query": WORDS, "boost_mode": "replace", "functions": [
            {"field_value_factor": {"field": "price"}}]}}}),
    Kind("function_score with min_score", "ranked", {
        "query": {"function_score": {"query": WORDS, "min_score": 1.0, "weight": 1}}}),
    Kind("boosts of any kind", "ranked", {
        "query": {"bool": {"must": [WORDS], "should": [
            {"function_score": {"query": {"term": {"brand": "Lumen"}}, "weight": 2}},
            {"span_first": {"match": {"span_term": {"name": "lamp"}}, "end": 2}}]}}}),
    Kind("the way of a search, as Java sends it", "ranked", {"query": WORDS}, {
        "batched_reduce_size": "512", "ccs_minimize_roundtrips": "true", "typed_keys": "true"}),
    # passed
    Kind("sort by price", "passed; sort", {"query": WORDS, "sort": [{"price": "asc"}, "_score"], "aggs": FACETS}),
    Kind("search_after", "passed; search_after", {
        "query": WORDS, "sort": [{"price": "asc"}], "search_after": [90.0]}),
    Kind("an aggregation of the best hits", "passed; an aggregation of the best hits", {
        "query": FIELDS, "aggs": {"by": {"terms": {"field": "brand"}, "aggs": {"best": {"top_hits": {"size": 1}}}}}}),
    Kind("match_all", "passed; no words that score", {"query": {"match_all": {}}, "size": 5}),
    Kind("completions", "passed; completions are shown as hits are", {
        "query": WORDS, "_source": ["name"],
        "suggest": {"typed": {"prefix": "stone", "completion": {"field": "typed"}}}}),
    Kind("no query", "passed; no query", {"size": 5}),
    Kind("every field and nothing else", "passed; no query", {"fields": ["*"]}, {"filter_path": "hits.hits.fields"}),
    Kind("filters alone", "passed; no words that score", {
        "query": {"bool": {"filter": [{"term": {"brand": "Lumen"}}, {"match": {"name": "lamp"}}]}}}),
    Kind("counts alone", "passed; size 0 asks for no hits", {"query": WORDS, "size": 0, "aggs": FACETS}),
    Kind("explain", "passed; explain", {"query": WORDS, "explain": True, "size": 2}),
    Kind("rescore", "passed; rescore", {
        "query": WORDS, "rescore": {"window_size": 5, "query": {"rescore_query": FIELDS}}}),
    Kind("query_string with operators", "passed; a query_string with operators", {
        "query": {"query_string": {"query": "name:lamp OR description:sh*"}}}),
    Kind("more_like_this", "passed; a more_like_this clause", {
        "query": {"more_like_this": {"like": "lamp", "fields": ["name"], "min_term_freq": 1, "min_doc_freq": 1}}}),
    Kind("terms and prefix", "passed; no words that score", {
        "query": {"bool": {"should": [{"terms": {"brand": ["Lumen"]}}, {"prefix": {"color": "na"}}]}}}),
    Kind("terminate_after", "passed; terminate_after", {"query": WORDS, "terminate_after": 50}),
]  # fmt: skip
