"""What the command line shows: tables, JSON, lines on stderr, live progress bars on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybrid.operations.runs import Progress


def console(stderr: bool = True) -> Any:
    """A rich console; wide enough for tables where the output is no terminal.

    Text is shown as it is. What others wrote, such as errors of the cluster and names of fields, has square brackets
    and colons that rich would take for its markup.
    """
    from rich.console import Console

    plain = partial(Console, stderr=stderr, markup=False, emoji=False, highlight=False)
    terminal = plain()
    return terminal if terminal.is_terminal else plain(width=140)


def say(line: str) -> None:
    """A line for people, on stderr: stdout is for the answer."""
    print(line, file=sys.stderr, flush=True)


def print_left_out(skipped: Mapping[str, int]) -> None:
    """What training could not use, by reason; nothing where there is nothing."""
    if skipped:
        print("left out: " + ", ".join(f"{count:,} {reason}" for reason, count in sorted(skipped.items())))


def print_json(data: Any) -> None:
    """A machine-readable answer on stdout."""
    import orjson

    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    sys.stdout.buffer.write(orjson.dumps(data, option=options, default=str) + b"\n")
    sys.stdout.flush()


@contextmanager
def counted() -> Iterator[Callable[[str, int, int], None]]:
    """Live bars, one for each thing that is being done; called with (what, how far, of how much)."""
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<16}", markup=False),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}", markup=False),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, TimeRemainingColumn(), console=console()) as bar:

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield show


class LiveProgress:
    """A live bar on stderr: rows read, products encoded, rate, remaining time, failures."""

    def __init__(self) -> None:
        from rich import progress as bars

        self._bar = bars.Progress(
            bars.TextColumn("{task.description:<7}", markup=False),
            bars.BarColumn(),
            bars.TextColumn("{task.percentage:>3.0f}%", markup=False),
            bars.TextColumn("{task.fields[detail]}", markup=False),
            bars.TimeElapsedColumn(),
            bars.TextColumn("left", markup=False),
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

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to a question."""
        self._bar.stop()
        yield
        self._bar.start()

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


def show_trouble(report: Any) -> None:
    """What a run could not do, and what to do about it."""
    from hybrid.operations.indexing import summary_counts

    if report.refused:
        print(f"{sum(report.refused.values()):,} documents refused: {summary_counts(report.refused)}")
    if report.failed:
        print(f"{sum(report.failed.values()):,} vectors failed: {summary_counts(report.failed)}; attach tries again")


def show_waiting(report: Any) -> None:
    """What a sync has to go on with."""
    if report.waiting:
        print(f"{report.waiting:,} documents still wait for vectors; run `hybrid sync {report.index}`")
