"""A network that tells the tags of pictures: EfficientNet-Lite0, whose last blocks learned from a shop's own photos.

It looks at the picture itself, its middle and all of it, not at the vector in the index, which is of the middle alone.
See hybrid.learning.picture_tags for the training.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from hybrid.encoders.image import BATCH, SIDE, pixels
from hybrid.encoders.runtime import Graph, Job, load_graph
from hybrid.errors import EncoderError
from hybrid.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

VIEWS = 3
REVISION = "1"  # raise it when the preprocessing changes


@dataclass(frozen=True)
class PictureTags:
    """names: the tags. tails: what several networks that vote learned, as hybrid.encoders.convert.tail takes it.
    temperature: the logarithms of the mean probabilities are divided by it; threshold: of confidence, from which on a
    tag is worth writing."""

    names: tuple[str, ...]
    tails: tuple[Mapping[str, np.ndarray], ...]
    temperature: float = 1.0
    threshold: float = 0.0

    def to_bytes(self) -> bytes:
        out = io.BytesIO()
        about = {"names": np.array(self.names), "numbers": np.array([self.temperature, self.threshold])}
        np.savez_compressed(out, **about, **self._weights())  # type: ignore[arg-type]
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> PictureTags:
        """Raises ValueError where these are no such bytes."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as held:
                temperature, threshold = held["numbers"].tolist()
                names = tuple(held["names"].tolist())
                tails: dict[int, dict[str, np.ndarray]] = {}
                for name in held.files:
                    number, _, of = name.partition("/")
                    if of:
                        tails.setdefault(int(number), {})[of] = held[name]
        except (KeyError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(str(error)) from error
        return cls(names, tuple(tails[number] for number in sorted(tails)), temperature, threshold)

    def _weights(self) -> dict[str, np.ndarray]:
        """ "NUMBER/NAME" -> float16."""
        return {
            f"{number}/{name}": array for number, weights in enumerate(self.tails) for name, array in weights.items()
        }

    def graph(self, settings: Settings) -> Graph:
        """The network, ready to run: (batch, 224, 224, 3) uint8 -> (batch, tags) logarithms.

        Raises:
            EncoderError: it cannot be kept on this machine, or neither OpenVINO nor torch can run it.
        """
        out = io.BytesIO()
        np.savez(out, **self._weights())  # type: ignore[arg-type]
        # By what it holds: clusters that share a machine may have versions of the same name.
        version = f"picture-tags@{hashlib.sha256(out.getvalue()).hexdigest()[:12]}+{REVISION}"
        folder = settings.data_dir / "models"
        file = folder / f"{version}.npz"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, delete=False, suffix=".tmp") as scratch:
                scratch.write(out.getvalue())
            os.replace(scratch.name, file)
        except OSError as error:
            raise EncoderError(f"a model of tags cannot be kept in {folder}: {error.strerror}; make room") from error
        return load_graph("picture-tags", file, version, settings)

    def probabilities(self, graph: Graph, pictures: Sequence[Image.Image]) -> np.ndarray:
        """(len(pictures), tags), calibrated: the mean over the views of each."""
        from hybrid.learning.tags import cooled, softmax

        scores = np.zeros((len(pictures) * VIEWS, len(self.names)), dtype=np.float32)
        graph.run_jobs(_jobs(pictures), scores)
        return cooled(softmax(scores).reshape(len(pictures), VIEWS, -1).mean(axis=1), self.temperature)


def _jobs(pictures: Sequence[Image.Image]) -> Iterator[Job]:
    step = max(1, BATCH // VIEWS)
    for start in range(0, len(pictures), step):
        views = [view for picture in pictures[start : start + step] for view in shown(picture)]
        yield range(start * VIEWS, start * VIEWS + len(views)), [np.stack(views)]


def shown(picture: Image.Image) -> list[np.ndarray]:
    """The VIEWS that tags are told by, each (224, 224, 3) uint8: its middle, as it is searched by; all of it squashed;
    and all of it framed."""
    return [pixels(picture), squashed(picture), framed(picture)]


def squashed(picture: Image.Image) -> np.ndarray:
    """(224, 224, 3) uint8: all of the picture, whatever its shape was."""
    from PIL import Image

    rgb = picture if picture.mode == "RGB" else picture.convert("RGB")
    return np.asarray(rgb.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def framed(picture: Image.Image) -> np.ndarray:
    """(224, 224, 3) uint8: all of the picture, on a square of its mean colour."""
    return squashed(on_square(picture, max(picture.size)))


def on_square(picture: Image.Image, side: int) -> Image.Image:
    """The picture as it is in the middle of a square of its mean colour. side: in pixels."""
    from PIL import Image

    rgb = picture if picture.mode == "RGB" else picture.convert("RGB")
    square = Image.new("RGB", (side, side), mean_colour(rgb))
    square.paste(rgb, ((side - rgb.width) // 2, (side - rgb.height) // 2))
    return square


def mean_colour(picture: Image.Image) -> tuple[int, ...]:
    return cast(tuple[int, ...], picture.resize((1, 1)).getpixel((0, 0)))
