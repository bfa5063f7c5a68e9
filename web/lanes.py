"""Lanes of requests before the threads that answer them: who waits, for how long, and who is refused."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

#: How much the last request counts in the mean time of a request, and how many times longer than a request may expect
#: to wait it does wait before it is refused after all.
_MEMORY, _SLACK = 0.1, 4.0


class Refused(Exception):
    """A request that the app does not answer. status: 408, 429 or 500."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.kind, self.reason = status, kind, reason


class Gone(Exception):
    """Nobody waits for the answer any more."""


class Lane:
    """Requests of one kind: `threads` at once; others wait in their order.

    wait_s: a request that would wait longer, as far as the last ones tell, is refused at once. waiting: how many may
    wait. crowded: with more that wait, a search is to be quick. Belongs to one event loop.
    """

    def __init__(self, name: str, threads: int, waiting: int, wait_s: float, crowded: int | None = None) -> None:
        self.name, self._pool = name, ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._threads, self._waiting, self._wait_s = threads, waiting, wait_s
        self._free = threads
        self._crowded = waiting if crowded is None else crowded
        self._queue: deque[asyncio.Future[None]] = deque()
        self._took_s = 0.0  # how long a request holds a thread, of late

    @property
    def waits(self) -> int:
        """How many wait."""
        return len(self._queue)

    @property
    def crowded(self) -> bool:
        return len(self._queue) > self._crowded

    @asynccontextmanager
    async def place(self, receive: Receive) -> AsyncIterator[None]:
        """A thread's place for a request, in its turn.

        Raises:
            Refused: too many wait, or this one has waited too long.
            Gone: the caller went away while it waited.
        """
        await self._enter(receive)
        began = time.perf_counter()
        try:
            yield
        finally:
            self._took_s += _MEMORY * (time.perf_counter() - began - self._took_s)
            self._leave()

    async def run(self, work: Callable[..., Any], *args: Any) -> Any:
        """The result of a call in one of the lane's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)

    async def _enter(self, receive: Receive) -> None:
        if self._free and not self._queue:
            self._free -= 1
            return
        expected_s = self._took_s * (len(self._queue) + 1) / self._threads
        if len(self._queue) >= self._waiting or expected_s > self._wait_s:
            raise busy()
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        left = asyncio.ensure_future(gone(receive))
        try:
            await asyncio.wait({turn, left}, timeout=_SLACK * self._wait_s, return_when=asyncio.FIRST_COMPLETED)
            if left.done():
                raise Gone
            if not turn.done():
                raise busy()
        except BaseException:
            if turn.done():  # its turn came at the same moment
                self._leave()
            else:
                self._queue.remove(turn)
            raise
        finally:
            left.cancel()

    def _leave(self) -> None:
        if self._queue:
            self._queue.popleft().set_result(None)
        else:
            self._free += 1


def busy() -> Refused:
    return Refused(429, "TooBusyError", "the server is busy; ask again in some seconds")


async def gone(receive: Receive) -> None:
    """Return when the caller has gone away. The body, where there is none, is a message all the same."""
    while (await receive())["type"] != "http.disconnect":
        pass
