"""Brings one index in step with another, and moves the aliases without losing a write.

To copy, a run reads what each shard wrote after a sequence number, and then raises the number. The first copy begins
before the first number. So a run can end anywhere, even by a kill, and go on later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from hybrid.contracts import FieldMap, IndexProfile
from hybrid.elastic.indices import copies, generations
from hybrid.elastic.indices.changes import Checkpoint
from hybrid.elastic.indices.copies import Differences, DocumentRef
from hybrid.elastic.indices.generations import Generations
from hybrid.elastic.indices.products import BUILDING
from hybrid.elastic.stores.jobs import Jobs
from hybrid.elastic.stores.leases import Lease
from hybrid.errors import HybridError, JobError
from hybrid.operations.reindex.copying import Copyist
from hybrid.operations.reindex.differences import Refusal, described
from hybrid.operations.reindex.late_writes import LateWrite, Watch
from hybrid.operations.runs import Dispatch, Report, Run
from hybrid.services import Services

logger = logging.getLogger(__name__)

#: Seconds that the last changes may take behind the fence, where the shop's writes wait, before the swap is aborted.
_FENCED_S = 20.0
#: Seconds in which a busy cluster must take what is sent meanwhile. The shop's own writes give up after a minute.
_FENCED_PATIENCE_S = 10.0
#: Documents that are encoded while writes wait: a tenth of a second of texts. More get their vectors afterwards.
_FENCED_TEXTS = 40
#: Most rounds before the fence, and the seconds of a round that is short enough. Each round costs a refresh, so it must
#: save more than that behind the fence.
_APPROACHES, _NEAR_S = 3, 1.0
#: Writes that are copied in about a second. With fewer, a rollback needs no round before the fence, nor its refresh.
_FEW = 2_000
#: Most refused documents whose reasons the job stores.
_NAMED = 200


class Stopped(Exception):
    """Somebody asked the run to pause or to end. `how` is "pause" or "cancel"."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class Transfer(Run):
    """Copies `source` to `target`, and swaps them. Its state is in a job, so that another process can go on.

    back: whether it is a rollback, where the source has the copies and the target the originals.
    """

    def __init__(
        self,
        services: Services,
        job: str,
        state: Mapping[str, Any],
        lease: Lease,
        report: Report | None = None,
    ) -> None:
        self.alias, self.source, self.target = str(state["index"]), str(state["old"]), str(state["new"])
        self.back = bool(state.get("back"))
        self._cluster = services.cluster
        self._lease = lease
        self.moved = self._cluster.generations.has_moved(self.alias, self.target)
        self.before = before = self._cluster.indices.find_profile(self.source)
        after = self._cluster.indices.find_profile(
            self.target if self.back or self.moved else f"{self.target}{BUILDING}"
        )
        # A rollback may lead to an index that the layer has no part in: then nothing waits for a vector.
        super().__init__(services, after or IndexProfile(self.target, FieldMap({}), {}, "en", ""), job, report)
        inputs = services.inputs
        # A rollback is urgent, and writes wait for it.
        self._copyist = Copyist(inputs, self._cluster.capabilities, before, after, in_haste=self.back)
        self.positions: dict[str, tuple[str, int]] = {
            shard: (str(history), int(number)) for shard, (history, number) in (state.get("positions") or {}).items()
        }
        self.resumed = bool(self.positions)
        there = self._cluster.generations.exists(self.source)
        settings = self._cluster.generations.settings_of(self.source) if there else {}
        self._shards = int(settings.get("index.number_of_shards", 0))
        self._is_async = settings.get("index.translog.durability") == "async"
        #: Whether this process makes vectors while it copies.
        self.encodes = False
        self._uuid = state.get("uuid")
        self._undoes, self._hidden = state.get("undoes"), state.get("hidden")
        self._pipelines: dict[str, str | None] = dict(state.get("pipelines") or {})
        self._in_use: dict[str, Any] = dict(state.get("in_use") or {})
        self._fences: dict[str, generations.Fence] = dict(state.get("fences") or {})
        self._before_swap = {int(shard): int(number) for shard, number in (state.get("originals") or {}).items()}
        self.refused = {id: Refusal(**why) for id, why in (state.get("refused") or {}).items()}
        self.copied = int(state.get("copied") or 0)
        self.deleted = int(state.get("deleted") or 0)
        self.fenced_s = self.swapped = 0.0
        #: Writes that were on their way to the source during the swap.
        self.late_writes: list[LateWrite] = []

    @property
    def _copies(self) -> copies.Copies:
        behind_the_fence = self.progress.phase == "swap" and not self.moved
        return self._cluster.copies.within(_FENCED_PATIENCE_S) if behind_the_fence else self._cluster.copies

    # -- copying ---------------------------------------------------------------------------------------------

    def advance(self, dispatch: Dispatch | None = None) -> int:
        """Copy the writes since the last round; returns the number of documents.

        Raises:
            JobError: the source is another index now, or was restored.
            Stopped: a user asked for a pause or the end.
        """
        return self._copy_until(self._source_positions(), dispatch)

    def _source_positions(self) -> dict[str, tuple[str, int]]:
        """Positions of the source: shard -> (history, sequence number). Searches see all writes up to these."""
        if self._is_async:
            # An asynchronous translog gives positions of writes on disk, some seconds behind.
            self._cluster.indices.flush(self.source)
        uuid, shards = self._cluster.changes.shard_positions(self.source, self._shards)
        if uuid != (self._uuid or uuid):
            raise JobError(f"{self.source!r} was made anew meanwhile; `hybrid reindex {self.alias} --cancel`")
        self._uuid = uuid
        self._cluster.indices.refresh(self.source)
        return shards

    def _copy_until(self, shards: Mapping[str, tuple[str, int]], dispatch: Dispatch | None = None) -> int:
        """`advance` up to these positions of the source."""
        before = self.copied
        size = self._services.settings.batch_size
        waiting: list[str] = []
        ranges: dict[int, tuple[int, int]] = {}
        for shard, (history, last) in shards.items():
            known, after = self.positions.get(shard, (history, -1))
            if known != history:
                raise JobError(f"{self.source!r} was restored meanwhile; `hybrid reindex {self.alias} --cancel`")
            if after < last:
                ranges[int(shard)] = (after, last)
        for number, batch in self._copies.read_ahead(self.source, ranges):
            # Encoded here if there are no workers, so that a document is written only once.
            waiting += self._copy(batch, ranges[number][0] > -1, encode=dispatch is None and self.encodes)
            self.positions[str(number)] = (shards[str(number)][0], batch[-1].seq_no)
            while dispatch and len(waiting) >= size:
                dispatch(waiting[:size])
                del waiting[:size]
            self._tick()
        self.positions |= shards
        if dispatch and waiting:
            dispatch(waiting)
        return self.copied - before

    def _copy(self, batch: list[copies.Original], again: bool, encode: bool) -> list[str]:
        """Write a batch; returns the ids that wait for a vector. again: some may have been copied before."""
        building = not self.back and not self.moved
        target = f"{self.target}{BUILDING}" if building else self.target
        # A document that was copied before may reuse the vectors of its earlier copy.
        layers = self._copies.layers(target, batch) if again and self._copyist.anew else {}
        prepared = [self._copyist.copy(original, layers.get(original.id)) for original in batch]
        wanting = [copy.original.id for copy in prepared if copy.pending]
        self.progress.to_encode += len(wanting)
        fenced = self.progress.phase == "swap"
        if encode and (not fenced or len(wanting) <= _FENCED_TEXTS):
            at_once = self._services.settings.batch_size
            try:
                prepared = self._copyist.encode(prepared, at_once)
                self.progress.done += len(wanting) - sum(bool(copy.pending) for copy in prepared)
            except HybridError as problem:
                if not fenced:
                    raise
                logger.warning("vectors have to wait until the swap is over: %s", problem)
        self._lease.keep()
        if self.moved:
            self._note_late(batch)
        report = self._copies.write(target, [(copy.original, copy.body) for copy in prepared], building)
        for id in report.ok:
            self.refused.pop(id, None)
        for error in report.errors:
            if len(self.refused) < _NAMED:
                self.refused[error.id] = Refusal(error.reason, error.message[:300])
        self.copied += len(report.ok)
        written = set(report.ok)
        pending = [copy.original.id for copy in prepared if copy.pending and copy.original.id in written]
        self.progress.read += len(batch)
        self.progress.position += len(batch)
        self.progress.written += len(report.ok)
        self.progress.rejected = len(self.refused)
        return pending

    def _note_late(self, batch: Sequence[copies.Original]) -> None:
        """Keep the documents that the target has before these late writes are copied, so that they can be restored."""
        routing = {original.id: original.routing for original in batch if original.routing is not None}
        copies_before = self._cluster.products.read(self.target, [original.id for original in batch], routing)
        self.late_writes += [
            LateWrite(copies_before[original.id].source, original) for original in batch if original.id in copies_before
        ]

    def remove_gone(self) -> int:
        """Delete the copies of deleted documents; returns how many. To be called after `advance`."""
        self._cluster.indices.refresh(self.target)
        if not self.refused and self._cluster.indices.count(self.source) == self._cluster.indices.count(self.target):
            return 0  # the target has all that the source has, so it has no more
        return self._remove(self._suspects())

    def level(self) -> Differences:
        """As `remove_gone`, but returns all differences. To be called after `advance`."""
        self._cluster.indices.refresh(self.target)
        differences = self.differences()
        self._remove(differences.extra)
        return differences

    def _remove(self, suspects: list[DocumentRef]) -> int:
        """Delete those suspects that the source does not have; returns how many."""
        gone = self._copies.absent(self.source, suspects) if suspects else []
        if gone:
            self._lease.keep()
            self._copies.delete(self.target, gone)
            self.deleted += len(gone)
            for one in gone:
                self.refused.pop(one.id, None)
        return len(gone)

    def _suspects(self) -> list[DocumentRef]:
        if not self.back:
            return self.differences().extra
        return [*self._uncopied(), *self._carried()]

    def _uncopied(self) -> list[DocumentRef]:
        """In a rollback: documents of the target that the source lacks, or has another revision of than it copied."""
        self._cluster.indices.refresh(self.source)
        return self._copies.uncopied(self.target, self.source, self._before_swap)

    def _carried(self) -> list[DocumentRef]:
        """In a rollback: documents that reached the target since the swap, by this run or an interrupted one."""
        return list(self._copies.above(self.target, self._before_swap))

    def differences(self) -> Differences:
        """Documents of the source without a copy of their present revision, and copies without a document, up to the
        copied positions."""
        until = {int(shard): number for shard, (_, number) in self.positions.items()}
        return self._copies.compare(self.source, self.target, until)

    def approach(self) -> None:
        """Copy in rounds, each the writes during the round before, so that little is left to copy behind the fence.

        A rollback, which somebody waits for, does so only where there are many writes.
        """
        for _ in range(_APPROACHES):
            if self.back and self._behind() < _FEW:
                return
            started = time.monotonic()
            self.advance()
            if time.monotonic() - started < _NEAR_S:
                return

    def _behind(self) -> int:
        """The number of writes to the source since the last round."""
        _, shards = self._cluster.changes.shard_positions(self.source, self._shards)
        return sum(last - self.positions.get(shard, ("", -1))[1] for shard, (_, last) in shards.items())

    def catch_up(self) -> int:
        """One round without encoding, of changes and deletions; returns the number of documents."""
        return self.advance() + self.remove_gone()

    def carry_back(self) -> int:
        """The first `catch_up` of a rollback, which searches for deleted documents while it copies."""
        self._cluster.indices.refresh(self.target)
        carried = self._carried()
        with ThreadPoolExecutor(1) as beside:
            uncopied = beside.submit(self._uncopied)
            copied = self.advance()
        return copied + self._remove([*uncopied.result(), *carried])

    # -- swapping --------------------------------------------------------------------------------------------

    def swap(self) -> None:
        """Hold the shop's writes back, copy the last ones, move the aliases, let the writes go on.

        Raises:
            JobError: the target differs from the source; nothing was moved.
        """
        started = time.monotonic()
        self.progress.phase = "swap"
        self._fences = {index: self._cluster.generations.fence_of(index) for index in (self.target, self.source)}
        self.update(phase="swap", fences=self._fences)
        self._cluster.generations.raise_fences(self._fences)
        self._copy_the_last(started + _FENCED_S)
        self._require_equal()
        self._lease.keep()
        earlier = self._cluster.generations.writes_under_way()
        self._cluster.generations.swap(self.alias, self.source, self.target)
        self.moved = True
        self.swapped = time.monotonic()
        self.finish(started, earlier)

    def finish(self, started: float | None = None, earlier: Collection[str] = ()) -> None:
        """After the aliases moved: take over the writes that were on their way to the source, and end.

        May be called again after a crash at any point of it.
        """
        started = time.monotonic() if started is None else started
        self.progress.phase = "swap"
        if self._services.jobs.get(self.job)["phase"] == "swap":
            if self._cluster.generations.exists(self.source):
                self._drain(earlier)
            self.update(phase="drained", refused=self.refusals())
        # One change of settings lowers the fence and ends the settings of a build: each change takes some hundredths
        # of a second, while writes wait.
        pipelines = {key: self._pipelines.get(key) for key in generations.PIPELINES}
        as_ever = {**self._fences[self.target], **self._in_use, **pipelines, "index.hidden": self._hidden}
        self._cluster.generations.lower_fence(self.target, as_ever)
        self.fenced_s = round(time.monotonic() - started, 3)
        self._cluster.generations.hide(self.source)
        self._services.dead_letters.move(f"{self.target}{BUILDING}", self.alias)
        self.progress.phase = "done"
        if self._undoes:
            self._services.jobs.update(self._undoes, status="rolled back")
        self.update(phase="done", status="done", fenced_s=self.fenced_s, control=None)

    def finish_alone(self) -> None:
        """`finish` without a guardian: this process checks the late writes itself."""
        self.finish()
        self.watch().restore(self._cluster)

    def watch(self) -> Watch:
        """The late writes that are to be checked once the swap is done."""
        return Watch.of(self._cluster.generations, self.target, self.late_writes)

    def _drain(self, earlier: Collection[str]) -> None:
        """Copy the writes that still reach the source, and block further ones."""
        self._cluster.generations.lower_fence(self.source, self._fences[self.source])
        self._cluster.generations.settle_writes(self.source, earlier)
        with ThreadPoolExecutor(1) as beside:
            positions = self._source_positions()
            # Only now, because a refresh would wait until the block holds.
            blocked = beside.submit(self._cluster.generations.block_writes, self.source)
            # At once, because clients read their writes from the target now.
            self._copy_until(positions)
            self.remove_gone()
            blocked.result()
        # From here on nobody writes to the source, and only this run writes to the target, so this round is the last.
        if not self.is_level:
            self.catch_up()
        self._note_positions()

    def _note_positions(self) -> None:
        """Store the positions of both indices at the swap, from which a sync or a rollback continues."""
        originals = {shard: number for shard, (_, number) in self.positions.items()}
        if self.back:
            earlier = self._services.jobs.get(self.job).get("checkpoint")
            if earlier is not None:
                self._services.checkpoints.save(self.alias, Checkpoint.from_json(earlier))
            count = int(self._cluster.generations.settings_of(self.target)["index.number_of_shards"])
            here = self._cluster.changes.shard_positions(self.target, count)[1]
        else:
            checkpoint = self._cluster.changes.position(self.alias)
            self._services.checkpoints.save(self.alias, checkpoint)
            here = dict(checkpoint.shards)
        self.update(target_positions=here, originals=originals)

    def abort(self) -> None:
        """Let the writes go on in the source, if the aliases have not moved. After the move a run can only finish."""
        self.moved = self._cluster.generations.has_moved(self.alias, self.target)
        if self.moved:
            return
        let_go(self._cluster.generations, self._services.jobs, self.job, self._services.jobs.get(self.job))
        self._fences = {}
        self.progress.phase = "catch up"

    def _copy_the_last(self, deadline: float) -> None:
        """Catch up until the source gets no more writes. A write that passed before the fence was up, and arrives
        later, is copied after the aliases have moved."""
        if self.back:
            self.carry_back()
        else:
            self.catch_up()
        while not self.is_level:
            if time.monotonic() > deadline:
                raise JobError(
                    f"the last changes of {self.source!r} took too long; the writes go on where they were: run "
                    f"`hybrid reindex {self.alias} --resume` in a calmer hour"
                )
            self.catch_up()

    @property
    def is_level(self) -> bool:
        """Whether nothing was written to the source since the last round."""
        return self._cluster.changes.shard_positions(self.source, self._shards)[1] == self.positions

    def refusals(self) -> dict[str, dict[str, str]]:
        """id -> why its document was refused, in the form of a job's state."""
        return {id: asdict(refusal) for id, refusal in self.refused.items()}

    def _require_equal(self) -> None:
        self._cluster.indices.refresh(self.target)
        if self.back:
            if self.refused:
                id, reason = next(iter(self.refused.items()))
                raise JobError(
                    f"{self.target!r} refuses {len(self.refused):,} documents written since ({id}: {reason}); "
                    "nothing was moved: change or delete them, and roll back again"
                )
            here, there = (self._cluster.indices.count(index) for index in (self.source, self.target))
            if here != there:
                raise JobError(
                    f"{self.target!r} has {there:,} documents and {self.source!r} {here:,}; nothing was moved"
                )
            return
        differences = self.differences()
        if differences.missing or differences.extra:
            raise JobError(f"{self.target!r} {described(differences, self.refused)}; nothing was moved")

    # -- state -----------------------------------------------------------------------------------------------

    def update(self, **fields: Any) -> None:
        """Write the job's state."""
        self._services.jobs.update(self._job, positions=self.positions, uuid=self._uuid, copied=self.copied,
                                   deleted=self.deleted, counts=self.counts(), **fields)  # fmt: skip

    def heed(self) -> None:
        """Check whether a user asked to stop.

        Raises:
            Stopped: the job asks for a pause or the end.
        """
        control = self._services.jobs.get(self.job).get("control")
        if control in ("pause", "cancel"):
            raise Stopped(control)

    def _save(self) -> None:
        self._lease.keep()
        self.update(phase=self.progress.phase, refused=self.refusals())
        if self.progress.phase != "swap":  # a swap is not stopped halfway
            self.heed()


def let_go(generations: Generations, jobs: Jobs, job: str, state: Mapping[str, Any]) -> None:
    """Let a shop's writes go on in the old index, before the aliases moved: lower the fences, note it in the job."""
    for index, before in (state.get("fences") or {}).items():
        generations.lower_fence(index, before)
    if state.get("back") and generations.exists(state["new"]):
        generations.set_pipelines(state["new"], state.get("pipelines") or {})
        generations.block_writes(state["new"])
    jobs.update(job, phase="catch up", fences=None)
