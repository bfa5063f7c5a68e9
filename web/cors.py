"""Answers to pages of other web sites, which browsers hand over only where a header names the site."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from hybrid.errors import UsageError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(?::\d{1,5})?|https?://\[[0-9a-f:]+\](?::\d{1,5})?")
_PLACES = ("/es", "/api")
_EXPOSED = "Retry-After, Warning, X-Elastic-Product, X-Hybrid, X-Opaque-Id, X-Request-Id"
_PREFLIGHT = (
    ("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE"),
    (
        "Access-Control-Allow-Headers",
        "Accept, Authorization, Content-Type, X-Elastic-Client-Meta, X-Hybrid-Key, X-Opaque-Id, X-Request-Id",
    ),
    ("Access-Control-Max-Age", "600"),
)


class Cors:
    """The WSGI app before another one: names the sites that may read what is at /es and /api.

    No cookie counts there, so none is asked for. What a page may not read, its browser keeps from it; what it may send
    is for keys and tokens to decide.
    """

    def __init__(self, app: WSGIApplication, origins: str) -> None:
        """origins: comma-separated.

        Raises:
            UsageError: one of them is no origin of a web site.
        """
        self._app = app
        self._origins = frozenset(one.strip() for one in origins.split(",") if one.strip())
        for one in self._origins:
            if not _ORIGIN.fullmatch(one):
                raise UsageError(f"setting cors_origins: {one!r} is not an origin such as https://shop.example")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path, origin = environ.get("PATH_INFO", ""), environ.get("HTTP_ORIGIN")
        if not any(path == place or path.startswith(f"{place}/") for place in _PLACES):
            return self._app(environ, start_response)
        more = [("Vary", "Origin")]
        if origin in self._origins:
            more += [("Access-Control-Allow-Origin", str(origin)), ("Access-Control-Expose-Headers", _EXPOSED)]
            if environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
                more += _PREFLIGHT

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            return start_response(status, [*headers, *more], exc_info)

        return self._app(environ, start)
