"""What the web server of `hybrid serve` loads: granian calls `create_door` in each of its workers."""

from __future__ import annotations

import gc
import logging
import logging.config
import resource
import sys
import time
from functools import partial

from flask import Flask

import web
from hybrid.settings import load_settings
from web.api.search import readiness
from web.door import Door
from web.requests import MAX_BODY_BYTES
from web.services import ServicesLike

#: Control characters and ends of lines, which could begin a false line or reach a terminal.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    ord("\n"): "\\n",
    ord("\t"): "\\t",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
_MAX_LINE_CHARS = 8_000
_LONG_COLLECTION_S = 0.02


class OneLine(logging.Formatter):
    """Every record, its traceback too, is one line of bounded length, without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record).translate(_CONTROL)
        half = _MAX_LINE_CHARS // 2
        return line if len(line) <= 2 * half else f"{line[:half]} … {line[-half:]}"


def create_door() -> Door:
    """The ASGI app of a worker of `hybrid serve`."""
    _configure_logging()
    _leave_alone_what_stays()
    # The loop that reads requests and answers health waits no longer than this for a thread that computes.
    sys.setswitchinterval(0.001)
    # Idle connections hold a file each.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if soft != resource.RLIM_INFINITY else soft, hard))
    return door_of(web.create_app(), load_settings().web_threads, by_signal=True)


def _leave_alone_what_stays() -> None:
    """Have the garbage collector not look again and again at models, dictionaries and code, which stay.

    A full collection holds every thread up, the one that answers health too, for a tenth of a second and more. One that
    takes long has found much that stays: it is not looked at again. What of it becomes garbage in a circle is lost, so
    this is done as seldom as that.
    """
    began = 0.0

    def watch(phase: str, info: dict[str, int]) -> None:
        nonlocal began
        if info["generation"] == 2 and phase == "start":
            began = time.perf_counter()
        elif info["generation"] == 2 and time.perf_counter() - began > _LONG_COLLECTION_S:
            gc.freeze()

    gc.callbacks.append(watch)


def door_of(app: Flask, threads: int = 8, by_signal: bool = False) -> Door:
    """An app behind its door; see web.door."""
    services: ServicesLike = app.extensions["hybrid"]
    settings = services.settings
    ready = partial(readiness, services)
    bulk = settings.dropin_proxy_bulk_mb * 2**20 if settings.dropin_proxy else MAX_BODY_BYTES
    return Door(app.wsgi_app, ready, threads, by_signal, settings.trusted_proxies, settings.cors_origins, bulk)


def _configure_logging() -> None:
    logging.config.dictConfig({
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": OneLine, "format": "%(asctime)s %(levelname)s %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        # Its tracebacks for each try say no more than the one line of the error that follows.
        "loggers": {"hybrid.access": {"level": "INFO"}, "elastic_transport": {"level": "ERROR"}},
    })  # fmt: skip
