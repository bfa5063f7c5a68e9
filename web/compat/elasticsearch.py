"""The drop-in `_search`: Elasticsearch's own interface for searches, at /es. Reads the wire, calls the core, answers.

Everything under /es answers in the cluster's shape, errors too, so that its official clients understand it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from werkzeug.wrappers import Request, Response

from hybrid.dropin import MAX_BODY_BYTES, MAX_SEARCHES, IncomingSearch, Outcome
from hybrid.dropin.request import MSEARCH, ROUTE
from hybrid.errors import RefusedError
from web.answers import ClusterError, ClusterInfo
from web.compat.proxied import WrongMethodError, forwarded
from web.compat.reading import body_of, has_key
from web.openapi import Described, Route
from web.requests import WholeBody, describe, finish, is_busy, read_json, request_id
from web.services import ServicesLike

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_VENDOR = re.compile(r"application/vnd\.elasticsearch\+(?:x-nd)?json\s*;\s*compatible-with\s*=\s*(\d+)")
_TAKEN = ("application/json", "application/x-ndjson", "application/vnd.elasticsearch+json",
          "application/vnd.elasticsearch+x-ndjson")  # fmt: skip
_MAX_HOW_CHARS = 1_000
#: How a search was handled that would have been ranked better in quieter times.
_DEGRADED = re.compile(r"\b(?:degraded|busy)\b")


class _Request(WholeBody, Request):
    """A request at /es: its body is whole, and of bounded length."""

    max_content_length = MAX_BODY_BYTES


class Compat:
    """The WSGI app of /es, before another one that has all else.

    Not a part of the Flask app: its routing, contexts and hooks took a third of the time of a search that is ranked.
    """

    def __init__(self, rest: WSGIApplication, services: ServicesLike) -> None:
        self._rest = rest
        self._services = services

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path != "/es" and not path.startswith("/es/"):
            return self._rest(environ, start_response)
        began = time.perf_counter()
        request = _Request(environ)
        id = request_id(request.headers.get("X-Request-Id", ""))
        view = None
        try:
            if request.method == "OPTIONS":
                response = _options(self._services)
            else:
                view, index = self._routed(request)
                _check_form(request)
                response = view(request, self._services, index)
        except Exception as error:  # the one place where errors become answers, as in web
            response = _error_answer(request, error, id)
        finish(response.headers, request.is_secure)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Request-Id"] = id
        if view in (_search, _msearch):  # a request with many searches counts as one
            took_ms = (time.perf_counter() - began) * 1000
            degraded = bool(_DEGRADED.search(response.headers["X-Hybrid"]))
            self._services.search_times.add("drop-in", took_ms, degraded, response.status_code >= 500)
        return response(environ, start_response)

    def _routed(self, request: Request) -> tuple[View, str | None]:
        """(view, index) of an address, for a caller who shows the key of searches or of the proxy, where there is one.

        Raises:
            RefusedError: the key is missing, or the address is none of those, or not for this method.
        """
        settings = self._services.settings
        view, index, methods = _found(request.path)
        forwards = self._services.proxy is not None
        if view is None and forwards:
            return _forward, None
        # A key of the proxy alone is asked for as well: searches read by the layer's own credentials.
        keys = [
            key for key in (settings.dropin_key, settings.dropin_proxy_key if forwards else None) if key is not None
        ]
        if keys and not has_key(request, *keys):
            raise RefusedError("missing or wrong key; send it as an API key", "security_exception", 401)
        if view is None:
            only = f"only searches are served here: no [{request.method}] of [{request.path}]"
            raise RefusedError(only, "security_exception", 403)
        if request.method not in methods and not (request.method == "HEAD" and "GET" in methods):
            raise WrongMethodError(request, [*methods, "HEAD"])
        return view, index


@Described(gives=ClusterInfo, errors=(401, 406, 415, 503), error=ClusterError)
def _info(request: Request, services: ServicesLike, index: str | None) -> Response:
    """Which Elasticsearch this is, as its clients ask first."""
    version = services.health()["elasticsearch"].get("version")
    if version is None:
        raise RefusedError("Elasticsearch does not answer", "service_unavailable", 503)
    number = {"number": version, "build_flavor": "default", "minimum_wire_compatibility_version": version}
    about = {"name": "hybrid", "cluster_name": "hybrid", "version": number, "tagline": "You Know, for Search"}
    return _json(request, orjson.dumps(about), 200)


def _searches(kind: str, schema: str, example: Any) -> Described:
    """Searches as Elasticsearch describes them and their answers."""
    body = {"schema": {"type": schema}, "example": example}
    return Described(
        dict.fromkeys((f"application/{kind}", f"application/vnd.elasticsearch+{kind}"), body),
        {"took": 12, "timed_out": False, "hits": {}} if schema == "object" else {"took": 12, "responses": []},
        optional=True, headers=("X-Hybrid",), error=ClusterError,
        errors=(400, 401, 403, 406, 413, 415, 502, 503, 504),
    )  # fmt: skip


@_searches("json", "object", {"query": {"match": {"title": "desk lamp"}}, "size": 10})
def _search(request: Request, services: ServicesLike, index: str | None) -> Response:
    """One Elasticsearch search, ranked by the layer where it can be."""
    if _goes_on(services, [index]):
        return _forward(request, services, index)
    body = _object(body_of(request, MAX_BODY_BYTES) or b"{}")
    return _answer(request, services.dropin.search(index or "", body, _params(request), is_busy(request)))


@_searches("x-ndjson", "string", '{"index":"shop"}\n{"query":{"match":{"title":"desk lamp"}}}\n')
def _msearch(request: Request, services: ServicesLike, index: str | None) -> Response:
    """Several Elasticsearch searches, each of one index, which the address or its header names."""
    params = _params(request)
    if unknown := sorted(set(params) - MSEARCH):
        raise RefusedError(f"request [{request.path}] contains unrecognized parameter: [{unknown[0]}]")
    lines = body_of(request, MAX_BODY_BYTES).split(b"\n")
    if lines and lines[-1].strip():
        raise RefusedError("The msearch request must be terminated by a newline [\\n]")
    lines = lines[:-1]
    if len(lines) % 2 or len(lines) > 2 * MAX_SEARCHES:
        raise RefusedError(f"a header and a body a line are wanted, at most [{MAX_SEARCHES}] of them")
    searches = [
        _incoming(_object(head or b"{}"), _object(body), index)
        for head, body in zip(lines[::2], lines[1::2], strict=True)
    ]
    if _goes_on(services, [search.index for search in searches]):
        return _forward(request, services, index)
    return _answer(request, services.dropin.msearch(searches, params, is_busy(request)))


def _goes_on(services: ServicesLike, indices: Sequence[str | None]) -> bool:
    """Whether searches are forwarded: the proxy may name their indices, and the layer has no part in one of them."""
    proxy = services.proxy
    if proxy is None or not all(map(proxy.allows, indices)):
        return False
    return not all(services.dropin.serves(str(index)) for index in indices)


def _forward(request: Request, services: ServicesLike, index: str | None) -> Response:
    """What is no search of the layer, where the proxy is on."""
    assert services.proxy is not None
    return forwarded(request, services.proxy, services.settings)


View = Callable[[Request, ServicesLike, str | None], Response]
#: Address below /es -> (methods, view). HEAD is a GET whose answer has no body.
ADDRESSES: dict[str, tuple[tuple[str, ...], View]] = {
    "/": (("GET",), _info),
    "/{index}/_search": (("GET", "POST"), _search),
    "/{index}/_msearch": (("GET", "POST"), _msearch),
    "/_msearch": (("GET", "POST"), _msearch),
}


def routes() -> list[Route]:
    """The addresses, for the description of the API."""
    return [
        Route(f"/es{path}", method, f"dropin{'_index' * ('/{index}' in path)}{view.__name__}_by_{method.lower()}", view)
        for path, (methods, view) in ADDRESSES.items()
        for method in methods
    ]


def _found(path: str) -> tuple[View | None, str | None, tuple[str, ...]]:
    """(view, index, methods) of an address; a slash at its end says nothing."""
    if "//" in path:
        return None, None, ()
    below = path.removeprefix("/es").removesuffix("/") or "/"
    head, _, last = below[1:].rpartition("/")
    index = head if head and "/" not in head else None
    methods, view = ADDRESSES.get(f"/{{index}}/{last}" if index else below, ((), None))
    return view, index, methods


def _options(services: ServicesLike) -> Response:
    """Which methods there are, the same for every address: it tells nothing of indices."""
    writes = ["PUT", "DELETE"] if services.proxy is not None else []
    return Response(status=204, headers={"Allow": ", ".join(["GET", "HEAD", "POST", *writes]), "X-Hybrid": "options"})


def _check_form(request: Request) -> None:
    """In what form it asks, and wants its answer."""
    if request.content_length and request.mimetype not in _TAKEN:
        raise RefusedError(
            f"Content-Type header [{request.content_type}] is not supported", "media_type_header_exception", 415
        )
    accepted = request.headers.get("Accept", "*/*")
    if not any(kind in accepted for kind in ("json", "*/*", "application/*")):
        raise RefusedError(f"Accept header [{accepted}] is not supported", "media_type_header_exception", 406)


def _incoming(header: dict[str, Any], body: dict[str, Any], index: str | None) -> IncomingSearch:
    """One search of many. index: the one that the address names, if it does."""
    named = header.pop("index", index)
    if isinstance(named, list) and len(named) == 1:
        named = named[0]
    if not isinstance(named, str):
        raise RefusedError("each search names one index, in its header or in the address", "security_exception", 403)
    for key in header:
        if key not in ROUTE:
            raise RefusedError(f"key [{key}] is not supported in the metadata section")
    return IncomingSearch(named, body, header)


def _params(request: Request) -> dict[str, str]:
    for name, values in request.args.lists():
        if len(values) > 1:
            raise RefusedError(f"parameter [{name}] is given [{len(values)}] times")
    return request.args.to_dict()


def _object(data: bytes) -> dict[str, Any]:
    try:
        read = read_json(data)
    except ValueError as error:
        raise RefusedError(f"the body is not JSON: {error}", "parsing_exception") from error
    if not isinstance(read, dict):
        raise RefusedError("a search is a JSON object", "parsing_exception")
    return read


def _answer(request: Request, outcome: Outcome) -> Response:
    response = _json(request, outcome.body, outcome.status)
    # A list of values in one header is told apart by commas.
    how = ", ".join(" ".join(str(one).replace(",", ";").split()) for one in outcome.handled)
    response.headers["X-Hybrid"] = how.encode("ascii", "replace").decode()[:_MAX_HOW_CHARS]
    if outcome.warning:
        response.headers["Warning"] = outcome.warning
    return response


def _error_answer(request: Request, error: Exception, id: str) -> Response:
    """An error in the cluster's shape."""
    status, kind, reason = describe(error, id, request.method)
    if isinstance(error, RefusedError):
        kind = error.kind
    elif status == 413:
        kind, reason = "content_too_long_exception", f"the body is larger than [{request.max_content_length}] bytes"
    cause = {"type": kind, "reason": reason}
    response = _json(request, orjson.dumps({"error": {"root_cause": [cause], **cause}, "status": status}), status)
    response.headers["X-Hybrid"] = "refused" if status < 500 else "failed"
    if status == 401:
        response.headers["WWW-Authenticate"] = "ApiKey"
    if isinstance(error, WrongMethodError):
        response.headers["Allow"] = error.allowed
    return response


def _json(request: Request, body: bytes, status: int) -> Response:
    accepted = _VENDOR.search(request.headers.get("Accept", ""))
    kind = f"application/vnd.elasticsearch+json;compatible-with={accepted[1]}" if accepted else "application/json"
    response = Response(body, status, content_type=kind)
    response.headers["X-Elastic-Product"] = "Elasticsearch"  # its clients talk to nothing else
    return response
