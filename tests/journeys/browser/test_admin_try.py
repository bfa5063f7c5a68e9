"""Try it in a real browser: weights moved by hand order as the server does; hits are rated by a key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from hybrid.evaluation.evaluate import evaluate
from hybrid.evaluation.formats import read_judgments
from hybrid.evaluation.photos import judged_photo
from hybrid.operations.priors import set_priors
from hybrid.searches import SearchRequest
from hybrid.services import Services
from tests.conftest import Sample
from tests.support.admin_client import PASSWORD, forget
from tests.support.serving import served
from web import create_app

from .admin_screenshots import sign_in
from .conftest import WAIT_MS, hold_back, open_page

pytestmark = [pytest.mark.browser, pytest.mark.es, pytest.mark.models]
QUERY = "red running shoes"


@pytest.fixture
def services(sample: Sample) -> Iterator[Services]:
    services = Services(sample.services.settings)
    forget(services)
    services.accounts.add("ed", PASSWORD)
    yield services
    services.judgment_lists.delete(sample.name, "team")
    forget(services)


@pytest.fixture
def url(services: Services) -> Iterator[str]:
    with served(create_app(services)) as url:
        yield url


@pytest.fixture
def page(browser: Browser, url: str, sample: Sample) -> Iterator[Page]:
    """The page with a search on it."""
    wrong: list[str] = []
    context, page = open_page(browser, wrong)
    sign_in(page, url, "ed", PASSWORD)
    page.goto(f"{url}/admin/try?q={QUERY.replace(' ', '+')}&index={sample.name}&list=team&left=bm25&right=fixed")
    yield page
    context.close()
    assert [one for one in wrong if "503" not in one] == []  # a test has it refused


def shown(page: Page, side: str) -> list[str]:
    hits = page.locator(f'[data-side="{side}"] .try-hits > li')
    return hits.evaluate_all("hits => hits.map(hit => hit.dataset.id)")


def move(page: Page, side: str, signal: str, weight: float) -> None:
    page.locator(f'[data-weight="{side}_{signal}"]').evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', {bubbles: true})); }",
        str(weight),
    )


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.8, 1.0])
def test_the_order_by_hand_is_the_servers(page: Page, services: Services, sample: Sample, share: float) -> None:
    move(page, "right", "lexical", round(1 - share, 2))
    move(page, "right", "text", share)
    given = {"lexical": round(1 - share, 2), "text": share}
    answer = services.searcher.search(SearchRequest(sample.name, QUERY, size=20, facets=(), weights=given))
    assert shown(page, "right") == [hit.id for hit in answer.hits]
    scores = page.locator('[data-side="right"] .score').all_inner_texts()
    assert scores == [f"{hit.score:.3f}" for hit in answer.hits]
    # Hits that the page did not hold come with their names.
    titles = page.locator('[data-side="right"] h3')
    expect(titles.first).to_have_text(re.compile(r"\w+ \w+"))
    for title, hit in zip(titles.all(), answer.hits, strict=True):
        expect(title).not_to_have_text(hit.id)


@pytest.fixture
def priced(services: Services, sample: Sample) -> Iterator[None]:
    """Of products that are found equally well, the cheaper come first."""
    set_priors(services, sample.name, ["price:less"])
    yield
    set_priors(services, sample.name, [])


def test_a_prior_is_weighed_by_hand_as_by_the_server(
    priced: None, page: Page, services: Services, sample: Sample, url: str
) -> None:
    right = page.locator('[data-side="right"]')
    before = shown(page, "right")
    expect(right.get_by_text("Boost 3 %")).to_be_visible()
    given = {"lexical": 0.1, "text": 0.4, "prior": 0.5}
    for signal, weight in given.items():
        move(page, "right", signal, weight)
    answer = services.searcher.search(SearchRequest(sample.name, QUERY, size=20, facets=(), weights=given))
    assert shown(page, "right") == [hit.id for hit in answer.hits] != before
    assert right.locator(".score").all_inner_texts() == [f"{hit.score:.3f}" for hit in answer.hits]
    for lang, label in (("en", "Boost · Price"), ("zh", "加权项 · 价格")):
        page.goto(f"{url}/?q={QUERY.replace(' ', '+')}&index={sample.name}&lang={lang}")
        page.locator("details.why summary").first.click()
        expect(page.locator("details.why").first).to_contain_text(label)


def test_what_the_script_says_moved_is_what_the_server_says(page: Page) -> None:
    said = page.locator('[data-side="right"] .move').all_inner_texts()
    assert any("▲" in one or "▼" in one or one == "new" for one in said)
    move(page, "right", "lexical", 0.87)
    move(page, "right", "lexical", 0.72)
    assert page.locator('[data-side="right"] .move').all_inner_texts() == said
    assert page.locator('select[name="right"]').input_value() == "own"
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url(re.compile("right=own"))
    assert page.locator('[data-side="right"] .move').all_inner_texts() == said


def test_a_key_rates_both_sides_and_is_saved(page: Page, services: Services, sample: Sample) -> None:
    page.locator("#right-1").focus()
    page.keyboard.press("j")
    expect(page.locator("#right-2")).to_be_focused()
    product = shown(page, "right")[1]
    page.keyboard.press("1")
    with page.expect_response(lambda answer: answer.request.post_data_json["rating"] == 3):  # type: ignore[index]
        page.keyboard.press("3")
    for hit in page.locator(f'li[data-id="{product}"]').all():
        expect(hit.get_by_role("button", name="Rate 3")).to_have_attribute("aria-pressed", "true")
    assert services.judgment_lists.ratings(sample.name, "team", QUERY) == {product: 3}
    page.reload()
    rated = page.locator(f'[data-side="right"] li[data-id="{product}"]').get_by_role("button", name="Rate 3")
    expect(rated).to_have_attribute("aria-pressed", "true")
    with page.expect_response("**/admin/api/judgments"):
        rated.click()  # again: taken back
    expect(rated).to_have_attribute("aria-pressed", "false")
    assert services.judgment_lists.ratings(sample.name, "team", QUERY) == {}
    page.locator("#right-2").focus()
    page.keyboard.press("k")
    expect(page.locator("#right-1")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#left-1")).to_be_focused()


def test_a_hit_of_a_photo_search_is_rated_by_a_key_and_measured(
    page: Page, url: str, services: Services, sample: Sample, tmp_path: Path
) -> None:
    query = next(iter(read_judgments(sample.paths.photo_queries).ratings))
    # As a camera would give it: larger than what is kept.
    with Image.open(sample.paths.products.parent / query) as image:
        image.resize((1800, 1800)).save(tmp_path / "photo.jpg")
    small = judged_photo((tmp_path / "photo.jpg").read_bytes())

    def search() -> None:
        page.goto(f"{url}/admin/try?index={sample.name}&list=team&left=image&right=bm25")
        page.get_by_label("Photo").set_input_files(tmp_path / "photo.jpg")
        page.get_by_role("button", name="Compare").click()
        expect(page.locator(".try-photo img")).to_be_visible()

    search()
    product = shown(page, "left")[0]
    page.locator("#left-1").focus()
    with page.expect_response("**/admin/api/judgments"):
        page.keyboard.press("3")
    assert services.judgment_lists.ratings(sample.name, "team", "", small.key) == {product: 3}
    page.wait_for_url(re.compile(f"photo={small.key}"))
    first = page.locator("#left-1").get_by_role("button", name="Rate 3")
    for again in (page.reload, search):
        again()
        expect(first).to_have_attribute("aria-pressed", "true")
    # Another list has no rating of it; this one has.
    with page.expect_response("**/admin/api/judgments?*"):
        page.get_by_label("Judgment list").fill("none")
        page.keyboard.press("Tab")
    expect(first).to_have_attribute("aria-pressed", "false")

    judged = services.judged(sample.name, "list:team")
    systems = evaluate(services.searcher.search, sample.name, judged, ["image", "fixed"]).systems
    assert systems["image"].per_query == {f"{small.key}.jpg": 1.0}

    page.goto(f"{url}/admin/judgments/{sample.name}/team")
    picture = page.locator(".judged img")
    picture.scroll_into_view_if_needed()
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("image => image.naturalWidth") == 512
    page.get_by_role("link", name=f"photo {small.key[:8]}").click()
    page.wait_for_url(re.compile(f"photo={small.key}"))
    expect(page.locator(".try-photo img")).to_be_visible()


def test_a_key_that_is_pressed_before_the_script_is_there_counts(
    page: Page, services: Services, sample: Sample
) -> None:
    """The script is fetched after the hits are on the page; somebody may be quicker, on a slow line."""
    script = hold_back(page, "admin-try.js", page.url)
    page.locator("#left-1").focus()
    product = shown(page, "left")[0]
    page.keyboard.press("3")
    page.keyboard.press("j")
    with page.expect_response("**/admin/api/judgments"):
        script.continue_()
    expect(page.locator("#left-2")).to_be_focused()
    assert services.judgment_lists.ratings(sample.name, "team", QUERY) == {product: 3}


def test_what_is_changed_before_the_script_is_there_counts(page: Page, services: Services, sample: Sample) -> None:
    product = shown(page, "left")[0]
    services.judgment_lists.rate(sample.name, "team", QUERY, product, 3, "ed")
    script = hold_back(page, "admin-try.js", page.url)
    rated = page.locator("#left-1").get_by_role("button", name="Rate 3")
    expect(rated).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Judgment list").fill("none")
    page.keyboard.press("Tab")
    move(page, "right", "lexical", 0.5)
    script.continue_()
    expect(rated).to_have_attribute("aria-pressed", "false")
    assert page.locator('select[name="right"]').input_value() == "own"


def test_a_rating_stays_while_those_of_another_list_are_fetched(page: Page, services: Services, sample: Sample) -> None:
    second = shown(page, "left")[1]
    services.judgment_lists.rate(sample.name, "other", QUERY, second, 1, "ed")
    late: list[Route] = []
    page.route("**/admin/api/judgments?*", lambda route: late.append(route))
    with page.expect_request("**/admin/api/judgments?*"):
        page.get_by_label("Judgment list").fill("other")
        page.keyboard.press("Tab")
    page.locator("#left-1").focus()
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        page.keyboard.press("2")
    late[0].fallback()
    rated = page.locator("#left-2").get_by_role("button", name="Rate 1")
    expect(rated).to_have_attribute("aria-pressed", "true")  # the list is there
    first = page.locator("#left-1").get_by_role("button", name="Rate 2")
    expect(first).to_have_attribute("aria-pressed", "true")
    services.judgment_lists.delete(sample.name, "other")


def test_a_refused_rating_is_undone_and_said(page: Page) -> None:
    def refuse(route: Route) -> None:
        route.fulfill(status=503, json={"error": {"type": "WriteBlockedError", "reason": "the disk is full"}})

    page.route("**/admin/api/judgments", refuse)
    page.locator("#left-1").focus()
    page.keyboard.press("2")
    expect(page.get_by_role("alert")).to_have_text("Not saved: the disk is full")
    first = page.locator("#left-1").get_by_role("button", name="Rate 2")
    expect(first).to_have_attribute("aria-pressed", "false")
    page.unroute("**/admin/api/judgments")
    page.keyboard.press("2")
    expect(first).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#try-error")).to_be_hidden()


def test_it_works_without_script(browser: Browser, url: str, services: Services, sample: Sample) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en-GB", viewport={"width": 390, "height": 844})
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    sign_in(page, url, "ed", PASSWORD)
    page.goto(f"{url}/admin/try?index={sample.name}&list=team")
    page.get_by_label("Words", exact=True).first.fill(QUERY)
    page.locator('select[name="left"]').select_option("own")
    page.locator("#left_lexical").fill("0.4")
    page.locator("#left_text").fill("0.6")
    page.get_by_role("button", name="Compare").click()
    given = {"lexical": 0.4, "text": 0.6}
    answer = services.searcher.search(SearchRequest(sample.name, QUERY, size=20, facets=(), weights=given))
    assert shown_plain(page) == [hit.id for hit in answer.hits]
    page.locator("#left-2").get_by_role("button", name="Rate 2").click()
    page.wait_for_url(re.compile("#left-2$"))
    assert services.judgment_lists.ratings(sample.name, "team", QUERY) == {answer.hits[1].id: 2}
    expect(page.locator("#left-2").get_by_role("button", name="Rate 2")).to_have_attribute("aria-pressed", "true")
    context.close()


def shown_plain(page: Page) -> list[str]:
    hits = page.locator('[data-side="left"] .try-hits > li').all()
    return [hit.get_attribute("data-id") or "" for hit in hits]
