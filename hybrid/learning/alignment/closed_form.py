"""Maps of two encoders' vectors into one space, in closed form: rotation, correlation, least squares.

A head is what is kept of a map: from the vectors of one encoder to unit vectors of the shared space. See
fit.py beside this for who chooses among the methods, and descent.py for those that descend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybrid.encoders.trained.alignment import Head

#: Most dimensions of a shared space: all that Elasticsearch stores and compares per product.
MAX_DIMS = 256
#: Of within-product covariance: how far it is drawn to a multiple of the identity.
_SHRINK = 0.3
#: Directions with less than this share of the first one's variance are noise of the arithmetic.
_RANK = 1e-7


@dataclass(frozen=True)
class Pairs:
    """What is aligned, prepared. left: (n, d1), right: (m, d2), one row a product; groups: (n,) the row of right.

    photos: (n,) which photo a row of left shows: several views of one are never on both sides of a fold.
    """

    left: np.ndarray
    right: np.ndarray
    groups: np.ndarray
    photos: np.ndarray
    left_root: bool
    right_root: bool

    @property
    def first(self) -> np.ndarray:
        """Rows of left: of every photo the first view."""
        return np.unique(self.photos, return_index=True)[1]

    @property
    def repeats(self) -> bool:
        """Are there photos enough of one product to tell what differs within products from what differs between?"""
        return len(self.first) >= 1.5 * len(self.right)

    def rows(self, chosen: np.ndarray) -> Pairs:
        """The pairs of a choice of left's rows; right keeps only the products that are left."""
        kept, groups = np.unique(self.groups[chosen], return_inverse=True)
        return Pairs(self.left[chosen], self.right[kept], groups, self.photos[chosen], self.left_root, self.right_root)


def rounded(root: bool, centre: np.ndarray, *matrices: np.ndarray) -> Head:
    """A head of these arrays, as precise as it is stored."""
    # The scale of a map is of no consequence where the result has length 1, and float16 ends at 65504.
    scale = max(float(np.abs(matrices[0]).max()), 1e-30)
    if len(matrices) == 1:
        matrices = (matrices[0] / scale,)
    return Head(root, *(array.astype(np.float16).astype(np.float32) for array in (centre, *matrices)))


# -- methods: of each the heads (of left, of right) under every setting, the most cautious setting first ----------


def procrustes(pairs: Pairs, settings: Sequence[float]) -> list[tuple[Head, Head]]:
    """The rotation of left's first principal axes onto right's that brings partners nearest (Schönemann, 1966).

    settings: how many axes.
    """
    from scipy.linalg import orthogonal_procrustes

    left_centre, left_axes = principal(pairs.left, MAX_DIMS)
    right_centre, right_axes = principal(pairs.right, MAX_DIMS)
    left = (pairs.left - left_centre.astype(np.float32)) @ left_axes
    right = ((pairs.right - right_centre) @ right_axes)[pairs.groups]
    made = []
    for setting in settings:
        dims = min(int(setting), left.shape[1], right.shape[1])
        turned, _ = orthogonal_procrustes(left[:, :dims], right[:, :dims])
        made.append(
            (
                rounded(pairs.left_root, left_centre, left_axes[:, :dims] @ turned),
                rounded(pairs.right_root, right_centre, right_axes[:, :dims]),
            )
        )
    return made


def cca(pairs: Pairs, settings: Sequence[float]) -> list[tuple[Head, Head]]:
    """Canonical correlation, regularised (Hotelling, 1936; Vinod, 1976).

    Where products have several photos, left is whitened by what differs within them: canonical correlation against
    which product it is, or linear discriminant analysis (Fisher, 1936; Bartlett, 1938). Right is mapped onto the
    products' means by ridge regression, which nearly meets them where products are few, and follows meaning for new
    ones. settings: how strongly right's map (of single pairs: either side) is regularised.
    """
    if not pairs.repeats:
        return _cca_of_pairs(pairs, settings)
    centre = pairs.left.mean(0, dtype=float)
    means = group_means(pairs)
    residuals = pairs.left - means.astype(np.float32)[pairs.groups]
    whitened = _whitening(residuals.T @ residuals / len(residuals), _SHRINK)
    targets = (means - centre) @ whitened
    targets /= np.maximum(np.linalg.norm(targets, axis=1, keepdims=True), 1e-12)
    # A query's cosines with the means depend only on its part in the space that they span.
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
    made = []
    for setting in settings:
        # At 1 nothing is whitened and nothing is left of correlation: a setting is a share below that.
        left_whitened, right_whitened = _whitening(left_spread, setting), _whitening(right_spread, setting)
        axes, strengths, others = np.linalg.svd(left_whitened.T @ together @ right_whitened, full_matrices=False)
        dims = max(1, min(MAX_DIMS, int((strengths > 1e-4 * strengths[0]).sum())))
        # Directions count by how well they correlate (Gong et al., IJCV 2014), or noise would count like meaning.
        made.append(
            (
                rounded(pairs.left_root, left_centre, left_whitened @ axes[:, :dims] * strengths[:dims]),
                rounded(pairs.right_root, right_centre, right_whitened @ others[:dims].T * strengths[:dims]),
            )
        )
    return made


def ridge(pairs: Pairs, settings: Sequence[float]) -> list[tuple[Head, Head]]:
    """Least squares from left to right, its matrix kept small (Hoerl and Kennard, 1970). settings: how strongly."""
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
    """(d, at most dims) eigenvectors of (d, d), the greatest first, those with next to nothing left out."""
    from scipy.linalg import eigh

    size = len(scatter)
    values, vectors = eigh(scatter, subset_by_index=(max(0, size - dims), size - 1))
    kept = values > _RANK * values[-1]
    kept[-1] = True
    return np.asarray(vectors[:, kept][:, ::-1])


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

    Solved in the smaller of the two spaces, so that neither many rows nor wide ones take long.
    """
    from scipy.linalg import solve

    many = len(rows) > rows.shape[1]
    gram = (rows.T @ rows if many else rows @ rows.T).astype(float)
    level = max(float(np.trace(gram)) / len(rows), 1e-12)
    wanted = (rows.T @ targets if many else targets).astype(float)
    made = []
    for strength in strengths:
        solved = solve(gram + strength * level * np.eye(len(gram)), wanted, assume_a="pos")
        made.append(np.asarray(solved if many else rows.T @ solved))
    return made
