"""Which picture a catalogue's value names: a file, a data URL, or an address.

Typed reasons of MediaError: image_missing, image_outside_root, image_url_unsupported.
"""

from __future__ import annotations

from pathlib import Path

from hybrid.errors import MediaError


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
