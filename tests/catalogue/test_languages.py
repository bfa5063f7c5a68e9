"""`auto`: the language of each field, told from its values; queries and marks follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hybrid.catalogue import documents
from hybrid.catalogue.fields import guess_fields
from hybrid.catalogue.languages import described, guess_languages
from hybrid.contracts import FieldMap, IndexProfile
from hybrid.search.page import highlights
from hybrid.text.analysis import query_terms
from hybrid.text.detection import language_of

TEXTS = {
    "de": "Bequeme Laufschuhe für Damen und Herren aus leichtem Mesh, mit rutschfester Sohle für jeden Untergrund",
    "pl": "Lampa stołowa z drewna dębowego, z regulowanym ramieniem i abażurem z lnu, do salonu i sypialni",
    "cs": "Pánské zimní boty z pravé kůže s teplou podšívkou a protiskluzovou podrážkou, vhodné do sněhu",
    "tr": "Erkek spor ayakkabı, hafif ve rahat taban, günlük kullanım ve koşu için uygun, siyah ve beyaz renk",
    "el": "Άνετα παπούτσια", "uk": "Зручні черевики з її колекції", "ru": "Удобные ботинки из этой коллекции, чёрный",
    "ar": "حذاء رياضي", "ja": "軽量ランニングシューズ", "zh": "轻便跑鞋，适合日常穿着", "ko": "가벼운 운동화",
}  # fmt: skip


@pytest.mark.parametrize(("language", "text"), TEXTS.items())
def test_texts_tell_their_language(language: str, text: str) -> None:
    assert language_of([text]) == language


@pytest.mark.parametrize("texts", [[], ["42", "1,5"], ["HP dv7-1211ea"], ["รองเท้าวิ่ง"]])
def test_some_texts_tell_none(texts: list[str]) -> None:
    assert language_of(texts) is None


def test_each_field_has_its_language_and_queries_are_read_in_all() -> None:
    rows: list[dict[str, Any]] = [
        {"id": f"p{n}", "title": "儿童轻便运动鞋", "description": "Comfortable running shoes for children, with a soft "
         "sole and laces that stay tied all day long", "beschreibung": TEXTS["de"], "color": "red", "sku": f"AB-{n}"}
        for n in range(30)
    ]  # fmt: skip
    language, fields = guess_languages(guess_fields(rows), rows)
    assert language == "zh" and fields.languages == {"description": "en", "beschreibung": "de"}
    assert described(language, fields) == "words are read as zh; description in en; beschreibung in de"
    assert FieldMap.from_json(fields.to_json()) == fields
    profile = IndexProfile("shop", fields, {}, language, documents.words_version(["zh"]))
    assert profile.languages == ("zh", "en", "de")
    terms = documents.terms_of(rows[0], profile)
    for query, where in (
        ("鞋", "title"),
        ("shoe", "description"),
        ("Laufschuh", "description"),
        ("Herr", "description"),
    ):
        wanted = set(query_terms(query, *profile.languages).split())
        assert wanted & set(terms[where].split())
        assert "<mark>" in highlights(rows[0], profile, frozenset(wanted))[where]
    english = replace(profile, language="en", fields=replace(fields, languages={}))
    assert documents.fingerprint(rows[0], english) != documents.fingerprint(rows[0], profile)
    assert "languages" not in english.fields.to_json()
