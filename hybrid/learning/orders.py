"""Training and evaluation as orders. An order whose process died starts from the beginning, and stores one result."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from hybrid.elastic.stores.base import now
from hybrid.elastic.stores.models import WEIGHTS
from hybrid.evaluation import evaluate as evaluation
from hybrid.evaluation.judgments import LIST, Judgments
from hybrid.evaluation.pool import title_of
from hybrid.learning import models
from hybrid.learning.trained import publish
from hybrid.learning.weights import training, validation
from hybrid.operations.orders import Perform, Work
from hybrid.search.weights import FIXED_VERSION
from hybrid.searches import LEARNED_SYSTEMS, SearchAnswer, SearchRequest, unweighted_systems

_RECENT = 20
#: Products that nobody has judged, of a stored evaluation: the most useful ones.
_TO_RATE = 1_000


def train(work: Work) -> Mapping[str, Any]:
    """Train weights, and publish them if they are better; they are not applied.

    Options: kind, judgments (a list, or None), and any of folds, repeats, synthetic, seed.
    """
    services, index, options = work.services, work.index, work.options
    order = _identity(work)
    if work.again and (done := _published(work, order)):
        return done
    kind, name = options.pop("kind"), options.pop("judgments")
    judgments = services.judged(index, f"{LIST}{name}") if name else None
    result = training.train(services, index, judgments, kind, progress=work.counted, **options)
    row = next(row for row in result.rows if row.system == result.chosen)
    version = None
    if result.better:
        about = {"list": name, "by": work.order["by"], "order": order}
        version = publish(services.models, result, about=about)
    return {"version": version, "reason": result.reason, "ndcg": row.ndcg, "low": row.low, "high": row.high}


def _published(work: Work, order: str) -> dict[str, Any] | None:
    """The result of an order whose process died after it had published."""
    recent, _ = work.services.models(WEIGHTS).page(
        work.index, _RECENT, fields=["version", "report.order", "report.rows", "report.chosen"]
    )
    entry = next((entry for entry in recent if entry.get("report", {}).get("order") == order), None)
    if entry is None:
        return None
    row = next(row for row in entry["report"]["rows"] if row["system"] == entry["report"]["chosen"])
    return {"version": entry["version"], "reason": "", **{name: row[name] for name in ("ndcg", "low", "high")}}


def evaluate(work: Work) -> Mapping[str, Any]:
    """Measure systems on judged queries, and store the result.

    Options: judgments (a list), systems (names of systems or of versions of weights), folds (0: learned weights as
    they are; else systems that are kinds are trained on the other folds, and answer held-out queries).
    """
    services, index, options = work.services, work.index, work.options
    judgments = services.judged(index, f"{LIST}{options['judgments']}")
    systems, folds = options["systems"], options.get("folds", 0)
    search: evaluation.Search = services.searcher.search
    learned = [name for name in systems if name in LEARNED_SYSTEMS]
    if folds and learned:
        synthetic = options.get("synthetic", 600)
        search = validation.held_out_search(
            services, index, judgments, learned, folds, synthetic, progress=work.counted
        )
    done, total = 0, len(judgments.relevant) * len(systems)

    def count() -> None:
        nonlocal done
        done += 1
        work.counted("evaluating", done, total)

    active = services.models(WEIGHTS).active(index) or FIXED_VERSION
    result = evaluation.evaluate(_by_version(search), index, judgments, systems, count)
    key = uuid.uuid5(uuid.NAMESPACE_OID, _identity(work)).hex[:12]
    services.evaluations.keep(key, _record(work, judgments, result, active, folds if learned else 0))
    return {"run": key}


def _by_version(search: evaluation.Search) -> evaluation.Search:
    """A search that also accepts the name of a version of weights as a system."""

    def search_by_version(request: SearchRequest) -> SearchAnswer:
        return search(request.under(request.system) if request.system else request)

    return search_by_version


def _record(work: Work, judgments: Judgments, result: evaluation.Evaluation, active: str, folds: int) -> dict[str, Any]:
    """The stored record of an evaluation: its figures and scores by query, without the answers."""
    data = result.to_json()
    scores = {name: list(system.pop("per_query").values()) for name, system in data["systems"].items()}
    for name, system in data["systems"].items():
        used = {answer.weights_version for answer in result.systems[name].answers.values()}
        system["weights_version"] = next(iter(used)) if len(used) == 1 and name not in unweighted_systems() else None
    return {
        "at": now(),
        "by": work.order["by"],
        "index": work.index,
        "list": work.options["judgments"],
        "systems": list(result.systems),
        "weights_version": active,
        "folds": folds,
        "queries": data["queries"],
        "baseline": data["baseline"],
        "judged_at_10": data["judged_at_10"],
        "measures": list(next(iter(result.systems.values())).measures),
        "results": data["systems"],
        "notes": list(judgments.notes),
        "kinds": data["kinds"],
        "unjudged": _unjudged(work, judgments, result),
        "per_query": {"queries": list(judgments.relevant), "scores": scores},
    }


def _unjudged(work: Work, judgments: Judgments, result: evaluation.Evaluation) -> list[dict[str, Any]]:
    """The products to rate, of queries by words: a photo cannot go out with a list and come in again."""
    fields = work.services.searcher.profile(work.index).fields.roles.get("title", ())
    titles = {
        hit.id: title_of(hit, fields)
        for system in result.systems.values()
        for answer in system.answers.values()
        for hit in answer.hits
    }
    rows = [row for row in result.unjudged() if not judgments.query(row.query).image]
    return [
        {"query": row.query, "product": row.product, "title": titles[row.product], "shown": dict(row.shown)}
        for row in rows[:_TO_RATE]
    ]


def _identity(work: Work) -> str:
    """The same for every attempt at an order, and no other order's."""
    return f"{work.order['slot']}@{work.order['placed']}"


KINDS: dict[str, Perform] = {"train": train, "evaluate": evaluate, "apply": models.perform}
