"""Evaluations: started from here, kept, looked at, and compared from run to run."""

from __future__ import annotations

from typing import Any

from flask import g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from hybrid.contracts import LEARNED_SYSTEMS, SYSTEMS
from hybrid.errors import UsageError
from hybrid.evaluation.archives import read_upload
from hybrid.evaluation.significance import HURT
from hybrid.learning.weights import versions
from hybrid.operations import evaluations as kept
from hybrid.operations import orders
from web.admin.access import admin
from web.admin.frame import checked_index, chosen_index, core, page_number, render, say
from web.admin.schemas import EvaluationParams
from web.params import fields_of, validate

PAGE_SIZE = 20
#: Runs that the lines over time are drawn through; hurt queries shown at once, and queries in a table of all.
SERIES, SHOWN, LISTED = 60, 10, 500
_FOLDS = 5


@admin.get("/evaluations")
def evaluations() -> str:
    services, index, number = core(), chosen_index(), page_number(PAGE_SIZE)
    chosen = request.args.get("list") or None
    runs, total = services.evaluations.page(PAGE_SIZE, (number - 1) * PAGE_SIZE, index, chosen) if index else ([], 0)
    alike = services.evaluations.page(SERIES, 0, index, chosen)[0] if index and chosen else []
    return render(
        "admin/evaluations.html", here="evaluations", index=index, indices=services.searcher.indices(), runs=runs,
        total=total, page=number, more=total > number * PAGE_SIZE, lists=services.judgment_lists.lists(index),
        chosen=chosen, alike=alike, series=_series(alike), systems=SYSTEMS, learned=LEARNED_SYSTEMS,
        weights_versions=services.models("weights").names(index), active=versions.standing(services, index).active,
        order=services.orders.get(orders.learning_slot(index)), best=_best,
    )  # fmt: skip


def _series(runs: list[dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """system -> (place of the run, its nDCG@10) of runs that are alike, oldest first; alone, a run makes no line."""
    found: dict[str, list[tuple[float, float]]] = {}
    for place, run in enumerate(reversed(runs)):
        for name in run["systems"]:
            found.setdefault(name, []).append((float(place), float(run["results"][name]["ndcg@10"])))
    return {name: points for name, points in found.items() if len(points) > 1}


def _best(run: dict[str, Any]) -> str:
    return str(max(run["systems"], key=lambda name: run["results"][name]["ndcg@10"]))


@admin.post("/evaluations")
def evaluations_start() -> AnyResponse:
    form = request.form
    given: dict[str, Any] = {"index": form.get("index", ""), "judgments": form.get("judgments", "")}
    given["systems"] = [*form.getlist("systems"), *filter(None, [form.get("version")])]
    given["folds"] = _FOLDS if form.get("held_out") else 0
    file = request.files.get("file")
    if file and file.filename:
        index, name = checked_index(given["index"]), form.get("keep_as", "").strip()
        judged = read_upload(file.filename, file.read())
        core().searcher.profile(index)
        core().judgment_lists.take_in(index, name, judged, g.user.name)
        given["judgments"] = name
    told = _order(validate(EvaluationParams, given))
    say("learning_ordered" if told else "learning_untold", "done" if told else "warning")
    return redirect(url_for("admin.evaluations", index=given["index"]) + "#order")


def _order(given: EvaluationParams) -> bool:
    return kept.order(core(), given.index, given.judgments, given.systems, given.folds, g.user.name)


@admin.get("/evaluations/compare")
def evaluations_compare() -> str:
    chosen = request.args.getlist("run")
    if len(chosen) != 2:
        raise UsageError("choose two runs to compare")
    b, a = chosen  # the list shows the newer one first
    first, second, differences = kept.compared(core(), a, b)
    return render(
        "admin/evaluations_compare.html", here="evaluations", a=first, b=second, differences=differences, shown=SHOWN
    )


@admin.get("/evaluations/<run>")
def evaluations_run(run: str) -> str:
    found = kept.run(core(), run)
    changes = kept.against_baseline(found)
    gains = {name: [one.gain for one in reversed(change.changes)] for name, change in changes.items()}
    # The same scale for every system, so that they can be compared by eye.
    reach = max([2 * HURT, *(1.05 * abs(gain) for values in gains.values() for gain in values)])
    return render(
        "admin/evaluations_run.html", here="evaluations", run=found, changes=changes, gains=gains, reach=reach,
        limit=HURT, shown=SHOWN, listed=LISTED, learned=LEARNED_SYSTEMS, known=SYSTEMS,
    )  # fmt: skip


# -- for programs ----------------------------------------------------------------------------------------------------


@admin.get("/api/evaluations")
def api_evaluations() -> dict[str, Any]:
    """Runs, newest first, without their queries; `index` and `list` narrow them."""
    number = page_number(PAGE_SIZE)
    index = checked_index(request.args["index"]) if request.args.get("index") else None
    runs, total = core().evaluations.page(PAGE_SIZE, (number - 1) * PAGE_SIZE, index, request.args.get("list"))
    return {"runs": runs, "total": total, "page": number, "size": PAGE_SIZE}


@admin.get("/api/evaluations/compare")
def api_evaluations_compare() -> dict[str, Any]:
    """What run b changes against run a, by system."""
    _, _, differences = kept.compared(core(), request.args.get("a", ""), request.args.get("b", ""))
    return {"systems": {one.system: one.change and one.change.to_json() for one in differences}}


@admin.get("/api/evaluations/<run>")
def api_evaluations_run(run: str) -> dict[str, Any]:
    """One run, with nDCG@10 of every query and system."""
    return kept.run(core(), run)


@admin.post("/api/evaluations")
def api_evaluations_start() -> tuple[dict[str, Any], int]:
    """Order an evaluation. told: whether a worker heard of it at once."""
    given = validate(EvaluationParams, fields_of(request))
    told = _order(given)
    return {"order": core().orders.get(orders.learning_slot(given.index)), "told": told}, 202
