"""Parts of pages that change by themselves, by server-sent events or by polling."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator

from flask import Response, copy_current_request_context, current_app, g, request
from werkzeug.exceptions import ServiceUnavailable

from web.requests import PAUSE

#: The most streams of events at once, because each is rendered again and again, and the seconds that one lasts.
#: Then the browser connects again.
MAX_STREAMS = 50
_STREAMS = threading.BoundedSemaphore(MAX_STREAMS)
_STREAM_S = 55.0


def stream(part: Callable[[], str]) -> Response:
    """The rendered `part` as events, sent whenever it changes. ADMIN_LOOK_S of the app: seconds between two renderings.

    Between two events no thread is held: web.door asks for the next one after the pause, and ends the stream where the
    browser goes away or the server stops.

    Raises:
        ServiceUnavailable: too many streams are open; the page asks for the part instead.
    """
    if not _STREAMS.acquire(blocking=False):
        raise ServiceUnavailable("too many watch at once; ask for the state instead")

    user, lang, pause_s = g.user, g.lang, current_app.config["ADMIN_LOOK_S"]
    request.environ[PAUSE] = pause_s

    @copy_current_request_context
    def look() -> str:
        g.user, g.lang = user, lang
        return part()

    def events() -> Iterator[str]:
        before, ending = "", time.monotonic() + _STREAM_S
        yield f"retry: {round(1000 * pause_s)}\n\n"
        while time.monotonic() < ending:
            state = look()
            digest = hashlib.sha256(state.encode()).hexdigest()
            yield ": still here\n\n" if digest == before else f"data: {json.dumps(state)}\n\n"
            before = digest

    # Closed at its end, and also where the browser disconnects.
    response = Response(events(), mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(_STREAMS.release)
    return response
