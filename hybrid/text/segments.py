"""Words of scripts that set no spaces between them: Chinese, Japanese, Korean."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
KANA = "\u3040-\u30fa\u30fc-\u30ff"  # without the dot between words
HANGUL = "\uac00-\ud7af"
HAN_CHAR = re.compile(rf"[{HAN}]")
_SYLLABLE = re.compile(rf"[{HAN}{HANGUL}]")
#: Parts of speech of Sudachi that say nothing by themselves: particles, endings, marks.
_EMPTY = frozenset({"助詞", "助動詞", "補助記号", "空白"})
_JAPANESE_AT_ONCE = 10_000  # characters; Sudachi takes 49 kB
_tokenizers = threading.local()


class Term(NamedTuple):
    """One term of a text and the slice of the text that it came from."""

    text: str
    start: int
    end: int


def chinese(run: str) -> Iterator[Term]:
    """Words of a run of Han characters, in simplified ones."""
    simplified = simplified_in_place(run)
    # Words, and the pairs of characters inside a longer word: 雨伞 must find 晴雨伞, which is one word. Pairs across
    # words are left out: 红色运动鞋 would find every sports watch by its 色运.
    words = [(start, end) for _, start, end in _chinese_words(simplified)]
    spans = {*words, *((at, at + 2) for start, end in words if end - start > 2 for at in range(start, end - 1))}
    for start, end in sorted(spans):
        yield Term(simplified[start:end], start, end)


def _chinese_words(run: str) -> list[tuple[str, int, int]]:
    """(word, start, end) of each word, and of the shorter ones inside it."""
    import rjieba  # 0.3 seconds, for its dictionary, at the first Chinese text

    found: list[tuple[str, int, int]] = rjieba.tokenize(run, "search")
    return found


def japanese(run: str) -> Iterator[Term]:
    """Words of a run of kanji and kana, in their dictionary form and spelling, and its pairs; pairs without Sudachi.

    Pairs find what the dictionary cuts another way in another sentence: with both, nDCG@10 of BM25 on the Japanese
    queries of ESCI was 0.690, with words alone 0.673, with pairs alone 0.676.
    """
    words = list(_japanese_words(run)) if has_japanese() else []
    found = {(term.start, term.end, term.text) for term in words}
    words += (term for term in pairs(run) if (term.start, term.end, term.text) not in found)
    yield from sorted(words, key=lambda term: term.start)


def _japanese_words(run: str) -> Iterator[Term]:
    from sudachipy import SplitMode

    for first in range(0, len(run), _JAPANESE_AT_ONCE):
        words = list(_sudachi().tokenize(run[first : first + _JAPANESE_AT_ONCE], SplitMode.C))
        telling = [word for word in words if word.part_of_speech()[0] not in _EMPTY]
        for word in telling or words:
            parts = word.split(SplitMode.A)
            for one in [word, *(parts if len(parts) > 1 else ())]:
                text = "".join(one.normalized_form().split()) or one.surface()
                yield Term(text, first + one.begin(), first + one.end())


def pairs(run: str) -> Iterator[Term]:
    """Each two characters side by side, or the one that there is."""
    if len(run) == 1:
        yield Term(run, 0, 1)
    for start in range(len(run) - 1):
        yield Term(run[start : start + 2], start, start + 2)


def characters(run: str, words: Iterable[Term]) -> Iterator[Term]:
    """The single Han characters and Hangul syllables of a run that are no words of it: 灯 must find 台灯."""
    alone = {term.start for term in words if term.end - term.start == 1}
    for at, char in enumerate(run):
        if at not in alone and _SYLLABLE.match(char):
            yield Term(char, at, at + 1)


@lru_cache(maxsize=1)
def has_japanese() -> bool:
    """Whether the words of Japanese can be told: Sudachi and its dictionary are installed."""
    from importlib.util import find_spec

    return bool(find_spec("sudachipy") and find_spec("sudachidict_small"))


def _sudachi() -> Any:
    # One for each thread: a tokenizer serves one text at a time. They share the dictionary.
    if not hasattr(_tokenizers, "japanese"):
        _tokenizers.japanese = _sudachi_dictionary().tokenizer()
    return _tokenizers.japanese


@lru_cache(maxsize=1)
def _sudachi_dictionary() -> Any:
    from sudachipy import Dictionary

    return Dictionary(dict="small")


def simplified_in_place(run: str) -> str:
    """A run of Han characters in simplified ones, as long as it was, so that offsets still fit."""
    simplified = _to_simplified(run)
    if len(simplified) != len(run):  # a phrase rule changed the length
        simplified = "".join(_to_simplified(char)[:1] or char for char in run)
    return simplified


@lru_cache(maxsize=100_000)
def _to_simplified(text: str) -> str:
    return str(_converter().convert(text))


@lru_cache(maxsize=1)
def _converter() -> Any:
    import opencc

    return opencc.OpenCC("t2s")
