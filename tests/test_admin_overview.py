"""The overview: there at once, its parts after it, each failing for itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hybrid import orders
from hybrid.elastic.orders import ORDERS
from hybrid.elastic.stores import DEAD_LETTERS, DeadLetter
from hybrid.wiring import Services
from tests.admin_client import AdminClient, forget, signed_in
from tests.conftest import index_file, make_services, write_rows
from tests.web_services import EVIL
from web import latency
from web.admin.overview import PARTS

pytestmark = pytest.mark.es


@pytest.fixture
def shop(services: Services, name: str, tmp_path: Path) -> Iterator[str]:
    services.client.indices.delete(index=[DEAD_LETTERS, ORDERS], ignore_unavailable=True)
    rows = [{"id": f"p{number}", "name": f"mug {number}"} for number in range(4)]
    index_file(services, write_rows(tmp_path / "c.ndjson", rows), name, tmp_path, signals=["text"])
    yield name
    services.client.indices.delete(index=[DEAD_LETTERS, ORDERS], ignore_unavailable=True)
    forget(services)


@pytest.fixture
def client(services: Services, shop: str) -> AdminClient:
    return signed_in(services)


def test_the_page_is_there_at_once_and_each_part_says_what_is(
    services: Services, client: AdminClient, shop: str
) -> None:
    client.get("/admin/")
    started = time.perf_counter()
    page = client.get("/admin/")
    assert time.perf_counter() - started < 0.3
    assert all(f'data-part="/admin/overview/{name}"' in page.text for name in PARTS)
    said = {name: client.get(f"/admin/overview/{name}").text for name in PARTS}
    assert shop in said["coverage"] and "4 of 4 have a vector" in said["coverage"]
    assert "Basic is enough" in said["advice"] and "No worker answers" in said["workers"]
    assert client.get("/admin/overview/nothing").status_code == 404
    # Without script it is all in one page.
    whole = client.get("/admin/?full=1").text
    assert "4 of 4 have a vector" in whole and "data-part" not in whole


def test_the_last_errors_are_shown_as_text(services: Services, client: AdminClient, shop: str) -> None:
    job = services.jobs.start("attach", shop)
    services.jobs.update(job, status="failed", error=EVIL)
    services.client.indices.refresh(index="hybrid-jobs")
    services.dead_letters.add(shop, job, [DeadLetter("p1", "image", "image_missing", EVIL)])
    page = client.get("/admin/overview/errors").text
    assert page.count("&lt;script&gt;alert(1)") == 2 and "<script" not in page
    services.client.delete(index="hybrid-jobs", id=job, refresh=True)


def test_what_a_sync_mends_is_one_button(services: Services, client: AdminClient, shop: str) -> None:
    # The shop writes a product whole, and so drops its vector.
    services.client.index(index=shop, id="p1", document={"id": "p1", "name": "cup"}, refresh=True)
    page = client.get("/admin/overview/advice").text
    assert f'action="/admin/sync/{shop}"' in page
    answer = client.post(f"/admin/sync/{shop}")
    assert answer.status_code == 302 and f"The sync of {shop} is ordered" in client.get(answer.location).text
    assert client.post(f"/admin/sync/{shop}").status_code == 409  # not twice
    assert orders.work(services, f"run:{shop}")
    order = services.orders.get(f"run:{shop}")
    assert order is not None and (order["status"], order["by"]) == ("done", "ed")
    entries, _ = services.audit.list()
    assert ("ed", "sync_now", shop) in [(entry["user"], entry["action"], entry["index"]) for entry in entries]
    viewer = signed_in(services, "vi", "viewer")
    assert "/admin/sync/" not in viewer.get("/admin/overview/advice").text


def test_without_a_broker_that_part_says_so_and_the_others_stay(engine: Any, shop: str) -> None:
    client = signed_in(make_services(engine, redis_url="redis://127.0.0.1:1/0"))
    assert "the broker does not answer" in client.get("/admin/overview/workers").text
    assert "4 of 4 have a vector" in client.get("/admin/overview/coverage").text


def test_searches_are_counted_by_their_way(
    services: Services, client: AdminClient, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "_here", latency.Latency())
    assert "No search in the last" in client.get("/admin/overview/searches").text
    for _ in range(3):
        assert client.client.get(f"/api/search?index={shop}&q=mug").status_code == 200
    assert client.client.post(f"/es/{shop}/_search", json={"query": {"match": {"name": "mug"}}}).status_code == 200
    ways = latency.of_this_process()["ways"]
    assert {way: found["count"] for way, found in ways.items()} == {"api": 3, "drop-in": 1}
    assert 0 < ways["api"]["p50_ms"] <= ways["api"]["p95_ms"] and ways["api"]["degraded"] == 0
    assert "drop-in" in client.get("/admin/overview/searches").text


def test_a_degraded_and_an_old_search_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = latency.Latency()
    at = time.time()
    for when, degraded in ((at - 3_600, True), (at - 60, True), (at, False)):
        monkeypatch.setattr(time, "time", lambda when=when: when)
        kept.add("api", 10.0, degraded, False)
    assert kept.summary()["ways"]["api"] == {"count": 2, "p50_ms": 10, "p95_ms": 10, "degraded": 0.5, "failed": 0}
