"""TF-IDF models: fitted to a catalogue's texts, kept as versions in the cluster, used as the encoder tfidf:VERSION."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from hybrid.catalogue.documents import text_input
from hybrid.catalogue.fields import guess_fields
from hybrid.catalogue.reader import open_catalogue
from hybrid.contracts import Product
from hybrid.elastic.indices import products
from hybrid.errors import UsageError
from hybrid.services import Services

KIND = "tfidf"
_PAGE = 500


def train(
    services: Services, index: str | None, catalogue: Path | None, dims: int, name: str | None = None, seed: int = 0
) -> dict[str, Any]:
    """Fit a model to the products of an index or of a file, and publish it.

    {"version", "texts", "features", "dims", "bytes": of what is kept, "seconds": of the fit}.

    Raises:
        UsageError: neither or both are named, or the texts are too few.
        CatalogueError: the file is no catalogue. ModelVersionError: there is a version of that name.
        ClusterError: the cluster does not answer.
    """
    from hybrid.encoders.trained.tfidf import TfIdf

    if (index is None) == (catalogue is None):
        raise UsageError("name what to fit to: --index NAME or --catalogue FILE")
    texts = _texts_of_file(catalogue, services) if catalogue else _texts_of_index(index or "", services)
    started = time.perf_counter()
    model = TfIdf.fit(texts, dims, seed)
    seconds = round(time.perf_counter() - started, 1)
    data = model.to_bytes()
    source = index or (catalogue.name if catalogue else "")
    store = services.models(KIND)
    version = name or f"{source.partition('.')[0]}-{1 + len(store.list(source))}"
    report = {
        "texts": len(texts),
        "features": len(model.features),
        "dims": dims,
        "bytes": len(data),
        "seconds": seconds,
    }
    store.add(source, version, {"method": "tfidf", "encoders": {}, "report": report}, data)
    return {"version": version, **report}


def _texts_of_file(path: Path, services: Services) -> list[str]:
    with open_catalogue(path) as catalogue:
        fields = guess_fields(catalogue.sample())
    # As an encoder of any script is given them.
    encoder = services.encoder("bow")
    with open_catalogue(path) as catalogue:
        rows = [row for row in catalogue.rows(fields.roles["id"]) if isinstance(row, Product)]
    return [text for row in rows if (text := text_input(row.source, fields, encoder))]


def _texts_of_index(index: str, services: Services) -> list[str]:
    profile, encoder = services.searcher.profile(index), services.encoder("bow")
    body = {"query": {"match_all": {}}, "source": {"excludes": ["hybrid"]}}
    found = (
        text_input(hit["_source"], profile.fields, encoder)
        for hits in products.pages(services.client, profile.index, body, _PAGE)
        for hit in hits
    )
    return [text for text in found if text]
