"""A published model of tags, as a part of this process: loaded at first use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.encoders.picture_tags import Graphs, PictureTags
from hybrid.errors import EncoderError, UsageError
from hybrid.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

    from hybrid.learning.tags import TagModel

#: What a spec begins with; behind it stands the version.
PREFIX = "tags:"
#: The method of a version that looks at pictures; all others tell tags by the vectors in the index.
FINE_TUNED = "fine-tuning"


class PublishedTags:
    """Tags of vectors or of pictures, by a version that is kept in the cluster."""

    def __init__(self, name: str, load: Callable[[], tuple[dict[str, Any], bytes]], settings: Settings) -> None:
        """load: gives what hybrid.elastic.model_versions.ModelVersions.get does."""
        self.name = name
        self._load = load
        self._settings = settings
        self._lock = threading.Lock()
        self._loaded: tuple[dict[str, Any], TagModel | PictureTags] | None = None
        self._graphs: Graphs | None = None

    def _published(self) -> tuple[dict[str, Any], TagModel | PictureTags]:
        with self._lock:
            if self._loaded is None:
                from hybrid.learning.tags import TagModel

                about, data = self._load()
                kind = PictureTags if about["method"] == FINE_TUNED else TagModel
                try:
                    self._loaded = about, kind.from_bytes(data)
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
    def looks(self) -> bool:
        """Whether it tells tags by pictures (`look`), not by vectors (`tags`); raises as they do."""
        return isinstance(self._published()[1], PictureTags)

    @property
    def model(self) -> TagModel | PictureTags:
        return self._published()[1]

    def tags(self, parts: Mapping[str, np.ndarray | None]) -> list[dict[str, Any]]:
        """[{"name", "confidence"}], likeliest first, of those that are sure enough to be written.

        Raises:
            ModelVersionError: there is no such version.
            EncoderError: it is damaged, or the vectors are not those that it was trained on.
        """
        model = self.model
        if isinstance(model, PictureTags):
            raise EncoderError(f"{self.name} tells tags by pictures, not by vectors")
        given = {name: vector[None] for name, vector in parts.items() if vector is not None}
        try:
            (likely,) = model.probabilities(given)
        except UsageError as error:
            raise EncoderError(f"{self.name}: {error}") from error
        return named(model.names, likely, model.calibration.threshold)

    def look(self, pictures: Sequence[Sequence[Image.Image]]) -> list[list[dict[str, Any]]]:
        """The tags, as `tags` gives them, of products by one or several pictures of each.

        Raises:
            ModelVersionError, EncoderError: as `tags`; or no library here can run it.
        """
        model = self.model
        likely = self.likely([picture for own in pictures for picture in own])
        ends = np.cumsum([len(own) for own in pictures])[:-1]
        return [named(model.names, own.mean(axis=0), model.calibration.threshold) for own in np.split(likely, ends)]

    def likely(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """(len(pictures), tags) probabilities; raises as `look` does."""
        model = self.model
        if not isinstance(model, PictureTags):
            raise EncoderError(f"{self.name} tells tags by vectors, not by pictures")
        with self._lock:
            if self._graphs is None:
                self._graphs = model.graphs(self._settings)
        return model.probabilities(self._graphs, pictures)


def named(names: tuple[str, ...], likely: np.ndarray, threshold: float) -> list[dict[str, Any]]:
    """[{"name", "confidence"}] of what is at or above the threshold, likeliest first."""
    order = np.argsort(-likely, kind="stable")
    return [
        {"name": names[row], "confidence": round(float(likely[row]), 4)} for row in order if likely[row] >= threshold
    ]
