"""Decodes video and sound with FFmpeg. Runs in the limited process of hybrid.media.sandbox, without Hybrid."""

from __future__ import annotations

import importlib
import io
import pkgutil
import time
from typing import Any

import av

#: Kinds of files, by FFmpeg's names. An allow-list: others are playlists, which name further files and addresses.
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,ogg,flac,mp3,wav,aac,aiff,flv,asf"
#: Pixels of a frame (1920 x 1088), pixels of the longer side of what comes out, seconds that are looked at.
MAX_PIXELS, SIDE, MAX_SECONDS = 2_100_000, 512, 600.0
#: Samples a second of what comes out.
RATE = 16_000
#: Seconds of processor time after which the frames that there are must do, and the most frames that are decoded on the
#: way to one that is wanted.
ENOUGH_S, LEAD = 0.5, 100
#: Key frames that are looked at, and for how many seconds of processor time.
KEYS, KEYS_S = 64, 0.2
#: Pixels a side of what frames are compared by, and the mean difference of its numbers (0 to 255) under which two
#: frames show the same.
THUMB, SAME = 8, 4.0


class Refused(Exception):
    """A file that is not decoded: (reason, what is wrong with it)."""


def prepare() -> None:
    """Once a process, before its limits hold and no module can be read any more: PyAV reads many of its own late."""
    av.logging.set_level(None)  # errors come as exceptions, and nothing goes to the terminal
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.startswith(("av.__main__", "av.datasets")):
            importlib.import_module(module.name)


def decode(data: bytes, do: str, most: int) -> tuple[list[tuple[int, int]], list[bytes], list[float]]:
    """do "video": (sizes, RGB pixels, seconds) of up to `most` frames; "audio": 16-bit samples of `most` seconds as
    ([], [samples], []).

    Raises:
        Refused: too_large, unsupported, unreadable.
    """
    try:
        options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "none"}
        try:
            file = av.open(io.BytesIO(data), container_options=options)
        except (av.InvalidDataError, av.ArgumentError, ValueError) as error:  # an unknown kind, or one not on the list
            raise Refused("unsupported", f"is of a kind that is not taken ({error}); convert it") from error
        with file:
            return _video(file, most) if do == "video" else ([], [_audio(file, most)], [])
    except Refused:
        raise
    except MemoryError:
        raise Refused("too_large", "needs more memory than it may have") from None
    except Exception as error:  # FFmpeg has many kinds of errors, and PyAV adds those of Python
        why = str(error) or type(error).__name__
        if "memory" in why.lower():
            raise Refused("too_large", f"needs more memory than it may have ({why})") from error
        raise Refused("unreadable", f"cannot be decoded: {why}") from error


class _Frame:
    """A frame that may be chosen: when it is shown, a thumbnail, and its pixels where they are there already."""

    def __init__(self, frame: Any, pixels: bool) -> None:
        _check_size(frame.width, frame.height)  # it may change on the way
        self.at = float(frame.time or 0.0)
        self.thumb = _rgb(frame, THUMB, THUMB)
        self.small = _small_rgb(frame) if pixels else None

    def differs(self, other: _Frame) -> float:
        return sum(abs(a - b) for a, b in zip(self.thumb, other.thumb, strict=True)) / len(self.thumb)


def _video(file: Any, most: int) -> tuple[list[tuple[int, int]], list[bytes], list[float]]:
    started = time.process_time()
    stream = next((one for one in file.streams.video if one.codec_context is not None), None)
    if stream is None:
        raise Refused("unsupported", "has no video in it")
    stream.codec_context.thread_count = 1
    _check_size(stream.codec_context.width, stream.codec_context.height)
    length = min(MAX_SECONDS, (file.duration or 0) / av.time_base)
    frames = []
    # Without a length, only what comes first: nothing says where to look.
    for place in range(most if length else 1):
        frame = _frame_at(file, stream, length * (place + 0.5) / most)
        if frame is None:
            break
        frames.append(_Frame(frame, pixels=True))
        if time.process_time() - started > ENOUGH_S:
            break
    if not frames:
        raise Refused("unreadable", "has no frame that can be decoded")
    if length and time.process_time() - started < ENOUGH_S - KEYS_S:
        frames += _key_frames(file, stream)
    chosen = []
    for one in _unlike(frames, most):
        if one.small is None:
            frame = _frame_at(file, stream, one.at) if time.process_time() - started < ENOUGH_S else None
            if frame is None:
                continue
            one.small = _small_rgb(frame)
        chosen.append(one)
    chosen.sort(key=lambda one: one.at)
    return [one.small[0] for one in chosen if one.small], [one.small[1] for one in chosen if one.small], [
        one.at for one in chosen
    ]  # fmt: skip


def _key_frames(file: Any, stream: Any) -> list[_Frame]:
    """Frames that are stored whole. Encoders put one where the scene changes, which even places may miss."""
    started, frames = time.process_time(), []
    context = stream.codec_context
    try:
        context.skip_frame = "NONKEY"
        file.seek(0)
        for frame in file.decode(stream):
            frames.append(_Frame(frame, pixels=False))
            if len(frames) == KEYS or frames[-1].at > MAX_SECONDS or time.process_time() - started > KEYS_S:
                break
    except av.FFmpegError:
        return frames  # damaged further on; the frames at even places are there
    finally:
        context.skip_frame = "DEFAULT"
    return frames


def _unlike(frames: list[_Frame], most: int) -> list[_Frame]:
    """The frames that differ most from each other, the most ordinary one first."""
    first = min(frames, key=lambda one: sum(one.differs(other) for other in frames))
    chosen, left = [first], [(one.differs(first), one) for one in frames if one is not first]
    while left and len(chosen) < most:
        # At the same difference one that has its pixels, then the earlier one.
        apart, best = max(left, key=lambda pair: (round(pair[0], 1), pair[1].small is not None, -pair[1].at))
        if apart < SAME:
            break
        chosen.append(best)
        left = [(min(apart, one.differs(best)), one) for apart, one in left if one is not best]
    return chosen


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Refused("too_large", f"is {width} x {height} pixels, above the limit of {MAX_PIXELS / 1e6:.1f} million")


def _frame_at(file: Any, stream: Any, seconds: float) -> Any:
    """The frame at that time, or one soon before; None where nothing can be decoded."""
    if file.duration:
        file.seek(int(seconds * av.time_base), backward=True)
    last = None
    for number, frame in enumerate(file.decode(stream)):
        last = frame
        if number >= LEAD or frame.time is None or frame.time >= seconds:
            break
    return last


def _small_rgb(frame: Any) -> tuple[tuple[int, int], bytes]:
    scale = min(1.0, SIDE / max(frame.width, frame.height))
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    return (width, height), _rgb(frame, width, height)


def _rgb(frame: Any, width: int, height: int) -> bytes:
    small = frame.reformat(width=width, height=height, format="rgb24")
    plane, line = memoryview(small.planes[0]), small.planes[0].line_size
    # Lines are padded to what suits the processor.
    return b"".join(plane[row * line : row * line + 3 * width] for row in range(height))


def _audio(file: Any, seconds: int) -> bytes:
    if not file.streams.audio:
        raise Refused("unsupported", "has no sound in it")
    stream = file.streams.audio[0]
    stream.codec_context.thread_count = 1
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    most_bytes, sound = 2 * RATE * seconds, bytearray()
    for frame in file.decode(stream):
        for part in resampler.resample(frame):
            sound += memoryview(part.planes[0])[: 2 * part.samples]
        if len(sound) >= most_bytes:
            break
    else:
        for part in resampler.resample(None):
            sound += memoryview(part.planes[0])[: 2 * part.samples]
    if not sound:
        raise Refused("unreadable", "has no sound that can be decoded")
    return bytes(sound[:most_bytes])
