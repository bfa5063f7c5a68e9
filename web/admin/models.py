"""Trained models of an index: what each was worth held out, which are active, applying, rolling back, removing."""

from __future__ import annotations

from typing import Any

from flask import g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from hybrid.learning import models as life
from hybrid.learning.models import Active
from hybrid.learning.weights.versions import built_in
from hybrid.operations import orders
from web.admin.access import admin
from web.admin.frame import chosen_index, core, render, say
from web.admin.schemas import ApplyParams, Call, PointParams, VersionParams
from web.admin.weights import form_of
from web.answers import ModelApplied
from web.params import json_of, validate

#: Versions of a kind that are listed, beside others and alone.
FEW, MANY = 5, 200
_ACTIVE = {"version": "shop-text-2", "since": "2026-11-02T09:30:00Z", "before": "shop-text-1"}
_HELD_OUT = {
    "measure": "macro-F1", "figure": 0.83, "against": "shop-text-1", "before": 0.79, "examples": 240, "proven": True,
    "better": True,
}  # fmt: skip
_VERSION = {
    "kind": "tags", "index": "shop", "version": "shop-text-2", "method": "ensemble",
    "created": "2026-11-02T09:30:00.123Z", "encoders": {"text": {"spec": "minilm", "version": "minilm@1f2e"}},
    "held_out": _HELD_OUT, "parts": 1, "size": 48_120, "sha256": "9f86d081884c7d65", "active": True,
}  # fmt: skip
_BUILT_IN = {**built_in("shop"), "active": False}


@admin.get("/models")
def models() -> str:
    services, index, kind = core(), chosen_index(), request.args.get("kind") or None
    groups = [
        {"kind": group.kind, "active": group.active, "by_reindex": group.kind in life.BY_REINDEX,
         "versions": group.versions, "more": not kind}
        for group in life.by_kind(services, index, kind, MANY if kind else FEW)
    ] if index else []  # fmt: skip
    return render(
        "admin/models.html", here="models", index=index, indices=services.searcher.indices(), kind=kind, groups=groups,
        few=FEW, how=life.how_to_apply, order=services.orders.get(orders.learning_slot(index)) if index else None,
    )  # fmt: skip


@admin.get("/models/<index>/<kind>/<version>")
def models_version(index: str, kind: str, version: str) -> str:
    """One version, and what can be done with it."""
    services = core()
    return render(
        "admin/models_version.html", here="models", index=index, kind=kind,
        version=life.show(services, kind, version, index), active=life.active(services, kind, index),
        users=life.users_of(services, kind, index, version), by_reindex=kind in life.BY_REINDEX, how=life.how_to_apply,
    )  # fmt: skip


@admin.post("/models/<index>/<kind>/<version>/apply")
def models_apply(index: str, kind: str, version: str) -> AnyResponse:
    params = validate(PointParams, form_of())
    done = _apply(index, kind, version, params.instead_of)
    return _redirect(index, done, "models_applied", version=version)


@admin.post("/models/<index>/<kind>/rollback")
def models_rollback(index: str, kind: str) -> AnyResponse:
    params = validate(PointParams, form_of())
    before = life.active(core(), kind, index).before
    done = _roll_back(index, kind, params.instead_of)
    return _redirect(index, done, "models_rolled_back", version=before)


@admin.post("/models/<index>/<kind>/<version>/remove")
def models_remove(index: str, kind: str, version: str) -> AnyResponse:
    life.remove(core(), kind, index, version)
    say("models_removed", version=version)
    return redirect(url_for("admin.models", index=index))


def _apply(index: str, kind: str, version: str, instead_of: str) -> bool | None:
    """Whether a worker was notified of the order; None where it is done already."""
    if kind in life.IN_PLACE:
        return life.order_apply(core(), kind, index, version, g.user.name, instead_of)
    life.apply(core(), kind, index, version, instead_of)
    return None


def _roll_back(index: str, kind: str, instead_of: str) -> bool | None:
    """As `_apply`."""
    if kind in life.IN_PLACE:
        return life.order_rollback(core(), kind, index, g.user.name, instead_of)
    life.rollback(core(), kind, index, instead_of)
    return None


def _redirect(index: str, notified: bool | None, key: str, **values: Any) -> AnyResponse:
    if notified is None:
        say(key, index=index, **values)
    else:
        say("learning_ordered" if notified else "learning_not_notified", "done" if notified else "warning")
    return redirect(url_for("admin.models", index=index) + ("" if notified is None else "#order"))


# -- for programs ----------------------------------------------------------------------------------------------------


@admin.get("/api/models/<index>")
@Call(gives={"index": "shop", "active": {"tags": _ACTIVE}, "versions": [_VERSION, _BUILT_IN]}, query=("kind",))
def api_models(index: str) -> dict[str, Any]:
    """Versions of an index's models, newest first, by kind, and which are active."""
    kind = request.args.get("kind") or None
    groups = life.by_kind(core(), index, kind, MANY)
    active = {group.kind: _active_json(group.active) for group in groups}
    return {"index": index, "active": active, "versions": [one for group in groups for one in group.versions]}


@admin.get("/api/models/<index>/<kind>/<version>")
@Call(gives=({**_VERSION, "report": {}}, {**_BUILT_IN, "report": {}}))
def api_models_version(index: str, kind: str, version: str) -> dict[str, Any]:
    """One version with its report."""
    return life.show(core(), kind, version, index)


@admin.post("/api/models/<index>/<kind>/apply")
@Call(ApplyParams, ModelApplied, status=202, also={200: ModelApplied})
def api_models_apply(index: str, kind: str) -> tuple[dict[str, Any], int]:
    """Activate a version of a model."""
    params = validate(ApplyParams, json_of(request))
    notified = _apply(index, kind, params.version, params.instead_of)
    return {
        "active": _active_json(life.active(core(), kind, index)),
        "notified": notified,
    }, 200 if notified is None else 202


@admin.post("/api/models/<index>/<kind>/rollback")
@Call(PointParams, ModelApplied, status=202, also={200: ModelApplied})
def api_models_rollback(index: str, kind: str) -> tuple[dict[str, Any], int]:
    """Go back to the version of a model before."""
    params = validate(PointParams, json_of(request))
    notified = _roll_back(index, kind, params.instead_of)
    return {
        "active": _active_json(life.active(core(), kind, index)),
        "notified": notified,
    }, 200 if notified is None else 202


@admin.post("/api/models/<index>/<kind>/remove")
@Call(VersionParams, {"removed": "shop-text-1"})
def api_models_remove(index: str, kind: str) -> dict[str, Any]:
    """Delete a version that no index uses."""
    params = validate(VersionParams, json_of(request))
    life.remove(core(), kind, index, params.version)
    return {"removed": params.version}


def _active_json(active: Active) -> dict[str, str | None]:
    return {"version": active.version, "since": active.since, "before": active.before}
