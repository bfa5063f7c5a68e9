"""A small vector pen over Pillow: parts of a product are filled with its colour and pattern.

Coordinates run from 0 to 100 in both directions, y down; the pen draws at twice the final size so that the
edges come out smooth when the layer is reduced.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

Rgb = tuple[int, int, int]
Point = tuple[float, float]

#: Side of a finished layer in pixels, and how much larger it is drawn.
SIDE = 320
OVER = 2

RGB: dict[str, Rgb] = {
    "black": (42, 42, 47),
    "white": (246, 245, 241),
    "grey": (142, 147, 154),
    "red": (203, 40, 46),
    "blue": (46, 108, 204),
    "navy": (30, 43, 92),
    "green": (50, 140, 74),
    "yellow": (243, 200, 48),
    "orange": (238, 124, 36),
    "pink": (242, 152, 182),
    "purple": (126, 72, 168),
    "brown": (124, 79, 48),
    "beige": (221, 201, 168),
    "teal": (28, 142, 142),
}

#: The second colour of a pattern. Chosen to contrast, and never so much of it that it hides the first.
ACCENT: dict[str, Rgb] = {
    "white": (52, 78, 138),
    "yellow": (255, 252, 240),
    "beige": (150, 98, 58),
    "grey": (240, 241, 243),
    "pink": (255, 250, 250),
    "black": (236, 232, 222),
}
CREAM: Rgb = (250, 245, 232)
STEEL: Rgb = (186, 191, 198)
WOOD: Rgb = (186, 138, 90)
GOLD: Rgb = (206, 168, 84)


def mix(first: Rgb, second: Rgb, share: float) -> Rgb:
    """The colour `share` of the way from first to second."""
    r, g, b = (round(x + (y - x) * share) for x, y in zip(first, second, strict=True))
    return r, g, b


def darker(color: Rgb, share: float = 0.3) -> Rgb:
    return mix(color, (0, 0, 0), share)


def lighter(color: Rgb, share: float = 0.3) -> Rgb:
    return mix(color, (255, 255, 255), share)


class Pen:
    """Draws one product's parts onto a transparent layer.

    `layer` is the drawing (RGBA) and `main` marks where the product's own colour and pattern show (L).
    Everything in between - proportions included - hangs on the seeded generator alone.
    """

    def __init__(self, color: str, pattern: str, rng: random.Random) -> None:
        from PIL import Image, ImageDraw

        side = SIDE * OVER
        self.rng = rng
        self.color = RGB[color]
        self.dark = lighter(self.color, 0.22) if color == "black" else darker(self.color, 0.28)
        self.deep = darker(self.color, 0.5)
        self.light = lighter(self.color, 0.28)
        self.outline = (20, 20, 24) if color == "black" else darker(self.color, 0.42)
        self.layer = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        self.main = Image.new("L", (side, side), 0)
        self._draw = ImageDraw.Draw(self.layer)
        self._mark = ImageDraw.Draw(self.main)
        self._fabric = None if pattern == "plain" else fabric(color, pattern, rng)
        # Wider or taller by a few per cent: no two pictures of a category are the same outline.
        self._sx = 1 + rng.uniform(-0.06, 0.05)
        self._sy = 1 + rng.uniform(-0.06, 0.04)

    def vary(self, low: float, high: float) -> float:
        """A proportion that differs from picture to picture."""
        return self.rng.uniform(low, high)

    def shape(self, points: Sequence[Point], fill: Rgb | None = None, *, smooth: bool = True) -> None:
        """A closed part. Without a fill it takes the product's colour and pattern."""
        self._part(spline(points) if smooth else list(points), fill)

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Rgb | None = None, turn: float = 0) -> None:
        """An ellipse around (x, y), turned by degrees."""
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        points = []
        for step in range(72):
            angle = step * math.pi / 36
            dx, dy = rx * math.cos(angle), ry * math.sin(angle)
            points.append((x + dx * cos - dy * sin, y + dx * sin + dy * cos))
        self._part(points, fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Rgb | None = None, r: float = 2) -> None:
        """A rectangle with corners rounded by r."""
        r = min(r, (x1 - x0) / 2, (y1 - y0) / 2)
        points = []
        for cx, cy, start in (
            (x1 - r, y0 + r, 270),
            (x1 - r, y1 - r, 0),
            (x0 + r, y1 - r, 90),
            (x0 + r, y0 + r, 180),
        ):
            for step in range(9):
                angle = math.radians(start + step * 11.25)
                points.append((cx + r * math.cos(angle), cy + r * math.sin(angle)))
        self._part(points, fill)

    def line(self, points: Sequence[Point], width: float, fill: Rgb, *, smooth: bool = True) -> None:
        """An open stroke with round ends, never patterned."""
        path = spline(points, closed=False) if smooth and len(points) > 2 else list(points)
        self._stroke(path, width, fill)

    def band(self, points: Sequence[Point], width: float, *, smooth: bool = True) -> None:
        """An open stroke in the product's colour with an outline, and marked as its own."""
        path = spline(points, closed=False) if smooth and len(points) > 2 else list(points)
        self._stroke(path, width + 1.2, self.outline)
        self._stroke(path, width, self.color)
        self._stroke(path, width, None)

    def _stroke(self, path: Sequence[Point], width: float, fill: Rgb | None) -> None:
        """Onto the drawing (and off the marks), or with no fill onto the marks alone."""
        scaled = [self._at(point) for point in path]
        pixels = max(1, round(width * SIDE * OVER / 100))
        for draw, ink in ((self._mark, 255 if fill is None else 0), (self._draw, fill)):
            if draw is self._draw and fill is None:
                continue
            draw.line(scaled, fill=ink, width=pixels, joint="curve")
            for x, y in (scaled[0], scaled[-1]):
                half = pixels / 2
                draw.ellipse((x - half, y - half, x + half, y + half), fill=ink)

    def _part(self, points: Sequence[Point], fill: Rgb | None) -> None:
        from PIL import Image, ImageDraw

        scaled = [self._at(point) for point in points]
        if fill is None and self._fabric is not None:
            mask = Image.new("L", self.main.size, 0)
            ImageDraw.Draw(mask).polygon(scaled, fill=255)
            box = mask.getbbox()
            if box:
                self.layer.paste(self._fabric.crop(box), box, mask.crop(box))
        else:
            self._draw.polygon(scaled, fill=self.color if fill is None else fill)
        self._mark.polygon(scaled, fill=255 if fill is None else 0)
        edge = self.outline if fill is None else darker(fill, 0.3)
        self._draw.line([*scaled, scaled[0], scaled[1]], fill=edge, width=3, joint="curve")

    def _at(self, point: Point) -> Point:
        unit = SIDE * OVER / 100
        return (50 + (point[0] - 50) * self._sx) * unit, (52 + (point[1] - 52) * self._sy) * unit


def spline(points: Sequence[Point], *, closed: bool = True, steps: int = 10) -> list[Point]:
    """A Catmull-Rom curve through all points."""
    count = len(points)
    curve: list[Point] = []
    for i in range(count if closed else count - 1):
        p0 = points[(i - 1) % count] if closed or i > 0 else points[0]
        p1, p2 = points[i], points[(i + 1) % count]
        p3 = points[(i + 2) % count] if closed or i + 2 < count else points[-1]
        for step in range(steps):
            t = step / steps
            curve.append((_catmull(p0[0], p1[0], p2[0], p3[0], t), _catmull(p0[1], p1[1], p2[1], p3[1], t)))
    if not closed:
        curve.append(points[-1])
    return curve


def _catmull(a: float, b: float, c: float, d: float, t: float) -> float:
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def fabric(color: str, pattern: str, rng: random.Random) -> Image.Image:
    """A square of cloth in the colour with the pattern, as large as a layer."""
    from PIL import Image, ImageDraw

    side = SIDE * OVER
    main, accent = RGB[color], ACCENT.get(color, CREAM)
    cloth = Image.new("RGB", (side, side), main)
    draw = ImageDraw.Draw(cloth)
    shift = rng.uniform(0, 20)
    if pattern == "striped":
        step = rng.uniform(38, 46)
        for k in range(int(side / step) + 3):
            at = round(shift + (k - 1) * step)
            draw.rectangle((0, at, side, at + round(step * 0.36)), fill=accent)
    elif pattern == "checked":
        step = rng.uniform(54, 64)
        crossing = mix(main, accent, 0.85)
        starts = [round(-step + shift + i * step) for i in range(int(side / step) + 3)]
        width = round(step * 0.3)
        for at in starts:
            draw.rectangle((0, at, side, at + width), fill=mix(main, accent, 0.45))
        for at in starts:
            draw.rectangle((at, 0, at + width, side), fill=mix(main, accent, 0.45))
        for x in starts:
            for y in starts:
                draw.rectangle((x, y, x + width, y + width), fill=crossing)
    elif pattern == "dotted":
        step, radius = rng.uniform(38, 44), rng.uniform(9.5, 11)
        for cx, cy in _lattice(side, step, shift):
            draw.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=accent)
    elif pattern == "floral":
        petal, eye = accent, ((244, 190, 60) if color not in ("yellow", "orange") else (196, 72, 60))
        for cx, cy in _lattice(side, rng.uniform(56, 64), shift):
            cx, cy, turn = cx + rng.uniform(-7, 7), cy + rng.uniform(-7, 7), rng.uniform(0, 72)
            leaf = (96, 150, 84) if color != "green" else (22, 84, 46)
            for angle in (turn + 20, turn + 190):
                lx, ly = cx + 17 * math.cos(math.radians(angle)), cy + 17 * math.sin(math.radians(angle))
                draw.ellipse((lx - 5, ly - 5, lx + 5, ly + 5), fill=leaf)
            for k in range(5):
                angle = math.radians(turn + 72 * k)
                px, py = cx + 9 * math.cos(angle), cy + 9 * math.sin(angle)
                draw.ellipse((px - 7, py - 7, px + 7, py + 7), fill=petal)
            draw.ellipse((cx - 5, cy - 5, cx + 5, cy + 5), fill=eye)
    else:
        raise ValueError(f"no such pattern: {pattern}")
    return cloth


def _lattice(side: int, step: float, shift: float) -> list[Point]:
    """Points in rows, every other row moved by half a step."""
    rows = int(side / (step * 0.87)) + 3
    return [
        (column * step + (step / 2 if row % 2 else 0) + shift - step, row * step * 0.87 + shift - step)
        for row in range(rows)
        for column in range(int(side / step) + 3)
    ]
