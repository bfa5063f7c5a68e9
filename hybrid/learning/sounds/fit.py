"""Training of the small network of hybrid.encoders.trained.sounds on sounds that have a tag, and what it is worth.

The network learns to name the tag of a sound, of windows that are moved, stretched, put into noise and partly hidden
(SpecAugment: Park et al., 2019), and its last layer but one is the sound's vector. Tags are told apart by the cosine
(Wang et al., CosFace, 2018, without the margin), which is what searches compare by.
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

#: Shares of the MFCC statistics in a vector, by method; "mfcc" is these alone, what there is without training.
SHARES = {"cnn": 0.0, "cnn+mfcc": 0.3}
METHODS = ("mfcc", *SHARES)
#: A tag needs so many sounds, and so many tags are needed, to be told apart from chance.
MIN_SOUNDS, MIN_TAGS = 4, 2
FOLDS, STEPS = 4, 300
_BATCH, _RATE, _SHARPNESS, _SMOOTHING = 24, 3e-3, 12.0, 0.1
CUT = 5


@dataclass(frozen=True)
class Sounds:
    """mels: of each sound its (frames, MELS) log energies. mfcc: (n, d) unit rows. tags: (n,) of str."""

    mels: Sequence[np.ndarray]
    mfcc: np.ndarray
    tags: np.ndarray

    def of(self, rows: np.ndarray) -> Sounds:
        """Some of them, by number."""
        return Sounds([self.mels[row] for row in rows], self.mfcc[rows], self.tags[rows])

    def vectors(self, model: SoundModel | None, method: str) -> np.ndarray:
        """(n, dims) unit rows by a method; "mfcc" asks for no model."""
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
    """The network, trained; the same for the same seed.

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
            # As many of each tag, however many sounds it has.
            rows = np.array([rng.choice(members[tag]) for tag in rng.integers(0, len(names), _BATCH)])
            heard = torch.from_numpy(scaled(np.stack([_altered(sounds.mels[row], rng) for row in rows])))[:, None]
            cosines = functional.normalize(net[0](heard), dim=1) @ functional.normalize(directions, dim=1).T
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
    """(WINDOW, MELS) float32: a part of the sound as it could have been, too."""
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
    """By method, what searching by a sound that was not learned from is worth: see `figures`; "seconds" of one fit. And
    by method the average precision of each sound, (n,).

    Stratified cross-validation: sounds of a part ask for those of the other parts.

    Raises:
        UsageError: there are too few sounds or tags.
    """
    from sklearn.model_selection import StratifiedKFold

    check(sounds)
    found = {method: np.zeros((len(sounds.tags), 3)) for method in METHODS}
    seconds = []
    parts = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(sounds.mfcc, sounds.tags)
    for number, (rest, part) in enumerate(parts):
        learned, asking = sounds.of(rest), sounds.of(part)
        started = time.perf_counter()
        model = _fitted(learned, "cnn", seed, steps)
        seconds.append(time.perf_counter() - started)
        with alone(seed):
            for method in METHODS:
                found[method][part] = scores(
                    asking.vectors(model, method), asking.tags, learned.vectors(model, method), learned.tags
                )
        if progress is not None:
            progress("compare", number + 1, FOLDS)
    told = {method: figures(rows) for method, rows in found.items()}
    for method in SHARES:
        told[method]["seconds"] = round(float(np.mean(seconds)), 1)
    return told, {method: rows[:, 2] for method, rows in found.items()}


def precisions(model: SoundModel, sounds: Sounds, rows: np.ndarray) -> np.ndarray:
    """(rows,) average precision of those sounds that ask for all others, by a network that was trained elsewhere."""
    vectors = together(model.encode(sounds.mels), sounds.mfcc, model.share)
    others = ~np.eye(len(vectors), dtype=bool)
    return np.concatenate(
        [
            scores(vectors[[row]], sounds.tags[[row]], vectors[others[row]], sounds.tags[others[row]])[:, 2]
            for row in rows.tolist()
        ]
    )


def scores(queries: np.ndarray, asked: np.ndarray, candidates: np.ndarray, held: np.ndarray) -> np.ndarray:
    """(n, 3) of each query: whether the nearest has its tag, precision of the first CUT (or of as many as have the tag,
    where those are fewer), average precision. Queries whose tag no candidate has are left out."""
    rows = []
    for query, tag in zip(queries, asked, strict=True):
        right = held[np.argsort(-(candidates @ query), kind="stable")] == tag
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
