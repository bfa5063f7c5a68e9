"""Runs of index, attach, sync and reindex: their state, and their history."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from elasticsearch import Elasticsearch

from hybrid.elastic.client import translated
from hybrid.elastic.stores.base import ensure_store, now
from hybrid.errors import HybridError

logger = logging.getLogger(__name__)

JOBS = "hybrid-jobs"
#: The fields of a job that the history lists. The job of a reindex has many more.
_HISTORY = [
    "kind", "index", "status", "phase", "started", "updated", "counts", "error", "back", "old", "new", "ordered",
]  # fmt: skip


class Jobs:
    """Job state lives in Elasticsearch, so that it outlives brokers, workers and browsers."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def start(self, kind: str, index: str, **fields: Any) -> str:
        """Store a new running job, with fields of its kind. Returns its id."""
        ensure_store(self._client, JOBS, "jobs")
        job = uuid.uuid4().hex[:12]
        started = now("milliseconds")
        body = {
            "kind": kind,
            "index": index,
            "status": "running",
            "phase": "read",
            "started": started,
            "updated": now(),
        }
        body |= fields
        with translated(JOBS):
            self._client.index(index=JOBS, id=job, document=body, refresh=True)
        return job

    def update(self, job: str, **fields: Any) -> None:
        """Set fields, e.g. status="done", phase="encode", counts={...}."""
        with translated(JOBS):
            self._client.update(index=JOBS, id=job, doc={**fields, "updated": now()}, retry_on_conflict=3)

    @contextmanager
    def failing(self, job: str, status: str = "failed") -> Iterator[None]:
        """Mark a job with `status` where the work inside fails or is interrupted. The error is raised again."""
        try:
            yield
        except BaseException as error:  # an interruption too: the job runs no more
            self.end(job, error, status)
            raise

    def end(self, job: str, error: BaseException, status: str = "failed", **fields: Any) -> None:
        """Note the error that a job ended with. Raises no error of the cluster, for the cluster may be what failed."""
        try:
            self.update(job, status=status, error=str(error) or type(error).__name__, **fields)
        except HybridError as note_error:
            logger.warning("job %s ended (%s), and could not be marked %s: %s", job, error, status, note_error)

    def get(self, job: str) -> dict[str, Any]:
        with translated(JOBS):
            return dict(self._client.get(index=JOBS, id=job)["_source"])

    def of(self, kind: str, index: str, size: int = 1_000) -> list[tuple[str, dict[str, Any]]]:
        """(id, state) of the jobs of a kind for an index, newest first; the last `size`."""
        query = {"bool": {"filter": [{"term": {"kind": kind}}, {"term": {"index": index}}]}}
        with translated(JOBS):
            self._client.indices.refresh(index=JOBS, ignore_unavailable=True)
            hits = self._client.search(
                index=JOBS, query=query, sort=[{"started": "desc"}], size=size, ignore_unavailable=True
            )["hits"]["hits"]
        return [(hit["_id"], hit["_source"]) for hit in hits]

    def latest(self, kind: str, index: str) -> tuple[str, dict[str, Any]] | None:
        """(id, state) of the newest job of a kind for an index; None before the first."""
        return next(iter(self.of(kind, index, size=1)), None)

    def history(self, size: int, start: int = 0) -> tuple[list[dict[str, Any]], int]:
        """(runs of every kind and index, newest first, after the first `start`; how many there are)."""
        with translated(JOBS):
            self._client.indices.refresh(index=JOBS, ignore_unavailable=True)
            hits = self._client.search(
                index=JOBS, sort=[{"started": {"order": "desc", "unmapped_type": "date"}}], size=size, from_=start,
                source_includes=_HISTORY, track_total_hits=True, ignore_unavailable=True,
            )["hits"]  # fmt: skip
        return [{"id": hit["_id"], **hit["_source"]} for hit in hits["hits"]], int(hits["total"]["value"])

    def failed(self, size: int) -> list[dict[str, Any]]:
        """The newest jobs that failed, of all kinds and indices."""
        with translated(JOBS):
            hits = self._client.search(
                index=JOBS, query={"term": {"status": "failed"}}, sort=[{"started": "desc"}], size=size,
                ignore_unavailable=True,
            )["hits"]["hits"]  # fmt: skip
        return [hit["_source"] for hit in hits]

    def open(self, kind: str, final: Sequence[str]) -> list[dict[str, Any]]:
        """States of all jobs of a kind whose status is none of `final`."""
        query = {"bool": {"filter": [{"term": {"kind": kind}}], "must_not": [{"terms": {"status": list(final)}}]}}
        with translated(JOBS):
            self._client.indices.refresh(index=JOBS, ignore_unavailable=True)
            hits = self._client.search(index=JOBS, query=query, size=1_000, ignore_unavailable=True)["hits"]["hits"]
        return [hit["_source"] for hit in hits]
