"""How long searches took in this process, and how many were degraded, over the last minutes."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from flask import Flask, Response, g, request

from hybrid.evaluation import latency

#: Searches are kept so many seconds, and no more of them than that.
WINDOW_S = 15 * 60
_MOST = 20_000
_SEARCHES = {"api.search": "api", "page.index": "page", "compat.search": "drop-in", "compat.msearch": "drop-in"}


class Latency:
    """Durations of searches: (when, way, milliseconds, degraded, failed)."""

    def __init__(self) -> None:
        self.since = time.time()
        self._kept: deque[tuple[float, str, float, bool, bool]] = deque(maxlen=_MOST)
        self._lock = threading.Lock()

    def add(self, way: str, took_ms: float, degraded: bool, failed: bool) -> None:
        with self._lock:
            self._kept.append((time.time(), way, took_ms, degraded, failed))

    def summary(self) -> dict[str, Any]:
        """{"minutes", "ways": {way: {"count", "p50_ms", "p95_ms", "degraded", "failed"}}}, the last two as shares."""
        now = time.time()
        with self._lock:
            kept = [one for one in self._kept if now - one[0] <= WINDOW_S]
        ways = {}
        for way in sorted({one[1] for one in kept}):
            mine = [one for one in kept if one[1] == way]
            ways[way] = {
                "count": len(mine),
                **latency([one[2] for one in mine]),
                "degraded": sum(one[3] for one in mine) / len(mine),
                "failed": sum(one[4] for one in mine) / len(mine),
            }
        return {"minutes": min(WINDOW_S, now - self.since) / 60, "ways": ways}


_here = Latency()


def of_this_process() -> dict[str, Any]:
    """See `Latency.summary`."""
    return _here.summary()


def install(app: Flask) -> None:
    """Have the searches of an app measured."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.began = time.perf_counter()


def _end(response: Response) -> Response:
    way = _SEARCHES.get(request.endpoint or "")
    if way and "began" in g:
        degraded = g.get("degraded", False) or "degraded" in response.headers.get("X-Hybrid", "")
        _here.add(way, (time.perf_counter() - g.began) * 1000, degraded, response.status_code >= 500)
    return response
