"""Shapes that pictures of the tests show."""

from __future__ import annotations

from PIL import ImageDraw

SHAPES = ("disc", "stripes", "cross")


def put(
    pen: ImageDraw.ImageDraw, size: tuple[int, int], shape: str, at: tuple[int, int, int], ink: tuple[int, ...]
) -> None:
    """Draw one of SHAPES on a picture of this size. at: its middle, and half its width; stripes are all over it."""
    x, y, r = at
    if shape == "disc":
        pen.ellipse((x - r, y - r, x + r, y + r), fill=ink)
    elif shape == "stripes":
        for left in range(0, size[0], 14):
            pen.rectangle((left, 0, left + 6, size[1]), fill=ink)
    else:
        pen.line((x - r, y - r, x + r, y + r), fill=ink, width=9)
        pen.line((x - r, y + r, x + r, y - r), fill=ink, width=9)
