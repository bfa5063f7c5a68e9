"""The HTML report of trained sounds: one file with nothing to fetch. It looks like hybrid.evaluation.report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hybrid.evaluation.report import COLOURS, draw_svg, render

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def page(trained: Mapping[str, Any]) -> str:
    """The page. trained: `hybrid.learning.sounds.training.Trained.to_json()`."""
    return render("sounds.html", trained=trained, chart=_chart(trained["results"]))


def _chart(results: Mapping[str, Mapping[str, Any]]) -> str:
    found = list(results.items())

    def draw(axes: Axes) -> None:
        for row, (_, told) in enumerate(found):
            axes.plot(told["intervals"]["map"], [row, row], color=COLOURS[0], linewidth=3, alpha=0.5)
            axes.plot(told["map"], row, "o", color=COLOURS[0], markersize=8)
            axes.annotate(f"{told['map']:.3f}", (told["map"], row), (0, 8), textcoords="offset points", ha="center")
        axes.set_yticks(range(len(found)), [method for method, _ in found])
        axes.set_ylim(len(found) - 0.5, -0.7)
        axes.set_xlabel("mean average precision, 95 % interval")

    said = ", ".join(f"{method} {told['map']:.3f}" for method, told in found)
    return draw_svg(0.8 + 0.5 * len(found), draw, f"mean average precision of sounds held out: {said}")
