"""Held-out evaluation of an alignment: folds, ranks, figures with intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid.learning.alignment.closed_form import Pairs

CUT = 10
_RESAMPLES = 1000


@dataclass(frozen=True)
class Ranked:
    """Ranking of each query: its product, the rank of the first right candidate (from 1), precision@10."""

    products: np.ndarray  # (queries,)
    first: np.ndarray  # (queries,)
    precise: np.ndarray  # (queries,)

    @property
    def by_product(self) -> np.ndarray:
        """(products,) of each product that has queries: the mean of reciprocal rank and precision@10."""
        _, rows = np.unique(self.products, return_inverse=True)
        return np.asarray(np.bincount(rows, (1 / self.first + self.precise) / 2) / np.bincount(rows))


def ranked(
    queries: np.ndarray, query_products: np.ndarray, candidates: np.ndarray, candidate_products: np.ndarray
) -> Ranked:
    """Order candidates (m, dims) by cosine to each of the queries (n, dims).

    A candidate is right where its product is the query's. Precision@10 counts the first ten candidates, or as many as
    there are right ones where those are fewer.
    """
    first, precise = np.empty(len(queries)), np.empty(len(queries))
    cut = min(CUT, len(candidates))
    # In parts, because all cosines of twenty thousand queries at once would take gigabytes.
    part = max(1, 10_000_000 // len(candidates))
    for start in range(0, len(queries), part):
        rows = slice(start, start + part)
        scores = queries[rows] @ candidates.T
        right = query_products[rows, None] == candidate_products[None]
        best = np.where(right, scores, -np.inf).max(1, keepdims=True)
        # A candidate that ties with the best right one, or is no number, ranks before it: a tie earns nothing by luck.
        first[rows] = 1 + (~(scores < best - 1e-6) & ~right).sum(1)
        top = np.argpartition(-scores, cut - 1, axis=1)[:, :cut]
        ordered = np.take_along_axis(top, np.argsort(-np.take_along_axis(scores, top, 1), 1, kind="stable"), 1)
        hits = np.take_along_axis(right, ordered, 1)
        relevant = np.clip(right.sum(1), 1, cut)
        precise[rows] = (hits & (np.arange(cut) < relevant[:, None])).sum(1) / relevant
    return Ranked(query_products, first, precise)


def joined(parts: list[Ranked]) -> Ranked:
    return Ranked(
        np.concatenate([part.products for part in parts]),
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.precise for part in parts]),
    )


def figures(result: Ranked, precision: bool, seed: int = 0) -> dict[str, Any]:
    """top1, top5, mean_rank (and precision@10), the number of queries, and 95 % intervals of each by bootstrap.

    The bootstrap draws whole products, not queries, because photos of one product are alike and fail together.
    """
    columns = {"top1": result.first <= 1, "top5": result.first <= 5, "mean_rank": result.first}
    if precision:
        columns[f"precision@{CUT}"] = result.precise
    values = np.stack([np.asarray(column, float) for column in columns.values()], 1)
    _, rows = np.unique(result.products, return_inverse=True)
    counts = np.bincount(rows).astype(float)
    sums = np.stack([np.bincount(rows, column) for column in values.T], 1)
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(_RESAMPLES):
        drawn = rng.integers(0, len(counts), len(counts))
        means.append(sums[drawn].sum(0) / counts[drawn].sum())
    edges = np.quantile(np.array(means), [0.025, 0.975], axis=0)
    return {
        **{name: round(float(mean), 4) for name, mean in zip(columns, values.mean(0), strict=True)},
        "queries": len(values),
        "intervals": {name: pair for name, pair in zip(columns, np.round(edges.T, 4).tolist(), strict=True)},
    }


def by_photos(pairs: Pairs, blocks: int = 2) -> list[np.ndarray]:
    """(n,) masks of held-out rows: blocks of each product's photos, in their given order.

    Blocks, not photos at random: neighbouring photos are often of one visit to one shelf, and would leak into the other
    fold. A product's only photo is never held out. No masks where too few photos could be held out.
    """
    order = pairs.first
    block = np.full(pairs.photos.max() + 1, -1)
    for rows in _by_group(pairs.groups[order]):
        if len(rows) >= blocks:
            block[pairs.photos[order[rows]]] = np.arange(len(rows)) * blocks // len(rows)
    masks = [(block == one)[pairs.photos] for one in range(blocks)]
    return masks if (block >= 0).sum() >= 0.5 * len(order) else []


def by_products(pairs: Pairs, folds: int, seed: int) -> list[np.ndarray]:
    """(n,) masks of held-out rows: whole products, every product once."""
    fold = np.random.default_rng(seed).permutation(len(pairs.right)) % min(folds, len(pairs.right))
    return [(fold == one)[pairs.groups] for one in range(fold.max() + 1)]


def _by_group(groups: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of each group, in order."""
    order = np.argsort(groups, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
