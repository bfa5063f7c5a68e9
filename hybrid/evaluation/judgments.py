"""Judgments: which products answer a query, and how well. They are read and written in the formats of search teams.

A rating is a grade: gain is 2^rating - 1, and a product is relevant from 1 up. Files rate on other scales too. Where
a rating is above 10, the ratings are taken for gains (OpenSearch's 0, 1, 10, 100) and become log2(1 + rating), so that
the gain is the rating. Fractions of 1, which click models give, become fractions of 3. Files are written with the
ratings that were read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hybrid.errors import JudgmentsError, UsageError
from hybrid.searches import SearchRequest

#: The prefix of the name of a list in the cluster, where the name of a file of judgments is possible as well.
LIST = "list:"
_LIST_NAME = re.compile(r"\w[\w .-]{0,63}")
_NAMED = 5  # ids that a message names


@dataclass(frozen=True)
class JudgedQuery:
    """Words, a photo (its path under the judgments' folder), or both."""

    text: str = ""
    image: str = ""

    @property
    def name(self) -> str:
        return " + ".join(part for part in (self.text, self.image) if part)


@dataclass(frozen=True)
class Judgments:
    """ratings: name of the query -> product id -> grade. queries: by name, where a query is not the words of its name.

    folder: where judged photos are; None where they are no files. photos: name in the query -> content, of the photos
    that are in memory. original: the ratings of the file, where its scale is another. notes: how the scale was changed,
    and which products the index does not have.
    """

    ratings: Mapping[str, Mapping[str, float]]
    folder: Path | None = None
    queries: Mapping[str, JudgedQuery] = field(default_factory=dict)
    format: str = "quepid"
    original: Mapping[str, Mapping[str, float]] | None = None
    notes: tuple[str, ...] = ()
    photos: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def relevant(self) -> dict[str, Mapping[str, float]]:
        """The ratings of the queries that have a relevant product."""
        return {name: rated for name, rated in self.ratings.items() if any(value >= 1 for value in rated.values())}

    @property
    def products(self) -> list[str]:
        """The ids of all judged products, each once, sorted."""
        return sorted({id for rated in self.ratings.values() for id in rated})

    def of_index(self, index: str, absent: Sequence[str]) -> Judgments:
        """The same with a note on the products that are not in the index. absent: their ids.

        Raises:
            JudgmentsError: that is all of them.
        """
        if not absent:
            return self
        judged = len(self.products)
        some = ", ".join(absent[:_NAMED]) + (", …" if len(absent) > _NAMED else "")
        if len(absent) >= judged:
            raise JudgmentsError(
                f"none of the {judged:,} judged products is in index {index!r} ({some}); check the ids and the index"
            )
        note = f"{len(absent):,} of {judged:,} judged products are not in index {index!r} and cannot be found ({some})"
        return replace(self, notes=(*self.notes, note))

    def query(self, name: str) -> JudgedQuery:
        return self.queries.get(name) or JudgedQuery(name)

    def request(self, name: str, **options: Any) -> SearchRequest:
        """The search that a judged query stands for.

        Raises:
            UsageError: the photo is not there.
        """
        query = self.query(name)
        return SearchRequest(q=query.text, image=self.photo(query.image) if query.image else None, **options)

    def photo(self, image: str) -> bytes:
        """A judged photo.

        Raises:
            UsageError: it is not there.
        """
        if image in self.photos:
            return self.photos[image]
        if self.folder is None:
            raise UsageError(f"judged photo {image!r} is not stored; delete its judgments, or judge by it anew")
        path = self.folder / image
        if not path.is_file():
            raise UsageError(f"judged photo {image!r} is not in {self.folder}")
        return path.read_bytes()


def checked_list(name: str) -> str:
    """The name of a list in the cluster.

    Raises:
        UsageError: no list may have that name.
    """
    if not _LIST_NAME.fullmatch(name):
        raise UsageError("list: a name of up to 64 letters, digits, spaces, dots, - and _ is wanted")
    return name
