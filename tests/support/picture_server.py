"""A picture server on loopback that can do what bad servers do, by the first part of the path."""

from __future__ import annotations

import hashlib
import http.server
import threading
import time
from typing import Any

from hybrid.media import fetching

PICTURE = b"\xff\xd8\xff" + b"picture" * 100
MODIFIED = "Mon, 01 Jan 2024 00:00:00 GMT"


class Server(http.server.ThreadingHTTPServer):
    """A picture server on loopback. seen: (path, headers) of every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.busy = self.most = 0
        self.crowd = threading.Condition()
        #: path -> content; any other path has PICTURE.
        self.pictures: dict[str, bytes] = {}
        #: path -> a whole answer with its head, sent as it is; then the connection is closed.
        self.answers: dict[str, bytes] = {}
        #: Bytes that "negative" could send, and whether the other side closed the connection that "kept" holds open.
        self.sent = 0
        self.hung_up = threading.Event()
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=[0.02])

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.ended.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, *_: Any) -> None:
        """The other side ends what it does not like, as it should; nobody needs to read of it."""

    @property
    def port(self) -> int:
        return self.server_address[1]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        with server.crowd:
            server.seen.append((self.path, dict(self.headers)))
            server.busy += 1
            server.most = max(server.most, server.busy)
            server.crowd.notify_all()
        try:
            self._answer(*self.path.lstrip("/").partition("/")[::2])
        except OSError:
            pass  # the other side has gone, as it should
        finally:
            with server.crowd:
                server.busy -= 1

    def _answer(self, what: str, rest: str) -> None:
        if what == "redirect":
            self._head(302, Location=rest)
        elif what == "loop":
            self._head(302, Location=f"/loop/{int(rest or 0) + 1}")
        elif what == "hop":
            self._head(302, Location=f"/hop/{int(rest) - 1}" if int(rest) > 1 else "/a.jpg")
        elif what == "status":
            self._head(int(rest))
        elif what == "large":
            self._head(200, **{"Content-Length": str(fetching.MAX_BYTES + 1)})
        elif what == "endless":
            self._head(200)
            while True:
                self.wfile.write(b"x" * 100_000)
        elif what == "short":
            self._head(200, **{"Content-Length": "1000"})
            self.wfile.write(b"x" * 10)
        elif what == "drip":
            self._head(200)
            self._drip(b"x")
        elif what == "drip-chunked":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            self._drip(b"1\r\nx\r\n")
        elif what == "drip-head":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            self._drip(b"y")
        elif what == "continue":
            self._drip(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif what == "silent":
            self.server.ended.wait()
        elif what == "crowd":
            with self.server.crowd:
                full = self.server.crowd.wait_for(lambda: self.server.most >= int(rest), 30)
            time.sleep(0.1)  # for one more than that to come, which must not
            self._picture() if full else self._head(503)
        elif what == "negative":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n")
            while self.server.sent < 10 * fetching.MAX_BYTES:
                self.wfile.write(b"x" * 100_000)
                self.server.sent += 100_000
        elif what == "kept":
            status, _, connection = rest.partition("/")
            head = f"HTTP/1.1 {status} X\r\nConnection: {connection}\r\nContent-Length: {len(PICTURE)}\r\n\r\n"
            self.wfile.write(head.encode() + PICTURE)
            if self.rfile.read(1) == b"":
                self.server.hung_up.set()
        elif self.path in self.server.answers:
            self.wfile.write(self.server.answers[self.path])
        else:
            self._picture()

    def _drip(self, piece: bytes) -> None:
        while not self.server.ended.wait(0.05):
            self.wfile.write(piece)

    def _picture(self) -> None:
        data = self.server.pictures.get(self.path, PICTURE)
        etag = f'"{hashlib.sha256(data).hexdigest()[:8]}"'
        if self.headers.get("If-None-Match") == etag:
            self._head(304, ETag=etag)
            return
        self._head(200, **{"Content-Length": str(len(data)), "ETag": etag, "Last-Modified": MODIFIED})
        self.wfile.write(data)

    def _head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
