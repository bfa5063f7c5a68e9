"""Maps of two encoders' vectors into one space, by gradient descent on how well partners find each other.

Both methods return the heads after each of several numbers of steps, from a moving average of the weights. The caller
chooses the number that does best on held-out pairs, which is early stopping. See hybrid.learning.alignment.fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hybrid.encoders.trained.alignment import Head
from hybrid.learning.alignment.closed_form import Pairs, cca, ridge, rounded
from hybrid.learning.fine_tuning import alone

if TYPE_CHECKING:
    import torch

_BATCH = 256
_TEMPERATURE = 0.07
_SMOOTHING = 0.1
#: Up to this many products, a batch is compared with all of them; else with the products of the batch.
_CANDIDATES = 512
#: Of the moving average of the weights: it spans about the last fifty steps.
_KEEP = 0.98
_WIDTH = 64


def gradient(pairs: Pairs, settings: Sequence[float], seed: int = 0) -> list[tuple[Head, Head]]:
    """The linear map of `ridge`, trained further so that photos find their own product first.

    The loss is a softmax over the products' cosines (Zhai and Wu, BMVC 2019); the vectors are dropped out.
    settings: numbers of steps, ascending.
    """
    import torch
    from torch.nn import functional

    start, right = ridge(pairs, [1.0])[0]
    with alone(seed):
        rows, groups = torch.from_numpy(pairs.left - start.centre), torch.from_numpy(pairs.groups)
        targets = torch.from_numpy(right.mapped(pairs.right))
        matrix = _levelled(rows, start.matrix)

        def loss() -> torch.Tensor:
            batch, products, labels = _batch(groups, len(targets))
            projected = functional.dropout(rows[batch], 0.3) @ matrix
            scores = functional.normalize(projected, dim=1) @ targets[products].T / _TEMPERATURE
            return functional.cross_entropy(scores, labels, label_smoothing=_SMOOTHING)

        snapshots = _descend([matrix], loss, settings, 3e-3)
    return [(rounded(pairs.left_root, start.centre, weights), right) for (weights,) in snapshots]


def contrastive(pairs: Pairs, settings: Sequence[float], seed: int = 0) -> list[tuple[Head, Head]]:
    """Projection heads of both sides, trained so that partners stand out among a batch (InfoNCE: van den Oord et al.,
    2018; both ways: Radford et al., 2021; all photos of a product are its partners: Khosla et al., 2020).

    The head of left has a hidden layer beside the linear map, which starts as `cca`'s. Because pairs are few, vectors
    have dropout and are mixed in pairs (mixup: Zhang et al., 2018). settings: numbers of steps, ascending.
    """
    import torch
    from torch.nn import functional

    left_start, right_start = cca(pairs, [0.1])[0]
    with alone(seed):
        left, right = (
            torch.from_numpy(pairs.left - left_start.centre),
            torch.from_numpy(pairs.right - right_start.centre),
        )
        groups = torch.from_numpy(pairs.groups)
        straight, across = _levelled(left, left_start.matrix), _levelled(right, right_start.matrix)
        inner = (torch.randn(left.shape[1], _WIDTH) * (3 / left.shape[1] ** 0.5)).requires_grad_()
        bias = torch.zeros(_WIDTH, requires_grad=True)
        outer = torch.zeros(_WIDTH, straight.shape[1], requires_grad=True)

        def loss() -> torch.Tensor:
            batch, products, labels = _batch(groups, len(right))
            share = float(torch.distributions.Beta(0.4, 0.4).sample())
            other = torch.randperm(len(batch))
            targets = functional.one_hot(labels, len(products)).float()
            targets = share * targets + (1 - share) * targets[other]
            rows = functional.dropout(share * left[batch] + (1 - share) * left[batch][other], 0.5)
            projected = rows @ straight + functional.dropout(functional.relu(rows @ inner + bias), 0.5) @ outer
            texts = functional.normalize(right[products] @ across, dim=1)
            scores = functional.normalize(projected, dim=1) @ texts.T / _TEMPERATURE
            smooth = (1 - _SMOOTHING) * targets + _SMOOTHING / len(products)
            asks = -(smooth * scores.log_softmax(1)).sum(1).mean()
            present = targets.sum(0) > 0
            partners = targets[:, present] / targets[:, present].sum(0)
            return asks - (partners * scores.log_softmax(0)[:, present]).sum(0).mean()

        snapshots = _descend([straight, inner, bias, outer, across], loss, settings, 1e-3)
    return [
        (_layered(pairs, left_start, weights), rounded(pairs.right_root, right_start.centre, weights[4]))
        for weights in snapshots
    ]


def _layered(pairs: Pairs, start: Head, weights: Sequence[np.ndarray]) -> Head:
    straight, inner, bias, outer, _ = weights
    return rounded(pairs.left_root, start.centre, straight, inner, bias, outer)


def _batch(groups: torch.Tensor, products: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(rows drawn at random, candidate products, the place of each row's product among the candidates)."""
    import torch

    batch = torch.randint(len(groups), (_BATCH,))
    if products <= _CANDIDATES:
        return batch, torch.arange(products), groups[batch]
    chosen, labels = torch.unique(groups[batch], return_inverse=True)
    return batch, chosen, labels


def _levelled(rows: torch.Tensor, matrix: np.ndarray) -> torch.Tensor:
    """The matrix, scaled so that it maps these rows to mean length 1: one step size then fits every matrix."""
    import torch

    tensor = torch.from_numpy(matrix)
    levelled: torch.Tensor = tensor / (rows @ tensor).norm(dim=1).mean().clamp(min=1e-9)
    return levelled.requires_grad_()


def _descend(
    weights: Sequence[torch.Tensor], loss: Callable[[], torch.Tensor], settings: Sequence[float], rate: float
) -> list[list[np.ndarray]]:
    """The weights' moving average after each of these numbers of steps of AdamW (Loshchilov and Hutter, 2019)."""
    import torch

    optimiser = torch.optim.AdamW(list(weights), lr=rate, weight_decay=0.01)
    averages = [weight.detach().clone() for weight in weights]
    snapshots = []
    for step in range(1, int(max(settings)) + 1):
        optimiser.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        for average, weight in zip(averages, weights, strict=True):
            average.lerp_(weight.detach(), 1 - _KEEP)
        if step in settings:
            snapshots.append([average.numpy().copy() for average in averages])
    return snapshots
