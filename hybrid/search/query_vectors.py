"""The vectors of a search: of its words, photo, video or sound, by the encoders of the index's signals."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from cachetools import LRUCache

from hybrid import vectors as vectors_module
from hybrid.catalogue import documents
from hybrid.contracts import Encoder, GetEncoder, IndexProfile
from hybrid.errors import EncoderError, MediaError, UsageError
from hybrid.facts import Note
from hybrid.searches import Degradation, SearchRequest
from hybrid.signals import MAX_VIEWS, SIGNALS, kind_of, weighs
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


@dataclass(frozen=True)
class EncodedQuery:
    """The vectors of a query.

    vectors: signal -> (dims,), of the signals that the query can be compared with. notes: why the words take no part in
    a signal. degraded: the signals that failed.
    """

    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    degraded: list[Degradation] = field(default_factory=list)


class QueryVectors:
    """Encodes queries, and caches the vectors of words. Thread-safe."""

    def __init__(self, get_encoder: GetEncoder) -> None:
        self._get_encoder = get_encoder
        self._cache: LRUCache[tuple[str, str], np.ndarray] = LRUCache(_CACHED_VECTORS)
        self._lock = threading.Lock()

    def encode(self, request: SearchRequest, system: str, profile: IndexProfile) -> EncodedQuery:
        """The query's vector for each signal that it can be compared with. A signal that fails is named in `degraded`.

        Raises:
            MediaError: the shopper's own photo, video or sound is broken.
        """
        encoded = EncodedQuery(notes=_left_out(request, system, profile))
        if system == "bm25":
            return encoded
        files = _Files(request)
        for name, signal in profile.signals.items():
            if system in SIGNALS and kind_of(name) != system:
                continue
            if not _weighed(request, name):
                continue  # not even encoded
            try:
                encoder = self._encoder(signal.encoder)
                vector, note = self._vector(name, encoder, request, files)
                if note is not None:
                    encoded.notes.append(note)
                if vector is None:
                    continue
                if encoder.version != signal.version:
                    reason = f"the index was encoded by {signal.version}, this process has {encoder.version}"
                    encoded.degraded.append(Degradation(name, reason))
                    continue
                encoded.vectors[name] = vector
            except MediaError:
                raise  # the shopper's own file is broken: say so, instead of answering something else
            except (EncoderError, RuntimeError, MemoryError) as error:
                logger.warning("signal %s left out: %s", name, error)
                encoded.degraded.append(Degradation(name, str(error).split("\n", 1)[0]))
        encoded.notes[:] = [note for note in encoded.notes if not _read_by_another(note, encoded.vectors)]
        return encoded

    def spans(self, profile: IndexProfile) -> dict[str, tuple[float, float]]:
        """The span of each signal's encoder, where it has one."""
        spans = {}
        for name, signal in profile.signals.items():
            with contextlib.suppress(EncoderError):  # such a signal is left out, and `encode` says so
                span = self._encoder(signal.encoder).span
                if span is not None:
                    spans[name] = span
        return spans

    def _encoder(self, spec: str) -> Encoder:
        try:
            return self._get_encoder(spec)
        except UsageError as error:  # the index names an encoder that this process does not know
            raise EncoderError(str(error)) from error

    def _vector(
        self, name: str, encoder: Encoder, request: SearchRequest, files: _Files
    ) -> tuple[np.ndarray | None, Note | None]:
        """(the query's vector for a signal, why its words take no part in it)."""
        signal = SIGNALS[name]
        if "sound" in signal.asked_by and files.sound is not None:
            return encoder.encode_sounds([files.sound])[0], None
        seen: np.ndarray | None = None
        if "picture" in signal.asked_by and files.pictures:
            views = encoder.encode_images(files.pictures)
            seen = views[0] if len(views) == 1 else vectors_module.unit(views.sum(axis=0))
        if "words" not in signal.asked_by or (seen is not None and not signal.blends):
            return seen, None
        words, note = self._words_vector(name, encoder, request)
        return vectors_module.between(seen, words), note

    def _words_vector(
        self, name: str, encoder: Encoder, request: SearchRequest
    ) -> tuple[np.ndarray | None, Note | None]:
        if not analysis.says_something(request.q) or "text" not in encoder.modalities:
            return None, None
        if not documents.reads(name, encoder, request.q):
            return None, Note("untrained_script", name, encoder.name, analysis.script_of(request.q))
        vector = self._cached(encoder, request.q.strip())
        if not vector.any():  # Elasticsearch takes no zero vector for a cosine
            return None, Note("unknown_words", name, encoder.name)
        return vector, None

    def _cached(self, encoder: Encoder, text: str) -> np.ndarray:
        key = (encoder.version, text)
        with self._lock:
            cached = self._cache.get(key)
        if cached is not None:
            return cached
        vector: np.ndarray = encoder.encode_queries([text])[0]
        with self._lock:
            self._cache[key] = vector
        return vector


def _weighed(request: SearchRequest, name: str) -> bool:
    """Whether the weights that a request states, if it does, give any to a signal."""
    return request.weights is None or weighs(request.weights, name)


def _read_by_another(note: Note, vectors: Mapping[str, np.ndarray]) -> bool:
    """Whether a signal does not read a script for which the index has another of its kind; that is no news."""
    if note.kind != "untrained_script":
        return False
    kind = kind_of(note.signal)
    return kind != note.signal or any(kind_of(name) == kind for name in vectors)


def _left_out(request: SearchRequest, system: str, profile: IndexProfile) -> list[Note]:
    """Notes on the query's files that no signal is asked by: a shopper must not take other hits for their answer."""
    notes = []
    looked_at = {
        name
        for name in profile.signals
        if system != "bm25" and (system not in SIGNALS or kind_of(name) == system) and _weighed(request, name)
    }
    for kind, part in (("image", "picture"), ("video", "picture"), ("audio", "sound")):
        if getattr(request, kind) is None:
            continue
        able = [name for name in profile.signals if part in SIGNALS[name].asked_by]
        if not able:
            notes.append(Note("no_vectors", kind))
        elif not looked_at.intersection(able):
            notes.append(Note("not_asked", kind))
    return notes
