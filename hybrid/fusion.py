"""From raw scores to one ranking: absolute scaling, the zero-signal rule, weighted sums, RRF. Pure functions.

Scaling is absolute and query-independent: a raw score scales to the same number on every page, shard and mix
of signals (DESIGN, score contract). BM25 saturates, s / (s + SATURATION); a cosine below 0 says nothing.
A convex combination of absolute scores follows Bruch, Gai and Ingber, "An Analysis of Fusion Functions for
Hybrid Retrieval", TOIS 2023; reciprocal rank fusion follows Cormack, Clarke and Buettcher, SIGIR 2009.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hybrid.contracts import SignalScore

#: The BM25 score that scales to one half.
SATURATION = 4.0

#: A best scaled score under this is weak: the signal's weight falls in proportion.
WEAK = {"lexical": 0.15, "text": 0.15, "image": 0.10}

RRF_K = 60

#: signal -> product id -> raw score; None where the product has nothing for that signal.
RawScores = Mapping[str, Mapping[str, float | None]]


@dataclass
class Ranking:
    """Products best first, ties by id; what each signal gave them; the weights that were in force."""

    ids: list[str]
    scores: dict[str, float]
    weights: dict[str, float]
    notes: list[str] = field(default_factory=list)
    _raw: RawScores = field(default_factory=dict)
    _rrf: dict[str, dict[str, float]] | None = None

    def signals(self, product: str) -> dict[str, SignalScore]:
        """What each signal gave this product; the contributions sum to its score exactly."""
        if self._rrf is not None:
            return {
                name: SignalScore(
                    raw=_finite(self._raw[name].get(product)),
                    scaled=parts.get(product, 0.0),
                    weight=1.0 if product in parts else 0.0,
                    contribution=parts.get(product, 0.0),
                )
                for name, parts in self._rrf.items()
            }
        return _parts(product, self._raw, self.weights) if self._raw else {}

    def tail_signals(self, raw: float, rank: int) -> dict[str, SignalScore]:
        """What the words give a product behind the candidates; rank is its place in the lexical list."""
        if self._rrf is not None:
            part = 1 / (RRF_K + rank)
            return {"lexical": SignalScore(raw, part, 1.0, part)}
        weight, scaled = self.weights.get("lexical", 1.0), scale("lexical", raw)
        return {"lexical": SignalScore(raw, scaled, weight, weight * scaled)}


def scale(signal: str, raw: float) -> float:
    """A raw score in [0, 1]. `signal` may carry a field, as in "lexical.title"; NaN scales to 0.

    >>> scale("lexical", 4.0), scale("text", 0.4), scale("text", -0.2)
    (0.5, 0.4, 0.0)
    """
    if math.isnan(raw) or raw <= 0:
        return 0.0
    if signal.partition(".")[0] == "lexical":
        return 1.0 if math.isinf(raw) else raw / (raw + SATURATION)
    return min(raw, 1.0)


def effective_weights(weights: Mapping[str, float], raw: RawScores) -> tuple[dict[str, float], list[str]]:
    """The weights of the signals that have something to say, summing to 1, and why others were lowered.

    No match, or the same score for every candidate: no weight. A weak best score: weight in proportion.
    Where that would leave nothing, the given weights stand, for some order is better than none.
    """
    lowered: dict[str, float] = {}
    notes: list[str] = []
    for name, weight in weights.items():
        scaled = _scale_all(
            name, np.array([_number(value) for value in raw.get(name, {}).values() if value is not None])
        )
        best = float(scaled.max()) if len(scaled) else 0.0
        weak = WEAK.get(name.partition(".")[0], 0.0)
        if best <= 0:
            notes.append(f"{name}: no match")
            lowered[name] = 0.0
        elif len(scaled) > 1 and best - float(scaled.min()) < 1e-9 and len(weights) > 1:
            notes.append(f"{name}: the same score for every candidate")
            lowered[name] = 0.0
        elif best < weak:
            notes.append(f"{name}: weak best score {best:.2f}")
            lowered[name] = weight * best / weak
        else:
            lowered[name] = weight
    return normalised(lowered if sum(lowered.values()) > 0 else weights), notes


def normalised(weights: Mapping[str, float]) -> dict[str, float]:
    """The same proportions, summing to 1; all zeros become equal weights."""
    total = sum(weights.values())
    if total <= 0:
        return {name: 1 / len(weights) for name in weights}
    return {name: weight / total for name, weight in weights.items()}


def weighted(raw: RawScores, weights: Mapping[str, float]) -> Ranking:
    """Rank every candidate by the weighted sum over the signals that it has.

    A product without a vector is scored on the signals that it has, with their weights raised to sum to 1.
    """
    in_force, notes = effective_weights(weights, raw)
    candidates = sorted({product for scores in raw.values() for product in scores})
    # The same arithmetic as `_parts`, for all candidates at once: (signals, candidates) arrays, NaN for absent.
    values = {name: np.array([_number(scores.get(product)) for product in candidates]) for name, scores in raw.items()}
    present = np.zeros(len(candidates))
    for name, column in values.items():
        present = present + np.where(np.isnan(column), 0.0, in_force.get(name, 0.0))
    totals = np.zeros(len(candidates))
    for name, column in values.items():
        there = ~np.isnan(column) & (present > 0)
        weight = np.divide(in_force.get(name, 0.0), present, out=np.zeros_like(totals), where=there)
        totals = totals + weight * _scale_all(name, column)
    scores = dict(zip(candidates, totals.tolist(), strict=True))
    return Ranking(_ordered(scores), scores, in_force, notes, raw)


def total(parts: Mapping[str, SignalScore]) -> float:
    """The sum of the contributions, added in order as the ranking adds them."""
    score = 0.0
    for part in parts.values():
        score += part.contribution
    return score


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _scale_all(signal: str, raw: np.ndarray) -> np.ndarray:
    """`scale` of an array; NaN scales to 0."""
    positive = np.where(np.isnan(raw) | (raw <= 0), 0.0, raw)
    if signal.partition(".")[0] == "lexical":
        finite = np.where(np.isinf(positive), 1.0, positive)
        return np.where(np.isinf(positive), 1.0, finite / (finite + SATURATION))
    return np.minimum(positive, 1.0)


def rrf(lists: Mapping[str, Sequence[str]], raw: RawScores, k: int = RRF_K) -> Ranking:
    """Reciprocal rank fusion of each signal's own list: sum of 1 / (k + rank)."""
    parts = {
        name: {product: 1 / (k + rank) for rank, product in enumerate(ranked, 1)} for name, ranked in lists.items()
    }
    totals: dict[str, float] = {}
    for scores in parts.values():
        for product, score in scores.items():
            totals[product] = totals.get(product, 0.0) + score
    weights = {name: 1 / len(lists) for name in lists}
    return Ranking(_ordered(totals), totals, weights, [], raw, parts)


def _parts(product: str, raw: RawScores, weights: Mapping[str, float]) -> dict[str, SignalScore]:
    values = {name: _finite(scores.get(product)) for name, scores in raw.items()}
    present = 0.0
    for name, value in values.items():
        present += weights.get(name, 0.0) if value is not None else 0.0
    parts = {}
    for name, value in values.items():
        if value is None:
            parts[name] = SignalScore(None, 0.0, 0.0, 0.0)
            continue
        weight = weights.get(name, 0.0) / present if present > 0 else 0.0
        scaled = scale(name, value)
        parts[name] = SignalScore(value, scaled, weight, weight * scaled)
    return parts


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _ordered(totals: Mapping[str, float]) -> list[str]:
    return sorted(totals, key=lambda product: (-totals[product], product))
