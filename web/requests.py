"""Parts of every request: a whole body, an id for the log, and errors with a type and a reason."""

from __future__ import annotations

import logging
import re
import uuid
from typing import Any

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from hybrid.errors import HybridError, UsageError

log = logging.getLogger("hybrid.web")

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


def request_id(candidate: str) -> str:
    """The caller's own id of a request, where it is one, or a new one."""
    return candidate if _REQUEST_ID.fullmatch(candidate) else uuid.uuid4().hex


def describe(error: Exception, id: str, method: str) -> tuple[int, str, str]:
    """HTTP status, type and reason of an error; what is not foreseen is logged and kept private.

    id, method: of the request.
    """
    if isinstance(error, HybridError):
        if not isinstance(error, UsageError):
            log.warning("%s %s: %s", id, type(error).__name__, error)
        return error.http_status, type(error).__name__, str(error)
    if isinstance(error, HTTPException) and error.code is not None:
        return error.code, type(error).__name__, _short(error, method)
    log.error("%s unexpected error", id, exc_info=error)
    return 500, "InternalError", "something went wrong; the log has it under this answer's X-Request-Id"


def _short(error: HTTPException, method: str) -> str:
    if error.description == type(error).description or not error.description:
        return {
            404: "nothing at this address",
            405: f"{method} is not allowed here",
            413: "the request is too large; send a picture of at most 10 MB, or fewer documents",
        }.get(error.code or 0, error.name)
    return error.description
