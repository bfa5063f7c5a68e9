"""Weights that a request states, in place of those that are learned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hybrid.contracts import Prior
from hybrid.errors import UsageError
from hybrid.search.prior import SHARES
from hybrid.signals import LEXICAL, PRIOR, SIGNALS, kind_of


def by_hand(
    weights: Mapping[str, float] | None, alpha: float | None, signals: Sequence[str]
) -> dict[str, float] | None:
    """Weights that a request states, or None. alpha: the share of the vectors where there are two signals.

    signals: those in play, a prior by its whole name (`prior.rating`).

    Raises:
        UsageError: both, an unknown signal, a negative number, all zero, alpha with other than two signals.
    """
    if weights is not None and alpha is not None:
        raise UsageError("give weights or alpha, not both")
    if alpha is not None:
        if not 0 <= alpha <= 1:
            raise UsageError("alpha is the share of the vectors, from 0 (words alone) to 1 (vectors alone)")
        signals = [name for name in signals if kind_of(name) != PRIOR]
        if len(signals) < 2:  # a query that only one signal understands: there is nothing to mix
            return dict.fromkeys(signals, 1.0)
        kinds = list(dict.fromkeys(map(kind_of, signals)))
        if len(kinds) > 2 or LEXICAL not in kinds:
            raise UsageError(f"alpha mixes words with one kind of vector; in play: {', '.join(signals) or 'nothing'}")
        vector = next((kind for kind in kinds if kind != LEXICAL), LEXICAL)
        return _divided({LEXICAL: 1 - alpha, vector: alpha}, signals)
    can = (LEXICAL, *SIGNALS, PRIOR, *(one for one in signals if kind_of(one) == PRIOR))
    for name, weight in (weights or {}).items():
        if name not in (*can, *SHARES):
            raise UsageError(f"no signal {name!r} to weigh; signals: {', '.join(can)}")
        if not (isinstance(weight, int | float) and math.isfinite(weight) and weight >= 0):
            raise UsageError(f"weight of {name}: a number from 0 up is wanted")
    if weights is not None and sum(weights.values()) == 0:
        raise UsageError("all weights are 0; give at least one signal a weight")
    return None if weights is None else {**weights, **_divided(weights, signals)}


def _divided(weights: Mapping[str, float], signals: Sequence[str]) -> dict[str, float]:
    """The weight of each kind, divided among those of its signals in play that are not named themselves."""
    members: dict[str, list[str]] = {}
    for name in signals:
        if name == kind_of(name) or name not in weights:
            members.setdefault(kind_of(name), []).append(name)
    return {name: weights[kind] / len(names) for kind, names in members.items() if kind in weights for name in names}


def of_priors(given: Mapping[str, float], priors: Sequence[Prior]) -> dict[str, float]:
    """The weights of priors that a request states: of those that it names, and "prior" for the others together."""
    names = [prior.signal for prior in priors]
    kind = {PRIOR: given.get(PRIOR, 0.0)} if any(name not in given for name in names) else {}
    stated = {**{name: given[name] for name in names if name in given}, **kind}
    return stated if sum(stated.values()) > 0 else {}
