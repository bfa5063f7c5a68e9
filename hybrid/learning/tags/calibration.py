"""Held-out predictions of tags: their calibration and their figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid.encoders.trained.calibration import Calibration, _adjusted, softmax

#: Strategies and balances whose macro-F1 differs by less than this are compared by their worst class.
_ALIKE = 0.01
#: Strengths of raising rare tags: 0 leaves the examples' frequencies, 1 counts all tags as equally frequent.
_BALANCES = (0.0, 0.25, 0.5, 0.75, 1.0)
_BINS = 10


def calibrate(probabilities: np.ndarray, truth: np.ndarray) -> Calibration:
    """The calibration that does best on (n, tags) probabilities of held-out examples. truth: (n,) numbers of tags."""
    shares = np.bincount(truth, minlength=probabilities.shape[1]) / len(truth)
    offsets = _balanced(probabilities, truth, np.log(np.maximum(shares, 1 / len(truth))).tolist())
    whole = Calibration(_temperature(_adjusted(probabilities, offsets), truth), 0.0, offsets)
    return Calibration(whole.temperature, _threshold(whole(probabilities), truth), offsets)


def _balanced(probabilities: np.ndarray, truth: np.ndarray, logs: Sequence[float]) -> tuple[float, ...]:
    """Offsets that raise rare tags, as far as the worst recall gains and macro-F1 does not lose."""
    names = [str(number) for number in range(len(logs))]
    offsets = {balance: tuple(balance * log for log in logs) if balance else () for balance in _BALANCES}
    tried = {
        balance: figures(names, truth, softmax(_adjusted(probabilities, lowered)))
        for balance, lowered in offsets.items()
    }
    top = max(result["macro_f1"] for result in tried.values())
    alike = [balance for balance, result in tried.items() if result["macro_f1"] >= top - _ALIKE]
    chosen = max(alike, key=lambda balance: (tried[balance]["worst_recall"], tried[balance]["macro_f1"], -balance))
    return offsets[chosen]


def _temperature(logs: np.ndarray, truth: np.ndarray) -> float:
    """The temperature of the highest likelihood (Guo et al., ICML 2017)."""
    from scipy.optimize import minimize_scalar

    def loss(log: float) -> float:
        right = softmax(logs / float(np.exp(log)))[np.arange(len(truth)), truth]
        return float(-np.log(np.maximum(right, 1e-9)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded").x))


def _threshold(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The least confidence of tags that are written: the one where right tags outnumber wrong ones by most."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    order = np.argsort(-confidence, kind="stable")
    gained = np.cumsum(np.where(right[order], 1, -1))
    return float(np.floor(confidence[order][gained.argmax()] * 1000) / 1000)


@dataclass(frozen=True)
class HeldOut:
    """Calibrated predictions of n held-out items. calibration: fitted to all of them. views: probabilities by several
    views of each item; alone: by one part of several."""

    names: tuple[str, ...]
    truth: np.ndarray  # (n,)
    probabilities: np.ndarray  # (n, tags)
    calibration: Calibration
    views: np.ndarray  # (n, tags), or (0, tags)
    alone: Mapping[str, np.ndarray]

    def figures(self) -> dict[str, Any]:
        result = figures(self.names, self.truth, self.probabilities)
        if len(self.views):
            result["with_views"] = _brief(figures(self.names, self.truth, self.views))
        if self.alone:
            result["alone"] = {part: _brief(figures(self.names, self.truth, one)) for part, one in self.alone.items()}
        return result


def _brief(result: Mapping[str, Any]) -> dict[str, float]:
    return {name: result[name] for name in ("macro_f1", "worst_recall", "accuracy")}


def held_out(
    names: Sequence[str], truth: np.ndarray, raw: np.ndarray, fold: np.ndarray,
    views: np.ndarray | None = None, alone: Mapping[str, np.ndarray] | None = None,
) -> HeldOut:  # fmt: skip
    """Held-out predictions from raw (n, tags) probabilities. Each fold is calibrated on the other folds.

    fold: (n,) the fold of each item. views, alone: as in HeldOut, not calibrated.
    """
    by = {number: calibrate(raw[fold != number], truth[fold != number]) for number in np.unique(fold).tolist()}

    def calibrated(some: np.ndarray) -> np.ndarray:
        out = some.copy()
        for number, one in by.items() if len(some) else ():
            out[fold == number] = one(some[fold == number])
        return out

    return HeldOut(
        tuple(names), truth, calibrated(raw), calibrate(raw, truth), calibrated(raw[:0] if views is None else views),
        {part: calibrated(one) for part, one in (alone or {}).items()},
    )  # fmt: skip


def figures(names: Sequence[str], truth: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Macro-F1, worst recall and its tag, accuracy, expected calibration error, figures by tag, confusion, reliability.

    truth: (n,) numbers of names, -1 for none of them. A row of zeros in `probabilities` predicts no tag.
    """
    predictions = np.where(probabilities.max(axis=1) > 0, probabilities.argmax(axis=1), len(names))
    confusion = np.zeros((len(names), len(names) + 1), dtype=int)
    known = truth >= 0
    np.add.at(confusion, (truth[known], predictions[known]), 1)
    right = np.diagonal(confusion).astype(float)
    support, predicted_counts = confusion.sum(axis=1), np.bincount(predictions, minlength=len(names) + 1)[: len(names)]
    recall, precision = right / np.maximum(support, 1), right / np.maximum(predicted_counts, 1)
    f1 = 2 * right / np.maximum(support + predicted_counts, 1)
    there = np.flatnonzero(support)
    worst = int(there[recall[there].argmin()])
    bins, error = _reliability(probabilities.max(axis=1), predictions == truth)
    return {
        "count": len(truth),
        "macro_f1": round(float(f1[there].mean()), 4),
        "worst_recall": round(float(recall[worst]), 4),
        "worst": names[worst],
        "accuracy": round(float((predictions == truth).mean()), 4),
        "calibration_error": round(error, 4),
        "classes": {
            names[row]: {
                "count": int(support[row]), "precision": round(float(precision[row]), 4),
                "recall": round(float(recall[row]), 4), "f1": round(float(f1[row]), 4),
            }
            for row in there.tolist()
        },
        "confusion": confusion.tolist(),
        "reliability": bins,
    }  # fmt: skip


def _reliability(confidence: np.ndarray, right: np.ndarray) -> tuple[list[dict[str, float]], float]:
    """(by tenth of confidence: count, mean confidence, share right; the expected calibration error)."""
    which = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    bins: list[dict[str, float]] = []
    error = 0.0
    for number in np.unique(which):
        mine = which == number
        said, true = float(confidence[mine].mean()), float(right[mine].mean())
        error += abs(said - true) * float(mine.mean())
        bins.append({"count": int(mine.sum()), "confidence": round(said, 4), "right": round(true, 4)})
    return bins, error


def best(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The best strategy by macro-F1. Strategies alike in it are compared by worst recall, then by calibration."""
    top = max(result["macro_f1"] for result in results.values())
    alike = [name for name, result in results.items() if result["macro_f1"] >= top - _ALIKE]
    return max(
        alike,
        key=lambda name: (
            results[name]["worst_recall"],
            -results[name]["calibration_error"],
            results[name]["macro_f1"],
        ),
    )
