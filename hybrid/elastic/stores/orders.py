"""Orders of work from the admin page. Each index and line of work has one slot, so that no work starts twice."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from elasticsearch import Elasticsearch

from hybrid.elastic.client import translated
from hybrid.elastic.stores.base import ensure_store, now, store_unchanged, stored
from hybrid.errors import OrderTakenError

ORDERS = "hybrid-orders"
#: Seconds without a sign of life until the process of an order counts as dead.
DEAD_AFTER_S = 20.0
#: Seconds until an order that nobody took is sent to the workers again.
UNTAKEN_S = 30.0
_OPEN = ("queued", "running")
#: Kinds that keep processors and the cluster busy for long, and how many of them run at once.
HEAVY, MOST_HEAVY = ("attach", "reindex", "resume", "train", "evaluate"), 2


class Orders:
    """The newest order of each slot: {"kind", "index", "options", "by", "status", "placed", "beat", "attempts",
    "progress", "samples", "result", "error"}. A change is written only if the order did not change since it was read.
    """

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def place(self, slot: str, kind: str, index: str, options: Mapping[str, Any], by: str) -> None:
        """Ask for work.

        Raises:
            OrderTakenError: the slot is taken by work that waits or runs.
        """
        ensure_store(self._client, ORDERS, "orders")
        order, before = self._read(slot)
        if order and order["status"] in _OPEN and not (order["status"] == "running" and _is_dead(order)):
            raise OrderTakenError(f"{order['kind']} of {index!r} is under way, ordered by {order['by']}")
        body = {
            "slot": slot, "kind": kind, "index": index, "options": dict(options), "by": by, "status": "queued",
            "placed": now("milliseconds"), "attempts": 0,
        }  # fmt: skip
        if not self._write(slot, body, before):
            raise OrderTakenError(f"somebody else ordered work on {index!r} at the same moment; look at it first")

    def get(self, slot: str) -> dict[str, Any] | None:
        """The newest order of a slot, or None. `dead` says whether its process died without ending the order."""
        order = self._read(slot)[0]
        return {**order, "dead": order["status"] == "running" and _is_dead(order)} if order else None

    def take(self, slot: str) -> dict[str, Any] | None:
        """Claim an order, to begin work on it.

        The result is None where there is no order, where another process has it, and where so much heavy work runs that
        this has to wait.
        """
        order, before = self._read(slot)
        if not order or order["status"] not in _OPEN or (order["status"] == "running" and not _is_dead(order)):
            return None
        if order["kind"] in HEAVY and self._heavy_beside(slot) >= MOST_HEAVY:
            return None
        taken = {
            **order, "status": "running", "beat": now("milliseconds"), "attempts": order["attempts"] + 1,
            "worker": uuid.uuid4().hex,
        }  # fmt: skip
        return taken if self._write(slot, taken, before) else None

    def keep(self, order: Mapping[str, Any], **fields: Any) -> dict[str, Any] | None:
        """Give a sign of life, with fields such as progress.

        Returns the order as it is then; None where another process has it.
        """
        while True:
            current, before = self._read(order["slot"])
            if not current or current.get("worker") != order["worker"]:
                return None
            updated = {**current, **fields, "beat": now("milliseconds")}
            if self._write(order["slot"], updated, before):
                return updated  # else another process changed the order at the same moment

    def ask_to_stop(self, slot: str) -> bool:
        """Ask the process of an order to end, or cancel an order without a process; False where there is no order."""
        while True:
            current, before = self._read(slot)
            if not current or current["status"] not in _OPEN:
                return False
            alive = current["status"] == "running" and not _is_dead(current)
            if self._write(slot, {**current, "stop": True} if alive else {**current, "status": "cancelled"}, before):
                return True

    def queued(self) -> list[str]:
        """Slots whose order waits, the oldest first."""
        with translated(ORDERS):
            self._client.indices.refresh(index=ORDERS, ignore_unavailable=True)
            hits = self._client.search(
                index=ORDERS, query={"term": {"status": "queued"}}, sort=[{"placed": "asc"}], size=100, source=False,
                ignore_unavailable=True,
            )  # fmt: skip
        return [hit["_id"] for hit in hits["hits"]["hits"]]

    def _heavy_beside(self, slot: str) -> int:
        """How many heavy orders of other slots are being worked on."""
        alive = (datetime.now(UTC) - timedelta(seconds=DEAD_AFTER_S)).isoformat(timespec="milliseconds")
        query = {
            "bool": {
                "filter": [
                    {"term": {"status": "running"}},
                    {"terms": {"kind": list(HEAVY)}},
                    {"range": {"beat": {"gte": alive}}},
                ],
                "must_not": {"term": {"slot": slot}},
            }
        }  # fmt: skip
        with translated(ORDERS):
            self._client.indices.refresh(index=ORDERS, ignore_unavailable=True)
            return int(self._client.count(index=ORDERS, query=query, ignore_unavailable=True)["count"])

    def abandoned(self) -> list[str]:
        """Slots whose order nobody took, or whose process is dead."""
        at = datetime.now(UTC)
        untaken, dead = (
            (at - timedelta(seconds=age)).isoformat(timespec="milliseconds") for age in (UNTAKEN_S, DEAD_AFTER_S)
        )
        query = {
            "bool": {
                "minimum_should_match": 1,
                "should": [
                    {"bool": {"filter": [{"term": {"status": "queued"}}, {"range": {"placed": {"lt": untaken}}}]}},
                    {"bool": {"filter": [{"term": {"status": "running"}}, {"range": {"beat": {"lt": dead}}}]}},
                ],
            }
        }
        with translated(ORDERS):
            self._client.indices.refresh(index=ORDERS, ignore_unavailable=True)
            hits = self._client.search(index=ORDERS, query=query, size=1_000, source=False, ignore_unavailable=True)
        return [hit["_id"] for hit in hits["hits"]["hits"]]

    def _read(self, slot: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """(the order, what `store_unchanged` takes for it)."""
        doc = stored(self._client, ORDERS, slot)
        return (dict(doc["_source"]), doc) if doc else (None, None)

    def _write(self, slot: str, body: Mapping[str, Any], before: Mapping[str, Any] | None) -> bool:
        return store_unchanged(self._client, ORDERS, slot, body, before) is not None


def _is_dead(order: Mapping[str, Any]) -> bool:
    age = datetime.now(UTC) - datetime.fromisoformat(order["beat"])
    return age.total_seconds() > DEAD_AFTER_S
