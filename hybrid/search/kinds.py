"""Kinds of query: a few clear ones, told from the query alone. They split figures, and weights may depend on them."""

from __future__ import annotations

import re

from hybrid.text import analysis, measures
from hybrid.text.segments import KANA

#: In the order of tables.
KINDS = ("words", "single word", "sentence", "code", "other script", "photo", "photo and words")
#: Those whose weights may be others than those of words.
FLAGS = KINDS[1:]

#: Words that keywords do not need: a third of them makes a sentence, and so does one of the second group in five words.
_LINKS = frozenset(
    """a an and as at but by for from give have if in keep like need not of on or something stop than that the their
    them these they this while will with without""".split()  # noqa: SIM905
)
_PERSONAL = frozenset(
    "am are be can do does get how i is it its me my our to want we what when where which who your you".split()  # noqa: SIM905
)
_HAN_LINKS = frozenset("的了吗么怎我你在是什能要不给和想让着去会把")
_SENTENCE_WORDS, _HAN_SENTENCE = 4, 6
_KANA = re.compile(f"[{KANA}]")
_CODE_WORDS, _MIXED, _NUMBERED, _EAN = 3, 4, 4, 8  # words of a code at most; letters and digits at least
_BESIDE = 3  # letters of what stands beside a code's number: COS 4101


def kind_of(text: str, photo: bool = False) -> str:
    """The kind of a query, one of KINDS. photo: a photo is searched by, alone or beside the words.

    A code is a part number, SKU or EAN and nothing else; a measure (1.5m, 2 TB) is none. A sentence is told by function
    words, English or Chinese: those of other languages are not known. The other script is any but Latin.

    >>> [kind_of(text) for text in ("MX 500/2", "desk lamp 100 cm", "carry a computer to the office", "伞")]
    ['code', 'words', 'sentence', 'other script']
    """
    if photo:
        return "photo and words" if text.strip() else "photo"
    folded = text.casefold()
    if _is_code(folded):
        return "code"
    other = analysis.script_of(text) not in ("", "Latin")
    words = [word.strip(".,!?;:\"'()") for word in folded.split()]
    if _is_han_sentence(folded) if other else _is_sentence(words):
        return "sentence"
    if other:
        return "other script"
    return "single word" if len(words) == 1 else "words"


def _is_code(folded: str) -> bool:
    rest = folded
    for size in measures.find(folded, "en"):
        rest = rest[: size.start] + " " * (size.end - size.start) + rest[size.end :]
    words = ["".join(filter(str.isalnum, word)) for word in rest.split()]
    if not 0 < len(words) <= _CODE_WORDS or not folded.isascii():
        return False
    if "".join(words).isdigit():
        return len("".join(words)) >= _EAN
    whole = [word for word in words if len(word) > _BESIDE or any(map(str.isdigit, word))]
    return any(len(word) >= _MIXED for word in whole) and all(map(_is_number_of_a_part, whole))


def _is_number_of_a_part(word: str) -> bool:
    digits = sum(map(str.isdigit, word))
    return 0 < digits < len(word) or digits >= _NUMBERED or (digits > 0 and len(word) < _MIXED)


def _is_sentence(words: list[str]) -> bool:
    if len(words) < _SENTENCE_WORDS:
        return False
    personal = sum(word in _PERSONAL for word in words)
    links = personal + sum(word in _LINKS for word in words)
    return 3 * links > len(words) or (personal > 0 and len(words) > _SENTENCE_WORDS)


def _is_han_sentence(text: str) -> bool:
    letters = [char for char in text if char.isalpha()]
    return (
        analysis.is_chinese(text)
        and _KANA.search(text) is None
        and len(letters) >= _HAN_SENTENCE
        and any(char in _HAN_LINKS for char in letters)
    )
