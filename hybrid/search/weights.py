"""Weights of the signals: fixed, global, or predicted for each query. Inference alone: numpy, well under 0.3 ms.

Every kind gives each signal a logit; the weights are their softmax over the signals that are in play for a query.
`global` has one logit a signal, and the factors of kinds of query that ship; `kinds` has learned factors. `gate` adds
to `global` the output of a small network on the query's features, averaged over an ensemble. `attention` adds the
product of a projected query with a key of each signal, divided by a learned temperature (Vaswani et al., "Attention Is
All You Need", 2017, over signals instead of tokens). Trained in hybrid.learning.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import orjson

from hybrid.errors import HybridError, ModelMissingError, ModelVersionError, UsageError, WeightsError
from hybrid.facts import Reason
from hybrid.search.features import FEATURES, MEANING, query_features
from hybrid.search.fusion import PLAIN, Scaling
from hybrid.search.kinds import FLAGS
from hybrid.search.kinds import kind_of as kind_of_query
from hybrid.search.prior import BY_QUERY, SHARES
from hybrid.signals import CODE, CODE_WEIGHT, LEXICAL, PRIOR, PRIOR_WEIGHT, SIGNALS, fixed_weight, kind_of
from hybrid.text.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

KINDS = ("fixed", "global", "kinds", "gate", "attention")
#: Those that look at more of a query than its kind.
PREDICTED = ("gate", "attention")
FORMAT = 4

_NO_FEATURES = np.zeros(len(FEATURES))

#: The weights before anything was learned, those of the table of signals.
FIXED_VERSION = "fixed-1"
#: For products like a product: its text counts as much as its picture or sound.
LIKE_VERSION = "similar-1"


@dataclass(frozen=True)
class Prediction:
    """weights: signal -> number, summing to 1 over the signals in play. reasons: what moved them, strongest first."""

    weights: dict[str, float]
    reasons: list[Reason] = field(default_factory=list)


@dataclass(frozen=True)
class Query:
    """A query before the search; meaning is its vector by the text encoder, if there is one."""

    text: str
    terms: str
    has_photo: bool = False
    meaning: np.ndarray | None = None

    @property
    def kind(self) -> str:
        """One of hybrid.search.kinds."""
        return kind_of_query(self.text, self.has_photo)


@dataclass(frozen=True)
class WeightsModel:
    """One set of weights, of any kind, as it is stored and used.

    bias: (signals,) logits. parameters: of the gate or the attention, arrays as nested lists; mean, scale: (features,)
    standardisation; projection: (MEANING, dims) of the query's vector, or empty; skip_below: a signal whose weight is
    under it is not searched (0: every signal is). shares: signal -> its part of the weight of its kind, where there are
    several of a kind; `signals` and `bias` are of kinds. by_query: kind of query -> kind of signal -> what its weight
    is multiplied by.
    """

    version: str
    kind: str
    signals: tuple[str, ...]
    bias: np.ndarray
    scaling: Scaling = PLAIN
    parameters: Mapping[str, np.ndarray] = field(default_factory=dict)
    mean: np.ndarray = field(default_factory=lambda: np.zeros(len(FEATURES)))
    scale: np.ndarray = field(default_factory=lambda: np.ones(len(FEATURES)))
    projection: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    skip_below: float = 0.0
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    by_query: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: BY_QUERY)

    def predict(self, query: Query, in_play: Sequence[str], explain: bool = False) -> Prediction:
        """Weights of these signals for this query.

        A signal that the model does not know has its fixed share. The model divides the rest among the others. Priors
        are in play by their whole names (`prior.rating`), and are weighed together, as "prior". Their fixed share is of
        the whole, whatever else is in play.

        Raises:
            WeightsError: the query's vector does not fit, or a logit is not finite.
        """
        priors = [name for name in in_play if kind_of(name) == PRIOR]
        if priors and len(priors) < len(in_play):
            others = [name for name in in_play if name not in priors]
            return self._with_priors(query, others, priors, explain)
        in_play = [PRIOR] if priors else in_play
        return self._predict(query, in_play, explain)

    def _with_priors(self, query: Query, others: list[str], priors: list[str], explain: bool) -> Prediction:
        # What was learned of a prior is not that of another one which has taken its place.
        learned = {name: share for name, share in self.shares.items() if kind_of(name) == PRIOR}
        here = sum(learned.get(name, 0.0) for name in priors)
        if PRIOR not in self.signals or not here:
            return _beside(self._predict(query, others, explain), PRIOR, PRIOR_WEIGHT)
        prediction = self._predict(query, [*others, PRIOR], explain)
        own = prediction.weights.pop(PRIOR)
        rest = Prediction({name: weight / (1 - own) for name, weight in prediction.weights.items()}, prediction.reasons)
        return _beside(rest, PRIOR, own * here / sum(learned.values()))

    def _predict(self, query: Query, in_play: Sequence[str], explain: bool) -> Prediction:
        known = [name for name in in_play if name in self.signals]
        fixed_shares = _shares(_fixed_weights(in_play, query.has_photo))
        if not known:
            return Prediction(fixed_shares)
        columns = [self.signals.index(name) for name in known]
        kind = query.kind if self.by_query else ""
        features = self.features(query) if self.kind in PREDICTED else _NO_FEATURES
        weights = self._weights((self.logits(features) + self.moved(kind))[columns], known)
        moved = features is not _NO_FEATURES or kind in self.by_query
        reasons = self._reasons(features, kind, columns, known, weights) if explain and moved else []
        left = sum(fixed_shares[name] for name in known)
        return Prediction(
            {name: weights[name] * left if name in weights else fixed_shares[name] for name in in_play}, reasons
        )

    def features(self, query: Query) -> np.ndarray:
        """(features,) standardised, within three deviations: a query unlike any seen must not run away."""
        meaning: Sequence[float] | np.ndarray = ()
        if query.meaning is not None and len(self.projection):
            if self.projection.shape[1] != len(query.meaning):
                raise WeightsError(
                    f"weights {self.version!r} are for query vectors of {self.projection.shape[1]} dimensions, "
                    f"not {len(query.meaning)}; train them again"
                )
            meaning = self.projection @ query.meaning
        values = query_features(query.text, query.terms, self.vocabulary, query.has_photo, meaning)
        return np.asarray(np.clip((values - self.mean) / self.scale, -3.0, 3.0))

    def moved(self, kind: str) -> np.ndarray:
        """(signals,) what a kind of query adds to the logits."""
        factors = self.by_query.get(kind)
        if not factors:
            return np.zeros(len(self.signals))
        return np.array([math.log(factors.get(name, 1.0)) for name in self.signals])

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(..., signals) logits of (..., features) standardised features, without what the kind of query adds."""
        p = self.parameters
        if self.kind not in PREDICTED:
            return self.bias if features.ndim == 1 else np.repeat(self.bias[None], len(features), axis=0)
        if self.kind == "gate":
            # members: w1 (members, hidden, features), b1 (members, hidden), w2 (members, signals, hidden)
            hidden = np.tanh(np.einsum("mhf,...f->...mh", p["w1"], features) + p["b1"])
            return np.asarray(self.bias + np.einsum("msh,...mh->...ms", p["w2"], hidden).mean(-2))
        # members: query (members, keys, features), keys (members, signals, keys), temperature (members,)
        projected = np.einsum("mkf,...f->...mk", p["query"], features)
        matched = np.einsum("msk,...mk->...ms", p["keys"], projected) / p["temperature"][:, None]
        return np.asarray(self.bias + matched.mean(-2))

    def _weights(self, logits: np.ndarray, names: Sequence[str]) -> dict[str, float]:
        if not np.isfinite(logits).all():
            raise WeightsError(f"weights {self.version!r} give no number for this query")
        powers = np.exp(logits - logits.max())
        shares = powers / powers.sum()
        return {name: float(share) for name, share in zip(names, shares, strict=True)}

    def _reasons(
        self, features: np.ndarray, kind: str, columns: list[int], names: Sequence[str], weights: Mapping[str, float]
    ) -> list[Reason]:
        """The part of each feature, and of the kind: how far the weights move when it alone is at its mean, or none."""
        moved = np.flatnonzero(np.abs(features) > 1e-6)
        without = np.repeat(features[None], len(moved), axis=0)
        without[np.arange(len(moved)), moved] = 0.0
        logits = np.vstack([self.logits(without) + self.moved(kind), self.logits(features)])[:, columns]
        causes = [*((FEATURES[feature], bool(features[feature] > 0)) for feature in moved), (kind, True)]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        change = np.array([weights[name] for name in names]) - powers / powers.sum(axis=1, keepdims=True)
        size = np.abs(change).max(axis=1)
        reasons = []
        for row in np.argsort(-size, kind="stable")[:3]:
            if size[row] < 0.005:
                break
            # Of two that moved as far, the one that rose.
            column = int((np.abs(change[row]) + 1e-9 * (change[row] > 0)).argmax())
            cause, more = causes[row]
            reasons.append(Reason(cause, more, names[column], round(float(change[row, column]), 4)))
        return reasons

    # -- storing ---------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The stored form: JSON."""
        return orjson.dumps(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes) -> WeightsModel:
        """Raises as `from_json` does."""
        try:
            parsed = orjson.loads(data)
        except ValueError as error:
            raise WeightsError(f"weights are broken ({error}); train them again") from error
        return cls.from_json(parsed)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": self.version,
            "kind": self.kind,
            "signals": list(self.signals),
            "features": list(FEATURES),
            "bias": self.bias.tolist(),
            "scaling": self.scaling.to_json(),
            "parameters": {name: np.round(array, 6).tolist() for name, array in self.parameters.items()},
            "mean": np.round(self.mean, 6).tolist(),
            "scale": np.round(self.scale, 6).tolist(),
            "projection": np.round(self.projection, 6).tolist(),
            "vocabulary": self.vocabulary.to_text(),
            "skip_below": self.skip_below,
            "shares": dict(self.shares),
            "by_query": {kind: dict(factors) for kind, factors in self.by_query.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WeightsModel:
        """Raises WeightsError: broken, or made by a release whose features are others."""
        name = data.get("version", "?")
        if data.get("format") != FORMAT or list(data.get("features", ())) != list(FEATURES):
            raise WeightsError(f"weights {name!r} were made by another release; train them again")
        try:
            model = cls(
                version=str(data["version"]),
                kind=str(data["kind"]),
                signals=tuple(map(str, data["signals"])),
                bias=np.array(data["bias"], dtype=float),
                scaling=Scaling.from_json(data["scaling"]),
                parameters={key: np.array(value, dtype=float) for key, value in data["parameters"].items()},
                mean=np.array(data["mean"], dtype=float),
                scale=np.array(data["scale"], dtype=float),
                projection=np.array(data["projection"] or np.zeros((0, 0)), dtype=float),
                vocabulary=Vocabulary.from_text(data["vocabulary"]),
                skip_below=float(data["skip_below"]),
                shares={str(name): float(share) for name, share in data["shares"].items()},
                by_query={
                    str(kind): {str(name): float(factor) for name, factor in factors.items()}
                    for kind, factors in data["by_query"].items()
                },
            )
            model._check()
        except WeightsError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WeightsError(f"weights {name!r} are broken ({type(error).__name__}: {error})") from error
        return model

    def _check(self) -> None:
        arrays = [self.bias, self.mean, self.scale, self.projection, *self.parameters.values()]
        if self.kind not in KINDS or not self.signals or not all(np.isfinite(array).all() for array in arrays):
            raise WeightsError(f"weights {self.version!r} are broken: an unknown kind, or numbers that are none")
        if self.projection.ndim != 2 or self.mean.shape != (len(FEATURES),) or self.scale.shape != (len(FEATURES),):
            raise WeightsError(f"weights {self.version!r} are broken: parts that do not fit together")
        if not 0 <= self.skip_below < 1 or (self.scale <= 0).any() or len(self.bias) != len(self.signals):
            raise WeightsError(f"weights {self.version!r} are broken: parts that do not fit together")
        factors = [factor for by_signal in self.by_query.values() for factor in by_signal.values()]
        if not set(self.by_query) <= set(FLAGS) or not all(0 < factor < math.inf for factor in factors):
            raise WeightsError(f"weights {self.version!r} are broken: factors of kinds of query that are none")
        if self.kind in PREDICTED and not self._shapes_fit():
            raise WeightsError(f"weights {self.version!r} are broken: parts that do not fit together")
        if len(self.projection) not in (0, MEANING):
            raise WeightsError(f"weights {self.version!r} are broken: parts that do not fit together")

    def _shapes_fit(self) -> bool:
        # Checked by hand: einsum would stretch an axis of length one.
        shapes = {name: array.shape for name, array in self.parameters.items()}
        first = "w1" if self.kind == "gate" else "query"
        if len(shapes.get(first, ())) != 3:
            return False
        members, width = shapes[first][0], shapes[first][1]
        required = {
            "gate": {"w1": (members, width, len(FEATURES)), "b1": (members, width),
                     "w2": (members, len(self.signals), width)},
            "attention": {"query": (members, width, len(FEATURES)), "keys": (members, len(self.signals), width),
                          "temperature": (members,)},
        }[self.kind]  # fmt: skip
        return shapes == required and bool((self.parameters.get("temperature", np.ones(1)) > 0).all())


class StoreLike(Protocol):
    """The store of versions; see hybrid.elastic.stores.models."""

    def active(self, index: str) -> str | None: ...
    def get(self, version: str, index: str) -> tuple[dict[str, Any], bytes]: ...
    def latest(self, index: str, method: str) -> str | None: ...


class PublishedWeights:
    """The active weights for each index, as this process knows them. Thread-safe.

    The active version is looked up every two seconds, so a newly applied version needs no restart. A request takes one
    model and uses it to the end, so no answer mixes two. Where a model cannot be used, the last good one stays active,
    or the fixed weights, and `active` says why.
    """

    TTL_S = 2.0

    def __init__(self, store: StoreLike, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds that only go forward."""
        self._store, self._clock = store, clock
        self._models: dict[tuple[str, str], WeightsModel] = {}
        self._current: dict[str, tuple[float, WeightsModel, str]] = {}
        self._lock = threading.Lock()

    def active(self, index: str) -> tuple[WeightsModel, str]:
        """(model, why it is not the one that should be, or "")."""
        with self._lock:
            current = self._current.get(index)
        if current and self._clock() - current[0] < self.TTL_S:
            return current[1], current[2]
        problem = ""
        model = current[1] if current else fixed()
        try:
            version = self._store.active(index)
            model = self.named(index, version) if version else fixed()
        except HybridError as error:
            problem = f"searching by weights {model.version}: {error}"
            logger.warning(problem)
        with self._lock:
            self._current[index] = (self._clock(), model, problem)
        return model, problem

    def named(self, index: str, version: str) -> WeightsModel:
        """One version.

        Raises:
            UsageError: there is none of that name.
            WeightsError: it cannot be used.
        """
        if version == FIXED_VERSION:
            return fixed()
        with self._lock:
            known = self._models.get((index, version))
        if known:
            return known
        try:
            model = WeightsModel.from_bytes(self._store.get(version, index)[1])
        except ModelMissingError as error:
            raise UsageError(str(error)) from error
        except ModelVersionError as error:
            raise WeightsError(str(error)) from error
        with self._lock:
            self._models[index, version] = model
            while len(self._models) > 20:
                self._models.pop(next(iter(self._models)))
        return model

    def of_kind(self, index: str, kind: str) -> WeightsModel:
        """The newest version of a kind.

        Raises:
            UsageError: there is none.
            WeightsError: it cannot be used.
        """
        version = FIXED_VERSION if kind == "fixed" else self._store.latest(index, kind)
        if version is None:
            raise UsageError(
                f"no {kind} weights for index {index!r} yet: `hybrid train weights --index {index} --judgments FILE "
                f"--kind {kind}`"
            )
        return self.named(index, version)


class PinnedWeights:
    """In place of PublishedWeights: one model for every request. For measuring a model before it is published.

    >>> words_alone = PinnedWeights(fixed({"lexical": 1.0}, "words-1"))
    >>> words_alone.active("shop")[0].version
    'words-1'
    """

    def __init__(self, model: WeightsModel) -> None:
        self._model = model

    def active(self, index: str) -> tuple[WeightsModel, str]:
        return self._model, ""

    def named(self, index: str, version: str) -> WeightsModel:
        return self._model

    def of_kind(self, index: str, kind: str) -> WeightsModel:
        return self._model


def _fixed_weights(in_play: Sequence[str], has_photo: bool) -> dict[str, float]:
    return {name: fixed_weight(name, has_photo) for name in in_play}


def fixed(weights: Mapping[str, float] | None = None, version: str = FIXED_VERSION) -> WeightsModel:
    """The weights that need no training. A signal whose weight depends on the query is not among them.

    weights: the same for every kind of query.
    """
    plain = {name: fixed_weight(name) for name, signal in SIGNALS.items() if signal.weight_by_picture is None}
    positive = {
        name: value for name, value in (weights or {LEXICAL: fixed_weight(LEXICAL), **plain}).items() if value > 0
    }
    bias = np.log(np.array(list(positive.values())))
    return WeightsModel(version, "fixed", tuple(positive), bias, by_query=BY_QUERY if weights is None else {})


def alike() -> WeightsModel:
    """The weights for products that are to be like a product."""
    return fixed({name: signal.weight_alike for name, signal in SIGNALS.items()}, LIKE_VERSION)


def with_codes(prediction: Prediction) -> Prediction:
    """The same weights beside that of the signal of codes, which no model learns."""
    return _beside(prediction, CODE, CODE_WEIGHT / (1 + CODE_WEIGHT))


def _beside(prediction: Prediction, name: str, share: float) -> Prediction:
    """The same weights beside that of another signal, which has this share of the whole."""
    others = {other: weight * (1 - share) for other, weight in prediction.weights.items()}
    return Prediction({**others, name: share}, prediction.reasons)


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: weight / total if total else 1 / len(weights) for name, weight in weights.items()}
