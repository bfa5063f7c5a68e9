"""`hybrid models`: the versions of every kind of trained model, from being published to being removed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hybrid.cli.options import Index, Json, operator, said
from hybrid.cli.output import LiveProgress, console, print_json
from hybrid.errors import UsageError

models = typer.Typer(
    help="Versions of trained models: weights, alignment, towers, tags, sounds, tfidf.",
    no_args_is_help=True, rich_markup_mode=None,
)  # fmt: skip
Kind = Annotated[str, typer.Argument(help="weights, alignment, towers, tags, sounds or tfidf.")]
Version = Annotated[str, typer.Argument(help="As `hybrid models list` names it.")]


@models.command("list")
def list_versions(
    index: Index,
    kind: Annotated[str | None, typer.Argument(help="weights, alignment, towers, tags, sounds or tfidf; all.")] = None,
    json: Json = False,
) -> None:
    """Versions of an index's models with what they were worth, held out. * marks the active ones.

    Example: hybrid models list tags --index shop
    """
    from rich.table import Table

    from hybrid.learning import models as life
    from hybrid.services import build_services

    groups = life.by_kind(build_services(), index, kind)
    versions = [version for group in groups for version in group.versions]
    active = {group.kind: group.active.version for group in groups}
    if json:
        print_json({"index": index, "active": active, "versions": versions})
        return
    table = Table("", "kind", "version", "method", "created", "MB", "held out", "before")
    for one in versions:
        if one.get("lost"):
            table.add_row("*", one["kind"], one["version"], "lost: the cluster has no such version", "", "", "", "")
            continue
        figure, before = _figures(one)
        made, size = ("built in", "") if one.get("built_in") else (one["created"][:19], f"{one['size'] / 1e6:.1f}")
        table.add_row(
            "*" if one["active"] else "", one["kind"], one["version"], one["method"], made, size, figure, before
        )
    console(stderr=False).print(table)


def _figures(one: dict[str, Any]) -> tuple[str, str]:
    """(measure and figure, what it was compared with) of a version, held out."""
    held_out = one.get("held_out") or {}
    if not held_out.get("examples"):
        return "-", "-"
    before = "-" if held_out["before"] is None else f"{held_out['against']} {held_out['before']:.4f}"
    return f"{held_out['measure']} {held_out['figure']:.4f}", before


@models.command("show")
def show(kind: Kind, version: Version, index: Index, json: Json = False) -> None:
    """All of one version but its numbers. Example: hybrid models show weights gate-2 --index shop"""
    from hybrid.learning import models as life
    from hybrid.services import build_services

    about = life.show(build_services(), kind, version, index)
    if json:
        print_json(about)
        return
    made = "built in" if about.get("built_in") else f"made {about['created'][:19]} for {about['index']}"
    print(f"{kind} {version}: {about['method']}, {made}")
    print(f"active for {index}" if about["active"] else f"not active for {index}")
    if about.get("built_in"):
        return
    print(f"{about['size']:,} bytes in {about['parts']} parts, SHA-256 {about['sha256']}")
    for part, one in about["encoders"].items():
        print(f"{part} by {one['spec']} ({one['version']})")
    figure, before = _figures(about)
    if figure != "-":
        print(f"{figure} of {about['held_out']['examples']:,} held-out examples; before: {before}")
    for key, value in about["report"].items():
        if isinstance(value, str | int | float) and value != "":
            print(f"  {key}: {value}")


@models.command("apply")
def apply(kind: Kind, version: Version, index: Index, json: Json = False) -> None:
    """Make a version the active one of an index; "none": no model of the kind.

    Weights are taken up by searches within seconds. Alignments and tags are written to the products, also those of
    another index. Towers, sounds and tfidf need a reindex, and the command for it is shown.
    Example: hybrid models apply tags shop-image-1 --index shop
    """
    from hybrid.learning import models as life
    from hybrid.services import build_services

    services = build_services()
    with services.audit.recorded(operator(), "models_apply", index, kind=kind, version=version), LiveProgress() as bar:
        applied = life.apply(services, kind, index, version, report=bar)
    _end(applied, json)


@models.command("rollback")
def rollback(kind: Kind, index: Index, json: Json = False) -> None:
    """Make the version before the active one again. Example: hybrid models rollback weights --index shop"""
    from hybrid.learning import models as life
    from hybrid.services import build_services

    services = build_services()
    with services.audit.recorded(operator(), "models_rollback", index, kind=kind), LiveProgress() as bar:
        applied = life.rollback(services, kind, index, report=bar)
    _end(applied, json)


def _end(applied: Any, json: bool) -> None:
    if json:
        print_json(applied.to_json())
    else:
        print(said(applied))
    if not applied.complete:
        raise typer.Exit(1)


@models.command("remove")
def remove(kind: Kind, version: Version, index: Index, json: Json = False) -> None:
    """Delete a version for good; refused while an index uses it.

    Example: hybrid models remove sounds shop-cnn-1 --index shop
    """
    from hybrid.learning import models as life
    from hybrid.services import build_services

    services = build_services()
    with services.audit.recorded(operator(), "models_remove", index, kind=kind, version=version):
        life.remove(services, kind, index, version)
    if json:
        print_json({"kind": kind, "index": index, "removed": version})
    else:
        print(f"removed {kind} {version}")


@models.command("predict")
def predict(
    kind: Annotated[str, typer.Argument(help="tags.")],
    version: Version,
    image: Annotated[Path | None, typer.Option(help="A photo.")] = None,
    text: Annotated[str | None, typer.Option(help="Words about a product.")] = None,
    json: Json = False,
) -> None:
    """Tags of a photo, of a text or of both. Example: hybrid models predict tags shop-image-1 --image photo.jpg"""
    from hybrid.learning.tags import training
    from hybrid.services import build_services

    if kind != training.KIND:
        raise UsageError(f"{kind} predict nothing by themselves; kinds that do: {training.KIND}")
    tags = training.predict(build_services().encoder, version, image, text)
    if json:
        print_json(tags)
        return
    for tag in tags:
        print(f"{tag['confidence']:.3f}  {tag['name']}" + ("" if tag["written"] else "  (not sure enough)"))
