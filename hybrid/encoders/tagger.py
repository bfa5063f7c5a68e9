"""A published model of tags, as a part of this process: loaded at first use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.errors import EncoderError, UsageError

if TYPE_CHECKING:
    from hybrid.learning.tags import TagModel

#: What a spec begins with; behind it stands the version.
PREFIX = "tags:"


class PublishedTags:
    """Tags of vectors, by a version that is kept in the cluster."""

    def __init__(self, name: str, load: Callable[[], tuple[dict[str, Any], bytes]]) -> None:
        """load: gives what hybrid.elastic.model_versions.ModelVersions.get does."""
        self.name = name
        self._load = load
        self._lock = threading.Lock()
        self._loaded: tuple[dict[str, Any], TagModel] | None = None

    def _published(self) -> tuple[dict[str, Any], TagModel]:
        with self._lock:
            if self._loaded is None:
                from hybrid.learning.tags import TagModel

                about, data = self._load()
                try:
                    self._loaded = about, TagModel.from_bytes(data)
                except ValueError as error:
                    raise EncoderError(f"{self.name} is damaged ({error}); train tags anew") from error
            return self._loaded

    @property
    def version(self) -> str:
        # A version in the cluster is never changed, so that its name is enough.
        return self.name.removeprefix(PREFIX)

    @property
    def encoders(self) -> Mapping[str, Mapping[str, str]]:
        """part -> {"spec", "version"} of the encoder whose vectors it was trained on; raises as `tags` does."""
        found: Mapping[str, Mapping[str, str]] = self._published()[0]["encoders"]
        return found

    @property
    def model(self) -> TagModel:
        return self._published()[1]

    def tags(self, parts: Mapping[str, np.ndarray | None]) -> list[dict[str, Any]]:
        """[{"name", "confidence"}], likeliest first, of those that are sure enough to be written.

        Raises:
            ModelVersionError: there is no such version.
            EncoderError: it is damaged, or the vectors are not those that it was trained on.
        """
        model = self.model
        given = {name: vector[None] for name, vector in parts.items() if vector is not None}
        try:
            (likely,) = model.probabilities(given)
        except UsageError as error:
            raise EncoderError(f"{self.name}: {error}") from error
        return named(model.names, likely, model.threshold)


def named(names: tuple[str, ...], likely: np.ndarray, threshold: float) -> list[dict[str, Any]]:
    """[{"name", "confidence"}] of what is at or above the threshold, likeliest first."""
    order = np.argsort(-likely, kind="stable")
    return [
        {"name": names[row], "confidence": round(float(likely[row]), 4)} for row in order if likely[row] >= threshold
    ]
