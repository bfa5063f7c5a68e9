"""Pictures of every admin page, to look at:
`python -m tests.journeys.browser.admin_screenshots OUT_DIR URL NAME PASSWORD`.

URL is that of a running server, as `make demo` and `hybrid serve` print it; NAME and PASSWORD are an account's.
Every kind of page that there is something for, for a desktop and a phone, light and dark; the desktop in Chinese too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from flask import Flask
from playwright.sync_api import Browser, Page, expect, sync_playwright

from web.admin import admin

from .screenshots import CHROMIUM_ARGS, SCHEMES, chromium, screens


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
    """Where the page that is shown leads to, in this part of the site: its links, what its forms would ask for where
    two things are chosen in a list, and what it can show besides.
    """
    found: list[str] = page.locator("main").evaluate(_LEADS)
    parts = urlsplit(address)
    if parts.path == "/admin/try" and "q=" in parts.query and "own" not in parts.query:
        found.append(f"{address}&left=own&left_lexical=0.4&left_text=0.6&right=fixed")
    return [link for link in found if link.startswith("/admin/")]


_LEADS = """main => {
  const links = [...main.querySelectorAll("a")].map((link) => link.getAttribute("href") || "");
  const forms = [...main.querySelectorAll("form[method=get]")].flatMap((form) => {
    const boxes = [...form.querySelectorAll("input[type=checkbox]")].slice(0, 2);
    if (boxes.length === 2) return [form.getAttribute("action") + "?" + boxes.map(
      (box) => `${box.name}=${encodeURIComponent(box.value)}`).join("&")];
    return form.dataset.from ? [location.pathname + "?coverage=1"] : [];
  });
  return [...links, ...forms];
}"""


def walk(page: Page, url: str) -> Iterator[tuple[str, str]]:
    """(kind, address) of one page of each kind that the navigation leads to, near or far, and of an error's; each is
    shown when it is given. A kind is a view, and what it was asked besides an index.
    """
    views = Flask(__name__)
    views.register_blueprint(admin)
    routes = views.url_map.bind("localhost")
    found: dict[str, str] = {}

    def take(addresses: Iterable[str]) -> None:
        for address in addresses:
            parts = urlsplit(address)
            endpoint, _ = routes.match(parts.path)
            asked = sorted(set(parse_qs(parts.query)) & {"q", "left", "list", "coverage"})
            asked = ["own"] if "left=own" in parts.query else asked
            kind = "-".join([endpoint.removeprefix("admin.").replace("_", "-"), *asked])
            if endpoint not in _FILES:
                found.setdefault(kind, address)

    take(pages(page))
    done: set[str] = set()
    while left := [kind for kind in found if kind not in done]:
        for kind in left:
            page.goto(f"{url}{found[kind]}", wait_until="load")
            expect(page.locator("[aria-busy]")).to_have_count(0, timeout=30_000)  # parts that come later
            done.add(kind)
            yield kind, found[kind]
            take(deeper(page, found[kind]))
    page.goto(f"{url}{ERROR}")
    yield "error", ERROR


#: Files that a link leads to; a page that says what went wrong.
_FILES = {"admin.failures_csv", "admin.export_judgments", "admin.evaluations_unjudged"}
ERROR = "/admin/weights?index=no-such-index"


def take(browser: Browser, url: str, out: Path, name: str, password: str) -> list[Path]:
    taken = []
    for screen, page in screens(browser):
        page.goto(f"{url}/admin/sign-in")
        _shots(page, out, f"sign-in-{screen}")
        sign_in(page, url, name, password)
        for language in ("en", "zh") if screen == "desktop" else ("en",):
            if language == "zh":
                page.goto(f"{url}/admin/audit")
                page.get_by_role("button", name="中文").click()
            for what, _ in walk(page, url):
                taken += _shots(page, out, f"{what}-{screen}", f"-{language}", dark=language == "en")
    return taken


def _shots(page: Page, out: Path, start: str, end: str = "", dark: bool = True) -> list[Path]:
    """The page that is shown as it is light, and `dark`: it follows the system's theme without being loaded again."""
    taken = []
    for scheme in SCHEMES if dark else SCHEMES[:1]:
        page.emulate_media(color_scheme=scheme)
        taken.append(out / f"{start}-{scheme}{end}.png")
        page.screenshot(path=taken[-1], full_page=True)
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
