"""What the drop-in takes for the shopper's words, in queries that are hard to read."""

from __future__ import annotations

import time
from itertools import product
from string import ascii_lowercase
from typing import Any

import pytest

from hybrid.dropin.recognise import recognise

PAIRS = ["".join(pair) for pair in product(ascii_lowercase, repeat=2)]


def match(words: str, **options: Any) -> dict[str, Any]:
    return {"match": {"name": {"query": words, **options}}}


def within(query: dict[str, Any], levels: int) -> dict[str, Any]:
    for _ in range(levels):
        query = {"bool": {"must": [query], "should": [match("red")]}}
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
    started = time.process_time()
    seen = recognise({"query": query})
    assert time.process_time() - started < 0.1
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
