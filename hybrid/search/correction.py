"""Corrects the words of a query that the catalogue does not know, or hardly knows. Pure.

What was typed is searched as well, and counts more: a word may be right, and new.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hybrid.text import analysis, operators
from hybrid.text.dictionary import is_word
from hybrid.text.folding import fold
from hybrid.text.vocabulary import BRAND, CATEGORY, Vocabulary, typed_words

#: A word that so few products have may be a mistake itself, where a word like it is so many times commoner.
_HARDLY, _COMMONER, _HARDLY_LETTERS = 2, 50, 5
#: Longer queries are pasted texts.
_MOST_WORDS = 16


@dataclass(frozen=True)
class Correction:
    """text: the query with its words corrected. changes: (words as they were typed, what they may stand for) each.

    unknown: whether the catalogue has none of the words that were corrected, so that the text is what was meant.
    """

    text: str
    changes: tuple[tuple[str, str], ...]
    unknown: bool

    @property
    def words(self) -> str:
        """The words that are searched beside what was typed."""
        return " ".join(text for _, text in self.changes)


@dataclass(frozen=True)
class _Word:
    """A word of a query. terms: as the index has it. products: that have it. plain: whether it may be corrected."""

    start: int
    end: int
    folded: str
    terms: str
    products: int
    plain: bool


@dataclass(frozen=True)
class _Change:
    start: int
    end: int
    text: str
    unknown: bool


def correct(
    query: str, vocabulary: Vocabulary, languages: Sequence[str] = (), phrases: Sequence[str] = ()
) -> Correction | None:
    """What a query may mean where it is mistyped; None where its words are known.

    languages: of the catalogue's words. phrases: those of its words that were read from quotes. Codes, numbers, brands,
    words that exist and words in quotes stay.
    """
    if not vocabulary.words:
        return None
    words = list(_words(query, vocabulary, languages, frozenset(fold(" ".join(phrases)).split())))
    changes = list(_changes(query, words, vocabulary))
    if not changes:
        return None
    pieces, position = [], 0
    for change in changes:
        pieces += [query[position : change.start], change.text]
        position = change.end
    text = "".join([*pieces, query[position:]])
    pairs = tuple((query[change.start : change.end], change.text) for change in changes)
    return Correction(text, pairs, all(change.unknown for change in changes))


def _words(query: str, vocabulary: Vocabulary, languages: Sequence[str], quoted: frozenset[str]) -> Iterator[_Word]:
    # In quotes words are meant as they stand, and so are words that are to be left out.
    found = operators.find(query)
    fixed = [(part.start, part.end) for part in (*found.phrases, *found.excluded)]
    for number, match in enumerate(analysis.tokens(query)):
        start, end = match.span()
        if number >= _MOST_WORDS:
            return
        folded = fold(match.group())
        plain = folded.isalpha() and match.lastgroup == "word" and not any(a <= start < b for a, b in fixed)
        plain = plain and folded not in quoted
        terms = analysis.query_terms(folded, *languages) if plain else ""
        products = vocabulary.products_with(terms)
        if products <= _HARDLY and folded not in vocabulary.words:
            products = 0  # a few products have another word of the same stem
        yield _Word(start, end, folded, terms, products, plain)


def _changes(query: str, words: Sequence[_Word], vocabulary: Vocabulary) -> Iterator[_Change]:
    at = 0
    while at < len(words):
        word, following = words[at], words[at + 1] if at + 1 < len(words) else None
        if following and (joined := _joined(query, word, following, vocabulary)):
            yield joined
            at += 2
            continue
        at += 1
        if change := _corrected(word, vocabulary):
            yield change


def _joined(query: str, word: _Word, following: _Word, vocabulary: Vocabulary) -> _Change | None:
    """The one word that two typed words make, where it is commoner than the rarer of the two."""
    if not (word.plain and following.plain) or query[word.end : following.start].strip():
        return None
    joined = word.folded + following.folded
    if vocabulary.words.get(joined, (0, 0))[0] <= min(word.products, following.products):
        return None
    return _Change(word.start, following.end, joined, not word.products or not following.products)


def _corrected(word: _Word, vocabulary: Vocabulary) -> _Change | None:
    if not word.plain or word.products > _HARDLY or typed_words(word.folded) != [word.folded]:
        return None
    speller = vocabulary.speller
    if word.products:
        if len(word.folded) < _HARDLY_LETTERS or vocabulary.flags_of(word.terms) & (BRAND | CATEGORY):
            return None
        guess = None if is_word(word.folded) else speller.near(word.folded, _COMMONER * word.products, 1, sure=True)
    else:
        sure = is_word(word.folded)
        guesses = [speller.near(word.folded, sure=sure), speller.split(word.folded, sure)]
        guess = max(filter(None, guesses), key=lambda one: one.score, default=None)
    return _Change(word.start, word.end, guess.text, not word.products) if guess else None
