"""A deterministic encoder without a model: for unit tests, load tests and first steps."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from hybrid.encoders.base import LazyEncoder
from hybrid.errors import UsageError
from hybrid.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

_WORDS = re.compile(r"\w+")
_HASHES = 3  # places a word is put at: two words that share one still differ in the others
_LEVELS = 4  # of each colour channel in the histogram


@lru_cache(maxsize=200_000)
def _places(word: str, dims: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Where a word falls in a vector and with which signs; the same in every process, unlike hash()."""
    # Not crc32 with several seeds: it is linear, so that words which share one place share them all.
    digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=4 * _HASHES).digest()
    codes = struct.unpack(f"<{_HASHES}I", digest)
    return tuple(code % dims for code in codes), tuple(1.0 if code & 0x10000 else -1.0 for code in codes)


class Toy(LazyEncoder[None]):
    """Texts that share words are close, pictures that share colours are close; nothing else is known."""

    modalities = frozenset({"text", "image"})

    def __init__(self, name: str, argument: str, settings: Settings) -> None:
        """argument: the length of a vector, or "" for 64.

        Raises:
            UsageError: it is no number from 8 to 4096.
        """
        super().__init__(name, settings)
        if argument and not (argument.isascii() and argument.isdigit() and 8 <= int(argument) <= 4096):
            raise UsageError(f'encoder "{name}": toy takes a number of dimensions from 8 to 4096, as in toy:64')
        self.dims = int(argument or 64)
        self.version = f"toy@{self.dims}+1"

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), dims) float32: signed hashes of the words, summed. No words: the first axis."""
        places: list[int] = []
        signs: list[float] = []
        dims = self.dims
        for row, text in enumerate(texts):
            start = row * dims
            for word in _WORDS.findall(text.casefold()):
                at, sign = _places(word, dims)
                places += [start + place for place in at]
                signs += sign
        sums = np.bincount(np.array(places, dtype=np.int64), signs, minlength=len(texts) * dims)
        return _unit(sums.reshape(len(texts), dims))

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(len(images), dims) float32: the square root of a histogram of 64 colours."""
        out = np.zeros((len(images), self.dims))
        for row, image in enumerate(images):
            pixels = np.asarray(image.convert("RGB").resize((32, 32)), dtype=np.int64) * _LEVELS // 256
            colour = (pixels[..., 0] * _LEVELS + pixels[..., 1]) * _LEVELS + pixels[..., 2]
            out[row] = np.bincount(colour.ravel() % self.dims, minlength=self.dims)
        return _unit(np.sqrt(out))


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to unit length; a zero row becomes the first axis."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    rows[lengths == 0, 0] = 1.0
    lengths[lengths == 0] = 1.0
    result: np.ndarray = (rows / lengths[:, None]).astype(np.float32)
    return result
