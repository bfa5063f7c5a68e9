"""Training of the small network of hybrid.encoders.trained.sounds on sounds that have a tag, and its evaluation.

The network learns to name the tag of a sound, from windows that are moved, stretched, put into noise and partly hidden
(SpecAugment: Park et al., 2019). Its last layer but one is the sound's vector. The loss compares vectors by the cosine
(Wang et al., CosFace, 2018, without the margin), as searches do.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid.encoders.trained.sounds import SILENT, WINDOW, SoundModel, network, scaled, together
from hybrid.errors import UsageError
from hybrid.learning.fine_tuning import alone

#: Trained methods -> share of the MFCC statistics in a vector. The method "mfcc" is these statistics alone, untrained.
SHARES = {"cnn": 0.0, "cnn+mfcc": 0.3}
METHODS = ("mfcc", *SHARES)
#: Least number of sounds of a tag, and of tags, at which a figure differs from chance.
MIN_SOUNDS, MIN_TAGS = 4, 2
FOLDS, STEPS = 4, 300
_BATCH, _RATE, _SHARPNESS, _SMOOTHING = 24, 3e-3, 12.0, 0.1
CUT = 5


@dataclass(frozen=True)
class Sounds:
    """n sounds with tags. mels: log energies. mfcc: unit rows."""

    mels: Sequence[np.ndarray]  # n times (frames, MELS)
    mfcc: np.ndarray  # (n, d)
    tags: np.ndarray  # (n,) of str

    def of(self, rows: np.ndarray) -> Sounds:
        """The sounds of these rows, by number."""
        return Sounds([self.mels[row] for row in rows], self.mfcc[rows], self.tags[rows])

    def vectors(self, model: SoundModel | None, method: str) -> np.ndarray:
        """(n, dims) unit rows by a method; "mfcc" needs no model."""
        if method == "mfcc" or model is None:
            return self.mfcc
        return together(model.encode(self.mels), self.mfcc, SHARES[method])


def check(sounds: Sounds) -> None:
    """Raises UsageError: there are too few sounds or tags."""
    names, counts = np.unique(sounds.tags, return_counts=True)
    if len(names) < MIN_TAGS or counts.min(initial=MIN_SOUNDS) < MIN_SOUNDS:
        raise UsageError(
            f"{len(sounds.tags)} sounds of {len(names)} tags are too few to learn from: at least {MIN_TAGS} tags with "
            f"{MIN_SOUNDS} sounds each are needed"
        )


def fit(sounds: Sounds, method: str = "cnn", seed: int = 0, steps: int | None = None) -> SoundModel:
    """The trained network. The same seed gives the same network.

    Raises:
        UsageError: there are too few sounds or tags.
    """
    check(sounds)
    return _fitted(sounds, method, seed, steps)


def _fitted(sounds: Sounds, method: str, seed: int, steps: int | None) -> SoundModel:
    import torch
    from torch.nn import functional

    steps = steps or STEPS
    rng = np.random.default_rng(seed)
    names, tags = np.unique(sounds.tags, return_inverse=True)
    members = [np.flatnonzero(tags == tag) for tag in range(len(names))]
    with alone(seed):
        net = network(len(names)).train()
        directions = list(net.parameters())[-1]  # of the tags
        optimiser = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
        for _ in range(steps):
            # Every tag is drawn equally often, however many sounds it has.
            rows = np.array([rng.choice(members[tag]) for tag in rng.integers(0, len(names), _BATCH)])
            batch = torch.from_numpy(scaled(np.stack([_altered(sounds.mels[row], rng) for row in rows])))[:, None]
            cosines = functional.normalize(net[0](batch), dim=1) @ functional.normalize(directions, dim=1).T
            loss = functional.cross_entropy(
                _SHARPNESS * cosines, torch.from_numpy(tags[rows]), label_smoothing=_SMOOTHING
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        weights = {name: value.detach().numpy().copy() for name, value in net.state_dict().items()}
    rounded = {name: array.astype(np.float16) if array.dtype.kind == "f" else array for name, array in weights.items()}
    return SoundModel(rounded, tuple(names.tolist()), SHARES[method])


def _altered(mel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(WINDOW, MELS) float32: an altered part of the sound, for training."""
    count, bands = mel.shape
    # Faster or slower, and a little higher or lower.
    mel = mel[np.linspace(0, count - 1, max(4, int(count * rng.uniform(0.8, 1.25)))).round().astype(int)]
    places = np.clip(np.arange(bands) * rng.uniform(0.92, 1.08), 0, bands - 1)
    below = places.astype(int)
    part = (places - below).astype(np.float32)
    mel = mel[:, below] * (1 - part) + mel[:, np.minimum(below + 1, bands - 1)] * part
    if len(mel) < WINDOW:
        out = np.full((WINDOW, bands), SILENT, np.float32)
        start = int(rng.integers(0, WINDOW - len(mel) + 1))
        out[start : start + len(mel)] = mel
    else:
        start = int(rng.integers(0, len(mel) - WINDOW + 1))
        out = mel[start : start + WINDOW].astype(np.float32)
    if rng.random() < 0.25:
        noise = rng.uniform(-12, -3) + rng.normal(0, 0.5, out.shape)
        out = np.logaddexp(out, noise).astype(np.float32)
    for _ in range(2):
        wide, long = int(rng.integers(0, 6)), int(rng.integers(0, 20))
        low, early = int(rng.integers(0, bands - wide)), int(rng.integers(0, WINDOW - long))
        out[:, low : low + wide] = SILENT / 2
        out[early : early + long] = SILENT / 2
    return out


def validate(
    sounds: Sounds, seed: int = 0, steps: int | None = None, progress: Any = None
) -> tuple[dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """(method -> figures of searches by held-out sounds, see `figures`, with "seconds" of one fit; method -> (n,)
    average precision of each sound).

    Stratified cross-validation: the sounds of a fold search those of the other folds.

    Raises:
        UsageError: there are too few sounds or tags.
    """
    from sklearn.model_selection import StratifiedKFold

    check(sounds)
    by_method = {method: np.zeros((len(sounds.tags), 3)) for method in METHODS}
    seconds = []
    parts = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(sounds.mfcc, sounds.tags)
    for number, (rest, part) in enumerate(parts):
        learned, asking = sounds.of(rest), sounds.of(part)
        started = time.perf_counter()
        model = _fitted(learned, "cnn", seed, steps)
        seconds.append(time.perf_counter() - started)
        with alone(seed):
            for method in METHODS:
                by_method[method][part] = scores(
                    asking.vectors(model, method), asking.tags, learned.vectors(model, method), learned.tags
                )
        if progress is not None:
            progress("compare", number + 1, FOLDS)
    results = {method: figures(rows) for method, rows in by_method.items()}
    for method in SHARES:
        results[method]["seconds"] = round(float(np.mean(seconds)), 1)
    return results, {method: rows[:, 2] for method, rows in by_method.items()}


def precisions(model: SoundModel, sounds: Sounds, rows: np.ndarray) -> np.ndarray:
    """(rows,) average precision of these sounds in a search of all others, by a network of another training."""
    vectors = together(model.encode(sounds.mels), sounds.mfcc, model.share)
    others = ~np.eye(len(vectors), dtype=bool)
    return np.concatenate(
        [
            scores(vectors[[row]], sounds.tags[[row]], vectors[others[row]], sounds.tags[others[row]])[:, 2]
            for row in rows.tolist()
        ]
    )


def scores(
    queries: np.ndarray, query_tags: np.ndarray, candidates: np.ndarray, candidate_tags: np.ndarray
) -> np.ndarray:
    """(n, 3) of each query: whether the nearest candidate has its tag, precision of the first CUT candidates (or of as
    many as have the tag, where those are fewer), average precision. Queries whose tag no candidate has are left out."""
    rows = []
    for query, tag in zip(queries, query_tags, strict=True):
        right = candidate_tags[np.argsort(-(candidates @ query), kind="stable")] == tag
        if count := int(right.sum()):
            precise = np.cumsum(right) / np.arange(1, len(right) + 1)
            rows.append((right[0], right[: min(CUT, count)].mean(), precise[right].mean()))
    return np.array(rows, dtype=float).reshape(-1, 3)


def figures(rows: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """{"top1", "precision@5", "map", "queries", "intervals": {figure: (low, high)}} of `scores`; 95 %, by bootstrap."""
    names = ("top1", f"precision@{CUT}", "map")
    drawn = np.random.default_rng(seed).integers(0, len(rows), (1_000, len(rows)))
    low, high = np.percentile(rows[drawn].mean(axis=1), (2.5, 97.5), axis=0)
    means = rows.mean(axis=0)
    return {
        **{name: round(float(means[at]), 4) for at, name in enumerate(names)},
        "queries": len(rows),
        "intervals": {name: (round(float(low[at]), 4), round(float(high[at]), 4)) for at, name in enumerate(names)},
    }


def best(results: dict[str, dict[str, Any]]) -> str:
    """The trained method of the best mean average precision."""
    return max(SHARES, key=lambda method: float(results[method]["map"]))
