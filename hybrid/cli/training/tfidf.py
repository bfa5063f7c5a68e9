"""`hybrid train tfidf` and `hybrid tfidf list`: text vectors that are fitted to a catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybrid.cli.options import Json, train
from hybrid.cli.output import print_json

tfidf = typer.Typer(help="Versions of trained TF-IDF models.", no_args_is_help=True, rich_markup_mode=None)


@tfidf.callback()
def _tfidf() -> None:
    """Versions of trained TF-IDF models."""


@train.command("tfidf")
def train_tfidf(
    index: Annotated[str | None, typer.Option(help="Fit to the products of this index.")] = None,
    catalogue: Annotated[Path | None, typer.Option(help="Fit to the products of this file.")] = None,
    dims: Annotated[int, typer.Option(min=2, max=4096, help="Length of a vector.")] = 512,
    name: Annotated[str | None, typer.Option(help="Name of the version; one is made up, if none.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.")] = 0,
    json: Json = False,
) -> None:
    """Fit TF-IDF over words and character n-grams to a catalogue's texts, for HYBRID_TEXT_ENCODER=tfidf:VERSION.

    Reads titles and descriptions; writes a version of the model to the cluster, and no product.
    Example: hybrid train tfidf --catalogue products.ndjson.gz --name shop-1
    """
    from hybrid.learning import tfidf as training
    from hybrid.services import build_services

    trained = training.train(build_services(), index, catalogue, dims, name, seed)
    if json:
        print_json(trained)
    else:
        print(
            f"published {trained['version']}: {trained['features']:,} features of {trained['texts']:,} texts, "
            f"{trained['bytes'] / 1e6:.1f} MB, {trained['seconds']:.1f} s; use it with HYBRID_TEXT_ENCODER="
            f"tfidf:{trained['version']}"
        )


@tfidf.command("list")
def list_versions(
    index: Annotated[str, typer.Option("--index", help="The index, or the name of the file, that it was fitted to.")],
    json: Json = False,
) -> None:
    """Models that were fitted to an index or a file, newest first. Example: hybrid tfidf list --index shop"""
    from hybrid.services import build_services

    found = build_services().models("tfidf").list(index)
    if json:
        print_json({"versions": found})
        return
    for entry in found:
        report = entry["report"]
        print(f"{entry['version']}  {entry['created']}  {report['dims']} dims of {report['texts']:,} texts")
