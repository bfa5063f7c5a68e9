"""A cache of the hits of recent pages, so that a page of the same products costs no second round trip."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from typing import Any

import orjson
from cachetools import LRUCache

from hybrid.dropin.request import Version

#: Bounds the age of what a version cannot tell: an index that was deleted and created again under its name.
_TTL_S = 5.0


class HitCache:
    """Hits by index, look and product. Thread-safe.

    A hit is used again only for the version of the product that the candidates' search has just read. So a change of
    the product shows at once, and so does an alias's change of index.
    """

    def __init__(self, most: int = 2_000) -> None:
        self._hits: LRUCache[tuple[bytes, str], tuple[float, Version, dict[str, Any]]] = LRUCache(most)
        self._lock = threading.Lock()

    @staticmethod
    def key(index: str, look: Mapping[str, Any]) -> bytes:
        """A key for an index and a look: all but the product that decides how a hit looks."""
        return hashlib.blake2b(orjson.dumps([index, look]), digest_size=16).digest()

    def get(self, key: bytes, versions: Mapping[str, Version | None]) -> tuple[dict[str, dict[str, Any]], float]:
        """(product id -> a copy of its cached hit of this version, the time until which all of these are valid).

        versions: product id -> version. The time is in seconds of the monotonic clock.
        """
        now = time.monotonic()
        hits, until = {}, now + _TTL_S
        with self._lock:
            for id, version in versions.items():
                cached = self._hits.get((key, id))
                if cached is not None and cached[1] == version and now < cached[0] + _TTL_S:
                    hits[id] = dict(cached[2])
                    until = min(until, cached[0] + _TTL_S)
        return hits, until

    def put(self, key: bytes, id: str, version: Version | None, hit: Mapping[str, Any]) -> None:
        if version is None:
            return
        with self._lock:
            self._hits[key, id] = (time.monotonic(), version, dict(hit))
