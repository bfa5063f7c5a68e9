"""The state of the layer: cluster, coverage, queue, errors, searches, and advice.

The page is answered at once. Its parts, some of which take a second, are loaded after it, each by itself, so that a
failed part leaves the others.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import abort, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from hybrid.errors import HybridError
from hybrid.operations import doctor
from hybrid.operations.orders import place
from hybrid.services import Services
from web.admin.access import admin
from web.admin.frame import core, render, say
from web.admin.reindex import slot

NEWEST = 5
#: Seconds to wait for workers: in the part alone, and in the whole page. An idle worker answers in milliseconds.
_QUIET_S, _QUIET_FULL_S = 0.5, 0.2


def _advice(services: Services) -> dict[str, Any]:
    diagnosis = doctor.examine(services, refresh=False)
    order = {status: -position for position, status in enumerate(doctor.STATUSES)}
    checks = sorted(diagnosis.checks, key=lambda check: order[check.status])
    return {"status": diagnosis.status, "checks": checks}


def _coverage(services: Services) -> dict[str, Any]:
    return {"indices": doctor.coverage(services)}


def _workers(services: Services, quiet_s: float = _QUIET_S) -> dict[str, Any]:
    return {"depth": services.queue.depth(), "workers": services.queue.workers(quiet_s), "quiet_s": quiet_s}


def _errors(services: Services) -> dict[str, Any]:
    return {"jobs": services.jobs.failed(NEWEST), "dead_letters": services.dead_letters.newest(NEWEST)}


def _searches(services: Services) -> dict[str, Any]:
    return {"searches": services.search_times.summary()}


PARTS = {"advice": _advice, "coverage": _coverage, "workers": _workers, "searches": _searches, "errors": _errors}


def _part(services: Services, name: str, **options: Any) -> dict[str, Any]:
    try:
        return {"name": name, "error": None, **PARTS[name](services, **options)}
    except HybridError as error:
        return {"name": name, "error": str(error)}


def _all_parts(services: Services) -> list[dict[str, Any]]:
    """All parts, computed at the same time, because most of their time is waiting."""
    with ThreadPoolExecutor(len(PARTS)) as threads:
        options = {"workers": {"quiet_s": _QUIET_FULL_S}}
        futures = [threads.submit(_part, services, name, **options.get(name, {})) for name in PARTS]
        return [one.result() for one in futures]


@admin.get("/")
def index() -> str:
    """With ?full=1, the page has all its parts, for browsers without scripts."""
    full = bool(request.args.get("full"))
    parts = _all_parts(core()) if full else [{"name": name} for name in PARTS]
    return render("admin/overview.html", here="overview", parts=parts, full=full)


@admin.get("/overview/<name>")
def overview_part(name: str) -> str:
    if name not in PARTS:
        abort(404)
    return render("admin/_overview_part.html", part=_part(core(), name))


@admin.post("/sync/<index>")
def sync_now(index: str) -> AnyResponse:
    """Order a sync of an index."""
    notified = place(core(), slot(index), "sync", index, {}, g.user.name)
    say("sync_ordered" if notified else "ordered_not_notified", "done" if notified else "warning", index=index)
    return redirect(url_for("admin.index"))
