"""Answers to pages of other web sites, which browsers hand over only where a header names the site."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from hybrid.errors import UsageError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(?::\d{1,5})?|https?://\[[0-9a-f:]+\](?::\d{1,5})?")
_PORTS = {"http": ":80", "https": ":443"}
_PLACES = ("/es", "/api")
_VARY = ("Vary", "Origin")
_EXPOSED = "Retry-After, Warning, X-Elastic-Product, X-Hybrid, X-Opaque-Id, X-Request-Id"
_PREFLIGHT = (
    ("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE"),
    (
        "Access-Control-Allow-Headers",
        "Accept, Authorization, Content-Type, X-Elastic-Client-Meta, X-Hybrid-Key, X-Opaque-Id, X-Request-Id",
    ),
    ("Access-Control-Max-Age", "600"),
)


class Origins:
    """The web sites that may read what is at /es and /api."""

    def __init__(self, listed: str) -> None:
        """listed: comma-separated.

        Raises:
            UsageError: one of them is no origin of a web site.
        """
        self._listed = frozenset(_origin(one.strip()) for one in listed.split(",") if one.strip())

    def headers(self, path: str, origin: str | None) -> list[tuple[str, str]]:
        """Headers of the answer to a page of an origin; none where no site is listed, or pages read nothing."""
        if not self._listed or not any(path == place or path.startswith(f"{place}/") for place in _PLACES):
            return []
        if origin not in self._listed:
            return [_VARY]
        return [_VARY, ("Access-Control-Allow-Origin", str(origin)), ("Access-Control-Expose-Headers", _EXPOSED)]


def _origin(entry: str) -> str:
    """An origin as a browser sends it: without the port that is its scheme's own."""
    if not _ORIGIN.fullmatch(entry):
        raise UsageError(f"setting cors_origins: {entry!r} is not an origin such as https://shop.example")
    scheme = entry.partition(":")[0]
    return entry.removesuffix(_PORTS[scheme])


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
        self._app, self._origins = app, Origins(origins)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        more = self._origins.headers(environ.get("PATH_INFO", ""), environ.get("HTTP_ORIGIN"))
        asks = environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        if asks and len(more) > 1:
            more += _PREFLIGHT

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            return start_response(status, [*headers, *more], exc_info)

        return self._app(environ, start)
