"""A shop that writes all the while and keeps its own record, and the comparison of an index with that record."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from elasticsearch import NotFoundError

from hybrid.catalogue import documents
from hybrid.contracts import IndexProfile
from hybrid.services import Services
from tests.support.raw import client_of

MAPPINGS = {
    "dynamic": False,
    "_meta": {"owner": "shop"},
    "properties": {
        "title": {"type": "text", "fields": {"raw": {"type": "keyword", "ignore_above": 256}}},
        "short_description": {"type": "text"},
        "supplier": {"type": "keyword"},
        "price": {"type": "double"},
        "date_released": {"type": "date"},
    },
}


def rows(count: int = 30) -> list[dict[str, Any]]:
    """A small catalogue."""
    things = ["mug", "lamp", "chair"]
    return [
        {"id": f"p{n}", "title": f"{things[n % 3]} number {n}", "short_description": f"words of {n}", "price": n + 0.5,
         "supplier": ["Aurora", "Brightly"][n % 2]}
        for n in range(count)
    ]  # fmt: skip


def record(data: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows as a shop's record has them: by id."""
    return {str(row["id"]): row for row in data}


def make_shop(
    client: Any,
    name: str,
    rows: list[dict[str, Any]],
    shards: int = 1,
    alias: str | None = None,
    mappings: dict[str, Any] = MAPPINGS,
) -> None:
    """An index as a shop has it, with its documents."""
    client.indices.create(
        index=name,
        settings={"number_of_shards": shards, "number_of_replicas": 0},
        mappings=mappings,
        aliases={alias: {}} if alias else None,
    )
    for start in range(0, len(rows), 500):
        operations = [
            part for row in rows[start : start + 500] for part in ({"index": {"_id": str(row["id"])}}, dict(row))
        ]
        answer = client.options(request_timeout=60).bulk(index=name, operations=operations)
        assert not answer["errors"]
    client.indices.refresh(index=name)


class ShopWriter(threading.Thread):
    """Changes and deletes `rate` documents a second, of every kind that shops write, and records what it wrote.

    record: id -> the shop's own document as last acknowledged. kinds: how many writes of each kind were made.
    deleted: id -> when its delete was acknowledged (time.monotonic). longest_wait_s: of a request of ten a second.
    first_new: number of its first new product; a second writer of one shop makes others.
    refused: what was not taken, by reason; such a write ends it, unless it is `lenient`, and then it goes on.
    """

    def __init__(
        self,
        client: Any,
        index: str,
        rows: list[dict[str, Any]],
        rate: int = 200,
        seed: int = 1,
        lenient: bool = False,
        first_new: int = 0,
    ) -> None:
        super().__init__(name="shop-writer", daemon=True)
        self._client, self._index, self._rate, self._lenient = client, index, rate, lenient
        self._random = random.Random(seed)
        self.record: dict[str, dict[str, Any]] = {str(row["id"]): dict(row) for row in rows}
        self._ids = list(self.record)  # to choose from; a deleted one may stand in it until it is chosen
        self.kinds: Counter[str] = Counter()
        self.deleted: dict[str, float] = {}
        self.refused: Counter[str] = Counter()
        self.longest_wait_s = 0.0
        self.seconds = 0.0
        self.failure: BaseException | None = None
        self._ending = threading.Event()
        self._next = first_new

    def run(self) -> None:
        started = time.monotonic()
        batch = max(1, self._rate // 10)
        try:
            while not self._ending.is_set():
                self._write(batch)
                ahead = sum(self.kinds.values()) / self._rate - (time.monotonic() - started)
                if ahead > 0:
                    time.sleep(ahead)
        except BaseException as error:
            self.failure = error
        self.seconds = time.monotonic() - started

    def stop(self) -> None:
        self._ending.set()
        self.join()
        if self.failure is not None:
            raise self.failure

    def put_whole(self, share: float) -> int:
        """Read, edit and PUT a share of the documents as clients do, and half of them plainly."""
        ids = self._random.sample(sorted(self.record), int(len(self.record) * share))
        for start in range(0, len(ids), 200):
            chosen = ids[start : start + 200]
            self._send([self._edit(id) if n % 2 else self._plain(id) for n, id in enumerate(chosen)])
        return len(ids)

    def _write(self, count: int) -> None:
        ids = self._choose(count)
        makers = (
            (self._plain, 2), (self._edit, 2), (self._retitle, 3), (self._reprice, 3), (self._remove, 1),
            (self._create, 1),
        )  # fmt: skip
        chosen = self._random.choices([maker for maker, _ in makers], [weight for _, weight in makers], k=count)
        self._send([maker(id) for maker, id in zip(chosen, ids, strict=True)])

    def _choose(self, count: int) -> list[str]:
        """Different ids of documents that are there."""
        chosen: dict[str, None] = {}
        while len(chosen) < min(count, len(self.record)):
            place = self._random.randrange(len(self._ids))
            if self._ids[place] in self.record:
                chosen[self._ids[place]] = None
            else:
                self._ids[place] = self._ids[-1]
                self._ids.pop()
        return list(chosen)

    def _send(self, writes: list[tuple[str, str, dict[str, Any] | None, list[dict[str, Any]]]]) -> None:
        operations = [part for _, _, _, parts in writes for part in parts]
        started = time.monotonic()
        # Longer than the minute that Elasticsearch itself lets a write wait, so that it is the one to give up.
        answer = self._client.options(request_timeout=90).bulk(index=self._index, operations=operations)
        ended = time.monotonic()
        self.longest_wait_s = max(self.longest_wait_s, ended - started)
        for (kind, id, wanted, _), item in zip(writes, answer["items"], strict=True):
            outcome = next(iter(item.values()))
            if outcome["status"] not in (200, 201):
                assert self._lenient, outcome
                self.refused[f"{kind}: {outcome['status']} {outcome.get('error', {}).get('type', '')}".strip()] += 1
                continue
            self.kinds[kind] += 1
            if wanted is None:
                self.record.pop(id)
                self.deleted[id] = ended
            else:
                if id not in self.record:
                    self._ids.append(id)
                self.record[id] = wanted

    def _plain(self, id: str) -> Any:
        row = {**self.record[id], "title": f"{self.record[id].get('title', '')} v{self._random.randrange(10**6)}"}
        return "put", id, row, [{"index": {"_id": id}}, row]

    def _edit(self, id: str) -> Any:
        """GET, change the price, PUT the whole: from 9.2 on the vectors are lost, and the rest of `hybrid` is not."""
        source = self._read(id)
        if source is None:
            # The shop has it, so its index should.
            assert self._lenient, id
            self.refused["edit: 404 of a document that is there"] += 1
            return self._plain(id)
        price = self._random.randrange(10**5)
        return "edit", id, {**self.record[id], "price": price}, [{"index": {"_id": id}}, {**source, "price": price}]

    def _read(self, id: str) -> dict[str, Any] | None:
        """The document; a write that was on its way during a swap is copied to the new index some moments after it.

        Who reads in these moments reads what was before, and an edit of that would undo the write.
        """
        ending = time.monotonic() + 5
        while True:
            source: dict[str, Any] | None = None
            try:
                source = dict(self._client.get(index=self._index, id=id)["_source"])
                if {key: value for key, value in source.items() if key != "hybrid"} == self.record[id]:
                    return source
            except NotFoundError:
                pass
            if time.monotonic() > ending:
                return source
            time.sleep(0.02)

    def _retitle(self, id: str) -> Any:
        title = f"Renamed {self._random.randrange(10**6)} {self.record[id].get('supplier', '')}"
        return "retitle", id, {**self.record[id], "title": title}, [_update(id), {"doc": {"title": title}}]

    def _reprice(self, id: str) -> Any:
        price = self._random.randrange(10**5)
        return "reprice", id, {**self.record[id], "price": price}, [_update(id), {"doc": {"price": price}}]

    def _remove(self, id: str) -> Any:
        return "delete", id, None, [{"delete": {"_id": id}}]

    def _create(self, id: str) -> Any:
        self._next += 1
        fresh = f"new-{self._next}"
        row = {"id": fresh, "title": f"New product {self._next}", "supplier": "Fresh", "price": self._next}
        return "create", fresh, row, [{"create": {"_id": fresh}}, row]


def _update(id: str) -> dict[str, Any]:
    # An update reads and writes, so any second writer (the layer is one) can come between: clients retry.
    return {"update": {"_id": id, "retry_on_conflict": 5}}


@dataclass
class Verdict:
    """Compared with the shop's record. Each list holds ids; all but `documents` should be empty."""

    documents: int = 0
    shop_fields_changed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    resurrected: list[str] = field(default_factory=list)
    without_vector: list[str] = field(default_factory=list)
    stale_hash: list[str] = field(default_factory=list)
    other_vector: list[str] = field(default_factory=list)
    stale_words: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        return {name: value if isinstance(value, int) else len(value) for name, value in asdict(self).items()}

    @property
    def clean(self) -> bool:
        return not any(count for name, count in self.counts().items() if name != "documents")


def compare(
    services: Services, profile: IndexProfile, record: dict[str, dict[str, Any]], vectors: bool = True
) -> Verdict:
    """Every document of the index against the record, its hashes and its words; and, where encoding is quick, its
    vector against the encoder."""
    client = client_of(services)
    client.indices.refresh(index=profile.index)
    verdict = Verdict()
    signal = profile.signals["text"]
    encoder = services.encoder(signal.encoder)
    seen = set()
    for hits in _pages(client, profile.index):
        texts, found = [], []
        for hit in hits:
            id, source = hit["_id"], hit["_source"]
            seen.add(id)
            verdict.documents += 1
            layer = source.pop("hybrid", {})
            meta = layer.get("meta", {})
            if id not in record:
                verdict.resurrected.append(id)
                continue
            if source != record[id]:
                verdict.shop_fields_changed.append(id)
            if meta.get("pending"):
                verdict.pending.append(id)
            text = documents.text_input(source, profile.fields, encoder)
            if (meta.get("text") or {}).get("hash") != documents.content_hash(signal.version, text.encode()):
                verdict.stale_hash.append(id)
            words = {name: value for name, value in layer.get("terms", {}).items() if value}
            if words != documents.terms_of(source, profile):
                verdict.stale_words.append(id)
            if "text" not in hit.get("matched_queries", ()):
                verdict.without_vector.append(id)
            elif vectors:
                texts.append(text)
                found.append((id, hit["fields"]["hybrid.text"]))
        if texts:
            wanted = encoder.encode_texts(texts)
            for (id, vector), expected in zip(found, wanted, strict=True):
                got = np.asarray(vector, dtype=np.float32)
                if float(got @ expected / np.linalg.norm(got)) < 0.999:  # float16 codes give 0.9999
                    verdict.other_vector.append(id)
    verdict.lost = sorted(set(record) - seen)
    return verdict


def _pages(client: Any, index: str) -> Iterator[list[dict[str, Any]]]:
    pit = client.open_point_in_time(index=index, keep_alive="2m")["id"]
    after: dict[str, Any] = {}
    try:
        while True:
            hits = client.options(request_timeout=60).search(
                pit={"id": pit, "keep_alive": "2m"},
                query={
                    "bool": {
                        "filter": [{"match_all": {}}],
                        "should": [{"exists": {"field": "hybrid.text", "_name": "text"}}],
                    }
                },
                fields=["hybrid.text"],
                source={"excludes": ["hybrid.text"]},
                size=500,
                sort=["_shard_doc"],
                **after,
            )["hits"]["hits"]
            if not hits:
                return
            yield hits
            after = {"search_after": hits[-1]["sort"]}
    finally:
        client.close_point_in_time(id=pit)
