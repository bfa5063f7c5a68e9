"""Evaluations: started from here, kept, looked at, and compared from run to run."""

from __future__ import annotations

from typing import Any

from flask import Response, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from hybrid.elastic.stores.models import WEIGHTS
from hybrid.errors import UsageError
from hybrid.evaluation.archives import read_upload
from hybrid.evaluation.significance import HURT
from hybrid.learning.weights import versions
from hybrid.operations import evaluations as core_evaluations
from hybrid.operations import orders
from hybrid.searches import LEARNED_SYSTEMS, systems
from web.admin.access import admin
from web.admin.frame import chosen_index, core, page_number, render, saved_as, say
from web.admin.schemas import Call, EvaluationParams
from web.params import checked_index, json_of, validate

PAGE_SIZE = 20
#: Runs in the chart over time; rows of a table of hurt queries, and of the table of all queries.
SERIES, HURT_ROWS, TABLE_ROWS = 60, 10, 500
_FOLDS = 5
_RUN = {
    "id": "3f6c1e0a", "at": "2026-11-02T09:30:00Z", "by": "ed", "index": "shop", "list": "lamps",
    "systems": ["bm25", "gate-2"], "baseline": "bm25", "queries": 120, "results": {"bm25": {"ndcg@10": 0.61}},
    "weights_version": "gate-2", "folds": 0, "judged_at_10": 0.8, "measures": ["ndcg@10"], "notes": [],
    "kinds": {"single word": {"queries": 40, "ndcg@10": {"bm25": 0.7}}},
}  # fmt: skip
_UNJUDGED = {"query": "desk lamp", "product": "p-102", "title": "Lamp for desks", "shown": {"bm25": 2, "gate-2": 7}}


@admin.get("/evaluations")
def evaluations() -> str:
    services, index, number = core(), chosen_index(), page_number(PAGE_SIZE)
    store = services.models(WEIGHTS)
    chosen = request.args.get("list") or None
    runs, total = services.evaluations.page(PAGE_SIZE, (number - 1) * PAGE_SIZE, index, chosen) if index else ([], 0)
    alike = services.evaluations.page(SERIES, 0, index, chosen)[0] if index and chosen else []
    return render(
        "admin/evaluations.html", here="evaluations", index=index, indices=services.searcher.indices(), runs=runs,
        total=total, page=number, more=total > number * PAGE_SIZE, lists=services.judgment_lists.lists(index),
        chosen=chosen, alike=alike, series=_series(alike), systems=systems(), learned=LEARNED_SYSTEMS,
        weights_versions=store.names(index), active=versions.active_version(store, index).active,
        order=services.orders.get(orders.learning_slot(index)), best=_best,
    )  # fmt: skip


def _series(runs: list[dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """system -> (place of the run, its nDCG@10) of runs that are alike, oldest first; alone, a run makes no line."""
    series: dict[str, list[tuple[float, float]]] = {}
    for place, run in enumerate(reversed(runs)):
        for name in run["systems"]:
            series.setdefault(name, []).append((float(place), float(run["results"][name]["ndcg@10"])))
    return {name: points for name, points in series.items() if len(points) > 1}


def _best(run: dict[str, Any]) -> str:
    return str(max(run["systems"], key=lambda name: run["results"][name]["ndcg@10"]))


@admin.post("/evaluations")
def evaluations_start() -> AnyResponse:
    form = request.form
    fields: dict[str, Any] = {"index": form.get("index", ""), "judgments": form.get("judgments", "")}
    fields["systems"] = [*form.getlist("systems"), *filter(None, [form.get("version")])]
    fields["folds"] = _FOLDS if form.get("held_out") else 0
    file = request.files.get("file")
    if file and file.filename:
        index, name = checked_index(fields["index"]), form.get("keep_as", "").strip()
        judged = read_upload(file.filename, file.read())
        core().searcher.profile(index)
        judged = core().checked(index, judged)
        core().judgment_lists.take_in(index, name, judged, g.user.name)
        for note in judged.notes:
            say("judgments_note", "warning", note=note)
        fields["judgments"] = name
    notified = _order(validate(EvaluationParams, fields))
    say("learning_ordered" if notified else "learning_not_notified", "done" if notified else "warning")
    return redirect(url_for("admin.evaluations", index=fields["index"]) + "#order")


def _order(params: EvaluationParams) -> bool:
    return core_evaluations.order(core(), params.index, params.judgments, params.systems, params.folds, g.user.name)


@admin.get("/evaluations/compare")
def evaluations_compare() -> str:
    chosen = request.args.getlist("run")
    if len(chosen) != 2:
        raise UsageError("choose two runs to compare")
    b, a = chosen  # the list shows the newer one first
    first, second, differences = core_evaluations.compared(core().evaluations, a, b)
    return render(
        "admin/evaluations_compare.html",
        here="evaluations",
        a=first,
        b=second,
        differences=differences,
        hurt_rows=HURT_ROWS,
    )


@admin.get("/evaluations/<run>")
def evaluations_run(run: str) -> str:
    evaluation = core_evaluations.run(core().evaluations, run)
    changes = core_evaluations.against_baseline(evaluation)
    gains = {name: [one.gain for one in reversed(change.changes)] for name, change in changes.items()}
    # The same scale for every system, so that they can be compared by eye.
    reach = max([2 * HURT, *(1.05 * abs(gain) for values in gains.values() for gain in values)])
    return render(
        "admin/evaluations_run.html", here="evaluations", run=evaluation, changes=changes, gains=gains, reach=reach,
        limit=HURT, hurt_rows=HURT_ROWS, table_rows=TABLE_ROWS, learned=LEARNED_SYSTEMS, known=systems(),
    )  # fmt: skip


@admin.get("/evaluations/<run>/unjudged.csv")
def evaluations_unjudged(run: str) -> Response:
    """What the systems of the run showed and nobody had judged, to be rated and uploaded into its list."""
    evaluation = core_evaluations.run(core().evaluations, run)
    headers = saved_as(f"{evaluation['list']}-to-rate.csv")
    return Response(core_evaluations.to_rate(evaluation), mimetype="text/csv", headers=headers)


# -- for programs ----------------------------------------------------------------------------------------------------


@admin.get("/api/evaluations")
@Call(gives={"runs": [_RUN], "total": 1, "page": 1, "size": PAGE_SIZE}, query=("index", "list", "page"))
def api_evaluations() -> dict[str, Any]:
    """Runs, newest first, without their queries; `index` and `list` narrow them."""
    number = page_number(PAGE_SIZE)
    index = request.args.get("index") or None
    runs, total = core().evaluations.page(PAGE_SIZE, (number - 1) * PAGE_SIZE, index, request.args.get("list"))
    return {"runs": runs, "total": total, "page": number, "size": PAGE_SIZE}


@admin.get("/api/evaluations/compare")
@Call(gives={"systems": {"bm25": {"before": 0.61, "after": 0.63, "difference": 0.02}}}, query=("a", "b"))
def api_evaluations_compare() -> dict[str, Any]:
    """What run b changes against run a, by system."""
    _, _, differences = core_evaluations.compared(
        core().evaluations, request.args.get("a", ""), request.args.get("b", "")
    )
    return {"systems": {one.system: one.change and one.change.to_json() for one in differences}}


@admin.get("/api/evaluations/<run>")
@Call(gives={**_RUN, "per_query": {"queries": ["desk lamp"], "scores": {"bm25": [0.61]}}, "unjudged": [_UNJUDGED]})
def api_evaluations_run(run: str) -> dict[str, Any]:
    """One run, with nDCG@10 of every query and system, and what they showed that nobody had judged."""
    return core_evaluations.run(core().evaluations, run)


@admin.post("/api/evaluations")
@Call(
    EvaluationParams, {"order": {"kind": "evaluate", "index": "shop", "status": "queued"}, "notified": True}, status=202
)
def api_evaluations_start() -> tuple[dict[str, Any], int]:
    """Order an evaluation. notified: whether a worker was notified at once."""
    params = validate(EvaluationParams, json_of(request))
    notified = _order(params)
    return {"order": core().orders.get(orders.learning_slot(params.index)), "notified": notified}, 202
