"""`hybrid search` and `hybrid similar`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybrid.cli.options import Json
from hybrid.cli.output import print_json
from hybrid.errors import UsageError
from hybrid.signals import PRIOR, SIGNALS, kind_of

if TYPE_CHECKING:
    from hybrid.searches import SearchRequest
    from hybrid.services import Services


def search(
    query: Annotated[str, typer.Argument(help="Words; may be empty beside --image, --video or --audio.")] = "",
    index: Annotated[str | None, typer.Option("--index", help="Name of the index.")] = None,
    image: Annotated[Path | None, typer.Option(help="A photo to search by.")] = None,
    video: Annotated[Path | None, typer.Option(help="A video, or an animation, to search by.")] = None,
    audio: Annotated[Path | None, typer.Option(help="A sound to search by.")] = None,
    weights: Annotated[str | None, typer.Option(help="e.g. text=.6,lexical=.4")] = None,
    alpha: Annotated[float | None, typer.Option(help="Share of the vectors, where there are two signals.")] = None,
    weights_version: Annotated[str | None, typer.Option(help="Published weights other than the active ones.")] = None,
    system: Annotated[
        str | None,
        typer.Option(help="bm25, text, image, video, audio, fused, rrf, fixed, global, kinds, gate or attention."),
    ] = None,
    filter: Annotated[list[str] | None, typer.Option(help="field=value, again for more, e.g. brand=HP")] = None,
    size: Annotated[int, typer.Option(min=1, max=1000)] = 10,
    page: Annotated[int, typer.Option(min=1)] = 1,
    understand: Annotated[
        bool, typer.Option(help='Read "phrases", -exclusions and prices (under 50) from the words.')
    ] = True,
    as_typed: Annotated[bool, typer.Option("--as-typed", help="Correct no typing mistakes.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="What each signal gave each hit.")] = False,
    json: Json = False,
) -> None:
    """Search an index. Example: hybrid search "quiet mouse for travelling" --index shop --explain"""
    from hybrid.searches import SearchRequest
    from hybrid.services import build_services

    # Everything that can be wrong in the words typed is found before the cluster is asked.
    options: dict[str, Any] = {
        "image": _read_file(image, "photo"),
        "video": _read_file(video, "video"),
        "audio": _read_file(audio, "sound"),
        "filters": _filters(filter or []),
        "weights": _weights(weights),
        "alpha": alpha,
        "weights_version": weights_version,
        **({} if understand else {"understand": ()}),
    }
    services = build_services()
    request = SearchRequest(
        index=_index_name(services, index),
        q=query,
        system=system,
        size=size,
        page=page,
        explain=explain,
        correct=not as_typed,
        **options,
    )
    _answer(services, request, explain, json)


def similar(
    product: Annotated[str, typer.Argument(help="Id of a product.")],
    index: Annotated[str | None, typer.Option("--index", help="Name of the index.")] = None,
    system: Annotated[str | None, typer.Option(help="By one kind of vector alone: text, image, fused, ...")] = None,
    filter: Annotated[list[str] | None, typer.Option(help="field=value, again for more, e.g. brand=HP")] = None,
    size: Annotated[int, typer.Option(min=1, max=1000)] = 10,
    explain: Annotated[bool, typer.Option("--explain", help="What each signal gave each hit.")] = False,
    json: Json = False,
) -> None:
    """Products like a product, by the vectors that it has. Example: hybrid similar p042 --index shop"""
    from hybrid.searches import SearchRequest
    from hybrid.services import build_services

    filters = _filters(filter or [])
    services = build_services()
    name = _index_name(services, index)
    request = SearchRequest(index=name, like=product, system=system, filters=filters, size=size, explain=explain)
    _answer(services, request, explain, json)


def _answer(services: Services, request: SearchRequest, explain: bool, json: bool) -> None:
    """Search, and print what is found."""
    answer = services.searcher.search(request)
    if json:
        print_json(answer.to_json())
        return
    fields = services.searcher.profile(request.index).fields
    for rank, hit in enumerate(answer.hits, (request.page - 1) * request.size + 1):
        print(f"{rank:>3}. {hit.score:.4f}  {hit.id}  {_title(hit.source, fields)}")
        if explain:
            for name, part in hit.signals.items():
                raw = (
                    f"no {'value' if kind_of(name) == PRIOR else 'vector'} -> {part.scaled:.3f}"
                    if part.raw is None
                    else f"raw {part.raw:.3f} -> {part.scaled:.3f}"
                )
                print(f"       {name:<8} {raw} x weight {part.weight:.3f} = {part.contribution:.4f}")
            for name, at in hit.nearest.items():
                what = f"picture {int(at) + 1}" if SIGNALS[name].file == "image" else f"the frame at {at:.1f} s"
                print(f"       {name:<8} {what} is the nearest")
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in answer.weights.items())
    print(
        f"{answer.total:,} found ({answer.total_counts}); {answer.weights_version}: {weights}; {answer.took_ms:.0f} ms"
    )
    if answer.corrected:
        print(f"also searched: {answer.corrected.also} (--as-typed searches only {answer.corrected.typed})")
    if explain:
        for reason in answer.reasons:
            print(f"weights: {reason}")
    for understood in answer.understood:
        print(f"understood: {understood}")
    for note in answer.notes:
        print(f"note: {note}")
    for failure in answer.degraded:
        print(f"degraded: {failure.part}: {failure.reason}", file=sys.stderr)


def _index_name(services: Services, name_given: str | None) -> str:
    name = name_given or services.settings.index
    if name:
        return name
    names = services.searcher.indices()
    if len(names) == 1:
        return names[0]
    raise UsageError(
        f"name the index with --index; there are: {', '.join(names) or 'none yet (hybrid index FILE --index NAME)'}"
    )


def _read_file(path: Path | None, noun: str) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {noun} {path}: {error.strerror}") from error


def _weights(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    weights: dict[str, float] = {}
    for pair in text.split(","):
        name, _, number = pair.partition("=")
        try:
            weights[name.strip()] = float(number)
        except ValueError:
            raise UsageError(f"weights: {pair!r}; write them as text=.6,lexical=.4") from None
    return weights


def _filters(pairs: list[str]) -> dict[str, Any]:
    filters: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"filter {pair!r}; write it as field=value")
        filters.setdefault(name, []).append(value)
    return filters


def _title(source: dict[str, Any], fields: Any) -> str:
    from hybrid.contracts import values_at

    values = [str(value) for path in fields.roles.get("title", ()) for value in values_at(source, path)]
    return " / ".join(values)[:100]
