"""Compounds are found by their parts, and the parts by the compound; what only looks like one stays whole."""

from __future__ import annotations

import pytest

from hybrid.text import analysis
from hybrid.text.compounds import parts

PAIRS = {
    "de": [("Jacke", "Regenjacke"), ("Regenjacke", "Jacke gegen Regen"), ("Lampe", "Schreibtischlampe"),
           ("Schuhe", "Damenschuhe"), ("Brille", "Sonnenbrille"), ("Fußballschuhe", "Schuhe für Fußball"),
           ("Winterjacke", "Damenwinterjacke"), ("Mütze", "Wintermutze")],
    "nl": [("mand", "hondenmand"), ("bloemenvaas", "vaas voor bloemen"), ("stoel", "tuinstoel")],
    "sv": [("lampa", "skrivbordslampa"), ("regnjacka", "jacka mot regn"), ("skor", "vinterskor")],
    "da": [("jakke", "vinterjakke"), ("kaffemaskine", "maskine til kaffe")],
    "no": [("veske", "håndveske"), ("stol", "hagestol")],
    "fi": [("takki", "talvitakki"), ("aurinkolasit", "aurinko lasit")],
}  # fmt: skip


@pytest.mark.parametrize(("language", "query", "title"), [(lang, *pair) for lang in PAIRS for pair in PAIRS[lang]])
def test_a_compound_and_its_parts_find_each_other(language: str, query: str, title: str) -> None:
    wanted = set(analysis.query_terms(query, language).split())
    assert wanted & set(analysis.terms([title], language).split())


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("de", "Handschuhe Gesundheit Rentier Staubecken Urinstinkt Fernseher Bestellen Pullover Computer Freundschaft "
               "Garantie Reinigung Zubehör Polyester Tastatur MX500Kabel"),
        ("nl", "bestellen elektrisch verkoper handschoenen"),
        ("sv", "utbildning"),
        ("en", "raincoat football"),
    ],
)  # fmt: skip
def test_what_is_no_compound_stays_whole(language: str, words: str) -> None:
    assert {word: parts(word, language) for word in words.split()} == {word: () for word in words.split()}


def test_the_compound_itself_counts_more_than_its_parts() -> None:
    assert analysis.terms(["Regenjacke"], "de") == analysis.query_terms("Regenjacke", "de") == "reg jack regenjack"
