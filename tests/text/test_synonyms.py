"""The file of a merchandiser's synonyms: what is read, what is refused, and which words of a query have any."""

from __future__ import annotations

import pytest

from hybrid.errors import SynonymsError
from hybrid.text.synonyms import MAX_BYTES, MAX_PLACES, MAX_RULES, Rule, Synonyms, parse

FILE = """\ufeff# furniture
sofa, couch , settee

trainers, sneakers => running shoes
t-shirt, tee
手机，移动电话
5\\,5 mm, cinco => a \\=> b
lap top => laptop
"""


def test_the_format_is_that_of_the_trade() -> None:
    assert parse(FILE) == [
        Rule(("sofa", "couch", "settee"), ("sofa", "couch", "settee")),
        Rule(("trainers", "sneakers"), ("running shoes",)),
        Rule(("t-shirt", "tee"), ("t-shirt", "tee")),
        Rule(("手机", "移动电话"), ("手机", "移动电话")),
        Rule(("5,5 mm", "cinco"), ("a => b",)),
        Rule(("lap top",), ("laptop",)),
    ]
    assert parse("") == parse("# nothing\n\n") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a, b\nsofa", "line 2: 'sofa' stands alone"),
        ("# x\n\na => b => c", "line 3: more than one =>"),
        ("a,,b", "line 1: '' is no word"),
        ("=> b", "line 1: '' is no word"),
        ("a, b,", "line 1: '' is no word"),
        ("a, !?", "line 1: '!?' is no word"),
        (f"a, {'b' * 101}", "line 1: an entry of more than 100"),
        (", ".join(f"w{n}" for n in range(51)), "line 1: more than 50 entries"),
        ("a, b\n" * (MAX_RULES + 1), f"line {MAX_RULES + 1}: more than 10,000 rules"),
        ("# " + "x" * MAX_BYTES, "more than 1,000,000 bytes"),
    ],
)
def test_a_bad_line_is_named(text: str, said: str) -> None:
    with pytest.raises(SynonymsError) as error:
        parse(text)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ("red Sofas", {"Sofas": ("couch", "settee")}),
        ("grey settee with couch", {"settee": ("sofa", "couch"), "couch": ("sofa", "settee")}),
        ("Trainer 42", {"Trainer": ("running shoes",)}),
        ("running shoes", {}),
        ("a tee", {"tee": ("t-shirt",)}),
        ("red T-Shirts", {"T-Shirts": ("t-shirt", "tee")}),
        ("red t-shirt", {"t-shirt": ("tee",)}),
        ("红色手机", {"手机": ("移动电话",)}),
        ("cheap lap top", {"lap top": ("laptop",)}),
        ("top lap", {}),
        ("", {}),
    ],
)
def test_words_of_a_query_that_have_synonyms(query: str, places: dict[str, tuple[str, ...]]) -> None:
    found = Synonyms(parse(FILE), "en").places(query)
    assert {place.text: place.others for place in found} == places
    assert all(query[place.start : place.end] == place.text for place in found)


def test_the_longest_wins_parts_of_words_have_none_and_there_is_an_end() -> None:
    synonyms = Synonyms(parse("shoes, boots\nrunning shoes, trainers\nshirt, blouse\n运动, 体育"), "en", "de")
    assert [place.text for place in synonyms.places("Running Shoes")] == ["Running Shoes"]
    assert synonyms.places("t-shirt") == synonyms.places("运动鞋") == []
    assert len(synonyms.places(" ".join(["shoes", "shirt", "红"] * 20))) == MAX_PLACES
