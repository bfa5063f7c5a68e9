"""Puts back late writes that a client took away again.

A write that was on its way while the aliases moved is copied some hundredths of a second after it. A client that read
the document from the new index before that, edited it and wrote it whole has taken the late write away: its document
has the revision of what it read. What the late write changed is merged into it.
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

#: Pauses between looks: for as long as what was read before may be on its way back.
PAUSES_S = (0.1, 0.5)
#: How often to mend what is written by somebody else at the same moment.
_TRIES = 4


@dataclass(frozen=True, slots=True)
class Late:
    """A late write, and the shop's document that the new index showed until it was copied."""

    before: dict[str, Any]
    write: Original

    def to_json(self) -> dict[str, Any]:
        write = dataclasses.asdict(self.write)
        del write["layer"]  # the write is mended in the shop's fields alone
        return {"before": self.before, "write": write}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Late:
        return cls(data["before"], Original(**data["write"], layer=Layer()))


@dataclass(frozen=True, slots=True)
class Watch:
    """What is to be looked after: late writes of one index, which is known by its uuid."""

    target: str
    uuid: str
    late: Sequence[Late]

    @classmethod
    def of(cls, generations: Generations, target: str, late: Sequence[Late]) -> Watch:
        return cls(target, _uuid(generations, target) if late else "", late)

    def to_json(self) -> bytes:
        """One line."""
        return orjson.dumps([self.target, self.uuid, [one.to_json() for one in self.late]])

    @classmethod
    def from_json(cls, line: bytes) -> Watch:
        target, uuid, late = orjson.loads(line)
        return cls(target, uuid, [Late.from_json(one) for one in late])

    def keep(self, cluster: Cluster) -> int:
        """Look several times, and mend; how many were mended. It ends where another index has the name."""
        mended = 0
        for pause in (0.0, *PAUSES_S) if self.late else ():
            time.sleep(pause)
            try:
                if _uuid(cluster.generations, self.target) != self.uuid:
                    break
                mended += mend(cluster.products, self.target, self.late)
            except (IndexMissingError, WriteBlockedError):  # deleted, or rolled back from, meanwhile
                break
        return mended


def _uuid(generations: Generations, index: str) -> str:
    return generations.settings_of(index)["index.uuid"]


def mend(products: Products, target: str, late: Sequence[Late]) -> int:
    """Look once."""
    writes = [one.write for one in late]
    routing = {write.id: write.routing for write in writes if write.routing is not None}
    count = 0
    for _ in range(_TRIES):
        copies = products.read(target, [write.id for write in writes], routing)
        mended = []
        for one in late:
            write, copy = one.write, copies.get(one.write.id)
            revision = copy.layer.revision if copy is not None else None
            if not copy or not revision or revision["shard"] != write.shard or revision["seq_no"] >= write.seq_no:
                continue
            merged = _merged(one.before, write.source, copy.source)
            body = {**merged, "hybrid": {"id": write.id, "meta": {"revision": write.revision}}}
            mended.append((write.id, copy, write.routing, body))
        report = products.replace_documents(target, mended)
        count += len(report.ok)
        if not report.errors:
            break
    return count


def _merged(before: dict[str, Any], late: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """`now`, made of `before`, with what `late` changed in `before`, but for what `now` changed itself."""
    merged = dict(now)
    for name in before.keys() | late.keys():
        if late.get(name) != before.get(name) and now.get(name) == before.get(name):
            if name in late:
                merged[name] = late[name]
            else:
                merged.pop(name, None)
    return merged
