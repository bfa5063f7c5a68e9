"""Examples for learning weights: queries with their candidates' scores and ratings, gathered from the index once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hybrid.contracts import Prior
from hybrid.search import fusion
from hybrid.search.fusion import ImputedScores, RawScores, Scaling
from hybrid.search.prior import SHARES
from hybrid.search.searcher import QueryCandidates, Searcher
from hybrid.search.weights import Query
from hybrid.searches import SearchRequest
from hybrid.signals import PRIOR, kind_of

CUT = 10
_DISCOUNT = 1 / np.log2(np.arange(2, CUT + 2))


@dataclass(frozen=True)
class Example:
    """One query with its candidates.

    raw, imputed: the candidates' raw and imputed scores, by signal. span, bounds, priors: see QueryCandidates. ratings:
    product id -> rating. synthetic: the kind of synthetic query, "" for a judged one.
    """

    name: str
    query: Query
    raw: RawScores
    ratings: Mapping[str, float]
    synthetic: str = ""
    imputed: ImputedScores = field(default_factory=dict)
    bounds: Mapping[str, float] = field(default_factory=dict)
    span: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    priors: tuple[Prior, ...] = ()

    @property
    def signals(self) -> tuple[str, ...]:
        """The kinds of its signals: several signals of words are one here, in the proportions of `shares`."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name in self.raw))

    @property
    def in_play(self) -> tuple[str, ...]:
        """`signals` as the weights take them, priors by their whole names."""
        return (
            *(name for name in self.signals if name != PRIOR),
            *(name for name in self.raw if kind_of(name) == PRIOR),
        )


class Table:
    """An example as arrays, under one scaling. It computes nDCG@10 of any weights by the same arithmetic as search.

    shares: signal -> its part of the weight of its kind. scaled, counted: (signals, candidates); voice: (signals,)
    confidences; gains: (candidates,).
    """

    def __init__(self, example: Example, scaling: Scaling, shares: Mapping[str, float] = SHARES) -> None:
        self.signals = example.signals
        ids = sorted({id for scores in example.raw.values() for id in scores})
        scaling = scaling.beside(example.span, example.bounds, example.priors)
        self.scaled, self.counted = fusion.scaled_table(example.raw, ids, scaling, example.imputed)
        confidence = fusion.signal_confidences(example.raw, scaling)
        self.voice = np.array([confidence[name].share for name in example.raw])
        self._names = tuple(example.raw)
        self._priors = np.array([kind_of(name) == PRIOR for name in self._names])
        self._within = self._spread(shares)
        self.gains = np.array([2 ** example.ratings.get(id, 0.0) - 1 for id in ids])
        best = sorted((2**rating - 1 for rating in example.ratings.values()), reverse=True)[:CUT]
        self._ideal = float(np.dot(best, _DISCOUNT[: len(best)]))

    def _spread(self, shares: Mapping[str, float]) -> np.ndarray:
        """(kinds, signals): what a weight of 1 of each kind gives each signal."""
        within = fusion.spread(dict.fromkeys(self.signals, 1.0), self._names, shares)
        return np.array(
            [[within[name] * (name.partition(".")[0] == kind) for name in self._names] for kind in self.signals]
        )

    def ndcg(self, weights: np.ndarray, shares: Mapping[str, float] | None = None) -> np.ndarray:
        """(n,) nDCG@10 of (n, kinds of signals) weights; ties by id. shares: other than those of the table."""
        given = weights @ (self._within if shares is None else self._spread(shares))
        spoken = lowered(given, self.voice, self._priors)
        share = spoken @ self.counted
        totals = np.divide(spoken @ (self.scaled * self.counted), share, out=np.zeros_like(share), where=share > 0)
        # Sums that differ in their last bit must tie, as they do when they are added one by one.
        order = np.argsort(-np.round(totals, 12), axis=1, kind="stable")[:, :CUT]
        return np.asarray(self.gains[order] @ _DISCOUNT[: order.shape[1]] / self._ideal)


def lowered(weights: np.ndarray, voice: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """(n, signals) weights by the confidence of each signal, summing to 1: hybrid.search.fusion.lowered, of arrays.

    voice: (signals,) confidences. priors: (signals,) which of them are priors.
    """
    whole = weights / weights.sum(1, keepdims=True)
    own, others = np.where(priors, whole * voice, 0.0), np.where(priors, 0.0, whole)
    spoken = others * voice
    silent = spoken.sum(1) <= 0
    spoken[silent] = others[silent]
    total, left = spoken.sum(1, keepdims=True), 1 - own.sum(1, keepdims=True)
    alone = total <= 0
    spoken = np.where(alone, 0.0, spoken * left / np.where(alone, 1.0, total)) + own
    empty = spoken.sum(1) <= 0
    spoken[empty] = whole[empty]
    return np.asarray(spoken / spoken.sum(1, keepdims=True))


def gather(
    searcher: Searcher,
    requests: Iterable[tuple[str, SearchRequest, Mapping[str, float], str]],
    on_query: Callable[[], None] = lambda: None,
) -> list[Example]:
    """Examples of (name, request, ratings, synthetic); queries with nothing relevant or no signal are left out."""
    examples = []
    for name, request, ratings, synthetic in requests:
        if any(rating >= 1 for rating in ratings.values()):
            candidates: QueryCandidates | None = searcher.candidates(request)
            if candidates is not None and any(candidates.raw.values()):
                found = candidates
                examples.append(
                    Example(
                        name, found.query, found.raw, ratings, synthetic, found.imputed, found.bounds, found.span,
                        found.priors,
                    )
                )  # fmt: skip
        on_query()
    return examples


def calibrate(examples: Sequence[Example]) -> Scaling:
    """The scaling of this catalogue's scores, from all queries together.

    The BM25 score that scales to one half is 0.3 of the median best score. Above it, further matched words add little,
    and the vectors order products that match equally well (0.2 to 0.5 do equally well on chorus). Cosines are scaled
    between the first decile of all candidates and the 95th percentile of the best ones; of few queries, by the span of
    their encoder.
    """
    half: dict[str, float] = {}
    span = {name: ends for example in examples for name, ends in example.span.items()}
    # Of words, BM25 alone. Priors have a scale of their own.
    for signal in sorted({name for example in examples for name in example.signals} - {PRIOR}):
        columns = [
            np.array([value for value in example.raw[signal].values() if value is not None])
            for example in examples
            if signal in example.raw
        ]
        columns = [column for column in columns if len(column) and column.max() > 0]
        if len(columns) < 20:
            continue
        best = np.array([column.max() for column in columns])
        if signal.partition(".")[0] == "lexical":
            half[signal] = round(float(0.3 * np.median(best)), 3)
        else:
            low = round(max(0.0, float(np.quantile(np.concatenate(columns), 0.1))), 3)
            span[signal] = low, round(max(low + 0.1, float(np.quantile(best, 0.95))), 3)
    return Scaling(half, span)
