"""How long searches took, as each web process reports it. Each process writes one small document again and again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elasticsearch import Elasticsearch

from hybrid.elastic.client import translated
from hybrid.elastic.stores.base import ensure_store, now

SEARCH_TIMES = "hybrid-search-times"
_PROCESSES = 1_000
#: A process that reported nothing for so long is gone, or has nothing to report.
_SILENT = "1h"


class SearchTimesStore:
    """The recent counts of web processes: minute of the clock -> what was counted -> how often."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def save(self, process: str, minutes: Mapping[str, Mapping[str, int]]) -> None:
        """Store the counts of a process, in place of those that it reported before."""
        ensure_store(self._client, SEARCH_TIMES, "search_times")
        with translated(SEARCH_TIMES):
            self._client.index(index=SEARCH_TIMES, id=process, document={"at": now(), "minutes": minutes})

    def load(self, minutes: int) -> dict[str, dict[str, dict[str, int]]]:
        """process -> its counts, of the processes that reported in the last minutes; as of about a second ago."""
        hits = self._hits({"range": {"at": {"gte": f"now-{minutes}m"}}})
        return {hit["_id"]: hit["_source"]["minutes"] for hit in hits}

    def forget_silent(self) -> None:
        """Delete the counts of processes that have long been silent."""
        if hits := self._hits({"range": {"at": {"lt": f"now-{_SILENT}"}}}):
            with translated(SEARCH_TIMES):
                self._client.bulk(index=SEARCH_TIMES, operations=[{"delete": {"_id": hit["_id"]}} for hit in hits])

    def _hits(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        with translated(SEARCH_TIMES):
            answer = self._client.search(index=SEARCH_TIMES, query=query, size=_PROCESSES, ignore_unavailable=True)
        return list(answer["hits"]["hits"])
