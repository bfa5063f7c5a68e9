"""Training of two towers on a shop's own photos and texts: read pairs, measure on held-out pairs, fit.

An alignment maps existing vectors. Towers make new vectors from pixels and from tokens, so an index takes them up by a
reindex that encodes its pictures anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.catalogue import documents
from hybrid.contracts import GetEncoder, IndexProfile
from hybrid.elastic.indices.products import Products
from hybrid.elastic.stores.models import ModelStores
from hybrid.encoders.trained.towers import DIMS, MAX_TOKENS, PREFIX, TowersModel
from hybrid.encoders.words import MiniLMWords
from hybrid.errors import MediaError, UsageError
from hybrid.ingest.inputs import Inputs
from hybrid.learning.alignment.pairs import photo_key, read_pairs, sources
from hybrid.learning.alignment.training import TrainedAlignment
from hybrid.learning.trained import CATALOGUE, HeldOut, Progress, active_model, silent
from hybrid.media import open_image, resolve_media
from hybrid.services import Services
from hybrid.text import analysis

if TYPE_CHECKING:
    from PIL import Image

    from hybrid.learning.alignment.report import Clouds
    from hybrid.learning.alignment.towers import Examples

KIND = "towers"
_LOOKED_UP = 500
_MEASURE = "photo to text, top-1"


def train(
    services: Services, index: str, pairs: str, media: Path | None = None, seed: int = 0, progress: Progress = silent
) -> tuple[TrainedAlignment, Clouds]:
    """Learn both towers from photos and texts of an index's products. Also returns clouds of held-out products. Writes
    nothing.

    pairs, media: as for training.train. Beside the photos of a file, the towers learn from the catalogue's own
    pictures.

    Raises:
        UsageError: the pairs cannot be read, are too few, or too many to be held in memory.
        EncoderError: a model cannot be had.
        ClusterError: the cluster does not answer.
    """
    from hybrid.learning import fine_tuning
    from hybrid.learning.alignment import towers

    profile = services.cluster.indices.read_profile(index)
    words, eyes = MiniLMWords("minilm-words", "", services.settings), services.encoder("efficientnet-lite0")
    started = time.monotonic()
    skipped: dict[str, int] = {}
    rows = [] if pairs == CATALOGUE else read_pairs(Path(pairs))
    ids = sorted({product for _, product in rows})
    products = (
        sources(services.retrieval, profile, ids)
        if rows
        else _with_pictures(services.cluster.products, profile, fine_tuning.MAX_PHOTOS)
    )
    said = words.word_vectors(
        [documents.text_input(source, profile.fields, words) for source in products.values()], MAX_TOKENS
    )
    texts = {id: vectors for id, vectors in zip(products, said, strict=True) if len(vectors)}
    names = list(texts)
    place = {id: number for number, id in enumerate(names)}
    usable = [(image, product) for image, product in rows if product in place]
    if len(usable) < len(rows):
        skipped["unknown_product"] = len(rows) - len(usable)
    groups = np.array([*(place[product] for _, product in usable), *range(len(names))])
    if not len(groups):
        raise UsageError(f"no pair of a photo and a text of a product of {index!r}; name a file with --pairs")
    root = (media or Path(pairs).parent).resolve()

    def opened() -> Iterator[Image.Image | None]:
        for image, _ in usable:
            try:
                yield open_image(resolve_media(image, root))
            except MediaError as error:
                skipped[error.reason] = skipped.get(error.reason, 0) + 1
                yield None
        for id in names:
            yield _own_picture(services.encoder, services.inputs, profile, products[id])

    looked = fine_tuning.look(opened(), len(groups), services.settings, seed, progress)
    examples = towers.Examples(
        looked.learned,
        looked.query_views,
        groups[looked.there],
        (np.arange(len(groups)) >= len(usable))[looked.there] if usable else np.zeros(looked.there.sum(), dtype=bool),
        list(texts.values()),
        words.word_vectors([_title(products[id], profile, words) for id in names], MAX_TOKENS),
    )
    towers.check(examples)
    encoded = time.monotonic()
    result, drawn = towers.validate(examples, names, seed, lambda step, of: progress("held out", step, of))
    fitting = time.monotonic()
    model = towers.fit(examples, None, seed, lambda step, of: progress("towers", step, of))
    taken = examples.groups[~examples.own]
    ranks = result.pop("ranks")
    known = np.array([*(photo_key(*pair) for pair in usable), *names])[looked.there][~examples.own]
    scores = {str(known[at]): float(rank <= 1) for at, rank in zip(ranks["photo"], ranks["left_to_right"], strict=True)}
    trained = TrainedAlignment(
        family=KIND,
        index=index,
        method=KIND,
        pairs=len(taken),
        products=len(np.unique(taken)),
        skipped=skipped,
        encode_s=round(encoded - started, 1),
        fit_s=round(time.monotonic() - fitting, 1),
        dims=DIMS,
        shares={},
        results={KIND: result},
        encoders={
            "text": {"spec": words.name, "version": words.version},
            "image": {"spec": eyes.name, "version": eyes.version},
        },
        held_out=_held_out(services.models, profile, examples, known, words.version, scores),
        scores={_MEASURE: scores},
        data=model.to_bytes(),
    )
    return trained, drawn


def _held_out(
    models: ModelStores,
    profile: IndexProfile,
    examples: Examples,
    known: np.ndarray,
    words: str,
    mine: Mapping[str, float],
) -> HeldOut:
    """The held-out figure, compared with the active towers, or with chance without such. known: key of each photo."""
    figure, version = float(np.mean(list(mine.values()))), active(profile)
    previous = active_model(models, KIND, version, lambda _, data: TowersModel.from_bytes(data)) if version else None
    if version is None or previous is None:
        return HeldOut(_MEASURE, figure, "chance", 1 / len(np.unique(examples.groups[~examples.own])), len(mine))
    from hybrid.learning.alignment import towers

    about, model = previous
    # A photo that the active towers learned from counts with the held-out score of their own training.
    seen = about["report"]["scores"].get(_MEASURE, {})
    new = np.array([key not in seen for key in known.tolist()])
    previous_scores = [seen[key] for key in mine if key in seen]
    if new.any() and about["encoders"]["text"]["version"] != words:  # the active towers cannot be run here
        return HeldOut(_MEASURE, figure, f"{version} on its own photos", about["held_out"]["figure"], len(mine))
    if new.any():
        previous_scores += towers.first(model, examples, new).astype(float).tolist()
    return HeldOut(_MEASURE, figure, version, float(np.mean(previous_scores)), len(mine))


def active(profile: IndexProfile) -> str | None:
    """The version whose vectors the pictures of an index have."""
    signal = profile.signals.get("image")
    return signal.encoder.removeprefix(PREFIX) if signal and signal.encoder.startswith(PREFIX) else None


def _with_pictures(products: Products, profile: IndexProfile, most: int) -> dict[str, dict[str, Any]]:
    """Products that have a picture, the first `most` of them: id -> source."""
    if "image" not in profile.signals:
        raise UsageError(f"index {profile.index!r} has no image vectors; name a file with --pairs")
    by_id: dict[str, dict[str, Any]] = {}
    search = {"query": {"exists": {"field": "hybrid.image"}}, "source": {"excludes": ["hybrid"]}}
    for hits in products.pages(profile.index, search, _LOOKED_UP):
        by_id |= {hit["_id"]: hit["_source"] for hit in hits}
        if len(by_id) >= most:
            break
    return dict(list(by_id.items())[:most])


def _own_picture(
    get_encoder: GetEncoder, inputs: Inputs, profile: IndexProfile, source: Mapping[str, Any]
) -> Image.Image | None:
    if "image" not in profile.signals or not inputs.wants("image", source, profile):
        return None
    try:
        read = inputs.read("image", source, profile, get_encoder(profile.signals["image"].encoder))
    except MediaError:  # indexing recorded the failure
        return None
    return read.content[0] if read.content else None


def _title(source: Mapping[str, Any], profile: IndexProfile, words: MiniLMWords) -> str:
    """The product's first title in a script that these word vectors cover."""
    titles = (str(value) for value in documents.role_values(source, profile.fields, "title"))
    return next((title for title in titles if analysis.script_of(title) in ("", *(words.scripts or ()))), "")
