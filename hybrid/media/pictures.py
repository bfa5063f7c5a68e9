"""Decodes pictures with Pillow. Runs in the limited process of hybrid.media.sandbox, and imports nothing of Hybrid."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable

import pillow_heif
from PIL import (  # noqa: F401, each registers its format: nothing is imported once the limits hold
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageChops,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
    features,
)

#: Bytes that decoding one file may come to by the estimate below, its own included; see child.MEMORY.
BUDGET = 92 * 1024 * 1024
MAX_PIXELS = 50_000_000
#: What is decoded, by Pillow's names. An allow-list: Pillow also reads PostScript, FITS and the like, whose
#: decoders are old or start other programs. JPEG brings MPO along, which is what phones make of two in one file.
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]
#: No encoder looks at more than a few hundred pixels a side: a picture is made smaller by a whole number as long as
#: it keeps this many pixels on the short side, and if it has more than this many in all.
DRAFT_SIDE, MAX_OUT = 512, 4_000_000
#: Of an animation, only so many frames are looked at.
MAX_FRAMES = 50
_STRIP = 250_000  # pixels that are converted at once, of a picture that has four times as many

#: Bytes of memory for one pixel, while these are decoded (measured): whole canvases are held up to four times.
_COST = {"WEBP": 16.0, "AVIF": 10.0, "HEIF": 7.4}
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


class Refused(Exception):
    """A file that is not decoded: (reason, what is wrong with it)."""


def prepare() -> None:
    """Once a process, before its limits hold and no module can be read any more."""
    Image.preinit()
    if features.check("avif"):
        FORMATS.append("AVIF")
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    pillow_heif.options.DECODE_THREADS = 1
    pillow_heif.register_heif_opener()
    FORMATS.append("HEIF")
    warnings.filterwarnings("ignore")
    Image.MAX_IMAGE_PIXELS = None  # the limits here are tighter
    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def decode(data: bytes, do: str, most: int) -> tuple[list[tuple[int, int]], list[bytes], list[float]]:
    """(sizes, RGB pixels, seconds of frames) of a file's pictures.

    do: "image", or "frames": `most` of the first MAX_FRAMES.

    Raises:
        Refused: too_large, unsupported, unreadable.
    """
    images = pictures_of(data, do, most)
    at = [float(image.info.get("at", 0.0)) for image in images]
    return [image.size for image in images], [image.tobytes() for image in images], at


def pictures_of(data: bytes, do: str, most: int) -> list[Image.Image]:
    """RGB pictures of a file, upright and small. Raises as decode."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            moving = do == "frames" and image.format in ("GIF", "WEBP", "PNG", "AVIF")
            _check(image, len(data), moving)
            if moving:
                return _frames(image, most)
            if image.format in ("JPEG", "MPO"):
                factor = _factor(width, height, MAX_OUT)
                image.draft(None, (max(1, width // factor), max(1, height // factor)))
            image.load()
            return [_upright(_small_rgb(image, MAX_OUT), image)]
    except Refused:
        raise
    except UnidentifiedImageError:
        known = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise Refused("unsupported", f"is not a {known} file; convert it to one") from None
    except MemoryError:
        raise Refused("too_large", "needs more memory than it may have; store a smaller one") from None
    except Exception as error:  # decoders of damaged files raise nearly anything: struct.error, KeyError, ...
        why = str(error) or type(error).__name__
        if "memory" in why.lower():
            raise Refused("too_large", f"needs more memory than it may have ({why})") from error
        raise Refused("unreadable", f"cannot be decoded: {why}; save it anew") from error


def _check(image: Image.Image, size: int, moving: bool) -> None:
    """Refuses what would not fit, by what the head of the file says; nothing is decoded yet."""
    width, height = image.size
    pixels = width * height
    if not pixels:
        raise Refused("unreadable", "has no pixels")
    jpeg = image.format in ("JPEG", "MPO")
    if jpeg and not image.info.get("progressive"):
        # Decoded at a reduced scale, line by line. The scales of JPEG end at an eighth.
        factor = min(8, 1 << (_factor(width, height, MAX_OUT).bit_length() - 1))
        cost = 4.0 / factor**2
    elif jpeg:
        # All coefficients are held, two bytes each, until the last pass.
        layers = image.layer  # type: ignore[attr-defined]
        most = max(h for _, h, _, _ in layers) * max(v for _, _, v, _ in layers)
        cost = 2.0 * sum(h * v for _, h, v, _ in layers) / most + 4.0 / 16
    else:
        cost = _COST.get(image.format or "", 1 if image.mode in ("1", "L", "P") else 6 if ";16" in image.mode else 4)
    if moving:
        cost = max(cost, 12)  # this frame, the one before, and what both are laid on
    if pixels > MAX_PIXELS or pixels * cost + size > BUDGET:
        most_pixels = min(MAX_PIXELS, max(0, BUDGET - size) / cost)
        raise Refused(
            "too_large",
            f"is {width} x {height} pixels, above the limit of {most_pixels / 1e6:.0f} million for such a "
            f"{image.format} file; store a smaller one",
        )


def _factor(width: int, height: int, most: int) -> int:
    """The whole number that a picture's sides are divided by."""
    return max(1, min(width, height) // DRAFT_SIDE, math.ceil(math.sqrt(width * height / most)))


def _frames(image: Image.Image, most: int) -> list[Image.Image]:
    frames: list[Image.Image] = []
    step, shown_ms = 1, 0.0
    for number in range(MAX_FRAMES):
        try:
            image.seek(number)
        except EOFError:
            break
        if number % step == 0:
            image.load()
            small = _small_rgb(image, MAX_OUT // (2 * most))
            frames.append(small.copy() if small is image else small)
            frames[-1].info["at"] = shown_ms
        shown_ms += float(image.info.get("duration") or 100.0) / 1000
        if len(frames) == 2 * most:  # few are held, however many there are: every second one goes
            del frames[1::2]
            step *= 2
    count = min(most, len(frames))
    return [frames[place * len(frames) // count] for place in range(count)]


def _small_rgb(image: Image.Image, most: int) -> Image.Image:
    """To RGB on white, made smaller; in strips, for a whole picture in other modes takes several times its memory."""
    width, height = image.size
    factor = _factor(width, height, most)
    convert = _converter(image)
    if factor == 1 and width * height <= 4 * _STRIP:
        return convert(image)
    small = Image.new("RGB", (math.ceil(width / factor), math.ceil(height / factor)))
    rows = max(1, _STRIP // (width * factor)) * factor
    for top in range(0, height, rows):
        strip = convert(image.crop((0, top, width, min(height, top + rows))))
        small.paste(strip.reduce(factor) if factor > 1 else strip, (0, top // factor))
    return small


def _converter(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    mode = image.mode
    if mode.startswith(("I", "F")):
        # Grey of 16 or 32 bits: convert("RGB") would clip everything above 255 to white.
        low, high = 0.0, 65535.0
        if ";16" not in mode:
            least, top = (float(value) for value in image.getextrema())  # type: ignore[arg-type]
            if not (math.isfinite(least) and math.isfinite(top)):
                raise Refused("unreadable", "has values that are no numbers")
            if least < low or top > high:
                low, high = least, top
            elif top <= 255.0:
                high = 255.0
        scale = 255.0 / max(high - low, 1e-9)
        wide = "F" if mode == "F" else "I"
        return lambda strip: (
            strip.convert(wide)
            .convert("F")
            .point(lambda value: value * scale + -low * scale)
            .convert("L")
            .convert("RGB")
        )
    if image.has_transparency_data:

        def on_white(strip: Image.Image) -> Image.Image:
            rgba = strip.convert("RGBA")
            white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
            return Image.alpha_composite(white, rgba).convert("RGB")

        return on_white
    if mode == "CMYK" and image.format in ("JPEG", "MPO") and "adobe" not in image.info:
        # Adobe stores its CMYK inverted, and Pillow takes every file for Adobe's.
        return lambda strip: ImageChops.invert(strip).convert("RGB")
    return lambda strip: strip if mode == "RGB" else strip.convert("RGB")


def _upright(small: Image.Image, image: Image.Image) -> Image.Image:
    turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    return small if turn is None else small.transpose(turn)
