"""Which picture a catalogue's value names: a file, a data URL, or an address.

Typed reasons of MediaError: image_missing, image_outside_root, image_url_unsupported, image_data_url_invalid,
image_too_large, image_unreadable.
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

from hybrid.errors import MediaError

MAX_BYTES = 20 * 1024 * 1024
_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)


def is_url(value: str) -> bool:
    """Whether a catalogue's value is an address to fetch."""
    return value.strip()[:8].lower().startswith(("http://", "https://"))


def is_data_url(value: str) -> bool:
    return value.strip()[:5].lower() == "data:"


def decode_data_url(value: str) -> bytes:
    """The bytes of a base64 data URL of a picture.

    Raises:
        ValueError: it is none.
    """
    head = _DATA_URL.match(value)
    if head is None:
        raise ValueError("must be a data URL such as data:image/jpeg;base64,…")
    try:
        return base64.b64decode(value[head.end() :], validate=True)
    except binascii.Error as error:
        raise ValueError(f"not valid base64: {error}") from None


def read_picture(value: str, root: Path | None) -> bytes:
    """The bytes of a catalogue's value that is a file under `root`, or a data URL.

    Raises:
        MediaError: as resolve_image and read_bytes; image_data_url_invalid.
    """
    if not is_data_url(value):
        return read_bytes(resolve_image(value, root))
    try:
        return read_bytes(decode_data_url(value.strip()))
    except ValueError as error:
        raise MediaError(f"the picture's data URL: {error}", "image_data_url_invalid") from error


def name_of(data: bytes | Path, kind: str = "image") -> str:
    """What a file is called in messages."""
    noun = {"image": "picture", "audio": "recording"}.get(kind, kind)
    return f'{noun} "{data.name}"' if isinstance(data, Path) else f"the {noun}"


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
            f'picture "{text[:200]}" is an address, and a file under media_root is wanted here',
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


def read_bytes(data: bytes | Path, kind: str = "image") -> bytes:
    """The bytes of a picture, a video or a recording, at most MAX_BYTES. kind: what reasons begin with.

    Raises:
        MediaError: image_missing (no such file), image_too_large, image_unreadable (empty, or not to be opened).
    """
    name = name_of(data, kind)
    if isinstance(data, Path):
        try:
            size = data.stat().st_size
            if size <= MAX_BYTES:
                with data.open("rb") as file:
                    data = file.read(MAX_BYTES + 1)  # bounded even if the file grew since
        except (FileNotFoundError, NotADirectoryError):
            raise MediaError(f"{name} does not exist", f"{kind}_missing") from None
        except OSError as error:
            raise MediaError(f"{name} cannot be read: {error.strerror}", f"{kind}_unreadable") from error
    else:
        size = len(data)
    if isinstance(data, Path) or len(data) > MAX_BYTES:
        raise MediaError(
            f"{name} has {size / 1024 / 1024:.1f} MB, above the limit of {MAX_BYTES // 1024 // 1024}",
            f"{kind}_too_large",
        )
    if not data:
        raise MediaError(f"{name} is empty (0 bytes)", f"{kind}_unreadable")
    return bytes(data)
