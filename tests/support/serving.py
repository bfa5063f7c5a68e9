"""A real web server in a thread of a test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from cheroot.wsgi import Server
from flask import Flask


@contextlib.contextmanager
def served(app: Flask) -> Iterator[str]:
    """The address of the app; connections are kept open, as `hybrid serve` does."""
    server = Server(("127.0.0.1", 0), app, numthreads=16, shutdown_timeout=1)
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.bind_addr[1]}"
    finally:
        server.stop()
        thread.join()
