"""What search needs of the index and of the published weights, as seams: it knows no Elasticsearch client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from hybrid.contracts import IndexProfile
from hybrid.search.weights import WeightsModel
from hybrid.text.completions import Typed


class RetrievedLike(Protocol):
    """See hybrid.elastic.retrieval.candidates.Retrieved."""

    lists: dict[str, list[str]]
    raw: dict[str, dict[str, float | None]]
    stand_ins: dict[str, dict[str, float]]
    matched: int
    total: int
    facets: dict[str, list[dict[str, Any]]]
    failed: dict[str, str]
    views: dict[str, dict[str, int]]


class RetrievalLike(Protocol):
    """What search needs of the index."""

    def profile(self, index: str) -> IndexProfile: ...
    def moved(self, profile: IndexProfile) -> bool: ...
    def superseded(self, profile: IndexProfile) -> bool: ...
    def indices(self) -> list[str]: ...
    def retrieve(
        self,
        profile: IndexProfile,
        terms: str | None,
        vectors: Mapping[str, np.ndarray],
        filters: Mapping[str, Any],
        facets: Sequence[str],
        depth: int,
        lookalikes: bool = True,
        without: str = "",
    ) -> RetrievedLike: ...
    def vectors(self, profile: IndexProfile, id: str) -> dict[str, np.ndarray]: ...
    def tail(
        self,
        profile: IndexProfile,
        terms: str,
        filters: Mapping[str, Any],
        exclude: Sequence[str],
        start: int,
        size: int,
    ) -> list[tuple[str, float]]: ...
    def sources(self, profile: IndexProfile, ids: Sequence[str]) -> dict[str, dict[str, Any]]: ...
    def views_at(self, profile: IndexProfile, ids: Sequence[str]) -> dict[str, dict[str, list[float]]]: ...
    def completing(self, profile: IndexProfile, typed: Typed, size: int) -> dict[str, dict[str, Any]]: ...


class PublishedLike(Protocol):
    """See hybrid.search.weights.PublishedWeights."""

    def active(self, index: str) -> tuple[WeightsModel, str]: ...
    def named(self, index: str, version: str) -> WeightsModel: ...
    def of_kind(self, index: str, kind: str) -> WeightsModel: ...
