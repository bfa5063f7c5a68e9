"""One reindex, from an empty index to the swap.

Its state is a job in Elasticsearch, and only the owner of the index's lease works on it. So a run that was paused,
interrupted or killed goes on where it was, on this machine or another.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hybrid.contracts import GetEncoder
from hybrid.elastic.cluster import Cluster
from hybrid.elastic.indices import generations
from hybrid.elastic.indices.generations import Generations
from hybrid.elastic.indices.products import BUILDING, is_building
from hybrid.elastic.stores.dead_letters import DeadLetters
from hybrid.elastic.stores.jobs import Jobs
from hybrid.elastic.stores.leases import Lease
from hybrid.elastic.stores.models import WEIGHTS, ModelVersions
from hybrid.errors import JobError, JobStateError, LeaseLostError
from hybrid.evaluation.judgments import Judgments
from hybrid.operations.calibration import calibrate_after
from hybrid.operations.reindex.guardian import Guardian
from hybrid.operations.reindex.planning import ReindexPlan
from hybrid.operations.reindex.transfer import Stopped, Transfer
from hybrid.operations.reindex.verification import MAX_LOSS, verify
from hybrid.operations.runs import Dispatch, Report, Run, encoding
from hybrid.operations.vocabulary import keep_in_step
from hybrid.search.weights import FIXED_VERSION, PublishedWeights
from hybrid.services import Services

KIND = "reindex"
#: States of a job that nobody goes on with.
FINAL = ("done", "cancelled", "rolled back")
#: A round this short means that the run is so many seconds behind the shop. The rest is copied behind the fence.
_IN_STEP_S = 5.0


@dataclass
class ReindexReport:
    """The result of a reindex. status: "done", "verified" (not swapped, as requested), "paused" or "cancelled".

    waited_s: how long the shop's writes waited at the swap.
    """

    job: str
    index: str
    old: str
    new: str
    status: str = "done"
    documents: int = 0
    copied: int = 0
    deleted: int = 0
    encoded: int = 0
    rounds: int = 0
    swapped: bool = False
    waited_s: float = 0.0
    refused: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    verified: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether it did what was requested. A failed picture is in the list of failures, and does not count."""
        return self.status in ("done", "verified") and not self.refused

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "complete": self.complete}

    def summary(self) -> str:
        """The run in one line."""
        if self.status in ("paused", "cancelled"):
            return f"{self.index}: {self.status} after {self.copied:,} copies in {self.seconds:,.1f} s"
        end = f"swapped in, writes waited {self.waited_s:.1f} s" if self.swapped else "verified, not swapped in"
        return (
            f"{self.index}: {self.old} -> {self.new}, {self.documents:,} documents, {self.copied:,} copied, "
            f"{self.encoded:,} encoded, {self.deleted:,} deleted, {self.rounds} rounds of catching up; {end}; "
            f"{self.seconds:,.1f} s"
        )


@dataclass(frozen=True)
class Options:
    """Options of a run. workers: as for `run_index`. swap: whether it ends with the swap. max_loss: nDCG@10 that may be
    lost on the judgments. ordered: by whom and when, for a new run's job."""

    workers: int = 0
    swap: bool = True
    judgments: Judgments | None = None
    max_loss: float = MAX_LOSS
    ordered: Mapping[str, str] | None = None


def run_reindex(
    services: Services, plan: ReindexPlan, options: Options = Options(), report: Report | None = None
) -> ReindexReport:
    """Build the next generation, and swap it in. `resume` goes on with it after an interruption.

    Raises:
        IndexConflictError: something stands in the way; nothing was changed.
        JobError: another run has the index, or the new index is not as it should be; then nothing was swapped.
        ClusterError, WriteBlockedError: the run ended early; the old index is in use as before.
    """
    index = plan.shop.name
    with leased(services.cluster, index) as lease:
        shop_index = services.cluster.shops.describe(index)
        if (shop_index.concrete, shop_index.uuid) != (plan.shop.concrete, plan.shop.uuid):
            raise JobError(f"{index!r} stands for {shop_index.concrete!r} since this was planned; run it again")
        require_idle(services.jobs, index, {plan.shop.concrete})
        checkpoint = services.checkpoints.get(index)
        settings = plan.shop.settings
        new_settings = {**settings, **generations.settings_in(plan.template)}
        state = {
            "old": plan.shop.concrete, "new": plan.new, "uuid": plan.shop.uuid, "notes": plan.notes,
            "checkpoint": checkpoint.to_json() if checkpoint is not None else None,
            "hidden": settings.get("index.hidden"), "ordered": options.ordered,
            "pipelines": {key: new_settings.get(key) for key in generations.PIPELINES},
            "in_use": {key: new_settings.get(key) for key in generations.BUILD_SETTINGS},
        }  # fmt: skip
        job = services.jobs.start(KIND, index, **{**state, "phase": "create"})
        with services.jobs.failing(job, "cancelled"):
            services.cluster.generations.create(plan.shop, plan.profile, plan.new, plan.template)
            try:
                services.cluster.generations.primaries_ready(plan.new)
            except BaseException:
                services.cluster.generations.delete(plan.new)
                raise
        return _go_on(services, lease, job, options, report)


def resume(services: Services, index: str, options: Options = Options(), report: Report | None = None) -> ReindexReport:
    """Go on with a run that was paused, interrupted or killed, or that verified and did not swap.

    Raises:
        JobError: there is none, or it is running; and as `run_reindex` does.
    """
    with leased(services.cluster, index) as lease:
        job, state = unfinished(services.jobs, index)
        if state["phase"] == "create" and not services.cluster.generations.exists(f"{state['new']}{BUILDING}"):
            services.jobs.update(job, status="cancelled", phase="done")
            raise JobError(f"the reindex of {index!r} had not begun when it ended; start it again")
        if state.get("back"):
            raise JobError(f"a rollback of {index!r} was interrupted; run it again with --rollback, or --cancel it")
        if state["phase"] != "create" and not services.cluster.generations.exists(state["new"]):
            raise JobError(
                f"{state['new']!r}, which the reindex of {index!r} was building, was deleted; end the run with `hybrid "
                f"reindex {index} --cancel`, and start another"
            )
        # Not in a new run, which must obey a request that came while its index was created.
        services.jobs.update(job, control=None)
        return _go_on(services, lease, job, options, report)


def _go_on(services: Services, lease: Lease, job: str, options: Options, report: Report | None) -> ReindexReport:
    started = time.monotonic()
    services.jobs.update(job, status="running", error=None)
    state = services.jobs.get(job)
    run = ReindexRun(services, job, state, lease, report)
    report_so_far = ReindexReport(job, run.alias, run.source, run.target, notes=list(state.get("notes") or ()))
    try:
        if run.moved:
            run.finish_alone()
        else:
            if state.get("fences"):
                run.abort()
            restore_weights(services.jobs, services.models(WEIGHTS), run.alias, job)
            _build(services, run, options, report_so_far)
        report_so_far.swapped = run.moved
        if run.moved:
            _tidy(services, run, options, report_so_far)
    except Stopped as stop:
        report_so_far.status = "paused"
        if stop.how == "cancel":
            discard(services.cluster.generations, services.dead_letters, run.target)
            report_so_far.status = "cancelled"
        services.jobs.update(job, status=report_so_far.status, control=None)
    except LeaseLostError:
        raise  # another process has the job now
    except BaseException as error:
        paused = isinstance(error, KeyboardInterrupt)
        if run.moved and services.jobs.get(job)["status"] == "done":
            raise  # the swap is done; a sync can finish the rest
        services.jobs.end(job, error, "paused" if paused else "failed", control=None)
        raise
    else:
        report_so_far.status = "done" if run.moved else "verified"
        services.jobs.update(job, status=report_so_far.status, verified=report_so_far.verified)
    report_so_far.copied, report_so_far.deleted, report_so_far.rounds = run.copied, run.deleted, run.rounds
    report_so_far.refused = dict(Counter(refusal.reason for refusal in run.refused.values()))
    report_so_far.encoded = max(0, run.progress.to_encode - run.failed_products(report_so_far.failed))
    report_so_far.waited_s = run.fenced_s
    report_so_far.seconds = round(time.monotonic() - started, 2)
    return report_so_far


def _take_over(cluster: Cluster, run: ReindexRun) -> None:
    """What was measured of the old index: the catalogue is the same. Floors hold for vectors of the same encoders."""
    before = cluster.indices.find_profile(run.source)
    if before is None:
        return
    cluster.indices.note_priors(run.target, before.priors)
    was, now = ({name: one.version for name, one in of.signals.items()} for of in (before, run.profile))
    if was == now and before.floors:
        cluster.indices.note_floors(run.target, before.floors)


def _build(services: Services, run: ReindexRun, options: Options, report: ReindexReport) -> None:
    """Copy, encode, catch up, verify, swap."""
    run.begin()
    run.encodes = not options.workers
    with encoding(services, run, options.workers) as (dispatch, encode):
        run.copy(dispatch, encode)
        run.catch_up_until_in_step(dispatch, encode)
        run.enter("verify")
        # Without a floor, the new index would show more that nobody asked for, and lose against the old one.
        _take_over(services.cluster, run)
        report.notes += filter(None, [calibrate_after(services, run.target, changed=False)])
        services.retrieval.forget()
        verification = verify(services, run, run.level(), options.judgments, options.max_loss)
        report.verified = verification.to_json()
        report.documents = services.cluster.indices.count(run.target)
        report.failed = services.dead_letters.counts(run.profile.index, run.job)
        run.update(verified=report.verified)
        if not verification.ok:
            raise JobError(
                f"{run.target!r} is not fit to take the place of {run.source!r}: {verification.problem}. The old index "
                f"stays in use; mend it and run `hybrid reindex {run.alias} --resume`, or `--cancel`"
            )
        if options.swap:
            _swap(services, run)


def _swap(services: Services, run: ReindexRun) -> None:
    run.heed()
    if busy := services.cluster.generations.long_writers((run.alias, run.source)):
        raise JobError(
            f"{busy} writes to {run.alias!r}, and would go on in the old index after the swap; run `hybrid reindex "
            f"{run.alias} --resume` when it has ended"
        )
    _lay_weights_aside(services.models(WEIGHTS), services.published, run)
    _load_text_model(services.encoder, run)
    # Before the aliases move, so that a run that dies right after that leaves an index that shows changes in time.
    run.refresh_as_in_use()
    run.approach()
    with Guardian(services, run.alias) as guardian:
        try:
            run.swap()
        except BaseException:
            run.abort()
            if not run.moved:
                restore_weights(services.jobs, services.models(WEIGHTS), run.alias, run.job)
                guardian.dismiss()
            raise
        guardian.leave(run.job, run.watch())


def _load_text_model(get_encoder: GetEncoder, run: ReindexRun) -> None:
    """Load the text model before the fence, so that no write waits for it; after encoding it is loaded already."""
    signal = run.profile.signals.get("text")
    if run.encodes and signal is not None:
        get_encoder(signal.encoder).encode_texts(["ready"])


def _lay_weights_aside(store: ModelVersions, published: PublishedWeights, run: ReindexRun) -> None:
    """Activate the fixed weights if the active ones were learned with other vectors.

    Such weights would make every answer of the new index a degraded one.
    """
    before, after = run.models()
    version = store.active(run.alias)
    if version in (None, FIXED_VERSION) or all(after.get(name) == model for name, model in before.items()):
        return
    run.update(weights=version)
    store.activate(run.alias, FIXED_VERSION)
    time.sleep(published.TTL_S)  # until every process knows


def restore_weights(jobs: Jobs, store: ModelVersions, alias: str, job: str) -> None:
    """Activate the weights again that a run replaced by the fixed ones."""
    version = jobs.get(job).get("weights")
    if version and store.active(alias) == FIXED_VERSION:
        store.activate(alias, version)


def _tidy(services: Services, run: ReindexRun, options: Options, report: ReindexReport) -> None:
    """Encode the documents of the last changes, under the name that the index has now."""
    profile = services.cluster.indices.read_profile(run.alias, one=True)
    rest = Run(services, profile, run.job, None)
    if not options.workers or rest.pending():  # workers take a while to start
        with encoding(services, rest, options.workers) as (dispatch, encode):
            if dispatch is not None:
                rest.send_pending(dispatch)
            encode()
    keep_in_step(services.cluster, run.alias, ended=True)
    report.documents = services.cluster.indices.count(run.alias)
    report.failed = services.dead_letters.counts(run.alias, run.job)
    report.notes += filter(None, [calibrate_after(services, run.alias, changed=False)])
    if services.jobs.get(run.job).get("weights"):
        report.notes.append(
            f"the active weights were learned with other vectors, and the fixed ones are active now; train "
            f"anew: hybrid train weights --index {run.alias} --judgments FILE"
        )


class ReindexRun(Transfer):
    """The phases of a run before the swap."""

    def begin(self) -> None:
        self.progress.size = self._cluster.indices.count(self.source)
        self.progress.to_encode = self.pending()

    def enter(self, phase: str) -> None:
        self.progress.phase = phase
        self._tick(force=True)

    def copy(self, dispatch: Dispatch | None, encode: Callable[[], None]) -> None:
        """Copy all documents, and encode the vectors that cannot be reused."""
        self.enter("copy")
        self.advance(dispatch)
        self.progress.position = self.progress.size
        self.enter("encode")
        if dispatch is not None and self.resumed:
            self.send_pending(dispatch)  # also the documents that an earlier process copied or its broker lost
        # Else all documents were encoded while they were copied.
        if dispatch is not None or self.progress.done < self.progress.to_encode:
            encode()

    def catch_up_until_in_step(self, dispatch: Dispatch | None, encode: Callable[[], None]) -> None:
        """Copy later changes until the run is in step, or gains no more on the shop."""
        self.enter("catch up")

        def catch_up() -> None:
            self.advance(dispatch)
            if dispatch is not None:
                encode()

        self.repeat_until_short(catch_up, _IN_STEP_S)
        # Only once, because it reads the whole index, and a longer round leaves more changes for the next one. Copies
        # are encoded when they are written here, so few are left.
        if dispatch is None:
            encode()

    def refresh_as_in_use(self) -> None:
        """Restore the shop's refresh interval; the other settings of a build end with the swap."""
        if "index.refresh_interval" in self._in_use:  # a run that an older version began lacks it
            self._cluster.generations.set_refresh_interval(self.target, self._in_use["index.refresh_interval"])

    def models(self) -> tuple[dict[str, str], dict[str, str]]:
        """signal -> encoder version, of the old index and of the new one."""
        before = self.before.signals if self.before is not None else {}
        return (
            {name: signal.made_by for name, signal in before.items()},
            {name: signal.made_by for name, signal in self.profile.signals.items()},
        )


@contextlib.contextmanager
def leased(cluster: Cluster, index: str) -> Iterator[Lease]:
    lease = cluster.lease(index)
    lease.take()
    try:
        yield lease
    finally:
        lease.release()


def require_idle(jobs: Jobs, index: str, concerned: set[str]) -> None:
    """Check that no job is open for an index, or for one of the `concerned` indices by another alias.

    Raises:
        JobError: there is such a job.
    """
    for state in jobs.open(KIND, FINAL):
        if index == state["index"] or concerned & {state["old"], state["new"]}:
            raise JobError(
                f"a reindex of {state['index']!r} is unfinished ({state['status']}, {state['phase']}); go on with "
                f"`hybrid reindex {state['index']} --resume`, or end it with `--cancel`"
            )


def unfinished(jobs: Jobs, index: str) -> tuple[str, dict[str, Any]]:
    """The unfinished job of an index.

    Raises:
        JobStateError: there is none.
    """
    for job, state in jobs.of(KIND, index):
        if state["status"] not in FINAL:
            return job, state
    raise JobStateError(f"no reindex of {index!r} is unfinished; start one with `hybrid reindex {index}`")


def discard(generations: Generations, dead_letters: DeadLetters, target: str) -> None:
    """Delete an index that was built, and its dead letters.

    Raises:
        JobError: the index is in use.
    """
    if generations.exists(target):
        used = [alias for alias in generations.aliases_of(target) if not is_building(alias)]
        if used:
            raise JobError(f"{target!r} is behind the alias {used[0]!r}, so it is not deleted")
        generations.delete(target)
    dead_letters.move(f"{target}{BUILDING}", None)
