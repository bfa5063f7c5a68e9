"""Pictures, frames and sound of untrusted bytes, decoded in limited processes beside this one.

See hybrid.media.sandbox.

A few children a process are started at first use and kept; one that dies gives its file the reason, and is replaced.
All end with this process, whatever becomes of it: their pipe ends. What a picture can do is spend the processor time
and memory that a child has, never this process's own.

On Linux all limits hold, and with libseccomp a child is sealed, too: code that a file could run there is kept from
files, sockets, programs and other processes. Without libseccomp, and on macOS, it is not: the log says so once a
process, and `unsealed` does. macOS does not hold a process to its memory either: there the time of a file, the estimate
of its memory before it is decoded, and the separate process remain. Windows has neither these limits nor such pipes.

Typed reasons of MediaError: image_missing, image_too_large, image_unsupported, image_unreadable, image_too_slow,
image_decoder_died; the same with video_ and audio_.
"""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.errors import EncoderError, MediaError
from hybrid.media.sandbox import CPU_S
from hybrid.media.sources import name_of, read_bytes

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

logger = logging.getLogger(__name__)

#: Children of a process, and files after which one is replaced, in case a decoder leaks.
CHILDREN, MAX_FILES = 2, 5_000
#: Seconds that one file may take by the clock, where others have the processors, and between two looks at one that has
#: taken the time of a processor that it may (CPU_S).
WALL_S, _LOOK_S = 5.0, 0.05
_START_S = 30.0
_PIPE = 1024 * 1024
_MAX_ANSWER = 64 * 1024
_MAX_OUT = 3 * 8 * 1024 * 1024  # bytes of pixels that a child may answer with
#: What a child has of our environment: how to find Python's packages and libraries, and nothing that is secret.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "LC_ALL")
#: One arena, so that memory is given back; small pictures reuse theirs, and do not ask the system for it each time.
_MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(2 << 20), "MALLOC_TRIM_THRESHOLD_": str(8 << 20)}


def open_image(data: bytes | Path) -> Image.Image:
    """Decode a picture to RGB: upright by its EXIF tag, the first frame, transparency on white.

    Big pictures come back smaller by a whole number, but (unless one is very long) with at least 512 pixels on the
    short side.

    Raises:
        MediaError: reason image_missing (no such file), image_too_large (more than MAX_BYTES, or than can be decoded in
            128 MiB: 50 million pixels of a baseline JPEG, 15 to 30 of a progressive one, some 24 of PNG, TIFF and
            BMP, 12 of HEIC, 9 of AVIF, 6 of WebP), image_unsupported, image_unreadable (damaged), image_too_slow,
            image_decoder_died.
        EncoderError: the decoder itself cannot be started.
    """
    return _images(*_decoded(data, "pictures", "image", 1, "image")[:3])[0]


def frames(data: bytes | Path, most: int = 8, kind: str = "image") -> tuple[list[Image.Image], list[float]]:
    """Up to `most` frames of an animation, as open_image gives them: at even distances of its first 50; one of a still.
    And at how many seconds each is shown. kind: what reasons begin with.

    Raises:
        MediaError, EncoderError: as open_image.
    """
    if not 1 <= most <= 16:
        raise ValueError("from 1 to 16 frames")
    sizes, parts, pixels, at = _decoded(data, "pictures", "frames", most, kind)
    return _images(sizes, parts, pixels), at


def close() -> None:
    """End the children of this process; the next picture starts new ones."""
    for pool in _pools.values():
        pool.close()


def unsealed() -> str:
    """Why code of a file would not be kept from files and sockets by the children here; "" where it is kept from them.

    Raises:
        EncoderError: the decoder itself cannot be started.
    """
    return _pools["pictures"].unsealed()


def video_frames(data: bytes | Path, most: int = 8) -> tuple[list[Image.Image], list[float]]:
    """Up to `most` RGB frames of a video's first ten minutes, at most 512 pixels a side, and the second of each.

    They are those that differ most from each other, of frames at even distances and of the video's key frames, which
    encoders put where the scene changes. What does not move has one.

    Raises:
        MediaError: reason video_missing (no such file), video_too_large (more than MAX_BYTES, or than 2.1 million
            pixels a frame), video_unsupported (no kind of file that is taken, or no video in it), video_unreadable,
            video_too_slow, video_decoder_died.
        EncoderError: the decoder itself cannot be started.
    """
    if not 1 <= most <= 16:
        raise ValueError("from 1 to 16 frames")
    sizes, parts, pixels, at = _decoded(data, "recordings", "video", most, "video")
    return _images(sizes, parts, pixels), at


def open_video(data: bytes, most: int = 8) -> tuple[list[Image.Image], list[float]]:
    """Frames of a video, or of an animated GIF, WebP, PNG or AVIF, and the second of each.

    Raises:
        MediaError, EncoderError: as video_frames; what begins with image_ elsewhere begins with video_.
    """
    moving = data[:4] in (b"GIF8", b"\x89PNG") or data[8:12] == b"WEBP" or data[4:12] in (b"ftypavif", b"ftypavis")
    return frames(data, most, "video") if moving else video_frames(data, most)


def samples(data: bytes | Path, seconds: int = 30) -> np.ndarray:
    """The first seconds (up to 60) of a sound file, or of a video's sound.

    Returns (n,) float32 in [-1, 1], mono, 16,000 a second.

    Raises:
        MediaError: audio_missing, audio_too_large, audio_unsupported, audio_unreadable, audio_too_slow,
            audio_decoder_died.
        EncoderError: the decoder itself cannot be started.
    """
    import numpy as np

    if not 1 <= seconds <= 60:
        raise ValueError("from 1 to 60 seconds")
    _, _, sound, _ = _decoded(data, "recordings", "audio", seconds, "audio")
    return np.frombuffer(sound, dtype="<i2").astype(np.float32) / 32768


def _decoded(
    data: bytes | Path, decoder: str, do: str, most: int, kind: str
) -> tuple[list[tuple[int, int]], list[int], bytearray, list[float]]:
    """(sizes of pictures, bytes of each part, all of them, seconds of frames)."""
    answer, content = _pools[decoder].ask({"do": do, "most": most}, read_bytes(data, kind))
    if "reason" in answer:
        raise MediaError(f"{name_of(data, kind)} {answer['message']}", f"{kind}_{answer['reason']}")
    return [(int(width), int(height)) for width, height in answer["sizes"]], answer["parts"], content, answer["at"]


def _images(sizes: list[tuple[int, int]], parts: list[int], pixels: bytearray) -> list[Image.Image]:
    from PIL import Image

    images, start = [], 0
    for size, length in zip(sizes, parts, strict=True):
        part = pixels if length == len(pixels) else pixels[start : start + length]  # most often there is one
        images.append(Image.frombuffer("RGB", size, part, "raw", "RGB", 0, 1))
        start += length
    return images


class _Died(Exception):
    """A child that ended, or was ended, before it answered."""


class Child:
    """One decoding process. Used by one thread at a time. files: how many it was asked for."""

    def __init__(self, decoder: str) -> None:
        environment = {name: value for name, value in os.environ.items() if name in _ENVIRONMENT}
        # Where this process finds its packages, whatever it was started from.
        environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **_MALLOC}
        command = [sys.executable, "-s", "-P", str(Path(__file__).with_name("sandbox.py")), decoder]
        try:
            # No buffers on our side: a forked process could write out its copy of one.
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0
            )
        except OSError as error:
            raise EncoderError(f"the decoder of {decoder} cannot be started: {error}") from error
        self._input, self._output = self.process.stdin.fileno(), self.process.stdout.fileno()  # type: ignore[union-attr]
        os.set_blocking(self._input, False)
        _widen(self._input, self._output)
        self.files = 0
        self._ended_late = False
        self._spent = math.inf  # until it tells: starting may take what it takes
        try:
            first, _ = self._exchange(_START_S)
        except _Died as error:
            raise EncoderError(f"the decoder of {decoder} ends as it starts, with code {self.end()}") from error
        #: Why it can do more than decode; "" if it cannot. See hybrid.media.sandbox.
        self.unsealed = str(first["unsealed"])
        if self.unsealed:
            _tell(self.unsealed)

    def ask(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytearray]:
        """(answer, pixels); a child that dies of the file has answered, too: with the reason."""
        self.files += 1
        line = json.dumps({**request, "bytes": len(data)}).encode()
        try:
            return self._exchange(WALL_S, struct.pack(">I", len(line)) + line, data)
        except _Died:
            code = self.end()
        if code == -signal.SIGSYS:
            message = "made its decoder ask for what no decoder needs, as an attack would; do not trust it"
            return {"reason": "decoder_died", "message": message}, bytearray()
        if self._ended_late or code == -signal.SIGPROF:
            return {"reason": "too_slow", "message": "takes too long to decode; save it anew"}, bytearray()
        return {"reason": "decoder_died", "message": f"ended its decoder (code {code}); save it anew"}, bytearray()

    def _exchange(self, seconds: float, *parts: bytes) -> tuple[dict[str, Any], bytearray]:
        deadline = time.monotonic() + seconds
        try:
            for part in parts:
                self._write(part, deadline)
            length = struct.unpack(">I", self._read(4, deadline))[0]
            answer = json.loads(self._read(min(length, _MAX_ANSWER), deadline))
            content = self._read(sum(answer.get("parts", ())), deadline)
            self._spent = float(answer["spent"])
            return answer, content
        except (
            OSError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
        ) as error:  # its pipe ended, or what came is no answer
            raise _Died from error

    def _write(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._wait(self._input, select.POLLOUT, deadline)
            view = view[os.write(self._input, view) :]

    def _read(self, size: int, deadline: float) -> bytearray:
        if not 0 <= size <= _MAX_OUT:
            raise _Died
        data = bytearray(size)
        view = memoryview(data)
        while view:
            self._wait(self._output, select.POLLIN, deadline)
            got = os.readv(self._output, [view])
            if not got:
                raise _Died
            view = view[got:]
        return data

    def _wait(self, pipe: int, event: int, deadline: float) -> None:
        """Until the pipe is ready; ends the child where its time is up, by the clock or of the processor."""
        poll = select.poll()
        poll.register(pipe, event)
        patience = CPU_S
        while not poll.poll(max(0.0, min(patience, deadline - time.monotonic())) * 1000):
            if time.monotonic() >= deadline or self._spent_now() - self._spent > CPU_S:
                self._ended_late = True
                self.process.kill()
                raise _Died
            patience = _LOOK_S

    def _spent_now(self) -> float:
        """Seconds of processor time that the child has had."""
        import psutil  # for slow ones alone

        try:
            times = psutil.Process(self.process.pid).cpu_times()
        except psutil.NoSuchProcess:
            return self._spent  # its pipe tells
        return float(times.user + times.system)

    def end(self) -> int:
        """End it, if it has not ended; its exit code, negative for a signal."""
        self.forget()
        try:
            # One that ends by itself, of a signal or for its pipe ended, is gone in a moment.
            return self.process.wait(0.3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def forget(self) -> None:
        """Close our ends of its pipes."""
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()  # type: ignore[union-attr]


@lru_cache  # once a process
def _tell(why: str) -> None:
    logger.warning("decoders of pictures, videos and sounds have limits, but are not sealed: %s", why)


def _widen(*pipes: int) -> None:
    """Let the pipes hold most files and pictures at once, so that writer and reader need not take turns."""
    try:
        import fcntl

        for pipe in pipes:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
    except (ImportError, AttributeError, PermissionError):
        return  # a matter of speed alone: only Linux can, and not for everybody


class _Pool:
    """The children of this process for one decoder, made as they are needed."""

    def __init__(self, decoder: str) -> None:
        self._decoder = decoder
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(CHILDREN)
        self._idle: list[Child] = []
        self._all: set[Child] = set()

    def ask(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytearray]:
        with self._places:
            child = self._take()
            try:
                answer = child.ask(request, data)
            except BaseException:  # such as a time limit of the task: the child is in the middle of something
                child.process.kill()
                self._drop(child)
                raise
            self._give_back(child)
            return answer

    def unsealed(self) -> str:
        with self._places:
            child = self._take()
            self._give_back(child)
            return child.unsealed

    def _take(self) -> Child:
        with self._lock:
            child = self._idle.pop() if self._idle else None
        # One that was killed meanwhile, by the system or an operator, must not be laid at the next file's door.
        if child is not None and child.process.poll() is None and child.files < MAX_FILES:
            return child
        if child is not None:
            self._drop(child)
        child = Child(self._decoder)
        with self._lock:
            self._all.add(child)
        return child

    def _give_back(self, child: Child) -> None:
        if child.process.poll() is not None:
            self._drop(child)
            return
        with self._lock:
            self._idle.append(child)

    def _drop(self, child: Child) -> None:
        with self._lock:
            self._all.discard(child)
        child.end()

    def idle(self) -> Child:
        with self._lock:
            return self._idle[-1]

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            self._drop(child)

    def forget(self) -> None:
        """In a forked process: the children are the other one's, and must not be kept alive by our copies of pipes."""
        for child in self._all:
            child.process.returncode = 0  # not ours to wait for
            child.forget()


def _new_pools() -> dict[str, _Pool]:
    return {name: _Pool(name) for name in ("pictures", "recordings")}


_pools = _new_pools()


def idle_child(decoder: str) -> Child:
    """The process that decodes the next file: "pictures" or "recordings". For looking after it, not for decoding.

    Raises:
        LookupError: none waits; each is made when it is needed.
    """
    return _pools[decoder].idle()


def _after_fork() -> None:
    global _pools
    inherited, _pools = _pools, _new_pools()
    for pool in inherited.values():
        pool.forget()


atexit.register(close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
