"""Names the numbers of products that count in searches; see hybrid.search.numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hybrid.contracts import Prior
from hybrid.elastic.retrieval.numbers import Numbers
from hybrid.search import numbers
from hybrid.services import Services


def set_priors(services: Services, index: str, names: Sequence[str]) -> list[Prior]:
    """Let these numbers of an index count, in place of those before; none: no number counts.

    names: fields, with `:less` where less is better. Their values are measured now. Searches take them up within five
    seconds.

    Raises:
        UsageError: a field that is no number and no date, that no product has, or that all have alike.
        IndexMissingError, IndexConflictError: no such index, or not one of the layer's.
        AccessRefusedError: the user may not change the mapping.
        ClusterError
    """
    profile = services.cluster.indices.read_profile(index, one=True)
    priors = services.cluster.store(Numbers).measure(profile, numbers.parse(names, profile.fields))
    services.cluster.indices.note_priors(index, priors)
    services.retrieval.forget()
    return priors


def to_json(index: str, priors: Sequence[Prior]) -> dict[str, Any]:
    """The answer of the command line and of HTTP."""
    listed = [
        {"field": one.field, "less": one.less, "date": one.is_date, "median": None if one.is_date else one.typical,
         "half_life_days": one.typical if one.is_date else None}
        for one in priors
    ]  # fmt: skip
    return {"index": index, "priors": listed}


def said(prior: Prior) -> str:
    """A prior in one line."""
    if prior.is_date:
        better = "older is better" if prior.less else "newer is better"
        return f"{prior.field}: {better}, half of it for each {prior.typical:,.0f} days of age"
    better = "less is better" if prior.less else "more is better"
    lowest, highest = prior.quantiles[0][0], prior.quantiles[-1][0]
    return f"{prior.field}: {better}; from {lowest:g} to {highest:g}, median {prior.typical:g}"
