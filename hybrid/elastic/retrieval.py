"""The search side of the wall: candidates with every present signal's raw score, in one round trip."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from elasticsearch import Elasticsearch

from hybrid.contracts import IndexProfile
from hybrid.elastic import bodies, indices
from hybrid.elastic.client import error_reason, translated
from hybrid.errors import ClusterError

_PROFILE_TTL_S = 5.0


@dataclass
class Retrieved:
    """Candidates of one search.

    lists: signal -> product ids, best first, at most `depth`.
    raw: signal -> product id -> raw score of every candidate (None: no vector), whichever list it came from.
    matched: products that match the words; total: that many plus the candidates that only vectors found.
    failed: part -> reason, for the parts that the cluster could not answer.
    """

    lists: dict[str, list[str]] = field(default_factory=dict)
    raw: dict[str, dict[str, float | None]] = field(default_factory=dict)
    matched: int = 0
    total: int = 0
    facets: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class Retrieval:
    """Reads product indices. Thread-safe; profiles are kept for five seconds."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client
        self._profiles: dict[str, tuple[float, IndexProfile]] = {}
        self._lock = threading.Lock()

    def profile(self, index: str) -> IndexProfile:
        """The index's profile, at most five seconds old."""
        with self._lock:
            kept = self._profiles.get(index)
        if kept and time.monotonic() - kept[0] < _PROFILE_TTL_S:
            return kept[1]
        profile = indices.read_profile(self._client, index)
        with self._lock:
            self._profiles[index] = (time.monotonic(), profile)
        return profile

    def indices(self) -> list[str]:
        return indices.list_indices(self._client)

    def retrieve(
        self,
        profile: IndexProfile,
        terms: str | None,
        vectors: Mapping[str, np.ndarray],
        filters: Mapping[str, Any],
        facets: Sequence[str],
        depth: int,
    ) -> Retrieved:
        """One `_msearch`: the lexical list (terms None: no lexical signal) and one list a vector signal.

        A facet that is filtered on still counts its other values, so that another one can be chosen beside: its
        counts are those of the same search without that filter.

        Raises:
            UsageError: a filter or a facet that the index does not have.
            ClusterError: no part could be answered.
        """
        filtered = [facet for facet in facets if facet in filters]
        plain = [facet for facet in facets if facet not in filters]
        groups = [(plain, self._searches(profile, terms, vectors, filters, plain, depth))]
        for facet in filtered:
            others = {field: wanted for field, wanted in filters.items() if field != facet}
            groups.append(([facet], self._searches(profile, terms, vectors, others, [facet], depth)))
        searches = [search for _, group in groups for search in group]
        answers = self._msearch(profile.index, searches, terms)
        if not all(identify(answer) for answer in answers):
            answers = self._msearch(profile.index, [(name, bodies.with_ids(body)) for name, body in searches], terms)
        retrieved, *counted = [
            self._read(profile, terms, vectors, group_facets, depth, [(name, answers.pop(0)) for name, _ in group])
            for group_facets, group in groups
        ]
        for facet, group in zip(filtered, counted, strict=True):
            retrieved.facets[facet] = group.facets[facet]
        return retrieved

    def _searches(
        self,
        profile: IndexProfile,
        terms: str | None,
        vectors: Mapping[str, np.ndarray],
        filters: Mapping[str, Any],
        facets: Sequence[str],
        depth: int,
    ) -> list[tuple[str, dict[str, Any]]]:
        """(signal, body) of each search."""
        clauses = bodies.filters_body(filters, profile.fields)
        aggs = bodies.facet_aggs(facets, profile.fields)
        codes = list(vectors)
        query = bodies.lexical_query(terms or "", profile.lexical_fields)
        searches = []
        if terms is not None:
            searches.append(("lexical", bodies.lexical_search(query, clauses, codes, depth, aggs)))
        for name, vector in vectors.items():
            as_list = vector.astype(np.float32).tolist()
            shown = _with_format(facets, profile)
            words = query if terms else None
            body = bodies.vector_search(name, as_list, words, clauses, codes, depth, profile.shards, shown)
            searches.append((name, body))
        return searches

    def _read(
        self,
        profile: IndexProfile,
        terms: str | None,
        vectors: Mapping[str, np.ndarray],
        facets: Sequence[str],
        depth: int,
        answers: Sequence[tuple[str, dict[str, Any]]],
    ) -> Retrieved:
        retrieved = Retrieved()
        hits: dict[str, dict[str, Any]] = {}
        for name, answer in answers:
            if "error" in answer:
                retrieved.failed[name] = ": ".join(error_reason(answer))
                continue
            for hit in answer["hits"]["hits"]:
                hits.setdefault(hit["_id"], hit)
            retrieved.lists[name] = [hit["_id"] for hit in answer["hits"]["hits"]]
        if len(retrieved.failed) == len(answers):
            raise ClusterError(f"Elasticsearch could not search {profile.index}: {retrieved.failed}")
        score(retrieved, hits, profile, terms, vectors, depth)
        lexical = answers[0][1] if terms is not None and "lexical" in retrieved.lists else None
        self._count(retrieved, hits, profile, facets, lexical)
        return retrieved

    def _msearch(
        self, index: str, searches: Sequence[tuple[str, dict[str, Any]]], terms: str | None
    ) -> list[dict[str, Any]]:
        # The same copy of every shard for the same words, so that pages of one search agree.
        preference = hashlib.blake2b((terms or "").encode(), digest_size=6).hexdigest()
        operations = [part for _, body in searches for part in ({"index": index, "preference": preference}, body)]
        with translated(index):
            return list(self._client.msearch(searches=operations)["responses"])

    def _count(
        self,
        retrieved: Retrieved,
        hits: Mapping[str, dict[str, Any]],
        profile: IndexProfile,
        facets: Sequence[str],
        lexical: dict[str, Any] | None,
    ) -> None:
        candidates = {id for ranked in retrieved.lists.values() for id in ranked}
        if lexical is None:
            others = candidates
        else:
            retrieved.matched = int(lexical["hits"]["total"]["value"])
            scores = retrieved.raw["lexical"]
            in_list = set(retrieved.lists["lexical"])
            others = {id for id in candidates if id not in in_list and not scores[id]}
        retrieved.total = retrieved.matched + len(others)
        aggregations = lexical.get("aggregations", {}) if lexical else {}
        for facet in facets:
            values = [hits[id].get("fields", {}).get(facet, []) for id in others]
            retrieved.facets[facet] = _merge_facet(aggregations.get(facet), values, profile.fields.types[facet])

    def tail(
        self,
        profile: IndexProfile,
        terms: str,
        filters: Mapping[str, Any],
        exclude: Sequence[str],
        start: int,
        size: int,
    ) -> list[tuple[str, float]]:
        """(id, BM25) of the lexical matches behind the fused list."""
        query = bodies.lexical_query(terms, profile.lexical_fields)
        body = bodies.tail_search(query, bodies.filters_body(filters, profile.fields), exclude, start, size)
        answer = self._msearch(profile.index, [("lexical", body)], terms)[0]
        if "error" in answer:
            raise ClusterError(f"Elasticsearch could not search {profile.index}: {error_reason(answer)[1]}")
        return [(hit["_id"], float(hit["_score"])) for hit in answer["hits"]["hits"]]

    def sources(self, index: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The shop's own documents, without the layer's field."""
        if not ids:
            return {}
        with translated(index):
            answer = self._client.mget(index=index, ids=list(ids), source_excludes=["hybrid"])
        return {doc["_id"]: doc["_source"] for doc in answer["docs"] if doc.get("found")}

    def suggest(self, index: str, prefix: str, size: int) -> list[dict[str, Any]]:
        """Completions of a prefix: {"text", "id"} each."""
        with translated(index):
            answer = self._client.search(index=index, **bodies.suggest_body(prefix, size))
        options = answer["suggest"]["titles"][0]["options"]
        return [{"text": option["text"], "id": option["_id"]} for option in options]


def score(
    retrieved: Retrieved,
    hits: Mapping[str, dict[str, Any]],
    profile: IndexProfile,
    terms: str | None,
    vectors: Mapping[str, np.ndarray],
    depth: int,
) -> None:
    """Give every candidate its raw score by every signal, and put each list in its order, at most `depth` long.

    hits: product id -> hit with `_score` (the words') and the codes of its vectors. terms None: no lexical signal.
    """
    if terms is not None:
        retrieved.raw["lexical"] = {id: float(hit["_score"]) for id, hit in hits.items()}
    for name, vector in vectors.items():
        if name in retrieved.failed:
            continue
        path = f"hybrid.codes.{name}"
        with_code = [id for id, hit in hits.items() if path in hit.get("fields", {})]
        scores: dict[str, float | None] = dict.fromkeys(hits)
        if with_code:
            matrix = bodies.decode_codes([hits[id]["fields"][path][0] for id in with_code], profile.signals[name].dims)
            scores.update(zip(with_code, (matrix @ vector.astype(np.float32)).tolist(), strict=True))
        retrieved.raw[name] = scores
        ranked = sorted(
            (id for id in retrieved.lists[name] if scores[id] is not None),
            key=lambda id: (-(scores[id] or 0.0), id),
        )
        retrieved.lists[name] = ranked[:depth]
    # A sharded kNN brings more than `depth`; what no list kept is no candidate.
    kept = {id for ranked in retrieved.lists.values() for id in ranked}
    for name, raw in retrieved.raw.items():
        retrieved.raw[name] = {id: value for id, value in raw.items() if id in kept}
    if "lexical" in retrieved.lists:
        raw = retrieved.raw["lexical"]
        retrieved.lists["lexical"].sort(key=lambda id: (-(raw[id] or 0.0), id))


def identify(answer: dict[str, Any]) -> bool:
    """Give every hit its `_id` from doc values; False where one has none there."""
    for hit in answer.get("hits", {}).get("hits", ()):
        if "_id" not in hit:
            ids = hit.get("fields", {}).get("hybrid.id")
            if not ids:
                return False
            hit["_id"] = ids[0]
    return True


def _with_format(facets: Sequence[str], profile: IndexProfile) -> list[Any]:
    return [
        {"field": facet, "format": "epoch_millis"} if profile.fields.types.get(facet) == "date" else facet
        for facet in facets
    ]


def _merge_facet(aggregation: dict[str, Any] | None, others: list[list[Any]], kind: str) -> list[dict[str, Any]]:
    if kind in ("long", "double", "date"):
        numbers = [float(value) for values in others for value in values]
        if aggregation and aggregation["count"]:
            numbers += [aggregation["min"], aggregation["max"]]
        if not numbers:
            return []
        count = (aggregation["count"] if aggregation else 0) + sum(len(values) for values in others)
        return [{"min": min(numbers), "max": max(numbers), "count": count}]
    counts: dict[Any, int] = {}
    for bucket in (aggregation or {}).get("buckets", []):
        value = bool(bucket["key"]) if kind == "boolean" else bucket["key"]
        counts[value] = bucket["doc_count"]
    for values in others:
        for value in values:
            counts[value] = counts.get(value, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    return [{"value": value, "count": count} for value, count in ordered]
