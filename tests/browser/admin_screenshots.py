"""Pictures of every admin page, to look at: `python -m tests.browser.admin_screenshots OUT_DIR URL NAME PASSWORD`.

URL is that of a running server, as `make demo` and `hybrid serve` print it; NAME and PASSWORD are an account's.
Every page of the navigation, for a desktop and a phone, light and dark; the desktop in Chinese too.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from .screenshots import CHROMIUM_ARGS, chromium, screens


def sign_in(page: Page, url: str, name: str, password: str) -> None:
    page.goto(f"{url}/admin/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/admin/")


def pages(page: Page) -> list[str]:
    """The addresses in the navigation of the page that is shown."""
    found = page.locator(".admin-nav a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    return [address for address in found if address.startswith("/admin/")]


def deeper(page: Page, address: str) -> list[str]:
    """The first page that the one shown leads to and that is not in the navigation."""
    links = page.locator("main a").evaluate_all("links => links.map(link => link.getAttribute('href') || '')")
    under = f"{address.rstrip('/')}/"
    inside = [link for link in links if address != "/admin/" and link.startswith(under) and not link.endswith("/csv")]
    return inside[:1]


def take(browser: Browser, url: str, out: Path, name: str, password: str) -> list[Path]:
    taken = []
    for kind, page in screens(browser):
        page.goto(f"{url}/admin/sign-in")
        page.screenshot(path=out / f"sign-in-{kind}.png")
        sign_in(page, url, name, password)
        addresses = pages(page)
        languages = ("en", "zh") if kind == "desktop-light" else ("en",)
        for language in languages:
            if language == "zh":
                page.get_by_role("button", name="中文").click()
            for address in addresses:
                shown = [address]
                for here in shown:
                    page.goto(f"{url}{here}", wait_until="load")
                    page.wait_for_timeout(1_500)  # parts that come later; a stream of events never rests
                    what = address.strip("/").replace("/", "-") + ("-one" if here != address else "")
                    path = out / f"{what}-{kind}-{language}.png"
                    page.screenshot(path=path, full_page=True)
                    taken.append(path)
                    if here == address:
                        shown += deeper(page, address)
    return taken


def main() -> int:
    if len(sys.argv) != 5:
        print(__doc__, file=sys.stderr)
        return 2
    out, url, name, password = Path(sys.argv[1]), sys.argv[2].rstrip("/"), sys.argv[3], sys.argv[4]
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_ARGS))
        for path in take(browser, url, out, name, password):
            print(path)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
