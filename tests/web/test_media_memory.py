"""The memory of posters and waveforms: bounded, and the same picture for every second between two frames."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.exceptions import NotFound

from hybrid.errors import MediaError
from web.shop import media


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    media._pictures.clear()
    yield
    media._pictures.clear()


def test_a_file_is_drawn_once_a_version(tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    file.write_bytes(b"first")
    drawn: list[bytes] = []

    def draw(data: bytes) -> media.Pictures:
        drawn.append(data)
        return ((0.0, data),)

    for _ in range(3):
        assert media._remembered("frames", b"inline", draw) == ((0.0, b"inline"),)
    assert drawn == [b"inline"]
    assert media._version(file) != media._version(b"first")
    before = media._version(file)
    file.write_bytes(b"other")
    os.utime(file, ns=(1, 1))
    assert media._version(file) != before


def test_the_memory_is_bounded_in_bytes() -> None:
    for number in range(200):
        media._remembered("frames", str(number).encode(), lambda data: ((0.0, b"x" * 1_000_000),))
    assert media._pictures.currsize <= media._MEMORY_BYTES
    media._remembered("frames", b"huge", lambda data: ((0.0, b"x" * (2 * media._MEMORY_BYTES)),))
    assert media._pictures.currsize <= media._MEMORY_BYTES


def test_what_cannot_be_drawn_is_not_there() -> None:
    def draw(data: bytes) -> media.Pictures:
        raise MediaError("no video")

    with pytest.raises(NotFound, match="no video"):
        media._remembered("frames", b"x", draw)
    assert not media._pictures
