"""Answers that were made a moment ago, for the same search when the cluster's reply is the same to the byte."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

from cachetools import LRUCache

from hybrid.contracts import IndexProfile
from hybrid.dropin.recognise import Recognised
from hybrid.dropin.request import Json


class Origin(NamedTuple):
    """All that an answer was made of. reply: the cluster's, without its times. how: what was said of the search."""

    reply: bytes
    analysis: Recognised
    how: str
    profile: IndexProfile
    weights: Mapping[str, float]
    weights_version: str


class _Entry(NamedTuple):
    until: float
    origin: Origin
    answer: Json


class Repeats:
    """Answers by search. Thread-safe.

    The cluster is asked each time, and an answer is given again only where all that it was made of is equal: so it is
    never older than one made anew would be, but takes a third of the time.
    """

    def __init__(self, most: int = 300) -> None:
        self._answers: LRUCache[bytes, _Entry] = LRUCache(most)
        self._lock = threading.Lock()

    def get(self, key: bytes, origin: Origin) -> Json | None:
        """The answer of this search that was made of the same; it must not be changed."""
        with self._lock:
            entry = self._answers.get(key)
        return entry.answer if entry and time.monotonic() < entry.until and entry.origin == origin else None

    def put(self, key: bytes, origin: Origin, answer: Json, until: float) -> None:
        """Remember an answer, which must not be changed from now on. until: by the monotonic clock, in seconds."""
        with self._lock:
            self._answers[key] = _Entry(until, origin, answer)
