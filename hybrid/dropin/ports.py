"""The interfaces that the drop-in needs of the search and of the way to the cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from hybrid.contracts import IndexProfile
from hybrid.dropin.request import (
    Body,
    CandidateReply,
    FinalRequest,
    Json,
    PageHits,
    PageRequest,
    Params,
    RankedSearch,
    Reply,
    ShopCandidates,
    ShopSearch,
)
from hybrid.dropin.spelling import Met, Mistyped
from hybrid.search.preparation import Prepared
from hybrid.searches import SearchRequest


class SearcherLike(Protocol):
    """See hybrid.search.searcher.Searcher."""

    def served(self) -> frozenset[str]: ...
    def profile(self, index: str) -> IndexProfile: ...
    def moved(self, profile: IndexProfile) -> bool: ...
    def prepare(self, request: SearchRequest, profile: IndexProfile) -> Prepared: ...
    def holds(self, prepared: Prepared) -> bool: ...


class TransportLike(Protocol):
    """See hybrid.elastic.retrieval.transport.Transport."""

    def search(self, index: str, body: Body, params: Params) -> Reply: ...
    def msearch(self, searches: Sequence[tuple[Params, Body]], params: Params) -> Reply: ...
    def gather(
        self, searches: Sequence[RankedSearch], params: Params, depth: int, guess: FinalRequest | None = None
    ) -> CandidateReply: ...
    def candidates(self, gathered: CandidateReply) -> tuple[list[ShopCandidates], int]: ...
    def pages(self, requests: Sequence[PageRequest], params: Params) -> tuple[list[PageHits], int]: ...
    def finals(self, requests: Sequence[FinalRequest], params: Params) -> tuple[list[Json], int]: ...
    def met(self, search: ShopSearch, profile: IndexProfile, words: Sequence[str]) -> Met: ...
    def similar(self, profile: IndexProfile, words: Sequence[Mistyped], fields: Sequence[str]) -> Mapping[str, str]: ...
    def indexed(self, index: str, fields: Sequence[str]) -> bool: ...
