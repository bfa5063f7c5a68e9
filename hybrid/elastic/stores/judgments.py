"""Judgment lists that people keep in the cluster: one document a list, query and product.

A list belongs to an index. A second rating of the same product replaces the first. Two people who rate different
products write different documents, so neither loses a rating. A query is words, a photo, or both. The name of a query
without a photo is its words; see hybrid.evaluation.photos. A photo is stored as long as a judgment names it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from elasticsearch import Elasticsearch

from hybrid.elastic.client import translated
from hybrid.elastic.stores.base import ensure_store, now, write_all
from hybrid.elastic.stores.judged_photos import JudgedPhotos
from hybrid.errors import DocumentMissingError, IndexMissingError, MediaError, UsageError
from hybrid.evaluation.judgments import JudgedQuery, Judgments, checked_list
from hybrid.evaluation.photos import JudgedPhoto, file_name, judged_photo, parts_of, query_name

JUDGMENTS = "hybrid-judgments"
#: Grades that a person gives; files may hold others, see hybrid.evaluation.judgments.
RATINGS = (0, 1, 2, 3)
_CHUNK = 5_000


class JudgmentLists:
    """Judgments by index and by the name of their list. photos: the photos that judgments of any list name."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client
        self.photos = JudgedPhotos(client)

    def rate(
        self, index: str, name: str, query: str, product: str, rating: int, by: str, photo: JudgedPhoto | None = None
    ) -> None:
        """Store one rating in place of an earlier one. query: words; "" where there is only a photo.

        Raises:
            UsageError: no query, no product, a rating that is none of RATINGS, a name that no list may have, more
                photos than are kept.
        """
        if rating not in RATINGS:
            raise UsageError(f"rating: must be one of {', '.join(map(str, RATINGS))}")
        key = photo.key if photo else ""
        id, body = _document(index, checked_list(name), query, key, product, float(rating), by)
        self._prepare([photo] if photo else [])
        with translated(JUDGMENTS):
            self._client.index(index=JUDGMENTS, id=id, document=body, refresh=True)
        if photo:
            self.photos.keep([photo])  # marked after its judgment can be found, see JudgedPhotos.forget

    def require(self, index: str, name: str) -> None:
        """Raises UsageError: an index has no judgment list of that name."""
        known = [entry["list"] for entry in self.lists(index)]
        if name not in known:
            raise UsageError(f"no judgment list {name!r} for index {index!r}; lists: {', '.join(known) or 'none yet'}")

    def _prepare(self, photos: Sequence[JudgedPhoto]) -> None:
        """Make room for judgments, and keep the photos that they name: no judgment is without its photo."""
        ensure_store(self._client, JUDGMENTS, "judgments")
        if photos:
            self.photos.keep(photos)

    def unrate(self, index: str, name: str, query: str, product: str, photo: str = "") -> bool:
        """Delete a rating; False if there was none. photo: the key of the query's photo."""
        id = _id(index, name, query_name(_words(query), photo), product)
        try:
            with translated(JUDGMENTS):
                self._client.delete(index=JUDGMENTS, id=id, refresh=True)
        except (DocumentMissingError, IndexMissingError):
            return False
        if photo:
            self.photos.forget([photo], self._judged_by)
        return True

    def _judged_by(self, photos: Sequence[str]) -> set[str]:
        """Those of `photos` that a judgment of any list names."""
        agg = {"terms": {"field": "photo", "size": len(photos)}}
        buckets = self._buckets({"terms": {"photo": list(photos)}}, agg)
        return {bucket["key"] for bucket in buckets.get("buckets", ())}

    def lists(self, index: str) -> list[dict[str, Any]]:
        """{"list", "queries", "judgments", "at"} of each list of an index, by name; the first thousand."""
        return self._lists({"term": {"index": index}})

    def one(self, index: str, name: str) -> dict[str, Any] | None:
        """The entry of `lists` for one list; None where the list is empty."""
        return next(iter(self._lists(_of(index, name))), None)

    def _lists(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        aggs = {
            "queries": {"cardinality": {"field": "query", "precision_threshold": 40_000}},
            "at": {"max": {"field": "at"}},
        }
        buckets = self._buckets(
            query, {"terms": {"field": "list", "size": 1_000, "order": {"_key": "asc"}}, "aggs": aggs}
        )
        return [
            {
                "list": bucket["key"],
                "queries": bucket["queries"]["value"],
                "judgments": bucket["doc_count"],
                "at": bucket["at"]["value_as_string"],
            }
            for bucket in buckets.get("buckets", ())
        ]

    def queries(
        self, index: str, name: str, size: int = 50, after: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """({"query", "judgments", "relevant"} of each query in the order of names, `after` for the next page).

        "query" has the words of the query. Where the query has a photo, "photo" is the photo's key.
        """
        composite: dict[str, Any] = {"size": size, "sources": [{"query": {"terms": {"field": "query"}}}]}
        if after is not None:
            composite["after"] = {"query": after}
        relevant = {"filter": {"range": {"rating": {"gte": 1}}}}
        aggregation = self._buckets(_of(index, name), {"composite": composite, "aggs": {"relevant": relevant}})
        rows = []
        buckets = aggregation.get("buckets", [])
        for bucket in buckets:
            words, photo = parts_of(bucket["key"]["query"])
            counts = {"judgments": bucket["doc_count"], "relevant": bucket["relevant"]["doc_count"]}
            rows.append({"query": words, **({"photo": photo} if photo else {}), **counts})
        return rows, buckets[-1]["key"]["query"] if len(rows) == size else None

    def ratings(self, index: str, name: str, query: str, photo: str = "") -> dict[str, float]:
        """Product id -> rating of one query. photo: the key of the query's photo."""
        condition = _of(index, name)
        condition["bool"]["filter"].append({"term": {"query": query_name(_words(query), photo)}})
        return {source["product"]: source["rating"] for _, source in self._scan(condition)}

    def judgments(self, index: str, name: str) -> Judgments:
        """A whole list with its photos, as evaluation and training read it.

        Raises:
            UsageError: there is no such list.
        """
        ratings: dict[str, dict[str, float]] = {}
        for _, source in self._scan(_of(index, name)):
            ratings.setdefault(source["query"], {})[source["product"]] = source["rating"]
        if not ratings:
            raise UsageError(f"no judgment list {name!r} for index {index!r}")
        parts = {query: parts_of(query) for query in ratings}
        queries = {query: JudgedQuery(words, file_name(photo)) for query, (words, photo) in parts.items() if photo}
        contents = self.photos.all({photo for _, photo in parts.values() if photo})
        photos = {file_name(key): data for key, data in contents.items()}
        return Judgments(ratings, queries=queries, format="list", photos=photos)

    def take_in(self, index: str, name: str, judgments: Judgments, by: str) -> int:
        """Add the judgments of a file to a list, and return how many they are.

        A judgment replaces an earlier one of the same query and product. All are checked before the first is written.
        Each photo is made small, and stored once.

        Raises:
            UsageError: a judged photo that is not there or cannot be used; a name that no list may have; more photos
                than are kept.
            ClusterError: the cluster did not take all of them; the same file can be taken in again.
        """
        checked_list(name)
        photos = _small(judgments)
        documents = []
        for named, rated in judgments.ratings.items():
            query = judgments.query(named)
            key = photos[query.image].key if query.image else ""
            documents += [_document(index, name, query.text, key, id, rating, by) for id, rating in rated.items()]
        self._prepare(list(photos.values()))
        for start in range(0, len(documents), _CHUNK):
            operations: list[Any] = []
            for key, body in documents[start : start + _CHUNK]:
                operations += [{"index": {"_id": key}}, body]
            self._bulk(operations)
        if photos:
            self.photos.keep(list(photos.values()))  # as in `rate`
        return len(documents)

    def delete(self, index: str, name: str) -> int:
        """Delete a list, and the photos that no other list names. Returns how many judgments the list had."""
        deleted = 0
        photos: set[str] = set()
        while batch := list(self._scan(_of(index, name), _CHUNK)):
            self._bulk([{"delete": {"_id": id}} for id, _ in batch])
            deleted += len(batch)
            photos |= {source["photo"] for _, source in batch if "photo" in source}
        if photos:
            self.photos.forget(photos, self._judged_by)
        return deleted

    def _bulk(self, operations: list[Any]) -> None:
        write_all(self._client, JUDGMENTS, operations, "judgments", 404, refresh=True)

    def _scan(self, query: dict[str, Any], at_most: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """(id, document) in the order of query and product. No two documents of a list share both."""
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


def _words(query: str) -> str:
    return " ".join(query.split())


def _small(judgments: Judgments) -> dict[str, JudgedPhoto]:
    """Name -> photo, of the photos that the queries of a file name."""
    images = {judgments.query(name).image for name in judgments.ratings}
    photos = {}
    for image in sorted(images - {""}):
        try:
            photos[image] = judged_photo(judgments.photo(image))
        except MediaError as error:
            raise MediaError(f"{image[:200]!r}: {error}", error.reason) from error
    return photos


def _document(
    index: str, name: str, query: str, photo: str, product: str, rating: float, by: str
) -> tuple[str, dict[str, Any]]:
    words = _words(query)
    if not (words or photo) or not product:
        raise UsageError("a judgment needs a query of words or a photo, and a product")
    if len(words) > 1_000 or len(product) > 512:
        raise UsageError(f"{words[:40]!r}: a query has at most 1,000 characters, the id of a product 512")
    if parts_of(words)[1]:
        raise UsageError(f"{words[-60:]!r} is what a judged photo is called; judge by the photo itself")
    named = query_name(words, photo)
    body = {"index": index, "list": name, "query": named, "product": product, "rating": rating, "by": by, "at": now()}
    return _id(index, name, named, product), body | ({"photo": photo} if photo else {})


def _id(index: str, name: str, query: str, product: str) -> str:
    # The same judgment has the same id, so that rating again replaces; ids end at 512 bytes, which these may pass.
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{index}\0{name}\0{query}\0{product}").hex
