"""What the page of a run does when the web server is restarted under it, and when the network is gone for a while."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from hybrid.elastic.indices import copies
from hybrid.elastic.stores.orders import ORDERS
from hybrid.operations import orders
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.operations.processes import free_port, serve_command
from hybrid.services import Services
from tests.support.admin_client import PASSWORD, forget
from tests.support.raw import client_of
from tests.support.shop_writer import make_shop, rows
from web.admin.reindex import slot
from workers.orders import work

from .admin_screenshots import sign_in
from .conftest import open_page

pytestmark = [pytest.mark.browser, pytest.mark.es]
WAIT_S = 60.0
#: What the browser itself says of a server that is not there.
LOST = re.compile("ERR_(CONNECTION_REFUSED|CONNECTION_RESET|INTERNET_DISCONNECTED|INCOMPLETE_CHUNKED|EMPTY_RESPONSE)")


@pytest.fixture
def shop(services: Services, name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Services, str]]:
    """A shop whose reindex tells its progress many times: after each page that is copied."""
    monkeypatch.setattr(copies, "_PAGE", 20)
    client_of(services).indices.delete(index=ORDERS, ignore_unavailable=True)
    make_shop(client_of(services), f"{name}-000001", rows(200), alias=name)
    assert run_attach(services, plan_attach(services, name, signals=["text"])).complete
    forget(services)
    services.accounts.add("ed", PASSWORD)
    yield services, name
    client_of(services).indices.delete(index=ORDERS, ignore_unavailable=True)
    forget(services)


class Server:
    """The web server as `hybrid serve` starts it, always on the same port."""

    def __init__(self, services: Services, folder: Path) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._log = folder / "server.log"
        self._environment = {
            **os.environ, "HYBRID_ES_URL": services.es_url, "HYBRID_REDIS_URL": services.redis_url,
            "HYBRID_TEXT_ENCODER": "toy:32", "HYBRID_IMAGE_ENCODER": "toy:32",
        }  # fmt: skip
        self.start()

    def start(self) -> None:
        command = serve_command("127.0.0.1", self._port, 1)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        ending = time.monotonic() + WAIT_S
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/admin/sign-in", timeout=5).close()
                return
            except OSError:
                assert time.monotonic() < ending and self._process.poll() is None, self._log.read_text()
                time.sleep(0.1)

    def stop(self) -> None:
        self._process.terminate()
        began = time.monotonic()
        self._process.wait(WAIT_S)
        assert time.monotonic() - began < 20, "open streams kept it from stopping"


@pytest.fixture
def server(shop: tuple[Services, str], tmp_path: Path) -> Iterator[Server]:
    server = Server(shop[0], tmp_path)
    yield server
    server.stop()


class Held:
    """The process of an order, here a thread, which goes on by steps: from one telling of its progress to the next."""

    def __init__(self, services: Services, slot: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._services, self._slot = services, slot
        self._reached, self._go = threading.Semaphore(0), threading.Semaphore(0)
        self._free = False
        self._told: dict[str, Any] = {}
        show = orders.Work.show

        def held(work: orders.Work, progress: Any) -> None:
            show(work, progress)
            self._told = work.progress
            self._reached.release()
            assert self._free or self._go.acquire(timeout=3 * WAIT_S)

        monkeypatch.setattr(orders.Work, "show", held)
        monkeypatch.setattr(orders, "_BEAT_S", 0.2)
        self._thread = threading.Thread(target=work, args=(services, slot))
        self._thread.start()
        assert self._reached.acquire(timeout=WAIT_S)

    def further(self) -> str:
        """Go on until more is done of what there is to do; what the page will say of it."""
        before = self._told
        while not self._told["total"] or self._told["done"] == before["done"]:
            self._go.release()
            assert self._reached.acquire(timeout=WAIT_S)
        ending = time.monotonic() + WAIT_S
        while (self._services.orders.get(self._slot) or {}).get("progress") != self._told:
            assert time.monotonic() < ending
            time.sleep(0.1)
        return f"{self._told['done']:,} of {self._told['total']:,}"

    def end(self) -> None:
        self._free = True
        self._go.release()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()


def test_the_progress_goes_on_by_itself(
    browser: Browser, shop: tuple[Services, str], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, index = shop
    orders.place(services, slot(index), "reindex", index, {"swap": True, "shards": 2}, "ed")
    work = Held(services, slot(index), monkeypatch)
    wrong: list[str] = []
    context, page = open_page(browser, wrong)
    try:
        sign_in(page, server.url, "ed", PASSWORD)
        page.goto(f"{server.url}/admin/reindex/{index}")
        shows(page, work.further())
        page.evaluate("window.never = 'loaded anew'")
        assert wrong == []

        server.stop()
        expect(page.locator("#lost")).to_be_visible()
        missed = work.further()
        server.start()
        shows(page, missed)
        shows(page, work.further())

        context.set_offline(True)
        server.stop()  # for Chromium lets what is open already go on
        server.start()
        expect(page.locator("#lost")).to_be_visible()
        missed = work.further()
        context.set_offline(False)
        shows(page, missed)
        shows(page, work.further())
        assert page.evaluate("window.never") == "loaded anew"
        link = page.get_by_role("link", name="Failures", exact=True)
        link.focus()
    finally:
        work.end()
    expect(page.locator("[data-phase]")).to_contain_text("reindex · done")
    # Then the page loads itself again, which leaves the keyboard where it was.
    expect(page.get_by_role("button", name="Roll back")).to_be_visible()
    expect(link).to_be_focused()
    assert page.evaluate("window.never") is None
    context.close()
    assert wrong
    assert [one for one in wrong if not LOST.search(one)] == []


def shows(page: Page, progress: str) -> None:
    expect(page.locator("#state")).to_contain_text(progress)
    expect(page.locator("#lost")).to_be_hidden()
