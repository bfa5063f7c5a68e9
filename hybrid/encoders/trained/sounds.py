"""A small convolutional network over log-mel frames that a shop trained on its own tags, as an encoder of sounds.

Its vector is the output of the network's last layer but one. Where held-out sounds were found better so, the MFCC
statistics of hybrid.encoders.mfcc are joined to it. See hybrid.learning.sounds.fit for the training.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.contracts import Encoder
from hybrid.encoders.mfcc import MELS, log_mel, mel_filters
from hybrid.encoders.trained.published import PublishedModel

if TYPE_CHECKING:
    import torch

#: The beginning of a spec; the version follows.
PREFIX = "sounds:"
#: Length of the network's own vector, frames of a window (10 ms each), and the most windows of a sound.
DIMS, WINDOW, WINDOWS = 64, 128, 24
FORMAT = 1
_CHANNELS = (1, 16, 32, 48)
#: The least value that log_mel gives, with which short sounds are padded.
SILENT = float(np.log(1e-6))


def network(classes: int) -> torch.nn.Sequential:
    """(n, 1, WINDOW, MELS) log-mel frames -> (n, classes); all but its last part -> (n, DIMS). 83,000 parameters."""
    from torch import nn

    class Pooled(nn.Module):
        """(n, channels, frames, 1) -> (n, 2 * channels): mean and maximum over time."""

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            import torch

            flat = features.flatten(2)
            return torch.cat([flat.mean(2), flat.amax(2)], 1)

    parts: list[nn.Module] = []
    for before, after in zip(_CHANNELS, _CHANNELS[1:], strict=False):
        parts += [
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
        ]  # fmt: skip
    wide = 96
    parts += [
        nn.Conv2d(_CHANNELS[-1], wide, (1, MELS // 8), bias=False), nn.BatchNorm2d(wide), nn.ReLU(),
        nn.Conv2d(wide, wide, (3, 1), padding=(1, 0), bias=False), nn.BatchNorm2d(wide), nn.ReLU(),
        Pooled(), nn.Dropout(0.3), nn.Linear(2 * wide, DIMS),
    ]  # fmt: skip
    return nn.Sequential(nn.Sequential(*parts), nn.Linear(DIMS, classes, bias=False))


def frames(sound: np.ndarray) -> np.ndarray | None:
    """(frames, MELS) float32 of a mono sound of 16,000 samples a second; None of one without any loudness."""
    sound = np.asarray(sound, dtype=np.float32)
    if not len(sound) or not np.isfinite(sound).all() or np.abs(sound).max() <= 1e-5:
        return None
    return log_mel(sound, mel_filters()).astype(np.float32)


def windows(mel: np.ndarray) -> np.ndarray:
    """(m, WINDOW, MELS), m from 1 to WINDOWS: parts of a sound at even distances, a short one filled with silence."""
    if len(mel) < WINDOW:
        room = WINDOW - len(mel)
        mel = np.pad(mel, ((room // 2, room - room // 2), (0, 0)), constant_values=SILENT)
    count = min(WINDOWS, -(-len(mel) // WINDOW))
    starts = np.linspace(0, len(mel) - WINDOW, count).astype(int)
    return np.stack([mel[start : start + WINDOW] for start in starts])


def scaled(mel: np.ndarray) -> np.ndarray:
    """Log energies about zero, of unit scale or so; the same for all sounds."""
    return (mel - SILENT / 2) / 4


@dataclass(frozen=True)
class SoundModel:
    """weights: of `network`, by name. tags: its classes. share: of the MFCC statistics in a vector, 0 to 1."""

    weights: Mapping[str, np.ndarray]
    tags: tuple[str, ...]
    share: float

    @cached_property
    def _net(self) -> torch.nn.Sequential:
        import torch

        net = network(len(self.tags))
        state = {}
        for name, array in self.weights.items():
            state[name] = torch.from_numpy(array.astype(np.float32) if array.dtype == np.float16 else array)
        net.load_state_dict(state)
        return net.eval()

    def encode(self, mels: Sequence[np.ndarray]) -> np.ndarray:
        """(n, DIMS) float32 unit rows of log-mel frames, as `frames` gives them: the mean over a sound's windows."""
        import torch
        from torch.nn import functional

        rows = np.zeros((len(mels), DIMS), np.float32)
        with torch.inference_mode():
            for row, mel in enumerate(mels):
                window_vectors = functional.normalize(
                    self._net[0](torch.from_numpy(scaled(windows(mel)))[:, None]), dim=1
                )
                rows[row] = functional.normalize(window_vectors.sum(0), dim=0).numpy()
        return rows

    def to_bytes(self) -> bytes:
        """An npz without pickles, the same bytes for the same model."""
        about = {"format": FORMAT, "tags": list(self.tags), "share": self.share}
        out = io.BytesIO()
        np.savez(out, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **self.weights)  # type: ignore[arg-type]
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> SoundModel:
        """The model of the bytes that `to_bytes` gave.

        Raises:
            ValueError: the bytes are damaged, or of another format.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                weights = {name: file[name] for name in file.files if name != "about"}
                about = json.loads(file["about"].tobytes())
            if about["format"] != FORMAT:
                raise ValueError(f"format {about['format']}")
            model = cls(weights, tuple(map(str, about["tags"])), float(about["share"]))
            # Parts that do not fit together raise an error here.
            if not np.isfinite(model.encode([np.zeros((WINDOW, MELS), np.float32)])).all() or not 0 <= model.share <= 1:
                raise ValueError("numbers that are none")
        except (ValueError, LookupError, TypeError, AttributeError, OSError, EOFError, RuntimeError) as error:
            raise ValueError(f"these bytes are no model of sounds: {' '.join(str(error).split())[:200]}") from error
        except (zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"these bytes are no model of sounds: {error}") from error
        return model


def together(own: np.ndarray, mfcc: np.ndarray, share: float) -> np.ndarray:
    """Unit rows of the network's vectors (n, DIMS) and MFCC statistics (n, d), which have that share of the cosine."""
    if share == 0:
        return own
    joined: np.ndarray = np.hstack([own * (1 - share) ** 0.5, mfcc * share**0.5]).astype(np.float32)
    return joined


class SoundEncoder(PublishedModel[tuple[SoundModel, Encoder]]):
    """The Encoder protocol over a network, "sounds:VERSION", and the encoder of MFCC statistics beside it."""

    modalities = frozenset({"audio"})

    def from_bytes(self, about: Mapping[str, Any], data: bytes) -> tuple[SoundModel, Encoder]:
        return SoundModel.from_bytes(data), self.part(about, "audio")

    @property
    def dims(self) -> int:
        model, mfcc = self.trained
        return DIMS + (mfcc.dims if model.share else 0)

    def encode_sounds(self, sounds: Sequence[np.ndarray]) -> np.ndarray:
        """(len(sounds), dims) float32, rows of unit length; of a sound without any loudness a row of zeros.

        Each is mono, float32, 16,000 a second.
        """
        model, mfcc = self.trained
        out = np.zeros((len(sounds), self.dims), np.float32)
        mels = [frames(sound) for sound in sounds]
        audible = [row for row, mel in enumerate(mels) if mel is not None]
        if audible:
            own = model.encode([mel for mel in mels if mel is not None])
            out[audible] = together(own, mfcc.encode_sounds([sounds[row] for row in audible]), model.share)
        return out
