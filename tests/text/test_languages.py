"""Each language: an inflected word finds another form of it; query, product and mark are analysed alike."""

from __future__ import annotations

import html
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.text import analysis, segments
from hybrid.text.folding import fold
from hybrid.text.stems import languages


def finds(query: str, text: str, language: str) -> bool:
    return bool(set(analysis.query_terms(query, language).split()) & set(analysis.terms([text], language).split()))


FORMS = [
    ("pl", "lampy", "Lampa stołowa"), ("pl", "butów", "buty męskie"), ("pl", "butow", "butów"), ("pl", "lodz", "Łódź"),
    ("cs", "boty", "Zimní bota"), ("cs", "černých", "černé"), ("cs", "cernych", "Černých"),
    ("hu", "cipők", "Női cipő"), ("hu", "cipo", "cipők"), ("hu", "kabátok", "kabát"), ("hu", "táskák", "táska"),
    ("tr", "ayakkabılar", "Spor ayakkabı"), ("tr", "çanta", "Çantalar"), ("tr", "kirmizi", "Kırmızı"),
    ("tr", "KIRMIZI", "kırmızı"),
    ("ro", "pantofi", "Pantof de piele"), ("ro", "lămpi", "lampă"), ("ro", "lampa", "lămpi"),
    ("el", "παπούτσια", "παπούτσι"), ("el", "ΠΑΠΟΥΤΣΙΑ", "παπούτσι"), ("el", "λαμπες", "λάμπα"),
    ("uk", "лампи", "Настільна лампа"), ("uk", "чорного", "чорний"), ("uk", "суконь", "Сукня"),
    ("uk", "сукні", "сукня"), ("uk", "комп'ютери", "комп’ютер"), ("ru", "красного", "красный"), ("ru", "елка", "Ёлки"),
    ("ar", "حذاء", "الحذاء"), ("ar", "الحقيبة", "حقيبة"), ("ar", "حذاء", "حِذَاء"), ("ar", "50", "٥٠ لتر"),
    ("ja", "シューズ", "ランニングシューズ"), ("ja", "黒かった", "黒い靴"), ("ja", "靴", "革靴"),
    ("ja", "サーバ", "サーバー"), ("ja", "イヤホン", "ワイヤレスイヤホン"),
    ("ko", "운동화를", "나이키 운동화"), ("ko", "운동화", "운동화를"), ("ko", "컵", "머그컵"),
    ("zh", "灯", "LED台灯"), ("zh", "鞋子", "红色运动鞋"), ("zh", "鞋", "红色的鞋子"), ("zh", "燈", "台灯"),
    ("zh", "running shoe", "Shoes 跑鞋"), ("uk", "lamps", "Lamp чорна"),
    *((language, "oeuf soren strasse", text) for language in ("en", "fr", "de") for text in ("œuf", "Søren", "Straße")),
    *((language, text, "oeuf soren lodz kirmizi") for language in ("en", "tr") for text in ("Łódź", "kırmızı", "Œuf")),
]  # fmt: skip


@pytest.mark.parametrize(("language", "query", "text"), FORMS)
def test_another_form_of_the_word_is_found_and_marked(language: str, query: str, text: str) -> None:
    assert finds(query, text, language)
    assert "<mark>" in (
        analysis.highlight(text, frozenset(analysis.query_terms(query, language).split()), language) or ""
    )


@pytest.mark.parametrize(
    ("language", "query", "text"),
    [
        ("ja", "シューズ", "靴べら"), ("ja", "カ", "ガ"), ("zh", "台灯", "灯泡"),
        ("zh", "电子", "电池"), ("uk", "лампа", "лапа"),
        ("pl", "lampa", "lama"), ("ko", "운동화", "운동복"), ("ar", "حذاء", "حقيبة"),
    ],
)  # fmt: skip
def test_another_word_is_not(language: str, query: str, text: str) -> None:
    wanted, found = set(analysis.query_terms(query, language).split()), set(analysis.terms([text], language).split())
    assert not wanted <= found


def test_japanese_without_its_dictionary_is_found_by_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert analysis.version(["en", "ja"]) == f"{analysis.ANALYSIS_VERSION}+sudachi" and not analysis.lacks(["ja"])
    monkeypatch.setattr(segments, "has_japanese", lambda: False)
    analysis.query_terms.cache_clear()
    assert finds("シューズ", "ランニングシューズ", "ja") and finds("靴", "革靴", "ja")
    assert analysis.version(["ja"]) == analysis.version(["en"]) == analysis.ANALYSIS_VERSION
    assert "hybrid-search[ja]" in analysis.lacks(["ja"])[0] and not analysis.lacks(["zh"])
    analysis.query_terms.cache_clear()


PIECES = [
    *(word for _, query, text in FORMS for word in (query, text)),
    "dv7-1211ea",
    "ﷺ",
    "ــ",
    "Ｌ",
    "\u0301",
    "i̇",
    " ",
]
TEXTS = st.lists(
    st.sampled_from(PIECES) | st.text(st.characters(categories=["L", "Nd", "P", "S"]), max_size=4), max_size=6
)


@settings(deadline=None)  # the first word of a language reads its dictionary
@given(TEXTS, st.sampled_from(languages()))
def test_a_product_is_found_by_its_own_words_with_or_without_accents(pieces: list[str], language: str) -> None:
    text = " ".join(pieces)
    document = set(analysis.terms([text], language).split())
    assert {*analysis.query_terms(text, language).split()} <= document
    for plain in (unicodedata.normalize("NFD", text), unicodedata.normalize("NFC", text)):
        assert {*analysis.query_terms(plain, language).split()} <= document
    # A dictionary knows words by their accents; and a letter that stands for several words is one word here.
    if language not in ("ja", "uk") and unicodedata.is_normalized("NFKC", unicodedata.normalize("NFC", text)):
        assert {*analysis.query_terms(fold(text), language).split()} <= document


@settings(deadline=None)  # the first word of a language reads its dictionary
@given(TEXTS, st.sampled_from(languages()), st.data())
def test_marks_are_around_whole_terms(pieces: list[str], language: str, data: st.DataObject) -> None:
    text = " ".join(pieces)
    found = list(analysis.analyse(text, language, characters=True))
    wanted = frozenset(data.draw(st.lists(st.sampled_from([term.text for term in found])))) if found else frozenset()
    marked = analysis.highlight(text, wanted, language)
    covered = {at for term in found if term.text in wanted for at in range(term.start, term.end)}
    assert (marked is None) == (not covered)
    if marked is not None:
        assert html.unescape(re.sub("</?mark>", "", marked)) == text
        inside = "".join(re.findall("<mark>(.*?)</mark>", marked, re.DOTALL))
        assert html.unescape(inside) == "".join(text[at] for at in sorted(covered))


@given(st.text())
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert fold(fold(text)) == fold(text)
