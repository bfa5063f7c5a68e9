"""Alignments of photos and texts: pairs are read, methods compared held out, the best is published and put in use.

An index with an alignment has the signal `fused`: a vector for each product in the space that photos and words share.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid import documents
from hybrid.attach import AttachPlan, AttachReport, decide_profile, run_attach
from hybrid.contracts import FUSED, TOWERS, Encoder, IndexProfile, VectorSignal
from hybrid.elastic import coding, products, shop
from hybrid.encoders.aligned import PREFIX, middle
from hybrid.errors import IndexConflictError, MediaError, UsageError
from hybrid.runs import Report
from hybrid.tables import read_table
from hybrid.wiring import Services

if TYPE_CHECKING:
    from hybrid.learning.alignment_report import Clouds

CATALOGUE = "catalogue"
_ID_COLUMNS = ("product_id", "docid", "doc_id", "id", "product")
_AT_ONCE = 64
_LOOKED_UP = 500

Progress = Callable[[str, int, int], None]  # (what is done, how many of it, of how many)


def silent(what: str, done: int, of: int) -> None:
    pass


@dataclass
class Pairs:
    """What an alignment is learned from. Row i of `photos` is a view of a photo of product `groups[i]`.

    photos: (n, d1) unit vectors; groups: (n,) rows of `texts`; photo: (n,) which photo a row is a view of.
    texts: (products, d2) unit vectors; pictures: (products, d1) of the catalogue's own pictures, NaN for none.
    names: the ids of the products. skipped: photos that could not be used, by typed reason.
    """

    photos: np.ndarray
    groups: np.ndarray
    photo: np.ndarray
    texts: np.ndarray
    pictures: np.ndarray
    names: Sequence[str] = ()
    skipped: dict[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Photos, not their views."""
        return len(np.unique(self.photo))


@dataclass
class Trained:
    """What training gave. results: method -> its held-out figures; see hybrid.learning.alignment.validate."""

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
    from hybrid.learning import alignment

    return alignment.METHODS


def _compared(method: str) -> Sequence[str]:
    """The methods to compare. Those of "auto" have a solution in closed form, in seconds; "all" takes minutes."""
    if method == "auto":
        from hybrid.learning import alignment

        return alignment.CLOSED
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
    from hybrid.learning import alignment

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
        results[name] = alignment.validate(
            name, found.photos, right, found.groups, views=found.photo, catalogue=catalogue, seed=seed
        )
        progress("compare", number + 1, len(compared))
    chosen = alignment.best(results)
    fitting = time.monotonic()
    fitted = alignment.fit(chosen, found.photos, right, found.groups, views=found.photo, catalogue=catalogue, seed=seed)
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
    from hybrid.learning import alignment
    from hybrid.learning.alignment_report import clouds

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
    fitted = alignment.fit(
        trained.method, pairs.photos[~drawn], right[~drawn], pairs.groups[~drawn], views=pairs.photo[~drawn]
    )
    named: dict[Hashable, str] = dict(enumerate(pairs.names))
    return page_of(trained, clouds(fitted, pairs.photos[drawn], right[drawn], pairs.groups[drawn], named))


def page_of(trained: Trained, drawn: Clouds) -> str:
    """As `page`, with clouds that there are."""
    from hybrid.learning.alignment_report import report

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


def _file_pairs(
    services: Services,
    profile: IndexProfile,
    encoders: Mapping[str, Encoder],
    path: Path,
    media: Path | None,
    progress: Progress,
) -> Pairs:
    rows = read_pairs(path)
    texts: dict[str, str] = {}
    for product, source in sources(services, profile, sorted({product for _, product in rows})).items():
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
            made = encoders["image"].encode_images([view for view, _ in views])
            vectors.append(made)
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
        pictures=_pictures(services, profile, encoders["image"], names),
        names=names,
        skipped=skipped,
    )


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """(photo, product id) of each line."""
    columns, lines = read_table(path, "pairs")
    named = next((name for name in _ID_COLUMNS if name in columns), None)
    if "image" not in columns or named is None:
        raise UsageError(
            f"{path.name} needs a column `image` and one of {', '.join(_ID_COLUMNS)}; it has "
            f"{', '.join(columns) or 'none'}"
        )
    rows = [(row["image"], row[named]) for row in lines if row["image"] and row[named]]
    if not rows:
        raise UsageError(f"{path.name} has no pair of a photo and a product")
    return rows


def _views(rows: Sequence[tuple[str, str]], root: Path, skipped: dict[str, int]) -> list[tuple[Any, int]]:
    """(picture, its row) of three views of every photo: whole, mirrored, its middle. A few photos teach more so."""
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
    services: Services, profile: IndexProfile, encoders: Mapping[str, Encoder], progress: Progress
) -> Pairs:
    """The products' own pictures and texts, as the index has their vectors: nothing is encoded."""
    missing = [name for name in ("text", "image") if name not in profile.signals]
    if missing:
        raise UsageError(f"index {profile.index!r} has no {' and no '.join(missing)} vectors; name a file with --pairs")
    texts, pictures = [], []
    for codes in _coded(services, profile):
        one = _decoded(profile, codes, "text"), _decoded(profile, codes, "image")
        if one[0] is not None and one[1] is not None:
            texts.append(one[0])
            pictures.append(one[1])
            if len(texts) % _LOOKED_UP == 0:
                progress("products", len(texts), len(texts))
    if not texts:
        raise UsageError(f"no product of {profile.index!r} has both a text and a picture; name a file with --pairs")
    photos = np.stack(pictures)
    rows = np.arange(len(texts))
    return Pairs(photos, rows, rows, np.stack(texts), photos)


def _coded(services: Services, profile: IndexProfile) -> Iterator[dict[str, str]]:
    """The codes of every product's vectors, by signal."""
    for hits in products.pages(
        services.client,
        profile.index,
        {"query": {"match_all": {}}, "source": {"includes": ["hybrid.codes"]}},
        _LOOKED_UP,
    ):
        for hit in hits:
            yield (hit["_source"].get("hybrid") or {}).get("codes") or {}


def _decoded(profile: IndexProfile, codes: Mapping[str, str], name: str) -> np.ndarray | None:
    signal = profile.signals.get(name)
    return coding.decode_code(codes.get(name), signal.dims) if signal is not None else None


def sources(services: Services, profile: IndexProfile, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(ids), _LOOKED_UP):
        found |= services.retrieval.sources(profile, ids[start : start + _LOOKED_UP])
    return found


def _pictures(services: Services, profile: IndexProfile, encoder: Encoder, ids: Sequence[str]) -> np.ndarray:
    """(len(ids), dims) of the catalogue's pictures, as far as the index has them by the same encoder."""
    found = np.full((len(ids), encoder.dims), np.nan, dtype=np.float32)
    signal = profile.signals.get("image")
    if signal is None or signal.version != encoder.version:
        return found
    for start in range(0, len(ids), _LOOKED_UP):
        part = ids[start : start + _LOOKED_UP]
        held = products.codes(services.client, profile.index, part)
        for at, id in enumerate(part, start):
            vector = _decoded(profile, held.get(id, (-1, {}))[1], "image")
            if vector is not None:
                found[at] = vector
    return found
