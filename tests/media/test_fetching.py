"""Fetching pictures: no spelling of an address leads to a connection into a private network, checked at the socket."""

from __future__ import annotations

import gzip
import ipaddress
import logging
import socket
import ssl
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from urllib3.util.connection import HAS_IPV6

from hybrid.errors import MediaError
from hybrid.media import fetching
from hybrid.media.fetching import Fetcher
from tests.support.picture_server import MODIFIED, PICTURE, Server

PUBLIC, SECOND, SIX = "93.184.215.14", "93.184.215.15", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"

_connections: list[tuple[str, int]] | None = None
_lookups: list[str] = []


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook, below everything that Python code can do: what a socket connects to, and what is looked up."""
    if event == "socket.getaddrinfo" and _connections is not None:
        _lookups.append(arguments[0])
    if event == "socket.connect" and _connections is not None and isinstance(arguments[1], tuple):
        _connections.append(arguments[1][:2])
        if not ipaddress.ip_address(arguments[1][0]).is_loopback:
            raise ConnectionRefusedError("no test talks to the internet")


sys.addaudithook(_record)  # cannot be taken away; does nothing while nothing is recorded


@pytest.fixture
def connections() -> Iterator[list[tuple[str, int]]]:
    global _connections
    _connections = []
    _lookups.clear()
    yield _connections
    _connections = None


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


#: What the names of these tests have for fetching. Others are read as numbers, by the system, without any network.
NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "public.example": [PUBLIC],
    "both.example": [PUBLIC, "10.0.0.5"],
    "six.example": [SIX, "fd00::5"],
    "inside.example": ["10.0.0.5"],
    "metadata.google.internal": ["169.254.169.254"],
    "127.0.0.1.nip.io": ["127.0.0.1"],
    "link.example": ["fe80::1%1"],
    "shop.example": ["127.0.0.1"],
    "clouds.example": ["169.254.169.254"],
}


def resolve(host: str, port: int) -> list[str]:
    if host in NAMES:
        return NAMES[host]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return [str(answer[4][0]) for answer in found]


def reason_of(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(MediaError) as caught:
        fetcher.fetch(url)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def spellings() -> dict[str, str]:
    """URL -> the reason that it must have; some 300 ways to say an address that is not public."""
    refused, invalid, unsupported = "image_address_refused", "image_url_invalid", "image_url_unsupported"
    found: dict[str, str] = {}
    fours = ["127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "100.100.100.200",
             "0.0.0.0", "192.0.0.192", "168.63.129.16"]  # fmt: skip
    for four in fours:
        a, b, c, d = (int(part) for part in four.split("."))
        number = int(ipaddress.IPv4Address(four))
        hexed = f"{a:02x}{b:02x}:{c:02x}{d:02x}"
        fullwidth = four.translate({ord("0") + n: 0xFF10 + n for n in range(10)})
        circled = four.translate({ord("0"): "⓪"} | {ord("0") + n: chr(0x2460 + n - 1) for n in range(1, 10)})
        hosts = [
            four, f"{four}.", str(number), f"{number:#x}", f"0{number:o}", f"{a:#x}.{b:#x}.{c:#x}.{d:#x}",
            f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"{a}.{(b << 16) + (c << 8) + d}", f"{a}.{b}.{(c << 8) + d}",
            f"{a:#x}.{b}.0{c:o}.{d}", fullwidth, circled, four.replace(".", "。"), four.replace(".", "．"),
            f"[::ffff:{four}]", f"[::ffff:{hexed}]", f"[64:ff9b::{hexed}]", f"[64:ff9b::{four}]", f"[2002:{hexed}::1]",
            f"[::{four}]", f"[2001:0:{hexed}::1]", f"[2001:db8::5efe:{four}]", f"[2606:4700::5efe:{hexed}]",
        ]  # fmt: skip
        found |= {f"http://{host}/a.jpg": refused for host in hosts}
        found[f"https://{four}/a.jpg"] = refused
        found[f"http://public.example@{four}/"] = found[f"http://public.example:80@{four}/"] = invalid
        found[f"http://{four}:6379/"] = found[f"http://{four}:22/"] = invalid
        found[f"http://{four}\\@public.example/"] = invalid
        found[f"http://{four.replace('.', '%2e')}/"] = invalid
    sixes = ["::1", "::", "0:0:0:0:0:0:0:1", "0000:0000::0001", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1",
             "ff02::1", "ff0e::1", "64:ff9b:1::a00:1", "100::1", "2001:db8::1", "3fff::1", "2001:10::1", "2001:20::1",
             "5f00::1", "4000::1", "::ffff:0:127.0.0.1"]  # fmt: skip
    for six in sixes:
        found[f"http://[{six}]/"] = found[f"https://[{six}]/a.jpg"] = refused
        found[f"http://u:p@[{six}]/"] = invalid
    found["http://[fe80::1%25eth0]/"] = found["http://[::1%1]/"] = invalid
    names = [*(name for name in NAMES if name not in ("public.example", "shop.example")), "LOCALHOST", "localhost."]
    names += ["ｌｏｃａｌｈｏｓｔ", "ⓛocalhost", "localhoſt", "INSIDE.example."]
    for name in names:
        found[f"http://{name}/"] = found[f"https://{name}:443/latest/meta-data/?a=b#c"] = refused
    for other in ("224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "198.18.0.1", "192.88.99.1", "203.0.113.7"):
        found[f"http://{other}/"] = refused
    for scheme in ("file", "ftp", "gopher", "dict", "ldap", "tftp", "jar:http", "data", "javascript", "unix", "ws"):
        found[f"{scheme}://127.0.0.1/a"] = unsupported
    for odd in ("http:///a.jpg", "http://", "http://:80/", "http://127.0.0.1:99999/", "http://127.0.0.1:-1/",
                "http://127.0.0.1:80a/", "http://[::1", "http://[127.0.0.1]/", "http://[::1]a/", "http://a b/",
                "http://127.0.0.1\t/", "http://127.0.0.1\r\nHost: x/", "http://\x00127.0.0.1/", " http://127.0.0.1/",
                "http://localhost%00.public.example/", "http://exa\u2100mple/", f"http://{'a' * 300}/",
                f"http://public.example/{'a' * 3000}", "http://127.0.0.1 @public.example/", "http://../",
                "http://-/", "http://a..b/", "http://public.example:8080/", "https://public.example:25/"):  # fmt: skip
        found[odd] = invalid
    # Read as a path of no scheme, or as a name that nobody has: no connection either.
    found |= {"//127.0.0.1/": unsupported, "127.0.0.1": unsupported, "http:127.0.0.1/": invalid, "": unsupported}
    found["http://127.0.0.1.public.example/"] = "image_url_unresolved"
    return found


#: Numbers with a dot at their end, or too large in a part, are names to the system, and nobody has such a name.
EITHER = {"image_address_refused", "image_url_unresolved", "image_url_invalid"}


def test_no_spelling_of_an_address_connects_to_a_private_network(connections: list[tuple[str, int]]) -> None:
    asked = spellings()
    assert len(asked) >= 300
    wrong = {}
    for url, wanted in asked.items():
        reason = reason_of(Fetcher(resolve=resolve), url)
        if reason != wanted and not (wanted == "image_address_refused" and reason in EITHER):
            wrong[url] = (wanted, reason)
    assert wrong == {}
    assert connections == []


def test_the_spellings_do_lead_there_without_the_guard(server: Server) -> None:
    """The control: a plain client reaches loopback by them, so that refusing them proves something."""
    for host in ("127.1", "0x7f000001", "2130706433", "0177.0.0.1", "１２７.0.0.1".encode("idna").decode()):
        with urllib.request.urlopen(f"http://{host}:{server.port}/a.jpg", timeout=5) as answer:
            assert answer.read() == PICTURE


def test_a_public_address_is_connected_to_as_it_was_checked(connections: list[tuple[str, int]]) -> None:
    """Rebinding: the name has another address at the second look, and there is no second look."""
    answers = [[PUBLIC], ["127.0.0.1"], ["169.254.169.254"]]
    asked = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked) - 1, 2)]

    assert reason_of(Fetcher(resolve=rebinding), "http://rebind.example/a.jpg") == "image_url_unreachable"
    assert (asked, connections) == (["rebind.example"], [(PUBLIC, 80)])
    assert reason_of(Fetcher(resolve=rebinding), "https://rebind.example/a.jpg") == "image_address_refused"
    assert connections == [(PUBLIC, 80)]
    assert _lookups == [PUBLIC]  # which is a number: the system reads it, and asks nobody


def test_a_name_that_moves_between_two_redirects_is_checked_again(
    server: Server, connections: list[tuple[str, int]]
) -> None:
    answers = [["127.0.0.1"], ["127.0.0.1"], ["169.254.169.254"]]
    asked = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[len(asked) - 1]

    fetcher = Fetcher(private_hosts=[f"shop.example:{server.port}"], resolve=rebinding)
    assert reason_of(fetcher, at(server, "hop/3")) == "image_address_refused"
    assert connections == [("127.0.0.1", server.port)] * 2
    assert _lookups == ["127.0.0.1"] * 2


def test_all_public_addresses_are_tried_and_none_of_a_mixed_answer(connections: list[tuple[str, int]]) -> None:
    fetcher = Fetcher(resolve=lambda host, port: [PUBLIC, SECOND])
    assert reason_of(fetcher, "https://two.example/") == "image_url_unreachable"
    assert connections == [(PUBLIC, 443), (SECOND, 443)]
    assert reason_of(Fetcher(resolve=resolve), "https://both.example/") == "image_address_refused"
    assert len(connections) == 2


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_a_public_address_of_ipv6_is_connected_to(connections: list[tuple[str, int]]) -> None:
    assert reason_of(Fetcher(resolve=lambda host, port: [SIX]), "https://six.example/") == "image_url_unreachable"
    assert connections == [(SIX, 443)]


@pytest.fixture
def shop(server: Server) -> Fetcher:
    """A fetcher for which the server is the shop's own, on a private address."""
    return Fetcher(private_hosts=[f"shop.example:{server.port}"], resolve=resolve)


def at(server: Server, path: str) -> str:
    return f"http://shop.example:{server.port}/{path}"


def test_a_named_private_host_is_fetched_from(shop: Fetcher, server: Server) -> None:
    found = shop.fetch(at(server, "a.jpg"))
    assert (found.data, found.modified) == (PICTURE, MODIFIED)
    assert found.etag and found.etag[1:9] == found.sha256[:8]
    [(path, headers)] = server.seen
    assert (path, headers["Host"]) == ("/a.jpg", f"shop.example:{server.port}")
    assert not {"Cookie", "Authorization", "Referer"} & set(headers)
    assert (headers["Accept-Encoding"], headers["Connection"]) == ("identity", "close")
    # That name alone: not the address, not another name of it, and never where clouds answer with credentials.
    assert reason_of(shop, f"http://127.0.0.1:{server.port}/a.jpg") == "image_url_invalid"
    assert reason_of(shop, f"http://localhost:{server.port}/a.jpg") == "image_url_invalid"
    clouds = Fetcher(private_hosts=["clouds.example"], resolve=resolve)
    assert reason_of(clouds, "http://clouds.example/") == "image_address_refused"
    assert len(server.seen) == 1


def test_an_unchanged_picture_is_not_sent_again(shop: Fetcher, server: Server) -> None:
    first = shop.fetch(at(server, "a.jpg"))
    again = shop.fetch(at(server, "a.jpg"), first.etag, first.modified)
    assert again.data is None
    assert server.seen[-1][1]["If-Modified-Since"] == MODIFIED
    assert shop.fetch(at(server, "a.jpg"), etag='"v0"').data == PICTURE


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("http://127.0.0.1/latest", "image_address_refused"),
        ("http://127.0.0.1:{port}/a.jpg", "image_url_invalid"),
        ("//169.254.169.254/latest/meta-data/", "image_address_refused"),
        ("http://[::1]/", "image_address_refused"),
        ("http://inside.example/", "image_address_refused"),
        ("http://both.example/", "image_address_refused"),
        ("http://2130706433/", "image_address_refused"),
        ("http://user@127.0.0.1/", "image_url_invalid"),
        ("file:///etc/passwd", "image_url_unsupported"),
        ("gopher://127.0.0.1:6379/_x", "image_url_unsupported"),
        ("http://[::1", "image_url_redirects"),
        ("", "image_url_redirects"),
    ],
)
def test_redirects_are_checked_like_the_first_address(
    shop: Fetcher, server: Server, connections: list[tuple[str, int]], place: str, reason: str
) -> None:
    assert reason_of(shop, at(server, "redirect/" + place.format(port=server.port))) == reason
    assert connections == [("127.0.0.1", server.port)]  # the named host, once


def test_redirects_are_few(shop: Fetcher, server: Server) -> None:
    assert shop.fetch(at(server, "hop/3")).data == PICTURE
    assert reason_of(shop, at(server, "hop/4")) == "image_url_redirects"
    assert reason_of(shop, at(server, "loop")) == "image_url_redirects"
    assert len(server.seen) == 4 + 4 + 4


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("status/404", "image_url_status"),
        ("status/206", "image_url_status"),
        ("status/503", "image_server_failed"),
        ("status/429", "image_server_failed"),
        ("large", "image_too_large"),
        ("endless", "image_too_large"),
        ("short", "image_url_unreachable"),
    ],
)
def test_bad_answers_have_reasons(shop: Fetcher, server: Server, path: str, reason: str) -> None:
    assert reason_of(shop, at(server, path)) == reason


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\1\2 not http\r\n\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
        OK + b"X: y\r\n" * 101 + b"\r\n",
        OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        CHUNKED,
        CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"-1\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nabc",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"3\r\nabc\r\n" + b"0" * 70_000 + b"\r\n\r\n",
    ],
    ids=lambda answer: repr(answer[:60]),
)
def test_what_is_not_http_is_refused(shop: Fetcher, server: Server, answer: bytes) -> None:
    server.answers["/odd"] = answer
    assert reason_of(shop, at(server, "odd")) == "image_url_unreachable"


def test_chunks_are_put_together(shop: Fetcher, server: Server) -> None:
    parts = [PICTURE[:1], PICTURE[1:300], PICTURE[300:]]
    body = b"".join(b"%x;name=value\r\n%s\r\n" % (len(part), part) for part in parts)
    server.answers["/chunks"] = CHUNKED + body + b"0\r\nTrailer: x\r\n\r\n"
    assert shop.fetch(at(server, "chunks")).data == PICTURE


def test_a_chunk_of_negative_length_is_not_read_whole(shop: Fetcher, server: Server) -> None:
    """Python and urllib3 take its length for "until the end"; ten times the most that is taken would come."""
    assert reason_of(shop, at(server, "negative")) == "image_too_large"
    assert server.sent < 3 * fetching.MAX_BYTES  # what the pipes between hold is sent, too


@pytest.mark.parametrize(
    "head", [b"Content-Length: %d\r\n\r\n%s", b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"]
)
def test_nothing_is_unpacked(shop: Fetcher, server: Server, head: bytes) -> None:
    """A bomb is taken as what was sent, which is no picture."""
    bomb = gzip.compress(gzip.compress(bytes(10 * fetching.MAX_BYTES)))
    server.answers["/bomb"] = OK + b"Content-Encoding: gzip, gzip\r\n" + head % (len(bomb), bomb)
    assert shop.fetch(at(server, "bomb")).data == bomb


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_no_connection_is_kept(shop: Fetcher, server: Server, connection: str) -> None:
    """The server would keep it, whatever it says, and an error that is noted keeps what was at hand when it rose."""
    assert shop.fetch(at(server, f"kept/200/{connection}")).data == PICTURE
    assert server.hung_up.wait(60)
    server.hung_up.clear()
    with pytest.raises(MediaError) as noted:
        shop.fetch(at(server, f"kept/404/{connection}"))
    assert server.hung_up.wait(60)
    assert noted.value.reason == "image_url_status"


def test_odd_headers_are_not_reported(shop: Fetcher, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """A catalogue of a thousand such pictures would fill the terminal."""
    server.answers["/odd"] = OK + b"Content-Length: 3\r\nno colon in this line\r\n\r\nabc"
    server.answers["/both"] = CHUNKED[:-2] + b"Content-Length: 9\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    with caplog.at_level(logging.WARNING):
        assert shop.fetch(at(server, "odd")).data == b"abc"
        assert shop.fetch(at(server, "both")).data == b"abc"
    assert caplog.records == []


@pytest.mark.parametrize("path", ["drip", "drip-chunked", "drip-head", "continue", "silent"])
def test_the_time_is_that_of_the_whole_fetch(
    shop: Fetcher, server: Server, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of these answers ever ends."""
    monkeypatch.setattr(fetching, "TOTAL_S", 0.5)
    assert reason_of(shop, at(server, path)) == "image_url_timeout"


def test_a_look_up_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "CONNECT_S", 0.2)
    release = threading.Event()
    fetcher = Fetcher(resolve=lambda host, port: [str(release.wait())])
    assert reason_of(fetcher, "http://slow.example/") == "image_url_timeout"
    release.set()


def test_plain_http_where_tls_was_expected(server: Server) -> None:
    fetcher = Fetcher(private_hosts=[f"shop.example:{server.port}"], resolve=resolve)
    assert reason_of(fetcher, f"https://shop.example:{server.port}/a.jpg") == "image_url_unreachable"


@contextmanager
def secure_server(authority: trustme.CA, name: str) -> Iterator[tuple[Server, list[str | None]]]:
    """(a server with a certificate for that name or address, the names that it was asked for)."""
    asked: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    context.sni_callback = lambda sock, name, context: asked.append(name)
    server = Server()
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with server:
        yield server, asked


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority of certificates that this machine trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return authority


def test_tls_is_for_the_name_though_the_connection_is_to_the_address(
    authority: trustme.CA, connections: list[tuple[str, int]]
) -> None:
    with secure_server(authority, "shop.example") as (server, asked):
        names = [f"shop.example:{server.port}", f"localhost:{server.port}"]
        fetcher = Fetcher(private_hosts=names, resolve=resolve)
        assert fetcher.fetch(f"https://shop.example:{server.port}/a.jpg").data == PICTURE
        assert asked == ["shop.example"]
        # A certificate for another name, at the same address.
        assert reason_of(fetcher, f"https://localhost:{server.port}/a.jpg") == "image_url_unreachable"
    assert {address for address, _ in connections} <= {"127.0.0.1", "::1"}
    assert set(_lookups) <= {"127.0.0.1", "::1"}


def test_a_certificate_for_the_address_is_none_for_the_name(authority: trustme.CA) -> None:
    with secure_server(authority, "127.0.0.1") as (server, asked):
        names = [f"shop.example:{server.port}", f"127.0.0.1:{server.port}"]
        fetcher = Fetcher(private_hosts=names, resolve=resolve)
        assert reason_of(fetcher, f"https://shop.example:{server.port}/a.jpg") == "image_url_unreachable"
        assert asked == ["shop.example"]
        assert fetcher.fetch(f"https://127.0.0.1:{server.port}/a.jpg").data == PICTURE


def test_a_certificate_of_nobody_known_is_refused(authority: trustme.CA) -> None:
    with secure_server(trustme.CA(), "shop.example") as (server, asked):
        fetcher = Fetcher(private_hosts=[f"shop.example:{server.port}"], resolve=resolve)
        assert reason_of(fetcher, f"https://shop.example:{server.port}/a.jpg") == "image_url_unreachable"
        assert (asked, server.seen) == (["shop.example"], [])


@pytest.mark.parametrize("path", ["drip", "drip-head", "silent"])
def test_the_time_is_that_of_the_whole_fetch_over_tls(
    authority: trustme.CA, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "TOTAL_S", 1.0)
    with secure_server(authority, "shop.example") as (server, _):
        fetcher = Fetcher(private_hosts=[f"shop.example:{server.port}"], resolve=resolve)
        assert reason_of(fetcher, f"https://shop.example:{server.port}/{path}") == "image_url_timeout"


def test_a_handshake_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "TOTAL_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system accepts for it, and nobody answers
        port = silent.getsockname()[1]
        fetcher = Fetcher(private_hosts=[f"shop.example:{port}"], resolve=resolve)
        assert reason_of(fetcher, f"https://shop.example:{port}/a.jpg") == "image_url_timeout"


def test_a_catalogue_of_a_dead_host_ends_quickly_with_reasons() -> None:
    now = [0.0]
    asked = []

    def dead(host: str, port: int) -> list[str]:
        asked.append(host)
        raise OSError("nobody has that name")

    fetcher = Fetcher(resolve=dead, clock=lambda: now[0])
    reasons = [reason_of(fetcher, f"http://dead.example/{number}.jpg") for number in range(1_000)]
    assert len(asked) == fetching.FAILURES
    assert reasons[: fetching.FAILURES] == ["image_url_unresolved"] * fetching.FAILURES
    assert set(reasons[fetching.FAILURES :]) == {"image_host_paused"}
    assert reason_of(fetcher, "http://alive.example/") == "image_url_unresolved"  # others are not held back
    now[0] += fetching.PAUSE_S + 1
    assert reason_of(fetcher, "http://dead.example/") == "image_url_unresolved"
    assert reason_of(fetcher, "http://dead.example/") == "image_host_paused"  # one try after the pause
    assert asked.count("dead.example") == fetching.FAILURES + 1


def test_a_picture_that_is_missing_does_not_pause_its_host(shop: Fetcher, server: Server) -> None:
    for _ in range(fetching.FAILURES + 2):
        assert reason_of(shop, at(server, "status/404")) == "image_url_status"
    assert shop.fetch(at(server, "a.jpg")).data == PICTURE


def test_few_at_once_from_one_host(shop: Fetcher, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "TOTAL_S", 60.0)
    monkeypatch.setattr(fetching, "CONNECT_S", 60.0)
    got: list[bytes | None] = []
    url = at(server, f"crowd/{fetching.PER_HOST}")  # which answers when that many are there
    threads = [threading.Thread(target=lambda: got.append(shop.fetch(url).data)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [PICTURE] * 12
    assert server.most == fetching.PER_HOST


def test_proxies_of_the_environment_are_not_used(
    shop: Fetcher, server: Server, connections: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    assert shop.fetch(at(server, "a.jpg")).data == PICTURE
    assert connections == [("127.0.0.1", server.port)]


def test_fetching_can_be_off() -> None:
    assert reason_of(Fetcher(enabled=False), "http://public.example/") == "image_url_off"
