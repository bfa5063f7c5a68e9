"""`hybrid train sounds`: an encoder of sounds that learns from the catalogue's own tags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hybrid.cli.options import Force, Index, Json, Name, Page, Seed, end_training, train
from hybrid.cli.output import console, counted, print_left_out


@train.command("sounds")
def train_sounds(
    index: Index,
    column: Annotated[
        str | None, typer.Option("--field", help="Field that holds the tags; that of the category, if none.")
    ] = None,
    pairs: Annotated[
        str, typer.Option(help='CSV with columns audio and tag; or "catalogue", for the products\' own sounds.')
    ] = "catalogue",
    media: Annotated[Path | None, typer.Option(help="Folder of the CSV's sounds; the file's own, if none.")] = None,
    name: Name = None,
    report: Page = None,
    force: Force = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train a small network on sounds and their tags, and publish it where it finds more than MFCC statistics do.

    Reads the index and the sounds; writes a version. A reindex puts it in use.
    Example: hybrid train sounds --index shop --field category --report sounds.html
    """
    from hybrid.learning.sounds import training
    from hybrid.services import build_services

    services = build_services()
    with counted() as show:
        trained = training.train(services, index, pairs, column, media, seed, show)
    if report:
        report.write_text(training.page(trained), encoding="utf-8")
    end_training(services, trained, _show, name, force, False, json)


def _show(trained: Any) -> None:
    from rich.table import Table

    table = Table(
        "method", "right tag first", "precision@5", "mAP", "95 %",
        title=f"{trained.sounds:,} sounds of {len(trained.tags)} tags, held out in turn",
    )  # fmt: skip
    for method, results in trained.results.items():
        low, high = results["intervals"]["map"]
        table.add_row(
            f"{method} *" if method == trained.method else method, f"{results['top1']:.3f}",
            f"{results['precision@5']:.3f}", f"{results['map']:.3f}", f"{low:.3f} to {high:.3f}",
        )  # fmt: skip
    console(stderr=False).print(table)
    print(f"sounds read in {trained.read_s:,.1f} s, trained in {trained.fit_s:,.1f} s")
    print_left_out(trained.skipped)
