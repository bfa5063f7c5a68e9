"""A cache of answers. A cached answer is used when the search and the cluster's reply are the same to the byte."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

from cachetools import LRUCache

from hybrid.contracts import IndexProfile
from hybrid.dropin.handling import Handling
from hybrid.dropin.recognise import Recognised
from hybrid.dropin.request import Json


class Origin(NamedTuple):
    """All that an answer depends on. reply: of the cluster, without its times."""

    reply: bytes
    analysis: Recognised
    handling: Handling
    profile: IndexProfile
    weights: Mapping[str, float]
    weights_version: str


class _Entry(NamedTuple):
    until: float
    origin: Origin
    answer: Json


class Repeats:
    """Answers by search. Thread-safe.

    The cluster is asked each time. A cached answer is returned only where everything that it depends on is equal. So it
    is never older than a new answer would be, but takes a third of the time.
    """

    def __init__(self, most: int = 300) -> None:
        self._answers: LRUCache[bytes, _Entry] = LRUCache(most)
        self._lock = threading.Lock()

    def get(self, key: bytes, origin: Origin) -> Json | None:
        """The cached answer of this search, of the same origin. The caller must not change it."""
        with self._lock:
            entry = self._answers.get(key)
        return entry.answer if entry and time.monotonic() < entry.until and entry.origin == origin else None

    def put(self, key: bytes, origin: Origin, answer: Json, until: float) -> None:
        """Cache an answer, which must not be changed from now on. until: by the monotonic clock, in seconds."""
        with self._lock:
            self._answers[key] = _Entry(until, origin, answer)
