"""One weight a signal, learned from ranked lists and drawn towards the weights that ship with the product.

The likelihood of a query is that of ListNet's top-one distribution (Cao et al., "Learning to Rank: From Pairwise
Approach to Listwise Approach", ICML 2007): a softmax over the candidates' scores against their gains. The weights are a
point of the simplex, so none is negative. Their prior is a Dirichlet distribution around the shipped weights; its
strength, the pull, counts in judged queries and is chosen by held-out likelihood.

A kind of query may multiply the weight of each kind of signal by a factor. The prior of its logarithm is a normal
distribution around that of the shipped factor; its precision, the tie, is chosen in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hybrid.learning.weights.examples import Example, Table
from hybrid.search.fusion import spread
from hybrid.search.kinds import FLAGS, KINDS
from hybrid.search.prior import BY_QUERY, SHARES
from hybrid.signals import PRIOR, fixed_weight

#: Pulls that are tried, in judged queries.
PULLS = (8.0, 64.0, 512.0)
#: No weight is smaller before it is drawn: a Dirichlet distribution gives a weight of 0 no mass.
_LEAST = 0.002
#: Ties that are tried: a factor of e costs half of it, in units of log-likelihood.
TIES = (1.0, 10.0, 100.0)
#: Logarithms of factors that are none.
_SMALL = 1e-4
_STEPS = 60


def shipped(signals: Iterable[str]) -> dict[str, float]:
    """Signal -> the weight that it has before any training."""
    names = sorted(signals)
    kinds = {name.partition(".")[0] for name in names}
    return spread({kind: fixed_weight(kind) or 0.1 for kind in kinds}, names, SHARES)


@dataclass(frozen=True)
class Linear:
    """weights: signal -> number, summing to 1. sharpness: of the softmax, which the order does not depend on.
    by_query: kind of query -> kind of signal -> factor of its weight."""

    weights: dict[str, float]
    sharpness: float
    pull: float
    by_query: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: BY_QUERY)


class Lists:
    """Examples as padded arrays, for fitting. Queries of which no candidate has a gain say nothing and are left out.

    scaled, counted: (queries, candidates, signals); counted is 0 where a candidate has nothing, and all of it where the
    query has not the signal. target: (queries, candidates) gains that sum to 1. worth: (queries,). kind: (queries,)
    places in KINDS; group: (signals,) places in `groups`, the kinds of signals; priors: (signals,) which of
    them are priors.
    """

    def __init__(
        self, examples: Sequence[Example], tables: Sequence[Table], worth: Sequence[float] | None = None
    ) -> None:
        self.signals = tuple(sorted({name for example in examples for name in example.raw}))
        groups = [name.partition(".")[0] for name in self.signals]
        self.groups = tuple(dict.fromkeys(groups))
        self.group = np.array([self.groups.index(group) for group in groups], dtype=np.int64)
        self.kind = np.array([KINDS.index(example.query.kind) for example in examples], dtype=np.int64)
        self.priors = np.array([group == PRIOR for group in groups], bool)
        longest = max((table.gains.size for table in tables), default=0)
        shape = len(examples), longest, len(self.signals)
        self.scaled, self.counted = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.target = np.zeros(shape[:2], np.float32)
        self.there = np.zeros(shape[:2], bool)
        for row, (example, table) in enumerate(zip(examples, tables, strict=True)):
            size = table.gains.size
            columns = [self.signals.index(name) for name in example.raw]
            counted = table.counted * table.voice[:, None]
            self.scaled[row, :size, columns] = table.scaled * counted
            self.counted[row, :size, columns] = counted
            self.there[row, :size] = True
            if table.gains.sum() > 0:
                self.target[row, :size] = table.gains / table.gains.sum()
        said = self.target.sum(1) > 0
        self.worth = np.where(said, np.ones(len(examples)) if worth is None else np.asarray(worth), 0.0)


def fit(lists: Lists, rows: np.ndarray, prior: Mapping[str, float], pull: float, tie: float | None = None) -> Linear:
    """The most probable weights for these rows of the lists under a prior of that pull (in queries).

    tie: see TIES; None: the factors of kinds of query are the shipped ones.
    """
    import torch

    torch.set_num_threads(1)
    data = _tensors(lists, rows)
    home = _home(lists.signals, prior)
    drawn = torch.tensor(home * pull)
    logits = torch.tensor(np.log(home), requires_grad=True)
    sharp = torch.tensor(np.log(20.0), dtype=torch.float64, requires_grad=True)
    shipped_logs = torch.tensor(_logs(lists, BY_QUERY))
    effects = torch.zeros_like(shipped_logs, requires_grad=True)
    learned = [logits, sharp] if tie is None else [logits, sharp, effects]
    descent = torch.optim.LBFGS(learned, max_iter=_STEPS, line_search_fn="strong_wolfe", history_size=10)

    def closure() -> Any:
        descent.zero_grad()
        shares = torch.log_softmax(logits, 0)
        # Plain words have no factors: they are what the others differ from.
        moved = torch.cat([effects[:1] * 0, effects[1:]]) + shipped_logs
        likely = _likelihood(shares, sharp.exp(), moved, lists, data)
        loss = -(data.worth * likely).sum() - (drawn * shares).sum() + (tie or 0.0) / 2 * (effects**2).sum()
        loss.backward()
        return loss

    descent.step(closure)  # type: ignore[no-untyped-call]
    found = torch.softmax(logits.detach(), 0).numpy()
    weights = {name: float(weight) for name, weight in zip(lists.signals, found, strict=True)}
    logs = effects.detach().numpy() + _logs(lists, BY_QUERY)
    factors = {
        kind: {name: float(np.exp(log)) for name, log in zip(lists.groups, row, strict=True) if abs(log) > _SMALL}
        for kind, row in zip(KINDS, logs, strict=True)
        if kind in FLAGS and np.abs(row).max(initial=0.0) > _SMALL
    }
    return Linear(weights, float(sharp.detach().exp()), pull, BY_QUERY if tie is None else factors)


def likelihood(lists: Lists, rows: np.ndarray, model: Linear) -> np.ndarray:
    """(rows,) log-likelihood of each query; 0 where its gains are all 0."""
    import torch

    shares = torch.tensor([model.weights[name] for name in lists.signals], dtype=torch.float64).log()
    data = _tensors(lists, rows)
    sharp = torch.tensor(model.sharpness, dtype=torch.float64)
    likely = _likelihood(shares, sharp, torch.tensor(_logs(lists, model.by_query)), lists, data)
    return np.asarray(torch.where(data.worth > 0, likely, torch.zeros((), dtype=torch.float64)).numpy())


def fit_with_pull(lists: Lists, rows: np.ndarray, prior: Mapping[str, float], folds: int = 2, seed: int = 0) -> Linear:
    """`fit` with the pull of the best likelihood on held-out queries of these rows."""
    return _best(lists, rows, prior, [(pull, None) for pull in PULLS], folds, seed)


def fit_by_query(
    lists: Lists, rows: np.ndarray, prior: Mapping[str, float], pull: float, folds: int = 2, seed: int = 0
) -> Linear:
    """`fit` with factors of kinds of query, and with the tie of the best likelihood on held-out queries."""
    return _best(lists, rows, prior, [(pull, tie) for tie in TIES], folds, seed)


def _best(
    lists: Lists,
    rows: np.ndarray,
    prior: Mapping[str, float],
    settings: Sequence[tuple[float, float | None]],
    folds: int,
    seed: int,
) -> Linear:
    """The fit of the (pull, tie) whose fits to each part of the rows make the others likeliest; of equals, the last."""
    parts = np.array_split(np.random.default_rng(seed).permutation(rows), min(folds, len(rows)))
    if len(parts) < 2:
        return fit(lists, rows, prior, *settings[-1])

    def held_out(setting: tuple[float, float | None]) -> float:
        total = 0.0
        for part in parts:
            model = fit(lists, np.setdiff1d(rows, part), prior, *setting)
            total += float((likelihood(lists, part, model) * lists.worth[part]).sum())
        return total

    return fit(lists, rows, prior, *max(reversed(settings), key=held_out))


def _home(signals: Sequence[str], prior: Mapping[str, float]) -> np.ndarray:
    """(signals,) the prior, summing to 1."""
    home = np.array([max(prior.get(name, 0.0), _LEAST) for name in signals])
    return np.asarray(home / home.sum())


def _logs(lists: Lists, by_query: Mapping[str, Mapping[str, float]]) -> np.ndarray:
    """(kinds of query, kinds of signals) logarithms of the factors."""
    return np.array([[np.log(by_query.get(kind, {}).get(name, 1.0)) for name in lists.groups] for kind in KINDS])


@dataclass(frozen=True)
class _Tensors:
    scaled: Any
    counted: Any
    target: Any
    there: Any
    worth: Any
    kind: Any


def _tensors(lists: Lists, rows: np.ndarray) -> _Tensors:
    import torch

    return _Tensors(
        torch.tensor(lists.scaled[rows], dtype=torch.float64),
        torch.tensor(lists.counted[rows], dtype=torch.float64),
        torch.tensor(lists.target[rows], dtype=torch.float64),
        torch.tensor(lists.there[rows]),
        torch.tensor(lists.worth[rows], dtype=torch.float64),
        torch.tensor(lists.kind[rows]),
    )


def _likelihood(shares: Any, sharpness: Any, moved: Any, lists: Lists, data: _Tensors) -> Any:
    """(queries,) sum of target * log softmax of the candidates' scores, which are made as hybrid.search.fusion does.

    shares: (signals,) logarithms; moved: (kinds of query, kinds of signals), what a kind adds to them.
    """
    import torch

    weights = torch.softmax(shares + moved[data.kind][:, lists.group], 1).unsqueeze(2)
    priors = torch.tensor(lists.priors).unsqueeze(1)
    others, own = weights.masked_fill(priors, 0.0), weights.masked_fill(~priors, 0.0)
    left = (1 - data.counted @ own) / (data.counted @ others).clamp_min(1e-12)
    scores = (data.scaled @ others * left + data.scaled @ own).squeeze(2)
    logits = (sharpness * scores).masked_fill(~data.there, -torch.inf)
    return (data.target * torch.log_softmax(logits, 1).masked_fill(~data.there, 0.0)).sum(1)
