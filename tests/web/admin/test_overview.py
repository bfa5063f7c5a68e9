"""The overview: there at once, its parts after it, each failing for itself."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hybrid import metrics
from hybrid.elastic.stores.dead_letters import DEAD_LETTERS, DeadLetter
from hybrid.elastic.stores.orders import ORDERS
from hybrid.elastic.stores.search_times import SEARCH_TIMES, SearchTimesStore
from hybrid.metrics import SearchTimes
from hybrid.operations import processes
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.operations.doctor import examine
from hybrid.operations.sync import run_sync
from hybrid.services import Services
from hybrid.testing import FakeClock
from tests.conftest import index_file, make_services, write_rows
from tests.support.admin_client import AdminClient, forget, signed_in
from tests.support.raw import client_of
from tests.support.shop_writer import make_shop
from tests.support.web_services import EVIL
from tests.support.wire import watched_wire
from web.admin.overview import PARTS
from workers.orders import work

pytestmark = pytest.mark.es


@pytest.fixture
def shop(services: Services, name: str, tmp_path: Path) -> Iterator[str]:
    client_of(services).indices.delete(index=[DEAD_LETTERS, ORDERS], ignore_unavailable=True)
    rows = [{"id": f"p{number}", "name": f"mug {number}"} for number in range(4)]
    index_file(services, write_rows(tmp_path / "c.ndjson", rows), name, tmp_path, signals=["text"])
    yield name
    client_of(services).indices.delete(index=[DEAD_LETTERS, ORDERS], ignore_unavailable=True)
    forget(services)


@pytest.fixture
def client(services: Services, shop: str) -> AdminClient:
    return signed_in(services)


def test_the_page_is_there_at_once_and_each_part_says_what_is(
    services: Services, client: AdminClient, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/admin/")
    wire = watched_wire(client_of(services), monkeypatch)
    page = client.get("/admin/")
    assert len(wire.requests) <= 3, wire.requests  # who is signed in; what is there comes with the parts
    assert all(f'data-part="/admin/overview/{name}"' in page.text for name in PARTS)
    said = {name: client.get(f"/admin/overview/{name}").text for name in PARTS}
    assert shop in said["coverage"] and "4 of 4 have a vector" in said["coverage"]
    assert "Basic is enough" in said["advice"] and "No worker answered" in said["workers"]
    assert client.get("/admin/overview/nothing").status_code == 404
    # Without script it is all in one page.
    whole = client.get("/admin/?full=1").text
    assert "4 of 4 have a vector" in whole and "data-part" not in whole
    assert "No worker answered within 0.2 s" in whole


def test_the_last_errors_are_shown_as_text(services: Services, client: AdminClient, shop: str) -> None:
    job = services.jobs.start("attach", shop)
    services.jobs.update(job, status="failed", error=EVIL)
    client_of(services).indices.refresh(index="hybrid-jobs")
    services.dead_letters.add(shop, job, [DeadLetter("p1", "image", "image_missing", EVIL)])
    page = client.get("/admin/overview/errors").text
    assert page.count("&lt;script&gt;alert(1)") == 2 and "<script" not in page
    client_of(services).delete(index="hybrid-jobs", id=job, refresh=True)


def test_what_a_sync_mends_is_one_button(services: Services, client: AdminClient, shop: str) -> None:
    # The shop writes a product whole, and so drops its vector.
    client_of(services).index(index=shop, id="p1", document={"id": "p1", "name": "cup"}, refresh=True)
    page = client.get("/admin/overview/advice").text
    assert f'action="/admin/sync/{shop}"' in page
    answer = client.post(f"/admin/sync/{shop}")
    assert answer.status_code == 302 and f"The sync of {shop} has started" in client.get(answer.location).text
    assert client.post(f"/admin/sync/{shop}").status_code == 409  # not twice
    assert work(services, f"run:{shop}")
    order = services.orders.get(f"run:{shop}")
    assert order is not None and (order["status"], order["by"]) == ("done", "ed")
    entries, _ = services.audit.list()
    assert ("ed", "sync_now", shop) in [(entry["user"], entry["action"], entry["index"]) for entry in entries]
    viewer = signed_in(services, "vi", "viewer")
    assert "/admin/sync/" not in viewer.get("/admin/overview/advice").text


def test_looking_refreshes_no_index_of_the_shop(services: Services, client: AdminClient, name: str) -> None:
    shop = f"{name}-own"
    make_shop(client_of(services), shop, [{"id": "p1", "title": "mug"}])
    run_attach(services, plan_attach(services, shop, signals=["text"]))
    run_sync(services, shop)
    client_of(services).indices.put_settings(index=shop, settings={"index.refresh_interval": -1})
    client_of(services).index(index=shop, id="p2", document={"id": "p2", "title": "cup"})

    def refreshed() -> int:
        found = client_of(services).indices.stats(index=shop, metric="refresh")["indices"][shop]["primaries"]
        return int(found["refresh"]["external_total"])

    before = refreshed()
    whole = client.get("/admin/?full=1").text
    assert "1 of 1 have a vector" in whole and "1 writes since the last look" in whole
    client.get(f"/admin/reindex/{shop}")
    assert refreshed() == before
    examine(services, shop)  # that asks for it
    assert refreshed() > before


def test_without_a_broker_that_part_says_so_and_the_others_stay(engine: Any, shop: str) -> None:
    client = signed_in(make_services(engine, redis_url="redis://127.0.0.1:1/0"))
    assert "the broker does not answer" in client.get("/admin/overview/workers").text
    assert "4 of 4 have a vector" in client.get("/admin/overview/coverage").text


def test_a_worker_is_found_each_time_that_it_is_asked(services: Services, client: AdminClient) -> None:
    settings = services.settings
    environment = processes.worker_environment(settings, 1)
    environment |= {"HYBRID_ES_URL": services.es_url, "HYBRID_REDIS_URL": services.redis_url}
    worker = subprocess.Popen(processes.worker_command(1), env=environment, stderr=subprocess.DEVNULL)
    try:
        ending = time.monotonic() + 60
        while not services.queue.workers():
            assert time.monotonic() < ending and worker.poll() is None
        # One after the other: an answer must not go to the connection of the request before.
        answers = [services.queue.workers(quiet_s=3.0) for _ in range(3)]
        assert answers == [answers[0]] * 3 and list(answers[0].values()) == [0]
        whole = client.get("/admin/?full=1").text
        assert next(iter(answers[0])) in whole and "No worker answered" not in whole
    finally:
        worker.terminate()
        worker.wait(30)


@pytest.fixture
def no_searches(services: Services) -> None:
    """Searches of the tests before are not counted, nor saved later."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()
            thread.join()
    client_of(services).indices.delete(index=SEARCH_TIMES, ignore_unavailable=True)


def test_searches_are_counted_by_their_way(
    services: Services, client: AdminClient, shop: str, no_searches: None
) -> None:
    services.search_times = SearchTimes(lambda: SearchTimesStore(client_of(services)), save_after_s=0.2)
    assert "There were no searches in the last 15 minutes" in client.get("/admin/overview/searches").text
    body = {"query": {"match": {"name": "mug"}}}
    for _ in range(3):
        assert client.client.get(f"/api/search?index={shop}&q=mug").status_code == 200
    assert client.client.post(f"/es/{shop}/_search", json=body).status_code == 200
    lines = f"{{}}\n{json.dumps(body)}\n"
    assert client.client.post(f"/es/{shop}/_msearch", data=lines, mimetype="application/x-ndjson").status_code == 200
    found = services.search_times.summary()
    assert {way: one["count"] for way, one in found["ways"].items()} == {"api": 3, "drop-in": 2}
    assert found["processes"] == 1 and found["ways"]["api"]["degraded"] == 0
    assert 0 < found["ways"]["api"]["p50_ms"] <= found["ways"]["api"]["p95_ms"]
    page = client.get("/admin/overview/searches").text
    assert "drop-in" in page and "of all web processes (1 of them had searches)" in page
    # And the cluster is told of them, by nobody's request; an index that is just being made answers 503.
    ending = time.monotonic() + 30
    while (
        not client_of(services).options(ignore_status=(404, 503)).search(index=SEARCH_TIMES).get("hits", {}).get("hits")
    ):
        assert time.monotonic() < ending
        time.sleep(0.1)


def test_searches_of_all_processes_are_summed_up(services: Services, no_searches: None) -> None:
    clock = FakeClock(time.time() - 3_600)
    one, other = (SearchTimes(lambda: SearchTimesStore(client_of(services)), clock) for _ in range(2))
    one.add("api", 5_000.0, degraded=True)  # too long ago
    clock.advance(3_600)
    for _ in range(60):
        one.add("api", 10.0)
    for number in range(40):
        other.add("api", 200.0, degraded=number < 25, failed=number < 1)
    one.save()
    one.save()  # what was told before is not counted twice
    other.save()
    client_of(services).indices.refresh(index=SEARCH_TIMES)
    for asked in (one, other, services.search_times):
        found = asked.summary()
        assert found["processes"] == 2
        assert found["ways"] == {
            "api": {
                "count": 100,
                "p50_ms": pytest.approx(10, rel=0.05),
                "p95_ms": pytest.approx(200, rel=0.05),
                "degraded": 0.25,
                "failed": 0.01,
            }
        }


def test_searches_of_every_minute_count(services: Services, no_searches: None) -> None:
    clock = FakeClock(time.time() - 3 * 60)
    times = SearchTimes(lambda: SearchTimesStore(client_of(services)), clock)
    for minutes_later in (0, 1, 2):
        clock.advance(60 * minutes_later)
        times.add("api", 10.0)
        times.add("api", 10.0, degraded=True)
    found = times.summary()["ways"]["api"]
    assert (found["count"], found["degraded"]) == (6, 0.5)


def test_what_silent_processes_told_is_deleted(services: Services, no_searches: None) -> None:
    services.search_times.add("api", 10.0)
    services.search_times.save()
    old = {"at": "2020-01-01T00:00:00+00:00", "minutes": {"26297280": {"api:24": 1}}}
    client_of(services).index(index=SEARCH_TIMES, id="old", document=old, refresh=True)
    assert services.search_times.summary()["ways"]["api"]["count"] == 1
    fresh = SearchTimes(lambda: SearchTimesStore(client_of(services)))
    fresh.add("page", 10.0)
    fresh.save()
    assert not client_of(services).exists(index=SEARCH_TIMES, id="old")
    assert client_of(services).exists(index=SEARCH_TIMES, id=fresh.process)


def test_a_cluster_that_takes_no_counts_costs_no_search_and_little_memory(
    engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Each time it tells what it has, which is no more than the minutes that are summed up."""
    gone = SearchTimesStore(client_of(make_services(engine, es_url="http://127.0.0.1:1")))
    told: list[int] = []

    class Store:
        def save(self, process: str, minutes: Mapping[str, Mapping[str, int]]) -> None:
            told.append(len(minutes))
            gone.save(process, minutes)

    clock = FakeClock(time.time())
    kept = SearchTimes(Store, clock, save_after_s=600.0)
    for minute in range(60):
        kept.add("api", 10.0 + minute)
        clock.advance(60)
    kept.save()
    kept.save()
    assert told == [metrics.WINDOW_MIN, metrics.WINDOW_MIN]
    [said] = [record.message for record in caplog.records if record.name == metrics.__name__]
    assert said.startswith("search times are not saved: Elasticsearch does not answer")
