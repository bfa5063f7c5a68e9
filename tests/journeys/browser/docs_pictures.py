"""The pictures of the documentation, from a running demo.

`python -m tests.journeys.browser.docs_pictures [URL NAME PASSWORD]`.

URL is that of a running demo, as `make demo` prints it; NAME and PASSWORD are an account's. Without them a demo is
started on an engine of its own, and both are taken away afterwards. Writes docs/pictures/*.png. A fresh demo gives
the same pictures each time, but for times and dates.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import APIRequestContext, Page, Playwright, expect, sync_playwright

from hybrid.sample import SamplePaths, write_sample

from .admin_screenshots import sign_in
from .screenshots import CHROMIUM_ARGS, chromium, screens

OUT = Path(__file__).parents[3] / "docs" / "pictures"
INDEX, LIST, NODE = "sample", "sample queries", "pictures"
QUERY = "something to keep me dry in a downpour"
WAIT_MS = 60_000
WORK_S = 600  # for an order that a worker carries out
#: Times that a page is opened: the time that it shows is that of a search with everything loaded.
WARM = 4


def main() -> int:
    if len(sys.argv) not in (1, 4):
        print(__doc__, file=sys.stderr)
        return 2
    given = (sys.argv[1].rstrip("/"), sys.argv[2], sys.argv[3]) if len(sys.argv) == 4 else None
    if not subprocess.run(["fc-list", ":lang=zh"], capture_output=True, check=True).stdout:
        print("no font has Chinese characters: apt-get install -y fonts-noto-cjk", file=sys.stderr)
        return 1
    OUT.mkdir(exist_ok=True)
    expect.set_options(timeout=WAIT_MS)
    with contextlib.ExitStack() as stack:
        url, name, password = given or stack.enter_context(_demo())
        sample = write_sample(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        play = stack.enter_context(sync_playwright())
        _order_work(play, url, name, password, sample)
        browser = play.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_ARGS))
        for screen, page in screens(browser):
            page.set_default_timeout(WAIT_MS)
            photo = sample.photo_queries.parent / "queries" / "q01.jpg"
            if screen == "phone":
                _save(_search_by_photo(page, url, photo), "phone")
                continue
            for _ in range(WARM):
                page.goto(url)
            _save(page, "start")
            _save(_search_by_words(page, url), "search-text")
            _save(_search_by_photo(page, url, photo), "search-photo")
            sign_in(page, url, name, password)
            for picture, show in _ADMIN.items():
                show(page, url)
                _save(page, f"admin-{picture}")
        browser.close()
    return 0


@contextlib.contextmanager
def _demo() -> Iterator[tuple[str, str, str]]:
    """(address, name, password) of a demo that is started for the pictures, on an engine of its own."""
    command, environment = [sys.executable, "-m", "hybrid.cli"], {**os.environ, "HYBRID_NODE": NODE}
    process = subprocess.Popen([*command, "demo"], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        shown = ""
        while "admin page:" not in shown:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the demo ended with status {process.wait()}")
            shown += line
        url = re.search(r"search page: (\S+?)/\n", shown)
        account = re.search(r"name (\S+), password (\S+)", shown)
        assert url and account, shown
        yield url[1], account[1], account[2]
    finally:
        process.terminate()
        process.wait(60)
        subprocess.run([*command, "down", "--wipe"], env=environment, check=True, stdout=subprocess.DEVNULL)


def _order_work(play: Playwright, url: str, name: str, password: str, sample: SamplePaths) -> None:
    """Something on each page: judgments, an evaluation and a reindex, done by the demo's worker."""
    api = play.request.new_context(base_url=url)
    token = _json(api, "sign-in", {"name": name, "password": password})["token"]
    api = play.request.new_context(base_url=url, extra_http_headers={"Authorization": f"Bearer {token}"})
    file = {"name": "judgments.csv", "mimeType": "text/csv", "buffer": sample.judgments.read_bytes()}
    taken = api.post(f"/admin/api/judgments/{INDEX}/{quote(LIST)}/import", multipart={"file": file})
    assert taken.ok, taken.text()
    systems = ["bm25", "text", "rrf", "fixed"]
    _json(api, "evaluations", {"index": INDEX, "judgments": LIST, "systems": systems})
    _wait(lambda: _json(api, f"weights/{INDEX}/order")["order"])
    reindex = {"what": "reindex", "shards": 2}
    _json(api, f"runs/{INDEX}", {"do": "plan", **reindex})
    _wait(lambda: _json(api, f"runs?index={INDEX}")["plan"])
    _json(api, f"runs/{INDEX}", {"do": "start", **reindex})
    _wait(lambda: _json(api, f"runs?index={INDEX}")["order"])


def _json(api: APIRequestContext, path: str, data: dict[str, Any] | None = None) -> Any:
    address = f"/admin/api/{path}"
    answer = api.get(address) if data is None else api.post(address, data=data)
    assert answer.ok, answer.text()
    return answer.json()


def _wait(order: Callable[[], dict[str, Any]]) -> None:
    """Until an order is done."""
    deadline = time.monotonic() + WORK_S
    while (last := order())["status"] in ("queued", "running"):
        assert time.monotonic() < deadline, last
        time.sleep(0.5)
    assert last["status"] == "done", last


def _search_by_words(page: Page, url: str) -> Page:
    """The first hits, with what each signal gave the first of them."""
    for _ in range(WARM):
        page.goto(f"{url}/?q={quote(QUERY)}")
    page.locator(".why summary").first.click()
    return page


def _search_by_photo(page: Page, url: str, photo: Path) -> Page:
    for _ in range(WARM):
        page.goto(url)
        page.locator("#photo-file").set_input_files(photo)
        expect(page.locator(".why summary").first).to_be_visible()
        page.wait_for_load_state("networkidle")
    return page


def _open(path: str) -> Callable[[Page, str], None]:
    def show(page: Page, url: str) -> None:
        page.goto(f"{url}/admin/{path}", wait_until="load")
        expect(page.locator("[aria-busy]")).to_have_count(0)  # parts that come later

    return show


def _evaluation(page: Page, url: str) -> None:
    _open(f"evaluations?index={INDEX}")(page, url)
    page.locator("main a[href^='/admin/evaluations/']").first.click()
    page.wait_for_url("**/admin/evaluations/*")


_ADMIN: dict[str, Callable[[Page, str], None]] = {
    "overview": _open(""),
    "try": _open(f"try?index={INDEX}&q={quote(QUERY)}&left=bm25&right=fixed"),
    "evaluation": _evaluation,
    "reindex": _open(f"reindex/{INDEX}"),
}


def _save(page: Page, name: str) -> None:
    """The visible part of the page, in 256 colours: a third of the size, and hardly a difference to see."""
    page.wait_for_load_state("load")
    seen = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = OUT / f"{name}.png"
    seen.quantize(256, kmeans=4, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
