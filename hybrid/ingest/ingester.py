"""Ingest: catalogue rows into the index, then a vector for every product that lacks one.

Two steps, so that a product can be found by its words at once and the broker never holds a product:
`load` writes changed rows whole, each with the list of signals it still waits for (`hybrid.meta.pending`);
`enrich` takes ids, reads the products, encodes, and writes vectors by partial updates that fail, and are done
again, where a product changed meanwhile. What is to be done stands in the index alone: a lost task, worker
or broker costs time, never a vector.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hybrid import vectors as coding
from hybrid.catalogue import documents
from hybrid.catalogue.documents import RESERVED
from hybrid.contracts import FUSED, TAGS, Encoder, IndexProfile, Product
from hybrid.elastic.client import Capabilities
from hybrid.elastic.indices import products
from hybrid.elastic.stores.base import now
from hybrid.elastic.stores.dead_letters import DeadLetter, DeadLetters
from hybrid.errors import IndexConflictError, MediaError
from hybrid.ingest import tagging
from hybrid.ingest.fused import NO_PARTS, PARTS, agrees, fuse
from hybrid.ingest.inputs import Input, Inputs, encode, held_at_once
from hybrid.ingest.marker import Marker

logger = logging.getLogger(__name__)

_CONFLICT_ROUNDS = 4
_LETTERS = 1_000  # looked at in one go


@dataclass
class Loaded:
    """What loading a batch did. queued are the products that wait for a vector."""

    unchanged: int = 0
    written: int = 0
    queued: list[str] = field(default_factory=list)
    refused: list[products.ItemError] = field(default_factory=list)


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
        client: Any,
        capabilities: Capabilities,
        inputs: Inputs,
        dead_letters: DeadLetters,
    ) -> None:
        self._client = client
        self._capabilities = capabilities
        self._dead_letters = dead_letters
        self._inputs = inputs
        self._marker = Marker(client, capabilities, inputs)
        self._tagging = tagging.Tagging(client, inputs)

    # -- load ------------------------------------------------------------------------------------------------

    def load(self, profile: IndexProfile, batch: Sequence[Product]) -> Loaded:
        """Write the rows that changed. A vector whose input did not change moves to the new document.

        Raises:
            ClusterError, WriteBlockedError: the cluster takes no writes; what was written stays.
        """
        loaded = Loaded()
        signals = list(profile.signals)
        states = products.states(self._client, profile.index, [row.id for row in batch], signals)
        changed: list[tuple[Product, str]] = []
        for row in batch:
            digest = documents.fingerprint(row.source, profile)
            state = states.get(row.id)
            if state is not None and self._is_current(state, digest, row.source, profile):
                loaded.unchanged += 1
            else:
                changed.append((row, digest))
        known = [row.id for row, _ in changed if row.id in states and states[row.id].present]
        carried = products.vectors(self._client, profile.index, known, signals)
        written = []
        for row, digest in changed:
            meta = states[row.id].meta if row.id in states else {}
            layer = self.layer_fields(row, digest, meta, carried.get(row.id, {}), profile)
            written.append((row.id, {**row.source, RESERVED: layer}))
        report = products.index_documents(self._client, profile.index, written)
        waiting = {id for id, document in written if document[RESERVED]["meta"]["pending"]}
        loaded.written = len(report.ok)
        loaded.queued = [id for id in report.ok if id in waiting]
        loaded.refused = report.errors
        return loaded

    def _is_current(
        self, state: products.ProductState, digest: str, source: Mapping[str, Any], profile: IndexProfile
    ) -> bool:
        meta = state.meta
        if meta.get("source") != digest or meta.get("pending") or meta.get("failed"):
            return False
        if self._inputs.wants(TAGS, source, profile) and not tagging.agrees(meta, profile):
            return False
        return all(
            name in state.present and (meta.get(name) or {}).get("encoder") == signal.version
            for name, signal in profile.signals.items()
            if self._inputs.wants(name, source, profile)
        )

    def layer_fields(
        self,
        row: Product,
        digest: str,
        meta: Mapping[str, Any],
        carried: Mapping[str, tuple[list[float], str]],
        profile: IndexProfile,
    ) -> dict[str, Any]:
        """The layer's field of a document that is written whole. carried: signal -> (vector, code) that it had."""
        layer: dict[str, Any] = {"id": row.id, "terms": documents.terms_of(row.source, profile), "codes": {}}
        if typed := documents.typed_of(row.source, profile):
            layer["typed"] = typed
        new_meta: dict[str, Any] = {
            "source": digest, "analysis": profile.analysis, "pending": [], "failed": [], "at": now()
        }  # fmt: skip
        for name in profile.signals:
            if not self._inputs.wants(name, row.source, profile):
                continue
            if name in carried and name in meta:
                vector, layer["codes"][name] = carried[name]
                layer[name] = coding.encode_vector(np.asarray(vector), self._capabilities.base64_vectors)
                new_meta[name] = dict(meta[name])
            if name not in new_meta or not self._fits(name, row.source, new_meta, profile):
                new_meta["pending"].append(name)
                if name in meta.get("failed", ()):
                    new_meta["failed"].append(name)  # so that a success now removes its dead letter
        layer["meta"] = new_meta
        if self._inputs.wants(TAGS, row.source, profile):
            self._tagging.at_once(layer, meta, profile)
        return layer

    def _fits(self, name: str, source: Mapping[str, Any], meta: Mapping[str, Any], profile: IndexProfile) -> bool:
        """Whether the vector that `meta` notes is known to be that of the row."""
        if name == FUSED:
            changing = set(meta["pending"]).intersection(PARTS)
            return not changing and agrees(profile.signals[name].version, meta[name], meta, profile)
        # The server of a picture is asked on this occasion whether it changed; by those who encode, not here.
        behind = self._inputs.is_behind_address(name, source, profile)
        return not behind and self._inputs.fits(name, source, profile, meta[name])

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
        found = products.read(self._client, profile.index, ids).values()
        enriched.unseen += len(ids) - len(found)
        if profile.concrete and any(product.index != profile.concrete for product in found):
            raise IndexConflictError(f"another index came behind {profile.index!r} since its profile was read")
        waiting = [product for product in found if product.meta.get("pending")]
        # Changed by the shop since it was marked: its words, and what it waits for, are those of an older text.
        stale = {
            product.id: product
            for product in waiting
            if profile.attached and product.meta.get("source") != documents.fingerprint(product.source, profile)
        }
        if stale:
            self._marker.mark(profile, list(stale.values()))
        stored = [product for product in waiting if product.id not in stale]
        if not stored:
            return list(stale)
        partials: dict[str, dict[str, Any]] = {
            product.id: {"codes": {}, "meta": {"pending": [], "failed": [], "at": now()}} for product in stored
        }
        letters: list[DeadLetter] = []
        made: dict[str, set[str]] = {}
        for name in profile.signals:
            chosen = [product for product in stored if name in product.meta["pending"]]
            if name == FUSED:
                wanted = {product.id for product in chosen}.union(*(made.get(part, ()) for part in PARTS))
                chosen = [product for product in stored if product.id in wanted]
                made[name] = self._fuse(profile, chosen, partials, letters)
            else:
                made[name] = self._encode(profile, name, chosen, partials, letters)
        made[TAGS] = self._tagging.fill(profile, stored, made, partials, letters)
        for letter in letters:
            partials[letter.product]["meta"]["failed"].append(letter.signal)
        by_id = {product.id: product for product in stored}
        updates = [(by_id[id], {RESERVED: partial}) for id, partial in partials.items()]
        report = products.update_documents(self._client, updates, profile.index)
        again = [error.id for error in report.errors if error.reason == "conflict"]
        refused = [error for error in report.errors if error.reason not in ("conflict", "deleted")]
        self._give_up(profile, [(by_id[error.id], error.reason, error.message) for error in refused], letters)
        skip = set(again)
        final = [letter for letter in letters if letter.product not in skip]
        self._dead_letters.add(profile.index, job, final)
        mended = [
            (product.id, name)
            for product in stored
            if product.id not in skip
            for name in product.meta.get("failed", [])
            if name not in partials[product.id]["meta"]["failed"]
        ]
        self._dead_letters.remove(profile.index, mended)
        enriched.failed.update(letter.reason for letter in final)
        written = set(report.ok)
        for name, encoded in made.items():
            if name != TAGS or encoded:
                enriched.encoded[name] += len(encoded & written)
        return [*again, *stale]

    def _encode(
        self,
        profile: IndexProfile,
        name: str,
        waiting: Sequence[products.StoredProduct],
        partials: dict[str, dict[str, Any]],
        letters: list[DeadLetter],
    ) -> set[str]:
        """Fill in vector, code and meta of one signal; returns the products whose input was encoded."""
        if not waiting:
            return set()
        encoder = self._inputs.encoder(name, profile)
        encoded: set[str] = set()
        step = held_at_once(name, len(waiting))
        for start in range(0, len(waiting), step):
            part = waiting[start : start + step]
            encoded |= self._encode_part(profile, name, encoder, part, partials, letters)
        return encoded

    def _encode_part(
        self,
        profile: IndexProfile,
        name: str,
        encoder: Encoder,
        waiting: Sequence[products.StoredProduct],
        partials: dict[str, dict[str, Any]],
        letters: list[DeadLetter],
    ) -> set[str]:
        todo: list[tuple[products.StoredProduct, Input]] = []
        wanted = [(product.source, product.meta.get(name)) for product in waiting]
        for product, found in zip(waiting, self._inputs.read_all(name, wanted, profile, encoder), strict=True):
            if isinstance(found, MediaError):
                letters.append(DeadLetter(product.id, name, found.reason, str(found)))
                continue
            if found.faults:
                # The others are searched; this one is in the list of failures all the same.
                letters.append(DeadLetter(product.id, name, found.faults[0].reason, str(found.faults[0])))
            if found.content is not None:
                todo.append((product, found))
            elif any(product.meta[name].get(key) != mark for key, mark in found.made.items()):
                partials[product.id]["meta"][name] = found.made
        if not todo:
            return set()
        vectors = encode(encoder, name, [found.content for _, found in todo])
        if name == "image" and profile.tags is not None and profile.tags.looks:
            tagger = self._inputs.tagger(profile)
            tagging.tell(tagger, [(partials[product.id], found.content) for product, found in todo])
        for (product, found), made in zip(todo, vectors, strict=True):
            if made is None:
                letters.append(DeadLetter(product.id, name, "bad_vector", f"{encoder.name} gave no usable vector"))
                continue
            about = {**found.made, "encoder": encoder.version}
            coding.put_vector(
                partials[product.id], name, made.vector, about, self._capabilities.base64_vectors, made.views
            )
        return {product.id for product, _ in todo}

    def _fuse(
        self,
        profile: IndexProfile,
        waiting: Sequence[products.StoredProduct],
        partials: dict[str, dict[str, Any]],
        letters: list[DeadLetter],
    ) -> set[str]:
        """Fill in the vector that is made of the others, of this round or of an earlier one."""
        if not waiting:
            return set()
        encoder = self._inputs.fuser(profile)
        held = products.codes(self._client, profile.index, [product.id for product in waiting])
        made = set()
        for product in waiting:
            partial = partials[product.id]
            _, codes = held.get(product.id, (-1, {}))
            meta = {
                part: {**(product.meta.get(part) or {}), **(partial["meta"].get(part) or {})} for part in PARTS
            }  # fmt: skip
            vector, digest = fuse(encoder, {**codes, **partial["codes"]}, meta, profile)
            if vector is None:
                letters.append(DeadLetter(product.id, FUSED, *NO_PARTS))
            elif (product.meta.get(FUSED) or {}).get("hash") != digest:
                about = {"hash": digest, "encoder": encoder.version}
                coding.put_vector(partial, FUSED, vector, about, self._capabilities.base64_vectors)
                made.add(product.id)
        return made

    def give_up(self, profile: IndexProfile, job: str, ids: Sequence[str], reason: str, message: str) -> None:
        """Record these products as dead letters for every signal that they wait for, and stop waiting."""
        letters: list[DeadLetter] = []
        stored = products.read(self._client, profile.index, ids).values()
        self._give_up(profile, [(product, reason, message) for product in stored], letters)
        self._dead_letters.add(profile.index, job, letters)

    def retry(self, profile: IndexProfile, letters: Sequence[Mapping[str, Any]]) -> list[str]:
        """Let the products of these letters wait for their vectors again; those that do, to be queued.

        A letter goes when its product has the vector, and is renewed when that fails again. One whose product is gone,
        or was mended by other means, goes now.

        Raises:
            ClusterError, WriteBlockedError: the cluster takes no writes.
        """
        stored = products.read(self._client, profile.index, sorted({letter["product"] for letter in letters}))
        asked: dict[str, set[str]] = {}
        settled = []
        for letter in letters:
            product, name = stored.get(letter["product"]), letter["signal"]
            if product is None or name not in (product.meta.get("failed") or ()):
                settled.append((letter["product"], name))
            elif name in profile.signals or (name == TAGS and profile.tags is not None):
                asked.setdefault(product.id, set()).add(name)
        updates = [
            (stored[id], {RESERVED: {"meta": {"pending": sorted({*(stored[id].meta.get("pending") or ()), *names})}}})
            for id, names in asked.items()
        ]
        report = products.update_documents(self._client, updates, profile.index)
        self._dead_letters.remove(profile.index, settled)
        # One in conflict was changed by the shop just now; its next sync looks at it anyway.
        return list(report.ok)

    def drop_settled(self, profile: IndexProfile) -> None:
        """Remove the letters of products that are gone, or that have no such failure any more.

        A shop mends a product by writing it whole, which takes the layer's note of the failure along.
        """
        for letters in self._dead_letters.batches(profile.index, None, _LETTERS):
            stored = products.read(self._client, profile.index, [letter["product"] for letter in letters])
            pairs = [(letter["product"], letter["signal"]) for letter in letters]
            over = [
                (id, name)
                for id, name in pairs
                if id not in stored or name not in (stored[id].meta.get("failed") or ())
            ]
            self._dead_letters.remove(profile.index, over)

    def _give_up(
        self,
        profile: IndexProfile,
        lost: Iterable[tuple[products.StoredProduct, str, str]],
        letters: list[DeadLetter],
    ) -> None:
        updates = []
        for product, reason, message in lost:
            pending = product.meta.get("pending", [])
            letters += [DeadLetter(product.id, name, reason, message) for name in pending]
            updates.append((product, {RESERVED: {"meta": {"pending": [], "failed": pending, "at": now()}}}))
        if updates:
            products.update_documents(self._client, updates, profile.index)
