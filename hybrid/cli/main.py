"""The `hybrid` command. Parses, calls one function, shows the answer."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybrid import (
    cli_admin,
    cli_alignments,
    cli_evaluate,
    cli_reindex,
    cli_shop,
    cli_sounds,
    cli_tags,
    cli_tfidf,
    cli_weights,
)
from hybrid.cli_options import Index, Json, Lexical, Map, Workers, names, show_fields
from hybrid.errors import HybridError, UsageError
from hybrid.terminal import LiveProgress, print_json, say

if TYPE_CHECKING:
    from hybrid.contracts import SearchRequest
    from hybrid.wiring import Services

app = typer.Typer(
    name="hybrid",
    help="Multimodal search for the Elasticsearch that a shop already runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cli_weights.train, name="train")
app.add_typer(cli_weights.weights, name="weights")
app.add_typer(cli_alignments.alignments, name="alignments")
app.add_typer(cli_tfidf.tfidf, name="tfidf")
app.add_typer(cli_sounds.sounds, name="sounds")
app.add_typer(cli_tags.tags, name="tags")
app.add_typer(cli_admin.admin, name="admin")
Node = Annotated[str | None, typer.Option("--node", help="Name of the embedded engine; several may run.")]


def main() -> None:
    """Entry point: errors are one line on stderr; exit code 0 done, 1 failed, 2 used wrongly."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for chatty in ("elastic_transport", "celery", "jieba"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    try:
        app()
    except HybridError as error:
        print(f"hybrid: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("hybrid: interrupted; what was written stays, and the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


# -- the embedded engine ---------------------------------------------------------------------------------------


@app.command()
def up(
    node: Node = None,
    version: Annotated[str | None, typer.Option(help="Elasticsearch version: 8, 9, or exact.")] = None,
    json: Json = False,
) -> None:
    """Start the embedded Elasticsearch and Redis. Example: hybrid up --version 8"""
    from hybrid import node as engine
    from hybrid.settings import load_settings

    _show_node(engine.up(load_settings(), name=node, version=version, on_step=say), json)


@app.command()
def down(
    node: Node = None,
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete its data as well.")] = False,
    json: Json = False,
) -> None:
    """Stop the embedded engine. Example: hybrid down --wipe"""
    from hybrid import node as engine
    from hybrid.settings import load_settings

    _show_node(engine.down(load_settings(), name=node, wipe=wipe), json)


@app.command()
def status(node: Node = None, json: Json = False) -> None:
    """Addresses, process ids and logs of the embedded engine. Example: hybrid status --json"""
    from hybrid import node as engine
    from hybrid.settings import load_settings

    _show_node(engine.status(load_settings(), name=node), json)


def _show_node(found: Any, as_json: bool) -> None:
    data = found.to_json()
    if as_json:
        print_json(data)
        return
    for key, value in data.items():
        print(f"{key:<14} {value if value is not None else '-'}")


# -- ingest ----------------------------------------------------------------------------------------------------


@app.command()
def index(
    file: Annotated[Path, typer.Argument(help="NDJSON, JSON array, CSV or TSV; plain or .gz.")],
    index: Index,
    map: Map = None,
    signals: Annotated[
        str | None, typer.Option(help="Vector signals, e.g. text,image; as guessed if not given.")
    ] = None,
    workers: Workers = 0,
    language: Annotated[
        str, typer.Option(help="Language of the words; Chinese is always understood beside it.")
    ] = "en",
    media: Annotated[
        Path | None, typer.Option(help="Folder of the pictures; the catalogue's own folder if not given.")
    ] = None,
    rejects: Annotated[Path | None, typer.Option(help="File for rows that cannot be taken.")] = None,
    template: Annotated[
        Path | None, typer.Option(help="JSON of your own settings and mappings: analyzers, field types.")
    ] = None,
    lexical: Lexical = None,
    json: Json = False,
) -> None:
    """Index a catalogue, with vectors; only what changed is written and encoded.

    Example: hybrid index products.ndjson.gz --index shop --map title=name,brand=maker --workers 2
    """
    from hybrid import jobs

    services = _services()
    chosen = names(signals) if signals is not None else None
    plan = jobs.plan_index(services, file, index, map, chosen, language, media, template, lexical)
    if not json:
        show_fields(f"{plan.path.name} is read", plan.profile, plan.sample, plan.notes)
    with LiveProgress() as show:
        report = jobs.run_index(services, plan, workers, show, rejects)
    if json:
        print_json(report.to_json())
    else:
        _show_report(report)
    if not report.complete:
        raise typer.Exit(1)


def _show_report(report: Any) -> None:
    from hybrid.jobs import summary_counts

    print(report.summary())
    if report.rejects:
        print(
            f"{sum(report.rejects.values()):,} rows rejected: {summary_counts(report.rejects)}; "
            f"see {report.rejects_file}"
        )
    if report.failed:
        print(f"{sum(report.failed.values()):,} vectors failed: {summary_counts(report.failed)}; tried again next time")


# -- search ----------------------------------------------------------------------------------------------------


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="Words; may be empty beside --image, --video or --audio.")] = "",
    index: Annotated[str | None, typer.Option("--index", help="Name of the index.")] = None,
    image: Annotated[Path | None, typer.Option(help="A photo to search by.")] = None,
    video: Annotated[Path | None, typer.Option(help="A video, or an animation, to search by.")] = None,
    audio: Annotated[Path | None, typer.Option(help="A sound to search by.")] = None,
    weights: Annotated[str | None, typer.Option(help="e.g. text=.6,lexical=.4")] = None,
    alpha: Annotated[float | None, typer.Option(help="Share of the vectors, where there are two signals.")] = None,
    weights_version: Annotated[str | None, typer.Option(help="Published weights other than those in force.")] = None,
    system: Annotated[
        str | None, typer.Option(help="bm25, text, image, video, audio, fused, rrf, fixed, global, gate or attention.")
    ] = None,
    filter: Annotated[list[str] | None, typer.Option(help="field=value, again for more, e.g. brand=HP")] = None,
    size: Annotated[int, typer.Option(min=1, max=1000)] = 10,
    page: Annotated[int, typer.Option(min=1)] = 1,
    explain: Annotated[bool, typer.Option("--explain", help="What each signal gave each hit.")] = False,
    json: Json = False,
) -> None:
    """Search an index. Example: hybrid search "quiet mouse for travelling" --index shop --explain"""
    from hybrid.contracts import SearchRequest

    # Everything that can be wrong in the words typed is found before the cluster is asked.
    options: dict[str, Any] = {
        "image": _read_file(image, "photo"),
        "video": _read_file(video, "video"),
        "audio": _read_file(audio, "sound"),
        "filters": _filters(filter or []),
        "weights": _weights(weights),
        "alpha": alpha,
        "weights_version": weights_version,
    }
    services = _services()
    request = SearchRequest(
        index=_index_name(services, index),
        q=query,
        system=system,
        size=size,
        page=page,
        explain=explain,
        **options,
    )
    _answer(services, request, explain, json)


@app.command()
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
    from hybrid.contracts import SearchRequest

    filters = _filters(filter or [])
    services = _services()
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
                    f"no vector -> {part.scaled:.3f}"
                    if part.raw is None
                    else f"raw {part.raw:.3f} -> {part.scaled:.3f}"
                )
                print(f"       {name:<8} {raw} x weight {part.weight:.3f} = {part.contribution:.4f}")
            for name, at in hit.nearest.items():
                what = f"picture {int(at) + 1}" if name == "image" else f"the frame at {at:.1f} s"
                print(f"       {name:<8} {what} is the nearest")
    shown = ", ".join(f"{name} {weight:.2f}" for name, weight in answer.weights.items())
    print(f"{answer.total:,} found ({answer.total_counts}); {answer.weights_version}: {shown}; {answer.took_ms:.0f} ms")
    if explain:
        for reason in answer.reasons:
            print(f"weights: {reason}")
    for note in answer.notes:
        print(f"note: {note}")
    for failure in answer.degraded:
        print(f"degraded: {failure.part}: {failure.reason}", file=sys.stderr)


app.command()(cli_evaluate.evaluate)
app.command()(cli_evaluate.judgments)
app.command()(cli_shop.attach)
app.command()(cli_reindex.reindex)
app.command()(cli_shop.sync)
app.command()(cli_shop.doctor)


# -- processes -------------------------------------------------------------------------------------------------


@app.command()
def worker(
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes that encode.")] = 1,
    beat: Annotated[
        bool, typer.Option("--beat", help="Also sync every HYBRID_SYNC_INTERVAL_S seconds; on one worker only.")
    ] = False,
) -> None:
    """Run a Celery worker until stopped. Example: hybrid worker --processes 2 --beat"""
    from hybrid import pool

    services = _services()
    environment = pool.worker_environment(services.settings, processes)
    environment |= {"HYBRID_ES_URL": services.es_url, "HYBRID_REDIS_URL": services.redis_url}
    schedule = services.settings.data_dir / "beat" / "schedule" if beat else None
    if schedule:
        schedule.parent.mkdir(parents=True, exist_ok=True)
    command = pool.worker_command(processes, schedule)
    os.execve(command[0], command, environment)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; loopback unless you say otherwise.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    processes: Annotated[int, typer.Option(min=1, max=64)] = 1,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Searches at once in a process.")] = 8,
) -> None:
    """Serve the search page and the API until stopped. Example: hybrid serve --port 8080"""
    services = _services()
    environment = {**os.environ, "HYBRID_ES_URL": services.es_url}
    command = serve_command(host, port, processes, threads)
    os.execve(command[0], command, environment)


def serve_command(host: str, port: int, processes: int, threads: int) -> list[str]:
    """The command line of the web server."""
    return [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--factory", "web.serving:create_app",
        "--host", host, "--port", str(port), "--http", "1", "--workers", str(processes),
        # A thread that ends takes its connection to the cluster along.
        "--blocking-threads", str(threads), "--blocking-threads-idle-timeout", "600",
        "--respawn-failed-workers", "--workers-kill-timeout", "30", "--no-ws", "--access-log",
    ]  # fmt: skip


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Do it all, show a few searches, and stop again.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page; another if taken.")] = 8000,
) -> None:
    """Everything on this machine: engine, broker, worker, page, with the sample catalogue.

    Example: hybrid demo --once
    """
    from hybrid import demo as show
    from hybrid.settings import load_settings

    show.run(load_settings(), once=once, port=port, say=say, progress=LiveProgress)


@app.command()
def bench(
    what: Annotated[str, typer.Argument(help="encode, search or weights")],
    file: Annotated[Path | None, typer.Option(help="encode: a catalogue whose texts are encoded.")] = None,
    images: Annotated[Path | None, typer.Option(help="encode: a folder whose pictures are encoded.")] = None,
    index: Annotated[str | None, typer.Option("--index", help="search, weights: the index.")] = None,
    judgments: Annotated[Path | None, typer.Option(help="search, weights: judged queries.")] = None,
    limit: Annotated[int, typer.Option(min=10, help="encode: how many, at random.")] = 1000,
    json: Json = False,
) -> None:
    """Speed on this machine: encoding against stock PyTorch, or search against its parts; or what learned weights are
    worth with few judgments and with bad vectors.

    Example: hybrid bench encode --file products.ndjson.gz
    """
    from hybrid import benchmarks

    services = _services()
    if what == "encode" and file:
        result = benchmarks.encoding(services, file, limit)
    elif what == "encode" and images:
        result = benchmarks.encoding_pictures(services, images, limit)
    elif what == "search" and index and judgments:
        result = benchmarks.searching(services, index, judgments)
    elif what == "weights" and index and judgments:
        result = benchmarks.weighing(services, index, judgments)
    else:
        raise UsageError(
            "use `hybrid bench encode --file FILE` or `--images FOLDER`, "
            "or `hybrid bench search|weights --index NAME --judgments FILE`"
        )
    if json:
        print_json(result)
        return
    for key, value in result.items():
        print(f"{key:<28} {value:.4g}" if isinstance(value, float) else f"{key:<28} {value}")


# -- helpers ---------------------------------------------------------------------------------------------------


def _services() -> Services:
    from hybrid.wiring import build_services

    return build_services()


def _index_name(services: Services, given: str | None) -> str:
    name = given or services.settings.index
    if name:
        return name
    found = services.searcher.indices()
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f"name the index with --index; there are: {', '.join(found) or 'none yet (hybrid index FILE --index NAME)'}"
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


if __name__ == "__main__":
    main()
