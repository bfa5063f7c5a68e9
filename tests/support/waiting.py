"""Waiting for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable

#: As long as a busy machine may need: a test that waits in vain fails, and one that is slow does not.
PATIENCE_S = 120.0


def until(wanted: Callable[[], object], what: str = "what was waited for") -> None:
    """Return as soon as `wanted` gives something true; AssertionError after PATIENCE_S."""
    ending = time.monotonic() + PATIENCE_S
    while not wanted():
        assert time.monotonic() < ending, f"{what} did not come to pass"
        time.sleep(0.05)
