"""Copies of documents in a reindex: words and vectors of the old index are reused where they would be the same."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from hybrid import vectors as coding
from hybrid.catalogue import documents
from hybrid.catalogue.layer import NO_STATE, Layer, SignalState
from hybrid.contracts import TAGS, IndexProfile
from hybrid.elastic.client import Capabilities
from hybrid.elastic.indices.copies import Original
from hybrid.elastic.stores.base import now
from hybrid.errors import EncoderError, MediaError
from hybrid.ingest.derived import parts_of
from hybrid.ingest.fused import fuse
from hybrid.ingest.inputs import Encoded, Inputs, ProductSource, encode, read_at_once
from hybrid.ingest.missing import missing
from hybrid.ingest.tagging import tags_of
from hybrid.signals import SIGNALS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Copy:
    """A document, and the layer of its copy; None for a copy without a layer."""

    original: Original
    layer: Layer | None = None

    @property
    def pending(self) -> tuple[str, ...]:
        """Signals that the copy waits for."""
        return self.layer.pending if self.layer is not None else ()

    @property
    def body(self) -> dict[str, Any]:
        """The whole document to write."""
        if self.layer is None:
            return self.original.source
        return {**self.original.source, documents.RESERVED: self.layer.to_json()}


@dataclass(frozen=True)
class _Moved(ProductSource):
    """A document as the new index reads it. before: the profile of the old index. noted: the fingerprint in the old
    index. alike: whether both indices compute the same fingerprint."""

    before: IndexProfile | None
    noted: str | None
    alike: bool

    @cached_property
    def known(self) -> bool:
        """Whether the old index's layer was made from this very document, so that its words and vectors are valid."""
        if self.before is None:
            return False
        return self.noted == (self.digest if self.alike else documents.fingerprint(self.document, self.before))

    def fits(self, name: str, state: SignalState) -> bool:
        if SIGNALS[name].role is None:
            return super().fits(name, state)
        # The file may not be on this machine. Its state is valid as long as the document names the same file.
        if self.before is None or not self.known:
            return False
        if self.before.signals[name].views != self.profile.signals[name].views:
            return False
        now, then = (documents.files_of(self.document, profile, name) for profile in (self.profile, self.before))
        return now == then


class Copyist:
    """Makes copies. before, profile: profiles of the old and of the new index; None for an index without the layer.
    in_haste: copies take the old words, even if these are of an older text, and documents without words get none. A
    sync must follow."""

    def __init__(
        self,
        inputs: Inputs,
        capabilities: Capabilities,
        before: IndexProfile | None,
        profile: IndexProfile | None,
        in_haste: bool = False,
    ) -> None:
        self._in_haste = in_haste
        self._inputs = inputs
        self._capabilities = capabilities
        self._base64 = capabilities.base64_vectors
        self._before = before
        self._profile = profile
        self._same_words = before is not None and profile is not None and _reads_alike(before, profile)
        self._same_digest = (
            self._same_words
            and before is not None
            and profile is not None
            and before.attached
            and profile.attached
            and before.fields == profile.fields
        )

    @cached_property
    def anew(self) -> frozenset[str]:
        """Signals that must be encoded anew, because the old index has no vectors of their version."""
        if self._profile is None or self._in_haste:
            return frozenset()
        had = {name: signal.made_by for name, signal in self._before.signals.items()} if self._before else {}
        return frozenset(name for name, signal in self._profile.signals.items() if had.get(name) != signal.made_by)

    @cached_property
    def _again(self) -> Copyist:
        """Copies a document that was copied before, from its earlier copy."""
        return Copyist(self._inputs, self._capabilities, self._profile, self._profile)

    def copy(self, original: Original, earlier: Layer | None = None) -> Copy:
        """The copy of a document. earlier: the layer of an earlier copy, which has vectors that the original lacks;
        these are valid where the document did not change since."""
        if earlier is not None:
            again = self._again.copy(replace(original, layer=earlier))
            if self.anew.issuperset(again.pending):
                return again
            other = self.copy(original)
            return other if len(other.pending) < len(again.pending) else again
        if self._profile is None or (self._in_haste and not original.layer.id):
            return Copy(original)
        return Copy(original, self._layer(original, self._profile))

    def encode(self, copies: Sequence[Copy], at_once: int) -> list[Copy]:
        """The same copies, with the vectors that they wait for, before they are written.

        A copy whose input cannot be read or encoded goes on waiting. The later sweep reports why.

        Raises:
            EncoderError: a model cannot be had.
            IndexConflictError: the model here is of another version than that of the new index.
        """
        if self._profile is None:
            return list(copies)
        done = list(copies)
        looks: dict[int, list[dict[str, Any]]] = {}
        for name in self._profile.signals:
            todo = [place for place, copy in enumerate(done) if name in copy.pending]
            step = min(at_once, read_at_once(name, at_once))
            for start in range(0, len(todo), step):
                places = todo[start : start + step]
                if parts_of(name, self._profile):
                    layers = self._fused(name, [done[place] for place in places], self._profile)
                else:
                    layers, seen = self._encoded(name, [done[place] for place in places], self._profile)
                    looks |= {places[number]: tags for number, tags in seen.items()}
                for place, layer in zip(places, layers, strict=True):
                    done[place] = replace(done[place], layer=layer)
        return [self._tagged(copy, looks.get(place), self._profile) for place, copy in enumerate(done)]

    def _tagged(self, copy: Copy, seen: list[dict[str, Any]] | None, profile: IndexProfile) -> Copy:
        layer = copy.layer
        if layer is None or TAGS not in layer.pending or profile.tags is None:
            return copy
        # A copy whose pictures are needed and were not read here waits for the later sweep.
        if set(layer.pending).intersection(profile.tags.parts) or (profile.tags.reads_pictures and seen is None):
            return copy
        try:
            tagger = self._inputs.tagger(profile)
            return replace(
                copy, layer=layer.with_tags(*tags_of(tagger, layer.codes or {}, layer.states, profile, seen))
            )
        except EncoderError as error:
            # The copy goes on waiting. The later sweep reports why.
            logger.warning("no tags: %s", error)
            return copy

    def _fused(self, name: str, copies: Sequence[Copy], profile: IndexProfile) -> list[Layer]:
        fuser = self._inputs.fuser(name, profile)
        layers = []
        for layer in _layers(copies):
            vector, digest = fuse(name, fuser, layer.codes or {}, layer.states, profile)
            state = SignalState(digest, fuser.version)
            layers.append(layer if vector is None else self._with(layer, name, Encoded(vector), state))
        return layers

    def _encoded(
        self, name: str, copies: Sequence[Copy], profile: IndexProfile
    ) -> tuple[list[Layer], dict[int, list[dict[str, Any]]]]:
        """(layers of these copies; place -> tags predicted from the pictures, as these were read anyway)."""
        encoder = self._inputs.encoder(name, profile)
        inputs = self._inputs.read_all(name, [(copy.original.source, NO_STATE) for copy in copies], profile, encoder)
        read = {place: input for place, input in enumerate(inputs) if not isinstance(input, MediaError)}
        layers = _layers(copies)
        if not read:
            return layers, {}
        contents = [input.content for input in read.values()]
        vectors = encode(encoder, name, contents)
        seen: dict[int, list[dict[str, Any]]] = {}
        if profile.tags is not None and profile.tags.reads_pictures and name in profile.tags.parts:
            try:
                seen = dict(zip(read, self._inputs.tagger(profile).look(contents), strict=True))
            except EncoderError as error:
                logger.warning("no tags: %s", error)
        for (place, input), encoded in zip(read.items(), vectors, strict=True):
            if encoded is not None and not input.faults:  # else the copy waits for the sweep, which lists the fault
                layers[place] = self._with(layers[place], name, encoded, input.state)
        return layers, seen

    def _with(self, layer: Layer, name: str, encoded: Encoded, state: SignalState) -> Layer:
        vector = coding.encode_vector(encoded.vector, self._base64)
        return layer.with_vector(name, vector, coding.encode_code(encoded.vector, encoded.views, encoded.title), state)

    def _layer(self, original: Original, profile: IndexProfile) -> Layer:
        old_layer = original.layer
        source = _Moved(self._inputs, original.source, profile, self._before, old_layer.source, self._same_digest)
        digest = source.digest
        if (source.known or self._in_haste) and self._same_words and old_layer.analysis == profile.analysis:
            terms, typed = old_layer.terms or {}, old_layer.typed
            if not source.known:
                digest = str(old_layer.source)  # so that a sync finds it
        else:
            terms, typed = documents.terms_of(original.source, profile), documents.typed_of(original.source, profile)
        settled = [name for name in old_layer.states if name not in (*old_layer.pending, *old_layer.failed)]
        codes = {name: code for name in settled if (code := self._code(name, old_layer, profile)) is not None}
        # The states of the old index count only for settled signals that have a vector. `source` is None, so that
        # every state is compared: none was made from a fingerprint of the new index.
        noted = replace(old_layer.only([name for name in settled if name in codes or name == TAGS]), source=None)
        need = missing(replace(noted, pending=(), failed=()), source, profile, codes.keys())
        moving = [name for name in noted.states if name not in (*need.encode, *need.drop)]
        return Layer(
            id=original.id,
            source=digest,
            analysis=profile.analysis,
            pending=need.encode,
            at=now(),
            revision=original.revision,
            states=old_layer.only(moving).states,
            terms={name: text for name, text in terms.items() if text},
            typed=typed or None,
            vectors={
                name: coding.vector_of(code, profile.signals[name].dims, self._base64)
                for name, code in codes.items()
                if name in moving
            },
            codes={name: code for name, code in codes.items() if name in moving},
            tags=old_layer.tags or () if TAGS in moving else None,
            others={name: value for name, value in old_layer.others.items() if name != documents.OUTDATED},
        )

    def _code(self, name: str, old_layer: Layer, profile: IndexProfile) -> coding.Code | None:
        """The code of a vector of the old index, if it fits the new one."""
        if self._before is None or name not in self._before.signals or name not in profile.signals:
            return None
        code = (old_layer.codes or {}).get(name)
        return code if coding.code_fits(code, profile.signals[name].dims) else None


def _layers(copies: Sequence[Copy]) -> list[Layer]:
    return [copy.layer for copy in copies if copy.layer is not None]


def _reads_alike(one: IndexProfile, other: IndexProfile) -> bool:
    """Whether both profiles give the same words of a document."""
    if (one.language, one.analysis) != (other.language, other.analysis):
        return False
    return (one.fields.roles, one.fields.languages) == (other.fields.roles, other.fields.languages)
