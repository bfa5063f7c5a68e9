"""The Flask layer: `create_app()`, the WSGI app. `hybrid serve` has it behind `web.door`; see web.serving."""

from __future__ import annotations

import threading
from typing import Any

from flask import Flask, Request, Response, g, jsonify, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from hybrid.dropin.forwarding import Names
from web import metrics
from web.cors import Cors
from web.requests import MAX_BODY_BYTES, WholeBody, WholeForms, describe, finish, read_json, request_id
from web.services import ServicesLike


class _Request(WholeBody, Request):
    """A request of Flask whose body is whole."""

    form_data_parser_class = WholeForms


class _Json(DefaultJSONProvider):
    """JSON as it is written and read here: in its own order and letters, and within limits."""

    ensure_ascii = False
    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """See web.requests.read_json."""
        return read_json(s)


def create_app(services: ServicesLike | None = None) -> Flask:
    """The WSGI app. Without `services`, those that the settings of this process describe.

    Raises:
        UsageError: a setting of the web layer cannot be used.
    """
    app = Flask(__name__)
    app.request_class = _Request
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    # The page keeps a photo in a hidden field where the browser runs no script.
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BODY_BYTES
    app.json = _Json(app)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.extensions["hybrid"] = services if services is not None else _build_services()
    settings = app.extensions["hybrid"].settings
    Names(settings.dropin_proxy_indices)  # a name that cannot be served is said at the start

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
    if settings.cors_origins:
        app.wsgi_app = Cors(app.wsgi_app, settings.cors_origins)  # type: ignore[method-assign]
    if proxies := settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies)  # type: ignore[method-assign]
    app.register_error_handler(Exception, _on_error)
    metrics.install(app)
    app.before_request(_name_request)
    app.after_request(_finish)
    return app


def _build_services() -> ServicesLike:
    # Here, not above: tests bring their own services, and then the core's clients need not load.
    from hybrid.services import build_services

    built = build_services(hasty=True)
    # Beside the first requests, which would otherwise wait for the models.
    threading.Thread(target=built.warm, name="warm", daemon=True).start()
    return built


def _name_request() -> None:
    g.request_id = request_id(request.headers.get("X-Request-Id", ""))


def _finish(response: Response) -> Response:
    from web import admin

    finish(response.headers, request.is_secure)
    if admin.is_here():
        response.headers.setdefault("Cache-Control", "no-store")
    if response.location and response.location.startswith(request.host_url):
        # A proxy in front may have another name, port or scheme.
        response.location = response.location[len(request.host_url) - 1 :]
    response.headers["X-Request-Id"] = g.get("request_id", "-")
    return response


def _on_error(error: Exception) -> Any:
    """The one place where errors become answers, but at /es: JSON everywhere, the page itself on the page."""
    from web import admin
    from web.shop.page import error_page

    id, method = g.get("request_id", "-"), request.method
    status, kind, reason = describe(error, id, method, private=g.get("user") is not None)
    if admin.is_here():
        response = admin.error_answer(status, kind, reason)
    elif request.endpoint == "page.index" and not (isinstance(error, HTTPException) and error.code == 405):
        response = error_page(status, kind, reason)
    else:
        response = jsonify({"error": {"type": kind, "reason": reason}})
    if isinstance(error, HTTPException):
        for name, value in error.get_headers():
            if name in ("Allow", "Retry-After", "WWW-Authenticate"):
                response.headers[name] = value
    return response, status
