"""The Flask layer: `create_app()` for any WSGI server, and for tests; that of `hybrid serve` loads web.serving."""

from __future__ import annotations

import threading
from typing import Any

from flask import Flask, Request, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from web import metrics
from web.requests import WholeBody, describe, request_id
from web.services import ServicesLike

#: A picture of 10 MB as a data URL (base64 adds a third), and room for the other fields.
MAX_BODY_BYTES = 14 * 1024 * 1024

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: http: data: blob:; "
    "media-src 'self' https: http: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": _CSP,
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class _Request(WholeBody, Request):
    """A request of Flask whose body is whole."""


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
    from web.api.documents import documents
    from web.api.search import api
    from web.compat.elasticsearch import Compat
    from web.shop.media import media
    from web.shop.page import page

    app.register_blueprint(api)
    app.register_blueprint(documents)
    app.register_blueprint(media)
    app.register_blueprint(page)
    admin.install(app)
    app.wsgi_app = Compat(app.wsgi_app, app.extensions["hybrid"])  # type: ignore[method-assign]
    app.register_error_handler(Exception, _on_error)
    metrics.install(app)
    app.before_request(_name_request)
    app.after_request(_finish)
    return app


def _build_services() -> ServicesLike:
    # Here, not above: tests bring their own services, and then the core's clients need not load.
    from hybrid.services import build_services

    built = build_services()
    # Beside the first requests, which would otherwise wait for the models.
    threading.Thread(target=built.warm, name="warm", daemon=True).start()
    return built


def _name_request() -> None:
    g.request_id = request_id(request.headers.get("X-Request-Id", ""))


def _finish(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["X-Request-Id"] = g.get("request_id", "-")
    return response


def _on_error(error: Exception) -> Any:
    """The one place where errors become answers, but at /es: JSON everywhere, the page itself on the page."""
    from web import admin
    from web.shop.page import error_page

    status, kind, reason = describe(error, g.get("request_id", "-"), request.method)
    if admin.is_here():
        return admin.error_answer(status, kind, reason), status
    if request.endpoint == "page.index" and not (isinstance(error, HTTPException) and error.code == 405):
        return error_page(status, kind, reason), status
    response = jsonify({"error": {"type": kind, "reason": reason}})
    if isinstance(error, HTTPException):
        for name, value in error.get_headers():
            if name in ("Allow", "WWW-Authenticate"):
                response.headers[name] = value
    return response, status
