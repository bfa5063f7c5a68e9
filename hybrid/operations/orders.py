"""Orders: long work from the admin page, each in a process of its own, which a worker starts and which notes progress.

An order is stored in Elasticsearch before any worker is notified, so it outlives browser, web server, broker and
worker. When a process dies, its heartbeat stops, and another process goes on with the order. Every kind of work
continues where it was.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from hybrid.elastic.indices.own import refuse_own
from hybrid.elastic.stores.orders import HEAVY
from hybrid.errors import ClusterError, ClusterUnreachableError, HybridError, NodeError
from hybrid.operations.runs import Progress
from hybrid.services import Services

logger = logging.getLogger(__name__)

#: Seconds between two heartbeats, each with the progress.
_BEAT_S = 2.0
#: Most points of the curve of progress; when there are more, every second one is dropped.
_SAMPLES = 240


def learning_slot(index: str) -> str:
    """The slot of training and evaluation of an index. They run one after the other: together each would slow the other
    and spoil its latencies."""
    return f"learn:{index}"


def place(services: Services, slot: str, kind: str, index: str, options: Mapping[str, Any], by: str) -> bool:
    """Order work; returns whether a worker was notified. If not, the schedule (`hybrid worker --beat`) starts it.

    Raises:
        IndexMissingError: there is no index of that name.
        UsageError: it is a store of the layer or of the cluster.
        OrderTakenError: work is under way in that slot.
    """
    refuse_own(index)
    refuse_own(*services.cluster.indices.behind(index))
    services.orders.place(slot, kind, index, options, by)
    return go_on(services, slot)


def start(services: Services, slot: str) -> None:
    """Start the process of an order, which outlives this one."""
    log = services.settings.data_dir / "logs" / "orders.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "HYBRID_ES_URL": services.es_url, "HYBRID_REDIS_URL": services.redis_url}
    environment.pop("HYBRID_OWNER_PID", None)
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.orders", slot],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    threading.Thread(target=process.wait, daemon=True).start()  # without a wait it would stay a zombie


def go_on(services: Services, slot: str) -> bool:
    """Notify the workers of an order, also again; returns whether a worker was notified."""
    try:
        services.queue.order(slot)
    except (NodeError, ClusterUnreachableError) as error:
        logger.warning("no worker was told of %s: %s", slot, error)
        return False
    return True


def call_abandoned(services: Services) -> None:
    """Start the orders that no process took or whose process died; for the schedule."""
    for slot in services.orders.abandoned():
        logger.warning("nobody works on the order %s; starting it", slot)
        start(services, slot)


class StopWork(Exception):
    """A user asked to stop the work. The part that was done stays."""


@dataclass
class Work:
    """An order in its process. `progress` is stored with every heartbeat: {"phase", "done", "total", …}."""

    services: Services
    order: dict[str, Any]
    progress: dict[str, Any] = field(default_factory=dict)
    samples: list[list[float]] = field(default_factory=list)

    @property
    def index(self) -> str:
        return str(self.order["index"])

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.order["options"])

    @property
    def again(self) -> bool:
        """Whether an earlier process of this order died."""
        return int(self.order["attempts"]) > 1

    @property
    def ordered(self) -> dict[str, str]:
        """Who ordered it, and when. A job notes these, so that its order can be recognised."""
        return {"by": str(self.order["by"]), "at": str(self.order["placed"])}

    def show(self, progress: Progress) -> None:
        """Take the progress of a run.

        Raises:
            StopWork: a user asked for it.
        """
        # While an index is read, the number of documents that need a vector is not yet known.
        reading = progress.phase in ("read", "copy") and progress.size
        if not reading and progress.to_encode:
            done, total = progress.done, progress.to_encode
        else:
            done, total = progress.position, progress.size
        self._advance({**asdict(progress), "done": done, "total": total})

    def counted(self, what: str, done: int, total: int) -> None:
        """Take the progress of a step, as `hybrid.cli.output.counted` does."""
        self._advance({"phase": what, "done": done, "total": total})

    def _advance(self, progress: dict[str, Any]) -> None:
        self.progress = progress
        if self.order.get("stop"):
            raise StopWork("stopped, as was asked for")

    def sample(self) -> None:
        """Add the present progress to the curve."""
        if "done" in self.progress:
            self.samples.append([round(time.time(), 1), self.progress["done"]])
            if len(self.samples) > _SAMPLES:
                del self.samples[1:-1:2]


Perform = Callable[[Work], Mapping[str, Any]]


def work(services: Services, slot: str, kinds: Mapping[str, Perform]) -> bool:
    """Perform an order in this process; returns whether there was one. kinds: kind of order -> function."""
    order = services.orders.take(slot)
    if order is None:
        return False
    logger.warning("%s of %s: begun, attempt %s", order["kind"], order["index"], order["attempts"])
    doing = Work(services, order, samples=order.get("samples", []))
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(doing, ended), daemon=True)
    beating.start()
    end: dict[str, Any]
    try:
        end = {"status": "done", "result": dict(kinds[order["kind"]](doing)), "error": None}
    except StopWork as stop:
        end = {"status": "cancelled", "error": str(stop)}
    except HybridError as error:
        end = {"status": "failed", "error": str(error)}
    except Exception as error:  # the order must not stay "running", and its user must see the error
        logger.exception("%s of %s ended unexpectedly", order["kind"], order["index"])
        end = {"status": "failed", "error": f"{type(error).__name__}: {error}; the log orders.log has more"}
    finally:
        ended.set()
        beating.join()
    _keep(doing, **end)
    logger.warning("%s of %s: %s %s", order["kind"], order["index"], end["status"], end.get("error") or "")
    if order["kind"] in HEAVY:
        with suppress(ClusterError):  # the schedule finds them as well
            for waiting in services.orders.queued():
                go_on(services, waiting)
    return True


def _beat(doing: Work, ended: threading.Event) -> None:
    while not ended.wait(_BEAT_S):
        doing.sample()
        try:
            current = doing.services.orders.keep(doing.order, progress=doing.progress, samples=doing.samples)
        except ClusterError as error:
            logger.warning("no sign of life given: %s", error)
            continue
        if not current:
            logger.error("another process has the order %s now; ending", doing.order["slot"])
            os._exit(1)
        doing.order["stop"] = current.get("stop", False)


def _keep(doing: Work, **fields: Any) -> None:
    from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

    retrying = Retrying(
        retry=retry_if_exception_type(ClusterError), stop=stop_after_delay(300), wait=wait_fixed(1), reraise=True
    )
    doing.sample()
    retrying(doing.services.orders.keep, doing.order, progress=doing.progress, samples=doing.samples, **fields)
