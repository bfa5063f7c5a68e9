"""Training examples of tags: products of an index, or the lines of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid import vectors as coding
from hybrid.contracts import Encoder, IndexProfile, values_at
from hybrid.elastic.indices.products import NO_CODES, Products
from hybrid.encoders.pixels import RESIZED, SIDE, on_square
from hybrid.errors import MediaError, UsageError
from hybrid.learning.tables import ID_COLUMNS, read_table
from hybrid.learning.trained import Progress
from hybrid.media import open_image, resolve_media
from hybrid.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

    from hybrid.learning.tags.fit import Examples
    from hybrid.learning.tags.pictures import Photos

_AT_ONCE = 32
_LOOKED_UP = 500


def views(picture: Image.Image) -> list[Image.Image]:
    """Views of a photo: as the index encodes it, mirrored, and in a frame, so that an encoder that crops sees all."""
    from PIL import ImageOps

    # An encoder crops to SIDE / RESIZED of the short side.
    whole = on_square(picture, round(max(picture.size) / (SIDE / RESIZED)))
    return [picture, ImageOps.mirror(picture), whole]


def _examples(
    parts: Mapping[str, Sequence[np.ndarray]], names: Sequence[str], items: Sequence[int], keys: Sequence[str]
) -> Examples:
    from hybrid.learning.tags.fit import Examples

    vectors = {part: np.stack(rows).astype(np.float32) for part, rows in parts.items()}
    return Examples(vectors, np.array(names), np.array(items), np.array(keys))


def from_catalogue(
    products: Products,
    profile: IndexProfile,
    encoders: Mapping[str, Encoder],
    column: str | None,
    skipped: dict[str, int],
) -> Examples:
    """Products that have a value in a field, as examples with their stored vectors. Of several values, the first."""
    column = column or next(iter(profile.fields.roles.get("category", ())), None)
    if column is None:
        raise UsageError("name the field that holds the tags with --field")
    _require(profile, encoders)
    names: list[str] = []
    keys: list[str] = []
    rows: dict[str, list[np.ndarray]] = {part: [] for part in encoders}
    search = {"query": {"match_all": {}}, "source": {"includes": ["hybrid.codes", column]}}
    for hits in products.pages(profile.index, search, _LOOKED_UP):
        for hit in hits:
            codes = (hit["_source"].pop("hybrid", None) or {}).get("codes") or {}
            value = next((str(value) for value in values_at(hit["_source"], column)), "")
            if _take(profile, encoders, codes, value, rows, names, skipped):
                keys.append(hit["_id"])
    if not names:
        raise UsageError(
            f"no product of {profile.index!r} has a value in {column!r} and a vector; choose another --field"
        )
    return _examples(rows, names, range(len(names)), keys)


def _require(profile: IndexProfile, encoders: Mapping[str, Encoder]) -> None:
    missing = [part for part in encoders if part not in profile.signals]
    if missing:
        raise UsageError(
            f"index {profile.index!r} has no {' and no '.join(missing)} vectors; choose another with --from"
        )


def _take(
    profile: IndexProfile, encoders: Mapping[str, Encoder], codes: Mapping[str, coding.Code], tag: str,
    rows: dict[str, list[np.ndarray]], names: list[str], skipped: dict[str, int],
) -> bool:  # fmt: skip
    """Add a product to the rows and names, if it has a tag and a vector; whether it has."""
    vectors = {part: coding.decode_code(codes.get(part), profile.signals[part].dims) for part in encoders}
    if not tag or all(vector is None for vector in vectors.values()):
        reason = "no_vector" if tag else "no_tag"
        skipped[reason] = skipped.get(reason, 0) + 1
        return False
    names.append(tag)
    for part, vector in vectors.items():
        rows[part].append(vector if vector is not None else np.full(profile.signals[part].dims, np.nan))
    return True


def from_file(
    products: Products,
    profile: IndexProfile,
    encoders: Mapping[str, Encoder],
    path: Path,
    media: Path | None,
    skipped: dict[str, int],
    progress: Progress,
) -> Examples:
    lines = _rows(path)
    columns = set(lines[0])
    named = next((name for name in ID_COLUMNS if name in columns), None)
    rows: dict[str, list[np.ndarray]] = {part: [] for part in encoders}
    names: list[str] = []
    keys: list[str] = []
    if named is not None and not columns.intersection(encoders):
        _require(profile, encoders)
        for start in range(0, len(lines), _LOOKED_UP):
            part = lines[start : start + _LOOKED_UP]
            stored = products.codes(profile.index, sorted({row[named] for row in part}))
            for row in part:
                if stored[row[named]] is NO_CODES:
                    skipped["unknown_product"] = skipped.get("unknown_product", 0) + 1
                elif _take(profile, encoders, stored[row[named]].by_signal, row["tag"], rows, names, skipped):
                    keys.append(row[named])
        if not names:
            raise UsageError(f"{path.name}: none of its {len(lines)} products is in {profile.index!r} with a vector")
        return _examples(rows, names, range(len(names)), keys)
    if not columns.intersection(encoders):
        required = " or ".join([*encoders, "product_id"])
        raise UsageError(f"{path.name} needs a column {required} beside `tag`; it has {', '.join(sorted(columns))}")
    items: list[int] = []
    root = (media or path.parent).resolve()
    for start in range(0, len(lines), _AT_ONCE):
        batch = lines[start : start + _AT_ONCE]
        _encode(batch, start, encoders, root, rows, names, items, skipped)
        progress("examples", min(start + _AT_ONCE, len(lines)), len(lines))
    if not names:
        raise UsageError(
            f"{path.name}: nothing in it can be used ({', '.join(sorted(skipped))}); photos are sought in {root}"
        )
    return _examples(rows, names, items, [_key(lines[item]) for item in items])


def _key(row: Mapping[str, str]) -> str:
    """The key of a line of a file, the same in another training."""
    said = "\n".join(row.get(part, "") for part in ("image", "text"))
    return hashlib.blake2b(said.encode(), digest_size=8).hexdigest()


def photos(
    settings: Settings, path: Path, media: Path | None, seed: int, progress: Progress, learn: bool = True
) -> Photos:
    """The photos of a file of labels, prepared for the network. Photos that cannot be opened are left out."""
    from hybrid.learning.tags import pictures as picture_tags

    lines = [row for row in _rows(path) if row.get("image")]
    root = (media or path.parent).resolve()

    def opened(name: str) -> Image.Image | None:
        try:
            return open_image(resolve_media(name, root))
        except MediaError:  # `_encode` counted it
            return None

    pictures = (opened(row["image"]) for row in lines)
    tags, keys = [row["tag"] for row in lines], [_key(row) for row in lines]
    return picture_tags.look(pictures, tags, keys, settings, seed, progress, learn)


def _encode(
    batch: Sequence[Mapping[str, str]], start: int, encoders: Mapping[str, Encoder], root: Path,
    rows: dict[str, list[np.ndarray]], names: list[str], items: list[int], skipped: dict[str, int],
) -> None:  # fmt: skip
    seen: list[Any] = []
    said: list[str] = []
    owners: list[tuple[int, bool, bool]] = []  # of each row: its line, whether it has a picture, whether a text
    for at, row in enumerate(batch):
        photo_views: list[Any] = []
        if "image" in encoders and row.get("image"):
            try:
                photo_views = views(open_image(resolve_media(row["image"], root)))
            except MediaError as error:
                skipped[error.reason] = skipped.get(error.reason, 0) + 1
        text = row.get("text", "") if "text" in encoders else ""
        if text:
            said.append(text)
        seen += photo_views
        owners += [(at, bool(photo_views), bool(text))] * (max(1, len(photo_views)) if photo_views or text else 0)
    pictures = iter(encoders["image"].encode_images(seen)) if seen else iter(())
    texts = iter(encoders["text"].encode_texts(said)) if said else iter(())
    last, text_vector = -1, None
    for at, has_picture, has_text in owners:
        if at != last:
            last, text_vector = at, next(texts) if has_text else None
        names.append(batch[at]["tag"])
        items.append(start + at)
        if "image" in rows:
            rows["image"].append(next(pictures) if has_picture else np.full(encoders["image"].dims, np.nan))
        if "text" in rows:
            rows["text"].append(text_vector if text_vector is not None else np.full(encoders["text"].dims, np.nan))


def _rows(path: Path) -> list[dict[str, str]]:
    """Lines that have a tag, by lower-case column."""
    columns, rows = read_table(path, "labels")
    if "tag" not in columns:
        raise UsageError(f"{path.name} needs a column `tag`; it has {', '.join(columns) or 'none'}")
    rows = [row for row in rows if row["tag"]]
    if not rows:
        raise UsageError(f"{path.name} has no line with a tag")
    return rows
