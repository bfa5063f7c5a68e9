"""Parts of every request: a whole body, an id for the log, headers, and errors with a type and a reason."""

from __future__ import annotations

import logging
import re
import uuid
from typing import Any

import orjson
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.wrappers import Request

from hybrid.errors import (
    ClusterBusyError,
    ClusterError,
    ClusterTimeoutError,
    ClusterUnreachableError,
    HybridError,
    IndexMovedError,
    UsageError,
)

log = logging.getLogger("hybrid.web")

#: How deep a JSON body may be nested.
MAX_DEPTH = 100

#: Keys of the WSGI environment. BUSY: whether a search is to take as little time as it can. PAUSE: the app sets it to
#: the seconds between two parts of an answer that does not end by itself. See web.door.
BUSY, PAUSE = "hybrid.busy", "hybrid.pause_s"

#: A picture of 10 MB as a data URL (base64 adds a third), and room for the other fields.
MAX_BODY_BYTES = 14 * 1024 * 1024

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: http: data: blob:; "
    "media-src 'self' https: http: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
#: Headers of every answer.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": _CSP,
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

#: A reason may quote what the caller sent, which may be long.
_MAX_REASON_CHARS = 1_000

#: Other characters from a caller could forge a log line.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class WholeBody:
    """Before a request class of werkzeug or Flask, which cuts a body that tells no length where it becomes too long."""

    def get_data(self, *args: Any, **options: Any) -> Any:
        """See werkzeug.

        Raises:
            RequestEntityTooLarge: it is longer than this request may be.
        """
        request: Any = super()
        data = request.get_data(*args, **options)
        most = self.max_content_length  # type: ignore[attr-defined]
        if self.content_length is None and most is not None and len(data) >= most:  # type: ignore[attr-defined]
            raise RequestEntityTooLarge
        return data


class WholeForms(FormDataParser):
    """Reads forms; one that is broken is refused, where werkzeug takes it for an empty one."""

    def parse(self, *args: Any, **options: Any) -> Any:
        """See werkzeug.

        Raises:
            UsageError: it is not what its type says, or has a part without a name.
        """
        self.silent = False
        try:
            stream, form, files = super().parse(*args, **options)
        except ValueError as error:
            raise UsageError(f"body: not a valid form ({error})") from error
        if None in form or None in files:
            raise UsageError("body: not a valid form (a part has no name)")
        return stream, form, files


def read_json(text: str | bytes) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: it is no JSON, or nested more than `MAX_DEPTH` deep. What reads it by recursion would fail halfway.
    """
    read = orjson.loads(text)
    raw = text.encode() if isinstance(text, str) else text
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _depth(read) > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    return read


def _depth(read: Any) -> int:
    level, depth = [read], 0
    while level := [
        inner
        for one in level
        if isinstance(one, list | dict)
        for inner in (one.values() if isinstance(one, dict) else one)
    ]:
        depth += 1
        if depth > MAX_DEPTH:
            break
    return depth


def is_busy(request: Request) -> bool:
    """Whether a search is to take as little time as it can."""
    return bool(request.environ.get(BUSY))


def request_id(candidate: str) -> str:
    """The caller's own id of a request, where it is one, or a new one."""
    return candidate if _REQUEST_ID.fullmatch(candidate) else uuid.uuid4().hex


def finish(headers: Headers, secure: bool) -> None:
    """Add the headers of every answer. secure: whether it was asked for by https."""
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    if secure:
        headers["Strict-Transport-Security"] = "max-age=31536000"


def describe(error: Exception, id: str, method: str, private: bool = False) -> tuple[int, str, str]:
    """HTTP status, type and reason of an error; what is not foreseen is logged.

    id, method: of the request. private: whether only people of the shop see the answer. Others are told no host, no
    port and no setting.
    """
    if isinstance(error, HybridError):
        if not isinstance(error, UsageError):
            log.warning("%s %s: %s", id, type(error).__name__, error)
        return error.http_status, type(error).__name__, _cut(str(error) if private else public_reason(error))
    if isinstance(error, HTTPException) and error.code is not None:
        return error.code, type(error).__name__, _cut(_short(error, method))
    log.error("%s unexpected error", id, exc_info=error)
    return 500, "InternalError", "something went wrong; the log has it under this answer's X-Request-Id"


def _cut(reason: str) -> str:
    return reason if len(reason) <= _MAX_REASON_CHARS else f"{reason[:_MAX_REASON_CHARS]}…"


def public_reason(error: HybridError) -> str:
    """What anybody may know of an error: the caller's own mistakes in full, the shop's failures in general."""
    if error.http_status < 500:
        return str(error)
    for kind, reason in _PUBLIC.items():
        if isinstance(error, kind):
            return reason
    return "something failed here; the log has it under this answer's X-Request-Id"


_PUBLIC: dict[type[HybridError], str] = {
    ClusterUnreachableError: "Elasticsearch does not answer; try again later",
    ClusterTimeoutError: "Elasticsearch did not answer in time; try again later",
    ClusterBusyError: "Elasticsearch is too busy; try again later",
    IndexMovedError: "the index is being replaced; try again",
    ClusterError: "Elasticsearch could not carry it out; the log has it under this answer's X-Request-Id",
}


def _short(error: HTTPException, method: str) -> str:
    if error.description == type(error).description or not error.description:
        return {
            404: "nothing at this address",
            405: f"{method} is not allowed here",
            413: "the request is too large; send a picture of at most 10 MB, or fewer documents",
        }.get(error.code or 0, error.name)
    return error.description
