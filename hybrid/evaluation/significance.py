"""Whether a difference between two systems is more than noise: paired comparisons and intervals. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: A query is hurt (or helped) when it loses (or gains) more than this much nDCG@10 against the baseline.
HURT = 0.05
#: The difference of nDCG@10 that the power of a list of judgments is stated for, and how sure it is to be seen.
SHOWN, POWER = 0.01, 0.8
_TWO_SIDED = 0.05
_RESAMPLES = 9_999


@dataclass(frozen=True)
class Comparison:
    """One system on the same queries as a baseline: mean with its 95 % bootstrap interval; difference of the means
    with the p-value of a paired randomisation test (Smucker, Allan and Carterette, CIKM 2007), two-sided and not
    corrected for how many systems are compared; shares of the queries hurt and helped; needed: see `queries_needed`."""

    mean: float
    low: float
    high: float
    difference: float
    p: float
    hurt: float
    helped: float
    needed: int | None


def compare(systems: Mapping[str, np.ndarray], baseline: str, seed: int = 0) -> dict[str, Comparison]:
    """Each system's (queries,) scores against the baseline's."""
    comparisons = {}
    for name, scores in systems.items():
        low, high = interval(scores, seed)
        gained = scores - systems[baseline]
        comparisons[name] = Comparison(
            mean=round(float(scores.mean()), 4),
            low=low,
            high=high,
            difference=round(float(gained.mean()), 4),
            p=round(_p_value(gained, seed), 4),
            hurt=round(float((gained < -HURT).mean()), 4),
            helped=round(float((gained > HURT).mean()), 4),
            needed=queries_needed(gained),
        )
    return comparisons


def queries_needed(gained: np.ndarray) -> int | None:
    """How many judged queries would show a difference of SHOWN nDCG@10 between two systems; None: it cannot be told.

    As the p-values here: paired and two-sided at 5 %, found with a power of 80 %, by the normal approximation from the
    standard deviation of these (queries,) differences (Sakai, "Topic set size design", Information Retrieval 2016).
    """
    from scipy import stats

    spread = float(np.std(gained, ddof=1)) if len(gained) > 1 else 0.0
    if spread < 1e-9:
        return None
    reach = float(stats.norm.ppf(1 - _TWO_SIDED / 2) + stats.norm.ppf(POWER))
    return math.ceil((reach * spread / SHOWN) ** 2)


def interval(scores: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of (queries,) scores."""
    low, high = np.quantile(_resampled_means(scores, seed), [0.025, 0.975])
    return round(float(low), 4), round(float(high), 4)


def _resampled_means(scores: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    # In parts: all at once, ten thousand queries would take a gigabyte.
    part = max(1, 5_000_000 // len(scores))
    sizes = [min(part, _RESAMPLES - start) for start in range(0, _RESAMPLES, part)]
    return np.concatenate([scores[rng.integers(0, len(scores), (size, len(scores)))].mean(1) for size in sizes])


def _p_value(gained: np.ndarray, seed: int) -> float:
    from scipy import stats

    if len(gained) < 2 or not np.abs(gained).max() > 1e-12:
        return 1.0  # of a single difference, either sign is as extreme
    result = stats.permutation_test(
        (gained, np.zeros_like(gained)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=_RESAMPLES,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


@dataclass(frozen=True)
class Change:
    """nDCG@10 of one query, before and after."""

    query: str
    before: float
    after: float

    @property
    def gain(self) -> float:
        return self.after - self.before


@dataclass(frozen=True)
class Paired:
    """Two results of the same queries: means, difference of the means with its 95 % bootstrap interval, and the
    queries, those that lose most first."""

    before: float
    after: float
    difference: float
    low: float
    high: float
    changes: list[Change] = field(repr=False)

    @property
    def lost(self) -> list[Change]:
        return [change for change in self.changes if change.gain < -HURT]

    @property
    def won(self) -> list[Change]:
        """The queries that gain; those that gain most first."""
        return [change for change in reversed(self.changes) if change.gain > HURT]

    def to_json(self) -> dict[str, Any]:
        return {
            **{name: value for name, value in self.__dict__.items() if name != "changes"},
            "queries": len(self.changes),
            "lost": [change.__dict__ for change in self.lost],
            "won": [change.__dict__ for change in self.won],
        }


def paired(before: Mapping[str, float], after: Mapping[str, float], seed: int = 0) -> Paired | None:
    """query -> score of two results, compared on the queries that both have; None where there are none."""
    changes = [Change(query, before[query], after[query]) for query in before if query in after]
    if not changes:
        return None
    gains = np.array([change.gain for change in changes])
    low, high = interval(gains, seed)
    first, second = ([getattr(change, name) for change in changes] for name in ("before", "after"))
    return Paired(
        round(float(np.mean(first)), 4), round(float(np.mean(second)), 4), round(float(gains.mean()), 4), low, high,
        sorted(changes, key=lambda change: change.gain),
    )  # fmt: skip
