"""Copies of documents in another index. Each copy has a revision: the shard and sequence number of its original.

Changed documents are found by their sequence numbers. A deleted document is not in any search, but its copy is: no live
document has the copy's revision. Revisions are compared in buckets of numbers, by the count and the sum of each bucket,
so that only buckets that differ are read: a million documents take some tenths of a second.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from elasticsearch import Elasticsearch

from hybrid.catalogue.layer import Layer
from hybrid.elastic.client import translated
from hybrid.elastic.indices import products
from hybrid.elastic.indices.products import BulkReport, Products
from hybrid.signals import SIGNALS

#: The mapping of the field in which a copy keeps its revision.
REVISION = {"properties": {"shard": {"type": "integer"}, "seq_no": {"type": "long"}}}
_SHARD, _SEQ_NO = "hybrid.meta.revision.shard", "hybrid.meta.revision.seq_no"
#: A bucket is read in one search, and Elasticsearch shows 10,000 hits.
_MOST_IN_BUCKET = 10_000
_LEAST_IN_BUCKET = 200
_BUCKETS = 2_000
_GAP = 1_000
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Original:
    """A document as its index holds it. layer: its field `hybrid`, with codes but without vectors."""

    id: str
    routing: str | None
    source: dict[str, Any]
    layer: Layer
    shard: int
    seq_no: int

    @property
    def revision(self) -> dict[str, int]:
        return {"shard": self.shard, "seq_no": self.seq_no}


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """A reference to a document: its id, its routing, and its sequence number or that of its original."""

    id: str
    routing: str | None
    seq_no: int


@dataclass
class Differences:
    """extra: copies whose revision is not live. missing: live documents without a copy of their revision."""

    extra: list[DocumentRef] = field(default_factory=list)
    missing: list[DocumentRef] = field(default_factory=list)


class Copies:
    """Documents of one index, copied to another and compared."""

    def __init__(self, client: Elasticsearch, products: Products) -> None:
        self._client = client
        self._products = products

    def within(self, patience_s: float) -> Copies:
        """The same where a busy cluster is waited for no longer than that."""
        return Copies(self._client, self._products.within(patience_s))

    def read(self, index: str, shard: int, after: int, until: int) -> Iterator[list[Original]]:
        """Documents of a shard in the order of their sequence numbers, from `after` up to `until`, in batches.

        The documents are those of one point in time.
        """
        search = {
            "query": {"range": {"_seq_no": {"gt": after, "lte": until}}},
            "source": {"excludes": _vectors()},
            "seq_no_primary_term": True,
        }
        for hits in self._products.pages(index, search, _PAGE, f"_shards:{shard}", ("_seq_no",)):
            yield [_original(hit, shard) for hit in hits]

    def read_ahead(self, index: str, ranges: Mapping[int, tuple[int, int]]) -> Iterator[tuple[int, list[Original]]]:
        """(shard, batch) of `read`, of each shard in `ranges` (shard -> (after, until)).

        The next batch is fetched while the caller works on one.
        """
        batches = (
            (shard, batch)
            for shard, (after, until) in ranges.items()
            for batch in self.read(index, shard, after, until)
        )
        with contextlib.closing(batches), ThreadPoolExecutor(1) as executor:
            next_batch = executor.submit(next, batches, None)
            while (shard_and_batch := next_batch.result()) is not None:
                next_batch = executor.submit(next, batches, None)
                yield shard_and_batch

    def write(self, index: str, documents: Iterable[tuple[Original, dict[str, Any]]], building: bool) -> BulkReport:
        """Write copies. They pass the fence of `generations`, and no ingest pipeline: the originals went through it.

        building: whether `index` is the alias that exists only while the index is built.
        """
        items: list[products.Item] = []
        for original, body in documents:
            items.append((original.id, {"index": _place(original)}, body))
        return self._products.bulk(index, items, wait_for_active_shards="1", pipeline="_none", require_alias=building)

    def delete(self, index: str, copies: Sequence[DocumentRef]) -> BulkReport:
        """Delete copies. The deletions pass the fence too."""
        items: list[products.Item] = [(copy.id, {"delete": _place(copy)}, None) for copy in copies]
        return self._products.bulk(index, items, wait_for_active_shards="1")

    def layers(self, index: str, originals: Sequence[Original]) -> dict[str, Layer]:
        """id -> the field `hybrid`, without vectors, of the copies of these originals as they are now.

        An original without a copy is left out.
        """
        if not originals:
            return {}
        places, vectors = list(map(_place, originals)), _vectors()
        docs = self._products.ask(index, lambda: self._client.mget(
            index=index, docs=places, source_includes=["hybrid"], source_excludes=vectors
        ))["docs"]  # fmt: skip
        by_id = {doc["_id"]: _own(doc["_source"].get("hybrid"), doc["_id"]) for doc in docs if doc.get("found")}
        return {id: layer for id, layer in by_id.items() if layer.id}

    def absent(self, index: str, documents: Sequence[DocumentRef]) -> list[DocumentRef]:
        """Those of `documents` that the index does not have now."""
        there: set[tuple[str, str | None]] = set()
        for start in range(0, len(documents), 1_000):
            part = documents[start : start + 1_000]
            places = list(map(_place, part))
            get = functools.partial(self._client.mget, index=index, docs=places, source=False, stored_fields="_routing")
            docs = self._products.ask(index, get)["docs"]
            # A document of the same id and shard with another routing is another document.
            there |= {
                (one.id, one.routing)
                for one, doc in zip(part, docs, strict=True)
                if doc.get("found") and doc.get("_routing") == one.routing
            }
        return [one for one in documents if (one.id, one.routing) not in there]

    def compare(self, live: str, copied: str, until: Mapping[int, int]) -> Differences:
        """Compare the live documents of an index, up to a sequence number a shard, with their copies in another index.

        The caller refreshes both indices before.
        """
        differences = Differences()
        for ours, theirs, mine, copied_ones in self._differing(live, copied, until):
            differences.extra += theirs.named(copied_ones - mine)
            differences.missing += ours.named(mine - copied_ones)
        return differences

    def uncopied(self, live: str, copied: str, until: Mapping[int, int]) -> list[DocumentRef]:
        """`compare(...).missing` alone."""
        sides = self._differing(live, copied, until)
        return [one for ours, _, mine, copied_ones in sides for one in ours.named(mine - copied_ones)]

    def _differing(
        self, live: str, copied: str, until: Mapping[int, int]
    ) -> Iterator[tuple[_Side, _Side, set[int], set[int]]]:
        """(originals, copies, numbers of the originals, numbers of the copies) of each range that differs."""
        with ThreadPoolExecutor(1) as executor:
            for shard, last in until.items():
                width = max(_LEAST_IN_BUCKET, min(_MOST_IN_BUCKET, last // _BUCKETS))
                ours = _Side(self._client, live, "_seq_no", [], f"_shards:{shard}")
                theirs = _Side(self._client, copied, _SEQ_NO, [{"term": {_SHARD: shard}}], None)
                other = executor.submit(theirs.buckets, width, last)
                here, there = ours.buckets(width, last), other.result()
                differing = [
                    start for start in sorted(here.keys() | there.keys()) if here.get(start) != there.get(start)
                ]
                for start, end in _ranges(differing, width, last):
                    others = executor.submit(theirs.numbers, start, end)
                    yield ours, theirs, ours.numbers(start, end), others.result()

    def above(self, index: str, after: Mapping[int, int]) -> Iterator[DocumentRef]:
        """Documents written after a sequence number a shard."""
        for shard, last in after.items():
            search = {"query": {"range": {"_seq_no": {"gt": last}}}, "source": False, "seq_no_primary_term": True}
            for hits in self._products.pages(index, search, 5_000, f"_shards:{shard}", ("_seq_no",)):
                yield from (DocumentRef(hit["_id"], hit.get("_routing"), hit["_seq_no"]) for hit in hits)

    def sample(self, index: str, count: int, seed: int) -> list[tuple[DocumentRef, dict[str, Any]]]:
        """(copy, the shop's part of its document) of copies drawn at random. The sequence number is the original's."""
        query = {"function_score": {"query": {"match_all": {}}, "random_score": {"seed": seed, "field": "_seq_no"}}}
        with translated(index):
            hits = self._client.search(
                index=index, query=query, size=count, source_excludes=["hybrid"], docvalue_fields=[{"field": _SEQ_NO}]
            )["hits"]["hits"]
        return [
            (DocumentRef(hit["_id"], hit.get("_routing"), int(hit["fields"][_SEQ_NO][0])), hit["_source"])
            for hit in hits
            if _SEQ_NO in hit.get("fields", {})
        ]


def _vectors() -> list[str]:
    return [f"hybrid.{name}" for name in SIGNALS]


def _original(hit: dict[str, Any], shard: int) -> Original:
    source = hit["_source"]
    layer = _own(source.pop("hybrid", None), hit["_id"])
    return Original(hit["_id"], hit.get("_routing"), source, layer, shard, hit["_seq_no"])


def _own(field: Any, id: str) -> Layer:
    """A document's layer; an empty one where the field `hybrid` is not the layer's, or is another document's."""
    layer = Layer.from_json(field)
    return layer if layer.id == id else Layer()


def _place(one: Original | DocumentRef) -> dict[str, str]:
    """The id and routing of a document, as a bulk and a multi-get take them."""
    return {"_id": one.id, **({"routing": one.routing} if one.routing is not None else {})}


def _ranges(starts: Sequence[int], width: int, last: int) -> Iterator[tuple[int, int]]:
    """(first, last) number of the ranges to read, which cover the buckets that begin at `starts`.

    Near buckets are read as one range: a search costs as much as reading some hundred more documents.
    """
    span: tuple[int, int] | None = None
    for start in starts:
        end = min(start + width - 1, last)
        if span and start - span[1] <= _GAP and end - span[0] < _MOST_IN_BUCKET:
            span = (span[0], end)
            continue
        if span:
            yield span
        span = (start, end)
    if span:
        yield span


@dataclass(frozen=True)
class _Side:
    """One side of a comparison: sequence numbers of an index's documents, or of the originals of its copies."""

    client: Elasticsearch
    index: str
    name: str
    filters: list[dict[str, Any]]
    preference: str | None

    def buckets(self, width: int, last: int) -> dict[int, tuple[int, float]]:
        """Start of a bucket -> (count, sum) of the numbers in it, up to `last`."""
        histogram = self._histogram(width, 0, last, {"sum": {"sum": {"field": self.name}}})
        return {int(bucket["key"]): (bucket["doc_count"], bucket["sum"]["value"]) for bucket in histogram}

    def numbers(self, start: int, end: int) -> set[int]:
        # One bucket a number: fetching as many hits takes several times as long, even without their `_id`.
        return {int(bucket["key"]) for bucket in self._histogram(1, start, end, {})}

    def _histogram(self, width: int, first: int, last: int, within: Mapping[str, Any]) -> list[dict[str, Any]]:
        numbers = {"histogram": {"field": self.name, "interval": width, "min_doc_count": 1}, "aggs": within}
        with translated(self.index):
            answer = self.client.options(request_timeout=60).search(
                index=self.index,
                query=self._query(first, last),
                size=0,
                preference=self.preference,
                request_cache=False,
                aggs={"numbers": numbers},
            )
        return list(answer["aggregations"]["numbers"]["buckets"])

    def named(self, numbers: Collection[int]) -> list[DocumentRef]:
        """The documents with these numbers."""
        documents: list[DocumentRef] = []
        ordered = sorted(numbers)
        for start in range(0, len(ordered), _MOST_IN_BUCKET):
            batch = ordered[start : start + _MOST_IN_BUCKET]
            query = {"bool": {"filter": [*self.filters, {"terms": {self.name: batch}}]}}
            with translated(self.index):
                hits = self.client.search(
                    index=self.index,
                    query=query,
                    size=_MOST_IN_BUCKET,
                    source=False,
                    docvalue_fields=[{"field": self.name}],
                    preference=self.preference,
                )["hits"]["hits"]
            documents += [
                DocumentRef(hit["_id"], hit.get("_routing"), int(hit["fields"][self.name][0])) for hit in hits
            ]
        return documents

    def _query(self, start: int, end: int) -> dict[str, Any]:
        return {"bool": {"filter": [*self.filters, {"range": {self.name: {"gte": start, "lte": end}}}]}}
