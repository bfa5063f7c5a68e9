"""Attach, reindex and sync: estimated first, watched while they run, paused, ended, swapped in and rolled back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from flask import Response, g, jsonify, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from hybrid.errors import AccessRefusedError, IndexConflictError, IndexMissingError, JobError, UsageError
from hybrid.ingest.push import Operation
from hybrid.operations import orders
from hybrid.operations.reindex import control, planning
from hybrid.operations.reindex.running import FINAL
from hybrid.signals import SIGNALS
from hybrid.text.stems import language_names
from web.admin import live
from web.admin.access import admin
from web.admin.frame import core, page_number, render, say
from web.admin.schemas import Call, DeletedProducts, RunAction
from web.params import json_of, validate

PAGE_SIZE = 25
#: What cannot be taken back, and so has to be confirmed.
_FINAL_ACTS = ("cancel", "rollback", "drop")


def slot(index: str) -> str:
    """Where orders that change an index stand."""
    return f"run:{index}"


def plan_slot(index: str) -> str:
    return f"plan:{index}"


@admin.get("/reindex")
def reindex() -> str:
    page = page_number(PAGE_SIZE)
    runs, total = core().jobs.history(PAGE_SIZE, (page - 1) * PAGE_SIZE)
    return render(
        "admin/reindex.html", here="reindex", indices=_listed(core().searcher.indices),
        others=_listed(lambda: core().cluster.indices.others()),
        runs=runs, page=page, more=total > page * PAGE_SIZE, total=total,
    )  # fmt: skip


def _listed(ask: Callable[[], list[str]]) -> list[str] | None:
    """Names of indices; None where the cluster does not let this account list them."""
    try:
        return ask()
    except AccessRefusedError:
        return None


def _is_ours(index: str) -> bool:
    """Whether the layer made it or is attached to it; asked of that index alone where they cannot be listed."""
    listed = _listed(core().searcher.indices)
    if listed is not None:
        return index in listed
    try:
        core().searcher.profile(index)
    except (IndexMissingError, IndexConflictError):
        return False
    return True


@admin.get("/reindex/<index>")
def reindex_of(index: str) -> str:
    own = [name for name, signal in SIGNALS.items() if not signal.parts]  # the rest follow from these
    return render("admin/reindex_of.html", here="reindex", signals=own, languages=language_names(), **_state(index))


@admin.get("/reindex/<index>/state")
def reindex_state(index: str) -> str:
    """The part of the page that changes by itself."""
    return render("admin/_reindex_state.html", **_state(index))


@admin.get("/reindex/<index>/events")
def reindex_events(index: str) -> Response:
    """The same part as server-sent events, sent whenever it changes."""
    return live.stream(lambda: reindex_state(index))


@admin.post("/reindex/<index>")
def change_index(index: str) -> AnyResponse:
    form = request.form
    fields: dict[str, Any] = {key: form[key] for key in ("do", "what", "shards", "language") if key in form}
    fields |= {"sure": form.get("sure") == "yes", "swap": form["swap"] == "yes" if "swap" in form else None}
    if form.getlist("signals"):
        fields["signals"] = form.getlist("signals")
    action = validate(RunAction, fields)
    if action.do in _FINAL_ACTS and not action.sure:
        say("not_sure", "warning")
    else:
        notified = _do(index, action)
        say(
            "ordered_not_notified" if notified is False else f"did_{action.do}",
            "warning" if notified is False else "done",
        )
    return redirect(url_for("admin.reindex_of", index=index))


@admin.post("/reindex/<index>/products")
def delete_products(index: str) -> AnyResponse:
    """Delete products by their ids, one in a line or with commas."""
    chosen = validate(DeletedProducts, {"products": re.split(r"[\s,]+", request.form.get("products", "").strip())})
    if request.form.get("sure") != "yes":
        say("not_sure", "warning")
    else:
        results = core().push(index, [Operation(id, None) for id in chosen.products]).results
        absent = [outcome.id for outcome in results if outcome.result == "not_found"]
        failed = [f"{outcome.id} ({outcome.message})" for outcome in results if outcome.result == "error"]
        say("deleted_products", n=sum(outcome.result == "deleted" for outcome in results))
        if absent:
            say("absent_products", "warning", ids=", ".join(absent[:20]), n=len(absent))
        if failed:
            say("undeleted_products", "error", ids=", ".join(failed[:5]), n=len(failed))
    return redirect(url_for("admin.reindex_of", index=index))


_CAN = {"start": True, "pause": False, "resume": False, "swap": False, "cancel": False, "rollback": False,
        "drop": False, "sync": True, "go_on": False}  # fmt: skip


@admin.get("/api/runs")
@Call(
    gives=[
        {"runs": [{"id": "3f6c1e0a", "kind": "reindex", "index": "shop", "status": "done"}], "total": 1},
        {
            "index": "shop",
            "order": {"kind": "sync", "status": "done"},
            "plan": {},
            "job": {"status": "done"},
            "can": _CAN,
        },
    ],
    query=("index",),
)
def api_runs() -> Response:
    """The newest runs; with ?index=NAME the state of that index."""
    index = request.args.get("index")
    if index is None:
        runs, total = core().jobs.history(100)
        return jsonify({"runs": runs, "total": total})
    state = _state(index)
    return jsonify({key: state[key] for key in ("index", "order", "plan", "job", "can")})


@admin.post("/api/runs/<index>")
@Call(RunAction, {"notified": True, "can": _CAN})
def api_change_index(index: str) -> Response:
    """Estimate, start, pause, end, swap in or roll back."""
    action = validate(RunAction, json_of(request))
    if action.do in _FINAL_ACTS and not action.sure:
        raise UsageError("sure: must be true, for this cannot be undone")
    return jsonify({"notified": _do(index, action), **{"can": _state(index)["can"]}})


def _do(index: str, action: RunAction) -> bool | None:
    """Do the action, or order it. The result of an order is whether a worker was notified, else None."""
    services, by = core(), g.user.name
    options = action.model_dump(include={"shards", "signals", "language"}, exclude_none=True)

    def order(kind: str, options: dict[str, Any]) -> bool:
        return orders.place(services, slot(index), kind, index, options, by)

    match action.do:
        case "plan":
            return orders.place(services, plan_slot(index), "plan", index, {**options, "what": action.what}, by)
        case "start":
            _planned(index, action, options)
            if action.what == "attach":
                return order("attach", options)
            return order("reindex", {**options, "swap": action.swap is not False})
        case "sync" | "rollback" | "drop":
            return order(action.do, {})
        case "resume" | "swap":
            started = services.orders.get(slot(index)) or {"options": {}}
            as_started = started["options"].get("swap", True)
            return order(
                "resume", {"swap": action.do == "swap" or (as_started if action.swap is None else action.swap)}
            )
        case "go_on":
            return orders.go_on(services, slot(index))
        case "pause":
            control.pause(services, index, wait=False)
        case "cancel":
            running = services.orders.get(slot(index))
            if running and running["kind"] == "attach":
                services.orders.ask_to_stop(slot(index))
            else:
                control.cancel(services, index, wait=False)
    return None


def _planned(index: str, action: RunAction, options: dict[str, Any]) -> None:
    """What is started is what was shown.

    Raises:
        UsageError: nothing was shown, or something else.
        IndexConflictError: the index is no longer what it was then.
    """
    plan = core().orders.get(plan_slot(index))
    if not plan or plan["status"] != "done" or plan["options"] != {**options, "what": action.what}:
        raise UsageError("make the estimate of just this first, so that you see what it will do")
    if plan["result"]["blockers"]:
        raise UsageError(plan["result"]["blockers"][0])
    if why := planning.outdated(core().cluster.shops, index, plan["result"], plan["placed"]):
        raise IndexConflictError(f"{why}; make the estimate again")


def _state(index: str) -> dict[str, Any]:
    services = core()
    order, plan = services.orders.get(slot(index)), services.orders.get(plan_slot(index))
    try:
        job = control.status(services, index)
    except JobError:
        job = None
    busy = _is_open(order)
    open_job = bool(job and job["status"] not in FINAL)
    known = _is_ours(index)
    running = bool(job and job["running"])  # perhaps by a command, not by an order
    back = False
    if known and not busy and not open_job and job and job["status"] == "done" and not job.get("back"):
        try:
            control.last_swapped(services, index)
            back = True
        except JobError:
            back = False
    stoppable = busy and bool(order and order["kind"] in ("reindex", "resume", "rollback"))
    can = {
        "start": not busy and not open_job,
        "pause": running and open_job and not (job or {}).get("back") and (job or {}).get("control") is None,
        "resume": open_job and not busy and not running and (job or {}).get("status") != "verified",
        "swap": open_job and not busy and not running and (job or {}).get("status") == "verified",
        "cancel": (open_job and (stoppable or not busy)) or (busy and bool(order and order["kind"] == "attach")),
        "rollback": back,
        "drop": known and not busy and not open_job and bool(job) and bool(control.old_indices(services, index)),
        "sync": known and not busy and not open_job,
        "go_on": bool(order and order["dead"]),
    }
    return {
        "index": index, "order": order, "job": job, "busy": busy, "open_job": open_job, "known": known, "can": can,
        "plan": plan, "live": busy or running or _is_open(plan), "rate": _rate(order),
    }  # fmt: skip


def _is_open(order: dict[str, Any] | None) -> bool:
    return bool(order and order["status"] in ("queued", "running") and not order["dead"])


def _rate(order: dict[str, Any] | None) -> dict[str, Any] | None:
    """{"per_s", "left_s", "points"} of the work, from its last samples: of one phase, for counts begin anew."""
    samples = (order or {}).get("samples") or []
    points = [(at, done) for at, done in samples]
    rates = [
        (late[0] - points[0][0], max(0.0, (late[1] - early[1]) / max(0.1, late[0] - early[0])))
        for early, late in zip(points, points[1:], strict=False)
    ]
    if not rates or not order:
        return None
    newest = points[-6:]
    per_s = max(0.0, (newest[-1][1] - newest[0][1]) / max(0.1, newest[-1][0] - newest[0][0]))
    left = (order.get("progress") or {}).get("total", 0) - newest[-1][1]
    return {"per_s": per_s, "left_s": left / per_s if per_s > 0 and left > 0 else None, "points": rates}
