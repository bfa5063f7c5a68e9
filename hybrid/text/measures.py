"""Sizes and amounts as one term each, however they are written: 1.5m, 1,5 m, 1.5 metres; 3/4", ¾ inch; 30x40.

The number is written plainly and the unit by one symbol, converted where two units of one kind are both in common use
(150 cm and 1.5 m are `1.5m`). Pure and quick: every text of a product comes through here. General libraries of units
(pint, quantulum3) read a number in a millisecond, and know no words of shops' languages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from hybrid.text.folding import fold
from hybrid.text.segments import HAN, HANGUL, KANA, Term
from hybrid.text.stems import stems

#: Symbol of the term -> factor of what is written, and how it is written: symbols, then English, German, French,
#: Spanish, Italian, Dutch, Chinese and Japanese words, folded.
_UNITS: tuple[tuple[str, str, str], ...] = (
    ("m", "1", "m metre metres meter meters mtr mtrs metro metros metri 米 公尺 メートル"),
    ("m", "0.01", "cm centimetre centimetres centimeter centimeters zentimeter centimetro centimetros centimetri "
     "厘米 公分 センチ センチメートル"),
    ("m", "0.001", "mm millimetre millimetres millimeter millimeters milimetro milimetros millimetro millimetri "
     "毫米 ミリ ミリメートル"),
    ("km", "1", "km kilometre kilometres kilometer kilometers kilometro kilometros kilometri 公里 千米"),
    ("in", "1", "in inch inches zoll pouce pouces pulgada pulgadas pollice pollici duim 英寸 寸 吋 インチ"),
    ("ft", "1", "ft foot feet fuss pied pieds pies piedi voet 英尺 フィート"),
    ("yd", "1", "yd yds yard yards"),
    ("m2", "1", "m2 qm sqm 平方米 平米"),
    ("mm2", "1", "mm2 qmm sqmm 平方毫米"),
    ("m2", "0.0001", "cm2 qcm 平方厘米"),
    ("m3", "1", "m3 cbm 立方米"),
    ("m3", "0.000001", "cm3 ccm 立方厘米"),
    ("l", "1", "l ltr litre litres liter liters litro litros litri 升 公升 リットル"),
    ("l", "0.01", "cl centilitre centilitres centiliter centilitro"),
    ("l", "0.1", "dl deciliter decilitre"),
    ("l", "0.001", "ml millilitre millilitres milliliter milliliters mililitro mililitros millilitro millilitri "
     "毫升 ミリリットル"),
    ("gal", "1", "gal gallon gallons 加仑"),
    ("floz", "1", "floz"),
    ("g", "1", "g gr gram grams gramm gramme grammes gramo gramos grammo grammi 克 公克 グラム"),
    ("g", "1000", "kg kgs kilo kilos kilogram kilograms kilogramm kilogramme kilogrammes kilogramo kilogramos "
     "chilo chili chilogrammo chilogrammi 公斤 千克 キロ キログラム"),
    ("mg", "1", "mg milligram milligrams milligramm milligramme milligrammes miligramo miligramos 毫克"),
    ("mcg", "1", "mcg µg μg ug microgram micrograms mikrogramm 微克"),
    ("lb", "1", "lb lbs pound pounds 磅"),
    ("oz", "1", "oz ounce ounces once onces unze unzen onza onzas 盎司"),
    ("jin", "1", "斤"),
    ("w", "1", "w watt watts vatio vatios 瓦 瓦特 ワット"),
    ("w", "1000", "kw kilowatt kilowatts kilovatio kilovatios 千瓦"),
    ("wh", "1", "wh watt-hours"),
    ("wh", "1000", "kwh"),
    ("v", "1", "v volt volts voltio voltios 伏 伏特 ボルト"),
    ("a", "1", "a amp amps ampere amperes amperio amperios 安培 アンペア"),
    ("a", "0.001", "ma milliamp milliamps 毫安"),
    ("ah", "1", "ah 安时"),
    ("ah", "0.001", "mah 毫安时"),
    ("hz", "1", "hz hertz 赫兹 ヘルツ"),
    ("khz", "1", "khz"),
    ("mhz", "1", "mhz"),
    ("mhz", "1000", "ghz"),
    ("kb", "1", "kb kilobyte kilobytes"),
    ("mb", "1", "mb megabyte megabytes"),
    ("gb", "1", "gb gig gigs gigabyte gigabytes go ギガ"),
    ("tb", "1", "tb terabyte terabytes to テラ"),
    ("mbps", "1", "mbps mbit mbit/s"),
    ("mbps", "1000", "gbps gbit gbit/s"),
    ("mp", "1", "mp megapixel megapixels megapixeles 像素"),
    ("rpm", "1", "rpm u/min"),
    ("db", "1", "db decibel decibels dezibel"),
    ("lm", "1", "lm lumen lumens lumenes 流明 ルーメン"),
    ("°", "1", "° deg degree degrees grad grados degres gradi 度"),
    ("°c", "1", "°c celsius 摄氏度 ℃"),
    ("°f", "1", "°f fahrenheit"),
    ("k", "1", "kelvin"),
    ("%", "1", "% percent prozent"),
    ("ohm", "1", "ω ohm ohms 欧姆"),
    ("bar", "1", "bar"),
    ("psi", "1", "psi"),
    ("btu", "1", "btu"),
    ("den", "1", "den denier"),
    ("h", "1", "h hr hrs hour hours stunde stunden heure heures hora horas ora ore uur uren 小时"),
    ("min", "1", "min mins minute minutes minuten minuto minutos minuti 分钟"),
)  # fmt: skip
_BY_NAME = {name: (symbol, Decimal(factor)) for symbol, factor, names in _UNITS for name in names.split()}
_INCH = ('"', "″", "”", "''", "’’", "′′")
_BY_NAME |= {mark: ("in", Decimal(1)) for mark in _INCH}
#: Words of their own as well: these are units where they stand at their number ("2 in 1", "5 a day", "10 to 12").
_ATTACHED = frozenset({"in", "a", "to", "go", "bar", "once", "ora", "ore", "grad", *_INCH})
#: What is counted in thousands, which a space may set apart: elsewhere "iphone 15 128 GB" is two numbers.
_IN_THOUSANDS = frozenset({"ah", "lm", "rpm", "btu"})
#: Chinese units that begin a word as well: 升级 is an upgrade, 米色 is beige.
_NO_UNIT = {"升": "级降", "克": "拉力莱", "米": "色饭粉其奇勒", "度": "假", "瓦": "楞片", "寸": "头"}
#: Languages that write 1,500.5; the others write 1.500,5.
_POINT = frozenset({"en", "zh", "ja", "ko"})

_VULGAR = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip

_CJK = f"{HAN}{KANA}{HANGUL}"
_ALNUM = rf"[^\W_{_CJK}]"
_LETTER = rf"[^\W\d_{_CJK}]"
_EAST_UNITS = "|".join(
    re.escape(name) + (f"(?![{_NO_UNIT[name]}])" if name in _NO_UNIT else "")
    for name in sorted(_BY_NAME, key=lambda name: (-len(name), name))
    if re.match(rf"[{_CJK}]", name)
)
_FRACTION = r"\d{1,2}[/⁄]\d{1,2}(?![\d/])"
_HALVES = "".join(_VULGAR)
#: Numbers that the words of a text would take apart: 1 1/2, 3/4, 1½, 10,000, 1.299,50, 1,5.
_ODD = (
    rf"\d{{1,3}}[ -]{_FRACTION}|\d{{0,3}}[ ]?[{_HALVES}]|{_FRACTION}"
    r"|\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}(?!\d)|\d+,\d+"
)
_NUMBER = re.compile(rf"(?P<odd>{_ODD})|\d+\.\d+|\d+")
_SPACED = r"\d{1,3}(?:[ \u00a0\u202f'’]\d{3})+(?!\d)"
_TIMES = r"[ ]?[xX×✕*][ ]?(?=\d)"
_MARK = "[\"″”%℃]|''|’’|′′"


_NAME = rf"[fF][lL]\.? ?[oO][zZ](?!{_ALNUM})|{_LETTER}{{1,12}}(?:/min|/s|[²³23])?(?!{_ALNUM})|°[cCfF]?(?!{_ALNUM})"
#: Where a size may begin: a number that is not behind a letter or a digit, nor behind one and a mark (v1.5, MX-500/2
#: and 10.5.3 are none), and that would be taken apart, is multiplied, or may have a unit. Most numbers end here.
_LIKELY = re.compile(
    rf"(?<!{_ALNUM})(?<!{_ALNUM}[-_./'’+&])(?<!\d,)(?:[mM](?=\d))?"
    rf"(?=(?:{_ODD})|{_SPACED}|\d+(?:\.\d+)?(?:{_TIMES}|[ \u00a0\u202f-]?(?:{_MARK}|{_EAST_UNITS}|(?P<name>{_NAME}))))"
)
_DIGITS = re.compile(rf"\d+|[{_HALVES}]")
_NUMBER_IN_THOUSANDS, _MULTIPLIED = re.compile(_SPACED), re.compile(_TIMES)
_WIDE = re.compile("[\uff01-\uff5e]")
_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_EAST = re.compile(rf"[{_CJK}]")
_MORE = re.compile(rf"{_ALNUM}|[-_./,]\d")
_JOINED = re.compile(rf"[-_./+&'’]{_ALNUM}")


#: A unit as it may be written: letters, or a mark; in Chinese and Japanese the longest that is known.
_UNIT = re.compile(rf"(?P<gap>[ \u00a0\u202f]?|-)(?:(?P<name>{_NAME})|(?P<mark>{_MARK})|(?P<east>{_EAST_UNITS}))")


class _Unit(NamedTuple):
    symbol: str
    factor: Decimal
    start: int
    end: int


class _Amount(NamedTuple):
    """A number in a text and its place, with its unit where it has one. odd: words would take the number apart."""

    value: Decimal
    start: int
    end: int
    odd: bool
    unit: _Unit | None = None

    @property
    def all_end(self) -> int:
        return self.unit.end if self.unit else self.end


class Measure(NamedTuple):
    """One size in a text: an amount, or several that are multiplied. prefix: the M of a screw's thread."""

    amounts: tuple[_Amount, ...]
    start: int
    end: int
    prefix: str = ""

    def whole(self) -> Term:
        """The term that the same size has however it is written."""
        if len(self.amounts) > 1:
            return Term(self.prefix + "x".join(_plain(amount.value) for amount in self.amounts), self.start, self.end)
        return self._sized(self.amounts[0])

    def product_terms(self, text: str, language: str) -> Iterator[Term]:
        """The terms of a product: the size, the numbers, what they measure each, and words of units as they stand."""
        if len(self.amounts) > 1:
            yield self.whole()
        if self.prefix:
            first = self.amounts[0]
            yield Term(self.prefix + _plain(first.value), self.start, first.end)
        for amount in self.amounts:
            sized = self._sized(amount)
            yield sized
            number = Term(_plain(amount.value), amount.start, amount.end)
            if number.text != sized.text:
                yield number
            unit = amount.unit
            if unit:
                words = _words_of(text[unit.start : unit.end], unit.start > amount.end, language)
                yield from (Term(word, unit.start, unit.end) for word in words)

    def query_terms(self) -> Iterator[Term]:
        """The terms of a query: the size counts once, beside the number of an amount."""
        yield self.whole()
        if len(self.amounts) == 1 and self.amounts[0].unit:
            amount = self.amounts[0]
            yield Term(_plain(amount.value), amount.start, amount.end)

    def _sized(self, amount: _Amount) -> Term:
        """The amount in its unit, or in that of the last: 30 x 40 cm is 30 cm wide."""
        unit = amount.unit or self.amounts[-1].unit
        if unit is None:
            return Term(_plain(amount.value), amount.start, amount.end)
        return Term(_plain(amount.value * unit.factor) + unit.symbol, amount.start, amount.all_end)


def find(text: str, language: str) -> Iterator[Measure]:
    """The sizes of a text, in order. Numbers that words keep whole (15, 1.5) are none without a unit."""
    if _WIDE.search(text):
        text = text.translate(_NARROW)
    at = 0
    while digits := _DIGITS.search(text, at):
        start = digits.start()
        if start and text[start - 1] in "mM":  # of a screw
            start -= 1
        likely = _LIKELY.match(text, start)
        if likely and likely.lastgroup and not _known(_folded(likely.group("name"))):
            likely = None
        found = _measure(text, start, digits.start(), language) if likely else None
        if found:
            yield found
        at = found.end if found else digits.end()


def of_word(word: str) -> str | None:
    """The term of a part of a word such as `500ml`; None where it is no size.

    >>> of_word("500ml"), of_word("2400")
    ('0.5l', None)
    """
    digits = len(word) - len(word.lstrip("0123456789"))
    unit = _UNIT.match(word, digits) if 0 < digits < len(word) else None
    if not unit or unit.end() < len(word):
        return None
    known = _known(_folded(unit.group("name") or ""))
    return _plain(Decimal(word[:digits]) * known[1]) + known[0] if known else None


def _measure(text: str, start: int, at: int, language: str) -> Measure | None:
    """The size that begins at `at`, with a prefix from `start`."""
    amounts = [_amount(text, at, language)]
    while amounts[-1] and len(amounts) < 4 and (times := _MULTIPLIED.match(text, amounts[-1].all_end)):
        amounts.append(_amount(text, times.end(), language))
    found = [amount for amount in amounts if amount]
    units = [amount.unit is not None for amount in found]
    # 330 ml * 24 is no area; neither is 1920x1080p a size, nor a part number with an x.
    if len(found) > 1 and (all(units) or not any(units[:-1])) and (units[-1] or not _MORE.match(text, found[-1].end)):
        return Measure(tuple(found), start, found[-1].all_end, text[start:at].lower())
    if not found or start < at:
        return None
    (first, end) = found[0], found[0].all_end
    if first.unit is None:
        return Measure((first,), start, end) if first.odd and not _MORE.match(text, end) else None
    if first.unit.start == first.end and not first.odd and first.value == int(first.value) and _JOINED.match(text, end):
        return None  # 12V-X1 is a word, and splits into its parts
    return Measure((first,), start, end)


def _amount(text: str, at: int, language: str) -> _Amount | None:
    if spaced := _NUMBER_IN_THOUSANDS.match(text, at):
        unit = _unit(text, spaced.end())
        if unit and (unit.symbol in _IN_THOUSANDS or spaced.group().endswith("000") or "\u00a0" in spaced.group()):
            return _Amount(Decimal(re.sub(r"\D", "", spaced.group())), at, spaced.end(), True, unit)
    number = _NUMBER.match(text, at)
    if not number:
        return None
    value = _value(number.group(), language)
    odd = number.lastgroup == "odd"
    return None if value is None else _Amount(value, at, number.end(), odd, _unit(text, number.end()))


def _unit(text: str, at: int) -> _Unit | None:
    found = _UNIT.match(text, at)
    if not found:
        return None
    start, end = found.span(str(found.lastgroup))
    name = _folded(text[start:end])
    known = _known(name)
    gap = found.group("gap")
    if known is None or (gap and name in _ATTACHED and not (name == "in" and gap == "-")):
        return None
    if name in _INCH and _closes_quotation(text, start):
        return None
    return _Unit(*known, start, end)


@lru_cache(maxsize=10_000)
def _folded(unit: str) -> str:
    return fold(unit).replace(" ", "").replace(".", "")


def _known(name: str) -> tuple[str, Decimal] | None:
    """(symbol, factor) of a unit, or of one a second or a minute."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    base, _, time = name.partition("/")
    return (f"{_BY_NAME[base][0]}/{time}", _BY_NAME[base][1]) if time and base in _BY_NAME else None


def _closes_quotation(text: str, at: int) -> bool:
    """Whether the mark at `at` ends what a mark before it began: "iphone 15" is no size."""
    begin = max(text.rfind('"', 0, at), text.rfind("“", 0, at))
    return begin >= 0 and (begin == 0 or not text[begin - 1].isalnum()) and not text[begin + 1].isspace()


@lru_cache(maxsize=20_000)
def _value(number: str, language: str) -> Decimal | None:
    """The value of a written number; None where it is none, as 5/0."""
    for char, fraction in _VULGAR.items():
        number = number.replace(char, f" {fraction}")
    if "/" in number or "⁄" in number:
        *whole, fraction = number.replace("-", " ").split()
        above, below = map(int, re.split("[/⁄]", fraction))
        if not below or above >= below or below > 64:
            return None  # 24/7 is no part of a whole
        return round(Decimal(sum(map(int, whole))) + Decimal(above) / below, 4)
    marks = [char for char in number if char in ",."]
    if len(set(marks)) == 2:
        number = number.replace(marks[0], "").replace(marks[-1], ".")
    elif marks and _in_thousands(number, marks[0], language):
        number = number.replace(marks[0], "")
    elif len(marks) > 1:
        return None
    return Decimal(number.replace(",", "."))


def _in_thousands(number: str, mark: str, language: str) -> bool:
    groups = number.split(mark)
    if any(len(group) != 3 for group in groups[1:]) or groups[0].startswith("0"):
        return False
    return len(groups) > 2 or groups[-1] == "000" or (mark == ",") == (language in _POINT)


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"


@lru_cache(maxsize=1_000)
def _words_of(unit: str, apart: bool, language: str) -> tuple[str, ...]:
    """What finds a unit by itself: a word that is written apart, and Chinese and Japanese anywhere."""
    if _EAST.match(unit):
        return (unit,)
    return stems(unit, language) if apart and len(unit) > 1 and unit.isalpha() else ()
