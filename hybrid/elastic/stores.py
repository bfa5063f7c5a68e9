"""The layer's own small indices: jobs and dead letters."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from elasticsearch import BadRequestError, Elasticsearch

import es_mappings
from hybrid.elastic.client import translated

JOBS = "hybrid-jobs"
DEAD_LETTERS = "hybrid-dead-letters"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Work that failed for good: which product, for which signal, and why."""

    product: str
    signal: str
    reason: str
    message: str


def now() -> str:
    """The time as stored: ISO 8601, UTC, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Jobs:
    """Job state lives in Elasticsearch, so that it outlives brokers, workers and browsers."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def start(self, kind: str, index: str) -> str:
        """A new running job; its id."""
        _ensure(self._client, JOBS, "jobs")
        job = uuid.uuid4().hex[:12]
        body = {"kind": kind, "index": index, "status": "running", "phase": "read", "started": now(), "updated": now()}
        with translated(JOBS):
            self._client.index(index=JOBS, id=job, document=body, refresh=True)
        return job

    def update(self, job: str, **fields: Any) -> None:
        """Set fields, e.g. status="done", phase="encode", counts={...}."""
        with translated(JOBS):
            self._client.update(index=JOBS, id=job, doc={**fields, "updated": now()}, retry_on_conflict=3)

    def get(self, job: str) -> dict[str, Any]:
        with translated(JOBS):
            return dict(self._client.get(index=JOBS, id=job)["_source"])


class DeadLetters:
    """One letter for a product and signal: a later failure replaces it, a later success removes it."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def add(self, index: str, job: str, letters: Iterable[DeadLetter]) -> None:
        operations: list[dict[str, Any]] = []
        for letter in letters:
            operations.append({"index": {"_id": _letter_id(index, letter.product, letter.signal)}})
            operations.append(
                {
                    "index": index,
                    "product": letter.product,
                    "signal": letter.signal,
                    "reason": letter.reason,
                    "message": letter.message[:500],
                    "job": job,
                    "at": now(),
                }
            )
        if operations:
            _ensure(self._client, DEAD_LETTERS, "dead_letters")
            with translated(DEAD_LETTERS):
                self._client.bulk(index=DEAD_LETTERS, operations=operations, refresh=True)

    def remove(self, index: str, products_signals: Sequence[tuple[str, str]]) -> None:
        if products_signals:
            operations = [{"delete": {"_id": _letter_id(index, *pair)}} for pair in products_signals]
            with translated(DEAD_LETTERS):
                self._client.bulk(index=DEAD_LETTERS, operations=operations)

    def counts(self, index: str, job: str | None = None) -> dict[str, int]:
        """reason -> number of letters."""
        filters: list[dict[str, Any]] = [{"term": {"index": index}}]
        if job:
            filters.append({"term": {"job": job}})
        with translated(DEAD_LETTERS):
            answer = self._client.search(
                index=DEAD_LETTERS,
                size=0,
                query={"bool": {"filter": filters}},
                aggs={"reasons": {"terms": {"field": "reason", "size": 100}}},
                ignore_unavailable=True,
            )
        buckets = answer.get("aggregations", {}).get("reasons", {}).get("buckets", [])
        return {bucket["key"]: bucket["doc_count"] for bucket in buckets}

    def list(self, index: str, size: int = 100) -> list[dict[str, Any]]:
        with translated(DEAD_LETTERS):
            answer = self._client.search(
                index=DEAD_LETTERS, size=size, query={"term": {"index": index}}, ignore_unavailable=True
            )
        return [hit["_source"] for hit in answer["hits"]["hits"]]


def _letter_id(index: str, product: str, signal: str) -> str:
    # Elasticsearch ids end at 512 bytes, and a product's own id may be that long.
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{index}\0{product}\0{signal}").hex


def _ensure(client: Elasticsearch, index: str, template: str) -> None:
    with translated(index):
        if client.indices.exists(index=index):
            return
    body = es_mappings.load(template)
    try:
        with translated(index):
            client.indices.create(index=index, **body)
    except Exception as error:
        cause = error.__cause__
        if not (isinstance(cause, BadRequestError) and "resource_already_exists" in str(error)):
            raise  # not merely another process that was faster
