"""Alignments of photos and texts: pairs are read, methods compared held out, the best is published and put in use.

An index with an alignment has the signal `fused`: a vector for each product in the space that photos and words share.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.contracts import FUSED, TOWERS, Encoder, IndexProfile, VectorSignal
from hybrid.elastic.indices import shop
from hybrid.encoders.trained.alignment import PREFIX
from hybrid.errors import IndexConflictError
from hybrid.learning.alignment.pairs import Pairs, _catalogue_pairs, _file_pairs
from hybrid.learning.trained import CATALOGUE, Progress, silent
from hybrid.operations.attach import AttachPlan, AttachReport, run_attach
from hybrid.operations.planning import decide_profile
from hybrid.operations.runs import Report
from hybrid.services import Services

if TYPE_CHECKING:
    from hybrid.learning.alignment.report import Clouds


@dataclass
class Trained:
    """What training gave. results: method -> its held-out figures; see hybrid.learning.alignment.fit.validate."""

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
    encoders: dict[str, dict[str, str]]
    data: bytes = field(repr=False, default=b"")
    version: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "data"}


def methods() -> tuple[str, ...]:
    """Names of the ways to learn an alignment."""
    from hybrid.learning.alignment import fit

    return fit.METHODS


def _compared(method: str) -> Sequence[str]:
    """The methods to compare. Those of "auto" have a solution in closed form, in seconds; "all" takes minutes."""
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
) -> tuple[Trained, Pairs]:
    """Learn an alignment of photos to the texts of an index's products. Writes nothing.

    pairs: a CSV with a column `image` and one of `product_id`, `docid`, `id`; or "catalogue", for the products' own
    pictures. method: one of `methods()`, or the best of several, held out: "auto" (quick ones), "all". media: folder of
    the photos; the file's own, if none.

    Raises:
        UsageError: the pairs cannot be read, or are too few.
        EncoderError: a model cannot be had.
        ClusterError: the cluster does not answer.
    """
    from hybrid.learning.alignment import fit

    profile = services.searcher.profile(index)
    encoders = {
        "text": _encoder(services, profile, "text", services.settings.text_encoder),
        "image": _encoder(services, profile, "image", services.settings.image_encoder),
    }
    started = time.monotonic()
    if pairs == CATALOGUE:
        found = _catalogue_pairs(services, profile, encoders, progress)
    else:
        found = _file_pairs(services, profile, encoders, Path(pairs), media, progress)
    encoded = time.monotonic()
    progress("compare", 0, 1)
    right = found.texts[found.groups]
    known = ~np.isnan(found.pictures).any(axis=1)
    catalogue: dict[Hashable, np.ndarray] = {int(row): found.pictures[row] for row in np.flatnonzero(known)}
    compared = _compared(method)
    results = {}
    for number, name in enumerate(compared):
        results[name] = fit.validate(
            name, found.photos, right, found.groups, views=found.photo, catalogue=catalogue, seed=seed
        )
        progress("compare", number + 1, len(compared))
    chosen = fit.best(results)
    fitting = time.monotonic()
    fitted = fit.fit(chosen, found.photos, right, found.groups, views=found.photo, catalogue=catalogue, seed=seed)
    ended = time.monotonic()
    return (
        Trained(
            index=index,
            method=chosen,
            pairs=found.count,
            products=len(np.unique(found.groups)),
            skipped=found.skipped,
            encode_s=round(encoded - started, 1),
            fit_s=round(ended - fitting, 1),
            dims=fitted.dims,
            shares=dict(fitted.shares),
            results=results,
            encoders={name: {"spec": one.name, "version": one.version} for name, one in encoders.items()},
            data=fitted.to_bytes(),
        ),
        found,
    )


def page(trained: Trained, pairs: Pairs) -> str:
    """A page of HTML: figures of every method, and both clouds before and after.

    Drawn are pairs that were held out, by an alignment that was fitted to the others for this.
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


def page_of(trained: Trained, drawn: Clouds) -> str:
    """As `page`, with clouds that there are."""
    from hybrid.learning.alignment.report import report

    notes = [
        f"{trained.pairs:,} photos of {trained.products:,} products; photos encoded in {trained.encode_s:,.1f} s, "
        f"{trained.method} fitted in {trained.fit_s:,.1f} s.",
        *(f"{count:,} photos were left out: {reason}." for reason, count in sorted(trained.skipped.items())),
    ]
    return report(trained.results, trained.method, index=trained.index, drawn=drawn, notes=notes)


def publish(services: Services, trained: Trained, name: str | None = None) -> str:
    """Keep it as a version; its name. It takes part in searches once it is applied.

    Raises:
        ModelVersionError: there is one of that name.
    """
    name = name or f"{trained.index}-{trained.method}-{1 + len(services.alignments.list(trained.index))}"
    report = {key: value for key, value in trained.to_json().items() if key not in ("encoders", "version", "index")}
    about = {"method": trained.method, "encoders": trained.encoders, "report": report}
    services.alignments.add(trained.index, name, about, trained.data)
    trained.version = name
    return name


def apply(services: Services, index: str, version: str, workers: int = 0, report: Report | None = None) -> AttachReport:
    """Give every product of an index its vector by this alignment, from the vectors that it has.

    The index may be another than the one that it was trained on, of pictures alone for instance.

    Raises:
        ModelVersionError: there is no such version.
        IndexConflictError: the index has vectors of another alignment, or refuses the field.
        ClusterError, WriteBlockedError, JobError: the run ended early; the same call goes on.
    """
    about, _ = services.alignments.get(version)
    if about["method"] == TOWERS:
        raise IndexConflictError(
            f"{version!r} makes vectors of its own: set HYBRID_IMAGE_ENCODER=towers:{version} and run "
            f"`hybrid reindex {index}`, which encodes the pictures anew beside the index"
        )
    found = shop.describe(services.client, index)
    spec = f"{PREFIX}{version}"
    held = found.profile.signals.get(FUSED) if found.profile else None
    if held is not None and held.encoder != spec:
        raise IndexConflictError(
            f"the products of {index!r} have vectors of the alignment {held.encoder.removeprefix(PREFIX)!r}; run "
            f"`hybrid reindex {index} --signals {FUSED}` to build them anew beside it with the newest"
        )
    if found.profile is None:
        raise IndexConflictError(f"index {index!r} has no vectors yet; run `hybrid attach {index}` first")
    encoders = about["encoders"]
    parts = {name: signal for name, signal in found.profile.signals.items() if name in encoders}
    if not any(signal.version == encoders[name]["version"] for name, signal in parts.items()):
        wanted = " or ".join(f"{name} by {one['version']}" for name, one in sorted(encoders.items()))
        raise IndexConflictError(f"index {index!r} has no vectors that {version!r} can be applied to: {wanted}")
    encoder = services.encoder(spec)
    notes: list[str] = []
    profile, sample = decide_profile(services, found, None, None, None, None, None, notes)
    fused = VectorSignal(spec, encoder.version, encoder.dims)
    profile = dataclasses.replace(profile, signals={**profile.signals, FUSED: fused})
    return run_attach(services, AttachPlan(found, profile, sample, notes, []), workers, report)


def _encoder(services: Services, profile: IndexProfile, name: str, default: str) -> Encoder:
    """The index's own encoder of a signal, else that of the settings."""
    signal = profile.signals.get(name)
    return services.encoder(signal.encoder if signal else default)


# -- pairs -----------------------------------------------------------------------------------------------------------
