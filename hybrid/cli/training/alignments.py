"""`hybrid train alignment` and `hybrid alignments`: a space that photos and words share, and its versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hybrid.cli.options import Index, Json, train
from hybrid.cli.output import LiveProgress, console, counted, print_json, print_left_out
from hybrid.errors import UsageError

alignments = typer.Typer(help="Versions of trained alignments.", no_args_is_help=True, rich_markup_mode=None)


@train.command("alignment")
def train_alignment(
    index: Index,
    pairs: Annotated[
        str,
        typer.Option(help='CSV with columns image and product_id, or "catalogue" for the products\' own pictures.'),
    ] = "catalogue",
    method: Annotated[
        str,
        typer.Option(
            help="procrustes, cca, ridge, gradient, contrastive; auto: the best of the first three; all: of all; "
            "towers: a CNN on pixels and an RNN on tokens learn instead, minutes for a thousand photos."
        ),
    ] = "auto",
    source: Annotated[str, typer.Option("--from", help="What is brought to the other: image.")] = "image",
    target: Annotated[str, typer.Option("--to", help="What it is brought to: text.")] = "text",
    media: Annotated[Path | None, typer.Option(help="Folder of the photos; the file's own, if none.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the version; one is made up, if none.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with figures and a plot: FILE.html")] = None,
    apply: Annotated[
        bool, typer.Option(help="Give the index's products their vectors in the new space, and search it.")
    ] = True,
    seed: Annotated[int, typer.Option(help="The same seed gives the same alignment.")] = 0,
    json: Json = False,
) -> None:
    """Learn a space that photos and texts share, from photos of products, so that either finds the other.

    Reads the index and the photos; writes a version of the alignment, and the field hybrid.fused of the index.
    No picture of the catalogue is encoded again.
    Example: hybrid train alignment --index shop --pairs photos.csv --report alignment.html
    """
    from hybrid.contracts import TOWERS
    from hybrid.learning.alignment import towers_training, training
    from hybrid.services import build_services

    if (source, target) != ("image", "text"):
        raise UsageError(f"cannot align {source} to {target}; --from image --to text is what there is")
    if method not in (known := ("auto", "all", *training.methods(), TOWERS)):
        raise UsageError(f"no method {method!r}; known: {', '.join(known)}")
    services = build_services()
    alone = method == TOWERS
    with counted() as show:
        if alone:
            trained, drawn = towers_training.train(services, index, pairs, media, seed, show)
        else:
            trained, found = training.train(services, index, pairs, method, media, seed, show)
    if report:
        page = training.page_of(trained, drawn) if alone else training.page(trained, found)
        report.write_text(page, encoding="utf-8")
    version = training.publish(services, trained, name)
    applied = None
    if apply and not alone:
        with LiveProgress() as bar:
            applied = training.apply(services, index, version, report=bar)
    if json:
        print_json({**trained.to_json(), "applied": applied.to_json() if applied else None})
        return
    _show_alignment(trained)
    if alone:
        print(
            f"published {version}; use it with HYBRID_IMAGE_ENCODER=towers:{version} hybrid reindex {index}, and that "
            "setting wherever searches are answered"
        )
        return
    print(
        f"published {version}" + (f"; {applied.encoded:,} products have their vector" if applied else ", not applied")
    )


def _show_alignment(trained: Any) -> None:
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


@alignments.command("list")
def list_versions(index: Index, json: Json = False) -> None:
    """Alignments that were trained on an index, newest first. Example: hybrid alignments list --index shop"""
    from rich.table import Table

    from hybrid.contracts import FUSED, TOWERS
    from hybrid.services import build_services

    services = build_services()
    found = services.alignments.list(index)
    signals = services.searcher.profile(index).signals
    used = signals[FUSED].encoder.partition(":")[2] if FUSED in signals else None
    encoders = {signal.encoder for signal in signals.values()}
    if json:
        print_json({"in_use": used, "versions": found})
        return
    table = Table("", "version", "method", "created", "photos", "products")
    for entry in found:
        report = entry["report"]
        mark = "*" if entry["version"] == used or f"{TOWERS}:{entry['version']}" in encoders else ""
        table.add_row(
            mark, entry["version"], entry["method"], entry["created"],
            f"{report['pairs']:,}", f"{report['products']:,}",
        )  # fmt: skip
    console(stderr=False).print(table)


@alignments.command("apply")
def apply_version(
    version: Annotated[str, typer.Argument(help="As `hybrid alignments list` names it.")],
    index: Index,
    json: Json = False,
) -> None:
    """Give an index's products their vectors by an alignment, also by one of another index; then it is searched.

    Example: hybrid alignments apply shop-cca-1 --index pictures
    """
    from hybrid.learning.alignment import training as made
    from hybrid.services import build_services

    services = build_services()
    with LiveProgress() as bar:
        report = made.apply(services, index, version, report=bar)
    if json:
        print_json(report.to_json())
    else:
        print(f"{index}: {report.encoded:,} of {report.documents:,} products have a vector by {version} now")
    if not report.complete:
        raise typer.Exit(1)
