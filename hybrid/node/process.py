"""Detached server processes: start them, know them again, end them; ports and last words."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from hybrid.errors import NodeError
from hybrid.node.places import Owner

#: A clock step between two reads of a process's start may move it by this many seconds.
SAME_START_S = 5.0
POLITE_S = 20.0

# Servers started by this very process: unless somebody collects them they stay as zombies when they end
_children: dict[int, subprocess.Popen[bytes]] = {}


def spawn(
    argv: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str], owner: Owner | None
) -> tuple[int, float]:
    """Start a server that outlives us; (pid, start time in seconds since the epoch).

    Raises:
        NodeError: it cannot be started at all.
    """
    drop: dict[str, Any] = {}
    if owner is not None:
        drop = {"user": owner.uid, "group": owner.gid, "extra_groups": []}
    try:
        with log.open("ab") as output:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=dict(env),
                start_new_session=True,
                umask=0o077,
                **drop,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise NodeError(f"cannot start {argv[0]}: {error}") from error
    _children[child.pid] = child
    return child.pid, start_time(child.pid) or time.time()


def exit_code(pid: int) -> int | None:
    """How our own child ended; None while it runs or when it is not our child."""
    child = _children.get(pid)
    return None if child is None else child.poll()


def start_time(pid: int) -> float | None:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def find(pid: object, started: object, is_it: Callable[[Any], bool | None]) -> Any | None:
    """The live process with this pid, if it is the one that was started then; else None.

    A pid is used again after its process ends, so the start time must agree and `is_it` must not say False
    (None: it could not tell). Without a start time `is_it` must say True. Zombies are dead.
    """
    if not isinstance(pid, int) or pid <= 1:
        return None
    exit_code(pid)  # collects it if it is ours and has ended
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        answer = is_it(process)
        if isinstance(started, int | float):
            if abs(process.create_time() - started) > SAME_START_S:
                return None
            return None if answer is False else process
        return process if answer else None
    except psutil.Error:
        return None


def stop(process: Any, grace_s: float = POLITE_S) -> None:
    """End a process: SIGTERM, `grace_s` seconds, SIGKILL.

    Raises:
        NodeError: it is somebody else's, or it does not end.
    """
    for number, patience in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
        if patience <= 0:
            continue
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            return
        except psutil.AccessDenied as error:
            raise NodeError(f"process {process.pid} belongs to another user: stop it as that user") from error
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            exit_code(process.pid)
            try:
                # is_running compares start times, so a reused pid counts as ended
                if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                    return
            except psutil.Error:
                return
            time.sleep(0.05)
    raise NodeError(f"process {process.pid} does not end, even by SIGKILL")


def free_port(preferred: object = None, patience_s: float = 2.0) -> int:
    """A free loopback port: `preferred` if it is free, or is within `patience_s`; else the system's pick."""
    if isinstance(preferred, int) and 0 < preferred < 65536:
        deadline = time.monotonic() + patience_s
        while True:
            if _bind(preferred) is not None:
                return preferred
            # The threads of a server that was just killed hold its port a moment longer than its pid lives
            if time.monotonic() >= deadline:
                break
            time.sleep(0.05)
    port = _bind(0)
    if port is None:
        raise NodeError("no free port on 127.0.0.1")
    return port


def _bind(port: int) -> int | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of the last run that are still closing do not count
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return None
        return int(probe.getsockname()[1])


def log_size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0


_TELLING = re.compile(r"ERROR|FATAL|Caused by:|Exception|Error|failed|FAILED|Fatal|FATAL CONFIG|Can't|Invalid")
_IDLE = re.compile(
    r"did not exit normally|died while starting up|^\s*at |^\s*\.\.\. \d+ more|^\s+Suppressed:|\[WARN|\[INFO"
)
_PREFIX = re.compile(r"^(?:\[[^\]]*\]\s*)+|^#\s*|fatal exception while booting Elasticsearch|^Caused by:\s*")


def last_words(*logs: tuple[Path, int]) -> str:
    """The line that says best why a server ended, from (log file, offset of this run in it); "" if none.

    The last line that speaks of an error wins; stack frames and the launcher's farewell are passed over.
    """
    telling = plain = ""
    for log, offset in logs:
        try:
            with log.open("rb") as file:
                file.seek(max(offset, log_size(log) - 200_000))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            if not line.strip() or _IDLE.search(line):
                continue
            plain = line
            if _TELLING.search(line):
                telling = line
        if telling:
            break
    words = telling or plain
    for _ in range(3):
        words = _PREFIX.sub("", words.strip())
    return words.strip()[:400]


def clean_environment() -> dict[str, str]:
    """Our environment without what would change the server behind the settings' back."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("ES_", "CLI_JAVA_"))
        and key not in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")
    }
