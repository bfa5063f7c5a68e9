"""Changes of an index since the last sync. A checkpoint, kept in Elasticsearch, has one sequence number a shard.

The writes of a shard are numbered in order. A checkpoint says up to which number a sync has read the writes. That
number is the shard's global checkpoint when the sync began: the writes up to it are on every copy, and are not rolled
back. A refresh after reading the checkpoint makes all of them visible. A sync may see later writes as well; the next
sync reads these a second time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson
from elasticsearch import Elasticsearch

from hybrid.contracts import IndexProfile
from hybrid.elastic.client import translated
from hybrid.elastic.indices.lifecycle import Indices
from hybrid.elastic.indices.products import Products, StoredProduct
from hybrid.elastic.stores.base import ensure_store, now, stored
from hybrid.errors import ClusterError, IndexConflictError, IndexMissingError

CHECKPOINTS = "hybrid-checkpoints"
_MOST_NAMES = 10_000


@dataclass(frozen=True)
class Checkpoint:
    """shards: shard number -> (history, sequence number). A shard with another history is read whole.

    index: the concrete index behind the name. profile: the digest of the index's profile; documents that were read
    under another profile are read again.
    """

    uuid: str
    shards: Mapping[str, tuple[str, int]]
    profile: str = ""
    index: str = ""

    def to_json(self) -> dict[str, Any]:
        shards: dict[str, Sequence[Any]] = {shard: list(pair) for shard, pair in self.shards.items()}
        return {"uuid": self.uuid, "profile": self.profile, "shards": shards}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Checkpoint:
        shards = {shard: (str(history), int(number)) for shard, (history, number) in data["shards"].items()}
        return cls(data["uuid"], shards, data.get("profile", ""))

    def continues(self, earlier: Checkpoint | None) -> bool:
        """Whether the writes up to `earlier` need not be read again."""
        return earlier is not None and (earlier.uuid, earlier.profile) == (self.uuid, self.profile)

    def since(self, earlier: Checkpoint | None) -> dict[str, int]:
        """Shard -> the number after which changes are to be read; -1: all of them. Shards without changes are left out.

        A shard is read whole where its number went down, or its history, the index behind the name or the profile is
        another one.
        """
        known = earlier.shards if earlier is not None and self.continues(earlier) else {}
        ranges = {}
        for shard, (history, position) in self.shards.items():
            before = known.get(shard, ("", -1))
            start = before[1] if before[0] == history and before[1] <= position else -1
            if start < position:
                ranges[shard] = start
        return ranges


class Changes:
    """What was written to an index since a checkpoint."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client
        self._indices = Indices(client)
        self._products = Products(client)

    def position(self, index: str, refresh: bool = True) -> Checkpoint:
        """The index's position now. With `refresh`, a search that follows sees all writes up to the position.

        Raises:
            IndexConflictError: the name stands for several indices, or the layer has no part in the one behind it.
            ClusterError: a shard has no primary at the moment.
        """
        concrete, uuid, shards = self._positions(index)
        profile = dataclasses.replace(self._indices.read_profile(concrete), index=index)
        _require_all(index, shards, profile.shards)
        if refresh:
            self._indices.refresh(concrete)
        return Checkpoint(uuid, shards, digest(profile), concrete)

    def shard_positions(self, index: str, count: int) -> tuple[str, dict[str, tuple[str, int]]]:
        """(uuid of an index, shard -> (history, global checkpoint)). A search may need a refresh to see these writes.

        count: the number of the index's shards, which never changes.

        Raises:
            IndexConflictError: the name stands for several indices.
            ClusterError: a shard has no primary at the moment.
        """
        _, uuid, shards = self._positions(index)
        _require_all(index, shards, count)
        return uuid, shards

    def _positions(self, index: str) -> tuple[str, str, dict[str, tuple[str, int]]]:
        """(index behind the name, its uuid, shard -> (history, global checkpoint)) of the shards that have a
        primary."""
        with translated(index):
            # One answer for the index behind an alias, so that number and identity are of the same one.
            answer = self._client.indices.stats(index=index, level="shards", metric="docs")["indices"]
        if len(answer) != 1:
            raise IndexConflictError(
                f"{index!r} stands for {len(answer)} indices ({', '.join(sorted(answer))}), not one"
            )
        concrete, answer_of_index = next(iter(answer.items()))
        shards: dict[str, tuple[str, int]] = {}
        for shard, copies in answer_of_index["shards"].items():
            for copy in copies:
                if copy["routing"]["primary"] and "seq_no" in copy:
                    shards[shard] = (copy["commit"]["user_data"]["history_uuid"], copy["seq_no"]["global_checkpoint"])
        return concrete, answer_of_index["uuid"], shards

    def changed(
        self, profile: IndexProfile, here: Checkpoint, earlier: Checkpoint | None, page: int = 500
    ) -> Iterator[list[StoredProduct]]:
        """Products written between two checkpoints, as they are now; see `Checkpoint.since`."""
        for shard, start in here.since(earlier).items():
            query = {"range": {"_seq_no": {"gt": start}}} if start >= 0 else {"match_all": {}}
            yield from self._products.iterate(
                here.index, query, list(profile.signals), page, preference=f"_shards:{shard}"
            )

    def incomplete(self, profile: IndexProfile, here: Checkpoint) -> Iterator[list[StoredProduct]]:
        """Products that lack something, whenever they were written: no meta, a vector gone, another encoder."""
        return self._products.iterate(here.index, incomplete_query(profile), list(profile.signals))


def _require_all(index: str, shards: Collection[str], count: int) -> None:
    if len(shards) < count:
        raise ClusterError(f"a shard of {index!r} has no primary at the moment; try again when the cluster is whole")


def digest(profile: IndexProfile) -> str:
    """A digest of a profile, which changes with anything in the profile."""
    return blake2b(orjson.dumps(profile.to_json(), option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()


def incomplete_query(profile: IndexProfile) -> dict[str, Any]:
    """See `incomplete`. Pure."""
    lacking: list[dict[str, Any]] = [
        {"bool": {"must_not": [{"exists": {"field": "hybrid.meta.at"}}]}},
        {"bool": {"must_not": [{"term": {"hybrid.meta.analysis": profile.analysis}}]}},
    ]
    for name, signal in profile.signals.items():
        has_hash = {"exists": {"field": f"hybrid.meta.{name}.hash"}}
        lacking.append({"bool": {"filter": [has_hash], "must_not": [{"exists": {"field": f"hybrid.{name}"}}]}})
        other = {"term": {f"hybrid.meta.{name}.encoder": signal.made_by}}
        lacking.append({"bool": {"filter": [has_hash], "must_not": [other]}})
    if profile.tags is not None:
        has_hash = {"exists": {"field": "hybrid.meta.tags.hash"}}
        other = {"term": {"hybrid.meta.tags.encoder": profile.tags.version}}
        lacking.append({"bool": {"filter": [has_hash], "must_not": [other]}})
    return {"bool": {"should": lacking, "minimum_should_match": 1}}


class Checkpoints:
    """Keeps one checkpoint an index name. A lost or old checkpoint costs a longer sync, and never a change."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def get(self, index: str) -> Checkpoint | None:
        """The checkpoint of that name; None before the first."""
        stored_state = stored(self._client, CHECKPOINTS, index)
        return Checkpoint.from_json(stored_state["_source"]) if stored_state is not None else None

    def save(self, index: str, checkpoint: Checkpoint) -> None:
        ensure_store(self._client, CHECKPOINTS, "checkpoints")
        with translated(CHECKPOINTS):
            self._client.index(
                index=CHECKPOINTS, id=index, document={"index": index, **checkpoint.to_json(), "at": now()}
            )

    def names(self) -> list[str]:
        """The names of indices that were in step with the layer at some time."""
        try:
            with translated(CHECKPOINTS):
                hits = self._client.search(index=CHECKPOINTS, size=_MOST_NAMES, source=False)["hits"]["hits"]
        except IndexMissingError:
            return []
        return [hit["_id"] for hit in hits]

    def saved_at(self, index: str) -> str | None:
        """When the last sync of the index was; None: never."""
        stored_state = stored(self._client, CHECKPOINTS, index)
        return str(stored_state["_source"]["at"]) if stored_state is not None else None
