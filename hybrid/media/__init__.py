"""Media: which bytes a catalogue value names, and safe decoding of untrusted ones. See the modules for the reasons."""

from __future__ import annotations

from hybrid.media.decoding import close, frames, open_image, open_video, samples, video_frames
from hybrid.media.sources import decode_data_url, is_data_url, is_url, read_media, resolve_media

__all__ = [
    "close", "decode_data_url", "frames", "is_data_url", "is_url", "open_image", "open_video", "read_media",
    "resolve_media", "samples", "video_frames",
]  # fmt: skip
