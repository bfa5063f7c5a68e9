"""Does to a real server what means harm, and what happens on a bad day: python -m tests.measure.attacks

Starts an engine with its Redis and, against it, `hybrid serve` on the real web server, with a small shop. Prints one
line for each attack: whether the product held, and what was seen. Ends with 1 if one did not hold.

python -m tests.measure.attacks --versions 9,8
python -m tests.measure.attacks --only 1,7
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import psutil
import urllib3
from PIL import Image

from hybrid import node
from hybrid.elastic.stores.admin import ADMIN, AUDIT
from hybrid.evaluation.judgments import Judgments
from hybrid.media import decoding
from hybrid.node import NodeStatus
from hybrid.operations.indexing import plan_index, run_index
from hybrid.services import Services
from hybrid.settings import Settings
from tests.measure import overload
from tests.measure.serving import serving
from tests.media.test_sandbox import ESCAPING, FATAL, REFUSED
from tests.support import clips
from tests.support.raw import client_of
from tests.support.web_services import COLORS, jpeg

PASSWORD, TOKEN = "correct horse battery", "a token of this test"
SHOP, OTHER = "attacked", "another"
#: Seconds in which a request that waits for nothing is answered here, whatever else this machine does.
AT_ONCE_S = 2.0


class Answer(NamedTuple):
    """status is 0 where the connection broke or nothing came in time."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


def ms(answer: Answer) -> int:
    return round(answer.seconds * 1000)


class Caller:
    """A caller with cookies, from an address of the loopback network."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self._pool = urllib3.HTTPConnectionPool(
            "127.0.0.1", port, maxsize=4, retries=False, timeout=60, source_address=(address, 0)
        )
        self._cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        if body is not None:
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers.setdefault("content_type", "application/json")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self._cookies:
            named["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        began = time.monotonic()
        try:
            answer = self._pool.urlopen(method, path, body, named, redirect=False)
        except urllib3.exceptions.HTTPError:
            return Answer(0, {}, b"", time.monotonic() - began)
        for line in answer.headers.getlist("set-cookie"):
            self._cookies.update({name: one.value for name, one in SimpleCookie(line).items()})
        found = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status, found, answer.data, time.monotonic() - began)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, **headers)

    def sign_in(self, name: str, password: str = PASSWORD) -> Answer:
        """By the page, as a browser does."""
        page = self.get("/admin/sign-in").text
        token = re.search(r'name="csrf-token" content="([^"]+)"', page)
        form = urlencode({"csrf_token": token[1] if token else "", "name": name, "password": password})
        return self.ask("POST", "/admin/sign-in", form.encode(), content_type="application/x-www-form-urlencoded")


@dataclass
class Shop:
    """The attacked server, and what is behind it."""

    services: Services
    engine: NodeStatus
    port: int
    log: Path
    folder: Path
    bearer: str = ""
    seen: list[str] = field(default_factory=list)

    def caller(self, address: str = "127.0.0.1") -> Caller:
        return Caller(self.port, address)

    def editor(self, method: str, path: str, body: Any = None) -> Answer:
        """Ask as an editor's program."""
        if not self.bearer:
            answer = self.caller().ask("POST", "/admin/api/sign-in", {"name": "ed", "password": PASSWORD})
            self.bearer = json.loads(answer.body)["token"]
        return self.caller().ask(method, path, body, authorization=f"Bearer {self.bearer}")

    def push(self, title: str) -> Answer:
        documents = [{"_id": "pushed", "title": title}]
        return self.caller().ask("POST", f"/api/documents/{SHOP}", documents, authorization=f"Bearer {TOKEN}")

    def search(self, words: str = "lamp") -> Answer:
        return self.caller().get(f"/api/search?index={SHOP}&q={words}")

    def holds(self, true: bool, otherwise: str) -> None:
        """Note what did not hold."""
        if not true:
            self.seen.append(otherwise)

    def prompt(self, what: str, answer: Answer, within_s: float = AT_ONCE_S) -> None:
        """Note what was not answered with 200, or not in time."""
        self.holds(
            answer.status == 200 and answer.seconds < within_s, f"{what}: {answer.status}, {answer.seconds:.1f} s"
        )

    def photo(self, picture: bytes) -> Answer:
        fields = {"index": SHOP, "image": ("photo.jpg", picture, "image/jpeg")}
        body, kind = urllib3.encode_multipart_formdata(fields)
        return self.caller().ask("POST", "/api/search", body, content_type=kind)

    def processes(self) -> list[psutil.Process]:
        """Of the web server, with its decoders."""
        server = next(one for one in psutil.Process().children() if "web.serving:create_door" in one.cmdline())
        return [server, *server.children(recursive=True)]

    def memory(self) -> int:
        """Bytes of the web server."""
        return sum(one.memory_info().rss for one in self.processes())


def picture(side: int, **options: Any) -> bytes:
    """A JPEG of noise."""
    out = io.BytesIO()
    Image.effect_noise((side, side), 60).convert("RGB").save(out, "JPEG", **options)
    return out.getvalue()


# -- the attacks: each says what was seen, and notes what did not hold -------------------------------------------


def slow_bodies(shop: Shop) -> str:
    """1. Bodies that do not come, and connections that say nothing."""
    slow = b"POST /api/search HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000\r\n\r\n12345"
    with contextlib.ExitStack() as open_ones:
        began = time.monotonic()
        bodies = [open_ones.enter_context(_connected(shop.port, slow)) for _ in range(100)]
        for sent in (b"", b"GET / HT") * 600:
            open_ones.enter_context(_connected(shop.port, sent))
        search, health = shop.search(), shop.caller().get("/healthz")
        shop.prompt("a search", search)
        shop.prompt("health", health)
        bodies[0].settimeout(30)
        said = bodies[0].recv(4096)
        waited = time.monotonic() - began
        shop.holds(said.startswith(b"HTTP/1.1 408"), f"a slow body was answered {said[:40]!r}")
    return (
        f"100 POSTs of five bytes, 1,200 connections that say nothing or half a line: a search took {ms(search)} ms, "
        f"health {ms(health)} ms, the first 408 came after {waited:.0f} s"
    )


@contextlib.contextmanager
def _connected(port: int, sent: bytes) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(sent)
        yield connection


def trail_and_log(shop: Shop) -> str:
    """2. What somebody who has not signed in can write into the audit trail and the log."""
    shop.editor("GET", "/admin/api/runs")
    before, logged = shop.services.audit.list()[1], shop.log.stat().st_size
    big = {f"key {number} {'k' * 100}": "x" * 1_000 for number in range(3_000)}
    statuses = Counter(
        shop.caller().ask("POST", "/admin/api/judgments", {**big, "name": "owner"}).status for _ in range(20)
    )
    shop.holds(set(statuses) <= {400, 401}, f"anonymous posts were answered {dict(statuses)}")
    for path in ("/%0a127.0.0.1%20%22GET%20/admin%22%20200", "/%1b%5b31mred", "/%0d%0aX:%20y", "/" + "a" * 5_000):
        shop.caller().get(path)
    time.sleep(0.5)
    entries = shop.services.audit.list()[1] - before
    grown = shop.log.read_bytes()[logged:]
    shop.holds(entries == 0, f"{entries} entries of the trail")
    shop.holds(len(grown) < 20_000, f"{len(grown):,} bytes of the log")
    shop.holds(not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", grown), "control characters in the log")
    shop.holds(not any(line.startswith(b"127.0.0.1") for line in grown.splitlines()), "a forged line in the log")
    return f"20 anonymous posts of 3 MB and 4 odd addresses: {entries} entries, {len(grown):,} bytes of the log"


def recorded_first(shop: Shop) -> str:
    """3. Changes that cannot be read or recorded."""
    lists = shop.services.judgment_lists
    lists.take_in(SHOP, "kept", Judgments({"lamp": {"p1": 2.0}}), "ed")
    address = f"/admin/api/judgments/{SHOP}/kept"
    deep = shop.editor("DELETE", address, b"[" * 5_000 + b"]" * 5_000)
    shop.holds(400 <= deep.status < 500, f"a deep body was answered {deep.status}")
    with _blocked(shop, [AUDIT]):
        unrecorded = shop.editor("DELETE", address)
        shop.holds(unrecorded.status >= 403, f"unrecorded, it was answered {unrecorded.status}")
    left = [one["list"] for one in lists.lists(SHOP)]
    shop.holds("kept" in left, "the list is gone")
    done = shop.editor("DELETE", address)
    entry = shop.services.audit.list()[0][0]
    shop.holds(done.status == 200 and entry["status"] == 200, f"{done.status}, the entry says {entry['status']}")
    return (
        f"a body 5,000 deep: {deep.status}; with a trail that takes no entry: {unrecorded.status}; "
        f"else {done.status}, recorded"
    )


@contextlib.contextmanager
def _blocked(shop: Shop, indices: list[str]) -> Iterator[None]:
    """The block that the flood-stage watermark sets."""
    put, block = client_of(shop.services).indices.put_settings, "index.blocks.read_only_allow_delete"
    put(index=indices, settings={block: True})
    try:
        yield
    finally:
        put(index=indices, settings={block: None})


def own_stores(shop: Shop) -> str:
    """4. Stores of the layer as indices of products, by name and by alias."""
    client = client_of(shop.services)
    client.indices.put_alias(index=AUDIT, name="shops-alias")
    statuses = Counter()
    try:
        for name in (AUDIT, ADMIN, "shops-alias"):
            caller = shop.caller()
            for answer in (
                shop.editor("POST", f"/admin/api/runs/{name}", {"do": "start"}),
                caller.get(f"/api/search?index={name}&q=ed"),
                caller.get(f"/media/{name}/1"),
                caller.ask("POST", f"/es/{name}/_search", {"query": {"match_all": {}}}),
                caller.ask(
                    "POST", f"/api/documents/{name}", [{"_id": "1", "_deleted": True}], authorization=f"Bearer {TOKEN}"
                ),
            ):
                statuses[answer.status] += 1
                shop.holds(400 <= answer.status < 500 and b"argon2" not in answer.body, f"{name}: {answer.status}")
            attached = _hybrid(shop, "attach", name, "--signals", "text")
            shop.holds("belong to Hybrid" in attached.stderr, f"`hybrid attach {name}`: {attached.stderr[-200:]!r}")
    finally:
        client.indices.delete_alias(index=AUDIT, name="shops-alias")
    return f"attach, reindex, search, media, push and drop-in of 3 names: {dict(statuses)}, no attach"


def posters(shop: Shop) -> str:
    """5. Addresses of posters that differ in the last decimals."""
    caller = shop.caller()
    first = caller.get(f"/poster/{SHOP}/clip?at=1")
    shop.holds(first.status == 200, f"the poster: {first.status}")
    before = shop.memory()
    statuses = Counter(caller.get(f"/poster/{SHOP}/clip?at=1.{number:06}").status for number in range(160))
    grown = (shop.memory() - before) / 2**20
    shop.holds(set(statuses) == {200}, f"posters were answered {dict(statuses)}")
    shop.holds(grown < 50, f"{grown:.0f} MB")
    return f"160 addresses of one poster: {grown:.0f} MB more"


def hung_redis(shop: Shop) -> str:
    """6. A Redis that is paused: pushes at once, searches and the overview beside them."""
    shop.holds(bool(json.loads(shop.push("before").body)["queued"]), "the workers are not told of a push before it")
    assert shop.engine.redis_pid is not None
    with _paused(shop.engine.redis_pid), ThreadPoolExecutor(24) as pool:
        pushes = [pool.submit(shop.push, f"lamp {number}") for number in range(16)]
        time.sleep(0.2)
        search = shop.search()
        overview = shop.editor("GET", "/admin/")
        statuses = Counter(one.result().status for one in pushes)
        longest = max(one.result().seconds for one in pushes)
        again = shop.push("later")
    shop.prompt("a search", search)
    shop.prompt("the overview", overview, 15)
    shop.holds(set(statuses) <= {200, 429} and longest < 15, f"pushes: {dict(statuses)}, {longest:.1f} s")
    shop.prompt("a push later", again)
    shop.holds(not json.loads(again.body)["queued"], "a push says that the workers know of it")
    began = time.monotonic()
    while not json.loads(shop.push(f"once more {time.monotonic()}").body)["queued"] and time.monotonic() < began + 60:
        time.sleep(0.5)
    back = time.monotonic() - began
    shop.holds(back < 60, "the workers are not told again within 60 s")
    return (
        f"16 pushes: {dict(statuses)} within {longest:.1f} s, a later one in {ms(again)} ms, left to the next sync; "
        f"a search took {ms(search)} ms, the overview {ms(overview)} ms; workers are told again {back:.0f} s after it"
    )


@contextlib.contextmanager
def _paused(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def lockout(shop: Shop) -> str:
    """7. Wrong passwords from one address."""
    known = shop.caller("127.0.0.1")
    shop.holds(known.sign_in("owner").status == 302, "the owner before it")
    guesser = shop.caller("127.0.0.9")
    tries = [guesser.ask("POST", "/admin/api/sign-in", {"name": "owner", "password": f"wrong {n}"}) for n in range(70)]
    statuses = Counter(answer.status for answer in tries)
    refused = [answer for answer in tries if answer.status == 429]
    waits = [int(answer.headers.get("retry-after", 0)) for answer in refused]
    shop.holds(set(statuses) == {401, 429} and statuses[401] <= 10, f"guesses were answered {dict(statuses)}")
    shop.holds(bool(waits) and min(waits) >= 1 and max(waits) <= 60, f"Retry-After {set(waits)}")
    elsewhere = shop.caller("127.0.0.7").sign_in("owner")
    same = shop.caller("127.0.0.9")
    same._cookies = {name: value for name, value in known._cookies.items() if name == "hybrid_device"}
    marked = same.sign_in("owner")
    shop.holds(elsewhere.status == 302, f"the owner from another address: {elsewhere.status}")
    shop.holds(marked.status == 302, f"the owner's browser from the same address: {marked.status}")
    return (
        f"70 wrong guesses: {dict(statuses)}, Retry-After up to {max(waits, default=0)} s; the owner gets in from "
        "elsewhere, and with a browser that has signed in from the guesser's own address"
    )


def overload_and_hang(shop: Shop) -> str:
    """8. More clients than it can serve, heavy photos, and a cluster that is paused."""
    before = shop.memory()
    told = []
    for clients in (8, 64, 400, 8):
        seen = asyncio.run(overload.load(shop.port, SHOP, clients, 4))
        told.append(f"{clients}: {seen['admitted_per_s']:.0f}/s, p99 {seen['p99_ms']} ms, {seen['refused']} refused")
        if clients == 8:
            shop.holds(not seen["refused"] and not seen["quick"], f"at 8 clients {seen['refused']} were refused")
        shop.holds(not seen["other"] and not seen["broken"], f"{clients} clients: {seen['other']} other answers")
        shop.holds(seen["p99_ms"] < 2_000, f"{clients} clients: p99 {seen['p99_ms']} ms")
        shop.holds(seen["health_max_ms"] < 1_000, f"{clients} clients: health took {seen['health_max_ms']} ms")
    heavy = picture(1200, progressive=True, quality=50)
    assert shop.engine.es_pid is not None
    with ThreadPoolExecutor(24) as pool:
        photos = [pool.submit(shop.photo, heavy) for _ in range(24)]
        time.sleep(0.1)
        search, health = shop.search(), shop.caller().get("/healthz")
        statuses = Counter(one.result().status for one in photos)
    shop.holds(set(statuses) <= {200, 429}, f"photos: {dict(statuses)}")
    shop.prompt("a search beside photos", search)
    shop.prompt("health beside photos", health)
    with _paused(shop.engine.es_pid), ThreadPoolExecutor(40) as pool:
        waiting = [pool.submit(shop.search) for _ in range(40)]
        healths = [shop.caller().get("/healthz").seconds for _ in range(20)]
        ready = shop.caller().get("/readyz")
        time.sleep(1)
    outcome = Counter(one.result().status for one in waiting)
    shop.holds(max(healths) < 1.0, f"health took {max(healths):.1f} s while the cluster was paused")
    shop.holds(ready.status == 503 and ready.seconds < 5, f"readiness: {ready.status}, {ready.seconds:.1f} s")
    ended = time.monotonic() + 30
    while (after := shop.search()).status != 200 and time.monotonic() < ended:
        time.sleep(0.2)
    shop.holds(after.status == 200, f"a search after it: {after.status}")
    grown = (shop.memory() - before) / 2**20
    shop.holds(grown < 150, f"{grown:.0f} MB")
    return (
        f"{'; '.join(told)}; 24 photos: {dict(statuses)}; the cluster paused: health {max(healths) * 1000:.0f} ms at "
        f"most, searches {dict(outcome)}; {grown:.0f} MB more"
    )


def sandbox(shop: Shop) -> str:
    """9. Code that a file brings into a decoder: in a child such as the server has, and whether those are like it."""
    (shop.folder / "escaping.py").write_text(ESCAPING)
    sys.path.insert(0, str(shop.folder))
    outcomes: Counter[str] = Counter()
    try:
        for name in (*REFUSED, *FATAL):
            child = decoding.Child("escaping")
            answer, content = child.ask({"do": "image", "most": 1}, name.encode())
            child.end()
            outcome = "ended it" if answer.get("reason") == "decoder_died" else content.decode()
            outcomes[outcome] += 1
            shop.holds(outcome == ("ended it" if name in FATAL else "EPERM"), f"{name}: {outcome}")
    finally:
        sys.path.remove(str(shop.folder))
    shop.photo(picture(200))
    decoders = [one for one in shop.processes() if "sandbox.py" in " ".join(one.cmdline())]
    for one in decoders:
        status = Path(f"/proc/{one.pid}/status").read_text()
        shop.holds(
            "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status, f"the server's decoder {one.pid} is not sealed"
        )
    shop.holds(bool(decoders), "the server has no decoder")
    return (
        f"{len(REFUSED) + len(FATAL)} ways out of a decoder: {dict(outcomes)}; the server's {len(decoders)} are sealed"
    )


def wildcards(shop: Shop) -> str:
    """10. Names that stand for several indices."""
    slowest, statuses = 0.0, Counter()
    for name in ("*", "_all", f"{SHOP},{OTHER}", f"{SHOP}*", "-x", "__init__", "..", "%3Cx-%7Bnow%7D%3E"):
        for path in (
            "/media/{}/1",
            "/poster/{}/1",
            "/video/{}/1",
            "/audio/{}/1",
            "/waveform/{}/1",
            "/api/search?index={}",
        ):
            answer = shop.caller().get(path.format(name))
            statuses[answer.status] += 1
            slowest = max(slowest, answer.seconds)
            shop.holds(answer.status in (400, 404), f"{path.format(name)}: {answer.status}")
        answer = shop.editor("GET", f"/admin/api/judgments?index={name}&list=x")
        shop.holds(400 <= answer.status < 500, f"judgments of {name}: {answer.status}")
    shop.holds(slowest < AT_ONCE_S, f"{slowest:.1f} s")
    return f"8 names at 6 addresses: {dict(statuses)}, the slowest in {slowest * 1000:.0f} ms"


def default_index(shop: Shop) -> str:
    """11. A trial index whose name sorts first."""
    alone = shop.caller().get("/api/search?q=lamp")
    shop.holds(alone.status == 200 and json.loads(alone.body)["total"] > 0, f"one index: {alone.status}")
    _make(shop.services, OTHER, shop.folder, [{"id": "x", "title": "other lamp"}])
    deadline = time.monotonic() + 10
    while (two := shop.caller().get("/api/search?q=lamp")).status == 200 and time.monotonic() < deadline:
        time.sleep(0.5)
    page = shop.caller().get("/?q=lamp")
    client_of(shop.services).indices.delete(index=f"{OTHER}-000001")
    shop.holds(two.status == 400, f"two indices: {two.status}")
    shop.holds(page.status == 200 and SHOP in page.text and OTHER in page.text, "the page does not ask")
    return f"one index answers; with two a request that names none is a {two.status}, and the page asks which"


def flood_stage(shop: Shop) -> str:
    """12. A cluster that takes no writes."""
    with _blocked(shop, ["hybrid-*"]):
        caller = shop.caller("127.0.0.5")
        signed = caller.sign_in("ed")
        pages = {path: caller.get(path) for path in ("/admin/", "/admin/audit", "/admin/models", "/admin/failures")}
        search = shop.search()
    shop.holds(signed.status == 302, f"signing in: {signed.status}")
    for path, answer in pages.items():
        shop.holds(answer.status == 200, f"{path}: {answer.status}")
    shop.holds(search.status == 200, f"a search: {search.status}")
    return f"one signs in ({signed.seconds:.1f} s), looks at {len(pages)} pages, and shoppers search"


class _Refusing(ThreadingHTTPServer):
    """Before the cluster: refuses every other bulk."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.pool, self.bulks = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=8, retries=False, timeout=60), 0
        self.refused = 0


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do(self) -> None:
        server = self.server
        assert isinstance(server, _Refusing)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if "/_bulk" in self.path:
            server.bulks += 1
            if server.bulks % 2:
                server.refused += 1
                reason = {"type": "es_rejected_execution_exception", "reason": "rejected execution"}
                self._answer(
                    429, {"Content-Type": "application/json"}, json.dumps({"error": reason, "status": 429}).encode()
                )
                return
        passed = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        answer = server.pool.urlopen(self.command, self.path, body, passed, decode_content=False, redirect=False)
        left_out = ("transfer-encoding", "content-length", "connection")
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in left_out}
        self._answer(answer.status, headers, answer.data)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def busy_cluster(shop: Shop) -> str:
    """13. A cluster that refuses half of the bulks, and is paused in the middle."""
    rows = shop.folder / "many.ndjson"
    rows.write_text("".join(json.dumps({"id": f"p{n}", "title": f"lamp {n}"}) + "\n" for n in range(1_500)))
    assert shop.engine.es_url is not None and shop.engine.es_pid is not None
    with _Refusing(int(shop.engine.es_url.rpartition(":")[2])) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{proxy.server_address[1]}"
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(
                _hybrid, shop, "index", str(rows), "--index", "stormed", HYBRID_ES_URL=url, HYBRID_BATCH_SIZE="64"
            )
            while proxy.bulks < 6 and not run.done():
                time.sleep(0.05)
            with _paused(shop.engine.es_pid):
                time.sleep(3)
            done = run.result()
        proxy.shutdown()
    client = client_of(shop.services)
    client.indices.refresh(index="stormed")
    count = client.count(index="stormed")["count"]
    client.indices.delete(index="stormed-000001")
    shop.holds(done.returncode == 0, f"`hybrid index` ended with {done.returncode}: {done.stderr[-200:]!r}")
    shop.holds(count == 1_500, f"{count} of 1,500 products")
    return (
        f"{proxy.refused} of {proxy.bulks} bulks refused, the cluster paused for 3 s: {count:,} of 1,500 products, "
        f"exit {done.returncode}"
    )


def _hybrid(shop: Shop, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of `hybrid` on the same engine."""
    return subprocess.run(
        [Path(sys.executable).with_name("hybrid"), *words],
        env={**os.environ, **_environment(shop.engine), **environment},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


ATTACKS: dict[int, Callable[[Shop], str]] = {
    1: slow_bodies, 2: trail_and_log, 3: recorded_first, 4: own_stores, 5: posters, 6: hung_redis, 7: lockout,
    8: overload_and_hang, 9: sandbox, 10: wildcards, 11: default_index, 12: flood_stage, 13: busy_cluster,
}  # fmt: skip


# -- the shop ----------------------------------------------------------------------------------------------------


def _environment(engine: NodeStatus) -> dict[str, str]:
    return {
        "HYBRID_ES_URL": engine.es_url or "", "HYBRID_REDIS_URL": engine.redis_url or "",
        "HYBRID_TEXT_ENCODER": "toy:32", "HYBRID_IMAGE_ENCODER": "toy:32", "HYBRID_PUSH_TOKEN": TOKEN,
    }  # fmt: skip


def _make(services: Services, name: str, folder: Path, rows: list[dict[str, Any]]) -> None:
    path = folder / f"{name}.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_index(services, plan_index(services, path, name, media_root=folder), rejects_path=folder / "rejects")


@contextlib.contextmanager
def attacked(engine: NodeStatus) -> Iterator[Shop]:
    """A shop on an engine, with its web server and two accounts."""
    settings = Settings(es_url=engine.es_url, redis_url=engine.redis_url, text_encoder="toy:32", image_encoder="toy:32")
    services = Services(settings)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        film = next(clip for clip in clips.videos(folder / "clips") if clip.path.suffix == ".mp4")
        rows: list[dict[str, Any]] = [{"id": f"p{n}", "title": f"lamp {n}", "price": n} for n in range(300)]
        for number, colour in enumerate(COLORS.values()):
            (folder / f"{number}.jpg").write_bytes(jpeg(colour[1], 200))
            rows[number]["image"] = f"{number}.jpg"
        rows.append({"id": "clip", "title": "lamp with a film", "video": str(film.path.relative_to(folder))})
        _make(services, SHOP, folder, rows)
        for name in ("ed", "owner"):
            services.accounts.add(name, PASSWORD, "editor")
        log = folder / "server.log"
        with serving(services, log, **_environment(engine)) as port:
            yield Shop(services, engine, port, log, folder)


def run(version: str, chosen: list[int]) -> int:
    """Do the attacks on one version; how many did not hold."""
    name, failed = f"attacks-{os.getpid()}", 0
    engine = node.up(Settings(es_url=None, redis_url=None), name=name, version=version)
    try:
        with attacked(engine) as shop:
            print(f"Elasticsearch {engine.es_version}", flush=True)
            for number in chosen:
                shop.seen.clear()
                try:
                    told = ATTACKS[number](shop)
                except Exception as error:  # the others are still to be tried
                    traceback.print_exc()
                    told, shop.seen = "", [f"it broke off: {error!r}"]
                failed += bool(shop.seen)
                outcome = "held" if not shop.seen else "DID NOT HOLD: " + "; ".join(shop.seen)
                print(f"{number:>3} {outcome}. {told}", flush=True)
    finally:
        node.down(Settings(es_url=None, redis_url=None), name=name, wipe=True)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", default="9,8", help="of Elasticsearch; default: 9,8")
    parser.add_argument("--only", help="numbers of attacks, comma-separated; default: all")
    options = parser.parse_args()
    chosen = [int(number) for number in options.only.split(",")] if options.only else list(ATTACKS)
    return 1 if sum(run(version, chosen) for version in options.versions.split(",")) else 0


if __name__ == "__main__":
    sys.exit(main())
