"""What a shopper may mean who has typed so far: words of titles as they are typed, and the texts to offer. Pure.

A title's words stand in `hybrid.typed` in an ordinary inverted index: no suggester's automaton, which costs a cluster
more to build and to merge than all the other words of a product.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hybrid.text import analysis

#: Before the word that a title begins with; no word begins so.
FIRST = "^"
#: Characters of an offered text.
MAX_TEXT = 60
_MAX_WORDS, _MAX_WORD = 128, 32
#: A typing mistake is forgiven in words of so many letters, behind the first two; longer ones make long patterns.
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
    """The words of what was typed; the last one may go on. forgiving: each with a mistake at most."""

    words: tuple[str, ...]
    forgiving: bool = False

    @classmethod
    def of(cls, text: str) -> Typed:
        """The words of a text as far as it is typed, compounds in their parts.

        >>> Typed.of("Green t-sh").words
        ('green', 't', 'sh')
        """
        words: list[str] = []
        for match in analysis.tokens(analysis.fold(text)):
            words += analysis.parts(match.group()) if match.lastgroup == "word" else [match.group()]
        return cls(tuple(word[:_MAX_WORD] for word in words))

    def pattern(self, place: int) -> str | None:
        """A regular expression, of Lucene as of Python, for the word at a place with a mistake in it; None where none
        is forgiven."""
        word = self.words[place]
        if not self.forgiving or len(word) not in _MISTYPED or not word.isascii():
            return None
        return _mistyped(word) + (".*" if self.goes_on(place) else "")

    def goes_on(self, place: int) -> bool:
        """Whether the word at a place is but the beginning of one: the last, and Chinese, where none ends."""
        return place == len(self.words) - 1 or not is_spaced(self.words[place])

    def forgiven(self) -> Typed | None:
        """The same with typing mistakes; None where there is no word long enough to make one."""
        other = Typed(self.words, forgiving=True)
        return other if any(other.pattern(place) for place in range(len(self.words))) else None

    def fits(self, word: str, place: int) -> bool:
        """Whether a word of a title is the one at a place."""
        wanted = self.words[place]
        if word.startswith(wanted) if self.goes_on(place) else word == wanted:
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
    """(text, id) of what completes what was typed, best first, each text once.

    titles: (id, title) of products. A text is the title from the first typed word on, where the words stand there
    in that order, else the whole title. Titles in a script that is typed come first; then those that begin so, then
    those with the words side by side; of two the shorter, which leaves more open.
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
    return " ".join(analysis.fold(analysis.plain_text(title)).split())


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
    for at, letter in enumerate(rest):
        before, behind = rest[:at], rest[at + 1 :]
        yield f"{before}.?{behind}"  # another letter, or it is missing
        yield f"{before}.{letter}{behind}"  # one too few was typed
        if behind:
            yield f"{before}{behind[0]}{letter}{behind[1:]}"
    yield f"{rest}."


@lru_cache(maxsize=1_000)
def _mistyped(word: str) -> str:
    """One letter other, missing, too many, or two swapped, behind the first two. Letters and digits only."""
    return f"{word[:_SURE]}({'|'.join(dict.fromkeys(_alternatives(word[_SURE:])))})"


@lru_cache(maxsize=1_000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
