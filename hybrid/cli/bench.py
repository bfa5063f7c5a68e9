"""`hybrid bench`: figures of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybrid.cli.options import Json
from hybrid.cli.output import print_json
from hybrid.errors import UsageError

if TYPE_CHECKING:
    from hybrid.services import Services


def bench(
    what: Annotated[str, typer.Argument(help="encode, search, weights or check")],
    file: Annotated[Path | None, typer.Option(help="encode: a catalogue whose texts are encoded.")] = None,
    images: Annotated[Path | None, typer.Option(help="encode: a folder whose pictures are encoded.")] = None,
    index: Annotated[str | None, typer.Option("--index", help="search, weights: the index.")] = None,
    judgments: Annotated[Path | None, typer.Option(help="search, weights: judged queries.")] = None,
    limit: Annotated[int, typer.Option(min=10, help="encode: how many, at random.")] = 1000,
    json: Json = False,
) -> None:
    """Speed on this machine: encoding against stock PyTorch, or search against its parts; or what learned weights are
    worth with few judgments and with bad vectors. `check` measures all that has a limit, and exits with 1 above one.

    Example: hybrid bench encode --file products.ndjson.gz
    """
    from hybrid.bench import measurements
    from hybrid.services import build_services

    services = build_services()
    if what == "check":
        _check(services, json)
        return
    if what == "encode" and file:
        result = measurements.encoding(services, file, limit)
    elif what == "encode" and images:
        result = measurements.encoding_pictures(services.settings, images, limit)
    elif what == "search" and index and judgments:
        result = measurements.searching(services.searcher, index, judgments)
    elif what == "weights" and index and judgments:
        result = measurements.weighing(services, index, judgments)
    else:
        raise UsageError(
            "use `hybrid bench encode --file FILE` or `--images FOLDER`, "
            "`hybrid bench search|weights --index NAME --judgments FILE`, or `hybrid bench check`"
        )
    if json:
        print_json(result)
        return
    for key, value in result.items():
        print(f"{key:<28} {value:.4g}" if isinstance(value, float) else f"{key:<28} {value}")


def _check(services: Services, as_json: bool) -> None:
    from hybrid.bench import targets

    figures = []
    for one in targets.check(services):
        figures.append(one)
        if not as_json:
            figure = f"{one.value:>9.3g} {one.target.unit:<5} at most {one.target.limit:g}"
            detail = f" ({one.detail})" if one.detail else ""
            print(f"{'met' if one.met else 'MISSED':<7} {one.target.name:<13} {figure:<28} {one.target.what}{detail}")
    if as_json:
        print_json({"met": all(one.met for one in figures), "targets": [one.to_json() for one in figures]})
    if not all(one.met for one in figures):
        raise typer.Exit(1)
