"""The drop-in's way to the cluster, against servers that behave badly; against Elasticsearch see test_dropin."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from elastic_transport import ConnectionError, ConnectionTimeout, NodeConfig, TlsError

from hybrid.elastic.curl import CurlNode


class _Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked. /slow: after a second; /together: when four ask; /gone: not at all, and it hangs
    up.
    """

    together = threading.Barrier(4)

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/gone":
            self.close_connection = True
            return
        if self.path == "/slow":
            time.sleep(1)
        if self.path == "/together":
            self.together.wait(60)
        said = f"{self.command} {self.path} {self.headers.get('X-Asked')} {self.client_address[1]} ".encode() + body
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(said)))
        self.send_header("Warning", "299 one")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def _served(context: ssl.SSLContext | None = None) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def test_every_kind_of_request_goes_over_one_connection() -> None:
    with _served() as port:
        node = CurlNode(NodeConfig("http", "127.0.0.1", port, headers={"x-asked": "kindly"}))
        ports = set()
        for method, body in (("GET", None), ("POST", b"{}"), ("PUT", b"x" * 100_000), ("DELETE", None), ("POST", None)):
            meta, answer = node.perform_request(method, "/a?b=c", body=body)
            asked, path, header, came_from, rest = answer.split(b" ", 4)
            assert (asked.decode(), path, header, rest) == (method, b"/a?b=c", b"kindly", body or b"")
            assert (meta.status, meta.headers["warning"]) == (200, "299 one")
            ports.add(came_from)
        meta, answer = node.perform_request("HEAD", "/a")
        assert (meta.status, answer) == (200, b"")
        meta, _ = node.perform_request("GET", "/missing")
        assert meta.status == 404
        assert len(ports) == 1
        node.close()


def test_threads_do_not_share_a_connection() -> None:
    with _served() as port:
        node = CurlNode(NodeConfig("http", "127.0.0.1", port))
        answers: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: answers.append(node.perform_request("GET", "/together")[1]))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({answer.split(b" ")[3] for answer in answers}) == 4


def test_errors_are_those_of_the_client() -> None:
    with _served() as port:
        node = CurlNode(NodeConfig("http", "127.0.0.1", port, request_timeout=30))
        with pytest.raises(ConnectionTimeout):
            node.perform_request("GET", "/slow", request_timeout=0.2)
        with pytest.raises(ConnectionError):
            node.perform_request("GET", "/gone")
        assert node.perform_request("GET", "/a")[0].status == 200
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    with pytest.raises(ConnectionError):
        CurlNode(NodeConfig("http", "127.0.0.1", closed)).perform_request("GET", "/")


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with _served() as port:
        assert CurlNode(NodeConfig("http", "127.0.0.1", port)).perform_request("GET", "/a")[0].status == 200


def test_certificates_are_verified(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with _served(context) as port:
        trusting = CurlNode(NodeConfig("https", "127.0.0.1", port, ca_certs=str(tmp_path / "ca.pem")))
        assert trusting.perform_request("GET", "/a")[0].status == 200
        with pytest.raises(TlsError):
            CurlNode(NodeConfig("https", "127.0.0.1", port)).perform_request("GET", "/a")
        with pytest.raises(TlsError):  # of another name than the certificate's
            CurlNode(NodeConfig("https", "localhost", port, ca_certs=str(tmp_path / "ca.pem"))).perform_request(
                "GET", "/"
            )
