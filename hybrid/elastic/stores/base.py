"""The layer's own small indices: jobs and dead letters; and what such stores share."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from elasticsearch import BadRequestError, ConflictError, Elasticsearch, NotFoundError

import es_mappings
from hybrid.elastic.client import translated
from hybrid.errors import ClusterError, IndexMissingError

JOBS = "hybrid-jobs"
DEAD_LETTERS = "hybrid-dead-letters"
#: As stored; a class with a method `list` cannot name the type in its own body.
Letters = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Work that failed for good: which product, for which signal, and why."""

    product: str
    signal: str
    reason: str
    message: str


def now(precision: str = "seconds") -> str:
    """The time as stored: ISO 8601, UTC. precision: "milliseconds" for what is told apart by when it was done."""
    return datetime.now(UTC).isoformat(timespec=precision)


#: What the history shows of a job; a reindex keeps much more in its own.
_HISTORY = [
    "kind", "index", "status", "phase", "started", "updated", "counts", "error", "back", "old", "new", "ordered",
]  # fmt: skip


class Jobs:
    """Job state lives in Elasticsearch, so that it outlives brokers, workers and browsers."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def start(self, kind: str, index: str, **fields: Any) -> str:
        """A new running job, with fields of its own kind; its id."""
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
            ensure_store(self._client, DEAD_LETTERS, "dead_letters")
            with translated(DEAD_LETTERS):
                self._client.bulk(index=DEAD_LETTERS, operations=operations, refresh=True)

    def remove(self, index: str, products_signals: Sequence[tuple[str, str]]) -> None:
        if products_signals:
            operations = [{"delete": {"_id": _letter_id(index, *pair)}} for pair in products_signals]
            with translated(DEAD_LETTERS):
                self._client.bulk(index=DEAD_LETTERS, operations=operations, refresh=True)

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
        """Letters; where there are more, others each time."""
        anyhow = {"function_score": {"query": {"bool": {"filter": [{"term": {"index": index}}]}}, "random_score": {}}}
        with translated(DEAD_LETTERS):
            answer = self._client.search(index=DEAD_LETTERS, size=size, query=anyhow, ignore_unavailable=True)
        return [hit["_source"] for hit in answer["hits"]["hits"]]

    def groups(self) -> Letters:
        """[{"index", "reason", "count", "newest"}] of all letters, most frequent first."""
        fields = [{"index": {"terms": {"field": "index"}}}, {"reason": {"terms": {"field": "reason"}}}]
        with translated(DEAD_LETTERS):
            answer = self._client.search(
                index=DEAD_LETTERS,
                size=0,
                aggs={
                    "groups": {
                        "composite": {"size": 1_000, "sources": fields},
                        "aggs": {"newest": {"max": {"field": "at"}}},
                    }
                },
                ignore_unavailable=True,
            )
        buckets = answer.get("aggregations", {}).get("groups", {}).get("buckets", [])
        found = [
            {**bucket["key"], "count": bucket["doc_count"], "newest": bucket["newest"].get("value_as_string")}
            for bucket in buckets
        ]
        return sorted(found, key=lambda group: (-group["count"], group["index"], group["reason"]))

    def newest(self, size: int) -> Letters:
        """The newest letters of all indices."""
        with translated(DEAD_LETTERS):
            answer = self._client.search(index=DEAD_LETTERS, size=size, sort=_NEWEST, ignore_unavailable=True)
        return [hit["_source"] for hit in answer["hits"]["hits"]]

    def page(self, index: str, reason: str, size: int, start: int = 0) -> Letters:
        """Letters of a reason with their "id", newest first, always in the same order; start + size up to 10,000."""
        with translated(DEAD_LETTERS):
            self._client.indices.refresh(index=DEAD_LETTERS, ignore_unavailable=True)
            answer = self._client.search(
                index=DEAD_LETTERS, query=_of(index, reason), size=size, from_=start, sort=_NEWEST,
                ignore_unavailable=True,
            )  # fmt: skip
        return [{"id": hit["_id"], **hit["_source"]} for hit in answer["hits"]["hits"]]

    def chosen(self, index: str, ids: Sequence[str]) -> Letters:
        """Those letters of an index, with their "id"; what is not there, or another index's, is left out."""
        query = {"bool": {"filter": [{"term": {"index": index}}, {"ids": {"values": list(ids)}}]}}
        with translated(DEAD_LETTERS):
            answer = self._client.search(index=DEAD_LETTERS, query=query, size=len(ids) or 1, ignore_unavailable=True)
        return [{"id": hit["_id"], **hit["_source"]} for hit in answer["hits"]["hits"]]

    def batches(self, index: str, reason: str, size: int) -> Iterator[Letters]:
        """All letters of a reason, as they are now, in batches with their "id"."""
        after: Any = None
        with translated(DEAD_LETTERS):
            self._client.indices.refresh(index=DEAD_LETTERS, ignore_unavailable=True)
        while True:
            with translated(DEAD_LETTERS):
                hits = self._client.search(
                    index=DEAD_LETTERS, query=_of(index, reason), size=size, search_after=after,
                    sort=[{"product": "asc"}, {"signal": "asc"}], ignore_unavailable=True,
                )["hits"]["hits"]  # fmt: skip
            if not hits:
                return
            after = hits[-1]["sort"]
            yield [{"id": hit["_id"], **hit["_source"]} for hit in hits]

    def dismiss(self, ids: Sequence[str]) -> None:
        """Forget letters by their "id"."""
        if ids:
            with translated(DEAD_LETTERS):
                operations = [{"delete": {"_id": id}} for id in ids]
                self._client.bulk(index=DEAD_LETTERS, operations=operations, refresh=True)

    def move(self, index: str, to: str | None) -> None:
        """Keep the letters of an index under another name; None: forget them."""
        while True:
            with translated(DEAD_LETTERS):
                self._client.indices.refresh(index=DEAD_LETTERS, ignore_unavailable=True)
                hits = self._client.search(
                    index=DEAD_LETTERS, size=1_000, query={"term": {"index": index}}, ignore_unavailable=True
                )["hits"]["hits"]
            if not hits:
                return
            operations: list[dict[str, Any]] = []
            for hit in hits:
                letter = hit["_source"]
                if to is not None:
                    operations.append({"index": {"_id": _letter_id(to, letter["product"], letter["signal"])}})
                    operations.append({**letter, "index": to})
                operations.append({"delete": {"_id": hit["_id"]}})
            with translated(DEAD_LETTERS):
                self._client.bulk(index=DEAD_LETTERS, operations=operations, refresh=True)


_NEWEST = [{"at": "desc"}, {"product": "asc"}, {"signal": "asc"}]


def _of(index: str, reason: str) -> dict[str, Any]:
    return {"bool": {"filter": [{"term": {"index": index}}, {"term": {"reason": reason}}]}}


def _letter_id(index: str, product: str, signal: str) -> str:
    # Elasticsearch ids end at 512 bytes, and a product's own id may be that long.
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{index}\0{product}\0{signal}").hex


def stored(client: Elasticsearch, index: str, id: str) -> dict[str, Any] | None:
    """A document as the cluster gives it, with its sequence number; None where it, or the index, is not there."""
    try:
        with translated(index):
            return dict(client.get(index=index, id=id).body)
    except IndexMissingError:
        return None
    except ClusterError as error:
        if isinstance(error.__cause__, NotFoundError):
            return None
        raise


def store_unchanged(
    client: Elasticsearch,
    index: str,
    id: str,
    document: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    refresh: bool = True,
) -> dict[str, Any] | None:
    """Write a document if it is still as it was `before` (as `stored` or this gave it; None: if there is none).

    The cluster's answer, with the new sequence number; None where somebody else wrote it meanwhile.
    """
    guard: dict[str, Any] = {"op_type": "create"}
    if before:
        guard = {"if_seq_no": before["_seq_no"], "if_primary_term": before["_primary_term"]}
    try:
        with translated(index):
            return dict(client.index(index=index, id=id, document=document, refresh=refresh, **guard).body)
    except ClusterError as error:
        if isinstance(error.__cause__, ConflictError):
            return None
        raise


def write_all(
    client: Elasticsearch,
    index: str,
    operations: Sequence[Mapping[str, Any]],
    what: str,
    *allowed: int,
    refresh: bool = False,
) -> dict[str, int]:
    """Bulk operations of which each has to succeed, or to come to one of the statuses `allowed`; id -> status.

    Raises:
        ClusterError: some did not, as `what`; the same can be done again.
    """
    with translated(index):
        answer = client.bulk(index=index, operations=operations, refresh=refresh)
    done = [part for item in answer["items"] for part in item.values()]
    failed = [part for part in done if part["status"] not in (200, 201, *allowed)]
    if failed:
        reason = failed[0].get("error", {}).get("reason", "no reason given")
        raise ClusterError(f"{len(failed)} {what} were not written ({reason}); do the same again")
    return {part["_id"]: part["status"] for part in done}


def ensure_store(client: Elasticsearch, index: str, template: str) -> None:
    """Make one of the layer's own small indices, if it is not there."""
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
