"""Who may use the admin page: sign-in, sessions, tokens against forged posts, roles, and the audit trail.

Everything under /admin/ passes `_guard`, so that a new view is closed unless it says otherwise.
"""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Request, Response, current_app, g, jsonify, redirect, request, session, url_for
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from flask_wtf.csrf import CSRFProtect
from itsdangerous import BadSignature, URLSafeTimedSerializer
from limits import RateLimitItem, parse, storage, strategies
from redis.exceptions import RedisError
from werkzeug.exceptions import Forbidden, TooManyRequests, Unauthorized
from werkzeug.wrappers import Response as AnyResponse

from hybrid.errors import HybridError, UsageError, WriteBlockedError
from web.admin.frame import choose_language, core, render
from web.admin.schemas import Call, SignIn
from web.params import checked_index, json_of, validate

log = logging.getLogger("hybrid.web.admin")
admin = Blueprint("admin", __name__, url_prefix="/admin")
csrf = CSRFProtect()
View = TypeVar("View", bound=Callable[..., Any])

#: Attempts, counted before the password is looked at: of one address for one name, of one address, for one name, and of
#: a browser that is known.
_OF_BOTH, _OF_ADDRESS, _OF_NAME = parse("5 per minute"), parse("20 per hour"), parse("60 per hour")
_OF_DEVICE = parse("5 per minute")
Counted = Sequence[tuple[RateLimitItem, str]]
#: The cookie of a known browser, and the seconds that it is known.
_DEVICE, _DEVICE_S = "hybrid_device", 180 * 24 * 3600
_REDIS_RESTS_S = 5.0
_SAFE = ("GET", "HEAD", "OPTIONS")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NAME_CHARS = 64
#: Form fields that the audit trail leaves out.
_UNSAID = {"csrf_token", "password", "image", "kept_image"}


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
    """Counts attempts to sign in, in Redis where there is one, for several web processes.

    One address cannot use up the attempts of a name, and a browser that has signed in before is counted by itself: so
    guessing keeps nobody out who knows the password (OWASP, "Device cookies").
    """

    def __init__(self) -> None:
        self._here = strategies.MovingWindowRateLimiter(storage.MemoryStorage())
        self._shared: strategies.MovingWindowRateLimiter | None = None
        self._rests_until = 0.0  # by the monotonic clock; Redis is left alone until then

    def hit(self, name: str, device: str) -> int:
        """Count an attempt, and return 0; if there were too many, count nothing, and return the seconds to wait.

        device: the mark of a browser that has signed in under this name, or "".
        """
        counted = _counted(name, device)
        limiter = self._limiter()
        try:
            return _hit(limiter, counted)
        except RedisError as error:
            self._rest(error)
            return _hit(self._here, counted)

    def forgive(self, name: str, device: str) -> None:
        """Forget the attempts of one who then knew the password."""
        for limiter in {self._here, self._limiter()}:
            try:
                for limit, key in _counted(name, device):
                    limiter.clear(limit, key)
            except RedisError as error:
                self._rest(error)

    def _limiter(self) -> strategies.MovingWindowRateLimiter:
        if time.monotonic() < self._rests_until:
            return self._here
        if self._shared is None:
            try:
                self._shared = strategies.MovingWindowRateLimiter(
                    storage.storage_from_string(core().redis_url, socket_timeout=1, socket_connect_timeout=1)
                )
            except (HybridError, RedisError) as error:
                self._rest(error)
        return self._shared or self._here

    def _rest(self, error: Exception) -> None:
        self._rests_until = time.monotonic() + _REDIS_RESTS_S
        log.warning("attempts to sign in are counted by each web process for itself: %s", error)


def _hit(limiter: strategies.MovingWindowRateLimiter, counted: Counted) -> int:
    waits = [
        math.ceil(limiter.get_window_stats(limit, key).reset_time - time.time())
        for limit, key in counted
        if not limiter.test(limit, key)
    ]
    if waits:
        return max(1, *waits)
    for limit, key in counted:
        limiter.hit(limit, key)
    return 0


def _counted(name: str, device: str) -> Counted:
    """The limits of an attempt, with what each is counted under."""
    name = name[:_NAME_CHARS]  # a key is kept for an hour
    if device:
        return [(_OF_DEVICE, f"hybrid-sign-in-device:{device}")]
    address = request.remote_addr or "-"
    return [
        (_OF_BOTH, f"hybrid-sign-in:{address}:{name}"),
        (_OF_ADDRESS, f"hybrid-sign-in:{address}"),
        (_OF_NAME, f"hybrid-sign-in-name:{name}"),
    ]


def _device(name: str) -> str:
    """The mark of this browser, where it has signed in under this name before; else ""."""
    try:
        known: dict[str, str] = _marks().loads(request.cookies.get(_DEVICE, ""), max_age=_DEVICE_S)
    except BadSignature:
        return ""
    return known["mark"] if known.get("name") == name else ""


def _marks() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(core().accounts.secret(), salt="hybrid-device")


@admin.after_request
def _mark_device(response: Response) -> Response:
    """Let a browser that has just signed in be known again."""
    if name := g.get("signed_in_now"):
        mark = _marks().dumps({"name": name, "mark": secrets.token_hex(16)})
        response.set_cookie(
            _DEVICE, mark, max_age=_DEVICE_S, path="/admin", secure=request.is_secure, httponly=True, samesite="Strict"
        )
    return response


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
    app.extensions["hybrid_refusals"] = Refusals()


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
    g.user = None
    core().accounts.secret()  # where the cluster does not answer, nobody can be told from anybody
    g.lang = choose_language()
    view = _view()
    is_open = view_is(view, "open_to_all")
    by_token = request.authorization is not None and request.authorization.type == "bearer"
    name, _, token = _token() if by_token else (session.get("user", ""), "", session.get("token", ""))
    if name and token:
        g.user = core().accounts.signed_in(name, token)
    # A program without a token is told to sign in; whoever has one cannot have had it sent by another site.
    if request.method not in _SAFE and not by_token and not (wants_json() and (g.user is None or is_open)):
        csrf.protect()
    if is_open:
        return None
    if g.user is None:
        if wants_json() or request.method not in _SAFE:
            raise Unauthorized("sign in first; the session may have ended")
        return redirect(url_for("admin.sign_in", next=request.full_path.rstrip("?")))
    if request.method not in _SAFE and not g.user.may_edit and not view_is(view, "open_to_viewers"):
        with suppress(HybridError):  # what somebody known tried is worth an entry, and is refused in any case
            _record()
        raise Forbidden("a viewer may look, but not change anything; ask an editor")
    # Here for all views: what stands in a form is checked by the view that reads it.
    for index in (*request.args.getlist("index"), (request.view_args or {}).get("index")):
        if index:
            checked_index(index)
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


@admin.before_request
def _record() -> None:
    """Write in the audit trail what is about to be done: what cannot be read or recorded is not done.

    The name is that of the session. What is refused before somebody has signed in is only counted, and signing in is
    recorded where it succeeds.
    """
    view = _view()
    if request.method in _SAFE or view_is(view, "unrecorded") or g.user is None or view_is(view, "open_to_all"):
        return
    fields = request.get_json() if request.is_json and request.get_data() else _flat(request.form.to_dict(flat=False))
    detail = {**(request.view_args or {}), **(fields if isinstance(fields, dict) else {})}
    said = {key: value for key, value in detail.items() if key not in _UNSAID}
    try:
        g.entry = core().audit.begin(g.user.name, _action(), (request.view_args or {}).get("index"), said)
    except WriteBlockedError:
        if not view_is(view, "open_to_viewers"):  # to sign out, for one, is open where no write is
            raise


def _action() -> str:
    return (request.endpoint or request.path).removeprefix("admin.")


@admin.after_request
def _keep(response: Response) -> Response:
    """Complete the entry in the audit trail."""
    if entry := g.get("entry"):
        core().audit.end(entry, response.status_code, g.get("counted"))
    elif request.method not in _SAFE and response.status_code in (400, 401, 403, 429):
        refusals: Refusals = current_app.extensions["hybrid_refusals"]
        refusals.add()
    return response


class Refusals:
    """Counts what this process refused to callers that had not signed in."""

    def __init__(self) -> None:
        self.since, self.count = datetime.now(UTC).isoformat(timespec="seconds"), 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self.count += 1


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
        headers = {"Retry-After": str(error.retry_after)} if isinstance(error, TooManyRequests) else {}
        return render("admin/sign_in.html", onward=onward, failed=key, no_users=False), status, headers
    lang = session.get("lang")
    session.clear()  # a new token against forged posts too
    session.update({"user": name, "token": token} | ({"lang": lang} if lang else {}))
    return redirect(onward)


@admin.post("/api/sign-in")
@open_to_all
@Call(SignIn, {"token": "ed:Zk3v…"}, token=None)
def api_sign_in() -> Response:
    """A token for programs: send it as `Authorization: Bearer TOKEN`."""
    credentials = validate(SignIn, json_of(request))
    token, name = _sign_in(credentials.name, credentials.password)
    return jsonify({"token": f"{name}:{token}"})


def _sign_in(name: str, password: str) -> tuple[str, str]:
    host = urlsplit(request.host_url).hostname
    if not request.is_secure and host not in _LOOPBACK:
        log.warning("a password came over plain http; where a proxy ends https, set HYBRID_TRUSTED_PROXIES=1")
        raise UsageError("a password is not taken over plain http from another machine; use https")
    throttle: Throttle = current_app.extensions["hybrid_throttle"]
    device = _device(name)
    if wait_s := throttle.hit(name, device):
        raise TooManyRequests(f"too many attempts; wait {wait_s} s", retry_after=wait_s)
    token = core().accounts.sign_in(name, password)
    if token is None:
        raise Unauthorized("the name or the password is wrong")
    try:
        g.entry = core().audit.begin(name, _action())
    except HybridError as error:
        user = core().accounts.signed_in(name, token) if isinstance(error, WriteBlockedError) else None
        if user is None or user.may_edit:  # whoever may only look changes nothing; the log has it
            core().accounts.sign_out(token)
            raise
    throttle.forgive(name, device)
    g.signed_in_now = name
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
