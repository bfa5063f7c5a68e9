"""Words that a shop's query matches though they are mistyped or unfinished, and what the layer takes them for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from hybrid.contracts import IndexProfile
from hybrid.dropin.recognise import Recognised
from hybrid.dropin.request import ShopSearch
from hybrid.searches import Alternative, Words
from hybrid.text import analysis as text

#: More words than that are not looked at one by one.
_MAX_WORDS = 24
_MAX_FIELDS = 4


class Mistyped(NamedTuple):
    """A word that no product has which the shop's query matches.

    terms: the word as the layer's fields have it. edits: letters that may be wrong. prefix: letters that may not.
    """

    word: str
    terms: str
    edits: int
    prefix: int


class Met(NamedTuple):
    """total: whether the shop's query matches anything. words: whether any of that has each word. begun: whether any of
    that has a word that begins as the last one does."""

    total: int
    words: Sequence[bool]
    begun: bool


@dataclass(frozen=True)
class Meant:
    """words: of the shopper, corrected. unfinished: the term of an unfinished last word, or ""."""

    words: str
    unfinished: str = ""


class Looks(Protocol):
    """See hybrid.elastic.retrieval.transport.Transport."""

    def met(self, search: ShopSearch, profile: IndexProfile, words: Sequence[str]) -> Met: ...
    def similar(self, profile: IndexProfile, words: Sequence[Mistyped], fields: Sequence[str]) -> Mapping[str, str]: ...


def terms_of(words: str, profile: IndexProfile) -> str:
    """The words as the lexical query of the index takes them."""
    return words.strip() if profile.lexical_fields else text.query_terms(words, profile.language)


def beside(words: Words, others: Sequence[tuple[str, float]], unfinished: str, profile: IndexProfile) -> Words:
    """The words of a query with the other texts of it (and what they count), and its unfinished last word."""
    return words.beside([Alternative(terms_of(other, profile), boost) for other, boost in others], unfinished)


def meant(search: ShopSearch, profile: IndexProfile, analysis: Recognised, looks: Looks) -> Meant:
    """The words that a query with fuzzy or unfinished words finds. One or two searches.

    Where nothing has a word of what the query matches, the query found another one. The nearest takes its place.
    """
    typed = analysis.words.split()
    terms = [terms_of(word, profile) for word in typed]
    if len(typed) > _MAX_WORDS or not any(terms):
        return Meant(analysis.words)
    met = looks.met(search, profile, terms)
    if not met.total:
        return Meant(analysis.words)
    lacking = [place for place, (found, known) in enumerate(zip(met.words, terms, strict=True)) if known and not found]
    if not lacking:
        return Meant(analysis.words)
    fuzzy = [one for one in analysis.said if one.fuzzy]
    prefix = min((one.prefix for one in fuzzy), default=0)
    mistyped = [
        Mistyped(typed[at], terms[at], edits, prefix)
        for at in lacking
        if (edits := max((_edits(one.fuzzy, typed[at]) for one in fuzzy), default=0))
    ]
    fields = [name for one in fuzzy for name in one.fields if "*" not in name]
    similar = looks.similar(profile, mistyped, list(dict.fromkeys(fields))[:_MAX_FIELDS]) if mistyped else {}
    unfinished = ""
    for at in lacking:
        if typed[at] in similar:
            typed[at] = similar[typed[at]]
        elif at == len(typed) - 1 and met.begun and any(one.unfinished for one in analysis.said):
            unfinished = terms[at]
    return Meant(" ".join(typed), unfinished)


def _edits(fuzzy: str, word: str) -> int:
    """Letters that may be wrong, as Elasticsearch counts them."""
    if fuzzy == "auto":
        return 0 if len(word) < 3 else 1 if len(word) < 6 else 2
    return int(fuzzy)
