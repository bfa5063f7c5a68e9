"""The real web server, with its door, in a thread of a test."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from flask import Flask
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from hybrid.operations import processes
from web.door import Door
from web.serving import door_of


@contextlib.contextmanager
def served(app: Flask | Door) -> Iterator[str]:
    """The address of the app, served as `hybrid serve` does."""
    port = processes.free_port()
    door = app if isinstance(app, Door) else door_of(app)
    ready = threading.Event()
    stop: list[tuple[asyncio.AbstractEventLoop, Server]] = []

    async def serve() -> None:
        server = Server(
            door, port=port, interface=Interfaces.ASGI, websockets=False, log_enabled=False,
            backlog=processes.BACKLOG, backpressure=processes.CONNECTIONS,
            http1_settings=HTTP1Settings(header_read_timeout=processes.HEADER_MS),
        )  # fmt: skip
        stop.append((asyncio.get_running_loop(), server))
        ready.set()
        await server.serve()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    ending = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert time.monotonic() < ending
            time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        ((loop, server),) = stop
        loop.call_soon_threadsafe(server.stop)
        thread.join(20)
