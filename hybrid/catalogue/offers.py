"""What a product costs now: its usual price, a sale price while it lasts, and the currency. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from typing import Any

from price_parser import Price

from hybrid.catalogue.presets import PLAIN, Offer, Preset, plain

_SALE, _USUAL = frozenset(PLAIN.offer.sale), frozenset(PLAIN.offer.regular)


def is_settled(row: Mapping[str, Any]) -> bool:
    """Whether a row of no known platform has one price at most, and no currency with it, as nearly all have."""
    for column, value in row.items():
        name = plain(column)
        if name in _SALE or (name in _USUAL and isinstance(value, str) and _has_sign(value)):
            return False
    return True


def _has_sign(text: str) -> bool:
    return not text.isascii() or any(char.isalpha() or char == "$" for char in text)


def offered(
    preset: Preset, row: dict[str, Any], names: Mapping[str, str], texts: Mapping[str, str], now: datetime
) -> dict[str, Any]:
    """A row with `price`, what is paid now, `regular_price`, if that is higher, and `currency`, as far as it says.

    names: plain name of a column -> its own name. texts: plain name -> its value as text. now: when the run began.
    """
    offer = preset.offer
    if preset is PLAIN and not any(name in names for name in offer.sale):
        return _with_currency(row, names, texts)
    regular = _first(offer.regular, texts)
    sale = _first(offer.sale, texts)
    if sale is None or not re.search(r"[1-9]", texts[sale]):
        off = _reduced(offer, texts, texts[regular] if regular else None)
        names, texts, row = {**names, "": ""}, {**texts, "": off}, {**row, "": float(off or 0)}
        sale = "" if off else None
    if sale is not None and not _lasts(offer, texts, now):
        sale = None
    spent = frozenset() if preset is PLAIN else offer.columns
    source = {column: value for column, value in row.items() if column and plain(column) not in spent}
    paid = regular if sale is None else sale
    if paid is None:
        return source
    price, code = _split_currency(row[names[paid]])
    if code and "currency" not in names:
        source["currency"] = code
    if sale is not None and regular is not None and amount(texts[regular]) > amount(texts[sale]):
        source["regular_price"], _ = _split_currency(row[names[regular]])
    return {**source, names["price"] if preset is PLAIN and "price" in names else "price": price}


def amount(value: Any) -> float:
    """The number that a price is, to compare it with others; infinite, if it is none."""
    found = Price.fromstring(str(value)).amount_float
    return float("inf") if found is None else found


def _first(columns: Iterable[str], texts: Mapping[str, str]) -> str | None:
    """The first of these columns that has a value."""
    return next((name for name in columns if texts.get(name)), None)


def _text(columns: Iterable[str], texts: Mapping[str, str]) -> str:
    return next((texts[name] for name in columns if texts.get(name)), "")


def _reduced(offer: Offer, texts: Mapping[str, str], regular: str | None) -> str:
    """The price less what is taken off; "" if nothing is."""
    if regular is None:
        return ""
    whole = amount(regular)
    off, percent = (amount(_text(columns, texts) or "0") for columns in (offer.amount, offer.percent))
    left = (whole - off) * (1 - percent / 100)
    return f"{left:.2f}" if 0 < left < whole else ""


def _lasts(offer: Offer, texts: Mapping[str, str], now: datetime) -> bool:
    """Whether a sale has begun and has not ended. A time that cannot be read ends it: nothing is sold too cheaply."""
    start, until = _text(offer.start, texts), _text(offer.until, texts)
    if "/" in until and re.match(r"\d{4}-", until):  # an interval of ISO 8601
        start, _, until = until.partition("/")
    try:
        begun = not _is_time(start) or _time(start, time.min) <= now
        return begun and (not _is_time(until) or now <= _time(until, time.max))
    except ValueError:
        return False


def _is_time(text: str) -> bool:
    return bool(text.strip("0-: /"))


_TIMES = ("%m/%d/%y", "%m/%d/%Y", "%m/%d/%y, %I:%M %p", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%Y/%m/%d")


def _time(text: str, of_day: time) -> datetime:
    """A point of time; of a day alone its beginning or end. UTC where nothing else is said.

    Raises:
        ValueError: it is none.
    """
    text = text.strip()
    for form in (None, *_TIMES):
        try:
            # Google writes 13:00-0800, which older Pythons read with a colon alone.
            read = datetime.fromisoformat(text) if form is None else datetime.strptime(text, form)
        except ValueError:
            continue
        if len(text) <= 10 and ":" not in text:
            read = datetime.combine(read, of_day)
        return read if read.tzinfo else read.replace(tzinfo=UTC)
    raise ValueError(text)


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
    bare = value.replace(found.currency, "", 1).strip()
    return bare, _CODES.get(found.currency, found.currency)
