"""Price words on the search page: a chip shows what was understood, and taking it off searches the words as typed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.serving import served
from tests.support.web_services import WebShop
from web import create_app

from .conftest import open_page

pytestmark = [pytest.mark.browser, pytest.mark.es]

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(params=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, web_shop: WebShop) -> Iterator[Page]:
    wrong: list[str] = []
    with served(create_app(web_shop.services())) as url:
        context, page = open_page(browser, wrong, base_url=url, **(PHONE if request.param == "phone" else {}))
        yield page
        context.close()
    assert wrong == []


def test_a_price_is_a_chip_that_can_be_taken_off(page: Page) -> None:
    page.goto("/?q=lamp+under+50")
    chip = page.locator(".chips .chip.on")
    expect(chip).to_have_count(1)
    expect(chip).to_contain_text("Price: under 50")
    prices = [float(text.strip("€$ ")) for text in page.locator(".card .price").all_inner_texts()]
    assert prices and max(prices) < 50
    box = chip.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= (page.viewport_size or {"width": 0})["width"]
    chip.click()
    expect(chip).to_have_count(0)
    expect(page.locator("#found-title")).to_contain_text("lamp under 50")
    page.locator("#q").fill("lamp over 5000")  # other words have their price again
    page.locator("#q").press("Enter")
    expect(chip).to_contain_text("Price: over 5000")
    expect(page.locator(".state")).to_contain_text("Nothing was found with this price (Price: over 5000).")
    page.get_by_role("link", name="Search without the price").click()
    expect(chip).to_have_count(0)
    expect(page.locator(".card").first).to_be_visible()
