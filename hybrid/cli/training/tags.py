"""`hybrid train tags` and `hybrid tags`: tags that products are given by their text, their photo or both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hybrid.cli.options import Index, Json, train
from hybrid.cli.output import LiveProgress, console, counted, print_json, print_left_out

tags = typer.Typer(help="Versions of trained tags.", no_args_is_help=True, rich_markup_mode=None)


@train.command("tags")
def train_tags(
    index: Index,
    labels: Annotated[
        str,
        typer.Option(help='CSV with a column tag and one of image, text, product_id; or "catalogue", with --field.'),
    ] = "catalogue",
    column: Annotated[str | None, typer.Option("--field", help="Field that holds the tags, with catalogue.")] = None,
    source: Annotated[str, typer.Option("--from", help="What tags are told by: image, text or both.")] = "image",
    remedy: Annotated[
        str,
        typer.Option(help="plain, augmentation, class-balanced, focal, class-aware, ensemble; auto: the best of all."),
    ] = "auto",
    media: Annotated[Path | None, typer.Option(help="Folder of the photos; the file's own, if none.")] = None,
    validate: Annotated[Path | None, typer.Option(help="CSV of examples that are only measured.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the version; one is made up, if none.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with figures and charts: FILE.html")] = None,
    apply: Annotated[bool, typer.Option(help="Write the tags of the index's products.")] = True,
    seed: Annotated[int, typer.Option(help="The same seed gives the same tags.")] = 0,
    fine_tune: Annotated[
        bool,
        typer.Option(
            "--fine-tune",
            help="Also let the image network learn from the photos, half an hour for a thousand.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Learn tags from examples, compare the answers to unequal classes held out, and tag the products by the best.

    Reads the index and the examples; writes a version of tags, and the field hybrid.tags of the index.
    Example: hybrid train tags --index shop --labels photos.csv --validate unseen.csv --report tags.html
    """
    from hybrid.learning.tags import training as made
    from hybrid.services import build_services

    services = build_services()
    with counted() as show:
        trained = made.train(services, index, labels, source, remedy, column, media, validate, seed, show, fine_tune)
    if report:
        from hybrid.learning.tags.report import page

        report.write_text(page(trained.to_json()), encoding="utf-8")
    version = made.publish(services, trained, name)
    applied = None
    if apply:
        with LiveProgress() as bar:
            applied = made.apply(services, index, version, report=bar)
    if json:
        print_json({**trained.to_json(), "applied": applied.to_json() if applied else None})
        return
    _show(trained)
    print(f"published {version}" + (f"; {applied.encoded:,} products were looked at" if applied else ", not applied"))


def _show(trained: Any) -> None:
    from rich.table import Table

    table = Table(
        "remedy", "macro-F1", "worst recall", "of", "calibration error", "macro-F1 of several views",
        title=f"{trained.examples:,} examples of {len(trained.tags)} tags by {trained.source}, held out in turn",
    )  # fmt: skip
    for remedy, found in trained.results.items():
        views = found.get("with_views")
        table.add_row(
            f"{remedy} *" if remedy == trained.remedy else remedy, f"{found['macro_f1']:.3f}",
            f"{found['worst_recall']:.3f}", found["worst"], f"{found['calibration_error']:.3f}",
            f"{views['macro_f1']:.3f}" if views else "-",
        )  # fmt: skip
    console(stderr=False).print(table)
    for how, found in trained.drop_out.items():
        said = ", ".join(f"{part} {value:.3f}" for part, value in found.items())
        print(f"macro-F1 {how} modality drop-out: {said}")
    for how, found in (trained.validation or {}).items():
        what = "the one vector of the index" if how == "index" else "several views"
        print(
            f"unseen, by {what}: macro-F1 {found['macro_f1']:.3f}, worst recall {found['worst_recall']:.3f} "
            f"({found['worst']}), calibration error {found['calibration_error']:.3f}"
        )
    print(f"a tag is written from confidence {trained.threshold:.3f} on")
    print_left_out(trained.skipped)


@tags.command("list")
def list_versions(index: Index, json: Json = False) -> None:
    """Tags that were trained on an index, newest first. Example: hybrid tags list --index shop"""
    from rich.table import Table

    from hybrid.services import build_services

    services = build_services()
    found = services.models("tags").list(index)
    use = services.searcher.profile(index).tags
    if json:
        print_json({"in_use": use.version if use else None, "versions": found})
        return
    table = Table("", "version", "remedy", "created", "from", "examples", "macro-F1")
    for entry in found:
        report = entry["report"]
        mark = "*" if use and entry["version"] == use.version else ""
        figure = report["results"][entry["method"]]["macro_f1"]
        table.add_row(
            mark, entry["version"], entry["method"], entry["created"], report["source"], f"{report['examples']:,}",
            f"{figure:.3f}",
        )  # fmt: skip
    console(stderr=False).print(table)


@tags.command("apply")
def apply_version(
    version: Annotated[str, typer.Argument(help="As `hybrid tags list` names it.")], index: Index, json: Json = False
) -> None:
    """Give an index's products their tags by a version, also by one of another index.

    Example: hybrid tags apply shop-image-1 --index pictures
    """
    from hybrid.learning.tags import training as made
    from hybrid.services import build_services

    services = build_services()
    with LiveProgress() as bar:
        report = made.apply(services, index, version, report=bar)
    if json:
        print_json(report.to_json())
    else:
        print(f"{index}: {report.encoded:,} of {report.documents:,} products were looked at by {version}")
    if not report.complete:
        raise typer.Exit(1)


@tags.command("remove")
def remove(index: Index, json: Json = False) -> None:
    """Take the tags off an index's products, and give new ones none. The version stays.

    Example: hybrid tags remove --index shop
    """
    from hybrid.learning.tags import training as made
    from hybrid.services import build_services

    services = build_services()
    with LiveProgress() as bar:
        report = made.remove(services, index, report=bar)
    if json:
        print_json(report.to_json())
    else:
        print(f"{index}: no product has tags of ours any more")
    if not report.complete:
        raise typer.Exit(1)


@tags.command("predict")
def predict(
    version: Annotated[str, typer.Argument(help="As `hybrid tags list` names it.")],
    image: Annotated[Path | None, typer.Option(help="A photo.")] = None,
    text: Annotated[str | None, typer.Option(help="Words about a product.")] = None,
    json: Json = False,
) -> None:
    """Tags of a photo, of a text or of both. Example: hybrid tags predict shop-image-1 --image photo.jpg"""
    from hybrid.learning.tags import training as made
    from hybrid.services import build_services

    found = made.predict(build_services(), version, image, text)
    if json:
        print_json(found)
        return
    for tag in found:
        print(f"{tag['confidence']:.3f}  {tag['name']}" + ("" if tag["written"] else "  (not sure enough)"))
