"""`hybrid reindex`: a new generation of an index beside the old, swapped in when it is fit."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybrid.cli.options import Json, Language, Lexical, Map, Media, Workers, names, operator, show_fields
from hybrid.cli.output import LiveProgress, print_json, say, show_trouble
from hybrid.errors import UsageError
from hybrid.text.human import duration, size

if TYPE_CHECKING:
    from hybrid.operations.reindex.planning import ReindexPlan
    from hybrid.operations.reindex.running import ReindexReport
    from hybrid.services import Services


def reindex(
    index: Annotated[str, typer.Argument(help="The alias that your shop uses.")],
    shards: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Shards of the new index; as now if none.")
    ] = None,
    template: Annotated[
        Path | None, typer.Option(help='Your own fields and settings anew: {"settings": …, "mappings": …}.')
    ] = None,
    map: Map = None,
    signals: Annotated[str | None, typer.Option(help="Vector signals, e.g. text,image; as now if not given.")] = None,
    language: Language = None,
    media: Media = None,
    lexical: Lexical = None,
    judgments: Annotated[
        Path | None, typer.Option(help="Judged queries: the new index must not answer them worse than the old.")
    ] = None,
    max_loss: Annotated[float, typer.Option(min=0, max=1, help="Mean nDCG@10 that it may lose.")] = 0.01,
    workers: Workers = 0,
    swap: Annotated[bool, typer.Option("--swap/--no-swap", help="End with the swap, or when verified.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do, and write nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was paused or killed.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Let the run that goes on stop; --resume goes on.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End the run, and take away what it made.")] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Put the old index back in use, with all that was written since.")
    ] = False,
    drop_old: Annotated[bool, typer.Option("--drop-old", help="Delete the index kept for a rollback.")] = False,
    status: Annotated[bool, typer.Option("--status", help="How far the newest run is.")] = False,
    json: Json = False,
) -> None:
    """Build the index anew beside the one in use, keep it in step, verify it, and swap it in without downtime.

    For another mapping, another model (HYBRID_TEXT_ENCODER and so on) or another number of shards.

    Example: hybrid reindex shop --shards 2 --dry-run
    """
    from hybrid.evaluation.formats import read_judgments
    from hybrid.operations.reindex import control, planning, running
    from hybrid.services import build_services

    chosen = [
        name
        for name, is_set in {
            "--resume": resume, "--pause": pause, "--cancel": cancel, "--rollback": rollback, "--drop-old": drop_old,
            "--status": status, "--dry-run": dry_run,
        }.items()
        if is_set
    ]  # fmt: skip
    if len(chosen) > 1:
        raise UsageError(f"{chosen[0]} and {chosen[1]} do not go together")
    decided = {"--shards": shards, "--template": template, "--map": map, "--signals": signals, "--language": language,
                "--media": media, "--lexical": lexical}  # fmt: skip
    decisions = [name for name, value in decided.items() if value is not None]
    if chosen and chosen != ["--dry-run"] and decisions:
        raise UsageError(f"{decisions[0]} decides what the new index is like, and does not go with {chosen[0]}")
    options = running.Options(workers, swap, read_judgments(judgments) if judgments is not None else None, max_loss)
    services = build_services()
    if status:
        _show_state(control.status(services, index), json)
    elif pause or cancel or rollback or drop_old:
        with _recorded(services, index, chosen[0]):
            if pause:
                state = control.pause(services, index)
            elif cancel:
                state = control.cancel(services, index)
            elif rollback:
                state = control.rollback(services, index)
            else:
                state = {"index": index, "dropped": control.drop(services, index)}
        _show_state(state, json)
    elif resume:
        with _recorded(services, index, "--resume"), LiveProgress() as show:
            report = running.resume(services, index, options, show)
        _end(report, json)
    else:
        from hybrid.catalogue.index_template import read_template

        plan = planning.plan_reindex(
            services,
            index,
            shards=shards,
            template=read_template(template) if template is not None else None,
            mapping=map,
            signals=names(signals) if signals is not None else None,
            language=language,
            media_root=media,
            lexical=lexical,
        )
        if not json:
            show_fields(f"the documents of {plan.shop.name} are read", plan.profile, plan.sample, plan.notes)
        if dry_run:
            _dry_run(services, plan, json)
            return
        with _recorded(services, index, "start", changes="; ".join(plan.changes)), LiveProgress() as show:
            report = running.run_reindex(services, plan, options, show)
        _end(report, json)


def _recorded(services: Services, index: str, step: str, **detail: str) -> AbstractContextManager[None]:
    """What is done in the block is in the audit trail. step: the option that orders it."""
    return services.audit.recorded(operator(), "reindex", index, step=step.lstrip("-"), **detail)


def _dry_run(services: Services, plan: ReindexPlan, as_json: bool) -> None:
    from hybrid.operations.reindex.planning import estimate

    expected = estimate(services, plan)
    if as_json:
        print_json({**plan.to_json(), "estimate": expected.to_json()})
        return
    shop = plan.shop
    rates = ", ".join(f"{rate:,.0f} {name}/s" for name, rate in expected.rates.items()) or "nothing to encode"
    print(f"index        {shop.name}: {shop.concrete}, {shop.documents:,} documents, {size(shop.size_bytes)}")
    print(f"makes        {plan.new}, {plan.profile.shards} shards; {'; '.join(plan.changes)}")
    print(f"takes        about {duration(expected.seconds)} on this machine ({rates})")
    print(f"needs        about {size(expected.bytes)} of disk beside the old index, which is kept")
    print("then         the alias moves to it; your writes wait for about a second, your searches do not")


def _end(report: ReindexReport, as_json: bool) -> None:
    if as_json:
        print_json(report.to_json())
    else:
        print(report.summary())
        for finding in report.verified.get("findings", ()):
            print(f"  {'ok' if finding['ok'] else 'NOT'}  {finding['what']}: {finding['detail']}")
        for note in report.notes:
            say(note)
        show_trouble(report)
        if report.swapped:
            print(f"kept         {report.old}; back to it: hybrid reindex {report.index} --rollback")
        elif report.status == "verified":
            print(f"to swap      hybrid reindex {report.index} --resume")
        elif report.status == "paused":
            print(f"to go on     hybrid reindex {report.index} --resume")
    if not report.complete:
        raise typer.Exit(1)


def _show_state(state: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(state)
        return
    for name, value in state.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {inner}" for key, inner in value.items() if not isinstance(inner, list))
        if value not in (None, "", [], {}):
            print(f"{name:<12} {value}")
