"""Restores late writes that a client overwrote.

A late write was on its way to the old index while the aliases moved. It is copied some hundredths of a second after the
move. A client may have read the document from the new index before that, edited it and written it whole. Such a write
overwrites the late write: the document has the revision that the client read. Then the changes of the late write are
merged into the document.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from hybrid.catalogue.layer import Layer
from hybrid.elastic.cluster import Cluster
from hybrid.elastic.indices.copies import Original
from hybrid.elastic.indices.generations import Generations
from hybrid.elastic.indices.products import Products
from hybrid.errors import IndexMissingError, WriteBlockedError

#: Pauses between checks, as long as a client may take to write back a document that it read before.
PAUSES_S = (0.1, 0.5)
#: Attempts to restore a document that somebody else writes at the same moment.
_TRIES = 4


@dataclass(frozen=True, slots=True)
class LateWrite:
    """A late write. before: the shop's document in the new index until the write was copied."""

    before: dict[str, Any]
    write: Original

    def to_json(self) -> dict[str, Any]:
        write = dataclasses.asdict(self.write)
        del write["layer"]  # only the shop's fields are restored
        return {"before": self.before, "write": write}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LateWrite:
        return cls(data["before"], Original(**data["write"], layer=Layer()))


@dataclass(frozen=True, slots=True)
class Watch:
    """Late writes of one index that are to be checked for a moment. uuid: of the index, to recognise it."""

    target: str
    uuid: str
    late_writes: Sequence[LateWrite]

    @classmethod
    def of(cls, generations: Generations, target: str, late_writes: Sequence[LateWrite]) -> Watch:
        return cls(target, _uuid(generations, target) if late_writes else "", late_writes)

    def to_json(self) -> bytes:
        """One line."""
        return orjson.dumps([self.target, self.uuid, [one.to_json() for one in self.late_writes]])

    @classmethod
    def from_json(cls, line: bytes) -> Watch:
        target, uuid, late_writes = orjson.loads(line)
        return cls(target, uuid, [LateWrite.from_json(one) for one in late_writes])

    def restore(self, cluster: Cluster) -> int:
        """Check the late writes several times, and restore overwritten ones; returns how many.

        It ends early where another index has the name.
        """
        restored = 0
        for pause in (0.0, *PAUSES_S) if self.late_writes else ():
            time.sleep(pause)
            try:
                if _uuid(cluster.generations, self.target) != self.uuid:
                    break
                restored += _restore_once(cluster.products, self.target, self.late_writes)
            except (IndexMissingError, WriteBlockedError):  # the index was deleted, or a rollback replaced it
                break
        return restored


def _uuid(generations: Generations, index: str) -> str:
    return generations.settings_of(index)["index.uuid"]


def _restore_once(products: Products, target: str, late_writes: Sequence[LateWrite]) -> int:
    """Check the late writes once, and restore overwritten ones; returns how many."""
    writes = [one.write for one in late_writes]
    routing = {write.id: write.routing for write in writes if write.routing is not None}
    count = 0
    for _ in range(_TRIES):
        copies = products.read(target, [write.id for write in writes], routing)
        replacements = []
        for one in late_writes:
            write, copy = one.write, copies.get(one.write.id)
            revision = copy.layer.revision if copy is not None else None
            if not copy or not revision or revision["shard"] != write.shard or revision["seq_no"] >= write.seq_no:
                continue
            merged = _merged(one.before, write.source, copy.source)
            body = {**merged, "hybrid": {"id": write.id, "meta": {"revision": write.revision}}}
            replacements.append((write.id, copy, write.routing, body))
        report = products.replace_documents(target, replacements)
        count += len(report.ok)
        if not report.errors:
            break
    return count


def _merged(before: dict[str, Any], late: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """A merge of two edits of `before`: `now`, with the changes of `late` in the fields that `now` did not change."""
    merged = dict(now)
    for name in before.keys() | late.keys():
        if late.get(name) != before.get(name) and now.get(name) == before.get(name):
            if name in late:
                merged[name] = late[name]
            else:
                merged.pop(name, None)
    return merged
