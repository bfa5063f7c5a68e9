"""Completions of what a shopper has typed so far: the words of titles, and the texts to offer. Pure.

The words of a title are in `hybrid.typed`, in an ordinary inverted index. A suggester's automaton would cost a cluster
more to build and to merge than all other words of a product.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hybrid.text import analysis
from hybrid.text.folding import fold

#: Before the word that a title begins with; no word begins so.
FIRST = "^"
#: Characters of an offered text.
MAX_TEXT = 60
_MAX_WORDS, _MAX_WORD = 128, 32
#: Words of so many letters may have a typing mistake, behind the first two letters. Longer words make long patterns.
_MISTYPED = range(4, 15)
_SURE = 2


@dataclass(frozen=True, slots=True)
class _Unit:
    """A place in a title where a word can begin. forms: (word, number of the unit behind it) each.

    One for each part of a compound, and for each character of a run of Chinese, whose words have no space between:
    which unit is behind one (None) its length says.
    """

    start: int
    forms: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True)
class Typed:
    """The typed words, of which the last may be unfinished. forgiving: each word may have one typing mistake."""

    words: tuple[str, ...]
    forgiving: bool = False

    @classmethod
    def of(cls, text: str) -> Typed:
        """The words of a text as far as it is typed, compounds in their parts.

        >>> Typed.of("Green t-sh").words
        ('green', 't', 'sh')
        """
        words: list[str] = []
        for match in analysis.tokens(fold(text)):
            words += analysis.parts(match.group()) if match.lastgroup == "word" else [match.group()]
        return cls(tuple(word[:_MAX_WORD] for word in words))

    def pattern(self, place: int) -> str | None:
        """A regular expression, of Lucene and of Python, for the word at a place with a mistake in it.

        None where the word may have no mistake.
        """
        word = self.words[place]
        if not self.forgiving or len(word) not in _MISTYPED or not word.isascii():
            return None
        return _mistyped(word) + (".*" if self.goes_on(place) else "")

    def goes_on(self, place: int) -> bool:
        """Whether the word at a place may be unfinished: the last word, and every Chinese word, which has no end."""
        return place == len(self.words) - 1 or not is_spaced(self.words[place])

    def forgiven(self) -> Typed | None:
        """The same with typing mistakes; None where every word is too short for one."""
        other = Typed(self.words, forgiving=True)
        return other if any(other.pattern(place) for place in range(len(self.words))) else None

    def fits(self, word: str, place: int) -> bool:
        """Whether a word of a title matches the typed word at a place."""
        typed_word = self.words[place]
        if word.startswith(typed_word) if self.goes_on(place) else word == typed_word:
            return True
        pattern = self.pattern(place)
        return pattern is not None and _compiled(pattern).fullmatch(word) is not None


def is_spaced(text: str) -> bool:
    """Whether all its words are of scripts that set spaces between them."""
    return all(match.lastgroup == "word" for match in analysis.tokens(text))


def words(titles: Iterable[str]) -> str:
    """Space-separated words of titles as stored in `hybrid.typed`, each once; those that titles begin with twice.

    >>> words(["Green T-shirt"])
    '^green green tshirt t shirt'
    """
    words_seen: dict[str, None] = {}
    for title in titles:
        for place, unit in enumerate(_units(_text(title))):
            for word, _ in unit.forms:
                if not place:
                    words_seen[FIRST + word] = None
                words_seen[word] = None
    return " ".join(list(words_seen)[:_MAX_WORDS])


def offers(titles: Iterable[tuple[str, str]], typed: Typed) -> list[tuple[str, str]]:
    """(text, id) of the completions, best first, each text once.

    titles: (id, title) of products. Where a title has the typed words side by side, the text is the title from the
    first of them on, else the whole title. Titles in a typed script come first; then those that begin with the words,
    then those that have them side by side; of two titles the shorter, which leaves more open.
    """
    spaced = all(map(is_spaced, typed.words))
    offers_by_text: dict[str, tuple[bool, int, int, str]] = {}
    for id, title in titles:
        if completed := _complete(title, typed):
            rank, text = completed
            key = (spaced and not is_spaced(text), rank, len(text), id)
            offers_by_text[text] = min(offers_by_text.get(text, key), key)
    return [(text, key[-1]) for text, key in sorted(offers_by_text.items(), key=lambda item: (item[1][:3], item[0]))]


def _complete(title: str, typed: Typed) -> tuple[int, str] | None:
    text = _text(title)
    units = _units(text)
    for place, unit in enumerate(units):
        if _stands(units, place, typed, 0):
            return (1 if place else 0), _cut(text[unit.start :])
    every = (
        any(typed.fits(word, place) for unit in units for word, _ in unit.forms) for place in range(len(typed.words))
    )
    return (2, _cut(text)) if all(every) else None


def _stands(units: Sequence[_Unit], at: int, typed: Typed, place: int) -> bool:
    if place == len(typed.words):
        return True
    if at >= len(units):
        return False
    unit = units[at]
    for word, behind in unit.forms:
        if typed.fits(word, place):
            following = at + len(typed.words[place]) if behind is None else behind
            if _stands(units, following, typed, place + 1):
                return True
    return False


def _text(title: str) -> str:
    return " ".join(fold(analysis.plain_text(title)).split())


def _cut(text: str) -> str:
    if len(text) > MAX_TEXT:
        whole = text[: MAX_TEXT + 1].rpartition(" ")[0]
        text = whole if len(whole) > MAX_TEXT // 2 else text[:MAX_TEXT]
    return text.rstrip(" ,;:-/(&")


def _units(text: str) -> list[_Unit]:
    units: list[_Unit] = []
    for match in analysis.tokens(text):
        here, start = len(units), match.start()
        if match.lastgroup != "word":
            run = match.group()
            units += [_Unit(start + at, ((run[at : at + _MAX_WORD], None),)) for at in range(len(run))]
            continue
        parts = analysis.parts(match.group())
        for number, part in enumerate(parts):
            forms: list[tuple[str, int | None]] = [(part[:_MAX_WORD], here + number + 1)]
            if not number and len(parts) > 1:
                forms.insert(0, ("".join(parts)[:_MAX_WORD], here + len(parts)))
            units.append(_Unit(start, tuple(forms)))
            start += len(part) + 1
    return units


def _alternatives(rest: str) -> Iterator[str]:
    for at, character in enumerate(rest):
        before, behind = rest[:at], rest[at + 1 :]
        yield f"{before}.?{behind}"  # another character, or none
        yield f"{before}.{character}{behind}"  # a character is missing before this one
        if behind:
            yield f"{before}{behind[0]}{character}{behind[1:]}"
    yield f"{rest}."


@lru_cache(maxsize=1_000)
def _mistyped(word: str) -> str:
    """A pattern for a word with one mistake behind its first two letters: another letter, a missing letter, a letter
    too many, or two letters swapped. The word has letters and digits only."""
    return f"{word[:_SURE]}({'|'.join(dict.fromkeys(_alternatives(word[_SURE:])))})"


@lru_cache(maxsize=1_000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
