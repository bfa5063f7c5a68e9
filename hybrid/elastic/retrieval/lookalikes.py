"""Finds products without a vector, and imputes their scores by products with like words (hybrid.search.imputation).

This takes two more round trips, or one where only candidates lack a vector. It takes none where no product lacks a
vector of a signal that is searched.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybrid.contracts import IndexProfile
from hybrid.elastic.client import error_reason
from hybrid.elastic.retrieval import bodies
from hybrid.elastic.retrieval import evidence as named
from hybrid.errors import ClusterError
from hybrid.search import imputation
from hybrid.search.evidence import Evidence

#: The share of the catalogue without a vector from which a search looks for such products. Candidates without a vector
#: always get imputed scores.
_FEW = 0.005
_TTL_S = 10.0

#: Takes bodies and gives their answers, by one `_msearch` with the scores of named queries.
Ask = Callable[[Sequence[dict[str, Any]]], list[dict[str, Any]]]
Scores = Mapping[str, Mapping[str, float | None]]


@dataclass
class Lookalikes:
    """hits: id -> hit of products that were no candidates; `_score` is the score of the shopper's words.

    words: id -> analysed words, of the donors and of products without a vector.
    donors: signal -> ids of the products from whose scores the imputed ones are computed.
    """

    hits: dict[str, dict[str, Any]] = field(default_factory=dict)
    words: dict[str, frozenset[str]] = field(default_factory=dict)
    donors: dict[str, list[str]] = field(default_factory=dict)


class Coverage:
    """A cache of the share of products that lack a vector, by signal, at most ten seconds old. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shares: dict[tuple[str, str], tuple[float, dict[str, float]]] = {}
        self._lock = threading.Lock()

    def lacking(self, profile: IndexProfile, ask: Ask) -> dict[str, float]:
        """Signal -> the share of products without a vector."""
        key = profile.index, profile.concrete
        with self._lock:
            cached = self._shares.get(key)
        if cached and self._clock() - cached[0] < _TTL_S:
            return cached[1]
        # One hit, which says which index was counted.
        everything = {"query": {"match_all": {}}, "size": 1, "_source": False, "track_total_hits": True}
        answers = [_checked(answer) for answer in ask([everything, *map(bodies.lacking_search, profile.signals)])]
        total, *without = (int(answer["hits"]["total"]["value"]) for answer in answers)
        shares = {name: count / max(1, total) for name, count in zip(profile.signals, without, strict=True)}
        with self._lock:
            self._shares[key] = self._clock(), shares
        return shares

    def forget(self) -> None:
        """Drop the cached shares, so that they are counted again."""
        with self._lock:
            self._shares.clear()


def find(
    profile: IndexProfile,
    raw: Scores,
    signals: Sequence[str],
    words: Mapping[str, Any] | None,
    clauses: Sequence[dict[str, Any]],
    facets: Sequence[str],
    depth: int,
    evidence: Evidence,
    coverage: Coverage,
    ask: Ask,
) -> Lookalikes:
    """Find products without a vector of the signals, and the donors of their imputed scores.

    raw: the candidates' scores. words: the lexical query, or None where words take no part. evidence: of the words,
    which is read of the products that are found.

    Raises:
        ClusterError: the cluster could not answer.
    """
    missing = _missing(raw, signals)
    shares = coverage.lacking(profile, ask)
    with_gaps = [name for name in signals if missing[name] or shares.get(name, 0.0) > _FEW]
    lookalikes = Lookalikes(donors={name: donors for name in with_gaps if (donors := imputation.donors(raw[name]))})
    if not lookalikes.donors:
        return lookalikes
    donor_ids = sorted({id for donors in lookalikes.donors.values() for id in donors})
    for hit in _checked(ask([bodies.words_search(donor_ids)])[0])["hits"]["hits"]:
        lookalikes.words[hit["_id"]] = naming_words(hit)
    searches = [
        bodies.lookalike_search(
            name, missing[name], imputation.telling_words(donors, lookalikes.words), words, clauses, signals,
            depth if shares.get(name, 0.0) > _FEW else 0, facets,
        )
        for name, donors in lookalikes.donors.items()
    ]  # fmt: skip
    for answer in ask([named.add(body, evidence, profile.shards) for body in searches]):
        for hit in _checked(answer)["hits"]["hits"]:
            lookalikes.words.setdefault(hit["_id"], naming_words(hit))
            if not any(hit["_id"] in scores for scores in raw.values()):
                hit["_score"] = (hit.get("matched_queries") or {}).get("lexical", 0.0)
                lookalikes.hits.setdefault(hit["_id"], hit)
    return lookalikes


@dataclass(frozen=True)
class Gaps:
    """Candidates without a vector by signal (missing), and the donors of their imputed scores."""

    raw: Scores
    donors: Mapping[str, list[str]]
    missing: Mapping[str, list[str]]

    @classmethod
    def of(cls, raw: Scores, signals: Iterable[str]) -> Gaps:
        missing = _missing(raw, [name for name in signals if name in raw])
        donors = {
            name: of_signal for name, ids in missing.items() if ids and (of_signal := imputation.donors(raw[name]))
        }
        return cls(raw, donors, missing)

    def search(self) -> dict[str, Any] | None:
        """The body of a search for the words of all of them; None where no score is missing."""
        ids = sorted({id for name, donors in self.donors.items() for id in [*donors, *self.missing[name]]})
        return bodies.words_search(ids) if ids else None

    def filled(self, answer: dict[str, Any]) -> dict[str, dict[str, float]]:
        """Signal -> product id -> the imputed score. answer: to the body of `search`.

        Raises:
            ClusterError: the cluster could not answer.
        """
        words = {hit["_id"]: naming_words(hit) for hit in _checked(answer)["hits"]["hits"]}
        return {
            name: imputation.estimate(self.raw[name], donors, words, self.missing[name])
            for name, donors in self.donors.items()
        }


def _missing(raw: Scores, signals: Iterable[str]) -> dict[str, list[str]]:
    """Signal -> the candidates that have no score of it."""
    return {name: [id for id, score in raw[name].items() if score is None] for name in signals}


def naming_words(hit: Mapping[str, Any]) -> frozenset[str]:
    """The analysed words that name the product of a hit.

    The words of a description are used only where there are no others, for most of them are chance.
    """
    # A partial update that takes words away leaves null in their place.
    terms = {name: text for name, text in hit["_source"].get("hybrid", {}).get("terms", {}).items() if text}
    naming = {word for name in ("title", "brand", "category", "attributes") for word in terms.get(name, "").split()}
    return frozenset(naming or terms.get("description", "").split())


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise ClusterError(f"Elasticsearch could not look for products without a vector: {error_reason(answer)[1]}")
    return answer
