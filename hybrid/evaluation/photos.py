"""Judged photos as the cluster stores them: small, without metadata, named by a hash of their content."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass
from functools import cached_property

from hybrid.errors import UsageError
from hybrid.evaluation.judgments import JudgedQuery
from hybrid.media import open_image

#: Pixels of the longer side, and the quality of the JPEG: no encoder looks at more.
SIDE, QUALITY = 512, 85
#: More bytes than the worst picture takes: noise of 512 x 512.
MAX_BYTES = 300 * 1024
_KEY = r"[0-9a-f]{32}"
_NAME = re.compile(rf"(?:(.+) \+ )?({_KEY})\.jpg", re.DOTALL)
#: What a JPEG of our own consists of: JFIF, tables, frame, scan.
_JFIF, _SCAN = 0xE0, 0xDA
_PARTS = (_JFIF, 0xDB, 0xC0, 0xC4, _SCAN)


@dataclass(frozen=True)
class JudgedPhoto:
    """A photo as it is stored. See judged_photo."""

    data: bytes

    @cached_property
    def key(self) -> str:
        """The name of the photo: a hash of its content."""
        return hashlib.sha256(self.data).hexdigest()[:32]


def judged_photo(data: bytes) -> JudgedPhoto:
    """A photo made small. The same photo gives the same result, and a small photo gives itself.

    Raises:
        MediaError: it cannot be used; see hybrid.media.open_image.
    """
    from PIL import Image

    image = open_image(data)
    if max(image.size) <= SIDE and len(data) <= MAX_BYTES and _is_bare(data):
        return JudgedPhoto(bytes(data))
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    image.info.clear()  # comments would be written, too
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY, optimize=True)
    return JudgedPhoto(out.getvalue())


def _is_bare(data: bytes) -> bool:
    """Whether a file is a JPEG as written here, and nothing else: no EXIF, no comment, nothing after its end."""
    at = 2
    while data[:3] == b"\xff\xd8\xff" and data[at : at + 1] == b"\xff" and at + 4 < len(data):
        part, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if part not in _PARTS or (part == _JFIF and length != 16):
            return False
        at += 2 + length
        if part == _SCAN:
            end = re.search(rb"\xff[^\x00]", data[at:])
            return end is not None and data[at + end.start() :] == b"\xff\xd9"
    return False


def file_name(key: str) -> str:
    """The file name of a photo in judgments."""
    return f"{key}.jpg"


def checked_key(key: str) -> str:
    """Raises UsageError: no photo has that key."""
    if not re.fullmatch(_KEY, key):
        raise UsageError("photo: 32 hexadecimal digits are wanted, as a rating by photo answers them")
    return key


def query_name(words: str, key: str = "") -> str:
    """The name of a query in a list in the cluster."""
    return JudgedQuery(words, file_name(key) if key else "").name


def parts_of(name: str) -> tuple[str, str]:
    """(words, key of the photo) of a query's name; either may be "", but not both."""
    match = _NAME.fullmatch(name)
    return (match[1] or "", match[2]) if match else (name, "")
