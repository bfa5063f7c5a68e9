"""Indices that were written to by others, and that are to be enriched at once. Nobody waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from hybrid.errors import HybridError

logger = logging.getLogger(__name__)

#: Seconds in which writes to an index are collected: one order looks at all of them.
_COLLECT_S = 0.5
_MOST_WAITING = 1_000


class Written:
    """Takes names of indices that were written to, and has each looked at soon, by a thread of its own."""

    def __init__(self, order: Callable[[str], None], collect_s: float = _COLLECT_S) -> None:
        """order: has an index looked at. Where it fails, the next sync finds what was written."""
        self._order, self._collect_s = order, collect_s
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        self._came = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, index: str) -> None:
        """Note that an index was written to. Takes no time."""
        with self._lock:
            if len(self._waiting) < _MOST_WAITING:
                self._waiting.add(index)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="written", daemon=True)
                self._thread.start()
        self._came.set()

    def _work(self) -> None:
        while True:
            self._came.wait()
            time.sleep(self._collect_s)
            self._came.clear()
            with self._lock:
                indices, self._waiting = self._waiting, set()
            for index in sorted(indices):
                try:
                    self._order(index)
                except HybridError as error:
                    logger.warning("written to %s, and left to the next sync: %s", index, error)
                except Exception:
                    logger.exception("written to %s, and left to the next sync", index)
