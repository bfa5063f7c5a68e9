"""The photos that judgment lists name: one small document each, however many judgments and lists name it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from elasticsearch import Elasticsearch

from hybrid.elastic.client import translated
from hybrid.elastic.stores.base import ensure_store, now, stored, write_all
from hybrid.errors import UsageError
from hybrid.evaluation.photos import JudgedPhoto

JUDGED_PHOTOS = "hybrid-judged-photos"
#: In the whole cluster. Each is some 30 kB, and an evaluation holds those of its list.
MAX_PHOTOS = 5_000
_CHUNK = 100


class JudgedPhotos:
    """Photos by their key."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def keep(self, photos: Collection[JudgedPhoto]) -> None:
        """Store photos. Photos that are stored already get the mark of this moment; see `forget`.

        Raises:
            UsageError: there would be more than MAX_PHOTOS.
            ClusterError: the cluster did not take all of them.
        """
        ensure_store(self._client, JUDGED_PHOTOS, "judged_photos")
        by_key = {photo.key: photo for photo in photos}
        missing: list[str] = []
        for keys in _chunks(list(by_key)):
            marks: list[Any] = []
            for key in keys:
                # Other processes may mark it at the same moment.
                mark = {"update": {"_id": key, "retry_on_conflict": 5}}
                marks += [mark, {"doc": {"at": now()}, "detect_noop": False}]
            missing += [key for key, status in self._bulk(marks, 404).items() if status == 404]
        if not missing:
            return
        with translated(JUDGED_PHOTOS):
            self._client.indices.refresh(index=JUDGED_PHOTOS)
            count = self._client.count(index=JUDGED_PHOTOS)["count"]
        if count + len(missing) > MAX_PHOTOS:
            raise UsageError(
                f"{len(missing)} more judged photos would be above the limit of {MAX_PHOTOS:,}; delete a list first"
            )
        for keys in _chunks(missing):
            whole: list[Any] = []
            for key in keys:
                data = base64.b64encode(by_key[key].data).decode()
                whole += [{"index": {"_id": key}}, {"data": data, "at": now()}]
            self._bulk(whole)

    def get(self, key: str) -> JudgedPhoto | None:
        """One photo, or None."""
        doc = stored(self._client, JUDGED_PHOTOS, key)
        return JudgedPhoto(base64.b64decode(doc["_source"]["data"])) if doc else None

    def all(self, keys: Collection[str]) -> dict[str, bytes]:
        """key -> content, of the photos that are stored."""
        return {
            doc["_id"]: base64.b64decode(doc["_source"]["data"])
            for chunk in _chunks(list(keys))
            for doc in self._existing(chunk, True)
        }

    def forget(self, keys: Collection[str], used: Callable[[Sequence[str]], Collection[str]]) -> None:
        """Delete those of `keys` that no judgment names. used: takes keys, and gives those that a judgment names.

        No photo of a judgment is lost: whoever stores a judgment marks its photo after searches see the judgment. So
        either `used` knows the judgment, or the mark is later than the version read here and the photo is not deleted,
        or the photo is stored again.
        """
        for chunk in _chunks(sorted(keys)):
            marks = {doc["_id"]: doc for doc in self._existing(chunk, False)}
            unused = set(marks) - set(used(chunk))
            deletions = [
                {
                    "delete": {
                        "_id": key, "if_seq_no": marks[key]["_seq_no"], "if_primary_term": marks[key]["_primary_term"],
                    }
                }
                for key in unused
            ]  # fmt: skip
            if deletions:
                self._bulk(deletions, 404, 409)

    def _existing(self, keys: Sequence[str], whole: bool) -> list[dict[str, Any]]:
        with translated(JUDGED_PHOTOS):
            answer = self._client.mget(index=JUDGED_PHOTOS, ids=keys, source=whole)
        return [doc for doc in answer["docs"] if doc.get("found")]

    def _bulk(self, operations: list[Any], *allowed: int) -> dict[str, int]:
        return write_all(self._client, JUDGED_PHOTOS, operations, "judged photos", *allowed)


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _CHUNK):
        yield keys[start : start + _CHUNK]
