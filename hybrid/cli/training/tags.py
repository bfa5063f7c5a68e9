"""`hybrid train tags`: tags that products are given by their text, their photo or both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hybrid.cli.options import Force, Index, Json, Name, Page, Seed, end_training, train
from hybrid.cli.output import console, counted, print_left_out


@train.command("tags")
def train_tags(
    index: Index,
    labels: Annotated[
        str,
        typer.Option(help='CSV with a column tag and one of image, text, product_id; or "catalogue", with --field.'),
    ] = "catalogue",
    column: Annotated[str | None, typer.Option("--field", help="Field that holds the tags, with catalogue.")] = None,
    source: Annotated[str, typer.Option("--from", help="What tags are told by: image, text or both.")] = "image",
    strategy: Annotated[
        str,
        typer.Option(help="plain, augmentation, class-balanced, focal, class-aware, ensemble; auto: the best of all."),
    ] = "auto",
    media: Annotated[Path | None, typer.Option(help="Folder of the photos; the file's own, if none.")] = None,
    validate: Annotated[Path | None, typer.Option(help="CSV of examples that are only measured.")] = None,
    name: Name = None,
    report: Page = None,
    apply: Annotated[bool, typer.Option(help="Write the tags of the index's products.")] = True,
    force: Force = False,
    seed: Seed = 0,
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
    from hybrid.learning.tags import training
    from hybrid.services import build_services

    services = build_services()
    with counted() as show:
        trained = training.train(
            services, index, labels, source, strategy, column, media, validate, seed, show, fine_tune
        )
    if report:
        from hybrid.learning.tags.report import page

        report.write_text(page(trained.to_json()), encoding="utf-8")
    end_training(services, trained, _show, name, force, apply, json)


def _show(trained: Any) -> None:
    from rich.table import Table

    table = Table(
        "strategy", "macro-F1", "worst recall", "of", "calibration error", "macro-F1 of several views",
        title=f"{trained.examples:,} examples of {len(trained.tags)} tags by {trained.source}, held out in turn",
    )  # fmt: skip
    for strategy, measures in trained.results.items():
        views = measures.get("with_views")
        table.add_row(
            f"{strategy} *" if strategy == trained.method else strategy, f"{measures['macro_f1']:.3f}",
            f"{measures['worst_recall']:.3f}", measures["worst"], f"{measures['calibration_error']:.3f}",
            f"{views['macro_f1']:.3f}" if views else "-",
        )  # fmt: skip
    console(stderr=False).print(table)
    for how, measures in trained.drop_out.items():
        said = ", ".join(f"{part} {value:.3f}" for part, value in measures.items())
        print(f"macro-F1 {how} modality drop-out: {said}")
    for how, measures in (trained.validation or {}).items():
        what = "the one vector of the index" if how == "index" else "several views"
        print(
            f"unseen, by {what}: macro-F1 {measures['macro_f1']:.3f}, worst recall {measures['worst_recall']:.3f} "
            f"({measures['worst']}), calibration error {measures['calibration_error']:.3f}"
        )
    print(f"a tag is written from confidence {trained.threshold:.3f} on")
    print_left_out(trained.skipped)
