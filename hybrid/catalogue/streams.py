"""From the bytes of a catalogue file to its lines or array elements.

A JSON array is cut into its elements by brackets and quotes, and each is parsed by itself. An event parser
holds a huge string whole and stops for good at the first bad token; here a bad or huge element costs only
itself. Nothing here holds more than MAX_ROW_BYTES of content.
"""

from __future__ import annotations

import codecs
import io
import itertools
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hybrid.errors import CatalogueError

#: The longest row taken. A product's own text is a few kilobytes; beyond this lies an embedded picture.
MAX_ROW_BYTES = 16 * 1024 * 1024
_KEPT_OF_CUT = 8 * 1024  # what is kept of a longer one, to show where it stands
CHUNK = 256 * 1024
#: The encoding of what Excel saves as CSV in Europe and America.
WINDOWS = "cp1252"

# What cannot end an element, skipped in one go: outside of an element commas matter, within only brackets do.
_BETWEEN = re.compile(rb'(?:[^"{}\[\],]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
_INSIDE = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
_STRING_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


class StreamEnd(Exception):
    """The stream cannot be read further: the reason and message of its last Reject."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class Piece(NamedTuple):
    """A line or an array element. cut: it was longer than MAX_ROW_BYTES and `data` is its beginning only.
    quotes: how many double quotes a cut one has, which says whether a CSV cell is open at its end."""

    number: int
    data: bytes
    cut: bool = False
    quotes: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """How a file is to be read."""

    format: str = ""
    compressed: bool = False
    encoding: str = "utf-8"
    old_mac: bool = False  # lines end in a bare carriage return
    array_at: int = 0  # where the array opens, in bytes of UTF-8 after the white space at the top
    wrapped: bool = False  # the array is a member of an object
    delimiter: str = ","
    preamble: bool = False  # the first line only says which delimiter it is, for Excel


def open_file(path: Path) -> io.FileIO:
    try:
        return io.FileIO(path)  # unbuffered, so that tell() is what was consumed
    except FileNotFoundError as error:
        raise CatalogueError(f"{path} does not exist; check the path of the catalogue") from error
    except IsADirectoryError as error:
        raise CatalogueError(f"{path} is a folder; name the catalogue file in it") from error
    except OSError as error:
        raise CatalogueError(f"{path} cannot be opened: {error.strerror}; check its permissions") from error


def chunks(file: io.FileIO, shape: Shape) -> Iterator[bytes]:
    """The content, decompressed and in UTF-8. Before the shape is known (no format), as it is."""
    content = _gunzip(file) if shape.compressed else _read(file)
    if shape.encoding == "utf-8-sig":
        content = _after_mark(content)
    elif shape.encoding != "utf-8":
        content = _recode(content, shape.encoding)
    return (chunk.replace(b"\r", b"\n") for chunk in content) if shape.old_mac else content


def _read(file: io.FileIO) -> Iterator[bytes]:
    try:
        while data := file.read(CHUNK):
            yield data
    except OSError as error:
        raise CatalogueError(f"{file.name}: reading failed: {error.strerror}; check the disk") from error


def _gunzip(file: io.FileIO) -> Iterator[bytes]:
    """By hand: the gzip module throws away what it has decompressed when the end is missing."""
    member = zlib.decompressobj(wbits=31)
    try:
        for data in _read(file):
            while data:
                if member.eof:
                    data = data.lstrip(b"\0")
                    if not data.startswith(b"\x1f"):
                        break
                    member = zlib.decompressobj(wbits=31)
                yield member.decompress(data, CHUNK)
                data = member.unused_data if member.eof else member.unconsumed_tail
        yield member.flush()
    except zlib.error as error:
        raise StreamEnd("truncated_file", f"the gzip data is damaged from here on ({error})") from error
    if not member.eof:
        raise StreamEnd("truncated_file", "the gzip data ends too early")


def _after_mark(content: Iterator[bytes]) -> Iterator[bytes]:
    """Without the byte order mark. The bytes are not decoded: bad ones are a matter of their rows."""
    start = b""
    for chunk in content:
        start += chunk
        if len(start) >= len(codecs.BOM_UTF8):
            break
    yield start.removeprefix(codecs.BOM_UTF8)
    yield from content


def _recode(content: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    # Windows-1252 is only guessed, and has bytes without a meaning.
    decoder = codecs.getincrementaldecoder(encoding)("replace" if encoding == WINDOWS else "strict")
    try:
        for chunk in content:
            yield decoder.decode(chunk).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise StreamEnd("bad_encoding", f"not {encoding.upper()} from here on ({error})") from error


class _Pending:
    """A piece in the making. Past the limit only its beginning is kept, and its quotes are counted."""

    def __init__(self) -> None:
        self.number = 0
        self._begin()

    def _begin(self) -> None:
        self.number += 1
        self.size = self.quotes = 0
        self.parts: list[bytes] = []

    def add(self, part: bytes) -> None:
        over = self.size > MAX_ROW_BYTES
        self.size += len(part)
        if over:
            self.quotes += part.count(b'"')
            return
        self.parts.append(part)
        if self.size > MAX_ROW_BYTES:
            whole = b"".join(self.parts)
            self.quotes = whole.count(b'"')
            self.parts = [whole[:_KEPT_OF_CUT]]

    def take(self) -> Piece:
        data = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        piece = Piece(self.number, data, self.size > MAX_ROW_BYTES, self.quotes)
        self._begin()
        return piece


def pieces(file: io.FileIO, shape: Shape) -> Iterator[Piece]:
    """The lines (numbered from 1) or the array's elements, blank lines among them.

    Raises:
        StreamEnd: while iterating, where the content breaks off.
    """
    content = chunks(file, shape)
    lines = _elements(content, shape) if shape.format == "json" else _lines(content)
    return itertools.islice(lines, int(shape.preamble), None)


def _lines(content: Iterator[bytes]) -> Iterator[Piece]:
    pending = _Pending()
    for chunk in content:
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            pending.add(part)
            yield pending.take()
        pending.add(rest)
    if pending.size:
        yield pending.take()


def _elements(content: Iterator[bytes], shape: Shape) -> Iterator[Piece]:
    pending = _Pending()
    depth = 0
    in_string = escaped = False
    for chunk in _after(content, shape.array_at + 1):
        start, pos, size = 0, int(escaped), len(chunk)
        escaped = False
        while pos < size:
            if in_string:
                match = _STRING_REST.match(chunk, pos)
                pos = match.end() if match else pos
                if pos < size:
                    # Either the closing quote, or a backslash whose second half is in the next chunk.
                    escaped = chunk[pos] == 0x5C
                    in_string = escaped
                    pos += 1
                continue
            match = (_INSIDE if depth else _BETWEEN).match(chunk, pos)
            pos = match.end() if match else pos
            if pos == size:
                break
            byte = chunk[pos : pos + 1]
            pos += 1
            if byte == b'"':
                in_string = True
            elif byte in b"{[":
                depth += 1
            elif depth:
                depth -= 1
            elif byte in b",]":
                pending.add(chunk[start : pos - 1])
                start = pos
                piece = pending.take()
                if byte == b"," or piece.data.strip() or piece.number > 1:
                    yield piece if piece.data.strip() else piece._replace(data=b",")
                if byte == b"]":
                    rest = chunk[pos:].strip()
                    for _ in content:  # to its end, so that damage further on is noticed
                        pass
                    if rest and not shape.wrapped:
                        raise StreamEnd("bad_json", "there is text after the array; it was not read")
                    return
        pending.add(chunk[start:])
    raise StreamEnd("truncated_file", "the file ends before the array does")


def _after(content: Iterator[bytes], skip: int) -> Iterator[bytes]:
    """The content without the white space at the top and without `skip` bytes more."""
    for chunk in content:
        if first := chunk.lstrip():
            rest = itertools.chain([first], content)
            break
    else:
        return
    for chunk in rest:
        if skip < len(chunk):
            yield chunk[skip:]
        skip = max(0, skip - len(chunk))


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
