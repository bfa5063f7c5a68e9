"""Marks documents: writes the layer's words, and the list of signals that the document waits for.

The callers are a scan, a list of changes and a push. The marker writes a partial update of the layer's own field, which
fails where the document changed since it was read. The shop's fields are not in the update.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybrid import vectors as coding
from hybrid.catalogue import documents
from hybrid.catalogue.documents import RESERVED
from hybrid.contracts import TAGS, IndexProfile
from hybrid.elastic.client import Capabilities
from hybrid.elastic.indices.products import ItemError, Products, StoredProduct
from hybrid.elastic.stores.base import now
from hybrid.ingest.inputs import Inputs, ProductSource
from hybrid.ingest.missing import Need, missing


@dataclass
class Marked:
    """The result of marking a batch.

    current: how many products lack nothing. waiting: ids that wait for a vector. changed: ids of products that another
    process wrote meanwhile; the next sync reads them as changes. restored: vectors restored without encoding.
    """

    current: int = 0
    written: int = 0
    restored: int = 0
    waiting: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    refused: list[ItemError] = field(default_factory=list)


class Marker:
    """Finds what products lack, and writes it into their field `hybrid`."""

    def __init__(self, products: Products, capabilities: Capabilities, inputs: Inputs) -> None:
        self._products = products
        self._capabilities = capabilities
        self._inputs = inputs

    def mark(self, profile: IndexProfile, batch: Sequence[StoredProduct], retry: bool = False) -> Marked:
        """Mark these products. retry: also try again what failed, and look at pictures anew.

        Raises:
            ClusterError, WriteBlockedError: the cluster takes no writes; what was written stays.
        """
        marked = Marked()
        todo: list[tuple[StoredProduct, ProductSource, Need]] = []
        for product in batch:
            if product.foreign:
                message = "its field `hybrid` is not the layer's; rename the field"
                marked.refused.append(ItemError(product.id, "reserved_field", message, 400))
                continue
            source = self._inputs.of(product.source, profile)
            need = missing(product.layer, source, profile, product.present or frozenset(), anew=retry)
            if not need.is_noted(product.layer):
                todo.append((product, source, need))
            elif product.layer.pending:
                marked.waiting.append(product.id)
            else:
                marked.current += 1
        codes = self._restorable([(product, need) for product, _, need in todo if need.restore], profile)
        updates = []
        waiting = set()
        for product, source, need in todo:
            restored = codes.get(product.id, {})
            pending = [*need.encode, *(name for name in need.restore if name not in restored)]
            marked.restored += len(restored)
            updates.append((product, {RESERVED: self._update(product, source, need, pending, restored, profile)}))
            if pending:
                waiting.add(product.id)
        report = self._products.update_documents(updates, profile.index)
        marked.written = len(report.ok)
        marked.waiting += [id for id in report.ok if id in waiting]
        marked.changed = [error.id for error in report.errors if error.reason in ("conflict", "deleted")]
        marked.refused += [error for error in report.errors if error.reason not in ("conflict", "deleted")]
        return marked

    def _restorable(
        self, lost: Sequence[tuple[StoredProduct, Need]], profile: IndexProfile
    ) -> dict[str, dict[str, coding.Code]]:
        """id -> signal -> code, of vectors that a write of the whole document dropped, and whose codes stayed.

        The code is the vector in float16. It is of the same text by the same encoder, for the hashes are equal.
        """
        stored = self._products.codes(profile.index, [product.id for product, _ in lost])
        restorable: dict[str, dict[str, coding.Code]] = {}
        for product, need in lost:
            seq_no, codes = stored[product.id]
            if seq_no != product.seq_no:
                continue  # changed meanwhile: the guarded write will say so
            whole = {name for name in need.restore if coding.code_fits(codes.get(name), profile.signals[name].dims)}
            if whole:
                restorable[product.id] = {name: codes[name] for name in whole}
        return restorable

    def _update(
        self,
        product: StoredProduct,
        source: ProductSource,
        need: Need,
        pending: Sequence[str],
        restored: Mapping[str, coding.Code],
        profile: IndexProfile,
    ) -> dict[str, Any]:
        """The partial update of the layer's field. An update merges objects, so fields are removed by name."""
        retried = [name for name in product.layer.failed if name in pending]
        meta: dict[str, Any] = {
            "source": source.digest, "analysis": profile.analysis, "pending": list(pending),
            "failed": [*need.failed, *retried],  # so that a success now removes its dead letter
            "at": now(),
        }  # fmt: skip
        layer: dict[str, Any] = {"meta": meta}
        if need.words:
            layer |= self._words(product, profile)
        for name in {*pending, *need.drop}.difference(need.ask):
            meta[name] = {"hash": None, "encoder": None}
        if TAGS in need.drop:
            meta[TAGS]["told"] = None
        for name, code in restored.items():
            layer[name] = coding.vector_of(code, profile.signals[name].dims, self._capabilities.base64_vectors)
        for name in need.drop:
            layer[name] = None
            layer.setdefault("codes", {})[name] = None
        return layer

    def _words(self, product: StoredProduct, profile: IndexProfile) -> dict[str, Any]:
        """The words of a document, which replace those that it may have."""
        terms: dict[str, str | None] = dict(documents.terms_of(product.source, profile))
        typed = documents.typed_of(product.source, profile)
        if not product.layer.noted:
            return {"id": product.id, "terms": terms, **({"typed": typed} if typed else {})}
        words: dict[str, Any] = {
            "id": product.id,
            "terms": {name: terms.get(name) for name in documents.TERM_FIELDS},
            "typed": typed,
        }
        if product.layer.analysis != profile.analysis:
            words[documents.OUTDATED] = None
        return words
