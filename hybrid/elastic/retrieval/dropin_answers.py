"""The answers to the searches for the candidates of one search of a shop, and what has to be read besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hybrid.dropin.request import Json, RankedSearch, SignalSearch, Version
from hybrid.elastic.client import error_reason
from hybrid.elastic.retrieval import codes as product_codes
from hybrid.elastic.retrieval import dropin_searches
from hybrid.elastic.retrieval.collected import Collected
from hybrid.elastic.retrieval.cosines import Known
from hybrid.errors import ClusterError
from hybrid.signals import CODE


@dataclass
class Answers:
    """The answers to the searches for one search's candidates, of which `ShopCandidates` are made.

    known: the cached cosines and evidence of an equal search. unread: ids of candidates that have none for their
    version. stale: ids of all others where there are such, so that the evidence of all is of one moment. told: the hits
    that cosines and evidence are read of. coded: product id -> raw score by its code. units: the best score of each
    part of the shop's query, where it was requested.
    """

    search: RankedSearch
    known: Known
    whole: Sequence[Json]
    collected: Collected
    versions: dict[str, Version]
    unread: list[str]
    stale: list[str]
    told: dict[str, Json]
    coded: dict[str, float]
    units: list[float]

    @classmethod
    def of(cls, search: RankedSearch, known: Known, parts: Sequence[SignalSearch], whole: Sequence[Json]) -> Answers:
        """whole: the answer to each of the parts.

        Raises:
            ClusterError: the shop's own search, which is the first, has none, or a part of its query has no best score.
        """
        for part, one in zip(parts, whole, strict=True):
            if "error" in one and (one is whole[0] or not part.signal):
                raise unanswered(search, one)
        collected = Collected.of((part.signal, one) for part, one in zip(parts, whole, strict=True) if part.signal)
        versions = {id: version_of(hit) for id, hit in collected.hits.items() if "_seq_no" in hit}
        unread = [id for id in collected.hits if id not in known or known[id].version != versions.get(id)]
        changed = frozenset(unread)
        stale = [id for id in collected.hits if id not in changed] if changed and search.evidence.places else []
        coded = {
            id: score
            for part, one in zip(parts, whole, strict=True)
            if part.signal == CODE and "error" not in one
            for id, score in product_codes.scores(one).items()
        }
        units = [
            float(one["hits"].get("max_score") or 0.0)
            for part, one in zip(parts, whole, strict=True)
            if not part.signal
        ]
        return cls(search, known, whole, collected, versions, unread, stale, dict(collected.hits), coded, units)

    @cached_property
    def unread_searches(self) -> list[Json]:
        """The searches for what the hits do not tell; none where the search was not known, for its hits tell all."""
        if not self.known:
            return []
        asked = ((self.unread, True), (self.stale, False))
        return [dropin_searches.unread(self.search, ids, codes) for ids, codes in asked if ids]

    def read(self, answers: Sequence[Json]) -> None:
        """Take over the answers to `unread_searches`.

        Raises:
            ClusterError: one of the searches has none.
        """
        # What is gone meanwhile tells nothing. Without a version, a candidate that is not read now is not cached.
        self.told.update({id: {} for id in (*self.unread, *self.stale)})
        unread = frozenset(self.unread)
        for id in unread:
            self.versions.pop(id, None)
        for answer in answers:
            if "error" in answer:
                raise unanswered(self.search, answer)
            for hit in answer["hits"]["hits"]:
                self.told[hit["_id"]] = hit
                if hit["_id"] in unread:  # the cosines of the others are of the version before
                    self.versions[hit["_id"]] = version_of(hit)


def unanswered(search: RankedSearch, answer: Json) -> ClusterError:
    """The error of a search that the cluster has not answered."""
    return ClusterError(f"Elasticsearch could not search {search.profile.index}: {error_reason(answer)[1]}")


def version_of(hit: Mapping[str, Any]) -> Version:
    """The version of a hit that was read with its number."""
    return Version(hit["_index"], hit["_seq_no"], hit["_primary_term"])
