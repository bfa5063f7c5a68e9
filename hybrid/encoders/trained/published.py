"""A model that a shop trained, as a part of this process: what its kinds share."""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from hybrid.contracts import Encoder
from hybrid.encoders.base import LazyEncoder
from hybrid.errors import EncoderError, ModelVersionError
from hybrid.settings import Settings

#: Gives (all that is known of a version, its numbers), as hybrid.elastic.stores.models.ModelVersions.get does.
Load = Callable[[], tuple[dict[str, Any], bytes]]
M = TypeVar("M")


class PublishedModel(LazyEncoder[tuple[dict[str, Any], M]], abc.ABC, Generic[M]):
    """A version of a trained model, "KIND:VERSION". It is fetched and read once, at first use; a version that cannot
    be used is not fetched again for RETRY_AFTER_S seconds. Subclasses say how its bytes are read, and what it encodes.
    """

    def __init__(
        self,
        name: str,
        load: Load,
        get_encoder: Callable[[str], Encoder],
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """get_encoder: the encoder of another spec, for kinds that stand on others."""
        super().__init__(name, settings, clock)
        self._fetch = load
        self._get_encoder = get_encoder

    @abc.abstractmethod
    def from_bytes(self, about: Mapping[str, Any], data: bytes) -> M:
        """The numbers of a version, ready to run.

        Raises:
            ValueError: the bytes are damaged.
            EncoderError: it stands on other encoders than this process has.
        """

    def _load(self) -> tuple[dict[str, Any], M]:
        about, data = self._fetch()
        try:
            return about, self.from_bytes(about, data)
        except ValueError as error:
            kind, _, version = self.name.partition(":")
            raise ModelVersionError.damaged(kind, version, error) from error

    @property
    @abc.abstractmethod
    def dims(self) -> int:
        """Length of a vector."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What was published beside the numbers.

        Raises:
            ModelMissingError: there is no such version.
            EncoderError: it cannot be used here.
        """
        return self.model[0]

    @property
    def trained(self) -> M:
        """The numbers; raises as `about` does."""
        return self.model[1]

    @property
    def version(self) -> str:
        # A version in the cluster is never changed, so that its name is enough.
        return self.name

    def part(self, about: Mapping[str, Any], name: str) -> Encoder:
        """The encoder that it was trained on, by the part that it is of.

        Raises:
            EncoderError: this process has another version of it.
        """
        wanted = about["encoders"][name]
        encoder = self._get_encoder(wanted["spec"])
        if encoder.version != wanted["version"]:
            raise EncoderError(
                f"{self.name} was trained on {wanted['version']}, and this process has {encoder.version}; "
                "give it the same models and settings, or train another version"
            )
        return encoder
