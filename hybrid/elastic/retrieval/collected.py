"""Merges the answers of one search for candidates, and tells which of them are of another index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybrid.elastic.client import error_reason
from hybrid.search.ports import Candidates


@dataclass
class Collected:
    """The answers to the searches for one search's candidates, merged.

    hits: product id -> hit, from the first list that has the product. lists: signal -> product ids. failed: signal ->
    reason.
    """

    hits: dict[str, dict[str, Any]] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, answers: Iterable[tuple[str, dict[str, Any]]]) -> Collected:
        """answers: (signal, answer) of each search; every hit has its `_id`."""
        collected = cls()
        for name, answer in answers:
            if "error" in answer:
                collected.failed[name] = ": ".join(error_reason(answer))
                continue
            for hit in answer["hits"]["hits"]:
                collected.hits.setdefault(hit["_id"], hit)
            collected.lists[name] = [hit["_id"] for hit in answer["hits"]["hits"]]
        return collected


def score(
    candidates: Candidates,
    hits: Mapping[str, dict[str, Any]],
    terms: str | None,
    by_signal: Mapping[str, Mapping[str, float | None]],
    beside: Mapping[str, Mapping[str, float | None]] | None = None,
) -> None:
    """Give every candidate its raw score by every signal, and sort each list.

    hits: product id -> hit; `_score` is that of the words. terms: None where there is no lexical signal.
    by_signal: signal -> product id -> cosine of every hit, None where the product has no vector. beside: signal ->
    product id -> raw score, of the signals that have no list of their own.
    """
    if terms is not None:
        candidates.raw["lexical"] = {id: float(hit["_score"]) for id, hit in hits.items()}
    candidates.raw |= {name: dict(scores) for name, scores in (beside or {}).items()}
    for name, scores in by_signal.items():
        candidates.raw[name] = dict(scores)
        candidates.lists[name] = _best_first([id for id in candidates.lists[name] if scores[id] is not None], scores)
    # A product in no list is no candidate. It came by a vector that is gone now.
    listed = {id for ids in candidates.lists.values() for id in ids}
    if len(listed) < len(hits):
        for name, raw in candidates.raw.items():
            candidates.raw[name] = {id: value for id, value in raw.items() if id in listed}
    if "lexical" in candidates.lists:
        candidates.lists["lexical"] = _best_first(candidates.lists["lexical"], candidates.raw["lexical"])


def _best_first(ids: Sequence[str], scores: Mapping[str, float | None]) -> list[str]:
    """In the order of their scores, ties by id."""
    return sorted(sorted(ids), key=lambda id: scores[id] or 0.0, reverse=True)


def identify(answer: dict[str, Any]) -> bool:
    """Give every hit its `_id` from doc values; False where a hit has no id in them."""
    for hit in answer.get("hits", {}).get("hits", ()):
        if "_id" not in hit:
            ids = hit.get("fields", {}).get("hybrid.id")
            if not ids:
                return False
            hit["_id"] = ids[0]
    return True


def strays(answers: Iterable[Mapping[str, Any]], concrete: str) -> bool:
    """Whether a hit, or a shard that failed, is of another index than `concrete`; "": any index will do."""
    if not concrete:
        return False
    # What failed before it reached a shard names no index.
    return not {name for answer in answers for name in _answering(answer)} <= {concrete, None}


def _answering(answer: Mapping[str, Any]) -> set[str | None]:
    """The indices of the hits and of the shards that failed: an index that refuses a vector has no hit to name it."""
    names = {hit["_index"] for hit in answer.get("hits", {}).get("hits", ())}
    if broken(answer):
        error = answer.get("error")
        failed = error.get("failed_shards", ()) if isinstance(error, Mapping) else ()
        names |= {shard.get("index") for shard in (*failed, *answer.get("_shards", {}).get("failures", ()))}
    return names


def broken(answer: Mapping[str, Any]) -> bool:
    """Whether a search or a part of it failed. It may fail because the alias moved, or its index is gone."""
    return "error" in answer or bool(answer.get("_shards", {}).get("failed"))
