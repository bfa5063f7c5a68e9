"""From raw scores to one ranking: absolute scaling, the zero-signal rule, weighted sums, RRF. Pure functions.

Scaling is absolute and query-independent: a raw score scales to the same number on every page, shard and mix
of signals (DESIGN, score contract). BM25 saturates, s / (s + half); a cosine counts linearly within its span.
A convex combination of absolute scores follows Bruch, Gai and Ingber, "An Analysis of Fusion Functions for
Hybrid Retrieval", TOIS 2023; reciprocal rank fusion follows Cormack, Clarke and Buettcher, SIGIR 2009.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hybrid import signals
from hybrid.contracts import Prior
from hybrid.facts import Note
from hybrid.search import numbers
from hybrid.searches import SignalScore

#: Scales to 1 as infinity does, and can be divided by itself.
_ENDLESS = 1e300


@dataclass(frozen=True)
class Scaling:
    """How raw scores become scaled ones, the same for every query. Stored with the weights that were learned on it.

    half: lexical signal -> the BM25 score that scales to one half. span: vector signal -> the cosines that scale to
    0 and to 1. A signal that is not named has the defaults. bounds: signal of words -> the most that this query's words
    can score, which scales to 1 (hybrid.search.evidence); priors: signal -> the number that it is of; both not stored.
    """

    half: Mapping[str, float] = field(default_factory=dict)
    span: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    bounds: Mapping[str, float] = field(default_factory=dict)
    priors: Mapping[str, Prior] = field(default_factory=dict)

    def beside(
        self,
        span: Mapping[str, tuple[float, float]],
        bounds: Mapping[str, float] | None = None,
        priors: Iterable[Prior] = (),
    ) -> Scaling:
        """The same with these spans for the signals that it does not name, the bounds of a query, and these priors."""
        numbers = {prior.signal: prior for prior in priors}
        return Scaling(self.half, {**span, **self.span}, bounds or self.bounds, numbers or self.priors)

    def to_json(self) -> dict[str, Any]:
        return {"half": dict(self.half), "span": {name: list(ends) for name, ends in self.span.items()}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scaling:
        """Raises ValueError where a number makes no scale."""
        half = {str(name): float(value) for name, value in data.get("half", {}).items()}
        span = {str(name): (float(low), float(high)) for name, (low, high) in data.get("span", {}).items()}
        numbers = [*half.values(), *(end for pair in span.values() for end in pair)]
        if not all(map(math.isfinite, numbers)) or min(half.values(), default=1.0) <= 0:
            raise ValueError(f"no scaling: {data}")
        if any(low >= high for low, high in span.values()):
            raise ValueError(f"no scaling: {data}")
        return cls(half, span)

    def array(self, signal: str, raw: np.ndarray) -> np.ndarray:
        """Raw scores of any shape in [0, 1]; NaN scales to 0."""
        if prior := self.priors.get(signal):
            return numbers.scaled(prior, raw)
        if bound := self.bounds.get(signal):
            return np.asarray(np.fmin(np.fmax(raw, 0.0), bound) / bound)
        if signal.partition(".")[0] == signals.LEXICAL:
            half = self.half.get(signal, SATURATION)
            finite = np.minimum(np.where(raw > 0, raw, 0.0), _ENDLESS)
            return np.asarray(finite / (finite + half))
        kind = signal.partition(".")[0]
        entry = signals.SIGNALS.get(kind)
        # The vectors of titles are of the same encoder as those of all text.
        low, high = self.span.get(signal) or self.span.get(kind) or (entry.span if entry else (0.0, 1.0))
        return np.asarray((np.fmin(np.fmax(raw, low), high) - low) / (high - low))

    def one(self, signal: str, raw: float) -> float:
        """A raw score in [0, 1]. `signal` may carry a field, as in "lexical.title"; NaN scales to 0.

        >>> plain = Scaling()
        >>> plain.one("lexical", 4.0), plain.one("text", 0.4), plain.one("text", -0.2)
        (0.5, 0.4, 0.0)
        """
        return float(self.array(signal, np.array(raw, dtype=float)))


#: The BM25 score that scales to one half, where no calibration says another.
SATURATION = 4.0
PLAIN = Scaling()

RRF_K = 60

#: signal -> product id -> raw score; None where the product has nothing for that signal.
RawScores = Mapping[str, Mapping[str, float | None]]
#: signal -> product id -> the imputed score of a product without a vector, see hybrid.search.imputation.
ImputedScores = Mapping[str, Mapping[str, float]]


@dataclass
class Ranking:
    """Products best first, ties by id; the scores of each signal; the weights that were active."""

    ids: list[str]
    scores: dict[str, float]
    weights: dict[str, float]
    notes: list[Note] = field(default_factory=list)
    _raw: RawScores = field(default_factory=dict)
    _rrf: dict[str, dict[str, float]] | None = None
    _scaling: Scaling = PLAIN
    _imputed: ImputedScores = field(default_factory=dict)

    def signals(self, product: str) -> dict[str, SignalScore]:
        """The scores of one product by signal. The contributions sum to the product's score exactly."""
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
        return _parts(product, self._raw, self.weights, self._scaling, self._imputed) if self._raw else {}

    def tail_signals(self, raw: float, rank: int) -> dict[str, SignalScore]:
        """The scores of a product that is no candidate, by the words alone; rank is its place in the lexical list."""
        if self._rrf is not None:
            part = 1 / (RRF_K + rank)
            return {"lexical": SignalScore(raw, part, 1.0, part)}
        weight, scaled = self.weights.get("lexical", 1.0), self._scaling.one("lexical", raw)
        return {"lexical": SignalScore(raw, scaled, weight, weight * scaled)}


@dataclass(frozen=True, slots=True)
class Confidence:
    """How far a signal tells these candidates apart.

    share: the part of its weight that the signal keeps, from 0 to 1. note: why the share is less than 1.
    """

    share: float
    note: Note | None = None


def signal_confidences(raw: RawScores, scaling: Scaling = PLAIN) -> dict[str, Confidence]:
    """The confidence of each signal.

    The share is 0 where no candidate matches, or where every candidate has the same score. Where the best score is
    weak, the share is in proportion to it.
    """
    confidences = {}
    for name, scores in raw.items():
        known = np.array([value for value in scores.values() if value is not None], dtype=float)
        confidences[name] = _confidence(name, scaling.array(name, known[~np.isnan(known)]), len(raw) > 1)
    return confidences


def _confidence(name: str, scaled: np.ndarray, beside_others: bool) -> Confidence:
    """The confidence of one signal, by the scaled scores of the candidates that have one."""
    best = float(scaled.max()) if len(scaled) else 0.0
    weak = signals.weak(name)
    if best <= 0:
        return Confidence(0.0, Note("no_match", name))
    if beside_others and len(scaled) > 1 and best - float(scaled.min()) < 1e-9:
        return Confidence(0.0, Note("same_score", name))
    if best < weak:
        return Confidence(best / weak, Note("weak_match", name, value=best))
    return Confidence(1.0)


def effective_weights(
    weights: Mapping[str, float], raw: RawScores, scaling: Scaling = PLAIN
) -> tuple[dict[str, float], list[Note]]:
    """The weights lowered by the confidence of each signal, summing to 1, and the notes that say why. See `lowered`."""
    return _weights_by_confidence(weights, signal_confidences({name: raw.get(name, {}) for name in weights}, scaling))


def _weights_by_confidence(
    weights: Mapping[str, float], confidences: Mapping[str, Confidence]
) -> tuple[dict[str, float], list[Note]]:
    # Of several signals of a kind, the first speaks for all.
    notes = [one.note for name, one in confidences.items() if one.note is not None and "." not in name]
    return lowered(weights, {name: one.share for name, one in confidences.items()}), notes


def lowered(weights: Mapping[str, float], shares: Mapping[str, float]) -> dict[str, float]:
    """The weights by the share of each that counts, summing to 1. What signals lose, the others get.

    Where every weight would fall to 0, the weights are not lowered: some order is better than none. Priors get nothing
    of what others lose, for a number of a product is no evidence that it answers the query.

    >>> lowered({"lexical": 0.5, "text": 0.4, "prior.rating": 0.1}, {"lexical": 0, "text": 0.5, "prior.rating": 1})
    {'lexical': 0.0, 'text': 0.9, 'prior.rating': 0.1}
    """
    others = {name: weight for name, weight in weights.items() if signals.kind_of(name) != signals.PRIOR}
    spoken = {name: weight * shares[name] for name, weight in others.items()}
    spoken = spoken if sum(spoken.values()) > 0 else others
    own = {name: weight * shares[name] for name, weight in weights.items() if name not in others}
    if not sum(own.values()):
        return normalised({name: spoken.get(name, 0.0) for name in weights} if sum(spoken.values()) else weights)
    if not sum(spoken.values()):
        return normalised({name: own.get(name, 0.0) for name in weights})
    left = 1 - sum(own.values()) / sum(weights.values())
    active = {name: weight * left for name, weight in normalised(spoken).items()}
    return {name: active[name] if name in active else own[name] / sum(weights.values()) for name in weights}


def normalised(weights: Mapping[str, float]) -> dict[str, float]:
    """The same proportions, summing to 1; all zeros become equal weights."""
    total = sum(weights.values())
    if total <= 0:
        return {name: 1 / len(weights) for name in weights}
    return {name: weight / total for name, weight in weights.items()}


def spread(weights: Mapping[str, float], names: Iterable[str], shares: Mapping[str, float]) -> dict[str, float]:
    """The weights of kinds of signals, spread over the signals of each kind that are there.

    weights: "lexical" -> number. names: the signals that are there, such as "lexical" and "lexical.title". shares:
    signal -> its part of the weight of its kind; a kind of which no part is known is spread evenly. A part that the
    weights name ("lexical.title") has that weight, and the others share that of the kind.

    >>> spread({"lexical": 0.5, "text": 0.5}, ["lexical", "lexical.title", "text"], {"lexical": 1, "lexical.title": 3})
    {'lexical': 0.125, 'lexical.title': 0.375, 'text': 0.5}
    >>> spread({"text": 0.6, "text.title": 0.1}, ["text", "text.title"], {"text": 1, "text.title": 1})
    {'text': 0.6, 'text.title': 0.1}
    """
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(name.partition(".")[0], []).append(name)
    parts: dict[str, float] = {}
    for kind, members in kinds.items():
        named = {name for name in members if "." in name and name in weights}
        sharing = {name: shares.get(name, 0.0) for name in members if name not in named}
        own = normalised(sharing) if len(sharing) > 1 else dict.fromkeys(sharing, 1.0)
        parts |= {name: weights[name] if name in named else weights.get(kind, 0.0) * own[name] for name in members}
    return parts


def by_kind(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights of kinds of signals: several signals of words are one."""
    kinds: dict[str, float] = {}
    for name, weight in weights.items():
        kind = name.partition(".")[0]
        kinds[kind] = kinds.get(kind, 0.0) + weight
    return kinds


def weighted(
    raw: RawScores, weights: Mapping[str, float], scaling: Scaling = PLAIN, imputed: ImputedScores | None = None
) -> Ranking:
    """Rank every candidate by the weighted sum over the signals that it has.

    A product without a vector has its imputed score, where there is one. Otherwise it is scored on the signals that it
    has, with their weights raised to sum to 1.
    """
    imputed = imputed or {}
    candidates = sorted(set().union(*raw.values()))
    scaled, counted, own = _scaled(raw, candidates, scaling, imputed)
    # As `effective_weights`, whose confidences come of the same scores.
    silent = np.empty(0)
    rows = {name: scaled[at][own[at]] for at, name in enumerate(raw)}
    confidences = {name: _confidence(name, rows.get(name, silent), len(weights) > 1) for name in weights}
    active, notes = _weights_by_confidence(weights, confidences)
    totals = combine(scaled, counted, np.array([active.get(name, 0.0) for name in raw]))
    # The candidates are in order of their ids, so that equal scores keep it.
    ids = [candidates[at] for at in np.argsort(-totals, kind="stable").tolist()]
    scores = dict(zip(candidates, totals.tolist(), strict=True))
    return Ranking(ids, scores, active, notes, raw, None, scaling, imputed)


def scaled_table(
    raw: RawScores, candidates: Sequence[str], scaling: Scaling, imputed: ImputedScores
) -> tuple[np.ndarray, np.ndarray]:
    """(signals, candidates) scaled scores, and whether each counts: a product's own score, or its imputed one."""
    return _scaled(raw, candidates, scaling, imputed)[:2]


def _scaled(
    raw: RawScores, candidates: Sequence[str], scaling: Scaling, imputed: ImputedScores
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`scaled_table`, and whether each score is the product's own."""
    values = np.array([[scores.get(product) for product in candidates] for scores in raw.values()], dtype=float)
    values = values.reshape(len(raw), len(candidates))  # None became NaN
    own = ~np.isnan(values)
    scaled = np.zeros(values.shape)
    for row, name in enumerate(raw):
        estimates_by_id = imputed.get(name)
        if estimates_by_id:
            estimate_row = np.array([estimates_by_id.get(product) for product in candidates], dtype=float)
            values[row] = np.where(own[row], values[row], estimate_row)
        scaled[row] = scaling.array(name, values[row])
    return scaled, ~np.isnan(values) if imputed else own, own


def combine(scaled: np.ndarray, counted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(candidates,) scores: the same arithmetic, in the same order, as the explanation of one product.

    scaled, counted: (signals, candidates), weights: (signals,).
    """
    present_weight = np.zeros(scaled.shape[1])
    for row, weight in zip(counted, weights, strict=True):
        present_weight = present_weight + np.where(row, weight, 0.0)
    totals = np.zeros(scaled.shape[1])
    for column, row, weight in zip(scaled, counted, weights, strict=True):
        share = np.divide(weight, present_weight, out=np.zeros_like(totals), where=row & (present_weight > 0))
        totals = totals + share * column
    return totals


def total(parts: Mapping[str, SignalScore]) -> float:
    """The sum of the contributions, added in order as the ranking adds them."""
    score = 0.0
    for part in parts.values():
        score += part.contribution
    return score


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


def _parts(
    product: str, raw: RawScores, weights: Mapping[str, float], scaling: Scaling, imputed: ImputedScores
) -> dict[str, SignalScore]:
    own = {name: _finite(scores.get(product)) for name, scores in raw.items()}
    counted = {name: imputed.get(name, {}).get(product) if value is None else value for name, value in own.items()}
    present = 0.0
    for name, value in counted.items():
        present += weights.get(name, 0.0) if value is not None else 0.0
    parts = {}
    for name, value in counted.items():
        if value is None:
            parts[name] = SignalScore(None, 0.0, 0.0, 0.0)
            continue
        weight = weights.get(name, 0.0) / present if present > 0 else 0.0
        scaled = scaling.one(name, value)
        parts[name] = SignalScore(own[name], scaled, weight, weight * scaled)
    return parts


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _ordered(totals: Mapping[str, float]) -> list[str]:
    return sorted(totals, key=lambda product: (-totals[product], product))
