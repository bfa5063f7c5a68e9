"""The part of a run that every kind of job shares: encoding here or on workers, waiting, sweeping, progress."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hybrid.contracts import IndexProfile
from hybrid.errors import ClusterError, JobError
from hybrid.ingest.queue import TaskQueue
from hybrid.operations.processes import WorkerPool
from hybrid.services import Services

logger = logging.getLogger(__name__)

#: Seconds without a finished product until the tasks of what still waits are sent again.
STALL_S = 30.0
#: How many times that is done before the run gives up.
MAX_SWEEPS = 20
_POLL_S = 0.5
#: Rounds of catching up with a shop that writes all the while. Each has the changes made during the one before, so
#: a shop that writes slower than we work is caught up with in a few.
_MAX_ROUNDS = 20
#: Polls that may fail in a row before the run gives up: Elasticsearch is busy, or restarts.
_PATIENCE = 15
_SAVE_S = 2.0
PENDING = {"exists": {"field": "hybrid.meta.pending"}}


@dataclass
class Progress:
    """Where a run stands. position and size are bytes of the file; the rest are products."""

    phase: str = "read"
    position: int = 0
    size: int = 0
    read: int = 0
    rejected: int = 0
    unchanged: int = 0
    written: int = 0
    to_encode: int = 0
    done: int = 0
    failed: int = 0


#: Called with the run's progress now and then.
Report = Callable[[Progress], None]
#: Takes the ids of a batch of products that wait for a vector.
Dispatch = Callable[[list[str]], object]


class Run:
    """The state of one run, most of it for showing: the truth is in the index."""

    def __init__(self, services: Services, profile: IndexProfile, job: str, report: Report | None) -> None:
        self._services, self._profile, self._job = services, profile, job
        self._report = report or (lambda progress: None)
        self._saved = 0.0
        self.progress = Progress()
        self.resent = self.rounds = 0
        self.encoded: Counter[str] = Counter()  # vectors made in this process, by signal

    @property
    def index(self) -> str:
        return self._profile.index

    @property
    def profile(self) -> IndexProfile:
        return self._profile

    @property
    def job(self) -> str:
        return self._job

    def pending(self) -> int:
        """How many products wait for a vector."""
        return self._pending_count()

    def enrich_here(self, ids: list[str]) -> bool:
        """Encode a batch in this process; whether surely none of it waits any more."""
        enriched = self._services.ingester.enrich(self._profile, self._job, ids)
        self.progress.done += len(ids)
        self.encoded += enriched.encoded
        self.progress.failed += sum(enriched.failed.values())
        self._tick()
        return not enriched.left and not enriched.unseen

    def sweep_here(self) -> None:
        """Encode what an earlier, interrupted run or a conflict left waiting."""
        for _ in range(MAX_SWEEPS):
            ids = self.pending_ids()
            if not ids:
                return
            self.progress.to_encode = max(self.progress.to_encode, self.progress.done + len(ids))
            size = self._services.settings.batch_size
            # Looking again needs a refresh, which is slow while the shop writes.
            if all([self.enrich_here(ids[start : start + size]) for start in range(0, len(ids), size)]):
                return
        raise JobError(f"{len(ids)} products still wait for vectors: they change faster than they are encoded")

    def wait(self, dispatch: Dispatch, pool: WorkerPool) -> None:
        """Until no product waits for a vector; tasks that got lost are sent again.

        Raises:
            JobError: workers make no progress however often the tasks are sent.
        """
        sweeps, best, moved = 0, None, time.monotonic()
        while True:
            pool.supervise()
            pending = self._pending_count()
            if pending == 0:
                self.progress.done = self.progress.to_encode
                self._tick(force=True)
                return
            self.progress.to_encode = max(self.progress.to_encode, pending)
            self.progress.done = self.progress.to_encode - pending
            failed = self._services.dead_letters.counts(self._profile.index, self._job)
            self.progress.failed = sum(failed.values())
            self._tick()
            if best is None or pending < best:
                best, moved, sweeps = pending, time.monotonic(), 0
            elif time.monotonic() - moved > STALL_S:
                sweeps += 1
                if sweeps > MAX_SWEEPS:
                    raise JobError(
                        f"no progress for {STALL_S * MAX_SWEEPS / 60:.0f} minutes with {pending} products waiting; "
                        f"see the worker's log ({pool.log}), then run the same command again"
                    )
                count = self.send_pending(dispatch)
                logger.warning("no progress for %.0f s: sent %d products again", STALL_S, count)
                self.resent += count
                moved = time.monotonic()
            time.sleep(_POLL_S)

    def send_pending(self, dispatch: Dispatch) -> int:
        """Hand on all that waits for a vector; how many products."""
        ids = self.pending_ids()
        size = self._services.settings.batch_size
        for start in range(0, len(ids), size):
            dispatch(ids[start : start + size])
        return len(ids)

    def repeat_until_short(self, work: Callable[[], None], short_s: float) -> bool:
        """Work in rounds, each on what changed during the one before, until one is short, or there is no gaining on the
        shop; whether the last one was short."""
        before, losing = float("inf"), 0
        for self.rounds in range(1, _MAX_ROUNDS + 1):
            started = time.monotonic()
            work()
            self._tick(force=True)
            took = time.monotonic() - started
            losing = losing + 1 if took > before else 0
            if took < short_s:
                return True
            if losing == 2:
                break
            before = took
        return False

    def pending_ids(self) -> list[str]:
        """The products that wait for a vector."""
        self._services.cluster.indices.refresh(self._profile.index)
        return list(self._services.cluster.products.iterate_ids(self._profile.index, PENDING))

    def _pending_count(self) -> int:
        for attempt in range(_PATIENCE):
            try:
                self._services.cluster.indices.refresh(self._profile.index)
                return self._services.cluster.indices.count(self._profile.index, PENDING)
            except ClusterError as error:
                if attempt == _PATIENCE - 1:
                    raise
                logger.warning("waiting for Elasticsearch: %s", error)
                time.sleep(2)
        raise AssertionError("unreachable")

    def failed_products(self, failed: dict[str, int]) -> int:
        """Products among those queued that ended as dead letters (one may have two letters)."""
        return min(sum(failed.values()), self.progress.to_encode)

    def counts(self) -> dict[str, int]:
        p = self.progress
        return {
            "read": p.read, "rejected": p.rejected, "unchanged": p.unchanged, "written": p.written,
            "to_encode": p.to_encode, "encoded": p.done, "failed": p.failed,
        }  # fmt: skip

    def _tick(self, force: bool = False) -> None:
        self._report(self.progress)
        if force or time.monotonic() - self._saved > _SAVE_S:
            self._saved = time.monotonic()
            self._save()

    def _save(self) -> None:
        self._services.jobs.update(self._job, phase=self.progress.phase, counts=self.counts())


@contextlib.contextmanager
def encoding(services: Services, run: Run, workers: int) -> Iterator[tuple[Dispatch | None, Callable[[], None]]]:
    """(what takes ids that wait for a vector, what waits until none does): on workers of the run, that many, or here,
    where the ids need not be taken."""
    if not workers:
        yield None, run.sweep_here
        return
    with (
        contextlib.closing(TaskQueue(services.settings, services.redis_url)) as queue,
        WorkerPool(services, workers) as pool,
    ):

        def dispatch(ids: list[str]) -> None:
            queue.enrich(run.index, run.job, ids)

        yield dispatch, lambda: run.wait(dispatch, pool)
