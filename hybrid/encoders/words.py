"""Text encoders without a transformer: a hashed bag of words, TF-IDF with singular vectors, means of word vectors.

All take well under a millisecond for a product's text. They know words, not meaning between them; what a text has
none of that they know gets a zero row, which is no vector: such a product is left without one, such a query leaves the
signal out. Words are the terms of hybrid.text.analysis (stems, Chinese words), so that a query and a product agree as
they do in BM25; those of MiniLM are its own.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from hybrid.encoders.base import LazyEncoder, file_digest
from hybrid.encoders.minilm import MAX_CHARS, model_folder
from hybrid.errors import EncoderError, UsageError
from hybrid.settings import Settings
from hybrid.text import analysis
from hybrid.vectors import unit

REVISION = f"1.{analysis.ANALYSIS_VERSION}"
#: Elasticsearch takes no longer vector.
MAX_DIMS = 4096
#: Of smooth inverse frequency (Arora et al., 2017): a word as frequent as this counts half.
SIF = 1e-4
#: Where the words of MiniLM's vocabulary begin; before them stand its marks and single characters.
_FIRST_WORD = 1996


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
        encodings = tokenizer.encode_batch_fast(valid, add_special_tokens=False)
        return [vectors[encoding.ids[:most]] for encoding in encodings]

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), 384) float32, rows of unit length; a zero row for a text without a word."""
        out = np.zeros((len(texts), self.dims), np.float32)
        for row, words in enumerate(self.word_vectors(texts)):
            out[row] = words.sum(axis=0)
        return unit(out)


def _words(text: str) -> Iterator[str]:
    for term in analysis.analyse(text[:MAX_CHARS]):
        yield term.text
