"""The live progress bar of the command line, on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybrid.jobs import Progress


def console(stderr: bool = True) -> Any:
    """A rich console; wide enough for tables where the output is no terminal."""
    from rich.console import Console

    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=140)


class LiveProgress:
    """A live bar on stderr: rows read, products encoded, rate, remaining time, failures."""

    def __init__(self) -> None:
        from rich import progress as bars

        self._bar = bars.Progress(
            bars.TextColumn("{task.description:<7}"),
            bars.BarColumn(),
            bars.TextColumn("{task.percentage:>3.0f}%"),
            bars.TextColumn("{task.fields[detail]}"),
            bars.TimeElapsedColumn(),
            bars.TextColumn("left"),
            bars.TimeRemainingColumn(),
            console=console(),
        )
        self._read: Any = None
        self._encode: Any = None
        self._started: float | None = None
        self._base = 0

    def __enter__(self) -> Callable[[Progress], None]:
        self._bar.start()
        self._read = self._bar.add_task("read", total=None, detail="")
        return self._show

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _show(self, progress: Progress) -> None:
        detail = f"{progress.read:,} rows, {progress.unchanged:,} unchanged"
        if progress.rejected:
            detail += f", {progress.rejected:,} rejected"
        self._bar.update(self._read, total=progress.size or None, completed=progress.position, detail=detail)
        if not progress.to_encode:
            return
        if self._encode is None:
            self._encode = self._bar.add_task("encode", total=progress.to_encode, detail="")
            self._started, self._base = time.monotonic(), progress.done
        seconds = time.monotonic() - (self._started or 0.0)
        rate = (progress.done - self._base) / seconds if seconds > 0.5 else 0.0
        detail = f"{progress.done:,} of {progress.to_encode:,} products, {rate:,.0f}/s, {progress.failed:,} failed"
        self._bar.update(self._encode, total=progress.to_encode, completed=progress.done, detail=detail)
