"""Numbers as people and spreadsheets write them: 1.299,00 and € 12 and 1 299 kr. How a column writes them is told from
all its values, for "1,299" alone may be either. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from price_parser import Price

from hybrid.contracts import Mark

MARKS: tuple[Mark, ...] = (".", ",")

_SPACES = re.compile(r"[\s\u00a0\u2007\u2009\u202f]+")
#: Whole groups of three, all with the same mark between them, then decimals; or digits without groups.
_GROUPED = re.compile(r"([+-]?)(\d{1,3}(?:([ .,'’])\d{3})(?:\3\d{3})*)(?:([.,])(\d+))?")
_INDIAN = re.compile(r"([+-]?)(\d{1,2}(?:,\d\d)+,\d{3})(?:\.(\d+))?")
_PLAIN = re.compile(r"([+-]?)(\d+)(?:([.,])(\d+))?")
#: As JSON and Elasticsearch write them. Leading zeros make a code: 00123.
_STANDARD = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d+)?(?:[eE][+-]?\d{1,2})?")


def is_standard(text: str) -> bool:
    """Whether a text is a number as JSON writes it, which Elasticsearch reads as it is."""
    return bool(_STANDARD.fullmatch(text.strip()))


def standard(value: Any) -> int | float | None:
    """The number that a value of JSON is, or that its text writes in the same way; None for another value."""
    if isinstance(value, str):
        if not is_standard(value):
            return None
        return float(value) if set(value) & set(".eE") else int(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True, slots=True)
class _Parts:
    """A number taken apart. mark: before the decimals, None without any. doubtful: or it may part thousands."""

    sign: str
    whole: str
    mark: str | None
    decimals: str
    doubtful: bool = False


@lru_cache(maxsize=65536)
def _parts(text: str) -> _Parts | None:
    bare = _bare(text)
    if bare is None:
        return None
    if found := _INDIAN.fullmatch(bare):
        sign, whole, decimals = found.groups()
        return _Parts(sign, whole.replace(",", ""), ".", decimals or "")
    if found := _GROUPED.fullmatch(bare):
        sign, whole, group, mark, decimals = found.groups()
        if whole.startswith("0") and whole[1:2] not in (".", ","):
            return None  # a telephone number
        if mark is None and whole.count(group) == 1 and group in ".,":
            head, _, tail = whole.partition(group)
            if head == "0":
                return _Parts(sign, head, group, tail)
            return _Parts(sign, head, group, tail, doubtful=True)
        if mark != group:
            digits = re.sub(r"\D", "", whole)
            # Groups with one of the two marks show that the other one is before decimals.
            other = {",": ".", ".": ","}.get(group)
            return _Parts(sign, digits, mark or other, decimals or "")
    if found := _PLAIN.fullmatch(bare):
        sign, whole, mark, decimals = found.groups()
        if len(whole) > 1 and whole.startswith("0"):
            return None  # a code
        return _Parts(sign, whole, mark, decimals or "")
    return None


def _bare(text: str) -> str | None:
    """Without a currency and spaces around it; None where other words are left."""
    text = _SPACES.sub(" ", text).strip().replace("−", "-")
    if not text or len(text) > 40 or not any(char.isdigit() for char in text):
        return None
    if not any(char.isalpha() or not char.isascii() or char in "$" for char in text.replace("’", "")):
        return text.removesuffix(",-").removesuffix(".-")
    currency = Price.fromstring(text).currency
    if currency is None:
        return None
    bare = without_currency(text, currency).removesuffix(",-").removesuffix(".-")
    return re.sub(r"^-\s+", "-", bare.strip(" ")).removesuffix(".")


def without_currency(text: str, currency: str) -> str:
    """A price without its currency, and without the dot of an abbreviation.

    >>> without_currency("12 kr.", "kr"), without_currency("Rs.500", "Rs"), without_currency("$.50", "$")
    ('12', '500', '.50')
    """
    dot = r"\.?" if currency[-1].isalpha() else ""
    return re.sub(re.escape(currency) + dot, "", text, count=1).strip()


def number(text: str, mark: Mark) -> int | float | None:
    """The number that a text writes, in a column with this decimal mark; None where it writes none.

    >>> number("1.299,00 €", ","), number("1,299", "."), number("12,50", "."), number("from 12 to 20", ".")
    (1299.0, 1299, None, None)
    """
    parts = _parts(text)
    if parts is None:
        return None
    if parts.mark is None:
        return int(parts.sign + parts.whole)
    if parts.doubtful:
        if not mark:
            return None
        if parts.mark != mark:
            return int(parts.sign + parts.whole + parts.decimals)
    elif mark and parts.mark != mark:
        return None
    return float(f"{parts.sign}{parts.whole}.{parts.decimals}") if parts.decimals else int(parts.sign + parts.whole)


@dataclass
class Evidence:
    """What the values of a column say of how it writes numbers."""

    values: int = 0
    numbers: int = 0
    #: Numbers with decimals after each mark for sure, and perhaps.
    commas: int = 0
    dots: int = 0
    perhaps_commas: int = 0
    perhaps_dots: int = 0
    standard: int = 0

    def see(self, text: str) -> None:
        """Take one value into account."""
        self.values += 1
        self.standard += is_standard(text)
        if (parts := _parts(text)) is not None:
            self.numbers += 1
            if parts.mark is not None:
                name = "commas" if parts.mark == "," else "dots"
                name = f"perhaps_{name}" if parts.doubtful else name
                setattr(self, name, getattr(self, name) + 1)

    @property
    def is_sure(self) -> bool:
        """Whether no value leaves a doubt."""
        return bool(self.commas or self.dots) or not (self.perhaps_commas or self.perhaps_dots)

    @property
    def mark(self) -> Mark:
        """The decimal mark. Without a proof, a dot is one, as programs write it, and a comma parts thousands."""
        if self.commas and self.dots:
            return ""
        return "," if self.commas else "."


def evidence(texts: Iterable[str]) -> Evidence:
    """What all these values say."""
    seen = Evidence()
    for text in texts:
        seen.see(text)
    return seen
