"""`hybrid index`, `attach`, `sync` and `doctor`: the verbs that give an index its vectors and keep it in step."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from hybrid.cli.options import Index, Json, Language, Lexical, Map, Media, Workers, names, operator, show_fields
from hybrid.cli.output import LiveProgress, console, print_json, show_trouble, show_waiting
from hybrid.errors import IndexConflictError
from hybrid.text.human import duration, size


def attach(
    index: Annotated[str, typer.Argument(help="Your index, or the alias in front of it.")],
    map: Map = None,
    signals: Annotated[
        str | None, typer.Option(help="Vector signals, e.g. text,image; as guessed if not given.")
    ] = None,
    workers: Workers = 0,
    language: Language = None,
    media: Media = None,
    lexical: Lexical = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """Add the layer to an index that you already have, in place; your own fields are never written.

    Example: hybrid attach shop --dry-run
    """
    from hybrid.operations import attach as attaching
    from hybrid.services import build_services

    services = build_services()
    chosen = names(signals) if signals is not None else None
    plan = attaching.plan_attach(services, index, map, chosen, language, media, lexical)
    if not json:
        show_fields(f"the documents of {plan.shop.name} are read", plan.profile, plan.sample, plan.notes)
    if dry_run:
        _dry_run(services, plan, json)
        return
    said = {"signals": ", ".join(plan.profile.signals), "map": map or ""}
    with services.audit.recorded(operator(), "attach", index, **said), LiveProgress() as show:
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
    from hybrid.operations.sync import run_sync
    from hybrid.services import build_services

    services = build_services()
    with services.audit.recorded(operator(), "sync", index), LiveProgress() as show:
        report = run_sync(services, index, workers, show)
    if json:
        print_json(report.to_json())
    else:
        print(report.summary())
        show_trouble(report)
        show_waiting(report)
    if not report.complete:
        raise typer.Exit(1)


def calibrate(
    index: Annotated[str, typer.Argument(help="An index that Hybrid made or is attached to.")],
    json: Json = False,
) -> None:
    """How near nonsense comes to the products, so that searches show nothing for it. Example: hybrid calibrate shop

    Every index, attach and reindex ends with it. Run it when the catalogue has become another since.
    """
    from hybrid.operations import calibration
    from hybrid.services import build_services

    services = build_services()
    with services.audit.recorded(operator(), "calibrate", index):
        floors = calibration.calibrate(services, index)
    if json:
        print_json({name: asdict(floor) for name, floor in floors.items()})
    for name, floor in floors.items() if not json else ():
        cosines = ", ".join(f"{cosine:.2f} for {script} text" for script, cosine in floor.cosines.items())
        print(f"{name}: a product that no word finds needs a cosine of {cosines}")
    if not floors and not json:
        print(f"no floor: the index has fewer than {calibration.FEWEST_PRODUCTS} products, or no vectors of words")


def doctor(
    index: Annotated[str | None, typer.Argument(help="One index; all that Hybrid has a part in if not given.")] = None,
    json: Json = False,
) -> None:
    """What the cluster can do, what is degraded, what would block an attach, and how to mend it.

    Exit code 0: all is well; 1: something is degraded or blocked.

    Example: hybrid doctor shop --json
    """
    from rich.table import Table

    from hybrid.operations.doctor import examine
    from hybrid.services import build_services

    diagnosis = examine(build_services(), index)
    if json:
        print_json(diagnosis.to_json())
    else:
        table = Table("", "what", "status", "found", "what to do")
        for check in diagnosis.checks:
            table.add_row(check.part, check.what, check.status, check.detail, check.fix)
        console(stderr=False).print(table)
    if not diagnosis.healthy:
        raise typer.Exit(1)


def _dry_run(services: Any, plan: Any, as_json: bool) -> None:
    from hybrid.operations.attach import estimate

    needed = estimate(services, plan)
    if as_json:
        print_json({**plan.to_json(), "estimate": needed.to_json()})
    else:
        shop = plan.shop
        rates = ", ".join(f"{rate:,.0f} {name}/s" for name, rate in needed.rates.items()) or "nothing to encode"
        print(f"index        {shop.name} ({shop.concrete}), {shop.documents:,} documents, {size(shop.size_bytes)}")
        print(f"adds         the object field `hybrid`: {plan.added_fields} fields in the mapping; yours stay")
        print(f"signals      {', '.join(['lexical', *plan.profile.signals])}")
        print(f"to enrich    {needed.documents:,} documents")
        print(f"takes        about {duration(needed.seconds)} on this machine ({rates})")
        print(
            f"adds         about {size(needed.bytes)} in all copies; two to three times that until segments are merged"
        )
        for blocker in plan.blockers:
            print(f"BLOCKED      {blocker}")
    if plan.blockers:
        raise IndexConflictError(f"it cannot be attached yet: {plan.blockers[0]}")


def index(
    file: Annotated[Path, typer.Argument(help="NDJSON, JSON array, CSV, TSV or a feed in XML; plain or .gz.")],
    index: Index,
    map: Map = None,
    signals: Annotated[
        str | None, typer.Option(help="Vector signals, e.g. text,image; as guessed if not given.")
    ] = None,
    workers: Workers = 0,
    language: Language = None,
    media: Annotated[
        Path | None, typer.Option(help="Folder of the pictures; the catalogue's own folder if not given.")
    ] = None,
    rejects: Annotated[Path | None, typer.Option(help="File for rows that cannot be taken.")] = None,
    template: Annotated[
        Path | None, typer.Option(help="JSON of your own settings and mappings: analyzers, field types.")
    ] = None,
    lexical: Lexical = None,
    decimal: Annotated[
        str | None, typer.Option(help="Mark before decimals, . or ,; as the values say if not given.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Whose export it is: woocommerce, magento, shopware, shopware5, shopify, prestashop, google, "
            "woocommerce-json, shopify-json, or none; as its columns say if not given."
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete the products of the index that are not in the file.")
    ] = False,
    max_removed: Annotated[
        float, typer.Option(min=0, max=100, help="Percent of the index that --replace deletes without a question.")
    ] = 20,
    json: Json = False,
) -> None:
    """Index a catalogue, with vectors; only what changed is written and encoded.

    Numbers are read as people write them (1.299,00 or € 12). Exit code 1: a row, a value or a vector is missing, or the
    index loses a field that it had.

    Example: hybrid index products.ndjson.gz --index shop --map title=name,brand=maker --workers 2
    """
    from hybrid.operations import indexing
    from hybrid.services import build_services

    services = build_services()
    chosen = names(signals) if signals is not None else None
    plan = indexing.plan_index(services, file, index, map, chosen, language, media, template, lexical, decimal, preset)
    if not json:
        show_fields(f"{plan.path.name} is read", plan.profile, plan.sample, [*plan.notes, *plan.losses])
    bar = LiveProgress()
    removal = indexing.Replace(max_removed / 100, _asked(bar, index)) if replace else None
    said = {"file": file.name, "replace": replace, "signals": ", ".join(plan.profile.signals)}
    with services.audit.recorded(operator(), "index_file", index, **said), bar as show:
        report = indexing.run_index(services, plan, workers, show, rejects, removal)
    if json:
        print_json(report.to_json())
    else:
        _show_report(report)
    if not report.complete:
        raise typer.Exit(1)


def _asked(bar: LiveProgress, index: str) -> Callable[[int, float], bool]:
    """The question before many products are deleted. Where nobody can answer, the answer is no."""

    def ask(absent: int, share: float) -> bool:
        if not sys.stdin.isatty():
            return False
        with bar.paused():
            question = f"Delete {absent:,} products of {index} ({share:.0%}) that are not in the file?"
            return typer.confirm(question, err=True)

    return ask


def delete(
    ids: Annotated[list[str], typer.Argument(help="Ids of the products.")], index: Index, json: Json = False
) -> None:
    """Delete products from an index, with their vectors. Exit code 1: one was not there.

    Example: hybrid delete p-102 p-103 --index shop
    """
    from hybrid.ingest.push import Operation
    from hybrid.services import build_services

    services = build_services()
    with services.audit.recorded(operator(), "delete_products", index, products=", ".join(ids)):
        report = services.push(index, [Operation(id, None) for id in ids])
    if json:
        print_json({"index": index, "results": [vars(outcome) for outcome in report.results]})
    else:
        for outcome in report.results:
            print(
                f"{outcome.id}: {outcome.result.replace('_', ' ')}{f' ({outcome.message})' if outcome.message else ''}"
            )
    if any(outcome.result != "deleted" for outcome in report.results):
        raise typer.Exit(1)


def _show_report(report: Any) -> None:
    from hybrid.operations.indexing import summary_counts

    print(report.summary())
    if report.rejects:
        print(
            f"{sum(report.rejects.values()):,} rows rejected: {summary_counts(report.rejects)}; "
            f"see {report.rejects_file}"
        )
    if report.variants:
        print(f"{report.variants:,} variants are in their products")
    if report.alone:
        print(f"{report.alone:,} variants have no product in the file, and are products of their own")
    if report.left_out:
        print(f"left out: {', '.join(f'{count:,} {why}' for why, count in report.left_out.items())}")
    for path, misfits in report.misfits.items():
        print(
            f"{misfits.count:,} values of {path} are not {misfits.wanted}, such as {misfits.value!r} in line "
            f"{misfits.line}; nobody can filter or sort by them"
        )
    for loss in report.losses:
        print(loss)
    if report.kept_because:
        print(f"{report.absent:,} products are not in the file, and none of them was deleted: {report.kept_because}")
    elif report.removed:
        print(f"{report.removed:,} products that are not in the file were deleted")
    elif report.absent:
        print(f"{report.absent:,} products of the index are not in the file; --replace deletes them")
    if report.failed:
        print(f"{sum(report.failed.values()):,} vectors failed: {summary_counts(report.failed)}; tried again next time")
