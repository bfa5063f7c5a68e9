"""Completions: titles found by the words typed so far, in any order and with a mistake; texts short ones first."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.text.completions import MAX_TEXT, Typed, offers, words


@pytest.mark.parametrize(
    ("titles", "expected"),
    [
        (["Green lamp"], "^green green lamp"),
        (["T-shirt, men's"], "^tshirt tshirt ^t t shirt mens men s"),
        (["dv7-1211ea"], "^dv71211ea dv71211ea ^dv7 dv7 1211ea"),
        (["运动鞋 HP"], "^运动鞋 运动鞋 动鞋 鞋 hp"),
        (["Café &amp; <b>Bar</b>"], "^cafe cafe bar"),
        (["Lamp", "灯"], "^lamp lamp ^灯 灯"),
        (["—"], ""),
        ([], ""),
    ],
)
def test_words_of_titles(titles: list[str], expected: str) -> None:
    assert words(titles) == expected


@pytest.mark.parametrize(
    ("typed", "title", "expected"),
    [
        ("la", "Green lamp", "lamp"),
        ("green la", "Green lamp", "green lamp"),
        ("lamp gr", "Green lamp", "green lamp"),  # another order: the whole title
        ("gre lamp", "Green lamp", None),  # only the last word may go on
        ("tsh", "Blue T-shirt for men", "t-shirt for men"),
        ("t sh", "Blue T-shirt for men", "t-shirt for men"),
        ("T-shirt f", "Blue T-shirt for men", "t-shirt for men"),
        ("shirt", "Blue T-shirt for men", "shirt for men"),
        ("运动", "红色运动鞋", "运动鞋"),
        ("红色 运动", "红色运动鞋", "红色运动鞋"),
        ("hp 打印", "HP打印机", "hp打印机"),
        ("CAFE", "Café crème", "cafe creme"),
        ("lamp", "Green (lamp)", "lamp)"),
        ("oeu", "Coupe à Œufs", "oeufs"),
        ("Œu", "Coupe a oeufs", "oeufs"),
        ("lodz", "Łódź", "lodz"),
        ("kirm", "KIRMIZI çanta, kırmızı", "kirmizi canta, kirmizi"),
        ("シュー", "ガーデンシューズ", "シューズ"),
        ("カーデ", "ガーデンシューズ", None),
    ],
)
def test_what_completes(typed: str, title: str, expected: str | None) -> None:
    assert [text for text, _ in offers([("1", title)], Typed.of(typed))] == ([expected] if expected else [])


def test_titles_that_begin_so_come_first_then_words_side_by_side_then_the_shorter() -> None:
    titles = [
        ("apart", "Laptop and a bag"), ("inside", "A laptop bag"), ("long", "Laptop bag 15 inch"),
        ("short", "Laptop bag pink"), ("again", "laptop  BAG pink"), ("other", "Bag of rice"),
    ]  # fmt: skip
    assert offers(titles, Typed.of("laptop b")) == [
        ("laptop bag pink", "again"), ("laptop bag 15 inch", "long"), ("laptop bag", "inside"),
        ("laptop and a bag", "apart"),
    ]  # fmt: skip


def test_titles_in_the_script_that_is_typed_come_first() -> None:
    titles = [("zh", "Kilnwood 随行杯"), ("en", "Travel mug by Kilnwood of brushed steel")]
    assert [id for _, id in offers(titles, Typed.of("kiln"))] == ["en", "zh"]
    assert [id for _, id in offers(titles, Typed.of("kilnwood 随"))] == ["zh"]


def test_a_long_title_is_cut_between_words() -> None:
    [(text, _)] = offers([("1", "lamp " + "of brushed steel " * 9)], Typed.of("lamp"))
    assert len(text) <= MAX_TEXT and text.endswith(("of", "brushed", "steel"))
    [(text, _)] = offers([("1", "灯" * 100)], Typed.of("灯"))
    assert text == "灯" * MAX_TEXT


@pytest.mark.parametrize("typed", ["lamp", "lmap", "lapm", "lanp", "lammp", "lamps", "laamp", "lampsh", "laqqs"])
def test_a_mistake_is_forgiven(typed: str) -> None:
    exact = Typed.of(typed)
    forgiving = exact.forgiven()
    assert forgiving is not None
    told = [text for text, _ in offers([("1", "Red lampshade")], forgiving)]
    assert told == ([] if typed in ("lmap", "laqqs") else ["lampshade"])  # not in the first two letters, nor two


def test_nothing_is_forgiven_in_short_words_numbers_of_many_digits_and_other_scripts() -> None:
    assert Typed.of("usb c").forgiven() is None
    assert Typed.of("围巾围巾").forgiven() is None
    assert Typed.of("1234567890123456").forgiven() is None
    assert Typed.of("?!").words == ()


WORDS = st.text(alphabet=string.ascii_lowercase + string.digits, min_size=4, max_size=14)


@given(WORDS, st.integers(2, 14), st.sampled_from(["swap", "drop", "add", "other"]), st.sampled_from("aq7"))
def test_every_single_mistake_behind_the_first_two_letters_fits(word: str, at: int, kind: str, letter: str) -> None:
    at = min(at, len(word) - 1)
    made = {
        "swap": word[:at] + word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :],
        "drop": word[:at] + word[at + 1 :],
        "add": word[:at] + letter + word[at:],
        "other": word[:at] + letter + word[at + 1 :],
    }[kind]
    for words_ in ((word,), (word, "x")):  # as the last word, and as one that is whole
        assert Typed(words_, forgiving=True).fits(made, 0)
    assert Typed((word,), forgiving=True).fits(made + "more", 0)
    assert not Typed((word, "x"), forgiving=True).fits(made + "zzz", 0)


@given(st.text(max_size=80), st.text(max_size=30))
def test_any_text_may_be_typed(title: str, typed: str) -> None:
    asked = Typed.of(typed)
    if asked.words:
        for text, id in offers([("1", title)], asked):
            assert id == "1" and len(text) <= MAX_TEXT
    assert all(word for word in words([title]).split(" ")) or not words([title])
