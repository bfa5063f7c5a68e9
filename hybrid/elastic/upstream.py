"""Requests that are forwarded to the cluster: with the caller's credentials, and answers as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import certifi
import urllib3
from urllib3.exceptions import HTTPError, TimeoutError

from hybrid.dropin.proxy import Answered, Forward
from hybrid.elastic.client import safe_url
from hybrid.errors import ClusterTimeoutError, ClusterUnreachableError, UsageError
from hybrid.settings import Settings

_PART_BYTES = 64 * 1024
#: Connections that are kept.
_CONNECTIONS = 16
#: Seconds that an answer is waited for at least: how long a write may take is for its caller to say.
_PATIENCE_S = 60.0
_ASKED_TTL_S = 30.0


class Upstream:
    """The cluster behind the proxy. Thread-safe.

    Nothing is sent twice, no redirect is followed, and a user name in the cluster's address is left out.
    """

    def __init__(self, settings: Settings, url: str) -> None:
        """Raises:
        UsageError: the address cannot be used.
        """
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"cannot use {safe_url(url)} as an Elasticsearch address")
        self._before = parts.path.rstrip("/")
        # The cluster ends a search whose connection ends.
        self._search_timeout = urllib3.Timeout(connect=settings.es_timeout_s, read=settings.es_timeout_s)
        timeout = urllib3.Timeout(connect=settings.es_timeout_s, read=max(_PATIENCE_S, settings.es_timeout_s))
        self._pool: urllib3.HTTPConnectionPool
        if parts.scheme == "https":
            self._pool = urllib3.HTTPSConnectionPool(
                parts.hostname, parts.port or 443, timeout, _CONNECTIONS,
                cert_reqs="CERT_REQUIRED", ca_certs=str(settings.es_ca_certs or certifi.where()),
            )  # fmt: skip
        else:
            self._pool = urllib3.HTTPConnectionPool(parts.hostname, parts.port or 80, timeout, _CONNECTIONS)
        self._asked: tuple[float, bool] = (float("-inf"), False)

    def send(self, request: Forward) -> Answered:
        """Send a request once.

        Raises:
            ClusterUnreachableError, ClusterTimeoutError: no answer.
        """
        headers = {**request.headers, "Accept-Encoding": "identity"}
        if request.authorization:
            headers["Authorization"] = request.authorization
        try:
            answer = self._pool.urlopen(
                request.method, self._before + request.target, request.body or None, headers,
                retries=False, redirect=False, preload_content=False, decode_content=False,
                timeout=self._search_timeout if request.searches else self._pool.timeout,
            )  # fmt: skip
        except HTTPError as error:
            raise _unanswered(error) from error
        # What was read to its end has given its connection back; what was not ends with it.
        return Answered(answer.status, dict(answer.headers), _parts(answer), answer.close)

    def asks_for_credentials(self) -> bool:
        """Whether the cluster refuses who says nothing of himself; asked every half minute.

        Raises:
            ClusterUnreachableError, ClusterTimeoutError: no answer.
        """
        asked_at, asks = self._asked
        if time.monotonic() - asked_at > _ASKED_TTL_S:
            answer = self.send(Forward("GET", "/", b"", {"Accept": "application/json"}, None))
            answer.close()
            asks = answer.status == 401  # 403 would be the answer to an anonymous user, who has roles
            self._asked = (time.monotonic(), asks)
        return asks


def _parts(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    try:
        yield from answer.stream(_PART_BYTES, decode_content=False)
    except HTTPError as error:
        raise _unanswered(error) from error


def _unanswered(error: HTTPError) -> ClusterTimeoutError | ClusterUnreachableError:
    if isinstance(error, TimeoutError):
        return ClusterTimeoutError(f"Elasticsearch did not answer in time ({type(error).__name__})")
    return ClusterUnreachableError(f"Elasticsearch does not answer ({type(error).__name__}); check HYBRID_ES_URL")
