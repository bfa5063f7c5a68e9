"""Versions of an index's weights: listed, compared, applied, rolled back.

A version was measured when it was trained, on held-out queries. Its report has these figures, so that nothing here
searches or trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from hybrid.elastic.stores.models import WEIGHTS, ModelVersions
from hybrid.errors import ModelMissingError
from hybrid.evaluation.significance import Paired, paired
from hybrid.learning.weights.kinds import check
from hybrid.operations import orders
from hybrid.search.weights import FIXED_VERSION, WeightsModel
from hybrid.services import Services

#: Parts of a model that its page shows; the other parts are arrays.
_MODEL_PARTS = ("kind", "signals", "scaling", "skip_below")
#: Fields that a list of versions reads. A whole report is as long as the list of its queries.
_BRIEF = ["version", "method", "created", *(
    f"report.{name}" for name in
    ("rows", "kind", "chosen", "judged", "synthetic", "signals", "active", "list", "by", "order")
)]  # fmt: skip


@dataclass(frozen=True)
class ActiveVersion:
    """active: the version that searches use, `fixed-1` before one is applied. since: when it was applied. before: the
    version that a rollback makes active, None for none."""

    active: str
    since: str | None
    before: str | None


@dataclass(frozen=True)
class Expected:
    """The expected change of nDCG@10 when a version is applied, on queries held out from both versions.

    change: None where the two versions were never measured on the same queries.
    """

    version: str
    active: str
    change: Paired | None


def active_version(store: ModelVersions, index: str) -> ActiveVersion:
    """Which version is active, since when, and which was before."""
    pointer = store.pointer(index)
    before = pointer.before or FIXED_VERSION if pointer.version or pointer.history else None
    return ActiveVersion(pointer.version or FIXED_VERSION, pointer.since, before)


def built_in(index: str) -> dict[str, Any]:
    """The fixed weights, as the store describes a version. They need no training, and are in every process."""
    return {
        "kind": WEIGHTS, "index": index, "version": FIXED_VERSION, "method": "fixed", "created": None, "encoders": {},
        "held_out": None, "parts": 0, "size": 0, "sha256": None, "built_in": True,
    }  # fmt: skip


def listed(store: ModelVersions, index: str, size: int, before: int = 0) -> tuple[list[dict[str, Any]], int]:
    """({"version", "kind", "created", "row", "judged", …} of the versions, newest first; how many there are)."""
    entries, total = store.page(index, size, before, _BRIEF)
    return [_brief(entry) for entry in entries], total


def version(store: ModelVersions, index: str, name: str) -> dict[str, Any]:
    """One version: the fields of `listed`, its report, and its model without the arrays.

    Raises:
        ModelMissingError: there is none of that name.
        ModelVersionError: it is damaged.
    """
    head, data = store.get(name, index)
    numbers = orjson.loads(data)
    return {**_brief(head), "report": head["report"], "model": {part: numbers.get(part) for part in _MODEL_PARTS}}


def compared(store: ModelVersions, index: str, a: str, b: str) -> tuple[dict[str, Any], dict[str, Any], Paired | None]:
    """Two versions, and what the second changes on the held-out queries that both were measured on.

    Raises:
        ModelVersionError: there is none of that name, or it is damaged.
    """
    first, second = version(store, index, a), version(store, index, b)
    return first, second, paired(held_out(first["report"]), held_out(second["report"]))


def expected(store: ModelVersions, index: str, candidate: Mapping[str, Any]) -> Expected:
    """The change that applying a version would make. candidate: the version, as `version` returns it."""
    name, report = candidate["version"], candidate["report"]
    current = active_version(store, index).active
    after = held_out(report)
    if report.get("active") == current:
        # The training measured both side by side.
        return Expected(name, current, paired(report.get("per_query", {}).get("active", {}), after))
    try:
        active_head = store.head(current, index)
    except ModelMissingError:  # the fixed weights, which were never trained
        return Expected(name, current, None)
    return Expected(name, current, paired(held_out(active_head["report"]), after))


def apply(store: ModelVersions, index: str, name: str, instead_of: str | None = None) -> None:
    """Apply a version; search picks it up within seconds. The active version stays as it is, with its history.

    instead_of: the version that was active when it was decided; if another is by now, nothing happens.

    Raises:
        ModelVersionError: there is none of that name, or it is damaged.
        WeightsError: it cannot be used.
        ModelConflictError: another than `instead_of` is active.
    """
    if name == FIXED_VERSION:
        # Before anything is applied they are active without a name: that is no change, and no step to roll back.
        store.activate(index, store.active(index) and name, _stored(instead_of))
        return
    WeightsModel.from_bytes(store.get(name, index)[1])  # what cannot be used is not applied
    store.activate(index, name, _stored(instead_of))


def rollback(store: ModelVersions, index: str, instead_of: str | None = None) -> str:
    """Roll back to the version before; its name. instead_of: as for `apply`.

    Raises:
        ModelConflictError: nothing was applied; another than `instead_of` is active.
    """
    return store.rollback(index, _stored(instead_of)) or FIXED_VERSION


def held_out(report: Mapping[str, Any]) -> dict[str, float]:
    """query -> nDCG@10 of the trained model, held out; empty where the report has none."""
    scores = report.get("per_query", {}).get(report.get("chosen"), {})
    return {query: float(value) for query, value in scores.items()}


def _stored(name: str | None) -> tuple[str | None, ...] | None:
    """The stored names that mean this version: the fixed weights are stored by their name, or as no version."""
    if name is None:
        return None
    return (None, FIXED_VERSION) if name == FIXED_VERSION else (name,)


def _brief(entry: Mapping[str, Any]) -> dict[str, Any]:
    report = entry["report"] if entry.get("report") else {}
    chosen = report.get("chosen", entry["method"])
    row = next((row for row in report.get("rows", ()) if row["system"] == chosen), None)
    said = {name: report.get(name) for name in ("judged", "synthetic", "active", "list", "by")}
    return {
        "version": entry["version"], "kind": entry["method"], "created": entry["created"], "chosen": chosen, "row": row,
        **said,
    }  # fmt: skip


# -- training, as an order -------------------------------------------------------------------------------------------


def order_training(services: Services, index: str, kind: str, by: str, judgments: str | None, **options: int) -> bool:
    """Order the training of weights; whether a worker was told. They are published if they are better, never applied.

    judgments: a list in the cluster; None: synthetic queries from the catalogue decide. options: folds, repeats,
    synthetic and seed of hybrid.learning.weights.training.train.

    Raises:
        UsageError: no such kind or list; a kind that learns from judgments alone, without any.
        IndexMissingError, IndexConflictError: no such index, or not one of the layer's.
        OrderTakenError: the index is learned from or measured already.
    """
    check(kind, judgments is not None)
    services.searcher.profile(index)
    if judgments is not None:
        services.judgment_lists.require(index, judgments)
    chosen = {"kind": kind, "judgments": judgments, **options}
    return orders.place(services, orders.learning_slot(index), "train", index, chosen, by)
