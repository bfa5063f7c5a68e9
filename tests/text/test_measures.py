"""Sizes: one term however they are written, and what is no size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.text import analysis, measures


def wholes(text: str, language: str = "en") -> list[str]:
    return [measure.whole().text for measure in measures.find(text, language)]


@pytest.mark.parametrize(
    ("term", "written"),
    [
        ("1.5m", ["1.5m", "1,5 m", "1.5 metres", "1.50 m", "150 cm", "1500mm", "1½ m", "1 1/2 m", "１.５ｍ", "1.5米"]),
        ("0.75in", ['3/4"', "3/4 inch", "¾in", "0.75-inch", "3/4″"]),
        ("10ah", ["10,000 mAh", "10000mah", "10 000 mAh", "10Ah"]),
        ("2tb", ["2 TB", "2tb"]),
        ("0.5l", ["500ml", "500 ml", "0,5 l", "50cl", "500毫升", "500ミリリットル"]),
        ("30x40", ["30x40", "30 x 40 cm", "30×40", "30cm x 40cm", "30*40"]),
        ("m8x40", ["M8x40", "m8 x 40"]),
        ("2.5mm2", ["2,5 mm²", "2.5mm2", "2.5 qmm"]),
        ("3gb/s", ["3Gb/s", "3 GB/s"]),
        ("8.45floz", ["8.45 fl oz", "8.45 Fl. Oz"]),
        ("60w", ["60W", "60 watts", "0.06 kW"]),
    ],
)
def test_a_size_has_one_term(term: str, written: list[str]) -> None:
    assert {one: wholes(f"thing {one} black") for one in written} == {one: [term] for one in written}


@pytest.mark.parametrize(
    ("language", "text", "term"),
    [
        ("en", "1,500 kg", "1500000g"),
        ("de", "1,500 kg", "1500g"),
        ("de", "1.500 kg", "1500000g"),
        ("de", "10,000 mAh", "10ah"),
        ("fr", "1,5 mètre", "1.5m"),
        ("de", "55-Zoll-Fernseher", "55in"),
        ("ja", "10メートル", "10m"),
        ("es", "2 litros", "2l"),
    ],
)
def test_numbers_and_units_are_read_in_their_language(language: str, text: str, term: str) -> None:
    assert wholes(text, language) == [term]


@pytest.mark.parametrize(
    "text",
    ["2 in 1", "24/7", "MX-500/2", "MX 500/2", "AA-100MM", "1,2,3", "10.5.3", "1/2/2024", "1920x1080p", "0x1F",
     '"iphone 15"', "225/45 R17", "iPhone 15", "2升级版", "v1.5", "16-07", "5 a day", "90.750"],
)  # fmt: skip
def test_what_is_no_size(text: str) -> None:
    assert wholes(text) == []


def test_a_product_keeps_its_numbers_and_a_query_counts_a_size_twice_at_most() -> None:
    assert analysis.terms(["Towel 30 x 40 cm"]) == "towel 30x40 0.3m 30 0.4m 40 cm"
    assert analysis.query_terms("towel 30 x 40 cm") == "towel 30x40"
    assert analysis.terms(["SSD 128GB"]) == "ssd 128gb 128"
    assert analysis.query_terms("ssd 128 gb") == "ssd 128gb 128"
    assert analysis.terms(["kit 16GB/500ml"]) == "kit 16gb500ml 16gb 0.5l"


@given(st.text(alphabet="0123456789.,/x× -\"'mMcCkgGlL½米升²%¾A", max_size=24), st.sampled_from(["en", "de", "ja"]))
def test_any_text_is_read_and_the_places_fit(text: str, language: str) -> None:
    for measure in measures.find(text, language):
        assert 0 <= measure.start < measure.end <= len(text)
        for term in [*measure.query_terms(), *measure.product_terms(text, language)]:
            assert term.text and not term.text.isspace() and " " not in term.text
            assert measure.start <= term.start < term.end <= measure.end
