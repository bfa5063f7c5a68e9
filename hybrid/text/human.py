"""Durations and sizes, written for people."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Seconds for people."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def size(count: float) -> str:
    """Bytes for people; the admin page writes them so, too."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1_000:
            return f"{count:.0f} {unit}" if unit in ("B", "kB") else f"{count:.1f} {unit}"
        count /= 1_000
    return f"{count:.1f} TB"
