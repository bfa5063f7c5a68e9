"""Held-out quality of weights: examples, folds, cross-validation, curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from hybrid.errors import UsageError
from hybrid.evaluation.judgments import Judgments
from hybrid.evaluation.significance import interval
from hybrid.learning.weights import linear
from hybrid.learning.weights.examples import Example, calibrate, gather
from hybrid.learning.weights.fit import (  # fmt: skip
    TIES,
    Basis,
    Options,
    Surfaces,
    basis,
    fit_kind,
    fit_ties,
    fixed_bias,
)
from hybrid.learning.weights.queries import SPOKEN, synthetic_queries
from hybrid.learning.weights.selection import Candidate, Fold, HeldOutFits, cross_validated, folds_of, tuned
from hybrid.search import fusion
from hybrid.search.prior import SHARES
from hybrid.search.searcher import Searcher
from hybrid.search.weights import PREDICTED, PinnedWeights, WeightsModel
from hybrid.searches import SearchAnswer, SearchRequest
from hybrid.services import Services
from hybrid.signals import PRIOR, kind_of
from hybrid.text.vocabulary import Vocabulary

#: Numbers of judged queries that the curve of quality is drawn through.
CURVE_SIZES = (0, 10, 20, 40, 80, 160)
#: Fewer judged queries than this cannot be cross-validated.
MIN_JUDGED = 10
#: Synthetic queries that inner folds learn from.
_INNER_SYNTHETIC = 100

#: Called with (the step's name, how much of it is done, of how much).
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Material:
    """Everything that fitting needs, gathered once."""

    surfaces: Surfaces
    features: np.ndarray  # (examples, features)
    basis: Basis
    judged: np.ndarray  # rows of the judged examples
    synthetic: np.ndarray  # rows of the synthetic ones

    @cached_property
    def lists(self) -> linear.Lists:
        """The examples as the fits of `global` and `kinds` read them."""
        return linear.Lists(self.surfaces.examples, self.surfaces.tables)

    def learned(self, judged: np.ndarray, seed: int) -> linear.Linear:
        """One weight a signal, from these judged rows; fitted once, for the kinds that build on it."""
        key = judged.tobytes(), seed
        if key not in self._fitted:
            prior = linear.shipped(self.lists.signals)
            self._fitted[key] = linear.fit_with_pull(self.lists, judged, prior, seed=seed)
        return self._fitted[key]

    @cached_property
    def _fitted(self) -> dict[tuple[bytes, int], linear.Linear]:
        return {}

    @cached_property
    def shares(self) -> dict[str, float]:
        """The shipped part of each signal in the weight of its kind, of the priors in equal parts."""
        names = {name for example in self.surfaces.examples for name in example.raw}
        return SHARES | {name: 1.0 for name in sorted(names) if kind_of(name) == PRIOR}


#: The least weight of a kind, whose logarithm is stored.
_LEAST = 1e-4


@dataclass(frozen=True)
class Start:
    """What a gate and an attention build on: `global`, the surfaces under its shares, (examples, signals) logits."""

    model: WeightsModel
    surfaces: Surfaces
    logits: np.ndarray

    @classmethod
    def of(cls, material: Material, judged: np.ndarray, seed: int) -> Start:
        model = _linear("global", material, judged, seed)
        moved = [model.moved(example.query.kind) for example in material.surfaces.examples]
        return cls(model, material.surfaces.under(model.shares), model.bias + np.stack(moved))


def collect(
    services: Services, index: str, judgments: Judgments | None, synthetic: int, seed: int, progress: Progress
) -> list[Example]:
    """Judged and synthetic queries with their candidates.

    Raises:
        UsageError: neither gives a query.
    """
    profile = services.searcher.profile(index)
    sampled = services.cluster.products.sample(index, 5 * synthetic, seed) if synthetic else []
    text = profile.signals.get("text")
    encode = services.encoder(text.encoder).encode_texts if text is not None else None
    invented = synthetic_queries(sampled, profile, synthetic, seed, encode)
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
    # Spoken queries are hard by design, so their scores are not those of usual matches.
    synthetic = [example for example in examples if example.synthetic and example.synthetic != SPOKEN]
    scaling = calibrate(synthetic if len(synthetic) >= 50 else examples)
    shared = basis(examples, scaling, vocabulary)
    surfaces = Surfaces(examples, scaling, shared.signals)
    flags = np.array([bool(example.synthetic) for example in examples])
    return Material(surfaces, shared.features(examples), shared, np.flatnonzero(~flags), np.flatnonzero(flags))


def fit(
    kind: str, material: Material, judged: np.ndarray, options: Options, seed: int = 0, start: Start | None = None
) -> WeightsModel:
    """A model of a kind, from these judged rows (there may be none); a gate and an attention learn from all synthetic
    ones as well.

    start: that of these rows, where it is known already.
    """
    if kind not in PREDICTED:
        return _linear(kind, material, judged, seed)
    start = start or Start.of(material, judged, seed)
    rows = np.concatenate([judged, material.synthetic])
    parameters = fit_kind(kind, start.surfaces, rows, material.features, start.logits[rows], options, seed)
    return replace(start.model, kind=kind, parameters=parameters)


def _linear(kind: str, material: Material, judged: np.ndarray, seed: int) -> WeightsModel:
    """`global` or `kinds`, learned from these judged rows; the shipped weights where there are none.

    The synthetic queries have one right answer each, and so favour words: these kinds do not learn from them.
    """
    signals = material.basis.signals
    if not len(judged):
        return material.basis.model(kind, fixed_bias(signals), shares=material.shares)
    found = material.learned(judged, seed)
    if kind == "kinds":
        prior = linear.shipped(material.lists.signals)
        found = linear.fit_by_query(material.lists, judged, prior, found.pull, seed=seed)
    kinds = fusion.by_kind(found.weights)
    bias = np.log([max(kinds.get(name, 0.0), _LEAST) for name in signals])
    return material.basis.model(kind, np.asarray(bias), shares=found.weights, by_query=found.by_query)


def candidate(kind: str, material: Material, options: Options, tune: bool = True) -> Candidate:
    """A kind as selection takes it. tune: choose `Options.tie` on inner folds of the rows that it learns from."""

    def fitted(rows: np.ndarray, seed: int) -> WeightsModel:
        if kind not in PREDICTED:
            return fit(kind, material, rows, options, seed)
        start = Start.of(material, rows, seed)
        chosen = tuned_options(kind, material, rows, options, seed, start) if tune else options
        return fit(kind, material, rows, chosen, seed, start)

    return Candidate(kind, fitted, lambda model, rows: predict(model, material, rows))


def tuned_options(
    kind: str, material: Material, judged: np.ndarray, options: Options, seed: int, start: Start
) -> Options:
    """The options with the tie that does best on inner folds of these judged rows.

    All of TIES are fitted at once, and to a part of the synthetic queries: what is chosen is only how far to go.
    """
    synthetic = material.synthetic[:: max(1, len(material.synthetic) // _INNER_SYNTHETIC)]

    def scores(rest: np.ndarray, held_out: np.ndarray) -> list[np.ndarray]:
        rows = np.concatenate([rest, synthetic])
        fitted = fit_ties(kind, start.surfaces, rows, material.features, start.logits[rows], options, TIES, seed)
        models = [replace(start.model, kind=kind, parameters=parameters) for parameters in fitted]
        return [predict(model, material, held_out) for model in models]

    return replace(options, tie=tuned(TIES, scores, judged, seed))


@dataclass(frozen=True)
class Mixture:
    """What a model gives one example. weights: (kinds of signals in play,); shares: of signals, see WeightsModel."""

    weights: np.ndarray
    shares: Mapping[str, float]


Mixtures = list[Mixture]
_NO_MIXTURE = Mixture(np.zeros(0), {})


def mixtures(model: WeightsModel, material: Material, rows: np.ndarray) -> Mixtures:
    """The mixture that the model gives each of these examples."""
    mixed = []
    for row in rows:
        example = material.surfaces.examples[row]
        weights = model.predict(example.query, example.in_play).weights
        mixed.append(Mixture(np.array([weights[name] for name in example.signals]), model.shares))
    return mixed


def score(mixed: Mixtures, material: Material, rows: np.ndarray, skip_below: float = 0.0) -> np.ndarray:
    """(rows,) nDCG@10 of these mixtures; kinds of signals under `skip_below` are not searched."""
    scores = []
    for one, row in zip(mixed, rows, strict=True):
        signals = material.surfaces.examples[row].signals
        searched = (one.weights >= skip_below) | (np.array(signals) == PRIOR)  # priors are read with what is searched
        pruned = np.where(searched, one.weights, 0.0)
        scores.append(material.surfaces.tables[row].ndcg(pruned[None] / pruned.sum(), one.shares)[0])
    return np.array(scores)


def predict(model: WeightsModel, material: Material, rows: np.ndarray) -> np.ndarray:
    """(rows,) nDCG@10 of the model on these examples."""
    return score(mixtures(model, material, rows), material, rows)


def cross_validate(
    kinds: Sequence[str],
    material: Material,
    options: Options,
    folds: int,
    repeats: int,
    seed: int,
    progress: Callable[[], None] = lambda: None,
    limit: int | None = None,
) -> dict[str, list[Mixtures]]:
    """kind -> for each repeat, the weights of every judged query, by a model that never saw its ratings; not tuned."""
    turns = list(folds_of(material.judged, folds, repeats, seed, limit))
    found = cross_validated([candidate(kind, material, options, False) for kind in kinds], turns, seed, progress)
    return {kind: turn_mixtures(one, turns, material, material.judged) for kind, one in found.items()}


def turn_mixtures(found: HeldOutFits, folds: Sequence[Fold], material: Material, rows: np.ndarray) -> list[Mixtures]:
    """For each repeat, the weights of every one of these rows, by the model of the fold that held it out."""
    place = {int(row): at for at, row in enumerate(rows)}
    turns: list[Mixtures] = [
        [Mixture(np.zeros(0), {})] * len(rows) for _ in range(1 + max(fold.turn for fold in folds))
    ]
    for fold, model in zip(folds, found.fitted, strict=True):
        for row, one in zip(fold.held_out, mixtures(model, material, fold.held_out), strict=True):
            turns[fold.turn][place[int(row)]] = one
    return turns


def judged_curve(
    kind: str,
    material: Material,
    options: Options,
    folds: int,
    seed: int,
    full: np.ndarray,
    progress: Callable[[], None] = lambda: None,
) -> list[dict[str, float]]:
    """Held-out quality of a kind by the number of judged training queries. full: (queries,) scores with all of them."""
    most = len(material.judged) - math.ceil(len(material.judged) / folds)
    curve = []
    for limit in [size for size in CURVE_SIZES if size < most]:
        mixed = cross_validate([kind], material, options, folds, 1, seed, progress, limit)[kind]
        curve.append(_point(limit, score(mixed[0], material, material.judged)))
    return [*curve, _point(most, full)]


def _point(judged: int, scores: np.ndarray) -> dict[str, float]:
    low, high = interval(scores)
    return {"judged": judged, "ndcg": round(float(scores.mean()), 4), "low": low, "high": high}


def skip_curve(mixed: list[Mixtures], material: Material, rows: np.ndarray) -> list[dict[str, float]]:
    """The cost and the saving of leaving out small signals: threshold, nDCG@10, share of signal searches saved."""
    curve = []
    for threshold in (0.0, 0.02, 0.05, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.25, 0.3, 0.4):
        scores = [score(turn, material, rows, threshold).mean() for turn in mixed]
        weights = np.concatenate([one.weights for turn in mixed for one in turn])
        curve.append(
            {
                "threshold": threshold,
                "ndcg": round(float(np.mean(scores)), 4),
                "saved": round(float((weights < threshold).mean()), 4),
            }
        )
    return curve


def spread(mixed: list[Mixtures], material: Material, rows: np.ndarray) -> dict[str, dict[str, Any]]:
    """Signal -> the distribution of its weights: {"counts": in 20 equal bins from 0 to 1, "median"}."""
    by_signal: dict[str, list[float]] = {}
    for turn in mixed:
        for one, row in zip(turn, rows, strict=True):
            for name, weight in zip(material.surfaces.examples[row].signals, one.weights, strict=True):
                by_signal.setdefault(name, []).append(float(weight))
    return {
        name: {
            "counts": np.histogram(weights, bins=20, range=(0, 1))[0].tolist(),
            "median": round(float(np.median(weights)), 4),
        }
        for name, weights in by_signal.items()
    }


def has_words(material: Material, rows: np.ndarray) -> np.ndarray:
    """(rows,) whether these examples have words."""
    return np.array(["lexical" in material.surfaces.examples[row].signals for row in rows])


def alone(signal: str, material: Material, rows: np.ndarray) -> np.ndarray:
    """(rows,) nDCG@10 of one signal alone; a query without this signal is scored by its other signals."""
    scores = []
    for row in rows:
        names = material.surfaces.examples[row].signals
        others = [name for name in names if name != PRIOR] if signal not in names else [signal]
        weights = np.array([[float(name in others) for name in names]])
        scores.append(material.surfaces.tables[row].ndcg(weights)[0])
    return np.array(scores)


def oracle(material: Material, row: int) -> float:
    """The best nDCG@10 that any mixture of the signals reaches for this query."""
    example = material.surfaces.examples[row]
    group = material.surfaces.groups.get(example.signals)
    if group is None:
        return float(material.surfaces.tables[row].ndcg(np.ones((1, 1)))[0])
    rows, _, heights = group
    return float(heights[int(np.flatnonzero(rows == row)[0])].max())


def held_out_search(
    services: Services,
    index: str,
    judgments: Judgments,
    kinds: Sequence[str],
    folds: int = 5,
    synthetic: int = 600,
    seed: int = 0,
    options: Options | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Callable[[SearchRequest], SearchAnswer]:
    """A search function for `evaluate`, which answers judged queries by weights that learned from the other folds.

    It does so for requests whose system is one of these kinds; the services' own search answers all others. Every
    signal is searched, even one of small weight.

    Raises:
        UsageError: too few judged queries for the folds.
    """
    options = options or Options()
    vocabulary = Vocabulary.count(services.cluster.products.iterate_terms(index))
    material = prepare(collect(services, index, judgments, synthetic, seed, progress), vocabulary)
    enough_judged(material.judged, folds)
    step = counter(progress, "cross-validating", folds * len(kinds))
    searchers: dict[tuple[str, str], Searcher] = {}
    spare: dict[str, Searcher] = {}
    for fold in folds_of(material.judged, folds, 1, seed):
        for kind in kinds:
            model = replace(fit(kind, material, fold.rest, options, seed), version=f"{kind} of the other folds")
            searcher = Searcher(services.retrieval, services.encoder, services.settings.depth, PinnedWeights(model))
            spare[kind] = searcher  # for queries without candidates, which are in no fold
            for row in fold.held_out:
                searchers[kind, material.surfaces.examples[row].name] = searcher
            step()
    names = {}
    for name in judgments.relevant:
        request = judgments.request(name, index=index)
        names[request.q, request.image] = name

    def search(request: SearchRequest) -> SearchAnswer:
        if request.system is None or request.system not in kinds:
            return services.searcher.search(request)
        name = names[request.q, request.image]
        return searchers.get((request.system, name), spare[request.system]).search(request)

    return search


def enough_judged(judged: np.ndarray, folds: int) -> None:
    if len(judged) < max(MIN_JUDGED, folds) or folds < 2:
        raise UsageError(
            f"{len(judged)} judged queries with a relevant product are too few for {folds} folds; judge at least "
            f"{max(MIN_JUDGED, folds)}, or train without judgments, from synthetic queries alone"
        )


def counter(progress: Progress, what: str, total: int) -> Callable[[], None]:
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(what, done, total)

    return step
