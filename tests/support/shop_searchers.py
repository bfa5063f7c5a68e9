"""Shoppers that search all the while and say what was wrong with each answer; and a shop that reads its own writes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from elasticsearch import NotFoundError

from hybrid.searches import SearchRequest
from hybrid.services import Services
from tests.support.raw import client_of
from tests.support.shop_writer import ShopWriter

#: Seconds until a delete must be seen by searches: an index is refreshed every second.
SEEN_AFTER_S = 2.0
#: The share of the shop's documents that an answer about all of them must count: the rest may not be visible yet.
_MOST = 0.9
_PAUSE_S = 0.05


@dataclass
class Answered:
    """What was wrong with the answers of one shopper. All but searches and the times should be 0.

    mixed: documents of two indices in one answer. short: far fewer documents counted than the shop has. incomplete:
    a page that lacks hits. deleted_shown: a document that the shop had deleted `SEEN_AFTER_S` before.
    """

    searches: int = 0
    failed: int = 0
    empty: int = 0
    mixed: int = 0
    short: int = 0
    incomplete: int = 0
    deleted_shown: int = 0
    degraded: int = 0
    why: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        wrong = (self.failed, self.empty, self.mixed, self.short, self.incomplete, self.deleted_shown, self.degraded)
        return self.searches > 0 and not any(wrong)

    def to_json(self) -> dict[str, Any]:
        times = sorted(self.times) or [0.0]
        return {
            "searches": self.searches, "failed": self.failed, "empty": self.empty, "mixed": self.mixed,
            "short": self.short, "incomplete": self.incomplete, "deleted_shown": self.deleted_shown,
            "degraded": self.degraded, "p50_ms": round(times[len(times) // 2] * 1000, 1),
            "longest_ms": round(times[-1] * 1000, 1), **({"why": dict(self.why.most_common(5))} if self.why else {}),
        }  # fmt: skip


class _Shopper(threading.Thread):
    """Searches again and again until stopped; without pauses while `hurry` is set."""

    def __init__(
        self,
        services: Services,
        alias: str,
        writer: ShopWriter,
        words: Sequence[str],
        supplier: str,
        hurry: threading.Event,
    ) -> None:
        super().__init__(name=type(self).__name__, daemon=True)
        self._services, self._alias, self._writer, self._hurry = services, alias, writer, hurry
        self._words, self._supplier = words, supplier
        self._ending = threading.Event()
        self.answered = Answered()

    def run(self) -> None:
        number = 0
        while not self._ending.is_set():
            started = time.monotonic()
            try:
                self._search(number, started)
            except Exception as error:  # whatever a shopper would see as a failure
                self.answered.failed += 1
                self.answered.why[f"failed: {error}"[:200]] += 1
            self.answered.times.append(time.monotonic() - started)
            self.answered.searches += 1
            number += 1
            if not self._hurry.is_set():
                time.sleep(_PAUSE_S)

    def stop(self) -> Answered:
        self._ending.set()
        self.join()
        self._settle()
        return self.answered

    def _search(self, number: int, started: float) -> None:
        raise NotImplementedError

    def _settle(self) -> None:
        """What can only be told at the end."""

    def _shown(self, ids: Sequence[str], started: float) -> None:
        deleted = self._writer.deleted
        for id in ids:
            since = started - deleted[id] if id in deleted else 0.0
            if since > SEEN_AFTER_S:
                self.answered.deleted_shown += 1
                self.answered.why[f"deleted {since:.0f} s before: {id}"] += 1

    def _empty(self, what: str) -> None:
        self.answered.empty += 1
        self.answered.why[f"empty: {what}"] += 1

    def _mixed(self, indices: set[str]) -> None:
        if len(indices) > 1:
            self.answered.mixed += 1
            self.answered.why[f"mixed: {', '.join(sorted(indices))}"] += 1

    def _incomplete(self, wanted: int, got: int, count: int = 1) -> None:
        self.answered.incomplete += count
        self.answered.why[f"incomplete: {got} hits of {wanted}"] += count


class PlainShopper(_Shopper):
    """Asks Elasticsearch itself: a page of everything under a filter, words, and how many documents there are."""

    def _search(self, number: int, started: float) -> None:
        query, everything = self._query(number), number % 3 == 2
        answer = client_of(self._services).search(
            index=self._alias, query=query, size=10, track_total_hits=True, source=False,
            aggs={"indices": {"terms": {"field": "_index"}}},
        ).body  # fmt: skip
        hits, total = answer["hits"]["hits"], answer["hits"]["total"]["value"]
        if not hits:
            self._empty(str(query))
        self._mixed({bucket["key"] for bucket in answer["aggregations"]["indices"]["buckets"]})
        if len(hits) < min(10, total):
            self._incomplete(min(10, total), len(hits))
        if everything and total < _MOST * len(self._writer.record):
            self.answered.short += 1
            self.answered.why[f"short: {total} of {len(self._writer.record)}"] += 1
        self._shown([hit["_id"] for hit in hits], started)

    def _query(self, number: int) -> dict[str, Any]:
        if number % 3 == 0:
            return {"bool": {"must": [{"match_all": {}}], "filter": [{"term": {"supplier": self._supplier}}]}}
        if number % 3 == 1:
            words = self._words[number // 3 % len(self._words)]
            return {"multi_match": {"query": words, "fields": ["title", "short_description"]}}
        return {"match_all": {}}


class LayerShopper(_Shopper):
    """Asks the layer, words with facets, and watches which indices the cluster answered from meanwhile.

    services: of its own, for whatever its client reads is taken to be of the search that runs.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._indices: set[str] = set()
        self._absent: set[str] = set()
        self._unsettled: list[tuple[int, int, set[str]]] = []
        self._watch(client_of(self._services))

    def _watch(self, client: Any) -> None:
        ask = client.transport.perform_request

        def watched(*args: Any, **options: Any) -> Any:
            if args[0] == "GET" and args[1].partition("?")[0] == f"/{self._alias}":
                # It reads the profile: the answer is made from the start, and what was read before is thrown away.
                self._indices, self._absent = set(), set()
            answer = ask(*args, **options)
            self._read(answer.body)
            return answer

        client.transport.perform_request = watched

    def _read(self, body: Any) -> None:
        if not isinstance(body, dict):
            return
        for answer in body.get("responses", [body]):
            inner = answer.get("hits", {})
            hits = inner.get("hits", []) if isinstance(inner, dict) else []
            for found in [*hits, *answer.get("docs", [])]:
                # The layer's own stores are not what is being reindexed.
                if str(found.get("_index", "")).startswith(self._alias):
                    self._indices.add(found["_index"])
                if found.get("found") is False:
                    self._absent.add(found["_id"])

    def _search(self, number: int, started: float) -> None:
        words = self._words[number % len(self._words)]
        filters = {"supplier": self._supplier} if number % 4 == 3 else {}
        self._indices, self._absent = set(), set()
        answer = self._services.searcher.search(
            SearchRequest(index=self._alias, q=words, filters=filters, facets=("supplier",), size=10)
        )
        if not answer.hits or not answer.facets["supplier"]:
            self._empty(f"{words}: {len(answer.hits)} hits, {len(answer.facets['supplier'])} values of the facet")
        self._mixed(self._indices)
        for part in answer.degraded:
            self.answered.why[f"degraded: {part.part}: {part.reason}"[:200]] += 1
        self.answered.degraded += bool(answer.degraded)
        wanted = min(10, answer.total)
        if len(answer.hits) < wanted:
            self._unsettled.append((wanted, len(answer.hits), self._absent))
        self._shown([hit.id for hit in answer.hits], started)

    def _settle(self) -> None:
        # What the shop deleted between the two requests of a search is rightly missing on its page.
        deleted = self._writer.deleted
        for wanted, got, absent in self._unsettled:
            if wanted - got > sum(id in deleted for id in absent):
                self._incomplete(wanted, got)


class OwnWrites(threading.Thread):
    """A document that is changed, deleted and made again through the alias, and read by a GET right after each."""

    ID = "own-writes"

    def __init__(self, client: Any, alias: str) -> None:
        super().__init__(name="own-writes", daemon=True)
        self._client, self._alias = client, alias
        self._ending = threading.Event()
        self.writes = self.stale = self.failed = 0
        self.longest_wait_s = self.longest_stale_s = 0.0
        self.why: Counter[str] = Counter()
        #: What the index must hold of it; None: nothing.
        self.row: dict[str, Any] | None = None

    def run(self) -> None:
        while not self._ending.is_set():
            started = time.monotonic()
            try:
                self._write()
            except Exception as error:  # a refused write or read is what is looked for
                self.failed += 1
                self.why[f"failed: {error}"[:200]] += 1
            self.longest_wait_s = max(self.longest_wait_s, time.monotonic() - started)
            self.writes += 1
            time.sleep(_PAUSE_S / 2)

    def stop(self) -> None:
        self._ending.set()
        self.join()

    @property
    def clean(self) -> bool:
        """A write that was on its way when the alias moved is shown a moment later; each later one at once."""
        return self.writes > 0 and self.stale <= 1 and not self.failed

    def to_json(self) -> dict[str, Any]:
        return {
            "writes": self.writes, "stale": self.stale, "failed": self.failed,
            "longest_wait_s": round(self.longest_wait_s, 3), "longest_stale_s": round(self.longest_stale_s, 3),
            **({"why": dict(self.why.most_common(5))} if self.why else {}),
        }  # fmt: skip

    def _write(self) -> None:
        client = self._client.options(request_timeout=90)
        if self.row is not None and self.writes % 10 == 9:
            client.delete(index=self._alias, id=self.ID)
            self.row = None
        elif self.row is not None and self.writes % 2:
            client.update(index=self._alias, id=self.ID, doc={"price": self.writes}, retry_on_conflict=5)
            self.row = {**self.row, "price": self.writes}
        else:
            row = {"id": self.ID, "title": f"Own writes {self.writes}", "supplier": "Own", "price": self.writes}
            client.index(index=self._alias, id=self.ID, document=row)
            self.row = row
        found = self._read()
        if found != self.row:
            self.stale += 1
            self.why[f"stale: {found} for {self.row}"[:200]] += 1
            since = time.monotonic()
            while found != self.row and time.monotonic() - since < 10:
                time.sleep(0.01)
                found = self._read()
            self.longest_stale_s = max(self.longest_stale_s, time.monotonic() - since)

    def _read(self) -> dict[str, Any] | None:
        try:
            source = self._client.get(index=self._alias, id=self.ID)["_source"]
        except NotFoundError:
            return None
        return {name: value for name, value in source.items() if name != "hybrid"}
