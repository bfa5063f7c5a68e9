"""Encoders in the space of a published alignment: the encoders of its modalities, with a learned head behind each."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.encoders.trained.published import PublishedModel
from hybrid.errors import UsageError
from hybrid.vectors import unit

if TYPE_CHECKING:
    from PIL import Image

#: The beginning of a spec; the alignment's version follows.
PREFIX = "alignment:"
#: Part of each side that the second view of a photo shows: the product tends to be in the middle.
MIDDLE = 0.75


def middle(image: Image.Image) -> Image.Image:
    """The middle of a picture, MIDDLE of each side."""
    width, height = image.size
    across, down = round(width * (1 - MIDDLE) / 2), round(height * (1 - MIDDLE) / 2)
    return image.crop((across, down, max(across + 1, width - across), max(down + 1, height - down)))


@dataclass(frozen=True)
class Head:
    """From an encoder's vectors to the shared space: square roots, centre, matrix, and perhaps one hidden layer.

    root: features that are never negative (a CNN's after its ReLU) are heavy-tailed: a few channels decide every
    cosine. Their square roots are not (RootSIFT: Arandjelović and Zisserman, CVPR 2012). centre: (d,); matrix:
    (d, dims). A hidden layer adds to the linear map: inner (d, width), bias (width,), outer (width, dims). All are
    float32, rounded to the values of float16, so that the stored head is the head that was measured.
    """

    root: bool
    centre: np.ndarray
    matrix: np.ndarray
    inner: np.ndarray | None = None
    bias: np.ndarray | None = None
    outer: np.ndarray | None = None

    @property
    def width(self) -> int:
        """Length of the vectors that it takes."""
        return len(self.centre)

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """(n, width) vectors -> (n, dims) float32 unit vectors; a zero row where one lies at the very centre.

        Raises:
            UsageError: vectors of another width, or not all of them are numbers other than zero.
        """
        return self.mapped(prepare(vectors, self.root, self.width))

    def mapped(self, prepared: np.ndarray) -> np.ndarray:
        """As a call, for vectors that are prepared already, as those of Pairs are."""
        centred = prepared - self.centre
        projected = centred @ self.matrix
        if self.inner is not None and self.bias is not None and self.outer is not None:
            projected += np.maximum(centred @ self.inner + self.bias, 0) @ self.outer
        return unit(projected)


def prepare(vectors: np.ndarray, root: bool, width: int | None = None, name: str = "input") -> np.ndarray:
    """(n, d) unit vectors, of their square roots where `root`.

    Raises:
        UsageError: not a matrix of this width, or a row that is zero or has a number that is not finite.
    """
    rows = np.asarray(vectors, np.float32)
    if rows.ndim != 2 or (width is not None and rows.shape[1] != width):
        raise UsageError(f"{name} vectors of shape {rows.shape}, where (rows, {width or 'dimensions'}) is wanted")
    lengths = np.linalg.norm(rows, axis=1)
    if not np.isfinite(lengths).all():
        raise UsageError(f"{name} vector {int(np.argmin(np.isfinite(lengths)))} holds a number that is not finite")
    if not (lengths > 1e-12).all():
        raise UsageError(f"{name} vector {int(np.argmin(lengths))} is zero: it says nothing; leave it out")
    return unit(np.sqrt(np.maximum(rows, 0))) if root else unit(rows)


FORMAT = 1
_ARRAYS = ("centre", "matrix", "inner", "bias", "outer")


@dataclass(frozen=True)
class Alignment:
    """heads: by modality. shares: how much each counts in a product's vector, sum 1. dims: of the shared space."""

    method: str
    heads: Mapping[str, Head]
    shares: Mapping[str, float]
    dims: int

    def project(self, modality: str, vectors: np.ndarray) -> np.ndarray:
        """(n, d) vectors of that modality's encoder -> (n, dims) float32 unit vectors.

        Raises:
            UsageError: there is no head of that modality, or the vectors do not fit it.
        """
        if modality not in self.heads:
            raise UsageError(f"this alignment is of {' and '.join(self.heads)}; it has nothing for {modality}")
        return self.heads[modality](vectors)

    def product(self, parts: Mapping[str, np.ndarray | None]) -> np.ndarray | None:
        """(dims,) unit vector of a product from its parts' vectors (d,), by modality; None where it has no part.

        Raises:
            UsageError: as `project`.
        """
        combined = np.zeros(self.dims, np.float32)
        for modality, vector in parts.items():
            if vector is not None:
                projected = self.project(modality, np.asarray(vector)[None])[0]
                combined += self.shares[modality] * projected
        whole = unit(combined[None])[0]
        return whole if whole.any() else None

    def to_bytes(self) -> bytes:
        """An npz without pickles, the same bytes for the same alignment."""
        arrays: dict[str, np.ndarray] = {}
        for modality, head in self.heads.items():
            for name in _ARRAYS:
                if (array := getattr(head, name)) is not None:
                    arrays[f"{modality}.{name}"] = array.astype(np.float16)
        about = {
            "format": FORMAT,
            "method": self.method,
            "roots": {modality: head.root for modality, head in self.heads.items()},
            "shares": dict(self.shares),
            "dims": self.dims,
        }
        out = io.BytesIO()
        np.savez(out, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)  # type: ignore[arg-type]
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Alignment:
        """The alignment of the bytes that `to_bytes` gave.

        Raises:
            ValueError: the bytes are damaged, or of another format.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                arrays = {name: file[name].astype(np.float32) for name in file.files if name != "about"}
                about = json.loads(file["about"].tobytes())
            if about["format"] != FORMAT:
                raise ValueError(f"format {about['format']}")
            heads = {
                modality: Head(
                    root, **{name: arrays[f"{modality}.{name}"] for name in _ARRAYS if f"{modality}.{name}" in arrays}
                )
                for modality, root in about["roots"].items()
            }
            shares = {modality: float(about["shares"][modality]) for modality in heads}
            whole = cls(str(about["method"]), heads, shares, int(about["dims"]))
            # Parts that do not fit together raise an error here.
            for head in heads.values():
                if head(np.ones((1, head.width))).shape != (1, whole.dims):
                    raise ValueError("parts that do not fit together")
        except (ValueError, LookupError, TypeError, AttributeError, OSError, EOFError, NotImplementedError) as error:
            raise ValueError(f"these bytes are no alignment: {error}") from error
        except (zipfile.BadZipFile, zlib.error, UsageError) as error:
            raise ValueError(f"these bytes are no alignment: {error}") from error
        return whole


class AlignedEncoder(PublishedModel[Alignment]):
    """The Encoder protocol over an alignment, "alignment:VERSION".

    A photo is seen twice, whole and its middle, and has the mean of both.
    """

    modalities = frozenset({"text", "image"})

    def from_bytes(self, about: Mapping[str, Any], data: bytes) -> Alignment:
        return Alignment.from_bytes(data)

    @property
    def dims(self) -> int:
        return self.trained.dims

    @property
    def scripts(self) -> frozenset[str] | None:  # type: ignore[override]
        return self.part(self.about, "text").scripts

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), dims) float32, rows of unit length; zero where the text's encoder gives a zero row."""
        vectors = self.part(self.about, "text").encode_texts(texts)
        out = np.zeros((len(vectors), self.dims), np.float32)
        known = vectors.any(axis=1)  # a bag of words gives a zero row for words that it does not know
        if known.any():
            out[known] = self.trained.project("text", vectors[known])
        return out

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(len(images), dims) float32, rows of unit length."""
        encoder = self.part(self.about, "image")
        vectors = encoder.encode_images([view for image in images for view in (image, middle(image))])
        return unit(self.trained.project("image", vectors).reshape(len(images), 2, -1).sum(axis=1))

    def product(self, parts: Mapping[str, np.ndarray | None]) -> np.ndarray | None:
        """The vector (dims,) of a product that has these vectors of its parts, by modality; None if it has none."""
        return self.trained.product(parts)
