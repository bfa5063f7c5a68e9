"""Hits as they were shown a moment ago, so that a page of known products costs no second round trip."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from typing import Any

import orjson
from cachetools import LRUCache

from hybrid.dropin.request import Version

#: Bounds what a version cannot tell: an index that was deleted and made anew under its name.
_TTL_S = 5.0


class ShownHits:
    """Hits by index, look and product. Thread-safe.

    A hit is given again only for the very version of the product that the candidates' search has just seen, so a
    change is shown at once, and so is an alias's change of index.
    """

    def __init__(self, most: int = 2_000) -> None:
        self._hits: LRUCache[tuple[bytes, str], tuple[float, Version, dict[str, Any]]] = LRUCache(most)
        self._lock = threading.Lock()

    @staticmethod
    def key(index: str, look: Mapping[str, Any]) -> bytes:
        """Of an index and all that decides how its hits look."""
        return hashlib.blake2b(orjson.dumps([index, look]), digest_size=16).digest()

    def get(self, key: bytes, versions: Mapping[str, Version | None]) -> tuple[dict[str, dict[str, Any]], float]:
        """(product id -> a copy of its hit, of those whose version was shown; until when all of these may be shown).

        versions: product id -> version. The time is of the monotonic clock, in seconds.
        """
        now = time.monotonic()
        found, until = {}, now + _TTL_S
        with self._lock:
            for id, version in versions.items():
                kept = self._hits.get((key, id))
                if kept is not None and kept[1] == version and now < kept[0] + _TTL_S:
                    found[id] = dict(kept[2])
                    until = min(until, kept[0] + _TTL_S)
        return found, until

    def put(self, key: bytes, id: str, version: Version | None, hit: Mapping[str, Any]) -> None:
        if version is None:
            return
        with self._lock:
            self._hits[key, id] = (time.monotonic(), version, dict(hit))
