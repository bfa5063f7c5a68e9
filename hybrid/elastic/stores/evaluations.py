"""Evaluations kept in the cluster: one document a run, with scores by query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elasticsearch import Elasticsearch

from hybrid.elastic.client import translated
from hybrid.elastic.stores.base import ensure_store, stored

EVALUATIONS = "hybrid-evaluations"


class Evaluations:
    """{"id", "at", "by", "index", "list", "systems", "weights_version", "queries", "baseline", "results": system ->
    figures, "per_query": {"queries": [...], "scores": {system: [...]}}, "unjudged": [...], …} of every run. See
    hybrid.learning.orders.
    """

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def keep(self, key: str, run: Mapping[str, Any]) -> None:
        """Keep a run. It replaces a run of the same key."""
        ensure_store(self._client, EVALUATIONS, "evaluations")
        with translated(EVALUATIONS):
            self._client.index(index=EVALUATIONS, id=key, document={**run, "id": key}, refresh=True)

    def get(self, key: str) -> dict[str, Any] | None:
        """One run, or None."""
        doc = stored(self._client, EVALUATIONS, key)
        return dict(doc["_source"]) if doc else None

    def page(
        self, size: int, before: int = 0, index: str | None = None, list: str | None = None
    ) -> tuple[list[dict[str, Any]], int]:
        """(runs without their queries, newest first, after the first `before`; how many there are)."""
        terms = {"index": index, "list": list}
        filters = [{"term": {name: value}} for name, value in terms.items() if value]
        with translated(EVALUATIONS):
            hits = self._client.search(
                index=EVALUATIONS,
                query={"bool": {"filter": filters}},
                sort=[
                    {"at": {"order": "desc", "unmapped_type": "date"}},
                    {"id": {"order": "desc", "unmapped_type": "keyword"}},
                ],
                size=size,
                from_=before,
                source_excludes=["per_query", "unjudged"],
                track_total_hits=True,
                ignore_unavailable=True,
            )["hits"]
        return [hit["_source"] for hit in hits["hits"]], int(hits["total"]["value"])
