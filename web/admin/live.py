"""Parts of pages that change by themselves, by server-sent events or by polling."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator

from flask import Response, copy_current_request_context, current_app, g
from werkzeug.exceptions import ServiceUnavailable

#: The most streams of events at once, because each occupies a thread of the server, and the seconds that one lasts.
#: Then the browser connects again.
_STREAMS = threading.BoundedSemaphore(3)
_STREAM_S = 55.0


def serving() -> bool:
    """Whether the server takes requests; web.serving puts its own answer here. One that stops waits for streams."""
    return True


def stream(part: Callable[[], str]) -> Response:
    """The rendered `part` as events, sent whenever it changes. ADMIN_LOOK_S of the app: seconds between two renderings.

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

    # The server closes the response at its end, and also where the browser disconnects.
    response = Response(events(), mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(_STREAMS.release)
    return response
