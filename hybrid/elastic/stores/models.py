"""Versions of trained models in the cluster, and which one is active for an index.

A version is a head (its description and its report) and parts of at most PART_BYTES each: a cluster of half a gigabyte
of heap refuses one request of tens of megabytes. The parts are written before the head, so a version is whole or
missing. A version is never changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pybase64
from elasticsearch import Elasticsearch

from hybrid.elastic.client import translated
from hybrid.elastic.stores.base import ensure_store, now, store_unchanged, stored, write_all
from hybrid.errors import HybridError, ModelConflictError, ModelMissingError, ModelVersionError

logger = logging.getLogger(__name__)

MODELS = "hybrid-models"
#: Bytes of a model in one document, before base64 makes a third more of them.
PART_BYTES = 1_000_000
#: The age from which a write that has not ended counts as dead. The next write deletes what it left.
_ABANDONED = "1h"
#: Versions of an index that are listed at once.
_MOST = 1_000
#: Versions that a rollback can go back through.
_HISTORY = 50
#: The fields of a head that only the store needs.
_INTERNAL = ("role", "write")
#: The kind of which each index has names of its own. A name of any other kind is unique over all indices, for the users
#: of such a model name no index: the encoder tfidf:VERSION, say.
WEIGHTS = "weights"
#: The name that stands for "no model" of a kind. No version may have it.
NONE = "none"


@dataclass(frozen=True)
class Pointer:
    """Which version of a kind is active for an index, since when, and those before it, the last one last."""

    version: str | None = None
    history: tuple[str | None, ...] = ()
    since: str | None = None

    @property
    def before(self) -> str | None:
        """The version that a rollback makes active; None: no model of the kind."""
        return self.history[-1] if self.history else None


class ModelVersions:
    """Published models of one kind. A version holds its kind, index, version, method, created, encoders, held_out and
    report; `head` and `heads` give these, `get` gives the numbers too.

    index plays a part in finding weights alone; see WEIGHTS.
    """

    def __init__(self, client: Elasticsearch, kind: str) -> None:
        self._client = client
        self.kind = kind

    # -- reading -----------------------------------------------------------------------------------------------------

    def head(self, version: str, index: str = "") -> dict[str, Any]:
        """All of a version but its numbers.

        Raises:
            ModelMissingError: there is none of that name.
        """
        return _public_fields(self._head(version, index))

    def get(self, version: str, index: str = "") -> tuple[dict[str, Any], bytes]:
        """A version, and its numbers as the kind writes them.

        Raises:
            ModelMissingError: there is none of that name.
            ModelVersionError: it is damaged.
        """
        head = self._head(version, index)
        data = b"".join(self._part(head, number) for number in range(head["parts"]))
        if len(data) != head["size"] or _digest(data) != head["sha256"]:
            raise ModelVersionError.damaged(self.kind, version, "its parts are not those that were written")
        return _public_fields(head), data

    def _part(self, head: Mapping[str, Any], number: int) -> bytes:
        which = f"part {number + 1} of {head['parts']}"
        document = stored(self._client, MODELS, _part_id(head["write"], number))
        if document is None:
            raise ModelVersionError.damaged(self.kind, head["version"], f"{which} is missing")
        part = document["_source"]
        try:
            data = pybase64.b64decode(part["data"], validate=True)
        except ValueError:
            data = b""
        if _digest(data) != part["sha256"]:
            raise ModelVersionError.damaged(self.kind, head["version"], f"{which} does not match its checksum")
        return data

    def _head(self, version: str, index: str) -> dict[str, Any]:
        document = stored(self._client, MODELS, self._version_id(version, index))
        if document is None:
            of = f" for index {index!r}" if self.kind == WEIGHTS else ""
            raise ModelMissingError(
                f"there is no {self.kind} version {version!r}{of}; see `hybrid models list {self.kind} --index NAME`"
            )
        return dict(document["_source"])

    def page(
        self, index: str, size: int, before: int = 0, fields: Sequence[str] = (), method: str | None = None
    ) -> tuple[list[dict[str, Any]], int]:
        """(versions of an index, newest first, after the first `before`; how many there are).

        fields: only these of each, such as "report.rows"; none: all but the report. method: only those of it.
        """
        filters: list[dict[str, Any]] = [
            {"term": {"role": "version"}}, {"term": {"kind": self.kind}}, {"term": {"index": index}},
        ]  # fmt: skip
        if method is not None:
            filters.append({"term": {"method": method}})
        with translated(MODELS):
            hits = self._client.search(
                index=MODELS,
                query={"bool": {"filter": filters}},
                sort=[{"created": "desc"}, {"version": "desc"}],
                size=size,
                from_=before,
                source_includes=list(fields) or None,
                source_excludes=None if fields else ["report"],
                track_total_hits=True,
                ignore_unavailable=True,
            )["hits"]
        return [_public_fields(hit["_source"]) for hit in hits["hits"]], int(hits["total"]["value"])

    def heads(self, index: str) -> list[dict[str, Any]]:
        """Versions of an index without their reports, newest first."""
        return self.page(index, _MOST)[0]

    def names(self, index: str) -> Sequence[str]:
        """Names of the versions of an index, newest first."""
        return [entry["version"] for entry in self.page(index, _MOST, fields=["version"])[0]]

    def latest(self, index: str, method: str) -> str | None:
        """The newest version of a method."""
        versions, _ = self.page(index, 1, fields=["version"], method=method)
        return str(versions[0]["version"]) if versions else None

    def next_name(self, index: str, stem: str) -> str:
        """STEM-NUMBER, with a number that no version of the index has yet."""
        # A version that was named by hand may have no number.
        numbers = [int(end) for name in self.names(index) if (end := name.rpartition("-")[2]).isdecimal()]
        number = max(numbers, default=0) + 1
        while stored(self._client, MODELS, self._version_id(f"{stem}-{number}", index)) is not None:
            number += 1  # another index has a version of that name
        return f"{stem}-{number}"

    # -- writing -----------------------------------------------------------------------------------------------------

    def add(self, index: str, version: str, about: Mapping[str, Any], data: bytes) -> None:
        """Keep a version. about: its method, encoders, held_out and report; data: its numbers.

        Raises:
            ModelVersionError: there is a version of that name; or the write took so long that it counts as dead.
            ClusterError: the cluster refuses it. Nothing is stored then.
        """
        if version in ("", NONE):
            raise ModelVersionError(f"no version can be named {version!r}; choose another name")
        ensure_store(self._client, MODELS, "models")
        self.sweep()
        if stored(self._client, MODELS, self._version_id(version, index)) is not None:
            raise self._taken(version)
        parts = [data[start : start + PART_BYTES] for start in range(0, len(data), PART_BYTES)]
        write = uuid.uuid4().hex
        beginning = self._begin(write, version, len(parts))
        try:
            for number, part in enumerate(parts):
                body = {
                    "role": "part", "kind": self.kind, "version": version, "write": write, "at": now(),
                    "sha256": _digest(part), "data": pybase64.b64encode(part).decode(),
                }  # fmt: skip
                with translated(MODELS):
                    self._client.index(index=MODELS, id=_part_id(write, number), document=body, op_type="create")
            # A sweep claims an old note, then deletes the parts. Written again, the note is new: no sweep claims it.
            again = {**beginning["_source"], "at": now()}
            if store_unchanged(self._client, MODELS, _note_id(write), again, beginning) is None:
                raise ModelVersionError(f"writing {self.kind} {version!r} took too long; do the same again")
            head = {
                **about, "role": "version", "kind": self.kind, "index": index, "version": version,
                "created": now("milliseconds"), "parts": len(parts), "size": len(data), "sha256": _digest(data),
                "write": write,
            }  # fmt: skip
            if store_unchanged(self._client, MODELS, self._version_id(version, index), head, None) is None:
                raise self._taken(version)
        except HybridError:
            with contextlib.suppress(HybridError):  # the next sweep finds what stays
                self._drop(write, len(parts))
            raise
        self._delete([_note_id(write)])

    def remove(self, version: str, index: str = "") -> None:
        """Delete a version. The caller checks that it is not active.

        Raises:
            ModelMissingError: there is none of that name.
        """
        head = self._head(version, index)
        # Until the parts are deleted, a note says that they belong to no version.
        self._begin(head["write"], version, head["parts"])
        self._delete([self._version_id(version, index)])
        self._drop(head["write"], head["parts"])

    def sweep(self, older_than: str = _ABANDONED) -> int:
        """Delete what dead writes left, and return how many writes died. older_than: a duration of Elasticsearch."""
        query = {"bool": {"filter": [{"term": {"role": "writing"}}, {"range": {"at": {"lte": f"now-{older_than}"}}}]}}
        with translated(MODELS):
            hits = self._client.search(index=MODELS, query=query, size=100, seq_no_primary_term=True)["hits"]["hits"]
        died = 0
        for hit in hits:
            note = hit["_source"]
            owned = {"term": {"write": note["write"]}}, {"term": {"role": "version"}}
            with translated(MODELS):
                whole = self._client.count(index=MODELS, query={"bool": {"filter": list(owned)}})["count"]
            # Writing the note claims it: its own writer, or a sweep at the same moment, sees that the note has changed.
            claimed = store_unchanged(self._client, MODELS, hit["_id"], {**note, "at": now()}, hit)
            if claimed is None:
                continue
            if whole:
                self._delete([hit["_id"]])  # the write ended, and its process died before it deleted the note
            else:
                self._drop(note["write"], note["parts"])
                died += 1
                logger.warning("deleted what a write of %s %r left that died", note["kind"], note["version"])
        return died

    def _begin(self, write: str, version: str, parts: int) -> dict[str, Any]:
        """Store a note that parts are being written or deleted. Returns the note, with its sequence number."""
        note = {
            "role": "writing", "kind": self.kind, "version": version, "write": write, "parts": parts, "at": now(),
        }  # fmt: skip
        with translated(MODELS):
            answer = self._client.index(index=MODELS, id=_note_id(write), document=note, refresh=True).body
        return {**answer, "_source": note}

    def _drop(self, write: str, parts: int) -> None:
        """Delete parts, and then their note."""
        for start in range(0, parts, 100):
            self._delete([_part_id(write, number) for number in range(start, min(start + 100, parts))])
        self._delete([_note_id(write)])

    def _delete(self, ids: Sequence[str]) -> None:
        deletions = [{"delete": {"_id": id}} for id in ids]
        write_all(self._client, MODELS, deletions, "deletions of models", 404, refresh=True)

    def _taken(self, version: str) -> ModelVersionError:
        return ModelVersionError(f"there is a {self.kind} version {version!r} already; choose another name")

    # -- the active one ----------------------------------------------------------------------------------------------

    def active(self, index: str) -> str | None:
        """The version that the pointer of an index names; None where no version was ever applied."""
        return self.pointer(index).version

    def pointer(self, index: str) -> Pointer:
        """The active version of an index, and those before it."""
        return _pointer(stored(self._client, MODELS, self._pointer_id(index)))

    def pointed_at(self, version: str) -> list[str]:
        """The indices whose pointer names a version."""
        filters = [{"term": {name: value}} for name, value in
                   (("role", "active"), ("kind", self.kind), ("version", version))]  # fmt: skip
        with translated(MODELS):
            hits = self._client.search(
                index=MODELS, query={"bool": {"filter": filters}}, size=1_000, source_includes=["index"],
                ignore_unavailable=True,
            )["hits"]["hits"]  # fmt: skip
        return sorted(hit["_source"]["index"] for hit in hits)

    def activate(
        self,
        index: str,
        version: str | None,
        instead_of: Collection[str | None] | None = None,
        before: str | None = None,
    ) -> None:
        """Point an index at a version (None: at no model). The version before goes into the history for `rollback`.

        instead_of: the active version must be one of these. before: the version that is in use, where the pointer says
        another one: settings can change the version when an index is built again.

        Raises:
            ModelConflictError: another process changed the pointer at the same moment, or the active version is none
                of `instead_of`.
        """
        document = stored(self._client, MODELS, self._pointer_id(index))
        pointer = _pointer(document)
        self._expect(pointer, instead_of)
        if document is not None and version == pointer.version and before in (None, version):
            return
        history = pointer.history
        if before is not None and before != version:
            history = (*history, before)
        elif document is not None and version != pointer.version:
            history = (*history, pointer.version)
        self._point(index, version, history[-_HISTORY:], document)

    def rollback(self, index: str, instead_of: Collection[str | None] | None = None) -> str | None:
        """Point an index at the version before the active one. Returns that version; None: no model.

        Raises:
            ModelConflictError: nothing was applied; or as for `activate`.
        """
        document = stored(self._client, MODELS, self._pointer_id(index))
        pointer = _pointer(document)
        self._expect(pointer, instead_of)
        if pointer.version is None and not pointer.history:
            raise ModelConflictError(f"no {self.kind} was applied to index {index!r}; there is nothing to roll back")
        self._point(index, pointer.before, pointer.history[:-1], document)
        return pointer.before

    def _point(self, index: str, version: str | None, history: Sequence[str | None], document: Any) -> None:
        ensure_store(self._client, MODELS, "models")
        body = {
            "role": "active", "kind": self.kind, "index": index, "version": version, "history": list(history),
            "since": now(),
        }  # fmt: skip
        if store_unchanged(self._client, MODELS, self._pointer_id(index), body, document) is None:
            raise ModelConflictError(f"somebody else changed the active {self.kind} just now; look, and try again")

    def _expect(self, pointer: Pointer, expected: Collection[str | None] | None) -> None:
        if expected is not None and pointer.version not in expected:
            raise ModelConflictError(
                f"somebody else made {pointer.version or 'no version'} of {self.kind} active meanwhile; look again, "
                "then decide"
            )

    def _pointer_id(self, index: str) -> str:
        return f"active:{self.kind}:{index}"

    def _version_id(self, version: str, index: str) -> str:
        return f"version:{self.kind}:{index if self.kind == WEIGHTS else ''}:{version}"


def _pointer(document: Mapping[str, Any] | None) -> Pointer:
    body = document["_source"] if document else {}
    return Pointer(body.get("version"), tuple(body.get("history", ())), body.get("since"))


def _public_fields(head: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in head.items() if name not in _INTERNAL}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _part_id(write: str, number: int) -> str:
    return f"part:{write}:{number}"


def _note_id(write: str) -> str:
    return f"writing:{write}"


#: Takes a kind of model, and gives its versions, as Services.models does.
ModelStores = Callable[[str], ModelVersions]
