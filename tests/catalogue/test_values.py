"""Values as they are indexed: keywords are trimmed, and empty ones are none."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid.catalogue.values import conform
from hybrid.contracts import FieldMap
from hybrid.elastic.retrieval.facets import merged_facet

FIELDS = FieldMap({}, {"brand": "keyword", "a.b": "keyword", "price": "double"}, marks={"price": ","})


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ({"brand": " Trim ", "price": "1,5", "title": " T "}, {"brand": "Trim", "price": 1.5, "title": " T "}),
        ({"brand": ""}, {}),
        ({"brand": [" x", "", "y", None, 3]}, {"brand": ["x", "y", 3]}),
        ({"a": [{"b": " \u3000"}, {"b": "c", "d": ""}, "z"]}, {"a": [{}, {"b": "c", "d": ""}, "z"]}),
        ({"a": {"b": {"c": " x "}}}, {"a": {"b": {"c": " x "}}}),
        ({"a.b": "x ", "brand": None}, {"a.b": "x", "brand": None}),
    ],
)
def test_keywords_are_trimmed_wherever_their_path_leads(source: dict[str, Any], read: dict[str, Any]) -> None:
    before = repr(source)
    assert conform(source, FIELDS) == read
    assert repr(source) == before


def test_a_row_with_nothing_to_trim_is_the_same_object() -> None:
    source = {"brand": "HP", "a": [{"b": "c"}]}
    assert conform(source, FIELDS) is source


def test_a_facet_has_no_nameless_value() -> None:
    """An index of the shop's own is left as it is, so its empty values are left out where they are counted."""
    buckets = {"buckets": [{"key": "", "doc_count": 3}, {"key": "HP", "doc_count": 1}]}
    assert merged_facet(buckets, [["HP"], [" "]], "keyword") == [{"value": "HP", "count": 2}]
