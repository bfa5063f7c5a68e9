"""Numbers of the products (hybrid.search.numbers): measured when they are named, and read with each hit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from elasticsearch import Elasticsearch

from hybrid.contracts import IndexProfile, Prior
from hybrid.elastic.client import translated
from hybrid.errors import UsageError
from hybrid.search import numbers
from hybrid.search.ports import Candidates


class Numbers:
    """Measures numbers of products."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def measure(self, profile: IndexProfile, wanted: Sequence[tuple[str, bool]]) -> list[Prior]:
        """The priors of these (field, whether less is better), by the values of the whole catalogue.

        Raises:
            UsageError: no product has a value, or all have the same.
            IndexMissingError, ClusterError
        """
        priors = []
        for path, less in wanted:
            percentiles = {"percentiles": {"field": path, "percents": numbers.PERCENTS, "keyed": False}}
            with translated(profile.index):
                answer = self._client.search(index=profile.index, size=0, aggs={"values": percentiles})
            found = [place["value"] for place in answer["aggregations"]["values"]["values"]]
            if found[0] is None:
                raise UsageError(f"priors: no product of {profile.index} has a {path}")
            is_date = profile.fields.types[path] == "date"
            priors.append(numbers.measured(path, less, found, is_date, numbers.today()))
        return priors


def fields(priors: Sequence[Prior]) -> list[Any]:
    """The doc values that every hit is read with; dates as numbers."""
    return [{"field": one.field, "format": "epoch_millis"} if one.is_date else one.field for one in priors]


def add(body: Mapping[str, Any], priors: Sequence[Prior]) -> dict[str, Any]:
    """The same search, whose hits have these numbers."""
    return {**body, "docvalue_fields": [*body["docvalue_fields"], *fields(priors)]} if priors else dict(body)


def browse(body: Mapping[str, Any], priors: Sequence[Prior]) -> dict[str, Any]:
    """The same search in the order of `hybrid.search.numbers.browsed`; each hit keeps its score."""
    if not priors:
        return dict(body)
    order = [
        {one.field: {"order": "asc" if one.less else "desc", "mode": "min" if one.less else "max", "missing": "_last"}}
        for one in priors
    ]
    return {**body, "sort": order, "track_scores": True}


def score(candidates: Candidates, hits: Mapping[str, Mapping[str, Any]], priors: Sequence[Prior]) -> None:
    """Give every candidate its raw scores by these numbers. hits: product id -> hit of a search that `add` made."""

    def values(id: str, field: str) -> Sequence[Any]:
        found: Sequence[Any] = hits[id].get("fields", {}).get(field, ())
        return found

    numbers.score(candidates.raw, candidates.imputed, priors, values)
