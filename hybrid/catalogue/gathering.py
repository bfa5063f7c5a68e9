"""Puts the rows of an export together: one product with its variants, however far apart the rows are.

The rows of a file are read twice. The first time, the variants go to a temporary file; the second time, each product
takes its own. So no more than one product is held, however many variants there are.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import orjson

from hybrid.catalogue.exports import Line, Row, Variant, variant_of, with_variants
from hybrid.catalogue.offers import Table
from hybrid.catalogue.presets import Preset
from hybrid.contracts import Reject
from hybrid.errors import CatalogueError

#: A row of a file: its line, its content, and its bytes.
Record = tuple[int, Row, bytes]
NOT_PUBLISHED = "not published"
TRANSLATED = "of another view of the shop"
NO_PRODUCT = "variants whose product could not be read"


class Gathering:
    """Reads the products of one file by a preset.

    Of the products that were read so far: left_out, why rows are no products for customers -> how many; variants, how
    many are in products; alone, how many have no product in the file, and are products of their own.
    """

    def __init__(self, preset: Preset, table: Table) -> None:
        self.preset, self._table = preset, table
        self.left_out: Counter[str] = Counter()
        self.variants = self.alone = 0
        self._store: _Store | None = None
        #: Keys of products without a group that are the key of a group as well: they lead it.
        self._heads: set[str] = set()

    @property
    def is_ready(self) -> bool:
        """Whether the variants are together, or there are none: the next pass is the one that gives the products."""
        return self._store is not None or not self.preset.gathers

    def products(self, records: Callable[[], Iterator[Record | Reject]]) -> Iterator[Record | Reject]:
        """Every product of the file, and what cannot be read. records: reads the file from its beginning.

        Raises:
            CatalogueError: there is no room for the temporary file.
        """
        try:
            yield from self._products(records)
        except sqlite3.Error as error:
            raise CatalogueError(
                f"the variants cannot be kept in the temporary folder ({error}); make room there, or set TMPDIR"
            ) from error

    def _products(self, records: Callable[[], Iterator[Record | Reject]]) -> Iterator[Record | Reject]:
        self.left_out.clear()
        self.variants = self.alone = 0
        if self._store is None:
            store = _Store(self.preset)
            if self.preset.gathers:
                self._fill(store, records)
            self._store = store
        store = self._store
        taken: set[str] = set()
        unread = False
        for record, line, parent in self._lines(records(), store):
            if line is None or isinstance(record, Reject):
                unread = True
                yield record
            elif line.is_translation:
                self.left_out[TRANSLATED] += 1
            elif parent:
                self.left_out.update([NOT_PUBLISHED] * line.hidden)
            else:
                taken.update(line.keys)
                variants = store.of(line.keys)
                if line.hidden or line.is_part:
                    self.left_out[NOT_PUBLISHED] += 1 + len(variants)
                    continue
                self.variants += sum(bool(variant.row) for variant in variants)
                yield record[0], with_variants(self.preset, line, variants, self._table.mark), record[2]
        for number, row, data in store.orphans(taken):
            if unread:  # perhaps the row of its product
                self.left_out[NO_PRODUCT] += 1
            else:
                self.alone += 1
                line = Line(self.preset, row, self._table)
                yield number, with_variants(self.preset, line, (), self._table.mark), data

    def close(self) -> None:
        """Throw the temporary file away."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _fill(self, store: _Store, records: Callable[[], Iterator[Record | Reject]]) -> None:
        if self.preset.children:  # a product may come after its variants
            for record in records():
                if not isinstance(record, Reject):
                    store.link(Line(self.preset, record[1], self._table))
        leaders: dict[str, int] = {}
        single: set[str] = set()
        for record, line, parent in self._lines(records(), store):
            if line is None or isinstance(record, Reject):
                continue
            if self.preset.identity:  # a row behind these may lead a group
                if not line.in_group:
                    single.update(line.keys)
                elif not parent:
                    parent = line.keys[0]
                    leaders[parent] = record[0]
            if parent and not line.hidden and not line.is_translation:
                options = {**line.options, **store.options_of(line.keys)}
                store.add(parent, Variant(variant_of(self.preset, line), options, line.pictures), record)
        self._heads = leaders.keys() & single
        for key in leaders.keys() - self._heads:
            store.drop(key, leaders[key])

    def _lines(
        self, records: Iterable[Record | Reject], store: _Store
    ) -> Iterator[tuple[Record | Reject, Line | None, str]]:
        """(row, what it says, the key of its product if it is a variant); None of what cannot be read."""
        leading: set[str] = set()
        for record in records:
            if isinstance(record, Reject):
                yield record, None, ""
                continue
            line = Line(self.preset, record[1], self._table)
            parent = line.parent or store.parent_of(line)
            if line.in_group:
                key = line.keys[0]
                parent = key if key in leading or key in self._heads or not line.titled else ""
                if not parent:
                    leading.add(key)
            yield record, line, parent


class _Store:
    """Variants by the key of their product, in a temporary database on the disk."""

    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        self._db = sqlite3.connect("", isolation_level=None)  # a file of its own, which goes with it
        self._db.execute("create table variants (parent text, number integer, content blob, row blob, data blob)")
        self._db.execute("create index by_parent on variants (parent)")
        self._db.execute("begin")  # nothing of it is to outlive this process
        self._db.execute("create table links (child text primary key, parent text, options blob)")
        self._linked = False

    def close(self) -> None:
        self._db.close()

    def add(self, parent: str, variant: Variant, record: Record) -> None:
        """Keep a variant, and its row."""
        number, row, data = record
        values = (parent, number, orjson.dumps(variant.to_json()), orjson.dumps(row), data[:10_000])
        self._db.execute("insert into variants values (?, ?, ?, ?, ?)", values)

    def drop(self, parent: str, number: int) -> None:
        """Forget the variant that the row of this number is."""
        self._db.execute("delete from variants where parent = ? and number = ?", (parent, number))

    def of(self, keys: Sequence[str]) -> list[Variant]:
        """The variants of a product, in the order of the file."""
        rows = [
            (number, content)
            for key in keys
            for number, content in self._db.execute("select number, content from variants where parent = ?", (key,))
        ]
        return [Variant.from_json(orjson.loads(content)) for _, content in sorted(rows)]

    def orphans(self, taken: set[str]) -> Iterator[Record]:
        """The rows of variants whose product is not in the file."""
        for (parent,) in self._db.execute("select distinct parent from variants order by parent").fetchall():
            if parent not in taken:
                for number, row, data in self._db.execute(
                    "select number, row, data from variants where parent = ? order by number", (parent,)
                ).fetchall():
                    yield number, orjson.loads(row), data

    def link(self, line: Line) -> None:
        """Remember the variants that a product names."""
        for child, parent, options in line.children():
            self._linked = True
            values = (child, parent, orjson.dumps(options))
            self._db.execute("insert or ignore into links values (?, ?, ?)", values)

    def parent_of(self, line: Line) -> str:
        """The product that names a row as its variant; "" if none does."""
        return next((parent for parent, _ in self._links(line.keys)), "") if self._linked else ""

    def options_of(self, keys: Sequence[str]) -> dict[str, list[str]]:
        """What a product says that its variant of one of these keys comes in."""
        return next((orjson.loads(options) for _, options in self._links(keys)), {})

    def _links(self, keys: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        for key in keys if self._linked else ():
            yield from self._db.execute("select parent, options from links where child = ?", (key,)).fetchall()
