"""The search page in a real browser, on made-up services; console errors and failed requests fail."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from .screenshots import CHROMIUM_ARGS, chromium
from .shop import Services, catalogue, draw, paint, serving

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def media_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    paint(folder)
    draw("chair", "#cdb48c").save(folder / "images" / "chair-sand.jpg")  # no request may fail here
    return folder


@pytest.fixture
def services(media_root: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    module = types.ModuleType("hybrid.media")
    module.resolve_image = lambda value, root: Path(root) / value  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hybrid.media", module)
    return Services(catalogue(), media_root)


@pytest.fixture
def url(services: Services) -> Iterator[str]:
    with serving(services) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:  # after `url`, so closed before its server stops
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light", locale="en-GB")
    context.set_default_timeout(10_000)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda m: wrong.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    page.on("response", lambda r: wrong.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    # Requests that the page itself drops (older suggestions, an overtaken search) are no failures.
    page.on(
        "requestfailed",
        lambda r: wrong.append(f"{r.failure} {r.url}") if "ERR_ABORTED" not in (r.failure or "") else None,
    )
    yield page
    context.close()
    assert wrong == []


def search(page: Page, words: str) -> None:
    page.locator("#q").fill(words)
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("#found-title")).to_contain_text(words)


def test_search_stays_on_the_page_and_says_the_count(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_role("heading", level=1)).to_have_text("Find it by word or by picture.")
    page.evaluate("window.stayed = true")
    search(page, "shoes")
    expect(page.locator(".card")).to_have_count(6)
    expect(page.locator(".card mark").first).to_have_text("shoes")
    expect(page).to_have_url(re.compile(r"\?q=shoes$"))
    expect(page).to_have_title("shoes · Hybrid")
    expect(page.locator("#live")).to_contain_text("6 products")
    assert page.evaluate("window.stayed")
    page.reload()
    expect(page.locator(".card")).to_have_count(6)


def test_suggestions_by_keyboard(page: Page, url: str) -> None:
    page.goto(url)
    box = page.get_by_role("combobox", name="Search products")
    box.press_sequentially("sho")
    expect(page.get_by_role("option")).to_have_count(1)
    expect(box).to_have_attribute("aria-expanded", "true")
    box.press("ArrowDown")
    expect(box).to_have_attribute("aria-activedescendant", "suggestion-0")
    expect(page.get_by_role("option").first).to_have_attribute("aria-selected", "true")
    box.press("Escape")
    expect(box).to_have_attribute("aria-expanded", "false")
    expect(box).to_have_value("sho")
    box.press("ArrowDown")
    expect(page.get_by_role("option")).to_have_count(1)
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value("Shoes")
    expect(page).to_have_url(re.compile(r"\?q=Shoes$"))
    expect(page.locator(".card")).to_have_count(6)


def test_facets_price_and_the_back_button(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_role("checkbox", name=re.compile("^Furniture")).check()
    expect(page.locator(".card")).to_have_count(6)
    expect(page.get_by_role("checkbox", name=re.compile("^Furniture"))).to_be_focused()
    page.get_by_role("checkbox", name=re.compile("^Bags")).check()
    expect(page.locator(".card")).to_have_count(12)
    page.get_by_role("spinbutton", name="To").fill("100")
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(6)
    expect(page).to_have_url(re.compile(r"max\.price=100"))
    page.get_by_role("link", name=re.compile("Remove filter: Category: Bags")).click()
    expect(page.get_by_text("Nothing matches that")).to_be_visible()
    page.go_back()
    expect(page.locator(".card")).to_have_count(6)
    expect(page.get_by_role("spinbutton", name="To")).to_have_value("100")
    page.go_back()
    expect(page.locator(".card")).to_have_count(12)
    page.go_back()
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Find it by word or by picture.")
    expect(page.get_by_role("checkbox", name=re.compile("^Furniture"))).not_to_be_checked()


def test_paging(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_role("link", name="Next").click()
    expect(page.locator(".pager [aria-current=page]")).to_have_text("2")
    expect(page.locator(".card")).to_have_count(12)
    expect(page.locator("#found-title")).to_be_focused()
    page.go_back()
    expect(page.locator(".card")).to_have_count(24)


def test_a_photo(page: Page, url: str, services: Services, tmp_path: Path) -> None:
    big = tmp_path / "big.png"
    draw("shoe", "#33456b", 1500).save(big)
    page.goto(url)
    page.locator("#photo-file").set_input_files(big)
    expect(page.locator("#found-title")).to_have_text("Products like your photo")
    expect(page.locator("#thumb img")).to_be_visible()
    expect(page.locator(".card h3").first).to_contain_text("trainers")
    sent = services.searcher.asked[-1].image
    assert sent is not None
    assert sent.startswith(b"\xff\xd8\xff")
    assert len(sent) < 200_000  # made smaller before it was sent
    search(page, "shoes")
    expect(page.locator("#found-title")).to_contain_text("and your photo")
    page.locator(".why summary").first.click()
    expect(page.locator(".why-body").first).to_contain_text("Picture")
    page.reload()
    expect(page.locator("#found-title")).to_contain_text("and your photo")
    page.get_by_role("button", name="Remove the photo").click()
    expect(page.locator("#thumb")).to_be_hidden()
    expect(page.locator("#found-title")).not_to_contain_text("photo")
    page.go_back()
    expect(page.locator("#thumb img")).to_be_visible()
    expect(page.locator("#found-title")).to_contain_text("and your photo")


def test_a_file_that_is_no_picture(page: Page, url: str, services: Services) -> None:
    page.goto(url)
    asked = len(services.searcher.asked)
    page.locator("#photo-file").set_input_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"no"})
    expect(page.get_by_role("alert")).to_contain_text("cannot be read as a picture")
    assert len(services.searcher.asked) == asked


def test_drop_and_paste(page: Page, url: str, services: Services) -> None:
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


def test_why_this_result_adds_up(page: Page, url: str) -> None:
    page.goto(f"{url}/?q=shoes")
    card = page.locator(".card").first
    summary = card.locator("summary")
    summary.focus()
    summary.press("Enter")
    expect(card.locator(".why-body")).to_be_visible()
    parts = [float(text) for text in card.locator(".signal:not(.total) .plus").all_inner_texts()]
    total = float(card.locator(".signal.total .plus").inner_text())
    assert sum(parts) == pytest.approx(total, abs=0.0011)  # each is rounded to 3 digits


def test_language(page: Page, url: str) -> None:
    page.goto(url)
    search(page, "shoes")
    page.get_by_role("link", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(page.locator(".card h3").first).to_contain_text("日常针织运动鞋")
    page.get_by_role("checkbox", name=re.compile("^鞋履")).check()
    expect(page.locator(".chips")).to_contain_text("分类: 鞋履")
    expect(page).to_have_url(re.compile("lang=zh"))
    page.get_by_role("link", name="English").click()
    expect(page.locator(".chips")).to_contain_text("Category: 鞋履")  # a filter outlives the language


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


def test_a_phone_starts_with_the_results(page: Page, url: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{url}/?q=shoes")
    shoes = page.get_by_role("checkbox", name=re.compile("^Strato"))
    expect(shoes).to_be_hidden()
    page.locator("#facets > summary").click()
    shoes.check()
    expect(page).to_have_url(re.compile("Strato"))
    expect(page.get_by_role("checkbox", name=re.compile("^Strato"))).to_be_visible()  # stays open to tick more
    page.get_by_role("button", name=re.compile("Show results")).click()
    expect(page.get_by_role("checkbox", name=re.compile("^Strato"))).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_script(browser: Browser, url: str, tmp_path: Path, services: Services) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en-GB")
    page = context.new_page()
    page.goto(url)
    page.locator("#q").fill("shoes")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator(".card")).to_have_count(6)
    page.get_by_role("checkbox", name=re.compile("^forest", re.IGNORECASE)).check()
    page.get_by_role("button", name="Apply filters").click()
    expect(page.locator(".card")).to_have_count(1)
    page.goto(url)
    picture = tmp_path / "shoe.jpg"
    draw("shoe", "#33456b", 200).save(picture)
    page.locator("input[name=image]").set_input_files(picture)
    page.get_by_role("button", name="Search with photo").click()
    expect(page.locator("#found-title")).to_have_text("Products like your photo")
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".pager [aria-current=page]")).to_have_text("2")
    assert services.searcher.asked[-1].image == picture.read_bytes()
    context.close()


def test_nobody_answers(browser: Browser, url: str) -> None:
    page = browser.new_page(locale="en-GB")  # not the fixture: here a request is meant to fail
    page.goto(url)
    page.route("**/?q=*", lambda route: route.abort("internetdisconnected"))
    page.locator("#q").fill("shoes")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("main").get_by_text("No answer from the shop")).to_be_visible()
    page.unroute("**/?q=*")
    page.get_by_role("link", name="Try again").click()
    expect(page.locator(".card")).to_have_count(6)
    page.close()
