"""One `hybrid index` run: read, load, encode here or on workers, sweep, report."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hybrid import analysis
from hybrid.catalogue import Catalogue, RejectsFile, open_catalogue
from hybrid.contracts import VECTOR_SIGNALS, FieldMap, IndexProfile, Product, Reject, VectorSignal, values_at
from hybrid.elastic import indices, products
from hybrid.errors import ClusterError, JobError, UsageError
from hybrid.fields import expand, guess_fields
from hybrid.ingest import RESERVED
from hybrid.queue import TaskQueue
from hybrid.settings import Settings
from hybrid.template import Template, parse_lexical, read_template
from hybrid.wiring import Services

logger = logging.getLogger(__name__)

#: Seconds without a finished product until the tasks of what still waits are sent again.
STALL_S = 30.0
#: How many times that is done before the run gives up.
MAX_SWEEPS = 20
_POLL_S = 0.5
#: Polls that may fail in a row before the run gives up: Elasticsearch is busy, or restarts.
_PATIENCE = 15
_SAVE_S = 2.0


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


@dataclass
class IndexReport:
    """What a run did. encoded counts products; failed and rejects count typed reasons."""

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
    """What a run is going to do, shown before it starts."""

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

    template, lexical: the shop's own field definitions, and its analysed fields to find words in
    (see hybrid.template).

    Raises:
        CatalogueError, UsageError: the file, the mapping, a signal, the language or the template cannot be used.
    """
    own = read_template(template) if template else None
    own_words = parse_lexical(lexical) if lexical is not None else None
    if language not in analysis.languages():
        raise UsageError(f"no language {language!r}; known: {', '.join(analysis.languages())}")
    unknown = [name for name in signals or () if name not in VECTOR_SIGNALS]
    if unknown:
        raise UsageError(f"no signal {unknown[0]!r}; signals: {', '.join(VECTOR_SIGNALS)}")
    with open_catalogue(path) as catalogue:
        # A row with the layer's own field is rejected later; here it must not shape the mapping.
        sample = [{key: value for key, value in row.items() if key != RESERVED} for row in catalogue.sample()]
    if not sample:
        raise UsageError(f"{path.name}: no row could be read; see its first lines for the format")
    fields = guess_fields(sample, mapping or "")
    if own:
        fields = own.fit(fields)
    notes: list[str] = []
    root = (media_root or path.parent).resolve()
    wanted = list(signals) if signals is not None else _guess_signals(fields, sample, notes)
    vector_signals = {name: _signal(services, name) for name in wanted}
    profile = IndexProfile(
        index=index,
        fields=fields,
        signals=vector_signals,
        language=language,
        analysis=analysis.ANALYSIS_VERSION,
        media_root=str(root) if "image" in vector_signals else None,
    )
    return Plan(path, profile, sample, notes, own, own_words)


def _signal(services: Services, name: str) -> VectorSignal:
    settings = services.settings
    encoder = services.encoder(settings.text_encoder if name == "text" else settings.image_encoder)
    if name not in encoder.modalities:
        raise UsageError(f"encoder {encoder.name} takes no {name}; set HYBRID_{name.upper()}_ENCODER")
    spec = settings.text_encoder if name == "text" else settings.image_encoder
    return VectorSignal(encoder=spec, version=encoder.version, dims=encoder.dims)


def _guess_signals(fields: FieldMap, sample: Sequence[dict[str, Any]], notes: list[str]) -> list[str]:
    pictures = [
        str(value)
        for row in sample
        for path in expand(fields.roles.get("image", ()), row)
        for value in values_at(row, path)
    ]
    files = [value for value in pictures if not value.lower().startswith(("http://", "https://"))]
    if pictures and not files:
        notes.append("pictures are behind URLs, which are not fetched yet: no image vectors")
    return ["text", "image"] if files else ["text"]


def run_index(
    services: Services,
    plan: Plan,
    workers: int = 0,
    report: Report | None = None,
    rejects_path: Path | None = None,
) -> IndexReport:
    """Index a catalogue. workers 0: encode in this process; else on Celery workers, that many started here.

    Raises:
        IndexConflictError: the index is not one of the layer's, or does not fit.
        ClusterError, WriteBlockedError, JobError: the run ended early; what was written stays, and the same
            command goes on from there.
    """
    profile = plan.profile
    created = indices.ensure_index(services.client, profile, plan.template, plan.lexical)
    profile = indices.read_profile(services.client, profile.index)
    job = services.jobs.start("index", profile.index)
    run = _Run(services, plan, profile, job, report)
    started = time.monotonic()
    try:
        with RejectsFile(rejects_path or Path.cwd() / f"{plan.path.name}.rejects.ndjson") as rejects:
            if workers:
                with (
                    contextlib.closing(TaskQueue(services.settings, services.redis_url)) as queue,
                    WorkerPool(services, workers) as pool,
                ):
                    run.load(rejects, lambda ids: queue.enrich(profile.index, job, ids))
                    run.wait(queue, pool)
            else:
                run.load(rejects, run.enrich_here)
                run.sweep_here()
            counts = dict(rejects.counts)
            rejects_file = str(rejects.path) if counts else None
        indices.refresh(services.client, profile.index)
    except BaseException as error:
        with contextlib.suppress(Exception):  # the cluster may be the very thing that failed
            services.jobs.update(job, status="failed", error=str(error) or type(error).__name__)
        raise
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


class _Run:
    """The state of one run, most of it for showing: the truth is in the index."""

    def __init__(self, services: Services, plan: Plan, profile: IndexProfile, job: str, report: Report | None) -> None:
        self._services, self._plan, self._profile, self._job = services, plan, profile, job
        self._report = report or (lambda progress: None)
        self._saved = 0.0
        self.progress = Progress()
        self.resent = 0

    def load(self, rejects: RejectsFile, dispatch: Callable[[list[str]], None]) -> None:
        """Write changed rows in batches, and hand on the ids that wait for vectors."""
        size = self._services.settings.batch_size
        waiting: list[str] = []
        # Sees what an interrupted run wrote last.
        indices.refresh(self._services.client, self._profile.index)
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
            elif RESERVED in row.source:
                message = "the field name `hybrid` belongs to the layer; rename the field"
                self._reject(rejects, Reject(row.line, "reserved_field", message))
            else:
                yield row

    def _reject(self, rejects: RejectsFile, reject: Reject) -> None:
        rejects.add(reject)
        self.progress.rejected += 1

    def enrich_here(self, ids: list[str]) -> None:
        """Encode a batch in this process."""
        enriched = self._services.ingester.enrich(self._profile, self._job, ids)
        self.progress.done += len(ids)
        self.progress.failed += sum(enriched.failed.values())
        self._tick()

    def sweep_here(self) -> None:
        """Encode what an earlier, interrupted run or a conflict left waiting."""
        for _ in range(MAX_SWEEPS):
            ids = self._pending_ids()
            if not ids:
                return
            self.progress.to_encode = max(self.progress.to_encode, self.progress.done + len(ids))
            for start in range(0, len(ids), self._services.settings.batch_size):
                self.enrich_here(ids[start : start + self._services.settings.batch_size])
        raise JobError(f"{len(ids)} products still wait for vectors: they change faster than they are encoded")

    def wait(self, queue: TaskQueue, pool: WorkerPool) -> None:
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
                self._resend(queue)
                moved = time.monotonic()
            time.sleep(_POLL_S)

    def _resend(self, queue: TaskQueue) -> None:
        ids = self._pending_ids()
        logger.warning("no progress for %.0f s: sending %d products again", STALL_S, len(ids))
        self.resent += len(ids)
        size = self._services.settings.batch_size
        for start in range(0, len(ids), size):
            queue.enrich(self._profile.index, self._job, ids[start : start + size])

    def _pending_ids(self) -> list[str]:
        indices.refresh(self._services.client, self._profile.index)
        query = {"exists": {"field": "hybrid.meta.pending"}}
        return list(products.iterate_ids(self._services.client, self._profile.index, query))

    def _pending_count(self) -> int:
        query = {"exists": {"field": "hybrid.meta.pending"}}
        for attempt in range(_PATIENCE):
            try:
                indices.refresh(self._services.client, self._profile.index)
                return indices.count(self._services.client, self._profile.index, query)
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
            self._services.jobs.update(self._job, phase=self.progress.phase, counts=self.counts())


class WorkerPool:
    """A local Celery worker with `count` processes, restarted when it dies, ended with the run."""

    def __init__(self, services: Services, count: int) -> None:
        self._services, self._count = services, count
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._early_deaths = 0
        self.log = services.settings.data_dir / "logs" / f"worker-{os.getpid()}.log"

    def __enter__(self) -> WorkerPool:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def supervise(self) -> None:
        """Start the worker again if it died.

        Raises:
            JobError: it dies as soon as it starts.
        """
        if self._process is None or self._process.poll() is None:
            return
        self._early_deaths = self._early_deaths + 1 if time.monotonic() - self._started < 10 else 0
        if self._early_deaths >= 3:
            raise JobError(f"the worker ends as soon as it starts; see {self.log}")
        logger.warning("the worker ended with code %s; starting it again", self._process.returncode)
        self._start()

    def _start(self) -> None:
        self._started = time.monotonic()
        environment = worker_environment(self._services.settings, self._count)
        environment["HYBRID_ES_URL"] = self._services.es_url
        environment["HYBRID_REDIS_URL"] = self._services.redis_url
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                worker_command(self._count), env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )


def worker_command(processes: int) -> list[str]:
    """The command line of a Celery worker of the layer."""
    return [
        sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", "hybrid",
        "--concurrency", str(processes), "--loglevel", "INFO", "--without-gossip", "--without-mingle",
        "-n", f"hybrid-{os.getpid()}-{time.time_ns() % 10**6}@%h",
    ]  # fmt: skip


def worker_environment(settings: Settings, processes: int) -> dict[str, str]:
    """The environment of a worker: each process gets its share of the cores, unless the settings say."""
    threads = settings.threads or max(1, (os.cpu_count() or 1) // max(1, processes))
    return {**os.environ, "HYBRID_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}


def summary_counts(counts: dict[str, int]) -> str:
    """ "3 bad_json, 1 missing_id": typed reasons for people, most frequent first."""
    return ", ".join(f"{count} {reason}" for reason, count in Counter(counts).most_common())
