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
    by_method = list(results.items())

    def draw(axes: Axes) -> None:
        for row, (_, figures) in enumerate(by_method):
            axes.plot(figures["intervals"]["map"], [row, row], color=COLOURS[0], linewidth=3, alpha=0.5)
            axes.plot(figures["map"], row, "o", color=COLOURS[0], markersize=8)
            axes.annotate(
                f"{figures['map']:.3f}", (figures["map"], row), (0, 8), textcoords="offset points", ha="center"
            )
        axes.set_yticks(range(len(by_method)), [method for method, _ in by_method])
        axes.set_ylim(len(by_method) - 0.5, -0.7)
        axes.set_xlabel("mean average precision, 95 % interval")

    said = ", ".join(f"{method} {figures['map']:.3f}" for method, figures in by_method)
    return draw_svg(0.8 + 0.5 * len(by_method), draw, f"mean average precision of sounds held out: {said}")
