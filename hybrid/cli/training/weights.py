"""`hybrid train` and `hybrid weights`: learning weights, and looking after their versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hybrid.cli.options import Index, Json, train
from hybrid.cli.output import console, counted, print_json
from hybrid.errors import UsageError

weights = typer.Typer(help="Versions of learned weights.", no_args_is_help=True, rich_markup_mode=None)


@train.command("weights")
def train_weights(
    index: Index,
    judgments: Annotated[
        Path | None,
        typer.Option(help="Judged queries, a file or list:NAME; without them, queries made up from the catalogue."),
    ] = None,
    kind: Annotated[str, typer.Option(help="global, gate or attention.")] = "gate",
    folds: Annotated[int, typer.Option(min=2, max=20, help="Parts of the cross-validation.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, max=50, help="Times that it is done, shuffled anew.")] = 4,
    made_up: Annotated[int, typer.Option(min=0, max=20_000, help="Queries to make up from the catalogue.")] = 600,
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 0,
    promote: Annotated[bool, typer.Option(help="Put the new version in force.")] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Publish the kind asked for, even if it is no better.")
    ] = False,
    json: Json = False,
) -> None:
    """Learn how much each signal counts, for all queries or for each one, and publish it if it is better.

    Reads the index and the judgments; writes a version of weights for the index.
    Example: hybrid train weights --index shop --judgments judgments.csv --kind gate
    """
    from hybrid.learning.weights import training
    from hybrid.services import build_services

    services = build_services()
    judged = services.judged(index, judgments) if judgments else None
    with counted() as show:
        result = training.train(
            services, index, judged, kind, folds, repeats, made_up, seed, progress=show, keep_kind=force
        )
    publish = result.better or force
    about = {"list": judgments.name} if judgments else {}
    version = training.publish(services, result, promote, about) if publish else None
    if json:
        print_json({**result.to_json(), "version": version, "promoted": bool(version and promote)})
    else:
        _show(result)
        if version:
            print(f"published {version}" + (f", in force for {index} within seconds" if promote else ", not in force"))
        else:
            print(f"kept {result.in_force}: nothing better to publish (--force publishes all the same)")
    if not publish:
        raise typer.Exit(1)


def _show(result: Any) -> None:
    from rich.table import Table

    table = Table("system", "ndcg@10", "95 %", "to bm25", "p", "to in force", "p", "hurt", title=_title(result))
    for row in result.rows:
        table.add_row(
            row.system, f"{row.ndcg:.4f}", f"{row.low:.3f} to {row.high:.3f}", f"{row.against_bm25:+.4f}",
            f"{row.p_bm25:.3f}", f"{row.against_in_force:+.4f}", f"{row.p_in_force:.3f}", f"{row.hurt:.1%}",
        )  # fmt: skip
    console(stderr=False).print(table)
    print(f"best mixture for each query, an oracle: {result.oracle:.4f}")
    print(f"{result.reason[0].upper()}{result.reason[1:]}.")
    if result.carried_by:
        carried = ", ".join(f"{name} {lost:+.4f}" for name, lost in result.carried_by.items() if abs(lost) >= 0.0005)
        print(f"nDCG lost without a feature: {carried or 'none matters alone'}")
    small = Table("skip below", "ndcg@10", "searches saved", title="Leaving out small signals")
    for point in result.skip:
        mark = "  chosen" if point["threshold"] == result.model.skip_below else ""
        small.add_row(f"{point['threshold']:.2f}", f"{point['ndcg']:.4f}", f"{point['saved']:.1%}{mark}")
    console(stderr=False).print(small)


def _title(result: Any) -> str:
    if result.repeats * result.folds == 1:
        return f"{result.made_up // 2} made-up queries held out, of {result.made_up}"
    return (
        f"{result.judged} judged and {result.made_up} made-up queries over {', '.join(result.signals)}; "
        f"{result.repeats} x {result.folds}-fold cross-validation"
    )


@weights.command("list")
def list_versions(index: Index, json: Json = False) -> None:
    """Versions of an index, newest first. Example: hybrid weights list --index shop"""
    from rich.table import Table

    versions = _versions()
    found, current = versions.list(index), versions.in_force(index)
    if json:
        print_json({"in_force": current or "fixed-1", "versions": found})
        return
    table = Table("", "version", "kind", "created", "held-out ndcg@10", "judged")
    for entry in found:
        rows = {row["system"]: row for row in entry["report"].get("rows", [])}
        ndcg = rows.get(entry["kind"], {}).get("ndcg")
        table.add_row(
            "*" if entry["version"] == current else "", entry["version"], entry["kind"], entry["created"],
            f"{ndcg:.4f}" if ndcg is not None else "-", str(entry["report"].get("judged", "-")),
        )  # fmt: skip
    table.add_row("" if current else "*", "fixed-1", "fixed", "-", "-", "-")
    console(stderr=False).print(table)


@weights.command()
def show(
    version: Annotated[str, typer.Argument(help="As `hybrid weights list` names it.")], index: Index, json: Json = False
) -> None:
    """All of one version but its numbers. Example: hybrid weights show gate-2 --index shop"""
    found = _versions().get(index, version)
    if found is None:
        raise UsageError(f"no weights {version!r} for index {index!r}; see `hybrid weights list --index {index}`")
    if json:
        print_json(found)
        return
    report = found["report"]
    print(f"{found['version']}: {found['kind']}, made {found['created']}")
    for row in report.get("rows", []):
        print(f"  {row['system']:<10} nDCG@10 {row['ndcg']:.4f} ({row['low']:.3f} to {row['high']:.3f})")
    print(f"  scaling {found['model']['scaling']}, signals under {found['model']['skip_below']} are not searched")
    for name, lost in report.get("carried_by", {}).items():
        print(f"  without {name}: {-lost:+.4f}")


@weights.command()
def promote(version: Annotated[str, typer.Argument(help="The version to put in force.")], index: Index) -> None:
    """Put a version in force; web processes pick it up within 5 s.

    Example: hybrid weights promote gate-2 --index shop
    """
    from hybrid.learning.weights import versions
    from hybrid.services import build_services

    versions.promote(build_services(), index, version)
    print(f"{version} is in force for {index}")


@weights.command()
def rollback(index: Index) -> None:
    """Put the version before in force again. Example: hybrid weights rollback --index shop"""
    version = _versions().rollback(index)
    print(f"{version or 'fixed-1'} is in force for {index}")


def _versions() -> Any:
    from hybrid.services import build_services

    return build_services().weights_versions
