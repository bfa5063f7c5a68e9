"""Whether a product can be had, in every form that a document says it."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid.catalogue.stock import in_stock
from hybrid.contracts import FieldMap
from hybrid.searches import Hit
from web.shop.view import Cards

NO = [False, "false", "False", " no ", "N", "0", 0, "0.0", -2, "outofstock", "out_of_stock", "Out of stock", "sold-out"]
NO += ["http://schema.org/OutOfStock", "https://schema.org/SoldOut/", "ausverkauft", "缺货", [False, "no"]]
YES = [True, "true", "yes", "1", 7, "12.5", "in stock", "instock", "InStock", "preorder", "有货", ["no", "yes"]]


@pytest.mark.parametrize(("values", "known"), [(NO, False), (YES, True), ([None, "", [], {}], None)])
def test_a_badge_for_whatever_means_no(values: list[Any], known: bool | None) -> None:
    cards = Cards("shop", FieldMap(roles={}), "en")
    for value in values:
        for field in ("in_stock", "availability"):
            source = {"title": "mug", field: value}
            assert in_stock(source, FieldMap({})) is known, value
            assert cards.card(Hit("p1", 0.5, {}, source), 0)["out_of_stock"] is (known is False), value
