"""One `hybrid index` run: read, load, encode here or on workers, sweep, report."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hybrid.catalogue import checks
from hybrid.catalogue.checks import Misfits
from hybrid.catalogue.documents import is_reserved, words_version
from hybrid.catalogue.fields import chosen_roles, guess_fields
from hybrid.catalogue.gathering import Gathering
from hybrid.catalogue.index_template import Template, parse_lexical, read_template
from hybrid.catalogue.numbers import MARKS
from hybrid.catalogue.presets import PLAIN, Preset, described, preset_of
from hybrid.catalogue.reader import Catalogue, RejectsFile, open_catalogue
from hybrid.catalogue.values import conform
from hybrid.contracts import IndexProfile, Mark, Product, Reject
from hybrid.errors import UsageError
from hybrid.ingest.push import Operation
from hybrid.operations.calibration import calibrate_after
from hybrid.operations.planning import check_options, decide_language, guess_signals, vector_signal, views_in
from hybrid.operations.runs import Dispatch, Report, Run, encoding
from hybrid.operations.vocabulary import keep_in_step
from hybrid.services import Services
from hybrid.signals import of_files

#: Reasons of rejects whose rows may be any product. A row that is refused later has an id.
_UNREAD = frozenset({
    "bad_json", "not_an_object", "missing_id", "bad_id", "bad_columns", "bad_encoding", "bad_xml",
    "row_too_large", "truncated_file",
})  # fmt: skip
_DELETED_AT_ONCE = 500


@dataclass
class IndexReport:
    """The result of a run. failed and rejects count typed reasons.

    left_out: why rows are no products for customers -> how many. variants: how many are part of a product; alone: how
    many have none in the file.

    misfits: field -> its values that are not of its type: nobody can filter, sort or count by them. losses: what the
    index had before, and does not have of this file. absent: products of the index that were not in the file, of which
    `removed` were deleted; kept_because says why the others were not, where they should have been.

    encoded counts products that waited and now have all their vectors, also where a picture behind a URL had not
    changed.
    """

    job: str
    index: str
    created: bool
    read: int = 0
    written: int = 0
    unchanged: int = 0
    encoded: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    rejects: dict[str, int] = field(default_factory=dict)
    rejects_file: str | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    variants: int = 0
    alone: int = 0
    misfits: dict[str, Misfits] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)
    absent: int = 0
    removed: int = 0
    kept_because: str | None = None
    signals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    resent: int = 0
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every row is in the index with every value and vector that it should have, and nothing was lost."""
        return not (self.failed or self.rejects or self.misfits or self.losses or self.kept_because)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def summary(self) -> str:
        """The run in one line."""
        return (
            f"{self.index}: {self.read:,} read, {self.written:,} written, {self.unchanged:,} unchanged, "
            f"{self.encoded:,} encoded ({', '.join(self.signals)}) in {self.seconds:,.1f} s"
        )


def _never(absent: int, share: float) -> bool:
    return False


@dataclass(frozen=True)
class Replace:
    """Delete products that are not in the file. most: the share of the index (0 to 1) that may go without a question.

    confirm: the answer to that question, of how many products and which share.
    """

    most: float = 0.2
    confirm: Callable[[int, float], bool] = _never


@dataclass(frozen=True)
class Plan:
    """The plan of a run, which users see before it starts."""

    path: Path
    profile: IndexProfile
    sample: list[dict[str, Any]]
    notes: list[str]
    losses: list[str]
    template: Template | None = None
    lexical: tuple[str, ...] | None = None
    preset: Preset = PLAIN


def plan_index(
    services: Services,
    path: Path,
    index: str,
    mapping: str | None = None,
    signals: Sequence[str] | None = None,
    language: str | None = None,
    media_root: Path | None = None,
    template: Path | None = None,
    lexical: str | None = None,
    decimal: str | None = None,
    preset: str | None = None,
) -> Plan:
    """Look at the catalogue and decide fields and signals. Writes nothing.

    template: the shop's own field definitions. lexical: its analysed fields that words are searched in. For both, see
    hybrid.catalogue.index_template. language: see `decide_language`. decimal: the mark before decimals, "." or ",";
    as the values say if not given. preset: the platform whose export it is, see hybrid.catalogue.presets; as the
    columns say if not given.

    Raises:
        CatalogueError, UsageError: the file, the mapping, a signal, the language or the template cannot be used.
    """
    mark = _mark(decimal)
    own = read_template(template) if template else None
    own_words = parse_lexical(lexical) if lexical is not None else None
    check_options(language or "en", signals)
    chosen = None if preset is None else preset_of(preset)
    with open_catalogue(path, chosen) as catalogue:
        # A row with the layer's own field is rejected later; here it must not shape the mapping.
        sample = [{key: value for key, value in row.items() if not is_reserved(key)} for row in catalogue.sample()]
        if not sample:
            raise UsageError(f"{path.name}: no row could be read; see its first lines for the format")
        fields = guess_fields(sample, mapping or "", mark)
        if own:
            fields = own.fit(fields)
        fields, notes = checks.settled(fields, sample, catalogue.readable(), mark)
        found = catalogue.gathering.preset
        notes[:0] = described(found, sample)
        if catalogue.is_western:
            notes.insert(0, f"{path.name} is not UTF-8, and is read as Windows-1252")
    before = services.cluster.indices.find_profile(index)
    spoken, fields = decide_language(language, before, fields, sample, notes)
    losses = checks.losses(before.fields, fields, sample, chosen_roles(mapping or "")) if before else []
    root = (media_root or path.parent).resolve()
    names = list(signals) if signals is not None else guess_signals(services, fields, sample, notes)
    vector_signals = {name: vector_signal(services, name, index, views_in(sample, fields, name)) for name in names}
    profile = IndexProfile(
        index=index,
        fields=fields,
        signals=vector_signals,
        language=spoken,
        analysis=words_version([spoken, *fields.languages.values()]),
        media_root=str(root) if any(name in vector_signals for name, _ in of_files()) else None,
    )
    return Plan(path, profile, sample, notes, losses, own, own_words, found)


def _mark(decimal: str | None) -> Mark | None:
    if decimal is None:
        return None
    mark = next((mark for mark in MARKS if mark == decimal), None)
    if mark is None:
        raise UsageError(f"--decimal {decimal}: give . or ,")
    return mark


def run_index(
    services: Services,
    plan: Plan,
    workers: int = 0,
    report: Report | None = None,
    rejects_path: Path | None = None,
    replace: Replace | None = None,
) -> IndexReport:
    """Index a catalogue. workers: number of Celery workers that are started here to encode; 0: encode in this process.

    replace: how products are deleted that are not in the file; None: they stay.

    Raises:
        IndexConflictError: the index is not one of the layer's, or does not fit.
        ClusterError, WriteBlockedError, JobError: the run ended early; what was written stays, and the same
            command goes on from there.
    """
    profile = plan.profile
    created = services.cluster.indices.ensure(profile, plan.template, plan.lexical)
    profile = services.cluster.indices.read_profile(profile.index)
    job = services.jobs.start("index", profile.index)
    run = _Run(services, plan, profile, job, report)
    started = time.monotonic()
    with services.jobs.failing(job):
        with RejectsFile(rejects_path or Path.cwd() / f"{plan.path.name}.rejects.ndjson") as rejects:
            with encoding(services, run, workers) as (dispatch, encode):
                run.load(rejects, dispatch or run.enrich_here)
                encode()
                removed, kept_because = run.remove_absent(replace, rejects.counts)
            counts = dict(rejects.counts)
            rejects_file = str(rejects.path) if counts else None
        services.cluster.indices.refresh(profile.index)
    keep_in_step(services.cluster, profile.index, ended=True)
    progress = run.progress
    trouble = calibrate_after(services, profile.index, bool(progress.to_encode or removed))
    failed = services.dead_letters.counts(profile.index, job)
    services.jobs.update(job, status="done", phase="done", counts=run.counts())
    return IndexReport(
        job=job,
        index=profile.index,
        created=created,
        read=progress.read,
        written=progress.written,
        unchanged=progress.unchanged,
        encoded=max(0, progress.to_encode - run.failed_products(failed)),
        failed=failed,
        rejects=counts,
        rejects_file=rejects_file,
        left_out=dict(run.gathering.left_out) if run.gathering else {},
        variants=run.gathering.variants if run.gathering else 0,
        alone=run.gathering.alone if run.gathering else 0,
        misfits=run.misfits,
        losses=plan.losses,
        absent=len(run.absent),
        removed=removed,
        kept_because=kept_because,
        signals=["lexical", *profile.signals],
        notes=[*plan.notes, *filter(None, [trouble])],
        resent=run.resent,
        seconds=round(time.monotonic() - started, 2),
    )


class _Run(Run):
    """A run that loads a catalogue and then encodes."""

    def __init__(self, services: Services, plan: Plan, profile: IndexProfile, job: str, report: Report | None) -> None:
        super().__init__(services, profile, job, report)
        self._plan = plan
        self.misfits: dict[str, Misfits] = {}
        self.gathering: Gathering | None = None
        #: Ids of products of the index that were not in the file.
        self.absent: list[str] = []

    def load(self, rejects: RejectsFile, dispatch: Dispatch) -> None:
        """Write changed rows in batches, and hand on the ids that wait for vectors."""
        size = self._services.settings.batch_size
        waiting: list[str] = []
        fitted = 1_000
        # So that the writes of an interrupted run are visible.
        self._services.cluster.indices.refresh(self._profile.index)
        with open_catalogue(self._plan.path, self._plan.preset) as catalogue:
            self.gathering = catalogue.gathering
            self.progress.size = catalogue.size_bytes
            rows = self._rows(catalogue, rejects)
            while batch := list(itertools.islice(rows, size)):
                loaded = self._services.ingester.load(self._profile, batch)
                self.progress.unchanged += loaded.unchanged
                self.progress.written += loaded.written
                self.progress.to_encode += len(loaded.queued)
                lines = {row.id: row for row in batch}
                for refused in loaded.refused:
                    row = lines[refused.id]
                    self._reject(rejects, Reject(row.line, refused.reason, refused.message, str(row.source)))
                waiting += loaded.queued
                while len(waiting) >= size:
                    dispatch(waiting[:size])
                    del waiting[:size]
                self.progress.position = catalogue.position()
                if self.progress.read > 2 * fitted:  # also during the run, so that later writes go into a graph
                    fitted = self.progress.read
                    self._services.cluster.indices.refresh(self._profile.index)
                    self._services.cluster.indices.fit_vectors(self._profile)
                self._tick()
            if waiting:
                dispatch(waiting)
            self.progress.position = self.progress.size
            self._services.cluster.indices.refresh(self._profile.index)
            ids = self._services.cluster.products.iterate_ids(self._profile.index, {"match_all": {}})
            self.absent = [id for id in ids if not catalogue.has(id)]
        self.progress.phase = "encode"
        self._tick(force=True)

    def remove_absent(self, replace: Replace | None, rejects: Mapping[str, int]) -> tuple[int, str | None]:
        """Delete the products that are not in the file, if that is wanted: (how many, why not the others)."""
        if replace is None or not self.absent:
            return 0, None
        if unread := sum(count for reason, count in rejects.items() if reason in _UNREAD):
            return 0, f"{unread:,} rows could not be read, and may be products of the index"
        share = len(self.absent) / self._services.cluster.indices.count(self._profile.index)
        if share > replace.most and not replace.confirm(len(self.absent), share):
            return 0, f"they are {share:.0%} of the index, more than --max-removed {100 * replace.most:g} allows"
        removed = 0
        for start in range(0, len(self.absent), _DELETED_AT_ONCE):
            ids = self.absent[start : start + _DELETED_AT_ONCE]
            outcomes = self._services.push(self._profile.index, [Operation(id, None) for id in ids]).results
            removed += sum(outcome.result == "deleted" for outcome in outcomes)
        return removed, None

    def _rows(self, catalogue: Catalogue, rejects: RejectsFile) -> Iterator[Product]:
        fields = self._profile.fields
        for row in catalogue.rows(fields.roles["id"]):
            self.progress.read += 1
            if isinstance(row, Reject):
                self._reject(rejects, row)
            elif any(map(is_reserved, row.source)):
                message = "the field name `hybrid` belongs to the layer; rename the field"
                self._reject(rejects, Reject(row.line, "reserved_field", message))
            else:
                source = conform(row.source, fields)
                for path, value in checks.misfits(source, fields):
                    found = self.misfits.setdefault(
                        path, Misfits(0, row.line, str(value)[:80], checks.wanted(fields.types[path]))
                    )
                    found.count += 1
                yield dataclasses.replace(row, source=source)

    def _reject(self, rejects: RejectsFile, reject: Reject) -> None:
        rejects.add(reject)
        self.progress.rejected += 1


def summary_counts(counts: dict[str, int]) -> str:
    """ "3 bad_json, 1 missing_id": typed reasons for people, most frequent first."""
    return ", ".join(f"{count} {reason}" for reason, count in Counter(counts).most_common())
