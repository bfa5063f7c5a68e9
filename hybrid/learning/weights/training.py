"""`hybrid train weights`: gather examples, fit a model, cross-validate it, decide whether it is better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from hybrid.elastic.stores.models import WEIGHTS, ModelVersions
from hybrid.errors import UsageError
from hybrid.evaluation.judgments import Judgments
from hybrid.evaluation.significance import SURE, compare, least_gain
from hybrid.learning.trained import HeldOut, Trained
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
from hybrid.search.features import FEATURES
from hybrid.search.weights import FIXED_VERSION, PublishedWeights, WeightsModel
from hybrid.searches import LEARNED_SYSTEMS
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
    """The result of a training run. kind: the requested kind; chosen: the kind that did best on held-out queries.

    skip: quality by the share of searches saved when small signals are left out. fewer: quality by the number of judged
    training queries. spread: signal -> distribution of its weights over the held-out queries. per_query: system ->
    query -> nDCG@10, held out. uncertain: why it is not to be made active by its training; "" for no reason.
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
        apart = ("model", "rows", "version", "held_out", "encoders", "family", "method", "uncertain")
        data = {name: value for name, value in self.__dict__.items() if name not in apart}
        return {**data, "rows": [asdict(row) for row in self.rows]}

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
    if model.kind not in ("gate", "attention"):
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
    kind: str = "gate",
    folds: int = 5,
    repeats: int = 4,
    synthetic: int = 600,
    seed: int = 0,
    options: Options | None = None,
    progress: Progress = lambda what, done, total: None,
    keep_kind: bool = False,
) -> Training:
    """Fit a kind of weights and measure it on held-out queries. Publishes nothing.

    `global` replaces a kind that does no better than it, and words alone replace both where vectors do harm, unless
    `keep_kind`. Without judgments, the synthetic queries alone decide, half of them held out.

    Raises:
        UsageError: an unknown kind, too few judged queries for the folds, nothing to learn from.
    """
    options = options or Options()
    if kind not in LEARNED_SYSTEMS:
        raise UsageError(f"no kind {kind!r} to train; kinds: {', '.join(LEARNED_SYSTEMS)}")
    vocabulary = Vocabulary.count(services.cluster.products.iterate_terms(index))
    material = prepare(collect(services, index, judgments, synthetic, seed, progress), vocabulary)
    # Not from the cache: a version that was applied a second ago counts.
    active, _ = PublishedWeights(services.models("weights")).active(index)
    if judgments is None:
        half = len(material.synthetic) // 2
        rows, test = material.synthetic[:half], material.synthetic[half:]
        material_fit = replace(material, synthetic=rows)
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
        "active": _active(services.models(WEIGHTS), index, active, material, test),
        **{name: np.mean([score(turn, material, test) for turn in turns], 0) for name, turns in held_out.items()},
    }
    # Synthetic queries favour words, so they are no evidence that vectors do harm.
    worded = has_words(material, test) & (judgments is not None)
    chosen = kind if keep_kind else choose(kind, systems, worded)
    if chosen == WORDS:
        model = words_alone(material)
        held_out[WORDS] = [mixtures(model, material, test)]
        systems[WORDS] = score(held_out[WORDS][0], material, test)
    rows_ = table(systems, "bm25", "active", seed)
    means = {row.system: row.ndcg for row in rows_}
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
        synthetic=len(material.synthetic),
        signals=list(material.basis.signals),
        folds=folds,
        repeats=repeats,
        rows=rows_,
        oracle=round(float(np.mean([oracle(material, row) for row in test])), 4),
        held_out=HeldOut("nDCG@10", means[chosen], active.version, means["active"], len(test)),
        reason=_reason(kind, chosen, means, active.version),
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
        uncertain=doubt(systems[chosen], systems["bm25"], systems["active"], active.version, seed),
        model=model,
        method=model.kind,
    )


def doubt(scores: np.ndarray, bm25: np.ndarray, active: np.ndarray, version: str, seed: int = 0) -> str:
    """Why weights are not to replace the active ones without a person's decision, "" where they may.

    They must answer no worse than BM25 alone, and better than the active weights by more than noise. scores, bm25,
    active: (queries,) held-out nDCG@10 of the same queries. version: of the active weights.
    """
    if scores.mean() < bm25.mean():
        return f"it is worse than BM25 alone, nDCG@10 {scores.mean():.4f} against {bm25.mean():.4f}"
    gained = scores - active
    least = least_gain(gained, seed)
    if least > 0:
        return ""
    gain, sure = f"{gained.mean():+.4f}", f"{SURE:.0%} sure is {least:+.4f} or more"
    if gained.mean() < 0:
        return f"it is worse than {version} ({gain})"
    return f"its gain over {version} may be chance ({gain}; {sure})"


def _reason(kind: str, chosen: str, means: Mapping[str, float], active: str) -> str:
    said = "" if chosen == kind else f"{kind} ({means[kind]:.4f}) is no better than {chosen} ({means[chosen]:.4f}); "
    if chosen == WORDS:
        said = (
            f"with vectors, queries that have words are answered worse than by these alone ({kind} {means[kind]:.4f}); "
        )
    verb = "beats" if means[chosen] > means["active"] else "does not beat"
    return f"{said}{chosen} {means[chosen]:.4f} {verb} {active} {means['active']:.4f} on held-out queries"


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
        weights = model.predict(example.query, example.signals).weights
        table = Table(example, model.scaling)
        scores.append(float(table.ndcg(np.array([[weights[name] for name in example.signals]]))[0]))
    return np.array(scores)
