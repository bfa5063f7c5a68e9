"""Alignments of photos and texts: read pairs, compare methods on held-out pairs, fit the best one to all pairs.

An index with an alignment has the signal `fused`: a vector for each product in the space that photos and words share.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.contracts import FUSED, Encoder, GetEncoder, IndexProfile, VectorSignal
from hybrid.elastic.stores.models import ModelStores
from hybrid.encoders.trained.alignment import PREFIX, Alignment
from hybrid.errors import IndexConflictError
from hybrid.learning.alignment.held_out import ranked
from hybrid.learning.alignment.pairs import Pairs, _catalogue_pairs, _file_pairs
from hybrid.learning.trained import CATALOGUE, HeldOut, Progress, Trained, active_model, silent
from hybrid.services import Services
from hybrid.vectors import unit

if TYPE_CHECKING:
    from hybrid.learning.alignment.report import Clouds

KIND = "alignment"
#: Measures by their names in fit.validate, the preferred one first.
_MEASURES = {"to_product": "photo to product, top-1", "left_to_right": "photo to text, top-1"}


@dataclass
class TrainedAlignment(Trained):
    """The result of a training. results: method -> its held-out figures; see hybrid.learning.alignment.fit.validate.
    scores: measure -> photo -> 1 where its product ranked first, held out, else 0. family: "alignment" or "towers"."""

    family: str
    index: str
    method: str
    pairs: int
    products: int
    skipped: dict[str, int]
    encode_s: float
    fit_s: float
    dims: int
    shares: dict[str, float]
    results: dict[str, Any]
    encoders: Mapping[str, Mapping[str, str]]
    held_out: HeldOut
    scores: dict[str, dict[str, float]] = field(repr=False, default_factory=dict)
    data: bytes = field(repr=False, default=b"")
    version: str | None = None

    def report(self) -> dict[str, Any]:
        return {
            "index": self.index, "method": self.method, "pairs": self.pairs, "products": self.products,
            "skipped": self.skipped, "encode_s": self.encode_s, "fit_s": self.fit_s, "dims": self.dims,
            "shares": self.shares, "results": self.results, "scores": self.scores,
        }  # fmt: skip

    def numbers(self, version: str) -> bytes:
        return self.data


def methods() -> tuple[str, ...]:
    """Names of the ways to learn an alignment."""
    from hybrid.learning.alignment import fit

    return fit.METHODS


def _compared(method: str) -> Sequence[str]:
    """The methods to compare. "auto": those with a closed form, which take seconds. "all" takes minutes."""
    if method == "auto":
        from hybrid.learning.alignment import fit

        return fit.CLOSED
    return methods() if method == "all" else (method,)


def train(
    services: Services,
    index: str,
    pairs: str,
    method: str = "auto",
    media: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[TrainedAlignment, Pairs]:
    """Learn an alignment of photos to the texts of an index's products. Writes nothing.

    pairs: a CSV with a column `image` and one of `product_id`, `docid`, `id`; or "catalogue", for the products' own
    pictures. method: one of `methods()`; or "auto" (the quick ones) or "all", for the one that does best held out.
    media: folder of the photos; None: the folder of the CSV.

    Raises:
        UsageError: the pairs cannot be read, or are too few.
        EncoderError: a model cannot be had.
        ClusterError: the cluster does not answer.
    """
    from hybrid.learning.alignment import fit

    profile = services.cluster.indices.read_profile(index)
    encoders = {
        "text": _encoder(services.encoder, profile, "text", services.settings.text_encoder),
        "image": _encoder(services.encoder, profile, "image", services.settings.image_encoder),
    }
    started = time.monotonic()
    if pairs == CATALOGUE:
        examples = _catalogue_pairs(services.cluster.products, profile, encoders, progress)
    else:
        examples = _file_pairs(
            services.cluster.products, services.retrieval, profile, encoders, Path(pairs), media, progress
        )
    encoded = time.monotonic()
    progress("compare", 0, 1)
    right = examples.texts[examples.groups]
    known = ~np.isnan(examples.pictures).any(axis=1)
    catalogue: dict[Hashable, np.ndarray] = {int(row): examples.pictures[row] for row in np.flatnonzero(known)}
    compared = _compared(method)
    results = {}
    for number, name in enumerate(compared):
        results[name] = fit.validate(
            name, examples.photos, right, examples.groups, views=examples.photo, catalogue=catalogue, seed=seed
        )
        progress("compare", number + 1, len(compared))
    chosen = fit.best(results)
    ranks = {name: result.pop("ranks") for name, result in results.items()}[chosen]
    fitting = time.monotonic()
    fitted = fit.fit(
        chosen, examples.photos, right, examples.groups, views=examples.photo, catalogue=catalogue, seed=seed
    )
    ended = time.monotonic()
    scores = {
        _MEASURES[name]: _first(examples.keys, ranks["photo"], ranks[name]) for name in _MEASURES if name in ranks
    }
    trained = TrainedAlignment(
        family=KIND,
        index=index,
        method=chosen,
        pairs=examples.count,
        products=len(np.unique(examples.groups)),
        skipped=examples.skipped,
        encode_s=round(encoded - started, 1),
        fit_s=round(ended - fitting, 1),
        dims=fitted.dims,
        shares=dict(fitted.shares),
        results=results,
        encoders={name: {"spec": one.name, "version": one.version} for name, one in encoders.items()},
        held_out=_held_out(services.models, profile, examples, encoders, ranks, scores, pairs == CATALOGUE),
        scores=scores,
        data=fitted.to_bytes(),
    )
    return trained, examples


def _first(keys: Sequence[str], photos: Sequence[int], ranks: Sequence[int]) -> dict[str, float]:
    """photo -> 1 where its product ranked first, else 0."""
    return {keys[photo]: float(rank <= 1) for photo, rank in zip(photos, ranks, strict=True)}


def _held_out(
    models: ModelStores,
    profile: IndexProfile,
    pairs: Pairs,
    encoders: Mapping[str, Encoder],
    ranks: Mapping[str, Sequence[int]],
    scores: Mapping[str, Mapping[str, float]],
    by_catalogue: bool,
) -> HeldOut:
    """The held-out figure, compared with the active alignment.

    Without an active one, it is compared with a search of the products' own pictures, or with chance where the pairs
    are these very pictures.
    """
    own = "to_product" in ranks and not by_catalogue
    what = "to_product" if own else "left_to_right"
    mine = scores[_MEASURES[what]]
    figure = float(np.mean(list(mine.values())))
    version = active(profile)
    if version is not None:
        before = _of_active(models, version, pairs, encoders, what, mine)
        if before is not None:
            return HeldOut(_MEASURES[what], figure, version, before, len(mine))
    if own:
        today = float(np.mean(np.asarray(ranks["today"]) <= 1))
        return HeldOut(_MEASURES[what], figure, "pictures alone", today, len(mine))
    return HeldOut(_MEASURES[what], figure, "chance", 1 / len(pairs.texts), len(mine))


def _of_active(
    models: ModelStores,
    version: str,
    pairs: Pairs,
    encoders: Mapping[str, Encoder],
    what: str,
    mine: Mapping[str, float],
) -> float | None:
    """The figure of another version on the same photos; None where it takes other vectors, or cannot be read.

    A photo that it learned from counts with the held-out score of its own training. On its own training photos a model
    scores too high, and no newer model would ever be published.
    """
    previous = active_model(models, KIND, version, lambda _, data: Alignment.from_bytes(data))
    if previous is None:
        return None
    about, alignment = previous
    if any(about["encoders"][name]["version"] != one.version for name, one in encoders.items()):
        return None
    seen = about["report"]["scores"].get(_MEASURES[what], {})
    place = {key: number for number, key in enumerate(pairs.keys)}
    new = [key for key in mine if key not in seen]
    hits = [seen[key] for key in mine if key in seen]
    if new:
        first = np.unique(pairs.photo, return_index=True)[1][[place[key] for key in new]]
        product_vectors = alignment.project("text", pairs.texts)
        if what == "to_product":
            known = ~np.isnan(pairs.pictures).any(axis=1)
            pictures = np.zeros_like(product_vectors)
            pictures[known] = alignment.project("image", pairs.pictures[known])
            product_vectors = unit(alignment.shares["image"] * pictures + alignment.shares["text"] * product_vectors)
        photo_vectors = alignment.project("image", pairs.photos[first])
        result = ranked(photo_vectors, pairs.groups[first], product_vectors, np.arange(len(product_vectors)))
        hits += (result.first <= 1).astype(float).tolist()
    return float(np.mean(hits))


def page(trained: TrainedAlignment, pairs: Pairs) -> str:
    """A page of HTML: figures of every method, and both clouds before and after.

    The clouds show held-out pairs, by an alignment that was fitted to the other pairs for this page.
    """
    from hybrid.learning.alignment import fit
    from hybrid.learning.alignment.report import clouds

    rng = np.random.default_rng(0)
    several = pairs.count >= 2 * len(pairs.texts)
    drawn = np.zeros(len(pairs.groups), dtype=bool)
    if several:
        for group in range(len(pairs.texts)):
            mine = np.flatnonzero(pairs.groups == group)
            drawn[mine[pairs.photo[mine] == pairs.photo[mine].max(initial=-1)]] = True
    else:
        drawn = np.isin(pairs.groups, rng.permutation(len(pairs.texts))[: max(2, len(pairs.texts) // 5)])
    right = pairs.texts[pairs.groups]
    fitted = fit.fit(
        trained.method, pairs.photos[~drawn], right[~drawn], pairs.groups[~drawn], views=pairs.photo[~drawn]
    )
    named: dict[Hashable, str] = dict(enumerate(pairs.names))
    return page_of(trained, clouds(fitted, pairs.photos[drawn], right[drawn], pairs.groups[drawn], named))


def page_of(trained: TrainedAlignment, drawn: Clouds) -> str:
    """As `page`, with clouds that exist already."""
    from hybrid.learning.alignment.report import report

    notes = [
        f"{trained.pairs:,} photos of {trained.products:,} products; photos encoded in {trained.encode_s:,.1f} s, "
        f"{trained.method} fitted in {trained.fit_s:,.1f} s.",
        *(f"{count:,} photos were left out: {reason}." for reason, count in sorted(trained.skipped.items())),
    ]
    return report(trained.results, trained.method, index=trained.index, drawn=drawn, notes=notes)


def active(profile: IndexProfile) -> str | None:
    """The version whose vectors the products of an index have."""
    signal = profile.signals.get(FUSED)
    return signal.encoder.removeprefix(PREFIX) if signal else None


def profile_with(services: Services, profile: IndexProfile, version: str | None) -> IndexProfile:
    """The profile of an index with this version as its signal `fused`, made of the index's own vectors.

    version: None removes the signal. The index may be another one than the version was trained on, for instance one
    that has pictures only.

    Raises:
        ModelVersionError: there is no such version, or it cannot be used.
        IndexConflictError: the index has no vectors that the version takes, or its `fused` vectors have other
            dimensions.
    """
    others = {name: signal for name, signal in profile.signals.items() if name != FUSED}
    if version is None:
        return dataclasses.replace(profile, signals=others)
    encoder = services.encoder(f"{PREFIX}{version}")
    required = services.models(KIND).head(version)["encoders"]
    parts = {name: signal for name, signal in others.items() if name in required}
    if not any(signal.version == required[name]["version"] for name, signal in parts.items()):
        said = " or ".join(f"{name} by {one['version']}" for name, one in sorted(required.items()))
        raise IndexConflictError(f"index {profile.index!r} has no vectors that {version!r} can be applied to: {said}")
    before = profile.signals.get(FUSED)
    if before is not None and before.dims != encoder.dims:
        raise IndexConflictError(
            f"the products of {profile.index!r} have vectors of {before.dims} dimensions by {before.encoder}, and "
            f"{version!r} makes {encoder.dims}: run `hybrid reindex {profile.index} --signals "
            f"{','.join([*others, FUSED])}`, which builds them anew beside it, by the newest alignment that was "
            "trained on it"
        )
    return dataclasses.replace(
        profile, signals={**others, FUSED: VectorSignal(encoder.name, encoder.version, encoder.dims)}
    )


def _encoder(get_encoder: GetEncoder, profile: IndexProfile, name: str, default: str) -> Encoder:
    """The index's own encoder of a signal, else that of the settings."""
    signal = profile.signals.get(name)
    return get_encoder(signal.encoder if signal else default)
