"""A product's files for the page: pictures, videos, sounds, and what stands for them until they are played.

Only the catalogue decides which file is served; nothing of an address reaches the disk. What is sent is told by its
first bytes, never by its name: a page called .jpg is not served as anything.
"""

from __future__ import annotations

import hashlib
import io
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cachetools import LRUCache
from flask import Blueprint, Response, request, send_file
from werkzeug.exceptions import NotFound

from hybrid.catalogue.documents import media_values
from hybrid.errors import MediaError, UsageError
from hybrid.signals import MAX_VIEWS
from web.assets import type_of
from web.openapi import OF_SEARCHES, Described
from web.params import checked_index
from web.services import services

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

#: Pictures drawn of a file, each with the second that it shows.
Pictures = tuple[tuple[float, bytes], ...]

media = Blueprint("media", __name__)
_BY_PARTS = {206: "the part that Range asks for", 304: "unchanged since the ETag that was sent"}
_ERRORS = (*OF_SEARCHES, 416)

FILE_SECONDS = 3600  # a changed file shows within the hour; its ETag makes asking again cheap
#: Seconds of a sound that its waveform shows, and in how many bars.
WAVE_SECONDS, WAVE_BARS = 30, 60
#: Frames of a video that posters are chosen from, so that no address has another one drawn.
_FRAMES = 6
_MEMORY_BYTES = 32 * 1024 * 1024
_pictures: LRUCache[tuple[str, ...], Pictures] = LRUCache(
    _MEMORY_BYTES, getsizeof=lambda drawn: 256 + sum(len(data) for _, data in drawn)
)
_lock = threading.Lock()


@media.get("/media/<index>/<path:product_id>")
@Described(gives="image/*", query=("n",), also=_BY_PARTS, errors=_ERRORS)
def picture(index: str, product_id: str) -> Response:
    """A product's picture; of several the one numbered `n`, from 0."""
    return _send(*_file(index, product_id, "image", _number("n", 0)))


@media.get("/video/<index>/<path:product_id>")
@Described(gives="video/*", also=_BY_PARTS, errors=_ERRORS)
def video(index: str, product_id: str) -> Response:
    """A product's video, or its animation."""
    return _send(*_file(index, product_id, "video"))


@media.get("/audio/<index>/<path:product_id>")
@Described(gives="audio/*", also=_BY_PARTS, errors=_ERRORS)
def audio(index: str, product_id: str) -> Response:
    """A product's sound."""
    return _send(*_file(index, product_id, "audio"))


@media.get("/poster/<index>/<path:product_id>")
@Described(gives="image/*", query=("at",), also=_BY_PARTS, errors=_ERRORS)
def poster(index: str, product_id: str) -> Response:
    """The frame of a product's video that is shown before it is played: the one nearest to second `at`."""
    at = _number("at", -1)
    file, mimetype = _file(index, product_id, "video")
    if mimetype.startswith("image/"):
        return _send(file, mimetype)  # an animation shows itself
    if at < 0:
        return _drawn(_remembered("poster", file, _ordinary_frame)[0][1], "image/jpeg")
    frames = _remembered("frames", file, _frames)
    return _drawn(min(frames, key=lambda frame: abs(frame[0] - at))[1], "image/jpeg")


@media.get("/waveform/<index>/<path:product_id>")
@Described(gives="image/svg+xml", also=_BY_PARTS, errors=_ERRORS)
def waveform(index: str, product_id: str) -> Response:
    """The loudness of a product's sound over its time, as a picture."""
    file, _ = _file(index, product_id, "audio")
    return _drawn(_remembered("waveform", file, _waveform)[0][1], "image/svg+xml")


def _remembered(kind: str, file: Path | bytes, draw: Callable[[bytes], Pictures]) -> Pictures:
    """What is drawn of a file, from memory where this version of it was drawn before.

    Raises:
        NotFound: it cannot be drawn.
    """
    key = (kind, *_version(file))
    with _lock:
        if key in _pictures:
            return _pictures[key]
    try:
        drawn = draw(_read(file))
    except MediaError as error:
        raise NotFound(str(error)) from error
    with _lock, suppress(ValueError):  # one that is too large for the memory
        _pictures[key] = drawn
    return drawn


def _version(file: Path | bytes) -> tuple[str, ...]:
    if isinstance(file, bytes):
        return (hashlib.blake2b(file, digest_size=16).hexdigest(),)
    state = file.stat()
    return str(file), str(state.st_mtime_ns), str(state.st_size)


def _number(name: str, default: float) -> float:
    text = request.args.get(name, "")
    try:
        number = float(text) if text else default
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{name}: must be a number")
    return number


def _file(index: str, product_id: str, role: str, number: float = 0) -> tuple[Path | bytes, str]:
    """(the file, or what a data URL holds; its media type) of a product.

    Raises:
        NotFound: it has none of that kind here.
        UsageError: that is no name of an index.
    """
    checked_index(index)
    # On first use: the decoders behind it are not needed to answer a search.
    from hybrid.media import is_data_url, is_url, read_media, resolve_media

    core = services()
    # Both of one index: another one may keep its files in other fields.
    profile, source = core.searcher.whole(index, lambda profile: (profile, core.searcher.product(index, product_id)))
    values = media_values(source, profile.fields, role, MAX_VIEWS) if source is not None else []
    values = [value for value in values if not is_url(value)]
    if 0 < number < len(values):
        values = values[int(number) :]
    root = core.settings.media_root or profile.media_root
    folder = Path(root).resolve() if root is not None else None
    for value in values:
        try:
            if is_data_url(value):
                data: Path | bytes = read_media(value, None, role)
            else:
                data = Path(resolve_media(value, folder, role)).resolve()
                if folder is None or not data.is_relative_to(folder):
                    continue
            mimetype = type_of(data, role)
        except (MediaError, OSError):  # a folder, or a file that went away meanwhile
            continue
        if mimetype:
            return data, mimetype
    raise NotFound(f"no {role}")


def _send(data: Path | bytes, mimetype: str) -> Response:
    file = data if isinstance(data, Path) else io.BytesIO(data)
    return send_file(file, mimetype=mimetype, conditional=True, max_age=FILE_SECONDS)


def _read(data: Path | bytes) -> bytes:
    from hybrid.media import read_media

    return read_media(data.name, data.parent, "video") if isinstance(data, Path) else data


def _drawn(data: bytes, mimetype: str) -> Response:
    response = Response(data, mimetype=mimetype)
    response.headers["Cache-Control"] = f"private, max-age={FILE_SECONDS}"
    response.add_etag()
    response.make_conditional(request)
    return response


def _ordinary_frame(data: bytes) -> Pictures:
    from hybrid.media import open_video

    return _jpegs(*open_video(data, 1))


def _frames(data: bytes) -> Pictures:
    from hybrid.media import open_video

    return _jpegs(*open_video(data, _FRAMES))


def _jpegs(frames: Sequence[Image], seconds: Sequence[float]) -> Pictures:
    drawn = []
    for second, frame in zip(seconds, frames, strict=True):
        out = io.BytesIO()
        frame.save(out, "JPEG", quality=82)
        drawn.append((second, out.getvalue()))
    return tuple(drawn)


def _waveform(data: bytes) -> Pictures:
    """An SVG of bars. Its colour stands out on light and on dark ground alike."""
    from hybrid.media import samples

    drawn = "".join(
        f'<rect x="{4 * place}" y="{20 - 18 * bar:.1f}" width="2.6" height="{max(1.2, 36 * bar):.1f}" rx="1"/>'
        for place, bar in enumerate(_bars(samples(data, WAVE_SECONDS)))
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {4 * WAVE_BARS} 40" preserveAspectRatio="none"'
    return ((0.0, f'{head} fill="#7a8a3a">{drawn}</svg>'.encode()),)


def _bars(sound: np.ndarray) -> list[float]:
    """WAVE_BARS loudnesses from 0 to 1; the loudest is 1."""
    import numpy as np

    parts = np.array_split(sound, WAVE_BARS)
    loud = np.array([float(np.sqrt(np.mean(np.square(part)))) if len(part) else 0.0 for part in parts])
    return [float(bar) for bar in loud / max(float(loud.max()), 1e-6)]
