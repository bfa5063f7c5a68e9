"""The interfaces that search needs of the index and of the published weights. Search knows no Elasticsearch client.

hybrid.elastic implements them on a cluster, hybrid.testing in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from hybrid.contracts import IndexProfile, Prior
from hybrid.search.evidence import NONE, Evidence
from hybrid.search.weights import WeightsModel
from hybrid.searches import Words
from hybrid.text.completions import Typed
from hybrid.text.vocabulary import Vocabulary


@dataclass
class Candidates:
    """Products that may answer a search, with their scores by signal.

    lists: signal -> product ids, best first, at most `depth` of them.
    raw: signal -> product id -> raw score of every candidate (None: no vector), whichever list it came from.
    imputed: signal -> product id -> the imputed score of a candidate without a vector (hybrid.search.imputation).
    failed: part -> reason, for the parts that the cluster could not answer.
    """

    lists: dict[str, list[str]] = field(default_factory=dict)
    raw: dict[str, dict[str, float | None]] = field(default_factory=dict)
    imputed: dict[str, dict[str, float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass
class Retrieved(Candidates):
    """Candidates of a search of the layer's own, with the totals and the facets of the page.

    matched: products that match the words; total: that many plus the candidates that only vectors found.
    views: signal -> product id -> number of the picture or frame that is nearest, of products that have several.
    below: signal -> the cosine under which it brought nothing, where that took products away.
    """

    matched: int = 0
    total: int = 0
    facets: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    views: dict[str, dict[str, int]] = field(default_factory=dict)
    below: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """What a query asks of the candidates that only vectors found; see hybrid.search.floor.

    floors: signal -> the least cosine where no word matches. share: the least share of a signal's best cosine; 0: none.
    signals: those whose vectors are made of words.
    """

    floors: Mapping[str, float] = field(default_factory=dict)
    share: float = 0.0
    signals: frozenset[str] = frozenset()


NO_LIMITS = Limits()


class RetrievalLike(Protocol):
    """What search needs of the index. See hybrid.elastic.retrieval.candidates.Retrieval for each method."""

    def profile(self, index: str) -> IndexProfile: ...
    def moved(self, profile: IndexProfile) -> bool: ...
    def superseded(self, profile: IndexProfile) -> bool: ...
    def indices(self) -> list[str]: ...
    def served(self) -> frozenset[str]: ...
    def retrieve(
        self,
        profile: IndexProfile,
        words: Words,
        vectors: Mapping[str, np.ndarray],
        filters: Mapping[str, Any],
        facets: Sequence[str],
        depth: int,
        lookalikes: bool = True,
        without: str = "",
        evidence: Evidence = NONE,
        limits: Limits = NO_LIMITS,
        priors: Sequence[Prior] = (),
    ) -> Retrieved: ...
    def vectors(self, profile: IndexProfile, id: str) -> dict[str, np.ndarray]: ...
    def tail(
        self,
        profile: IndexProfile,
        words: Words,
        filters: Mapping[str, Any],
        exclude: Sequence[str],
        start: int,
        size: int,
        priors: Sequence[Prior] = (),
    ) -> list[tuple[str, float]]: ...
    def sources(self, profile: IndexProfile, ids: Sequence[str]) -> dict[str, dict[str, Any]]: ...
    def views_at(self, profile: IndexProfile, ids: Sequence[str]) -> dict[str, dict[str, list[float]]]: ...
    def completing(self, profile: IndexProfile, typed: Typed, size: int) -> dict[str, dict[str, Any]]: ...
    def vocabulary(self, profile: IndexProfile) -> Vocabulary | None: ...


class PublishedLike(Protocol):
    """See hybrid.search.weights.PublishedWeights."""

    def active(self, index: str) -> tuple[WeightsModel, str]: ...
    def named(self, index: str, version: str) -> WeightsModel: ...
    def of_kind(self, index: str, kind: str) -> WeightsModel: ...
