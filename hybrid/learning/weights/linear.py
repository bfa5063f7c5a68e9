"""One weight a signal, learned from ranked lists and drawn towards the weights that ship with the product.

The likelihood of a query is that of ListNet's top-one distribution (Cao et al., "Learning to Rank: From Pairwise
Approach to Listwise Approach", ICML 2007): a softmax over the candidates' scores against their gains. The weights are a
point of the simplex, so none is negative. Their prior is a Dirichlet distribution around the shipped weights; its
strength, the pull, counts in judged queries and is chosen by held-out likelihood.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid.learning.weights.examples import Example, Table
from hybrid.search.fusion import spread
from hybrid.search.prior import SHARES
from hybrid.signals import PRIOR, fixed_weight

#: Pulls that are tried, in judged queries.
PULLS = (8.0, 64.0, 512.0)
#: No weight is smaller before it is drawn: a Dirichlet distribution gives a weight of 0 no mass.
_LEAST = 0.002
_STEPS = 60


def shipped(signals: Iterable[str]) -> dict[str, float]:
    """Signal -> the weight that it has before any training."""
    names = sorted(signals)
    kinds = {name.partition(".")[0] for name in names}
    return spread({kind: fixed_weight(kind) or 0.1 for kind in kinds}, names, SHARES)


@dataclass(frozen=True)
class Linear:
    """weights: signal -> number, summing to 1. sharpness: of the softmax, which the order does not depend on."""

    weights: dict[str, float]
    sharpness: float
    pull: float


class Lists:
    """Examples as padded arrays, for fitting. Queries of which no candidate has a gain say nothing and are left out.

    scaled, counted: (queries, candidates, signals); counted is 0 where a candidate has nothing, and all of it where the
    query has not the signal. target: (queries, candidates) gains that sum to 1. worth: (queries,). priors: (signals,)
    which of them are priors.
    """

    def __init__(
        self, examples: Sequence[Example], tables: Sequence[Table], worth: Sequence[float] | None = None
    ) -> None:
        self.signals = tuple(sorted({name for example in examples for name in example.raw}))
        self.priors = np.array([name.partition(".")[0] == PRIOR for name in self.signals], bool)
        self.names = [example.name for example in examples]
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


def fit(lists: Lists, rows: np.ndarray, prior: Mapping[str, float], pull: float) -> Linear:
    """The most probable weights for these rows of the lists under a prior of that pull (in queries)."""
    import torch

    torch.set_num_threads(1)
    scaled, counted, target, there, worth = _tensors(lists, rows)
    priors = torch.tensor(lists.priors)
    home = _home(lists.signals, prior)
    drawn = torch.tensor(home * pull)
    logits = torch.tensor(np.log(home), requires_grad=True)
    sharp = torch.tensor(np.log(20.0), dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS([logits, sharp], max_iter=_STEPS, line_search_fn="strong_wolfe", history_size=10)

    def closure() -> Any:
        descent.zero_grad()
        shares = torch.log_softmax(logits, 0)
        likely = _likelihood(shares.exp(), sharp.exp(), scaled, counted, target, there, priors)
        loss = -(worth * likely).sum() - (drawn * shares).sum()
        loss.backward()
        return loss

    descent.step(closure)  # type: ignore[no-untyped-call]
    found = torch.softmax(logits.detach(), 0).numpy()
    weights = {name: float(weight) for name, weight in zip(lists.signals, found, strict=True)}
    return Linear(weights, float(sharp.detach().exp()), pull)


def likelihood(lists: Lists, rows: np.ndarray, model: Linear) -> np.ndarray:
    """(rows,) log-likelihood of each query; 0 where its gains are all 0."""
    import torch

    shares = torch.tensor([model.weights[name] for name in lists.signals], dtype=torch.float64)
    scaled, counted, target, there, worth = _tensors(lists, rows)
    sharpness = torch.tensor(model.sharpness, dtype=torch.float64)
    likely = _likelihood(shares, sharpness, scaled, counted, target, there, torch.tensor(lists.priors))
    return np.asarray(torch.where(worth > 0, likely, torch.zeros((), dtype=torch.float64)).numpy())


def fit_with_pull(lists: Lists, rows: np.ndarray, prior: Mapping[str, float], folds: int = 2, seed: int = 0) -> Linear:
    """`fit` with the pull of the best likelihood on held-out queries of these rows."""
    rng = np.random.default_rng(seed)
    parts = np.array_split(rng.permutation(rows), min(folds, len(rows)))
    if len(parts) < 2:
        return fit(lists, rows, prior, PULLS[-1])
    scores = {pull: _held_out(lists, rows, parts, prior, pull) for pull in PULLS}
    return fit(lists, rows, prior, max(scores, key=lambda pull: scores[pull]))


def _held_out(
    lists: Lists, rows: np.ndarray, parts: Sequence[np.ndarray], prior: Mapping[str, float], pull: float
) -> float:
    """The likelihood of each part of the rows by the weights that the others give."""
    total = 0.0
    for part in parts:
        model = fit(lists, np.setdiff1d(rows, part), prior, pull)
        total += float((likelihood(lists, part, model) * lists.worth[part]).sum())
    return total


def _home(signals: Sequence[str], prior: Mapping[str, float]) -> np.ndarray:
    """(signals,) the prior, summing to 1."""
    home = np.array([max(prior.get(name, 0.0), _LEAST) for name in signals])
    return np.asarray(home / home.sum())


def _tensors(lists: Lists, rows: np.ndarray) -> tuple[Any, ...]:
    import torch

    return (
        torch.tensor(lists.scaled[rows], dtype=torch.float64),
        torch.tensor(lists.counted[rows], dtype=torch.float64),
        torch.tensor(lists.target[rows], dtype=torch.float64),
        torch.tensor(lists.there[rows]),
        torch.tensor(lists.worth[rows], dtype=torch.float64),
    )


def _likelihood(weights: Any, sharpness: Any, scaled: Any, counted: Any, target: Any, there: Any, priors: Any) -> Any:
    """(queries,) sum of target * log softmax of the candidates' scores, which are made as hybrid.search.fusion does."""
    import torch

    others, own = weights.masked_fill(priors, 0.0), weights.masked_fill(~priors, 0.0)
    scores = (scaled @ others) / (counted @ others).clamp_min(1e-12) * (1 - counted @ own) + scaled @ own
    logits = (sharpness * scores).masked_fill(~there, -torch.inf)
    return (target * torch.log_softmax(logits, 1).masked_fill(~there, 0.0)).sum(1)
