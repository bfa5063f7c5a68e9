"""What the web server of `hybrid serve` loads: granian calls `create_app` in each of its workers."""

from __future__ import annotations

import os
import signal
import threading

from flask import Flask

import web
from web.admin import live


def create_app() -> Flask:
    """The app, whose streams of events end when its worker is asked to stop: the worker waits for them."""
    stopping = threading.Event()
    live.serving = lambda: not stopping.is_set()
    # The handler of the signal is the server's own, set later; the number of every signal comes here all the same.
    read_end, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(read_end, stopping), name="stopping", daemon=True).start()
    return web.create_app()


def _watch(read_end: int, stopping: threading.Event) -> None:
    while os.read(read_end, 1)[0] not in (signal.SIGTERM, signal.SIGINT):
        pass
    stopping.set()
