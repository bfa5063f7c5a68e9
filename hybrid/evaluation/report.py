"""The HTML report of an evaluation: one file that loads no other, for light and dark pages, paper and phone."""

from __future__ import annotations

import base64
import io
import os
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.errors import UsageError
from hybrid.evaluation.evaluate import Evaluation, SystemResult
from hybrid.evaluation.judgments import Judgments
from hybrid.evaluation.measures import CUT
from hybrid.evaluation.pool import title_of
from hybrid.evaluation.significance import HURT, SHOWN
from hybrid.media import open_image
from hybrid.searches import Hit, SearchAnswer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Charts are drawn with this colour, which is then replaced by the page's text colour, light or dark.
INK = "#010203"
#: Colours that people of any colour vision can tell apart (Okabe and Ito, 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LISTED_HITS = 5
_MOST_HURT = 20
_WIDTH = 7.6
#: Pixels of the longer side of a judged photo, and the bytes that all photos together may add to the file.
_PHOTO_SIDE, PHOTOS_BYTES = 96, 1_000_000


@dataclass(frozen=True)
class Curves:
    """Measurements of a training. fewer: by number of judged queries; skip: by share of searches saved.

    version: the version of the weights that was trained.
    """

    version: str
    fewer: Sequence[Mapping[str, float]] = ()
    skip: Sequence[Mapping[str, float]] = ()


@dataclass(frozen=True)
class _Lost:
    """A query that a system does worse on than the baseline. photo: what it looks like, as the address of a picture."""

    query: str
    image: str
    photo: str
    before: float
    after: float
    answer: SearchAnswer
    hits: list[dict[str, Any]] = field(default_factory=list)
    baseline_hits: list[dict[str, Any]] = field(default_factory=list)


def write_report(
    evaluation: Evaluation,
    path: Path,
    title_fields: Sequence[str] = (),
    curves: Curves | None = None,
    photos_bytes: int = PHOTOS_BYTES,
) -> None:
    """Write the report of an evaluation.

    title_fields: source fields that name a product. curves: of the learned weights, if there are any. photos_bytes:
    bytes that judged photos may add to the file; photos beyond the limit are only named.

    Raises:
        UsageError: the file cannot be written.
    """
    photos = _Photos(evaluation.judgments, photos_bytes)
    others = {name: result for name, result in evaluation.systems.items() if name != evaluation.baseline}
    page = render(
        "report.html",
        evaluation=evaluation,
        others=others,
        columns=list(next(iter(evaluation.systems.values())).measures),
        systems_chart=_systems_chart(evaluation),
        wins_charts={name: _wins_chart(result, evaluation) for name, result in others.items()},
        weights_charts={name: chart for name, result in others.items() if (chart := _weights_chart(result))},
        fewer_chart=_fewer_chart(curves.fewer) if curves and len(curves.fewer) > 1 else "",
        skip_chart=_skip_chart(curves.skip) if curves and len(curves.skip) > 1 else "",
        curves=curves,
        hurt={
            name: lost for name, result in others.items() if (lost := _hurt(result, evaluation, title_fields, photos))
        },
        photos=photos,
        most_hurt=_MOST_HURT,
        limit=HURT,
        shown=SHOWN,
        cut=CUT,
    )
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(page, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


# -- hurt queries ------------------------------------------------------------------------------------------------


class _Photos:
    """Judged photos made small, as addresses that hold the picture itself.

    left_out: how many photos do not fit into the file. gone: names of photos that are missing, or are no picture any
    more.
    """

    def __init__(self, judgments: Judgments, room: int) -> None:
        self._judgments = judgments
        self._room = room
        self.left_out = 0
        self.gone: set[str] = set()

    def show(self, image: str) -> str:
        """The address of a photo; "" where it is not shown."""
        if not image or image in self.gone:
            return ""
        try:
            small = open_image(self._judgments.photo(image))
        except UsageError:  # it was there for the search; its file or its judgments were deleted since
            self.gone.add(image)
            return ""
        small.thumbnail((_PHOTO_SIDE, _PHOTO_SIDE))
        out = io.BytesIO()
        small.save(out, "JPEG", quality=75)
        address = f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
        if len(address) > self._room:
            self.left_out += 1
            return ""
        self._room -= len(address)
        return address


def _hurt(result: SystemResult, evaluation: Evaluation, title_fields: Sequence[str], photos: _Photos) -> list[_Lost]:
    baseline = evaluation.systems[evaluation.baseline]
    lost = {query: baseline.per_query[query] - value for query, value in result.per_query.items()}
    rows = []
    for query in sorted(lost, key=lambda query: -lost[query])[:_MOST_HURT]:
        if lost[query] <= HURT:
            break
        rated, query_parts = evaluation.judgments.ratings[query], evaluation.judgments.query(query)
        rows.append(
            _Lost(
                query=query_parts.text,
                image=query_parts.image,
                photo=photos.show(query_parts.image),
                before=baseline.per_query[query],
                after=result.per_query[query],
                answer=result.answers[query],
                hits=[_row(hit, rated, title_fields) for hit in result.answers[query].hits[:_LISTED_HITS]],
                baseline_hits=[_row(hit, rated, title_fields) for hit in baseline.answers[query].hits[:_LISTED_HITS]],
            )
        )
    return rows


def _row(hit: Hit, rated: Mapping[str, float], title_fields: Sequence[str]) -> dict[str, Any]:
    title = title_of(hit, title_fields)
    return {"id": hit.id, "title": title[:120], "rating": rated.get(hit.id), "score": hit.score, "signals": hit.signals}


# -- charts ------------------------------------------------------------------------------------------------------


def render(template: str, **values: Any) -> str:
    """A page of one of the package's templates, with all values escaped. The template has the time as `rendered_at`."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hybrid"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    rendered_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return environment.get_template(template).render(rendered_at=rendered_at, **values)


def draw_svg(height: float, draw: Callable[[Axes], None], label: str) -> str:
    """An SVG element. `label` is what a screen reader says of it."""
    import matplotlib
    from markupsafe import Markup, escape
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
        "grid.color": INK, "grid.alpha": 0.15, "axes.grid": True, "axes.axisbelow": True, "axes.spines.top": False,
        "axes.spines.right": False, "font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "hybrid",
        "font.family": "sans-serif",
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        draw(figure.add_subplot())
        out = io.StringIO()
        figure.savefig(
            out, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # Names of parts are the same in every figure of the page otherwise.
    mark = f"c{zlib.crc32(label.encode()):08x}"
    svg = re.sub(r'id="([^"]+)"', rf'id="{mark}-\1"', svg)
    svg = re.sub(r'(href="#|url\(#)([^")]+)', rf"\1{mark}-\2", svg)
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1))


def _systems_chart(evaluation: Evaluation) -> str:
    systems = list(evaluation.systems.items())

    def draw(axes: Axes) -> None:
        for row, (name, result) in enumerate(systems):
            compared = result.comparison
            colour = COLOURS[1] if name == evaluation.baseline else COLOURS[0]
            axes.plot([compared.low, compared.high], [row, row], color=colour, linewidth=3, alpha=0.5)
            axes.plot(compared.mean, row, "o", color=colour, markersize=8)
            axes.annotate(f"{compared.mean:.3f}", (compared.mean, row), (0, 8), textcoords="offset points", ha="center")
        axes.set_yticks(range(len(systems)), [name for name, _ in systems])
        axes.set_ylim(len(systems) - 0.5, -0.7)
        axes.set_xlabel(f"nDCG@{CUT}, 95 % interval")

    caption = ", ".join(f"{name} {result.comparison.mean:.3f}" for name, result in systems)
    return draw_svg(0.8 + 0.5 * len(systems), draw, f"nDCG@{CUT} of the systems with intervals: {caption}")


def _wins_chart(result: SystemResult, evaluation: Evaluation) -> str:
    before = evaluation.systems[evaluation.baseline].per_query
    gained = np.array(sorted((result.per_query[query] - before[query] for query in before), reverse=True))
    # The same scale for every system, so that they can be compared by eye.
    most = max(abs(one.per_query[query] - before[query]) for one in evaluation.systems.values() for query in before)
    reach = max(1.1 * most, 2 * HURT)

    def draw(axes: Axes) -> None:
        colours = [COLOURS[0] if value >= 0 else COLOURS[1] for value in gained]
        axes.bar(range(len(gained)), gained, color=colours, width=0.85)
        for edge in (HURT, -HURT):
            axes.axhline(edge, color=INK, linewidth=0.8, linestyle=":")
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_ylim(-reach, reach)
        axes.set_xticks([])
        axes.set_xlabel(f"{len(gained)} queries, most helped first; beyond the dotted lines: helped, hurt")
        axes.set_ylabel(f"nDCG@{CUT} against {evaluation.baseline}")

    compared = result.comparison
    return draw_svg(2.6, draw, f"gain by query: {compared.helped:.0%} helped, {compared.hurt:.0%} hurt, {len(gained)}")


def _weights_chart(result: SystemResult) -> str:
    """How the weights of the signals spread over the queries; nothing where they are the same for all."""
    spread: dict[str, list[float]] = {}
    for answer in result.answers.values():
        for signal, weight in answer.weights.items():
            spread.setdefault(signal, []).append(weight)
    if len({tuple(sorted(answer.weights.items())) for answer in result.answers.values()}) < 2:
        return ""

    def draw(axes: Axes) -> None:
        edges = np.linspace(0, 1, 21)
        for row, values in enumerate(spread.values()):
            heights, _ = np.histogram(values, edges)
            heights = heights / max(1, heights.max()) * 0.85
            axes.bar(
                edges[:-1], heights, bottom=row, width=0.05, align="edge", color=COLOURS[row % len(COLOURS)],
                edgecolor="none",
            )  # fmt: skip
            axes.plot([float(np.median(values))] * 2, [row, row + 0.85], color=INK, linewidth=1.2)
        axes.set_yticks([row + 0.4 for row in range(len(spread))], list(spread))
        axes.set_xlim(0, 1)
        axes.set_ylim(0, len(spread))
        axes.set_xlabel("weight after weak signals were lowered; bars: share of the queries, line: median")

    caption = ", ".join(f"{signal} median {float(np.median(values)):.2f}" for signal, values in spread.items())
    return draw_svg(0.7 + 0.7 * len(spread), draw, f"distribution of weights: {caption}")


def _fewer_chart(points: Sequence[Mapping[str, float]]) -> str:
    def draw(axes: Axes) -> None:
        judged = [point["judged"] for point in points]
        axes.fill_between(
            judged, [point["low"] for point in points], [point["high"] for point in points], color=COLOURS[0],
            alpha=0.15,
        )  # fmt: skip
        axes.plot(judged, [point["ndcg"] for point in points], "o-", color=COLOURS[0])
        axes.set_xlabel("judged queries learned from")
        axes.set_ylabel(f"held-out nDCG@{CUT}")

    caption = ", ".join(f"{point['judged']:.0f}: {point['ndcg']:.3f}" for point in points)
    return draw_svg(2.8, draw, f"quality by number of judged queries: {caption}")


def _skip_chart(points: Sequence[Mapping[str, float]]) -> str:
    def draw(axes: Axes) -> None:
        saved = [100 * point["saved"] for point in points]
        axes.plot(saved, [point["ndcg"] for point in points], "o-", color=COLOURS[2])
        for percent, point in zip(saved, points, strict=True):
            at = (percent, point["ndcg"])
            axes.annotate(f"{point['threshold']:g}", at, (4, 5), textcoords="offset points", fontsize=8)
        axes.set_xlabel("searches of a signal saved, %; the number: weights under it are not searched")
        axes.set_ylabel(f"held-out nDCG@{CUT}")

    caption = ", ".join(f"{point['saved']:.0%}: {point['ndcg']:.3f}" for point in points)
    return draw_svg(2.8, draw, f"quality by share of searches saved: {caption}")
