"""Tags of products: examples are read, remedies compared held out, the best is published and written to documents."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hybrid.contracts import Encoder, IndexProfile, TagsUse
from hybrid.elastic.indices import shop
from hybrid.encoders.trained.picture_tags import PictureTags
from hybrid.encoders.trained.tags import FINE_TUNED, PREFIX, PublishedTags
from hybrid.errors import IndexConflictError, UsageError
from hybrid.learning.tags.examples import Progress, from_catalogue, from_file, photos, views
from hybrid.media import open_image, resolve_media
from hybrid.operations.attach import AttachPlan, AttachReport, run_attach
from hybrid.operations.planning import decide_profile
from hybrid.operations.runs import Report
from hybrid.services import Services

if TYPE_CHECKING:
    from PIL import Image

    from hybrid.encoders.trained.tags import TagModel
    from hybrid.learning.tags.fit import Examples

CATALOGUE = "catalogue"
SOURCES: dict[str, tuple[str, ...]] = {"image": ("image",), "text": ("text",), "both": ("text", "image")}


def _silent(what: str, done: int, of: int) -> None:
    pass


@dataclass
class Trained:
    """What training gave. results: remedy -> its held-out figures (fit.figures); drop_out: with two
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
    fine_tune: bool = False,
) -> Trained:
    """Learn tags. Writes nothing.

    labels: a CSV with a column `tag` and one of `image` (a photo), `text`, or `product_id` (of the index); or
    "catalogue", for products that have a value in the field `column`. source: "image", "text" or "both". remedy: one of
    fit.REMEDIES, or "auto", the best of all. validate: a CSV as `labels`, only measured. fine_tune:
    also let the last blocks of the image encoder learn from the photos, minutes for a thousand of them, and keep that
    where it is the best.

    Raises:
        UsageError: the labels cannot be read, or are too few.
        EncoderError: a model cannot be had.
        ClusterError: the cluster does not answer.
    """
    from hybrid.learning.tags import calibration, fit, pictures

    if source not in SOURCES:
        raise UsageError(f"no source {source!r}; known: {', '.join(SOURCES)}")
    if remedy not in (known := ("auto", *fit.REMEDIES)):
        raise UsageError(f"no remedy {remedy!r}; known: {', '.join(known)}")
    if fine_tune and (source != "image" or labels == CATALOGUE):
        raise UsageError("--fine-tune learns from photos: give --labels FILE with columns image and tag, --from image")
    profile = services.searcher.profile(index)
    encoders = {part: _encoder(services, profile, part) for part in SOURCES[source]}
    skipped: dict[str, int] = {}
    started = time.monotonic()
    if labels == CATALOGUE:
        found = from_catalogue(services, profile, encoders, column, skipped)
    else:
        found = from_file(services, profile, encoders, Path(labels), media, skipped, progress)
    fit.check(found)
    encoded = time.monotonic()
    held = {}
    compared = fit.REMEDIES if remedy == "auto" else (remedy,)
    for number, name in enumerate(compared):
        held[name] = fit.validate(name, found, seed)
        progress("compare", number + 1, len(compared))
    looked = None
    if fine_tune:
        looked = photos(services, Path(labels), media, seed, progress)
        held[FINE_TUNED] = pictures.validate(looked, seed, progress)
    results = {name: one.figures() for name, one in held.items()}
    chosen = calibration.best(results)
    drop_out: dict[str, Any] = {}
    if len(encoders) > 1:
        without = fit.validate(chosen, found, seed, drop=False).figures()
        for name, one in (("with", results[chosen]), ("without", without)):
            drop_out[name] = {"both": one["macro_f1"], **{part: f["macro_f1"] for part, f in one["alone"].items()}}
    fitting = time.monotonic()
    shown = None
    model: TagModel | PictureTags
    if chosen == FINE_TUNED and looked is not None:
        model = fit.calibrated(
            pictures.fit(looked, seed, lambda step, of: progress(FINE_TUNED, step, of)), held[chosen]
        )
        fitted = time.monotonic()
        if validate is not None:
            asked = photos(services, validate, media, seed, progress, learn=False)
            shown = pictures.measured(model, asked)
    else:
        model = fit.calibrated(fit.fit(chosen, found, seed), held[chosen])
        fitted = time.monotonic()
        if validate is not None:
            shown = measured(model, from_file(services, profile, encoders, validate, media, {}, progress))
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
        temperature=round(model.calibration.temperature, 3),
        threshold=model.calibration.threshold,
        results=results,
        encoders={name: {"spec": one.name, "version": one.version} for name, one in encoders.items()},
        drop_out=drop_out,
        validation=shown,
        data=model.to_bytes(),
    )


def measured(model: TagModel, unseen: Examples) -> dict[str, Any]:
    """Figures of a model on examples that it has not seen: {"index": of the first view alone, "views": of all}."""
    from hybrid.learning.tags.calibration import figures
    from hybrid.learning.tags.fit import mean_by

    place = {name: number for number, name in enumerate(model.names)}
    first = unseen.of(unseen.first)
    truth = np.array([place.get(name, -1) for name in first.tags.tolist()])
    found = {"index": figures(model.names, truth, model.probabilities(first.parts))}
    if len(unseen.items) > len(truth):
        several = mean_by(model.probabilities(unseen.parts), unseen.items)
        found["views"] = figures(model.names, truth, several)
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
    tagger = published(services, version)
    encoders = tagger.encoders
    held = found.profile.signals
    parts = tuple(
        part
        for part, one in encoders.items()
        if part in held and (tagger.looks or held[part].version == one["version"])
    )
    if not parts:
        wanted = " or ".join(f"{part} by {one['version']}" for part, one in sorted(encoders.items()))
        raise IndexConflictError(f"index {index!r} has no vectors that {version!r} can be applied to: {wanted}")
    return _use(services, found, TagsUse(version, parts, tagger.looks), workers, report)


def remove(services: Services, index: str, workers: int = 0, report: Report | None = None) -> AttachReport:
    """Take the tags off an index's products, and make no more. The version stays.

    Raises:
        IndexConflictError: the index is not ours, nor attached.
        ClusterError, WriteBlockedError, JobError: the run ended early; the same call goes on.
    """
    found = shop.describe(services.client, index)
    if found.profile is None:
        raise IndexConflictError(f"index {index!r} has no vectors yet, and no tags of ours")
    return _use(services, found, None, workers, report)


def _use(
    services: Services, found: shop.ShopIndex, use: TagsUse | None, workers: int, report: Report | None
) -> AttachReport:
    notes: list[str] = []
    profile, sample = decide_profile(services, found, None, None, None, None, None, notes)
    profile = dataclasses.replace(profile, tags=use)
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
    model = tagger.model
    picture = open_image(resolve_media(image.name, image.parent.resolve())) if image is not None else None
    if isinstance(model, PictureTags):
        if picture is None:
            raise UsageError(f"{version!r} tells tags by image; give --image FILE")
        likely = tagger.likely([picture])[0]
    else:
        likely = _by_vectors(services, version, model, tagger.encoders, picture, text)
    order = np.argsort(-likely, kind="stable")
    return [
        {
            "name": model.names[row],
            "confidence": round(float(likely[row]), 4),
            "written": bool(likely[row] >= model.calibration.threshold),
        }
        for row in order
    ]


def _by_vectors(
    services: Services, version: str, model: TagModel, encoders: Mapping[str, Mapping[str, str]],
    picture: Image.Image | None, text: str | None,
) -> np.ndarray:  # fmt: skip
    parts: dict[str, np.ndarray] = {}
    for part, one in encoders.items():
        if (picture if part == "image" else text) is None:
            continue
        encoder = services.encoder(one["spec"])
        if encoder.version != one["version"]:
            raise IndexConflictError(f"{version!r} was trained on {one['version']}, and here is {encoder.version}")
        if part == "image" and picture is not None:
            parts[part] = encoder.encode_images(views(picture))
        elif text is not None:
            parts[part] = encoder.encode_texts([text])
    if not parts:
        raise UsageError(f"{version!r} tells tags by {' and '.join(encoders)}; give --image FILE or --text WORDS")
    count = max(len(rows) for rows in parts.values())
    given = {part: np.broadcast_to(rows, (count, rows.shape[1])) for part, rows in parts.items()}
    return np.asarray(model.probabilities(given).mean(axis=0))


def _encoder(services: Services, profile: IndexProfile, part: str) -> Encoder:
    signal = profile.signals.get(part)
    default = services.settings.text_encoder if part == "text" else services.settings.image_encoder
    return services.encoder(signal.encoder if signal else default)
