"""A query becomes a search with phrases, exclusions and a price; the same request where it has none of these."""

from __future__ import annotations

import pytest

from hybrid.contracts import FieldMap, IndexProfile
from hybrid.search.searcher import Searcher
from hybrid.search.understanding import understand
from hybrid.searches import SearchRequest
from hybrid.testing import MemoryRetrieval

PRICED = IndexProfile("shop", FieldMap({"title": ("title",), "price": ("cost",)}, {"cost": "double"}), {}, "en", "1")
UNPRICED = IndexProfile("shop", FieldMap({"title": ("title",)}), {}, "en", "1")
ROWS = [
    {"id": "a", "title": "red running shoes", "price": 60.0},
    {"id": "b", "title": "shoes for running, red", "price": 40.0},
    {"id": "c", "title": "blue running shoes", "price": 20.0},
    {"id": "d", "title": "lamp", "price": 10.0},
]


def test_words_are_left_as_they_are() -> None:
    for request in (SearchRequest("shop", "red t-shirt 5 - 10"), SearchRequest("shop", '"a b"', understand=())):
        assert understand(request, PRICED) == (request, [])
        assert understand(request, PRICED)[0] is request


def test_all_at_once() -> None:
    asked, read = understand(SearchRequest("shop", '"running shoes" -"old nike" men under 50'), PRICED)
    assert (asked.q, asked.phrases, asked.excluded) == ("running shoes men", ("running shoes",), ("old nike",))
    assert asked.filters == {"cost": {"lt": 50}}
    assert [(one.kind, one.text) for one in read] == [
        ("phrase", '"running shoes"'), ("exclusion", '-"old nike"'), ("price", "under 50"),
    ]  # fmt: skip
    assert understand(asked, PRICED) == (asked, [])


def test_a_price_needs_a_field_and_words_of_a_phrase_are_none() -> None:
    assert understand(SearchRequest("shop", "lamp under 50"), UNPRICED)[1] == []
    asked, _ = understand(SearchRequest("shop", '"lamp under 50"'), PRICED)
    assert (asked.q, dict(asked.filters)) == ("lamp under 50", {})
    literal = SearchRequest("shop", '"red lamp" under 50', understand=("phrases",))
    assert understand(literal, PRICED)[0].q == "red lamp under 50"


def test_a_filter_of_the_request_wins() -> None:
    asked, (price,) = understand(SearchRequest("shop", "lamp under 50", filters={"cost": {"lte": 9}}), PRICED)
    assert (asked.q, asked.filters, price.applied) == ("lamp", {"cost": {"lte": 9}}, False)
    assert "the filter of the request" in str(price)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('"running shoes"', {"a", "c"}),
        ('"running shoes" -blue', {"a"}),
        ("-running", {"d"}),
        ('-"running shoes"', {"b", "d"}),
        ("running under 50", {"b", "c"}),
        ("under 15", {"d"}),
        ('"no such words"', set()),
    ],
)
@pytest.mark.parametrize("system", ["fixed", "bm25", "text"])
def test_every_signal_keeps_to_it(query: str, found: set[str], system: str) -> None:
    shop = MemoryRetrieval(ROWS)
    answer = Searcher(shop, shop.encoder, 10).search(SearchRequest("shop", query, system=system))
    within = {hit.id for hit in answer.hits}
    assert within == found or (system != "bm25" and "running under" in query and found <= within)
    assert answer.total == len(answer.hits) and answer.understood
    assert answer.to_json()["understood"][0]["text"] in query
