"""What a copy of a document carries of the layer: words and vectors move along where they would be the same."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from hybrid import vectors as coding
from hybrid.catalogue import documents
from hybrid.contracts import FUSED, MEDIA_SIGNALS, TAGS, VECTOR_SIGNALS, IndexProfile
from hybrid.elastic.client import Capabilities
from hybrid.elastic.indices.copies import Original
from hybrid.elastic.stores.base import now
from hybrid.errors import EncoderError, MediaError
from hybrid.ingest import tagging
from hybrid.ingest.fused import agrees, fuse
from hybrid.ingest.inputs import Inputs, encode, held_at_once

logger = logging.getLogger(__name__)

#: What is made anew, or is taken over piece by piece; the rest of the layer's field moves along as it is.
_MADE = frozenset({"id", "terms", "typed", "codes", "meta", TAGS, *VECTOR_SIGNALS, documents.OUTDATED})


class Copyist:
    """Makes the body of a copy. before, profile: of the index that is read and of the one that is written; None where
    the layer has no part in it. in_haste: words are taken over though they may be those of an older text, and what has
    none is left without; a sync is to follow."""

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
        """Signals of which no original has a vector that its copy could have."""
        if self._profile is None or self._in_haste:
            return frozenset()
        had = {name: signal.version for name, signal in self._before.signals.items()} if self._before else {}
        return frozenset(name for name, signal in self._profile.signals.items() if had.get(name) != signal.version)

    @cached_property
    def _again(self) -> Copyist:
        """Copies what was copied before, from its copy."""
        return Copyist(self._inputs, self._capabilities, self._profile, self._profile)

    def body(self, original: Original, layer: dict[str, Any] | None = None) -> tuple[dict[str, Any], list[str]]:
        """(the whole document, the signals that it waits for). layer: of an earlier copy of it, which has vectors that
        the original has not, of what did not change since."""
        if layer is not None:
            body, waits = self._again.body(replace(original, layer=layer))
            if self.anew.issuperset(waits):
                return body, waits
            other, others = self.body(original)
            return (other, others) if len(others) < len(waits) else (body, waits)
        if self._profile is None or (self._in_haste and not original.layer):
            return original.source, []
        layer = self._layer(original, self._profile)
        return {**original.source, documents.RESERVED: layer}, layer["meta"]["pending"]

    def encode(self, copies: Sequence[tuple[Original, dict[str, Any]]], at_once: int) -> int:
        """Give copies the vectors that they wait for, before they are written; how many copies wait for nothing then.

        What cannot be read or encoded goes on waiting: the sweep that follows says why.

        Raises:
            EncoderError: a model cannot be had.
            IndexConflictError: the model here is of another version than that of the new index.
        """
        if self._profile is None:
            return 0
        waiting = [(original, body[documents.RESERVED]) for original, body in copies if documents.RESERVED in body]
        waiting = [(original, layer) for original, layer in waiting if layer["meta"]["pending"]]
        for name in self._profile.signals:
            todo = [(original, layer) for original, layer in waiting if name in layer["meta"]["pending"]]
            step = min(at_once, held_at_once(name, at_once))
            for start in range(0, len(todo), step):
                self._encode(name, todo[start : start + step], self._profile)
        for _, layer in waiting:
            if TAGS in layer["meta"]["pending"]:
                self._tag(layer, self._profile)
        return sum(not layer["meta"]["pending"] for _, layer in waiting)

    def _tag(self, layer: dict[str, Any], profile: IndexProfile) -> None:
        if profile.tags is None or set(layer["meta"]["pending"]).intersection(profile.tags.parts):
            return
        if profile.tags.looks and TAGS not in layer:
            return  # its pictures were not read here: it goes on waiting for the sweep that follows
        try:
            tagging.put(self._inputs.tagger(profile), layer, layer["codes"], layer["meta"], profile, layer.get(TAGS))
        except EncoderError as error:
            # It goes on waiting: the sweep that follows notes why.
            logger.warning("no tags: %s", error)
        else:
            layer["meta"]["pending"].remove(TAGS)

    def _encode(self, name: str, todo: Sequence[tuple[Original, dict[str, Any]]], profile: IndexProfile) -> None:
        if name == FUSED:
            fuser = self._inputs.fuser(profile)
            for _, layer in todo:
                vector, digest = fuse(fuser, layer["codes"], layer["meta"], profile)
                if vector is not None:
                    self._put(layer, name, vector, {"hash": digest, "encoder": fuser.version})
            return
        encoder = self._inputs.encoder(name, profile)
        found = self._inputs.read_all(name, [(original.source, None) for original, _ in todo], profile, encoder)
        read = [
            (layer, input) for (_, layer), input in zip(todo, found, strict=True) if not isinstance(input, MediaError)
        ]
        if not read:
            return
        vectors = encode(encoder, name, [input.content for _, input in read])
        if name == "image" and profile.tags is not None and profile.tags.looks:
            error = tagging.tell(self._inputs.tagger(profile), [(layer, input.content) for layer, input in read])
            if error is not None:
                logger.warning("no tags: %s", error)
        for (layer, input), made in zip(read, vectors, strict=True):
            if made is None or input.faults:  # goes on waiting: the sweep lists what is wrong with it
                continue
            self._put(layer, name, made.vector, {**input.made, "encoder": encoder.version}, made.views)

    def _put(self, layer: dict[str, Any], name: str, vector: Any, made: Mapping[str, Any], views: Any = None) -> None:
        coding.put_vector(layer, name, vector, made, self._base64, views)
        layer["meta"]["pending"].remove(name)

    def _layer(self, original: Original, profile: IndexProfile) -> dict[str, Any]:
        held = original.layer
        meta: Mapping[str, Any] = held.get("meta") or {}
        digest = documents.fingerprint(original.source, profile)
        before = digest if self._same_digest else self._digest_before(original.source)
        # In step with its own document: what the layer noted of it, and made of it, holds.
        known = before is not None and meta.get("source") == before
        layer: dict[str, Any] = {name: value for name, value in held.items() if name not in _MADE}
        layer |= {"id": original.id, "codes": {}}
        if (known or self._in_haste) and self._same_words and meta.get("analysis") == profile.analysis:
            words, typed = held.get("terms") or {}, held.get("typed")
            if not known:
                digest = str(meta.get("source"))  # so that a sync finds it
        else:
            words = documents.terms_of(original.source, profile)
            typed = documents.typed_of(original.source, profile)
        layer["terms"] = {name: text for name, text in words.items() if text}
        if typed:
            layer["typed"] = typed
        pending: list[str] = []
        noted: dict[str, Any] = {}
        for name in profile.signals:
            if not self._inputs.wants(name, original.source, profile):
                continue
            code = (held.get("codes") or {}).get(name)
            if code is not None and self._holds(name, original, meta, code, known, profile, noted):
                layer[name] = coding.vector_of(code, profile.signals[name].dims, self._base64)
                layer["codes"][name] = code
                noted[name] = dict(meta[name])
            else:
                pending.append(name)
        if self._inputs.wants(TAGS, original.source, profile):
            old = {**noted, TAGS: meta.get(TAGS)}
            if tagging.agrees(old, profile, pending) and TAGS not in (meta.get("pending") or ()):
                layer[TAGS], noted[TAGS] = held.get(TAGS) or [], dict(meta[TAGS])
            else:
                pending.append(TAGS)
        layer["meta"] = {
            "source": digest, "analysis": profile.analysis, "pending": pending, "failed": [], "at": now(),
            "revision": original.revision, **noted,
        }  # fmt: skip
        return layer

    def _digest_before(self, source: Mapping[str, Any]) -> str | None:
        return documents.fingerprint(source, self._before) if self._before is not None else None

    def _holds(
        self, name: str, original: Original, meta: Mapping[str, Any], code: Any, known: bool, profile: IndexProfile,
        noted: Mapping[str, Any],
    ) -> bool:  # fmt: skip
        """Whether the vector that the original has is the one that the copy should have. noted: parts that it has."""
        signal, before = profile.signals[name], self._before
        if before is None or name not in before.signals or name in (meta.get("pending") or ()):
            return False
        state = meta.get(name) or {}
        if state.get("encoder") != signal.version or not state.get("hash") or not coding.code_fits(code, signal.dims):
            return False
        if name == FUSED:
            return agrees(signal.version, state, noted, profile)
        if name in MEDIA_SIGNALS:
            # The file may not lie on this machine; the note of it holds as long as the document names the same.
            if before.signals[name].views != signal.views:
                return False
            most = documents.files_looked_at(profile, name)
            now, then = (
                documents.media_values(original.source, fields, name, most)
                for fields in (profile.fields, before.fields)
            )
            return known and now == then
        return self._inputs.fits(name, original.source, profile, state)


def _reads_alike(one: IndexProfile, other: IndexProfile) -> bool:
    """Whether both make the same words of a document."""
    return (one.fields.roles, one.language, one.analysis) == (other.fields.roles, other.language, other.analysis)
