"""Keeps the layer in step with an index that is written to: finds changed documents, marks them, encodes them.

Changed documents are found by the sequence numbers of each shard, and incomplete ones by a query; no other documents
are read. Hashes distinguish the shop's changes from the layer's own writes. Syncs may run at any time, several at once:
every write is guarded by its revision, and a repeated sync finds nothing to do.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from hybrid.contracts import GetEncoder, IndexProfile
from hybrid.elastic.indices import changes
from hybrid.elastic.indices.changes import Checkpoint
from hybrid.elastic.indices.lifecycle import Indices
from hybrid.elastic.indices.products import StoredProduct
from hybrid.errors import IndexConflictError
from hybrid.ingest.queue import TaskQueue
from hybrid.operations.runs import Dispatch, Report, Run, encoding
from hybrid.operations.vocabulary import keep_in_step
from hybrid.services import Services

logger = logging.getLogger(__name__)

#: Minutes until a document that waits for its vector is queued again, because its task must be lost.
LOST_AFTER = 10


@dataclass
class SyncReport:
    """The result of a sync.

    looked: number of compared documents. whole: whether all documents were compared, because there was no checkpoint.
    encoded: number of encoded vectors, by signal. restored: number of vectors that were put back without encoding.
    waiting: number of products that still wait for a vector.
    """

    index: str
    looked: int = 0
    whole: bool = False
    written: int = 0
    restored: int = 0
    encoded: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every changed document is done."""
        return not self.failed and not self.refused and not self.waiting

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "complete": self.complete}

    def summary(self) -> str:
        """The sync in one line."""
        encoded = ", ".join(f"{count:,} {name}" for name, count in self.encoded.items()) or "nothing"
        return (
            f"{self.index}: {self.looked:,} changes looked at, {self.written:,} written, {encoded} encoded, "
            f"{self.restored:,} vectors restored in {self.seconds:,.1f} s"
        )


class SyncRun(Run):
    """A run that finds changed documents and marks them."""

    def __init__(self, services: Services, profile: IndexProfile, job: str, report: Report | None = None) -> None:
        super().__init__(services, profile, job, report)
        self.restored = 0
        self.refused: Counter[str] = Counter()
        self.whole = False
        self._refused_ids: set[str] = set()

    def look(self, dispatch: Dispatch | None = None) -> int:
        """Mark the documents that changed since the last sync, and incomplete ones; returns how many were marked.

        dispatch: takes the ids that wait for a vector, batch by batch.

        Raises:
            IndexConflictError: another index is behind the name now, or its profile was changed.
            ClusterError, WriteBlockedError: the cluster takes no writes; the checkpoint stays, so nothing is lost.
        """
        cluster, index = self._services.cluster, self._profile.index
        here = self.position()
        earlier = self._services.checkpoints.get(index)
        self.whole = not here.continues(earlier)
        marked = self.mark(cluster.changes.changed(self._profile, here, earlier), dispatch)
        if marked:
            cluster.indices.refresh(here.index)
        marked += self.mark(cluster.changes.incomplete(self._profile, here), dispatch)
        # Only now: after a crash before this line the changes are read again. From here on the marks are in the index.
        self._services.checkpoints.save(index, here)
        return marked

    def position(self) -> Checkpoint:
        """The present position of the index.

        Raises:
            IndexConflictError: it is no longer the index, or the profile, that this run is for.
        """
        here = self._services.cluster.changes.position(self.index)
        if here.profile != changes.digest(self._profile):
            raise IndexConflictError(
                f"what Hybrid knows of {self.index!r} changed meanwhile (an attach, or another index behind the name); "
                "run the command again"
            )
        return here

    def drop_settled(self) -> None:
        """Remove the dead letters of products that were repaired or deleted meanwhile."""
        self._services.ingester.drop_settled(self._profile)

    def mark(
        self,
        batches: Iterable[list[StoredProduct]],
        dispatch: Dispatch | None = None,
        retry: bool = False,
    ) -> int:
        """Mark these documents; returns how many were written."""
        size = self._services.settings.batch_size
        written = 0
        waiting: list[str] = []
        for batch in batches:
            marked = self._services.marker.mark(self._profile, batch, retry)
            self.progress.read += len(batch)
            self.progress.position += len(batch)
            self.progress.unchanged += marked.current
            self.progress.written += marked.written
            self.progress.to_encode += len(marked.waiting)
            self.restored += marked.restored
            written += marked.written
            fresh = [error for error in marked.refused if error.id not in self._refused_ids]
            self._refused_ids.update(error.id for error in fresh)
            self.refused.update(error.reason for error in fresh)
            self.progress.rejected = len(self._refused_ids)
            waiting += marked.waiting
            while dispatch and len(waiting) >= size:
                dispatch(waiting[:size])
                del waiting[:size]
            self._tick()
        if dispatch and waiting:
            dispatch(waiting)
        return written

    def _save(self) -> None:
        """A sync runs every minute, so it stores no job."""


def run_sync(services: Services, index: str, workers: int = 0, report: Report | None = None) -> SyncReport:
    """Find the documents that changed since the last sync, and enrich them. workers: as for `run_index`.

    Raises:
        IndexMissingError: there is no such index.
        IndexConflictError: the layer has no part in it, or an encoder of another version is set.
        ClusterError, WriteBlockedError, JobError: the run ended early; the next one goes on from there.
    """
    started = time.monotonic()
    profile = checked_profile(services.cluster.indices, services.encoder, index)
    run = SyncRun(services, profile, f"sync-{uuid.uuid4().hex[:8]}", report)
    with encoding(services, run, workers) as (dispatch, encode):
        run.look(dispatch)
        encode()
    return _report(services, run, started, ended=True)


def dispatch_sync(services: Services, index: str) -> SyncReport:
    """As `run_sync`, but the running workers encode. For the schedule of `hybrid worker --beat`."""
    started = time.monotonic()
    profile = checked_profile(services.cluster.indices, services.encoder, index)
    run = SyncRun(services, profile, f"sync-{uuid.uuid4().hex[:8]}")
    with contextlib.closing(TaskQueue(services.settings, services.redis_url)) as queue:
        run.look(lambda ids: queue.enrich(index, run.job, ids))
        lost = {
            "bool": {
                "filter": [
                    {"exists": {"field": "hybrid.meta.pending"}},
                    {"range": {"hybrid.meta.at": {"lt": f"now-{LOST_AFTER}m"}}},
                ]
            }
        }
        ids = list(services.cluster.products.iterate_ids(index, lost))
        size = services.settings.batch_size
        # While the queue is long enough to hold them, they are not lost. Sent again each minute, they would fill it.
        if ids and queue.depth() * size >= len(ids):
            ids = []
        for start in range(0, len(ids), size):
            queue.enrich(index, run.job, ids[start : start + size])
    return _report(services, run, started)


def checked_profile(indices: Indices, get_encoder: GetEncoder, index: str) -> IndexProfile:
    """The profile of an index, if this process has its encoders.

    Raises:
        IndexConflictError: an encoder is of another version now.
    """
    profile = indices.read_profile(index, one=True)
    for name, signal in profile.signals.items():
        version = get_encoder(signal.encoder).version
        if version != signal.version:
            again = "attach" if profile.attached else "index FILE --index"
            raise IndexConflictError(
                f"the {name} vectors of {index!r} are of {signal.encoder} {signal.version}, and this machine has "
                f"{version}; run `hybrid {again} {index}` to make them anew"
            )
    return profile


def _report(services: Services, run: SyncRun, started: float, ended: bool = False) -> SyncReport:
    """ended: see `keep_in_step`."""
    indices = services.cluster.indices
    indices.refresh(run.index)
    progress = run.progress
    if progress.read:  # else the index has not grown
        indices.fit_vectors(run.profile)
    run.drop_settled()
    keep_in_step(services.cluster, run.index, ended)
    return SyncReport(
        index=run.index,
        looked=progress.read,
        whole=run.whole,
        written=progress.written,
        restored=run.restored,
        encoded=dict(run.encoded),
        waiting=run.pending(),
        failed=services.dead_letters.counts(run.index, run.job),
        refused=dict(run.refused),
        seconds=round(time.monotonic() - started, 2),
    )
