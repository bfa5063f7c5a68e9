"""Which codes a query may name, and how well a product's codes fit."""

from __future__ import annotations

import pytest

from hybrid.text import codes
from hybrid.text.codes import asked, stored


def raw(query: str, *own: str) -> float:
    found = asked(query)
    return codes.raw(found, stored(own)) if found else 0.0


def test_marks_and_spaces_do_not_matter_and_parts_do() -> None:
    for query in ("MX-500/2", "mx 500/2", "MX500/2", "mx.500.2", "buy mx-500/2 now"):
        assert raw(query, "MX-500/2") == 1.0
        assert raw(query, "MX-5002") == 0.9
    assert raw("MX5002", "MX-500/2") == 0.9
    assert raw("mx500", "MX-500/2") == 0.6 and raw("mx500", "MX-5002") == 0.5
    assert raw("mx50", "MX-500/2") == 0.0  # four characters name nothing
    assert raw("036000291452", "36000291452") == raw("36000291452", "0036000291452") == 1.0


@pytest.mark.parametrize(
    "query",
    ["red shoes", "iphone 15 case", "24 port switch", "10000mah", "towel 30 x 40", "1 tb ssd", "usb-c 3.0", "t-shirt",
     "灯", "", "shoes for 2", "one two three 4 five six seven eight nine tn-2405"],
)  # fmt: skip
def test_a_query_without_a_code_costs_nothing(query: str) -> None:
    assert asked(query) is None


@pytest.mark.parametrize(
    ("query", "certain"),
    [("TN-9999", "TN-9999"), ("toner tn-9999", "tn-9999"), ("COS9999", "COS9999"), ("4006381333931", "4006381333931"),
     ("sony a6000", ""), ("COS 9999", ""), ("17", "")],
)  # fmt: skip
def test_only_what_can_be_nothing_else_is_missed(query: str, certain: str) -> None:
    found = asked(query)
    assert found is not None and found.certain == certain
