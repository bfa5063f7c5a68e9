"""The search page in a real browser, on the sample catalogue; console errors and failed requests fail."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from hybrid.searches import SearchAnswer, SearchRequest
from tests.conftest import Sample
from tests.support.serving import served
from tests.support.web_services import Watched, heic
from web import create_app
from web.shop.page import PAGE_SIZE

from .conftest import WAIT_MS, hold_back, open_page

pytestmark = [pytest.mark.browser, pytest.mark.es, pytest.mark.models]


@pytest.fixture
def services(sample: Sample) -> Watched:
    return Watched(sample.services.settings, [sample.name])


@pytest.fixture
def url(services: Watched) -> Iterator[str]:
    with served(create_app(services)) as url:
        yield url


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:  # after `url`, so closed before its server stops
    wrong: list[str] = []
    context, page = open_page(browser, wrong, color_scheme="light")
    yield page
    context.close()
    assert wrong == []


def answer_to(sample: Sample, **request: Any) -> SearchAnswer:
    """What the core says to the same request as the page's."""
    return sample.services.searcher.search(SearchRequest(index=sample.name, size=PAGE_SIZE, **request))


def expect_answer(page: Page, answer: SearchAnswer, title: str = "name") -> None:
    """The page shows these products, in this order, and their count."""
    expect(page.locator(".card h3")).to_have_text([hit.source[title] for hit in answer.hits])
    expect(page.locator("#status strong")).to_have_text(f"{answer.total} {'products' if title == 'name' else '件商品'}")


def search(page: Page, words: str) -> None:
    page.locator("#q").fill(words)
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("#found-title")).to_contain_text(words)


def tick(page: Page, value: str) -> Any:
    """The box of a facet's value; its count follows the name."""
    return page.get_by_role("checkbox", name=re.compile(rf"^{re.escape(value)} \d"))


def first_photo(sample: Sample) -> tuple[Path, str]:
    """A photograph of the sample that is in no product, and the category of the thing on it."""
    with sample.paths.photo_queries.open(encoding="utf-8") as file:
        row = max(csv.DictReader(file), key=lambda row: (row["rating"], row["image"]))
    source = sample.services.searcher.product(sample.name, row["docid"])
    assert source is not None
    return sample.paths.products.parent / row["image"], source["category"]


def test_search_stays_on_the_page_and_says_the_count(page: Page, url: str, sample: Sample) -> None:
    expected = answer_to(sample, q="umbrella")
    page.goto(url)
    expect(page.get_by_role("heading", level=1)).to_have_text("Find it by word or by picture.")
    page.evaluate("window.stayed = true")
    search(page, "umbrella")
    expect_answer(page, expected)
    expect(page.locator(".card mark").first).to_have_text("Umbrella")
    expect(page).to_have_url(re.compile(r"\?q=umbrella$"))
    expect(page).to_have_title("umbrella · Hybrid")
    expect(page.locator("#live")).to_contain_text(f"{expected.total} products")
    assert page.evaluate("window.stayed")
    page.reload()
    expect_answer(page, expected)


def test_suggestions_by_keyboard(page: Page, url: str, sample: Sample) -> None:
    expected = [option["text"] for option in sample.services.searcher.suggest(sample.name, "kiln", 8)]
    assert len(expected) == 8
    page.goto(url)
    box = page.get_by_role("combobox", name="Search products")
    options = page.get_by_role("option")
    box.press_sequentially("kiln")
    expect(options.locator(".what")).to_have_text(expected)
    expect(box).to_have_attribute("aria-expanded", "true")
    box.press("ArrowDown")
    expect(box).to_have_attribute("aria-activedescendant", "suggestion-0")
    expect(options.first).to_have_attribute("aria-selected", "true")
    box.press("Escape")
    expect(box).to_have_attribute("aria-expanded", "false")
    expect(box).to_have_value("kiln")
    box.press("ArrowDown")
    expect(options).to_have_count(len(expected))
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value(expected[0])
    expect(page).to_have_url(f"{url}/?q={expected[0].replace(' ', '+')}")
    expect_answer(page, answer_to(sample, q=expected[0]))


def test_facets_price_and_the_back_button(page: Page, url: str, sample: Sample) -> None:
    chairs = answer_to(sample, filters={"category": ["chairs"]})
    both = answer_to(sample, filters={"category": ["chairs"], "price": {"lte": 100}})
    cheap = answer_to(sample, filters={"price": {"lte": 100}})
    assert 0 < both.total < chairs.total
    page.goto(url)
    tick(page, "chairs").check()
    expect_answer(page, chairs)
    expect(tick(page, "chairs")).to_be_focused()
    page.get_by_role("spinbutton", name="To").fill("100")
    page.keyboard.press("Enter")
    expect_answer(page, both)
    expect(page).to_have_url(re.compile(r"max\.price=100"))
    page.get_by_role("link", name=re.compile("Remove filter: Category: chairs")).click()
    expect_answer(page, cheap)
    page.get_by_role("spinbutton", name="To").fill("1")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing matches that")).to_be_visible()
    page.go_back()
    expect_answer(page, cheap)
    page.go_back()
    expect_answer(page, both)
    expect(page.get_by_role("spinbutton", name="To")).to_have_value("100")
    page.go_back()
    expect_answer(page, chairs)
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Find it by word or by picture.")
    expect(tick(page, "chairs")).not_to_be_checked()


def test_two_values_of_a_facet_are_any_of(page: Page, url: str, sample: Sample) -> None:
    page.goto(url)
    tick(page, "chairs").check()
    expect_answer(page, answer_to(sample, filters={"category": ["chairs"]}))
    tick(page, "boots").check()
    expect_answer(page, answer_to(sample, filters={"category": ["boots", "chairs"]}))
    page.get_by_role("link", name=re.compile("Remove filter: Category: chairs")).click()
    expect_answer(page, answer_to(sample, filters={"category": ["boots"]}))


def test_paging(page: Page, url: str, sample: Sample) -> None:
    first, second = answer_to(sample), answer_to(sample, page=2)
    page.goto(url)
    page.get_by_role("link", name="Next").click()
    expect(page.locator(".pager [aria-current=page]")).to_have_text("2")
    expect_answer(page, second)
    expect(page.locator("#found-title")).to_be_focused()
    page.go_back()
    expect_answer(page, first)


def test_a_photo(page: Page, url: str, services: Watched, sample: Sample, tmp_path: Path) -> None:
    photo, category = first_photo(sample)
    big = tmp_path / "big.png"
    Image.open(photo).resize((1500, 1200)).save(big)
    page.goto(url)
    page.locator("#photo-file").set_input_files(big)
    expect(page.locator("#found-title")).to_have_text("Products like your photo")
    expect(page.locator("#thumb img")).to_be_visible()
    sent = services.searcher.asked[-1].image
    assert sent is not None
    with Image.open(io.BytesIO(sent)) as small:
        assert (small.format, small.size) == ("JPEG", (1024, 819))  # made smaller before it was sent
    found = answer_to(sample, image=sent)
    assert {hit.source["category"] for hit in found.hits[:5]} == {category}
    expect_answer(page, found)
    search(page, "red")
    expect(page.locator("#found-title")).to_contain_text("and your photo")
    expect_answer(page, answer_to(sample, q="red", image=sent))
    page.locator(".why summary").first.click()
    expect(page.locator(".why-body").first).to_contain_text("Picture")
    page.reload()
    expect(page.locator("#found-title")).to_contain_text("and your photo")
    page.get_by_role("button", name="Remove the photo").click()
    expect(page.locator("#thumb")).to_be_hidden()
    expect(page.locator("#found-title")).not_to_contain_text("photo")
    expect_answer(page, answer_to(sample, q="red"))
    page.go_back()
    expect(page.locator("#thumb img")).to_be_visible()
    expect(page.locator("#found-title")).to_contain_text("and your photo")


def test_a_photo_that_is_chosen_before_the_script_is_there(page: Page, url: str, sample: Sample) -> None:
    script = hold_back(page, "app.js", url)
    page.locator("#photo-file").set_input_files(first_photo(sample)[0])
    script.continue_()
    expect(page.locator("#found-title")).to_have_text("Products like your photo")
    expect(page.locator("#thumb img")).to_be_visible()


def test_similar_products(page: Page, url: str, sample: Sample, tmp_path: Path) -> None:
    """From a photo to what is like one of its hits: the photo is left behind; words leave the product behind."""
    photo, _ = first_photo(sample)
    page.goto(url)
    page.locator("#photo-file").set_input_files(photo)
    expect(page.locator("#found-title")).to_have_text("Products like your photo")
    chosen = page.locator(".card").nth(12)  # far down the page
    title = chosen.locator("h3").inner_text()
    product = answer_to(sample, image=photo.read_bytes()).hits[12]
    assert product.source["name"] == title
    chosen.get_by_role("link", name=re.compile(rf"Similar products\W+{re.escape(title)}")).click()
    expect(page.locator("#found-title")).to_have_text(re.compile(rf"^Products like\W+{re.escape(title)}\W*$"))
    alike = answer_to(sample, like=product.id)
    assert product.id not in [hit.id for hit in alike.hits]
    expect_answer(page, alike)
    expect(page.locator("#thumb")).to_be_hidden()
    expect(page.locator("#found-title")).to_be_in_viewport()
    expect(page).to_have_url(f"{url}/?like={product.id}")
    kind = alike.hits[0].source["category"]
    tick(page, kind).check()
    expect_answer(page, answer_to(sample, like=product.id, filters={"category": [kind]}))
    page.go_back()
    expect_answer(page, alike)
    search(page, "umbrella")
    expect_answer(page, answer_to(sample, q="umbrella"))
    assert "like=" not in page.url
    assert page.request.get(f"{url}/?like=none").status == 400


def test_a_file_that_is_no_picture(page: Page, url: str, services: Watched) -> None:
    page.goto(url)
    asked = len(services.searcher.asked)
    page.locator("#photo-file").set_input_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"no"})
    expect(page.get_by_role("alert")).to_contain_text("cannot be read as a picture")
    assert len(services.searcher.asked) == asked


def test_a_heic_that_the_browser_cannot_read(page: Page, url: str, services: Watched, sample: Sample) -> None:
    """As iPhones write photos: chosen, dropped and pasted, with the type that a system gives it or with none."""
    with Image.open(first_photo(sample)[0]) as picture:
        photo = heic(picture.convert("RGB"))
    expected = answer_to(sample, image=photo)
    page.goto(url)
    give = """([how, type, bytes]) => {
      const data = new DataTransfer();
      const held = Uint8Array.from(atob(bytes), (character) => character.charCodeAt(0));
      data.items.add(new File([held], "IMG_0001.HEIC", {type}));
      const bubbling = {bubbles: true, cancelable: true};
      const event = how === "drop" ? new DragEvent("drop", {dataTransfer: data, ...bubbling})
        : new ClipboardEvent("paste", {clipboardData: data, ...bubbling});
      document.body.dispatchEvent(event);
    }"""
    for how in ("choose", "drop", "paste"):
        for mimetype in ("image/heic", ""):
            asked = len(services.searcher.asked)
            if how == "choose":
                upload: Any = {"name": "IMG_0001.HEIC", "mimeType": mimetype, "buffer": photo}
                page.locator("#photo-file").set_input_files(upload)
            else:
                page.evaluate(give, [how, mimetype, base64.b64encode(photo).decode()])
            expect(page.locator("#found-title")).to_have_text("Products like your photo")
            expect_answer(page, expected)
            expect(page.locator("#thumb .kind")).to_have_text("Your photo")  # there is no picture of it to show
            expect(page.locator("#thumb img")).to_be_hidden()
            assert len(services.searcher.asked) == asked + 1 and services.searcher.asked[-1].image == photo
            page.get_by_role("button", name="Remove the photo").click()
            expect(page.locator("#found-title")).to_have_text("All products")
    # A file that is called HEIC and is none is refused before anything is sent.
    asked = len(services.searcher.asked)
    page.locator("#photo-file").set_input_files({"name": "a.heic", "mimeType": "image/heic", "buffer": b"no"})
    expect(page.get_by_role("alert")).to_contain_text("cannot be read as a picture")
    assert len(services.searcher.asked) == asked


def test_drop_and_paste(page: Page, url: str, services: Watched) -> None:
    page.goto(url)
    give = """async (how) => {
      const canvas = new OffscreenCanvas(40, 40); canvas.getContext("2d").fillRect(0, 0, 20, 40);
      const data = new DataTransfer();
      data.items.add(new File([await canvas.convertToBlob()], "a.png", {type: "image/png"}));
      const bubbling = {bubbles: true, cancelable: true};
      const event = how === "drop" ? new DragEvent("drop", {dataTransfer: data, ...bubbling})
        : new ClipboardEvent("paste", {clipboardData: data, ...bubbling});
      document.body.dispatchEvent(event);
    }"""
    for how in ("drop", "paste"):
        page.evaluate(give, how)
        expect(page.locator("#thumb img")).to_be_visible()
        expect(page.locator("#found-title")).to_have_text("Products like your photo")
        page.get_by_role("button", name="Remove the photo").click()
        expect(page.locator("#thumb")).to_be_hidden()
        expect(page.locator("#found-title")).to_have_text("All products")
    assert sum(asked.image is not None for asked in services.searcher.asked) == 2


def test_why_this_result_adds_up(page: Page, url: str, sample: Sample) -> None:
    best = answer_to(sample, q="red sneakers").hits[0]
    page.goto(f"{url}/?q=red+sneakers")
    card = page.locator(".card").first
    summary = card.locator("summary")
    summary.focus()
    summary.press("Enter")
    expect(card.locator(".why-body")).to_be_visible()
    parts = [float(text) for text in card.locator(".signal:not(.total) .plus").all_inner_texts()]
    total = float(card.locator(".signal.total .plus").inner_text())
    assert total == pytest.approx(best.score, abs=0.0006)
    told = [name for name, part in best.signals.items() if part.contribution]
    assert len(parts) == len(told) > 4 and {"lexical", "lexical.all", "text"} <= set(told)
    assert sum(parts) == pytest.approx(total, abs=0.0016)  # each is rounded to 3 digits


def test_language(page: Page, url: str, sample: Sample) -> None:
    page.goto(url)
    search(page, "sneakers")
    page.get_by_role("link", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect_answer(page, answer_to(sample, q="sneakers"), "name_zh")
    page.locator("#q").fill("運動鞋")  # traditional characters; the catalogue has simplified ones
    page.get_by_role("button", name="搜索", exact=True).click()
    found = answer_to(sample, q="運動鞋")
    assert {hit.source["category_zh"] for hit in found.hits} == {"运动鞋"}
    expect_answer(page, found, "name_zh")
    tick(page, "运动鞋").check()
    expect(page.locator(".chips")).to_contain_text("分类: 运动鞋")
    expect(page).to_have_url(re.compile("lang=zh"))
    page.get_by_role("link", name="English").click()
    expect(page.locator(".chips")).to_contain_text("Category: 运动鞋")  # a filter outlives the language


def test_dark_mode_is_remembered(page: Page, url: str) -> None:
    page.goto(url)
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Switch between light and dark").click()
    dark = page.evaluate(ground)
    assert light != dark
    page.reload()
    assert page.evaluate(ground) == dark
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate(ground) == light


def test_a_phone_starts_with_the_results(page: Page, url: str, sample: Sample) -> None:
    brand = answer_to(sample, q="sneakers").facets["brand"][0]["value"]
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{url}/?q=sneakers")
    expect(tick(page, brand)).to_be_hidden()
    page.locator("#facets > summary").click()
    tick(page, brand).check()
    expect_answer(page, answer_to(sample, q="sneakers", filters={"brand": [brand]}))
    expect(page).to_have_url(re.compile(brand))
    expect(tick(page, brand)).to_be_visible()  # stays open to tick more
    page.get_by_role("button", name=re.compile("Show results")).click()
    expect(tick(page, brand)).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_script(browser: Browser, url: str, services: Watched, sample: Sample) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en-GB")
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto(url)
    page.locator("#q").fill("sneakers")
    page.get_by_role("button", name="Search", exact=True).click()
    expect_answer(page, answer_to(sample, q="sneakers"))
    color = answer_to(sample, q="sneakers").facets["color"][0]["value"]
    tick(page, color).check()
    page.get_by_role("button", name="Apply filters").click()
    expect_answer(page, answer_to(sample, q="sneakers", filters={"color": [color]}))
    page.goto(url)
    photo = first_photo(sample)[0].read_bytes()
    upload: Any = {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photo}
    page.locator("input[name=image]").set_input_files(upload)
    page.get_by_role("button", name="Search with photo").click()
    expect(page.locator("#found-title")).to_have_text("Products like your photo")
    expect_answer(page, answer_to(sample, image=photo))
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".pager [aria-current=page]")).to_have_text("2")
    expect_answer(page, answer_to(sample, image=photo, page=2))
    assert services.searcher.asked[-1].image == photo
    context.close()


def test_nobody_answers(browser: Browser, url: str, sample: Sample) -> None:
    page = browser.new_page(locale="en-GB")  # not the fixture: here a request is meant to fail
    page.goto(url)
    page.route("**/?q=*", lambda route: route.abort("internetdisconnected"))
    page.locator("#q").fill("sneakers")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("main").get_by_text("No answer from the shop")).to_be_visible()
    page.unroute("**/?q=*")
    page.get_by_role("link", name="Try again").click()
    expect_answer(page, answer_to(sample, q="sneakers"))
    page.close()
