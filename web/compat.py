"""The drop-in `_search`: Elasticsearch's own interface for searches, at /es. Reads the wire, calls the core, answers.

Everything under /es answers in the cluster's shape, errors too, so that its official clients understand it.
"""

from __future__ import annotations

import hmac
import re
import zlib
from typing import Any

import orjson
from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from hybrid.dropin import MAX_BODY_BYTES, MAX_SEARCHES, Outcome
from hybrid.dropin.request import MSEARCH, ROUTE
from hybrid.errors import RefusedError
from web.services import services

compat = Blueprint("compat", __name__, url_prefix="/es")

_VENDOR = re.compile(r"application/vnd\.elasticsearch\+(?:x-nd)?json\s*;\s*compatible-with\s*=\s*(\d+)")
_TAKEN = ("application/json", "application/x-ndjson", "application/vnd.elasticsearch+json",
          "application/vnd.elasticsearch+x-ndjson")  # fmt: skip
_MAX_HOW_CHARS = 1_000


@compat.before_request
def check_request() -> None:
    """Who asks, and in what form."""
    request.max_content_length = MAX_BODY_BYTES
    key = services().settings.dropin_key
    if key is not None and not hmac.compare_digest(_key_sent().encode(), key.get_secret_value().encode()):
        raise RefusedError("missing or wrong key; send it as an API key", "security_exception", 401)
    if request.content_length and request.mimetype not in _TAKEN:
        raise RefusedError(
            f"Content-Type header [{request.content_type}] is not supported", "media_type_header_exception", 415
        )
    accepted = request.headers.get("Accept", "*/*")
    if not any(kind in accepted for kind in ("json", "*/*", "application/*")):
        raise RefusedError(f"Accept header [{accepted}] is not supported", "media_type_header_exception", 406)


@compat.get("/", strict_slashes=False)
def info() -> Response:
    """What a client asks first: which Elasticsearch this is."""
    version = services().health()["elasticsearch"].get("version")
    if version is None:
        raise RefusedError("Elasticsearch does not answer", "service_unavailable", 503)
    number = {"number": version, "build_flavor": "default", "minimum_wire_compatibility_version": version}
    about = {"name": "hybrid", "cluster_name": "hybrid", "version": number, "tagline": "You Know, for Search"}
    return _json(orjson.dumps(about), 200)


@compat.route("/<index>/_search", methods=["GET", "POST"])
def search(index: str) -> Response:
    return _answer(services().dropin.search(index, _object(_body() or b"{}"), _params()))


@compat.route("/<index>/_msearch", methods=["GET", "POST"])
def index_msearch(index: str) -> Response:
    return _msearch(index)


@compat.route("/_msearch", methods=["GET", "POST"])
def msearch() -> Response:
    return _msearch(None)


def _msearch(index: str | None) -> Response:
    params = _params()
    if unknown := sorted(set(params) - MSEARCH):
        raise RefusedError(f"request [{request.path}] contains unrecognized parameter: [{unknown[0]}]")
    lines = _body().split(b"\n")
    if lines and lines[-1].strip():
        raise RefusedError("The msearch request must be terminated by a newline [\\n]")
    lines = lines[:-1]
    if len(lines) % 2 or len(lines) > 2 * MAX_SEARCHES:
        raise RefusedError(f"a header and a body a line are wanted, at most [{MAX_SEARCHES}] of them")
    searches = [
        (*_header(_object(head or b"{}"), index), _object(body))
        for head, body in zip(lines[::2], lines[1::2], strict=True)
    ]
    return _answer(services().dropin.msearch([(name, body, route) for name, route, body in searches], params))


def _header(line: dict[str, Any], index: str | None) -> tuple[str, dict[str, Any]]:
    """(index, where and how to search) of one search of many."""
    named = line.pop("index", index)
    if isinstance(named, list) and len(named) == 1:
        named = named[0]
    if not isinstance(named, str):
        raise RefusedError("each search names one index, in its header or in the address", "security_exception", 403)
    for key in line:
        if key not in ROUTE:
            raise RefusedError(f"key [{key}] is not supported in the metadata section")
    return named, line


def _params() -> dict[str, str]:
    for name, values in request.args.lists():
        if len(values) > 1:
            raise RefusedError(f"parameter [{name}] is given [{len(values)}] times")
    return request.args.to_dict()


def _key_sent() -> str:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() in ("apikey", "bearer") else ""


def _body() -> bytes:
    data = request.get_data()
    encoding = request.headers.get("Content-Encoding", "")
    if not encoding or not data:
        return data
    if encoding != "gzip":
        raise RefusedError(f"Content-Encoding [{encoding}] is not supported", "media_type_header_exception", 415)
    reader = zlib.decompressobj(wbits=31)
    try:
        unpacked = reader.decompress(data, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise RefusedError("the body is not gzip", "parse_exception") from error
    if len(unpacked) > MAX_BODY_BYTES:
        raise RefusedError(f"the body is larger than [{MAX_BODY_BYTES}] bytes", "content_too_long_exception", 413)
    return unpacked


def _object(data: bytes) -> dict[str, Any]:
    try:
        read = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RefusedError(f"the body is not JSON: {error}", "parsing_exception") from error
    if not isinstance(read, dict):
        raise RefusedError("a search is a JSON object", "parsing_exception")
    return read


def _answer(outcome: Outcome) -> Response:
    response = _json(outcome.body, outcome.status)
    # A list of values in one header is told apart by commas.
    how = ", ".join(" ".join(one.replace(",", ";").split()) for one in outcome.how)
    response.headers["X-Hybrid"] = how.encode("ascii", "replace").decode()[:_MAX_HOW_CHARS]
    if outcome.warning:
        response.headers["Warning"] = outcome.warning
    return response


def error_answer(error: HTTPException | Exception, status: int, kind: str, reason: str) -> Response:
    """An error in the cluster's shape."""
    if isinstance(error, RefusedError):
        kind = error.kind
    elif status == 404:  # an address that is not one of the three
        status, kind = 403, "security_exception"
        reason = f"only searches are served here: no [{request.method}] of [{request.path}]"
    elif status == 405:
        kind = "illegal_argument_exception"
        reason = f"Incorrect HTTP method for uri [{request.path}] and method [{request.method}], allowed: [GET, POST]"
    elif status == 413:
        kind, reason = "content_too_long_exception", f"the body is larger than [{MAX_BODY_BYTES}] bytes"
    cause = {"type": kind, "reason": reason}
    response = _json(orjson.dumps({"error": {"root_cause": [cause], **cause}, "status": status}), status)
    response.headers["X-Hybrid"] = "refused" if status < 500 else "failed"
    if status == 401:
        response.headers["WWW-Authenticate"] = "ApiKey"
    return response


def is_here() -> bool:
    """Whether the request is one of the drop-in's, known address or not."""
    return request.path == "/es" or request.path.startswith("/es/")


def _json(body: bytes, status: int) -> Response:
    accepted = _VENDOR.search(request.headers.get("Accept", ""))
    kind = f"application/vnd.elasticsearch+json;compatible-with={accepted[1]}" if accepted else "application/json"
    response = Response(body, status, content_type=kind)
    response.headers["X-Elastic-Product"] = "Elasticsearch"  # its clients talk to nothing else
    return response
