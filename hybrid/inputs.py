"""What each signal of a product is made of, and how a change in it is told: hashes and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hybrid import documents
from hybrid.contracts import Encoder, IndexProfile
from hybrid.errors import IndexConflictError, MediaError


def encode(encoder: Encoder, name: str, contents: Sequence[Any]) -> list[np.ndarray | None]:
    """The vectors of what `Inputs.read` gave for a signal; None where the encoder gave none that can be used."""
    vectors = encoder.encode_images(contents) if name == "image" else encoder.encode_texts(contents)
    return [vector if np.isfinite(vector).all() and vector.any() else None for vector in vectors]


class Inputs:
    """Reads the inputs of signals out of a shop's documents."""

    def __init__(self, get_encoder: Callable[[str], Encoder], media_root: Path | None = None) -> None:
        self._get_encoder = get_encoder
        self._media_root = media_root

    def encoder(self, name: str, profile: IndexProfile) -> Encoder:
        """The encoder of a signal, if it gives the vectors that the index has, or is to have.

        Raises:
            IndexConflictError: it gives others.
        """
        signal = profile.signals[name]
        encoder = self._get_encoder(signal.encoder)
        if encoder.version != signal.version:
            raise IndexConflictError(
                f"the {name} vectors of {profile.index!r} are of {signal.encoder} {signal.version}, and this machine "
                f"has {encoder.version}; give it the same models and settings as the machine that attached or indexed"
            )
        return encoder

    def wants(self, name: str, source: Mapping[str, Any], profile: IndexProfile) -> bool:
        """Whether the product has anything for this signal to encode."""
        if name == "image":
            return documents.image_value(source, profile.fields) is not None
        encoder = self._get_encoder(profile.signals[name].encoder)
        return bool(documents.text_input(source, profile.fields, encoder))

    def digest(self, name: str, source: Mapping[str, Any], profile: IndexProfile) -> str | None:
        """The content hash of a signal's input; None where it cannot be read."""
        signal = profile.signals[name]
        if name == "image":
            try:
                data = self._image_path(source, profile).read_bytes()
            except (MediaError, OSError):
                return None
            return documents.content_hash(signal.version, data)
        text = documents.text_input(source, profile.fields, self._get_encoder(signal.encoder))
        return documents.content_hash(signal.version, text.encode())

    def read(self, name: str, source: Mapping[str, Any], profile: IndexProfile, encoder: Encoder) -> tuple[Any, str]:
        """(what the encoder takes, its content hash).

        Raises:
            MediaError: the picture cannot be used.
        """
        if name == "image":
            from hybrid.media import open_image

            path = self._image_path(source, profile)
            try:
                data = path.read_bytes()
            except OSError as error:
                raise MediaError(f"{path.name}: {error.strerror}", "image_unreadable") from error
            return open_image(data), documents.content_hash(encoder.version, data)
        text = documents.text_input(source, profile.fields, encoder)
        return text, documents.content_hash(encoder.version, text.encode())

    def _image_path(self, source: Mapping[str, Any], profile: IndexProfile) -> Path:
        from hybrid.media import resolve_image

        root = self._media_root or (Path(profile.media_root) if profile.media_root else None)
        return resolve_image(documents.image_value(source, profile.fields) or "", root)
