"""What gunicorn calls; `hybrid serve` names this module as its configuration."""

from __future__ import annotations

from typing import Any

from web.admin import live


def post_worker_init(worker: Any) -> None:
    """A server that is asked to stop refuses new requests at once, and ends when the last open one has."""
    live.serving = lambda: bool(worker.alive)
