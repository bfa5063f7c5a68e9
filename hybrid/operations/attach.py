"""Attach to a shop's own index: plan what is added, add it, enrich in place, catch up with what changed meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hybrid.contracts import FUSED, MEDIA_SIGNALS, IndexProfile
from hybrid.documents import WORDS_VERSION, media_values
from hybrid.elastic import changes, indices, products, shop
from hybrid.elastic.shop import ShopIndex
from hybrid.errors import IndexConflictError, UsageError
from hybrid.estimate import Estimate, measure
from hybrid.fields import guess_fields
from hybrid.media import is_data_url, is_url
from hybrid.planning import check_options, guess_signals, vector_signal, views_in
from hybrid.runs import Dispatch, Report, encoding
from hybrid.sync import SyncRun
from hybrid.template import parse_lexical, served_by, text_fields
from hybrid.wiring import Services

KIND = "attach"
_SAMPLE = 500
#: A round this short means being that many seconds behind the shop; a schedule of syncs is further behind.
_IN_STEP_S = 15.0


@dataclass(frozen=True)
class AttachPlan:
    """What attaching would do. blockers: why it cannot; none: it can."""

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
            "signals": {name: asdict(signal) for name, signal in self.profile.signals.items()},
            "lexical_fields": list(self.profile.lexical_fields),
            "added_fields": self.added_fields,
            "notes": self.notes,
            "blockers": self.blockers,
        }


@dataclass
class AttachReport:
    """What attaching did. encoded counts products; in_step: whether it caught up with what the shop wrote meanwhile."""

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
        """Whether every document has every vector that it should have, but for the changes of the last seconds."""
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

    What an earlier attach of the index decided holds, but for what is given here.

    Raises:
        IndexMissingError, IndexConflictError: no such index, or a name for several.
        UsageError: the mapping, a signal, the language or a lexical field cannot be used.
    """
    check_options(language or "en", signals)
    found = shop.describe(services.client, index)
    hopeless = shop.blockers(found, None, services.capabilities)
    if hopeless:
        raise IndexConflictError(hopeless[0])
    notes: list[str] = []
    profile, sample = decide_profile(services, found, mapping, signals, language, media_root, lexical, notes)
    profile = dataclasses.replace(profile, attached=True)
    _check_lexical(found, profile.lexical_fields)
    if not found.own_similarity and not profile.lexical_fields:
        notes.append(
            "words are scored with Elasticsearch's own BM25 parameters: those of the layer are a setting that only a "
            "new index takes (your own analysed fields: --lexical name^3,description)"
        )
    return AttachPlan(found, profile, sample, notes, shop.blockers(found, profile, services.capabilities))


def decide_profile(
    services: Services,
    found: ShopIndex,
    mapping: str | None,
    signals: Sequence[str] | None,
    language: str | None,
    media_root: Path | None,
    lexical: str | None,
    notes: list[str],
) -> tuple[IndexProfile, list[dict[str, Any]]]:
    """How the layer reads an index, and a sample of it: what it decided before, but for what is given here.

    Raises:
        IndexConflictError: documents have a field `hybrid` of their own.
        UsageError: it is empty, or an option cannot be used.
    """
    check_options(language or "en", signals)
    own_words = parse_lexical(lexical) if lexical is not None else None
    before = found.profile
    raw = shop.sample(services.client, found, _SAMPLE)
    sample = [{"_id": id, **{key: value for key, value in row.items() if key != "hybrid"}} for id, row in raw]
    if not sample:
        raise UsageError(f"index {found.name!r} is empty, so its fields cannot be told; run this when it has documents")
    if before is None and any("hybrid" in row for _, row in raw):
        raise IndexConflictError(
            f"documents of {found.name!r} have a field `hybrid` of their own, the name that the layer needs; rename it"
        )
    if mapping is not None or before is None:
        fields = served_by(found.properties, guess_fields(sample, ",".join(filter(None, ["id=_id", mapping]))))
    else:
        fields = before.fields
    wanted = list(signals) if signals is not None else None
    if wanted is None:
        wanted = list(before.signals) if before else guess_signals(services, fields, sample, notes)
    held = before.signals if before else {}
    chosen = {
        # What an index has of views stays: its vectors are of so many, and no document says of how many others are.
        name: vector_signal(
            services, name, found.name, held[name].views if name in held else views_in(sample, fields, name)
        )
        for name in wanted
        if signals is not None or name != FUSED
    }
    media = media_root or services.settings.media_root
    root = str(media.resolve()) if media else before.media_root if before else None
    media_signals = [name for name in MEDIA_SIGNALS if name in chosen]
    files = [value for name in media_signals for row in sample for value in media_values(row, fields, name)]
    if root is None and not all(is_url(value) or is_data_url(value) for value in files):
        raise UsageError("name the folder of the pictures with --media FOLDER, or leave them out with --signals text")
    profile = IndexProfile(
        index=found.name,
        fields=fields,
        signals={**(before.signals if before else {}), **chosen},
        language=language or (before.language if before else "en"),
        analysis=WORDS_VERSION,
        media_root=root,
        lexical_fields=own_words if own_words is not None else before.lexical_fields if before else (),
        shards=found.shards,
        attached=before.attached if before else True,
        tags=before.tags if before else None,
    )
    return profile, sample


def _check_lexical(found: ShopIndex, lexical: Sequence[str]) -> None:
    known = text_fields({name: value for name, value in found.properties.items() if name != "hybrid"})
    for name in lexical:
        if name.partition("^")[0] not in known:
            own = ", ".join(sorted(known)) or "none"
            raise UsageError(f"--lexical: {name!r} is no text field of index {found.name!r}; text fields: {own}")


def estimate(services: Services, plan: AttachPlan) -> Estimate:
    """How long it takes and how much it adds, by encoding a small sample here. Writes nothing.

    Raises:
        EncoderError: a model cannot be had.
    """
    todo = plan.shop.documents
    if plan.shop.profile is not None:
        todo = indices.count(services.client, plan.shop.concrete, changes.incomplete_query(plan.profile))
    return measure(services, plan.profile, plan.sample, todo, plan.shop.replicas)


def run_attach(
    services: Services,
    plan: AttachPlan,
    workers: int = 0,
    report: Report | None = None,
    ordered: Mapping[str, str] | None = None,
) -> AttachReport:
    """Add the layer to an index and enrich its documents. Run it again after an interruption: it goes on.

    ordered: by whom and when, for its job.

    Raises:
        IndexConflictError: something stands in the way; nothing was changed.
        ClusterError, WriteBlockedError, JobError: the run ended early; what was written stays.
    """
    if plan.blockers:
        raise IndexConflictError(plan.blockers[0])
    started = time.monotonic()
    shop.add_layer(services.client, plan.shop, plan.profile)
    profile = dataclasses.replace(plan.profile, index=plan.shop.name)
    job = services.jobs.start(KIND, profile.index, ordered=ordered)
    run = AttachRun(services, profile, job, report)
    run.progress.size = plan.shop.documents
    try:
        with encoding(services, run, workers) as (dispatch, encode):
            run.scan(dispatch)
            encode()
            run.catch_up(dispatch, encode)
        indices.refresh(services.client, profile.index)
        run.drop_settled()
        waiting = run.pending()
        failed = services.dead_letters.counts(profile.index, job)
    except BaseException as error:
        with contextlib.suppress(Exception):  # the cluster may be the very thing that failed
            services.jobs.update(job, status="failed", error=str(error) or type(error).__name__)
        raise
    services.jobs.update(job, status="done", phase="done", counts=run.counts())
    progress = run.progress
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
        notes=plan.notes,
        seconds=round(time.monotonic() - started, 2),
    )


class AttachRun(SyncRun):
    """Scans the whole index once, then looks for changes until it is in step."""

    def __init__(self, services: Services, profile: IndexProfile, job: str, report: Report | None = None) -> None:
        super().__init__(services, profile, job, report)
        self.scanned = self.had_all = 0
        self.in_step = False

    def scan(self, dispatch: Dispatch | None = None) -> None:
        """Mark every document; the checkpoint of before the scan is kept, so that changes meanwhile are found."""
        client, index = self._services.client, self._profile.index
        here = self.position()
        batches = products.iterate(client, here.index, {"match_all": {}}, list(self._profile.signals))
        self.mark(batches, dispatch, retry=True)
        self._services.checkpoints.save(index, here)
        self.scanned, self.had_all = self.progress.read, self.progress.unchanged
        self.progress.position = self.progress.size
        self.progress.phase = "encode"
        self._tick(force=True)

    def catch_up(self, dispatch: Dispatch | None, encode: Callable[[], None]) -> None:
        """Look for what changed meanwhile until the run is in step, or there is no gaining on the shop."""
        self.progress.phase = "catch up"

        def look() -> None:
            self.look(dispatch)
            encode()

        self.in_step = self.repeat_until_short(look, _IN_STEP_S)

    def _save(self) -> None:
        self._services.jobs.update(self._job, phase=self.progress.phase, counts=self.counts())
