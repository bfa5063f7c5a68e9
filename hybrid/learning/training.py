"""`hybrid train weights`: gather, fit, cross-validate, decide, publish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from hybrid.contracts import LEARNED_SYSTEMS, SearchRequest
from hybrid.elastic import products
from hybrid.errors import UsageError
from hybrid.evaluation import Judgments
from hybrid.features import FEATURES, Vocabulary
from hybrid.learning.examples import Example, Table, calibrate, gather
from hybrid.learning.fit import Basis, Options, Surfaces, basis, fit_global, fit_kind, fixed_bias
from hybrid.learning.queries import make_up
from hybrid.weights import WeightsModel
from hybrid.wiring import Services

#: A query is hurt when it loses more than this against BM25.
HURT = 0.05
#: Share of nDCG@10 that leaving out small signals may cost.
SKIP_COST = 0.005
#: Fewer judged queries than this cannot be cross-validated.
MIN_JUDGED = 10

#: Called with (what is being done, how far, of how much).
Progress = Callable[[str, int, int], None]


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
    """What came of a training run. chosen: the kind that earned its place; better: than the weights in force."""

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
    carried_by: dict[str, float]
    in_force: str
    per_query: dict[str, dict[str, float]]
    model: WeightsModel

    def to_json(self) -> dict[str, Any]:
        data = {name: value for name, value in self.__dict__.items() if name not in ("model", "rows")}
        return {**data, "rows": [asdict(row) for row in self.rows]}


@dataclass(frozen=True)
class Material:
    """Everything that fitting needs, gathered once."""

    surfaces: Surfaces
    features: np.ndarray
    basis: Basis
    judged: np.ndarray
    made_up: np.ndarray


def collect(
    services: Services, index: str, judgments: Judgments | None, made_up: int, seed: int, progress: Progress
) -> list[Example]:
    """Judged and made-up queries with their candidates.

    Raises:
        UsageError: neither gives a query.
    """
    profile = services.searcher.profile(index)
    sampled = products.sample(services.client, index, 5 * made_up, seed) if made_up else []
    invented = make_up(sampled, profile, made_up, seed)
    requests = []
    if judgments is not None:
        requests = [
            (query, judgments.request(query, index=index), ratings, "") for query, ratings in judgments.ratings.items()
        ]
    requests += [
        (query.text, SearchRequest(index=index, q=query.text, image=query.image), query.ratings, query.kind)
        for query in invented
    ]
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        progress("asking", done, len(requests))

    examples = gather(services.searcher, requests, count)
    if not examples:
        raise UsageError("no query to learn from: no judged query finds a relevant product, and none could be made up")
    return examples


def prepare(examples: Sequence[Example], vocabulary: Vocabulary) -> Material:
    """Scaling, features and surfaces of the examples."""
    made_up = [example for example in examples if example.made_up]
    scaling = calibrate(made_up if len(made_up) >= 50 else examples)
    shared = basis(examples, scaling, vocabulary)
    surfaces = Surfaces(examples, scaling, shared.signals)
    flags = np.array([bool(example.made_up) for example in examples])
    return Material(surfaces, shared.features(examples), shared, np.flatnonzero(~flags), np.flatnonzero(flags))


def fit(kind: str, material: Material, judged: np.ndarray, options: Options, seed: int = 0) -> WeightsModel:
    """A model of a kind from these judged rows and all made-up ones (none judged: from the made-up ones alone)."""
    home = fixed_bias(material.basis.signals)
    # The made-up queries have one right answer each, and so favour words: they shape the gate, not the mixture.
    bias = fit_global(material.surfaces, judged, home, options) if len(judged) else home
    if kind == "global":
        return material.basis.model("global", bias)
    rows = np.concatenate([judged, material.made_up])
    parameters = fit_kind(kind, material.surfaces, rows, material.features, bias, options, seed)
    return material.basis.model(kind, bias, parameters)


Mixtures = list[np.ndarray]


def mixtures(model: WeightsModel, material: Material, rows: np.ndarray) -> Mixtures:
    """(signals in play,) weights that the model gives each of these examples."""
    found = []
    for row in rows:
        example = material.surfaces.examples[row]
        weights = model.predict(example.query, example.signals).weights
        found.append(np.array([weights[name] for name in example.signals]))
    return found


def score(mixed: Mixtures, material: Material, rows: np.ndarray, skip_below: float = 0.0) -> np.ndarray:
    """(rows,) nDCG@10 of these weights; signals under `skip_below` are not searched."""
    found = []
    for weights, row in zip(mixed, rows, strict=True):
        kept = np.where(weights < skip_below, 0.0, weights)
        found.append(material.surfaces.tables[row].ndcg(kept[None] / kept.sum())[0])
    return np.array(found)


def predict(model: WeightsModel, material: Material, rows: np.ndarray) -> np.ndarray:
    """(rows,) nDCG@10 of the model on these examples."""
    return score(mixtures(model, material, rows), material, rows)


def cross_validate(
    kinds: Sequence[str], material: Material, options: Options, folds: int, repeats: int, seed: int, progress: Progress
) -> dict[str, list[Mixtures]]:
    """kind -> for each repeat, the held-out weights of every judged query, by models that never saw its ratings."""
    judged = material.judged
    found: dict[str, list[Mixtures]] = {kind: [] for kind in kinds}
    done, total = 0, repeats * folds * len(kinds)
    for turn in range(repeats):
        order = np.random.default_rng(seed + turn).permutation(len(judged))
        for kind in kinds:
            found[kind].append([np.zeros(0)] * len(judged))
        for fold in range(folds):
            held = order[fold::folds]
            rest = judged[np.setdiff1d(order, held)]
            for kind in kinds:
                model = fit(kind, material, rest, options, seed + turn)
                for at, weights in zip(held, mixtures(model, material, judged[held]), strict=True):
                    found[kind][turn][at] = weights
                done += 1
                progress("cross-validating", done, total)
    return found


def skip_curve(mixed: list[Mixtures], material: Material, rows: np.ndarray) -> list[dict[str, float]]:
    """What leaving out small signals costs and saves: threshold, nDCG@10, share of signal searches saved."""
    curve = []
    for threshold in (0.0, 0.02, 0.05, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.4):
        scores = [score(turn, material, rows, threshold).mean() for turn in mixed]
        weights = np.concatenate([weights for turn in mixed for weights in turn])
        curve.append(
            {
                "threshold": threshold,
                "ndcg": round(float(np.mean(scores)), 4),
                "saved": round(float((weights < threshold).mean()), 4),
            }
        )
    return curve


def _threshold(curve: Sequence[Mapping[str, float]]) -> float:
    """The one that saves most for at most SKIP_COST of the quality."""
    floor = curve[0]["ndcg"] * (1 - SKIP_COST)
    allowed = [point for point in curve if point["ndcg"] >= floor]
    best = max(allowed, key=lambda point: (point["saved"], -point["threshold"]))
    return best["threshold"]


def compare(systems: Mapping[str, np.ndarray], bm25: str, in_force: str, seed: int = 0) -> list[Row]:
    """Rows of the table from (queries,) scores; intervals by bootstrap, p-values by paired randomisation."""
    from scipy import stats

    rng = np.random.default_rng(seed)

    def p_value(difference: np.ndarray) -> float:
        if not np.abs(difference).max() > 1e-12:
            return 1.0
        result = stats.permutation_test(
            (difference, np.zeros_like(difference)),
            lambda a, b, axis: np.mean(a - b, axis=axis),
            permutation_type="samples",
            n_resamples=9999,
            vectorized=True,
            rng=rng,
        )
        return float(result.pvalue)

    rows = []
    for name, scores in systems.items():
        means = scores[rng.integers(0, len(scores), (9999, len(scores)))].mean(1)
        low, high = np.quantile(means, [0.025, 0.975])
        lost = systems[bm25] - scores
        rows.append(
            Row(
                name,
                round(float(scores.mean()), 4),
                round(float(low), 4),
                round(float(high), 4),
                round(float(-lost.mean()), 4),
                round(p_value(lost), 4),
                round(float((scores - systems[in_force]).mean()), 4),
                round(p_value(scores - systems[in_force]), 4),
                round(float((lost > HURT).mean()), 4),
            )
        )
    return rows


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

    A kind that does no better than `global` gives way to it, unless `keep_kind`. Without judgments the made-up
    queries alone decide, half of them held out.

    Raises:
        UsageError: an unknown kind, too few judged queries for the folds, nothing to learn from.
    """
    options = options or Options()
    if kind not in LEARNED_SYSTEMS:
        raise UsageError(f"no kind {kind!r} to train; kinds: {', '.join(LEARNED_SYSTEMS)}")
    vocabulary = Vocabulary.count(products.iterate_terms(services.client, index))
    material = prepare(collect(services, index, judgments, made_up, seed, progress), vocabulary)
    in_force, _ = services.published.in_force(index)
    if judgments is None:
        half = len(material.made_up) // 2
        rows, test = material.made_up[:half], material.made_up[half:]
        material_fit = replace(material, made_up=rows)
        kinds = [kind]
        held_out = {kind: [mixtures(fit(kind, material_fit, material.judged, options, seed), material, test)]}
        folds = repeats = 1
    else:
        test = material.judged
        if len(test) < max(MIN_JUDGED, folds) or folds < 2:
            raise UsageError(
                f"{len(test)} judged queries with a relevant product are too few for {folds} folds; judge at least "
                f"{max(MIN_JUDGED, folds)}, or leave --judgments out to learn from made-up queries alone"
            )
        kinds = list(dict.fromkeys(["global", kind]))
        held_out = cross_validate(kinds, material, options, folds, repeats, seed, progress)
    systems = {
        "bm25": alone("lexical", material, test),
        "in force": _in_force(services, index, in_force, material, test),
        **{name: np.mean([score(turn, material, test) for turn in turns], 0) for name, turns in held_out.items()},
    }
    rows_ = compare(systems, "bm25", "in force", seed)
    means = {row.system: row.ndcg for row in rows_}
    # A gate that does not beat one mixture for all does not earn its place: the simpler kind stays.
    chosen = kind if keep_kind or kind == kinds[0] or means[kind] > means["global"] else "global"
    better = means[chosen] > means["in force"]
    curve = skip_curve(held_out[chosen], material, test)
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
        oracle=round(float(np.mean([_oracle(material, row) for row in test])), 4),
        better=better,
        reason=_reason(kind, chosen, means, in_force.version),
        skip=curve,
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
    verb = "beats" if means[chosen] > means["in force"] else "does not beat"
    return f"{said}{chosen} {means[chosen]:.4f} {verb} {in_force} {means['in force']:.4f} on held-out queries"


def _in_force(services: Services, index: str, model: WeightsModel, material: Material, rows: np.ndarray) -> np.ndarray:
    """(rows,) nDCG@10 of the weights in force, by their own scaling.

    A query that they were trained on counts with the held-out score of that training: on what it has seen, every
    model is better than it is, and no newer one would ever be published.
    """
    kept = services.weights_versions.get(index, model.version)
    seen = kept["report"].get("per_query", {}).get(model.kind, {}) if kept else {}
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


def alone(signal: str, material: Material, rows: np.ndarray) -> np.ndarray:
    """(rows,) nDCG@10 of one signal; what a query without it gets is what its other signals give."""
    found = []
    for row in rows:
        names = material.surfaces.examples[row].signals
        weights = np.array([[1.0 if name == signal or signal not in names else 0.0 for name in names]])
        found.append(material.surfaces.tables[row].ndcg(weights)[0])
    return np.array(found)


def _oracle(material: Material, row: int) -> float:
    """The best that any mixture of these lists could do for the query."""
    example = material.surfaces.examples[row]
    group = material.surfaces.groups.get(example.signals)
    if group is None:
        return float(material.surfaces.tables[row].ndcg(np.ones((1, 1)))[0])
    rows, _, heights = group
    return float(heights[int(np.flatnonzero(rows == row)[0])].max())


def publish(services: Services, training: Training, promote: bool = True) -> str:
    """Keep the trained model as a version of its index, and put it in force. Its name.

    Raises:
        WeightsError: somebody else published or promoted at the same moment.
    """
    versions = services.weights_versions
    kept = versions.list(training.index)
    numbers = [int(entry["version"].rpartition("-")[2]) for entry in kept]
    version = f"{training.chosen}-{max(numbers, default=0) + 1}"
    model = replace(training.model, version=version)
    # Read back as a web process would: what cannot be loaded must not be promoted.
    WeightsModel.from_json(model.to_json())
    versions.add(training.index, version, training.chosen, model.to_json(), training.to_json())
    if promote:
        versions.promote(training.index, version)
    return version
