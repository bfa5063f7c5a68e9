"""`hybrid train weights`: gather examples, fit a model, cross-validate it, decide whether it is better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from hybrid.elastic.stores.models import WEIGHTS, ModelVersions
from hybrid.evaluation.judgments import Judgments
from hybrid.evaluation.significance import compare
from hybrid.learning.trained import HeldOut, Trained
from hybrid.learning.weights.examples import Table
from hybrid.learning.weights.fit import Options
from hybrid.learning.weights.kinds import check, up_to
from hybrid.learning.weights.selection import Candidate, Fold, Step, climb, cross_validated, folds_of
from hybrid.learning.weights.validation import (  # fmt: skip
    CURVE_SIZES,
    Material,
    Progress,
    alone,
    candidate,
    collect,
    counter,
    enough_judged,
    fit,
    judged_curve,
    oracle,
    predict,
    prepare,
    skip_curve,
    spread,
    turn_mixtures,
)
from hybrid.search.features import FEATURES
from hybrid.search.weights import FIXED_VERSION, PREDICTED, PublishedWeights, WeightsModel
from hybrid.services import Services
from hybrid.text.vocabulary import Vocabulary

#: Share of nDCG@10 that leaving out small signals may cost.
SKIP_COST = 0.005


@dataclass
class Row:
    """One system on held-out queries: mean nDCG@10 with its 95 % interval, against BM25 and the active weights."""

    system: str
    ndcg: float
    low: float
    high: float
    against_bm25: float
    p_bm25: float
    against_active: float
    p_active: float
    hurt: float


@dataclass
class Training(Trained):
    """The result of a training run. kind: the requested kind; chosen: the kind of the model, which is the richest one
    that has earned its place, or the best one where none has. steps: how each kind compared with the one in force.

    skip: quality by the share of searches saved when small signals are left out. fewer: quality by the number of judged
    training queries. spread: signal -> distribution of its weights over the held-out queries. per_query: system ->
    query -> nDCG@10, held out. uncertain: why it is no better than what is active; "" where it is.
    """

    index: str
    kind: str
    chosen: str
    judged: int
    synthetic: int
    signals: list[str]
    folds: int
    repeats: int
    rows: list[Row]
    steps: list[Step]
    held_out: HeldOut
    oracle: float
    reason: str
    skip: list[dict[str, float]]
    fewer: list[dict[str, float]]
    spread: dict[str, dict[str, Any]]
    ablation: dict[str, float]
    active: str
    per_query: dict[str, dict[str, float]]
    uncertain: str
    model: WeightsModel
    method: str
    version: str | None = None
    encoders: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    family: str = WEIGHTS

    @property
    def stem(self) -> str:
        return self.method  # the names of weights are an index's own

    @property
    def doubt(self) -> str:
        return self.uncertain

    def report(self) -> dict[str, Any]:
        apart = ("model", "rows", "steps", "version", "held_out", "encoders", "family", "method", "uncertain")
        data = {name: value for name, value in self.__dict__.items() if name not in apart}
        return {
            **data, "rows": [asdict(row) for row in self.rows], "steps": [step.to_json() for step in self.steps],
        }  # fmt: skip

    def numbers(self, version: str) -> bytes:
        data = replace(self.model, version=version).to_bytes()
        WeightsModel.from_bytes(data)  # a model that a web process could not load must not be stored
        return data


def _threshold(curve: Sequence[Mapping[str, float]]) -> float:
    """The threshold that saves most searches at a loss of at most SKIP_COST of the quality."""
    floor = curve[0]["ndcg"] * (1 - SKIP_COST)
    allowed = [point for point in curve if point["ndcg"] >= floor]
    best = max(allowed, key=lambda point: (point["saved"], -point["threshold"]))
    return best["threshold"]


def table(systems: Mapping[str, np.ndarray], bm25: str, active: str, seed: int = 0) -> list[Row]:
    """Rows from (queries,) scores."""
    words, before = compare(systems, bm25, seed), compare(systems, active, seed)
    return [
        Row(name, one.mean, one.low, one.high, one.difference, one.p, other.difference, other.p, one.hurt)
        for name, one, other in ((name, words[name], before[name]) for name in systems)
    ]


def ablation(model: WeightsModel, material: Material) -> dict[str, float]:
    """Feature -> nDCG@10 lost on the judged queries (the synthetic ones where there are none) without it."""
    if model.kind not in PREDICTED:
        return {}
    rows = material.judged if len(material.judged) else material.synthetic
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
    kind: str = "kinds",
    folds: int = 5,
    repeats: int = 4,
    synthetic: int = 600,
    seed: int = 0,
    options: Options | None = None,
    progress: Progress = lambda what, done, total: None,
    keep_kind: bool = False,
) -> Training:
    """Fit kinds of weights, measure them on held-out queries, and choose by evidence. Publishes nothing.

    The kinds up to the requested one are compared, each with the one in force before it, which at first is the active
    version: see hybrid.learning.weights.selection. keep_kind: the model is of the requested kind, whatever is chosen.
    Without judgments, the synthetic queries alone decide, half of them held out.

    Raises:
        UsageError: an unknown kind, or one that cannot do without judgments; too few judged queries for the folds,
            nothing to learn from.
    """
    options = options or Options()
    check(kind, judgments is not None)
    vocabulary = Vocabulary.count(services.cluster.products.iterate_terms(index))
    material = prepare(collect(services, index, judgments, synthetic, seed, progress), vocabulary)
    # Not from the cache: a version that was applied a second ago counts.
    active, _ = PublishedWeights(services.models("weights")).active(index)
    if judgments is None:
        half = len(material.synthetic) // 2
        test, kinds, folds, repeats = material.synthetic[half:], [kind], 1, 1
        turns = [Fold(0, test, material.synthetic[:half])]
        candidates = [_of_synthetic(kind, material, options)]
    else:
        test, kinds = material.judged, up_to(kind)
        enough_judged(test, folds)
        turns = list(folds_of(test, folds, repeats, seed))
        candidates = [candidate(name, material, options) for name in kinds]
    step = counter(progress, "cross-validating", len(turns) * len(kinds))
    found = cross_validated(candidates, turns, seed, step)
    held_out = {name: turn_mixtures(one, turns, material, test) for name, one in found.items()}
    systems = {
        "bm25": alone("lexical", material, test),
        "active": _active(services.models(WEIGHTS), index, active, material, test),
        **{name: _by_query(one.scores, turns, test) for name, one in found.items()},
    }
    before = [systems["active"][np.searchsorted(test, turn.held_out)] for turn in turns]
    earned, steps = climb(
        "active", kinds, {"active": before, **{name: one.scores for name, one in found.items()}}, turns
    )
    steps = [replace(one, against=active.version) if one.against == "active" else one for one in steps]
    rows_ = table(systems, "bm25", "active", seed)
    means = {row.system: row.ndcg for row in rows_}
    best = earned if earned != "active" else max(kinds, key=lambda name: means[name])
    chosen = kind if keep_kind else best
    fewer = []
    if judgments is not None:
        sizes = sum(size < len(test) - math.ceil(len(test) / folds) for size in CURVE_SIZES)
        step = counter(progress, "fewer judgments", sizes * folds)
        fewer = judged_curve(chosen, material, options, folds, seed, systems[chosen], step)
    model = _fitted(chosen, material, replace(options, members=max(5, options.members)), seed)
    curve = skip_curve(held_out[chosen], material, test)
    model = replace(model, skip_below=_threshold(curve))
    uncertain = doubt(means[chosen], means["bm25"], next(one for one in steps if one.kind == chosen))
    return Training(
        index=index,
        kind=kind,
        chosen=chosen,
        judged=len(material.judged),
        synthetic=len(material.synthetic),
        signals=list(material.basis.signals),
        folds=folds,
        repeats=repeats,
        rows=rows_,
        steps=steps,
        oracle=round(float(np.mean([oracle(material, row) for row in test])), 4),
        held_out=HeldOut("nDCG@10", means[chosen], active.version, means["active"], len(test), not uncertain),
        reason="; ".join([*map(str, steps), *([uncertain] if uncertain and steps[-1].better else [])]),
        skip=curve,
        fewer=fewer,
        spread=spread(held_out[chosen], material, test),
        ablation=ablation(model, material),
        active=active.version,
        per_query={
            name: {
                material.surfaces.examples[row].name: round(float(value), 4)
                for row, value in zip(test, values, strict=True)
            }
            for name, values in systems.items()
        },
        uncertain=uncertain,
        model=model,
        method=model.kind,
    )


def _of_synthetic(kind: str, material: Material, options: Options) -> Candidate:
    """A kind that learns from synthetic queries alone."""
    none = material.judged[:0]
    return Candidate(
        kind,
        lambda rows, seed: fit(kind, replace(material, synthetic=rows), none, options, seed),
        lambda model, rows: predict(model, material, rows),
    )


def _fitted(kind: str, material: Material, options: Options, seed: int) -> WeightsModel:
    """The model that is published: fitted to all queries, as in each fold to those of the others."""
    if not len(material.judged):
        return fit(kind, material, material.judged, options, seed)
    model: WeightsModel = candidate(kind, material, options).fit(material.judged, seed)
    return model


def _by_query(scores: Sequence[np.ndarray], turns: Sequence[Fold], rows: np.ndarray) -> np.ndarray:
    """(rows,) mean of the repeats' held-out scores."""
    total, times = np.zeros(len(rows)), np.zeros(len(rows))
    for turn, found in zip(turns, scores, strict=True):
        places = np.searchsorted(rows, turn.held_out)
        total[places] += found
        times[places] += 1
    return total / times


def doubt(ndcg: float, bm25: float, step: Step) -> str:
    """Why weights are not to replace the active ones without a person's decision, "" where they may.

    They must answer no worse than BM25 alone, and better than what is in force by more than chance.
    """
    if ndcg < bm25:
        return f"it is worse than BM25 alone, nDCG@10 {ndcg:.4f} against {bm25:.4f}"
    return "" if step.better else str(step)


def _active(store: ModelVersions, index: str, model: WeightsModel, material: Material, rows: np.ndarray) -> np.ndarray:
    """(rows,) nDCG@10 of the active weights, by their own scaling.

    A query that they were trained on counts with the held-out score of that training. On its own training queries a
    model scores too high, and no newer model would ever be published.
    """
    report = {} if model.version == FIXED_VERSION else store.head(model.version, index)["report"]
    seen = report.get("per_query", {}).get(report.get("chosen", model.kind), {})
    scores = []
    for row in rows:
        example = material.surfaces.examples[row]
        if example.name in seen:
            scores.append(float(seen[example.name]))
            continue
        weights = model.predict(example.query, example.in_play).weights
        table = Table(example, model.scaling, model.shares)
        scores.append(float(table.ndcg(np.array([[weights[name] for name in example.signals]]))[0]))
    return np.array(scores)
