"""What a copy of a document carries of the layer: words and vectors move along where they would be the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybrid import documents
from hybrid.contracts import VECTOR_SIGNALS, IndexProfile
from hybrid.elastic import bodies
from hybrid.elastic.client import Capabilities
from hybrid.elastic.copies import Original
from hybrid.elastic.stores import now
from hybrid.inputs import Inputs

#: What is made anew, or is taken over piece by piece; the rest of the layer's field moves along as it is.
_MADE = frozenset({"id", "terms", "suggest", "codes", "meta", *VECTOR_SIGNALS})


class Copyist:
    """Makes the body of a copy. before, profile: of the index that is read and of the one that is written; None where
    the layer has no part in it."""

    def __init__(
        self,
        inputs: Inputs,
        capabilities: Capabilities,
        before: IndexProfile | None,
        profile: IndexProfile | None,
    ) -> None:
        self._inputs = inputs
        self._base64 = capabilities.base64_vectors
        self._before = before
        self._profile = profile
        self._same_words = before is not None and profile is not None and _reads_alike(before, profile)

    def body(self, original: Original) -> tuple[dict[str, Any], list[str]]:
        """(the whole document, the signals that it waits for)."""
        if self._profile is None:
            return original.source, []
        layer = self._layer(original, self._profile)
        return {**original.source, documents.RESERVED: layer}, layer["meta"]["pending"]

    def _layer(self, original: Original, profile: IndexProfile) -> dict[str, Any]:
        held = original.layer
        meta: Mapping[str, Any] = held.get("meta") or {}
        digest = documents.fingerprint(original.source, profile)
        # In step with its own document: what the layer noted of it, and made of it, holds.
        known = self._before is not None and meta.get("source") == documents.fingerprint(original.source, self._before)
        layer: dict[str, Any] = {name: value for name, value in held.items() if name not in _MADE}
        layer |= {"id": original.id, "codes": {}}
        if known and self._same_words and meta.get("analysis") == profile.analysis:
            words, suggestions = held.get("terms") or {}, held.get("suggest")
        else:
            words = documents.terms_of(original.source, profile)
            suggestions = documents.suggestions_of(original.source, profile)
        layer["terms"] = {name: text for name, text in words.items() if text}
        if suggestions:
            layer["suggest"] = suggestions
        pending: list[str] = []
        noted: dict[str, Any] = {}
        for name in profile.signals:
            if not self._inputs.wants(name, original.source, profile):
                continue
            code = (held.get("codes") or {}).get(name)
            if code is not None and self._holds(name, original, meta, code, known, profile):
                vector = bodies.decode_codes([code], profile.signals[name].dims)[0]
                layer[name] = bodies.encode_vector(vector, self._base64)
                layer["codes"][name] = code
                noted[name] = {"hash": meta[name]["hash"], "encoder": meta[name]["encoder"]}
            else:
                pending.append(name)
        layer["meta"] = {
            "source": digest, "analysis": profile.analysis, "pending": pending, "failed": [], "at": now(),
            "revision": original.revision, **noted,
        }  # fmt: skip
        return layer

    def _holds(
        self, name: str, original: Original, meta: Mapping[str, Any], code: str, known: bool, profile: IndexProfile
    ) -> bool:
        """Whether the vector that the original has is the one that the copy should have."""
        signal, before = profile.signals[name], self._before
        if before is None or name not in before.signals or name in (meta.get("pending") or ()):
            return False
        state = meta.get(name) or {}
        if state.get("encoder") != signal.version or not state.get("hash") or not bodies.code_fits(code, signal.dims):
            return False
        if name == "image":
            # The picture may not lie on this machine; the note of it holds as long as the document names the same.
            value = documents.image_value(original.source, profile.fields)
            return known and value == documents.image_value(original.source, before.fields)
        return bool(state["hash"] == self._inputs.digest(name, original.source, profile))


def _reads_alike(one: IndexProfile, other: IndexProfile) -> bool:
    """Whether both make the same words of a document."""
    return (one.fields.roles, one.language, one.analysis) == (other.fields.roles, other.language, other.analysis)
