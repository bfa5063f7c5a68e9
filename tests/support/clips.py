"""Real clips for tests, made into a folder by espeak-ng, sox, PyAV and Pillow: the same bytes for the same seed.

`sounds`: instruments, signals and noises. `speech`: names of products, each said by several voices. `videos`: coloured
shapes that move; some with a cut, one with sound, some as animated pictures.
"""

from __future__ import annotations

import itertools
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw

RATE = 44_100
#: Kinds of sound files, in turn.
FORMATS = ("wav", "mp3", "ogg", "flac", "m4a")
#: Names of products as they are spoken, and by which voices of espeak-ng, with their words a minute and pitch.
SPOKEN = (
    "running shoes", "coffee machine", "wireless mouse", "garden hose", "leather wallet", "baby blanket",
    "kitchen knife", "yoga mat", "desk lamp", "winter jacket",
)  # fmt: skip
SPOKEN_ZH = ("跑鞋", "咖啡机")
VOICES = (
    ("en-us", 160, 50), ("en-gb+f2", 150, 55), ("en-gb-scotland+m3", 170, 40), ("en-us+f4", 140, 60),
    ("en-gb-x-rp+m7", 180, 45), ("en-029+f3", 155, 65),
)  # fmt: skip
VOICES_ZH = (("cmn", 150, 50), ("cmn+f2", 140, 60), ("cmn+m3", 160, 40))

COLOURS = {"red": (220, 40, 40), "green": (30, 160, 60), "blue": (40, 70, 220), "yellow": (235, 205, 40)}
SHAPES = ("circle", "square", "triangle")
MOTIONS = ("across", "down", "bouncing")
SIZE, FPS = (192, 144), 12


@dataclass(frozen=True)
class Clip:
    """One file. label: what it is of, the same for clips that belong together; name: its own, fit for a title.

    variant: how it was made: the voice, the pitch in Hz, the motion.
    """

    path: Path
    kind: str  # "audio", "video" or "animation"
    label: str
    name: str
    variant: str = ""


def tool(command: str) -> str:
    """Where a command is; without it the test skips, but not in CI."""
    found = shutil.which(command)
    if found is None:
        problem = f"{command} is absent; run scripts/setup test"
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)
    return found


# -- sounds ----------------------------------------------------------------------------------------------------------


def _tones(pitch: float, kind: str, parts: Sequence[float]) -> list[str]:
    """Arguments of synth: one channel for each multiple of the pitch."""
    return [word for part in parts for word in (kind, f"{pitch * part:.2f}")]


def _guitar(pitch: float, length: float, rng: np.random.Generator) -> list[str]:
    """A strummed chord."""
    strings = _tones(pitch, "pluck", (1, 1.26, 1.5, 2))
    late = [f"{at:.3f}" for at in np.cumsum([0, *rng.uniform(0.02, 0.06, 3)])]
    return ["synth", f"{length}", *strings, "delay", *late, "remix", "-", "fade", "t", "0", f"{length}", "0.2"]


def _harp(pitch: float, length: float, rng: np.random.Generator) -> list[str]:
    """Plucked strings one after the other."""
    strings = _tones(pitch * 2, "pluck", (1, 1.5, 2, 3))
    late = [f"{at:.3f}" for at in np.arange(4) * rng.uniform(0.15, 0.3)]
    return ["synth", f"{length}", *strings, "delay", *late, "remix", "-"]


def _organ(pitch: float, length: float, rng: np.random.Generator) -> list[str]:
    pipes = _tones(pitch, "sine", (0.5, 1, 2, 3, 4))
    return [
        "synth", f"{length}", *pipes, "remix", "-", "fade", "t", "0.08", f"{length}", "0.1",
        "tremolo", f"{rng.uniform(5, 7):.1f}", "15",
    ]  # fmt: skip


def _bell(pitch: float, length: float, rng: np.random.Generator) -> list[str]:
    """Partials that are no multiples, and die away."""
    partials = _tones(pitch * 2, "sine", (0.5, 1, 1.19, 1.56, 2, 2.66, 3.76))
    return ["synth", f"{length}", *partials, "remix", "-", "fade", "l", "0", f"{length}", f"{length * 0.97:.2f}"]


def _trumpet(pitch: float, length: float, rng: np.random.Generator) -> list[str]:
    return [
        "synth", f"{length}", "sawtooth", f"{pitch:.2f}", "lowpass", f"{pitch * rng.uniform(5, 7):.0f}",
        "fade", "t", "0.05", f"{length}", "0.08", "tremolo", f"{rng.uniform(5, 6):.1f}", "10",
    ]  # fmt: skip


def _console(pitch: float, length: float, rng: np.random.Generator) -> list[str]:
    """An old games console: square notes."""
    notes = _tones(pitch * 2, "square", rng.permutation([1, 1.25, 1.5, 2]).tolist())
    step = length / 4
    late = [f"{place * step:.3f}" for place in range(4)]
    return ["synth", f"{step:.3f}", *notes, "delay", *late, "remix", "-"]


def _siren(pitch: float, length: float, rng: np.random.Generator) -> list[str]:
    rise = rng.uniform(0.3, 0.6)
    low, high = pitch * 1.5, pitch * 4
    return ["synth", f"{rise:.2f}", "sine", f"{low:.0f}:{high:.0f}", "repeat", f"{math.ceil(length / rise) - 1}"]


def _alarm(pitch: float, length: float, rng: np.random.Generator) -> list[str]:
    """Beeps with silence between."""
    beep = rng.uniform(0.1, 0.2)
    return [
        "synth", f"{beep:.2f}", "trapezium", f"{pitch * 4:.0f}", "pad", "0", f"{beep:.2f}",
        "repeat", f"{math.ceil(length / beep / 2) - 1}",
    ]  # fmt: skip


def _drum(pitch: float, length: float, rng: np.random.Generator) -> list[str]:
    beat = rng.uniform(0.2, 0.35)
    return [
        "synth", f"{beat:.2f}", "brownnoise", "lowpass", f"{pitch * 3:.0f}",
        "fade", "l", "0.002", f"{beat:.2f}", f"{beat * 0.9:.2f}", "repeat", f"{math.ceil(length / beat) - 1}",
    ]  # fmt: skip


def _rain(pitch: float, length: float, rng: np.random.Generator) -> list[str]:
    start = rng.uniform(0, 5)
    return ["synth", f"{start + length:.2f}", "whitenoise", "trim", f"{start:.2f}", "highpass", f"{pitch * 5:.0f}"]


def _wind(pitch: float, length: float, rng: np.random.Generator) -> list[str]:
    start = rng.uniform(0, 5)
    return [
        "synth", f"{start + length:.2f}", "pinknoise", "trim", f"{start:.2f}", "lowpass", f"{pitch * 2:.0f}",
        "tremolo", f"{rng.uniform(0.5, 1.2):.2f}", "70",
    ]  # fmt: skip


def _whistle(pitch: float, length: float, rng: np.random.Generator) -> list[str]:
    """A pure tone that swells."""
    return ["synth", f"{length}", "sine", f"{pitch * 4:.0f}", "fade", "p", f"{length * 0.3:.2f}", f"{length}", "0.2"]


_SOUNDS: dict[str, Callable[[float, float, np.random.Generator], list[str]]] = {
    "guitar": _guitar, "harp": _harp, "organ": _organ, "bell": _bell, "trumpet": _trumpet, "games console": _console,
    "siren": _siren, "alarm clock": _alarm, "drum": _drum, "rain": _rain, "wind": _wind, "whistle": _whistle,
}  # fmt: skip
SOUNDS = tuple(_SOUNDS)


def sounds(folder: Path, seed: int = 0, each: int = 6) -> list[Clip]:
    """`each` clips of every one of SOUNDS: other pitch, length, loudness and file format, every third in noise."""
    sox = tool("sox")
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    clips = []
    for (number, (label, make)), turn in itertools.product(enumerate(_SOUNDS.items()), range(each)):
        pitch, length = 130.81 * 2 ** rng.uniform(0, 1.5), round(rng.uniform(1.0, 2.5), 2)
        wave = folder / f"{label.replace(' ', '-')}-{turn}.wav"
        level = f"{rng.uniform(-18, -1):.1f}"
        made = make(pitch, length, rng)
        subprocess.run([sox, "-R", "-D", "-n", "-r", f"{RATE}", "-c", "1", "-b", "16", wave, *made, "norm", level],
                       check=True, capture_output=True)  # fmt: skip
        if turn % 3 == 2:
            _mix_noise(wave, rng.uniform(0.02, 0.1), rng)
        path = encoded(wave, FORMATS[(number + turn) % len(FORMATS)])
        clips.append(Clip(path, "audio", label, f"{label} {turn + 1}", f"{pitch:.0f} Hz"))
    return clips


def speech(folder: Path) -> list[Clip]:
    """Every name of SPOKEN by every one of VOICES, and those of SPOKEN_ZH by VOICES_ZH. label: the name."""
    folder.mkdir(parents=True, exist_ok=True)
    said = [*itertools.product(SPOKEN, VOICES), *itertools.product(SPOKEN_ZH, VOICES_ZH)]
    clips = []
    for number, (words, (voice, speed, pitch)) in enumerate(said):
        wave = say(words, folder / f"speech-{number}.wav", voice, speed, pitch)
        path = encoded(wave, FORMATS[number % len(FORMATS)])
        clips.append(Clip(path, "audio", words, f"{words}, {voice}", voice))
    return clips


def say(words: str, path: Path, voice: str = "en-us", speed: int = 160, pitch: int = 50) -> Path:
    """A WAV file (22,050 samples a second) of these words. speed: words a minute; pitch: 0 to 99."""
    command = [tool("espeak-ng"), "-v", voice, "-s", f"{speed}", "-p", f"{pitch}", "-w", path, words]
    subprocess.run(command, check=True, capture_output=True)
    return path


def encoded(wave: Path, kind: str) -> Path:
    """The WAV file as another kind of sound file, in its place."""
    if kind == "wav":
        return wave
    path = wave.with_suffix(f".{kind}")
    if kind == "m4a":  # sox writes none
        with av.open(str(wave)) as source, av.open(str(path), "w", format="ipod", options=_EXACT) as out:
            _encode_sound(out, "aac", source.decode(audio=0))
    else:
        subprocess.run([tool("sox"), "-R", "-D", wave, path], check=True, capture_output=True)
    wave.unlink()
    return path


def _mix_noise(wave: Path, level: float, rng: np.random.Generator) -> None:
    """Add white noise of this standard deviation (of full scale) to a 16-bit mono WAV file."""
    with av.open(str(wave)) as file:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)]).astype(np.float32)
    noisy = np.clip(sound + rng.normal(0, level * 32_768, len(sound)), -32_768, 32_767).astype("<i2")
    with av.open(str(wave), "w", format="wav", options=_EXACT) as out:
        _encode_sound(out, "pcm_s16le", iter([_sound_frame(noisy)]))


# -- videos ----------------------------------------------------------------------------------------------------------

#: No identifiers made up at random, and no dates.
_EXACT = {"fflags": "+bitexact"}


def videos(folder: Path, seed: int = 0) -> list[Clip]:
    """Every colour of COLOURS with every one of SHAPES, thrice, moving; label: "red circle".

    Two are videos (MP4 and WebM), the third is an animated GIF or WebP in turn; on plain or noisy ground. Then three
    of a cut from one to another ("red circle, blue square"), the last with a tone of 440 Hz as its sound.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    clips = []
    for number, (colour, shape) in enumerate(itertools.product(COLOURS, SHAPES)):
        for turn, kind in enumerate(("mp4", "webm", ("gif", "webp")[number % 2])):
            motion = MOTIONS[(number + turn) % len(MOTIONS)]
            path = folder / f"{colour}-{shape}-{turn}.{kind}"
            frames = list(_moving(colour, shape, motion, bool((number + turn) % 2), rng))
            animated = kind in ("gif", "webp")
            if animated:
                frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000 // FPS, loop=0)
            else:
                _write_video(path, frames)
            label = f"{colour} {shape}"
            kind = "animation" if animated else "video"
            clips.append(Clip(path, kind, label, f"{label} {motion}, {turn + 1}", motion))
    cuts = (("red", "circle", "blue", "square"), ("green", "triangle", "yellow", "circle"),
            ("blue", "triangle", "red", "square"))  # fmt: skip
    for number, (one, first, two, second) in enumerate(cuts):
        frames = [*_moving(one, first, "across", False, rng), *_moving(two, second, "down", True, rng)]
        path = folder / f"cut-{number}.{('mp4', 'webm')[number % 2]}"
        _write_video(path, frames, sound=number == len(cuts) - 1)
        label = f"{one} {first}, {two} {second}"
        clips.append(Clip(path, "video", label, label, "cut"))
    return clips


def _moving(colour: str, shape: str, motion: str, noisy: bool, rng: np.random.Generator) -> Iterator[Image.Image]:
    """Two seconds of a shape in motion."""
    width, height = SIZE
    radius = int(rng.integers(22, 36))
    ground = rng.integers(200, 256, 3)
    tint = np.clip(np.array(COLOURS[colour]) + rng.integers(-15, 16, 3), 0, 255)
    start, speed = rng.uniform(0, 1), rng.uniform(0.5, 1.0)
    for number in range(2 * FPS):
        along = (start + speed * number / FPS / 2) % 1
        x, y = {
            "across": (along * width, height / 2),
            "down": (width / 2, along * height),
            "bouncing": (along * width, height - radius - abs(math.sin(along * 2 * math.pi)) * height / 2),
        }[motion]
        pixels = np.broadcast_to(ground, (height, width, 3))
        if noisy:
            pixels = pixels + rng.normal(0, 12, (height, width, 3))
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        _draw(ImageDraw.Draw(image), shape, x, y, radius, tuple(tint.tolist()))
        yield image


def _draw(draw: ImageDraw.ImageDraw, shape: str, x: float, y: float, radius: int, fill: tuple[int, ...]) -> None:
    if shape == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    elif shape == "square":
        draw.rectangle((x - radius, y - radius, x + radius, y + radius), fill=fill)
    else:
        draw.regular_polygon((x, y, radius * 1.2), 3, fill=fill)


def _write_video(path: Path, frames: Sequence[Image.Image], sound: bool = False) -> None:
    """MP4 (H.264, or MPEG-4 where PyAV has no encoder of it) or WebM (VP9), with a tone if asked for."""
    webm = path.suffix == ".webm"
    wanted = "libvpx-vp9" if webm else "libx264" if "libx264" in av.codecs_available else "mpeg4"
    options = {"deadline": "realtime", "cpu-used": "8"} if webm else {}
    with av.open(str(path), "w", options=_EXACT) as out:
        stream: Any = out.add_stream(wanted, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = *frames[0].size, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        tone = _tone(440.0, len(frames) / FPS) if sound else None
        voice: Any = out.add_stream("libopus" if webm else "aac", rate=48_000, layout="mono") if sound else None
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_image(frame)))
        out.mux(stream.encode(None))
        if tone is not None:
            _encode_into(out, voice, iter([_sound_frame(tone, 48_000)]))


def _tone(pitch: float, seconds: float) -> np.ndarray:
    return (np.sin(np.arange(int(48_000 * seconds)) * 2 * math.pi * pitch / 48_000) * 20_000).astype("<i2")


def _sound_frame(samples: np.ndarray, rate: int = RATE) -> Any:
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = rate
    return frame


def _encode_sound(out: Any, codec: str, frames: Iterator[Any], rate: int = RATE) -> None:
    _encode_into(out, out.add_stream(codec, rate=rate, layout="mono"), frames)


def _encode_into(out: Any, stream: Any, frames: Iterator[Any]) -> None:
    stream.codec_context.flags |= av.codec.context.Flags.bitexact
    stream.codec_context.open(strict=False)
    resampler = av.AudioResampler(
        format=stream.format.name, layout="mono", rate=stream.rate, frame_size=stream.frame_size or None
    )
    for frame in itertools.chain(frames, [None]):
        for part in resampler.resample(frame):
            out.mux(stream.encode(part))
    out.mux(stream.encode(None))
