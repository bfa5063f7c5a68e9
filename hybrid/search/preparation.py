"""A request made ready: checked, with its terms, its vectors and the weights it will be searched by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hybrid.contracts import Degradation, IndexProfile, SearchRequest, systems
from hybrid.errors import UsageError
from hybrid.facts import Note
from hybrid.search import fusion, weights
from hybrid.search.weights import Prediction, WeightsModel
from hybrid.signals import SIGNALS
from hybrid.text import analysis

#: Pages end here, as they do in Elasticsearch itself.
MAX_WINDOW = 10_000
_NEEDS = {"image": "a photo", "video": "a photo or a video", "audio": "a sound"}


@dataclass(frozen=True)
class Prepared:
    """A query before the search: what to look for, and how much each signal is to count.

    prediction: the weights of the signals. terms, vectors: what is searched. every_term, every_vector: these hold the
    signals as well whose weight is too small to be searched. degraded: the parts that failed. notes: why signals are
    left out.
    """

    profile: IndexProfile
    system: str
    model: WeightsModel
    prediction: Prediction
    terms: str | None
    vectors: dict[str, np.ndarray]
    every_term: str | None
    every_vector: dict[str, np.ndarray]
    degraded: list[Degradation]
    notes: list[Note]

    def fused(self, raw: fusion.RawScores, imputed: fusion.ImputedScores) -> fusion.Ranking:
        """The candidates ranked by the weighted sum of their scores."""
        return _fused(raw, self.prediction, self.model, imputed)


def check(request: SearchRequest) -> str:
    """The system to use.

    Raises:
        UsageError: unknown system or signal, negative weights, a page out of reach.
    """
    system = request.system or "fixed"
    if system not in systems():
        raise UsageError(f"no system {system!r}; known: {', '.join(systems())}")
    if request.page < 1 or request.size < 1:
        raise UsageError("page and size count from 1")
    if request.page * request.size > MAX_WINDOW:
        raise UsageError(f"page {request.page} of {request.size} is out of reach: {MAX_WINDOW} products at most")
    if request.like and (request.q.strip() or request.by_media):
        raise UsageError("like takes the place of words and files: give one or the other")
    kind = SIGNALS[system].file if system in SIGNALS else None
    if kind is not None and not (request.like or request.q.strip()):
        seen = request.image is not None or request.video is not None
        if not (request.audio is not None if "sound" in SIGNALS[system].asked_by else seen):
            raise UsageError(f"system {system} needs {_NEEDS[kind]}")
    return system


def _fused(
    raw: fusion.RawScores, prediction: Prediction, model: WeightsModel, imputed: fusion.ImputedScores
) -> fusion.Ranking:
    shares = fusion.normalised({name: prediction.weights.get(name, 0.0) for name in raw})
    return fusion.weighted(raw, shares, model.scaling, imputed)


def _query(request: SearchRequest, terms: str | None, vectors: Mapping[str, np.ndarray]) -> weights.Query:
    return weights.Query(
        request.q, terms or "", request.image is not None or request.video is not None, vectors.get("text")
    )


def _words(query: str, profile: IndexProfile) -> str:
    """What the lexical signal looks for: analysed here, unless the shop's own fields are, by the cluster."""
    return query.strip() if profile.lexical_fields else analysis.query_terms(query, *profile.languages)
