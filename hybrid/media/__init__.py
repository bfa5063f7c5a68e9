"""Media: which bytes a catalogue value names, and safe decoding of untrusted ones. See the modules for the reasons."""

from __future__ import annotations

from hybrid.media.decoding import close, frames, open_image, samples, video_frames
from hybrid.media.sources import decode_data_url, is_data_url, is_url, read_picture, resolve_image

__all__ = [
    "close", "decode_data_url", "frames", "is_data_url", "is_url", "open_image", "read_picture", "resolve_image",
    "samples", "video_frames",
]  # fmt: skip
