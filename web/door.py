"""The ASGI app before the WSGI app of `web`: what a caller can do without holding a thread is decided here.

A body is read here, within deadlines, before a thread is taken. Requests of one kind share a lane: a few threads, and a
short queue before them. Health answers at once. A lane that is crowded has its searches answered by words alone, and a
full one refuses within milliseconds. An answer is sent from here as well: a slow reader holds no thread.
"""

from __future__ import annotations

import asyncio
import io
import logging
import random
import re
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import orjson
from werkzeug.datastructures import Headers

from web.cors import Origins
from web.lanes import Gone, Lane, Message, Receive, Refused, busy, gone
from web.requests import BUSY, MAX_BODY_BYTES, PAUSE, finish, log, request_id

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Send = Callable[[Message], Awaitable[None]]

#: A body may come as slowly as this, after the first seconds, and take no longer than this in all.
BODY_GRACE_S, BODY_BYTES_A_SECOND, BODY_MOST_S = 10.0, 8_192, 180.0
#: What all bodies may occupy together, of requests that are received, wait or are answered.
BODIES_BYTES = 128 * 1024 * 1024
#: A longer answer is sent in parts, each read by a thread once the part before it is sent.
_WHOLE_BYTES = 256 * 1024
#: Seconds for a reader to take one part of an answer.
_SEND_S = 30.0
#: Seconds that readiness is waited for, and that an answer about it is true.
READY_WAIT_S, _READY_TTL_S = 2.0, 1.0
#: Seconds that a search may expect to wait for a thread.
SEARCH_WAIT_S = 0.5
#: A search with a longer body carries a photo or a recording.
_PHOTO_BYTES = 8_192
_MEDIA = ("/media/", "/video/", "/audio/", "/poster/", "/waveform/", "/static/")
#: Not the address of a document whose id is `_search`.
_SEARCH = re.compile(r"/es(?:/[^/]+/_m?search|/_msearch)/?")
_BULK = re.compile(r"/es(?:/[^/]+)?/_bulk/?")
_MAX_LOGGED = 500

access = logging.getLogger("hybrid.access")


@dataclass
class _Answer:
    """What the WSGI app answered. body: all of it, or its beginning where `rest` has more. close: ends it."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    rest: Iterator[bytes] | None
    close: Callable[[], None]
    pause_s: float = 0.0


class Door:
    """The ASGI app. app: the WSGI app behind it. ready: says in a thread whether searches can be answered, and why not.

    threads: searches at once. by_signal: whether the server's process is stopped by a signal, which it hears of; then
    answers without an end are ended, because the server waits for them. proxies: how many trusted ones stand in front.
    origins: the web sites whose pages may read a refusal, see web.cors. bulk_bytes: of a `_bulk` at most.
    """

    def __init__(
        self,
        app: WSGIApplication,
        ready: Callable[[], tuple[bool, dict[str, Any]]],
        threads: int = 8,
        by_signal: bool = False,
        proxies: int = 0,
        origins: str = "",
        bulk_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._app, self._ready, self._proxies = app, ready, proxies
        self._bulk_bytes = bulk_bytes
        self._origins = Origins(origins)
        self._search = Lane("search", threads, waiting=12 * threads, wait_s=SEARCH_WAIT_S, crowded=2 * threads)
        self._photos = Lane("photo", 2, waiting=6, wait_s=3.0)
        self._push = Lane("push", 2, waiting=16, wait_s=10.0)
        self._proxy = Lane("proxy", 4, waiting=32, wait_s=10.0)
        self._media = Lane("media", 4, waiting=64, wait_s=10.0)
        self._admin = Lane("admin", 4, waiting=32, wait_s=10.0)
        self._health = ThreadPoolExecutor(1, thread_name_prefix="health")
        self._readiness: asyncio.Future[tuple[bool, dict[str, Any]]] | None = None
        self._ready_until = 0.0
        self._bodies = 0
        self._stopping = False
        self._must_watch = by_signal

    def waiting(self) -> dict[str, int]:
        """How many requests wait for a thread, by lane."""
        lanes = (self._search, self._photos, self._push, self._proxy, self._media, self._admin)
        return {lane.name: lane.waits for lane in lanes}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            if self._must_watch:
                self._watch_signals()
            await self._request(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    def _watch_signals(self) -> None:
        """Hear of the server's end. Its own handlers, which the loop calls, are called as well."""
        self._must_watch = False

        def stop(*_: object) -> None:
            self._stopping = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
            signal.siginterrupt(number, False)

    # -- requests --------------------------------------------------------------------------------------------

    async def _request(self, scope: Message, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        path, method = scope["path"], scope["method"]
        headers = dict(scope["headers"])
        scheme = self._forwarded(scope, b"x-forwarded-proto") or scope.get("scheme")
        outgoing = _Outgoing(send, secure=scheme == "https")
        id = request_id(headers.get(b"x-request-id", b"").decode("latin-1"))
        try:
            if path == "/healthz" and method in ("GET", "HEAD"):
                await outgoing.json(200, {"status": "alive"}, id)
            elif path == "/readyz" and method in ("GET", "HEAD"):
                ready, parts = await self._is_ready()
                await outgoing.json(200 if ready else 503, {"ready": ready, "parts": parts}, id)
            else:
                body = await self._body(path, headers, receive)
                try:
                    await self._pass(scope, body, id, receive, outgoing)
                finally:
                    self._bodies -= len(body or b"")
        except Refused as error:
            await outgoing.refusal(error, path, id, *self._cors(path, headers))
        except Gone:
            outgoing.status = 499
        except Exception as error:  # the app answers its own errors
            log.error("%s unexpected error", id, exc_info=error)
            if not outgoing.status:
                why = Refused(500, "InternalError", "something went wrong")
                await outgoing.refusal(why, path, id, *self._cors(path, headers))
        finally:
            took_ms = (time.perf_counter() - began) * 1000
            client = self._forwarded(scope, b"x-forwarded-for") or (scope.get("client") or ("-",))[0]
            where = scope["raw_path"][:_MAX_LOGGED].decode("ascii", "backslashreplace")
            access.info(
                '%s "%s %s" %d %d %.1f ms %s', client, method, where, outgoing.status, outgoing.size, took_ms, id
            )

    def _cors(self, path: str, headers: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        origin = headers.get(b"origin", b"").decode("latin-1")
        return [(name.lower().encode(), value.encode()) for name, value in self._origins.headers(path, origin)]

    def _forwarded(self, scope: Message, header: bytes) -> str | None:
        """What the first of the trusted proxies says of the caller. What the caller says itself stands before that."""
        values = b",".join(value for name, value in scope["headers"] if name == header).decode("latin-1").split(",")
        return values[-self._proxies].strip()[:_MAX_LOGGED] if 0 < self._proxies <= len(values) else None

    async def _is_ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether searches can be answered; asked once for all that want to know."""
        if self._readiness is None or (self._readiness.done() and time.monotonic() > self._ready_until):
            self._readiness = asyncio.get_running_loop().run_in_executor(self._health, self._ready)
            self._readiness.add_done_callback(self._was_ready)
        try:
            return await asyncio.wait_for(asyncio.shield(self._readiness), READY_WAIT_S)
        except TimeoutError:
            reason = f"no answer within {READY_WAIT_S:g} s"
            return False, {"elasticsearch": {"ok": False, "reason": reason}}

    def _was_ready(self, _: object) -> None:
        self._ready_until = time.monotonic() + _READY_TTL_S

    async def _body(self, path: str, headers: MutableMapping[bytes, bytes], receive: Receive) -> bytes | None:
        """The whole body; None where it says itself that it is too long, which the app answers.

        Its length is counted in `_bodies`; whoever takes the body takes it out again.

        Raises:
            Refused: it comes too slowly, or too much is being received.
            Gone: the caller went away.
        """
        announced = headers.get(b"content-length")
        if announced is None and b"transfer-encoding" not in headers:
            return b""
        most = self._bulk_bytes if _BULK.fullmatch(path) else MAX_BODY_BYTES
        if announced is not None and int(announced) > most:
            return None
        chunks: list[bytes] = []
        length, began = 0, time.monotonic()
        try:
            while True:
                allowed_s = min(BODY_MOST_S, BODY_GRACE_S + length / BODY_BYTES_A_SECOND)
                try:
                    async with asyncio.timeout(began + allowed_s - time.monotonic()):
                        message = await receive()
                except TimeoutError:
                    raise Refused(408, "RequestTimeout", "the body came too slowly") from None
                if message["type"] == "http.disconnect":
                    raise Gone
                chunk = message.get("body", b"")
                chunks.append(chunk)
                length += len(chunk)
                self._bodies += len(chunk)
                if self._bodies > BODIES_BYTES:
                    raise busy()
                if length > most or not message.get("more_body"):
                    return b"".join(chunks)
        except BaseException:
            self._bodies -= length
            raise

    async def _pass(self, scope: Message, body: bytes | None, id: str, receive: Receive, outgoing: _Outgoing) -> None:
        """Have the app answer, in a thread of the request's lane."""
        lane = self._lane(scope["path"], body)
        async with lane.place(receive):
            environ = _environ(scope, body, id)
            environ[BUSY] = lane.crowded
            answer: _Answer = await lane.run(self._call, environ)
        try:
            await outgoing.start(answer.status, answer.headers)
            await outgoing.part(answer.body, more=answer.rest is not None)
            if answer.rest is not None:
                await self._send_rest(answer, lane, receive, outgoing)
        finally:
            if answer.rest is not None:
                await lane.run(answer.close)

    async def _send_rest(self, answer: _Answer, lane: Lane, receive: Receive, outgoing: _Outgoing) -> None:
        left = asyncio.ensure_future(gone(receive))
        try:
            while not left.done():
                if answer.pause_s:
                    if self._stopping:
                        break
                    await asyncio.wait({left}, timeout=answer.pause_s)
                part = await lane.run(next, answer.rest, None)
                if part is None:
                    break
                await asyncio.wait_for(outgoing.part(part, more=True), _SEND_S)
            else:
                raise Gone
        except TimeoutError:
            raise Gone from None
        finally:
            left.cancel()
        await outgoing.part(b"", more=False)

    def _lane(self, path: str, body: bytes | None) -> Lane:
        if path.startswith("/admin"):
            return self._admin
        if path.startswith(_MEDIA):
            return self._media
        if path.startswith("/api/documents/"):
            return self._push
        if path.startswith("/es/") and not _SEARCH.fullmatch(path):
            return self._proxy
        if body is not None and len(body) > _PHOTO_BYTES and path in ("/", "/api/search"):
            return self._photos
        return self._search

    def _call(self, environ: dict[str, Any]) -> _Answer:
        """The app's answer. Runs in a thread."""
        status = 0
        headers: list[tuple[bytes, bytes]] = []

        def start_response(line: str, named: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal status, headers
            status = int(line[:3])
            headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in named]

        parts: Iterable[bytes] = self._app(environ, start_response)
        close: Callable[[], None] = getattr(parts, "close", lambda: None)
        pause_s = float(environ.get(PAUSE, 0.0))
        rest = iter(parts)
        chunks: list[bytes] = []
        size = 0
        try:
            for chunk in rest:
                chunks.append(chunk)
                size += len(chunk)
                if pause_s or size > _WHOLE_BYTES:
                    return _Answer(status, headers, b"".join(chunks), rest, close, pause_s)
        except BaseException:
            close()
            raise
        close()
        return _Answer(status, headers, b"".join(chunks), None, close)


class _Outgoing:
    """The answer to one request, and what the log says of it."""

    def __init__(self, send: Send, secure: bool) -> None:
        """secure: whether it was asked for by https."""
        self._send = send
        self._secure = secure
        self.status = self.size = 0

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def part(self, body: bytes, more: bool) -> None:
        self.size += len(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def json(self, status: int, answer: Any, id: str, *more: tuple[bytes, bytes]) -> None:
        await self._send_all(status, orjson.dumps(answer), b"application/json", id, *more)

    async def _send_all(self, status: int, body: bytes, kind: bytes, id: str, *more: tuple[bytes, bytes]) -> None:
        await self.start(status, [
            (b"content-type", kind), (b"content-length", str(len(body)).encode()),
            (b"x-request-id", id.encode()), (b"cache-control", b"no-store"), *_always(self._secure), *more,
        ])  # fmt: skip
        await self.part(body, more=False)

    async def refusal(self, error: Refused, path: str, id: str, *cors: tuple[bytes, bytes]) -> None:
        """Why a request gets no answer, in the shape that its address has."""
        more = list(cors)
        wait_s = random.randint(1, 3)  # not the same for all: they would come back at the same moment
        if error.status == 429:
            more.append((b"retry-after", str(wait_s).encode()))
        if error.status == 408:
            more.append((b"connection", b"close"))
        if path == "/es" or path.startswith("/es/"):
            cause = {"type": "es_rejected_execution_exception", "reason": error.reason}
            more += [(b"x-elastic-product", b"Elasticsearch"), (b"x-hybrid", b"refused")]
            await self.json(
                error.status, {"error": {"root_cause": [cause], **cause}, "status": error.status}, id, *more
            )
        elif error.status == 429 and (path == "/" or path.startswith("/admin")) and "/api/" not in path:
            await self._send_all(429, _BUSY_PAGE % wait_s, b"text/html; charset=utf-8", id, *more)
        else:
            await self.json(error.status, {"error": {"type": error.kind, "reason": error.reason}}, id, *more)


@lru_cache  # a refusal must cost little
def _always(secure: bool) -> tuple[tuple[bytes, bytes], ...]:
    headers = Headers()
    finish(headers, secure)
    return tuple((name.lower().encode(), value.encode()) for name, value in headers.items())


#: For a browser, which asks again by itself.
_BUSY_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    '<meta http-equiv="refresh" content="%d"><title>Busy</title><p>Many people are here at the moment. This page tries '
    'again by itself.</p><p lang="zh-Hans">当前访问的人较多，本页会自动重试。</p>'
).encode()


def _environ(scope: Message, body: bytes | None, id: str) -> dict[str, Any]:
    """The WSGI environment of a request (PEP 3333). body: whole, or None for one that is too long to be read."""
    raw_path = scope["raw_path"]
    server, port = scope.get("server") or ("localhost", 80)
    client, client_port = scope.get("client") or ("", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(raw_path).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "REQUEST_URI": raw_path.decode("latin-1"),
        "SERVER_NAME": server,
        "SERVER_PORT": str(port or 0),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client,
        "REMOTE_PORT": str(client_port),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body or b""),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        if b"_" in raw_name:  # else it could pass for a header with a hyphen, which a proxy has set
            continue
        name, value = raw_name.decode("latin-1").upper().replace("-", "_"), raw_value.decode("latin-1")
        key = name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
        if key in environ:
            value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
        environ[key] = value
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    if body:  # also where it came in chunks; a body that is too long says so itself
        environ["CONTENT_LENGTH"] = str(len(body))
    environ["HTTP_X_REQUEST_ID"] = id
    return environ
