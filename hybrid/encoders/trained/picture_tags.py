"""Networks that predict the tags of pictures: EfficientNet-Lite0 whose last blocks learned from a shop's own photos,
and the stock EfficientNet-Lite0 with a linear head over many of its layers.

They read the picture itself, its middle and all of it. The vector in the index is of the middle alone.
See hybrid.learning.tags.pictures for the training.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hybrid.encoders.base import file_digest
from hybrid.encoders.efficientnet import jobs
from hybrid.encoders.inference.graphs import Graph, load_graph
from hybrid.encoders.pixels import LAYERS, VIEWS, WIDE, framed, picture_views, squashed, weights_file
from hybrid.encoders.trained.calibration import Calibration, softmax
from hybrid.errors import EncoderError
from hybrid.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

REVISION = "2"  # raise it when the preprocessing changes


@dataclass(frozen=True)
class PictureTags:
    """Networks that vote on the tags of pictures.

    names: the tags. tails: the learned changes of several networks, as networks.tail takes them. head: "matrix"
    (LAYERS, tags) and "bias" (tags,), over the output of networks.LayersModule.
    """

    names: tuple[str, ...]
    tails: tuple[Mapping[str, np.ndarray], ...]
    head: Mapping[str, np.ndarray]
    calibration: Calibration = Calibration()

    def to_bytes(self) -> bytes:
        out = io.BytesIO()
        about = {"names": np.array(self.names), **self.calibration.to_arrays()}
        about |= {f"head-{name}": array for name, array in self.head.items()}
        np.savez_compressed(out, **about, **self._weights())  # type: ignore[arg-type]
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> PictureTags:
        """Raises ValueError where the bytes are no model of picture tags."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                calibration = Calibration.from_arrays(arrays)
                head = {name: arrays[f"head-{name}"] for name in ("matrix", "bias")}
                names = tuple(arrays["names"].tolist())
                tails: dict[int, dict[str, np.ndarray]] = {}
                for name in arrays.files:
                    number, _, of = name.partition("/")
                    if of:
                        tails.setdefault(int(number), {})[of] = arrays[name]
        except (KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"these bytes are no model of tags: {error}") from error
        return cls(names, tuple(tails[number] for number in sorted(tails)), head, calibration)

    def _weights(self) -> dict[str, np.ndarray]:
        """ "NUMBER/NAME" -> float16."""
        return {
            f"{number}/{name}": array for number, weights in enumerate(self.tails) for name, array in weights.items()
        }

    def graphs(self, settings: Settings) -> Graphs:
        """The networks, ready to run.

        Raises:
            EncoderError: they cannot be stored on this machine, or neither OpenVINO nor torch can run them.
        """
        file, version = cached_weights("picture-tags", REVISION, self._weights(), settings)
        return Graphs(load_graph("picture-tags", file, version, settings), layers_graph(settings))

    def probabilities(self, graphs: Graphs, pictures: Sequence[Image.Image]) -> np.ndarray:
        """(len(pictures), tags), calibrated: the vote of all networks on all views of each picture."""
        scores = np.zeros((len(pictures) * VIEWS, len(self.names)), dtype=np.float32)
        graphs.tails.run_jobs(jobs(pictures, picture_views), scores)
        tails = softmax(scores).reshape(len(pictures), VIEWS, -1).mean(axis=1)
        return self.calibration(self.vote(tails, layers(graphs.layers, pictures)))

    def vote(self, tails: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """(n, tags), not calibrated: each network counts the same. tails: (n, tags) mean of their probabilities; seen:
        (n, VIEWS, LAYERS)."""
        scores = seen.astype(np.float32) @ self.head["matrix"].astype(np.float32) + self.head["bias"]
        head = softmax(scores.reshape(-1, len(self.names))).reshape(scores.shape).mean(axis=1)
        return np.asarray((len(self.tails) * tails + head) / (len(self.tails) + 1))


def cached_weights(kind: str, revision: str, weights: Mapping[str, np.ndarray], settings: Settings) -> tuple[Path, str]:
    """(file, version) of learned weights, which are written to this machine for `load_graph`.

    Raises:
        EncoderError: they cannot be stored on this machine.
    """
    out = io.BytesIO()
    np.savez(out, **weights)  # type: ignore[arg-type]
    # Named by content: clusters that share a machine may have versions of the same name.
    version = f"{kind}@{hashlib.sha256(out.getvalue()).hexdigest()[:12]}+{revision}"
    folder = settings.data_dir / "models"
    file = folder / f"{version}.npz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False, suffix=".tmp") as scratch:
            scratch.write(out.getvalue())
        os.replace(scratch.name, file)
    except OSError as error:
        raise EncoderError(f"a trained model cannot be stored in {folder}: {error.strerror}; make room") from error
    return file, version


class Graphs(NamedTuple):
    """tails: (batch, 224, 224, 3) uint8 -> (batch, tags) logarithms. layers: networks.LayersModule."""

    tails: Graph
    layers: Graph


def layers_graph(settings: Settings) -> Graph:
    """Raises EncoderError where neither OpenVINO nor torch can run it."""
    version = f"efficientnet-lite0-layers@{file_digest(weights_file(), settings)}+{REVISION}"
    return load_graph("efficientnet-lite0-layers", weights_file(), version, settings)


def layers(graph: Graph, pictures: Sequence[Image.Image]) -> np.ndarray:
    """(len(pictures), VIEWS, LAYERS) of all of each picture: squashed, the same mirrored, and framed."""
    seen = np.zeros((len(pictures) * VIEWS, LAYERS), dtype=np.float32)
    graph.run_jobs(jobs(pictures, _wide), seen)
    return seen.reshape(len(pictures), VIEWS, LAYERS)


def _wide(picture: Image.Image) -> list[np.ndarray]:
    whole = squashed(picture, WIDE)
    return [whole, whole[:, ::-1], framed(picture, WIDE)]
