"""Files that pages name and people upload: types, photos kept for a moment, static files with a digest."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path

from flask import request

from hybrid.contracts import MEDIA
from hybrid.errors import UsageError
from hybrid.media import decode_data_url

#: A larger file is not carried through a page without script; the results still use it.
MAX_KEPT_FILE = 3 * 1024 * 1024
#: What a container of HEIF calls itself where it holds a picture: stills first, then bursts.
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"hevc", b"hevx", b"hevm", b"hevs", b"msf1")


def read_photo() -> bytes | None:
    """The photo just chosen, or the one that the page without script carries along."""
    return read_files().get("image")


def read_files() -> dict[str, bytes]:
    """The photo, video or sound just chosen, or the one that the page without script carries along, by its kind."""
    if request.method != "POST":
        return {}
    for name in MEDIA:
        file = request.files.get(name)
        data = file.read() if file else b""
        if data:
            # What it is, whatever the field says: people choose any file in a picker.
            return {role_of(data) or name: data}
    kept_name = request.form.get("kept_image", "")
    if not kept_name or request.form.get("drop_image"):
        return {}
    kind = kept_name[:10].partition(":")[2].partition("/")[0]
    kind = kind if kind in MEDIA else "image"
    try:
        return {kind: decode_data_url(kept_name, kind)}
    except ValueError as error:
        raise UsageError(f"{kind}: {error}") from None


def kept_file(data: bytes, kind: str = "image") -> str | None:
    """A data URL that carries a file through a page without script; None where it is too large for that."""
    mimetype = "image/heic" if kind == "image" and is_heic(data[:16]) else type_of(data, kind)
    if mimetype is None or len(data) > MAX_KEPT_FILE:
        return None
    return f"data:{mimetype};base64,{base64.b64encode(data).decode()}"


@lru_cache(maxsize=16)
def asset(name: str) -> str:
    """The address of a static file, with its content's hash, so that a new release is never half cached."""
    digest = hashlib.sha256((Path(__file__).parent / "static" / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def type_of(data: Path | bytes, role: str) -> str | None:
    """The media type of what may be shown in a role; of an animation in place of a video too."""
    if isinstance(data, Path):
        with data.open("rb") as file:
            head = file.read(16)
    else:
        head = data[:16]
    kind = picture_type_of(head)
    if role == "image":
        return kind
    if kind is not None:
        return kind if role == "video" and kind in ("image/gif", "image/webp", "image/png", "image/avif") else None
    return recording_type_of(head, role)


def recording_type_of(head: bytes, role: str) -> str | None:
    """The media type of a video or a sound by its first 16 bytes. role: which of the two a container is taken for."""
    if head[4:8] == b"ftyp":
        return "audio/mp4" if role == "audio" else "video/mp4"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return f"{role}/webm"
    if head.startswith(b"OggS"):
        return f"{role}/ogg"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "video/x-msvideo" if role == "video" else None
    if role == "video":
        return "video/mpeg" if head[:4] in (b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3") else None
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "audio/wav"
    if head.startswith(b"fLaC"):
        return "audio/flac"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "audio/aiff"
    if head[:2] in (b"\xff\xf1", b"\xff\xf9"):
        return "audio/aac"
    if head.startswith(b"ID3") or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
        return "audio/mpeg"
    return None


def picture_type_of(head: bytes) -> str | None:
    """The media type of a picture by its first 16 bytes.

    SVG is left out on purpose, since it can carry script.
    """
    for magic, mimetype in (
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"BM", "image/bmp"),
    ):
        if head.startswith(magic):
            return mimetype
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return "image/avif" if head[4:12] == b"ftypavif" else None


def is_heic(head: bytes) -> bool:
    """Whether these first bytes are of a HEIC picture. It is searched by, and not served: few browsers show one."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC


def role_of(data: bytes) -> str | None:
    """Which of the three a shopper's file is: "image", "video" or "audio"; None where it is none of them."""
    head = data[:16]
    if picture_type_of(head) or is_heic(head):
        return "image"
    if recording_type_of(head, "video"):
        sound_only = head[4:11] == b"ftypM4A" or head.startswith(b"OggS")
        return "audio" if sound_only else "video"
    return "audio" if recording_type_of(head, "audio") else None
