"""Versions of an index's weights as people look after them: listed, compared, put in force, rolled back.

What a version is worth was measured when it was trained, on queries that it had not seen; these figures are kept in
its report, and nothing here searches or trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hybrid.contracts import LEARNED_SYSTEMS
from hybrid.errors import UsageError
from hybrid.evaluation.significance import Paired, paired
from hybrid.operations import orders
from hybrid.search.weights import FIXED_VERSION, WeightsModel
from hybrid.services import Services

#: Parts of a model that its page shows; the others are arrays.
_SHOWN = ("kind", "signals", "scaling", "skip_below")


@dataclass(frozen=True)
class Standing:
    """in_force: `fixed-1` before the first promotion. before: what a rollback puts in force; None: there is none."""

    in_force: str
    since: str | None
    before: str | None


@dataclass(frozen=True)
class Expected:
    """What promoting a version is expected to do to nDCG@10, on queries that neither had seen when it was measured.

    change: None where the two were never measured on the same queries.
    """

    version: str
    in_force: str
    change: Paired | None


def standing(services: Services, index: str) -> Standing:
    """Which version is in force, since when, and which was before."""
    found = services.weights_versions.standing(index)
    before = (found["history"][-1] if found["history"] else FIXED_VERSION) if found["version"] else None
    return Standing(found["version"] or FIXED_VERSION, found["promoted"], before)


def listed(services: Services, index: str, size: int, before: int = 0) -> tuple[list[dict[str, Any]], int]:
    """({"version", "kind", "created", "row", "judged", …} of the versions, newest first; how many there are)."""
    entries, total = services.weights_versions.page(index, size, before)
    return [_brief(entry) for entry in entries], total


def version(services: Services, index: str, name: str) -> dict[str, Any]:
    """One version: what `listed` says of it, its report, and its model without the numbers.

    Raises:
        UsageError: there is none of that name.
    """
    found = services.weights_versions.get(index, name)
    if found is None:
        raise UsageError(f"no weights {name!r} for index {index!r}; see `hybrid weights list --index {index}`")
    model = {part: found["model"].get(part) for part in _SHOWN}
    return {**_brief(found), "report": found["report"], "model": model}


def compared(services: Services, index: str, a: str, b: str) -> tuple[dict[str, Any], dict[str, Any], Paired | None]:
    """Two versions, and what the second changes on the held-out queries that both were measured on.

    Raises:
        UsageError: there is none of that name.
    """
    first, second = version(services, index, a), version(services, index, b)
    return first, second, paired(held_out(first["report"]), held_out(second["report"]))


def expected(services: Services, index: str, found: Mapping[str, Any]) -> Expected:
    """What promoting a version would change. found: it, as `version` gives it."""
    name, report = found["version"], found["report"]
    current = standing(services, index).in_force
    after = held_out(report)
    if report.get("in_force") == current:
        # Measured side by side when it was trained.
        return Expected(name, current, paired(report.get("per_query", {}).get("in force", {}), after))
    kept = services.weights_versions.get(index, current)
    return Expected(name, current, paired(held_out(kept["report"]), after) if kept else None)


def promote(services: Services, index: str, name: str, instead_of: str | None = None) -> None:
    """Put a version in force; search picks it up within seconds.

    instead_of: the version that was in force when it was decided; if another is by now, nothing happens.

    Raises:
        UsageError: there is none of that name.
        WeightsError: it cannot be used; another than `instead_of` is in force.
    """
    model = services.weights_versions.model(index, name)
    if model is None:
        raise UsageError(f"no weights {name!r} for index {index!r}; see `hybrid weights list --index {index}`")
    WeightsModel.from_json(model)  # a version that cannot be used is not promoted
    services.weights_versions.promote(index, name, _stored(instead_of))


def rollback(services: Services, index: str, instead_of: str | None = None) -> str:
    """Put the version before in force; its name. instead_of: as for `promote`.

    Raises:
        WeightsError: nothing was promoted; another than `instead_of` is in force.
    """
    return services.weights_versions.rollback(index, _stored(instead_of)) or FIXED_VERSION


def held_out(report: Mapping[str, Any]) -> dict[str, float]:
    """query -> nDCG@10 of what was trained, on queries that it had not seen; empty where none was kept."""
    found = report.get("per_query", {}).get(report.get("chosen"), {})
    return {query: float(value) for query, value in found.items()}


def _stored(name: str | None) -> tuple[str | None, ...] | None:
    """The fixed weights are in force by their name, or by there being none."""
    if name is None:
        return None
    return (None, FIXED_VERSION) if name == FIXED_VERSION else (name,)


def _brief(entry: Mapping[str, Any]) -> dict[str, Any]:
    report = entry["report"] if entry.get("report") else {}
    chosen = report.get("chosen", entry["kind"])
    row = next((row for row in report.get("rows", ()) if row["system"] == chosen), None)
    said = {name: report.get(name) for name in ("judged", "made_up", "in_force", "list", "by")}
    return {
        "version": entry["version"], "kind": entry["kind"], "created": entry["created"], "chosen": chosen, "row": row,
        **said,
    }  # fmt: skip


# -- training, as an order -------------------------------------------------------------------------------------------


def order_training(services: Services, index: str, kind: str, by: str, judgments: str | None, **options: int) -> bool:
    """Order the training of weights; whether a worker was told. They are published if they are better, never promoted.

    judgments: a list in the cluster; None: queries made up from the catalogue decide. options: folds, repeats,
    made_up and seed of hybrid.learning.weights.training.train.

    Raises:
        UsageError: no such kind or list.
        IndexMissingError, IndexConflictError: no such index, or not one of the layer's.
        OrderTakenError: the index is learned from or measured already.
    """
    if kind not in LEARNED_SYSTEMS:
        raise UsageError(f"no kind {kind!r} to train; kinds: {', '.join(LEARNED_SYSTEMS)}")
    services.searcher.profile(index)
    if judgments is not None:
        services.judgment_lists.require(index, judgments)
    chosen = {"kind": kind, "judgments": judgments, **options}
    return orders.place(services, orders.learning_slot(index), "train", index, chosen, by)
