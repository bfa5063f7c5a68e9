"""Lists to rate: what several systems show, and nobody judged yet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybrid.contracts import values_at
from hybrid.errors import UsageError
from hybrid.evaluation.formats import write_whole
from hybrid.evaluation.judgments import Judgments
from hybrid.searches import Hit, SearchAnswer, SearchRequest
from hybrid.text.spreadsheets import guarded


@dataclass(frozen=True)
class Unjudged:
    """A product that systems show for a query, and that has no rating. shown: system -> its place there, from 1."""

    query: str
    product: str
    shown: Mapping[str, int]


def unjudged(
    shown: Mapping[str, Mapping[str, Sequence[str]]], ratings: Mapping[str, Mapping[str, float]]
) -> list[Unjudged]:
    """What is not judged of what systems show, most useful first. shown: system -> query -> product ids, best first.

    The first are those whose rating could move the systems apart most: the largest difference of discounts (a product
    that all show at the same place tells nothing of which is better), as in Carterette, Allan and Sitaraman, "Minimal
    test collections for retrieval evaluation" (SIGIR 2006). Of equals, the one that is shown further up.
    """
    places: dict[tuple[str, str], dict[str, int]] = {}
    for system, lists in shown.items():
        for query, ids in lists.items():
            for place, product in enumerate(ids, 1):
                if product not in ratings.get(query, ()):
                    places.setdefault((query, product), {}).setdefault(system, place)

    def use(found: Unjudged) -> tuple[float, float, str, str]:
        discounts = [_discount(found.shown.get(system)) for system in shown]
        return min(discounts) - max(discounts), -sum(discounts), found.query, found.product

    return sorted((Unjudged(query, product, at) for (query, product), at in places.items()), key=use)


def _discount(place: int | None) -> float:
    return 1 / math.log2(place + 1) if place else 0.0


def to_rate(rows: Sequence[Unjudged], judgments: Judgments, titles: Mapping[str, str]) -> str:
    """A CSV of products to rate, which `read_judgments` takes once ratings (0 to 3) are filled in; rows that are left
    empty are no judgments. titles: product id -> what people know it by."""
    photos = any(judgments.query(row.query).image for row in rows)
    out = io.StringIO(newline="")
    out.write("\ufeff")  # people rate in a spreadsheet, and Excel takes a file without it for Latin-1
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["query", *(["image"] if photos else []), "docid", "title", "rating", "shown"])
    for row in rows:
        query = judgments.query(row.query)
        cells = [guarded(query.text), *([query.image] if photos else [])]
        shown = ", ".join(f"{system} {place}" for system, place in row.shown.items())
        writer.writerow([*cells, guarded(row.product), guarded(titles.get(row.product, "")), "", guarded(shown)])
    return out.getvalue()


def title_of(hit: Hit, title_fields: Sequence[str]) -> str:
    """What people know a product by; "" where its document says nothing."""
    return " / ".join(str(value) for path in title_fields for value in values_at(hit.source, path))


def search_pool(
    search: Callable[[SearchRequest], SearchAnswer],
    index: str,
    judgments: Judgments,
    systems: Sequence[str],
    depth: int,
    title_fields: Sequence[str],
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> tuple[list[Unjudged], dict[str, str]]:
    """(what the systems show among the first `depth` of every judged query and is not judged, product id -> title).

    systems: names of systems, or of published versions of weights.
    """
    shown: dict[str, dict[str, list[str]]] = {system: {} for system in systems}
    titles: dict[str, str] = {}
    total = len(judgments.ratings) * len(systems)
    for system in systems:
        for query in judgments.ratings:
            request = judgments.request(query, index=index, size=depth, facets=())
            answer = search(request.under(system))
            shown[system][query] = [hit.id for hit in answer.hits]
            titles |= {hit.id: title_of(hit, title_fields) for hit in answer.hits}
            progress("asking", len(shown[system]) + systems.index(system) * len(judgments.ratings), total)
    return unjudged(shown, judgments.ratings), titles


def write_pool(rows: Sequence[Unjudged], judgments: Judgments, titles: Mapping[str, str], path: Path) -> list[Path]:
    """Write a list to rate, and beside it the judged photos that are no files yet; returns the written paths.

    Raises:
        UsageError: the file cannot be written.
    """
    images = {judgments.query(row.query).image for row in rows}
    try:
        photos = [write_whole(path.parent / name, data) for name, data in judgments.photos.items() if name in images]
        return [write_whole(path, to_rate(rows, judgments, titles)), *photos]
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
