"""Maps of two encoders' vectors into one space, by gradient descent on how well partners find each other.

Both methods give the heads as they are after each of several numbers of steps, from a moving average of the weights:
which of them does best on what is held out is for the caller to say, and is early stopping. See
hybrid.learning.alignment.fit.
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
#: Products that a batch is told apart from: all, up to this many, or else those of the batch.
_CANDIDATES = 512
#: Of the moving average of the weights: it spans about the last fifty steps.
_KEEP = 0.98
_WIDTH = 64


def gradient(pairs: Pairs, settings: Sequence[float], seed: int = 0) -> list[tuple[Head, Head]]:
    """The linear map of `ridge`, drawn on until photos find their own product first.

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
            batch, products, asked = _batch(groups, len(targets))
            found = functional.dropout(rows[batch], 0.3) @ matrix
            scores = functional.normalize(found, dim=1) @ targets[products].T / _TEMPERATURE
            return functional.cross_entropy(scores, asked, label_smoothing=_SMOOTHING)

        kept = _descend([matrix], loss, settings, 3e-3)
    return [(rounded(pairs.left_root, start.centre, weights), right) for (weights,) in kept]


def contrastive(pairs: Pairs, settings: Sequence[float], seed: int = 0) -> list[tuple[Head, Head]]:
    """Projection heads of both sides, trained so that partners stand out among a batch (InfoNCE: van den Oord et al.,
    2018; both ways: Radford et al., 2021; all photos of a product are its partners: Khosla et al., 2020).

    Left's has a hidden layer beside the linear map, which starts as `cca`'s. Vectors are dropped out and mixed in pairs
    (mixup: Zhang et al., 2018), for there are few. settings: numbers of steps, ascending.
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
            batch, products, asked = _batch(groups, len(right))
            share = float(torch.distributions.Beta(0.4, 0.4).sample())
            other = torch.randperm(len(batch))
            wanted = functional.one_hot(asked, len(products)).float()
            wanted = share * wanted + (1 - share) * wanted[other]
            rows = functional.dropout(share * left[batch] + (1 - share) * left[batch][other], 0.5)
            found = rows @ straight + functional.dropout(functional.relu(rows @ inner + bias), 0.5) @ outer
            texts = functional.normalize(right[products] @ across, dim=1)
            scores = functional.normalize(found, dim=1) @ texts.T / _TEMPERATURE
            smooth = (1 - _SMOOTHING) * wanted + _SMOOTHING / len(products)
            asks = -(smooth * scores.log_softmax(1)).sum(1).mean()
            shown = wanted.sum(0) > 0
            partners = wanted[:, shown] / wanted[:, shown].sum(0)
            return asks - (partners * scores.log_softmax(0)[:, shown]).sum(0).mean()

        kept = _descend([straight, inner, bias, outer, across], loss, settings, 1e-3)
    return [
        (_layered(pairs, left_start, weights), rounded(pairs.right_root, right_start.centre, weights[4]))
        for weights in kept
    ]


def _layered(pairs: Pairs, start: Head, weights: Sequence[np.ndarray]) -> Head:
    straight, inner, bias, outer, _ = weights
    return rounded(pairs.left_root, start.centre, straight, inner, bias, outer)


def _batch(groups: torch.Tensor, products: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(rows drawn, the products that they are told apart from, which of these each row is of)."""
    import torch

    batch = torch.randint(len(groups), (_BATCH,))
    if products <= _CANDIDATES:
        return batch, torch.arange(products), groups[batch]
    chosen, asked = torch.unique(groups[batch], return_inverse=True)
    return batch, chosen, asked


def _levelled(rows: torch.Tensor, matrix: np.ndarray) -> torch.Tensor:
    """The matrix, scaled so that it maps these rows to length 1 in the mean: steps are then alike everywhere."""
    import torch

    made = torch.from_numpy(matrix)
    levelled: torch.Tensor = made / (rows @ made).norm(dim=1).mean().clamp(min=1e-9)
    return levelled.requires_grad_()


def _descend(
    weights: Sequence[torch.Tensor], loss: Callable[[], torch.Tensor], settings: Sequence[float], rate: float
) -> list[list[np.ndarray]]:
    """The weights' moving average after each of these numbers of steps of AdamW (Loshchilov and Hutter, 2019)."""
    import torch

    optimiser = torch.optim.AdamW(list(weights), lr=rate, weight_decay=0.01)
    averages = [weight.detach().clone() for weight in weights]
    kept = []
    for step in range(1, int(max(settings)) + 1):
        optimiser.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        for average, weight in zip(averages, weights, strict=True):
            average.lerp_(weight.detach(), 1 - _KEEP)
        if step in settings:
            kept.append([average.numpy().copy() for average in averages])
    return kept
