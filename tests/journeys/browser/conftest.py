"""What all browser tests need: a Chromium, a real server, and pages whose errors are written down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from .screenshots import CHROMIUM_ARGS, chromium

WAIT_MS = 30_000  # patience for a busy machine; what is there is seen at once


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on this machine")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGS))
        yield browser
        browser.close()


def open_page(browser: Browser, wrong: list[str], **options: Any) -> tuple[BrowserContext, Page]:
    """A page whose console errors, script errors and failed requests are written down."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **options})
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.on("console", lambda m: wrong.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    page.on("response", lambda r: wrong.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    # What the page itself drops is no failure: older suggestions, an overtaken search, a stream when it is left.
    page.on(
        "requestfailed",
        lambda r: wrong.append(f"{r.failure} {r.url}") if "ERR_ABORTED" not in (r.failure or "") else None,
    )
    return context, page


def hold_back(page: Page, script: str, url: str) -> Route:
    """Open `url` as on a slow line: the page is there, and `script` waits until the route is continued."""
    late: list[Route] = []
    page.route(f"**/{script}*", lambda route: late.append(route))
    page.goto(url, wait_until="commit")
    while not late:
        page.wait_for_timeout(10)
    (route,) = late
    return route
