"""`hybrid evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybrid.cli.options import Index, Json, names
from hybrid.cli.output import console, counted, print_json, say
from hybrid.errors import UsageError

if TYPE_CHECKING:
    from hybrid.evaluation.evaluate import Evaluation, Search
    from hybrid.evaluation.report import Curves

Queries = Annotated[
    Path | None, typer.Option(help="Texts of queries that qrels name by number: id, tab, text. Else queries.tsv.")
]


def evaluate(
    index: Index,
    judgments: Annotated[
        Path,
        typer.Option(help="CSV (query, image or both, docid, rating), TREC, RRE, RankLib, BEIR, SRW, or list:NAME."),
    ],
    systems: Annotated[str, typer.Option(help="Systems to compare.")] = "bm25,text,rrf,fixed",
    folds: Annotated[
        int, typer.Option(min=0, max=20, help="Learn weights of these kinds anew, and ask each fold of the others.")
    ] = 0,
    synthetic: Annotated[int, typer.Option(min=0, max=20_000, help="With --folds: queries to make up.")] = 600,
    depth: Annotated[int, typer.Option(min=10, max=1000, help="Hits kept for each query.")] = 10,
    queries: Queries = None,
    run_out: Annotated[Path | None, typer.Option(help="Folder for TREC runs and qrels.")] = None,
    report: Annotated[Path | None, typer.Option(help="HTML file with charts and the queries that were hurt.")] = None,
    json: Json = False,
) -> None:
    """Quality and speed of the systems on judged queries.

    Learned weights that are active may have seen these judgments; --folds asks weights that have not.
    Example: hybrid evaluate --index shop --judgments judgments.csv --systems bm25,fixed,kinds --folds 5 --report e.html
    """
    from hybrid.evaluation import evaluate as evaluation
    from hybrid.searches import LEARNED_SYSTEMS
    from hybrid.searches import systems as all_systems
    from hybrid.services import build_services

    chosen = list(dict.fromkeys(names(systems)))
    for name in chosen:
        if name not in all_systems():
            raise UsageError(f"no system {name!r}; known: {', '.join(all_systems())}")
    if not chosen:
        raise UsageError(f"no systems to compare; known: {', '.join(all_systems())}")
    if folds == 1:
        raise UsageError("one fold leaves nothing to learn from; give --folds 2 or more")
    learned = [name for name in chosen if name in LEARNED_SYSTEMS]
    if folds and not learned:
        raise UsageError(f"--folds is for learned weights; add one of {', '.join(LEARNED_SYSTEMS)} to --systems")
    for path in (run_out, report):
        if path is not None and not path.absolute().parent.is_dir():
            raise UsageError(f"no folder {path.absolute().parent} to write {path.name} to")
    services = build_services()
    judged = services.judged(index, judgments, queries)
    profile = services.searcher.profile(index)
    for note in judged.notes:
        say(f"{judgments.name}: {note}")
    with counted() as show:
        search: Search = services.searcher.search
        if folds:
            from hybrid.learning.weights import validation

            search = validation.held_out_search(services, index, judged, learned, folds, synthetic, progress=show)
        done, total = 0, len(judged.relevant) * len(chosen)

        def count() -> None:
            nonlocal done
            done += 1
            show("evaluating", done, total)

        result = evaluation.evaluate(search, index, judged, chosen, count, depth)
    written = evaluation.write_runs(result, run_out) if run_out else []
    if report:
        from hybrid.evaluation.report import write_report

        write_report(result, report, profile.fields.roles.get("title", ()), _curves(services, index, learned))
        written.append(report)
    if json:
        print_json(result.to_json())
    else:
        _show(result)
    for path in written:
        say(f"wrote {path}")
    for name, values in result.systems.items():
        if values.degraded:
            say(f"{name}: {values.degraded} answers degraded")


def _curves(services: Any, index: str, learned: list[str]) -> Curves | None:
    """What the training of the active weights measured, or of the newest of these kinds."""
    from hybrid.elastic.stores.models import WEIGHTS
    from hybrid.evaluation.report import Curves
    from hybrid.search.weights import FIXED_VERSION

    versions = services.models(WEIGHTS)
    names = [versions.active(index), *(versions.latest(index, kind) for kind in reversed(learned))]
    for name in names:
        if name in (None, FIXED_VERSION):
            continue
        report = versions.head(name, index)["report"]
        if report.get("fewer") or report.get("skip"):
            return Curves(name, report.get("fewer", ()), report.get("skip", ()))
    return None


def _show(result: Evaluation) -> None:
    from rich.table import Table

    from hybrid.evaluation.significance import SHOWN

    names = list(next(iter(result.systems.values())).measures)
    table = Table("system", *names, "95 %", f"to {result.baseline}", "p", "hurt", "needed", "p50 ms", "p95 ms")
    for name, one in result.systems.items():
        against = ["", "", "", ""]
        if name != result.baseline:
            compared = one.comparison
            needed = "" if compared.needed is None else f"{compared.needed:,}"
            against = [f"{compared.difference:+.4f}", f"{compared.p:.3f}", f"{compared.hurt:.1%}", needed]
        table.add_row(
            name, *(f"{value:.4g}" for value in one.measures.values()),
            f"{one.comparison.low:.3f} to {one.comparison.high:.3f}", *against,
            f"{one.latency['p50_ms']:.4g}", f"{one.latency['p95_ms']:.4g}",
        )  # fmt: skip
    kinds = Table("queries", "n", *result.systems, title="nDCG@10 by kind of query")
    for kind, figures in result.kinds.items():
        kinds.add_row(kind, f"{figures['queries']:,}", *(f"{value:.3f}" for value in figures["ndcg@10"].values()))
    out = console(stderr=False)
    out.print(table)
    out.print(kinds)
    print(f"{len(result.queries)} queries with a relevant product; judged@10 {result.judged_at_10:.2f}")
    if len(result.systems) > 1:
        print(
            f"needed: judged queries that would show a difference of {SHOWN} to {result.baseline} (paired, two-sided "
            f"at 5 %, power 80 %)"
        )
