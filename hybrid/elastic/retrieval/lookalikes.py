"""Products without a vector: found, and given the scores of products most like them in words (hybrid.search.stand_ins).

Two more round trips (one where none are to be found beside the candidates), and only where products lack a vector of
a signal that is searched.
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
from hybrid.errors import ClusterError
from hybrid.search import stand_ins

#: A search is not made longer for a smaller share of the catalogue than this; candidates get their stand-ins always.
_FEW = 0.005
_TTL_S = 10.0

#: Bodies in, answers out, in one `_msearch` with the scores of named queries.
Ask = Callable[[Sequence[dict[str, Any]]], list[dict[str, Any]]]
Scores = Mapping[str, Mapping[str, float | None]]


@dataclass
class Lookalikes:
    """hits: of products that were no candidates, by id, with `_score` the score of the shopper's words.
    words: id -> analysed words, of the products whose scores stand in and of those without a vector."""

    hits: dict[str, dict[str, Any]] = field(default_factory=dict)
    words: dict[str, frozenset[str]] = field(default_factory=dict)
    donors: dict[str, list[str]] = field(default_factory=dict)


class Coverage:
    """The share of products that lack a vector, by signal, at most ten seconds old. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shares: dict[tuple[str, str], tuple[float, dict[str, float]]] = {}
        self._lock = threading.Lock()

    def lacking(self, profile: IndexProfile, ask: Ask) -> dict[str, float]:
        key = profile.index, profile.concrete
        with self._lock:
            kept = self._shares.get(key)
        if kept and self._clock() - kept[0] < _TTL_S:
            return kept[1]
        # One hit, which tells the index that was counted.
        everything = {"query": {"match_all": {}}, "size": 1, "_source": False, "track_total_hits": True}
        answers = [_checked(answer) for answer in ask([everything, *map(bodies.lacking_search, profile.signals)])]
        total, *without = (int(answer["hits"]["total"]["value"]) for answer in answers)
        shares = {name: count / max(1, total) for name, count in zip(profile.signals, without, strict=True)}
        with self._lock:
            self._shares[key] = self._clock(), shares
        return shares

    def forget(self) -> None:
        """Count anew, whatever the age."""
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
    coverage: Coverage,
    ask: Ask,
) -> Lookalikes:
    """raw: the candidates' scores; words: the lexical query, or None where words take no part.

    Raises:
        ClusterError: the cluster could not answer.
    """
    missing = _missing(raw, signals)
    shares = coverage.lacking(profile, ask)
    wanted = [name for name in signals if missing[name] or shares.get(name, 0.0) > _FEW]
    found = Lookalikes(donors={name: donors for name in wanted if (donors := stand_ins.donors(raw[name]))})
    if not found.donors:
        return found
    everyone = sorted({id for donors in found.donors.values() for id in donors})
    for hit in _checked(ask([bodies.words_search(everyone)])[0])["hits"]["hits"]:
        found.words[hit["_id"]] = naming_words(hit)
    searches = [
        bodies.lookalike_search(
            name, missing[name], stand_ins.telling_words(donors, found.words), words, clauses, signals,
            depth if shares.get(name, 0.0) > _FEW else 0, facets,
        )
        for name, donors in found.donors.items()
    ]  # fmt: skip
    for answer in ask(searches):
        for hit in _checked(answer)["hits"]["hits"]:
            found.words.setdefault(hit["_id"], naming_words(hit))
            if not any(hit["_id"] in scores for scores in raw.values()):
                hit["_score"] = (hit.get("matched_queries") or {}).get("lexical", 0.0)
                found.hits.setdefault(hit["_id"], hit)
    return found


@dataclass(frozen=True)
class Gaps:
    """Candidates without a vector, by signal, and those whose scores can stand in."""

    raw: Scores
    donors: Mapping[str, list[str]]
    missing: Mapping[str, list[str]]

    @classmethod
    def of(cls, raw: Scores, signals: Iterable[str]) -> Gaps:
        missing = _missing(raw, [name for name in signals if name in raw])
        donors = {name: found for name, ids in missing.items() if ids and (found := stand_ins.donors(raw[name]))}
        return cls(raw, donors, missing)

    def search(self) -> dict[str, Any] | None:
        """The body that finds the words of all of them; None where there is nothing to stand in for."""
        ids = sorted({id for name, donors in self.donors.items() for id in [*donors, *self.missing[name]]})
        return bodies.words_search(ids) if ids else None

    def filled(self, answer: dict[str, Any]) -> dict[str, dict[str, float]]:
        """Signal -> product id -> what stands in.

        Raises:
            ClusterError: the cluster could not answer.
        """
        words = {hit["_id"]: naming_words(hit) for hit in _checked(answer)["hits"]["hits"]}
        return {
            name: stand_ins.estimate(self.raw[name], donors, words, self.missing[name])
            for name, donors in self.donors.items()
        }


def _missing(raw: Scores, signals: Iterable[str]) -> dict[str, list[str]]:
    """Signal -> the candidates that have no score of it."""
    return {name: [id for id, score in raw[name].items() if score is None] for name in signals}


def naming_words(hit: Mapping[str, Any]) -> frozenset[str]:
    """The analysed words that name the product of a hit; those of a description only where there is nothing else, for
    most of them are chance."""
    # A partial update that takes words away leaves null in their place.
    terms = {name: text for name, text in hit["_source"].get("hybrid", {}).get("terms", {}).items() if text}
    naming = {word for name in ("title", "brand", "category", "attributes") for word in terms.get(name, "").split()}
    return frozenset(naming or terms.get("description", "").split())


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise ClusterError(f"Elasticsearch could not look for products without a vector: {error_reason(answer)[1]}")
    return answer
