"""What each signal of a product is made of, and how a change in it is told: hashes and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hybrid import documents
from hybrid.contracts import FUSED, TAGS, Encoder, IndexProfile
from hybrid.encoders.tagger import PREFIX
from hybrid.errors import IndexConflictError, MediaError
from hybrid.fused import PARTS, Fuser
from hybrid.media import is_url, open_image, read_picture
from hybrid.tagging import Tagger

if TYPE_CHECKING:
    from hybrid.media.addresses import Fetcher

#: Pictures of a batch that are fetched and decoded at once.
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Input:
    """What a signal of a product is made of.

    content: what the encoder takes; None where it is what the vector is made of already.
    made: what is noted of it in `hybrid.meta`: its content hash; of a picture behind an address also that address, and
        what its server gave to tell a change by.
    """

    content: Any
    made: dict[str, Any]


def encode(encoder: Encoder, name: str, contents: Sequence[Any]) -> list[np.ndarray | None]:
    """The vectors of what `Inputs.read` gave for a signal; None where the encoder gave none that can be used."""
    vectors = encoder.encode_images(contents) if name == "image" else encoder.encode_texts(contents)
    return [vector if np.isfinite(vector).all() and vector.any() else None for vector in vectors]


class Inputs:
    """Reads the inputs of signals out of a shop's documents."""

    def __init__(self, get_encoder: Callable[[str], Encoder], fetcher: Fetcher, media_root: Path | None = None) -> None:
        self._get_encoder = get_encoder
        self._fetcher = fetcher
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

    def fuser(self, profile: IndexProfile) -> Fuser:
        """What makes the vectors of `fused`; raises as `encoder` does."""
        return cast(Fuser, self.encoder(FUSED, profile))

    def tagger(self, profile: IndexProfile) -> Tagger:
        """What tells the tags of the index; it is loaded at first use, and raises then."""
        assert profile.tags is not None
        return cast(Tagger, self._get_encoder(f"{PREFIX}{profile.tags.version}"))

    def wants(self, name: str, source: Mapping[str, Any], profile: IndexProfile) -> bool:
        """Whether the product has anything for this signal to encode."""
        if name == FUSED:
            return any(self.wants(part, source, profile) for part in PARTS if part in profile.signals)
        if name == TAGS:
            parts = profile.tags.parts if profile.tags else ()
            return any(self.wants(part, source, profile) for part in parts if part in profile.signals)
        if name == "image":
            value = documents.image_value(source, profile.fields)
            return value is not None and (self._fetcher.enabled or not is_url(value))
        encoder = self._get_encoder(profile.signals[name].encoder)
        return bool(documents.text_input(source, profile.fields, encoder))

    def fits(self, name: str, source: Mapping[str, Any], profile: IndexProfile, made: Mapping[str, Any]) -> bool:
        """Whether the product's input is the one that was noted. Asks no server: the same address is the same picture
        here, and only `read` finds out that it changed behind it."""
        if made.get("hash") is None:
            return False
        signal = profile.signals[name]
        if name == "image":
            value = documents.image_value(source, profile.fields) or ""
            if is_url(value):
                return made.get("url") == value and made.get("encoder") == signal.version
            try:
                data = read_picture(value, self._root(profile))
            except MediaError:
                return False
            return bool(made["hash"] == documents.content_hash(signal.version, data))
        text = documents.text_input(source, profile.fields, self._get_encoder(signal.encoder))
        return bool(made["hash"] == documents.content_hash(signal.version, text.encode()))

    def is_behind_address(self, name: str, source: Mapping[str, Any], profile: IndexProfile) -> bool:
        """Whether the input may change while the document stays."""
        return name == "image" and is_url(documents.image_value(source, profile.fields) or "")

    def read(
        self,
        name: str,
        source: Mapping[str, Any],
        profile: IndexProfile,
        encoder: Encoder,
        made: Mapping[str, Any] | None = None,
    ) -> Input:
        """The input of a signal. made: what was noted of the one that the vector is of, if there is one.

        Raises:
            MediaError: the picture cannot be used.
        """
        made = made or {}
        if name != "image":
            text = documents.text_input(source, profile.fields, encoder)
            digest = documents.content_hash(encoder.version, text.encode())
            return Input(text if digest != made.get("hash") else None, {"hash": digest})
        value = documents.image_value(source, profile.fields) or ""
        # What is not so any more must be taken away by name, for a partial update merges objects.
        noted: dict[str, Any] = {key: None for key in ("url", "etag", "modified") if key in made}
        if is_url(value):
            # Not for the vector of another model: that one is to be made anew of the same picture.
            same = made.get("url") == value and made.get("encoder") == encoder.version
            known = made if made.get("hash") and same else {}
            fetched = self._fetcher.fetch(value.strip(), known.get("etag"), known.get("modified"))
            noted = {"url": value, "etag": fetched.etag, "modified": fetched.modified}
            if fetched.data is None:
                return Input(None, {**known, **{key: mark for key, mark in noted.items() if mark}})
            data = fetched.data
        else:
            data = read_picture(value, self._root(profile))
        digest = documents.content_hash(encoder.version, data)
        return Input(open_image(data) if digest != made.get("hash") else None, {"hash": digest, **noted})

    def read_all(
        self,
        name: str,
        wanted: Sequence[tuple[Mapping[str, Any], Mapping[str, Any] | None]],
        profile: IndexProfile,
        encoder: Encoder,
    ) -> list[Input | MediaError]:
        """`read` of many (document, what was noted), in their order; the error in place of what cannot be used."""

        def one(pair: tuple[Mapping[str, Any], Mapping[str, Any] | None]) -> Input | MediaError:
            try:
                return self.read(name, pair[0], profile, encoder, pair[1])
            except MediaError as error:
                return error

        if name != "image" or len(wanted) < 2:
            return [one(pair) for pair in wanted]
        with ThreadPoolExecutor(_AT_ONCE, "hybrid-pictures") as readers:
            return list(readers.map(one, wanted))

    def _root(self, profile: IndexProfile) -> Path | None:
        return self._media_root or (Path(profile.media_root) if profile.media_root else None)
