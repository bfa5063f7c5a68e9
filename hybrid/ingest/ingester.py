"""Ingest: catalogue rows into the index, then a vector for every product that lacks one.

Two steps, so that a product can be found by its words at once and the broker never holds a product:
`load` writes changed rows whole, each with the list of signals it still waits for (`hybrid.meta.pending`);
`enrich` takes ids, reads the products, encodes, and writes vectors by partial updates that fail, and are done
again, where a product changed meanwhile. What is to be done stands in the index alone: a lost task, worker
or broker costs time, never a vector.
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
from hybrid.ingest.inputs import Encoded, Input, Inputs, ProductSource, encode, held_at_once
from hybrid.ingest.marker import Marker
from hybrid.ingest.missing import missing

logger = logging.getLogger(__name__)

_CONFLICT_ROUNDS = 4
_LETTERS = 1_000  # looked at in one go


@dataclass
class Loaded:
    """What loading a batch did. queued are the products that wait for a vector."""

    unchanged: int = 0
    written: int = 0
    queued: list[str] = field(default_factory=list)
    refused: list[ItemError] = field(default_factory=list)


@dataclass
class Enriched:
    """What enriching a batch did: vectors made by signal, and failures by typed reason.

    left: products that still wait, since somebody writes them faster than they are encoded. unseen: how many were not
    to be found; they are deleted, or a shard did not answer.
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
        # What is not carried is made anew, whatever was noted of it. That the document is written is the occasion on
        # which what failed is tried again, and the server of a picture is asked whether it changed.
        need = missing(before.only(carried), source, profile, carried.keys(), anew=True)
        pending = [name for name in need.encode if name != TAGS]
        moving = {name: pair for name, pair in carried.items() if name not in need.drop}
        base64 = self._capabilities.base64_vectors
        layer = Layer(
            id=id,
            source=source.digest,
            analysis=profile.analysis,
            pending=tuple(pending),
            failed=tuple(name for name in pending if name in before.failed),  # so that a success removes its letter
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
            EncoderError: a model cannot be had.
            IndexConflictError: the model here is of another version than the vectors of the index.
            IndexMissingError: it was being built, and is gone.
            ClusterError, WriteBlockedError: the cluster takes no writes.
        """
        enriched = Enriched(left=list(ids))
        for _ in range(_CONFLICT_ROUNDS):
            enriched.left = self._enrich_once(profile, job, enriched.left, enriched)
            if not enriched.left:
                break
        return enriched

    def _enrich_once(self, profile: IndexProfile, job: str, ids: Sequence[str], enriched: Enriched) -> list[str]:
        found = self._products.read(profile.index, ids).values()
        enriched.unseen += len(ids) - len(found)
        if profile.concrete and any(product.index != profile.concrete for product in found):
            raise IndexConflictError(f"another index came behind {profile.index!r} since its profile was read")
        waiting = [product for product in found if product.layer.pending]
        # Changed by the shop since it was marked: its words, and what it waits for, are those of an older text.
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
        """Write what was made of a batch, and count it; those that somebody else changed meanwhile."""
        updates = [(product, {RESERVED: layer}) for product, layer in batch.updates(now())]
        report = self._products.update_documents(updates, profile.index)
        again = [error.id for error in report.errors if error.reason == "conflict"]
        refused = [error for error in report.errors if error.reason not in ("conflict", "deleted")]
        lost = [(batch.products[error.id], error.reason, error.message) for error in refused]
        letters = [*batch.letters, *self._give_up(profile, lost)]
        skip = set(again)
        final = [letter for letter in letters if letter.product not in skip]
        self._dead_letters.add(profile.index, job, final)
        still = {(letter.product, letter.signal) for letter in batch.letters}
        mended = [
            (id, name)
            for id, product in batch.products.items()
            if id not in skip
            for name in product.layer.failed
            if (id, name) not in still
        ]
        self._dead_letters.remove(profile.index, mended)
        enriched.failed.update(letter.reason for letter in final)
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
        step = held_at_once(name, len(waiting))
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
        wanted = [(product.source, product.layer.state(name)) for product in waiting]
        for product, found in zip(waiting, self._inputs.read_all(name, wanted, profile, encoder), strict=True):
            if isinstance(found, MediaError):
                batch.fail(product.id, name, found)
                continue
            if found.faults:
                # The others are searched; this one is in the list of failures all the same.
                batch.fail(product.id, name, found.faults[0])
            if found.content is not None:
                todo.append((product.id, found))
            elif found.state != product.layer.state(name):
                batch.note(product.id, name, found.state)
        if not todo:
            return
        vectors = encode(encoder, name, [found.content for _, found in todo])
        if profile.tags is not None and profile.tags.reads_pictures and name in profile.tags.parts:
            with contextlib.suppress(EncoderError):  # those who fill in the tags look again, and note why they cannot
                self._tagging.look(profile, batch, {id: found.content for id, found in todo})
        for (id, found), encoded in zip(todo, vectors, strict=True):
            if encoded is None:
                batch.fail(id, name, ("bad_vector", f"{encoder.name} gave no usable vector"))
            else:
                batch.put(id, name, encoded, found.state)
        batch.encoded[name].update(id for id, _ in todo)

    def _fuse(self, profile: IndexProfile, name: str, batch: Batch) -> None:
        """Make the vector that is made of the others, of this round or of an earlier one."""
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
        letters = self._give_up(profile, [(product, reason, message) for product in stored])
        self._dead_letters.add(profile.index, job, letters)

    def retry(self, profile: IndexProfile, letters: Sequence[Mapping[str, Any]]) -> list[str]:
        """Let the products of these letters wait for their vectors again; those that do, to be queued.

        A letter goes when its product has the vector, and is renewed when that fails again. One whose product is gone,
        or was mended by other means, goes now.

        Raises:
            ClusterError, WriteBlockedError: the cluster takes no writes.
        """
        stored = self._products.read(profile.index, sorted({letter["product"] for letter in letters}))
        asked: dict[str, set[str]] = {}
        settled = []
        for letter in letters:
            product, name = stored.get(letter["product"]), letter["signal"]
            if product is None or name not in product.layer.failed:
                settled.append((letter["product"], name))
            elif name in profile.signals or (name == TAGS and profile.tags is not None):
                asked.setdefault(product.id, set()).add(name)
        updates = [
            (stored[id], {RESERVED: {"meta": {"pending": sorted({*stored[id].layer.pending, *names})}}})
            for id, names in asked.items()
        ]
        report = self._products.update_documents(updates, profile.index)
        self._dead_letters.remove(profile.index, settled)
        # One in conflict was changed by the shop just now; its next sync looks at it anyway.
        return list(report.ok)

    def drop_settled(self, profile: IndexProfile) -> None:
        """Remove the letters of products that are gone, or that have no such failure any more.

        A shop mends a product by writing it whole, which takes the layer's note of the failure along.
        """
        for letters in self._dead_letters.batches(profile.index, None, _LETTERS):
            stored = self._products.read(profile.index, [letter["product"] for letter in letters])
            pairs = [(letter["product"], letter["signal"]) for letter in letters]
            over = [(id, name) for id, name in pairs if id not in stored or name not in stored[id].layer.failed]
            self._dead_letters.remove(profile.index, over)

    def _give_up(self, profile: IndexProfile, lost: Iterable[tuple[StoredProduct, str, str]]) -> list[DeadLetter]:
        """Stop waiting; the letters that say so, for every signal that was waited for."""
        updates = []
        letters = []
        for product, reason, message in lost:
            pending = list(product.layer.pending)
            letters += [DeadLetter(product.id, name, reason, message) for name in pending]
            updates.append((product, {RESERVED: {"meta": {"pending": [], "failed": pending, "at": now()}}}))
        if updates:
            self._products.update_documents(updates, profile.index)
        return letters


def _is_current(state: ProductState, source: ProductSource, profile: IndexProfile) -> bool:
    """Whether a row stands in the index as it is, with all that it should have."""
    if state.layer.pending or state.layer.failed:
        return False
    need = missing(state.layer, source, profile, state.present)
    # Not for what is to be dropped: of an unchanged row only the settings of this machine can take something away.
    return not (need.words or need.encode or need.restore)
