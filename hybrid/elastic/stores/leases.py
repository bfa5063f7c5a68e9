"""Leases: a lease is the right to change an index alone. It is kept in Elasticsearch, for runs on several machines."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from elasticsearch import Elasticsearch

from hybrid.elastic.stores.base import ensure_store, now, store_unchanged, stored
from hybrid.errors import HybridError, JobError, LeaseLostError

logger = logging.getLogger(__name__)

LEASES = "hybrid-leases"
#: Seconds without a renewal until another process may take over the work of a process on another machine.
LEASE_S = 90.0


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that works on an index alone: its machine, its id there, and when it started (ids are used again)."""

    host: str
    pid: int
    started: float

    @classmethod
    def me(cls) -> Owner:
        process = psutil.Process()
        return cls(_machine(), process.pid, process.create_time())

    def is_dead(self) -> bool:
        """Whether the process surely ended. False for a process on another machine, of which this is not known."""
        if self.host != _machine():
            return False
        try:
            process = psutil.Process(self.pid)
            # A killed process stays in the table until its parent waits for it.
            gone = process.status() == psutil.STATUS_ZOMBIE
            return bool(gone or abs(process.create_time() - self.started) > 1.0)
        except psutil.NoSuchProcess:
            return True


def _machine() -> str:
    """A name of the place in which process ids are unique. The host name is not enough: containers may share it."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):  # not Linux
        parts.append(os.readlink("/proc/self/ns/pid"))
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    return " ".join(parts)


class Lease:
    """The right to change an index alone. It renews itself. A lease is free where its owner is dead, or it is old.

    Raises from `take` and `keep`:
        JobError: another process has the lease.
    """

    def __init__(self, client: Elasticsearch, index: str, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: in seconds; it decides when `keep` renews."""
        self._client, self._clock = client, clock
        self._index = index
        self._token = uuid.uuid4().hex
        self._seen: dict[str, Any] | None = None
        self._renewed = 0.0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._lost = False

    def take(self) -> None:
        self._take()
        threading.Thread(target=self._renew, name="lease", daemon=True).start()

    def _take(self) -> None:
        ensure_store(self._client, LEASES, "leases")
        doc = stored(self._client, LEASES, self._index)
        if doc is not None and (owner := _living(doc["_source"])):
            raise JobError(
                f"{self._index!r} is being worked on by process {owner.pid} on {owner.host.split()[0]}; wait, or "
                "stop it with --pause"
            )
        self._write(doc)

    def holder(self) -> Owner | None:
        """The process that has the lease; None where the lease is free."""
        doc = stored(self._client, LEASES, self._index)
        return _living(doc["_source"]) if doc is not None else None

    def keep(self) -> None:
        """Check that the lease is still ours. Call this before every write: this process may have been suspended."""
        with self._lock:
            if self._lost:
                raise LeaseLostError(f"another process took over the work on {self._index!r}")
            if self._clock() - self._renewed > LEASE_S / 3:
                self._write(self._seen)

    def _renew(self) -> None:
        while not self._ended.wait(LEASE_S / 6):
            try:
                with self._lock:
                    if not self._ended.is_set():
                        self._write(self._seen)
            except LeaseLostError:
                return
            except HybridError as error:
                logger.warning("the lease of %s could not be renewed: %s", self._index, error)

    def release(self) -> None:
        """Give the lease back. A lease that another process has taken over stays with that process."""
        self._ended.set()
        with self._lock:
            try:
                self._write(self._seen, released=True)
            except LeaseLostError as error:
                logger.warning("%s", error)

    def _write(self, before: Mapping[str, Any] | None, released: bool = False) -> None:
        body = {"owner": asdict(Owner.me()), "token": self._token, "at": now(), "released": released}
        seen = store_unchanged(self._client, LEASES, self._index, body, before, refresh=False)
        if seen is None:
            self._lost = True
            raise LeaseLostError(f"another process took over the work on {self._index!r}")
        self._seen = seen
        self._renewed = self._clock()


def _living(lease: Mapping[str, Any]) -> Owner | None:
    owner = Owner(**lease["owner"])
    age = (datetime.now(UTC) - datetime.fromisoformat(lease["at"])).total_seconds()
    return None if lease.get("released") or owner.is_dead() or age > LEASE_S else owner
