"""Pictures behind http(s) addresses. A catalogue cannot make this machine connect to its own network.

A name is looked up once, every answer must be a public address, and the connection goes to the address that was
checked: the name is not resolved a second time. Redirects are followed by hand, each with the whole check. Nothing of
the environment (proxies, netrc) is used, and no cookie, credential or referrer is sent.

urllib3 speaks HTTP, by single connections to checked addresses. Its pools are not used: they resolve names, retry, and
give no access to the socket before the response. Of the libraries that check addresses, advocate is unmaintained since
2020, and the younger ones depend on a second HTTP client.

Typed reasons of MediaError: image_url_invalid, image_url_unsupported (another scheme), image_url_off,
image_address_refused, image_url_unresolved, image_url_unreachable, image_url_timeout, image_url_status (404 and the
like), image_server_failed (429, 5xx), image_url_redirects, image_host_paused, image_too_large.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException
from urllib.parse import quote, urljoin, urlsplit

from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError
from urllib3.response import HTTPResponse

from hybrid.errors import MediaError
from hybrid.media.sources import MAX_BYTES

MAX_REDIRECTS = 3
#: Seconds for one address with all its redirects, and for one connection to be made.
TOTAL_S, CONNECT_S = 15.0, 5.0
#: Fetches from one host at once (in this process), failures in a row until it is paused, and seconds of the pause: a
#: catalogue of 20,000 pictures on a dead host ends within seconds, and every picture has its reason.
PER_HOST, FAILURES, PAUSE_S = 4, 5, 60.0
_PORTS = {"http": 80, "https": 443}
_MAX_URL, _MAX_MARK, _PIECE = 2_048, 200, 64 * 1024
_PATH = "/%:@!$&'()*+,;=~?[]"
for _name in ("urllib3.connection", "urllib3.response"):  # else each odd header of a server is a warning, with a trace
    logging.getLogger(_name).setLevel(logging.ERROR)

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
#: Networks that `is_global` of some Python versions accepts, and that must not be reached: protocol assignments, the
#: relays of 6to4 and Teredo (which lead to the IPv4 address inside), documentation, and the address at which Azure
#: answers every virtual machine.
_REFUSED = tuple(
    ipaddress.ip_network(net)
    for net in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "2001::/23", "2001:db8::/32", "2002::/16",
                "3fff::/20")
)  # fmt: skip

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
#: (name, port) -> the addresses that it has. Raises OSError.
Resolver = Callable[[str, int], list[str]]


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer of an address. data: None where the content has not changed since `etag` and `modified`."""

    data: bytes | None
    sha256: str = ""
    etag: str | None = None
    modified: str | None = None


@dataclass(slots=True)
class _Host:
    busy: int = 0
    failures: int = 0
    paused_until: float = 0.0


@dataclass(frozen=True, slots=True)
class _Target:
    """A checked URL. `host` is the name to resolve: ASCII, lower case, without a dot at its end."""

    scheme: str
    host: str
    port: int
    path: str


class Fetcher:
    """Fetches addresses. Safe to use from several threads; one serves a whole process.

    private_hosts: names ("cdn.internal", or "cdn.internal:8080" for that port) that may have private addresses: a
    shop's own picture server. Never addresses of the link itself, where clouds answer with credentials.
    """

    def __init__(
        self,
        enabled: bool = True,
        private_hosts: Iterable[str] = (),
        resolve: Resolver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.enabled = enabled
        self._private = frozenset(name.strip().lower() for name in private_hosts if name.strip())
        self._resolve = resolve or _getaddrinfo
        self._clock = clock
        self._hosts: dict[str, _Host] = {}
        self._freed = threading.Condition()

    def fetch(self, url: str, etag: str | None = None, modified: str | None = None) -> Fetched:
        """The content behind an address, at most MAX_BYTES, within TOTAL_S.

        etag, modified: of the last answer; with them, unchanged content is not sent again.

        Raises:
            MediaError: with one of the reasons above.
        """
        if not self.enabled:
            raise MediaError(f"{_quoted(url)} is an address, and media_urls is off", "image_url_off")
        deadline = self._clock() + TOTAL_S
        conditions = {"If-None-Match": etag, "If-Modified-Since": modified}
        headers = {name: value for name, value in conditions.items() if value}
        for _ in range(MAX_REDIRECTS + 1):
            target = self._checked(url)
            with self._turn(target, url, deadline):
                answer = self._get(target, url, headers, deadline)
            if isinstance(answer, Fetched) and answer.data is None and not headers:
                raise MediaError(f"{_quoted(url)} answers that it is unchanged, unasked", "image_url_status")
            if isinstance(answer, Fetched):
                return answer
            try:
                url = urljoin(url, answer)
            except ValueError as error:
                raise MediaError(f"{_quoted(url)} redirects to what is no address", "image_url_redirects") from error
        raise MediaError(f"{_quoted(url)} is the end of too many redirects", "image_url_redirects")

    # -- what may be asked -----------------------------------------------------------------------------------

    def _checked(self, url: str) -> _Target:
        """The only reading of a URL; what is connected to and sent is made of it, never of the text again."""
        printable = _quoted(url)
        # A space in the name of a file is sent escaped; one before it is in no address.
        if len(url) > _MAX_URL or re.search(r"[\x00-\x1f\x7f-\xa0\\]|^ |^[^/]*//[^/?#]* ", url):
            raise MediaError(f"{printable} is too long, or has spaces or backslashes in it", "image_url_invalid")
        try:
            parts = urlsplit(url)
            scheme, port = parts.scheme.lower(), parts.port
            host = (parts.hostname or "").rstrip(".")
            if host and not host.isascii():
                host = host.encode("idna").decode("ascii").lower()
        except ValueError as error:  # a UnicodeError is one
            raise MediaError(f"{printable} cannot be read as an address: {error}", "image_url_invalid") from error
        if scheme not in _PORTS:
            raise MediaError(f"{printable} is neither http nor https", "image_url_unsupported")
        if parts.username is not None or parts.password is not None:
            raise MediaError(f"{printable} has a user name in it", "image_url_invalid")
        # urlsplit is lenient: it reads "[::1]a" as ::1.
        literal = re.fullmatch(r"\[([0-9a-f:.]+)\](:\d+)?", parts.netloc.lower())
        if not literal and not re.fullmatch(r"(?!.*\.\.)[a-z0-9_][a-z0-9._-]{0,252}", host):
            raise MediaError(f"{printable} names no host that can be looked up", "image_url_invalid")
        port = _PORTS[scheme] if port is None else port
        if port not in _PORTS.values() and f"{host}:{port}" not in self._private:
            raise MediaError(f"{printable}: port {port} is not asked, only 80 and 443", "image_url_invalid")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return _Target(scheme, host, port, quote(path, safe=_PATH))

    def _addresses(self, target: _Target, url: str, deadline: float) -> list[str]:
        """All that the name has, each of them checked."""
        addresses: list[str] = []
        problem: list[OSError | UnicodeError] = []

        def look() -> None:
            try:
                addresses.extend(self._resolve(target.host, target.port))
            except (OSError, UnicodeError) as error:
                problem.append(error)

        # In a thread, for a look-up takes no time limit; one that hangs ends by itself some time later.
        thread = threading.Thread(target=look, name="hybrid-lookup", daemon=True)
        thread.start()
        thread.join(self._patience(deadline))
        if thread.is_alive():
            raise MediaError(f"{_quoted(url)}: {target.host} is not looked up in time", "image_url_timeout")
        if problem or not addresses:
            why = problem[0] if problem else "no address"
            raise MediaError(f"{_quoted(url)}: {target.host} is not known: {why}", "image_url_unresolved")
        named = not {target.host, f"{target.host}:{target.port}"}.isdisjoint(self._private)
        for text in addresses:
            if not _may_connect(text, named):
                raise MediaError(
                    f"{_quoted(url)}: {target.host} has the address {text}, which is not public; "
                    "name the host in media_private_hosts if it is your own",
                    "image_address_refused",
                )
        return list(dict.fromkeys(addresses))

    @contextmanager
    def _turn(self, target: _Target, url: str, deadline: float) -> Iterator[None]:
        """A place among the PER_HOST of a host; counts its failures.

        Raises:
            MediaError: image_host_paused, image_url_timeout (no place in time).
        """
        with self._freed:
            host = self._hosts.setdefault(target.host, _Host())
            while host.busy >= PER_HOST or host.paused_until > self._clock():
                if host.paused_until > self._clock():
                    raise MediaError(
                        f"{_quoted(url)} is not tried: {target.host} failed {host.failures} times in a row; "
                        f"it is asked again after {PAUSE_S:.0f} seconds",
                        "image_host_paused",
                    )
                if not self._freed.wait(max(0.0, deadline - self._clock())):
                    raise MediaError(f"{_quoted(url)}: {target.host} is too busy", "image_url_timeout")
            host.busy += 1
        failed = True
        try:
            yield
            failed = False
        except MediaError as error:
            failed = error.reason in _OF_THE_HOST
            raise
        finally:
            with self._freed:
                host.busy -= 1
                host.failures = host.failures + 1 if failed else 0
                if host.failures >= FAILURES:
                    host.paused_until = self._clock() + PAUSE_S
                elif not host.busy and not host.failures:
                    self._hosts.pop(target.host, None)  # nothing to remember
                self._freed.notify_all()

    # -- asking ----------------------------------------------------------------------------------------------

    def _get(self, target: _Target, url: str, headers: dict[str, str], deadline: float) -> Fetched | str:
        """The answer, or where it redirects to."""
        host = f"[{target.host}]" if ":" in target.host else target.host
        usual = target.port == _PORTS[target.scheme]
        try:
            with self._connection(target, url, deadline) as connection:
                connection.request("GET", target.path, preload_content=False, decode_content=False, headers={
                    "Host": host if usual else f"{host}:{target.port}", "User-Agent": "hybrid-search",
                    "Accept": "image/*", "Accept-Encoding": "identity", "Connection": "close", **headers,
                })  # fmt: skip
                with closing(connection.getresponse()) as response:
                    return self._answer(response, url, deadline)
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            cause = error.__cause__ or error  # urllib3 wraps what happened
            if isinstance(cause, TimeoutError) or self._clock() >= deadline:
                raise MediaError(f"{_quoted(url)} does not answer in time", "image_url_timeout") from error
            why = str(cause) or type(cause).__name__
            raise MediaError(f"{_quoted(url)} cannot be fetched: {why}", "image_url_unreachable") from error

    @contextmanager
    def _connection(self, target: _Target, url: str, deadline: float) -> Iterator[HTTPConnection]:
        """A connection to the first of two checked addresses that accepts one. It is cut at the deadline."""
        addresses = self._addresses(target, url, deadline)[:2]
        for address in addresses:
            # The host is a number, so nothing is looked up again.
            connection = HTTPConnection(address, target.port, timeout=self._patience(deadline))
            try:
                connection.connect()
                break
            except ConnectTimeoutError:  # of urllib3, for whatever kept it from connecting
                if address == addresses[-1]:
                    raise
        with closing(connection):
            if target.scheme == "https":
                connection.sock.settimeout(self._patience(deadline))  # for the whole handshake
                connection.sock = self._tls.wrap_socket(connection.sock, server_hostname=target.host)
            # Time limits of sockets are for one read each; a server that sends a byte a second is ended by this.
            timer = threading.Timer(max(0.0, deadline - self._clock()), _shut, [connection.sock])
            timer.daemon = True
            timer.start()
            try:
                yield connection
            finally:
                timer.cancel()

    def _patience(self, deadline: float) -> float:
        """Seconds to wait for one step of a fetch."""
        return max(0.1, min(CONNECT_S, deadline - self._clock()))

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Shared by threads, so it is not given to urllib3, which changes it for each connection (CPython #141012)."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _answer(self, response: HTTPResponse, url: str, deadline: float) -> Fetched | str:
        etag, modified = (
            value if value and len(value) <= _MAX_MARK else None
            for value in (response.headers.get("ETag"), response.headers.get("Last-Modified"))
        )
        if response.status == 304:
            return Fetched(None, "", etag, modified)
        place = response.get_redirect_location()
        if place:
            return place
        if place is not False:
            raise MediaError(f"{_quoted(url)} redirects to nowhere", "image_url_redirects")
        if response.status != 200:
            down = response.status == 429 or response.status >= 500
            raise MediaError(
                f"{_quoted(url)} answers with status {response.status}",
                "image_server_failed" if down else "image_url_status",
            )
        size, data = response.length_remaining or 0, bytearray()
        # read1, since the other reads take a chunk of negative length for all that follows, and read that at once.
        while size <= MAX_BYTES and (piece := response.read1(_PIECE)):
            data += piece
            size = max(size, len(data))
        if size > MAX_BYTES:
            raise MediaError(f"{_quoted(url)} is larger than {MAX_BYTES // 1024 // 1024} MB", "image_too_large")
        if self._clock() >= deadline:  # the end may be that of our patience
            raise TimeoutError
        return Fetched(bytes(data), hashlib.sha256(data).hexdigest(), etag, modified)


#: Failures that speak against the whole host, not only against this picture.
_OF_THE_HOST = frozenset({"image_url_unresolved", "image_url_unreachable", "image_url_timeout", "image_server_failed"})


def _getaddrinfo(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _may_connect(text: str, named: bool) -> bool:
    """Whether an address may be connected to. named: it is of a host whose addresses may be private."""
    try:
        address: Address = ipaddress.ip_address(text)
    except ValueError:  # such as one of a link, with the name of an interface in it
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        elif address.ipv4_mapped is not None:
            address = address.ipv4_mapped
    if named:
        refused = address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved
        return address.is_loopback or not refused
    if any(address in net for net in _REFUSED if net.version == address.version):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        # An allow-list: all else of IPv6 is private, of a protocol, or not given out. ISATAP carries an IPv4 address.
        return address in _GLOBAL_UNICAST and address.is_global and (int(address) >> 32) & 0xFFFF != 0x5EFE
    return address.is_global and not address.is_multicast and not address.is_reserved


def _shut(sock: socket.socket) -> None:
    try:
        # The method of the plain socket: that of TLS would drop its keys first, while another thread reads.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:  # closed already: what was to be ended has ended
        return


def _quoted(url: str) -> str:
    return f'picture "{url[:200]}"'
