"""Requests at /es that are no searches of the layer: checked and forwarded, where the proxy is on."""

from __future__ import annotations

from werkzeug.wrappers import Request, Response

from hybrid.errors import RefusedError
from web.compat.reading import KEY_HEADER, body_of, has_key, is_key
from web.requests import MAX_BODY_BYTES, read_json
from web.services import ProxyLike, SettingsLike

#: Headers by which a request asks to be taken for one of another method.
_OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")


class WrongMethodError(RefusedError):
    """The address is not for this method, but for `allowed`."""

    def __init__(self, request: Request, allowed: list[str]) -> None:
        super().__init__(
            f"Incorrect HTTP method for uri [{request.path}] and method [{request.method}], allowed: "
            f"[{', '.join(allowed)}]", "illegal_argument_exception", 405,
        )  # fmt: skip
        self.allowed = ", ".join(allowed)


def forwarded(request: Request, proxy: ProxyLike, settings: SettingsLike) -> Response:
    """The cluster's answer to a request.

    Raises:
        RefusedError: it must not reach the cluster, and did not.
        ClusterUnreachableError, ClusterTimeoutError: no answer.
    """
    # First: who has no key learns nothing of what is served.
    authorization: str | None = request.headers.get("Authorization")
    if settings.dropin_proxy_key is not None:
        if not has_key(request, settings.dropin_proxy_key):
            raise RefusedError(
                f"missing or wrong key of the proxy; send it as an API key, or as {KEY_HEADER} beside the credentials "
                "of the cluster", "security_exception", 401,
            )  # fmt: skip
        if authorization is not None and is_key(authorization, settings.dropin_proxy_key):
            authorization = None  # it is no credential of the cluster
    for name in _OVERRIDES:
        if name in request.headers:
            raise RefusedError(f"[{name}] is not served here", "security_exception", 403)
    asked = proxy.address(request.environ.get("REQUEST_URI", "").partition("?")[0])
    if request.method not in asked.methods:
        raise WrongMethodError(request, sorted(asked.methods))
    params = {}
    for name, values in request.args.lists():
        if len(values) > 1:
            raise RefusedError(f"parameter [{name}] is given [{len(values)}] times")
        params[name] = values[0]
    bulk = asked.methods[request.method].body == "bulk"
    most = settings.dropin_proxy_bulk_mb * 2**20 if bulk else MAX_BODY_BYTES
    request.max_content_length = most
    answered = proxy.answer(
        request.method, asked, params, body_of(request, most), dict(request.headers), authorization, read_json
    )
    response = Response(answered.parts, answered.status)
    del response.headers["Content-Type"]  # as the cluster has it, or none
    for name, value in answered.headers.items():
        response.headers[name] = value
    response.headers["X-Hybrid"] = answered.how.encode("ascii", "replace").decode()
    response.call_on_close(answered.close)
    return response
