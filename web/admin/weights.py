"""Learned weights: their versions, what each is worth, training, applying and rolling back."""

from __future__ import annotations

from typing import Any

from flask import Response, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from hybrid.elastic.stores.models import WEIGHTS, ModelVersions
from hybrid.errors import ModelConflictError, UsageError, WeightsError
from hybrid.learning.weights import versions
from hybrid.operations import orders
from web.admin import live
from web.admin.access import admin
from web.admin.frame import chosen_index, core, page_number, render, say
from web.admin.schemas import ApplyParams, Call, PointParams, TrainParams
from web.params import json_of, validate

PAGE_SIZE = 20
#: Rows of a table of changed queries.
CHANGED_ROWS = 20
_ACTIVE = {"active": "gate-2", "since": "2026-11-02T09:30:00Z", "before": "gate-1"}
_VERSION = {
    "version": "gate-2", "kind": "gate", "created": "2026-11-02T09:30:00Z", "chosen": "gate",
    "row": {"system": "gate", "ndcg": 0.63}, "judged": 120, "synthetic": 600, "active": "fixed-1", "list": "lamps",
    "by": "ed",
}  # fmt: skip
_CHANGE = {"before": 0.61, "after": 0.63, "difference": 0.02, "low": 0.0, "high": 0.04, "queries": 120}
_ORDER = {"kind": "train", "index": "shop", "status": "queued"}


def form_of() -> dict[str, str]:
    """The fields of a posted form that were filled in."""
    return {key: value for key, value in request.form.items() if key != "csrf_token" and value}


def _store() -> ModelVersions:
    return core().models(WEIGHTS)


@admin.get("/weights")
def weights() -> str:
    services, index, number = core(), chosen_index(), page_number(PAGE_SIZE)
    entries, total = versions.listed(_store(), index, PAGE_SIZE, (number - 1) * PAGE_SIZE) if index else ([], 0)
    return render(
        "admin/weights.html", here="weights", index=index, indices=services.searcher.indices(), entries=entries,
        total=total, page=number, more=total > number * PAGE_SIZE, current=versions.active_version(_store(), index),
        lists=services.judgment_lists.lists(index), order=services.orders.get(orders.learning_slot(index)),
    )  # fmt: skip


@admin.get("/weights/<index>/order")
def weights_order(index: str) -> str:
    """The part of the page that changes while an order runs, for its script."""
    return render("admin/_learning.html", index=index, order=core().orders.get(orders.learning_slot(index)))


@admin.get("/weights/<index>/order/events")
def weights_order_events(index: str) -> Response:
    """That part as server-sent events, whenever it has changed."""
    return live.stream(lambda: weights_order(index))


@admin.post("/weights/<index>/train")
def weights_train(index: str) -> AnyResponse:
    notified = _train(index, validate(TrainParams, form_of()))
    say("learning_ordered" if notified else "learning_not_notified", "done" if notified else "warning")
    return redirect(url_for("admin.weights", index=index) + "#order")


def _train(index: str, params: TrainParams) -> bool:
    return versions.order_training(
        core(), index, params.kind, g.user.name, params.judgments, synthetic=params.synthetic, folds=params.folds,
        repeats=params.repeats,
    )  # fmt: skip


@admin.get("/weights/<index>/compare")
def weights_compare(index: str) -> str:
    chosen = request.args.getlist("v") or [request.args.get("a", ""), request.args.get("b", "")]
    if len(chosen) != 2 or not all(chosen):
        raise UsageError("choose two versions to compare")
    b, a = chosen  # the list shows the newer one first
    first, second, change = versions.compared(_store(), index, a, b)
    return render(
        "admin/weights_compare.html", here="weights", index=index, a=first, b=second, change=change,
        changed_rows=CHANGED_ROWS, current=versions.active_version(_store(), index),
    )  # fmt: skip


@admin.get("/weights/<index>/<version>")
def weights_version(index: str, version: str) -> str:
    return render(
        "admin/weights_version.html", here="weights", index=index, version=versions.version(_store(), index, version),
        current=versions.active_version(_store(), index),
    )  # fmt: skip


@admin.get("/weights/<index>/<version>/apply")
def weights_confirm(index: str, version: str) -> str:
    """What applying is expected to do, before it is done."""
    entry = versions.version(_store(), index, version)
    return render(
        "admin/weights_apply.html", here="weights", index=index, version=entry, changed_rows=CHANGED_ROWS,
        expected=versions.expected(_store(), index, entry), refused=None,
    )  # fmt: skip


@admin.post("/weights/<index>/<version>/apply")
def weights_apply(index: str, version: str) -> Any:
    params = validate(PointParams, form_of())
    try:
        versions.apply(_store(), index, version, params.instead_of)
    except (ModelConflictError, WeightsError) as error:
        # The figures of what is active now, so that it can be decided again.
        entry = versions.version(_store(), index, version)
        return render(
            "admin/weights_apply.html", here="weights", index=index, version=entry, changed_rows=CHANGED_ROWS,
            expected=versions.expected(_store(), index, entry), refused=str(error),
        ), error.http_status  # fmt: skip
    say("weights_applied", version=version, index=index)
    return redirect(url_for("admin.weights", index=index))


@admin.post("/weights/<index>/rollback")
def weights_rollback(index: str) -> AnyResponse:
    params = validate(PointParams, form_of())
    say("weights_rolled_back", version=versions.rollback(_store(), index, params.instead_of), index=index)
    return redirect(url_for("admin.weights", index=index))


# -- for programs ----------------------------------------------------------------------------------------------------


@admin.get("/api/weights/<index>")
@Call(gives={**_ACTIVE, "versions": [_VERSION], "total": 2, "page": 1, "size": PAGE_SIZE}, query=("page",))
def api_weights(index: str) -> dict[str, Any]:
    """Versions of an index, newest first, and which is active."""
    number = page_number(PAGE_SIZE)
    entries, total = versions.listed(_store(), index, PAGE_SIZE, (number - 1) * PAGE_SIZE)
    active = versions.active_version(_store(), index)
    return {**active.__dict__, "versions": entries, "total": total, "page": number, "size": PAGE_SIZE}


@admin.get("/api/weights/<index>/order")
@Call(gives={"order": _ORDER})
def api_weights_order(index: str) -> dict[str, Any]:
    """The newest training or evaluation of an index: its state and progress, or null."""
    return {"order": core().orders.get(orders.learning_slot(index))}


@admin.get("/api/weights/<index>/compare")
@Call(gives={"a": {**_VERSION, "version": "gate-1"}, "b": _VERSION, "change": _CHANGE}, query=("a", "b"))
def api_weights_compare(index: str) -> dict[str, Any]:
    """Two versions a and b, and what b changes on the held-out queries of both."""
    a, b, change = versions.compared(_store(), index, request.args.get("a", ""), request.args.get("b", ""))
    return {"a": a, "b": b, "change": change and change.to_json()}


@admin.get("/api/weights/<index>/<version>")
@Call(gives={**_VERSION, "report": {}, "model": {}, "expected": {"active": "gate-1", "change": _CHANGE}})
def api_weights_version(index: str, version: str) -> dict[str, Any]:
    """One version with its report, and what applying it is expected to change."""
    entry = versions.version(_store(), index, version)
    expected = versions.expected(_store(), index, entry)
    change = expected.change and expected.change.to_json()
    return {**entry, "expected": {"active": expected.active, "change": change}}


@admin.post("/api/weights/<index>/train")
@Call(TrainParams, {"order": _ORDER, "notified": True}, status=202)
def api_weights_train(index: str) -> tuple[dict[str, Any], int]:
    """Order a training. notified: whether a worker was notified at once."""
    notified = _train(index, validate(TrainParams, json_of(request)))
    return {**api_weights_order(index), "notified": notified}, 202


@admin.post("/api/weights/<index>/apply")
@Call(ApplyParams, _ACTIVE)
def api_weights_apply(index: str) -> dict[str, Any]:
    """Activate a version."""
    params = validate(ApplyParams, json_of(request))
    versions.apply(_store(), index, params.version, params.instead_of)
    return versions.active_version(_store(), index).__dict__


@admin.post("/api/weights/<index>/rollback")
@Call(PointParams, _ACTIVE)
def api_weights_rollback(index: str) -> dict[str, Any]:
    """Go back to the version before."""
    params = validate(PointParams, json_of(request))
    versions.rollback(_store(), index, params.instead_of)
    return versions.active_version(_store(), index).__dict__
