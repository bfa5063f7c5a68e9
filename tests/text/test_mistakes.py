"""What a mistyped word may stand for, on words and counts that can be looked at."""

from __future__ import annotations

import pytest

from hybrid.text.mistakes import Speller, cost
from hybrid.text.vocabulary import Counting, Vocabulary, typed_words

#: Word -> (products, products with it in the title).
WORDS = {
    "mouse": (400, 300), "mount": (90, 60), "mode": (900, 3), "laptop": (800, 700), "lap": (12, 2), "top": (300, 40),
    "wireless": (500, 200), "keyboard": (300, 250), "keyboards": (40, 30), "printer": (700, 600), "cable": (900, 800),
    "table": (40, 30), "usb": (2000, 900), "headphones": (60, 50), "xbox": (30, 25), "hard": (200, 150),
    "drive": (250, 200), "cd": (300, 90), "player": (80, 60), "büro": (5, 5), "лампа": (40, 30), "speakers": (80, 60),
}  # fmt: skip
SPELLER = Speller(WORDS)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("mouze", "mouse"),  # another letter
        ("mous", "mouse"),  # a letter too few
        ("mousse", "mouse"),  # one too many, doubled
        ("moues", "mouse"),  # swapped
        ("omuse", "mouse"),  # the first two swapped
        ("nouse", "mouse"),  # the first letter is free
        ("ouse", "mouse"),
        ("mpuse", "mouse"),  # the key beside
        ("moise", "mouse"),
        ("cabel", "cable"),
        ("vable", "cable"),  # c is beside v, t is not; and cables are commoner
        ("keybord", "keyboard"),
        ("keybaord", "keyboard"),
        ("keybords", "keyboards"),  # nearer than the commoner one
        ("keyvoatd", "keyboard"),  # two mistakes, in a word of eight letters
        ("wireles", "wireless"),
        ("xbix", "xbox"),
        ("usbb", "usb"),
        ("ubs", "usb"),
        ("ламра", "лампа"),
        ("prnitre", None),  # two, in a word of seven
        ("zzzzz", None),
        ("qwerty", None),
        ("xy", None),
        ("", None),
    ],
)
def test_near(typed: str, meant: str | None) -> None:
    guess = SPELLER.near(typed)
    assert (guess.text if guess else None) == meant


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("wirelessmouse", "wireless mouse"),
        ("wirelesmouse", "wireless mouse"),  # a letter is missing, too
        ("wirelessmuose", "wireless mouse"),
        ("harddrive", "hard drive"),
        ("cdplayer", "cd player"),  # a common word of two letters
        ("laptop", "lap top"),  # whoever asks for a split gets the best
        ("printerx", None),
        ("mou", None),
    ],
)
def test_split(typed: str, meant: str | None) -> None:
    guess = SPELLER.split(typed)
    assert (guess.text if guess else None) == meant


def test_a_word_that_is_wanted_to_be_common_and_near() -> None:
    assert SPELLER.near("headphonse") is not None
    assert SPELLER.near("headphonse", least=100) is None
    assert SPELLER.near("keyvoatd", edits=1) is None
    assert SPELLER.near("moues", sure=True) and not SPELLER.near("headphonnn", sure=True)


@pytest.mark.parametrize(
    ("likelier", "rarer"),
    [
        (("moues", "mouse"), ("mouze", "mouse")),  # swapped
        (("mpuse", "mouse"), ("mzuse", "mouse")),  # the key beside
        (("leter", "letter"), ("lettr", "letter")),  # one of two alike
        (("mousse", "mouse"), ("mousqe", "mouse")),
        (("moyse", "mouse"), ("nouse", "mouse")),  # the first letter is seldom wrong
        (("mouse", "mouse"), ("moues", "mouse")),
        (("keybord", "keyboard"), ("kybord", "keyboard")),
    ],
)
def test_costs(likelier: tuple[str, str], rarer: tuple[str, str]) -> None:
    assert cost(*likelier) < cost(*rarer)
    assert cost("mouse", "mouse") == 0


def test_a_vocabulary_is_counted_and_packed() -> None:
    counting = Counting()
    counting.add({"title": "red lamp", "brand": "aurora"}, ["Red Lamps"], ["Aurora", "A lamp for <b>Büros</b> MX-500"])
    counting.add({"title": "mug", "description": "red lamp mug"}, ["Mug"], ["red mug, not a lamp"])
    counted = counting.vocabulary()
    assert counted.products == 2
    assert counted.terms["lamp"] == (2, 1, 1) and counted.terms["aurora"] == (1, 0, 4)
    assert counted.words["lamps"] == (1, 1) and counted.words["lamp"] == (2, 0) and counted.words["red"] == (2, 1)
    assert "buros" in counted.words and not {"500", "b"} & set(counted.words)
    assert counted.products_with("lamp unknown") == 2 and counted.flags_of("aurora lamp") == 5
    assert Vocabulary.from_text(counted.to_text()) == counted
    assert list(counting.vocabulary(limit=1).terms) == ["lamp"]
    assert typed_words("T-Shirt 30x40 灯具 лампа") == ["shirt", "лампа"]
