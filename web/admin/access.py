"""Who may use the admin page: sign-in, sessions, tokens against forged posts, roles, and the audit trail.

Everything under /admin/ passes `_guard`, so that a new view is closed unless it says otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Request, Response, current_app, g, jsonify, redirect, request, session, url_for
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from flask_wtf.csrf import CSRFProtect
from limits import RateLimitItem, parse, storage, strategies
from redis.exceptions import RedisError
from werkzeug.exceptions import Forbidden, TooManyRequests, Unauthorized
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as AnyResponse

from hybrid.errors import HybridError, UsageError
from web.admin.frame import choose_language, core, render
from web.admin.schemas import Call, SignIn
from web.params import validate

log = logging.getLogger("hybrid.web.admin")
admin = Blueprint("admin", __name__, url_prefix="/admin")
csrf = CSRFProtect()
View = TypeVar("View", bound=Callable[..., Any])

#: Attempts, counted before the password is looked at: of one address for one name, of one address, for one name.
_LIMITS = (parse("5 per minute"), parse("30 per 15 minutes"), parse("60 per hour"))
_SAFE = ("GET", "HEAD", "OPTIONS")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NAME_CHARS = 64
#: Form fields that the audit trail leaves out, and how much of the others it keeps.
_UNSAID = {"csrf_token", "password", "image", "kept_image"}
_SAID_CHARS = 200


class _Sessions(SecureCookieSessionInterface):
    """Signed cookies for /admin alone, with a key that is asked for at first use."""

    def open_session(self, app: Flask, request: Request) -> Any:
        if not request.path.startswith("/admin"):
            return None
        if not app.secret_key:
            try:
                app.secret_key = app.extensions["hybrid"].accounts.secret()
            except HybridError:
                return None  # `_guard` asks again, and says what is wrong
        return super().open_session(app, request)

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure

    def should_set_cookie(self, app: Flask, session: SessionMixin) -> bool:
        return session.modified  # not at each request: two at once would undo each other's


class Throttle:
    """Counts attempts to sign in, in Redis where there is one, for several web processes."""

    def __init__(self) -> None:
        self._here = strategies.MovingWindowRateLimiter(storage.MemoryStorage())
        self._shared: strategies.MovingWindowRateLimiter | None = None
        self._connected = False

    def hit(self, name: str) -> bool:
        """Count an attempt; False if there were too many."""
        return all([self._hit(limit, key) for limit, key in zip(_LIMITS, _keys(name), strict=True)])

    def forgive(self, name: str) -> None:
        """Forget the attempts of one who then knew the password."""
        for limit, key in zip(_LIMITS, _keys(name), strict=True):
            for limiter in filter(None, (self._here, self._shared)):
                try:
                    limiter.clear(limit, key)
                except RedisError as error:
                    log.warning("attempts to sign in are not forgotten: %s", error)

    def _hit(self, limit: RateLimitItem, key: str) -> bool:
        if not self._connected:
            self._connected = True
            try:
                self._shared = strategies.MovingWindowRateLimiter(
                    storage.storage_from_string(core().redis_url, socket_timeout=1, socket_connect_timeout=1)
                )
            except (HybridError, RedisError) as error:
                log.warning("attempts to sign in are counted by each web process for itself: %s", error)
        if self._shared:
            try:
                return self._shared.hit(limit, key)
            except RedisError as error:
                log.warning("attempts to sign in are counted by each web process for itself: %s", error)
        return self._here.hit(limit, key)


def _keys(name: str) -> tuple[str, str, str]:
    address, name = request.remote_addr or "-", name[:_NAME_CHARS]  # a key is kept for an hour
    return f"hybrid-sign-in:{address}:{name}", f"hybrid-sign-in:{address}", f"hybrid-sign-in-name:{name}"


def install(app: Flask) -> None:
    """Sessions, tokens and throttling for an app."""
    app.session_interface = _Sessions()
    app.config |= {
        "SESSION_COOKIE_NAME": "hybrid_admin",
        "SESSION_COOKIE_PATH": "/admin",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "WTF_CSRF_CHECK_DEFAULT": False,  # `_guard` checks, and only here
        "WTF_CSRF_TIME_LIMIT": None,  # as long as the session
    }
    csrf.init_app(app)
    app.extensions["hybrid_throttle"] = Throttle()
    proxies = app.extensions["hybrid"].settings.trusted_proxies
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies)  # type: ignore[method-assign]


def open_to_all(view: View) -> View:
    """A view that needs no sign-in."""
    view.open_to_all = True  # type: ignore[attr-defined]
    return view


def open_to_viewers(view: View) -> View:
    """A view that changes nothing of the shop's although it is posted to."""
    view.open_to_viewers = True  # type: ignore[attr-defined]
    return view


@admin.before_request
def _guard() -> AnyResponse | None:
    core().accounts.secret()  # where the cluster does not answer, nobody can be told from anybody
    g.user = None
    g.lang = choose_language()
    view = _view()
    by_token = request.authorization is not None and request.authorization.type == "bearer"
    name, _, token = _token() if by_token else (session.get("user", ""), "", session.get("token", ""))
    if name and token:
        g.user = core().accounts.signed_in(name, token)
    if request.method not in _SAFE and not by_token and not (view_is(view, "open_to_all") and wants_json()):
        csrf.protect()
    if view_is(view, "open_to_all"):
        return None
    if g.user is None:
        if wants_json() or request.method not in _SAFE:
            raise Unauthorized("sign in first; the session may have ended")
        return redirect(url_for("admin.sign_in", next=request.full_path.rstrip("?")))
    if request.method not in _SAFE and not g.user.may_edit and not view_is(view, "open_to_viewers"):
        raise Forbidden("a viewer may look, but not change anything; ask an editor")
    return None


def view_is(view: Any, mark: str) -> bool:
    return bool(getattr(view, mark, False))


def _view() -> Any:
    return current_app.view_functions.get(request.endpoint or "")


def _token() -> tuple[str, str, str]:
    return (request.authorization.token or "").partition(":") if request.authorization else ("", "", "")


def wants_json() -> bool:
    """Whether the answer is for a program."""
    return request.path.startswith("/admin/api/")


@admin.after_request
def _keep(response: Response) -> Response:
    """Say in the audit trail what was asked to be changed, whatever came of it; keep pages out of caches."""
    response.headers.setdefault("Cache-Control", "no-store")
    if request.method in _SAFE or view_is(_view(), "unrecorded"):
        return response
    action = (request.endpoint or request.path).removeprefix("admin.")
    fields = request.get_json(silent=True) if request.is_json else _flat(request.form.to_dict(flat=False))
    fields = fields if isinstance(fields, dict) else {}
    detail = {**(request.view_args or {}), **fields}
    detail |= g.get("counted", {})
    entry = {key: str(value)[:_SAID_CHARS] for key, value in detail.items() if key not in _UNSAID}
    name = g.user.name if g.get("user") else str(fields.get("name", "-"))[:_NAME_CHARS]
    index = (request.view_args or {}).get("index")
    try:
        core().audit.add(name, action, response.status_code, index, entry)
    except HybridError:
        # The change is made; without its record it must not look as if it were not.
        log.exception("not in the audit trail: %s of %s, answered %s: %s", action, name, response.status_code, entry)
    return response


def _flat(form: dict[str, list[str]]) -> dict[str, str]:
    return {key: ", ".join(values) for key, values in form.items()}


def unrecorded(view: View) -> View:
    """A view whose posts change nothing, and are too many for the audit trail."""
    view.unrecorded = True  # type: ignore[attr-defined]
    return view


@admin.route("/sign-in", methods=["GET", "POST"])
@open_to_all
def sign_in() -> Any:
    onward = _onward(request.values.get("next", ""))
    if request.method == "GET":
        if g.user:
            return redirect(onward)
        return render("admin/sign_in.html", onward=onward, failed=None, no_users=not core().accounts.list())
    try:
        token, name = _sign_in(request.form.get("name", ""), request.form.get("password", ""))
    except (Unauthorized, TooManyRequests, UsageError) as error:
        status = error.code if isinstance(error, Unauthorized | TooManyRequests) else 400
        key = {401: "sign_in_wrong", 429: "sign_in_throttled", 400: "sign_in_plain"}[status or 400]
        return render("admin/sign_in.html", onward=onward, failed=key, no_users=False), status
    lang = session.get("lang")
    session.clear()  # a new token against forged posts too
    session.update({"user": name, "token": token} | ({"lang": lang} if lang else {}))
    return redirect(onward)


@admin.post("/api/sign-in")
@open_to_all
@Call(SignIn, {"token": "ed:Zk3v…"}, token=None)
def api_sign_in() -> Response:
    """A token for programs: send it as `Authorization: Bearer TOKEN`."""
    credentials = validate(SignIn, request.get_json(silent=True) or {})
    token, name = _sign_in(credentials.name, credentials.password)
    return jsonify({"token": f"{name}:{token}"})


def _sign_in(name: str, password: str) -> tuple[str, str]:
    host = urlsplit(request.host_url).hostname
    if not request.is_secure and host not in _LOOPBACK:
        raise UsageError(
            "a password is not taken over plain http from another machine: use https, and where a proxy ends it set "
            "HYBRID_TRUSTED_PROXIES=1"
        )
    throttle: Throttle = current_app.extensions["hybrid_throttle"]
    if not throttle.hit(name):
        raise TooManyRequests("too many attempts; wait a minute")
    token = core().accounts.sign_in(name, password)
    if token is None:
        raise Unauthorized("the name or the password is wrong")
    throttle.forgive(name)
    return token, name


def _onward(target: str) -> str:
    """Where to go after signing in: a page of this site only."""
    safe = target.startswith("/admin/") and "\\" not in target and not urlsplit(target).netloc
    return target if safe else url_for("admin.index")


@admin.post("/sign-out")
@open_to_viewers
def sign_out() -> AnyResponse:
    core().accounts.sign_out(session.get("token", ""))
    session.clear()
    return redirect(url_for("admin.sign_in"))


@admin.post("/language")
@open_to_all
@unrecorded
def language() -> AnyResponse:
    session["lang"] = request.form.get("lang", "en")
    return redirect(_onward(request.form.get("next", "")))
