"""Requests to the cluster by libcurl: a search of the drop-in spends less time here than in the client's own nodes."""

from __future__ import annotations

import io
import logging
import threading
import time
from typing import Any

import certifi
import pycurl
from elastic_transport import (
    ApiResponseMeta,
    BaseNode,
    ConnectionError,
    ConnectionTimeout,
    HttpHeaders,
    NodeConfig,
    TlsError,
)
from elastic_transport._node import NodeApiResponse
from elastic_transport.client_utils import DEFAULT, DefaultType, client_meta_version

logger = logging.getLogger("elastic_transport.node")

_TLS = (pycurl.E_SSL_CONNECT_ERROR, pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_CACERT_BADFILE)


class CurlNode(BaseNode):
    """One node of the cluster, for `Elasticsearch(node_class=CurlNode)`. Thread-safe: each thread has a connection.

    Certificates are always verified, by `ca_certs` or the usual authorities. Other TLS options of a node are ignored,
    and nothing is compressed. A thread that waits for an answer handles no signal until the answer is there: the node
    is meant for servers' threads.
    """

    _CLIENT_META_HTTP_CLIENT = ("cl", client_meta_version(pycurl.version_info()[1]))

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self._own = threading.local()

    def perform_request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: HttpHeaders | None = None,
        request_timeout: DefaultType | float | None = DEFAULT,
    ) -> NodeApiResponse:
        """See elastic_transport.BaseNode."""
        handle = self._handle()
        sent = self._headers.copy()
        sent.update(headers or {})
        lines: list[bytes] = []
        answer = io.BytesIO()
        seconds = self.config.request_timeout if isinstance(request_timeout, DefaultType) else request_timeout
        handle.setopt(pycurl.CUSTOMREQUEST, method)
        handle.setopt(pycurl.URL, f"{self.base_url}{target}")
        # curl does not send a header without a value. With `Expect`, it would wait for a "100 Continue".
        handle.setopt(pycurl.HTTPHEADER, ["Expect:", *(f"{name}: {value}" for name, value in sent.items())])
        handle.setopt(pycurl.POST, body is not None)
        if body is not None:
            handle.setopt(pycurl.POSTFIELDS, body)
        handle.setopt(pycurl.NOBODY, method == "HEAD")
        handle.setopt(pycurl.TIMEOUT_MS, round((seconds or 0) * 1000))
        handle.setopt(pycurl.HEADERFUNCTION, lines.append)
        handle.setopt(pycurl.WRITEFUNCTION, answer.write)
        started = time.monotonic()
        try:
            handle.perform()
        except pycurl.error as error:
            raise _error(error) from error
        meta = ApiResponseMeta(
            node=self.config,
            duration=time.monotonic() - started,
            http_version="1.1",
            status=handle.getinfo(pycurl.RESPONSE_CODE),
            headers=_headers(lines),
        )
        logger.debug("%s %s: %d after %.3f s", method, target, meta.status, meta.duration)
        return NodeApiResponse(meta, answer.getvalue())

    def close(self) -> None:
        """Close this thread's connection. The connection of another thread ends with that thread."""
        handle = self._own.__dict__.pop("handle", None)
        if handle is not None:
            handle.close()

    def _handle(self) -> Any:
        handle = getattr(self._own, "handle", None)
        if handle is None:
            handle = self._own.handle = pycurl.Curl()
            handle.setopt(pycurl.NOSIGNAL, True)
            handle.setopt(pycurl.TCP_NODELAY, True)
            handle.setopt(pycurl.NOPROXY, "*")  # as the client's other nodes, which do not read the environment
            handle.setopt(pycurl.CAINFO, str(self.config.ca_certs or certifi.where()))
        return handle


def _headers(lines: list[bytes]) -> HttpHeaders:
    headers = HttpHeaders()
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            headers[name.strip()] = value.strip()
    return headers


def _error(error: pycurl.error) -> Exception:
    code, message = error.args[0], str(error.args[-1])
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return ConnectionTimeout(f"Connection timed out during request: {message}", errors=(error,))
    if code in _TLS:
        return TlsError(message, errors=(error,))
    return ConnectionError(message, errors=(error,))
