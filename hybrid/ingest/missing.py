"""What a document lacks of the layer. One rule for whoever asks: loading, pushing, marking, reindexing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from hybrid.catalogue.layer import Layer, SignalState
from hybrid.contracts import TAGS, IndexProfile
from hybrid.ingest.derived import hash_of, parts_of, version_of


class Source(Protocol):
    """The shop's document, as signals are made of it; see hybrid.ingest.inputs.ProductSource."""

    @property
    def digest(self) -> str:
        """Its fingerprint: changes when the layer may have something to do for it."""

    def wants(self, name: str) -> bool:
        """Whether it has anything that this signal, or the tags, can be made of."""

    def fits(self, name: str, state: SignalState) -> bool:
        """Whether its input of a signal is the one that was noted. Asks no server."""

    def is_behind_address(self, name: str) -> bool:
        """Whether the input may change while the document stays."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a document lacks. All but `words` name signals of the profile, in its order, and `tags` behind them.

    words: the words of its fields are to be written.
    encode: to be made of their inputs. ask: those of them that are to be made only if a server says that the file
        changed; what is noted of them holds until then.
    restore: vectors that are gone while what is noted of them holds, so that their codes give them back.
    drop: those that the document gives nothing for any more.
    failed: those that could not be made of this very document, and are not tried again.
    """

    words: bool = False
    encode: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    restore: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    def is_noted(self, layer: Layer) -> bool:
        """Whether there is nothing to write: it lacks nothing, or waits for what it lacks already."""
        return not (self.words or self.restore or self.drop) and set(self.encode) == set(layer.pending)


class _Verdict(Enum):
    HOLDS = "holds"
    ABSENT = "absent"
    ENCODE = "encode"
    ASK = "ask"
    RESTORE = "restore"
    DROP = "drop"
    FAILED = "failed"


def missing(
    layer: Layer, source: Source, profile: IndexProfile, present: Collection[str], *, anew: bool = False
) -> Need:
    """What a document lacks of what the profile says that it should have.

    layer: what is noted of it. present: signals whose vector is really there, which `_source` does not say.
    anew: try again what failed, and look again at files, which may have changed while the document did not.

    Files are read where neither the notes nor the document's fingerprint tell whether they changed.
    """
    same = layer.source == source.digest and layer.analysis == profile.analysis
    verdicts: dict[str, _Verdict] = {}
    for name in [*profile.signals, TAGS]:
        changing = [other for other in parts_of(name, profile) if verdicts.get(other) in _CHANGING]
        verdicts[name] = _verdict(name, layer, source, profile, name in present, bool(changing), same, anew)

    def names(*wanted: _Verdict) -> tuple[str, ...]:
        return tuple(name for name, verdict in verdicts.items() if verdict in wanted)

    return Need(
        words=not same,
        encode=names(_Verdict.ENCODE, _Verdict.ASK),
        ask=names(_Verdict.ASK),
        restore=names(_Verdict.RESTORE),
        drop=names(_Verdict.DROP),
        failed=names(_Verdict.FAILED),
    )


#: What is made of such a part is to be made anew.
_CHANGING = (_Verdict.ENCODE, _Verdict.ASK, _Verdict.DROP)


def _verdict(
    name: str,
    layer: Layer,
    source: Source,
    profile: IndexProfile,
    present: bool,
    changing: bool,
    same: bool,
    anew: bool,
) -> _Verdict:
    state, waits, failed = layer.state(name), name in layer.pending, name in layer.failed
    if not source.wants(name):
        return _Verdict.DROP if present or state.hash or failed else _Verdict.ABSENT
    if failed:
        # Whatever its hash says: that may be of an older input, whose vector was made before the failure.
        return _Verdict.ENCODE if anew or waits or not same else _Verdict.FAILED
    if state.hash is None or state.encoder != version_of(name, profile):
        return _Verdict.ENCODE
    if parts_of(name, profile):
        # No input of its own could have changed.
        if changing or state.hash != hash_of(name, layer.states, profile):
            return _Verdict.ENCODE
        return _Verdict.HOLDS if present or name == TAGS else _Verdict.RESTORE
    # What waits has another input than its hash says, and a file may change under the same name. Where only a server
    # can tell, it is asked by whoever encodes.
    look = not same or waits or anew
    if look and not source.fits(name, state):
        return _Verdict.ENCODE
    if (anew or waits) and source.is_behind_address(name):
        return _Verdict.ASK if present else _Verdict.ENCODE
    return _Verdict.HOLDS if present else _Verdict.RESTORE
