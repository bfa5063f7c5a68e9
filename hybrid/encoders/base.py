"""What all encoders share: loading once, on first use, under a lock; the weights' digest as a version."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from hybrid.errors import EncoderError, UsageError
from hybrid.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

log = logging.getLogger(__name__)
#: What takes a while, for people who wait; the command line shows it.
steps = logging.getLogger("hybrid.steps")
Model = TypeVar("Model")

#: Seconds for which a failed load is remembered, so that a web process whose model hub is away answers
#: its next searches at once instead of waiting for the network each time.
RETRY_AFTER_S = 30.0


def is_precise(name: str, argument: str) -> bool:
    """Whether a spec such as `minilm:f32` asks for an encoder in full precision. name: the spec; argument: its end.

    Raises:
        UsageError: another argument.
    """
    if argument not in ("", "f32"):
        plain = name.removesuffix(f":{argument}")
        raise UsageError(f'encoder "{name}": {plain} comes as {plain} or {plain}:f32')
    return bool(argument)


class LazyEncoder(Generic[Model]):
    """Base of the encoders: the Encoder protocol with everything left to override but the loading."""

    modalities: frozenset[str] = frozenset()
    scripts: frozenset[str] | None = None
    span: tuple[float, float] | None = None

    def __init__(self, name: str, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """name: the full spec, as the registry knows it. clock: in seconds. Cheap: nothing is loaded or looked for."""
        self.name = name
        self.settings = settings
        self._clock = clock
        self._lock = threading.RLock()
        self._model: Model | None = None
        self._failure: tuple[float, EncoderError] | None = None

    def _load(self) -> Model:
        """Make the model. Called once at a time; raises EncoderError."""
        raise NotImplementedError

    @property
    def model(self) -> Model:
        """The loaded model, loading it now if need be.

        Raises:
            EncoderError: it cannot be had; one line saying what to do.
        """
        if self._model is None:
            with self._lock:
                if self._model is None:
                    if self._failure and self._clock() - self._failure[0] < RETRY_AFTER_S:
                        remembered = self._failure[1]
                        raise type(remembered)(str(remembered))
                    try:
                        self._model = self._load()
                    except EncoderError as error:
                        self._failure = (self._clock(), error)
                        raise
        return self._model

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), dims) float32, rows of unit length.

        Raises:
            UsageError: this encoder takes no text.
        """
        raise UsageError(f'encoder "{self.name}" takes no text; choose one of modality text')

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), dims) float32, rows of unit length: as other texts, unless the model tells them apart.

        Raises:
            UsageError: this encoder takes no text.
        """
        return self.encode_texts(texts)

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(len(images), dims) float32, rows of unit length. The pictures are RGB.

        Raises:
            UsageError: this encoder takes no pictures.
        """
        raise UsageError(f'encoder "{self.name}" takes no pictures; choose one of modality image')

    def encode_sounds(self, sounds: Sequence[np.ndarray]) -> np.ndarray:
        """(len(sounds), dims) float32, rows of unit length. Each is mono, float32, 16,000 a second.

        Raises:
            UsageError: this encoder takes no sound.
        """
        raise UsageError(f'encoder "{self.name}" takes no sound; choose one of modality audio')


def thread_count(settings: Settings) -> int:
    """Inference threads of this process: the setting, or every core that it may run on."""
    if settings.threads:
        return settings.threads
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def file_digest(path: Path, settings: Settings) -> str:
    """The first 12 hex digits of the file's SHA-256.

    Remembered in data_dir by path, size and modification time: hashing 90 MB takes a good part of a second,
    and every process asks at its start. A data_dir that cannot be written only costs that time.

    Raises:
        EncoderError: the file cannot be read.
    """
    try:
        stat = path.stat()
        key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
        note = settings.data_dir / "models" / "digests.json"
        known = _read_notes(note)
        if key in known:
            return known[key]
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise EncoderError(f"model file {path} cannot be read: {error.strerror}; reinstall its package") from error
    known[key] = digest
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=note.parent, delete=False, suffix=".tmp") as temporary:
            json.dump(known, temporary, indent=1)
        os.replace(temporary.name, note)
    except OSError as error:
        log.debug("digest not remembered: %s", error)
    return digest


def _read_notes(note: Path) -> dict[str, str]:
    try:
        notes = json.loads(note.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(notes, dict):
        return {}
    return {key: value for key, value in notes.items() if isinstance(value, str)}
