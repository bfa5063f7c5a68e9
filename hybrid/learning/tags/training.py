"""Training of tags: read examples, compare strategies on held-out examples, fit the best one to all examples."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hybrid.contracts import Encoder, GetEncoder, IndexProfile, TagsUse
from hybrid.elastic.stores.models import ModelStores
from hybrid.encoders.trained.picture_tags import PictureTags
from hybrid.encoders.trained.tags import FINE_TUNED, PREFIX, PublishedTags, TagModel, read_model
from hybrid.errors import IndexConflictError, UsageError
from hybrid.learning.tags.examples import from_catalogue, from_file, photos, views
from hybrid.learning.trained import CATALOGUE, HeldOut, Progress, Trained, active_model, silent
from hybrid.media import open_image, resolve_media
from hybrid.services import Services
from hybrid.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

    from hybrid.learning.tags.fit import Examples
    from hybrid.learning.tags.pictures import Photos

KIND = "tags"
SOURCES: dict[str, tuple[str, ...]] = {"image": ("image",), "text": ("text",), "both": ("text", "image")}
_MEASURE = "macro-F1"


@dataclass
class TrainedTags(Trained):
    """The result of a training. method: the strategy. results: strategy -> its held-out figures (fit.figures).
    drop_out: with two parts, the figures with and without learning from rows that lack one part. validation: figures
    of photos that were not learned from, by the one vector that an index has and by several views. predictions:
    example -> its tag by a model that did not learn from it; reports have these as "told"."""

    index: str
    method: str
    source: str
    examples: int
    tags: dict[str, int]
    skipped: dict[str, int]
    encode_s: float
    fit_s: float
    temperature: float
    threshold: float
    results: dict[str, Any]
    encoders: Mapping[str, Mapping[str, str]]
    held_out: HeldOut
    drop_out: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] | None = None
    predictions: dict[str, str] = field(repr=False, default_factory=dict)
    data: bytes = field(repr=False, default=b"")
    version: str | None = None
    family: str = KIND

    @property
    def stem(self) -> str:
        return f"{self.index}-{self.source}"

    def report(self) -> dict[str, Any]:
        apart = ("data", "version", "held_out", "encoders", "family", "predictions")
        fields = {name: value for name, value in self.__dict__.items() if name not in apart}
        return {**fields, "strategy": self.method, "told": self.predictions}

    def numbers(self, version: str) -> bytes:
        return self.data


def train(
    services: Services,
    index: str,
    labels: str,
    source: str = "image",
    strategy: str = "auto",
    column: str | None = None,
    media: Path | None = None,
    validate: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    fine_tune: bool = False,
) -> TrainedTags:
    """Learn tags. Writes nothing.

    labels: a CSV with a column `tag` and one of `image` (a photo), `text`, or `product_id` (of the index); or
    "catalogue", for products that have a value in the field `column`. source: "image", "text" or "both". strategy: one
    of fit.STRATEGIES, or "auto", the best of all. validate: a CSV like `labels` that the model is measured on.
    fine_tune: also fine-tune the last blocks of the image encoder on the photos (minutes for a thousand of them), and
    use that where it does best.

    Raises:
        UsageError: the labels cannot be read, or are too few.
        EncoderError: a model cannot be had.
        ClusterError: the cluster does not answer.
    """
    from hybrid.learning.tags import calibration, fit, pictures

    if source not in SOURCES:
        raise UsageError(f"no source {source!r}; known: {', '.join(SOURCES)}")
    if strategy not in (known := ("auto", *fit.STRATEGIES)):
        raise UsageError(f"no strategy {strategy!r}; known: {', '.join(known)}")
    if fine_tune and (source != "image" or labels == CATALOGUE):
        raise UsageError("--fine-tune learns from photos: give --labels FILE with columns image and tag, --from image")
    profile = services.cluster.indices.read_profile(index)
    encoders = {part: _encoder(services.encoder, services.settings, profile, part) for part in SOURCES[source]}
    skipped: dict[str, int] = {}
    started = time.monotonic()
    if labels == CATALOGUE:
        examples = from_catalogue(services.cluster.products, profile, encoders, column, skipped)
    else:
        examples = from_file(services.cluster.products, profile, encoders, Path(labels), media, skipped, progress)
    fit.check(examples)
    encoded = time.monotonic()
    validations = {}
    compared = fit.STRATEGIES if strategy == "auto" else (strategy,)
    for number, name in enumerate(compared):
        validations[name] = fit.validate(name, examples, seed)
        progress("compare", number + 1, len(compared))
    looked = None
    if fine_tune:
        looked = photos(services.settings, Path(labels), media, seed, progress)
        validations[FINE_TUNED] = pictures.validate(looked, seed, progress)
    results = {name: one.figures() for name, one in validations.items()}
    chosen = calibration.best(results)
    drop_out: dict[str, Any] = {}
    if len(encoders) > 1:
        without = fit.validate(chosen, examples, seed, drop=False).figures()
        for name, one in (("with", results[chosen]), ("without", without)):
            drop_out[name] = {"both": one["macro_f1"], **{part: f["macro_f1"] for part, f in one["alone"].items()}}
    fitting = time.monotonic()
    validation = None
    model: TagModel | PictureTags
    if chosen == FINE_TUNED and looked is not None:
        model = fit.calibrated(
            pictures.fit(looked, seed, lambda step, of: progress(FINE_TUNED, step, of)), validations[chosen]
        )
        fitted = time.monotonic()
        if validate is not None:
            test_photos = photos(services.settings, validate, media, seed, progress, learn=False)
            validation = pictures.measured(model, test_photos)
    else:
        model = fit.calibrated(fit.fit(chosen, examples, seed), validations[chosen])
        fitted = time.monotonic()
        if validate is not None:
            validation = measured(
                model, from_file(services.cluster.products, profile, encoders, validate, media, {}, progress)
            )
    names, sizes = np.unique(examples.tags[examples.first], return_counts=True)
    keys = (looked.keys if chosen == FINE_TUNED and looked is not None else examples.keys[examples.first]).tolist()
    truth, predictions = _truth_and_predictions(validations[chosen], keys)
    return TrainedTags(
        index=index,
        method=chosen,
        source=source,
        examples=len(examples.first),
        tags=dict(zip(names.tolist(), sizes.tolist(), strict=True)),
        skipped=skipped,
        encode_s=round(encoded - started, 1),
        fit_s=round(fitted - fitting, 1),
        temperature=round(model.calibration.temperature, 3),
        threshold=model.calibration.threshold,
        results=results,
        encoders={name: {"spec": one.name, "version": one.version} for name, one in encoders.items()},
        held_out=_held_out(services.models, profile, encoders, examples, looked, truth, predictions),
        drop_out=drop_out,
        validation=validation,
        predictions=predictions,
        data=model.to_bytes(),
    )


def _truth_and_predictions(result: Any, keys: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """(true tag, tag predicted held out) by example."""
    names = np.array(result.names)
    predicted = names[result.probabilities.argmax(axis=1)].tolist()
    return dict(zip(keys, names[result.truth].tolist(), strict=True)), dict(zip(keys, predicted, strict=True))


def _held_out(
    models: ModelStores,
    profile: IndexProfile,
    encoders: Mapping[str, Encoder],
    examples: Examples,
    looked: Photos | None,
    truth: Mapping[str, str],
    predictions: Mapping[str, str],
) -> HeldOut:
    """The held-out figure, compared with the active tags; without such, with the most frequent tag for everything."""
    figure = _macro_f1(truth, predictions)
    version = active(profile)
    previous = active_model(models, KIND, version, read_model) if version else None
    if previous is None:
        frequent = Counter(truth.values()).most_common(1)[0][0]
        before = _macro_f1(truth, dict.fromkeys(truth, frequent))
        return HeldOut(_MEASURE, figure, f"{frequent!r} for everything", before, len(truth))
    about, model = previous
    # An example that it learned from counts with the tag that its own training predicted held out. On its own training
    # examples a model scores too high, and no newer model would ever be published.
    others = {key: tag for key, tag in about["report"]["told"].items() if key in truth}
    new = np.array([key for key in truth if key not in others])
    if len(new):
        fresh = _of_active(about, model, encoders, examples, looked, new)
        if fresh is None:
            return HeldOut(_MEASURE, figure, f"{version} on its own examples", about["held_out"]["figure"], len(truth))
        others |= fresh
    return HeldOut(_MEASURE, figure, str(version), _macro_f1(truth, others), len(truth))


def _of_active(
    about: Mapping[str, Any],
    model: TagModel | PictureTags,
    encoders: Mapping[str, Encoder],
    examples: Examples,
    looked: Photos | None,
    new: np.ndarray,
) -> dict[str, str] | None:
    """Tags that another version predicts of new examples, by key; None where it reads inputs that are not here."""
    from hybrid.learning.tags import pictures

    if isinstance(model, PictureTags):
        if looked is None:
            return None
        seen = looked.of(np.flatnonzero(np.isin(looked.keys, new)))
        keys = seen.keys
        likely = model.calibration(pictures.probabilities(model, seen)) if len(keys) else np.zeros((0, 1))
    else:
        required = about["encoders"]
        if any(part not in encoders or encoders[part].version != one["version"] for part, one in required.items()):
            return None
        first = examples.of(examples.first)
        unseen = first.of(np.isin(first.keys, new))
        keys = unseen.keys
        likely = model.probabilities({part: unseen.parts[part] for part in required})
    return dict(zip(keys.tolist(), np.array(model.names)[likely.argmax(axis=1)].tolist(), strict=True))


def _macro_f1(truth: Mapping[str, str], predictions: Mapping[str, str]) -> float:
    from sklearn.metrics import f1_score

    labels = list(truth.values())
    answers = [predictions.get(key, "") for key in truth]
    return float(f1_score(labels, answers, labels=sorted(set(labels)), average="macro", zero_division=0))


def measured(model: TagModel, unseen: Examples) -> dict[str, Any]:
    """Figures of a model on examples that it did not learn from: {"index": by the first view, "views": by all}."""
    from hybrid.learning.tags.calibration import figures
    from hybrid.learning.tags.fit import mean_by

    place = {name: number for number, name in enumerate(model.names)}
    first = unseen.of(unseen.first)
    truth = np.array([place.get(name, -1) for name in first.tags.tolist()])
    result = {"index": figures(model.names, truth, model.probabilities(first.parts))}
    if len(unseen.items) > len(truth):
        several = mean_by(model.probabilities(unseen.parts), unseen.items)
        result["views"] = figures(model.names, truth, several)
    return result


def active(profile: IndexProfile) -> str | None:
    """The version whose tags the products of an index have."""
    return profile.tags.version if profile.tags else None


def profile_with(services: Services, profile: IndexProfile, version: str | None) -> IndexProfile:
    """The profile of an index whose products are tagged by this version, from their stored vectors, now and whenever
    they change. version: None removes the tags.

    Raises:
        ModelVersionError: there is no such version, or it cannot be used.
        IndexConflictError: the index has no vectors that it can be applied to.
    """
    if version is None:
        return dataclasses.replace(profile, tags=None)
    tagger = published(services.encoder, version)
    signals = profile.signals
    parts = tuple(
        part
        for part, one in tagger.encoders.items()
        if part in signals and (tagger.reads_pictures or signals[part].version == one["version"])
    )
    if not parts:
        required = " or ".join(f"{part} by {one['version']}" for part, one in sorted(tagger.encoders.items()))
        raise IndexConflictError(
            f"index {profile.index!r} has no vectors that {version!r} can be applied to: {required}"
        )
    return dataclasses.replace(profile, tags=TagsUse(version, parts, tagger.reads_pictures))


def published(get_encoder: GetEncoder, version: str) -> PublishedTags:
    """A version, for use in this process."""
    return cast(PublishedTags, get_encoder(f"{PREFIX}{version}"))


def predict(get_encoder: GetEncoder, version: str, image: Path | None, text: str | None) -> list[dict[str, Any]]:
    """[{"name", "confidence", "written"}] of a photo (by its views) or a text or both, likeliest first.

    Raises:
        UsageError: neither is given, or the version looks at neither.
        ModelVersionError, EncoderError: the model, or its encoder, cannot be had.
    """
    tagger = published(get_encoder, version)
    model = tagger.trained
    picture = open_image(resolve_media(image.name, image.parent.resolve())) if image is not None else None
    if isinstance(model, PictureTags):
        if picture is None:
            raise UsageError(f"{version!r} tells tags by image; give --image FILE")
        likely = tagger.likely([picture])[0]
    else:
        likely = _by_vectors(get_encoder, version, model, tagger.encoders, picture, text)
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
    get_encoder: GetEncoder, version: str, model: TagModel, encoders: Mapping[str, Mapping[str, str]],
    picture: Image.Image | None, text: str | None,
) -> np.ndarray:  # fmt: skip
    parts: dict[str, np.ndarray] = {}
    for part, one in encoders.items():
        if (picture if part == "image" else text) is None:
            continue
        encoder = get_encoder(one["spec"])
        if encoder.version != one["version"]:
            raise IndexConflictError(f"{version!r} was trained on {one['version']}, and here is {encoder.version}")
        if part == "image" and picture is not None:
            parts[part] = encoder.encode_images(views(picture))
        elif text is not None:
            parts[part] = encoder.encode_texts([text])
    if not parts:
        raise UsageError(f"{version!r} tells tags by {' and '.join(encoders)}; give --image FILE or --text WORDS")
    count = max(len(rows) for rows in parts.values())
    broadcast = {part: np.broadcast_to(rows, (count, rows.shape[1])) for part, rows in parts.items()}
    return np.asarray(model.probabilities(broadcast).mean(axis=0))


def _encoder(get_encoder: GetEncoder, settings: Settings, profile: IndexProfile, part: str) -> Encoder:
    signal = profile.signals.get(part)
    default = settings.text_encoder if part == "text" else settings.image_encoder
    return get_encoder(signal.encoder if signal else default)
