"""The Flask layer: `create_app()` for any WSGI server, and for tests; that of `hybrid serve` loads web.serving."""

from __future__ import annotations

import logging
import re
import threading
import uuid
from typing import Any

from flask import Flask, Request, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from hybrid.errors import HybridError, UsageError
from web import latency
from web.services import ServicesLike

log = logging.getLogger("hybrid.web")

#: A picture of 10 MB as a data URL (base64 adds a third), and room for the other fields.
MAX_BODY_BYTES = 14 * 1024 * 1024

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: http: data: blob:; "
    "media-src 'self' https: http: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
#: Of pages; what a client of Elasticsearch has no use for costs it the reading of each.
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
#: Other characters from a caller could forge a log line.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class _Request(Request):
    """A request whose body is whole: werkzeug cuts one that tells no length where it becomes too long."""

    def get_data(self, *args: Any, **options: Any) -> Any:
        """See werkzeug.

        Raises:
            RequestEntityTooLarge: it is longer than this request may be.
        """
        data = super().get_data(*args, **options)
        most = self.max_content_length
        if self.content_length is None and most is not None and len(data) >= most:
            raise RequestEntityTooLarge
        return data


def create_app(services: ServicesLike | None = None) -> Flask:
    """The WSGI app. Without `services`, those that the settings of this process describe."""
    app = Flask(__name__)
    app.request_class = _Request
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    # The page keeps a photo in a hidden field where the browser runs no script.
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BODY_BYTES
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.extensions["hybrid"] = services if services is not None else _build_services()

    from web import admin
    from web.api import api
    from web.compat import compat
    from web.documents import documents
    from web.media import media
    from web.page import page

    app.register_blueprint(api)
    app.register_blueprint(compat)
    app.register_blueprint(documents)
    app.register_blueprint(media)
    app.register_blueprint(page)
    admin.install(app)
    app.register_error_handler(Exception, _on_error)
    latency.install(app)
    app.before_request(_name_request)
    app.after_request(_finish)
    return app


def _build_services() -> ServicesLike:
    # Here, not above: tests bring their own services, and then the core's clients need not load.
    from hybrid.wiring import build_services

    built = build_services()
    # Beside the first requests, which would otherwise wait for the models.
    threading.Thread(target=built.warm, name="warm", daemon=True).start()
    return built


def _name_request() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _finish(response: Response) -> Response:
    from web.compat import is_here

    response.headers["X-Content-Type-Options"] = "nosniff"
    if not is_here():
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
    response.headers["X-Request-Id"] = g.get("request_id", "-")
    return response


def _on_error(error: Exception) -> Any:
    """The one place where errors become answers: JSON everywhere, the page itself on the page, the cluster's at /es."""
    from web import admin
    from web.compat import error_answer, is_here
    from web.page import error_page

    status, kind, reason = _describe(error)
    if admin.is_here():
        return admin.error_answer(status, kind, reason), status
    if is_here():
        return error_answer(error, status, kind, reason)
    if request.endpoint == "page.index" and not (isinstance(error, HTTPException) and error.code == 405):
        return error_page(status, kind, reason), status
    response = jsonify({"error": {"type": kind, "reason": reason}})
    if isinstance(error, HTTPException):
        for name, value in error.get_headers():
            if name in ("Allow", "WWW-Authenticate"):
                response.headers[name] = value
    return response, status


def _describe(error: Exception) -> tuple[int, str, str]:
    """HTTP status, type and reason of an error; what is not foreseen is logged and kept private."""
    if isinstance(error, HybridError):
        if not isinstance(error, UsageError):
            log.warning("%s %s: %s", g.get("request_id", "-"), type(error).__name__, error)
        return error.http_status, type(error).__name__, str(error)
    if isinstance(error, HTTPException) and error.code is not None:
        return error.code, type(error).__name__, _short(error)
    log.error("%s unexpected error", g.get("request_id", "-"), exc_info=error)
    return 500, "InternalError", "something went wrong; the log has it under this answer's X-Request-Id"


def _short(error: HTTPException) -> str:
    if error.description == type(error).description or not error.description:
        return {
            404: "nothing at this address",
            405: f"{request.method} is not allowed here",
            413: "the request is too large; send a picture of at most 10 MB, or fewer documents",
        }.get(error.code or 0, error.name)
    return error.description
