"""The vocabularies of product indices, one for each name, with the position of the index that was counted.

A small document has the position and the time, and another one the words: who only looks whether there is something new
reads the small one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from elasticsearch import Elasticsearch

from hybrid.elastic.client import translated
from hybrid.elastic.stores.base import ensure_store, now, store_unchanged, stored
from hybrid.errors import DocumentMissingError, IndexMissingError
from hybrid.text.vocabulary import Vocabulary

VOCABULARIES = "hybrid-vocabularies"
#: Seconds after which nobody counts any more who said that they do.
_ABANDONED_S = 600.0

#: (uuid of an index, shard -> (history, sequence number)), see hybrid.elastic.indices.changes.
Position = tuple[str, Mapping[str, tuple[str, int]]]


@dataclass(frozen=True)
class Counted:
    """What is known of the last count. at: when it was, "" for never; seconds: how long it took.

    document: as it is stored, None where it is not; it guards the next write.
    """

    position: Position = ("", {})
    products: int = 0
    at: str = ""
    seconds: float = 0.0
    document: Mapping[str, Any] | None = None

    @property
    def age_s(self) -> float:
        """Seconds since the last count; infinite where there was none."""
        return _age_s(self.at) if self.at else float("inf")

    def writes_until(self, position: Position) -> int | None:
        """Writes to the index since the count; None where it counted another index, or another history of a shard."""
        (uuid, before), (uuid_now, shards) = self.position, position
        if uuid != uuid_now or any(before.get(name, ("", 0))[0] != history for name, (history, _) in shards.items()):
            return None
        return sum(max(0, number - before[name][1]) for name, (_, number) in shards.items())


class VocabularyStore:
    """Keeps the vocabulary of each index name."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def counted(self, index: str) -> Counted:
        """The last count of that name."""
        document = stored(self._client, VOCABULARIES, index)
        if document is None:
            return Counted()
        known = document["_source"]
        shards = {shard: (str(history), int(number)) for shard, (history, number) in known.get("shards", {}).items()}
        position = str(known.get("uuid", "")), shards
        return Counted(position, int(known.get("products", 0)), known.get("at", ""), known.get("seconds", 0), document)

    def claim(self, index: str, counted: Counted) -> Counted | None:
        """Say that this process counts an index now; None where another process does. counted: as it was read."""
        known = dict(counted.document["_source"]) if counted.document else {"index": index}
        if _age_s(known.get("counting")) < _ABANDONED_S:
            return None
        ensure_store(self._client, VOCABULARIES, "vocabularies")
        known["counting"] = now("milliseconds")
        written = store_unchanged(self._client, VOCABULARIES, index, known, counted.document, refresh=False)
        return Counted(document=written) if written is not None else None

    def save(self, index: str, vocabulary: Vocabulary, position: Position, seconds: float, claimed: Counted) -> None:
        """Store what was counted. Raises ClusterError."""
        uuid, shards = position
        document = {
            "index": index,
            "uuid": uuid,
            "shards": {shard: list(pair) for shard, pair in shards.items()},
            "products": vocabulary.products,
            "at": now("milliseconds"),
            "seconds": round(seconds, 3),
        }
        with translated(VOCABULARIES):
            words = {"index": index, "data": vocabulary.to_text()}
            self._client.index(index=VOCABULARIES, id=_words_id(index), document=words)
        store_unchanged(self._client, VOCABULARIES, index, document, claimed.document, refresh=False)

    def at(self, index: str) -> str:
        """When the index was last counted; "" for never. One small request."""
        return str(self._read(index, "at").get("at") or "")

    def load(self, index: str) -> tuple[str, Vocabulary | None]:
        """(when it was counted, the vocabulary) of an index; None where it never was."""
        at, words = self.at(index), self._read(_words_id(index), "data")
        return at, Vocabulary.from_text(words["data"]) if words else None

    def _read(self, id: str, name: str) -> dict[str, Any]:
        try:
            with translated(VOCABULARIES):
                answer = self._client.get(index=VOCABULARIES, id=id, source_includes=[name])
        except (IndexMissingError, DocumentMissingError):
            return {}
        return dict(answer["_source"])


def _words_id(index: str) -> str:
    return f"{index}|words"  # no index has such a name


def _age_s(at: str | None) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds() if at else float("inf")
