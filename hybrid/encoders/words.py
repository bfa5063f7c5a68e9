"""Text encoders without a transformer: a hashed bag of words, TF-IDF with singular vectors, means of word vectors.

All take well under a millisecond for a product's text. They know words, not meaning between them; what a text has
none of that they know gets a zero row, which is no vector: such a product is left without one, such a query leaves the
signal out. Words are the terms of hybrid.analysis (stems, jieba's words), so that a query and a product agree as they
do in BM25; those of MiniLM are its own.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hybrid import analysis
from hybrid.encoders.base import LazyEncoder, file_digest
from hybrid.encoders.text import MAX_CHARS, model_folder
from hybrid.errors import EncoderError, UsageError
from hybrid.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

REVISION = f"1.{analysis.ANALYSIS_VERSION}"
#: Elasticsearch takes no longer vector.
MAX_DIMS = 4096
#: Characters of a word that are looked at together, with a mark before its first and behind its last.
GRAMS = (2, 3, 4)
#: Bytes of a published TF-IDF model's matrix; they go to the cluster in one request, a third longer.
MAX_BYTES = 20_000_000
#: Of smooth inverse frequency (Arora et al., 2017): a word as frequent as this counts half.
SIF = 1e-4
#: Where the words of MiniLM's vocabulary begin; before them stand its marks and single characters.
_FIRST_WORD = 1996
_FORMAT = 1


class Bow(LazyEncoder[None]):
    """A bag of words, each hashed to one place with a sign (Weinberger et al., 2009); counts count logarithmically."""

    modalities = frozenset({"text"})

    def __init__(self, name: str, argument: str, settings: Settings) -> None:
        """argument: the length of a vector, or "" for 1024: words share places in shorter ones.

        Raises:
            UsageError: it is no number from 64 to 4096.
        """
        super().__init__(name, settings)
        if argument and not (argument.isascii() and argument.isdigit() and 64 <= int(argument) <= MAX_DIMS):
            raise UsageError(f'encoder "{name}": bow takes a number of dimensions from 64 to {MAX_DIMS}, as in bow:512')
        self.dims = int(argument or 1024)
        self.version = f"bow@{self.dims}+{REVISION}"

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), dims) float32, rows of unit length; a zero row for a text without a word."""
        out = np.zeros((len(texts), self.dims), np.float32)
        for row, text in enumerate(texts):
            for word, count in Counter(_words(text)).items():
                code = _code(word)
                out[row, code % self.dims] += (1 if code >> 63 else -1) * (1 + np.log(count))
        return unit(out)


@lru_cache(maxsize=200_000)
def _code(word: str) -> int:
    """64 bits; the same in every process, unlike hash()."""
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "big")


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
        yield f"={word}"
        marked = f" {word} "
        for size in GRAMS:
            for start in range(len(marked) - size + 1):
                yield marked[start : start + size]


class TfIdfEncoder:
    """The Encoder protocol over a published TF-IDF model, loaded at first use; one a process."""

    modalities = frozenset({"text"})
    scripts: frozenset[str] | None = None

    def __init__(self, name: str, load: Callable[[], tuple[dict[str, Any], bytes]]) -> None:
        """load: gives what hybrid.elastic.model_versions.ModelVersions.get does."""
        self.name = name
        self._load = load
        self._lock = threading.Lock()
        self._loaded: TfIdf | None = None

    @property
    def model(self) -> TfIdf:
        """Its numbers.

        Raises:
            ModelVersionError: there is no such version.
            EncoderError: it is damaged.
        """
        with self._lock:
            if self._loaded is None:
                try:
                    self._loaded = TfIdf.from_bytes(self._load()[1])
                except ValueError as error:
                    raise EncoderError(f"{self.name} is damaged ({error}); train another") from error
            return self._loaded

    @property
    def version(self) -> str:
        # A version in the cluster is never changed.
        return f"{self.name}+{REVISION}"

    @property
    def dims(self) -> int:
        return self.model.dims

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), dims) float32, rows of unit length; a zero row for a text of which it knows nothing."""
        return self.model(texts)

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Raises UsageError: it takes none."""
        raise UsageError(f'encoder "{self.name}" takes no pictures; choose one of modality image')

    def encode_sounds(self, sounds: Sequence[np.ndarray]) -> np.ndarray:
        """Raises UsageError: it takes none."""
        raise UsageError(f'encoder "{self.name}" takes no sound; choose one of modality audio')


class _Tokens(NamedTuple):
    tokenizer: Any
    vectors: np.ndarray


class MiniLMWords(LazyEncoder[_Tokens]):
    """The mean of the vectors of a text's words, those that MiniLM itself begins with; its layers are not run.

    Rare words count more, by the order of the vocabulary (Zipf, 1949), and the direction that all have in common is
    taken out (Arora et al., "A simple but tough-to-beat baseline for sentence embeddings", ICLR 2017).
    """

    modalities = frozenset({"text"})
    scripts: frozenset[str] | None = frozenset({"Latin"})
    dims = 384

    def __init__(self, name: str, argument: str, settings: Settings) -> None:
        """Raises UsageError if there is an argument: it takes none."""
        super().__init__(name, settings)
        if argument:
            raise UsageError(f'encoder "{name}": minilm-words takes no argument')

    @cached_property
    def version(self) -> str:
        """From the digest of the weights; loads no model. Raises EncoderError where the package is missing."""
        return f"minilm-words@{file_digest(model_folder() / 'model.safetensors', self.settings)}+1"

    def _load(self) -> _Tokens:
        folder = model_folder()
        try:
            from safetensors import safe_open
            from tokenizers import Tokenizer

            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            with safe_open(folder / "model.safetensors", "np") as file:
                vectors = np.asarray(file.get_tensor("embeddings.word_embeddings.weight"), np.float32)
        except Exception as error:  # tokenizers raises bare Exception
            raise EncoderError(f"minilm's words in {folder} cannot be read: {error}; reinstall it") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        frequency = 1 / np.maximum(np.arange(len(vectors)) - _FIRST_WORD + 1, 1)
        frequency /= frequency[_FIRST_WORD:].sum()
        vectors = vectors - vectors[_FIRST_WORD:].mean(axis=0)
        # Their first singular vector, by the small matrix: two seconds sooner at the first text.
        rows = vectors[_FIRST_WORD:].astype(np.float64)
        common = np.linalg.eigh(rows.T @ rows)[1][:, -1:]
        vectors -= (vectors @ common @ common.T).astype(np.float32)
        return _Tokens(tokenizer, (vectors * (SIF / (SIF + frequency))[:, None]).astype(np.float32))

    def word_vectors(self, texts: Sequence[str], most: int | None = None) -> list[np.ndarray]:
        """Of each text (tokens, 384) float32, weighted, in their order: of its first `most`, or of all."""
        tokenizer, vectors = self.model
        valid = [text[:MAX_CHARS].encode("utf-8", "replace").decode() for text in texts]
        found = tokenizer.encode_batch_fast(valid, add_special_tokens=False)
        return [vectors[encoding.ids[:most]] for encoding in found]

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), 384) float32, rows of unit length; a zero row for a text without a word."""
        out = np.zeros((len(texts), self.dims), np.float32)
        for row, words in enumerate(self.word_vectors(texts)):
            out[row] = words.sum(axis=0)
        return unit(out)


def _words(text: str) -> Iterator[str]:
    for term in analysis.analyse(text[:MAX_CHARS]):
        yield term.text


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows at length 1, float32; zero rows stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 1e-9, lengths, 1), np.float32)
