"""Every page of the admin, about a shop with much on each: few requests, and markup shown as the text that it is."""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from hybrid.services import Services
from tests.conftest import make_services
from tests.support.admin_client import AdminClient, signed_in
from tests.support.admin_seed import EVIL_NAME, REASON, empty, fill, make_index
from tests.support.raw import client_of
from tests.support.web_services import EVIL
from tests.support.wire import watched_wire

pytestmark = pytest.mark.es
#: Answers that are no pages: files, streams, and parts that a page asks for when somebody wants them.
NO_PAGES = {
    "admin.failures_csv", "admin.export_judgments", "admin.reindex_events", "admin.weights_order_events",
    "admin.overview_part", "admin.reindex_state", "admin.weights_order", "admin.judgments_coverage",
    "admin.tryit_cards", "admin.sign_in", "admin.evaluations_unjudged",
}  # fmt: skip
#: What a page may ask of the cluster, and have of it.
REQUESTS, BYTES = 20, 1_000_000


@dataclass(frozen=True)
class Shop:
    services: Services
    index: str
    pages: list[str]


@pytest.fixture(scope="module")
def shop(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A small index with 20,000 failures, 200 versions of weights, 500 runs, 200 evaluations and 5,000 judgments."""
    index = f"t{uuid.uuid4().hex[:10]}"
    services = make_index(make_services(engine), index, tmp_path_factory.mktemp("shop"))
    empty(services, index)
    yield Shop(services, index, fill(services, index, many=True))
    empty(services, index)
    for concrete in list(client_of(services).indices.get(index=f"{index}*", expand_wildcards="all").body):
        client_of(services).indices.delete(index=concrete)


@pytest.fixture
def ed(shop: Shop) -> AdminClient:
    return signed_in(shop.services)


def test_there_is_no_other_page(shop: Shop, ed: AdminClient) -> None:
    views = ed.app.url_map.bind("localhost")
    known = {views.match(page.split("?")[0])[0] for page in shop.pages}
    there = {
        rule.endpoint
        for rule in ed.app.url_map.iter_rules()
        if rule.rule.startswith("/admin") and "/api/" not in rule.rule and "GET" in (rule.methods or ())
    }
    assert there - NO_PAGES == known


def test_no_page_reads_all_that_there_is(shop: Shop, ed: AdminClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a page takes is measured by `hybrid bench check`; here, what it asks of the cluster."""
    index = shop.index
    far = [
        f"/admin/weights?index={index}&page=10", f"/admin/evaluations?index={index}&page=10", "/admin/reindex?page=20",
        f"/admin/failures/{index}/{REASON}?page=200", f"/admin/judgments/{index}/many",
        f"/admin/reindex/{index}/state", f"/admin/weights/{index}/order",
    ]  # fmt: skip
    wire = watched_wire(client_of(shop.services), monkeypatch)
    much = {}
    for page in [*shop.pages, *far]:
        ed.get(page)  # some is remembered for a while
        wire.forget()
        assert ed.get(page).status_code == 200
        print(page, len(wire.requests), wire.bytes)
        if len(wire.requests) > REQUESTS or wire.bytes > BYTES:
            much[page] = (wire.bytes, wire.requests[:])
    assert much == {}


def test_markup_of_others_is_text_on_every_page(shop: Shop, ed: AdminClient) -> None:
    index, name = shop.index, quote(EVIL_NAME, safe="")
    named = [
        f"/admin/weights/{index}/{name}", f"/admin/weights/{index}/{name}/apply",
        f"/admin/weights/{index}/compare?v={name}&v=gate-1", f"/admin/weights/{index}/compare?v=gate-1&v={name}",
        f"/admin/judgments/{index}/{name}", f"/admin/judgments/{index}/{name}?coverage=1", "/admin/evaluations/evil",
        f"/admin/evaluations?index={index}&list={name}", "/admin/evaluations/compare?run=evil&run=evil",
        f"/admin/failures/{index}/encoder_failed", "/admin/overview/errors",
        f"/admin/try?index={index}&q={quote(EVIL)}&list={name}&left={name}&right={name}",
        f"/admin/try/cards?index={index}&id=evil&list={name}&q={quote(EVIL)}", f"/admin/weights?index={name}",
        f"/admin/failures/{name}/{name}", f"/admin/evaluations/{name}", f"/admin/models/{index}/weights/{name}",
    ]  # fmt: skip
    compared = next(page for page in shop.pages if "/evaluations/compare" in page)  # where nothing changed
    without = {
        "/admin/", "/admin/try", "/admin/failures", f"/admin/reindex/{index}", f"/admin/weights/{index}/gate-1",
        f"/admin/weights?index={name}", f"/admin/models/{index}/weights/gate-1", compared,
    }  # fmt: skip
    missing: list[str] = []  # pages that do not show what they were to show as text
    for page in [*shop.pages, *named]:
        shown = ed.get(page).text
        assert "<script>alert" not in shown and "<img src=x" not in shown, page
        if page not in without:
            # As it is, or as the cards of products show texts: without tags, and what is within a script.
            as_text = re.search(r"&lt;(script&gt;alert\(1\)|img src=x)|&#34;&#39;&gt;", shown)
            missing += [] if as_text else [page]
    assert "\n".join(missing) == ""


@pytest.mark.parametrize("path", ["/admin/judgments", "/admin/evaluations"])
def test_the_name_of_a_file_is_text(shop: Shop, ed: AdminClient, path: str) -> None:
    ed.get(path)
    file = (io.BytesIO(b"query,docid,rating\nmug,p00,many\n"), f"{EVIL_NAME}.csv")
    answer = ed.post(path, index=shop.index, list=EVIL, keep_as=EVIL, judgments=EVIL, systems=EVIL, file=file)
    assert answer.status_code == 400
    assert "<script>alert" not in answer.text and "<img src=x" not in answer.text
