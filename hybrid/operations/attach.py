"""Attach to a shop's own index: plan the layer, add it, enrich documents in place, catch up with later changes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hybrid.catalogue.index_template import text_fields
from hybrid.contracts import IndexProfile
from hybrid.elastic.indices import changes, shop
from hybrid.elastic.indices.shop import ShopIndex
from hybrid.errors import IndexConflictError, UsageError
from hybrid.operations.calibration import calibrate_after
from hybrid.operations.planning import check_options, decide_profile
from hybrid.operations.runs import Dispatch, Report, encoding
from hybrid.operations.sizing import Estimate, measure
from hybrid.operations.sync import SyncRun
from hybrid.operations.vocabulary import keep_in_step
from hybrid.services import Services

KIND = "attach"
#: A round this short means that the run is so many seconds behind the shop. Scheduled syncs are further behind.
_IN_STEP_S = 15.0


@dataclass(frozen=True)
class AttachPlan:
    """The plan of an attach. blockers: reasons why the index cannot be attached to; empty if it can."""

    shop: ShopIndex
    profile: IndexProfile
    sample: list[dict[str, Any]]
    notes: list[str]
    blockers: list[str]

    @property
    def added_fields(self) -> int:
        return shop.count_fields(shop.properties(self.shop, self.profile))

    def to_json(self) -> dict[str, Any]:
        return {
            "index": self.shop.name,
            "concrete": self.shop.concrete,
            "documents": self.shop.documents,
            "size_bytes": self.shop.size_bytes,
            "fields": self.profile.fields.to_json(),
            "signals": {name: signal.to_json() for name, signal in self.profile.signals.items()},
            "lexical_fields": list(self.profile.lexical_fields),
            "added_fields": self.added_fields,
            "notes": self.notes,
            "blockers": self.blockers,
        }


@dataclass
class AttachReport:
    """The result of an attach. encoded counts products. in_step: whether it caught up with the shop's later writes."""

    job: str
    index: str
    documents: int = 0
    written: int = 0
    unchanged: int = 0
    encoded: int = 0
    restored: int = 0
    rounds: int = 0
    in_step: bool = True
    waiting: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    signals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every document has all its vectors, except for the changes of the last seconds."""
        return self.in_step and not self.failed and not self.refused and not self.waiting

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "complete": self.complete}

    def summary(self) -> str:
        """The run in one line."""
        return (
            f"{self.index}: {self.documents:,} documents, {self.unchanged:,} had it all, {self.encoded:,} encoded "
            f"({', '.join(self.signals)}), {self.rounds} rounds of catching up, in {self.seconds:,.1f} s"
        )


def plan_attach(
    services: Services,
    index: str,
    mapping: str | None = None,
    signals: Sequence[str] | None = None,
    language: str | None = None,
    media_root: Path | None = None,
    lexical: str | None = None,
) -> AttachPlan:
    """Look at an index and decide fields and signals. Writes nothing.

    The profile of an earlier attach stays, except for the options given here.

    Raises:
        IndexMissingError, IndexConflictError: no such index, or a name for several.
        UsageError: the mapping, a signal, the language or a lexical field cannot be used.
    """
    check_options(language or "en", signals)
    shop_index = services.cluster.shops.describe(index)
    hopeless = shop.blockers(shop_index, None, services.cluster.capabilities)
    if hopeless:
        raise IndexConflictError(hopeless[0])
    if shop_index.profile is not None and not shop_index.profile.attached:
        raise IndexConflictError(
            f"index {index!r} was made by Hybrid and needs no attach; `hybrid sync {index}` keeps it in step"
        )
    notes: list[str] = []
    profile, sample = decide_profile(services, shop_index, mapping, signals, language, media_root, lexical, notes)
    profile = dataclasses.replace(profile, attached=True)
    _check_lexical(shop_index, profile.lexical_fields)
    if not shop_index.own_similarity and not profile.lexical_fields:
        notes.append(
            "words are scored with Elasticsearch's own BM25 parameters: those of the layer are a setting that only a "
            "new index takes (your own analysed fields: --lexical name^3,description)"
        )
    return AttachPlan(
        shop_index, profile, sample, notes, shop.blockers(shop_index, profile, services.cluster.capabilities)
    )


def _check_lexical(shop_index: ShopIndex, lexical: Sequence[str]) -> None:
    known = text_fields({name: value for name, value in shop_index.properties.items() if name != "hybrid"})
    for name in lexical:
        if name.partition("^")[0] not in known:
            own = ", ".join(sorted(known)) or "none"
            raise UsageError(f"--lexical: {name!r} is no text field of index {shop_index.name!r}; text fields: {own}")


def estimate(services: Services, plan: AttachPlan) -> Estimate:
    """Estimate the time and the disk space of an attach by encoding a small sample here. Writes nothing.

    Raises:
        EncoderError: a model cannot be had.
    """
    todo = plan.shop.documents
    if plan.shop.profile is not None:
        todo = services.cluster.indices.count(plan.shop.concrete, changes.incomplete_query(plan.profile))
    return measure(services, plan.profile, plan.sample, todo, plan.shop.replicas)


def run_attach(
    services: Services,
    plan: AttachPlan,
    workers: int = 0,
    report: Report | None = None,
    ordered: Mapping[str, str] | None = None,
) -> AttachReport:
    """Add the layer to an index and enrich its documents. After an interruption, another call goes on.

    ordered: by whom and when, for its job.

    Raises:
        IndexConflictError: a blocker prevents it; nothing was changed.
        ClusterError, WriteBlockedError, JobError: the run ended early; what was written stays.
    """
    return enrich_in_place(services, plan.shop, plan.profile, workers, report, ordered, plan.notes)


def enrich_in_place(
    services: Services,
    shop_index: ShopIndex,
    profile: IndexProfile,
    workers: int = 0,
    report: Report | None = None,
    ordered: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> AttachReport:
    """Give an index this profile, and its documents the vectors that they lack.

    Raises:
        As `run_attach` does.
    """
    blockers = shop.blockers(shop_index, profile, services.cluster.capabilities)
    if blockers:
        raise IndexConflictError(blockers[0])
    started = time.monotonic()
    services.cluster.shops.add_layer(shop_index, profile)
    profile = dataclasses.replace(profile, index=shop_index.name)
    job = services.jobs.start(KIND, profile.index, ordered=ordered)
    run = AttachRun(services, profile, job, report)
    run.progress.size = shop_index.documents
    with services.jobs.failing(job):
        with encoding(services, run, workers) as (dispatch, encode):
            run.scan(dispatch)
            encode()
            run.catch_up(dispatch, encode)
        services.cluster.indices.refresh(profile.index)
        run.drop_settled()
        keep_in_step(services.cluster, profile.index, ended=True)
        waiting = run.pending()
        failed = services.dead_letters.counts(profile.index, job)
    services.jobs.update(job, status="done", phase="done", counts=run.counts())
    progress = run.progress
    trouble = calibrate_after(services, profile.index, bool(progress.to_encode))
    return AttachReport(
        job=job,
        index=profile.index,
        documents=run.scanned,
        written=progress.written,
        unchanged=run.had_all,
        encoded=max(0, progress.to_encode - run.failed_products(failed) - waiting),
        restored=run.restored,
        rounds=run.rounds,
        in_step=run.in_step,
        waiting=waiting,
        failed=failed,
        refused=dict(run.refused),
        signals=["lexical", *profile.signals],
        notes=[*notes, *filter(None, [trouble])],
        seconds=round(time.monotonic() - started, 2),
    )


class AttachRun(SyncRun):
    """A run that marks the whole index once, then later changes until it is in step."""

    def __init__(self, services: Services, profile: IndexProfile, job: str, report: Report | None = None) -> None:
        super().__init__(services, profile, job, report)
        self.scanned = self.had_all = 0
        self.in_step = False

    def scan(self, dispatch: Dispatch | None = None) -> None:
        """Mark every document. The checkpoint is the position before the scan, so that later changes are found."""
        cluster, index = self._services.cluster, self._profile.index
        here = self.position()
        batches = cluster.products.iterate(here.index, {"match_all": {}}, list(self._profile.signals))
        self.mark(batches, dispatch, retry=True)
        self._services.checkpoints.save(index, here)
        self.scanned, self.had_all = self.progress.read, self.progress.unchanged
        self.progress.position = self.progress.size
        self.progress.phase = "encode"
        self._tick(force=True)

    def catch_up(self, dispatch: Dispatch | None, encode: Callable[[], None]) -> None:
        """Mark and encode later changes until the run is in step, or gains no more on the shop."""
        self.progress.phase = "catch up"

        def look() -> None:
            self.look(dispatch)
            encode()

        self.in_step = self.repeat_until_short(look, _IN_STEP_S)

    def _save(self) -> None:
        self._services.jobs.update(self._job, phase=self.progress.phase, counts=self.counts())
