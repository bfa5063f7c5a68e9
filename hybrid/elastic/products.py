"""Reading and writing product documents: state, whole documents, vectors, dead letters of a bulk."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from elasticsearch import Elasticsearch
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from hybrid.elastic import bodies
from hybrid.elastic.client import error_reason, translated, write_blocked
from hybrid.errors import ClusterError

#: Per-item errors worth another try: the node is busy, or a shard is moving.
_TRANSIENT_STATUS = frozenset({429, 502, 503, 504})
_ATTEMPTS = 6
_MAX_BULK_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ProductState:
    """What the index holds for a product: the layer's meta and the signals whose vector is there."""

    meta: Mapping[str, Any]
    present: frozenset[str]


@dataclass(frozen=True, slots=True)
class StoredProduct:
    """A product as read for enrichment, with the sequence numbers that guard the write back."""

    id: str
    source: dict[str, Any]
    meta: dict[str, Any]
    seq_no: int
    primary_term: int


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


def states(client: Elasticsearch, index: str, ids: Sequence[str], signals: Sequence[str]) -> dict[str, ProductState]:
    """State of those of `ids` that the index holds. Sees what the last refresh saw."""
    with translated(index):
        answer = client.search(index=index, **bodies.state_search(ids, signals))
    return {
        hit["_id"]: ProductState(
            meta=hit.get("_source", {}).get("hybrid", {}).get("meta", {}),
            present=frozenset(hit.get("matched_queries", ())),
        )
        for hit in answer["hits"]["hits"]
    }


def vectors(
    client: Elasticsearch, index: str, ids: Sequence[str], signals: Sequence[str]
) -> dict[str, dict[str, tuple[list[float], str]]]:
    """id -> signal -> (vector, code), for products whose other fields change and whose vectors stay."""
    if not ids:
        return {}
    with translated(index):
        answer = client.search(index=index, **bodies.state_search(ids, signals, carry=True))
    found: dict[str, dict[str, tuple[list[float], str]]] = {}
    for hit in answer["hits"]["hits"]:
        codes = hit.get("_source", {}).get("hybrid", {}).get("codes", {})
        fields = hit.get("fields", {})
        found[hit["_id"]] = {
            name: (fields[f"hybrid.{name}"], codes[name])
            for name in signals
            if f"hybrid.{name}" in fields and name in codes
        }
    return found


def read(client: Elasticsearch, index: str, ids: Sequence[str]) -> dict[str, StoredProduct]:
    """Products as they are this moment (no refresh needed), without terms and vectors."""
    with translated(index):
        answer = client.mget(
            index=index,
            ids=list(ids),
            source_excludes=["hybrid.terms", "hybrid.suggest", "hybrid.codes", "hybrid.text", "hybrid.image"],
        )
    products = {}
    for doc in answer["docs"]:
        if doc.get("found"):
            source = doc["_source"]
            layer = source.pop("hybrid", {})
            products[doc["_id"]] = StoredProduct(
                doc["_id"], source, layer.get("meta", {}), doc["_seq_no"], doc["_primary_term"]
            )
    return products


def iterate_ids(client: Elasticsearch, index: str, query: dict[str, Any], page: int = 5_000) -> Iterator[str]:
    """Ids of all products that match, through a point in time, so that writes meanwhile do not matter."""
    return (hit["_id"] for hit in _iterate(client, index, query, False, page))


def iterate_terms(client: Elasticsearch, index: str) -> Iterator[dict[str, str]]:
    """`hybrid.terms` of every product."""
    for hit in _iterate(client, index, {"match_all": {}}, ["hybrid.terms"], 1_000):
        yield hit["_source"].get("hybrid", {}).get("terms", {})


def sample(client: Elasticsearch, index: str, count: int, seed: int) -> list[tuple[str, dict[str, Any]]]:
    """(id, the shop's own document) of random products, the same for the same seed, index name and products."""
    # By id: the order of writing differs from run to run where several workers wrote.
    random = {"seed": seed, "field": "hybrid.id"}
    query = {"function_score": {"query": {"match_all": {}}, "random_score": random}}
    with translated(index):
        answer = client.search(index=index, query=query, size=min(count, 10_000), source_excludes=["hybrid"])
    return [(hit["_id"], hit["_source"]) for hit in answer["hits"]["hits"]]


def iterate_whole(
    client: Elasticsearch, index: str, signals: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any], dict[str, list[float]]]]:
    """(id, document without its vectors, signal -> vector) of every product."""
    fields = [{"field": f"hybrid.{name}"} for name in signals]
    for hit in _iterate(client, index, {"match_all": {}}, True, 500, fields):
        found = hit.get("fields", {})
        for name in signals:
            hit["_source"].get("hybrid", {}).pop(name, None)
        yield (
            hit["_id"],
            hit["_source"],
            {name: found[f"hybrid.{name}"] for name in signals if f"hybrid.{name}" in found},
        )


def _iterate(
    client: Elasticsearch,
    index: str,
    query: dict[str, Any],
    source: bool | list[str],
    page: int,
    fields: Sequence[Mapping[str, Any]] | None = None,
) -> Iterator[dict[str, Any]]:
    with translated(index):
        pit = client.open_point_in_time(index=index, keep_alive="2m")["id"]
    position: dict[str, Any] = {}
    try:
        while True:
            with translated(index):
                answer = client.search(
                    pit={"id": pit, "keep_alive": "2m"},
                    query=query,
                    size=page,
                    source=source if isinstance(source, bool) else {"includes": source},
                    fields=fields,
                    track_total_hits=False,
                    sort=["_shard_doc"],
                    **position,
                )
            hits = answer["hits"]["hits"]
            yield from hits
            if len(hits) < page:
                return
            position = {"search_after": hits[-1]["sort"]}
    finally:
        with translated(index):
            client.close_point_in_time(id=pit)


def index_documents(client: Elasticsearch, index: str, documents: Iterable[tuple[str, dict[str, Any]]]) -> BulkReport:
    """Write whole documents."""
    return _bulk(client, index, [(doc_id, {"index": {"_id": doc_id}}, body) for doc_id, body in documents])


def update_documents(
    client: Elasticsearch, index: str, updates: Iterable[tuple[StoredProduct, dict[str, Any]]]
) -> BulkReport:
    """Partial updates that fail with status 409 where the document changed since it was read."""
    return _bulk(
        client,
        index,
        [
            (
                product.id,
                {
                    "update": {
                        "_id": product.id,
                        "if_seq_no": product.seq_no,
                        "if_primary_term": product.primary_term,
                    }
                },
                {"doc": partial},
            )
            for product, partial in updates
        ],
    )


_Item = tuple[str, dict[str, Any], dict[str, Any]]


def _bulk(client: Elasticsearch, index: str, items: Sequence[_Item]) -> BulkReport:
    """Send items; items that the cluster was too busy for are sent again with growing pauses.

    Raises:
        WriteBlockedError: the index takes no writes (disk watermark, read-only).
        ClusterError: items were still refused as transient after the last try.
    """
    report = BulkReport()
    for chunk in _chunks(items):
        waiting = chunk
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(min(0.25 * 2**attempt, 8.0))
            waiting, reason = _send(client, index, waiting, report)
            if not waiting:
                break
        else:
            raise ClusterError(f"Elasticsearch refused {len(waiting)} writes {_ATTEMPTS} times: {reason}")
    return report


def _send(client: Elasticsearch, index: str, items: Sequence[_Item], report: BulkReport) -> tuple[list[_Item], str]:
    operations = [part for _, action, body in items for part in (action, body)]
    retrying = Retrying(
        retry=retry_if_exception_type(ClusterError),
        stop=stop_after_attempt(3),
        wait=wait_exponential_jitter(initial=0.5, max=5),
        reraise=True,
    )
    for attempt in retrying:
        with attempt, translated(index):
            # Longer than a search: a bulk of vectors may wait for a merge.
            answer = client.options(request_timeout=60).bulk(index=index, operations=operations)
    again: list[_Item] = []
    reason = ""
    for item, result in zip(items, answer["items"], strict=True):
        outcome = next(iter(result.values()))
        if "error" not in outcome:
            report.ok.append(item[0])
            continue
        kind, message = error_reason(outcome)
        if kind == "cluster_block_exception":
            raise write_blocked(index, message)
        if outcome["status"] in _TRANSIENT_STATUS:
            again.append(item)
            reason = message
        else:
            report.errors.append(ItemError(item[0], _typed_reason(kind), message, outcome["status"]))
    return again, reason


def _typed_reason(kind: str) -> str:
    return {
        "document_parsing_exception": "mapping_conflict",
        "mapper_parsing_exception": "mapping_conflict",
        "illegal_argument_exception": "mapping_conflict",
        "version_conflict_engine_exception": "conflict",
        "document_missing_exception": "deleted",
    }.get(kind, kind)


def _chunks(items: Sequence[_Item]) -> Iterator[list[_Item]]:
    import orjson

    chunk: list[_Item] = []
    size = 0
    for item in items:
        length = len(orjson.dumps(item[2], option=orjson.OPT_SERIALIZE_NUMPY))
        if chunk and size + length > _MAX_BULK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += length
    if chunk:
        yield chunk
