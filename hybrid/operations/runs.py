"""The base of all runs: encoding here or on workers, waiting for workers, progress."""

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

#: Seconds without a finished product until the tasks of waiting products are sent again.
STALL_S = 30.0
#: How many times they are sent before the run gives up.
MAX_SWEEPS = 20
_POLL_S = 0.5
#: Most rounds of catching up. Each round has the changes made during the one before, so a run that works faster than
#: the shop writes needs few.
_MAX_ROUNDS = 20
#: Polls that may fail in a row before the run gives up, as Elasticsearch may be busy or restart.
_PATIENCE = 15
_SAVE_S = 2.0
PENDING = {"exists": {"field": "hybrid.meta.pending"}}


@dataclass
class Progress:
    """The progress of a run. position and size are bytes of the file; the other numbers are products."""

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
    """One run. Its state is for display; the index itself says which products wait."""

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
        """The number of products that wait for a vector."""
        return self._pending_count()

    def enrich_here(self, ids: list[str]) -> bool:
        """Encode a batch in this process; returns whether surely none of it waits any more."""
        enriched = self._services.ingester.enrich(self._profile, self._job, ids)
        self.progress.done += len(ids)
        self.encoded += enriched.encoded
        self.progress.failed += sum(enriched.failed.values())
        self._tick()
        return not enriched.left and not enriched.unseen

    def sweep_here(self) -> None:
        """Encode all products that wait, also those of an interrupted run or a conflict."""
        for _ in range(MAX_SWEEPS):
            ids = self.pending_ids()
            if not ids:
                return
            self.progress.to_encode = max(self.progress.to_encode, self.progress.done + len(ids))
            size = self._services.settings.batch_size
            # Another look at the index would need a refresh, which is slow while the shop writes.
            if all([self.enrich_here(ids[start : start + size]) for start in range(0, len(ids), size)]):
                return
        raise JobError(f"{len(ids)} products still wait for vectors: they change faster than they are encoded")

    def wait(self, dispatch: Dispatch, pool: WorkerPool) -> None:
        """Wait until no product waits for a vector. Lost tasks are sent again.

        Raises:
            JobError: workers make no progress, however often the tasks are sent.
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
        """Dispatch all products that wait for a vector; returns how many."""
        ids = self.pending_ids()
        size = self._services.settings.batch_size
        for start in range(0, len(ids), size):
            dispatch(ids[start : start + size])
        return len(ids)

    def repeat_until_short(self, work: Callable[[], None], short_s: float) -> bool:
        """Work in rounds, each on the changes during the one before, until a round is short or the run gains no more on
        the shop. Returns whether the last round was short."""
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
        """The number of queued products that ended as dead letters (a product may have two)."""
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
    """(dispatch, function that returns when no product waits). With `workers`, so many encode for this run. Without,
    dispatch is None and the function encodes in this process."""
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
