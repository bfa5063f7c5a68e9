"""`hybrid train weights`: gather, fit, cross-validate, decide, publish."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from hybrid.contracts import LEARNED_SYSTEMS
from hybrid.elastic.indices import products
from hybrid.errors import UsageError
from hybrid.evaluation.judgments import Judgments
from hybrid.evaluation.significance import compare
from hybrid.learning.weights.examples import Table
from hybrid.learning.weights.fit import Options
from hybrid.learning.weights.validation import (  # fmt: skip
    CURVE_SIZES,
    WORDS,
    Material,
    Progress,
    alone,
    choose,
    collect,
    counter,
    cross_validate,
    enough_judged,
    fit,
    has_words,
    judged_curve,
    mixtures,
    oracle,
    predict,
    prepare,
    score,
    skip_curve,
    spread,
    words_alone,
)
from hybrid.search.features import FEATURES, Vocabulary
from hybrid.search.weights import PublishedWeights, WeightsModel
from hybrid.services import Services

#: Share of nDCG@10 that leaving out small signals may cost.
SKIP_COST = 0.005


@dataclass
class Row:
    """One system on held-out queries: mean nDCG@10 with its 95 % interval, against BM25 and the weights in force."""

    system: str
    ndcg: float
    low: float
    high: float
    against_bm25: float
    p_bm25: float
    against_in_force: float
    p_in_force: float
    hurt: float


@dataclass
class Training:
    """What came of a training run. chosen: the kind that earned its place; better: than the weights in force.

    skip: quality against the searches saved by leaving out small signals. fewer: quality against the number of judged
    queries learned from. spread: signal -> how its weights spread over the held-out queries. per_query: system ->
    query -> nDCG@10, held out.
    """

    index: str
    kind: str
    chosen: str
    judged: int
    made_up: int
    signals: list[str]
    folds: int
    repeats: int
    rows: list[Row]
    oracle: float
    better: bool
    reason: str
    skip: list[dict[str, float]]
    fewer: list[dict[str, float]]
    spread: dict[str, dict[str, Any]]
    carried_by: dict[str, float]
    in_force: str
    per_query: dict[str, dict[str, float]]
    model: WeightsModel

    def to_json(self) -> dict[str, Any]:
        data = {name: value for name, value in self.__dict__.items() if name not in ("model", "rows")}
        return {**data, "rows": [asdict(row) for row in self.rows]}


def _threshold(curve: Sequence[Mapping[str, float]]) -> float:
    """The one that saves most for at most SKIP_COST of the quality."""
    floor = curve[0]["ndcg"] * (1 - SKIP_COST)
    allowed = [point for point in curve if point["ndcg"] >= floor]
    best = max(allowed, key=lambda point: (point["saved"], -point["threshold"]))
    return best["threshold"]


def table(systems: Mapping[str, np.ndarray], bm25: str, in_force: str, seed: int = 0) -> list[Row]:
    """Rows from (queries,) scores."""
    words, before = compare(systems, bm25, seed), compare(systems, in_force, seed)
    return [
        Row(name, one.mean, one.low, one.high, one.difference, one.p, other.difference, other.p, one.hurt)
        for name, one, other in ((name, words[name], before[name]) for name in systems)
    ]


def carried_by(model: WeightsModel, material: Material) -> dict[str, float]:
    """Feature -> nDCG@10 lost on the judged queries (the made-up ones where there are none) without it."""
    if model.kind not in ("gate", "attention"):
        return {}
    rows = material.judged if len(material.judged) else material.made_up
    whole = predict(model, material, rows).mean()
    lost = {}
    for column, name in enumerate(FEATURES):
        # A feature whose scale is huge is always at its mean.
        scale = model.scale.copy()
        scale[column] = 1e12
        lost[name] = round(float(whole - predict(replace(model, scale=scale), material, rows).mean()), 4)
    return dict(sorted(lost.items(), key=lambda item: -item[1])[:8])


def train(
    services: Services,
    index: str,
    judgments: Judgments | None,
    kind: str = "gate",
    folds: int = 5,
    repeats: int = 4,
    made_up: int = 600,
    seed: int = 0,
    options: Options | None = None,
    progress: Progress = lambda what, done, total: None,
    keep_kind: bool = False,
) -> Training:
    """Fit a kind of weights and find out what it is worth. Publishes nothing.

    A kind that does no better than `global` gives way to it, and both to words alone where vectors do harm, unless
    `keep_kind`. Without judgments the made-up
    queries alone decide, half of them held out.

    Raises:
        UsageError: an unknown kind, too few judged queries for the folds, nothing to learn from.
    """
    options = options or Options()
    if kind not in LEARNED_SYSTEMS:
        raise UsageError(f"no kind {kind!r} to train; kinds: {', '.join(LEARNED_SYSTEMS)}")
    vocabulary = Vocabulary.count(products.iterate_terms(services.client, index))
    material = prepare(collect(services, index, judgments, made_up, seed, progress), vocabulary)
    # Read anew: what was promoted a second ago counts.
    in_force, _ = PublishedWeights(services.weights_versions).in_force(index)
    if judgments is None:
        half = len(material.made_up) // 2
        rows, test = material.made_up[:half], material.made_up[half:]
        material_fit = replace(material, made_up=rows)
        kinds = [kind]
        held_out = {kind: [mixtures(fit(kind, material_fit, material.judged, options, seed), material, test)]}
        folds = repeats = 1
    else:
        test = material.judged
        enough_judged(test, folds)
        kinds = list(dict.fromkeys(["global", kind]))
        step = counter(progress, "cross-validating", repeats * folds * len(kinds))
        held_out = cross_validate(kinds, material, options, folds, repeats, seed, step)
    systems = {
        "bm25": alone("lexical", material, test),
        "in force": _in_force(services, index, in_force, material, test),
        **{name: np.mean([score(turn, material, test) for turn in turns], 0) for name, turns in held_out.items()},
    }
    # Made-up queries favour words, and so cannot say that vectors do harm.
    worded = has_words(material, test) & (judgments is not None)
    chosen = kind if keep_kind else choose(kind, systems, worded)
    if chosen == WORDS:
        model = words_alone(material)
        held_out[WORDS] = [mixtures(model, material, test)]
        systems[WORDS] = score(held_out[WORDS][0], material, test)
    rows_ = table(systems, "bm25", "in force", seed)
    means = {row.system: row.ndcg for row in rows_}
    better = means[chosen] > means["in force"]
    curve = skip_curve(held_out[chosen], material, test)
    fewer = []
    if judgments is not None and chosen != WORDS:
        sizes = sum(size < len(test) - math.ceil(len(test) / folds) for size in CURVE_SIZES)
        step = counter(progress, "fewer judgments", sizes * folds)
        fewer = judged_curve(chosen, material, options, folds, seed, systems[chosen], step)
    if chosen != WORDS:
        model = fit(chosen, material, material.judged, replace(options, members=max(5, options.members)), seed)
    model = replace(model, skip_below=_threshold(curve))
    return Training(
        index=index,
        kind=kind,
        chosen=chosen,
        judged=len(material.judged),
        made_up=len(material.made_up),
        signals=list(material.basis.signals),
        folds=folds,
        repeats=repeats,
        rows=rows_,
        oracle=round(float(np.mean([oracle(material, row) for row in test])), 4),
        better=better,
        reason=_reason(kind, chosen, means, in_force.version),
        skip=curve,
        fewer=fewer,
        spread=spread(held_out[chosen], material, test),
        carried_by=carried_by(model, material),
        in_force=in_force.version,
        per_query={
            name: {
                material.surfaces.examples[row].name: round(float(value), 4)
                for row, value in zip(test, values, strict=True)
            }
            for name, values in systems.items()
        },
        model=model,
    )


def _reason(kind: str, chosen: str, means: Mapping[str, float], in_force: str) -> str:
    said = "" if chosen == kind else f"{kind} ({means[kind]:.4f}) is no better than {chosen} ({means[chosen]:.4f}); "
    if chosen == WORDS:
        said = (
            f"with vectors, queries that have words are answered worse than by these alone ({kind} {means[kind]:.4f}); "
        )
    verb = "beats" if means[chosen] > means["in force"] else "does not beat"
    return f"{said}{chosen} {means[chosen]:.4f} {verb} {in_force} {means['in force']:.4f} on held-out queries"


def _in_force(services: Services, index: str, model: WeightsModel, material: Material, rows: np.ndarray) -> np.ndarray:
    """(rows,) nDCG@10 of the weights in force, by their own scaling.

    A query that they were trained on counts with the held-out score of that training: on what it has seen, every
    model is better than it is, and no newer one would ever be published.
    """
    kept = services.weights_versions.get(index, model.version)
    report = kept["report"] if kept else {}
    seen = report.get("per_query", {}).get(report.get("chosen", model.kind), {})
    found = []
    for row in rows:
        example = material.surfaces.examples[row]
        if example.name in seen:
            found.append(float(seen[example.name]))
            continue
        weights = model.predict(example.query, example.signals).weights
        table = Table(example, model.scaling)
        found.append(float(table.ndcg(np.array([[weights[name] for name in example.signals]]))[0]))
    return np.array(found)


def publish(
    services: Services, training: Training, promote: bool = True, about: Mapping[str, Any] | None = None
) -> str:
    """Keep the trained model as a version of its index, and put it in force. Its name.

    about: more for its report: the "list" that it was trained on, "by" whom, the "order" that it came of.

    Raises:
        WeightsError: somebody else published or promoted at the same moment.
    """
    versions = services.weights_versions
    # A version that was named by hand may have no number.
    numbers = [
        int(number) for name in versions.names(training.index) if (number := name.rpartition("-")[2]).isdecimal()
    ]
    version = f"{training.model.kind}-{max(numbers, default=0) + 1}"
    model = replace(training.model, version=version)
    # Read back as a web process would: what cannot be loaded must not be promoted.
    WeightsModel.from_json(model.to_json())
    versions.add(training.index, version, model.kind, model.to_json(), {**training.to_json(), **(about or {})})
    if promote:
        versions.promote(training.index, version)
    return version
