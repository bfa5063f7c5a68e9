"""Training examples that users give as CSV files."""

from __future__ import annotations

import csv
from pathlib import Path

from hybrid.errors import UsageError

#: Columns that may name a product. The first of these that a file has is read.
ID_COLUMNS = ("product_id", "docid", "doc_id", "id", "product")


def read_table(path: Path, noun: str) -> tuple[list[str], list[dict[str, str]]]:
    """(columns in lower case, lines as column -> value without surrounding space, "" for none) of a UTF-8 CSV file.

    noun: what its lines are, for messages.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [name.strip().lower() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            return columns, [{name: (row.get(name) or "").strip() for name in columns} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as a CSV of {noun}: {error}") from error
