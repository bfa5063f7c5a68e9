"""Reads a shop's catalogue: NDJSON, a JSON array, CSV/TSV or a feed in XML, each plain or gzipped, as a stream.

However long the file, no more than one row is held, and a row longer than MAX_ROW_BYTES is passed over in
pieces. A row that cannot be taken becomes a Reject and the run goes on; only a file that is no catalogue at
all raises CatalogueError, when it is opened. Reasons of rejects: bad_json, not_an_object, missing_id,
duplicate_id, bad_id, bad_columns, bad_encoding, bad_xml, row_too_large, truncated_file.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from hybrid.catalogue import feeds
from hybrid.catalogue.formats import sniff
from hybrid.catalogue.gathering import Gathering
from hybrid.catalogue.offers import Table, mark_of
from hybrid.catalogue.presets import INTERFACES, PRESETS, Preset, recognised
from hybrid.catalogue.streams import MAX_ROW_BYTES, WINDOWS, Piece, Shape, StreamEnd, chunks, is_utf8, open_file, pieces
from hybrid.contracts import MAX_ID_BYTES, Product, Reject, values_at
from hybrid.errors import CatalogueError

MAX_REJECT_CHARS = 2000  # how much of a rejected row is kept
#: Rows that show which fields there are, of a file without a header, and how prices are written.
_FIRST_ROWS = 200

_Row = tuple[int, dict[str, Any], bytes]


class _TooLarge(Exception):
    """A CSV row went over the limit."""


class Catalogue:
    """A catalogue file, made by `open_catalogue`. Each iteration reads the file from its beginning.

    gathering: how the rows of the export are read, and what was left out of the last iteration.
    """

    def __init__(self, path: Path, shape: Shape, header: tuple[str, ...], preset: Preset | None, now: datetime) -> None:
        self.path, self._shape, self._header = path, shape, header
        self.format, self.compressed = shape.format, shape.compressed
        #: Whether it is not UTF-8, and is read as Windows-1252.
        self.is_western = shape.encoding == WINDOWS
        self.size_bytes = path.stat().st_size
        self._file: io.FileIO | None = None
        self._ids: set[int] = set()
        self._position = 0
        first = self._first_rows()
        columns = header or tuple(dict.fromkeys(name for row in first for name in row))
        chosen = preset or recognised(columns, PRESETS if self.format in ("csv", "tsv", "xml") else INTERFACES)
        table = Table(chosen.names(tuple(columns)), now, mark_of(chosen, first))
        self.gathering = Gathering(chosen, table)

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        self.gathering.close()

    def position(self) -> int:
        """Bytes of the file, as it lies on the disk, that `rows` has consumed."""
        if self._file is not None and not self._file.closed:
            self._position = self._file.tell()
        return self._position

    def rows(self, id_paths: Sequence[str]) -> Iterator[Product | Reject]:
        """Every row in file order. Its id is the first non-empty scalar under `id_paths`; of several rows
        with one id the first is taken. `line` is the line a row begins on, or its ordinal in a JSON array.

        Raises:
            CatalogueError: the disk fails.
        """
        self._ids.clear()
        with open_file(self.path) as self._file:
            for item in self._products(self._file):
                if isinstance(item, Reject):
                    yield item
                    continue
                line, source, data = item
                identifier = _identifier(source, id_paths, self._ids)
                if isinstance(identifier, str):
                    yield Product(identifier, source, line)
                else:
                    yield Reject(line, *identifier, row=_excerpt(data))
            self.position()

    def has(self, id: str) -> bool:
        """Whether a row that `rows` has given so far had this id."""
        return _digest(id) in self._ids

    def sample(self, n: int = 1000) -> list[dict[str, Any]]:
        """The first n rows that can be read, whatever their ids. Leaves `rows` and `position` alone.

        Raises:
            CatalogueError: the disk fails.
        """
        return list(itertools.islice(self.readable(), n))

    def readable(self) -> Iterator[dict[str, Any]]:
        """Every row that can be read, whatever its id. Leaves `rows` and `position` alone.

        Raises:
            CatalogueError: the disk fails.
        """
        with open_file(self.path) as file:
            yield from (item[1] for item in self._products(file) if not isinstance(item, Reject))

    def _products(self, file: io.FileIO) -> Iterator[_Row | Reject]:
        """The products of the file. Where it has to be read twice, the first time does not count for `position`."""
        again = iter([file])

        def records() -> Iterator[_Row | Reject]:
            if self.gathering.is_ready:
                yield from self._records(next(again))
                return
            with open_file(self.path) as first:
                yield from self._records(first)

        return self.gathering.products(records)

    def _first_rows(self) -> list[dict[str, Any]]:
        with open_file(self.path) as file:
            rows = (item[1] for item in self._records(file) if not isinstance(item, Reject))
            return list(itertools.islice(rows, _FIRST_ROWS))

    def _records(self, file: io.FileIO) -> Iterator[_Row | Reject]:
        last = 0
        try:
            shape = self._shape
            content = feeds.products(chunks(file, shape)) if shape.format == "xml" else pieces(file, shape)
            if self._header:
                records = _csv_rows(content, self._shape.delimiter, self._header)
            else:
                records = filter(None, map(_parse_json, content))
            for item in records:
                last = item.line if isinstance(item, Reject) else item[0]
                yield item
        except StreamEnd as end:
            yield Reject(last + 1, end.reason, end.message)


def open_catalogue(path: Path, preset: Preset | None = None, now: datetime | None = None) -> Catalogue:
    """Find out what the file is: format by extension, confirmed or corrected by content.

    preset: the platform whose export it is; as its columns say if None. now: when a sale price has to be in force; the
    present time if None.

    Raises:
        CatalogueError: no such file, a folder, empty, not a catalogue, a header that cannot be used, or no
            row in an encoding that can be read. The message says what to do.
    """
    shape = sniff(path)
    now = now or datetime.now(UTC)
    if shape.format == "xml":
        with open_file(path) as file, contextlib.suppress(StreamEnd):  # which becomes the last Reject
            if next(feeds.products(chunks(file, shape)), None) is None:
                raise CatalogueError(
                    f"{path} is XML or HTML without products: elements named item, entry, product or offer; "
                    "give a product feed, NDJSON or CSV"
                )
    if shape.format not in ("csv", "tsv"):
        return Catalogue(path, shape, (), preset, now)
    with open_file(path) as file:
        try:
            header = _header(path, _csv_cells(pieces(file, shape), shape.delimiter))
        except StreamEnd as end:
            raise CatalogueError(f"{path}: {end.message}; fetch or compress the file again") from end
    return Catalogue(path, shape, header, preset, now)


class RejectsFile:
    """Appends rejected rows to an NDJSON file, which is made upon the first one. counts: reason -> rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self._file: io.BufferedWriter | None = None

    def __enter__(self) -> RejectsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, reject: Reject) -> None:
        """Count and write one.

        Raises:
            CatalogueError: the file cannot be written.
        """
        self.counts[reject.reason] += 1
        record = {"line": reject.line, "reason": reject.reason, "message": reject.message,
                  "row": reject.row[:MAX_REJECT_CHARS]}  # fmt: skip
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("ab")
            self._file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
            self._file.flush()  # a run that is killed leaves what it found
        except OSError as error:
            raise CatalogueError(f"{self.path} cannot be written: {error.strerror}") from error


def _identifier(source: dict[str, Any], id_paths: Sequence[str], seen: set[int]) -> str | tuple[str, str]:
    """The id, or the reason and message of the Reject."""
    raw_id: Any = ""
    for value in itertools.chain.from_iterable(values_at(source, path) for path in id_paths):
        raw_id = value.strip() if isinstance(value, str) else value
        if raw_id != "" and not isinstance(raw_id, bool):
            break
    else:
        return "missing_id", f"no value in {' or '.join(id_paths)}"
    if isinstance(raw_id, float):
        if abs(raw_id) >= 2**53:  # the digits of a longer number are lost already
            return "bad_id", f"{raw_id} is too long for a number; write the id as a string"
        raw_id = int(raw_id) if raw_id.is_integer() else raw_id
    identifier = str(raw_id)
    length = len(identifier.encode())
    if length > MAX_ID_BYTES:
        return "bad_id", f"the id has {length} bytes; at most {MAX_ID_BYTES} are possible"
    # 60 bits keep a million ids near 90 MB, an int being 32 bytes; two ids of half a million
    # meet by chance once in ten million catalogues.
    digest = _digest(identifier)
    if digest in seen:
        return "duplicate_id", f"id {identifier[:100]} has been read already; the first row was taken"
    seen.add(digest)
    return identifier


def _digest(id: str) -> int:
    return int.from_bytes(blake2b(id.encode(), digest_size=8).digest(), "big") >> 4


def _parse_json(piece: Piece) -> _Row | Reject | None:
    if piece.cut:
        return _too_large(piece)
    try:
        row = orjson.loads(piece.data)
    except orjson.JSONDecodeError as error:
        if not piece.data.strip():
            return None
        if not is_utf8(piece.data):
            return Reject(piece.number, "bad_encoding", "the row is not UTF-8", _excerpt(piece.data))
        return Reject(piece.number, "bad_json", str(error), _excerpt(piece.data))
    if not isinstance(row, dict):
        return Reject(piece.number, "not_an_object", "the row is not a JSON object", _excerpt(piece.data))
    return piece.number, row, piece.data


def _csv_rows(content: Iterator[Piece], delimiter: str, header: tuple[str, ...]) -> Iterator[_Row | Reject]:
    records = _csv_cells(content, delimiter)
    next(records)  # the header
    for item in records:
        if isinstance(item, Reject):
            yield item
            continue
        line, cells, data = item
        if not any(cells):
            continue  # spreadsheets end in such
        if len(cells) == len(header):
            yield line, _row(header, cells), data
        else:
            why = f"the row has {len(cells)} cells, the header {len(header)}"
            yield Reject(line, "bad_columns", why, _excerpt(data))


def _row(header: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """Lists and objects written as JSON are read; all else stays as it is, so that 00123 keeps its zeros."""
    row: dict[str, Any] = {name: text for name, text in zip(header, cells, strict=True) if text}
    for name, text in row.items():
        if text[0] in "[{" and text[0] + text[-1] in ("[]", "{}"):
            with contextlib.suppress(orjson.JSONDecodeError):
                row[name] = orjson.loads(text)
    return row


class _Feed(Iterator[str]):
    """Hands lines to csv.reader, and remembers the lines of the current record, to check it and to read them again."""

    def __init__(self, content: Iterator[Piece]) -> None:
        self.content = content
        self.again: deque[Piece] = deque()
        self.begin()

    def begin(self) -> None:
        self.record: list[Piece] = []
        self.size = 0
        self.ended = False
        self.readable = True

    def __next__(self) -> str:
        piece = self.again.popleft() if self.again else next(self.content, None)
        if piece is None:
            self.ended = True
            raise StopIteration
        self.record.append(piece)
        self.size += len(piece.data) + 1
        if piece.cut or self.size > MAX_ROW_BYTES:
            raise _TooLarge
        try:
            return piece.data.decode() + "\n"
        except UnicodeDecodeError:
            self.readable = False
            return piece.data.decode("utf-8", "replace") + "\n"


def _csv_cells(content: Iterator[Piece], delimiter: str) -> Iterator[tuple[int, list[str], bytes] | Reject]:
    """The header and every record that is not blank."""
    csv.field_size_limit(MAX_ROW_BYTES)
    feed = _Feed(content)
    reader = csv.reader(feed, delimiter=delimiter)
    while True:
        feed.begin()
        fault = ""
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fault = str(error)
        except _TooLarge:
            # Skip the rest of the row: an open cell closes with the next odd quote.
            quotes = sum(piece.quotes if piece.cut else piece.data.count(b'"') for piece in feed.record)
            while quotes % 2 and (piece := next(feed.content, None)):
                quotes += piece.quotes if piece.cut else piece.data.count(b'"')
            yield _too_large(feed.record[0])
            continue
        line = feed.record[0].number
        data = b"\n".join(piece.data for piece in feed.record)
        if feed.ended:  # the file ended inside a cell: only the line with the stray quote is at fault
            feed.again.extend(feed.record[1:])
            fault = "a quote that opens on this line is never closed"
        if not feed.readable:
            yield Reject(line, "bad_encoding", "the row is not UTF-8", _excerpt(data))
        elif fault:
            yield Reject(line, "bad_columns", fault, _excerpt(data))
        elif cells:
            yield line, cells, data


def _header(path: Path, records: Iterator[tuple[int, list[str], bytes] | Reject]) -> tuple[str, ...]:
    first = next(records, None)
    if first is None or isinstance(first, Reject):
        why = first.message if first else "there is none"
        raise CatalogueError(f"{path}: the first line must name the columns: {why}")
    names = [name.strip() for name in first[1]]
    if "" in names:
        raise CatalogueError(f"{path}: column {names.index('') + 1} has no name; name it in the first line")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise CatalogueError(f"{path}: two columns are named {twice[0]}; rename one in the first line")
    return tuple(names)


def _too_large(piece: Piece) -> Reject:
    limit = MAX_ROW_BYTES // 2**20
    return Reject(piece.number, "row_too_large", f"the row is longer than {limit} MiB", _excerpt(piece.data))


def _excerpt(data: bytes) -> str:
    return data[: 4 * MAX_REJECT_CHARS].decode("utf-8", "replace")[:MAX_REJECT_CHARS]
