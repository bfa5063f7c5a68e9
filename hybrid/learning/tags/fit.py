"""Tags of products from their vectors: six strategies for unequal classes, fitted and cross-validated.

All strategies are linear heads over the encoders' vectors, so that a catalogue is tagged from the vectors in its index.
They differ in how they treat tags of few examples: weigh them more (`class-balanced`: Cui et al., CVPR 2019; `focal`:
Lin et al., ICCV 2017), draw them more often (`class-aware`: Shen et al., ECCV 2016), add examples (`augmentation`), or
let several heads vote (`ensemble`, with a shrunken linear discriminant that takes all tags as equally likely).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from hybrid.encoders.trained.picture_tags import PictureTags
from hybrid.encoders.trained.tags import Scale, TagModel
from hybrid.errors import UsageError
from hybrid.learning.tags.calibration import HeldOut, held_out

STRATEGIES = ("plain", "augmentation", "class-balanced", "focal", "class-aware", "ensemble")
MIN_EXAMPLES = 2
FOLDS = 5
#: Weight decay of a head, over features of mean variance 1.
_DECAY = 1e-3
_STEPS = 40
#: Beta of the effective number of examples, and gamma of the focal loss.
_BETA, _GAMMA = 0.999, 2.0
#: Shrinkage of the discriminant's covariance towards a multiple of the identity.
_SHRINK = 0.8
_BAGS = 3


@dataclass(frozen=True)
class Examples:
    """Training examples of tags. parts: "text" or "image" -> vectors, NaN rows for no vector.

    tags: names. items: the product or photo that a row is of. An item's first row is the vector that the index has; its
    further rows are views. All rows of an item are in the same fold. keys: of each row's item a key that is the same in
    another training.
    """

    parts: Mapping[str, np.ndarray]  # (n, dims)
    tags: np.ndarray  # (n,)
    items: np.ndarray  # (n,)
    keys: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=str))

    def of(self, rows: np.ndarray) -> Examples:
        """The examples of these rows, by number or mask."""
        parts = {name: part[rows] for name, part in self.parts.items()}
        return Examples(parts, self.tags[rows], self.items[rows], self.keys[rows] if len(self.keys) else self.keys)

    @property
    def first(self) -> np.ndarray:
        """(items,) the first row of each item."""
        return np.unique(self.items, return_index=True)[1]


Model = TypeVar("Model", TagModel, PictureTags)


def fit(strategy: str, examples: Examples, seed: int = 0, drop: bool = True) -> TagModel:
    """Heads by a strategy, not yet calibrated. drop: with two parts, also learn from rows that lack one.

    Raises:
        UsageError: no such strategy, fewer than two tags, or a tag of too few examples.
    """
    if strategy not in STRATEGIES:
        raise UsageError(f"no strategy {strategy!r}; known: auto, {', '.join(STRATEGIES)}")
    check(examples)
    names, classes = np.unique(examples.tags, return_inverse=True)
    scales = {name: _scale(part) for name, part in examples.parts.items()}
    rng = np.random.default_rng(seed)
    rows = np.arange(len(classes)) if strategy in ("augmentation", "ensemble") else examples.first
    prepared = np.hstack([scale(examples.parts[name]) for name, scale in scales.items()])[rows]
    labels = classes[rows]
    if strategy in ("augmentation", "ensemble") and len(rows) == len(examples.first):
        prepared, labels = _between(prepared, labels, rng)
    if drop and len(scales) > 1:
        prepared, labels = _dropped(prepared, labels, [len(scale.centre) for scale in scales.values()], rng)
    count = len(names)
    if strategy == "ensemble":
        heads = [_discriminant(prepared, labels, count)]
        heads += [linear_head(*_drawn(prepared, labels, rng), count) for _ in range(_BAGS)]
    elif strategy == "class-aware":
        heads = [linear_head(*_drawn(prepared, labels, rng), count)]
    else:
        sizes = np.bincount(labels, minlength=count)
        weights = (1 - _BETA) / (1 - _BETA**sizes) if strategy == "class-balanced" else np.ones(count)
        heads = [linear_head(prepared, labels, count, weights[labels], _GAMMA if strategy == "focal" else 0.0)]
    return TagModel(
        tuple(names.tolist()), scales, np.stack([head[0] for head in heads]).astype(np.float16).astype(np.float32),
        np.stack([head[1] for head in heads]),
    )  # fmt: skip


def check(examples: Examples) -> None:
    """Raises UsageError where nothing can be learned from the examples."""
    first = examples.of(examples.first)
    names, sizes = np.unique(first.tags, return_counts=True)
    if len(names) < 2:
        raise UsageError(f"{len(names)} tag with examples: at least two are needed to tell them apart")
    few = sizes.argmin()
    if sizes[few] < MIN_EXAMPLES:
        raise UsageError(
            f"tag {str(names[few])!r} has {sizes[few]} example; give each at least {MIN_EXAMPLES}, or leave it out"
        )


def _scale(part: np.ndarray) -> Scale:
    here = part[np.isfinite(part).all(axis=1)]
    if not len(here):
        raise UsageError("no example has a vector of one of the parts; choose another with --from")
    root = bool(here.min() > -1e-6)
    rows = np.sqrt(np.maximum(here, 0)) if root else here
    return Scale(root, rows.mean(axis=0).astype(np.float32), float(max(rows.std(axis=0).mean(), 1e-6)))


def _between(prepared: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The examples, and as many points between two of the same tag, in place of views (SMOTE, Chawla et al., 2002)."""
    others = np.empty(len(labels), dtype=int)
    for name in np.unique(labels):
        mine = np.flatnonzero(labels == name)
        others[mine] = rng.permutation(mine)
    share = rng.uniform(0, 0.5, (len(labels), 1)).astype(np.float32)
    return np.vstack([prepared, (1 - share) * prepared + share * prepared[others]]), np.tile(labels, 2)


def _dropped(
    prepared: np.ndarray, labels: np.ndarray, widths: Sequence[int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The examples, and each of them again without one of its parts, at random."""
    without = prepared.copy()
    ends = np.cumsum(widths)
    lost = rng.integers(0, len(widths), len(labels))
    for number, (end, width) in enumerate(zip(ends, widths, strict=True)):
        without[lost == number, end - width : end] = 0
    return np.vstack([prepared, without]), np.tile(labels, 2)


def _drawn(prepared: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """As many examples of every tag as of the most frequent, drawn with repetition."""
    most = np.bincount(labels).max()
    rows = np.concatenate([_repeated(np.flatnonzero(labels == name), most, rng) for name in np.unique(labels)])
    return prepared[rows], labels[rows]


def _repeated(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    # Each row at least once, because a tag of few examples must not lose one by chance.
    return np.concatenate([np.tile(rows, count // len(rows)), rng.choice(rows, count % len(rows), replace=False)])


def _discriminant(prepared: np.ndarray, labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(matrix, bias) of Fisher's discriminant with a shrunken covariance; all tags are equally likely."""
    means = np.stack([prepared[labels == name].mean(axis=0) for name in range(count)])
    rest = prepared - means[labels]
    spread = rest.T @ rest / len(rest)
    width = len(spread)
    spread = (1 - _SHRINK) * spread + (_SHRINK * np.trace(spread) / width + 1e-6) * np.eye(width, dtype=np.float32)
    matrix = np.linalg.solve(spread, means.T)
    return matrix, -0.5 * (means.T * matrix).sum(axis=0)


def linear_head(
    prepared: np.ndarray, labels: np.ndarray, count: int, weights: np.ndarray | None = None, gamma: float = 0.0,
    decay: float = _DECAY,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """(matrix (dims, count), bias (count,)) by L-BFGS, of (n, dims) features and (n,) numbers of tags.

    weights: of examples; gamma: of the focal loss, 0 for cross-entropy; decay: of weights.
    """
    import torch

    features, targets = torch.from_numpy(np.ascontiguousarray(prepared)), torch.from_numpy(labels)
    weight = (
        torch.ones(len(labels)) if weights is None else torch.from_numpy((weights / weights.mean()).astype(np.float32))
    )
    matrix = torch.zeros((prepared.shape[1], count), requires_grad=True)
    bias = torch.zeros(count, requires_grad=True)
    optimiser = torch.optim.LBFGS([matrix, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Any:
        optimiser.zero_grad()
        likely = torch.log_softmax(features @ matrix + bias, dim=1).gather(1, targets[:, None])[:, 0]
        lost = -likely * (1 - likely.exp()).clamp(min=1e-6) ** gamma if gamma else -likely
        total = (lost * weight).mean() + decay * (matrix**2).sum() / 2
        total.backward()  # type: ignore[no-untyped-call]
        return total

    # The matrices are small. On a busy machine, threads that wait for each other cost ten times the work.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        optimiser.step(loss)  # type: ignore[no-untyped-call]
    finally:
        torch.set_num_threads(threads)
    return matrix.detach().numpy(), bias.detach().numpy()


def validate(strategy: str, examples: Examples, seed: int = 0, drop: bool = True, folds: int = FOLDS) -> HeldOut:
    """Stratified cross-validation over items; each fold is calibrated by the others.

    Raises:
        UsageError: as `fit` does.
    """
    from sklearn.model_selection import StratifiedKFold

    check(examples)
    first = examples.first
    names, truth = np.unique(examples.tags[first], return_inverse=True)
    items = examples.items[first]
    parts = int(min(folds, np.bincount(truth).min()))
    raw = np.zeros((len(first), len(names)))
    several = len(examples.items) > len(first)
    viewed = np.zeros_like(raw) if several else raw[:0]
    both = len(examples.parts) > 1
    alone = {name: np.zeros_like(raw) for name in examples.parts} if both else {}
    fold = np.zeros(len(first), dtype=int)
    for number, (learn, test) in enumerate(StratifiedKFold(parts, shuffle=True, random_state=seed).split(truth, truth)):
        model = fit(strategy, examples.of(np.isin(examples.items, items[learn])), seed, drop)
        test_examples = examples.of(first[test])
        raw[test], fold[test] = model.probabilities(test_examples.parts), number
        if several:
            test_views = examples.of(np.isin(examples.items, items[test]))
            viewed[test] = mean_by(model.probabilities(test_views.parts), test_views.items)
        for name, out in alone.items():
            out[test] = model.probabilities({name: test_examples.parts[name]})
    return held_out(names.tolist(), truth, raw, fold, viewed, alone)


def mean_by(probabilities: np.ndarray, items: np.ndarray) -> np.ndarray:
    """(items, tags): the mean over the views of each item, by ascending item."""
    _, rows = np.unique(items, return_inverse=True)
    return np.stack([np.bincount(rows, column) for column in probabilities.T], axis=1) / np.bincount(rows)[:, None]


def calibrated(model: Model, predictions: HeldOut) -> Model:
    """The model with the calibration of its held-out predictions."""
    return replace(model, calibration=predictions.calibration)
