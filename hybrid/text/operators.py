"""Quotes and the minus of a query: `"running shoes"` stand together in this order, `-word` leaves products out."""

from __future__ import annotations

import re
from typing import NamedTuple

#: More of one kind are read as plain words.
MOST = 10

#: Opening mark -> the marks that may close it.
_MARKS = {
    '"': '"', "＂": "＂", "“": "”“", "”": "”", "„": "“”", "«": "»", "»": "«", "「": "」", "『": "』", "〝": "〞〟",
}  # fmt: skip
#: Marks that stand beside words of scripts without spaces, where an opening mark needs no space before it.
_OWN = "「『«„“"
_MINUS = "-−－"
_LETTER = re.compile(r"[^\W\d_]")
_END = ".,;:!?，。；：！？、"


class Part(NamedTuple):
    """A phrase or an exclusion. typed: as it stands in the query. text: the words, without marks. start, end: where it
    stands."""

    typed: str
    text: str
    start: int
    end: int


class Operators(NamedTuple):
    """The phrases and the exclusions of a query, in order."""

    phrases: tuple[Part, ...] = ()
    excluded: tuple[Part, ...] = ()


NONE = Operators()


def find(query: str) -> Operators:
    """The phrases and exclusions of a query.

    A straight quote opens a phrase after a space or at the beginning, so that 27" is a measure; a mark that nothing
    closes says nothing. A minus counts only right before a word or a phrase, after a space or at the beginning, and not
    before a digit: t-shirt, usb - c, 5 - 10 and -20 degrees are words.
    """
    if not _ANY.search(query):
        return NONE
    phrases: list[Part] = []
    excluded: list[Part] = []
    at = 0
    while at < len(query):
        begins = at == 0 or query[at - 1].isspace()
        minus = query[at] in _MINUS and begins
        start = at + 1 if minus else at
        end = _phrase_end(query, start, begins)
        if end:
            text = query[start + 1 : end - 1]
        elif minus and start < len(query) and _LETTER.match(query[start]):
            end = next((place for place in range(start, len(query)) if query[place].isspace()), len(query))
            text = query[start:end].rstrip(_END)
            end = start + len(text)
        else:
            at += 1
            continue
        group = excluded if minus else phrases
        if any(map(str.isalnum, text)) and len(group) < MOST:
            group.append(Part(query[at:end], " ".join(text.split()), at, end))
        at = end
    return Operators(tuple(phrases), tuple(excluded))


_ANY = re.compile(f"[{re.escape(''.join(_MARKS) + _MINUS)}]")


def _phrase_end(query: str, start: int, begins: bool) -> int:
    """Where the phrase ends that begins here; 0 where none does."""
    if start >= len(query) or query[start] not in _MARKS:
        return 0
    mark = query[start]
    if not (begins or mark in _OWN or query[start - 1] in "(（") or query[start + 1 : start + 2].isspace():
        return 0
    for at in range(start + 1, len(query)):
        if query[at] in _MARKS[mark]:
            return at + 1
    return 0
