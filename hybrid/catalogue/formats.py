"""What kind of file a catalogue is: format by extension, confirmed or corrected by content."""

from __future__ import annotations

import codecs
import contextlib
import csv
import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from hybrid.catalogue.feeds import is_feed
from hybrid.catalogue.streams import CHUNK, WINDOWS, Piece, Shape, StreamEnd, chunks, is_utf8, open_file, pieces
from hybrid.errors import CatalogueError

_BOMS = {  # the longer ones first: UTF-32's begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel sheet; unpack it, or save the sheet as CSV (UTF-8)",
    b"\xd0\xcf\x11\xe0": "an old Excel sheet; save it as CSV (UTF-8)",
    b"\x89PNG": "a PNG picture; name the catalogue file instead",
    b"\xff\xd8\xff": "a JPEG picture; name the catalogue file instead",
    b"GIF8": "a GIF picture; name the catalogue file instead",
    b"%PDF": "a PDF; export the catalogue as CSV or NDJSON",
    b"PAR1": "a Parquet file; convert it to NDJSON",
    b"SQLite format 3": "an SQLite database; export the table as CSV",
    b"BZh": "bzip2; unpack it or use gzip",
    b"\xfd7zXZ": "xz; unpack it or use gzip",
    b"(\xb5/\xfd": "zstd; unpack it or use gzip",
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"<": "HTML, or XML that is no feed of products; convert it to NDJSON or CSV",
}
_FAR_EAST = {
    "gb2312": "GB18030",
    "big5": "BIG5",
    "gb18030": "GB18030",
    "shift_jis": "SHIFT_JIS",
}
_WESTERN = "WINDOWS-1252"
#: Rows that are looked at, for the format and for the encoding: a letter that is not ASCII may come late.
_SAMPLED_ROWS, _ENCODED_ROWS = 100, 2_000
#: Excel's own first line, which says which delimiter the file has.
_PREAMBLE = re.compile(rb'"?sep=([,;\t|])"?\s*')
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\x1e"))
_ARRAY_HEAD = re.compile(rb'\[\s*(?:$|[\[\]{"\d-]|true|false|null|NaN)')
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]]', re.DOTALL)
_KEY_BEFORE = re.compile(rb'"\s*:\s*$')
_ELEMENT_AFTER = re.compile(rb"\s*[{\]]")


def sniff(path: Path) -> Shape:
    """Format by extension, confirmed or corrected by content.

    Raises:
        CatalogueError: no such file, a folder, empty, not a catalogue, or no row in an encoding that can be
            read. The message says what to do.
    """
    head = b""
    try:
        with open_file(path) as file:
            shape = Shape(compressed=file.read(2) == b"\x1f\x8b")
            file.seek(0)
            for chunk in chunks(file, shape):
                head = (head + chunk) if head.strip() else chunk
                if len(head) >= CHUNK and head.strip():
                    break
    except StreamEnd as end:
        if not head.strip():
            raise CatalogueError(f"{path}: {end.message}; fetch or compress the file again") from end
    whole = len(head) < CHUNK
    shape, head = _encoding_of(path, head, shape)
    if not whole:
        head = head[: head.rfind(b"\n") + 1] or head
    shape = _format_of(path, head.lstrip(), whole, shape)
    with open_file(path) as file:
        return _check_encoding(path, pieces(file, shape), shape)


def _encoding_of(path: Path, head: bytes, shape: Shape) -> tuple[Shape, bytes]:
    """The shape with its encoding, and the head in UTF-8."""
    mark = next((mark for mark in _BOMS if head.startswith(mark)), None)
    if mark:
        shape = replace(shape, encoding=_BOMS[mark])
        if mark == codecs.BOM_UTF8:
            head = head[len(mark) :]
        else:
            decoder = codecs.getincrementaldecoder(_BOMS[mark])("replace")
            head = decoder.decode(head).encode("utf-8", "replace")
    if not head.strip():
        raise CatalogueError(f"{path} is empty; name a catalogue with at least one product")
    for magic, what in () if is_feed(head) else _FOREIGN.items():
        if head.lstrip().startswith(magic):
            raise CatalogueError(f"{path} is {what}")
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if not mark and max(even, odd) > len(head) // 4 and min(even, odd) == 0:
        name = "UTF-16LE" if odd > even else "UTF-16BE"
        raise CatalogueError(f"{path} is not UTF-8; {_convert(name)}")
    # A stray control character is a matter of its row. Of random bytes a tenth are such.
    if len(head.translate(None, _CONTROL)) < 0.95 * len(head):
        raise CatalogueError(f"{path} is a binary file; give NDJSON, a JSON array, CSV or TSV")
    old_mac = b"\r" in head and b"\n" not in head
    return replace(shape, old_mac=old_mac), head.replace(b"\r", b"\n") if old_mac else head


def _format_of(path: Path, text: bytes, whole: bool, shape: Shape) -> Shape:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".gzip")]
    extension = suffixes[-1].lstrip(".") if suffixes else ""
    extension = "ndjson" if extension in ("jsonl", "jsonlines") else extension
    if is_feed(text):
        return replace(shape, format="xml", encoding="utf-8")  # its first line says in which encoding it is
    json, ndjson = replace(shape, format="json"), replace(shape, format="ndjson")
    lines = [line for line in text.split(b"\n")[:_SAMPLED_ROWS] if line.strip()]
    objects = [isinstance(_loads(line), dict) for line in lines]
    if _ARRAY_HEAD.match(text) and (extension != "ndjson" or not any(objects)):
        return json
    if text.startswith(b"{") and extension != "ndjson":
        one = len(lines) == 1 and whole
        array_at = _find_array(text) if one or not objects[0] else None
        if array_at is not None:
            return replace(json, array_at=array_at, wrapped=True)
        if whole and isinstance(_loads(text), dict) and (extension == "json" or not one):
            raise CatalogueError(
                f"{path} is one JSON object, not an array of products; "
                "give [{...}, {...}], or one product a line in a file named .ndjson"
            )
    if any(objects) or (text.startswith(b"{") and extension == "ndjson"):
        return ndjson
    if whole and extension in ("json", "ndjson") and _loads(text) is not None:
        raise CatalogueError(f"{path} is a JSON document that is not an array; give [{{...}}, {{...}}]")
    preamble = _PREAMBLE.fullmatch(lines[0]) if lines else None
    delimiter = preamble[1].decode() if preamble else _delimiter(lines)
    if delimiter is None and extension in ("csv", "tsv"):
        delimiter = "\t" if extension == "tsv" else ","  # a single column
    if delimiter is None or text.startswith(b"{"):
        raise CatalogueError(f"{path} cannot be read as a catalogue; give NDJSON, a JSON array, CSV or TSV")
    kind = "tsv" if delimiter == "\t" else "csv"
    return replace(shape, format=kind, delimiter=delimiter, preamble=preamble is not None)


def _loads(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


def _find_array(text: bytes) -> int | None:
    """Where the first list of objects opens that is a member of the outermost object."""
    depth = 0
    for token in _TOKEN.finditer(text):
        byte, at = token.group(), token.start()
        if byte in (b"{", b"["):
            member = byte == b"[" and depth == 1 and _KEY_BEFORE.search(text, max(0, at - 80), at)
            if member and _ELEMENT_AFTER.match(text, at + 1):
                return at
            depth += 1
        elif byte in (b"}", b"]"):
            depth -= 1
    return None


def _delimiter(lines: list[bytes]) -> str | None:
    """The delimiter that splits most of the lines into as many cells as the first, at least two."""
    text = [line.decode("utf-8", "replace") + "\n" for line in lines]
    best: tuple[float, int] = (0.5, 0)  # a half of the rows must agree, else it is no table
    best_delimiter = None
    for delimiter in ",;\t|":
        try:
            widths = [len(cells) for cells in csv.reader(text, delimiter=delimiter) if cells]
        except csv.Error:
            continue
        agreeing = (widths.count(widths[0]) / len(widths), widths[0]) if widths else best
        if agreeing[1] > 1 and agreeing > best:
            best, best_delimiter = agreeing, delimiter
    return best_delimiter


def _check_encoding(path: Path, content: Iterator[Piece], shape: Shape) -> Shape:
    """The shape, as Windows-1252 where that is likely. Refuse a file of which every row would be a Reject."""
    if shape.format == "xml":
        return shape
    rows: list[bytes] = []
    with contextlib.suppress(StreamEnd):  # what was read so far is judged; the end becomes the last Reject
        for piece in itertools.islice(content, _ENCODED_ROWS):
            if piece.data.strip() and not piece.cut:
                rows.append(piece.data)
    if shape.format in ("csv", "tsv"):
        # A header that cannot be read decides alone; one that can says nothing of the rows.
        rows = (rows[1:] or rows) if rows and is_utf8(rows[0]) else rows[:1]
    telling = [row for row in rows if not row.isascii()]
    if telling and not any(map(is_utf8, telling)):
        encoding = _likely_encoding(b" ".join(telling))
        if encoding == _WESTERN and shape.format in ("csv", "tsv"):  # JSON is UTF-8
            return replace(shape, encoding=WINDOWS)
        if len(telling) == len(rows):
            raise CatalogueError(f"{path} is not UTF-8; {_convert(encoding)}")
    return shape


def _likely_encoding(data: bytes) -> str:
    """A guess: characters of the Far East stand side by side, accented Latin letters alone."""
    for codec, name in _FAR_EAST.items():
        try:
            text = data.decode(codec)
        except UnicodeDecodeError:
            continue
        foreign = sum(char > "\x7f" for char in text)
        beside = sum(len(run) for run in re.findall(r"[^\x00-\x7f]{2,}", text))
        if beside >= 0.7 * foreign:
            return name
    return _WESTERN


def _convert(encoding: str) -> str:
    return f"it looks like {encoding}; convert it with: iconv -f {encoding} -t UTF-8"
