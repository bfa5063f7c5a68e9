"""What a product costs now: its usual price, a sale price while it lasts, and the currency. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from price_parser import Price

from hybrid.catalogue.field_names import plain
from hybrid.catalogue.numbers import evidence, number, without_currency
from hybrid.catalogue.presets import PLAIN, Offer, Preset
from hybrid.catalogue.values import flag
from hybrid.contracts import Mark

_SALE, _USUAL = frozenset(PLAIN.offer.sale), frozenset(PLAIN.offer.regular)


@dataclass(frozen=True)
class Table:
    """What is known of a file before a row of it is read.

    columns: plain name -> own name of its columns, as far as its first rows show them. mark: before the decimals of its
    prices. now: when the run began; a sale price counts while it lasts.
    """

    columns: Mapping[str, str]
    now: datetime
    mark: Mark = "."

    @property
    def has_sales(self) -> bool:
        """Whether a column is of prices that count for a while."""
        return not _SALE.isdisjoint(self.columns)


def mark_of(preset: Preset, rows: Iterable[Mapping[str, Any]]) -> Mark:
    """The mark before the decimals of an export's prices, as these rows show it; a dot if they do not."""
    prices = preset.offer.regular + preset.offer.sale
    seen = evidence(
        value
        for row in rows
        for column, value in row.items()
        if isinstance(value, str) and preset.plain(column) in prices
    )
    return "," if seen.mark == "," else "."


def is_settled(row: Mapping[str, Any], table: Table) -> bool:
    """Whether a row of no known platform has one price at most, and no currency with it, as nearly all have."""
    if table.has_sales:
        return False
    for column, value in row.items():
        name = plain(column)
        if name in _SALE or (name in _USUAL and isinstance(value, str) and _has_sign(value)):
            return False
    return True


def _has_sign(text: str) -> bool:
    return not text.isascii() or any(char.isalpha() or char == "$" for char in text)


def offered(
    preset: Preset, row: dict[str, Any], names: Mapping[str, str], texts: Mapping[str, str], table: Table
) -> dict[str, Any]:
    """A row with `price`, what is paid now, `regular_price`, if that is higher, and `currency`, as far as it says.

    names: plain name of a column -> its own name. texts: plain name -> its value as text.
    """
    offer = preset.offer
    if preset is PLAIN and not (table.has_sales or any(name in names for name in offer.sale)):
        return _with_currency(row, names, texts)
    regular = _first(offer.regular, texts)
    usual = amount(row[names[regular]], table.mark) if regular else float("inf")
    sale = _first(offer.sale, texts)
    paid: Any = row[names[sale]] if sale else None
    if sale is None or "%" in texts[sale] or not 0 < amount(paid, table.mark) < float("inf"):
        paid = _reduced(offer, texts, usual, table.mark)
    if paid is not None and not (_lasts(offer, texts, table.now) and flag(texts.get("on_sale", "yes")) is not False):
        paid = None
    if paid is None and regular is not None:
        paid = row[names[regular]]
    elif paid is None and sale is not None and not offer.start:  # what Shopify asks for is a sale price, also of 0
        paid = row[names[sale]]
    spent = frozenset() if preset is PLAIN else offer.columns
    source = {column: value for column, value in row.items() if preset.plain(column) not in spent}
    if paid is None:
        return source
    price, code = _split_currency(paid)
    if code and "currency" not in names:
        source["currency"] = code
    if regular is not None and amount(paid, table.mark) < usual < float("inf"):
        source["regular_price"], _ = _split_currency(row[names[regular]])
    return {**source, names["price"] if preset is PLAIN and "price" in names else "price": price}


def amount(value: Any, mark: Mark) -> float:
    """The number that a price is, to compare it with others; infinite, if it is none. mark: before its decimals."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return float("inf")
    read = number(value.strip(), mark)
    if read is None:
        read = Price.fromstring(value, decimal_separator=mark or None).amount_float
    return float("inf") if read is None else float(read)


def _first(columns: Iterable[str], texts: Mapping[str, str]) -> str | None:
    """The first of these columns that has a value."""
    return next((name for name in columns if texts.get(name)), None)


def _text(columns: Iterable[str], texts: Mapping[str, str]) -> str:
    return next((texts[name] for name in columns if texts.get(name)), "")


def _reduced(offer: Offer, texts: Mapping[str, str], usual: float, mark: Mark) -> float | None:
    """The usual price less what is taken off; None if nothing is."""
    off, percent = (amount(_text(columns, texts).strip(" %") or "0", mark) for columns in (offer.amount, offer.percent))
    left = (usual - off) * (1 - percent / 100)
    return round(left, 2) if 0 < left < usual < float("inf") else None


def _lasts(offer: Offer, texts: Mapping[str, str], now: datetime) -> bool:
    """Whether a sale has begun and has not ended. A time that cannot be read ends it, and of one that may be two the
    stricter one counts: nothing is sold too cheaply."""
    start, until = _text(offer.start, texts), _text(offer.until, texts)
    if "/" in until and re.match(r"\d{4}-", until):  # an interval of ISO 8601
        start, _, until = until.partition("/")
    try:
        begun = not _is_time(start) or max(_times(start, time.min, offer.month_first)) <= now
        return begun and (not _is_time(until) or now <= min(_times(until, time.max, offer.month_first)))
    except ValueError:
        return False


def _is_time(text: str) -> bool:
    return text.strip().lower() not in _NO_TIME and bool(text.strip("0-: /"))


_NO_TIME = ("n/a", "null", "none", "nil", "never", "-")
_FORMS = (
    "%m/%d/%y", "%d/%m/%y", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d.%m.%y", "%d-%m-%Y", "%Y/%m/%d", "%B %d, %Y",
    "%b %d, %Y", "%d %B %Y", "%Y年%m月%d日",
)  # fmt: skip
_OF_DAY = ("", " %H:%M", " %H:%M:%S", ", %I:%M %p", " %I:%M %p")


def _times(text: str, of_day: time, month_first: bool) -> list[datetime]:
    """The points of time that a text may mean; of a day alone its beginning or end. UTC where nothing else is said.

    Raises:
        ValueError: it is none.
    """
    text = re.sub(r"\s+", " ", text).strip()
    if re.fullmatch(r"1\d{9}", text):
        return [datetime.fromtimestamp(int(text), UTC)]
    found = []
    for form in (None, *(day + clock for day in _FORMS for clock in _OF_DAY)):
        if form and month_first and form.startswith("%d/"):
            continue
        try:
            # Google writes 13:00-0800, which older Pythons read with a colon alone.
            read = datetime.fromisoformat(text) if form is None else datetime.strptime(text, form)
        except ValueError:
            continue
        if ":" not in text:
            read = datetime.combine(read, of_day)
        found.append(read if read.tzinfo else read.replace(tzinfo=UTC))
    if not found:
        raise ValueError(text)
    return found


def _with_currency(row: dict[str, Any], names: Mapping[str, str], texts: Mapping[str, str]) -> dict[str, Any]:
    """The row with the currency that its price is written with, which the number alone would lose."""
    if "currency" in names or (name := _first(PLAIN.offer.regular, texts)) is None:
        return row
    _, code = _split_currency(row[names[name]])
    return {**row, "currency": code} if code else row


#: What a sign means wherever it stands. A dollar may be of many countries, a krona of three: these stay as they are.
_CODES = {"€": "EUR", "£": "GBP", "₹": "INR", "₩": "KRW", "₺": "TRY", "zł": "PLN", "Kč": "CZK", "Ft": "HUF", "₴": "UAH"}


def _split_currency(value: Any) -> tuple[Any, str]:
    """A price without its currency, and the currency's code, or its sign where that may be of several."""
    found = Price.fromstring(value if isinstance(value, str) else "")
    if not found.currency or not found.amount_text:
        return value, ""
    return without_currency(value, found.currency), _CODES.get(found.currency, found.currency)
