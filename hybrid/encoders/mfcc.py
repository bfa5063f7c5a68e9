"""MFCC statistics, the default of the audio signal: no model and nothing to install.

Mel-frequency cepstral coefficients follow Davis and Mermelstein, "Comparison of Parametric Representations for
Monosyllabic Word Recognition", IEEE TASSP 1980, with the mel scale of HTK. What is kept of a sound is how they lie and
move: mean and deviation of each, and of its change from frame to frame. These have very different scales, so each is
standardised; the mean and the scale are those of tones, chords, sweeps, clicks and noises that are made here, the same
in every process, and not of any catalogue: vectors of two machines, or of before and after, stay comparable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from hybrid.encoders.base import LazyEncoder
from hybrid.errors import UsageError
from hybrid.settings import Settings

RATE = 16_000
#: Samples of a frame (25 ms) and between two (10 ms).
FRAME, HOP, FFT = 400, 160, 512
MELS, COEFFICIENTS = 40, 20
LOWEST, HIGHEST = 50.0, 7_600.0  # Hz
#: In so many parts of a sound the first coefficients are told apart, which is what makes one word another.
PARTS, FIRST = 5, 13
DIMS = 4 * COEFFICIENTS + 3 + PARTS * (FIRST - 1)
#: Quieter than this part of its loudest frame a sound counts as silent there.
QUIET = 1e-4
REVISION = "1"  # raise it when a number below changes


class _Model(NamedTuple):
    """filters: (FFT // 2 + 1, MELS); cosines: (MELS, COEFFICIENTS); mean, scale: (DIMS,)."""

    filters: np.ndarray
    cosines: np.ndarray
    mean: np.ndarray
    scale: np.ndarray


class Mfcc(LazyEncoder[_Model]):
    modalities = frozenset({"audio"})
    version = f"mfcc+{REVISION}"
    dims = DIMS

    def __init__(self, name: str, argument: str, settings: Settings) -> None:
        """Raises UsageError if there is an argument: it takes none."""
        super().__init__(name, settings)
        if argument:
            raise UsageError(f'encoder "{name}": mfcc takes no argument')

    def _load(self) -> _Model:
        bare = _Model(mel_filters(), _cosines(), np.zeros(DIMS), np.ones(DIMS))
        known = np.stack([_statistics(sound, bare) for sound in _examples()])
        return bare._replace(mean=known.mean(axis=0), scale=known.std(axis=0) + 1e-6)

    def encode_sounds(self, sounds: Sequence[np.ndarray]) -> np.ndarray:
        """(len(sounds), DIMS) float32, rows of unit length; of a sound without any loudness a row of zeros.

        Each is mono, float32, 16,000 a second.
        """
        out = np.zeros((len(sounds), DIMS), dtype=np.float32)
        model = self.model
        for row, sound in enumerate(sounds):
            if len(sound) and np.isfinite(sound).all() and np.abs(sound).max() > 1e-5:
                # Within three deviations: one odd number must not be all that is compared.
                standard = np.clip((_statistics(sound, model) - model.mean) / model.scale, -3, 3)
                out[row] = standard / max(float(np.linalg.norm(standard)), 1e-9)
        return out


def log_mel(sound: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """(frames, MELS) log energies of a sound (samples,), relative to its loudest; silent ends are left out."""
    sound = np.asarray(sound, dtype=np.float32)
    if len(sound) < FRAME:
        sound = np.pad(sound, (0, FRAME - len(sound)))
    sound = np.append(sound[0], sound[1:] - 0.97 * sound[:-1])  # as the ear, less of what is low
    frames = np.lib.stride_tricks.sliding_window_view(sound, FRAME)[::HOP] * np.hamming(FRAME).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(frames, FFT))) @ filters
    loudness = power.sum(axis=1)
    audible = np.flatnonzero(loudness > QUIET * loudness.max())
    power = power[audible[0] : audible[-1] + 1] if len(audible) else power
    return np.asarray(np.log(np.maximum(power / max(float(power.max()), 1e-12), 1e-6)))


def _statistics(sound: np.ndarray, model: _Model) -> np.ndarray:
    """(DIMS,) numbers of a sound, not yet standardised."""
    mel = log_mel(sound, model.filters)
    cepstrum = mel @ model.cosines
    change = np.diff(cepstrum, axis=0) if len(cepstrum) > 1 else np.zeros((1, COEFFICIENTS))
    loud = cepstrum[:, 0] / np.sqrt(MELS)
    shape = np.exp(mel) / np.exp(mel).sum(axis=1, keepdims=True)
    centre = shape @ np.arange(MELS) / MELS
    flatness = np.exp(mel.mean(axis=1)) / np.exp(mel).mean(axis=1)
    return np.concatenate([
        cepstrum.mean(axis=0), np.log(cepstrum.std(axis=0) + 0.1), np.log(np.abs(change).mean(axis=0) + 0.01),
        np.log(change.std(axis=0) + 0.01), [centre.std(), flatness.mean(), (loud > loud.mean()).mean()],
        _course(cepstrum),
    ])  # fmt: skip


def _course(cepstrum: np.ndarray) -> np.ndarray:
    """(PARTS * (FIRST - 1),): how the sound goes on, as what its parts have that it does not have as a whole."""
    parts = np.array_split(cepstrum[:, 1:FIRST], PARTS)
    whole = cepstrum[:, 1:FIRST].mean(axis=0)
    return np.concatenate([part.mean(axis=0) - whole if len(part) else np.zeros(FIRST - 1) for part in parts])


@cache
def mel_filters() -> np.ndarray:
    """(FFT // 2 + 1, MELS): triangles, evenly spaced on the mel scale."""

    def mel(hertz: float) -> float:
        return 2595.0 * float(np.log10(1.0 + hertz / 700.0))

    corners = 700.0 * (10 ** (np.linspace(mel(LOWEST), mel(HIGHEST), MELS + 2) / 2595.0) - 1.0)
    bins = np.arange(FFT // 2 + 1) * RATE / FFT
    rising = (bins[:, None] - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - bins[:, None]) / (corners[2:] - corners[1:-1])
    triangles: np.ndarray = np.maximum(0.0, np.minimum(rising, falling))
    return triangles


def _cosines() -> np.ndarray:
    """(MELS, COEFFICIENTS): the orthonormal DCT of type II."""
    angles = np.pi * (np.arange(MELS)[:, None] + 0.5) * np.arange(COEFFICIENTS) / MELS
    cosines: np.ndarray = np.cos(angles) * np.sqrt(2.0 / MELS)
    cosines[:, 0] /= np.sqrt(2.0)
    return cosines


def _examples() -> Iterator[np.ndarray]:
    """Sounds of many kinds, to tell how far each number varies."""
    rng = np.random.default_rng(0)
    time = np.arange(RATE) / RATE
    for number in range(160):
        pitch = 80.0 * 2 ** rng.uniform(0, 5)
        kind = number % 8
        sound: np.ndarray
        if kind == 0:
            sound = np.sin(2 * np.pi * pitch * time)
        elif kind == 1:  # a chord of harmonics
            sound = np.sum([np.sin(2 * np.pi * pitch * part * time) / part for part in range(1, 8)], axis=0)
        elif kind == 2:
            sound = np.sign(np.sin(2 * np.pi * pitch * time))
        elif kind == 3:  # a sweep
            sound = np.sin(2 * np.pi * pitch * time * (1 + rng.uniform(0, 3) * time))
        elif kind == 4:
            sound = rng.normal(size=RATE)
        elif kind == 5:  # low noise
            sound = np.cumsum(rng.normal(size=RATE)) / 50
        elif kind == 6:  # beats
            sound = rng.normal(size=RATE) * np.exp(-((time * rng.uniform(2, 8)) % 1) * 12)
        else:  # something like a voice: pulses through moving resonances
            pulses = (np.diff(np.floor(time * rng.uniform(90, 250)), prepend=0) > 0).astype(float)
            ring = np.exp(-time[:800] * 300) * np.sin(2 * np.pi * rng.uniform(300, 2500) * time[:800])
            sound = np.convolve(pulses, ring)[:RATE] * (1 + np.sin(2 * np.pi * rng.uniform(2, 6) * time))
        fade = np.exp(-time * rng.choice([0.0, 2.0, 6.0]))
        noise = rng.normal(size=RATE) * rng.choice([0.0, 0.01, 0.05])
        yield (np.asarray(sound) * fade + noise).astype(np.float32)
