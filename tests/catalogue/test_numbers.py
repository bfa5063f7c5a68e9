"""Numbers as people write them, and columns of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.catalogue import checks
from hybrid.catalogue.fields import guess_fields
from hybrid.catalogue.numbers import MARKS, evidence, number
from hybrid.catalogue.values import conform
from hybrid.contracts import FieldMap, Mark

#: (text, decimal mark of its column, the number or None)
WRITTEN: list[tuple[str, Mark, float | None]] = [
    ("11,50", ",", 11.5), ("11.50", ".", 11.5), ("1.299,00", ",", 1299), ("1,299.00", ".", 1299),
    ("€ 12", ",", 12), ("12 €", ".", 12), ("1 299 kr", ",", 1299), ("1\u00a0299,00\u00a0Kč", ",", 1299),
    ("CHF 1'299.50", ".", 1299.5), ("1’299.50", ".", 1299.5), ("US$ 12.00", ".", 12), ("R$ 1.234,56", ",", 1234.56),
    ("¥1200", ".", 1200), ("Rs. 1,299", ".", 1299), ("₹1,29,900", ".", 129900), ("12.50 EUR", ".", 12.5),
    ("12 kr.", ",", 12), ("kr. 12,50", ",", 12.5), ("Rs.500", ".", 500),
    ("zł 12,5", ",", 12.5), ("12,-", ",", 12), ("-5,00", ",", -5), ("€ -5,00", ",", -5), ("−3,5", ",", -3.5),
    ("1.299", ",", 1299), ("1,299", ".", 1299), ("1,299", ",", 1.299), ("1.299", ".", 1.299),
    ("1,299", "", None), ("1.299,00", "", 1299), ("11.50", "", 11.5), ("11,50", "", 11.5), ("1.299.000", "", 1299000),
    ("0,5", ",", 0.5), ("0.500", ".", 0.5), ("1234.567", ".", 1234.567),
    # of the other mark, or no number at all
    ("11,50", ".", None), ("11.50", ",", None), ("0.500", ",", None), ("1.299,000,50", ",", None),
    ("00123", ".", None), ("030 123 456", ",", None), ("4,5,6", ",", None), ("12 cm", ".", None), ("1.5 l", ".", None),
    ("ab 12 €", ",", None), ("5 EUR / kg", ",", None), ("from 11 to 20", ".", None), ("HOOD-12", ".", None),
    ("2024-05-31", ".", None), ("10-20", ".", None), ("12 %", ".", None), ("", ".", None), ("€", ".", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "mark", "expected"), WRITTEN)
def test_one_number(text: str, mark: Mark, expected: float | None) -> None:
    assert number(text, mark) == expected


@given(
    st.integers(-(10**9), 10**9), st.integers(0, 99), st.sampled_from(MARKS), st.sampled_from(["", " ", "group", "'"])
)
def test_whatever_is_written_by_the_rules_is_read_back(whole: int, cents: int, mark: Mark, group: str) -> None:
    between = {"group": "." if mark == "," else ",", "": ""}.get(group, group)
    grouped = f"{abs(whole):,}".replace(",", between)
    text = f"{'-' if whole < 0 else ''}{grouped}{mark}{cents:02}"
    wanted = abs(whole) + cents / 100
    assert number(text, mark) == pytest.approx(-wanted if whole < 0 else wanted)


@pytest.mark.parametrize(
    ("texts", "mark", "sure"),
    [
        (["11", "16,50"], ",", True), (["11.50", "1,299"], ".", True), (["1.299", "11,5"], ",", True),
        (["11,50", "12.50"], "", True), (["1,299", "2,450"], ".", False), (["1.299", "2.450"], ".", False),
        (["1.299.000"], ",", True), (["11", "12"], ".", True), (["1 299"], ".", True), (["0.500", "1.299"], ".", True),
    ],
)  # fmt: skip
def test_a_column_says_which_mark_it_has(texts: list[str], mark: Mark, sure: bool) -> None:
    seen = evidence(texts)
    assert (seen.mark, seen.is_sure) == (mark, sure)


def rows(*prices: Any, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"p{n}", "title": f"Lamp {n}", "price": price, **more} for n, price in enumerate(prices)]


@pytest.mark.parametrize(
    ("column", "values", "kind", "mark"),
    [
        ("price", ["11", "12", "16,50"], "double", ","),
        ("price", ["11.50", "12.00"], "double", None),
        ("price", ["€ 12", "€ 14.50"], "double", "."),
        ("price", [11.5, 12], "double", None),
        ("weight", ["1,5", "2"] * 5, "double", ","),
        ("stock", ["1 200", "3"] * 5, "long", "."),
        ("size", ["38,40,42", "36,38"] * 5, "keyword", None),
        ("sku", ["10,5", "11,5"] * 5, None, None),
        ("ean", ["4 006 381 333 931", "4 006 381 333 948"], None, None),
        ("phone", ["030 123 456", "040 654 321"], None, None),
    ],
)
def test_what_a_column_becomes(column: str, values: list[Any], kind: str | None, mark: Mark | None) -> None:
    products = [{"id": f"p{n}", "title": f"Lamp {n}", column: value} for n, value in enumerate(values)]
    fields = guess_fields(products)
    assert (fields.types.get(column), fields.marks.get(column)) == (kind, mark)


def test_somebody_may_say_which_mark_it_is() -> None:
    products = rows("1.299", "2.450")
    assert guess_fields(products).marks == {}
    fields = guess_fields(products, decimal=",")
    assert conform(products[0], fields)["price"] == 1299


def test_the_rows_after_the_sample_settle_what_the_sample_leaves_open() -> None:
    sample = rows("1,299", "2,450")
    fields, notes = checks.settled(guess_fields(sample), sample, iter(rows("3,100")), None)
    assert fields.marks == {"price": "."} and "--decimal , reads 1.299" in notes[0]
    fields, notes = checks.settled(guess_fields(sample), sample, iter(rows("3,100", "11,50")), None)
    assert fields.marks == {"price": ","} and "as in 1.299,00" in notes[0]
    sample = rows("1.299", "2.450")
    fields, notes = checks.settled(guess_fields(sample), sample, iter(rows("11,50")), None)
    assert fields.marks == {"price": ","}
    fields, notes = checks.settled(guess_fields(sample), sample, iter(()), None)
    assert fields.marks == {} and "1.299 stays 1.299" in notes[0]
    sample = rows("11.50")
    assert checks.settled(guess_fields(sample), sample, iter(()), None)[1] == []


def test_numbers_are_read_wherever_their_path_leads() -> None:
    marks: dict[str, Mark] = {"price": ",", "offers.price": ",", "a.b": ","}
    source = {
        "price": ["11,50", 3, "ask us"],
        "offers": [{"price": "1,5"}, "x"],
        "a": {"b": "2,5", "c": "2,5"},
        "b": "2,5",
    }
    before = repr(source)
    assert conform(source, FieldMap({}, marks=marks)) == {
        "price": [11.5, 3, "ask us"], "offers": [{"price": 1.5}, "x"], "a": {"b": 2.5, "c": "2,5"}, "b": "2,5",
    }  # fmt: skip
    assert repr(source) == before


def test_values_that_do_not_fit_their_field() -> None:
    kinds = {"price": "double", "on": "boolean", "when": "date", "brand": "keyword", "where": "geo_point"}
    fields = FieldMap({"id": ("id",), "title": ("title",)}, kinds)
    good = {
        "price": [1, "2.5", ""],
        "on": ["true", False],
        "when": ["2024-05-31", 1717100000000],
        "brand": 3,
        "where": "x",
    }
    assert list(checks.misfits(good, fields)) == []
    bad = {"price": ["11,50", True], "on": "yes", "when": "31.05.2024", "brand": "x"}
    assert [path for path, _ in checks.misfits(bad, fields)] == ["price", "price", "on", "when"]


def test_what_an_index_loses() -> None:
    before = guess_fields(rows("11.50", "12.50", brand="Lux"))
    assert checks.losses(before, before, rows("11.50")) == []
    after = rows("on request", "ask us")
    said = checks.losses(before, guess_fields(after), after)
    assert any(
        "no field of this file is the brand, as brand was; name it with --map brand=FIELD" in one for one in said
    )
    assert any("price was a number, and does not read as one: 'on request'" in one for one in said)
