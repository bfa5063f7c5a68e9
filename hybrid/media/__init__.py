"""Pictures: which file a catalogue value names, and safe decoding of untrusted bytes.

Typed reasons of MediaError: image_missing, image_outside_root, image_url_unsupported, image_too_large,
image_unsupported, image_unreadable.
"""

from __future__ import annotations

import io
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid.errors import MediaError

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 20 * 1024 * 1024
MAX_PIXELS = 50_000_000
#: What is decoded, by Pillow's names. An allow-list: Pillow also reads PostScript, FITS and the like, whose
#: decoders are old or start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
#: No encoder looks at more than a few hundred pixels a side, so a JPEG is decoded at the smallest of its
#: native 1/2, 1/4, 1/8 scales that still has this many pixels on both sides.
DRAFT_SIDE = 512


def open_image(data: bytes | Path) -> Image.Image:
    """Decode a picture to RGB: upright by its EXIF tag, the first frame, transparency on white.

    Big JPEGs come back at a reduced scale, never below DRAFT_SIDE pixels on the short side.

    Raises:
        MediaError: reason image_missing (no such file), image_too_large (more than MAX_BYTES or MAX_PIXELS,
            checked before decoding), image_unsupported (not one of FORMATS), image_unreadable (damaged).
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    _quieten_pillow()
    name = f'picture "{data.name}"' if isinstance(data, Path) else "the picture"
    raw = _bytes(data, name)
    formats = [known for known in FORMATS if known != "AVIF" or _has_avif()]
    try:
        with Image.open(io.BytesIO(raw), formats=formats) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise MediaError(
                    f"{name} is {width} x {height} pixels, above the limit of "
                    f"{MAX_PIXELS // 1_000_000} million; store a smaller one",
                    "image_too_large",
                )
            if image.format == "JPEG":
                image.draft(None, _draft_size(width, height))
            image.load()
            # Pillow's orientation works on the decoded frame and leaves pictures without a tag alone.
            return _to_rgb(ImageOps.exif_transpose(image))
    except MediaError:
        raise
    except UnidentifiedImageError:
        raise MediaError(
            f"{name} is not a {', '.join(formats[:-1])} or {formats[-1]} file; convert it to one",
            "image_unsupported",
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise MediaError(f"{name} unpacks to too many pixels; store a smaller one", "image_too_large") from None
    except MemoryError:
        raise MediaError(f"{name} needs more memory than there is", "image_too_large") from None
    except Exception as error:  # decoders of damaged files raise nearly anything: struct.error, KeyError, ...
        why = str(error) or type(error).__name__
        raise MediaError(f"{name} cannot be decoded: {why}; save it anew", "image_unreadable") from error


def resolve_image(value: str, root: Path | None) -> Path:
    """The existing file that a catalogue's image value names, symlinks resolved, always under `root`.

    value: a path relative to `root`, or an absolute one inside it.

    Raises:
        MediaError: reason image_url_unsupported (an address), image_outside_root (leads out of `root`, or
            there is no root), image_missing (no value, no such file).
    """
    text = value.strip()
    if not text:
        raise MediaError("the picture's path is empty", "image_missing")
    scheme, colon, rest = text.partition(":")
    if colon and rest.startswith("//") or scheme.lower() in ("data", "file") and colon:
        raise MediaError(
            f'picture "{text[:200]}" is an address; URL fetching comes later, name a file under media_root',
            "image_url_unsupported",
        )
    shown = f'picture "{text[:200]}"'
    if root is None:
        raise MediaError(f"{shown} has no folder to be looked up in; set media_root", "image_outside_root")
    outside = MediaError(f"{shown} is outside the media folder; put it under media_root", "image_outside_root")
    # `..` is refused even where it would stay inside: whether it does can change with a symlink.
    if ".." in text.replace("\\", "/").split("/"):
        raise outside
    try:
        base = root.resolve()
        path = (base / text).resolve()
        if not path.is_relative_to(base):
            raise outside
        if not path.is_file():
            raise MediaError(f"{shown} does not exist under the media folder", "image_missing")
    except (OSError, ValueError, RuntimeError) as error:  # name too long, a NUL byte, a loop of symlinks
        raise MediaError(f"{shown} cannot be looked up: {error}", "image_missing") from error
    return path


def _bytes(data: bytes | Path, name: str) -> bytes:
    if isinstance(data, Path):
        try:
            size = data.stat().st_size
            if size <= MAX_BYTES:
                with data.open("rb") as file:
                    data = file.read(MAX_BYTES + 1)  # bounded even if the file grew since
        except (FileNotFoundError, NotADirectoryError):
            raise MediaError(f"{name} does not exist", "image_missing") from None
        except OSError as error:
            raise MediaError(f"{name} cannot be read: {error.strerror}", "image_unreadable") from error
    else:
        size = len(data)
    if isinstance(data, Path) or len(data) > MAX_BYTES:
        raise MediaError(
            f"{name} has {size / 1024 / 1024:.1f} MB, above the limit of {MAX_BYTES // 1024 // 1024}",
            "image_too_large",
        )
    if not data:
        raise MediaError(f"{name} is empty (0 bytes)", "image_unreadable")
    return bytes(data)


@lru_cache(maxsize=1)
def _quieten_pillow() -> None:
    """Once a process: a decompression bomb is an error, and no other remark of Pillow reaches the terminal.

    Not `warnings.catch_warnings` around each decode, which is not safe with several threads.
    """
    from PIL import Image

    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


@lru_cache(maxsize=1)
def _has_avif() -> bool:
    from PIL import features

    return bool(features.check("avif"))


def _draft_size(width: int, height: int) -> tuple[int, int]:
    """The size to ask the JPEG decoder for: DRAFT_SIDE on the short side, never enlarged."""
    scale = min(1.0, DRAFT_SIDE / max(1, min(width, height)))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _to_rgb(image: Image.Image) -> Image.Image:
    import numpy as np
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        # Grey of 16 or 32 bits: convert("RGB") would clip everything above 255 to white.
        values = np.asarray(image, dtype=np.float64)
        low, high = 0.0, 65535.0
        if not image.mode.startswith("I;16") and (values.min() < low or values.max() > high):
            low, high = float(values.min()), float(values.max())
        elif image.mode in ("I", "F") and values.max() <= 255.0:
            high = 255.0
        scaled = np.clip((np.nan_to_num(values) - low) * (255.0 / max(high - low, 1e-9)), 0, 255)
        return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB") if image.mode != "RGB" else image.copy()
