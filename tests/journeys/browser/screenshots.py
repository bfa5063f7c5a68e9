"""Pictures of the search page, to look at: `python -m tests.journeys.browser.screenshots OUT_DIR URL [QUERY]`.

URL is that of a running page, as `make demo` and `hybrid serve` print it.
Start, results, an open "why this result", similar products, Chinese; each for a desktop and a phone, light and dark.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
CHROMIUM_ARGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
)  # fmt: skip


def chromium() -> str | None:
    """The system's Chromium: the tests download no browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


def screens(browser: Browser) -> Iterator[tuple[str, Page]]:
    """(its name, a page) for a desktop and a phone."""
    for screen, (width, height) in SCREENS.items():
        context = browser.new_context(
            viewport={"width": width, "height": height},
            has_touch=screen == "phone",
            is_mobile=screen == "phone",
            locale="en-GB",
        )
        yield screen, context.new_page()
        context.close()


def take(browser: Browser, url: str, out: Path, query: str) -> list[Path]:
    taken = []
    for screen, page in screens(browser):

        def shot(name: str, page=page, screen=screen) -> None:
            page.wait_for_load_state("networkidle")
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                path = out / f"{name}-{screen}-{scheme}.png"
                page.screenshot(path=path)
                taken.append(path)

        page.goto(f"{url}/")
        shot("start")
        page.goto(f"{url}/?q={query}")
        shot("results")
        summary = page.locator(".why summary").first
        summary.click()
        summary.scroll_into_view_if_needed()
        page.locator(".why-body").first.scroll_into_view_if_needed()
        shot("why")
        page.locator(".similar a").first.click()
        page.wait_for_url("**/?like=*")
        shot("similar")
        page.goto(f"{url}/?lang=zh&q={query}")
        shot("chinese")
    return taken


def main() -> int:
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    out, url = Path(sys.argv[1]), sys.argv[2].rstrip("/")
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_ARGS))
        for path in take(browser, url, out, sys.argv[3] if len(sys.argv) > 3 else "shoes"):
            print(path)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
