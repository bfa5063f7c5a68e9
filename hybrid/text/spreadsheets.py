"""Cells of CSV files that people open in a spreadsheet, which takes some texts for formulas."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def guarded(cell: str) -> str:
    """A cell that a spreadsheet shows and does not run: an apostrophe before what could be a formula.

    >>> guarded("=1+1"), guarded("desk lamp"), guarded("-5")
    ("'=1+1", 'desk lamp', '-5')
    """
    return f"'{cell}" if cell.startswith(_FORMULA) and not _is_number(cell) else cell


def unguarded(cell: str) -> str:
    """The text of a cell that `guarded` wrote.

    >>> unguarded("'=1+1"), unguarded("'tis")
    ('=1+1', "'tis")
    """
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
