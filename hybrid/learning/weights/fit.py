"""Fitting weights to examples: the real metric, smoothed over weights, ascended by gradient.

nDCG@10 of one query is a step function of the weights. Evaluated exactly at points spread over all mixtures, and
averaged around any mixture with a Gaussian kernel in log-weights, it becomes a smooth surface whose height at the
weights that a model predicts can be maximised by gradient: the expected metric under perturbed weights (as in
"SoftRank", Taylor et al., WSDM 2008, with the noise on the weights instead of the scores). Models start at `global`,
its shares within kinds included, and are tied to it, for a shop has fifty judged queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hybrid.learning.weights.examples import Example, Table
from hybrid.search.features import FEATURES, MEANING, query_features
from hybrid.search.fusion import Scaling
from hybrid.search.prior import BY_QUERY, SHARES
from hybrid.search.weights import WeightsModel
from hybrid.signals import LEXICAL, SIGNALS, fixed_weight
from hybrid.text.vocabulary import Vocabulary

#: Log-weights run from -_REACH to _REACH against the first signal in play.
_REACH = 5.0
_HIDDEN, _KEYS = 6, 3
_STEPS, _RATE = 250, 0.03
#: An ascent ends before its last step where so many steps gain no more than this.
_WINDOW, _STANDSTILL = 20, 5e-5
#: Values of `Options.tie` that a gate and an attention choose from, those that stay next to `global` last.
TIES = (0.003, 0.03, 0.3)


@dataclass(frozen=True)
class Options:
    """How models are fitted.

    spread: width of the kernel, in log-weights. tie: cost of a predicted logit's squared distance from the global one;
    see `TIES`. synthetic: weight of all synthetic queries together, in judged queries. members: models of an ensemble.
    risk: how much more a loss against BM25 alone counts than a gain (risk-sensitive optimisation: Wang, Bennett and
    Collins-Thompson, SIGIR 2012); it costs quality on average.
    """

    spread: float = 1.0
    tie: float = 0.003
    synthetic: float = 2.0
    members: int = 2
    risk: float = 0.0


class Surfaces:
    """The metric of each example as a surface over the weights. Computed once; folds select rows of it.

    shares: of the signals within their kinds. groups: kinds of signals in play -> (rows of the examples (n,), points
    (p, free), nDCG@10 at the points (n, p)).
    """

    def __init__(self, examples: Sequence[Example], scaling: Scaling, signals: Sequence[str]) -> None:
        self.signals = tuple(signals)
        self.examples = list(examples)
        self.tables = [Table(example, scaling) for example in examples]
        self.shares: Mapping[str, float] = SHARES
        self.groups = self._groups()

    def under(self, shares: Mapping[str, float]) -> Surfaces:
        """The same where the weight of each kind is spread by these shares."""
        if shares == self.shares:
            return self
        other = copy(self)
        other.shares = shares
        other.groups = other._groups()
        return other

    def _groups(self) -> dict[tuple[str, ...], tuple[np.ndarray, np.ndarray, np.ndarray]]:
        groups = {}
        by_play: dict[tuple[str, ...], list[int]] = {}
        for row, example in enumerate(self.examples):
            if len(example.signals) > 1:
                by_play.setdefault(example.signals, []).append(row)
        for play, rows in by_play.items():
            points = _points(len(play) - 1)
            mixed = _softmax(np.hstack([np.zeros((len(points), 1)), points]))
            heights = np.stack([self.tables[row].ndcg(mixed, self.shares) for row in rows])
            groups[play] = np.array(rows), points, heights
        return groups


def _points(free: int) -> np.ndarray:
    """(n, free) log-weights against the first signal, spread evenly."""
    if free == 1:
        return np.linspace(-_REACH, _REACH, 61)[:, None]
    from scipy.stats import qmc

    return np.asarray(qmc.Sobol(free, seed=0).random(512) * 2 * _REACH - _REACH)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


@dataclass(frozen=True)
class Basis:
    """What models of one catalogue share."""

    signals: tuple[str, ...]
    scaling: Scaling
    vocabulary: Vocabulary
    mean: np.ndarray
    scale: np.ndarray
    projection: np.ndarray

    def model(
        self,
        kind: str,
        bias: np.ndarray,
        parameters: Mapping[str, np.ndarray] | None = None,
        shares: Mapping[str, float] = SHARES,
        by_query: Mapping[str, Mapping[str, float]] = BY_QUERY,
    ) -> WeightsModel:
        return WeightsModel(
            version="untitled",
            kind=kind,
            signals=self.signals,
            bias=bias,
            scaling=self.scaling,
            parameters=parameters or {},
            mean=self.mean,
            scale=self.scale,
            projection=self.projection,
            vocabulary=self.vocabulary,
            shares=dict(shares),
            by_query=by_query,
        )

    def features(self, examples: Sequence[Example]) -> np.ndarray:
        """(examples, features) standardised."""
        blank = self.model("gate", np.zeros(len(self.signals)))
        return np.stack([blank.features(example.query) for example in examples])


def basis(examples: Sequence[Example], scaling: Scaling, vocabulary: Vocabulary) -> Basis:
    """Standardisation and projection, from all queries, judged and synthetic. No rating is used."""
    signals = tuple(sorted({name for example in examples for name in example.signals}, key=_order))
    vectors = [example.query.meaning for example in examples if example.query.meaning is not None]
    projection = np.zeros((0, 0))
    if len(vectors) > 4 * MEANING:
        matrix = np.stack(vectors)
        # Principal directions: along these the queries of this catalogue differ most.
        _, _, directions = np.linalg.svd(matrix - matrix.mean(0), full_matrices=False)
        projection = directions[:MEANING].astype(float)
    plain = Basis(signals, scaling, vocabulary, np.zeros(len(FEATURES)), np.ones(len(FEATURES)), projection)
    rows = np.stack(
        [
            query_features(
                e.query.text, e.query.terms, vocabulary, e.query.has_photo,
                projection @ e.query.meaning if len(projection) and e.query.meaning is not None else (),
            )
            for e in examples
        ]
    )  # fmt: skip
    spread = rows.std(0)
    return replace(plain, mean=rows.mean(0), scale=np.where(spread > 1e-6, spread, 1.0))


def _order(signal: str) -> tuple[int, str]:
    names = [LEXICAL, *SIGNALS]
    kind = signal.partition(".")[0]
    return (names.index(kind) if kind in names else len(names)), signal


def fixed_bias(signals: Sequence[str]) -> np.ndarray:
    """(signals,) logits of the fixed weights."""
    return np.asarray(np.log([fixed_weight(name) or 0.1 for name in signals]))


def _parts(
    surfaces: Surfaces, rows: np.ndarray, options: Options
) -> Iterator[tuple[tuple[str, ...], list[int], np.ndarray, np.ndarray]]:
    """(signals in play, places of its examples in `rows`, points, heights there) of each group that has some."""
    position = {int(row): at for at, row in enumerate(rows)}
    for play, (examples, points, heights) in surfaces.groups.items():
        chosen = [at for at, row in enumerate(examples) if int(row) in position]
        if chosen:
            where = [position[int(examples[at])] for at in chosen]
            yield play, where, points, _cautious(surfaces, examples[chosen], play, heights[chosen], options.risk)


def fit_kind(
    kind: str,
    surfaces: Surfaces,
    rows: np.ndarray,
    features: np.ndarray,
    bias: np.ndarray,
    options: Options,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Parameters of a gate or an attention with `options.members` members.

    bias: (rows, signals) logits of each of these examples, which the predicted ones are tied to.
    """
    counts = _worth(surfaces, rows, options)
    begins = [
        _begin(kind, len(surfaces.signals), features.shape[1], seed * 100 + member) for member in range(options.members)
    ]
    begin = {name: np.stack([member[name] for member in begins]) for name in begins[0]}
    ties = np.full(options.members, options.tie)
    return _ascend(kind, surfaces, rows, counts, bias, options, begin, features, ties)


def fit_ties(
    kind: str,
    surfaces: Surfaces,
    rows: np.ndarray,
    features: np.ndarray,
    bias: np.ndarray,
    options: Options,
    ties: Sequence[float],
    seed: int = 0,
) -> list[dict[str, np.ndarray]]:
    """For each tie, the parameters of one member, all from the same start and in one ascent; see `fit_kind`."""
    counts = _worth(surfaces, rows, options)
    one = _begin(kind, len(surfaces.signals), features.shape[1], seed * 100)
    begin = {name: np.stack([value] * len(ties)) for name, value in one.items()}
    parameters = _ascend(kind, surfaces, rows, counts, bias, options, begin, features, np.array(ties))
    return [{name: parameters[name][[at]] for name in begin} for at in range(len(ties))]


def _worth(surfaces: Surfaces, rows: np.ndarray, options: Options) -> np.ndarray:
    """(rows,) weight of each example: a judged query counts 1, the synthetic ones `options.synthetic` together."""
    synthetic = np.array([bool(surfaces.examples[row].synthetic) for row in rows])
    worth = np.ones(len(rows))
    if synthetic.any():
        worth[synthetic] = options.synthetic / synthetic.sum() if not synthetic.all() else 1.0
    return worth


def _cautious(
    surfaces: Surfaces, rows: np.ndarray, play: Sequence[str], heights: np.ndarray, risk: float
) -> np.ndarray:
    """Heights in which every loss against BM25 alone counts 1 + risk times."""
    if risk == 0 or "lexical" not in play:
        return heights
    words = np.array([[float(name == "lexical") for name in play]])
    safe = np.concatenate([surfaces.tables[row].ndcg(words.copy(), surfaces.shares) for row in rows])[:, None]
    return np.asarray(heights + risk * np.minimum(0.0, heights - safe))


def _begin(kind: str, signals: int, features: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    if kind == "gate":
        return {
            "w1": rng.normal(0, 0.5 / np.sqrt(features), (_HIDDEN, features)),
            "b1": rng.normal(0, 0.1, _HIDDEN),
            "w2": np.zeros((signals, _HIDDEN)),
        }
    return {
        "query": rng.normal(0, 1 / np.sqrt(features), (_KEYS, features)),
        "keys": rng.normal(0, 0.05, (signals, _KEYS)),
        "temperature": np.array(1.0),
    }


def _ascend(
    kind: str,
    surfaces: Surfaces,
    rows: np.ndarray,
    worth: np.ndarray,
    bias: np.ndarray,
    options: Options,
    begin: Mapping[str, np.ndarray],
    features: np.ndarray,
    ties: np.ndarray,
) -> dict[str, np.ndarray]:
    """Ascend from several starts at once, each independent of the others.

    bias: (rows, signals); begin: the start of the parameters, (members, ...) each; ties: (members,). Returns the
    parameters.
    """
    import torch

    torch.set_num_threads(1)  # tiny matrices: threads cost more than they give
    parts: list[tuple[Any, ...]] = []
    for play, where, points, heights in _parts(surfaces, rows, options):
        columns = [surfaces.signals.index(name) for name in play]
        tensors = (torch.tensor(points), torch.tensor(heights), torch.tensor(worth[where]))
        parts.append((torch.tensor(where), columns, *tensors))
    if not parts:
        return dict(begin)
    total = sum(float(part[4].sum()) for part in parts)
    shares, tie = torch.tensor(worth / worth.sum()), torch.tensor(ties)
    start, inputs = torch.tensor(bias), torch.tensor(features[rows])
    variables = {name: torch.tensor(value, requires_grad=True) for name, value in begin.items()}
    optimiser = torch.optim.Adam(list(variables.values()), lr=_RATE, weight_decay=0.0)
    reached = torch.full((len(ties),), -torch.inf, dtype=torch.float64)
    for step in range(_STEPS):
        if kind == "gate":
            hidden = torch.tanh(inputs @ variables["w1"].mT + variables["b1"][:, None])
            offset = hidden @ variables["w2"].mT
        else:
            temperature = variables["temperature"].clamp(min=0.1)[:, None, None]
            offset = (inputs @ variables["query"].mT) @ variables["keys"].mT / temperature
        logits = start + offset
        gain = torch.zeros(len(ties), dtype=torch.float64)
        for where, columns, points, heights, counts in parts:
            mine = logits[:, where][:, :, columns]
            free = (mine[..., 1:] - mine[..., :1]).clamp(-_REACH, _REACH)
            # Negated squared distances, without the term that all points share: softmax cancels it.
            nearness = 2 * free @ points.T - (points**2).sum(1)
            kernel = torch.softmax(nearness / (2 * options.spread**2), dim=-1)
            gain = gain + ((kernel * heights).sum(-1) * counts).sum(-1)
        # Only differences of logits matter, so the cost leaves out their mean.
        centred = offset - offset.mean(-1, keepdim=True)
        objective = gain / total - tie * ((centred**2).sum(-1) * shares).sum(-1)
        if step % _WINDOW == _WINDOW - 1:
            if bool(((objective.detach() - reached) < _STANDSTILL).all()):
                break
            reached = objective.detach()
        optimiser.zero_grad()
        (-objective.sum()).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    parameters = {name: variable.detach().numpy().copy() for name, variable in variables.items()}
    if "temperature" in parameters:
        parameters["temperature"] = np.maximum(parameters["temperature"], 0.1)
    return parameters
