"""What a document lacks of the layer: one rule for loading, pushing, marking and reindexing."""

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
        """The document's fingerprint. It changes when the layer may have something to do for the document."""

    def wants(self, name: str) -> bool:
        """Whether the document has anything that this signal, or the tags, can be made of."""

    def fits(self, name: str, state: SignalState) -> bool:
        """Whether the document's input of a signal is the one in `state`. Sends no request."""

    def is_behind_address(self, name: str) -> bool:
        """Whether the input may change while the document stays."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a document lacks. All but `words` name signals of the profile, in its order, and `tags` after them.

    words: whether the words of its fields have to be written.
    encode: signals to be made of their inputs. ask: those of them to be made only if a server says that the file
        changed; their states hold until then.
    restore: signals whose vector is gone while its state holds, so that the vector is restored from its code.
    drop: signals for which the document has no input any more.
    failed: signals that could not be made of this version of the document, and are not tried again.
    """

    words: bool = False
    encode: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    restore: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    def is_noted(self, layer: Layer) -> bool:
        """Whether there is nothing to write: the document lacks nothing, or waits already for what it lacks."""
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

    layer: the document's layer. present: signals whose vector is really in the index, which `_source` does not say.
    anew: whether to try failed signals again, and to check files, which may change while the document does not.

    Files are read where neither the states nor the document's fingerprint say whether the files changed.
    """
    same = layer.source == source.digest and layer.analysis == profile.analysis
    verdicts: dict[str, _Verdict] = {}
    for name in [*profile.signals, TAGS]:
        changing = [other for other in parts_of(name, profile) if verdicts.get(other) in _CHANGING]
        verdicts[name] = _verdict(name, layer, source, profile, name in present, bool(changing), same, anew)

    def names(*of: _Verdict) -> tuple[str, ...]:
        return tuple(name for name, verdict in verdicts.items() if verdict in of)

    return Need(
        words=not same,
        encode=names(_Verdict.ENCODE, _Verdict.ASK),
        ask=names(_Verdict.ASK),
        restore=names(_Verdict.RESTORE),
        drop=names(_Verdict.DROP),
        failed=names(_Verdict.FAILED),
    )


#: Verdicts of a part after which a signal that is made of the part has to be made again.
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
        # The hash is not read: it may be of an older input, whose vector was made before the failure.
        return _Verdict.ENCODE if anew or waits or not same else _Verdict.FAILED
    if state.hash is None or state.encoder != version_of(name, profile):
        return _Verdict.ENCODE
    if parts_of(name, profile):
        # A derived signal has no input of its own that could have changed.
        if changing or state.hash != hash_of(name, layer.states, profile):
            return _Verdict.ENCODE
        return _Verdict.HOLDS if present or name == TAGS else _Verdict.RESTORE
    # A signal that waits has another input than its hash says, and a file may change under the same name. Where only a
    # server knows whether a file changed, enrichment asks the server.
    check = not same or waits or anew
    if check and not source.fits(name, state):
        return _Verdict.ENCODE
    if (anew or waits) and source.is_behind_address(name):
        return _Verdict.ASK if present else _Verdict.ENCODE
    return _Verdict.HOLDS if present else _Verdict.RESTORE
