"""Charts as SVG: drawn here, so that they need no script, keep to the page's colours, and have a table beside them."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

_WIDTH, _HEIGHT, _EDGE = 600, 160, 30


def bar(share: float, label: str, kind: str = "") -> Markup:
    """A bar of a share in [0, 1]. label: what it says to who cannot see it; kind: a class of its colour."""
    width = 100 * min(1.0, max(0.0, share))
    return Markup(
        '<svg class="bar {kind}" role="img" aria-label="{label}" viewBox="0 0 100 8" preserveAspectRatio="none">'
        '<rect class="rail" width="100" height="8" rx="2"/><rect class="fill" width="{width}" height="8" rx="2"/></svg>'
    ).format(kind=kind, label=label, width=f"{width:.2f}")


def line(points: Sequence[tuple[float, float]], label: str, unit: str = "", kind: str = "") -> Markup:
    """A line through (x, y) with y from 0; x ascending. The largest y is written beside it."""
    if len(points) < 2:
        return Markup("")
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low, high, top = xs[0], max(xs[-1], xs[0] + 1e-9), max(max(ys), 1e-9)
    places = [
        (_EDGE + (x - low) / (high - low) * (_WIDTH - _EDGE - 10), _HEIGHT - 15 - y / top * (_HEIGHT - 35))
        for x, y in points
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return Markup(
        '<svg class="line {kind}" role="img" aria-label="{label}" viewBox="0 0 {w} {h}">'
        '<path class="axis" d="M{e} 10V{b}H{r}"/><text x="{e}" y="9">{top} {unit}</text>'
        '<polyline points="{path}"/></svg>'
    ).format(
        kind=kind, label=escape(label), w=_WIDTH, h=_HEIGHT, e=_EDGE, b=_HEIGHT - 15, r=_WIDTH - 10,
        top=f"{top:,.0f}" if top >= 10 else f"{top:.3g}", unit=unit, path=path,
    )  # fmt: skip
