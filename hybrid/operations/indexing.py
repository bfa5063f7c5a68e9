"""One `hybrid index` run: read, load, encode here or on workers, sweep, report."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hybrid.catalogue.documents import WORDS_VERSION, is_reserved
from hybrid.catalogue.fields import guess_fields
from hybrid.catalogue.index_template import Template, parse_lexical, read_template
from hybrid.catalogue.reader import Catalogue, RejectsFile, open_catalogue
from hybrid.contracts import IndexProfile, Product, Reject
from hybrid.errors import UsageError
from hybrid.operations.planning import check_options, guess_signals, vector_signal, views_in
from hybrid.operations.runs import Dispatch, Report, Run, encoding
from hybrid.services import Services
from hybrid.signals import of_files


@dataclass
class IndexReport:
    """The result of a run. failed and rejects count typed reasons.

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
    signals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    resent: int = 0
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every row is in the index with every vector that it should have."""
        return not self.failed and not self.rejects

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def summary(self) -> str:
        """The run in one line."""
        return (
            f"{self.index}: {self.read:,} read, {self.written:,} written, {self.unchanged:,} unchanged, "
            f"{self.encoded:,} encoded ({', '.join(self.signals)}) in {self.seconds:,.1f} s"
        )


@dataclass(frozen=True)
class Plan:
    """The plan of a run, which users see before it starts."""

    path: Path
    profile: IndexProfile
    sample: list[dict[str, Any]]
    notes: list[str]
    template: Template | None = None
    lexical: tuple[str, ...] | None = None


def plan_index(
    services: Services,
    path: Path,
    index: str,
    mapping: str | None = None,
    signals: Sequence[str] | None = None,
    language: str = "en",
    media_root: Path | None = None,
    template: Path | None = None,
    lexical: str | None = None,
) -> Plan:
    """Look at the catalogue and decide fields and signals. Writes nothing.

    template: the shop's own field definitions. lexical: its analysed fields that words are searched in. For both, see
    hybrid.catalogue.index_template.

    Raises:
        CatalogueError, UsageError: the file, the mapping, a signal, the language or the template cannot be used.
    """
    own = read_template(template) if template else None
    own_words = parse_lexical(lexical) if lexical is not None else None
    check_options(language, signals)
    with open_catalogue(path) as catalogue:
        # A row with the layer's own field is rejected later; here it must not shape the mapping.
        sample = [{key: value for key, value in row.items() if not is_reserved(key)} for row in catalogue.sample()]
    if not sample:
        raise UsageError(f"{path.name}: no row could be read; see its first lines for the format")
    fields = guess_fields(sample, mapping or "")
    if own:
        fields = own.fit(fields)
    notes: list[str] = []
    root = (media_root or path.parent).resolve()
    names = list(signals) if signals is not None else guess_signals(services, fields, sample, notes)
    vector_signals = {name: vector_signal(services, name, index, views_in(sample, fields, name)) for name in names}
    profile = IndexProfile(
        index=index,
        fields=fields,
        signals=vector_signals,
        language=language,
        analysis=WORDS_VERSION,
        media_root=str(root) if any(name in vector_signals for name, _ in of_files()) else None,
    )
    return Plan(path, profile, sample, notes, own, own_words)


def run_index(
    services: Services,
    plan: Plan,
    workers: int = 0,
    report: Report | None = None,
    rejects_path: Path | None = None,
) -> IndexReport:
    """Index a catalogue. workers: number of Celery workers that are started here to encode; 0: encode in this process.

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
            counts = dict(rejects.counts)
            rejects_file = str(rejects.path) if counts else None
        services.cluster.indices.refresh(profile.index)
    progress = run.progress
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
        signals=["lexical", *profile.signals],
        notes=plan.notes,
        resent=run.resent,
        seconds=round(time.monotonic() - started, 2),
    )


class _Run(Run):
    """A run that loads a catalogue and then encodes."""

    def __init__(self, services: Services, plan: Plan, profile: IndexProfile, job: str, report: Report | None) -> None:
        super().__init__(services, profile, job, report)
        self._plan = plan

    def load(self, rejects: RejectsFile, dispatch: Dispatch) -> None:
        """Write changed rows in batches, and hand on the ids that wait for vectors."""
        size = self._services.settings.batch_size
        waiting: list[str] = []
        fitted = 1_000
        # So that the writes of an interrupted run are visible.
        self._services.cluster.indices.refresh(self._profile.index)
        with open_catalogue(self._plan.path) as catalogue:
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
        self.progress.phase = "encode"
        self._tick(force=True)

    def _rows(self, catalogue: Catalogue, rejects: RejectsFile) -> Iterator[Product]:
        for row in catalogue.rows(self._profile.fields.roles["id"]):
            self.progress.read += 1
            if isinstance(row, Reject):
                self._reject(rejects, row)
            elif any(map(is_reserved, row.source)):
                message = "the field name `hybrid` belongs to the layer; rename the field"
                self._reject(rejects, Reject(row.line, "reserved_field", message))
            else:
                yield row

    def _reject(self, rejects: RejectsFile, reject: Reject) -> None:
        rejects.add(reject)
        self.progress.rejected += 1


def summary_counts(counts: dict[str, int]) -> str:
    """ "3 bad_json, 1 missing_id": typed reasons for people, most frequent first."""
    return ", ".join(f"{count} {reason}" for reason, count in Counter(counts).most_common())
