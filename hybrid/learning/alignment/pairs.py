"""Pairs to learn an alignment from: photos and the products that they show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hybrid import vectors as coding
from hybrid.catalogue import documents
from hybrid.contracts import Encoder, IndexProfile
from hybrid.elastic.indices.products import Products
from hybrid.elastic.retrieval.candidates import Retrieval
from hybrid.encoders.trained.alignment import middle
from hybrid.errors import MediaError, UsageError
from hybrid.learning.tables import ID_COLUMNS, read_table
from hybrid.learning.trained import Progress

_AT_ONCE = 64
_LOOKED_UP = 500


@dataclass
class Pairs:
    """Training examples of an alignment. Row i of `photos` is a view of a photo of product `groups[i]`.

    photos: unit vectors. groups: rows of `texts`. photo: the number of the photo that a row is a view of. texts: unit
    vectors. pictures: of the catalogue's own pictures, NaN for none. names: the ids of the products. keys: of each
    photo a key that is the same in another training, in the order of their numbers. skipped: photos that could not be
    used, by typed reason.
    """

    photos: np.ndarray  # (n, d1)
    groups: np.ndarray  # (n,)
    photo: np.ndarray  # (n,)
    texts: np.ndarray  # (products, d2)
    pictures: np.ndarray  # (products, d1)
    names: Sequence[str] = ()
    keys: Sequence[str] = ()
    skipped: dict[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Photos, not their views."""
        return len(np.unique(self.photo))


def _file_pairs(
    products: Products,
    retrieval: Retrieval,
    profile: IndexProfile,
    encoders: Mapping[str, Encoder],
    path: Path,
    media: Path | None,
    progress: Progress,
) -> Pairs:
    rows = read_pairs(path)
    texts: dict[str, str] = {}
    for product, source in sources(retrieval, profile, sorted({product for _, product in rows})).items():
        text = documents.text_input(source, profile.fields, encoders["text"])
        if text:
            texts[product] = text
    usable = [(image, product) for image, product in rows if product in texts]
    skipped = {"unknown_product": len(rows) - len(usable)} if len(usable) < len(rows) else {}
    if not usable:
        raise UsageError(f"{path.name}: none of its {len(rows)} products is in index {profile.index!r}, with a text")
    names = sorted({product for _, product in usable})
    place = {product: number for number, product in enumerate(names)}
    vectors: list[np.ndarray] = []
    groups: list[int] = []
    photo: list[int] = []
    root = (media or path.parent).resolve()
    for start in range(0, len(usable), _AT_ONCE):
        views = _views(usable[start : start + _AT_ONCE], root, skipped)
        if views:
            encoded = encoders["image"].encode_images([view for view, _ in views])
            vectors.append(encoded)
            groups += [place[usable[start + at][1]] for _, at in views]
            photo += [start + at for _, at in views]
        progress("photos", min(start + _AT_ONCE, len(usable)), len(usable))
    if not vectors:
        raise UsageError(f"{path.name}: no photo can be used ({', '.join(sorted(skipped))}); they are sought in {root}")
    return Pairs(
        photos=np.concatenate(vectors),
        groups=np.asarray(groups),
        photo=np.asarray(photo),
        texts=encoders["text"].encode_texts([texts[name] for name in names]),
        pictures=_pictures(products, profile, encoders["image"], names),
        names=names,
        keys=[photo_key(*usable[at]) for at in sorted(set(photo))],
        skipped=skipped,
    )


def photo_key(image: str, product: str) -> str:
    """The key of a photo of a product, the same in another training."""
    return f"{image}|{product}"


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """(photo, product id) of each line."""
    columns, lines = read_table(path, "pairs")
    named = next((name for name in ID_COLUMNS if name in columns), None)
    if "image" not in columns or named is None:
        raise UsageError(
            f"{path.name} needs a column `image` and one of {', '.join(ID_COLUMNS)}; it has "
            f"{', '.join(columns) or 'none'}"
        )
    rows = [(row["image"], row[named]) for row in lines if row["image"] and row[named]]
    if not rows:
        raise UsageError(f"{path.name} has no pair of a photo and a product")
    return rows


def _views(rows: Sequence[tuple[str, str]], root: Path, skipped: dict[str, int]) -> list[tuple[Any, int]]:
    """(picture, its row) of three views of every photo: whole, mirrored, its middle. More views help few photos."""
    from PIL import ImageOps

    from hybrid.media import open_image, resolve_media

    views: list[tuple[Any, int]] = []
    for at, (image, _) in enumerate(rows):
        try:
            picture = open_image(resolve_media(image, root))
        except MediaError as error:
            skipped[error.reason] = skipped.get(error.reason, 0) + 1
            continue
        views += [(picture, at), (ImageOps.mirror(picture), at), (middle(picture), at)]
    return views


def _catalogue_pairs(
    products: Products, profile: IndexProfile, encoders: Mapping[str, Encoder], progress: Progress
) -> Pairs:
    """The products' own pictures and texts, from the vectors in the index: nothing is encoded."""
    missing = [name for name in ("text", "image") if name not in profile.signals]
    if missing:
        raise UsageError(f"index {profile.index!r} has no {' and no '.join(missing)} vectors; name a file with --pairs")
    texts, pictures, ids = [], [], []
    for id, codes in _coded(products, profile):
        one = _decoded(profile, codes, "text"), _decoded(profile, codes, "image")
        if one[0] is not None and one[1] is not None:
            texts.append(one[0])
            pictures.append(one[1])
            ids.append(id)
            if len(texts) % _LOOKED_UP == 0:
                progress("products", len(texts), len(texts))
    if not texts:
        raise UsageError(f"no product of {profile.index!r} has both a text and a picture; name a file with --pairs")
    photos = np.stack(pictures)
    rows = np.arange(len(texts))
    return Pairs(photos, rows, rows, np.stack(texts), photos, ids, ids)


def _coded(products: Products, profile: IndexProfile) -> Iterator[tuple[str, dict[str, str]]]:
    """(id, the codes of its vectors by signal) of every product."""
    for hits in products.pages(
        profile.index,
        {"query": {"match_all": {}}, "source": {"includes": ["hybrid.codes"]}},
        _LOOKED_UP,
    ):
        for hit in hits:
            yield hit["_id"], (hit["_source"].get("hybrid") or {}).get("codes") or {}


def _decoded(profile: IndexProfile, codes: Mapping[str, coding.Code], name: str) -> np.ndarray | None:
    signal = profile.signals.get(name)
    return coding.decode_code(codes.get(name), signal.dims) if signal is not None else None


def sources(retrieval: Retrieval, profile: IndexProfile, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    by_id: dict[str, dict[str, Any]] = {}
    for start in range(0, len(ids), _LOOKED_UP):
        by_id |= retrieval.sources(profile, ids[start : start + _LOOKED_UP])
    return by_id


def _pictures(products: Products, profile: IndexProfile, encoder: Encoder, ids: Sequence[str]) -> np.ndarray:
    """(len(ids), dims) of the catalogue's pictures, as far as the index has them by the same encoder."""
    vectors = np.full((len(ids), encoder.dims), np.nan, dtype=np.float32)
    signal = profile.signals.get("image")
    if signal is None or signal.version != encoder.version:
        return vectors
    for start in range(0, len(ids), _LOOKED_UP):
        part = ids[start : start + _LOOKED_UP]
        stored = products.codes(profile.index, part)
        for at, id in enumerate(part, start):
            vector = _decoded(profile, stored[id].by_signal, "image")
            if vector is not None:
                vectors[at] = vector
    return vectors
