"""Long work that the admin page orders: a process of its own, started by a worker, which tells how far it is.

The order stands in Elasticsearch before any worker hears of it, so it outlives browser, web server, broker and
worker. A process that dies is noticed by its missing signs of life, and another goes on with the order: every kind of
work goes on where it was when it is begun again.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hybrid.errors import ClusterError, ClusterUnreachableError, HybridError, NodeError
from hybrid.operations.runs import Progress
from hybrid.services import Services

logger = logging.getLogger(__name__)

#: Seconds between two signs of life, each with the progress.
_BEAT_S = 2.0
#: Points kept of the curve of progress; when there are more, every second one goes.
_SAMPLES = 240


def learning_slot(index: str) -> str:
    """Learning and measuring stand in one line for an index: each would slow the other, and spoil its latencies."""
    return f"learn:{index}"


def place(services: Services, slot: str, kind: str, index: str, options: Mapping[str, Any], by: str) -> bool:
    """Order work; whether a worker was told. Where no broker answers, the schedule (`hybrid worker --beat`) finds it.

    Raises:
        OrderTakenError: work is under way in that slot.
    """
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
    threading.Thread(target=process.wait, daemon=True).start()  # or it stays as a zombie when it has ended


def go_on(services: Services, slot: str) -> bool:
    """Tell the workers of an order again, whose process died or that nobody took; whether a worker was told."""
    try:
        services.queue.order(slot)
    except (NodeError, ClusterUnreachableError) as error:
        logger.warning("no worker was told of %s: %s", slot, error)
        return False
    return True


def call_abandoned(services: Services) -> None:
    """Start orders that nobody took or whose process died; for the schedule."""
    for slot in services.orders.abandoned():
        logger.warning("nobody works on the order %s; starting it", slot)
        start(services, slot)


class StopWork(Exception):
    """Somebody asked for the end of the work. What was done of it stays."""


@dataclass
class Work:
    """An order in the hands of its process. `progress` is what is told: {"phase", "done", "total", …}."""

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
        """Whether a process before this one died with the order."""
        return int(self.order["attempts"]) > 1

    @property
    def ordered(self) -> dict[str, str]:
        """Who ordered it, and when: what a job notes, and is known again by."""
        return {"by": str(self.order["by"]), "at": str(self.order["placed"])}

    def show(self, progress: Progress) -> None:
        """Take the progress of a run.

        Raises:
            StopWork: somebody asked for it.
        """
        # While an index is read, how many of its documents will want a vector is not known.
        reading = progress.phase in ("read", "copy") and progress.size
        if not reading and progress.to_encode:
            done, total = progress.done, progress.to_encode
        else:
            done, total = progress.position, progress.size
        self._told({**asdict(progress), "done": done, "total": total})

    def counted(self, what: str, done: int, total: int) -> None:
        """Take the progress of a step, as `hybrid.cli.output.counted` does."""
        self._told({"phase": what, "done": done, "total": total})

    def _told(self, progress: dict[str, Any]) -> None:
        self.progress = progress
        if self.order.get("stop"):
            raise StopWork("stopped, as was asked for")

    def sample(self) -> None:
        """Note how far the work is now, for the curve."""
        if "done" in self.progress:
            self.samples.append([round(time.time(), 1), self.progress["done"]])
            if len(self.samples) > _SAMPLES:
                del self.samples[1:-1:2]


Perform = Callable[[Work], Mapping[str, Any]]


def work(services: Services, slot: str, kinds: Mapping[str, Perform]) -> bool:
    """Do an order in this process; whether there was one to do. kinds: what each kind of order does."""
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
    except Exception as error:  # the order must not stay "running": whoever gave it is told
        logger.exception("%s of %s ended unexpectedly", order["kind"], order["index"])
        end = {"status": "failed", "error": f"{type(error).__name__}: {error}; the log orders.log has more"}
    finally:
        ended.set()
        beating.join()
    _keep(doing, **end)
    logger.warning("%s of %s: %s %s", order["kind"], order["index"], end["status"], end.get("error") or "")
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
