"""`hybrid demo`: the whole product on one machine, with the sample catalogue."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from hybrid.cli.options import operator
from hybrid.errors import JobError, NodeError
from hybrid.searches import SearchRequest
from hybrid.settings import Settings

if TYPE_CHECKING:
    from hybrid.services import Services

INDEX = "sample"
ADMIN = "demo"
_QUERIES = ("something to keep me dry in a downpour", "red striped dress", "无线耳机")


def run(settings: Settings, *, once: bool, port: int, say: Callable[[str], None], progress: Callable[[], Any]) -> None:
    """Engine, broker, sample catalogue, worker, page. Returns when stopped; with `once`, when all was shown.

    Raises:
        NodeError, JobError: a part did not start; the message names its log.
    """
    from hybrid import node
    from hybrid.operations import indexing, processes
    from hybrid.sample import write_sample
    from hybrid.services import Services

    # A polite kill ends the demo as Ctrl-C does: everything that it started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        before = node.status(settings)
        started = node.up(settings, on_step=say)
        if not before.running:
            stack.callback(node.down, settings)
            stack.callback(say, "stopping the engine")
        services = Services(settings)
        folder = settings.data_dir / "sample"
        say("drawing the sample catalogue")
        paths = write_sample(folder)
        environment = {
            **os.environ,
            "HYBRID_ES_URL": services.es_url,
            "HYBRID_REDIS_URL": services.redis_url,
            "HYBRID_INDEX": INDEX,
        }
        plan = indexing.plan_index(services, paths.products, INDEX)
        for note in plan.notes:
            say(note)
        with services.audit.recorded(operator(), "index_file", INDEX, file=paths.products.name), progress() as show:
            report = indexing.run_index(services, plan, workers=1, report=show, rejects_path=folder / "rejects.ndjson")
        say(report.summary())
        logs = settings.data_dir / "logs"
        schedule = services.settings.data_dir / "beat" / "demo"
        schedule.parent.mkdir(parents=True, exist_ok=True)
        command = processes.worker_command(1, schedule)
        worker = stack.enter_context(processes.spawned(command, environment, logs / "demo-worker.log"))
        port = processes.free_port(port)
        url = f"http://127.0.0.1:{port}/"
        command = processes.serve_command("127.0.0.1", port, 1)
        web = stack.enter_context(processes.spawned(command, environment, logs / "demo-web.log"))
        processes.wait_for_page(f"{url}readyz", web, logs / "demo-web.log")
        for query in _QUERIES:
            answer = services.searcher.search(SearchRequest(index=INDEX, q=query, size=1))
            if answer.hits:
                say(f"  {query}  ->  {answer.hits[0].source['name']} ({answer.hits[0].source['name_zh']})")
        print(f"search page: {url}", flush=True)
        print(f"admin page:  {url}admin/  name {ADMIN}, password {_admin(services)}", flush=True)
        if once:
            return
        say(f"logs: {started.es_log.parent} and {logs}; Ctrl-C stops everything")
        while web.poll() is None:
            if worker.poll() is not None:
                raise JobError(f"the worker ended; see {logs / 'demo-worker.log'}")
            time.sleep(1)
        raise NodeError(f"the page's server ended; see {logs / 'demo-web.log'}")


def _admin(services: Services) -> str:
    """A new password for the demo's own account: nothing is open that somebody could have left open."""
    password = secrets.token_urlsafe(9)
    known = ADMIN in {user["name"] for user in services.accounts.list()}
    with services.audit.recorded(operator(), "user_password" if known else "user_add", name=ADMIN):
        if known:
            services.accounts.change_password(ADMIN, password)
        else:
            services.accounts.add(ADMIN, password)
    return password
