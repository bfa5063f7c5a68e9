"""A model that a shop trained, loaded into this process: the base class of its kinds."""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from hybrid.contracts import Encoder, GetEncoder
from hybrid.encoders.base import LazyEncoder
from hybrid.errors import EncoderError, ModelVersionError
from hybrid.settings import Settings

#: Gives (the description of a version, its numbers), as hybrid.elastic.stores.models.ModelVersions.get does.
Load = Callable[[], tuple[dict[str, Any], bytes]]
M = TypeVar("M")


class PublishedModel(LazyEncoder[tuple[dict[str, Any], M]], abc.ABC, Generic[M]):
    """A version of a trained model, "KIND:VERSION". Subclasses define how its bytes are read and what it encodes.

    The version is fetched and read once, at first use. A version that cannot be used is not fetched again for
    RETRY_AFTER_S seconds.
    """

    def __init__(
        self,
        name: str,
        load: Load,
        get_encoder: GetEncoder,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """get_encoder: gives the encoder of another spec, for kinds that use other encoders."""
        super().__init__(name, settings, clock)
        self._fetch = load
        self._get_encoder = get_encoder

    @abc.abstractmethod
    def from_bytes(self, about: Mapping[str, Any], data: bytes) -> M:
        """The numbers of a version, ready to run.

        Raises:
            ValueError: the bytes are damaged.
            EncoderError: it uses other encoders than this process has.
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
        """The description that was published beside the numbers.

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
        # A version in the cluster is never changed, so its name is enough.
        return self.name

    def part(self, about: Mapping[str, Any], name: str) -> Encoder:
        """The encoder that it was trained on, by the part of a product.

        Raises:
            EncoderError: this process has another version of it.
        """
        required = about["encoders"][name]
        encoder = self._get_encoder(required["spec"])
        if encoder.version != required["version"]:
            raise EncoderError(
                f"{self.name} was trained on {required['version']}, and this process has {encoder.version}; "
                "give it the same models and settings, or train another version"
            )
        return encoder
