"""A published model of tags, loaded into this process at first use."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.encoders.trained.calibration import Calibration, softmax
from hybrid.encoders.trained.picture_tags import Graphs, PictureTags
from hybrid.encoders.trained.published import PublishedModel
from hybrid.errors import EncoderError, UsageError

if TYPE_CHECKING:
    from PIL import Image

#: The beginning of a spec; the version follows.
PREFIX = "tags:"
#: The method of a version that reads pictures; all others predict tags from the vectors in the index.
FINE_TUNED = "fine-tuning"


def named(names: tuple[str, ...], likely: np.ndarray, threshold: float) -> list[dict[str, Any]]:
    """[{"name", "confidence"}] of the tags at or above the threshold, likeliest first."""
    order = np.argsort(-likely, kind="stable")
    return [
        {"name": names[row], "confidence": round(float(likely[row]), 4)} for row in order if likely[row] >= threshold
    ]


@dataclass(frozen=True)
class Scale:
    """How the vectors of a part are prepared: square roots of features that are never negative (see alignment.Head),
    centre, spread."""

    root: bool
    centre: np.ndarray
    spread: float

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """(n, dims) -> (n, dims) of mean variance 1; zero, the middle of all, where there is no vector."""
        here = np.isfinite(vectors).all(axis=1, keepdims=True)
        rows = np.where(here, vectors, 0.0).astype(np.float32)
        rows = np.sqrt(np.maximum(rows, 0)) if self.root else rows
        return np.asarray(np.where(here, (rows - self.centre) / self.spread, 0.0), dtype=np.float32)


@dataclass(frozen=True)
class TagModel:
    """Heads over prepared vectors. matrix: (heads, dims of all parts, tags); bias: (heads, tags)."""

    names: tuple[str, ...]
    scales: Mapping[str, Scale]
    matrix: np.ndarray
    bias: np.ndarray
    calibration: Calibration = Calibration()

    def probabilities(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """(n, tags) calibrated, of (n, dims) vectors by part; a part may be left out, or have NaN rows.

        Raises:
            UsageError: none of the parts is there, or one is of another width.
        """
        vectors = {name: np.atleast_2d(parts[name]) for name in self.scales if name in parts}
        if not vectors:
            raise UsageError(f"the tags are told by {' and '.join(self.scales)}, and nothing of that is there")
        count = len(next(iter(vectors.values())))
        blocks = []
        for name, scale in self.scales.items():
            block = vectors.get(name, np.full((count, len(scale.centre)), np.nan, np.float32))
            if block.shape[1] != len(scale.centre):
                raise UsageError(f"{name} vectors of {block.shape[1]} numbers; these tags need {len(scale.centre)}")
            blocks.append(scale(block))
        prepared = np.hstack(blocks)
        votes = [softmax(prepared @ matrix + bias) for matrix, bias in zip(self.matrix, self.bias, strict=True)]
        return self.calibration(np.mean(votes, axis=0))

    def to_bytes(self) -> bytes:
        out = io.BytesIO()
        numbers: dict[str, Any] = {
            "names": np.array(self.names), "parts": np.array(list(self.scales)),
            "matrix": self.matrix.astype(np.float16), "bias": self.bias.astype(np.float32),
            **self.calibration.to_arrays(),
        }  # fmt: skip
        for name, scale in self.scales.items():
            numbers[f"centre-{name}"] = scale.centre.astype(np.float32)
            numbers[f"scale-{name}"] = np.array([float(scale.root), scale.spread])
        np.savez_compressed(out, **numbers)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> TagModel:
        """Raises ValueError where the bytes are no model of tags."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                scales = {}
                for name in arrays["parts"].tolist():
                    root, spread = arrays[f"scale-{name}"].tolist()
                    scales[name] = Scale(bool(root), arrays[f"centre-{name}"], spread)
                return cls(
                    tuple(arrays["names"].tolist()), scales, arrays["matrix"].astype(np.float32), arrays["bias"],
                    Calibration.from_arrays(arrays),
                )  # fmt: skip
        except (KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"these bytes are no model of tags: {error}") from error


def read_model(about: Mapping[str, Any], data: bytes) -> TagModel | PictureTags:
    """A version's numbers. Raises ValueError where they are damaged."""
    return PictureTags.from_bytes(data) if about["method"] == FINE_TUNED else TagModel.from_bytes(data)


class PublishedTags(PublishedModel[TagModel | PictureTags]):
    """A model that predicts tags from vectors or pictures, "tags:VERSION". It makes no vectors.

    Only hybrid.ingest.inputs.Inputs.tagger uses it.
    """

    def from_bytes(self, about: Mapping[str, Any], data: bytes) -> TagModel | PictureTags:
        return read_model(about, data)

    @property
    def version(self) -> str:
        return self.name.removeprefix(PREFIX)

    @property
    def dims(self) -> int:
        """Raises UsageError: it makes no vectors."""
        raise UsageError(f'"{self.name}" tells tags and makes no vectors; it is no encoder of a signal')

    @property
    def encoders(self) -> Mapping[str, Mapping[str, str]]:
        """part -> {"spec", "version"} of the encoder whose vectors it was trained on; raises as `tags` does."""
        encoders: Mapping[str, Mapping[str, str]] = self.about["encoders"]
        return encoders

    @property
    def reads_pictures(self) -> bool:
        """Whether it predicts tags from pictures (`look`), not from vectors (`tags`); raises as they do."""
        return isinstance(self.trained, PictureTags)

    @cached_property
    def _graphs(self) -> Graphs:
        assert isinstance(self.trained, PictureTags)
        return self.trained.graphs(self.settings)

    def tags(self, parts: Mapping[str, np.ndarray | None]) -> list[dict[str, Any]]:
        """[{"name", "confidence"}] of the tags with enough confidence to be written, likeliest first.

        Raises:
            ModelVersionError: there is no such version.
            EncoderError: it is damaged, or the vectors are not those that it was trained on.
        """
        model = self.trained
        if isinstance(model, PictureTags):
            raise EncoderError(f"{self.name} tells tags by pictures, not by vectors")
        vectors = {name: vector[None] for name, vector in parts.items() if vector is not None}
        try:
            (likely,) = model.probabilities(vectors)
        except UsageError as error:
            raise EncoderError(f"{self.name}: {error}") from error
        return named(model.names, likely, model.calibration.threshold)

    def look(self, pictures: Sequence[Sequence[Image.Image]]) -> list[list[dict[str, Any]]]:
        """The tags, in the form of `tags`, of products by one or several pictures of each.

        Raises:
            ModelVersionError, EncoderError: as `tags`; or no library here can run it.
        """
        model = self.trained
        likely = self.likely([picture for own in pictures for picture in own])
        ends = np.cumsum([len(own) for own in pictures])[:-1]
        return [named(model.names, own.mean(axis=0), model.calibration.threshold) for own in np.split(likely, ends)]

    def likely(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """(len(pictures), tags) probabilities; raises as `look` does."""
        model = self.trained
        if not isinstance(model, PictureTags):
            raise EncoderError(f"{self.name} tells tags by vectors, not by pictures")
        return model.probabilities(self._graphs, pictures)
