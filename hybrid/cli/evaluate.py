"""`hybrid evaluate` and `hybrid judgments`."""

from __future__ import annotations

from collections import Counter
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
        int, typer.Option(min=0, max=20, help="Learn global, gate and attention anew, and ask each fold of the others.")
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
    Example: hybrid evaluate --index shop --judgments judgments.csv --systems bm25,fixed,gate --folds 5 --report e.html
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

    names = list(next(iter(result.systems.values())).measures)
    table = Table("system", *names, "95 %", f"to {result.baseline}", "p", "hurt", "p50 ms", "p95 ms")
    for name, one in result.systems.items():
        against = ["", "", ""]
        if name != result.baseline:
            against = [f"{one.comparison.difference:+.4f}", f"{one.comparison.p:.3f}", f"{one.comparison.hurt:.1%}"]
        table.add_row(
            name, *(f"{value:.4g}" for value in one.measures.values()),
            f"{one.comparison.low:.3f} to {one.comparison.high:.3f}", *against,
            f"{one.latency['p50_ms']:.4g}", f"{one.latency['p95_ms']:.4g}",
        )  # fmt: skip
    console(stderr=False).print(table)
    print(f"{len(result.queries)} queries with a relevant product; judged@10 {result.judged_at_10:.2f}")


def judgments(
    file: Annotated[Path, typer.Argument(help="Judgments in any of the formats; a folder for BEIR.")],
    to: Annotated[str | None, typer.Option(help="quepid, trec, rre, ranklib, beir or srw.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write them; a folder for beir.")] = None,
    index: Annotated[str | None, typer.Option("--index", help="Index whose products are judged, to check ids.")] = None,
    queries: Queries = None,
    json: Json = False,
) -> None:
    """What is in a file of judgments; or the same in another format.

    Example: hybrid judgments qrels.txt --queries topics.tsv --to quepid --out judgments.csv
    """
    from hybrid.evaluation.formats import read_judgments, write_judgments

    if (to is None) != (out is None):
        raise UsageError("--to and --out go together: the format, and where to write it")
    judged = read_judgments(file, queries)
    summary = {
        "format": judged.format,
        "queries": len(judged.ratings),
        "with_a_relevant_product": len(judged.relevant),
        "judgments": sum(map(len, judged.ratings.values())),
        "ratings": {
            f"{rating:g}": count
            for rating, count in sorted(
                Counter(
                    value for rated in (judged.original or judged.ratings).values() for value in rated.values()
                ).items()
            )
        },
        "notes": list(judged.notes),
    }
    if index is not None:
        from hybrid.services import build_services

        services = build_services()
        services.searcher.profile(index)
        absent = services.cluster.indices.absent(index, judged.products)
        summary["products"] = len(judged.products)
        summary["products_in_index"] = len(judged.products) - len(absent)
    written = write_judgments(judged, out, to) if out is not None and to is not None else []
    if json:
        print_json({**summary, "written": [str(path) for path in written]})
        return
    for name, value in summary.items():
        text = ", ".join(f"{k}: {v:,}" for k, v in value.items()) if isinstance(value, dict) else value
        if isinstance(text, list):
            text = "; ".join(text)
        if text != "":
            number = f"{text:,}" if isinstance(text, int) else text
            print(f"{name.replace('_', ' '):<24} {number}")
    for path in written:
        print(f"wrote {path}")
