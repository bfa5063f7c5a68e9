"""Two towers in one space, learned from a shop's own pairs: a CNN on pixels and an RNN on tokens.

The CNN is EfficientNet-Lite0 with trained last blocks. The RNN reads MiniLM's word vectors, and is small enough to run
without torch. See hybrid.learning.alignment.towers for the training.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.encoders.efficientnet import jobs
from hybrid.encoders.inference.graphs import Graph, load_graph
from hybrid.encoders.pixels import VIEWS, picture_views
from hybrid.encoders.trained.picture_tags import cached_weights
from hybrid.encoders.trained.published import PublishedModel
from hybrid.encoders.words import MiniLMWords
from hybrid.settings import Settings
from hybrid.vectors import unit

if TYPE_CHECKING:
    from PIL import Image

#: The beginning of a spec; the version follows.
PREFIX = "towers:"
#: Dimensions of the shared space, and of the RNN's state in either direction.
DIMS, WIDTH = 256, 128
#: Tokens of a text that are read.
MAX_TOKENS = 96
REVISION = "1"


@dataclass(frozen=True)
class TextTower:
    """A bidirectional GRU (Cho et al., EMNLP 2014) over word vectors, and a linear map of their mean beside it.

    weights: as torch.nn.GRU names them, and "from_states" (DIMS, 2 WIDTH), "from_words" (DIMS, d), "bias" (DIMS,).
    """

    weights: Mapping[str, np.ndarray]

    def __call__(self, texts: Sequence[np.ndarray]) -> np.ndarray:
        """(len(texts), DIMS) float32 unit rows of the (tokens, d) word vectors of each; zero for a text without any."""
        out = np.zeros((len(texts), DIMS), np.float32)
        # Texts of one length at a time: the vector of a text must not depend on the other texts.
        lengths = np.array([len(text) for text in texts])
        for length in np.unique(lengths[lengths > 0]).tolist():
            rows = np.flatnonzero(lengths == length)
            words = np.stack([texts[row] for row in rows.tolist()]).astype(np.float32)
            states = np.concatenate([self._states(words, ""), self._states(words[:, ::-1], "_reverse")], axis=1)
            out[rows] = (
                states @ self.weights["from_states"].T
                + words.mean(axis=1) @ self.weights["from_words"].T
                + self.weights["bias"]
            )
        return unit(out)

    def _states(self, words: np.ndarray, way: str) -> np.ndarray:
        """(n, WIDTH): the mean over its states on the way through (n, tokens, d) word vectors."""
        inputs = words @ self.weights[f"weight_ih_l0{way}"].T + self.weights[f"bias_ih_l0{way}"]
        matrix, bias = self.weights[f"weight_hh_l0{way}"].T, self.weights[f"bias_hh_l0{way}"]
        state = np.zeros((len(words), WIDTH), np.float32)
        total = np.zeros_like(state)
        for step in range(words.shape[1]):
            before = state @ matrix + bias
            reset, update = np.split(_sigmoid(inputs[:, step, : 2 * WIDTH] + before[:, : 2 * WIDTH]), 2, axis=1)
            new = np.tanh(inputs[:, step, 2 * WIDTH :] + reset * before[:, 2 * WIDTH :])
            state = (1 - update) * new + update * state
            total += state
        return np.asarray(total / words.shape[1])


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)))


@dataclass(frozen=True)
class TowersModel:
    """picture: the learned changes of the CNN, as hybrid.encoders.inference.networks.tail takes them; text: the RNN."""

    picture: Mapping[str, np.ndarray]
    text: TextTower

    def to_bytes(self) -> bytes:
        """An npz without pickles, the same bytes for the same towers."""
        out = io.BytesIO()
        arrays = {f"picture/{name}": array for name, array in self.picture.items()}
        arrays |= {f"text/{name}": array.astype(np.float16) for name, array in self.text.weights.items()}
        np.savez(out, **arrays)  # type: ignore[arg-type]
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> TowersModel:
        """The towers of the bytes that `to_bytes` gave.

        Raises:
            ValueError: the bytes are damaged.
        """
        parts: dict[str, dict[str, np.ndarray]] = {"picture": {}, "text": {}}
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                for name in arrays.files:
                    part, _, of = name.partition("/")
                    parts[part][of] = arrays[name].astype(np.float32) if part == "text" else arrays[name]
            model = cls(parts["picture"], TextTower(parts["text"]))
            # Parts that do not fit together raise an error here.
            if not np.isfinite(model.text([np.ones((2, MiniLMWords.dims), np.float32)])).all():
                raise ValueError("numbers that are none")
            if model.picture["head.weight"].shape[0] != DIMS:
                raise ValueError("another format")
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"these bytes are no towers: {error}") from error
        return model

    def graph(self, settings: Settings) -> Graph:
        """The CNN, ready to run: (batch, 224, 224, 3) uint8 -> (batch, DIMS) unit rows.

        Raises:
            EncoderError: it cannot be stored on this machine, or neither OpenVINO nor torch can run it.
        """
        file, version = cached_weights("picture-tower", REVISION, self.picture, settings)
        return load_graph("picture-tower", file, version, settings)


class Towers(PublishedModel[TowersModel]):
    """The Encoder protocol over two towers, "towers:VERSION"."""

    modalities = frozenset({"text", "image"})
    scripts = MiniLMWords.scripts

    @property
    def dims(self) -> int:
        return DIMS

    @property
    def version(self) -> str:
        return f"{self.name}+{REVISION}"

    @cached_property
    def _words(self) -> MiniLMWords:
        return MiniLMWords("minilm-words", "", self.settings)

    def from_bytes(self, about: Mapping[str, Any], data: bytes) -> TowersModel:
        self.part(about, "text")  # whose word vectors it reads
        return TowersModel.from_bytes(data)

    @cached_property
    def _graph(self) -> Graph:
        return self.trained.graph(self.settings)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), DIMS) float32, rows of unit length; a zero row for a text without a word."""
        return self.trained.text(self._words.word_vectors(texts, MAX_TOKENS))

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(len(images), DIMS) float32, rows of unit length: of each the mean over its views."""
        rows = np.zeros((len(images) * VIEWS, DIMS), dtype=np.float32)
        self._graph.run_jobs(jobs(images, picture_views), rows)
        return unit(rows.reshape(len(images), VIEWS, DIMS).sum(axis=1))
