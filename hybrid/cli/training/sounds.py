"""`hybrid train sounds` and `hybrid sounds`: an encoder of sounds that learns from the catalogue's own tags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hybrid.cli.options import Index, Json, train
from hybrid.cli.output import console, counted, print_json, print_left_out

sounds = typer.Typer(help="Versions of trained encoders of sounds.", no_args_is_help=True, rich_markup_mode=None)


@sounds.callback()
def _sounds() -> None:
    """Versions of trained encoders of sounds."""


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
    name: Annotated[str | None, typer.Option(help="Name of the version; one is made up, if none.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with figures and a chart: FILE.html")] = None,
    force: Annotated[bool, typer.Option("--force", help="Publish even what is no better than mfcc.")] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same encoder.")] = 0,
    json: Json = False,
) -> None:
    """Train a small network on sounds and their tags, and publish it where it finds more than MFCC statistics do.

    Reads the index and the sounds; writes a version, which HYBRID_AUDIO_ENCODER=sound-cnn:VERSION puts in use.
    Example: hybrid train sounds --index shop --field category --report sounds.html
    """
    from hybrid.learning.sounds import training as made
    from hybrid.services import build_services

    services = build_services()
    with counted() as show:
        trained = made.train(services, index, pairs, column, media, seed, show)
    if report:
        report.write_text(made.page(trained), encoding="utf-8")
    publish = trained.better or force
    version = made.publish(services, trained, name) if publish else None
    if json:
        print_json(trained.to_json())
    else:
        _show(trained)
        if version:
            print(
                f"published {version}; for an index with its vectors: "
                f"HYBRID_AUDIO_ENCODER=sound-cnn:{version} hybrid reindex {index}"
            )
        else:
            print("nothing better than mfcc to publish (--force publishes all the same)")
    if not publish:
        raise typer.Exit(1)


def _show(trained: Any) -> None:
    from rich.table import Table

    table = Table(
        "method", "right tag first", "precision@5", "mAP", "95 %",
        title=f"{trained.sounds:,} sounds of {len(trained.tags)} tags, held out in turn",
    )  # fmt: skip
    for method, told in trained.results.items():
        low, high = told["intervals"]["map"]
        table.add_row(
            f"{method} *" if method == trained.method else method, f"{told['top1']:.3f}",
            f"{told['precision@5']:.3f}", f"{told['map']:.3f}", f"{low:.3f} to {high:.3f}",
        )  # fmt: skip
    console(stderr=False).print(table)
    print(f"sounds read in {trained.read_s:,.1f} s, trained in {trained.fit_s:,.1f} s")
    print_left_out(trained.skipped)


@sounds.command("list")
def list_versions(index: Index, json: Json = False) -> None:
    """Encoders that were trained on an index, newest first. Example: hybrid sounds list --index shop"""
    from rich.table import Table

    from hybrid.encoders.trained.sounds import PREFIX
    from hybrid.services import build_services

    services = build_services()
    found = services.models("sounds").list(index)
    signal = services.searcher.profile(index).signals.get("audio")
    used = signal.encoder.removeprefix(PREFIX) if signal and signal.encoder.startswith(PREFIX) else None
    if json:
        print_json({"in_use": used, "versions": found})
        return
    table = Table("", "version", "method", "created", "sounds", "mAP", "of mfcc")
    for entry in found:
        report = entry["report"]
        table.add_row(
            "*" if entry["version"] == used else "", entry["version"], entry["method"], entry["created"],
            f"{report['sounds']:,}", f"{report['results'][entry['method']]['map']:.3f}",
            f"{report['results']['mfcc']['map']:.3f}",
        )  # fmt: skip
    console(stderr=False).print(table)
