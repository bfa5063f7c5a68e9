"""Price words of a query: `under 50`, `von 20 bis 40 Euro`, `50元以下` -> bounds of a price. Pure.

The rule: a comparison and a number are a price where a currency is named beside them (50 €, $50, 50 Euro, 50元), or a
word for price before them. Without one, `under`, `over`, `between … and` and their like are a price only at the end of
the query, and not after a word that is measured (size under 50). So a number before a unit or a noun is no price: over
30 inch, under 18 team. A number of 0 is none. Pounds may be weight: only £ and GBP are a currency.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_SIGNS = r"[€$£¥￥₹₽]"
_HAN_CURRENCY = r"(?:元|块钱|块|人民币|美元|欧元|円)"
_NAMES = (
    r"euros?|eur|dollars?|dólares|dollari|bucks?|usd|gbp|quid|yuan|rmb|cny|yen|jpy|chf|franken|francs?|kronor|kroner|"
    r"kr|sek|nok|dkk|zł|zloty|złotych|pln|rupees?|inr|руб(?:лей|ля|ль)?|₽"
)
_AFTER = rf"(?:\s?{_SIGNS}|\s?{_HAN_CURRENCY}|\s?(?:{_NAMES})(?![^\W\d_]))"
_DIGITS = r"\d{1,3}(?:[.,'’]\d{3})+(?:[.,]\d{1,2})?|\d{1,9}(?:[.,]\d{1,2})?"
_TIMES = {"百": 100, "千": 1_000, "万": 10_000}

#: What may stand before a comparison and belongs to it. `noun` names a price, as a currency does.
_LEAD = (
    r"(?P<noun>(?:^|(?<=\s))(?:with\s+a\s+)?(?:prices?d?|costing|preis|preise|kosten|prix|precio|prezzo|prijs)\s+(?:of\s+|at\s+)?"
    r"|(?:价格|售价|价位|价钱|预算|单价)(?:在|为|是)?)?"
    r"(?:(?:^|(?<=\s))(?:for|at|für|pour|por|voor)\s+)?"
)

#: (words before the number, bound, whether they are a price without a currency too).
_COMPARISONS: tuple[tuple[str, str, bool], ...] = (
    ("under|below|less than|cheaper than", "lt", True),
    ("unter|günstiger als|billiger als", "lt", True),
    ("weniger als|moins de|moins cher que|en dessous de|sous|menos de|por debajo de|meno di|sotto(?: i)?", "lt", False),
    ("onder(?: de)?|minder dan|goedkoper dan", "lt", False),
    ("低于|少于|小于|不到", "lt", False),
    ("up to|at most|max\\.?|maximum|maximal|no more than|not more than|not over|bis zu|bis|höchstens", "lte", False),
    ("jusqu['’]?à|au plus|hasta|como máximo|máximo|fino a|al massimo|massimo|tot|maximaal|hoogstens", "lte", False),
    ("不超过|不高于|不大于|最多|最高", "lte", False),
    ("over|above|more than", "gt", True),
    ("über|mehr als|teurer als|plus de|au-dessus de|más de|mas de|più di|oltre|boven|meer dan", "gt", False),
    ("高于|超过|大于", "gt", False),
    ("from|at least|starting at|min\\.?|minimum|ab|mindestens|à partir de|au moins|dès", "gte", False),
    ("desde|a partir de|al menos|mínimo|a partire da|almeno|da|vanaf|minstens", "gte", False),
    ("至少|不低于|不少于|最低", "gte", False),
)
#: (words after the number and its currency, bound).
_ENDINGS = (
    (r"\s?(?:及|或)?(?:以下|以内|之内|之下|内)(?:的)?", "lte"),
    (r"\s?(?:及|或)?(?:以上|之上|起)(?:的)?", "gte"),
    (r"未満(?:の)?", "lt"),
    (r"\s(?:or less|or under|and under|or below|oder weniger)", "lte"),
    (r"\s(?:or more|and up|and over|or above|oder mehr)", "gte"),
)
#: (before, between, after) the numbers of a range, and whether it is a price without a currency too.
_RANGES: tuple[tuple[str, str, str, bool], ...] = (
    (r"between\s+", r"\s+(?:and|to)\s+", "", True),
    (r"zwischen\s+", r"\s+und\s+", "", True),
    (r"von\s+", r"\s+bis\s+", "", True),
    (r"from\s+|entre\s+|de\s+|tra\s+|da\s+|tussen\s+|van\s+", r"\s+(?:to|et|y|e|à|a|en|tot)\s+", "", False),
    (r"在?", r"\s?(?:到|至|~|～|—|–|-)\s?", r"(?:之间)?(?:的)?", False),
    (r"", r"\s?[-–—~]\s?|\s+(?:to|bis|à|a|tot)\s+", "", False),
)
#: After these a number is a measure, where no currency is named.
_MEASURED = frozenset({
    "size", "sizes", "age", "ages", "aged", "team", "width", "height", "length", "depth", "weight", "diameter",
    "level", "grade", "spf", "bpm", "rpm", "dpi", "fps", "hz", "iso", "watt", "watts", "volt", "volts", "lumen",
    "lumens", "mah", "gb", "tb", "mb", "mm", "cm", "inch", "inches", "temperature", "temp", "resolution", "version",
    "year", "years", "speed", "power", "capacity", "rating", "rated", "größe", "groesse", "grösse", "alter",
    "jahre", "breite", "höhe", "länge", "tiefe", "gewicht", "durchmesser", "leistung", "temperatur", "personen",
    "taille", "âge", "largeur", "hauteur", "poids", "talla", "edad", "tamaño", "peso",
})  # fmt: skip
#: After these, more than a number is an age; less than it may well be a price.
_PERSONS = frozenset({"men", "women", "man", "woman", "adults", "adult", "people", "ladies", "seniors"})
#: After these, a small number is an age.
_CHILDREN, _GROWN_UP = frozenset({"kid", "kids", "child", "children", "boys", "girls", "kinder", "enfants"}), 18
_BEFORE = re.compile(r"([^\W\d_]+)[\s:]*$")


class PriceWords(NamedTuple):
    """text: the words, as they were typed. bounds: gt or gte, and lt or lte. spans: where they stand."""

    text: str
    bounds: dict[str, float]
    spans: tuple[tuple[int, int], ...]


class _Found(NamedTuple):
    start: int
    end: int
    bounds: dict[str, float]


def find(query: str) -> PriceWords | None:
    """The price that a query names: one comparison, a range, or a lower and an upper bound; None where it has none."""
    rest, found = query, list[_Found]()
    while len(found) < 2 and _DIGIT.search(rest) and _HINT.search(rest) and (one := _first(rest)):
        found.append(one)
        rest = rest[: one.start] + " " * (one.end - one.start) + rest[one.end :]
    if not found:
        return None
    bounds = [(key, value) for one in found for key, value in one.bounds.items()]
    low = [value for key, value in bounds if key.startswith("g")]
    high = [value for key, value in bounds if key.startswith("l")]
    if len(low) > 1 or len(high) > 1 or (low and high and low[0] > high[0]):
        return None
    found.sort()
    return PriceWords(
        " ".join(query[one.start : one.end].strip().removesuffix("的") for one in found),
        dict(sorted(bounds)),
        tuple((one.start, one.end) for one in found),
    )


def _first(query: str) -> _Found | None:
    """The first price in a query, where it has one; of those that begin together the longest."""
    found = [
        one
        for pattern, keys, free in _patterns()
        for match in pattern.finditer(query)
        if (one := _read(query, match, keys, free))
    ]
    return min(found, key=lambda one: (one.start, -one.end), default=None)


def _read(query: str, match: re.Match[str], keys: Sequence[str], free: bool) -> _Found | None:
    groups = match.groupdict()
    named = any(groups.get(f"{name}{at}") for name in ("before", "after") for at in range(len(keys)))
    priced = named or bool(groups.get("noun"))
    if not priced and (not free or query[match.end() :].strip(" .!?,。")):
        return None
    numbers = [_number(groups[f"number{at}"], groups.get(f"times{at}")) for at in range(len(keys))]
    if not all(numbers) or sorted(numbers) != numbers or query.startswith("%", match.end()):
        return None
    if not priced and (before := _BEFORE.search(query[: match.start()])):
        word, more = before[1].lower(), keys == ("gt",)
        if word in _MEASURED or (word in _PERSONS and more) or (word in _CHILDREN and numbers[-1] <= _GROWN_UP):
            return None
    return _Found(match.start(), match.end(), dict(zip(keys, numbers, strict=True)))


def _number(text: str, times: str | None) -> float:
    """1,299 and 1.299 are 1299; 12,50 and 12.50 are 12.5."""
    whole = re.sub(r"[.,'’](?=\d{3}(?!\d))", "", text)
    return float(whole.replace(",", ".")) * _TIMES.get(times or "", 1)


def _numbered(at: int) -> str:
    """A number with what may stand around it; `at` is in the names of its groups."""
    return (
        rf"(?P<before{at}>{_SIGNS}\s?)?(?<![^\W\u4e00-\u9fff])(?<![.,])(?P<number{at}>{_DIGITS})(?!\d)(?P<times{at}>[百千万])?"
        rf"(?P<after{at}>{_AFTER})?(?:,-|\.-|,–)?"
    )


_DIGIT = re.compile(r"\d")
#: What every price has one of: most queries with a number have none, and need no closer look.
_HINT = re.compile(
    rf"{_SIGNS}|{_HAN_CURRENCY}|价|预算|(?<![^\W\d_])(?:{_NAMES}|under|below|less|cheaper|over|above|more|between|unter|"
    r"günstiger|billiger|zwischen|von|pric\w+|costing|preise?|kosten|prix|precio|prezzo|prijs)(?![^\W\d_])",
    re.IGNORECASE,
)
_compiled: list[tuple[re.Pattern[str], tuple[str, ...], bool]] = []


def _patterns() -> list[tuple[re.Pattern[str], tuple[str, ...], bool]]:
    """(pattern, its bounds in order, whether it is a price without a currency); compiled at first use."""
    if not _compiled:
        one, other = _numbered(0), _numbered(1)
        read: list[tuple[str, tuple[str, ...], bool]] = []
        for before, between, after, free in _RANGES:
            edge = r"(?:^|(?<=\s))" if before.strip("?在") else r"(?<![\w.,-])" if not before else ""
            read.append((rf"{_LEAD}{edge}(?:{before}){one}(?:{between}){other}{after}", ("gte", "lte"), free))
        for words, key, free in _COMPARISONS:
            spaced = words[0].isascii() or "à" in words or "ü" in words
            edge, space = (r"(?:^|(?<=\s))", r"\s+") if spaced else ("", r"\s?")
            read.append((rf"{_LEAD}{edge}(?:{words}){space}{one}(?:的)?", (key,), free))
        for ending, key in _ENDINGS:
            read.append((rf"{_LEAD}{one}{ending}", (key,), False))
        # Together at the end: another thread must not find a part of them.
        _compiled.extend((re.compile(pattern, re.IGNORECASE), keys, free) for pattern, keys, free in read)
    return _compiled
