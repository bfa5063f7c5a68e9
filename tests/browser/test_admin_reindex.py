"""An index is attached, built anew, swapped in and rolled back in a real browser, with a real worker that is killed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from hybrid import pool
from hybrid.elastic.orders import ORDERS
from hybrid.wiring import Services
from tests.admin_client import PASSWORD, forget
from tests.shop_writer import make_shop, rows

from .admin_screenshots import sign_in
from .conftest import open_page, served

pytestmark = [pytest.mark.browser, pytest.mark.es]


@pytest.fixture
def shop(services: Services, name: str) -> Iterator[str]:
    services.client.indices.delete(index=ORDERS, ignore_unavailable=True)
    forget(services)
    services.accounts.add("ed", PASSWORD)
    make_shop(services.client, f"{name}-000001", rows(2_000), alias=name)
    yield name
    services.client.indices.delete(index=ORDERS, ignore_unavailable=True)
    forget(services)


@pytest.fixture
def url(services: Services, shop: str) -> Iterator[str]:
    with served(services) as url:
        yield url


class Worker:
    """A real worker process."""

    def __init__(self, services: Services, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            **os.environ, "HYBRID_ES_URL": services.es_url, "HYBRID_REDIS_URL": services.redis_url,
            "HYBRID_TEXT_ENCODER": "toy:32", "HYBRID_IMAGE_ENCODER": "toy:32", "HYBRID_DATA_DIR": str(folder),
        }  # fmt: skip
        self.start()

    def start(self) -> None:
        with (self._folder / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(pool.worker_command(1), env=self._environment, stdout=log, stderr=log)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def worker(services: Services, tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(services, tmp_path)
    yield worker
    worker.kill()


def press(page: Page, name: str, tick: str = "") -> None:
    if tick:
        page.get_by_label(tick).check()
    page.get_by_role("button", name=name, exact=True).click()


def test_the_whole_way_from_a_shops_index_to_a_rollback(
    browser: Browser,
    services: Services,
    url: str,
    shop: str,
    worker: Worker,
) -> None:
    wrong: list[str] = []
    context, page = open_page(browser, wrong)
    sign_in(page, url, "ed", PASSWORD)
    page.get_by_role("link", name="Reindex").click()
    page.get_by_role("link", name=shop, exact=True).click()

    # Attach: the estimate first.
    page.get_by_label("text").check()
    press(page, "Make an estimate")
    expect(page.get_by_text("Takes about")).to_be_visible()
    press(page, "Start")
    expect(page.locator("[data-phase]")).to_contain_text("attach · done")

    # Reindex; the worker is killed as soon as it has begun, and the page is loaded again.
    page.get_by_label("Shards").fill("2")
    press(page, "Make an estimate")
    expect(page.get_by_text("shards: 1 -> 2")).to_be_visible()
    page.get_by_label("Swap it in").select_option("no")
    press(page, "Start")
    expect(page.locator("[data-phase]")).not_to_contain_text("waits for a worker")
    worker.kill()
    page.reload()
    expect(page.get_by_role("button", name="Swap it in")).to_be_visible()
    expect(page.get_by_text("Verified", exact=True)).to_be_visible()
    assert set(services.client.indices.get(index=shop)) == {f"{shop}-000001"}

    worker.start()
    press(page, "Swap it in")
    expect(page.get_by_text(f"{shop}-000001 is kept for a roll back.")).to_be_visible()
    assert set(services.client.indices.get(index=shop)) == {f"{shop}-000002"}
    assert services.client.count(index=shop)["count"] == 2_000

    press(page, "Roll back")
    expect(page.get_by_text("Tick the box beside it first.")).to_be_visible()
    press(page, "Roll back", tick="Yes, go back")
    expect(page.locator("[data-phase]")).to_contain_text("roll back · done")
    assert set(services.client.indices.get(index=shop)) == {f"{shop}-000001"}

    page.get_by_role("link", name="Reindex").click()
    expect(page.get_by_role("row").filter(has_text=shop)).to_have_count(3)
    context.close()
    assert wrong == []
