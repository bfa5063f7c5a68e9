"""Parts of pages that change by themselves, told as server-sent events, or asked for again and again."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator

from flask import Response, copy_current_request_context, current_app, g
from werkzeug.exceptions import ServiceUnavailable

#: Each stream of events holds a thread of the server: so many at once, and each so many seconds, then the browser asks
#: again.
_STREAMS = threading.BoundedSemaphore(3)
_STREAM_S = 55.0


def serving() -> bool:
    """Whether the server takes requests; web.serving puts its own answer here. One that stops waits for streams."""
    return True


def stream(part: Callable[[], str]) -> Response:
    """What `part` renders as events, whenever it has changed; the app's ADMIN_LOOK_S are the seconds between two looks.

    Raises:
        ServiceUnavailable: too many streams are open; the page asks for the part instead.
    """
    if not _STREAMS.acquire(blocking=False):
        raise ServiceUnavailable("too many watch at once; ask for the state instead")

    user, lang, pause_s = g.user, g.lang, current_app.config["ADMIN_LOOK_S"]

    @copy_current_request_context
    def look() -> str:
        g.user, g.lang = user, lang
        return part()

    def events() -> Iterator[str]:
        before, ending = "", time.monotonic() + _STREAM_S
        yield "retry: 1000\n\n"
        while time.monotonic() < ending and serving():
            state = look()
            digest = hashlib.sha256(state.encode()).hexdigest()
            yield ": still here\n\n" if digest == before else f"data: {json.dumps(state)}\n\n"
            before = digest
            time.sleep(pause_s)

    # The server closes it whether it came to its end or its browser went away.
    response = Response(events(), mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(_STREAMS.release)
    return response
