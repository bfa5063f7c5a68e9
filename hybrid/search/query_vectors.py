"""A search's vectors: its words, its photo, video or sound, by the encoders of the index's signals."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from cachetools import LRUCache

from hybrid import vectors as vectors_module
from hybrid.contracts import Degradation, Encoder, IndexProfile, SearchRequest
from hybrid.errors import EncoderError, MediaError, UsageError
from hybrid.signals import MAX_VIEWS, SIGNALS
from hybrid.text import analysis

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

_CACHED_VECTORS = 2_000


class _Files:
    """A request's photo, video and sound, decoded once however many signals look at them."""

    def __init__(self, request: SearchRequest) -> None:
        self._request = request

    @cached_property
    def pictures(self) -> list[Image.Image]:
        """The photo, and the frames of the video."""
        from hybrid.media import open_image, open_video

        photo = [open_image(self._request.image)] if self._request.image is not None else []
        frames = open_video(self._request.video, MAX_VIEWS)[0] if self._request.video is not None else []
        return [*photo, *frames]

    @cached_property
    def sound(self) -> np.ndarray | None:
        from hybrid.media import samples

        return samples(self._request.audio) if self._request.audio is not None else None


class QueryVectors:
    """Encodes queries; vectors of words are kept. Thread-safe."""

    def __init__(self, get_encoder: Callable[[str], Encoder]) -> None:
        self._get_encoder = get_encoder
        self._kept: LRUCache[tuple[str, str], np.ndarray] = LRUCache(_CACHED_VECTORS)
        self._lock = threading.Lock()

    def vectors(
        self,
        request: SearchRequest,
        system: str,
        profile: IndexProfile,
        degraded: list[Degradation],
        notes: list[str],
    ) -> dict[str, np.ndarray]:
        """The query's vector for each signal of the index that it speaks to; what fails is named in `degraded`.

        Raises:
            MediaError: the shopper's own photo, video or sound is broken.
        """
        if system == "bm25":
            return {}
        files = _Files(request)
        vectors: dict[str, np.ndarray] = {}
        for name, signal in profile.signals.items():
            if system in SIGNALS and name != system:
                continue
            if request.weights is not None and request.weights.get(name, 0.0) <= 0:
                continue  # not even encoded
            try:
                encoder = self._encoder(signal.encoder)
                vector = self._vector(name, encoder, request, files, notes)
                if vector is None:
                    continue
                if encoder.version != signal.version:
                    reason = f"the index was encoded by {signal.version}, this process has {encoder.version}"
                    degraded.append(Degradation(name, reason))
                    continue
                vectors[name] = vector
            except MediaError:
                raise  # the shopper's own file is broken: say so, instead of answering something else
            except (EncoderError, RuntimeError, MemoryError) as error:
                logger.warning("signal %s left out: %s", name, error)
                degraded.append(Degradation(name, str(error).split("\n", 1)[0]))
        return vectors

    def _encoder(self, spec: str) -> Encoder:
        try:
            return self._get_encoder(spec)
        except UsageError as error:  # the index names an encoder that this process does not know
            raise EncoderError(str(error)) from error

    def _vector(
        self, name: str, encoder: Encoder, request: SearchRequest, files: _Files, notes: list[str]
    ) -> np.ndarray | None:
        signal = SIGNALS[name]
        if "sound" in signal.asked_by and files.sound is not None:
            heard: np.ndarray = encoder.encode_sounds([files.sound])[0]
            return heard
        seen: np.ndarray | None = None
        if "picture" in signal.asked_by and files.pictures:
            views = encoder.encode_images(files.pictures)
            seen = views[0] if len(views) == 1 else vectors_module.unit(views.sum(axis=0))
        if "words" not in signal.asked_by or (seen is not None and not signal.blends):
            return seen
        return vectors_module.between(seen, self._words_vector(name, encoder, request, notes))

    def _words_vector(self, name: str, encoder: Encoder, request: SearchRequest, notes: list[str]) -> np.ndarray | None:
        if not request.q.strip() or "text" not in encoder.modalities:
            return None
        script = analysis.script_of(request.q)
        if encoder.scripts is not None and script and script not in encoder.scripts:
            notes.append(f"{name}: {encoder.name} was not trained on {script} text")
            return None
        vector = self._cached(encoder, request.q.strip())
        if not vector.any():  # Elasticsearch takes no zero vector for a cosine
            notes.append(f"{name}: {encoder.name} knows none of these words")
            return None
        return vector

    def _cached(self, encoder: Encoder, text: str) -> np.ndarray:
        key = (encoder.version, text)
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None:
            return kept
        vector: np.ndarray = encoder.encode_texts([text])[0]
        with self._lock:
            self._kept[key] = vector
        return vector
