"""Ingest: writes catalogue rows into the index, then a vector for every product that lacks one.

There are two steps, so that searches find a product by its words at once, and the broker never has a product.
`load` writes changed rows whole, each with the list of signals that it still waits for (`hybrid.meta.pending`).
`enrich` takes ids, reads the products, encodes them, and writes vectors by partial updates. An update fails, and is
done again, where the product changed meanwhile. The list of what is to be done is in the index alone: a lost task,
worker or broker costs time, never a vector.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hybrid import vectors as coding
from hybrid.catalogue import documents
from hybrid.catalogue.documents import RESERVED
from hybrid.catalogue.layer import Layer, SignalState
from hybrid.contracts import TAGS, Encoder, IndexProfile, Product
from hybrid.elastic.client import Capabilities
from hybrid.elastic.indices.products import ItemError, Products, ProductState, StoredProduct
from hybrid.elastic.stores.base import now
from hybrid.elastic.stores.dead_letters import DeadLetter, DeadLetters
from hybrid.errors import EncoderError, IndexConflictError, MediaError
from hybrid.ingest import tagging
from hybrid.ingest.batch import Batch
from hybrid.ingest.derived import parts_of
from hybrid.ingest.fused import NO_PARTS, fuse
from hybrid.ingest.inputs import Encoded, Input, Inputs, ProductSource, encode, read_at_once
from hybrid.ingest.marker import Marker
from hybrid.ingest.missing import missing

logger = logging.getLogger(__name__)

_CONFLICT_ROUNDS = 4
_DEAD_LETTER_BATCH = 1_000  # dead letters that are checked at once


@dataclass
class Loaded:
    """The result of loading a batch. queued: ids of products that wait for a vector."""

    unchanged: int = 0
    written: int = 0
    queued: list[str] = field(default_factory=list)
    refused: list[ItemError] = field(default_factory=list)


@dataclass
class Enriched:
    """The result of enriching a batch: vectors made by signal, and failures by typed reason.

    left: products that still wait, for another process writes them faster than they are encoded. unseen: how many
    products were not found: they are deleted, or a shard did not answer.
    """

    encoded: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    left: list[str] = field(default_factory=list)
    unseen: int = 0


class Ingester:
    """Loads and enriches batches. Holds no state of a run, so any process can go on with any batch."""

    def __init__(
        self,
        products: Products,
        capabilities: Capabilities,
        inputs: Inputs,
        dead_letters: DeadLetters,
    ) -> None:
        self._products = products
        self._capabilities = capabilities
        self._dead_letters = dead_letters
        self._inputs = inputs
        self._marker = Marker(products, capabilities, inputs)
        self._tagging = tagging.Tagging(products, inputs)

    # -- load ------------------------------------------------------------------------------------------------

    def load(self, profile: IndexProfile, batch: Sequence[Product]) -> Loaded:
        """Write the rows that changed. A vector whose input did not change moves to the new document.

        Raises:
            ClusterError, WriteBlockedError: the cluster takes no writes; what was written stays.
        """
        loaded = Loaded()
        signals = list(profile.signals)
        states = self._products.states(profile.index, [row.id for row in batch], signals)
        changed: list[tuple[Product, ProductSource]] = []
        for row in batch:
            source = self._inputs.of(row.source, profile)
            if row.id in states and _is_current(states[row.id], source, profile):
                loaded.unchanged += 1
            else:
                changed.append((row, source))
        known = [row.id for row, _ in changed if row.id in states and states[row.id].present]
        carried = self._products.vectors(profile.index, known, signals)
        written: list[tuple[str, dict[str, Any]]] = []
        waiting = set()
        for row, source in changed:
            before = states[row.id].layer if row.id in states else Layer()
            layer = self.layer_of(row.id, source, before, carried.get(row.id, {}), profile)
            written.append((row.id, {**row.source, RESERVED: layer.to_json()}))
            if layer.pending:
                waiting.add(row.id)
        report = self._products.index_documents(profile.index, written)
        loaded.written = len(report.ok)
        loaded.queued = [id for id in report.ok if id in waiting]
        loaded.refused = report.errors
        return loaded

    def layer_of(
        self,
        id: str,
        source: ProductSource,
        before: Layer,
        carried: Mapping[str, tuple[list[float], coding.Code]],
        profile: IndexProfile,
    ) -> Layer:
        """The layer of a document that is written whole. carried: signal -> (vector, code) that it had."""
        # A vector that is not carried over is made again, whatever its state says. Writing the document is the occasion
        # for trying failed signals again, and for asking the server of a picture whether the picture changed.
        need = missing(before.only(carried), source, profile, carried.keys(), anew=True)
        pending = [name for name in need.encode if name != TAGS]
        moving = {name: pair for name, pair in carried.items() if name not in need.drop}
        base64 = self._capabilities.base64_vectors
        layer = Layer(
            id=id,
            source=source.digest,
            analysis=profile.analysis,
            pending=tuple(pending),
            # So that a success removes the dead letter.
            failed=tuple(name for name in pending if name in before.failed),
            at=now(),
            states=before.only(moving).states,
            terms=documents.terms_of(source.document, profile),
            typed=documents.typed_of(source.document, profile),
            vectors={name: coding.encode_vector(np.asarray(vector), base64) for name, (vector, _) in moving.items()},
            codes={name: code for name, (_, code) in moving.items()},
        )
        return self._tagging.at_once(layer, before, profile) if source.wants(TAGS) else layer

    # -- enrich ----------------------------------------------------------------------------------------------

    def enrich(self, profile: IndexProfile, job: str, ids: Sequence[str]) -> Enriched:
        """Give these products the vectors that they wait for. Safe to run twice, or twice at once.

        Raises:
            EncoderError: a model cannot be loaded.
            IndexConflictError: the model here is of another version than the vectors of the index.
            IndexMissingError: the index was being built, and is gone.
            ClusterError, WriteBlockedError: the cluster takes no writes.
        """
        enriched = Enriched(left=list(ids))
        for _ in range(_CONFLICT_ROUNDS):
            enriched.left = self._enrich_once(profile, job, enriched.left, enriched)
            if not enriched.left:
                break
        return enriched

    def _enrich_once(self, profile: IndexProfile, job: str, ids: Sequence[str], enriched: Enriched) -> list[str]:
        products = self._products.read(profile.index, ids).values()
        enriched.unseen += len(ids) - len(products)
        if profile.concrete and any(product.index != profile.concrete for product in products):
            raise IndexConflictError(f"another index came behind {profile.index!r} since its profile was read")
        waiting = [product for product in products if product.layer.pending]
        # The shop changed these after they were marked: their words, and pending signals, are of an older text.
        stale = {
            product.id: product
            for product in waiting
            if profile.attached and product.layer.source != documents.fingerprint(product.source, profile)
        }
        if stale:
            self._marker.mark(profile, list(stale.values()))
        stored = [product for product in waiting if product.id not in stale]
        if not stored:
            return list(stale)
        batch = Batch(stored, self._capabilities.base64_vectors)
        for name in profile.signals:
            if parts_of(name, profile):
                self._fuse(profile, name, batch)
            else:
                self._encode(profile, name, batch)
        self._tagging.fill(profile, batch)
        return [*self._write(profile, job, batch, enriched), *stale]

    def _write(self, profile: IndexProfile, job: str, batch: Batch, enriched: Enriched) -> list[str]:
        """Write the updates of a batch, and count them. Returns the products that another process changed meanwhile."""
        updates = [(product, {RESERVED: layer}) for product, layer in batch.updates(now())]
        report = self._products.update_documents(updates, profile.index)
        again = [error.id for error in report.errors if error.reason == "conflict"]
        refused = [error for error in report.errors if error.reason not in ("conflict", "deleted")]
        lost = [(batch.products[error.id], error.reason, error.message) for error in refused]
        dead_letters = [*batch.dead_letters, *self._give_up(profile, lost)]
        skip = set(again)
        final = [dead_letter for dead_letter in dead_letters if dead_letter.product not in skip]
        self._dead_letters.add(profile.index, job, final)
        still_failed = {(dead_letter.product, dead_letter.signal) for dead_letter in batch.dead_letters}
        succeeded = [
            (id, name)
            for id, product in batch.products.items()
            if id not in skip
            for name in product.layer.failed
            if (id, name) not in still_failed
        ]
        self._dead_letters.remove(profile.index, succeeded)
        enriched.failed.update(dead_letter.reason for dead_letter in final)
        written = set(report.ok)
        for name, encoded in batch.encoded.items():
            enriched.encoded[name] += len(encoded & written)
        return again

    def _encode(self, profile: IndexProfile, name: str, batch: Batch) -> None:
        """Make one signal of those that wait for it."""
        waiting = batch.waiting(name)
        batch.encoded[name] = set()
        if not waiting:
            return
        encoder = self._inputs.encoder(name, profile)
        step = read_at_once(name, len(waiting))
        for start in range(0, len(waiting), step):
            self._encode_part(profile, name, encoder, waiting[start : start + step], batch)

    def _encode_part(
        self,
        profile: IndexProfile,
        name: str,
        encoder: Encoder,
        waiting: Sequence[StoredProduct],
        batch: Batch,
    ) -> None:
        todo: list[tuple[str, Input]] = []
        documents = [(product.source, product.layer.state(name)) for product in waiting]
        for product, input in zip(waiting, self._inputs.read_all(name, documents, profile, encoder), strict=True):
            if isinstance(input, MediaError):
                batch.fail(product.id, name, input)
                continue
            if input.faults:
                # The other pictures are encoded. The picture with the fault gets a dead letter all the same.
                batch.fail(product.id, name, input.faults[0])
            if input.content is not None:
                todo.append((product.id, input))
            elif input.state != product.layer.state(name):
                batch.note(product.id, name, input.state)
        if not todo:
            return
        vectors = encode(encoder, name, [input.content for _, input in todo])
        if profile.tags is not None and profile.tags.reads_pictures and name in profile.tags.parts:
            with contextlib.suppress(EncoderError):  # `fill` tries again, and notes the error
                self._tagging.look(profile, batch, {id: input.content for id, input in todo})
        for (id, input), encoded in zip(todo, vectors, strict=True):
            if encoded is None:
                batch.fail(id, name, ("bad_vector", f"{encoder.name} gave no usable vector"))
            else:
                batch.put(id, name, encoded, input.state)
        batch.encoded[name].update(id for id, _ in todo)

    def _fuse(self, profile: IndexProfile, name: str, batch: Batch) -> None:
        """Make a derived signal of its parts' vectors, which are of this round or of an earlier one."""
        waiting = batch.waiting(name, parts_of(name, profile))
        batch.encoded[name] = set()
        if not waiting:
            return
        encoder = self._inputs.fuser(name, profile)
        stored = self._products.codes(profile.index, [product.id for product in waiting])
        for product in waiting:
            codes = batch.codes(product.id, stored[product.id].by_signal)
            vector, digest = fuse(name, encoder, codes, batch.states(product.id), profile)
            if vector is None:
                batch.fail(product.id, name, NO_PARTS)
            elif product.layer.state(name).hash != digest:
                batch.put(product.id, name, Encoded(vector), SignalState(digest, encoder.version))
                batch.encoded[name].add(product.id)

    def give_up(self, profile: IndexProfile, job: str, ids: Sequence[str], reason: str, message: str) -> None:
        """Record these products as dead letters for every signal that they wait for, and stop waiting."""
        stored = self._products.read(profile.index, ids).values()
        dead_letters = self._give_up(profile, [(product, reason, message) for product in stored])
        self._dead_letters.add(profile.index, job, dead_letters)

    def retry(self, profile: IndexProfile, dead_letters: Sequence[Mapping[str, Any]]) -> list[str]:
        """Let the products of dead letters wait for their vectors again. Returns the ids of these, to be queued.

        A dead letter is deleted when its product gets the vector, and renewed when the signal fails again. A dead
        letter is deleted now where its product is gone, or has no such failure any more.

        Raises:
            ClusterError, WriteBlockedError: the cluster takes no writes.
        """
        stored = self._products.read(profile.index, sorted({dead_letter["product"] for dead_letter in dead_letters}))
        signals_by_id: dict[str, set[str]] = {}
        settled = []
        for dead_letter in dead_letters:
            product, name = stored.get(dead_letter["product"]), dead_letter["signal"]
            if product is None or name not in product.layer.failed:
                settled.append((dead_letter["product"], name))
            elif name in profile.signals or (name == TAGS and profile.tags is not None):
                signals_by_id.setdefault(product.id, set()).add(name)
        updates = [
            (stored[id], {RESERVED: {"meta": {"pending": sorted({*stored[id].layer.pending, *names})}}})
            for id, names in signals_by_id.items()
        ]
        report = self._products.update_documents(updates, profile.index)
        self._dead_letters.remove(profile.index, settled)
        # A product in conflict was changed by the shop just now. The next sync reads it anyway.
        return list(report.ok)

    def drop_settled(self, profile: IndexProfile) -> None:
        """Remove the dead letters of products that are gone, or that have no such failure any more.

        A shop repairs a product by writing it whole, and that removes the failure from the layer's field.
        """
        for dead_letters in self._dead_letters.batches(profile.index, None, _DEAD_LETTER_BATCH):
            stored = self._products.read(profile.index, [dead_letter["product"] for dead_letter in dead_letters])
            pairs = [(dead_letter["product"], dead_letter["signal"]) for dead_letter in dead_letters]
            settled = [(id, name) for id, name in pairs if id not in stored or name not in stored[id].layer.failed]
            self._dead_letters.remove(profile.index, settled)

    def _give_up(self, profile: IndexProfile, lost: Iterable[tuple[StoredProduct, str, str]]) -> list[DeadLetter]:
        """Let products wait for nothing. Returns a dead letter for every signal that a product waited for."""
        updates = []
        dead_letters = []
        for product, reason, message in lost:
            pending = list(product.layer.pending)
            dead_letters += [DeadLetter(product.id, name, reason, message) for name in pending]
            updates.append((product, {RESERVED: {"meta": {"pending": [], "failed": pending, "at": now()}}}))
        if updates:
            self._products.update_documents(updates, profile.index)
        return dead_letters


def _is_current(state: ProductState, source: ProductSource, profile: IndexProfile) -> bool:
    """Whether the index has a row as it is, with all that it should have."""
    if state.layer.pending or state.layer.failed:
        return False
    need = missing(state.layer, source, profile, state.present)
    # `need.drop` does not count: of an unchanged row, only the settings of this machine can take a signal away.
    return not (need.words or need.encode or need.restore)
