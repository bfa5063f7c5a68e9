"""Marks documents with what they wait for: the layer's words are written, and the vectors to make are listed.

Whoever finds a document (a scan, a list of changes, a push) hands it over here; what is written is a partial
update of the layer's own field, which fails where the document changed since it was read. The shop's fields are
not in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybrid import vectors as coding
from hybrid.catalogue import documents
from hybrid.contracts import FUSED, MEDIA_SIGNALS, TAGS, IndexProfile
from hybrid.elastic.client import Capabilities
from hybrid.elastic.indices import products
from hybrid.elastic.indices.products import ItemError, StoredProduct
from hybrid.elastic.stores.base import now
from hybrid.ingest import tagging
from hybrid.ingest.fused import PARTS, agrees
from hybrid.ingest.inputs import Inputs


@dataclass
class Marked:
    """What marking a batch did.

    current: those with nothing to do. waiting: ids that wait for a vector. changed: ids that somebody else wrote
    meanwhile; they come back as changes. restored: vectors put back without encoding.
    """

    current: int = 0
    written: int = 0
    restored: int = 0
    waiting: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    refused: list[ItemError] = field(default_factory=list)


@dataclass
class _Need:
    """What one product lacks: signals to encode, to restore from their codes, to take away.

    asked: those to encode only if the picture changed behind its address, which whoever encodes asks its server.
    """

    words: bool
    pending: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


class Marker:
    """Finds what products lack, and writes it down on them."""

    def __init__(self, client: Any, capabilities: Capabilities, inputs: Inputs) -> None:
        self._client = client
        self._capabilities = capabilities
        self._inputs = inputs

    def mark(self, profile: IndexProfile, batch: Sequence[StoredProduct], retry: bool = False) -> Marked:
        """Mark these products. retry: also try again what failed, and look at pictures anew.

        Raises:
            ClusterError, WriteBlockedError: the cluster takes no writes; what was written stays.
        """
        marked = Marked()
        todo: list[tuple[StoredProduct, str, _Need]] = []
        for product in batch:
            if product.foreign:
                message = "its field `hybrid` is not the layer's; rename the field"
                marked.refused.append(ItemError(product.id, "reserved_field", message, 400))
                continue
            digest = documents.fingerprint(product.source, profile)
            need = self._need(product, digest, profile, retry)
            if need is not None:
                todo.append((product, digest, need))
            elif product.meta.get("pending"):
                marked.waiting.append(product.id)
            else:
                marked.current += 1
        vectors = self._restorable([(product, need) for product, _, need in todo if need.lost], profile)
        updates = []
        waiting = set()
        for product, digest, need in todo:
            kept = vectors.get(product.id, {})
            need.pending += [name for name in need.lost if name not in kept]
            marked.restored += len(kept)
            updates.append((product, {"hybrid": self._layer(product, digest, need, kept, profile)}))
            if need.pending:
                waiting.add(product.id)
        report = products.update_documents(self._client, updates, profile.index)
        marked.written = len(report.ok)
        marked.waiting += [id for id in report.ok if id in waiting]
        marked.changed = [error.id for error in report.errors if error.reason in ("conflict", "deleted")]
        marked.refused += [error for error in report.errors if error.reason not in ("conflict", "deleted")]
        return marked

    def _need(self, product: StoredProduct, digest: str, profile: IndexProfile, retry: bool) -> _Need | None:
        """None where the product has all that it should have, or waits for it already."""
        meta = product.meta
        same = meta.get("source") == digest and meta.get("analysis") == profile.analysis
        need = _Need(words=not same)
        before = set(meta.get("pending") or ())
        for name, signal in profile.signals.items():
            state: Mapping[str, Any] = meta.get(name) or {}
            here = product.present is not None and name in product.present
            if not self._inputs.wants(name, product.source, profile):
                if here or state.get("hash"):
                    need.gone.append(name)
                continue
            if name in (meta.get("failed") or ()) and same:
                # Not by its hash: that may be of an older input, whose vector was made before the failure.
                (need.pending if retry else need.failed).append(name)
                continue
            fits = state.get("encoder") == signal.version and state.get("hash") is not None
            # What waits has another input than its hash says; a picture may change under the same name.
            if name == FUSED:
                # Of parts that fit and are noted as they are; no input of its own could have changed.
                changing = {*need.pending, *need.gone}.intersection(PARTS)
                fits = fits and not changing and agrees(signal.version, state, meta, profile)
            elif fits and (not same or name in before or (retry and name in MEDIA_SIGNALS)):
                fits = self._inputs.fits(name, product.source, profile, state)
            if fits and here and retry and self._inputs.is_behind_address(name, product.source, profile):
                need.pending.append(name)
                need.asked.append(name)
            elif not fits:
                need.pending.append(name)
            elif not here:
                need.lost.append(name)
        if not self._inputs.wants(TAGS, product.source, profile):  # nor where the index has no tags any more
            if (meta.get(TAGS) or {}).get("hash") or TAGS in (meta.get("failed") or ()):
                need.gone.append(TAGS)
        elif TAGS in (meta.get("failed") or ()) and same:
            (need.pending if retry else need.failed).append(TAGS)
        elif not tagging.agrees(meta, profile, {*need.pending, *need.gone}):
            need.pending.append(TAGS)
        if same and not need.gone and not need.lost and set(need.pending) == before:
            return None
        return need

    def _restorable(
        self, lost: Sequence[tuple[StoredProduct, _Need]], profile: IndexProfile
    ) -> dict[str, dict[str, str]]:
        """id -> signal -> code, of vectors that a whole-document write dropped while their codes stayed.

        The code is the vector in float16, made of the same text by the same encoder (the hashes say so).
        """
        found = products.codes(self._client, profile.index, [product.id for product, _ in lost])
        kept: dict[str, dict[str, str]] = {}
        for product, need in lost:
            seq_no, codes = found.get(product.id, (-1, {}))
            if seq_no != product.seq_no:
                continue  # changed meanwhile: the guarded write will say so
            whole = {name for name in need.lost if coding.code_fits(codes.get(name), profile.signals[name].dims)}
            if whole:
                kept[product.id] = {name: codes[name] for name in whole}
        return kept

    def _layer(
        self, product: StoredProduct, digest: str, need: _Need, kept: Mapping[str, str], profile: IndexProfile
    ) -> dict[str, Any]:
        failed = [name for name in product.meta.get("failed") or () if name in need.pending]
        meta: dict[str, Any] = {
            "source": digest, "analysis": profile.analysis, "pending": need.pending,
            "failed": [*need.failed, *failed],  # so that a success now removes its dead letter
            "at": now(),
        }  # fmt: skip
        layer: dict[str, Any] = {"meta": meta}
        if need.words:
            layer["id"] = product.id
            terms: dict[str, str | None] = dict(documents.terms_of(product.source, profile))
            typed = documents.typed_of(product.source, profile)
            if product.meta:
                # A partial update merges objects: what is no more must be taken away by name.
                terms = {name: terms.get(name) for name in documents.TERM_FIELDS}
                layer["typed"] = typed
                if product.meta.get("analysis") != profile.analysis:
                    layer[documents.OUTDATED] = None
            elif typed:
                layer["typed"] = typed
            layer["terms"] = terms
        for name in {*need.pending, *need.gone}.difference(need.asked):
            meta[name] = {"hash": None, "encoder": None}
        if TAGS in need.gone:
            meta[TAGS]["told"] = None
        for name, code in kept.items():
            layer[name] = coding.vector_of(code, profile.signals[name].dims, self._capabilities.base64_vectors)
        for name in need.gone:
            layer[name] = None
            layer.setdefault("codes", {})[name] = None
        return layer
