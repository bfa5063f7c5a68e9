"""Has every search counted: how long it took, whether it was degraded, whether it failed."""

from __future__ import annotations

import time

from flask import Flask, Response, g, request

from web.services import services

#: Endpoint -> by which way a search came. Those of the drop-in are counted where they are answered.
_SEARCHES = {
    "api.search": "api",
    "page.index": "page",
}


def install(app: Flask) -> None:
    """Have the searches of an app counted."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.began = time.perf_counter()


def _end(response: Response) -> Response:
    way = _SEARCHES.get(request.endpoint or "")
    if way and "began" in g:
        degraded = bool(g.get("degraded"))
        took_ms = (time.perf_counter() - g.began) * 1000
        services().search_times.add(way, took_ms, degraded, response.status_code >= 500)
    return response
