"""What a word is stored and found by: its stem in a language, folded."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any

import es_mappings
from hybrid.errors import UsageError
from hybrid.text.folding import fold

_APOSTROPHES = "'’ʼ"


def languages() -> list[str]:
    """Codes of the languages whose words are analysed."""
    return sorted(_known())


def language_names() -> dict[str, str]:
    """Code -> the language's name in itself."""
    return {code: str(_entry(code)["name"]) for code in languages()}


def script(language: str) -> str:
    """The script of a language: "Latin", "Cyrillic", …

    Raises:
        UsageError: the language is not known.
    """
    return str(_entry(language)["script"])


def stems(word: str, language: str) -> tuple[str, ...]:
    """The terms of one word without marks inside; the first is the stem of the folded word.

    Stemmers of some languages know endings by their accents (cipők), and shoppers leave accents out: there the word
    has a second term, its stem folded. Where a stemmer cuts too much (Turkish çanta -> ça), the whole word is a third.

    Raises:
        UsageError: the language is not known.
    """
    entry = _entry(language)
    folded = folded_word(word)
    if any(char.isdigit() for char in folded):
        return (folded,)
    if folded.isascii() and entry["script"] != "Latin":
        return (str(_stemmer("english").stemWord(folded)),)  # a brand, or English
    stemmer = _stemmer(entry["stemmer"])
    if "lemmas" in entry:
        folded = folded_word(_lemma(word, entry["lemmas"]))
    forms = entry.get("forms", ("folded",))
    found = [stemmer.stemWord(folded)]
    accented = unicodedata.normalize("NFC", word).lower()
    if "accented" in forms and accented != folded:
        found.append(folded_word(stemmer.stemWord(accented)))
    if "whole" in forms:
        found.append(folded)
    return tuple(dict.fromkeys(filter(None, found)))


def folded_word(word: str) -> str:
    """A word folded; without the spaces of the letters that stand for several words."""
    return "".join(fold(word).split())


def is_one_word(word: str, language: str) -> bool:
    """Whether a word with apostrophes inside is one word, as in Ukrainian: комп'ютер."""
    if "lemmas" not in _entry(language) or word.isascii():
        return False
    return all(char.isalpha() or char in _APOSTROPHES for char in word)


def _lemma(word: str, language: str) -> str:
    """The basic form; the word where the dictionary does not have it."""
    import simplemma  # reads the dictionary of a language at its first word: Ukrainian's in about a second, 60 MB

    for mark in _APOSTROPHES:
        word = word.replace(mark, "'")
    lemma: str = simplemma.lemmatize(unicodedata.normalize("NFC", word).lower(), lang=language)
    return lemma.replace("'", "")


def _entry(language: str) -> dict[str, Any]:
    entry = _known().get(language)
    if entry is None:
        raise UsageError(f"no text analysis for language {language!r}; known: {', '.join(languages())}")
    return entry


@lru_cache(maxsize=1)
def _known() -> dict[str, dict[str, Any]]:
    return es_mappings.load("languages")


@lru_cache(maxsize=64)
def _stemmer(algorithm: str) -> Any:
    import snowballstemmer  # uses the C stemmers of PyStemmer where they are installed

    return snowballstemmer.stemmer(algorithm)
