"""Maps of two encoders' vectors into one space, in closed form: rotation, correlation, least squares.

A head is one map, from the vectors of one encoder to unit vectors of the shared space. fit.py chooses among the
methods; descent.py has those by gradient descent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybrid.encoders.trained.alignment import Head

#: Most dimensions of a shared space. Elasticsearch stores and compares this many per product.
MAX_DIMS = 256
#: Shrinkage of the within-product covariance towards a multiple of the identity.
_SHRINK = 0.3
#: Directions with less than this share of the first one's variance are noise of the arithmetic.
_RANK = 1e-7


@dataclass(frozen=True)
class Pairs:
    """Prepared vectors to align. right has one row for each product.

    groups: the row of right that a row of left belongs to. photos: the photo that a row of left shows; all views of a
    photo are in the same fold. left_root, right_root: whether the vectors are square roots.
    """

    left: np.ndarray  # (n, d1)
    right: np.ndarray  # (m, d2)
    groups: np.ndarray  # (n,)
    photos: np.ndarray  # (n,)
    left_root: bool
    right_root: bool

    @property
    def first(self) -> np.ndarray:
        """(photos,) rows of left: the first view of every photo."""
        return np.unique(self.photos, return_index=True)[1]

    @property
    def repeats(self) -> bool:
        """Whether products have photos enough to estimate the variance within a product."""
        return len(self.first) >= 1.5 * len(self.right)

    def rows(self, chosen: np.ndarray) -> Pairs:
        """The pairs of these rows of left, with only their products in right."""
        products, groups = np.unique(self.groups[chosen], return_inverse=True)
        return Pairs(
            self.left[chosen], self.right[products], groups, self.photos[chosen], self.left_root, self.right_root
        )


def rounded(root: bool, centre: np.ndarray, *matrices: np.ndarray) -> Head:
    """A head of these arrays, as precise as it is stored."""
    # The result has length 1, so the scale of a map does not matter, and float16 ends at 65504.
    scale = max(float(np.abs(matrices[0]).max()), 1e-30)
    if len(matrices) == 1:
        matrices = (matrices[0] / scale,)
    return Head(root, *(array.astype(np.float16).astype(np.float32) for array in (centre, *matrices)))


# -- methods: each returns the heads (of left, of right) under every setting, the most regularised setting first ---


def procrustes(pairs: Pairs, settings: Sequence[float]) -> list[tuple[Head, Head]]:
    """The rotation of left's first principal axes onto right's that brings partners nearest (Schönemann, 1966).

    settings: how many axes.
    """
    from scipy.linalg import orthogonal_procrustes

    left_centre, left_axes = principal(pairs.left, MAX_DIMS)
    right_centre, right_axes = principal(pairs.right, MAX_DIMS)
    left = (pairs.left - left_centre.astype(np.float32)) @ left_axes
    right = ((pairs.right - right_centre) @ right_axes)[pairs.groups]
    heads = []
    for setting in settings:
        dims = min(int(setting), left.shape[1], right.shape[1])
        turned, _ = orthogonal_procrustes(left[:, :dims], right[:, :dims])
        heads.append(
            (
                rounded(pairs.left_root, left_centre, left_axes[:, :dims] @ turned),
                rounded(pairs.right_root, right_centre, right_axes[:, :dims]),
            )
        )
    return heads


def cca(pairs: Pairs, settings: Sequence[float]) -> list[tuple[Head, Head]]:
    """Canonical correlation, regularised (Hotelling, 1936; Vinod, 1976).

    Where products have several photos, left is whitened by the covariance within products. That is canonical
    correlation with the product's identity, or linear discriminant analysis (Fisher, 1936; Bartlett, 1938). Right is
    mapped onto the products' means by ridge regression: where products are few it nearly meets their means, and for new
    products it generalises. settings: strength of the regularisation of right's map; of both sides for single pairs.
    """
    if not pairs.repeats:
        return _cca_of_pairs(pairs, settings)
    centre = pairs.left.mean(0, dtype=float)
    means = group_means(pairs)
    residuals = pairs.left - means.astype(np.float32)[pairs.groups]
    whitened = _whitening(residuals.T @ residuals / len(residuals), _SHRINK)
    targets = (means - centre) @ whitened
    targets /= np.maximum(np.linalg.norm(targets, axis=1, keepdims=True), 1e-12)
    # A query's cosines with the means depend only on its projection onto the space that the means span.
    axes = _axes(targets.T @ targets, MAX_DIMS)
    left = rounded(pairs.left_root, centre, whitened @ axes)
    right_centre = pairs.right.mean(0, dtype=float)
    maps = least_squares(pairs.right - right_centre, targets @ axes, settings)
    return [(left, rounded(pairs.right_root, right_centre, matrix)) for matrix in maps]


def _cca_of_pairs(pairs: Pairs, settings: Sequence[float]) -> list[tuple[Head, Head]]:
    left_centre, right_centre = pairs.left.mean(0, dtype=float), pairs.right.mean(0, dtype=float)
    left = pairs.left - left_centre.astype(np.float32)
    right = (pairs.right - right_centre.astype(np.float32))[pairs.groups]
    left_spread, right_spread = left.T @ left / len(left), right.T @ right / len(left)
    together = (left.T @ right / len(left)).astype(float)
    heads = []
    for setting in settings:
        # Settings are shares below 1: at 1 nothing would be whitened, and no correlation would be left.
        left_whitened, right_whitened = _whitening(left_spread, setting), _whitening(right_spread, setting)
        axes, strengths, others = np.linalg.svd(left_whitened.T @ together @ right_whitened, full_matrices=False)
        dims = max(1, min(MAX_DIMS, int((strengths > 1e-4 * strengths[0]).sum())))
        # Directions are weighted by their correlation (Gong et al., IJCV 2014), so that noise counts less.
        heads.append(
            (
                rounded(pairs.left_root, left_centre, left_whitened @ axes[:, :dims] * strengths[:dims]),
                rounded(pairs.right_root, right_centre, right_whitened @ others[:dims].T * strengths[:dims]),
            )
        )
    return heads


def ridge(pairs: Pairs, settings: Sequence[float]) -> list[tuple[Head, Head]]:
    """Ridge regression from left to right (Hoerl and Kennard, 1970). settings: strength of the regularisation."""
    right_centre, axes = principal(pairs.right, MAX_DIMS)
    centre = pairs.left.mean(0, dtype=float)
    targets = ((pairs.right - right_centre) @ axes)[pairs.groups]
    right = rounded(pairs.right_root, right_centre, axes)
    maps = least_squares(pairs.left - centre.astype(np.float32), targets, settings)
    return [(rounded(pairs.left_root, centre, matrix), right) for matrix in maps]


# -- arithmetic --------------------------------------------------------------------------------------------------


def principal(rows: np.ndarray, dims: int) -> tuple[np.ndarray, np.ndarray]:
    """(d,) mean and (d, at most dims) first principal axes of (n, d) rows."""
    centre = rows.mean(0, dtype=float)
    centred = rows - centre.astype(np.float32)
    return centre, _axes((centred.T @ centred).astype(float), min(dims, MAX_DIMS, len(rows) - 1))


def _axes(scatter: np.ndarray, dims: int) -> np.ndarray:
    """(d, at most dims) eigenvectors of (d, d), by falling eigenvalue, without those of negligible eigenvalue."""
    from scipy.linalg import eigh

    size = len(scatter)
    values, vectors = eigh(scatter, subset_by_index=(max(0, size - dims), size - 1))
    significant = values > _RANK * values[-1]
    significant[-1] = True
    return np.asarray(vectors[:, significant][:, ::-1])


def _whitening(covariance: np.ndarray, shrink: float) -> np.ndarray:
    """(d, d) matrix that makes vectors of this covariance, shrunk, of unit variance (Ledoit and Wolf, 2004)."""
    from scipy.linalg import cholesky, solve_triangular

    size = len(covariance)
    level = max(float(np.trace(covariance)) / size, 1e-12)
    shrunk = (1 - shrink) * covariance.astype(float) + shrink * level * np.eye(size)
    return np.asarray(solve_triangular(cholesky(shrunk, lower=True), np.eye(size), lower=True).T)


def group_means(pairs: Pairs) -> np.ndarray:
    """(m, d1) mean of left by product."""
    means = np.zeros((len(pairs.right), pairs.left.shape[1]))
    np.add.at(means, pairs.groups, pairs.left)
    return np.asarray(means / np.bincount(pairs.groups, minlength=len(means))[:, None])


def least_squares(rows: np.ndarray, targets: np.ndarray, strengths: Sequence[float]) -> list[np.ndarray]:
    """(d, k) ridge solutions of rows (n, d) -> targets (n, k). strengths: in mean squared lengths of the rows.

    It is solved in the smaller of the two spaces, so that neither many rows nor wide ones take long.
    """
    from scipy.linalg import solve

    many = len(rows) > rows.shape[1]
    gram = (rows.T @ rows if many else rows @ rows.T).astype(float)
    level = max(float(np.trace(gram)) / len(rows), 1e-12)
    right_hand_side = (rows.T @ targets if many else targets).astype(float)
    solutions = []
    for strength in strengths:
        solved = solve(gram + strength * level * np.eye(len(gram)), right_hand_side, assume_a="pos")
        solutions.append(np.asarray(solved if many else rows.T @ solved))
    return solutions
