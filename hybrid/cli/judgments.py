"""`hybrid judgments`: what is in a file, the same in another format, and what is left to rate."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hybrid.cli.evaluate import Queries
from hybrid.cli.options import Index, Json, names
from hybrid.cli.output import counted, print_json, say
from hybrid.errors import UsageError


class _FileOrCommand(TyperGroup):
    """`hybrid judgments FILE` is `hybrid judgments show FILE`."""

    of_files = "show"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *self.get_help_option_names(ctx)):
            args = [self.of_files, *args]
        return super().parse_args(ctx, args)


judgments = typer.Typer(
    cls=_FileOrCommand,
    help="What is in a file of judgments (`hybrid judgments FILE`), and what is left to rate.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@judgments.command("show")
def show(
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


@judgments.command("pool")
def pool(
    index: Index,
    judgments: Annotated[
        Path, typer.Option(help="Judgments whose queries are asked: a file of any format, or list:NAME.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV to write: query, docid, title, rating (empty), shown.")],
    systems: Annotated[str, typer.Option(help="Systems, or versions of weights, whose hits are to be rated.")] = (
        "bm25,fixed"
    ),
    depth: Annotated[int, typer.Option(min=1, max=100, help="Hits of each system and query that are looked at.")] = 10,
    queries: Queries = None,
    json: Json = False,
) -> None:
    """A list to rate: the products that systems show for judged queries, and that nobody has judged.

    The rows that could move the systems apart most come first. Fill in ratings from 0 to 3 and leave out what you like:
    rows without a rating are no judgments. Every command takes the file as --judgments, and the admin page takes it
    into a list, beside what is judged already.
    Example: hybrid judgments pool --index shop --systems bm25,fixed --judgments judgments.csv -o rate.csv
    """
    from hybrid.evaluation.pool import search_pool, write_pool
    from hybrid.searches import systems as all_systems
    from hybrid.services import build_services

    chosen = list(dict.fromkeys(names(systems)))
    if not chosen:
        raise UsageError(f"no systems whose hits are to be rated; known: {', '.join(all_systems())}")
    services = build_services()
    judged = services.judged(index, judgments, queries)
    profile = services.searcher.profile(index)
    with counted() as show_progress:
        rows, titles = search_pool(
            services.searcher.search, index, judged, chosen, depth, profile.fields.roles.get("title", ()), show_progress
        )
    for path in write_pool(rows, judged, titles, out):
        say(f"wrote {path}")
    rated = {row.query for row in rows}
    summary = {"unjudged": len(rows), "queries": len(judged.ratings), "queries_with_unjudged": len(rated)}
    if json:
        print_json({**summary, "systems": chosen, "depth": depth, "written": str(out)})
    else:
        print(
            f"{len(rows):,} products to rate, for {len(rated):,} of {len(judged.ratings):,} queries, in {out}; the "
            f"first rows tell most"
        )
