"""Pictures of the sample's products: catalogue pictures, and the same things as a phone would see them."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from hybrid.sample import draw_household, draw_wardrobe
from hybrid.sample.pen import OVER, RGB, SIDE, Pen, Rgb, darker, mix

if TYPE_CHECKING:
    from PIL import Image

DRAWINGS: dict[str, Callable[[Pen, int], None]] = {
    "sneakers": draw_wardrobe.sneakers,
    "boots": draw_wardrobe.boots,
    "t-shirts": draw_wardrobe.tshirts,
    "dresses": draw_wardrobe.dresses,
    "jackets": draw_wardrobe.jackets,
    "scarves": draw_wardrobe.scarves,
    "sunglasses": draw_wardrobe.sunglasses,
    "watches": draw_wardrobe.watches,
    "backpacks": draw_household.backpacks,
    "handbags": draw_household.handbags,
    "mugs": draw_household.mugs,
    "teapots": draw_household.teapots,
    "lamps": draw_household.lamps,
    "chairs": draw_household.chairs,
    "headphones": draw_household.headphones,
    "umbrellas": draw_household.umbrellas,
}

#: Soft backdrops of a catalogue; none is near a product's own colour.
_BACKDROPS: tuple[Rgb, ...] = (
    (240, 240, 238), (236, 241, 244), (244, 239, 232), (236, 242, 236), (242, 237, 243),
)  # fmt: skip
#: Pale things need something to stand out from.
_DEEPER: tuple[Rgb, ...] = ((196, 208, 218), (204, 212, 202), (214, 203, 196))
#: What a phone finds behind things: wood, cloth, carpet, tiles.
_SURFACES: tuple[Rgb, ...] = (
    (176, 140, 104),
    (128, 138, 146),
    (200, 190, 174),
    (110, 124, 112),
    (150, 130, 136),
)
_PALE = ("white", "beige")


def draw(category: str, color: str, pattern: str, style: int, seed: str) -> tuple[Image.Image, Image.Image]:
    """The catalogue picture (RGB, 320 x 320), and the mask (L) of where the product's own colour shows."""
    from PIL import Image

    rng = random.Random(seed)
    layer, mask = _layer(category, color, pattern, style, rng)
    tint = rng.choice(_DEEPER if color in _PALE else _BACKDROPS)
    picture = _gradient(mix(tint, (255, 255, 255), 0.45), darker(tint, 0.05), (SIDE, SIDE))
    shadow = Image.new("L", (SIDE, SIDE), 0)
    _shadow(shadow, layer)
    picture.paste(darker(tint, 0.55), (0, 0), shadow)
    picture.paste(layer, (0, 0), layer)
    return picture, mask


def photograph(category: str, color: str, pattern: str, style: int, seed: str) -> Image.Image:
    """The same kind of thing as a phone would see it: tilted, off centre, soft, on a real surface."""
    from PIL import Image, ImageChops, ImageFilter

    rng = random.Random(seed)
    layer, _ = _layer(category, color, pattern, style, rng)
    wide, high = rng.choice(((360, 360), (340, 400), (400, 340)))
    picture = _surface(rng, color, (wide, high))
    scale = rng.uniform(0.8, 0.95)
    size = (round(SIDE * scale * rng.uniform(0.94, 1.06)), round(SIDE * scale))
    tilt = rng.choice((-1, 1)) * rng.uniform(4, 13)
    thing = layer.resize(size, Image.Resampling.BICUBIC)
    thing = thing.rotate(tilt, Image.Resampling.BICUBIC, expand=True)
    at = (
        (wide - thing.width) // 2 + rng.randint(-22, 22),
        (high - thing.height) // 2 + rng.randint(-18, 18),
    )
    shade = thing.getchannel("A").filter(ImageFilter.BoxBlur(7)).point(lambda a: int(a * 0.45))
    picture.paste((30, 26, 24), (at[0] + 8, at[1] + 10), shade)
    picture.paste(thing, at, thing)
    # Light from one side of the room, warm or cool, and a lens that is not quite sharp.
    light = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize((wide, high))
    glow = rng.choice(((255, 240, 214), (226, 238, 255)))
    picture.paste(Image.new("RGB", (wide, high), glow), (0, 0), light.point(lambda v: int(v * 0.16)))
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 0.9)))
    grain = Image.frombytes("L", (wide, high), rng.randbytes(wide * high)).point(lambda v: v // 18)
    return ImageChops.add(picture, Image.merge("RGB", (grain, grain, grain)), offset=-7)


def _layer(category: str, color: str, pattern: str, style: int, rng: random.Random) -> tuple[Image.Image, Image.Image]:
    """A product on nothing, in its final size, lit from the upper left; and its mask."""
    from PIL import ImageChops

    pen = Pen(color, pattern, rng)
    DRAWINGS[category](pen, style)
    layer = pen.layer.reduce(OVER)
    mask = pen.main.reduce(OVER)
    slope = _slope()
    alpha = layer.getchannel("A")
    shade = ImageChops.multiply(slope.point(lambda v: max(0, v - 96) // 3), alpha)
    shine = ImageChops.multiply(slope.point(lambda v: max(0, 110 - v) // 3), alpha)
    flat = layer.convert("RGB")
    flat.paste((24, 22, 40), (0, 0), shade)
    flat.paste((255, 255, 255), (0, 0), shine)
    flat.putalpha(alpha)
    return flat, mask


@functools.cache
def _slope() -> Image.Image:
    """Light falling from the upper left: 0 where it comes from, 255 where it does not reach."""
    from PIL import Image

    # Turned before it is cut out of a larger square, so that no corner is left empty.
    wide = Image.linear_gradient("L").resize((SIDE * 2, SIDE * 2)).rotate(24, Image.Resampling.BILINEAR)
    slope = wide.crop((SIDE // 2, SIDE // 2, SIDE // 2 + SIDE, SIDE // 2 + SIDE))
    return slope.point(lambda v: min(255, max(0, round((v - 64) * 2))))


def _shadow(shadow: Image.Image, layer: Image.Image) -> None:
    """A soft pool on the floor below the thing, as wide as the thing is near the floor."""
    from PIL import ImageDraw, ImageFilter

    box = layer.getchannel("A").getbbox() or (0, 0, SIDE, SIDE)
    foot = layer.getchannel("A").crop((0, box[3] - 40, SIDE, box[3])).getbbox() or box
    left, right, low = foot[0], foot[2], box[3]
    ImageDraw.Draw(shadow).ellipse((left - 6, low - 10, right + 6, low + 8), fill=120)
    shadow.paste(shadow.filter(ImageFilter.BoxBlur(6)))


def _gradient(top: Rgb, bottom: Rgb, size: tuple[int, int]) -> Image.Image:
    from PIL import Image, ImageOps

    return ImageOps.colorize(Image.linear_gradient("L").resize(size), top, bottom)


def _surface(rng: random.Random, color: str, size: tuple[int, int]) -> Image.Image:
    """A wall over a table, planks, or a rug; never in the product's colour."""
    from PIL import ImageDraw

    surfaces = sorted(_SURFACES, key=lambda rgb: sum((a - b) ** 2 for a, b in zip(rgb, RGB[color], strict=True)))
    tint = rng.choice(surfaces[2:])
    picture = _gradient(mix(tint, (255, 255, 255), 0.2), tint, size)
    pencil = ImageDraw.Draw(picture)
    wide, high = size
    kind = rng.randrange(3)
    if kind == 0:
        edge = round(high * rng.uniform(0.6, 0.72))
        pencil.polygon([(0, edge), (wide, edge + rng.randint(-14, 14)), (wide, high), (0, high)], darker(tint, 0.25))
    elif kind == 1:
        step = rng.randint(54, 76)
        for x in range(rng.randint(0, step), wide, step):
            pencil.line([(x, 0), (x + rng.randint(-10, 10), high)], darker(tint, 0.3), width=3)
    else:
        for y in range(0, high, 6):
            pencil.line([(0, y), (wide, y)], darker(tint, 0.08), width=2)
    return picture
