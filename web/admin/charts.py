"""Charts as SVG: drawn here, so that they need no script, keep to the page's colours, and have a table beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

_WIDTH, _HEIGHT, _EDGE = 600, 160, 5


def bar(share: float, label: str, kind: str = "") -> Markup:
    """A bar of a share in [0, 1]. label: what it says to who cannot see it; kind: a class of its colour."""
    width = 100 * min(1.0, max(0.0, share))
    return Markup(
        '<svg class="bar {kind}" role="img" aria-label="{label}" viewBox="0 0 100 8" preserveAspectRatio="none">'
        '<rect class="rail" width="100" height="8" rx="2"/><rect class="fill" width="{width}" height="8" rx="2"/></svg>'
    ).format(kind=kind, label=label, width=f"{width:.2f}")


def line(points: Sequence[tuple[float, float]], label: str, kind: str = "") -> Markup:
    """A line through (x, y) with y from 0; x ascending. How high it goes is for the words beside it to say."""
    if len(points) < 2:
        return Markup("")
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low, high, top = xs[0], max(xs[-1], xs[0] + 1e-9), max(max(ys), 1e-9)
    places = [
        (_EDGE + (x - low) / (high - low) * (_WIDTH - 2 * _EDGE), _HEIGHT - _EDGE - y / top * (_HEIGHT - 2 * _EDGE))
        for x, y in points
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return Markup(
        '<svg class="line {kind}" role="img" aria-label="{label}" viewBox="0 0 {w} {h}">'
        '<path class="axis" d="M{e} {e}V{b}H{r}"/><polyline points="{path}"/></svg>'
    ).format(
        kind=kind, label=label, w=_WIDTH, h=_HEIGHT, e=_EDGE, b=_HEIGHT - _EDGE, r=_WIDTH - _EDGE, path=path
    )  # fmt: skip


# -- charts whose words stand beside them in the page, so that these stay legible where the picture is narrow ---------


def interval(
    low: float, mean: float, high: float, label: str, scale: tuple[float, float], hollow: bool = False
) -> Markup:
    """A mean with its interval, on a scale shared by the rows of a table."""
    first, last = scale
    a, m, b = (100 * min(1.0, max(0.0, (at - first) / max(last - first, 1e-9))) for at in (low, mean, high))
    zero = Markup("")
    if first < 0 < last:
        zero = Markup('<path class="zero" d="M{x} 0V16"/>').format(x=f"{100 * -first / (last - first):.2f}")
    hole = Markup('<path class="hole" d="M{m} 8h0.01"/>').format(m=f"{m:.2f}") if hollow else ""
    return Markup(
        '<svg class="interval" role="img" aria-label="{label}" viewBox="0 0 100 16" preserveAspectRatio="none">'
        '<path class="rail" d="M0 8H100"/>{zero}<path class="reach" d="M{a} 8H{b}"/>'
        '<path class="dot" d="M{m} 8h0.01"/>{hole}</svg>'
    ).format(label=label, zero=zero, hole=hole, a=f"{a:.2f}", b=f"{b:.2f}", m=f"{m:.2f}")


def scale_of(rows: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """A scale that (low, high) of all rows lie on, with a little room."""
    ranges = list(rows) or [(0.0, 1.0)]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    room = 0.08 * (high - low) or 0.05
    return low - room, high + room


def scale_of_points(series: Iterable[Sequence[tuple[float, float]]]) -> tuple[float, float]:
    """A scale that y of all points of these lines lies on."""
    return scale_of((y, y) for points in series for _, y in points)


def gains(values: Sequence[float], label: str, reach: float, limit: float) -> Markup:
    """A bar for each value in [-reach, reach], in their order; dotted lines at `limit` to both sides."""
    if not values:
        return Markup("")
    width = 100 / len(values)
    bars = Markup("").join(
        Markup('<rect class="{kind}" x="{x:.3f}" y="{y:.2f}" width="{w:.3f}" height="{h:.2f}"/>').format(
            kind="won" if value >= 0 else "lost", x=number * width, w=0.85 * width, h=30 * abs(value) / reach,
            y=30 - 30 * value / reach if value >= 0 else 30,
        )
        for number, value in enumerate(values)
    )  # fmt: skip
    return Markup(
        '<svg class="gains" role="img" aria-label="{label}" viewBox="0 0 100 60" preserveAspectRatio="none">{bars}'
        '<path class="axis" d="M0 30H100"/><path class="limit" d="M0 {up:.2f}H100M0 {down:.2f}H100"/></svg>'
    ).format(label=label, bars=bars, up=30 - 30 * limit / reach, down=30 + 30 * limit / reach)


def histogram(counts: Sequence[float], label: str, middle: float, kind: str = "") -> Markup:
    """Counts of equal parts from 0 to 1, with a line at `middle`."""
    top, width = max(max(counts, default=0), 1), 100 / max(len(counts), 1)
    bars = Markup("").join(
        Markup('<rect class="fill" x="{x:.2f}" y="{y:.2f}" width="{w:.2f}" height="{h:.2f}"/>').format(
            x=number * width + 0.4, y=30 - 28 * count / top, w=width - 0.8, h=28 * count / top
        )
        for number, count in enumerate(counts)
    )
    return Markup(
        '<svg class="histogram {kind}" role="img" aria-label="{label}" viewBox="0 0 100 30" preserveAspectRatio="none">'
        '{bars}<path class="axis" d="M0 30H100"/><path class="middle" d="M{m:.2f} 0V30"/></svg>'
    ).format(kind=kind, label=label, bars=bars, m=100 * middle)


def lines(series: Sequence[Sequence[tuple[float, float]]], label: str, scale: tuple[float, float]) -> Markup:
    """Lines through (x, y) with a dot at each point, y on `scale`; told apart by the classes series-0, series-1, …"""
    xs = [x for points in series for x, _ in points]
    if not xs:
        return Markup("")
    first, span, (low, high) = min(xs), max(max(xs) - min(xs), 1e-9), scale
    drawn = Markup("")
    for number, points in enumerate(series):
        places = [
            f"{2 + 96 * (x - first) / span:.2f} {58 - 56 * (y - low) / max(high - low, 1e-9):.2f}" for x, y in points
        ]
        dots = "".join(f"M{place}h0.01" for place in places)
        drawn += Markup(
            '<g class="series-{n}"><path class="way" d="M{way}"/><path class="dot" d="{dots}"/></g>'
        ).format(n=number % 6, way="L".join(places), dots=dots)
    return Markup(
        '<svg class="lines" role="img" aria-label="{label}" viewBox="0 0 100 60" preserveAspectRatio="none">'
        '<path class="axis" d="M0 0V60H100"/>{drawn}</svg>'
    ).format(label=label, drawn=drawn)
