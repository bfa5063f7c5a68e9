"""`hybrid up`, `down`, `status`, `worker`, `serve` and `demo`: the processes of the layer."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from hybrid.cli.options import Json
from hybrid.cli.output import LiveProgress, print_json, say

Node = Annotated[str | None, typer.Option("--node", help="Name of the embedded engine; several may run.")]


def up(
    node: Node = None,
    version: Annotated[str | None, typer.Option(help="Elasticsearch version: 8, 9, or exact.")] = None,
    json: Json = False,
) -> None:
    """Start the embedded Elasticsearch and Redis. Example: hybrid up --version 8"""
    from hybrid import node as engine
    from hybrid.settings import load_settings

    _show_node(engine.up(load_settings(), name=node, version=version, on_step=say), json)


def down(
    node: Node = None,
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete its data as well.")] = False,
    json: Json = False,
) -> None:
    """Stop the embedded engine. Example: hybrid down --wipe"""
    from hybrid import node as engine
    from hybrid.settings import load_settings

    _show_node(engine.down(load_settings(), name=node, wipe=wipe), json)


def status(node: Node = None, json: Json = False) -> None:
    """Addresses, process ids and logs of the embedded engine. Example: hybrid status --json"""
    from hybrid import node as engine
    from hybrid.settings import load_settings

    _show_node(engine.status(load_settings(), name=node), json)


def _show_node(node_status: Any, as_json: bool) -> None:
    data = node_status.to_json()
    if as_json:
        print_json(data)
        return
    for key, value in data.items():
        print(f"{key:<14} {value if value is not None else '-'}")


def worker(
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes that encode.")] = 1,
    beat: Annotated[
        bool, typer.Option("--beat", help="Also sync every HYBRID_SYNC_INTERVAL_S seconds; on one worker only.")
    ] = False,
) -> None:
    """Run a Celery worker until stopped. Example: hybrid worker --processes 2 --beat"""
    from hybrid.operations import processes as pool
    from hybrid.services import build_services

    services = build_services()
    environment = pool.worker_environment(services.settings, processes)
    environment |= {"HYBRID_ES_URL": services.es_url, "HYBRID_REDIS_URL": services.redis_url}
    schedule = services.settings.data_dir / "beat" / "schedule" if beat else None
    if schedule:
        schedule.parent.mkdir(parents=True, exist_ok=True)
    command = pool.worker_command(processes, schedule)
    os.execve(command[0], command, environment)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; loopback unless you say otherwise.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    processes: Annotated[int, typer.Option(min=1, max=64)] = 1,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Searches at once in a process. [default: HYBRID_WEB_THREADS, 8]"),
    ] = None,
) -> None:
    """Serve the search page and the API until stopped. Example: hybrid serve --port 8080"""
    from hybrid.operations import processes as pool
    from hybrid.services import build_services

    pool.check_address(host, port)
    services = build_services()
    environment = {**os.environ, "HYBRID_ES_URL": services.es_url}
    if threads is not None:
        environment["HYBRID_WEB_THREADS"] = str(threads)
    command = pool.serve_command(host, port, processes)
    say(f"search page: {pool.address_of(host, port)}  admin page: {pool.address_of(host, port)}admin/  Ctrl-C stops")
    os.execve(command[0], command, environment)


def demo(
    once: Annotated[bool, typer.Option("--once", help="Do it all, show a few searches, and stop again.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page; another if taken.")] = 8000,
) -> None:
    """Everything on this machine: engine, broker, worker, page, with the sample catalogue.

    Example: hybrid demo --once
    """
    from hybrid.cli import demo as show
    from hybrid.settings import load_settings

    show.run(load_settings(), once=once, port=port, say=say, progress=LiveProgress)
