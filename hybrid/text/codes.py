"""Part numbers, SKUs, bar codes and ids: how a product keeps them, and which of them a query names. Pure.

A code is kept in two forms: its parts (`mx·500·2` of MX-500/2), which tell it from MX-5002, and its letters and digits
without marks (`mx5002`), for people who leave the marks out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from hybrid.searches import Codes
from hybrid.text import measures
from hybrid.text.folding import fold

#: The field of `hybrid.terms` that codes are in. It holds no words.
KEYS = "keys"
#: Between the parts of a code.
MARK = "·"
#: Raw scores: the same parts, the same letters and digits, the first parts, and the first letters and digits.
SAME_PARTS, SAME, FIRST_PARTS, FIRST = 1.0, 0.9, 0.6, 0.5
#: Shorter beginnings name nothing.
MIN_PREFIX = 5
_MAX = 40  # characters of a code
_MOST_WORDS = 8  # of a query in which codes are looked for
_JOINED = 4  # words that one code may be written as
_GTIN = 8  # digits from which on a number may be a bar code, whose zeros in front come and go
_PART = re.compile(r"\d+|[^\W\d_]+")
_OUTER = "\"'“”„‘’()[]{}<>.,;:!?#*"


def raw(codes: Codes, kept: str) -> float:
    """The raw score of a product by what `stored` gave for it; 0 where it has none of the codes.

    >>> kept = stored(["MX-500/2"])
    >>> raw(asked("mx500"), kept), raw(asked("mx500/2"), kept)
    (0.6, 1.0)
    """
    own = kept.split()
    found = [
        score
        for form, score, goes_on in codes.forms
        if any(one.startswith(form) if goes_on else one == form for one in own)
    ]
    return max(found, default=0.0)


def stored(values: Iterable[object]) -> str:
    """Space-separated forms of a product's codes.

    >>> stored(["MX-500/2", "4711"])
    'mx·500·2 mx5002 4711'
    """
    forms = [form for value in values if (parts := _parts(str(value))) for form in _forms(parts)]
    return " ".join(dict.fromkeys(forms))


@lru_cache(maxsize=4096)
def asked(query: str) -> Codes | None:
    """The codes that a query may name; None where nothing in it looks like one."""
    words = [word.strip(_OUTER) for word in query.split()]
    words = [word for word in words if word]
    if not words or not any(char.isdigit() for char in query) or len(words) > _MOST_WORDS:
        return None
    exact, begun, certain = [], [], ""
    for first in range(len(words)):
        for last in range(first + 1, min(first + _JOINED, len(words)) + 1):
            written, whole = " ".join(words[first:last]), last - first == len(words)
            parts = _parts(written)
            if not parts or not _may_be(words[first:last], parts, whole):
                continue
            code = MARK.join(parts)
            exact.append(code)
            if (whole or (last - first == 1 and len(parts) > 1)) and len("".join(parts)) >= MIN_PREFIX:
                begun.append(code)
            if last - first == 1 and _is_certain(written, parts, whole):
                certain = certain or written
    exact += [bare for code in exact if (bare := _bare(code))]
    return Codes(tuple(_looked_for(dict.fromkeys(exact), dict.fromkeys(begun))), certain) if exact else None


def _looked_for(exact: Iterable[str], begun: Iterable[str]) -> Iterator[tuple[str, float, bool]]:
    """The forms of codes that a product must have whole, and of those whose beginning is enough."""
    for code in exact:
        yield code, SAME_PARTS, False
        if MARK in code:
            yield code.replace(MARK, ""), SAME, False
    for code in begun:
        yield code + MARK, FIRST_PARTS, True
        yield code.replace(MARK, ""), FIRST, True


def _parts(code: str) -> list[str]:
    """The runs of letters and of digits."""
    parts = _PART.findall(fold(code))
    return parts if sum(map(len, parts)) <= _MAX else []


def _forms(parts: list[str]) -> Iterator[str]:
    yield MARK.join(parts)
    yield "".join(parts)
    if bare := _bare("".join(parts)):
        yield bare


def _bare(code: str) -> str:
    """A bar code without the zeros in front; "" where it has none."""
    return code.lstrip("0") if len(code) >= _GTIN and code.isdecimal() and code.startswith("0") else ""


def _may_be(words: list[str], parts: list[str], whole: bool) -> bool:
    """Whether these words of a query may be one code. whole: they are the whole query."""
    joined = "".join(parts)
    digits = sum(map(str.isdecimal, joined))
    if not digits or _is_size(" ".join(words)):
        return False
    if len(words) == 1:
        return whole or digits >= MIN_PREFIX or (len(parts) > 1 and len(joined) >= 4)
    # COS 4101, KT INS114 DRE; but no `iphone 15`, and no `for 2`.
    short = all(len(part) <= 4 for part in parts if not part.isdecimal())
    return short and digits >= 3 and len(joined) >= MIN_PREFIX and not any(map(_is_size, words))


def _is_size(text: str) -> bool:
    return any(found.start == 0 and found.end == len(text) for found in measures.find(text, "en"))


def _is_certain(word: str, parts: list[str], whole: bool) -> bool:
    """Whether a word is a code and no model's name such as `a6000`: it has many digits, or marks between its parts.

    What is searched alone needs no marks.
    """
    digits = sum(len(part) for part in parts if part.isdecimal())
    marked = len(parts) > 1 and any(not char.isalnum() for char in word)
    if digits >= _GTIN:
        return True
    letters = len("".join(parts)) - digits
    return digits >= 3 and letters + digits >= MIN_PREFIX and (marked or len(parts) > 2 or (whole and letters > 1))
