"""TF-IDF models, fitted to a catalogue's texts. They are measured by titles that search for their own descriptions."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.catalogue.documents import role_values, text_input
from hybrid.catalogue.fields import guess_fields
from hybrid.catalogue.reader import open_catalogue
from hybrid.contracts import FieldMap, GetEncoder, IndexProfile, Product
from hybrid.elastic.stores.models import ModelStores
from hybrid.encoders.trained.tfidf import PREFIX, TfIdf
from hybrid.errors import UsageError
from hybrid.learning.trained import HeldOut, Trained, active_model
from hybrid.services import Services
from hybrid.text import analysis

if TYPE_CHECKING:
    from collections.abc import Callable

KIND = "tfidf"
#: The text encoder that needs no training: it hashes words and n-grams to numbers.
HASHING = "bow"
_PAGE = 500
#: One product of _HELD_OUT is held out: at most _MOST, the first by their digests; fewer than _FEWEST are not measured.
_HELD_OUT, _MOST, _FEWEST = 5, 2_000, 20
_MEASURE = "title to description, mean reciprocal rank"


@dataclass(frozen=True)
class _Text:
    """A product's texts. whole: the input of a text encoder."""

    id: str
    whole: str
    title: str
    description: str

    @property
    def digest(self) -> str:
        return hashlib.blake2b(self.id.encode(), digest_size=8).hexdigest()


@dataclass
class TrainedTfIdf(Trained):
    """The result of a fit. scores: product -> reciprocal rank of its description, searched by its title, held out.
    size: bytes of the stored model; seconds: of the fit."""

    index: str
    texts: int
    features: int
    dims: int
    size: int
    seconds: float
    held_out: HeldOut
    scores: dict[str, float] = field(repr=False, default_factory=dict)
    data: bytes = field(repr=False, default=b"")
    version: str | None = None
    method: str = KIND
    encoders: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    family: str = KIND

    @property
    def stem(self) -> str:
        return self.index.partition(".")[0]  # it may be the name of a file

    def report(self) -> dict[str, Any]:
        apart = ("data", "version", "held_out", "encoders", "family")
        return {name: value for name, value in self.__dict__.items() if name not in apart}

    def numbers(self, version: str) -> bytes:
        return self.data


def train(services: Services, index: str | None, catalogue: Path | None, dims: int, seed: int = 0) -> TrainedTfIdf:
    """Fit a model to the products of an index or of a file. Writes nothing.

    Raises:
        UsageError: neither or both are named, or the texts are too few.
        CatalogueError: the file is no catalogue.
        ClusterError: the cluster does not answer.
    """
    if (index is None) == (catalogue is None):
        raise UsageError("name what to fit to: --index NAME or --catalogue FILE")
    texts = list(_of_file(catalogue, services.encoder) if catalogue else _of_index(index or "", services))
    started = time.perf_counter()
    model = TfIdf.fit([text.whole for text in texts], dims, seed)
    seconds = round(time.perf_counter() - started, 1)
    version = active(services.cluster.indices.read_profile(index)) if index else None
    held_out, scores = _measured(services.encoder, services.models, version, texts, dims, seed)
    data = model.to_bytes()
    return TrainedTfIdf(
        index=index or (catalogue.name if catalogue else ""),
        texts=len(texts),
        features=len(model.features),
        dims=dims,
        size=len(data),
        seconds=seconds,
        held_out=held_out,
        scores=scores,
        data=data,
    )


def active(profile: IndexProfile) -> str | None:
    """The version whose vectors the texts of an index have."""
    signal = profile.signals.get("text")
    return signal.encoder.removeprefix(PREFIX) if signal and signal.encoder.startswith(PREFIX) else None


def _measured(
    get_encoder: GetEncoder,
    models: ModelStores,
    version: str | None,
    texts: Sequence[_Text],
    dims: int,
    seed: int,
) -> tuple[HeldOut, dict[str, float]]:
    """(held-out figure, compared with the active model or without one with hashing; score of each product).

    A model that is fitted to the other products is measured on held-out ones, which are the same in every training.
    """
    both = [text for text in texts if text.title and text.description]
    test_texts = sorted((text for text in both if int(text.digest, 16) % _HELD_OUT == 0), key=lambda text: text.digest)
    test_texts = test_texts[:_MOST]
    if len(test_texts) < _FEWEST:
        return HeldOut(_MEASURE, 0.0, "", None, 0), {}
    apart = {text.id for text in test_texts}
    try:
        trial = TfIdf.fit([text.whole for text in texts if text.id not in apart], dims, seed)
    except UsageError:  # all texts together are enough, but without the held-out ones they are too few
        return HeldOut(_MEASURE, 0.0, "", None, 0), {}
    mine = _ranks(trial, test_texts)
    figure = float(np.mean(list(mine.values())))
    previous = active_model(models, KIND, version, lambda _, data: TfIdf.from_bytes(data)) if version else None
    others: Mapping[str, float]
    if previous is not None:
        # A product that it was fitted to counts with the held-out score of its own training.
        others = previous[0]["report"]["scores"]
        new = [text for text in test_texts if text.digest not in others]
        others = {**others, **_ranks(previous[1], new, test_texts)}
    else:
        others = _ranks(get_encoder(HASHING).encode_texts, test_texts)
    before = float(np.mean([others[key] for key in mine]))
    return HeldOut(_MEASURE, figure, version if previous and version else HASHING, before, len(mine)), mine


def _ranks(
    encode: Callable[[Sequence[str]], np.ndarray], queries: Sequence[_Text], among: Sequence[_Text] | None = None
) -> dict[str, float]:
    """digest -> reciprocal rank of a product's own description in a search by its title. among: the candidates."""
    if not queries:
        return {}
    among = queries if among is None else among
    place = {text.id: number for number, text in enumerate(among)}
    cosines = encode([text.title for text in queries]) @ encode([text.description for text in among]).T
    own = cosines[np.arange(len(queries)), [place[text.id] for text in queries]]
    # A description that ties with the right one ranks before it: titles of unknown words earn nothing by luck.
    ranks = (cosines >= own[:, None] - 1e-6).sum(axis=1)
    return {text.digest: round(1 / int(rank), 4) for text, rank in zip(queries, ranks, strict=True)}


def _text(get_encoder: GetEncoder, id: str, source: Mapping[str, Any], fields: FieldMap) -> _Text:
    title, description = (
        " ".join(analysis.plain_text(str(value)) for value in role_values(source, fields, role)).strip()
        for role in ("title", "description")
    )
    # HASHING reads any script, so no word is left out.
    return _Text(id, text_input(source, fields, get_encoder(HASHING)), title, description)


def _of_file(path: Path, get_encoder: GetEncoder) -> Iterator[_Text]:
    with open_catalogue(path) as catalogue:
        fields = guess_fields(catalogue.sample())
    with open_catalogue(path) as catalogue:
        for row in catalogue.rows(fields.roles["id"]):
            if isinstance(row, Product) and (text := _text(get_encoder, row.id, row.source, fields)).whole:
                yield text


def _of_index(index: str, services: Services) -> Iterator[_Text]:
    profile = services.cluster.indices.read_profile(index)
    body = {"query": {"match_all": {}}, "source": {"excludes": ["hybrid"]}}
    for hits in services.cluster.products.pages(profile.index, body, _PAGE):
        for hit in hits:
            if (text := _text(services.encoder, hit["_id"], hit["_source"], profile.fields)).whole:
                yield text
