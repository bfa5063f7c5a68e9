"""Answers that were made a moment ago, for the same search when the cluster's reply is the same to the byte."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from cachetools import LRUCache

#: What an answer was made of.
Made = tuple[Any, ...]


class Repeats:
    """Answers by search. Thread-safe.

    The cluster is asked each time, and an answer is given again only where all that it was made of is equal: so it is
    never older than one made anew would be, but takes a third of the time.
    """

    def __init__(self, most: int = 300) -> None:
        self._answers: LRUCache[bytes, tuple[float, Made, Mapping[str, Any]]] = LRUCache(most)
        self._lock = threading.Lock()

    def get(self, key: bytes, made: Made) -> Mapping[str, Any] | None:
        """The answer of this search that was made of the same."""
        with self._lock:
            kept = self._answers.get(key)
        return kept[2] if kept is not None and time.monotonic() < kept[0] and kept[1] == made else None

    def put(self, key: bytes, made: Made, answer: Mapping[str, Any], until: float) -> None:
        """Remember an answer, which must not be changed from now on. until: by the monotonic clock, in seconds."""
        with self._lock:
            self._answers[key] = (until, made, answer)
