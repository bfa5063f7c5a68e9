"""Dead letters: the signals of products that could not be made, and why, until somebody has dealt with them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch

from hybrid.elastic.client import translated
from hybrid.elastic.stores.base import can_be_id, ensure_store, now

DEAD_LETTERS = "hybrid-dead-letters"
#: Dead letters as stored. A class with a method `list` cannot name this type in its own body.
Documents = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Work that failed for good: which product, for which signal, and why."""

    product: str
    signal: str
    reason: str
    message: str


class DeadLetters:
    """One dead letter for a product and signal. A later failure replaces it, and a later success removes it."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def add(self, index: str, job: str, dead_letters: Iterable[DeadLetter]) -> None:
        operations: list[dict[str, Any]] = []
        for dead_letter in dead_letters:
            operations.append({"index": {"_id": _dead_letter_id(index, dead_letter.product, dead_letter.signal)}})
            operations.append(
                {
                    "index": index,
                    "product": dead_letter.product,
                    "signal": dead_letter.signal,
                    "reason": dead_letter.reason,
                    "message": dead_letter.message[:500],
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
            operations = [{"delete": {"_id": _dead_letter_id(index, *pair)}} for pair in products_signals]
            with translated(DEAD_LETTERS):
                self._client.bulk(index=DEAD_LETTERS, operations=operations, refresh=True)

    def counts(self, index: str, job: str | None = None) -> dict[str, int]:
        """reason -> number of dead letters."""
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
        """The newest dead letters of an index; those of the same time by product and signal."""
        with translated(DEAD_LETTERS):
            answer = self._client.search(
                index=DEAD_LETTERS, size=size, query=_of(index), sort=_NEWEST, ignore_unavailable=True
            )
        return [hit["_source"] for hit in answer["hits"]["hits"]]

    def groups(self) -> Documents:
        """[{"index", "reason", "count", "newest"}] of all dead letters, most frequent first."""
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
        groups = [
            {**bucket["key"], "count": bucket["doc_count"], "newest": bucket["newest"].get("value_as_string")}
            for bucket in buckets
        ]
        return sorted(groups, key=lambda group: (-group["count"], group["index"], group["reason"]))

    def newest(self, size: int) -> Documents:
        """The newest dead letters of all indices."""
        with translated(DEAD_LETTERS):
            answer = self._client.search(index=DEAD_LETTERS, size=size, sort=_NEWEST, ignore_unavailable=True)
        return [hit["_source"] for hit in answer["hits"]["hits"]]

    def page(self, index: str, reason: str, size: int, start: int = 0) -> Documents:
        """Dead letters of a reason with their "id", newest first, in a fixed order; start + size up to 10,000."""
        with translated(DEAD_LETTERS):
            self._client.indices.refresh(index=DEAD_LETTERS, ignore_unavailable=True)
            answer = self._client.search(
                index=DEAD_LETTERS, query=_of(index, reason), size=size, from_=start, sort=_NEWEST,
                ignore_unavailable=True,
            )  # fmt: skip
        return [{"id": hit["_id"], **hit["_source"]} for hit in answer["hits"]["hits"]]

    def chosen(self, index: str, ids: Sequence[str]) -> Documents:
        """Dead letters of an index by their ids, with their "id". Ids that the index does not have are left out."""
        query = {"bool": {"filter": [{"term": {"index": index}}, {"ids": {"values": [*filter(can_be_id, ids)]}}]}}
        with translated(DEAD_LETTERS):
            answer = self._client.search(index=DEAD_LETTERS, query=query, size=len(ids) or 1, ignore_unavailable=True)
        return [{"id": hit["_id"], **hit["_source"]} for hit in answer["hits"]["hits"]]

    def batches(self, index: str, reason: str | None, size: int) -> Iterator[Documents]:
        """All dead letters of a reason (None: of any), as they are now, in batches, with their "id"."""
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
        """Delete dead letters by their "id"."""
        if ids:
            with translated(DEAD_LETTERS):
                operations = [{"delete": {"_id": id}} for id in ids]
                self._client.bulk(index=DEAD_LETTERS, operations=operations, refresh=True)

    def move(self, index: str, to: str | None) -> None:
        """Move the dead letters of an index to another name; None: delete them."""
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
                dead_letter = hit["_source"]
                if to is not None:
                    operations.append(
                        {"index": {"_id": _dead_letter_id(to, dead_letter["product"], dead_letter["signal"])}}
                    )
                    operations.append({**dead_letter, "index": to})
                operations.append({"delete": {"_id": hit["_id"]}})
            with translated(DEAD_LETTERS):
                self._client.bulk(index=DEAD_LETTERS, operations=operations, refresh=True)


_NEWEST = [{"at": "desc"}, {"product": "asc"}, {"signal": "asc"}]


def _of(index: str, reason: str | None = None) -> dict[str, Any]:
    reasons = [] if reason is None else [{"term": {"reason": reason}}]
    return {"bool": {"filter": [{"term": {"index": index}}, *reasons]}}


def _dead_letter_id(index: str, product: str, signal: str) -> str:
    # Elasticsearch ids end at 512 bytes, and a product's own id may be that long.
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{index}\0{product}\0{signal}").hex
