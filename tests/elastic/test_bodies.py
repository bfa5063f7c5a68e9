"""Request bodies compared whole, and the guards of what may be asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hybrid import vectors as coding
from hybrid.contracts import FieldMap, IndexProfile, VectorSignal
from hybrid.elastic.indices import mappings
from hybrid.elastic.retrieval import bodies, facets
from hybrid.errors import UsageError

FIELDS = FieldMap(
    roles={"id": ("id",), "title": ("name",)},
    types={"brand": "keyword", "price": "double", "released": "date", "offer.stock": "long", "new": "boolean"},
    facets=("brand", "price"),
)
PROFILE = IndexProfile("shop", FIELDS, {"text": VectorSignal("toy:4", "toy@1", 4)}, "en", "1")


def test_index_body_has_explicit_types_and_vector_options() -> None:
    properties = mappings.index_body(PROFILE)["mappings"]["properties"]
    assert properties["brand"] == {"type": "keyword", "ignore_above": 256}
    assert properties["price"] == {"type": "double", "ignore_malformed": True}
    assert properties["offer"] == {"properties": {"stock": {"type": "long", "ignore_malformed": True}}}
    layer = properties["hybrid"]["properties"]
    assert layer["text"] == {
        "type": "dense_vector",
        "dims": 4,
        "index": True,
        "similarity": "cosine",
        "index_options": {"type": "int8_flat"},
    }
    assert layer["codes"]["properties"]["text"] == {"type": "binary", "doc_values": True}
    assert set(layer["meta"]["properties"]) >= {"source", "analysis", "pending", "failed", "text"}
    assert {field["analyzer"] for field in layer["terms"]["properties"].values()} == {"whitespace"}


def test_many_vectors_get_a_graph_and_keep_it() -> None:
    graph = {"type": "int8_hnsw", "m": 16, "ef_construction": 100}
    layer = mappings.index_body(PROFILE, documents=5_000_000)["mappings"]["properties"]["hybrid"]["properties"]
    assert layer["text"]["index_options"] == graph  # 20 MB to scan
    flat = {"index_options": {"type": "int8_flat"}}
    assert mappings.index_options(384, 41_000, flat) == {"type": "int8_flat"}
    assert mappings.index_options(384, 42_000, flat) == graph
    assert mappings.index_options(384, 10, {"index_options": graph}) == graph  # no way back but a new index
    assert mappings.index_options(384, 10, {"index_options": {"type": "bbq_hnsw"}}) == {"type": "bbq_hnsw"}


def test_profile_survives_the_mapping() -> None:
    meta = mappings.index_body(PROFILE)["mappings"]["_meta"]["hybrid"]
    assert IndexProfile.from_json("shop", meta) == PROFILE


def test_vector_search_repeats_the_filter_inside_the_knn() -> None:
    clause = {"term": {"brand": "HP"}}
    body = bodies.vector_search(
        "text", [1.0, 0.0], bodies.lexical_query("toner"), [clause], ["text"], 200, 1, ["brand"]
    )
    knn = {"field": "hybrid.text", "query_vector": [1.0, 0.0], "k": 200, "num_candidates": 200, "filter": [clause]}
    assert body == {
        "query": {"knn": knn},
        "rescore": {
            "window_size": 200,
            "query": {
                "rescore_query": bodies.lexical_query("toner"),
                "query_weight": 0.0,
                "rescore_query_weight": 1.0,
            },
        },
        "size": 200,
        "track_total_hits": False,
        "docvalue_fields": ["hybrid.id", "hybrid.codes.text", "brand"],
        "stored_fields": "_none_",
    }


@pytest.mark.parametrize(
    ("filters", "clauses"),
    [
        ({"brand": "HP"}, [{"term": {"brand": "HP"}}]),
        ({"brand": ["HP", "LG"]}, [{"terms": {"brand": ["HP", "LG"]}}]),
        ({"price": {"gte": 1, "lt": 5}}, [{"range": {"price": {"gte": 1, "lt": 5}}}]),
    ],
)
def test_filters(filters: dict, clauses: list) -> None:
    assert bodies.filters_body(filters, FIELDS) == clauses


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"nope": 1}, "cannot filter on 'nope'"),
        ({"price": {"above": 1}}, "a range takes gte"),
        ({"price": {}}, "a range takes gte"),
        ({"brand": {"gte": 1}}, "not a number or a date"),
        ({"brand": [{"script": "x"}]}, "plain values"),
        ({"brand": None}, "a plain value"),
        ({"price": "cheap"}, "'cheap' is no number"),
        ({"price": {"gte": "nan"}}, "'nan' is no number"),
        ({"price": [1, "x"]}, "'x' is no number"),
        ({"new": "maybe"}, "'maybe' is no boolean"),
        ({"released": {"lte": "soon"}}, "'soon' is no date"),
    ],
)
def test_filters_that_cannot_be_asked(filters: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bodies.filters_body(filters, FIELDS)


@pytest.mark.parametrize("dims", [3, 32, 384, 1280])
def test_codes_keep_a_cosine_to_a_thousandth(dims: int) -> None:
    rng = np.random.default_rng(dims)
    vectors = rng.normal(size=(20, dims)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    again = coding.decode_codes([coding.encode_code(vector) for vector in vectors], dims)
    assert again.shape == (20, dims)
    assert np.abs(again @ vectors[0] - vectors @ vectors[0]).max() < 1e-3


# ---- what a filter may hold ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "sent"),
    [
        ("long", 5, 5), ("long", "5", "5"), ("double", 10**20, 10.0**20), ("double", 1.5, 1.5),
        ("keyword", 10**30, str(10**30)), ("keyword", True, "true"), ("boolean", "TRUE", "true"),
        ("date", "2026-02-28", "2026-02-28"), ("date", "2026", "2026"), ("date", "now-1y/d", "now-1y/d"),
        ("date", "2026-11-30T10:00:00Z||+1M", "2026-11-30T10:00:00Z||+1M"), ("date", 1764000000000, 1764000000000),
        ("date", 2026.0, 2026), ("date", "2026-01-01T10:00-17:30", "2026-01-01T10:00-17:30"),
        ("double", "-.5e3", "-.5e3"),
    ],
)  # fmt: skip
def test_a_value_that_a_field_can_have_is_sent(kind: str, value: Any, sent: Any) -> None:
    fields = FieldMap({}, {"f": kind})
    (clause,) = bodies.filters_body({"f": value}, fields)
    assert clause == {"term": {"f": sent}}
    assert type(clause["term"]["f"]) is type(sent)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("long", 10**400), ("long", "9" * 400), ("long", 2**63), ("long", True), ("double", 10**400), ("double", "nan"),
        ("double", False), ("boolean", 1), ("date", "1000000000-01-01"), ("date", "2026-13-01"), ("date", "2026-02-30"),
        ("date", True), ("date", "now-"), ("date", 10**15), ("date", "2026-01-01||+99999999d"), ("date", "0000-01-01"),
        ("date", "2026-01-01T10:00+19:00"), ("date", "2026-01-01T10:00+10:75"), ("date", "٢٠٢٦-01-01"),
        ("date", "٢٠٢٦"), ("date", ""), ("date", 2026.5),
        ("long", "1_000"), ("double", "٥"), ("double", " 5"), ("long", ""),
    ],
)  # fmt: skip
def test_a_value_that_a_field_cannot_have_is_the_callers_mistake(kind: str, value: Any) -> None:
    with pytest.raises(UsageError, match="filter f: .* is no "):
        bodies.filters_body({"f": value}, FieldMap({}, {"f": kind}))


def test_a_category_of_a_shops_own_index_finds_what_is_below_it() -> None:
    """Its documents name the deepest level alone, with or without spaces around the mark."""
    fields = FieldMap(roles={}, types={"kind": "keyword"}, paths={"kind": ">"})
    attached = IndexProfile("shop", fields, {}, "en", "1", attached=True)
    assert bodies.filters_body({"kind": "Home > Pots"}, attached.searchable) == [
        {
            "bool": {
                "should": [
                    {"terms": {"kind": ["Home > Pots", "Home>Pots"]}},
                    {"prefix": {"kind": "Home > Pots > "}},
                    {"prefix": {"kind": "Home>Pots>"}},
                ]
            }
        }
    ]
    made = IndexProfile("shop", fields, {}, "en", "1")
    assert bodies.filters_body({"kind": "Home"}, made.searchable) == [{"term": {"kind": "Home"}}]
    counted = facets.merged_facet({"buckets": [{"key": "Home>Pots", "doc_count": 2}]}, [["Home"]], "keyword", ">")
    assert counted == [{"value": "Home", "count": 3}, {"value": "Home > Pots", "count": 2}]
