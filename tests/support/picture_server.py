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
        self.lock = threading.Lock()
        #: path -> content; any other path has PICTURE.
        self.pictures: dict[str, bytes] = {}
        self._thread = threading.Thread(target=self.serve_forever, args=[0.02])

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
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
        with server.lock:
            server.seen.append((self.path, dict(self.headers)))
            server.busy += 1
            server.most = max(server.most, server.busy)
        try:
            self._answer(*self.path.lstrip("/").partition("/")[::2])
        except OSError:
            pass  # the other side has gone, as it should
        finally:
            with server.lock:
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
            while True:
                self.wfile.write(b"x")
                time.sleep(0.05)
        elif what == "drip-head":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                self.wfile.write(b"X: y\r\n")
                time.sleep(0.05)
        elif what == "silent":
            time.sleep(3)
        elif what == "slow":
            time.sleep(0.1)
            self._picture()
        elif what == "garbage":
            self.wfile.write(b"\0\1\2 not http\r\n\r\n")
        else:
            self._picture()

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
