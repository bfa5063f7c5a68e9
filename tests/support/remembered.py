"""Real encoders that encode an input once: vectors are kept on disk, by the encoder's version and the input.

Only for tests of what is done with vectors. That an encoder makes the right ones is tested without this.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from hybrid.contracts import Encoder
from hybrid.services import Services

X = TypeVar("X")


class RememberingEncoder:
    """An encoder that looks into `file`, an SQLite database which processes may share, before it encodes."""

    def __init__(self, encoder: Encoder, file: Path) -> None:
        self._encoder, self._file = encoder, file
        self.name, self.modalities = encoder.name, encoder.modalities

    @property
    def scripts(self) -> frozenset[str] | None:
        return self._encoder.scripts

    @property
    def span(self) -> tuple[float, float] | None:
        return self._encoder.span

    @property
    def version(self) -> str:
        return self._encoder.version

    @property
    def dims(self) -> int:
        return self._encoder.dims

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self._remember(texts, str.encode, self._encoder.encode_texts)

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        return self._remember(texts, lambda text: b"query: " + text.encode(), self._encoder.encode_queries)

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        return self._remember(
            images, lambda image: f"{image.mode} {image.size}".encode() + image.tobytes(), self._encoder.encode_images
        )

    def encode_sounds(self, sounds: Sequence[np.ndarray]) -> np.ndarray:
        return self._remember(sounds, np.ndarray.tobytes, self._encoder.encode_sounds)

    def _remember(
        self, inputs: Sequence[X], to_bytes: Callable[[X], bytes], encode: Callable[[Sequence[X]], np.ndarray]
    ) -> np.ndarray:
        keys = [hashlib.sha256(self.version.encode() + b"\0" + to_bytes(one)).digest() for one in inputs]
        with closing(sqlite3.connect(self._file, timeout=60)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")
            kept = {
                key: row[0]
                for key in keys
                if (row := connection.execute("SELECT vector FROM vectors WHERE key = ?", [key]).fetchone())
            }
            missing = {key: one for key, one in zip(keys, inputs, strict=True) if key not in kept}
            if missing:
                encoded = encode(list(missing.values())).astype(np.float32)
                new = {key: vector.tobytes() for key, vector in zip(missing, encoded, strict=True)}
                with connection:  # only now is the file locked
                    connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", new.items())
                kept |= new
        return np.stack([np.frombuffer(kept[key], np.float32) for key in keys]) if keys else encode(inputs)


class RememberingServices(Services):
    """Services whose encoders that need a network look into the vectors of earlier tests first."""

    def encoder(self, spec: str) -> Encoder:
        encoder = super().encoder(spec)
        if spec not in ("minilm", "bge-small-zh", "efficientnet-lite0"):
            return encoder
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        return RememberingEncoder(encoder, self.settings.data_dir / "vectors-of-tests.sqlite")
