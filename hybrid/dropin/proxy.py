"""The drop-in as the one address of a cluster: what is no search of it goes on to the cluster, as the caller sent it.

The caller's own credentials go along, never the layer's. What is forwarded is listed in hybrid.dropin.forwarding, and
what a body may name in hybrid.dropin.named.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import orjson

from hybrid.dropin.forwarding import Address, Names, Route, address, query
from hybrid.dropin.limits import check
from hybrid.dropin.named import Body, ReadJson, named
from hybrid.errors import HybridError, RefusedError

logger = logging.getLogger(__name__)

FORWARDED = "forwarded"
#: Headers of a request that go along, beside its form. All others end here: those of one connection, and those that
#: could make the cluster see another method, user or product in it.
SENT = ("Accept", "User-Agent", "X-Elastic-Client-Meta", "X-Opaque-Id", "Traceparent")
#: Headers of the answer that go back.
GIVEN = frozenset(
    {"content-type", "deprecation", "location", "warning", "www-authenticate", "x-elastic-product", "x-opaque-id"}
)
_JSON_KIND = re.compile(
    r"application/(?:(vnd\.elasticsearch\+)?(?:x-nd)?json)\s*(?:;\s*(?:charset=\"?utf-8\"?|compatible-with=\s*\d+)\s*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Forward:
    """A request to the cluster. target: path and parameters. authorization: the caller's own, or None.

    searches: whether it is waited for no longer than for a search.
    """

    method: str
    target: str
    body: bytes
    headers: Mapping[str, str]
    authorization: str | None
    searches: bool = False


@dataclass
class Answered:
    """The cluster's answer as it comes. parts: of its body. close: ends it, read or not."""

    status: int
    headers: Mapping[str, str]
    parts: Iterator[bytes]
    close: Callable[[], None] = field(default=lambda: None)
    how: str = FORWARDED


class UpstreamLike(Protocol):
    """See hybrid.elastic.upstream.Upstream."""

    def send(self, request: Forward) -> Answered: ...
    def asks_for_credentials(self) -> bool: ...


class LayerLike(Protocol):
    """See hybrid.ingest.new_index.NewIndices."""

    def added(self, index: str, body: dict[str, Any]) -> dict[str, Any]: ...
    def noted(self, index: str) -> dict[str, Any] | None: ...


class Proxy:
    """Forwards requests. Thread-safe; one a process."""

    def __init__(
        self,
        upstream: UpstreamLike,
        layer: LayerLike,
        names: Names,
        keyed: bool,
        written: Callable[[str], None],
        moved: Callable[[], None],
    ) -> None:
        """keyed: whether the callers have shown a key of this address. Else the cluster must ask for credentials.

        written: is told the indices whose products were written. moved: is told that names come, go or lead elsewhere.
        """
        self._upstream, self._layer = upstream, layer
        self._names, self._keyed = names, keyed
        self._written, self._moved = written, moved

    def allows(self, index: object) -> bool:
        """Whether requests may name an index."""
        return index in self._names

    def address(self, raw_path: str) -> Address:
        """See hybrid.dropin.forwarding.address."""
        return address(raw_path, self._names)

    def answer(
        self,
        method: str,
        asked: Address,
        params: Mapping[str, str],
        body: bytes,
        headers: Mapping[str, str],
        authorization: str | None,
        read: ReadJson,
    ) -> Answered:
        """Forward a request of one of an address's methods. headers: of the request, by any case of their names.

        Raises:
            RefusedError: it names what is not served, or nobody would check who sends it.
            ClusterUnreachableError, ClusterTimeoutError: no answer.
        """
        route = asked.methods[method]
        parameters = query(params, route, asked.path)
        if words := params.get("q"):
            as_body = {"query": {"query_string": {"query": words}}}
            check(asked.index or "", as_body, self._names.limits, others=self._names)
        checked = named(route.body, body, asked.index, self._names, read)
        if not self._keyed and not self._upstream.asks_for_credentials():
            raise RefusedError(
                "this cluster asks nobody for credentials, so the proxy needs a key: set HYBRID_DROPIN_PROXY_KEY",
                "security_exception", 403,
            )  # fmt: skip
        target = f"{asked.path}?{parameters}" if parameters else asked.path
        sent = {name: headers[name] for name in SENT if headers.get(name)}
        if checked.data:
            sent["Content-Type"] = form(headers.get("Content-Type", "application/json"))
        forward = Forward(method, target, checked.data, sent, authorization, route.searches)
        answered, how = self._send(forward, route, asked)
        given = {name: value for name, value in answered.headers.items() if name.lower() in GIVEN}
        answered.headers, answered.how = given, how
        if answered.status < 300:
            self._tell(route, checked)
        return answered

    def _send(self, request: Forward, route: Route, asked: Address) -> tuple[Answered, str]:
        """(the answer, how it came about). A new index, and a mapping, have the layer's part in them.

        Raises:
            RefusedError: see `_noted`.
        """
        if asked.index is not None and route.body == "mapping":
            return self._upstream.send(replace(request, body=self._noted(asked.index, request.body))), FORWARDED
        if asked.index is None or route.body != "index":
            return self._upstream.send(request), FORWARDED
        try:
            layered = orjson.dumps(self._layer.added(asked.index, orjson.loads(request.body or b"{}")))
        except Exception as error:  # the layer's own failure must not become the shop's
            logger.warning("forwarded without the layer: %s", error, exc_info=not isinstance(error, HybridError))
            why = error if isinstance(error, HybridError) else type(error).__name__
            return self._upstream.send(request), f"{FORWARDED}; degraded: {why}"
        headers = {"Content-Type": "application/json", **request.headers}
        answered = self._upstream.send(replace(request, body=layered, headers=headers))
        if answered.status != 400:
            return answered, FORWARDED
        answered.close()  # perhaps for the layer's part of it
        again = self._upstream.send(request)
        return again, f"{FORWARDED}; degraded: not with the layer's mapping" if again.status < 300 else FORWARDED

    def _noted(self, index: str, body: bytes) -> bytes:
        """A mapping with what the layer notes of the index: the cluster replaces `_meta` whole.

        Raises:
            RefusedError: it has `_meta`, and that note cannot be read.
        """
        read: dict[str, Any] = orjson.loads(body or b"{}")
        if "_meta" not in read:
            return body
        try:
            noted = self._layer.noted(index)
        except Exception as error:  # without the note, the layer would lose the index
            logger.warning("a mapping is refused: %s", error, exc_info=not isinstance(error, HybridError))
            if isinstance(error, HybridError) and error.http_status < 500:
                raise RefusedError(f"[_meta] of [{index}] cannot be written: {error}; leave [_meta] out") from error
            raise RefusedError(
                f"[_meta] of [{index}] cannot be written: what Hybrid notes there cannot be read now; try again, or "
                "leave [_meta] out", "illegal_state_exception", 409,
            ) from error  # fmt: skip
        if noted is None:
            return body
        read["_meta"]["hybrid"] = noted
        return orjson.dumps(read)

    def _tell(self, route: Route, body: Body) -> None:
        if route.moves:
            self._moved()
        if route.writes:
            for index in body.indices:
                self._written(index)


def form(content_type: str) -> str:
    """The form of a body, as the cluster is to read it: JSON as here, and of the version that the caller speaks.

    Raises:
        RefusedError: it is another one.
    """
    if not _JSON_KIND.fullmatch(content_type.strip()):
        raise RefusedError(
            f"Content-Type header [{content_type[:255]}] is not supported", "media_type_header_exception", 415
        )
    return content_type.strip()
