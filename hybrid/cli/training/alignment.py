"""`hybrid train alignment` and `hybrid train towers`: a space that photos and words share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hybrid.cli.options import Force, Index, Json, Name, Page, Seed, end_training, train
from hybrid.cli.output import console, counted, print_left_out
from hybrid.errors import UsageError

PhotoPairs = Annotated[
    str, typer.Option(help='CSV with columns image and product_id, or "catalogue" for the products\' own pictures.')
]
Photos = Annotated[Path | None, typer.Option(help="Folder of the photos; the file's own, if none.")]


@train.command("alignment")
def train_alignment(
    index: Index,
    pairs: PhotoPairs = "catalogue",
    method: Annotated[
        str,
        typer.Option(
            help="procrustes, cca, ridge, gradient, contrastive; auto: the best of the first three; all: of all."
        ),
    ] = "auto",
    source: Annotated[str, typer.Option("--from", help="What is brought to the other: image.")] = "image",
    target: Annotated[str, typer.Option("--to", help="What it is brought to: text.")] = "text",
    media: Photos = None,
    name: Name = None,
    report: Page = None,
    apply: Annotated[
        bool, typer.Option(help="Give the index's products their vectors in the new space, and search it.")
    ] = True,
    force: Force = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Learn a space that photos and texts share, from photos of products, so that either finds the other.

    Reads the index and the photos; writes a version of the alignment, and the field hybrid.fused of the index.
    No picture of the catalogue is encoded again.
    Example: hybrid train alignment --index shop --pairs photos.csv --report alignment.html
    """
    from hybrid.learning.alignment import training
    from hybrid.services import build_services

    if (source, target) != ("image", "text"):
        raise UsageError(f"cannot align {source} to {target}; --from image --to text is what there is")
    if method not in (known := ("auto", "all", *training.methods())):
        raise UsageError(f"no method {method!r}; known: {', '.join(known)}")
    services = build_services()
    with counted() as show:
        trained, measured = training.train(services, index, pairs, method, media, seed, show)
    if report:
        report.write_text(training.page(trained, measured), encoding="utf-8")
    end_training(services, trained, _show, name, force, apply, json)


@train.command("towers")
def train_towers(
    index: Index,
    pairs: PhotoPairs = "catalogue",
    media: Photos = None,
    name: Name = None,
    report: Page = None,
    force: Force = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train new encoders of photos and texts, in one space: a CNN on pixels and an RNN on tokens.

    Takes minutes for a thousand photos. Reads the index and the photos; writes a version. A reindex puts it in use.
    Example: hybrid train towers --index shop --pairs photos.csv --report towers.html
    """
    from hybrid.learning.alignment import towers_training, training
    from hybrid.services import build_services

    services = build_services()
    with counted() as show:
        trained, drawn = towers_training.train(services, index, pairs, media, seed, show)
    if report:
        report.write_text(training.page_of(trained, drawn), encoding="utf-8")
    end_training(services, trained, _show, name, force, False, json)


def _show(trained: Any) -> None:
    from rich.table import Table

    known = any(result["photos"] for result in trained.results.values())
    table = Table(
        "method", "photo to product: top-1", "top-5", "mean rank", "text to photos: precision@10",
        "top-1 of new products",
        title=f"{trained.pairs:,} photos of {trained.products:,} products, held out in turn",
    )  # fmt: skip
    for method, result in trained.results.items():
        held_out = result["photos"] or result["products"]
        forth = held_out.get("to_product") or held_out["left_to_right"]
        new = result["products"].get("to_product") or result["products"]["left_to_right"]
        table.add_row(
            f"{method} *" if method == trained.method else method, f"{forth['top1']:.3f}", f"{forth['top5']:.3f}",
            f"{forth['mean_rank']:.1f}", f"{held_out['right_to_left']['precision@10']:.3f}" if known else "-",
            f"{new['top1']:.3f}",
        )  # fmt: skip
    console(stderr=False).print(table)
    print(f"photos encoded in {trained.encode_s:,.1f} s, {trained.method} fitted in {trained.fit_s:,.1f} s")
    print_left_out(trained.skipped)
