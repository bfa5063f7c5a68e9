"""Functions that the stores in the layer's own small indices share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from elasticsearch import Elasticsearch

import es_mappings
from hybrid.contracts import MAX_ID_BYTES
from hybrid.elastic.client import translated, wait_until_made
from hybrid.errors import (
    AlreadyExistsError,
    ClusterError,
    DocumentMissingError,
    IndexMissingError,
    VersionConflictError,
)


def now(precision: str = "seconds") -> str:
    """The time as stored: ISO 8601, UTC. precision: "milliseconds" where the time decides an order."""
    return datetime.now(UTC).isoformat(timespec=precision)


def can_be_id(given: str) -> bool:
    """Whether a document can have the id that a caller gave; the cluster refuses to look for others."""
    return 0 < len(given.encode()) <= MAX_ID_BYTES


def stored(client: Elasticsearch, index: str, id: str) -> dict[str, Any] | None:
    """A document as the cluster gives it, with its sequence number; None where the document or the index is missing."""
    if not can_be_id(id):
        return None
    try:
        with translated(index):
            return dict(client.get(index=index, id=id).body)
    except (IndexMissingError, DocumentMissingError):
        return None


def store_unchanged(
    client: Elasticsearch,
    index: str,
    id: str,
    document: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    refresh: bool = True,
) -> dict[str, Any] | None:
    """Write a document if it did not change since `before`, the result of `stored` or of this; None: if there is none.

    Returns the cluster's answer, with the new sequence number; None where another process wrote the document meanwhile.
    """
    guard: dict[str, Any] = {"op_type": "create"}
    if before:
        guard = {"if_seq_no": before["_seq_no"], "if_primary_term": before["_primary_term"]}
    try:
        with translated(index):
            return dict(client.index(index=index, id=id, document=document, refresh=refresh, **guard).body)
    except VersionConflictError:
        return None


def write_all(
    client: Elasticsearch,
    index: str,
    operations: Sequence[Mapping[str, Any]],
    what: str,
    *allowed: int,
    refresh: bool = False,
) -> dict[str, int]:
    """Do bulk operations. Each must succeed, or end with a status in `allowed`. Returns id -> status.

    what: the name of the documents in the error.

    Raises:
        ClusterError: some operations failed; the caller can do the same again.
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
    except AlreadyExistsError:  # another process was faster
        wait_until_made(client, index)
