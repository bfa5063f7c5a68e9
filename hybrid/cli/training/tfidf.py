"""`hybrid train tfidf`: text vectors that are fitted to a catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hybrid.cli.options import Force, Json, Name, Seed, end_training, train


@train.command("tfidf")
def train_tfidf(
    index: Annotated[str | None, typer.Option(help="Fit to the products of this index.")] = None,
    catalogue: Annotated[Path | None, typer.Option(help="Fit to the products of this file.")] = None,
    dims: Annotated[int, typer.Option(min=2, max=4096, help="Length of a vector.")] = 512,
    name: Name = None,
    force: Force = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Fit TF-IDF over words and character n-grams to a catalogue's texts, and publish it where it beats plain hashing.

    Reads titles and descriptions; writes a version of the model to the cluster, and no product. A reindex puts it in
    use, or HYBRID_TEXT_ENCODER=tfidf:VERSION when a catalogue is indexed.
    Example: hybrid train tfidf --catalogue products.ndjson.gz --name shop-1
    """
    from hybrid.learning import tfidf
    from hybrid.services import build_services

    services = build_services()
    trained = tfidf.train(services, index, catalogue, dims, seed)
    end_training(services, trained, _show, name, force, False, json, target=index or "NAME")


def _show(trained: Any) -> None:
    print(
        f"{trained.features:,} features of {trained.texts:,} texts, {trained.size / 1e6:.1f} MB, fitted in "
        f"{trained.seconds:.1f} s"
    )
