"""The door before the app, on the real server: what callers can and cannot hold up."""

from __future__ import annotations

import gc
import json
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.serving import served
from web import door, serving
from web.door import Door
from web.requests import BUSY, MAX_BODY_BYTES, PAUSE
from web.serving import OneLine

THREADS = 2
#: No time of a test is asserted but for this one, which only a request that waits for something exceeds.
AT_ONCE_S = 5.0


class App:
    """A WSGI app whose answers wait until the test lets them go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.running = threading.Semaphore(0)
        self.calls: Counter[str] = Counter()
        self.busy: Counter[str] = Counter()
        self.seen: dict[str, dict[str, Any]] = {}
        self.closed = threading.Event()
        self.parts, self.delay_s = 0, 0.0

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.calls[path] += 1
        self.seen[path] = environ
        self.busy[path] += environ[BUSY]
        if path == "/fails":
            raise RuntimeError("broken\nfor good")
        start("200 OK", [("Content-Type", "text/plain")])
        time.sleep(self.delay_s)
        if path.endswith("/wait"):
            self.running.release()
            assert self.go.wait(30)
        if path == "/large":
            return _Closing(self, (b"x" * 65_536 for _ in range(1_000)))
        if path == "/events":
            environ[PAUSE] = 0.05
            return _Closing(self, (f"data: {number}\n\n".encode() for number in range(10_000)))
        return [environ["wsgi.input"].read() or b"answer"]


class _Closing:
    def __init__(self, app: App, parts: Iterator[bytes]) -> None:
        self._app, self._rest = app, parts

    def __iter__(self) -> Iterator[bytes]:
        for part in self._rest:
            self._app.parts += 1
            yield part

    def close(self) -> None:
        self._app.closed.set()


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def url(app: App) -> Iterator[str]:
    with served(Door(app, lambda: (True, {"elasticsearch": {"ok": True}}), threads=THREADS)) as url:
        yield url
        app.go.set()


def connect(url: str, sent: bytes = b"") -> socket.socket:
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=30)
    connection.sendall(sent)
    return connection


def ask(
    url: str, path: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request(method, path, body, headers or {}, encode_chunked=hasattr(body, "__next__"))
    answer = connection.getresponse()
    read = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, read


@contextmanager
def waiting(app: App, url: str, count: int, path: str = "/wait") -> Iterator[list[socket.socket]]:
    """`count` requests that hold threads or wait for one."""
    connections = [connect(url, f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode()) for _ in range(count)]
    for _ in range(min(count, THREADS)):
        assert app.running.acquire(timeout=30)
    yield connections
    for connection in connections:
        connection.close()


def until(true: Callable[[], bool]) -> None:
    ending = time.monotonic() + 30
    while not true():
        assert time.monotonic() < ending
        time.sleep(0.01)


# -- bodies ------------------------------------------------------------------------------------------------------


def test_bodies_that_do_not_come_hold_no_thread(app: App, url: str) -> None:
    slow = b"POST /slow HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000\r\n\r\n12345"
    connections = [connect(url, slow) for _ in range(50 * THREADS)]
    assert ask(url, "/")[0] == 200
    assert app.calls == {"/": 1}
    for connection in connections:
        connection.close()


def test_a_body_that_comes_too_slowly_is_refused(app: App, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BODY_GRACE_S", 0.3)
    connection = connect(url, b"POST /slow HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000\r\n\r\n")
    answer = b""
    for _ in range(200):  # a byte now and then is too slow as well
        try:
            connection.sendall(b"1")
        except OSError:
            break
        connection.settimeout(0.02)
        try:
            answer += connection.recv(4096)
        except TimeoutError:
            continue
        break
    assert answer.startswith(b"HTTP/1.1 408"), answer
    assert not app.calls


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_comes_whole(app: App, url: str, chunked: bool) -> None:
    sent = b"0123456789abcdef" * 60_000
    body: Any = iter([sent[:70_000], sent[70_000:]]) if chunked else sent
    assert ask(url, "/", "POST", body)[2] == sent
    assert app.seen["/"]["CONTENT_LENGTH"] == str(len(sent))


def test_a_body_that_is_too_long_is_not_read(app: App, url: str) -> None:
    announced = f"POST /long HTTP/1.1\r\nHost: shop\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n"
    connection = connect(url, announced.encode())
    assert connection.recv(100).startswith(b"HTTP/1.1 200")  # what the app says of it, which is 413
    assert app.seen["/long"]["CONTENT_LENGTH"] == str(MAX_BODY_BYTES + 1)


def test_what_all_bodies_occupy_is_bounded(app: App, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BODIES_BYTES", 100_000)
    begun = b"POST /slow HTTP/1.1\r\nHost: shop\r\nContent-Length: 90000\r\n\r\n" + b"x" * 60_000
    first = connect(url, begun)
    second = connect(url, begun)
    second.settimeout(30)
    first.settimeout(0.5)
    answers = []
    for connection in (first, second):
        try:
            answers.append(connection.recv(12))
        except TimeoutError:
            answers.append(b"")
    assert sorted(answers) == [b"", b"HTTP/1.1 429"]
    for connection in (first, second):
        connection.close()
    assert ask(url, "/", "POST", b"x" * 90_000)[0] == 200  # what was held is free again


# -- connections and health --------------------------------------------------------------------------------------


def test_connections_that_say_nothing_hold_nobody_up(app: App, url: str) -> None:
    half = b"GET / HTTP/1.1\r\nHo"
    connections = [connect(url, half if number % 2 else b"") for number in range(1_200)]
    assert ask(url, "/")[0] == 200
    for connection in connections:
        connection.close()


def test_health_answers_while_every_thread_is_taken(app: App, url: str) -> None:
    with waiting(app, url, 2 * THREADS):
        began = time.monotonic()
        status, headers, body = ask(url, "/healthz")
        assert (status, json.loads(body)) == (200, {"status": "alive"})
        assert headers["cache-control"] == "no-store"
        status, _, body = ask(url, "/readyz")
        assert (status, json.loads(body)["ready"]) == (200, True)
        assert time.monotonic() - began < AT_ONCE_S


def test_readiness_does_not_wait_for_a_cluster_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "READY_WAIT_S", 0.2)
    go, asked = threading.Event(), Counter[str]()

    def ready() -> tuple[bool, dict[str, Any]]:
        asked["ready"] += 1
        go.wait(30)
        return True, {"elasticsearch": {"ok": True}}

    with served(Door(App(), ready, threads=THREADS)) as url:
        for _ in range(5):
            status, _, body = ask(url, "/readyz")
            assert (status, json.loads(body)["ready"]) == (503, False)
        assert asked == {"ready": 1}  # one question is enough
        go.set()
        until(lambda: ask(url, "/readyz")[0] == 200)


# -- too many ----------------------------------------------------------------------------------------------------


def test_where_many_wait_some_are_searched_quickly_and_the_last_are_refused(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "SEARCH_WAIT_S", 30.0)
    full = Door(app, lambda: (True, {}), threads=THREADS, origins="https://shop.example")
    with served(full) as url, waiting(app, url, 13 * THREADS) as connections:
        until(lambda: full.waiting()["search"] == 12 * THREADS)
        for path in ("/api/search", "/es/shop/_search"):
            began = time.monotonic()
            status, headers, body = ask(url, path, headers={"Origin": "https://shop.example"})
            assert (status, headers["access-control-allow-origin"]) == (429, "https://shop.example")
            assert time.monotonic() - began < AT_ONCE_S
            assert 1 <= int(headers["retry-after"]) <= 3
            error = json.loads(body)["error"]
            assert error["type"] == ("es_rejected_execution_exception" if path.startswith("/es") else "TooBusyError")
        assert ask(url, "/admin/wait-not")[0] == 200  # a lane of its own
        app.go.set()
        answers = [connection.recv(100) for connection in connections]
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
        # All but the first, which waited for nobody, and the last.
        assert 9 * THREADS <= app.busy["/wait"] <= 10 * THREADS
        assert ask(url, "/")[0] == 200
        assert app.seen["/"][BUSY] is False


def test_a_search_that_would_wait_too_long_is_refused_when_it_comes(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "SEARCH_WAIT_S", 0.2)
    slow = Door(app, lambda: (True, {}), threads=1)
    with served(slow) as url:
        app.go.set()
        app.delay_s = 0.3
        for _ in range(20):
            assert ask(url, "/wait")[0] == 200  # nobody waits, and the lane learns how long a search takes
        app.go.clear()
        with waiting(app, url, 1):
            status, headers, _ = ask(url, "/")
            assert status == 429 and "retry-after" in headers
            app.go.set()


def test_what_nobody_waits_for_is_not_done(app: App, url: str) -> None:
    with waiting(app, url, THREADS):
        given_up = [connect(url, b"GET /given-up HTTP/1.1\r\nHost: shop\r\n\r\n") for _ in range(THREADS)]
        time.sleep(0.2)  # they are in the queue
        for connection in given_up:
            connection.close()
        time.sleep(0.2)
        app.go.set()
        assert ask(url, "/after")[0] == 200
    assert app.calls["/given-up"] == 0


# -- answers -----------------------------------------------------------------------------------------------------


def test_a_slow_reader_holds_no_thread(app: App, url: str) -> None:
    readers = [connect(url, b"GET /large HTTP/1.1\r\nHost: shop\r\n\r\n") for _ in range(3 * THREADS)]
    until(lambda: app.calls["/large"] == 3 * THREADS)
    assert ask(url, "/")[0] == 200
    assert not app.closed.is_set()
    for reader in readers:
        reader.close()
    assert app.closed.wait(30)


def test_a_long_answer_comes_whole(app: App, url: str) -> None:
    assert len(ask(url, "/large")[2]) == 65_536 * 1_000
    assert app.closed.wait(30)


def test_events_hold_no_thread_and_end_with_their_reader(app: App, url: str) -> None:
    readers = [connect(url, b"GET /events HTTP/1.1\r\nHost: shop\r\n\r\n") for _ in range(5 * THREADS)]
    for reader in readers:
        read = b""
        while b"data: 2" not in read:
            part = reader.recv(4096)
            assert part, read
            read += part
    assert ask(url, "/")[0] == 200
    for reader in readers:
        reader.close()
    assert app.closed.wait(30)
    time.sleep(0.3)
    before = app.parts
    time.sleep(0.3)
    assert app.parts == before


def test_a_failure_of_the_app_is_an_answer(app: App, url: str, caplog: pytest.LogCaptureFixture) -> None:
    status, _, body = ask(url, "/fails", headers={"X-Request-Id": "one"})
    assert (status, json.loads(body)["error"]["type"]) == (500, "InternalError")
    assert "one unexpected error" in caplog.text
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "\n" not in OneLine().format(record)


# -- what the app is told ----------------------------------------------------------------------------------------


def test_the_app_gets_the_address_and_headers_as_they_came(app: App, url: str) -> None:
    connection = connect(
        url,
        b"GET /a%2Fb%0a%ff?q=%C3%A9 HTTP/1.1\r\nHost: shop\r\nCookie: a=1\r\nCookie: b=2\r\n"
        b"X_Forwarded_For: 9.9.9.9\r\nX-Two: 1\r\nX-Two: 2\r\n\r\n",
    )
    assert connection.recv(100).startswith(b"HTTP/1.1 200")
    environ = app.seen["/a/b\n\xff"]
    assert environ["QUERY_STRING"] == "q=%C3%A9"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["HTTP_X_TWO"] == "1,2"
    assert "HTTP_X_FORWARDED_FOR" not in environ
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["REQUEST_METHOD"] == "GET"


@pytest.mark.parametrize(("seconds", "spared"), [(0.0, True), (1_000.0, False)])
def test_what_makes_a_collection_long_is_not_looked_at_again(
    monkeypatch: pytest.MonkeyPatch, seconds: float, spared: bool
) -> None:
    monkeypatch.setattr(serving, "_LONG_COLLECTION_S", seconds)
    before = gc.get_freeze_count()
    serving._leave_alone_what_stays()
    try:
        gc.collect()
        assert (gc.get_freeze_count() > before) is spared
    finally:
        gc.callbacks.pop()
        gc.unfreeze()


@pytest.mark.parametrize(("proxies", "address", "secure"), [(0, "127.0.0.1", False), (1, "2.2.2.2", True)])
def test_an_answer_of_the_door_itself_heeds_trusted_proxies(
    caplog: pytest.LogCaptureFixture, proxies: int, address: str, secure: bool
) -> None:
    caplog.set_level(logging.INFO, "hybrid.access")
    headers = {"X-Forwarded-For": "1.1.1.1, 2.2.2.2", "X-Forwarded-Proto": "http,https"}
    with served(Door(App(), lambda: (True, {}), proxies=proxies)) as url:
        _, answered, _ = ask(url, "/healthz", headers=headers)
        until(lambda: bool(caplog.records))
    assert ("strict-transport-security" in answered) is secure
    assert caplog.records[0].getMessage().startswith(f"{address} ")


def test_a_line_of_the_log_is_one_line(app: App, url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hybrid.access")
    connect(url, b"GET /x%0a1.2.3.4%20-%1b[2J" + b"y" * 5_000 + b" HTTP/1.1\r\nHost: shop\r\n\r\n").recv(100)
    until(lambda: bool(caplog.records))
    line = OneLine().format(caplog.records[0])
    assert '"GET /x%0a1.2.3.4%20-%1b[2Jyy' in line
    assert len(line) < 1_000
    forged = logging.LogRecord("hybrid", logging.INFO, "", 0, "a\nb\x1b[2J\x85c\u2028d" + "x" * 20_000, (), None)
    assert OneLine().format(forged).startswith("a\\nb\\x1b[2J\\x85c\\u2028dxx")
    assert len(OneLine().format(forged)) < 9_000
