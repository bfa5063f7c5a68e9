"""`hybrid attach`, `sync` and `doctor`: the verbs for an index that the shop itself writes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hybrid.cli_options import Json, Lexical, Map, Media, Workers, names, show_fields
from hybrid.errors import IndexConflictError
from hybrid.terminal import LiveProgress, console, print_json, size


def attach(
    index: Annotated[str, typer.Argument(help="Your index, or the alias in front of it.")],
    map: Map = None,
    signals: Annotated[
        str | None, typer.Option(help="Vector signals, e.g. text,image; as guessed if not given.")
    ] = None,
    workers: Workers = 0,
    language: Annotated[str | None, typer.Option(help="Language of the words; en if not given.")] = None,
    media: Media = None,
    lexical: Lexical = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """Add the layer to an index that you already have, in place; your own fields are never written.

    Example: hybrid attach shop --dry-run
    """
    from hybrid import attach as attaching
    from hybrid.wiring import build_services

    services = build_services()
    chosen = names(signals) if signals is not None else None
    plan = attaching.plan_attach(services, index, map, chosen, language, media, lexical)
    if not json:
        show_fields(f"the documents of {plan.shop.name} are read", plan.profile, plan.sample, plan.notes)
    if dry_run:
        _dry_run(services, plan, json)
        return
    with LiveProgress() as show:
        report = attaching.run_attach(services, plan, workers, show)
    if json:
        print_json(report.to_json())
    else:
        print(report.summary())
        if not report.in_step:
            print("the shop changes texts faster than they are encoded here; try --workers, or workers elsewhere too")
        show_trouble(report)
        show_waiting(report)
    if not report.complete:
        raise typer.Exit(1)


def sync(
    index: Annotated[str, typer.Argument(help="An index that Hybrid made or is attached to.")],
    workers: Workers = 0,
    json: Json = False,
) -> None:
    """Find what changed since last time, and enrich that alone. Example: hybrid sync shop"""
    from hybrid.sync import run_sync
    from hybrid.wiring import build_services

    with LiveProgress() as show:
        report = run_sync(build_services(), index, workers, show)
    if json:
        print_json(report.to_json())
    else:
        print(report.summary())
        show_trouble(report)
        show_waiting(report)
    if not report.complete:
        raise typer.Exit(1)


def doctor(
    index: Annotated[str | None, typer.Argument(help="One index; all that Hybrid has a part in if not given.")] = None,
    json: Json = False,
) -> None:
    """What the cluster can do, what is degraded, what would block an attach, and how to mend it.

    Exit code 0: all is well; 1: something is degraded or blocked.

    Example: hybrid doctor shop --json
    """
    from rich.table import Table

    from hybrid.doctor import examine
    from hybrid.wiring import build_services

    found = examine(build_services(), index)
    if json:
        print_json(found.to_json())
    else:
        table = Table("", "what", "status", "found", "what to do")
        for check in found.checks:
            table.add_row(check.part, check.what, check.status, check.detail, check.mend)
        console(stderr=False).print(table)
    if not found.healthy:
        raise typer.Exit(1)


def _dry_run(services: Any, plan: Any, as_json: bool) -> None:
    from hybrid.attach import estimate

    found = estimate(services, plan)
    if as_json:
        print_json({**plan.to_json(), "estimate": found.to_json()})
    else:
        shop = plan.shop
        rates = ", ".join(f"{rate:,.0f} {name}/s" for name, rate in found.rates.items()) or "nothing to encode"
        print(f"index        {shop.name} ({shop.concrete}), {shop.documents:,} documents, {size(shop.size_bytes)}")
        print(f"adds         the object field `hybrid`: {plan.added_fields} fields in the mapping; yours stay")
        print(f"signals      {', '.join(['lexical', *plan.profile.signals])}")
        print(f"to enrich    {found.documents:,} documents")
        print(f"takes        about {duration(found.seconds)} on this machine ({rates})")
        print(
            f"adds         about {size(found.bytes)} in all copies; two to three times that until segments are merged"
        )
        for blocker in plan.blockers:
            print(f"BLOCKED      {blocker}")
    if plan.blockers:
        raise IndexConflictError(f"it cannot be attached yet: {plan.blockers[0]}")


def show_trouble(report: Any) -> None:
    """What a run could not do, and what to do about it."""
    from hybrid.jobs import summary_counts

    if report.refused:
        print(f"{sum(report.refused.values()):,} documents refused: {summary_counts(report.refused)}")
    if report.failed:
        print(f"{sum(report.failed.values()):,} vectors failed: {summary_counts(report.failed)}; attach tries again")


def show_waiting(report: Any) -> None:
    """What a sync has to go on with."""
    if report.waiting:
        print(f"{report.waiting:,} documents still wait for vectors; run `hybrid sync {report.index}`")


def duration(seconds: float) -> str:
    """Seconds for people."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
