"""Indices that were written to by others, and that are to be enriched at once. Nobody waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from hybrid.errors import HybridError

logger = logging.getLogger(__name__)

#: Seconds in which writes to an index are collected, and seconds from one order to the next: one looks at all of them,
#: and workers that are behind are not given the same work again and again.
_COLLECT_S, _EVERY_S = 0.5, 5.0
_MOST = 1_000


class Written:
    """Takes names of indices that were written to, and has each looked at soon, by a thread of its own."""

    def __init__(self, order: Callable[[str], None], collect_s: float = _COLLECT_S, every_s: float = _EVERY_S) -> None:
        """order: has an index looked at. Where it fails, the next sync finds what was written."""
        self._order, self._collect_s, self._every_s = order, collect_s, every_s
        self._waiting: set[str] = set()
        self._ordered_at: dict[str, float] = {}
        self._lock = threading.Lock()
        self._came = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, index: str) -> None:
        """Note that an index was written to. Takes no time."""
        with self._lock:
            if len(self._waiting) < _MOST:
                self._waiting.add(index)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="written", daemon=True)
                self._thread.start()
        self._came.set()

    def _work(self) -> None:
        while True:
            self._came.wait()
            time.sleep(self._collect_s)
            for index in self._due():
                try:
                    self._order(index)
                except HybridError as error:
                    logger.warning("written to %s, and left to the next sync: %s", index, error)
                except Exception:
                    logger.exception("written to %s, and left to the next sync", index)

    def _due(self) -> list[str]:
        """The indices to order now; those that were ordered a moment ago go on waiting."""
        now = time.monotonic()
        with self._lock:
            self._ordered_at = {one: at for one, at in self._ordered_at.items() if now - at < self._every_s}
            due = self._waiting.difference(self._ordered_at)
            self._ordered_at |= dict.fromkeys(due, now)
            self._waiting -= due
            if not self._waiting:
                self._came.clear()
        return sorted(due)
