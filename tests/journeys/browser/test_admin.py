"""The admin pages in a real browser: accessible in both themes, no console error, no failed request."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from hybrid.operations import evaluations
from hybrid.operations.orders import learning_slot
from hybrid.services import Services
from tests.conftest import make_services, npm_package
from tests.support.admin_client import PASSWORD
from tests.support.admin_seed import done, empty, fill, make_index
from tests.support.raw import client_of
from tests.support.serving import served
from web import create_app
from web.admin import live

from .admin_screenshots import ERROR, sign_in, walk
from .conftest import open_page

pytestmark = [pytest.mark.browser, pytest.mark.es]
#: What there is to see at least; see admin_screenshots.walk.
KINDS = {
    "index", "tryit", "tryit-list-q", "tryit-own", "judgments", "judgments-of", "judgments-of-coverage", "evaluations",
    "evaluations-list", "evaluations-run", "evaluations-compare", "weights", "weights-version", "weights-compare",
    "weights-confirm", "reindex", "reindex-of", "failures", "failures-of", "audit", "error",
}  # fmt: skip

LOOKS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 390), ("dark", 1280))
#: What ends further right than its panel; a table may, for it is scrolled in its box.
STICKS_OUT = """() => [...document.querySelectorAll(".panel")].flatMap((panel) => {
  const edge = panel.getBoundingClientRect().right + 0.5;
  return [...panel.querySelectorAll("input, select, button, a, p, h2, h3, dd, label, svg, .table-box")]
    .filter((one) => !one.matches(".table-box *, .sr-only, [type=hidden]") && one.getBoundingClientRect().right > edge)
    .map((one) => one.outerHTML.slice(0, 120));
})"""


@pytest.fixture(scope="module")
def services(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A shop with something on every page."""
    index = f"t{uuid.uuid4().hex[:10]}"
    services = make_index(make_services(engine), index, tmp_path_factory.mktemp("shop"))
    empty(services, index)
    fill(services, index)
    services.accounts.add("ed", PASSWORD)
    services.accounts.add("vi", PASSWORD, "viewer")
    yield services
    empty(services, index)
    for concrete in list(client_of(services).indices.get(index=f"{index}*", expand_wildcards="all").body):
        client_of(services).indices.delete(index=concrete)


@pytest.fixture
def url(services: Services) -> Iterator[str]:
    with served(create_app(services)) as url:
        yield url


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, as npm has it."""
    folder = npm_package(tmp_path_factory.mktemp("axe"), "axe-core@4")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


def violations(page: Page) -> list[str]:
    """What axe-core, which is there, finds on the page that is shown."""
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{page.url}: {one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in found["violations"]
    ]


def misfits(page: Page, axe: str) -> list[str]:
    """What is wrong with the page that is shown, on a light phone and on a dark desktop: it follows both without being
    loaded again.
    """
    # Evaluated, not added as a tag: the page's own policy lets no such script in.
    page.evaluate(axe)
    wrong = []
    for scheme, width in LOOKS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 844})
        found = violations(page)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        found += [f"{page.url} is {wide} pixels wider than the screen"] if wide > 0 else []
        found += [f"{page.url}: {one} sticks out of its panel" for one in page.evaluate(STICKS_OUT)]
        wrong += [f"{scheme}, {width} pixels: {one}" for one in found]
    return wrong


def test_no_page_violates_axe(browser: Browser, url: str, axe: str) -> None:
    wrong: list[str] = []
    context, page = open_page(browser, wrong, reduced_motion="reduce")
    page.goto(f"{url}/admin/sign-in")
    wrong += misfits(page, axe)
    sign_in(page, url, "ed", PASSWORD)
    seen = set()
    for kind, _ in walk(page, url):
        seen.add(kind)
        wrong += misfits(page, axe)
    assert seen >= KINDS
    missing = f"404 {url}{ERROR}"
    assert missing in wrong
    wrong = [one for one in wrong if one != missing and "404 (Not Found)" not in one]
    context.close()
    assert wrong == []


def test_a_person_signs_in_looks_and_signs_out_by_keyboard(browser: Browser, url: str) -> None:
    wrong: list[str] = []
    context, page = open_page(browser, wrong)
    page.goto(f"{url}/admin/audit")
    expect(page.get_by_label("Name")).to_be_focused()  # by itself, once the page is drawn
    page.keyboard.type("ed")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Audit")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    for _ in range(40):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.textContent") == "Sign out":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    context.close()
    assert wrong == []


def test_the_pages_work_without_script_and_in_chinese(browser: Browser, url: str) -> None:
    wrong: list[str] = []
    context, page = open_page(browser, wrong, java_script_enabled=False)
    page.goto(f"{url}/admin/sign-in")
    page.get_by_role("button", name="中文").click()
    page.get_by_label("用户名").fill("vi")
    page.get_by_label("密码").fill(PASSWORD)
    page.get_by_role("button", name="登录").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    for link in page.locator(".admin-nav a").all_inner_texts():
        assert any("\u4e00" <= letter <= "\u9fff" for letter in link), link
    context.close()
    assert wrong == []


@pytest.mark.parametrize("busy", [False, True])
def test_the_panel_of_work_follows_it(browser: Browser, url: str, services: Services, busy: bool) -> None:
    """By events, and by asking where all streams are taken."""
    [index] = services.searcher.indices()
    wrong: list[str] = []
    context, page = open_page(browser, wrong)
    sign_in(page, url, "ed", PASSWORD)
    taken = [live._STREAMS.acquire(blocking=False) for _ in range(live.MAX_STREAMS if busy else 0)]
    try:
        evaluations.order(services, index, "basics", ["bm25"], 0, "ed")
        page.goto(f"{url}/admin/weights?index={index}")
        expect(page.locator("#state [data-phase]")).to_contain_text("waiting for a worker")
        page.get_by_label("Number of synthetic queries").fill("77")
        done(services, learning_slot(index))
        expect(page.locator("#state").get_by_role("link", name="Show the result")).to_be_visible()
        expect(page.locator("#phase")).to_contain_text("done")
        expect(page.locator("#lost")).to_be_hidden()
        expect(page.get_by_label("Number of synthetic queries")).to_have_value("77")  # nobody's form was loaded anew
    finally:
        for _ in taken:
            live._STREAMS.release()
    context.close()
    refused = [one for one in wrong if "503" in one or "MIME type" in one]
    assert bool(refused) is busy
    assert [one for one in wrong if one not in refused] == []


@pytest.mark.long
def test_the_screens_can_be_taken(browser: Browser, url: str, tmp_path: Path) -> None:
    from .admin_screenshots import take

    taken = take(browser, url, tmp_path, "ed", PASSWORD)
    assert len(taken) >= 5 * len(KINDS) and all(path.stat().st_size > 5_000 for path in taken)
