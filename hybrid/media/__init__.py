"""Media: which bytes a catalogue value names, and safe decoding of untrusted ones. See the modules for the reasons."""

from __future__ import annotations

from hybrid.media.decoding import close, frames, open_image
from hybrid.media.sources import resolve_image

__all__ = ["close", "frames", "open_image", "resolve_image"]
