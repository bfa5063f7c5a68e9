"""The sample catalogue: products with pictures, texts in English and Chinese, and judged queries.

Everything is made by code in this package, the same in every run; nothing is downloaded.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: Part of the stamp. Raise it whenever the generator would write anything else than before.
VERSION = "3"
QUALITY = 88


@dataclass(frozen=True, slots=True)
class SamplePaths:
    """Where the parts of a written sample are.

    products: one JSON object a line; `image` in it is relative to the folder.
    judgments: query,docid,rating. photo_queries: image,docid,rating, image relative to the folder. all_queries:
    query,image,docid,rating, both of these and photographs with a word beside them.
    """

    products: Path
    images: Path
    judgments: Path
    photo_queries: Path
    all_queries: Path


def sample_paths(folder: Path) -> SamplePaths:
    """Where the parts of a sample in the folder are, written or not."""
    return SamplePaths(
        products=folder / "products.ndjson",
        images=folder / "images",
        judgments=folder / "judgments.csv",
        photo_queries=folder / "photo_queries.csv",
        all_queries=folder / "all_queries.csv",
    )


def write_sample(folder: Path) -> SamplePaths:
    """Writes the sample into the folder, unless this version of it is there already.

    The stamp is removed first and written last: a run that was cut short is done again.
    """
    paths = sample_paths(folder)
    stamp = folder / ".sample-version"
    if stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == VERSION:
        return paths
    stamp.unlink(missing_ok=True)
    paths.images.mkdir(parents=True, exist_ok=True)
    (folder / "queries").mkdir(exist_ok=True)

    from hybrid.sample.pictures import draw, photograph
    from hybrid.sample.products import products
    from hybrid.sample.queries import judge, photo_and_word_queries, photo_queries, text_queries

    for product in products():
        look = product.source
        picture, _ = draw(look["category"], look["color"], look["pattern"], product.style, product.id)
        picture.save(folder / look["image"], quality=QUALITY)
    for query in photo_queries():
        photo = photograph(query.category, query.color, query.pattern, query.style, query.image)
        photo.save(folder / query.image, quality=QUALITY)

    lines = (json.dumps(product.source, ensure_ascii=False) + "\n" for product in products())
    _write(paths.products, lines)
    _write_csv(
        paths.judgments,
        ("query", "docid", "rating"),
        ((query.text, product.id, rating) for query in text_queries() for product, rating in judge(query.tiers)),
    )
    _write_csv(
        paths.photo_queries,
        ("image", "docid", "rating"),
        ((query.image, product.id, rating) for query in photo_queries() for product, rating in judge(query.tiers)),
    )
    everything = [(query.text, "", query.tiers) for query in text_queries()]
    everything += [("", query.image, query.tiers) for query in photo_queries()]
    everything += [(words, photo.image, tiers) for words, photo, tiers in photo_and_word_queries()]
    _write_csv(
        paths.all_queries,
        ("query", "image", "docid", "rating"),
        ((words, image, product.id, rating) for words, image, tiers in everything for product, rating in judge(tiers)),
    )
    _write(stamp, [VERSION + "\n"])
    return paths


def _write(path: Path, lines: Iterable[str]) -> None:
    """In one piece: a reader sees the old file or the new one, never half of it."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(lines)
    os.replace(part, path)


def _write_csv(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str | int, ...]]) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    os.replace(part, path)
