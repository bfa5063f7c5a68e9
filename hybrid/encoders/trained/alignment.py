"""Encoders in the space of a published alignment: those of its modalities, and what was learned to put behind them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.contracts import Encoder
from hybrid.errors import EncoderError, UsageError

if TYPE_CHECKING:
    from PIL import Image

    from hybrid.learning.alignment import Alignment

#: What a spec begins with; behind it stands the alignment's version.
PREFIX = "aligned:"
#: Part of each side that the second view of a photo shows: what is meant tends to be in its middle.
MIDDLE = 0.75


class AlignedEncoder:
    """The Encoder protocol over an alignment. Its models and numbers are loaded at first use; one a process.

    A photo is seen twice, whole and its middle, and has the mean of both.
    """

    modalities = frozenset({"text", "image"})

    def __init__(
        self, name: str, load: Callable[[], tuple[dict[str, Any], bytes]], get_encoder: Callable[[str], Encoder]
    ) -> None:
        """load: gives what hybrid.elastic.model_versions.ModelVersions.get does."""
        self.name = name
        self._load = load
        self._get_encoder = get_encoder
        self._lock = threading.Lock()
        self._loaded: tuple[dict[str, Any], Alignment] | None = None

    def _published(self) -> tuple[dict[str, Any], Alignment]:
        """What was published, and its numbers.

        Raises:
            EncoderError: it cannot be had.
        """
        with self._lock:
            if self._loaded is None:
                from hybrid.learning.alignment import Alignment

                about, data = self._load()
                try:
                    self._loaded = about, Alignment.from_bytes(data)
                except ValueError as error:
                    raise EncoderError(f"alignment {self.name} is damaged ({error}); train another") from error
            return self._loaded

    @property
    def alignment(self) -> Alignment:
        return self._published()[1]

    @property
    def version(self) -> str:
        # A version in the cluster is never changed, so that its name is enough.
        return self.name

    @property
    def dims(self) -> int:
        return self.alignment.dims

    @property
    def scripts(self) -> frozenset[str] | None:
        return self._part("text").scripts

    def _part(self, modality: str) -> Encoder:
        """The encoder that the alignment was trained on.

        Raises:
            EncoderError: this process has another version of it.
        """
        wanted = self._published()[0]["encoders"][modality]
        encoder = self._get_encoder(wanted["spec"])
        if encoder.version != wanted["version"]:
            raise EncoderError(
                f"{self.name} was trained on {wanted['version']}, and this process has {encoder.version}; "
                "give it the same models and settings, or train an alignment anew"
            )
        return encoder

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), dims) float32, rows of unit length; zero where the text's encoder gives a zero row."""
        vectors = self._part("text").encode_texts(texts)
        out = np.zeros((len(vectors), self.dims), np.float32)
        known = vectors.any(axis=1)  # a bag of words gives a zero row for words that it does not know
        if known.any():
            out[known] = self.alignment.project("text", vectors[known])
        return out

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(len(images), dims) float32, rows of unit length."""
        from hybrid.learning.heads import unit

        encoder = self._part("image")
        vectors = encoder.encode_images([view for image in images for view in (image, middle(image))])
        return unit(self.alignment.project("image", vectors).reshape(len(images), 2, -1).sum(axis=1))

    def encode_sounds(self, sounds: Sequence[np.ndarray]) -> np.ndarray:
        """An alignment is of texts and pictures.

        Raises:
            UsageError: always.
        """
        raise UsageError(f'encoder "{self.name}" takes no sound')

    def product(self, parts: Mapping[str, np.ndarray | None]) -> np.ndarray | None:
        """The vector (dims,) of a product that has these vectors of its parts, by modality; None if it has none."""
        return self.alignment.product(parts)


def middle(image: Image.Image) -> Image.Image:
    """The middle of a picture, MIDDLE of each side."""
    width, height = image.size
    across, down = round(width * (1 - MIDDLE) / 2), round(height * (1 - MIDDLE) / 2)
    return image.crop((across, down, max(across + 1, width - across), max(down + 1, height - down)))
