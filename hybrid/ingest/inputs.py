"""The inputs of a product's signals, and how changes of them are detected: by hashes and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hybrid.catalogue import documents
from hybrid.catalogue.layer import NO_STATE, SignalState
from hybrid.contracts import TAGS, Encoder, Fuser, GetEncoder, IndexProfile
from hybrid.encoders.trained.tags import PREFIX
from hybrid.errors import IndexConflictError, MediaError
from hybrid.ingest.derived import parts_of
from hybrid.media import is_url, open_image, open_video, read_media, samples
from hybrid.signals import SIGNALS

if TYPE_CHECKING:
    from hybrid.contracts import Tagger
    from hybrid.media.fetching import Fetcher

#: Files of a batch that are fetched and decoded at once.
_AT_ONCE = 4
#: Seconds of a sound that are listened to.
_LISTENED = 30
#: Part of a video's hash: raise it when the choice of frames changes.
_FRAMES = b"frames 1"


@dataclass(frozen=True, slots=True)
class Input:
    """The input of a signal of a product.

    content: the encoder's input: a text, a text with its title, a list of pictures or frames, or a sound; None where
        the vector is of this content already.
    state: the state of the signal, to be stored.
    faults: errors of other pictures of the product, which cannot be used.
    """

    content: Any
    state: SignalState
    faults: tuple[MediaError, ...] = ()


@dataclass(frozen=True, slots=True)
class Titled:
    """A text whose title gets a vector of its own."""

    text: str
    title: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """vector: (dims,); of several pictures or frames, their mean. views: (n, dims) of these, if there are several.
    title: (dims,) of the title alone, if there is one."""

    vector: np.ndarray
    views: np.ndarray | None = None
    title: np.ndarray | None = None


def encode(encoder: Encoder, name: str, contents: Sequence[Any]) -> list[Encoded | None]:
    """The vectors of the contents that `Inputs.read` gave; None where the encoder gave no usable vector."""
    modality = SIGNALS[name].modality
    if modality == "text":
        return _of_texts(encoder, contents)
    if modality == "audio":
        vectors = encoder.encode_sounds(contents)
    else:
        views = encoder.encode_images([view for content in contents for view in content])
        return [_mean(part) for part in np.split(views, np.cumsum([len(content) for content in contents])[:-1])]
    return [Encoded(vector) if _usable(vector) else None for vector in vectors]


def _of_texts(encoder: Encoder, contents: Sequence[str | Titled]) -> list[Encoded | None]:
    titled = [(at, content.title) for at, content in enumerate(contents) if isinstance(content, Titled)]
    texts = [content.text if isinstance(content, Titled) else content for content in contents]
    # Together, so that the encoder makes batches of texts of like length.
    vectors = encoder.encode_texts([*texts, *(title for _, title in titled)])
    titles = {at: vectors[len(texts) + row] for row, (at, _) in enumerate(titled)}
    return [
        Encoded(vectors[at], title=title if (title := titles.get(at)) is not None and _usable(title) else None)
        if _usable(vectors[at])
        else None
        for at in range(len(texts))
    ]


def _mean(views: np.ndarray) -> Encoded | None:
    views = views[[_usable(view) for view in views]]
    if len(views) < 2:
        return Encoded(views[0]) if len(views) else None
    mean = views.sum(axis=0)
    length = float(np.linalg.norm(mean))
    # Opposite views have no mean; one of them says more than nothing.
    return Encoded(mean / length if length > 1e-6 else views[0], views)


def _usable(vector: np.ndarray) -> bool:
    return bool(np.isfinite(vector).all() and vector.any())


class Inputs:
    """Reads the inputs of signals out of a shop's documents."""

    def __init__(self, get_encoder: GetEncoder, fetcher: Fetcher, media_root: Path | None = None) -> None:
        self._get_encoder = get_encoder
        self._fetcher = fetcher
        self._media_root = media_root

    def encoder(self, name: str, profile: IndexProfile) -> Encoder:
        """The encoder of a signal. It has the version by which the vectors of the index are, or are to be.

        Raises:
            IndexConflictError: the encoder here has another version.
        """
        signal = profile.signals[name]
        encoder = self._get_encoder(signal.encoder)
        if encoder.version != signal.version:
            raise IndexConflictError(
                f"the {name} vectors of {profile.index!r} are of {signal.encoder} {signal.version}, and this machine "
                f"has {encoder.version}; give it the same models and settings as the machine that attached or indexed"
            )
        return encoder

    def fuser(self, name: str, profile: IndexProfile) -> Fuser:
        """The model that makes the vectors of a derived signal. Raises as `encoder` does."""
        return cast(Fuser, self.encoder(name, profile))

    def tagger(self, profile: IndexProfile) -> Tagger:
        """The model that predicts the tags of the index. It is loaded at first use, and raises then."""
        assert profile.tags is not None
        return cast("Tagger", self._get_encoder(f"{PREFIX}{profile.tags.version}"))

    def wants(self, name: str, source: Mapping[str, Any], profile: IndexProfile) -> bool:
        """Whether the product has anything for this signal to encode."""
        if name == TAGS or SIGNALS[name].parts:
            parts = parts_of(name, profile)
            return any(self.wants(part, source, profile) for part in parts if part in profile.signals)
        if SIGNALS[name].role is not None:
            values = documents.files_of(source, profile, name)
            return bool(values) and (self._fetcher.enabled or not is_url(values[0]))
        encoder = self._get_encoder(profile.signals[name].encoder)
        return bool(documents.text_input(source, profile.fields, encoder, name))

    def fits(self, name: str, source: Mapping[str, Any], profile: IndexProfile, state: SignalState) -> bool:
        """Whether the product's input is the one in `state`. Sends no request: here, the same address is the same file.
        Only `read` detects a changed file behind an address."""
        if state.hash is None:
            return False
        signal = profile.signals[name]
        if kind := SIGNALS[name].file:
            values = documents.files_of(source, profile, name)
            if _addresses(values):
                return state.url == _addresses(values) and state.encoder == signal.version
            try:
                parts = [read_media(value, self._root(profile), kind) for value in values]
            except MediaError:
                return False
            return state.hash == _hash(kind, signal.version, parts)
        return state.hash == self._text(name, source, profile, self._get_encoder(signal.encoder))[1]

    def _text(
        self, name: str, source: Mapping[str, Any], profile: IndexProfile, encoder: Encoder
    ) -> tuple[str | Titled, str]:
        """(the text of a signal of texts, with its title where that gets a vector of its own; its hash)."""
        signal = profile.signals[name]
        text = documents.text_input(source, profile.fields, encoder, name)
        title = documents.title_input(source, profile.fields, encoder, name, text) if signal.titles else ""
        if not title:
            return text, documents.content_hash(signal.version, text.encode())
        return Titled(text, title), documents.content_hash(signal.version, f"{text}\0{title}".encode())

    def is_behind_address(self, name: str, source: Mapping[str, Any], profile: IndexProfile) -> bool:
        """Whether the input may change while the document stays."""
        return SIGNALS[name].role is not None and bool(_addresses(documents.files_of(source, profile, name)))

    def read(
        self,
        name: str,
        source: Mapping[str, Any],
        profile: IndexProfile,
        encoder: Encoder,
        before: SignalState = NO_STATE,
    ) -> Input:
        """The input of a signal. before: the state of the signal's vector, if there is one.

        Raises:
            MediaError: the file cannot be used; of several pictures, no picture can.
        """
        kind = SIGNALS[name].file
        if kind is None:
            text, digest = self._text(name, source, profile, encoder)
            made_by = profile.signals[name].made_by
            if digest == before.hash:
                return Input(None, replace(before, encoder=made_by))
            return Input(text, SignalState(digest, made_by))
        values = documents.files_of(source, profile, name) or [""]
        addresses = _addresses(values)
        # A vector of another model does not count: it has to be made again of the same file.
        same = before.url == addresses and before.encoder == encoder.version
        known = before if addresses and len(values) == 1 and before.hash and same else NO_STATE
        parts: list[tuple[int, bytes]] = []
        faults: list[MediaError] = []
        etag = modified = None
        for place, value in enumerate(values):
            try:
                if not is_url(value):
                    parts.append((place, read_media(value, self._root(profile), kind)))
                    continue
                fetched = self._fetcher.fetch(value.strip(), known.etag, known.modified)
            except MediaError as error:
                faults.append(named(error, kind))
                continue
            if fetched.data is None:
                etag, modified = fetched.etag or known.etag, fetched.modified or known.modified
                return Input(None, replace(known, etag=etag, modified=modified))
            if len(values) == 1:
                etag, modified = fetched.etag, fetched.modified
            parts.append((place, fetched.data))
        digest = _hash(kind, encoder.version, [data for _, data in parts])
        state = SignalState(digest, encoder.version, addresses, etag, modified)
        if parts and digest == before.hash and not faults:
            return Input(None, replace(state, at=before.at))
        content, at, broken = _opened(kind, parts, profile.signals[name].views)
        faults += broken
        if content is None:
            raise faults[0]
        return Input(content, replace(state, at=tuple(at) or None), tuple(faults))

    def read_all(
        self,
        name: str,
        documents: Sequence[tuple[Mapping[str, Any], SignalState]],
        profile: IndexProfile,
        encoder: Encoder,
    ) -> list[Input | MediaError]:
        """`read` of many documents, in their order; the error in place of an input that cannot be used.

        documents: (document, state before) of each.
        """

        def read(document: tuple[Mapping[str, Any], SignalState]) -> Input | MediaError:
            try:
                return self.read(name, document[0], profile, encoder, document[1])
            except MediaError as error:
                return error

        if SIGNALS[name].file is None or len(documents) < 2:
            return [read(document) for document in documents]
        with ThreadPoolExecutor(_AT_ONCE, "hybrid-media") as readers:
            return list(readers.map(read, documents))

    def of(self, source: Mapping[str, Any], profile: IndexProfile) -> ProductSource:
        """A document, with the methods that `missing` uses."""
        return ProductSource(self, source, profile)

    def _root(self, profile: IndexProfile) -> Path | None:
        return self._media_root or (Path(profile.media_root) if profile.media_root else None)


@dataclass(frozen=True)
class ProductSource:
    """A shop's document, as the signals of an index are made of it."""

    inputs: Inputs
    document: Mapping[str, Any]
    profile: IndexProfile

    @cached_property
    def digest(self) -> str:
        return documents.fingerprint(self.document, self.profile)

    def wants(self, name: str) -> bool:
        return self.inputs.wants(name, self.document, self.profile)

    def fits(self, name: str, state: SignalState) -> bool:
        return self.inputs.fits(name, self.document, self.profile, state)

    def is_behind_address(self, name: str) -> bool:
        return self.inputs.is_behind_address(name, self.document, self.profile)


def read_at_once(name: str, all: int) -> int:
    """Of how many products the inputs of a signal are read at a time: decoded, files are large."""
    return SIGNALS[name].at_once or all


def _addresses(values: Sequence[str]) -> str | None:
    """The addresses of files, as the state has them; None where the files are not behind addresses."""
    return "\n".join(values) if values and is_url(values[0]) else None


def _hash(kind: str, version: str, parts: Sequence[bytes]) -> str:
    if kind == "video":
        parts = [_FRAMES, *parts]
    return documents.content_hash(version, b"\0".join(parts))


def _opened(kind: str, parts: Sequence[tuple[int, bytes]], views: int) -> tuple[Any, Sequence[float], list[MediaError]]:
    """(the encoder's input or None, seconds of frames or places of several pictures, errors of unusable files)."""
    pictures: dict[int, Any] = {}
    faults = []
    for place, data in parts:
        try:
            if kind == "audio":
                return samples(data, _LISTENED), [], []
            if kind == "video":
                return *open_video(data, views), []
            pictures[place] = open_image(data)
        except MediaError as error:
            faults.append(error)
    return list(pictures.values()) or None, list(pictures) if len(parts) > 1 else [], faults


def named(error: MediaError, kind: str) -> MediaError:
    """The same error with a reason that begins with the kind of file."""
    if kind == "image" or not error.reason.startswith("image_"):
        return error
    return MediaError(str(error), f"{kind}_{error.reason.removeprefix('image_')}")
