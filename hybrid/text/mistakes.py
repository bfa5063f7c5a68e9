"""Typing mistakes: the known words that a mistyped word may stand for. Pure.

A guess weighs how likely the mistake is against how common the known word is, as in a noisy channel (Kernighan, Church
and Gale, "A Spelling Correction Program Based on a Noisy Channel Model", COLING 1990).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import OSA

#: Letters of the shortest words with one mistake, and with two.
_ONE, _TWO = 3, 8
#: What a guess must be worth for a word of so many letters: a long word is seldom like another one by chance. The last
#: is for longer words; and what it must be worth where only a mistake in a common word will do.
_WORTH, _WORTH_SURE = {3: -2.0, 4: -5.0, 5: -7.0, 6: -7.0, 7: -7.0, 8: -9.0}, -1.0
#: Products that have a word elsewhere than in their titles, where shoppers' words are, count so much less.
_ELSEWHERE = 0.1
#: Letters of the shortest part of a word that is split; and what a shorter one costs, of two letters.
_PART, _SHORT = 3, 2.5
#: The same where one part has a mistake; and how many such splits are looked at.
_SURE_PART, _SPLITS = 4, 3
#: What a mistake costs: as much as a known word that is e times this many times commoner is worth.
_SCALE = 5.0
#: A known word that is looked at, of the nearest.
_LOOKED_AT = 50
_SWAPPED, _DOUBLED, _NEIGHBOUR, _MISSING, _EXTRA, _OTHER, _SPACE = 0.7, 0.6, 0.8, 0.9, 1.0, 1.1, 0.9
#: First letters are seldom wrong.
_FIRST = 0.3

_ROWS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
_KEYS = {key: (row, column + row / 2) for row, keys in enumerate(_ROWS) for column, key in enumerate(keys)}
_BESIDE = frozenset(
    (one, other)
    for one, (row, column) in _KEYS.items()
    for other, (row_of_other, column_of_other) in _KEYS.items()
    if one != other and abs(row - row_of_other) <= 1 and abs(column - column_of_other) <= 1
)


class Guess(NamedTuple):
    """What a word may stand for: one known word or two. score: greater is likelier."""

    text: str
    score: float


class Speller:
    """Finds the known words that are nearest to a typed word. Thread-safe; 50,000 words take about 5 MB and 0.1 s."""

    def __init__(self, words: Mapping[str, tuple[int, int]]) -> None:
        """words: known word, in small letters and folded -> (products with it, products with it in the title)."""
        self._words = words
        by_length: dict[int, list[str]] = {}
        for word in words:
            by_length.setdefault(len(word), []).append(word)
        #: length -> (words, the set of letters of each as bits)
        self._by_length = {length: (group, _letters(group, length)) for length, group in by_length.items()}

    def near(self, word: str, least: int = 1, edits: int | None = None, sure: bool = False) -> Guess | None:
        """The likeliest known word with a mistake or two in it; None where there is none.

        least: products that have the known word, at least. edits: mistakes at most; as its length allows if not given.
        sure: whether only a mistake in a common word will do.
        """
        allowed = _allowed(word) if edits is None else min(edits, _allowed(word))
        if not allowed:
            return None
        guesses = (
            Guess(known, self._likely(cost(word, known), known))
            for known in self._within(word, allowed)
            if self._count(known) >= least
        )
        return _best(guesses, word, sure)

    def split(self, word: str, sure: bool = False) -> Guess | None:
        """The two known words that a word is made of, best where both are common; None where there are none.

        One of them may have a mistake, where no two are without. sure: as for `near`.
        """
        parts = [(word[:at], word[at:]) for at in range(_PART - 1, len(word) - _PART + 2)]
        known = [(left, right, _SPACE) for left, right in parts if left in self._words and right in self._words]
        if not known and len(word) >= 2 * _SURE_PART:
            known = list(self._split_with_mistake(word))
        guesses = [Guess(f"{left} {right}", self._likely(what, left, right)) for left, right, what in known]
        return _best(guesses, word, sure)

    def _split_with_mistake(self, word: str) -> Iterator[tuple[str, str, float]]:
        places = range(_SURE_PART, len(word) - _SURE_PART + 1)
        halves = [(word[:at], word[at:], True) for at in places] + [(word[at:], word[:at], False) for at in places]
        halves.sort(key=lambda half: -self._count(half[0]))
        for known, rest, begins in halves[:_SPLITS]:
            if known in self._words and (guess := self.near(rest, edits=1)):
                pair = (known, guess.text) if begins else (guess.text, known)
                yield *pair, _SPACE + cost(rest, guess.text)

    def _count(self, word: str) -> int:
        return self._words.get(word, (0, 0))[0]

    def _likely(self, mistake: float, *words: str) -> float:
        counts = [self._words[word] for word in words]
        common = min(titles + _ELSEWHERE * (products - titles) for products, titles in counts)
        return math.log(common) - _SCALE * mistake - _SHORT * sum(len(word) < _PART for word in words)

    def _within(self, word: str, edits: int) -> list[str]:
        """Known words with the fewest mistakes that there are, and so many at most."""
        letters = _letters([word], len(word))[0]
        for distance in range(1, edits + 1):
            found: list[str] = []
            for length in range(len(word) - distance, len(word) + distance + 1):
                if length not in self._by_length:
                    continue
                group, masks = self._by_length[length]
                # A mistake takes a letter out of the set, and brings one in.
                near = np.flatnonzero(np.bitwise_count(masks ^ letters) <= 2 * distance)
                found += (group[at] for at in near if OSA.distance(word, group[at], score_cutoff=distance) == distance)
            if found:
                return found[:_LOOKED_AT]
        return []


def cost(typed: str, word: str) -> float:
    """How unlikely it is that who means a word types that; 0 for the word itself.

    Swapped and doubled letters and the keys beside the right one are likelier than other mistakes.

    >>> cost("moues", "mouse") < cost("mpuse", "mouse") < cost("mbuse", "mouse")
    True
    """
    first, ending = 0, 0
    while first < min(len(typed), len(word)) and typed[first] == word[first]:
        first += 1
    while ending < min(len(typed), len(word)) - first and typed[-1 - ending] == word[-1 - ending]:
        ending += 1
    left, right = len(typed) - first - ending, len(word) - first - ending
    # Optimal string alignment over what differs, each step with its own cost.
    table = [[0.0] * (right + 1) for _ in range(left + 1)]
    for i in range(left + 1):
        for j in range(right + 1):
            at, to = first + i - 1, first + j - 1  # the letters before this place
            steps = [] if i or j else [0.0]
            if i:
                steps.append(table[i - 1][j] + _extra(typed, at))
            if j:
                steps.append(table[i][j - 1] + (_DOUBLED if to and word[to] == word[to - 1] else _MISSING))
            if i and j:
                steps.append(table[i - 1][j - 1] + _replaced(typed[at], word[to]))
            if i > 1 and j > 1 and typed[at] == word[to - 1] and typed[at - 1] == word[to]:
                steps.append(table[i - 2][j - 2] + _SWAPPED)
            table[i][j] = min(steps)
    swapped = typed[:2] == word[1::-1]
    wrong = typed != word and not first and not swapped
    return table[left][right] + (_FIRST if wrong else 0.0)


def _replaced(typed: str, meant: str) -> float:
    return 0.0 if typed == meant else _NEIGHBOUR if (typed, meant) in _BESIDE else _OTHER


def _extra(typed: str, at: int) -> float:
    beside = typed[max(0, at - 1) : at] + typed[at + 1 : at + 2]
    if typed[at] in beside:
        return _DOUBLED
    return _NEIGHBOUR if any((typed[at], key) in _BESIDE for key in beside) else _EXTRA


def _best(guesses: Iterable[Guess], word: str, sure: bool) -> Guess | None:
    best = max(guesses, key=lambda guess: (guess.score, guess.text), default=None)
    if best is None:
        return None
    needed = _WORTH_SURE if sure else _WORTH[min(len(word), max(_WORTH))]
    return best if best.score >= needed else None


def _allowed(word: str) -> int:
    return 0 if len(word) < _ONE else 1 if len(word) < _TWO else 2


def _letters(words: list[str], length: int) -> np.ndarray:
    """The set of letters of each word, as bits of 64; letters of large scripts share them."""
    codes = np.array(words, dtype=f"<U{length}").view(np.uint32).reshape(len(words), length)
    bits: np.ndarray = np.bitwise_or.reduce(np.uint64(1) << (codes % 64).astype(np.uint64), axis=1)
    return bits
