"""Selection by evidence: weights replace simpler ones only where their gain is more than chance.

A kind is a candidate: how it is fitted to rows, and what nDCG it has on rows. What fits it is not known here. Kinds
are compared by repeated nested cross-validation: whatever a candidate chooses, it chooses inside of `fit`, on folds of
its own training rows (`tuned`), so that the outer folds only report. Each kind must beat the one in force before it by
the lower bound of its paired gain, which takes into account that the training sets of the folds overlap and that
several kinds are tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

#: How sure it is to be that none of the kinds that are chosen is no better.
SURE = 0.98
_INNER_FOLDS = 2
Setting = TypeVar("Setting")


@dataclass(frozen=True)
class Candidate:
    """A kind of weights. fit: (rows to learn from, seed) -> what was fitted. score: (that, (n,) rows) -> (n,) nDCG."""

    name: str
    fit: Callable[[np.ndarray, int], Any]
    score: Callable[[Any, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Fold:
    """Rows held out and rows to learn from, of one fold in one repeat (`turn`). The same seed gives the same folds."""

    turn: int
    held_out: np.ndarray
    rest: np.ndarray


@dataclass(frozen=True)
class HeldOutFits:
    """A candidate in each fold: what was fitted to its other rows, and the (held out,) scores."""

    fitted: list[Any]
    scores: list[np.ndarray]


def folds_of(rows: np.ndarray, folds: int, repeats: int, seed: int, limit: int | None = None) -> Iterator[Fold]:
    """Folds over rows, shuffled anew in each repeat. limit: learn from at most so many of the other rows."""
    for turn in range(repeats):
        order = np.random.default_rng(seed + turn).permutation(len(rows))
        for fold in range(folds):
            held_out = np.sort(order[fold::folds])
            rest = np.setdiff1d(order, held_out)
            chosen = np.random.default_rng(seed + turn).permutation(rest)[:limit]
            yield Fold(turn, rows[held_out], rows[np.sort(chosen)])


def cross_validated(
    candidates: Sequence[Candidate], folds: Sequence[Fold], seed: int = 0, progress: Callable[[], None] = lambda: None
) -> dict[str, HeldOutFits]:
    """name -> the candidate in each of the folds."""
    found = {candidate.name: HeldOutFits([], []) for candidate in candidates}
    for fold in folds:
        for candidate in candidates:
            fitted = candidate.fit(fold.rest, seed + fold.turn)
            found[candidate.name].fitted.append(fitted)
            found[candidate.name].scores.append(candidate.score(fitted, fold.held_out))
            progress()
    return found


def tuned(
    settings: Sequence[Setting],
    scores: Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray]],
    rows: np.ndarray,
    seed: int = 0,
    folds: int = _INNER_FOLDS,
) -> Setting:
    """The setting that does best on inner folds of these rows; of equals, the first.

    scores: (rows to learn from, (n,) rows held out) -> for each setting, its (n,) scores there.
    """
    if len(settings) == 1 or len(rows) < 2 * folds:
        return settings[0]
    totals = np.zeros(len(settings))
    for fold in folds_of(rows, folds, 1, seed):
        totals += [float(np.sum(found)) for found in scores(fold.rest, fold.held_out)]
    return settings[int(totals.argmax())]


def least_gain(gains: Sequence[np.ndarray], learned: float, sure: float) -> tuple[float, float]:
    """(mean, one-sided lower bound) of the gain of one kind over another, from a cross-validation.

    gains: for each fold of each repeat, the (held out,) paired differences. learned: rows that a fold learned from, on
    average. sure: the bound holds with this probability.

    The folds learn from nearly the same rows, so that their means are no independent draws. The variance of the mean is
    therefore (1 / J + held out / learned) times that of one fold's mean, for J folds: the corrected resampled t-test of
    Nadeau and Bengio, "Inference for the generalization error" (Machine Learning 2003), for repeated cross-validation
    as in Bouckaert and Frank (PAKDD 2004). The variance of one fold's mean is that of its queries over their number,
    or that between the folds where this is larger.
    """
    pooled = np.concatenate(gains)
    mean = float(pooled.mean())
    if len(pooled) < 2:
        return mean, -math.inf
    from scipy import stats

    held_out = len(pooled) / len(gains)
    one_fold = float(pooled.var(ddof=1)) / held_out
    if len(gains) > 1:
        one_fold = max(one_fold, float(np.var([fold.mean() for fold in gains], ddof=1)))
    variance = (1 / len(gains) + held_out / max(learned, 1.0)) * one_fold
    queries = held_out + learned if len(gains) > 1 else held_out
    return mean, mean - float(stats.t.ppf(sure, max(1.0, queries - 1))) * math.sqrt(variance)


@dataclass(frozen=True)
class Step:
    """A kind compared with the one in force. gain: mean of the paired differences of nDCG@10, held out. least: what it
    is at least, as sure as `sure` says."""

    kind: str
    against: str
    gain: float
    least: float
    sure: float

    @property
    def better(self) -> bool:
        return self.least > 0

    def __str__(self) -> str:
        verb = "better" if self.better else "no better"
        return (
            f"{self.kind} is {verb} than {self.against} ({self.gain:+.4f} nDCG@10, {100 * self.sure:.4g} % sure is "
            f"{self.least:+.4f} or more)"
        )

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "better": self.better}


def climb(
    in_force: str,
    kinds: Sequence[str],
    scores: Mapping[str, Sequence[np.ndarray]],
    folds: Sequence[Fold],
    sure: float = SURE,
) -> tuple[str, list[Step]]:
    """(the kind that has earned its place, each comparison): from the simplest to the richest, each kind against the
    one in force, whose place it takes where the lower bound of its gain is above 0.

    in_force: what stays where none is better. kinds: simplest first. scores: for each of them and for `in_force`, the
    (held out,) scores of each fold. sure: that none is chosen by chance; Bonferroni's correction shares the rest among
    the kinds.
    """
    learned = float(np.mean([len(fold.rest) for fold in folds]))
    each = 1 - (1 - sure) / max(1, len(kinds))
    steps = []
    for kind in kinds:
        gains = [mine - before for mine, before in zip(scores[kind], scores[in_force], strict=True)]
        gain, least = least_gain(gains, learned, each)
        steps.append(Step(kind, in_force, gain, least, each))
        if steps[-1].better:
            in_force = kind
    return in_force, steps
