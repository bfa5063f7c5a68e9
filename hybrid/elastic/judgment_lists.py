"""Judgment lists that people keep in the cluster: one document a list, query and product.

A list belongs to an index. Who rates the same product again replaces what was said before; two people who rate
different products write different documents, so neither loses anything.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from elasticsearch import Elasticsearch, NotFoundError

from hybrid.elastic.client import translated
from hybrid.elastic.stores import ensure_store, now
from hybrid.errors import ClusterError, IndexMissingError, UsageError
from hybrid.judgments import Judgments, checked_list

JUDGMENTS = "hybrid-judgments"
#: Grades that a person gives; files may hold others, see hybrid.judgments.
RATINGS = (0, 1, 2, 3)
_CHUNK = 5_000


class JudgmentLists:
    """Judgments by index and by the name of their list."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def rate(self, index: str, name: str, query: str, product: str, rating: int, by: str) -> None:
        """Keep one rating, in the place of an earlier one.

        Raises:
            UsageError: no query, no product, a rating that is none of RATINGS, a name that no list may have.
        """
        if rating not in RATINGS:
            raise UsageError(f"rating: must be one of {', '.join(map(str, RATINGS))}")
        key, body = _document(index, checked_list(name), query, product, float(rating), by)
        ensure_store(self._client, JUDGMENTS, "judgments")
        with translated(JUDGMENTS):
            self._client.index(index=JUDGMENTS, id=key, document=body, refresh=True)

    def unrate(self, index: str, name: str, query: str, product: str) -> bool:
        """Take a rating back; False if there was none."""
        try:
            with translated(JUDGMENTS):
                self._client.delete(index=JUDGMENTS, id=_id(index, name, _query(query), product), refresh=True)
        except (ClusterError, IndexMissingError) as error:
            if isinstance(error.__cause__, NotFoundError):
                return False
            raise
        return True

    def lists(self, index: str) -> list[dict[str, Any]]:
        """{"list", "queries", "judgments", "at"} of each list of an index, by name; the first thousand."""
        return self._lists({"term": {"index": index}})

    def one(self, index: str, name: str) -> dict[str, Any] | None:
        """The same of one list; None where nothing is in it."""
        return next(iter(self._lists(_of(index, name))), None)

    def _lists(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        aggs = {
            "queries": {"cardinality": {"field": "query", "precision_threshold": 40_000}},
            "at": {"max": {"field": "at"}},
        }
        found = self._buckets(
            query, {"terms": {"field": "list", "size": 1_000, "order": {"_key": "asc"}}, "aggs": aggs}
        )
        return [
            {
                "list": bucket["key"],
                "queries": bucket["queries"]["value"],
                "judgments": bucket["doc_count"],
                "at": bucket["at"]["value_as_string"],
            }
            for bucket in found.get("buckets", ())
        ]

    def queries(
        self, index: str, name: str, size: int = 50, after: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """({"query", "judgments", "relevant"} of each query in order of its words, where the next page begins)."""
        composite: dict[str, Any] = {"size": size, "sources": [{"query": {"terms": {"field": "query"}}}]}
        if after is not None:
            composite["after"] = {"query": after}
        relevant = {"filter": {"range": {"rating": {"gte": 1}}}}
        found = self._buckets(_of(index, name), {"composite": composite, "aggs": {"relevant": relevant}})
        rows = [
            {
                "query": bucket["key"]["query"],
                "judgments": bucket["doc_count"],
                "relevant": bucket["relevant"]["doc_count"],
            }
            for bucket in found.get("buckets", ())
        ]
        return rows, rows[-1]["query"] if len(rows) == size else None

    def ratings(self, index: str, name: str, query: str) -> dict[str, float]:
        """Product id -> rating of one query."""
        wanted = _of(index, name)
        wanted["bool"]["filter"].append({"term": {"query": _query(query)}})
        return {source["product"]: source["rating"] for _, source in self._scan(wanted)}

    def judgments(self, index: str, name: str) -> Judgments:
        """A whole list, as evaluation and training read it.

        Raises:
            UsageError: there is no such list.
        """
        ratings: dict[str, dict[str, float]] = {}
        for _, source in self._scan(_of(index, name)):
            ratings.setdefault(source["query"], {})[source["product"]] = source["rating"]
        if not ratings:
            raise UsageError(f"no judgment list {name!r} for index {index!r}")
        return Judgments(ratings, format="list")

    def take_in(self, index: str, name: str, judgments: Judgments, by: str) -> int:
        """Add the judgments of a file to a list, in the place of earlier ones of the same query and product; how many.

        All of them are checked before the first is written.

        Raises:
            UsageError: judged photos, for lists hold words; a name that no list may have.
            ClusterError: the cluster did not take all of them; the same file can be taken in again.
        """
        checked_list(name)
        photo = next((name for name in judgments.ratings if judgments.query(name).image), None)
        if photo is not None:
            raise UsageError(f"{photo!r} is judged by a photo; lists in the cluster hold queries of words alone")
        documents = [
            _document(index, name, query, product, rating, by)
            for query, rated in judgments.ratings.items()
            for product, rating in rated.items()
        ]
        ensure_store(self._client, JUDGMENTS, "judgments")
        for start in range(0, len(documents), _CHUNK):
            operations: list[Any] = []
            for key, body in documents[start : start + _CHUNK]:
                operations += [{"index": {"_id": key}}, body]
            self._bulk(operations)
        return len(documents)

    def delete(self, index: str, name: str) -> int:
        """Forget a list; how many judgments it had."""
        deleted = 0
        while keys := [key for key, _ in self._scan(_of(index, name), _CHUNK)]:
            self._bulk([{"delete": {"_id": key}} for key in keys])
            deleted += len(keys)
        return deleted

    def _bulk(self, operations: list[Any]) -> None:
        with translated(JUDGMENTS):
            answer = self._client.bulk(index=JUDGMENTS, operations=operations, refresh=True)
        failed = [part for item in answer["items"] for part in item.values() if part["status"] not in (200, 201, 404)]
        if failed:
            reason = failed[0].get("error", {}).get("reason", "no reason given")
            raise ClusterError(f"{len(failed)} judgments were not written ({reason}); do the same again")

    def _scan(self, query: dict[str, Any], at_most: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """(id, document) in the order of query and product, which no two documents share."""
        after: dict[str, Any] = {}
        taken = 0
        while True:
            with translated(JUDGMENTS):
                hits = self._client.search(
                    index=JUDGMENTS,
                    query=query,
                    sort=[{"query": "asc"}, {"product": "asc"}],
                    size=_CHUNK,
                    ignore_unavailable=True,
                    **after,
                )["hits"]["hits"]
            for hit in hits:
                yield hit["_id"], hit["_source"]
            taken += len(hits)
            if len(hits) < _CHUNK or (at_most is not None and taken >= at_most):
                return
            after = {"search_after": hits[-1]["sort"]}

    def _buckets(self, query: dict[str, Any], agg: dict[str, Any]) -> dict[str, Any]:
        with translated(JUDGMENTS):
            answer = self._client.search(
                index=JUDGMENTS, size=0, query=query, aggs={"found": agg}, ignore_unavailable=True
            )
        return dict(answer.get("aggregations", {}).get("found", {}))


def _of(index: str, name: str) -> dict[str, Any]:
    return {"bool": {"filter": [{"term": {"index": index}}, {"term": {"list": name}}]}}


def _query(query: str) -> str:
    return " ".join(query.split())


def _document(index: str, name: str, query: str, product: str, rating: float, by: str) -> tuple[str, dict[str, Any]]:
    words = _query(query)
    if not words or not product:
        raise UsageError("a judgment needs a query of words and a product")
    if len(words) > 1_000 or len(product) > 512:
        raise UsageError(f"{words[:40]!r}: a query has at most 1,000 characters, the id of a product 512")
    body = {
        "index": index, "list": name, "query": words, "product": product, "rating": rating, "by": by, "at": now(),
    }  # fmt: skip
    return _id(index, name, words, product), body


def _id(index: str, name: str, query: str, product: str) -> str:
    # The same judgment has the same id, so that rating again replaces; ids end at 512 bytes, which these may pass.
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{index}\0{name}\0{query}\0{product}").hex
