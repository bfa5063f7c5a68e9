"""Which picture, video or sound a catalogue's value names: a file, a data URL, or an address.

Typed reasons of MediaError: image_missing, image_outside_root, image_url_unsupported, image_data_url_invalid,
image_too_large, image_unreadable; and the same of video_ and audio_.
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

from hybrid.errors import MediaError

MAX_BYTES = 20 * 1024 * 1024
_NOUNS = {"image": "picture", "video": "video", "audio": "recording"}
#: What a data URL may call itself: an animation is a video too, and a recording of a browser may be called one.
_TAKEN = {"image": ("image",), "video": ("video", "image"), "audio": ("audio", "video")}
_DATA_URL = re.compile(r"data:(image|video|audio)/[a-z0-9.+-]+(;[a-z0-9.=,+-]+)?;base64,", re.IGNORECASE)


def is_url(value: str) -> bool:
    """Whether a catalogue's value is an address to fetch."""
    return value.strip()[:8].lower().startswith(("http://", "https://"))


def is_data_url(value: str) -> bool:
    return value.strip()[:5].lower() == "data:"


def decode_data_url(value: str, kind: str = "image") -> bytes:
    """The bytes of a base64 data URL of a picture, a video or a sound.

    Raises:
        ValueError: it is none.
    """
    head = _DATA_URL.match(value)
    if head is None or head[1].lower() not in _TAKEN[kind]:
        example = {"image": "image/jpeg", "video": "video/mp4", "audio": "audio/mpeg"}[kind]
        raise ValueError(f"must be a data URL such as data:{example};base64,…")
    try:
        return base64.b64decode(value[head.end() :], validate=True)
    except binascii.Error as error:
        raise ValueError(f"not valid base64: {error}") from None


def read_media(value: str, root: Path | None, kind: str = "image") -> bytes:
    """The bytes of a catalogue's value that is a file under `root`, or a data URL. kind: what reasons begin with.

    Raises:
        MediaError: as resolve_media and read_bytes; image_data_url_invalid.
    """
    if not is_data_url(value):
        return read_bytes(resolve_media(value, root, kind), kind)
    try:
        return read_bytes(decode_data_url(value.strip(), kind), kind)
    except ValueError as error:
        raise MediaError(f"the {_NOUNS[kind]}'s data URL: {error}", f"{kind}_data_url_invalid") from error


def name_of(data: bytes | Path, kind: str = "image") -> str:
    """What a file is called in messages."""
    noun = _NOUNS[kind]
    return f'{noun} "{data.name}"' if isinstance(data, Path) else f"the {noun}"


def resolve_media(value: str, root: Path | None, kind: str = "image") -> Path:
    """The existing file that a catalogue's value names, symlinks resolved, always under `root`.

    value: a path relative to `root`, or an absolute one inside it. kind: what reasons begin with.

    Raises:
        MediaError: reason image_url_unsupported (an address), image_outside_root (leads out of `root`, or
            there is no root), image_missing (no value, no such file).
    """
    text = value.strip()
    if not text:
        raise MediaError(f"the {_NOUNS[kind]}'s path is empty", f"{kind}_missing")
    label = f'{_NOUNS[kind]} "{text[:200]}"'
    scheme, colon, rest = text.partition(":")
    if colon and rest.startswith("//") or scheme.lower() in ("data", "file") and colon:
        raise MediaError(
            f"{label} is an address, and a file under media_root is wanted here",
            f"{kind}_url_unsupported",
        )
    if root is None:
        raise MediaError(f"{label} has no folder to be looked up in; set media_root", f"{kind}_outside_root")
    outside = MediaError(f"{label} is outside the media folder; put it under media_root", f"{kind}_outside_root")
    # `..` is refused even where it would stay inside: whether it does can change with a symlink.
    if ".." in text.replace("\\", "/").split("/"):
        raise outside
    try:
        base = root.resolve()
        path = (base / text).resolve()
        if not path.is_relative_to(base):
            raise outside
        if not path.is_file():
            raise MediaError(f"{label} does not exist under the media folder", f"{kind}_missing")
    except (OSError, ValueError, RuntimeError) as error:  # name too long, a NUL byte, a loop of symlinks
        raise MediaError(f"{label} cannot be looked up: {error}", f"{kind}_missing") from error
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
