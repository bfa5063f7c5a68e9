"""The HTML report of trained tags: one file with nothing to fetch. It looks like hybrid.evaluation.report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hybrid.evaluation.report import COLOURS, INK, draw_svg, render

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def page(trained: Mapping[str, Any]) -> str:
    """The page. trained: `hybrid.learning.tags.training.Trained.to_json()`."""
    chosen = trained["results"][trained["strategy"]]
    return render(
        "tags.html",
        trained=trained,
        chosen=chosen,
        classes=_classes(chosen),
        reliability=_reliability(chosen),
    )


def _plain(name: str) -> str:
    # matplotlib reads what stands between dollars as mathematics.
    return name.replace("$", r"\$")


def _classes(chosen: Mapping[str, Any]) -> str:
    by_tag = list(chosen["classes"].items())

    def draw(axes: Axes) -> None:
        axes.barh(range(len(by_tag)), [one["recall"] for _, one in by_tag], color=COLOURS[0])
        axes.set_yticks(range(len(by_tag)), [f"{_plain(name)} ({one['count']})" for name, one in by_tag])
        axes.set_ylim(len(by_tag) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_xlabel("recall, held out")

    return draw_svg(
        0.8 + 0.3 * len(by_tag), draw, f"recall by tag; worst {chosen['worst']} {chosen['worst_recall']:.3f}"
    )


def _reliability(chosen: Mapping[str, Any]) -> str:
    bins = chosen["reliability"]

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle="--")
        axes.plot([one["confidence"] for one in bins], [one["right"] for one in bins], "o-", color=COLOURS[1])
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("confidence")
        axes.set_ylabel("share that is right")

    return draw_svg(3.4, draw, f"reliability diagram; expected calibration error {chosen['calibration_error']:.3f}")
