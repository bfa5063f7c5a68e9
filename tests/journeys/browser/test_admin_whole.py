"""The whole way of somebody who runs a shop, in a real browser with real models and a real worker, which is killed:
attach, judge, reindex, pause, failures, swap, roll back, compare, weigh, rate, evaluate, train, apply.

With the judged products of some queries of chorus; `HYBRID_WALK_PRODUCTS=19406 pytest -s` walks with all products.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from hybrid.elastic.stores import models
from hybrid.elastic.stores.evaluations import EVALUATIONS
from hybrid.elastic.stores.judgments import JUDGMENTS
from hybrid.elastic.stores.orders import ORDERS
from hybrid.node import NodeStatus
from hybrid.operations import processes
from hybrid.search.weights import fixed
from hybrid.services import Services
from tests.conftest import make_services
from tests.support.admin_client import PASSWORD, forget
from tests.support.chorus import judged_first
from tests.support.models import keep
from tests.support.raw import client_of
from tests.support.serving import served
from tests.support.shop_writer import MAPPINGS, make_shop
from web import create_app

from .conftest import open_page
from .hands import Keyboard, Mouse

pytestmark = [pytest.mark.browser, pytest.mark.es, pytest.mark.models, pytest.mark.timeout(900)]

PRODUCTS = int(os.environ.get("HYBRID_WALK_PRODUCTS", "800"))
#: Judgments of each of 63 queries: some 700 products.
EACH = 14
#: Products with a picture: enough of them that a reindex which encodes them can be paused by hand.
PICTURED, BROKEN = 200, 3
#: Own indices that the walk fills.
STORES = [ORDERS, JUDGMENTS, models.MODELS, EVALUATIONS]
MODELS = {"text_encoder": "minilm", "image_encoder": "efficientnet-lite0"}
#: Milliseconds for the longest piece of work: every product is encoded by the real model.
LONG_MS = 240_000 * max(1, PRODUCTS // 3_000)


class Shop(NamedTuple):
    services: Services
    name: str
    media: Path
    judgments: Path
    judged: int

    def add_pictures(self) -> None:
        """Put the pictures there that were missing."""
        for number in range(BROKEN):
            draw(self.media / f"{number}.jpg", number)


def draw(path: Path, number: int) -> None:
    color = (37 * number % 256, 91 * number % 256, 151 * number % 256)
    Image.new("RGB", (64, 64), color).save(path)


@pytest.fixture
def shop(engine: NodeStatus, name: str, shared: Path, tmp_path: Path) -> Iterator[Shop]:
    """A shop as it is before anybody has heard of the layer."""
    media = tmp_path / "media"
    media.mkdir()
    for number in range(BROKEN, PICTURED):
        draw(media / f"{number}.jpg", number)
    with (shared / "chorus" / "judgments.csv").open(newline="", encoding="utf-8") as file:
        rated = list(csv.DictReader(file))
    by_query = {row["query"]: [other for other in rated if other["query"] == row["query"]] for row in rated}
    rated = [row for rows in by_query.values() for row in rows[:: max(1, len(rows) // EACH)][:EACH]]
    judged = {row["docid"] for row in rated}
    judgments = tmp_path / "judgments.csv"
    with judgments.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, rated[0])
        writer.writeheader()
        writer.writerows(rated)
    kept = ("id", "title", "short_description", "supplier", "price")
    rows = [
        {name: product[name] for name in kept if name in product} for product in judged_first(shared, judged)[:PRODUCTS]
    ]
    for number, row in enumerate(rows[:PICTURED]):
        row["image"] = f"{number}.jpg"
    services = make_services(engine, index=name, media_root=media, es_timeout_s=30, **MODELS)
    client_of(services).indices.delete(index=STORES, ignore_unavailable=True)
    forget(services)
    services.accounts.add("ed", PASSWORD)
    mapped = {**MAPPINGS, "properties": {**MAPPINGS["properties"], "image": {"type": "keyword"}}}
    make_shop(client_of(services), f"{name}-000001", rows, alias=name, mappings=mapped)
    yield Shop(services, name, media, judgments, len(rated))
    client_of(services).indices.delete(index=STORES, ignore_unavailable=True)
    forget(services)


@pytest.fixture
def url(shop: Shop) -> Iterator[str]:
    with served(create_app(shop.services)) as url:
        yield url


class Worker:
    """A real worker process."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self._log = folder / "worker.log"
        self._environment = {
            **os.environ, "HYBRID_ES_URL": shop.services.es_url, "HYBRID_REDIS_URL": shop.services.redis_url,
            "HYBRID_TEXT_ENCODER": MODELS["text_encoder"], "HYBRID_IMAGE_ENCODER": MODELS["image_encoder"],
            "HYBRID_MEDIA_ROOT": str(shop.media),
        }  # fmt: skip
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(processes.worker_command(1), env=self._environment, stdout=log, stderr=log)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def worker(shop: Shop, tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(shop, tmp_path)
    yield worker
    worker.kill()


def test_the_whole_way(browser: Browser, engine: NodeStatus, shop: Shop, url: str, worker: Worker) -> None:
    """By keyboard alone; on Elasticsearch 8, which only `make test-long` runs, with the mouse."""
    wrong: list[str] = []
    context, page = open_page(browser, wrong)
    hand = Mouse(page) if (engine.es_version or "").startswith("8") else Keyboard(page)
    page.goto(f"{url}/admin/")
    hand.fill("Name", "ed")
    hand.fill("Password", PASSWORD)
    hand.press("Sign in")

    attach(page, hand, shop)
    judge(page, hand, shop)
    reindex(page, hand, shop, worker)
    mend(page, hand, shop)
    swap_and_roll_back(page, hand, shop)
    compare_and_rate(page, hand, shop)
    evaluate(page, hand, shop)
    train_and_apply(page, hand, shop)

    hand.press("Sign out")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    context.close()
    assert wrong == []


def phase(page: Page) -> Any:
    return expect(page.locator("[data-phase]"))


def attach(page: Page, hand: Mouse, shop: Shop) -> None:
    """Words alone first; the estimate before anything is done."""
    hand.follow("Reindex")
    hand.follow(shop.name)
    hand.tick("Meaning")
    hand.press("Estimate")
    expect(page.get_by_text("Estimated time")).to_be_visible()
    hand.press("Start")
    phase(page).to_contain_text("attach · done", timeout=LONG_MS)


def judge(page: Page, hand: Mouse, shop: Shop) -> None:
    hand.follow("Judgments")
    hand.fill("List", "team")
    hand.upload("File", shop.judgments)
    hand.press("Import")
    expect(page.get_by_text(f"{shop.judged:,} judgments were imported into the list team.")).to_be_visible()
    hand.press("Measure")
    expect(page.locator("#coverage")).to_contain_text("of the first ten hits are judged")


def reindex(page: Page, hand: Mouse, shop: Shop, worker: Worker) -> None:
    """Pictures too, which takes a while: watched, loaded again, paused, gone on with; and the worker is killed."""
    hand.follow("Reindex")
    hand.follow(shop.name)
    hand.fill("Shards", "2")
    hand.tick("Meaning")
    hand.tick("Picture")
    hand.press("Estimate")
    expect(page.get_by_text("shards: 1 -> 2")).to_be_visible()
    hand.choose("Swap", "no")
    hand.press("Start")
    phase(page).not_to_contain_text("waiting for a worker")
    hand.press("Pause")
    phase(page).to_contain_text("paused")
    page.reload()
    phase(page).to_contain_text("paused")
    hand.press("Resume")
    phase(page).not_to_contain_text("paused")
    phase(page).not_to_contain_text("waiting for a worker")
    worker.kill()
    page.reload()
    expect(page.get_by_text("Verification", exact=True)).to_be_visible(timeout=LONG_MS)
    assert set(client_of(shop.services).indices.get(index=shop.name)) == {f"{shop.name}-000001"}
    worker.start()


def mend(page: Page, hand: Mouse, shop: Shop) -> None:
    """Products whose pictures were missing are tried again once they are there."""
    hand.follow("Failures")
    expect(page.get_by_role("cell", name=str(BROKEN), exact=True)).to_be_visible()
    hand.use(page.locator("main table a").first)
    expect(page.locator(".dead-letter")).to_have_count(BROKEN)
    shop.add_pictures()
    hand.press("Retry all")
    expect(page.get_by_text("There are no failures.")).to_be_visible(timeout=LONG_MS)


def swap_and_roll_back(page: Page, hand: Mouse, shop: Shop) -> None:
    hand.follow("Reindex")
    hand.follow(shop.name)
    hand.press("Swap now")
    expect(page.get_by_text(f"{shop.name}-000001 is kept for a rollback.")).to_be_visible()
    assert set(client_of(shop.services).indices.get(index=shop.name)) == {f"{shop.name}-000002"}
    assert client_of(shop.services).count(index=shop.name)["count"] == PRODUCTS
    hand.press("Roll back")
    expect(page.get_by_text("Tick the box next to it first.")).to_be_visible()
    hand.press("Roll back", tick="Yes, go back")
    phase(page).to_contain_text("roll back · done")
    assert set(client_of(shop.services).indices.get(index=shop.name)) == {f"{shop.name}-000001"}
    hand.follow("Reindex")
    expect(page.get_by_role("row").filter(has_text=shop.name)).to_have_count(3)


def compare_and_rate(page: Page, hand: Mouse, shop: Shop) -> None:
    """BM25 beside what is active; weights are moved, and a hit is rated."""
    hand.follow("Try it")
    hand.fill("Words", "wireless mouse")
    hand.fill("Judgment list", "team")
    hand.press("Compare")
    page.wait_for_url(re.compile("q=wireless"))
    right = page.locator('[data-side="right"]')
    moved = right.locator(".move").all_inner_texts()
    assert any("▲" in one or "▼" in one or one == "new" for one in moved)
    searched = [shown(right)]
    slider = right.get_by_role("slider", name=re.compile("Words"))
    hand.slide(slider, round(-100 * float(slider.input_value())))
    searched.append(shown(right))
    assert searched[0] != searched[1], "meaning alone orders otherwise"
    hit = right.locator("article").first
    with page.expect_response("**/admin/api/judgments") as answer:
        hand.key_on(hit, "3")
    assert answer.value.ok
    expect(hit.get_by_role("button", name="Rate 3")).to_have_attribute("aria-pressed", "true")
    assert shop.services.judgment_lists.ratings(shop.name, "team", "wireless mouse")[searched[1][0]] == 3


def shown(side: Any) -> list[str]:
    ids: list[str] = side.locator("li[data-id]").evaluate_all("hits => hits.map(hit => hit.dataset.id)")
    return ids


def evaluate(page: Page, hand: Mouse, shop: Shop) -> None:
    hand.follow("Evaluations")
    hand.press("Evaluate")
    result = page.get_by_role("link", name="Show the result")
    expect(result).to_be_visible(timeout=LONG_MS)
    hand.use(result)
    expect(page.locator("svg.interval")).to_have_count(4)
    hand.use(page.get_by_role("link", name=re.compile("^Try it: ")).first)
    expect(page.locator('[data-side="left"] article').first).to_be_visible()
    assert page.locator('select[name="left"]').input_value() == "bm25"


def train_and_apply(page: Page, hand: Mouse, shop: Shop) -> None:
    """Weights so much better than those of a shop that has searched by meaning alone, that 63 queries prove it."""
    versions, meaning = shop.services.models("weights"), fixed({"lexical": 1e-9, "text": 1.0}, "meaning-1")
    keep(shop.services, shop.name, "meaning-1", "global", meaning.to_json(), {})
    versions.activate(shop.name, "meaning-1")
    hand.follow("Weights")
    hand.choose("Kind", "global")
    hand.fill("Number of synthetic queries", "60")
    hand.press("Train")
    version = page.locator("#order-state dd a")
    expect(version).to_be_visible(timeout=LONG_MS)
    name = version.inner_text()
    hand.use(version)
    expect(page.locator("svg.histogram").first).to_be_visible()
    hand.follow("Activate…")
    expect(page.get_by_text("nDCG@10").first).to_be_visible()
    hand.press(f"Activate {name}")
    expect(page.locator(".big")).to_have_text(name)
    assert versions.active(shop.name) == name
    hand.press("Go back to meaning-1")
    expect(page.locator(".big")).to_have_text("meaning-1")
    assert versions.active(shop.name) == "meaning-1"
