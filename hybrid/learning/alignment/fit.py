"""Cross-modal alignment: two encoders' vectors in one space, so that words find pictures and photos find products.

Neither encoder changes: a small matrix each maps its vectors. So nothing is encoded again when an alignment changes.
Methods: by similarity (`procrustes`, `cca`), by optimisation (`ridge`, `gradient`), deep (`contrastive`). See
hybrid.learning.alignment.closed_form and hybrid.learning.alignment.descent.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from hybrid.encoders.trained.alignment import Alignment, Head, prepare
from hybrid.errors import UsageError
from hybrid.learning.alignment import closed_form, descent
from hybrid.learning.alignment.closed_form import Pairs
from hybrid.learning.alignment.held_out import Ranked, by_photos, by_products, figures, joined, ranked
from hybrid.vectors import unit

#: The simplest first. Of methods that do equally well, the first one is chosen.
METHODS = ("procrustes", "cca", "ridge", "gradient", "contrastive")
#: Fewer pairs than this, or pairs of fewer products, cannot be told from chance.
MIN_PAIRS, MIN_PRODUCTS = 20, 5
#: Methods whose held-out top-1 differs by no more than this do equally well.
TIE = 0.005

#: Settings that are tried for each method, the most regularised first.
_SETTINGS: Mapping[str, tuple[float, ...]] = {
    "procrustes": (32, 64, 128, 256),
    "cca": (0.5, 0.1, 0.02),
    "ridge": (10, 3, 1, 0.3, 0.1),
    "gradient": (150, 300, 600),
    "contrastive": (150, 300, 500),
}
_BY_CLOSED_FORM = {"procrustes": closed_form.procrustes, "cca": closed_form.cca, "ridge": closed_form.ridge}
#: Methods that take seconds.
CLOSED = tuple(_BY_CLOSED_FORM)
_DESCENTS = {"gradient": descent.gradient, "contrastive": descent.contrastive}
_SHARES = np.arange(1, 10) / 10

Catalogue = Mapping[Hashable, np.ndarray]


# -- fitting -----------------------------------------------------------------------------------------------------


def fit(
    method: str,
    left: np.ndarray,
    right: np.ndarray,
    groups: Sequence[Hashable] | np.ndarray,
    *,
    left_name: str = "image",
    right_name: str = "text",
    catalogue: Catalogue | None = None,
    views: Sequence[Hashable] | np.ndarray | None = None,
    seed: int = 0,
) -> Alignment:
    """Align left (n, d1) with right (n, d2): row i of both belong together.

    method: one of METHODS, or "auto": the one that does best on held-out pairs. groups: (n,) the product of each row;
    all rows of a product have the same right row. catalogue: the products' own pictures by group, (d1,) each, which
    products have in the index too; `shares` are chosen by them, and without them both sides count the same. views: (n,)
    the photo that each row shows, where some rows are altered views; the first row of a photo is the unaltered one.

    Raises:
        UsageError: no such method, too few pairs, or vectors that are zero or not numbers.
    """
    pairs, own = _checked(left, right, groups, views, catalogue, left_name, right_name)
    if method == "auto":
        method = best({name: _validate(name, pairs, own, 5, seed) for name in METHODS})
    heads, share = _fit(_known(method), pairs, own, seed)
    names = (left_name, right_name)
    return Alignment(
        method,
        dict(zip(names, heads, strict=True)),
        dict(zip(names, (share, round(1 - share, 3)), strict=True)),
        heads[1].mapped(pairs.right[:1]).shape[1],
    )


def _fit(method: str, pairs: Pairs, own: np.ndarray | None, seed: int) -> tuple[tuple[Head, Head], float]:
    """(heads, left's share). Setting and share are chosen on a held-out part, then heads are fitted to all pairs."""
    settings = _SETTINGS[method]
    test = (by_photos(pairs) or by_products(pairs, 5, seed))[-1]
    tried = _heads_by_setting(method, pairs.rows(np.flatnonzero(~test)), settings, seed)
    # Scores of both directions count, so that a setting cannot gain in one at the cost of the other.
    chosen = _cautious(
        [np.concatenate([part.by_product for part in _rank_both_ways(one, pairs, test)]) for one in tried]
    )
    share = 0.5
    if own is not None:
        by_share = [_to_products(tried[chosen], pairs, test, own, float(one)).by_product for one in _SHARES]
        # Of shares that do equally well, the one nearest to one half.
        order = np.argsort(np.abs(_SHARES - 0.5), kind="stable")
        share = float(_SHARES[order[np.argmax([by_share[place].mean() for place in order])]])
    return _heads_by_setting(method, pairs, settings[chosen : chosen + 1], seed)[0], round(share, 3)


def _heads_by_setting(method: str, pairs: Pairs, settings: Sequence[float], seed: int) -> list[tuple[Head, Head]]:
    """(left's head, right's head) under each setting."""
    if method in _BY_CLOSED_FORM:
        return _BY_CLOSED_FORM[method](pairs, settings)
    return _DESCENTS[method](pairs, settings, seed)


def _cautious(scores: Sequence[np.ndarray]) -> int:
    """The first of these scores that is worse than the best by at most a standard error of their difference.

    The rule of one standard error (Breiman et al., 1984), on the same queries.
    """
    top = scores[int(np.argmax([score.mean() for score in scores]))]
    for place, score in enumerate(scores):
        lost = top - score
        if lost.mean() <= lost.std() / len(lost) ** 0.5:
            return place
    raise AssertionError("the best is no worse than itself")


# -- measuring ---------------------------------------------------------------------------------------------------


def validate(
    method: str,
    left: np.ndarray,
    right: np.ndarray,
    groups: Sequence[Hashable] | np.ndarray,
    *,
    folds: int = 5,
    views: Sequence[Hashable] | np.ndarray | None = None,
    catalogue: Catalogue | None = None,
    left_name: str = "image",
    right_name: str = "text",
    seed: int = 0,
) -> dict[str, Any]:
    """Figures of a method on held-out pairs. Parameters as for `fit`.

    {"method", "photos": {…} or None, "products": {…}, "pairs", "candidates", "seconds": of one fit, "ranks"}.
    "photos": half of each known product's photos is held out; None where products have one photo. "products": whole
    products are held out, in `folds` parts, and are searched for among all products. Both have "left_to_right" (photos
    search for their product's right side) {"top1", "top5", "mean_rank", "queries", "intervals"} and "right_to_left"
    (products search for their photos), which has "precision@10" too. With a catalogue, both have "to_product" (photos
    search the products' vectors) and "today" (photos search the products' own pictures, without a map). "ranks": those
    of "photos", or of "products" where "photos" is None: {"photo": numbers of photos, in the order of `views`, and by
    each direction but "right_to_left" the rank of its product, from 1}.

    Raises:
        UsageError: as `fit`.
    """
    pairs, own = _checked(left, right, groups, views, catalogue, left_name, right_name)
    if method == "auto":
        results = {name: _validate(name, pairs, own, folds, seed) for name in METHODS}
        return results[best(results)]
    return _validate(_known(method), pairs, own, folds, seed)


def best(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The method with the best held-out top-1, of "photos" if measured, else of "products"; the simplest of a tie."""
    scores = {}
    for method in METHODS:
        if method in results:
            held_out = results[method]["photos"] or results[method]["products"]
            scores[method] = held_out["left_to_right"]["top1"]
    return next(method for method, score in scores.items() if score >= max(scores.values()) - TIE)


def _validate(method: str, pairs: Pairs, own: np.ndarray | None, folds: int, seed: int) -> dict[str, Any]:
    seconds: list[float] = []
    ranks: dict[str, np.ndarray] = {}

    def over(masks: Sequence[np.ndarray]) -> dict[str, Any]:
        parts: dict[str, list[Ranked]] = {}
        for test in masks:
            started = time.perf_counter()
            heads, share = _fit(
                method,
                pairs.rows(np.flatnonzero(~test)),
                None if own is None else own[np.unique(pairs.groups[~test])],
                seed,
            )
            seconds.append(time.perf_counter() - started)
            left_to_right, right_to_left = _rank_both_ways(heads, pairs, test)
            parts.setdefault("left_to_right", []).append(left_to_right)
            parts.setdefault("right_to_left", []).append(right_to_left)
            if own is not None:
                parts.setdefault("to_product", []).append(_to_products(heads, pairs, test, own, share))
                parts.setdefault("today", []).append(_today(pairs, test, own))
        if not ranks:  # the first call sets them: "photos", if that is measured
            ranks["photo"] = np.concatenate([pairs.photos[pairs.first[test[pairs.first]]] for test in masks])
            ranks.update({name: joined(part).first for name, part in parts.items() if name != "right_to_left"})
        return {name: figures(joined(part), name == "right_to_left", seed) for name, part in parts.items()}

    photos = by_photos(pairs)
    return {
        "method": method,
        "photos": over(photos) if photos else None,
        "products": over(by_products(pairs, folds, seed)),
        "pairs": len(pairs.first),
        "candidates": len(pairs.right),
        "seconds": round(float(np.mean(seconds)), 2),
        "ranks": {name: values.tolist() for name, values in ranks.items()},
    }


def _rank_both_ways(heads: tuple[Head, Head], pairs: Pairs, test: np.ndarray) -> tuple[Ranked, Ranked]:
    """Ranks of held-out photos that search for their product, and of products that search for their photos."""
    photos = pairs.first
    test_photos = photos[test[photos]]
    right = heads[1].mapped(pairs.right)
    products = np.arange(len(right))
    left_to_right = ranked(heads[0].mapped(pairs.left[test_photos]), pairs.groups[test_photos], right, products)
    # A training photo of a tested product would be an easy right answer, so it is no candidate.
    tested = np.unique(pairs.groups[test_photos])
    candidates = photos[test[photos] | ~np.isin(pairs.groups[photos], tested)]
    right_to_left = ranked(right[tested], tested, heads[0].mapped(pairs.left[candidates]), pairs.groups[candidates])
    return left_to_right, right_to_left


def _to_products(heads: tuple[Head, Head], pairs: Pairs, test: np.ndarray, own: np.ndarray, share: float) -> Ranked:
    """Ranks of held-out photos that search the products' stored vectors: a mean of own picture and right side."""
    # A product without a picture has a zero row, and is its right side alone.
    pictures = np.where(own.any(1, keepdims=True), heads[0].mapped(own), 0)
    whole = unit(share * pictures + (1 - share) * heads[1].mapped(pairs.right))
    test_photos = pairs.first[test[pairs.first]]
    return ranked(heads[0].mapped(pairs.left[test_photos]), pairs.groups[test_photos], whole, np.arange(len(whole)))


def _today(pairs: Pairs, test: np.ndarray, own: np.ndarray) -> Ranked:
    """Ranks of held-out photos that search the products' own pictures by the encoder's plain cosine."""
    test_photos = pairs.first[test[pairs.first]]
    # The prepared vectors are square roots at unit length. Squared, they have their first direction again.
    plain = (lambda rows: unit(rows**2)) if pairs.left_root else unit
    return ranked(plain(pairs.left[test_photos]), pairs.groups[test_photos], plain(own), np.arange(len(own)))


# -- checks of the parameters ------------------------------------------------------------------------------------


def _known(method: str) -> str:
    if method not in METHODS:
        raise UsageError(f'no alignment method "{method}"; known: {", ".join(METHODS)}, auto')
    return method


def _checked(
    left: np.ndarray,
    right: np.ndarray,
    groups: Sequence[Hashable] | np.ndarray,
    views: Sequence[Hashable] | np.ndarray | None,
    catalogue: Catalogue | None,
    left_name: str,
    right_name: str,
) -> tuple[Pairs, np.ndarray | None]:
    """The pairs, prepared, and the products' own pictures (m, d1) with zero rows where there is none."""
    views = np.arange(len(left)) if views is None else np.asarray(views)
    if not len(left) == len(right) == len(groups) == len(views):
        raise UsageError(
            f"{len(left)} {left_name} and {len(right)} {right_name} vectors, {len(groups)} groups and {len(views)} "
            "views: pairs need as many of each"
        )
    labels, first, rows = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
    photos = np.unique(views, return_inverse=True)[1]
    count = int(photos.max()) + 1 if len(photos) else 0
    if count < MIN_PAIRS or len(labels) < MIN_PRODUCTS:
        raise UsageError(
            f"{count} pairs of {len(labels)} products are too few to align by: at least {MIN_PAIRS} pairs of "
            f"{MIN_PRODUCTS} products are needed"
        )
    left_root, right_root = _never_negative(left), _never_negative(right)
    pairs = Pairs(
        prepare(left, left_root, name=left_name),
        prepare(np.asarray(right)[first], right_root, name=right_name),
        rows,
        photos,
        left_root,
        right_root,
    )
    for name, side in ((left_name, pairs.left), (right_name, pairs.right)):
        if np.ptp(side, axis=0).max() < 1e-6:
            raise UsageError(f"the {name} vectors are all the same: there is nothing to align by")
    if not catalogue:
        return pairs, None
    own = np.zeros((len(labels), pairs.left.shape[1]), np.float32)
    have = [row for row, label in enumerate(labels.tolist()) if label in catalogue]
    if have:
        own[have] = prepare(
            np.stack([catalogue[labels[row].item()] for row in have]), left_root, own.shape[1], f"catalogue {left_name}"
        )
    return pairs, own if have else None


def _never_negative(vectors: np.ndarray) -> bool:
    # Rounding in the index may turn a zero into a tiny negative number.
    return bool(np.min(vectors, initial=0) > -1e-6)
