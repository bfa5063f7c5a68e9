"""`hybrid train weights`: how much each signal counts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hybrid.cli.options import Force, Index, Json, Name, Seed, end_training, train
from hybrid.cli.output import console, counted, say


@train.command("weights")
def train_weights(
    index: Index,
    judgments: Annotated[
        Path | None,
        typer.Option(help="Judged queries, a file or list:NAME; gate and attention can do without."),
    ] = None,
    kind: Annotated[str, typer.Option(help="global, kinds, gate or attention.")] = "kinds",
    folds: Annotated[int, typer.Option(min=2, max=20, help="Parts of the cross-validation.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, max=50, help="Times that it is done, shuffled anew.")] = 4,
    synthetic: Annotated[int, typer.Option(min=0, max=20_000, help="Queries to make up from the catalogue.")] = 600,
    risk: Annotated[
        float,
        typer.Option(min=0, max=10, help="How much more losses against BM25 count than gains; costs quality."),
    ] = 0.0,
    seed: Seed = 0,
    name: Name = None,
    apply: Annotated[bool, typer.Option(help="Make the new version active.")] = True,
    force: Force = False,
    json: Json = False,
) -> None:
    """Learn how much each signal counts, for all queries or by query, and publish what is better beyond doubt.

    The kinds up to --kind are compared by nested cross-validation, each with what is in force: first with the active
    weights, then with the simpler kind that beat them. "No better" is the usual answer where few queries are judged.
    Reads the index and the judgments; writes a version of weights for the index.
    Example: hybrid train weights --index shop --judgments judgments.csv
    """
    from hybrid.learning.weights import training
    from hybrid.learning.weights.fit import Options
    from hybrid.services import build_services

    services = build_services()
    judged = services.judged(index, judgments) if judgments else None
    for note in judged.notes if judged else ():
        say(f"{judgments}: {note}")
    with counted() as show:
        options = Options(risk=risk)
        result = training.train(
            services, index, judged, kind, folds, repeats, synthetic, seed, options, progress=show, keep_kind=force
        )
    about = {"list": judgments.name} if judgments else {}
    end_training(services, result, _show, name, force, apply, json, about)


def _show(result: Any) -> None:
    from rich.table import Table

    table = Table("system", "ndcg@10", "95 %", "to bm25", "p", "to active", "p", "hurt", title=_title(result))
    for row in result.rows:
        table.add_row(
            row.system, f"{row.ndcg:.4f}", f"{row.low:.3f} to {row.high:.3f}", f"{row.against_bm25:+.4f}",
            f"{row.p_bm25:.3f}", f"{row.against_active:+.4f}", f"{row.p_active:.3f}", f"{row.hurt:.1%}",
        )  # fmt: skip
    console(stderr=False).print(table)
    print(f"best mixture for each query, an oracle: {result.oracle:.4f}")
    for step in result.steps:
        print(f"{str(step)[0].upper()}{str(step)[1:]}.")
    if result.ablation:
        carried = ", ".join(f"{name} {lost:+.4f}" for name, lost in result.ablation.items() if abs(lost) >= 0.0005)
        print(f"nDCG lost without a feature: {carried or 'none matters alone'}")
    small = Table("skip below", "ndcg@10", "searches saved", title="Leaving out small signals")
    for point in result.skip:
        mark = "  chosen" if point["threshold"] == result.model.skip_below else ""
        small.add_row(f"{point['threshold']:.2f}", f"{point['ndcg']:.4f}", f"{point['saved']:.1%}{mark}")
    console(stderr=False).print(small)


def _title(result: Any) -> str:
    if result.repeats * result.folds == 1:
        return f"{result.synthetic // 2} synthetic queries held out, of {result.synthetic}"
    return (
        f"{result.judged} judged and {result.synthetic} synthetic queries over {', '.join(result.signals)}; "
        f"{result.repeats} x {result.folds}-fold cross-validation"
    )
