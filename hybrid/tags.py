"""Tags of products: examples are read, remedies compared held out, the best is published and written to documents."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hybrid.attach import AttachPlan, AttachReport, decide_profile, run_attach
from hybrid.contracts import Encoder, IndexProfile, TagsUse, values_at
from hybrid.elastic import coding, products, shop
from hybrid.encoders.tagger import PREFIX, PublishedTags
from hybrid.errors import IndexConflictError, MediaError, UsageError
from hybrid.media import open_image, resolve_media
from hybrid.runs import Report
from hybrid.tables import read_table
from hybrid.wiring import Services

if TYPE_CHECKING:
    from PIL import Image

    from hybrid.learning.tags import Examples

CATALOGUE = "catalogue"
SOURCES: dict[str, tuple[str, ...]] = {"image": ("image",), "text": ("text",), "both": ("text", "image")}
_ID_COLUMNS = ("product_id", "docid", "doc_id", "id", "product")
_AT_ONCE = 32
_LOOKED_UP = 500
#: An encoder sees this part of the short side (hybrid.encoders.image.CROP); a framed picture is seen whole.
_SEEN = 0.875

Progress = Callable[[str, int, int], None]  # (what is done, how many of it, of how many)


def _silent(what: str, done: int, of: int) -> None:
    pass


@dataclass
class Trained:
    """What training gave. results: remedy -> its held-out figures (hybrid.learning.tags.figures); drop_out: with two
    parts, the figures with and without learning from rows that lack one; validation: of photos that were not learned
    from, by the one vector that an index would hold and by several views."""

    index: str
    remedy: str
    source: str
    examples: int
    tags: dict[str, int]
    skipped: dict[str, int]
    encode_s: float
    fit_s: float
    temperature: float
    threshold: float
    results: dict[str, Any]
    encoders: dict[str, dict[str, str]]
    drop_out: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] | None = None
    data: bytes = field(repr=False, default=b"")
    version: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "data"}


def train(
    services: Services,
    index: str,
    labels: str,
    source: str = "image",
    remedy: str = "auto",
    column: str | None = None,
    media: Path | None = None,
    validate: Path | None = None,
    seed: int = 0,
    progress: Progress = _silent,
) -> Trained:
    """Learn tags. Writes nothing.

    labels: a CSV with a column `tag` and one of `image` (a photo), `text`, or `product_id` (of the index); or
    "catalogue", for products that have a value in the field `column`. source: "image", "text" or "both". remedy: one of
    hybrid.learning.tags.REMEDIES, or "auto", the best of all. validate: a CSV as `labels`, only measured.

    Raises:
        UsageError: the labels cannot be read, or are too few.
        EncoderError: a model cannot be had.
        ClusterError: the cluster does not answer.
    """
    from hybrid.learning import tags

    if source not in SOURCES:
        raise UsageError(f"no source {source!r}; known: {', '.join(SOURCES)}")
    if remedy not in (known := ("auto", *tags.REMEDIES)):
        raise UsageError(f"no remedy {remedy!r}; known: {', '.join(known)}")
    profile = services.searcher.profile(index)
    encoders = {part: _encoder(services, profile, part) for part in SOURCES[source]}
    skipped: dict[str, int] = {}
    started = time.monotonic()
    if labels == CATALOGUE:
        found = _catalogue(services, profile, encoders, column, skipped)
    else:
        found = _file(services, profile, encoders, Path(labels), media, skipped, progress)
    tags.check(found)
    encoded = time.monotonic()
    held = {}
    compared = tags.REMEDIES if remedy == "auto" else (remedy,)
    for number, name in enumerate(compared):
        held[name] = tags.validate(name, found, seed)
        progress("compare", number + 1, len(compared))
    results = {name: one.figures() for name, one in held.items()}
    chosen = tags.best(results)
    drop_out: dict[str, Any] = {}
    if len(encoders) > 1:
        without = tags.validate(chosen, found, seed, drop=False).figures()
        for name, one in (("with", results[chosen]), ("without", without)):
            drop_out[name] = {"both": one["macro_f1"], **{part: f["macro_f1"] for part, f in one["alone"].items()}}
    fitting = time.monotonic()
    model = tags.calibrated(tags.fit(chosen, found, seed), held[chosen])
    fitted = time.monotonic()
    shown = None
    if validate is not None:
        unseen = _file(services, profile, encoders, validate, media, {}, progress)
        shown = measured(model, unseen)
    names, sizes = np.unique(found.tags[found.first], return_counts=True)
    return Trained(
        index=index,
        remedy=chosen,
        source=source,
        examples=len(found.first),
        tags=dict(zip(names.tolist(), sizes.tolist(), strict=True)),
        skipped=skipped,
        encode_s=round(encoded - started, 1),
        fit_s=round(fitted - fitting, 1),
        temperature=round(model.temperature, 3),
        threshold=model.threshold,
        results=results,
        encoders={name: {"spec": one.name, "version": one.version} for name, one in encoders.items()},
        drop_out=drop_out,
        validation=shown,
        data=model.to_bytes(),
    )


def measured(model: Any, unseen: Examples) -> dict[str, Any]:
    """Figures of a model on examples that it has not seen: {"index": of the first view alone, "views": of all}."""
    from hybrid.learning import tags

    place = {name: number for number, name in enumerate(model.names)}
    first = unseen.of(unseen.first)
    truth = np.array([place.get(name, -1) for name in first.tags.tolist()])
    found = {"index": tags.figures(model.names, truth, model.probabilities(first.parts))}
    if len(unseen.items) > len(truth):
        several = tags.mean_by(model.probabilities(unseen.parts), unseen.items)
        found["views"] = tags.figures(model.names, truth, several)
    return found


def publish(services: Services, trained: Trained, name: str | None = None) -> str:
    """Keep it as a version; its name. Products have its tags once it is applied.

    Raises:
        ModelVersionError: there is one of that name.
    """
    versions = services.models("tags")
    name = name or f"{trained.index}-{trained.source}-{1 + len(versions.list(trained.index))}"
    report = {key: value for key, value in trained.to_json().items() if key not in ("encoders", "version", "index")}
    versions.add(
        trained.index, name, {"method": trained.remedy, "encoders": trained.encoders, "report": report}, trained.data
    )
    trained.version = name
    return name


def apply(services: Services, index: str, version: str, workers: int = 0, report: Report | None = None) -> AttachReport:
    """Write every product's tags by this version, from the vectors that it has, and keep them in step from now on.

    Raises:
        ModelVersionError: there is no such version.
        IndexConflictError: the index has no vectors that it can be applied to, or refuses the field.
        ClusterError, WriteBlockedError, JobError: the run ended early; the same call goes on.
    """
    found = shop.describe(services.client, index)
    if found.profile is None:
        raise IndexConflictError(f"index {index!r} has no vectors yet; run `hybrid attach {index}` first")
    encoders = published(services, version).encoders
    held = found.profile.signals
    parts = tuple(part for part, one in encoders.items() if part in held and held[part].version == one["version"])
    if not parts:
        wanted = " or ".join(f"{part} by {one['version']}" for part, one in sorted(encoders.items()))
        raise IndexConflictError(f"index {index!r} has no vectors that {version!r} can be applied to: {wanted}")
    notes: list[str] = []
    profile, sample = decide_profile(services, found, None, None, None, None, None, notes)
    profile = dataclasses.replace(profile, tags=TagsUse(version, parts))
    return run_attach(services, AttachPlan(found, profile, sample, notes, []), workers, report)


def published(services: Services, version: str) -> PublishedTags:
    """A version, for use in this process."""
    return cast(PublishedTags, services.encoder(f"{PREFIX}{version}"))


def predict(services: Services, version: str, image: Path | None, text: str | None) -> list[dict[str, Any]]:
    """[{"name", "confidence", "written"}] of a photo (by its views) or a text or both, likeliest first.

    Raises:
        UsageError: neither is given, or the version looks at neither.
        ModelVersionError, EncoderError: the model, or its encoder, cannot be had.
    """
    tagger = published(services, version)
    parts: dict[str, np.ndarray] = {}
    for part, one in tagger.encoders.items():
        if (image if part == "image" else text) is None:
            continue
        encoder = services.encoder(one["spec"])
        if encoder.version != one["version"]:
            raise IndexConflictError(f"{version!r} was trained on {one['version']}, and here is {encoder.version}")
        if part == "image" and image is not None:
            parts[part] = encoder.encode_images(views(open_image(resolve_media(image.name, image.parent.resolve()))))
        elif text is not None:
            parts[part] = encoder.encode_texts([text])
    if not parts:
        raise UsageError(
            f"{version!r} tells tags by {' and '.join(tagger.encoders)}; give --image FILE or --text WORDS"
        )
    count = max(len(rows) for rows in parts.values())
    given = {part: np.broadcast_to(rows, (count, rows.shape[1])) for part, rows in parts.items()}
    likely = tagger.model.probabilities(given).mean(axis=0)
    order = np.argsort(-likely, kind="stable")
    return [
        {
            "name": tagger.model.names[row],
            "confidence": round(float(likely[row]), 4),
            "written": bool(likely[row] >= tagger.model.threshold),
        }
        for row in order
    ]


def views(picture: Image.Image) -> list[Image.Image]:
    """Views of a photo: as the index has it, mirrored, and framed, so that an encoder that cuts sees all of it."""
    from PIL import Image, ImageOps

    side = round(max(picture.size) / _SEEN)
    rgb = picture.convert("RGB")
    frame = Image.new("RGB", (side, side), cast(tuple[int, ...], rgb.resize((1, 1)).getpixel((0, 0))))
    frame.paste(rgb, ((side - rgb.width) // 2, (side - rgb.height) // 2))
    return [picture, ImageOps.mirror(picture), frame]


def _encoder(services: Services, profile: IndexProfile, part: str) -> Encoder:
    signal = profile.signals.get(part)
    default = services.settings.text_encoder if part == "text" else services.settings.image_encoder
    return services.encoder(signal.encoder if signal else default)


# -- examples --------------------------------------------------------------------------------------------------------


def _examples(parts: Mapping[str, Sequence[np.ndarray]], names: Sequence[str], items: Sequence[int]) -> Examples:
    from hybrid.learning.tags import Examples

    made = {part: np.stack(rows).astype(np.float32) for part, rows in parts.items()}
    return Examples(made, np.array(names), np.array(items))


def _catalogue(
    services: Services,
    profile: IndexProfile,
    encoders: Mapping[str, Encoder],
    column: str | None,
    skipped: dict[str, int],
) -> Examples:
    """Products that have a value in a field (the first, where there are several), by the vectors that they have."""
    column = column or next(iter(profile.fields.roles.get("category", ())), None)
    if column is None:
        raise UsageError("name the field that holds the tags with --field")
    _require(profile, encoders)
    names: list[str] = []
    rows: dict[str, list[np.ndarray]] = {part: [] for part in encoders}
    search = {"query": {"match_all": {}}, "source": {"includes": ["hybrid.codes", column]}}
    for hits in products.pages(services.client, profile.index, search, _LOOKED_UP):
        for hit in hits:
            codes = (hit["_source"].pop("hybrid", None) or {}).get("codes") or {}
            value = next((str(value) for value in values_at(hit["_source"], column)), "")
            _take(profile, encoders, codes, value, rows, names, skipped)
    if not names:
        raise UsageError(
            f"no product of {profile.index!r} has a value in {column!r} and a vector; choose another --field"
        )
    return _examples(rows, names, range(len(names)))


def _require(profile: IndexProfile, encoders: Mapping[str, Encoder]) -> None:
    missing = [part for part in encoders if part not in profile.signals]
    if missing:
        raise UsageError(
            f"index {profile.index!r} has no {' and no '.join(missing)} vectors; choose another with --from"
        )


def _take(
    profile: IndexProfile, encoders: Mapping[str, Encoder], codes: Mapping[str, str], tag: str,
    rows: dict[str, list[np.ndarray]], names: list[str], skipped: dict[str, int],
) -> None:  # fmt: skip
    vectors = {part: coding.decode_code(codes.get(part), profile.signals[part].dims) for part in encoders}
    if not tag or all(vector is None for vector in vectors.values()):
        reason = "no_vector" if tag else "no_tag"
        skipped[reason] = skipped.get(reason, 0) + 1
        return
    names.append(tag)
    for part, vector in vectors.items():
        rows[part].append(vector if vector is not None else np.full(profile.signals[part].dims, np.nan))


def _file(
    services: Services,
    profile: IndexProfile,
    encoders: Mapping[str, Encoder],
    path: Path,
    media: Path | None,
    skipped: dict[str, int],
    progress: Progress,
) -> Examples:
    found = _rows(path)
    columns = set(found[0])
    named = next((name for name in _ID_COLUMNS if name in columns), None)
    rows: dict[str, list[np.ndarray]] = {part: [] for part in encoders}
    names: list[str] = []
    if named is not None and not columns.intersection(encoders):
        _require(profile, encoders)
        for start in range(0, len(found), _LOOKED_UP):
            part = found[start : start + _LOOKED_UP]
            held = products.codes(services.client, profile.index, sorted({row[named] for row in part}))
            for row in part:
                if row[named] in held:
                    _take(profile, encoders, held[row[named]][1], row["tag"], rows, names, skipped)
                else:
                    skipped["unknown_product"] = skipped.get("unknown_product", 0) + 1
        if not names:
            raise UsageError(f"{path.name}: none of its {len(found)} products is in {profile.index!r} with a vector")
        return _examples(rows, names, range(len(names)))
    if not columns.intersection(encoders):
        wanted = " or ".join([*encoders, "product_id"])
        raise UsageError(f"{path.name} needs a column {wanted} beside `tag`; it has {', '.join(sorted(columns))}")
    items: list[int] = []
    root = (media or path.parent).resolve()
    for start in range(0, len(found), _AT_ONCE):
        batch = found[start : start + _AT_ONCE]
        _encode(batch, start, encoders, root, rows, names, items, skipped)
        progress("examples", min(start + _AT_ONCE, len(found)), len(found))
    if not names:
        raise UsageError(
            f"{path.name}: nothing in it can be used ({', '.join(sorted(skipped))}); photos are sought in {root}"
        )
    return _examples(rows, names, items)


def _encode(
    batch: Sequence[Mapping[str, str]], start: int, encoders: Mapping[str, Encoder], root: Path,
    rows: dict[str, list[np.ndarray]], names: list[str], items: list[int], skipped: dict[str, int],
) -> None:  # fmt: skip
    seen: list[Any] = []
    said: list[str] = []
    owners: list[tuple[int, bool, bool]] = []  # of each row: its line, whether it has a picture, whether a text
    for at, row in enumerate(batch):
        shown: list[Any] = []
        if "image" in encoders and row.get("image"):
            try:
                shown = views(open_image(resolve_media(row["image"], root)))
            except MediaError as error:
                skipped[error.reason] = skipped.get(error.reason, 0) + 1
        text = row.get("text", "") if "text" in encoders else ""
        if text:
            said.append(text)
        seen += shown
        owners += [(at, bool(shown), bool(text))] * (max(1, len(shown)) if shown or text else 0)
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
