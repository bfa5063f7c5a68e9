"""How long searches took in the last minutes, how many were degraded and how many failed, over all web processes.

Each process counts its own searches in memory, by minute and in steps of ten percent, and saves the counts in the
cluster some seconds later, in a thread of its own. No search waits for it. The last seconds of a killed process are
lost.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from hybrid.errors import HybridError

logger = logging.getLogger(__name__)

WINDOW_MIN = 15
_STEP, _LEAST_MS = 1.1, 0.1


class StoreLike(Protocol):
    def save(self, process: str, minutes: Mapping[str, Mapping[str, int]]) -> None: ...
    def load(self, minutes: int) -> Mapping[str, Mapping[str, Mapping[str, int]]]: ...
    def forget_silent(self) -> None: ...


class SearchTimes:
    """Counts the searches of this process, and sums up those of all processes. Construct it after a fork, not before.

    store: gives the store when it is needed, so that an unreachable cluster delays no search. clock: the time of day,
    in seconds since 1970, which processes share. save_after_s: seconds from a search until its count is saved. process:
    the name under which this process saves its counts.
    """

    def __init__(
        self,
        store: Callable[[], StoreLike],
        clock: Callable[[], float] = time.time,
        save_after_s: float = 10.0,
    ) -> None:
        self._store, self._clock, self._save_after_s = store, clock, save_after_s
        self.process = uuid.uuid4().hex
        self._lock = threading.Lock()
        #: minute of the clock -> "way:degraded", "way:failed" or "way:STEP" -> how often
        self._minutes: dict[int, Counter[str]] = {}
        self._timer: threading.Timer | None = None
        self._first, self._silent = True, False

    def add(self, way: str, took_ms: float, degraded: bool = False, failed: bool = False) -> None:
        """Count a search. way: the interface that it came by."""
        minute = int(self._clock() // 60)
        step = round(math.log(max(took_ms, _LEAST_MS), _STEP))
        counted = [f"{way}:{step}", *([f"{way}:degraded"] if degraded else []), *([f"{way}:failed"] if failed else [])]
        with self._lock:
            self._minutes.setdefault(minute, Counter()).update(counted)
            for old in [known for known in self._minutes if known <= minute - WINDOW_MIN]:
                del self._minutes[old]
            if self._timer is None:
                self._timer = threading.Timer(self._save_after_s, self.save)
                self._timer.daemon = True
                self._timer.start()

    def save(self) -> None:
        """Save the counts in the cluster. Where that fails, the next call saves them."""
        with self._lock:
            self._timer = None
            counts = self._counts()
        try:
            store = self._store()
            store.save(self.process, counts)
            if self._first:
                store.forget_silent()
            self._first = self._silent = False
        except HybridError as error:
            # A warning once: without the privilege, each of the later attempts fails as well.
            logger.log(logging.DEBUG if self._silent else logging.WARNING, "search times are not saved: %s", error)
            self._silent = True

    def summary(self) -> dict[str, Any]:
        """{"minutes", "processes", "ways": {way: {"count", "p50_ms", "p95_ms", "degraded", "failed"}}}, the last two as
        shares. Times are exact to five percent.

        Raises:
            ClusterError: the cluster does not answer.
        """
        counts_by_process = dict(self._store().load(WINDOW_MIN))
        with self._lock:
            counts_by_process[self.process] = self._counts()  # newer than what the cluster has of it
        first = int(self._clock() // 60) - WINDOW_MIN + 1
        total: Counter[str] = Counter()
        processes = 0
        for minutes in counts_by_process.values():
            lately = [minute_counts for minute, minute_counts in minutes.items() if int(minute) >= first]
            processes += any(lately)
            for minute_counts in lately:
                total.update(minute_counts)
        ways = sorted({what.partition(":")[0] for what in total})
        return {
            "minutes": WINDOW_MIN,
            "processes": processes,
            "ways": {way: _figures(way, total) for way in ways},
        }

    def _counts(self) -> dict[str, dict[str, int]]:
        return {str(minute): dict(counts) for minute, counts in self._minutes.items()}


def _figures(way: str, total: Mapping[str, int]) -> dict[str, Any]:
    mine = {what.partition(":")[2]: count for what, count in total.items() if what.startswith(f"{way}:")}
    degraded, failed = mine.pop("degraded", 0), mine.pop("failed", 0)
    steps = sorted((int(step), count) for step, count in mine.items())
    count = sum(count for _, count in steps)
    return {
        "count": count,
        "p50_ms": _percentile(steps, 0.5 * count),
        "p95_ms": _percentile(steps, 0.95 * count),
        "degraded": degraded / count,
        "failed": failed / count,
    }


def _percentile(steps: list[tuple[int, int]], searches: float) -> float:
    """Milliseconds within which this number of searches was answered."""
    seen = itertools.accumulate(count for _, count in steps)
    return float(_STEP ** next(step for (step, _), so_far in zip(steps, seen, strict=True) if so_far >= searches))
