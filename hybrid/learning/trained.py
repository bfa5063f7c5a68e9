"""What the training of every kind of model shares."""

from __future__ import annotations

from collections.abc import Callable

CATALOGUE = "catalogue"
_ID_COLUMNS = ("product_id", "docid", "doc_id", "id", "product")
Progress = Callable[[str, int, int], None]  # (what is done, how many of it, of how many)


def silent(what: str, done: int, of: int) -> None:
    pass
