"""Real Celery workers on a real Redis: nothing is lost when either is killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from hybrid import node
from hybrid.ingest.queue import TaskQueue
from hybrid.operations import indexing, runs
from hybrid.services import Services
from hybrid.settings import Settings
from tests.conftest import make_services, write_rows
from tests.support.raw import client_of

pytestmark = [pytest.mark.es, pytest.mark.slow]


def rows(count: int) -> list[dict[str, Any]]:
    return [{"id": f"p{n}", "name": f"Product {n}", "description": f"words of product {n}"} for n in range(count)]


def pool_children() -> list[psutil.Process]:
    """Live Celery processes that this test started: (parent, children...)."""

    def live(process: psutil.Process) -> bool:
        try:
            return "celery" in " ".join(process.cmdline())
        except psutil.Error:  # it ends, or has just ended
            return False

    return [process for process in psutil.Process().children(recursive=True) if live(process)]


def test_workers_survive_kills_and_a_broker_restart(
    engine: Any, services: Services, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "STALL_S", 5.0)
    monkeypatch.setenv("HYBRID_TEXT_ENCODER", "toy:32")
    monkeypatch.setenv("HYBRID_IMAGE_ENCODER", "toy:32")
    monkeypatch.setenv("HYBRID_BATCH_SIZE", "32")
    count = 3_000
    path = write_rows(tmp_path / "c.ndjson", rows(count))

    def kill_child() -> None:
        os.kill(pool_children()[-1].pid, signal.SIGKILL)

    def restart_redis() -> None:
        node.restart_redis(Settings(es_url=None, redis_url=None), name=engine.name)

    def kill_worker() -> None:
        next(process for process in pool_children() if process.ppid() == os.getpid()).kill()

    def encoded() -> int:
        client_of(services).indices.refresh(index=name)
        return services.cluster.indices.count(name, {"exists": {"field": "hybrid.text"}})

    # Each as soon as so many products have their vector; looked at a few times a second, for it costs a refresh.
    troubles = [(1, kill_child), (300, restart_redis), (900, kill_worker)]
    done: list[int] = []
    looked = 0.0

    def trouble(_: runs.Progress) -> None:
        nonlocal looked
        if not troubles or time.monotonic() - looked < 0.3 or len(pool_children()) < 3:
            return
        ready = encoded()
        looked = time.monotonic()
        if ready >= troubles[0][0]:
            troubles.pop(0)[1]()
            done.append(ready)

    own = make_services(engine, batch_size=32)
    plan = indexing.plan_index(own, path, name)
    report = indexing.run_index(own, plan, workers=2, rejects_path=tmp_path / "rejects", report=trouble)
    assert len(done) == 3 and done[-1] < count, done
    assert report.complete
    assert encoded() == count
    assert services.cluster.indices.count(name, {"exists": {"field": "hybrid.meta.pending"}}) == 0
    assert pool_children() == []


def test_a_product_that_kills_workers_ends_as_a_dead_letter(services: Services, name: str, tmp_path: Path) -> None:
    """The task as the broker would send it again; plain function, real index."""
    from hybrid.contracts import Product
    from workers import tasks

    path = write_rows(tmp_path / "c.ndjson", rows(4))
    plan = indexing.plan_index(services, path, name)
    services.cluster.indices.ensure(plan.profile)
    batch = [Product(row["id"], row, 1) for row in rows(4)]
    services.ingester.load(plan.profile, batch)
    sent: list[tuple[list[str], int]] = []

    class Task:
        class app:
            hybrid_services = services

        @staticmethod
        def apply_async(args: list[Any], kwargs: dict[str, Any]) -> None:
            sent.append((args[2], kwargs["losses"]))

    tasks.isolate(Task, name, "job", ["p0", "p1", "p2", "p3"], 1)
    assert sent == [(["p0", "p1"], 0), (["p2", "p3"], 0)]
    sent.clear()
    tasks.isolate(Task, name, "job", ["p2"], 1)
    assert sent == [(["p2"], 1)]
    sent.clear()
    tasks.isolate(Task, name, "job", ["p2"], tasks.MAX_LOSSES + 1)
    assert sent == []
    assert services.dead_letters.counts(name) == {"worker_lost": 1}
    stored = client_of(services).get(index=name, id="p2")["_source"]["hybrid"]["meta"]
    assert (stored["pending"], stored["failed"]) == ([], ["text"])


def test_a_broker_that_is_not_there_is_one_line(services: Services) -> None:
    from hybrid.errors import ClusterUnreachableError

    queue = TaskQueue(services.settings, "redis://127.0.0.1:1/0")
    queue._app.conf.broker_connection_timeout = 1
    with pytest.raises(ClusterUnreachableError, match="the broker does not answer"):
        queue.enrich("x", "job", ["a"])
