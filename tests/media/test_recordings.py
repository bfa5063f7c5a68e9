"""Videos and sound files: frames and samples by the limited process, and reasons for what is refused."""

from __future__ import annotations

import io
import math
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest

from hybrid.errors import MediaError
from hybrid.media import decoding, samples, video_frames
from tests.media.test_hostile import GOOD, LOADING, MEMORY, SECONDS, Watch

RATE = 44_100


def video(kind: str, codec: str, width: int = 320, height: int = 240, count: int = 100, sound: bool = False) -> bytes:
    """Frames that become lighter, 25 a second; with a tone of 440 Hz if asked for."""
    out = io.BytesIO()
    with av.open(out, "w", format=kind) as file:
        stream: Any = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        tone: Any = file.add_stream("aac" if kind == "mp4" else "libopus", rate=48_000) if sound else None
        for number in range(count):
            shade = np.full((height, width, 3), 20 + number * 200 // count, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")))
        file.mux(stream.encode(None))
        if tone is not None:
            wave = (np.sin(np.arange(48_000 * count // 25) * 2 * math.pi * 440 / 48_000) * 20_000).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            frame.sample_rate = 48_000
            resampler = av.AudioResampler(
                format=tone.format.name, layout="mono", rate=48_000, frame_size=tone.frame_size
            )
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                file.mux(tone.encode(part))
            file.mux(tone.encode(None))
    return out.getvalue()


def wav(seconds: float, hertz: float = 440.0) -> bytes:
    wave = (np.sin(np.arange(int(RATE * seconds)) * 2 * math.pi * hertz / RATE) * 16_000).astype("<i2").tobytes()
    form = struct.pack("<IHHIIHH", 16, 1, 1, RATE, RATE * 2, 2, 16)
    head = b"RIFF" + struct.pack("<I", 36 + len(wave)) + b"WAVEfmt " + form + b"data" + struct.pack("<I", len(wave))
    return head + wave


def pitch(sound: np.ndarray) -> float:
    """The strongest frequency, in Hz."""
    return float(np.abs(np.fft.rfft(sound)).argmax() * 16_000 / len(sound))


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    decoding.close()
    yield
    decoding.close()


@pytest.mark.parametrize(("kind", "codec"), [("mp4", "libx264"), ("matroska", "libx264"), ("avi", "mpeg4"),
                                             ("webm", "libvpx-vp9")])  # fmt: skip
def test_frames_are_spread_over_the_video(kind: str, codec: str) -> None:
    found, seconds = video_frames(video(kind, codec), 5)
    assert [image.size for image in found] == [(320, 240)] * 5
    shades = [image.getpixel((160, 120))[0] for image in found]
    # It becomes lighter all the time: the frames that differ most are about a fifth of it apart.
    assert np.diff(shades).min() > 25 and shades[0] < 70 and shades[-1] > 170
    assert np.abs((np.array(shades) - 20) / 50 - seconds).max() < 0.3


def test_big_frames_come_back_small_and_too_big_ones_are_refused() -> None:
    assert video_frames(video("mp4", "libx264", 1920, 1080, 10), 1)[0][0].size == (512, 288)
    with pytest.raises(MediaError, match="above the limit") as caught:
        video_frames(video("mp4", "libx264", 2560, 1440, 3))
    assert caught.value.reason == "video_too_large"


def test_sound_of_a_file_and_of_a_video() -> None:
    for data in (wav(3), video("mp4", "libx264", count=75, sound=True)):
        sound = samples(data)
        assert sound.dtype == np.float32 and abs(len(sound) / 16_000 - 3) < 0.2
        assert abs(pitch(sound) - 440) < 3 and 0.3 < np.abs(sound).max() <= 1
    assert len(samples(wav(20), seconds=5)) == 5 * 16_000


def reason_of(do: Any, data: bytes | Path) -> str:
    with pytest.raises(MediaError) as caught:
        do(data)
    assert "\n" not in str(caught.value) and not any(words in str(caught.value) for words in LOADING)
    return caught.value.reason


def test_what_is_refused_has_a_reason(tmp_path: Path) -> None:
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    concat = b"ffconcat version 1.0\nfile /etc/passwd\n"
    plan = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 4000 RTP/AVP 96\n"
    dash = b"<?xml version='1.0'?><MPD><BaseURL>http://127.0.0.1/</BaseURL></MPD>"
    good = video("mp4", "libx264")
    for data in (playlist, concat, plan, dash, b"\0" * 1000, b"<html>", GOOD):
        assert reason_of(video_frames, data) == "video_unsupported", data[:20]
        assert reason_of(samples, data) == "audio_unsupported", data[:20]
    assert reason_of(samples, good) == "audio_unsupported"  # it has no sound
    assert reason_of(video_frames, wav(1)) == "video_unsupported"
    assert reason_of(video_frames, b"") == "video_unreadable"
    assert reason_of(samples, tmp_path / "none.wav") == "audio_missing"
    assert reason_of(samples, b"RIFF" + bytes(21 * 1024 * 1024)) == "audio_too_large"
    assert reason_of(video_frames, good[: len(good) // 3]) in ("video_unreadable", "video_unsupported")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_damaged_ones_cost_little_and_end_no_process_of_ours() -> None:
    rng = np.random.default_rng(3)
    reasons = set()
    for data in (video("mp4", "libx264", 640, 480, sound=True), video("webm", "libvpx-vp9"), wav(5)):
        for part in (0.0, 0.001, 0.01, 0.1):
            damaged = bytearray(data)
            for place in rng.integers(16, len(data), int(len(data) * part)):
                damaged[place] = rng.integers(256)
            for do in (video_frames, samples):
                samples(wav(0.1))  # so that there is a child to watch
                watch = Watch(psutil.Process(decoding.idle_child("recordings").process.pid))
                started = time.monotonic()
                try:
                    do(bytes(damaged))
                except MediaError as error:
                    reasons.add(error.reason)
                taken = time.monotonic() - started
                watch.end()
                assert min(taken, watch.seconds) <= SECONDS and watch.memory <= MEMORY
    assert reasons and all(reason.startswith(("video_", "audio_")) for reason in reasons)
