"""Sounds with a tag, from a file or from an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hybrid.catalogue import documents
from hybrid.contracts import IndexProfile, values_at
from hybrid.elastic.indices.products import Products
from hybrid.errors import MediaError, UsageError
from hybrid.learning.tables import read_table
from hybrid.media import is_url, read_media
from hybrid.services import Services
from hybrid.settings import Settings

_LOOKED_UP = 500
#: Seconds of a sound that are read, as in indexing.
_LISTENED = 30


def _file(path: Path) -> list[tuple[str, str]]:
    """(file, tag) of each line."""
    columns, lines = read_table(path, "sounds")
    if missing := {"audio", "tag"} - set(columns):
        raise UsageError(f"{path.name} needs columns audio and tag; it lacks {' and '.join(sorted(missing))}")
    rows = [(row["audio"], row["tag"]) for row in lines if row["audio"] and row["tag"]]
    if not rows:
        raise UsageError(f"{path.name} has no sound with a tag")
    return rows


def _catalogue(
    products: Products, profile: IndexProfile, column: str | None, skipped: Counter[str]
) -> list[tuple[str, str]]:
    """(file, tag) of each product that has both. A sound without a tag counts as skipped, a product without a sound
    does not."""
    if not profile.fields.roles.get("audio"):
        raise UsageError(f"no field of {profile.index!r} holds sounds; index it with --map audio=FIELD, or use --pairs")
    paths = (column,) if column else profile.fields.roles.get("category", ())
    if not paths:
        raise UsageError(f"no field of {profile.index!r} is its category; name the field of the tags with --field")
    rows = []
    for source in _sources(products, profile):
        values = documents.media_values(source, profile.fields, "audio")
        tag = next((str(value).strip() for path in paths for value in values_at(source, path)), "")
        if values and tag:
            rows.append((values[0], tag))
        elif values:
            skipped["no_tag"] += 1
    if not rows:
        raise UsageError(f"no product of {profile.index!r} has a sound and a value in {' or '.join(paths)}")
    return rows


def _sources(products: Products, profile: IndexProfile) -> Iterator[dict[str, Any]]:
    body = {"query": {"match_all": {}}, "source": {"excludes": ["hybrid"]}}
    for hits in products.pages(profile.index, body, _LOOKED_UP):
        for hit in hits:
            yield hit["_source"]


def _root(settings: Settings, profile: IndexProfile) -> Path | None:
    return settings.media_root or (Path(profile.media_root) if profile.media_root else None)


def _bytes(services: Services, value: str, root: Path | None) -> bytes:
    if not is_url(value):
        return read_media(value, root, "audio")
    data = services.fetcher.fetch(value.strip()).data
    if data is None:
        raise MediaError(f"{value[:200]} answered with nothing", "audio_unreadable")
    return data
