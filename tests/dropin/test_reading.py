"""What the drop-in takes for the shopper's words, in queries that are hard to read."""

from __future__ import annotations

import time
from itertools import product
from string import ascii_lowercase
from typing import Any

import pytest

from hybrid.dropin.reading import SLOT
from hybrid.dropin.recognise import recognise
from hybrid.elastic.retrieval import dropin_bodies

PAIRS = ["".join(pair) for pair in product(ascii_lowercase, repeat=2)]


def match(words: str, **options: Any) -> dict[str, Any]:
    return {"match": {"name": {"query": words, **options}}}


def within(query: dict[str, Any], levels: int) -> dict[str, Any]:
    for _ in range(levels):
        query = {"bool": {"should": [query]}}
    return query


COSTLY = {
    "words and alternatives": {"bool": {
        "must": [match(pair) for pair in PAIRS[:300]],
        "should": [match(f"zz{number} zz", boost=0.5) for number in range(200)]}},
    "optional words": {"bool": {"should": [match(f"word{number}") for number in range(1_000)]}},
    "nested bools": within({"bool": {"should": [match(f"word{number}") for number in range(300)]}}, 16),
    "as much as is read": within({"bool": {"should": [match(f"{'x' * 55}{number}") for number in range(48)]}}, 16),
    "marks": {"simple_query_string": {"query": '"\\ -a (' * 20_000}},
}  # fmt: skip


@pytest.mark.parametrize("query", COSTLY.values(), ids=COSTLY.keys())
def test_a_query_of_many_words_is_read_quickly(query: dict[str, Any]) -> None:
    started = time.thread_time()
    seen = recognise({"query": query})
    assert time.thread_time() - started < 0.1
    assert seen.passes


@pytest.mark.parametrize(
    ("text", "words", "excluded"),
    [
        ("logitech m185 - black", "logitech m185 black", ""),
        ("red -lamp -", "red", "lamp"),
        ('"iphone 12 -black case"', "iphone 12 -black case", ""),
        ('red "tall -lamp', "red tall", "lamp"),
        ('red -"wool rug" wi-fi', "red wi-fi", '"wool rug"'),
        ('"red lamp"-green', "red lamp", "green"),
        ("red +-lamp", "red", "lamp"),
        ("red \\-lamp", "red -lamp", ""),
        ("(red chair) -lamp", "red chair", "lamp"),
        ("red --lamp", None, ""),
        ("red -(lamp desk)", None, ""),
        ("red (-lamp)", None, ""),
        ("red|-lamp", None, ""),
        ("red | -lamp", None, ""),
        ("red -lamp|desk", None, ""),
    ],
)
def test_a_minus_excludes_what_it_excludes_in_elasticsearch(text: str, words: str | None, excluded: str) -> None:
    seen = recognise({"query": {"simple_query_string": {"query": text, "fields": ["name"]}}})
    assert (seen.passes == "") == (words is not None)
    assert seen.words == (words or "")
    assert [one["simple_query_string"]["query"] for one in seen.excluded] == ([excluded] if excluded else [])


@pytest.mark.parametrize(
    ("flags", "excludes"),
    [("ALL", True), ("NOT|WHITESPACE", True), (-1, True), ("NONE", False), ("AND|OR|PREFIX", False), ("NOT", False)],
)
def test_operators_that_are_off_say_nothing(flags: Any, excludes: bool) -> None:
    seen = recognise({"query": {"simple_query_string": {"query": "red -lamp", "flags": flags}}})
    assert (bool(seen.excluded), "lamp" in seen.words) == (excludes, not excludes)


SELLER = {"match": {"seller": "acme"}}
FILTERS: list[dict[str, Any]] = [
    {"has_child": {"type": "offer", "query": SELLER}},
    {"has_parent": {"parent_type": "shop", "query": SELLER}},
    {"nested": {"path": "offers", "score_mode": "none", "query": SELLER}},
    {"match": {"seller": {"query": "acme", "boost": 0}}},
    {"multi_match": {"query": "acme", "fields": ["seller"], "boost": 0.0}},
    {"bool": {"must": [SELLER], "boost": 0}},
]


@pytest.mark.parametrize("filter", FILTERS, ids=lambda one: next(iter(one)))
def test_words_that_do_not_score_are_not_the_shoppers(filter: dict[str, Any]) -> None:
    seen = recognise({"query": {"bool": {"must": [match("lamp"), filter]}}})
    assert (seen.words, seen.query) == ("lamp", None)
    assert recognise({"query": filter}).passes == "no words that score"


def test_words_of_children_that_score_are_the_shoppers() -> None:
    for query in (
        {"has_child": {"type": "offer", "score_mode": "max", "query": SELLER}},
        {"has_parent": {"parent_type": "shop", "score": True, "query": SELLER}},
        {"nested": {"path": "offers", "query": SELLER}},
    ):
        assert recognise({"query": {"bool": {"must": [match("lamp"), query]}}}).words == "lamp acme"


def test_what_is_pinned_or_excluded_in_a_part_is_looked_for_there() -> None:
    def variants(query: dict[str, Any], **shown: Any) -> dict[str, Any]:
        return {"nested": {"path": "v", "query": query, **shown}}

    sku = {"multi_match": {"query": "a1", "fields": ["v.sku^10000", "v.name"]}}
    seen = recognise({"query": {"bool": {"must": [variants(sku, inner_hits={})]}}})
    assert seen.pins == (variants({"multi_match": {"query": "a1", "fields": ["v.sku"]}}),)
    minus = {"simple_query_string": {"query": "red -lamp", "fields": ["v.name"]}}
    bare = {"simple_query_string": {"query": "lamp", "fields": ["v.name"], "default_operator": "or"}}
    assert recognise({"query": variants(minus)}).excluded == (variants(bare),)


def test_what_a_heavy_function_puts_first_is_ranked() -> None:
    stocked = {"term": {"in_stock": True}}
    body = {"query": {"function_score": {
        "query": match("lamp"), "functions": [{"filter": stocked, "weight": 1_000}]}}}  # fmt: skip
    seen = recognise(body)
    assert (seen.pins, seen.raised) == ((), (stocked,))
    words = {"match": {"hybrid.terms.title": "lamp"}}
    sent = dropin_bodies.final(body, seen, words, {"a": 0.8, "b": 0.4}, 2.0, [40.0])
    (whole,) = sent["query"]["bool"]["should"]
    best, other, behind, own, raised = whole["function_score"]["query"]["bool"]["should"]
    assert best["constant_score"]["boost"] == 40.0 and other["constant_score"]["boost"] == 20.0
    # Of those in stock that only the shop's own words find, each comes before what is not in stock, behind what is.
    assert raised["bool"]["filter"] == [{"bool": {"should": [stocked]}}] and words in raised["bool"]["must_not"]
    assert raised["bool"]["must"] == [match("lamp")] and raised["bool"]["boost"] * 40.0 * 1_000 > 40.0
    assert raised["bool"]["boost"] * 40.0 + own["bool"]["boost"] * 40.0 < behind["bool"]["boost"] * 2.0 <= 20.0


@pytest.mark.parametrize("number", ["inf", "nan", "-1e999", "1e999", "soon"])
def test_no_number_is_read_as_none(number: str) -> None:
    for option in ("prefix_length", "fuzziness", "boost"):
        assert recognise({"query": match("lamp", **{option: number})}).words == "lamp"


def test_a_query_with_the_name_of_a_slot_passes() -> None:
    for query in ({SLOT: {}}, {"bool": {"must": [match("lamp")], "should": [{"term": {SLOT: "x"}}]}}):
        assert recognise({"query": query}).passes
