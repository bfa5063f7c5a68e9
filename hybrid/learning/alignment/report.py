"""The HTML report of an alignment: one file with nothing to fetch. It looks like hybrid.evaluation.report."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.encoders.trained.alignment import Alignment, prepare
from hybrid.evaluation.report import COLOURS, INK, draw_svg, render
from hybrid.learning.alignment.held_out import CUT
from hybrid.vectors import unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Products that a cloud shows, and how many of these have a line between their two sides.
_MAX_POINTS, _JOINED = 400, 12
_SCHEMES = (
    ("photos", "Photos held out", "Products are known; half of the photos of each are not. What a known product gets."),
    ("products", "Products held out", "Nothing of these products was learned from. What a new product gets."),
)


@dataclass(frozen=True)
class Cloud:
    """Both sides on the first two principal axes of both together: left, right (n, 2), row i of both belong together.

    spread: the share of all variance that the two axes show. partners, strangers: mean cosine of rows that belong
    together and of rows that do not, in all dimensions. top1: share of left whose partner is the nearest of right.
    """

    left: np.ndarray  # (n, 2)
    right: np.ndarray  # (n, 2)
    spread: float
    partners: float
    strangers: float
    top1: float

    @property
    def distances(self) -> np.ndarray:
        """(n,) distances between partners in the drawing, as shares of the cloud's extent."""
        both = np.vstack([self.left, self.right])
        extent = float(np.linalg.norm(both - both.mean(0), axis=1).mean()) or 1.0
        return np.asarray(np.linalg.norm(self.left - self.right, axis=1) / extent)


@dataclass(frozen=True)
class Clouds:
    """The clouds before and after the alignment. names: of the products, by row."""

    before: Cloud
    after: Cloud
    names: Sequence[str]


def clouds(
    alignment: Alignment,
    left: np.ndarray,
    right: np.ndarray,
    groups: Sequence[Hashable] | np.ndarray,
    names: Mapping[Hashable, str] | None = None,
    *,
    left_name: str = "image",
    right_name: str = "text",
) -> Clouds:
    """The clouds of pairs, as `hybrid.learning.alignment.fit.fit` takes them, with the first row of every product.

    Draw held-out pairs rather than training pairs. names: of the products, by group.

    Raises:
        UsageError: vectors that are zero, not numbers, or do not fit the alignment.
    """
    labels, first = np.unique(np.asarray(groups), return_index=True)
    if len(first) > _MAX_POINTS:
        chosen = np.linspace(0, len(first) - 1, _MAX_POINTS).astype(int)
        labels, first = labels[chosen], first[chosen]
    before = [prepare(np.asarray(side)[first], root=False) for side in (left, right)]
    after = [alignment.project(name, side) for name, side in zip((left_name, right_name), before, strict=True)]
    return drawn(before, after, [(names or {}).get(label, str(label)) for label in labels.tolist()])


def drawn(before: Sequence[np.ndarray], after: Sequence[np.ndarray], names: Sequence[str]) -> Clouds:
    """Clouds of unit rows: (left, right) before and after, of as many products; names: of these."""
    # Encoders of different width share no space. The narrower vectors are padded with zeros, to draw both.
    width = max(side.shape[1] for side in before)
    filled = [np.pad(side, ((0, 0), (0, width - side.shape[1]))) for side in before]
    return Clouds(_cloud(filled[0], filled[1]), _cloud(after[0], after[1]), list(names))


def _cloud(left: np.ndarray, right: np.ndarray) -> Cloud:
    both = np.vstack([left, right]).astype(float)
    both -= both.mean(0)
    points, strengths, _ = np.linalg.svd(both, full_matrices=False)
    drawn = points[:, :2] * strengths[:2]
    cosines = unit(left) @ unit(right).T
    own = np.diag(cosines)
    return Cloud(
        drawn[: len(left)],
        drawn[len(left) :],
        float((strengths[:2] ** 2).sum() / max(float((strengths**2).sum()), 1e-12)),
        float(own.mean()),
        float((cosines.sum() - own.sum()) / max(1, cosines.size - len(own))),
        float((cosines.argmax(1) == np.arange(len(left))).mean()),
    )


def report(
    results: Mapping[str, Mapping[str, Any]],
    chosen: str,
    *,
    index: str = "",
    drawn: Clouds | None = None,
    notes: Sequence[str] = (),
    left_name: str = "image",
    right_name: str = "text",
) -> str:
    """The page. results: of `hybrid.learning.alignment.fit.validate`, by method. chosen: the method that is kept.

    drawn: of `clouds`. notes: one sentence each, said at the top.
    """
    first = next(iter(results.values()))
    schemes = [
        {
            "key": key,
            "title": title,
            "about": about,
            "chart": _methods_chart(results, key, f"{left_name} → {right_name}", title),
            "today": first[key].get("today"),
        }
        for key, title, about in _SCHEMES
        if first[key] is not None
    ]
    joined = _joined(drawn) if drawn else []
    return render(
        "alignment.html",
        results=results,
        chosen=chosen,
        index=index,
        notes=notes,
        schemes=schemes,
        pairs=first["pairs"],
        candidates=first["candidates"],
        cut=CUT,
        left=left_name,
        right=right_name,
        drawn=drawn,
        charts=[_cloud_chart(drawn, when, joined, left_name, right_name) for when in ("before", "after")]
        if drawn
        else [],
        joined=[
            (drawn.names[row], float(drawn.before.distances[row]), float(drawn.after.distances[row])) for row in joined
        ]
        if drawn
        else [],
    )


def _joined(drawn: Clouds) -> list[int]:
    """Rows that get a line between their two sides, spread evenly over all rows."""
    count = len(drawn.names)
    return sorted(set(np.linspace(0, count - 1, min(_JOINED, count)).astype(int).tolist()))


def _methods_chart(results: Mapping[str, Mapping[str, Any]], scheme: str, way: str, title: str) -> str:
    by_method = [(method, result[scheme]["left_to_right"]) for method, result in results.items()]

    def draw(axes: Axes) -> None:
        for row, (_, figures) in enumerate(by_method):
            low, high = figures["intervals"]["top1"]
            axes.plot([low, high], [row, row], color=COLOURS[0], linewidth=3, alpha=0.5)
            axes.plot(figures["top1"], row, "o", color=COLOURS[0], markersize=8)
            axes.annotate(
                f"{figures['top1']:.3f}", (figures["top1"], row), (0, 8), textcoords="offset points", ha="center"
            )
        axes.set_yticks(range(len(by_method)), [method for method, _ in by_method])
        axes.set_ylim(len(by_method) - 0.5, -0.7)
        axes.set_xlabel(f"{way}: right one first, 95 % interval")

    said = ", ".join(f"{method} {figures['top1']:.3f}" for method, figures in by_method)
    return draw_svg(0.8 + 0.5 * len(by_method), draw, f"{title}, {way}, share with the right one first: {said}")


def _cloud_chart(drawn: Clouds, when: str, joined: Sequence[int], left_name: str, right_name: str) -> str:
    cloud = drawn.before if when == "before" else drawn.after

    def draw(axes: Axes) -> None:
        for row in joined:
            ends = np.stack([cloud.left[row], cloud.right[row]])
            axes.plot(ends[:, 0], ends[:, 1], color=INK, linewidth=0.8, alpha=0.6)
        # The two sides differ in shape too, for people who do not see the colours.
        axes.plot(cloud.left[:, 0], cloud.left[:, 1], "o", color=COLOURS[0], markersize=5, alpha=0.7, label=left_name)
        axes.plot(
            cloud.right[:, 0], cloud.right[:, 1], "^", color=COLOURS[1], markersize=5, alpha=0.7, label=right_name
        )
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xlabel(f"first two principal axes: {cloud.spread:.0%} of all differences")
        axes.legend(frameon=False, loc="best")

    label = (
        f"{len(cloud.left)} products {when} alignment, {left_name} and {right_name} as points: mean cosine of partners "
        f"{cloud.partners:.2f}, of strangers {cloud.strangers:.2f}; partner nearest for {cloud.top1:.0%}"
    )
    return draw_svg(4.2, draw, label)
