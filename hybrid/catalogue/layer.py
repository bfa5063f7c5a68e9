"""The layer's part of a document: the field `hybrid`, with the stored state of each signal. Plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from hybrid.contracts import TAGS
from hybrid.signals import SIGNALS
from hybrid.vectors import Code

#: The keys of `hybrid.meta` that are not the state of a signal.
_OWN_NOTES = frozenset({"source", "analysis", "pending", "failed", "at", "revision"})


@dataclass(frozen=True, slots=True)
class SignalState:
    """The stored state of a signal of a document, in `hybrid.meta.NAME`.

    hash: of the input of the vector and the encoder's version; None while no stored vector is known to fit the input.
    encoder: the version of the encoder.
    url, etag, modified: of a file behind an address: the address, and the validators that its server sent.
    at: the seconds of a video's frames, or the numbers of the pictures that were encoded.
    told: of tags: the tags that were predicted from the pictures, so that the pictures need no second prediction.
    """

    hash: str | None = None
    encoder: str | None = None
    url: str | None = None
    etag: str | None = None
    modified: str | None = None
    at: tuple[float, ...] | None = None
    told: tuple[Mapping[str, Any], ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The state as it is stored in the document, without the values that are None."""
        return {name: _plain(value) for name in _STATE if (value := getattr(self, name)) is not None}

    @classmethod
    def from_json(cls, data: object) -> SignalState:
        """The state of a document's JSON. Null counts as absent, as in Elasticsearch."""
        noted: dict[str, Any] = dict(data) if isinstance(data, Mapping) else {}
        return cls(**{name: _frozen(noted[name]) for name in _STATE if name in noted})

    def change(self, before: SignalState) -> dict[str, Any]:
        """The partial update from `before` to this. Elasticsearch merges objects, so a removed value is null in it."""
        gone = {name: None for name in before.to_json() if getattr(self, name) is None}
        return {**gone, **self.to_json()}


_STATE = tuple(entry.name for entry in fields(SignalState))
#: The state of a signal of which nothing is stored.
NO_STATE = SignalState()


@dataclass(frozen=True, slots=True)
class Layer:
    """The field `hybrid` of a document. A part that is absent, or was not read, is None or empty.

    source, analysis: the fingerprint of the document, and the version of the analysis, when it was last processed.
    pending: the signals, or `tags`, that are still to be made. failed: the signals, or `tags`, that could not be made;
    the list of failures has the reasons. at: when the layer wrote last. revision: of a copied document, the revision
    that was copied. states: the stored state of each signal, and of the tags.
    vectors: in the form of the cluster; codes: the form that true scores are computed from. others: all other keys.
    """

    id: str | None = None
    source: str | None = None
    analysis: str | None = None
    pending: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    at: str | None = None
    revision: Mapping[str, int] | None = None
    states: Mapping[str, SignalState] = field(default_factory=dict)
    terms: Mapping[str, str] | None = None
    typed: str | None = None
    vectors: Mapping[str, str | list[float]] = field(default_factory=dict)
    codes: Mapping[str, Code] | None = None
    tags: tuple[Mapping[str, Any], ...] | None = None
    others: Mapping[str, Any] = field(default_factory=dict)

    @property
    def noted(self) -> bool:
        """Whether the layer ever processed the document."""
        return bool(self._meta())

    def state(self, name: str) -> SignalState:
        """The stored state of a signal."""
        return self.states.get(name, NO_STATE)

    def only(self, names: Iterable[str]) -> Layer:
        """The same with the states of these signals alone."""
        return replace(self, states={name: self.states[name] for name in names if name in self.states})

    def with_vector(self, name: str, vector: str | list[float], code: Code, state: SignalState) -> Layer:
        """The same with the vector of a signal, which is pending no longer."""
        return replace(
            self,
            vectors={**self.vectors, name: vector},
            codes={**(self.codes or {}), name: code},
            states={**self.states, name: state},
            pending=tuple(other for other in self.pending if other != name),
        )

    def with_tags(self, tags: Iterable[Mapping[str, Any]], state: SignalState) -> Layer:
        """The same with tags, which are pending no longer."""
        pending = tuple(other for other in self.pending if other != TAGS)
        return replace(self, tags=tuple(tags), states={**self.states, TAGS: state}, pending=pending)

    def to_json(self) -> dict[str, Any]:
        """The field as it is stored in a document."""
        meta = self._meta()
        own = {
            "id": self.id,
            "terms": None if self.terms is None else dict(self.terms),
            "typed": self.typed,
            "codes": None if self.codes is None else dict(self.codes),
            TAGS: None if self.tags is None else list(self.tags),
            "meta": meta or None,
        }
        present = {name: value for name, value in own.items() if value is not None}
        return {**self.others, **present, **self.vectors}

    @classmethod
    def from_json(cls, data: object) -> Layer:
        """The layer of a document's field, or of a part of that field.

        Null counts as absent. A value of a type that the layer does not write counts as absent as well: a shop's
        program may have written it.
        """
        if not isinstance(data, Mapping):
            return cls()
        meta = _object(data.get("meta")) or {}
        codes, terms = _object(data.get("codes")), _object(data.get("terms"))
        tags, revision = data.get(TAGS), _object(meta.get("revision"))
        return cls(
            id=_text(data.get("id")),
            source=_text(meta.get("source")),
            analysis=_text(meta.get("analysis")),
            pending=_names(meta.get("pending")),
            failed=_names(meta.get("failed")),
            at=_text(meta.get("at")),
            revision=revision,
            states={
                name: SignalState.from_json(state)
                for name, state in meta.items()
                if name not in _OWN_NOTES and _object(state)
            },
            terms=terms,
            typed=_text(data.get("typed")),
            vectors={name: data[name] for name in SIGNALS if data.get(name) is not None},
            codes=codes,
            tags=tuple(tags) if isinstance(tags, list) else None,
            others={
                name: value
                for name, value in data.items()
                if value is not None and name not in _OWN and name not in SIGNALS
            },
        )

    def _meta(self) -> dict[str, Any]:
        states = {name: noted for name, state in self.states.items() if (noted := state.to_json())}
        if not (states or self.pending or self.failed or self.source or self.analysis or self.at):
            return {} if self.revision is None else {"revision": dict(self.revision)}
        meta = {
            "source": self.source,
            "analysis": self.analysis,
            "pending": list(self.pending),
            "failed": list(self.failed),
            "at": self.at,
            "revision": None if self.revision is None else dict(self.revision),
        }
        return {**{name: value for name, value in meta.items() if value is not None}, **states}


#: The keys that a `Layer` has an attribute for, beside the vectors.
_OWN = frozenset({"id", "terms", "typed", "codes", TAGS, "meta"})


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _object(value: object) -> dict[str, Any] | None:
    """An object without its nulls."""
    if not isinstance(value, Mapping):
        return None
    return {name: item for name, item in value.items() if item is not None}


def _names(value: object) -> tuple[str, ...]:
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list) else ()
