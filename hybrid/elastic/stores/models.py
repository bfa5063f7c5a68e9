"""Versions of trained models in the cluster: one document each, never changed."""

from __future__ import annotations

from typing import Any

import pybase64
from elasticsearch import Elasticsearch

from hybrid.elastic.client import translated
from hybrid.elastic.stores.base import ensure_store, now, store_unchanged, stored
from hybrid.errors import ModelVersionError


class ModelVersions:
    """Published models of one kind by version; a version's name is unique over all indices.

    kind: "alignments", "sounds" or "tags": the store is named by it, and the command that lists its versions.
    """

    def __init__(self, client: Elasticsearch, kind: str) -> None:
        self._client = client
        self._kind = kind
        self._store = f"hybrid-{kind}"

    def add(self, index: str, version: str, about: dict[str, Any], data: bytes) -> None:
        """Keep a version. about: its method, encoders and report; data: the numbers, as the kind writes them.

        Raises:
            ModelVersionError: there is one of that name.
        """
        ensure_store(self._client, self._store, "models")
        body = {
            **about, "index": index, "version": version, "created": now(), "data": pybase64.b64encode(data).decode(),
        }  # fmt: skip
        if store_unchanged(self._client, self._store, version, body, None) is None:
            raise ModelVersionError(f"{self._kind}: there is a version {version!r} already; choose another name")

    def get(self, version: str) -> tuple[dict[str, Any], bytes]:
        """(index, version, method, created, encoders, report; the data) of a version.

        Raises:
            ModelVersionError: there is none.
        """
        found = stored(self._client, self._store, version)
        if not found:
            raise ModelVersionError(f"{self._kind}: no version {version!r}; see `hybrid {self._kind} list`")
        about = dict(found["_source"])
        return about, pybase64.b64decode(about.pop("data"))

    def list(self, index: str, size: int = 1_000) -> list[dict[str, Any]]:
        """Versions for an index without their data, newest first."""
        with translated(self._store):
            hits = self._client.search(
                index=self._store,
                query={"term": {"index": index}},
                sort=[{"created": "desc"}, {"version": "desc"}],
                size=size,
                source_excludes=["data"],
                ignore_unavailable=True,
            )["hits"]["hits"]
        return [hit["_source"] for hit in hits]
