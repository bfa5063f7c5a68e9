"""Child processes: Celery workers of a run and the web server, with their commands, their start and their end."""

from __future__ import annotations

import errno
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid.errors import JobError, NodeError, UsageError
from hybrid.services import Services
from hybrid.settings import Settings

if TYPE_CHECKING:
    from hybrid.services import Services

logger = logging.getLogger(__name__)

#: Connections of the web server: how many may wait to be taken, and how many there may be. One that sends nothing costs
#: little; by default, a thousand of them hold up all others.
BACKLOG, CONNECTIONS = 4_096, 16_384
#: Milliseconds for the headers of a request; also how long a connection may be idle between two requests.
HEADER_MS = 30_000


class WorkerPool:
    """A local Celery worker with `count` processes, restarted when it dies, ended with the run."""

    def __init__(self, services: Services, count: int) -> None:
        self._services, self._count = services, count
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._early_deaths = 0
        self.log = services.settings.data_dir / "logs" / f"worker-{os.getpid()}.log"

    def __enter__(self) -> WorkerPool:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def supervise(self) -> None:
        """Start the worker again if it died.

        Raises:
            JobError: it dies as soon as it starts.
        """
        if self._process is None or self._process.poll() is None:
            return
        self._early_deaths = self._early_deaths + 1 if time.monotonic() - self._started < 10 else 0
        if self._early_deaths >= 3:
            raise JobError(f"the worker ends as soon as it starts; see {self.log}")
        logger.warning("the worker ended with code %s; starting it again", self._process.returncode)
        self._start()

    def _start(self) -> None:
        self._started = time.monotonic()
        environment = worker_environment(self._services.settings, self._count)
        environment["HYBRID_ES_URL"] = self._services.es_url
        environment["HYBRID_REDIS_URL"] = self._services.redis_url
        environment["HYBRID_OWNER_PID"] = str(os.getpid())
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                worker_command(self._count), env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )


def worker_command(processes: int, beat_file: Path | None = None) -> list[str]:
    """The command line of a Celery worker of the layer. beat_file: the file of its schedule; None: no schedule."""
    beat = ["--beat", "--schedule", str(beat_file)] if beat_file else []
    return [
        sys.executable, "-m", "celery", "--quiet", "-A", "workers.app", "worker", "-Q", "hybrid",
        "--concurrency", str(processes), "--loglevel", "INFO", "--without-gossip", "--without-mingle",
        "-n", f"hybrid-{os.getpid()}-{time.time_ns() % 10**6}@%h", *beat,
    ]  # fmt: skip


def worker_environment(settings: Settings, processes: int) -> dict[str, str]:
    """The environment of a worker. Each process gets its share of the cores, unless the settings set the threads."""
    threads = settings.threads or max(1, (os.cpu_count() or 1) // max(1, processes))
    return {**os.environ, "HYBRID_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}


def serve_command(host: str, port: int, processes: int) -> list[str]:
    """The command line of the web server. HYBRID_WEB_THREADS sets the searches at once of a process.

    It says errors alone: on a busy machine it warns that a worker refused to stop, of one that has just done so.
    """
    return [
        sys.executable, "-m", "granian", "--interface", "asgi", "--factory", "web.serving:create_door",
        "--host", host, "--port", str(port), "--http", "1", "--workers", str(processes), "--no-ws",
        "--backlog", str(BACKLOG), "--backpressure", str(CONNECTIONS), "--http1-header-read-timeout", str(HEADER_MS),
        "--respawn-failed-workers", "--workers-kill-timeout", "30", "--log-level", "error",
    ]  # fmt: skip


@contextmanager
def spawned(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose output goes into a log. At the end of the block it is terminated, after 15 seconds killed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for_page(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    """Return when a page of the web server answers.

    Raises:
        NodeError: the page does not answer in time, or the process ended.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise NodeError(f"the page does not answer at {url}; see {log}")


def check_address(host: str, port: int) -> None:
    """Check that a server can listen here.

    Raises:
        NodeError: another program listens there already, or the system does not let us.
        UsageError: this machine has no such address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise UsageError(
            f"there is no host {host!r} ({error.strerror}); give --host an address of this machine"
        ) from error
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise UsageError(f"{host} is no address of this machine; choose another --host") from error
            why = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror
            raise NodeError(f"cannot listen on {host} port {port}: {why}; choose another --port") from error


def address_of(host: str, port: int) -> str:
    """The address to open in a browser on this machine, of a server that listens on `host`."""
    here = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{here}:{port}/"


def free_port(port: int = 0) -> int:
    """This port of the loopback address if it is free, else another one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
