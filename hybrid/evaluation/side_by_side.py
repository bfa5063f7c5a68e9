"""One query under two systems side by side, and its candidates, which can be weighed anew without a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hybrid.errors import UsageError, WeightsError
from hybrid.evaluation.judgments import Judgments
from hybrid.search import fusion
from hybrid.search.ports import PublishedLike
from hybrid.search.searcher import Searcher
from hybrid.searches import SearchAnswer, SearchRequest
from hybrid.signals import PRIOR

CUT = 10
#: Searches of a coverage at the same time.
_AT_ONCE = 8


@dataclass(frozen=True)
class Pool:
    """The scores of every candidate of a query by signal, scaled as the active weights scale.

    ids: ascending, as ties are broken. scaled: signal -> number for each id; None where the product has no score of
    that signal, neither its own nor an imputed one. confidence: signal -> the share of its weight that counts for this
    query, from 0 to 1.
    """

    ids: list[str]
    scaled: dict[str, list[float | None]]
    confidence: dict[str, float]

    def requested_weights(self, weights: Mapping[str, float]) -> dict[str, float]:
        """The weights to request of a search so that its effective weights, lowered by confidence, are these."""
        raised = {
            name: weights.get(name, 0.0) / share if share > 0 else 0.0
            for name, share in self.confidence.items()
        }  # fmt: skip
        if sum(raised.values()) <= 0:
            return dict(weights)
        # What the others lose is not the priors': see hybrid.search.fusion.lowered.
        own = min(1.0, raised.pop(PRIOR, 0.0))
        others = {name: weight * (1 - own) for name, weight in fusion.normalised(raised).items()}
        return {**others, **({PRIOR: own} if PRIOR in self.confidence else {})}

    def to_json(self) -> dict[str, Any]:
        return {"ids": self.ids, "scaled": self.scaled, "confidence": self.confidence}


@dataclass(frozen=True)
class Side:
    """An answer, or why there is none."""

    answer: SearchAnswer | None
    problem: str = ""


def side_by_side(
    searcher: Searcher, published: PublishedLike, requests: Sequence[SearchRequest], base: SearchRequest
) -> tuple[list[Side], Pool | None]:
    """Answer each request, and find the candidates of `base` for weighing them by hand.

    All searches run at the same time, because most of their time is waiting for the cluster. A request that cannot be
    answered leaves the others as they are. There is no pool where `base` cannot be answered.

    Raises:
        IndexMissingError, IndexConflictError, IndexMovedError, ClusterError: as Searcher.search does.
    """
    with suppress(UsageError):  # each side reports the error itself
        searcher.prepare(base, searcher.profile(base.index))  # encodes the query once, for all that follow
    with ThreadPoolExecutor(len(requests) + 1) as threads:
        sides = [threads.submit(_side, searcher, request) for request in requests]
        candidates = threads.submit(pool, searcher, published, base)
        results = [side.result() for side in sides]
        try:
            return results, candidates.result()
        except UsageError:
            return results, None


def _side(searcher: Searcher, request: SearchRequest) -> Side:
    try:
        return Side(searcher.search(request))
    except (UsageError, WeightsError) as error:
        return Side(None, str(error))


def pool(searcher: Searcher, published: PublishedLike, request: SearchRequest) -> Pool:
    """The candidates of a request, for weighing them by hand.

    Raises as Searcher.search does.
    """
    candidates = searcher.candidates(request)
    if candidates is None:
        return Pool([], {}, {})
    model = published.active(request.index)[0]
    scaling = model.scaling.beside(candidates.span, candidates.bounds, candidates.priors)
    ids = sorted({id for scores in candidates.raw.values() for id in scores})
    scaled, counted = fusion.scaled_table(candidates.raw, ids, scaling, candidates.imputed)
    confidences = fusion.signal_confidences(candidates.raw, scaling)
    kinds: dict[str, list[int]] = {}
    for at, name in enumerate(candidates.raw):
        kinds.setdefault(name.partition(".")[0], []).append(at)
    parts = fusion.spread(dict.fromkeys(kinds, 1.0), candidates.raw, model.shares)
    voices = np.array([parts[name] * confidences[name].share for name in candidates.raw])
    table: dict[str, list[float | None]] = {}
    shares: dict[str, float] = {}
    for kind, rows in kinds.items():
        shares[kind] = float(voices[rows].sum())
        values = (voices[rows] @ scaled[rows] / (shares[kind] or 1.0)).tolist()
        counts = counted[rows[0]].tolist()
        table[kind] = [value if there else None for value, there in zip(values, counts, strict=True)]
    return Pool(ids, table, shares)


@dataclass(frozen=True)
class Coverage:
    """The share of the first ten hits of today's ranking that is judged.

    queries: of the list. sampled: how many of them were searched. judged: the mean share. least: the queries with the
    smallest shares.
    """

    queries: int
    sampled: int
    judged: float
    least: list[tuple[str, float]]


def coverage(searcher: Searcher, index: str, judgments: Judgments, at_most: int = 50) -> Coverage:
    """Search queries of a list by the active weights: all, or `at_most` of them, evenly spread over the list.

    Raises as Searcher.search does.
    """
    names = list(judgments.ratings)
    step = max(1.0, len(names) / at_most)
    chosen = list(dict.fromkeys(names[int(at * step)] for at in range(min(at_most, len(names)))))
    requests = [judgments.request(name, index=index, size=CUT, facets=(), bare=True) for name in chosen]
    with ThreadPoolExecutor(_AT_ONCE) as threads:  # most of the time of a search is waiting for the cluster
        answers = threads.map(searcher.search, requests)
    shares = {}
    for name, answer in zip(chosen, answers, strict=True):
        hits = [hit.id in judgments.ratings[name] for hit in answer.hits]
        shares[name] = sum(hits) / len(hits) if hits else 1.0
    least = sorted(shares.items(), key=lambda item: item[1])
    return Coverage(len(names), len(chosen), sum(shares.values()) / len(shares) if shares else 0.0, least[:10])


def side_request(base: SearchRequest, system: str, weights: Mapping[str, float] | None) -> SearchRequest:
    """The request of a side. system: "" for the active weights, "own", one of `systems()`, or a version of weights.

    Raises:
        UsageError: own weights without a weight above 0.
    """
    if system == "own":
        if not weights or not any(weights.values()):
            raise UsageError("own weights: give at least one signal a weight above 0")
        return replace(base, weights=dict(weights))
    return base.under(system) if system else base
