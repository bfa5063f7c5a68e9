"""Versions of trained alignments in the cluster: one document each, never changed."""

from __future__ import annotations

from typing import Any

import pybase64
from elasticsearch import Elasticsearch

from hybrid.elastic.client import translated
from hybrid.elastic.stores import ensure_store, now, store_unchanged, stored
from hybrid.errors import AlignmentError

ALIGNMENTS = "hybrid-alignments"


class Alignments:
    """Published alignments by version; a version's name is unique over all indices."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def add(self, index: str, version: str, about: dict[str, Any], data: bytes) -> None:
        """Keep a version. about: its method, encoders and report; data: see hybrid.learning.alignment.

        Raises:
            AlignmentError: there is one of that name.
        """
        ensure_store(self._client, ALIGNMENTS, "alignments")
        body = {
            **about, "index": index, "version": version, "created": now(), "data": pybase64.b64encode(data).decode(),
        }  # fmt: skip
        if store_unchanged(self._client, ALIGNMENTS, version, body, None) is None:
            raise AlignmentError(f"an alignment {version!r} exists already; choose another name")

    def get(self, version: str) -> tuple[dict[str, Any], bytes]:
        """(index, version, method, created, encoders, report; the data) of a version.

        Raises:
            AlignmentError: there is none.
        """
        found = stored(self._client, ALIGNMENTS, version)
        if not found:
            raise AlignmentError(f"no alignment {version!r}; see `hybrid alignments list`")
        about = dict(found["_source"])
        return about, pybase64.b64decode(about.pop("data"))

    def list(self, index: str, size: int = 1_000) -> list[dict[str, Any]]:
        """Versions for an index without their data, newest first."""
        with translated(ALIGNMENTS):
            hits = self._client.search(
                index=ALIGNMENTS,
                query={"term": {"index": index}},
                sort=[{"created": "desc"}, {"version": "desc"}],
                size=size,
                source_excludes=["data"],
                ignore_unavailable=True,
            )["hits"]["hits"]
        return [hit["_source"] for hit in hits]
