"""Derived signals, and the tags: they are made of other signals' vectors, and have a hash of the parts' hashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hybrid.catalogue import documents
from hybrid.catalogue.layer import NO_STATE, SignalState
from hybrid.contracts import TAGS, IndexProfile
from hybrid.signals import SIGNALS

States = Mapping[str, SignalState]


def parts_of(name: str, profile: IndexProfile) -> tuple[str, ...]:
    """The signals that a signal, or the tags, are made of, in the order of the hash; none for others."""
    if name == TAGS:
        return tuple(sorted(profile.tags.parts)) if profile.tags is not None else ()
    return SIGNALS[name].parts


def version_of(name: str, profile: IndexProfile) -> str | None:
    """The version of the model that makes a signal, or the tags; None where the index does not have the signal."""
    if name == TAGS:
        return profile.tags.version if profile.tags is not None else None
    return profile.signals[name].made_by if name in profile.signals else None


def has_part(part: str, states: States, profile: IndexProfile) -> bool:
    """Whether the states say that a part has a vector by the encoder of the index."""
    state = states.get(part, NO_STATE)
    return part in profile.signals and bool(state.hash) and state.encoder == profile.signals[part].made_by


def combined_hash(version: str, parts: Sequence[str], hashes: Mapping[str, str | None]) -> str:
    """A hash that changes with the model, and with the input of each part. hashes: part -> its content hash or None."""
    return documents.content_hash(version, " ".join(f"{part}:{hashes.get(part) or '-'}" for part in parts).encode())


def hash_of(name: str, states: States, profile: IndexProfile) -> str:
    """The hash of the signal that would be made of the parts by their states."""
    parts, version = parts_of(name, profile), version_of(name, profile)
    hashes = {part: states[part].hash for part in parts if has_part(part, states, profile)}
    return combined_hash(version or "", parts, hashes)
