"""Multimodal search for the Elasticsearch that a shop already runs.

The names below are what a shop's own program needs; `import hybrid` loads none of their modules until one is used.

connect     `build_services`, `Services`, `Settings`
index       `plan_index`, `run_index`, `IndexReport`
search      `SearchRequest`; `SearchAnswer`, `Hit`, `SignalScore` and `Degradation` are what comes back
evaluate    `read_judgments`, `Judgments`, `evaluate`, `Evaluation`
weights     `train_weights`, `publish_model`, `apply_model`, `rollback_model`
extend      `Encoder`, the protocol of an encoder; `hybrid.testing` has doubles for tests without a cluster
errors      `HybridError` and its tree, see hybrid.errors

From a catalogue to weights that were learned for it::

    from pathlib import Path
    import hybrid

    services = hybrid.build_services()  # the cluster at HYBRID_ES_URL, else the one that `hybrid up` started
    report = hybrid.run_index(services, hybrid.plan_index(services, Path("products.ndjson"), "shop"))
    answer = services.searcher.search(hybrid.SearchRequest("shop", q="red sports shoes", size=3))
    for hit in answer.hits:
        print(hit.id, round(hit.score, 3), {name: round(part.contribution, 3) for name, part in hit.signals.items()})
    judgments = hybrid.read_judgments(Path("judgments.csv"))
    measured = hybrid.evaluate(services.searcher.search, "shop", judgments, ["bm25", "fixed"])
    print({name: round(system.measures["ndcg@10"], 3) for name, system in measured.systems.items()})
    trained = hybrid.train_weights(services, "shop", judgments, "global")
    if trained.better:
        hybrid.apply_model(services, "weights", "shop", hybrid.publish_model(services.models, trained))
    print(trained.version or f"kept {trained.active}")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors read; `_HOMES` says the same to Python
    from hybrid.contracts import Encoder
    from hybrid.errors import (
        AccessRefusedError,
        AccountError,
        AlreadyExistsError,
        CatalogueError,
        ClusterBusyError,
        ClusterError,
        ClusterTimeoutError,
        ClusterUnreachableError,
        DocumentMissingError,
        EncoderError,
        HybridError,
        IndexConflictError,
        IndexMissingError,
        IndexMovedError,
        InvalidNameError,
        InvalidRequestError,
        JobError,
        JobStateError,
        JudgmentsError,
        LeaseLostError,
        MappingConflictError,
        MavenError,
        MediaError,
        ModelConflictError,
        ModelMissingError,
        ModelVersionError,
        NodeError,
        OrderTakenError,
        RefusedError,
        SynonymsConflictError,
        SynonymsError,
        UsageError,
        VersionConflictError,
        WeightsError,
        WriteBlockedError,
    )
    from hybrid.evaluation.evaluate import Evaluation, evaluate
    from hybrid.evaluation.formats import read_judgments
    from hybrid.evaluation.judgments import Judgments
    from hybrid.learning.models import apply as apply_model
    from hybrid.learning.models import rollback as rollback_model
    from hybrid.learning.trained import publish as publish_model
    from hybrid.learning.weights.training import train as train_weights
    from hybrid.operations.indexing import IndexReport, plan_index, run_index
    from hybrid.searches import Degradation, Hit, SearchAnswer, SearchRequest, SignalScore
    from hybrid.services import Services, build_services
    from hybrid.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "AccessRefusedError",
    "AccountError",
    "AlreadyExistsError",
    "CatalogueError",
    "ClusterBusyError",
    "ClusterError",
    "ClusterTimeoutError",
    "ClusterUnreachableError",
    "Degradation",
    "DocumentMissingError",
    "Encoder",
    "EncoderError",
    "Evaluation",
    "Hit",
    "HybridError",
    "IndexConflictError",
    "IndexMissingError",
    "IndexMovedError",
    "IndexReport",
    "InvalidNameError",
    "InvalidRequestError",
    "JobError",
    "JobStateError",
    "JudgmentsError",
    "Judgments",
    "LeaseLostError",
    "MappingConflictError",
    "MavenError",
    "MediaError",
    "ModelConflictError",
    "ModelMissingError",
    "ModelVersionError",
    "NodeError",
    "OrderTakenError",
    "RefusedError",
    "SynonymsConflictError",
    "SynonymsError",
    "SearchAnswer",
    "SearchRequest",
    "Services",
    "Settings",
    "SignalScore",
    "UsageError",
    "VersionConflictError",
    "WeightsError",
    "WriteBlockedError",
    "__version__",
    "apply_model",
    "build_services",
    "evaluate",
    "plan_index",
    "publish_model",
    "read_judgments",
    "rollback_model",
    "run_index",
    "train_weights",
]

#: Public name -> module:name of those that do not come from hybrid.errors.
_HOMES = {
    "Degradation": "hybrid.searches:Degradation",
    "Encoder": "hybrid.contracts:Encoder",
    "Evaluation": "hybrid.evaluation.evaluate:Evaluation",
    "Hit": "hybrid.searches:Hit",
    "IndexReport": "hybrid.operations.indexing:IndexReport",
    "Judgments": "hybrid.evaluation.judgments:Judgments",
    "SearchAnswer": "hybrid.searches:SearchAnswer",
    "SearchRequest": "hybrid.searches:SearchRequest",
    "Services": "hybrid.services:Services",
    "Settings": "hybrid.settings:Settings",
    "SignalScore": "hybrid.searches:SignalScore",
    "build_services": "hybrid.services:build_services",
    "evaluate": "hybrid.evaluation.evaluate:evaluate",
    "plan_index": "hybrid.operations.indexing:plan_index",
    "apply_model": "hybrid.learning.models:apply",
    "publish_model": "hybrid.learning.trained:publish",
    "read_judgments": "hybrid.evaluation.formats:read_judgments",
    "rollback_model": "hybrid.learning.models:rollback",
    "run_index": "hybrid.operations.indexing:run_index",
    "train_weights": "hybrid.learning.weights.training:train",
}


def __getattr__(name: str) -> Any:
    """Load a public name at its first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pkgutil

    value = pkgutil.resolve_name(_HOMES.get(name, f"hybrid.errors:{name}"))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
