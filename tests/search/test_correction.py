"""Queries that are mistyped, and those that are not, against the words of a small catalogue."""

from __future__ import annotations

import pytest

from hybrid import SearchRequest
from hybrid.search.correction import Correction, correct
from hybrid.search.searcher import Searcher
from hybrid.testing import MemoryRetrieval
from hybrid.text import analysis
from hybrid.text.vocabulary import Counting, Vocabulary

_TITLES = (
    ["Wireless mouse black"] * 60 + ["Laptop charger"] * 50 + ["Mechanical keyboard"] * 50 + ["Hard drive case"] * 30
    + ["Zyxel router"] * 20 + ["Lap desk", "Table top lamp", "Rash guard", "Mechanical keybord", "Wash bag"]
    + ["Desk lamp"] * 20 + ["Wash bag"] * 30
)  # fmt: skip


@pytest.fixture(scope="module")
def words() -> Vocabulary:
    counting = Counting()
    for title in _TITLES:
        brand = {"brand": "zyxel"} if title.startswith("Zyxel") else {}
        counting.add({"title": analysis.terms([title]), **brand}, [title])
    return counting.vocabulary()


@pytest.mark.parametrize(
    ("typed", "text", "also"),
    [
        ("wirless mouse", "wireless mouse", "wireless"),
        ("Wirless Muose", "wireless mouse", "wireless mouse"),
        ("wirelesmouse", "wireless mouse", "wireless mouse"),
        ("lapt op", "laptop", "laptop"),
        ("lapt op charger", "laptop charger", "laptop"),
        ("harddrive", "hard drive", "hard drive"),
        ("black mouse, wirless!", "black mouse, wireless!", "wireless"),
        ("ziyxel router", "zyxel router", "zyxel"),
        ("wirless mouse MX-500", "wireless mouse MX-500", "wireless"),
        ("灯 wirless", "灯 wireless", "wireless"),
    ],
)
def test_what_is_mistyped(words: Vocabulary, typed: str, text: str, also: str) -> None:
    found = correct(typed, words)
    assert found is not None and (found.text, found.words, found.unknown) == (text, also, True)


def test_words_that_exist_apart_are_searched_together_too(words: Vocabulary) -> None:
    assert correct("lap top", words) == Correction("laptop", (("lap top", "laptop"),), unknown=False)
    assert correct("desk lamp", words) is None


def test_a_mistake_that_a_product_has_as_well(words: Vocabulary) -> None:
    """It is known, but hardly: the encoders still get what was typed."""
    assert correct("keybord", words) == Correction("keyboard", (("keybord", "keyboard"),), unknown=False)


@pytest.mark.parametrize(
    "typed",
    [
        "wireless mouse", "mice", "keyboards", "zyxel",  # known, by their stems
        "rash guard",  # a word that exists, of one product, though wash is commoner
        "MX500", "12345", "dv7-1211ea", "wirl3ss", "30x40", "1.5m", "AB-123",  # codes and numbers
        '"wirless mouse"', "“wirless mouse”", "«wirless»", "-wirless",  # as it stands
        "sandwich", "tesla", "qqqqq", "asdfghjkl", "...", "",  # nothing is like them
        "无线鼠标", "ワイヤレス",  # no spaces between words
        "at to of",
    ],
)  # fmt: skip
def test_what_is_not_corrected(words: Vocabulary, typed: str) -> None:
    assert correct(typed, words) is None


def test_without_words_nothing_is_corrected() -> None:
    assert correct("wirless", Vocabulary()) is None


def test_a_long_text_is_corrected_at_its_beginning_alone(words: Vocabulary) -> None:
    found = correct("mouse " * 15 + "wirless wirless", words)
    assert found is not None and found.words == "wireless"


def small_shop() -> Searcher:
    """Nine mice and a lamp."""
    products = [{"id": f"m{n}", "title": "wireless mouse"} for n in range(9)]
    shop = MemoryRetrieval([*products, {"id": "x", "title": "lamp"}])
    return Searcher(shop, shop.encoder, depth=10)


def test_a_search_says_what_was_corrected() -> None:
    searcher = small_shop()
    answer = searcher.search(SearchRequest("shop", q="wirless muose", system="bm25"))
    assert answer.to_json()["corrected"] == {"typed": "wirless muose", "also": "wireless mouse"}
    assert answer.total == 9 and answer.hits[0].highlight["title"] == "<mark>wireless</mark> <mark>mouse</mark>"
    as_typed = searcher.search(SearchRequest("shop", q="wirless muose", system="bm25", correct=False))
    assert (as_typed.total, as_typed.corrected) == (0, None)
    assert searcher.search(SearchRequest("shop", q="wireless mouse")).corrected is None


def test_the_encoders_get_what_was_meant() -> None:
    searcher = small_shop()
    profile = searcher.profile("shop")
    meant = searcher.prepare(SearchRequest("shop", q="wireless mouse"), profile)
    mistyped = searcher.prepare(SearchRequest("shop", q="wirless mouse"), profile)
    assert (mistyped.vectors["text"] == meant.vectors["text"]).all()
    assert mistyped.prediction.weights == meant.prediction.weights
    assert mistyped.words.terms == "wirless mous"
    assert [one.terms for one in mistyped.words.alternatives] == ["wireless"]
