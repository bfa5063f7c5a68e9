"""Stored evaluations: ordered, read, and compared from run to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybrid.elastic.stores.evaluations import Evaluations
from hybrid.errors import UsageError
from hybrid.evaluation import pool
from hybrid.evaluation.judgments import Judgments
from hybrid.evaluation.significance import Paired, paired
from hybrid.operations import orders
from hybrid.search.weights import FIXED_VERSION
from hybrid.searches import LEARNED_SYSTEMS
from hybrid.searches import systems as all_systems
from hybrid.services import Services


@dataclass(frozen=True)
class Difference:
    """The change of a system from one run to another. change: None where the runs have no query in common."""

    system: str
    change: Paired | None


def order(
    services: Services, index: str, judgments: str, systems: Sequence[str], folds: int, by: str, **options: int
) -> bool:
    """Order an evaluation; returns whether a worker was notified.

    systems: of hybrid.searches.systems, or versions of the index's weights. folds: number of folds in which learned
    kinds answer held-out queries; 0 for none.

    Raises:
        UsageError: no such system, version or list; nothing to compare; one fold.
        IndexMissingError, IndexConflictError: no such index, or not one of the layer's.
        OrderTakenError: the index is learned from or measured already.
    """
    services.searcher.profile(index)
    chosen = list(dict.fromkeys(systems))
    if not chosen:
        raise UsageError(f"systems: choose at least one of {', '.join(all_systems())}, or a version of the weights")
    if folds == 1:
        raise UsageError("folds: one fold leaves nothing to learn from; give 2 or more, or 0")
    named = [name for name in chosen if name not in (*all_systems(), FIXED_VERSION)]
    known = services.models("weights").names(index) if named else ()
    if unknown := [name for name in named if name not in known]:
        raise UsageError(f"systems: {unknown[0]!r} is no system, and no version of the weights of {index!r}")
    kinds = set(chosen) & set(LEARNED_SYSTEMS)
    for kind in sorted(kinds) if not folds else ():
        if services.models("weights").latest(index, kind) is None:
            raise UsageError(f"systems: no {kind} weights for {index!r} yet; train them first, or ask held out")
    services.judgment_lists.require(index, judgments)
    options_of_order = {"judgments": judgments, "systems": chosen, "folds": folds, **options}
    return orders.place(services, orders.learning_slot(index), "evaluate", index, options_of_order, by)


def run(evaluations: Evaluations, key: str) -> dict[str, Any]:
    """One stored evaluation.

    Raises:
        UsageError: there is none of that id.
    """
    evaluation = evaluations.get(key)
    if evaluation is None:
        raise UsageError(f"no evaluation {key!r}; the list of evaluations names those there are")
    return evaluation


def scores(run: Mapping[str, Any], system: str) -> dict[str, float]:
    """query -> nDCG@10 of a system in a stored run."""
    per_query = run["per_query"]
    return dict(zip(per_query["queries"], per_query["scores"].get(system, ()), strict=False))


def against_baseline(run: Mapping[str, Any]) -> dict[str, Paired]:
    """system -> its change against the baseline of the run, paired by query."""
    before = scores(run, run["baseline"])
    changes = {name: paired(before, scores(run, name)) for name in run["systems"] if name != run["baseline"]}
    return {name: change for name, change in changes.items() if change}


def to_rate(run: Mapping[str, Any]) -> str:
    """A CSV of what the systems of a run showed and nobody had judged; see hybrid.evaluation.pool.to_rate."""
    rows = [pool.Unjudged(row["query"], row["product"], row["shown"]) for row in run.get("unjudged", ())]
    titles = {row["product"]: row["title"] for row in run.get("unjudged", ())}
    return pool.to_rate(rows, Judgments({}), titles)


def compared(evaluations: Evaluations, a: str, b: str) -> tuple[dict[str, Any], dict[str, Any], list[Difference]]:
    """(first run, second run, the change of each system that both have, on the queries that both have).

    Raises:
        UsageError: there is no run of that id; they are of different indices.
    """
    first, second = run(evaluations, a), run(evaluations, b)
    if first["index"] != second["index"]:
        raise UsageError(f"the runs are of different indices, {first['index']!r} and {second['index']!r}")
    both = [name for name in first["systems"] if name in second["systems"]]
    return first, second, [Difference(name, paired(scores(first, name), scores(second, name))) for name in both]
