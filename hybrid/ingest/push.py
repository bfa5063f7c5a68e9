"""Pushed documents: a shop sends them itself, and they are written whole, with the layer's field kept or made again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from hybrid import vectors
from hybrid.catalogue.documents import RESERVED, is_reserved
from hybrid.catalogue.layer import Layer
from hybrid.catalogue.values import conform
from hybrid.contracts import IndexProfile
from hybrid.elastic.indices.products import Products, StoredCodes, StoredProduct
from hybrid.elastic.stores.dead_letters import DeadLetters
from hybrid.ingest.ingester import Ingester
from hybrid.ingest.inputs import Inputs
from hybrid.ingest.marker import Marker

_CONFLICT_ROUNDS = 5


@dataclass(frozen=True)
class Operation:
    """Write a document, or delete it where `source` is None. create: whether to fail where the id is in use."""

    id: str
    source: dict[str, Any] | None
    routing: str | None = None
    create: bool = False


@dataclass(frozen=True)
class Outcome:
    """The outcome of one operation: created, updated, unchanged, deleted, not_found, or error with a reason."""

    id: str
    result: str
    reason: str | None = None
    message: str | None = None


@dataclass
class PushReport:
    """One outcome an operation, in order. waiting: ids that wait for a vector. queued: whether workers have them."""

    results: list[Outcome] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    queued: bool = False

    @property
    def errors(self) -> bool:
        return any(outcome.result == "error" for outcome in self.results)


class Pusher:
    """Carries out batches of operations. The same batch changes nothing the second time."""

    def __init__(
        self, products: Products, inputs: Inputs, ingester: Ingester, marker: Marker, dead_letters: DeadLetters
    ) -> None:
        self._products = products
        self._inputs = inputs
        self._ingester = ingester
        self._marker = marker
        self._dead_letters = dead_letters

    def push(self, profile: IndexProfile, operations: Sequence[Operation]) -> PushReport:
        """Carry out operations. Operations on one document are carried out in their order.

        Raises:
            ClusterError, WriteBlockedError: the cluster takes no writes; what was written stays.
        """
        if not profile.attached:  # there, documents are the shop's own, and stay as they are
            operations = [replace(op, source=op.source and conform(op.source, profile.fields)) for op in operations]
        report = PushReport()
        outcomes: dict[int, Outcome] = {}
        for wave in _waves(operations):
            writes: list[int] = []
            deletes: list[int] = []
            for number in wave:
                (deletes if operations[number].source is None else writes).append(number)
            for numbers, carry_out in ((writes, self._write), (deletes, self._delete)):
                outcomes_by_id = carry_out(profile, [operations[number] for number in numbers], report)
                outcomes.update({number: outcomes_by_id[operations[number].id] for number in numbers})
        report.results = [outcomes[number] for number in range(len(operations))]
        last = {outcome.id: outcome.result for outcome in report.results}
        gone = {id for id, result in last.items() if result in ("deleted", "not_found")}
        report.waiting = [id for id in dict.fromkeys(report.waiting) if id not in gone]
        return report

    def _write(self, profile: IndexProfile, batch: Sequence[Operation], report: PushReport) -> dict[str, Outcome]:
        done = {
            op.id: Outcome(op.id, "error", "reserved_field", "the field name `hybrid` belongs to the layer")
            for op in batch
            if any(map(is_reserved, op.source or {}))
        }
        waiting = [op for op in batch if op.id not in done]
        for _ in range(_CONFLICT_ROUNDS):
            if not waiting:
                break
            waiting = self._write_once(profile, waiting, done, report)
        for op in waiting:
            done[op.id] = Outcome(op.id, "error", "conflict", "somebody else writes it all the while; send it again")
        return done

    def _write_once(
        self, profile: IndexProfile, batch: Sequence[Operation], done: dict[str, Outcome], report: PushReport
    ) -> list[Operation]:
        routing = {op.id: op.routing for op in batch if op.routing}
        ids = [op.id for op in batch]
        stored = self._products.read(profile.index, ids, routing)
        same = [op for op in batch if op.id in stored and _alike(stored[op.id].source, op.source)]
        unseen = [stored[op.id] for op in same if not stored[op.id].layer.noted]
        if unseen:
            report.waiting += self._marker.mark(profile, unseen).waiting
        for op in same:
            done[op.id] = Outcome(op.id, "unchanged")
            if stored[op.id].layer.pending:
                report.waiting.append(op.id)
        for op in batch:
            if op.create and op.id in stored and op.id not in done:
                done[op.id] = Outcome(
                    op.id, "error", "exists", "there is another document of that id; send it with index"
                )
        changed = [op for op in batch if op.id not in done]
        # Vectors are carried over as codes. These are read with the version of the document that they belong to.
        codes = self._products.codes(profile.index, [op.id for op in changed if op.id in stored], routing)
        writes = []
        pending = set()
        for op in changed:
            before = stored.get(op.id)
            layer = self._layer(profile, op, before, codes.get(op.id))
            if layer.pending:
                pending.add(op.id)
            writes.append((op.id, before, op.routing, {**(op.source or {}), RESERVED: layer.to_json()}))
        answer = self._products.replace_documents(profile.index, writes)
        for id in answer.ok:
            done[id] = Outcome(id, "updated" if id in stored else "created")
        report.waiting += [id for id in answer.ok if id in pending]
        again = {error.id for error in answer.errors if error.reason == "conflict"}
        for error in answer.errors:
            if error.id not in again:
                done[error.id] = Outcome(error.id, "error", error.reason, error.message)
        return [op for op in changed if op.id in again]

    def _layer(
        self,
        profile: IndexProfile,
        op: Operation,
        before: StoredProduct | None,
        stored_codes: StoredCodes | None,
    ) -> Layer:
        carried = {}
        if before is not None and stored_codes is not None and stored_codes.seq_no == before.seq_no:
            for name, signal in profile.signals.items():
                if not before.layer.state(name).hash:
                    continue
                vector = vectors.decode_code(stored_codes.by_signal.get(name), signal.dims)
                if vector is not None:
                    carried[name] = (vector.tolist(), stored_codes.by_signal[name])
        source = self._inputs.of(op.source or {}, profile)
        return self._ingester.layer_of(op.id, source, before.layer if before else Layer(), carried, profile)

    def _delete(self, profile: IndexProfile, batch: Sequence[Operation], report: PushReport) -> dict[str, Outcome]:
        if not batch:
            return {}
        routing = {op.id: op.routing for op in batch if op.routing}
        stored = self._products.read(profile.index, [op.id for op in batch], routing)
        answer = self._products.delete_documents(profile.index, {id: product.routing for id, product in stored.items()})
        self._dead_letters.remove(profile.index, [(id, name) for id in answer.ok for name in profile.signals])
        outcomes = {op.id: Outcome(op.id, "not_found") for op in batch}
        outcomes |= {id: Outcome(id, "deleted") for id in answer.ok}
        outcomes |= {error.id: Outcome(error.id, "error", error.reason, error.message) for error in answer.errors}
        return outcomes


def _alike(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON. Python's comparison would say that true equals 1."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


def _waves(operations: Sequence[Operation]) -> Iterator[list[int]]:
    """Numbers of the operations, in order, in groups that have each document once."""
    waiting = list(range(len(operations)))
    while waiting:
        seen: set[str] = set()
        wave: list[int] = []
        later: list[int] = []
        for number in waiting:
            (later if operations[number].id in seen else wave).append(number)
            seen.add(operations[number].id)
        yield wave
        waiting = later
