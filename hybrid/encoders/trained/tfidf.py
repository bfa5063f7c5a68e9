"""TF-IDF over words and character n-grams, fitted to a catalogue, as an encoder of text."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from hybrid.encoders.trained.published import PublishedModel
from hybrid.encoders.words import MAX_DIMS, REVISION, _words
from hybrid.errors import UsageError
from hybrid.vectors import unit

#: What a spec begins with; behind it stands the version.
PREFIX = "tfidf:"
#: Characters of a word that are looked at together, with a mark before its first and behind its last.
GRAMS = (2, 3, 4)
#: Bytes of a published TF-IDF model's matrix, which every process that searches holds twice as wide.
MAX_BYTES = 20_000_000
_FORMAT = 1


@dataclass(frozen=True)
class TfIdf:
    """features: word ("=" before it) or n-gram of characters -> row of matrix (features, dims) float32.

    The matrix holds inverse document frequencies and singular vectors in one.
    """

    features: dict[str, int]
    matrix: np.ndarray

    @property
    def dims(self) -> int:
        return int(self.matrix.shape[1])

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), dims) float32 rows of unit length; zero where a text has no feature that is known."""
        out = np.zeros((len(texts), self.dims), np.float32)
        for row, text in enumerate(texts):
            counts = Counter(self.features[one] for one in features(text) if one in self.features)
            if counts:
                weights = 1 + np.log(np.fromiter(counts.values(), np.float32, len(counts)))
                out[row] = weights @ self.matrix[list(counts)]
        return unit(out)

    def to_bytes(self) -> bytes:
        """An npz without pickles; the matrix in half precision."""
        about = json.dumps({"format": _FORMAT, "features": list(self.features)}, ensure_ascii=False).encode()
        out = io.BytesIO()
        np.savez_compressed(out, about=np.frombuffer(about, np.uint8), matrix=self.matrix.astype(np.float16))
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> TfIdf:
        """What `to_bytes` gave.

        Raises:
            ValueError: the bytes are damaged, or of another format.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                about, matrix = json.loads(file["about"].tobytes()), file["matrix"].astype(np.float32)
            if about["format"] != _FORMAT or matrix.ndim != 2 or len(about["features"]) != len(matrix):
                raise ValueError("another format, or parts that do not fit together")
            return cls({feature: row for row, feature in enumerate(about["features"])}, matrix)
        except (ValueError, LookupError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"these bytes are no TF-IDF model: {error}") from error

    @classmethod
    def fit(cls, texts: Sequence[str], dims: int = 512, seed: int = 0) -> TfIdf:
        """Latent semantic analysis (Deerwester et al., 1990) of TF-IDF over words and n-grams of characters.

        Raises:
            UsageError: too few texts or different words for so many dimensions.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.utils.extmath import randomized_svd

        if not 2 <= dims <= MAX_DIMS:
            raise UsageError(f"{dims} dimensions: from 2 to {MAX_DIMS} can be had")
        vectorizer = TfidfVectorizer(
            analyzer=features, sublinear_tf=True, min_df=2, dtype=np.float32, max_features=MAX_BYTES // (2 * dims)
        )
        try:
            rows = vectorizer.fit_transform(texts)
        except ValueError as error:  # no word is in two texts
            raise UsageError(f"{len(texts)} texts share too few words for a TF-IDF model: {error}") from error
        if min(rows.shape) <= dims:
            raise UsageError(f"{rows.shape[0]} texts and {rows.shape[1]} features are too few for {dims} dimensions")
        _, strengths, axes = randomized_svd(rows, dims, n_iter=2, random_state=seed)
        # Singular vectors count alike, not by the variance that they explain: what most products have in common
        # tells none apart.
        matrix = vectorizer.idf_[:, None] * (axes.T / np.maximum(strengths, 1e-6 * strengths[0]))
        matrix /= max(float(np.abs(matrix).max()), 1e-30)  # float16 ends at 65504; the rows are of unit length anyway
        return cls(
            {str(name): row for row, name in enumerate(vectorizer.get_feature_names_out())},
            matrix.astype(np.float16).astype(np.float32),
        )


def features(text: str) -> Iterator[str]:
    """The words of a text, and the n-grams of their characters. Chinese needs no list of words for the latter."""
    for word in _words(text):
        yield from _word_features(word)


@lru_cache(maxsize=20_000)  # the words of a catalogue repeat; about 40 MB
def _word_features(word: str) -> tuple[str, ...]:
    marked = f" {word} "
    grams = (marked[start : start + size] for size in GRAMS for start in range(len(marked) - size + 1))
    return (f"={word}", *grams)


class TfIdfEncoder(PublishedModel[TfIdf]):
    """The Encoder protocol over a TF-IDF model, "tfidf:VERSION"."""

    modalities = frozenset({"text"})

    def from_bytes(self, about: Mapping[str, Any], data: bytes) -> TfIdf:
        return TfIdf.from_bytes(data)

    @property
    def version(self) -> str:
        return f"{self.name}+{REVISION}"

    @property
    def dims(self) -> int:
        return self.trained.dims

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), dims) float32, rows of unit length; a zero row for a text of which it knows nothing."""
        return self.trained(texts)
