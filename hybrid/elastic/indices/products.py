"""Reading and writing product documents: state, whole documents, vectors, dead letters of a bulk."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from elastic_transport import ObjectApiResponse
from elasticsearch import Elasticsearch
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from hybrid.catalogue.layer import Layer
from hybrid.elastic.client import BUSY_STATUSES, error_reason, translated, while_busy, write_blocked
from hybrid.elastic.indices import mappings
from hybrid.errors import ClusterBusyError, ClusterTimeoutError, ClusterUnreachableError, IndexMissingError
from hybrid.signals import SIGNALS
from hybrid.vectors import Code

#: Seconds between two tries: at first, and at most.
_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 8.0
_MAX_BULK_BYTES = 16 * 1024 * 1024
#: The suffix of the alias of an index that is being built. Writes to it demand an alias. Without that, a late write
#: would make Elasticsearch create the index again after the run was cancelled.
BUILDING = ".building"


def is_building(index: str) -> bool:
    """Whether a name is that of an index that is being built."""
    return index.endswith(BUILDING)


@dataclass(frozen=True, slots=True)
class ProductState:
    """The state of a product in the index: its layer, and the signals whose vector the index really has."""

    layer: Layer
    present: frozenset[str]


@dataclass(frozen=True, slots=True)
class StoredProduct:
    """A product as read for enrichment, with the sequence numbers that guard the write back.

    layer: the product's layer without words, codes and vectors.
    index: the concrete index that it was read from, for an alias may move. present: signals whose vector the index
    really has; None where no search was made, which alone can tell. foreign: whether its field `hybrid` is not the
    layer's.
    """

    id: str
    index: str
    source: dict[str, Any]
    layer: Layer
    seq_no: int
    primary_term: int
    routing: str | None = None
    present: frozenset[str] | None = None
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class ItemError:
    """One item of a bulk that the cluster refused for good. reason is typed, message is the cluster's."""

    id: str
    reason: str
    message: str
    status: int


@dataclass
class BulkReport:
    ok: list[str] = field(default_factory=list)
    errors: list[ItemError] = field(default_factory=list)


class Products:
    """Product documents of any index, read and written."""

    def __init__(self, client: Elasticsearch, patience_s: float = 300.0) -> None:
        """patience_s: how long a request is sent again while the cluster is too busy for all of it."""
        self._client = client
        self._patience_s = patience_s

    def within(self, patience_s: float) -> Products:
        """The same for a caller who waits no longer than that."""
        return Products(self._client, min(patience_s, self._patience_s))

    def ask(self, index: str, request: Callable[[], ObjectApiResponse[Any]]) -> ObjectApiResponse[Any]:
        """The answer to a request that reads. It is sent again, with growing pauses, while the cluster is too busy.

        Raises:
            ClusterBusyError: it was too busy for `patience_s`.
            IndexMissingError, ClusterError
        """

        def once() -> ObjectApiResponse[Any]:
            with translated(index):
                return request()

        try:
            return while_busy(self._patience_s)(once)
        except ClusterBusyError as error:
            if not self._patience_s:
                raise
            raise ClusterBusyError(
                f"{error} (it was asked for {self._patience_s:g} s; HYBRID_ES_PATIENCE_S sets how long)"
            ) from error

    def states(self, index: str, ids: Sequence[str], signals: Sequence[str]) -> dict[str, ProductState]:
        """id -> state of those of `ids` that the index has, as of the last refresh."""
        answer = self.ask(index, lambda: self._client.search(index=index, **mappings.state_search(ids, signals)))
        return {
            hit["_id"]: ProductState(
                layer=Layer.from_json(hit.get("_source", {}).get("hybrid")),
                present=frozenset(hit.get("matched_queries", ())),
            )
            for hit in answer["hits"]["hits"]
        }

    def vectors(
        self, index: str, ids: Sequence[str], signals: Sequence[str]
    ) -> dict[str, dict[str, tuple[list[float], Code]]]:
        """id -> signal -> (vector, code), for products whose other fields change and whose vectors stay."""
        if not ids:
            return {}
        search = mappings.state_search(ids, signals, carry=True)
        answer = self.ask(index, lambda: self._client.search(index=index, **search))
        vectors_by_id: dict[str, dict[str, tuple[list[float], Code]]] = {}
        for hit in answer["hits"]["hits"]:
            codes = hit.get("_source", {}).get("hybrid", {}).get("codes", {})
            fields = hit.get("fields", {})
            vectors_by_id[hit["_id"]] = {
                name: (fields[f"hybrid.{name}"], codes[name])
                for name in signals
                if f"hybrid.{name}" in fields and name in codes
            }
        return vectors_by_id

    def read(
        self, index: str, ids: Sequence[str], routing: Mapping[str, str] | None = None
    ) -> dict[str, StoredProduct]:
        """Products as they are now (no refresh needed), without terms and vectors.

        routing: id -> routing. A product that the shop routed and that is not in `routing` is found as soon as a search
        sees it.
        """
        return {hit["_id"]: _stored(hit) for hit in self._get(index, ids, routing, source_excludes=unread())}

    def codes(self, index: str, ids: Sequence[str], routing: Mapping[str, str] | None = None) -> dict[str, StoredCodes]:
        """id -> codes of products as they are now; NO_CODES for a product that is not there."""
        docs = self._get(index, ids, routing, source_includes=["hybrid.codes"])
        there = {hit["_id"]: StoredCodes(hit["_seq_no"], _codes_of(hit["_source"].get("hybrid"))) for hit in docs}
        return {id: there.get(id, NO_CODES) for id in ids}

    def _get(
        self, index: str, ids: Sequence[str], routing: Mapping[str, str] | None, **options: Any
    ) -> list[dict[str, Any]]:
        if not ids:
            return []
        keys = [{"_id": id, "routing": routing[id]} if routing and id in routing else {"_id": id} for id in ids]
        docs = self.ask(index, lambda: self._client.mget(index=index, docs=keys, **options))["docs"]
        products = [doc for doc in docs if doc.get("found")]
        lost = [doc["_id"] for doc in docs if not doc.get("found")]
        if lost:
            query = {"bool": {"filter": [{"ids": {"values": lost}}, {"exists": {"field": "_routing"}}]}}
            find = functools.partial(self._client.search, index=index, query=query, size=len(lost), source=False)
            if hits := self.ask(index, find)["hits"]["hits"]:
                routed = [{"_id": hit["_id"], "routing": hit["_routing"]} for hit in hits]
                there = self.ask(index, lambda: self._client.mget(index=index, docs=routed, **options))["docs"]
                products += [doc for doc in there if doc.get("found")]
        return products

    def iterate(
        self,
        index: str,
        query: dict[str, Any],
        signals: Sequence[str],
        page: int = 500,
        preference: str | None = None,
    ) -> Iterator[list[StoredProduct]]:
        """Products that match, in batches. Each says which vectors it has, and has the numbers that guard a write."""
        search = {
            "query": {"bool": {"filter": [query], "should": mappings.presence(signals)}},
            "source": {"excludes": unread()},
            "seq_no_primary_term": True,
        }
        for hits in self.pages(index, search, page, preference):
            yield [_stored(hit, frozenset(hit.get("matched_queries", ()))) for hit in hits]

    def iterate_ids(self, index: str, query: dict[str, Any], page: int = 5_000) -> Iterator[str]:
        """Ids of all products that match, of one point in time: later writes change nothing in them."""
        return (hit["_id"] for hit in self._iterate(index, query, False, page))

    def iterate_terms(self, index: str) -> Iterator[dict[str, str]]:
        """`hybrid.terms` of every product."""
        for hit in self._iterate(index, {"match_all": {}}, ["hybrid.terms"], 1_000):
            terms = hit["_source"].get("hybrid", {}).get("terms", {})
            yield {name: words for name, words in terms.items() if words}

    def sample(self, index: str, count: int, seed: int) -> list[tuple[str, dict[str, Any]]]:
        """(id, the shop's own document) of random products, the same for the same seed, index name and products."""
        # Seeded by id: the order of writing differs from run to run where several workers wrote.
        random = {"seed": seed, "field": "hybrid.id"}
        query = {"function_score": {"query": {"match_all": {}}, "random_score": random}}
        with translated(index):
            answer = self._client.search(index=index, query=query, size=min(count, 10_000), source_excludes=["hybrid"])
        return [(hit["_id"], hit["_source"]) for hit in answer["hits"]["hits"]]

    def iterate_whole(
        self, index: str, signals: Sequence[str]
    ) -> Iterator[tuple[str, dict[str, Any], dict[str, list[float]]]]:
        """(id, document without its vectors, signal -> vector) of every product."""
        fields = [{"field": f"hybrid.{name}"} for name in signals]
        for hit in self._iterate(index, {"match_all": {}}, True, 500, fields):
            stored_vectors = hit.get("fields", {})
            for name in signals:
                hit["_source"].get("hybrid", {}).pop(name, None)
            yield (
                hit["_id"],
                hit["_source"],
                {name: stored_vectors[f"hybrid.{name}"] for name in signals if f"hybrid.{name}" in stored_vectors},
            )

    def _iterate(
        self,
        index: str,
        query: dict[str, Any],
        source: bool | list[str],
        page: int,
        fields: Sequence[Mapping[str, Any]] | None = None,
    ) -> Iterator[dict[str, Any]]:
        included = source if isinstance(source, bool) else {"includes": source}
        body = {"query": query, "source": included, "fields": fields}
        for hits in self.pages(index, body, page):
            yield from hits

    def pages(
        self,
        index: str,
        search: dict[str, Any],
        page: int,
        preference: str | None = None,
        sort: Sequence[str] = ("_shard_doc",),
    ) -> Iterator[list[dict[str, Any]]]:
        """Hits of a search through a point in time, in batches, in the order of `sort`."""
        begin = functools.partial(self._client.open_point_in_time, index=index, keep_alive="5m", preference=preference)
        pit = self.ask(index, begin)["id"]
        position: dict[str, Any] = {}
        try:
            while True:
                page_of = functools.partial(
                    self._client.options(request_timeout=60).search,
                    pit={"id": pit, "keep_alive": "5m"},
                    size=page,
                    track_total_hits=False,
                    sort=list(sort),
                    **search,
                    **position,
                )
                answer = self.ask(index, page_of)
                hits = answer["hits"]["hits"]
                if hits:
                    yield hits
                if len(hits) < page:
                    return
                position = {"search_after": hits[-1]["sort"]}
        finally:
            with translated(index):
                self._client.close_point_in_time(id=pit)

    def index_documents(self, index: str, documents: Iterable[tuple[str, dict[str, Any]]]) -> BulkReport:
        """Write whole documents."""
        return self.bulk(index, [(doc_id, {"index": {"_id": doc_id}}, body) for doc_id, body in documents])

    def update_documents(self, updates: Iterable[tuple[StoredProduct, dict[str, Any]]], name: str) -> BulkReport:
        """Partial updates that fail with status 409 where the document changed since it was read.

        An update goes to the index that its document was read from. Two indices that were filled alike have the same
        sequence numbers, so after an alias moved, the numbers alone would let the write into the other index.
        name: the caller's name of the index. The alias of an index that is being built never moves, and the update
        fails where that alias is gone.

        Raises as `bulk` does.
        """
        items: dict[str, list[Item]] = {}
        for product, doc in updates:
            item = (product.id, {"update": {"_id": product.id, **_guard(product)}}, {"doc": doc})
            items.setdefault(product.index, []).append(item)
        report = BulkReport()
        for index, chosen in items.items():
            if is_building(name):
                self.bulk(name, chosen, report, require_alias=True)
            else:
                self.bulk(index, chosen, report)
        return report

    def replace_documents(
        self, index: str, documents: Iterable[tuple[str, StoredProduct | None, str | None, dict[str, Any]]]
    ) -> BulkReport:
        """Write whole documents (id, product as read or None, routing, body); status 409 where one changed since."""
        items: list[Item] = []
        for id, before, routing, body in documents:
            guard = _guard(before) if before is not None else {"routing": routing} if routing else {}
            items.append((id, {"create" if before is None else "index": {"_id": id, **guard}}, body))
        return self.bulk(index, items)

    def delete_documents(self, index: str, routing: Mapping[str, str | None]) -> BulkReport:
        """Delete documents. routing: id -> routing. A document that is not there is no error."""
        return self.bulk(
            index,
            [
                (id, {"delete": {"_id": id, **({"routing": where} if where else {})}}, None)
                for id, where in routing.items()
            ],
        )

    def bulk(self, index: str, items: Sequence[Item], into: BulkReport | None = None, **options: Any) -> BulkReport:
        """Send items. Items that the cluster is too busy for are sent again, with growing pauses.

        into: the report to add to; None: a new one. options: of the request, e.g. require_alias=True.

        Raises:
            WriteBlockedError: the index takes no writes (disk watermark, read-only).
            IndexMissingError: `index` must be an alias, and is none any more.
            ClusterBusyError: the cluster accepted none of the items for `patience_s`.
            ClusterError: it does not answer, or answers with another error.
        """
        report = BulkReport() if into is None else into
        for chunk in _chunks(items):
            waiting, pause_s, until = chunk, _PAUSE_S, time.monotonic() + self._patience_s
            while True:
                before = len(waiting)
                try:
                    waiting, reason = self._send(index, waiting, report, options)
                except ClusterBusyError as error:
                    reason = str(error)
                if not waiting:
                    break
                if len(waiting) < before:
                    pause_s, until = _PAUSE_S, time.monotonic() + self._patience_s
                if time.monotonic() + pause_s > until:
                    raise ClusterBusyError(
                        f"Elasticsearch has accepted none of {len(waiting):,} writes to {index} for "
                        f"{self._patience_s:g} s ({reason}); run the same command again when it is less busy: what "
                        "was written stays (HYBRID_ES_PATIENCE_S sets how long to go on)"
                    )
                time.sleep(pause_s * random.uniform(0.8, 1.2))  # several processes come back at different moments
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return report

    def _send(
        self, index: str, items: Sequence[_Lines], report: BulkReport, options: Mapping[str, Any]
    ) -> tuple[list[_Lines], str]:
        operations: list[Any] = [line for _, lines in items for line in lines]
        retrying = Retrying(
            retry=retry_if_exception_type((ClusterUnreachableError, ClusterTimeoutError)),
            stop=stop_after_attempt(3),
            wait=wait_exponential_jitter(initial=0.5, max=5),
            reraise=True,
        )
        for attempt in retrying:
            with attempt, translated(index):
                # Longer than a search: a bulk of vectors may wait for a merge.
                answer = self._client.options(request_timeout=60).bulk(index=index, operations=operations, **options)
        again: list[_Lines] = []
        reason = ""
        for item, result in zip(items, answer["items"], strict=True):
            outcome = next(iter(result.values()))
            if "error" not in outcome:
                report.ok.append(item[0])
                continue
            kind, message = error_reason(outcome)
            if kind == "cluster_block_exception":
                raise write_blocked(index, message, outcome["status"])
            if kind == "index_not_found_exception":
                raise IndexMissingError(f"there is no index {index!r} any more")
            if outcome["status"] in BUSY_STATUSES:
                again.append(item)
                reason = message
            else:
                report.errors.append(ItemError(item[0], _typed_reason(kind), message, outcome["status"]))
        return again, reason


def unread() -> list[str]:
    """The parts of the layer's own field that enrichment does not read."""
    return [f"hybrid.{name}" for name in ("terms", "typed", "codes", *SIGNALS)]


class StoredCodes(NamedTuple):
    """The codes of a product's vectors, by signal, and the sequence number of the document that has them."""

    seq_no: int
    by_signal: dict[str, Code]


#: The codes of a product that is not there: no document has that sequence number.
NO_CODES = StoredCodes(-1, {})


def _codes_of(layer: Any) -> dict[str, Code]:
    codes = layer.get("codes") if isinstance(layer, dict) else None
    return codes if isinstance(codes, dict) else {}


def _stored(hit: dict[str, Any], present: frozenset[str] | None = None) -> StoredProduct:
    source = hit["_source"]
    field = source.pop("hybrid", None)
    own = field is None or (isinstance(field, dict) and (not field or "meta" in field))
    layer = Layer.from_json(field)
    if layer.noted and layer.id != hit["_id"]:
        # The document is a copy of another one, so its words are to be written again.
        layer = replace(layer, source=None)
    return StoredProduct(
        hit["_id"], hit["_index"], source, layer, hit["_seq_no"], hit["_primary_term"], hit.get("_routing"), present,
        not own,
    )  # fmt: skip


def _guard(product: StoredProduct) -> dict[str, Any]:
    guard: dict[str, Any] = {"if_seq_no": product.seq_no, "if_primary_term": product.primary_term}
    return guard if product.routing is None else {**guard, "routing": product.routing}


Item = tuple[str, dict[str, Any], dict[str, Any] | None]
#: An item's id, and its lines as they are sent.
_Lines = tuple[str, list[bytes]]


def _typed_reason(kind: str) -> str:
    return {
        "document_parsing_exception": "mapping_conflict",
        "mapper_parsing_exception": "mapping_conflict",
        "illegal_argument_exception": "mapping_conflict",
        "version_conflict_engine_exception": "conflict",
        "document_missing_exception": "deleted",
    }.get(kind, kind)


def _chunks(items: Sequence[Item]) -> Iterator[list[_Lines]]:
    import orjson

    chunk: list[_Lines] = []
    size = 0
    for id, action, body in items:
        parts = (action,) if body is None else (action, body)
        lines = [orjson.dumps(part, option=orjson.OPT_SERIALIZE_NUMPY) for part in parts]
        length = sum(map(len, lines))
        if chunk and size + length > _MAX_BULK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append((id, lines))
        size += length
    if chunk:
        yield chunk
