"""Work ordered on the admin page: it starts once, tells how far it is, and outlives whoever works on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hybrid.elastic.stores.orders import ORDERS
from hybrid.errors import IndexMissingError, JobError, OrderTakenError, UsageError
from hybrid.operations import orders, processes
from hybrid.services import Services
from tests.support.raw import client_of
from workers import orders as performing
from workers.orders import work

pytestmark = pytest.mark.es
WAIT_S = 60.0


@pytest.fixture
def slot(services: Services) -> Iterator[str]:
    client_of(services).indices.delete(index=ORDERS, ignore_unavailable=True)
    yield "run:shop"
    client_of(services).indices.delete(index=ORDERS, ignore_unavailable=True)


def age(services: Services, slot: str, field: str, seconds: float) -> None:
    """Make an order look older than it is."""
    at = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    client_of(services).update(index=ORDERS, id=slot, doc={field: at}, refresh=True)


def until(wanted: Any, seconds: float = WAIT_S) -> None:
    ending = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < ending, "it did not come to pass"
        time.sleep(0.2)


def test_an_order_is_placed_once_and_again_when_it_has_ended(services: Services, slot: str) -> None:
    services.orders.place(slot, "sync", "shop", {"a": 1}, "mei")
    with pytest.raises(OrderTakenError, match="sync of 'shop' is under way, ordered by mei"):
        services.orders.place(slot, "reindex", "shop", {}, "ed")
    order = services.orders.take(slot)
    assert order is not None and (order["options"], order["attempts"]) == ({"a": 1}, 1)
    with pytest.raises(OrderTakenError):
        services.orders.place(slot, "reindex", "shop", {}, "ed")
    assert services.orders.keep(order, status="done", result={"b": 2})
    found = services.orders.get(slot)
    assert found is not None and (found["status"], found["result"], found["dead"]) == ("done", {"b": 2}, False)
    services.orders.place(slot, "reindex", "shop", {}, "ed")
    again = services.orders.get(slot)
    assert again is not None and (again["status"], again["by"], "result" in again) == ("queued", "ed", False)


def test_of_many_who_order_at_once_one_succeeds_and_of_many_who_take_one_has_it(services: Services, slot: str) -> None:
    services.orders.place(slot, "sync", "shop", {}, "warm")  # the store is made
    services.orders.keep(services.orders.take(slot) or {}, status="done")
    placed: list[str] = []
    taken: list[dict[str, Any]] = []

    def place(name: str) -> None:
        try:
            services.orders.place(slot, "sync", "shop", {}, name)
        except OrderTakenError:
            return
        placed.append(name)

    def take(_: str) -> None:
        order = services.orders.take(slot)
        if order:
            taken.append(order)

    for act in (place, take):
        threads = [threading.Thread(target=act, args=(f"person {number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(placed) == len(taken) == 1
    assert taken[0]["by"] == placed[0]


def test_two_heavy_orders_run_at_once_and_the_next_begins_when_one_ends(
    services: Services, slot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, kind in enumerate(("reindex", "train", "attach", "sync")):
        services.orders.place(f"{slot}-{number}", kind, f"shop-{number}", {}, "mei")
    first, second = services.orders.take(f"{slot}-0"), services.orders.take(f"{slot}-1")
    assert first and second
    assert services.orders.take(f"{slot}-2") is None
    assert services.orders.take(f"{slot}-3")  # light work goes on
    assert services.orders.queued() == [f"{slot}-2"]
    assert services.orders.keep(first, status="done")
    told: list[str] = []
    monkeypatch.setattr(orders, "go_on", lambda services, slot: told.append(slot))
    third = services.orders.take(f"{slot}-2")
    assert third
    services.orders.place(f"{slot}-4", "reindex", "shop-4", {}, "mei")
    assert services.orders.keep(third, status="queued")
    assert orders.work(services, f"{slot}-2", {"attach": lambda work: {}})
    assert told == [f"{slot}-4"]
    age(services, f"{slot}-1", "beat", 60)  # its process has died
    assert services.orders.take(f"{slot}-4")


def test_an_order_for_what_is_no_index_of_products_is_refused(services: Services, slot: str) -> None:
    with pytest.raises(IndexMissingError):
        orders.place(services, slot, "sync", "no-such-index", {}, "mei")
    with pytest.raises(UsageError, match="belong to Hybrid"):
        orders.place(services, slot, "attach", "hybrid-audit", {}, "mei")
    assert services.orders.get(slot) is None


def test_an_order_whose_process_died_goes_to_another_and_the_dead_one_is_not_heard(
    services: Services, slot: str
) -> None:
    services.orders.place(slot, "sync", "shop", {}, "mei")
    assert services.orders.abandoned() == []
    age(services, slot, "placed", 60)
    assert services.orders.abandoned() == [slot]  # nobody took it
    first = services.orders.take(slot)
    assert first is not None and services.orders.abandoned() == [] and services.orders.take(slot) is None
    age(services, slot, "beat", 60)
    assert services.orders.abandoned() == [slot]
    assert (services.orders.get(slot) or {})["dead"]
    second = services.orders.take(slot)
    assert second is not None and second["attempts"] == 2
    assert not services.orders.keep(first, status="done")
    assert services.orders.keep(second, progress={"done": 3})
    assert (services.orders.get(slot) or {})["progress"] == {"done": 3}


def test_what_came_of_an_order_is_kept_with_its_error(
    services: Services, slot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(work: orders.Work) -> dict[str, Any]:
        work.counted("copying", 3, 10)
        raise JobError("the shop is closed")

    def breaks(work: orders.Work) -> dict[str, Any]:
        raise ZeroDivisionError("division by zero")

    def works(work: orders.Work) -> dict[str, Any]:
        return {"options": work.options, "again": work.again}

    found = {}
    for kind, perform in (("fails", fails), ("breaks", breaks), ("works", works)):
        monkeypatch.setitem(performing.KINDS, kind, perform)
        services.orders.place(slot, kind, "shop", {"x": 1}, "mei")
        assert work(services, slot)
        assert not work(services, slot)  # it is done
        found[kind] = services.orders.get(slot) or {}
    assert (found["fails"]["status"], found["fails"]["error"]) == ("failed", "the shop is closed")
    assert found["fails"]["progress"] == {"phase": "copying", "done": 3, "total": 10}
    assert found["breaks"]["error"].startswith("ZeroDivisionError: division by zero; the log")
    assert (found["works"]["status"], found["works"]["result"]) == ("done", {"options": {"x": 1}, "again": False})


def test_the_curve_keeps_its_ends_however_long_the_work(services: Services) -> None:
    work = orders.Work(services, {"index": "shop", "options": {}, "attempts": 1})
    for done in range(2_000):
        work.counted("copying", done, 2_000)
        work.sample()
    counts = [sample[1] for sample in work.samples]
    assert len(counts) <= 240 and counts[0] == 0 and counts[-1] == 1_999 and counts == sorted(counts)


def test_a_worker_starts_an_order_that_outlives_it_and_the_schedule_goes_on_with_one_that_was_killed(
    services: Services, slot: str, name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.conftest import index_file, write_rows

    index_file(services, write_rows(tmp_path / "c.ndjson", [{"id": "a", "name": "mug"}]), name, tmp_path)
    environment = {
        **os.environ, "HYBRID_ES_URL": services.es_url, "HYBRID_REDIS_URL": services.redis_url,
        "HYBRID_TEXT_ENCODER": "toy:32", "HYBRID_IMAGE_ENCODER": "toy:32", "HYBRID_DATA_DIR": str(tmp_path),
    }  # fmt: skip
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(processes.worker_command(1), env=environment, stdout=log, stderr=log)
    try:
        assert orders.place(services, slot, "sync", name, {}, "mei")
        until(lambda: (services.orders.get(slot) or {})["status"] == "done")
    finally:
        worker.kill()
        worker.wait()
    assert (services.orders.get(slot) or {})["result"]["complete"]

    services.orders.place(slot, "sync", name, {}, "mei")
    # As a worker starts it, but stopped before it can end.
    process = subprocess.Popen(
        [sys.executable, "-c", f"import time; from hybrid.services import build_services; "
         f"build_services().orders.take({slot!r}); time.sleep(600)"],
        env=environment,
    )  # fmt: skip
    until(lambda: (services.orders.get(slot) or {})["status"] == "running")
    process.send_signal(signal.SIGKILL)
    process.wait()
    age(services, slot, "beat", 60)
    for key in ("HYBRID_TEXT_ENCODER", "HYBRID_IMAGE_ENCODER", "HYBRID_DATA_DIR"):
        monkeypatch.setenv(key, environment[key])
    orders.call_abandoned(services)
    until(lambda: (services.orders.get(slot) or {})["status"] == "done")
    assert (services.orders.get(slot) or {})["attempts"] == 2
