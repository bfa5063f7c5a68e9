"""Terms: part numbers kept whole and split, accents folded, Chinese segmented, offsets that fit."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.errors import UsageError
from hybrid.text import analysis


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Running shoes", "run shoe"),
        ("HP Pavilion dv7-1211ea", "hp pavilion dv71211ea dv7 1211ea"),
        ("006R90321", "006r90321"),
        ("USB-C wi-fi", "usbc usb wifi wi fi"),
        ("t-shirt", "tshirt shirt"),
        ("vitamin c", "vitamin c"),
        ("43.2 cm", "0.432m 43.2"),
        ("Café crème", "cafe creme"),
        ("the shop's", "the shop"),
        ("ＡＢＣ", "abc"),
        ("", ""),
        ("—!?", ""),
    ],
)
def test_english_and_part_numbers(text: str, expected: str) -> None:
    assert analysis.query_terms(text) == expected


def test_chinese_words_simplified_and_traditional_meet() -> None:
    simplified, traditional = analysis.query_terms("无线降噪耳机"), analysis.query_terms("無線降噪耳機")
    assert simplified == traditional
    assert {"无线", "耳机"} <= set(simplified.split())


def test_part_of_a_chinese_word_finds_it() -> None:
    assert "雨伞" in analysis.query_terms("红色晴雨伞").split()


def test_mixed_text_keeps_both() -> None:
    assert {"logitech", "耳机"} <= set(analysis.query_terms("Logitech 耳机").split())


def test_another_language_and_an_unknown_one() -> None:
    assert analysis.query_terms("Häuser", "de") == "haus"
    with pytest.raises(UsageError, match="no text analysis for language 'xx'"):
        analysis.query_terms("word", "xx")


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("hello 你", "Han"),
        ("hello to you 你", "Latin"),
        ("iPhone 15 Pro 手机壳", "Han"),
        ("Привет", "Cyrillic"),
        ("東京の水", "Hiragana"),
        ("无线イヤホン", "Katakana"),
        ("优の品专柜正品女士真皮单肩包", "Han"),
        ("12", ""),
    ],
)
def test_script(text: str, script: str) -> None:
    assert analysis.script_of(text) == script


def test_highlight_marks_the_words_and_escapes_the_rest() -> None:
    wanted = frozenset(analysis.query_terms("wireless 耳机").split())
    marked = analysis.highlight("<b>Wireless</b> 无线耳机 & more", wanted)
    assert marked == "&lt;b&gt;<mark>Wireless</mark>&lt;/b&gt; 无线<mark>耳机</mark> &amp; more"
    assert analysis.highlight("nothing here", wanted) is None


@given(
    st.lists(
        st.sampled_from(
            [
                "无线降噪耳机",
                "無線耳機",
                "雨伞",
                "晴雨伞",
                "Running",
                "shoes",
                "dv7-1211ea",
                "ハローキティ",
                "<b>",
                ", ",
            ]
        )
    )
)
def test_marks_are_around_the_terms_of_the_text(pieces: list[str]) -> None:
    """Runs of Chinese without a wanted term are not segmented; the marks are as if they were."""
    text = "".join(pieces)
    for query in ("耳机 running", "雨伞", "dv7", "ハロ", "shoe"):
        wanted = frozenset(analysis.query_terms(query).split())
        marked = analysis.highlight(text, wanted)
        covered = {at for term in analysis.analyse(text) if term.text in wanted for at in range(term.start, term.end)}
        assert (marked is None) == (not covered)
        if marked is not None:
            inside = "".join(re.findall("<mark>(.*?)</mark>", marked))
            assert html.unescape(inside) == "".join(text[at] for at in sorted(covered))


@given(st.text(max_size=60))
def test_any_text_gives_terms_without_spaces_whose_offsets_fit(text: str) -> None:
    for term in analysis.analyse(text):
        assert term.text and not any(char.isspace() for char in term.text)
        assert 0 <= term.start < term.end <= len(text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a<br />b", "a b"),
        ("<p class='x'>Warm &amp; dry</p>", " Warm & dry "),
        ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
        ("x <!-- hidden\n --> y", "x   y"),
        ("a<style media=print>p > b { color: red }</style>b", "a b"),
        ("a<SCRIPT>if (a < b) { '<p>' }</script >b<br>c", "a b c"),
        ("a<script>never = 'ends'", "a "),
        ("a <scripted> b", "a   b"),
        ("a <!-- never ends", "a  "),
        ("plain", "plain"),
    ],
)
def test_html_is_left_out(text: str, plain: str) -> None:
    assert analysis.plain_text(text) == plain


def test_html_gives_no_terms() -> None:
    assert analysis.terms(["Core&trade; 2<br/>Duo"]) == "core 2 duo"


def test_a_rare_character_that_is_simplified_to_a_rarer_one_is_marked() -> None:
    """Its simplified form is of those beyond the 65,536 that most tables have."""
    terms = frozenset(analysis.query_terms("鷟", "en").split())
    assert analysis.highlight("鸑鷟", terms, "en") == "鸑<mark>鷟</mark>"
