"""Quality and speed of systems on judged queries. Metrics come from ir_measures (trec_eval and friends).

Gain is 2^rating - 1, unjudged counts as 0, a rating from 1 up is relevant, and queries with no relevant
product are left out. accuracy@k is the share of queries with a relevant product among the first k.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import numpy as np

from hybrid.contracts import SearchAnswer, SearchRequest
from hybrid.errors import UsageError
from hybrid.judgments import Judgments, write_judgments

CUT = 10
#: A query is hurt (or helped) when it loses (or gains) more than this much nDCG@10 against the baseline.
HURT = 0.05
_RESAMPLES = 9_999
#: Ratings may be fractions, and trec_eval counts in whole numbers: one unit of gain is this many.
_UNIT = 100

Search = Callable[[SearchRequest], SearchAnswer]


@dataclass(frozen=True)
class Comparison:
    """One system on the same queries as a baseline: mean with its 95 % bootstrap interval; difference of the means
    with the p-value of a paired randomisation test (Smucker, Allan and Carterette, CIKM 2007), two-sided and not
    corrected for how many systems are compared; shares of the queries hurt and helped."""

    mean: float
    low: float
    high: float
    difference: float
    p: float
    hurt: float
    helped: float


@dataclass
class SystemResult:
    """measures: name -> mean over the queries. per_query: query -> nDCG@10. answers: query -> what was answered."""

    measures: dict[str, float]
    latency: dict[str, float]
    degraded: int
    per_query: dict[str, float]
    comparison: Comparison
    answers: dict[str, SearchAnswer] = field(repr=False)


@dataclass
class Evaluation:
    """baseline: the system that the others are compared with."""

    index: str
    judgments: Judgments
    baseline: str
    systems: dict[str, SystemResult]

    @property
    def queries(self) -> list[str]:
        return list(self.judgments.relevant)

    @property
    def judged_at_10(self) -> float:
        """Mean over the systems; each has its own beside it."""
        return float(np.mean([result.measures[f"judged@{CUT}"] for result in self.systems.values()]))

    def to_json(self) -> dict[str, Any]:
        systems = {}
        for name, result in self.systems.items():
            compared = result.comparison
            systems[name] = {
                **result.measures,
                **result.latency,
                "ndcg@10_interval": [compared.low, compared.high],
                "difference": compared.difference,
                "p": compared.p,
                "hurt": compared.hurt,
                "helped": compared.helped,
                "degraded": result.degraded,
                "per_query": result.per_query,
            }
        return {
            "queries": len(self.queries),
            "judged_at_10": round(self.judged_at_10, 4),
            "baseline": self.baseline,
            "systems": systems,
        }


def evaluate(
    search: Search,
    index: str,
    judgments: Judgments,
    systems: Sequence[str],
    on_query: Callable[[], None] = lambda: None,
    depth: int = CUT,
) -> Evaluation:
    """Ask every system every judged query that has a relevant product.

    depth: hits kept for each query. Latency is of the whole search, encoding included, after one warm-up query a
    system. The baseline is bm25, or else the first system.

    Raises:
        UsageError: no judged query has a relevant product.
    """
    judged = judgments.relevant
    if not judged:
        raise UsageError("no judged query has a relevant product (rating 1 or more)")
    answers: dict[str, dict[str, SearchAnswer]] = {}
    for system in systems:
        options = {"index": index, "size": depth, "system": system, "facets": (), "explain": True}
        search(judgments.request(next(iter(judged)), **options))
        answers[system] = {}
        for query in judged:
            answers[system][query] = search(judgments.request(query, **options))
            on_query()
    found = {
        system: per_query_measures({query: [hit.id for hit in answer.hits] for query, answer in given.items()}, judged)
        for system, given in answers.items()
    }
    ndcg = {system: np.array([values[f"ndcg@{CUT}"][query] for query in judged]) for system, values in found.items()}
    baseline = "bm25" if "bm25" in ndcg else systems[0]
    compared = compare(ndcg, baseline)
    return Evaluation(
        index,
        judgments,
        baseline,
        {
            system: SystemResult(
                measures=_means(found[system]),
                latency=latency([answer.took_ms for answer in given.values()]),
                degraded=sum(bool(answer.degraded) for answer in given.values()),
                per_query={query: round(value, 4) for query, value in found[system][f"ndcg@{CUT}"].items()},
                comparison=compared[system],
                answers=given,
            )
            for system, given in answers.items()
        },
    )


def measures(
    runs: Mapping[str, Sequence[str]], ratings: Mapping[str, Mapping[str, float]], cut: int = CUT
) -> dict[str, float]:
    """Mean metrics of ranked lists, over the queries of `ratings`; a query without a list counts as 0."""
    return _means(per_query_measures(runs, ratings, cut))


def per_query_measures(
    runs: Mapping[str, Sequence[str]], ratings: Mapping[str, Mapping[str, float]], cut: int = CUT
) -> dict[str, dict[str, float]]:
    """Metric -> query -> value, of ranked lists; a query without a list counts as 0."""
    import ir_measures
    from ir_measures import RR, Judged, P, R, Success, nDCG

    wanted = {
        f"ndcg@{cut}": nDCG @ cut,
        f"recall@{cut}": R(rel=_UNIT) @ cut,
        f"precision@{cut}": P(rel=_UNIT) @ cut,
        f"accuracy@{cut}": Success(rel=_UNIT) @ cut,
        "mrr": RR(rel=_UNIT),
        f"judged@{cut}": Judged @ cut,
    }
    # trec_eval's gain is the rating itself; handing it the gain gives the exponential one.
    qrels = [
        ir_measures.Qrel(query, doc, round(_UNIT * (2**rating - 1)))
        for query, rel in ratings.items()
        for doc, rating in rel.items()
    ]
    run = [
        ir_measures.ScoredDoc(query, doc, float(len(ranked) - rank))
        for query, ranked in runs.items()
        for rank, doc in enumerate(ranked)
    ]
    per_query: dict[str, dict[str, float]] = {name: dict.fromkeys(ratings, 0.0) for name in wanted}
    names = {str(measure): name for name, measure in wanted.items()}
    for metric in ir_measures.iter_calc(list(wanted.values()), qrels, run):
        per_query[names[str(metric.measure)]][metric.query_id] = metric.value
    per_query[f"f1@{cut}"] = {
        query: _f1(per_query[f"precision@{cut}"][query], per_query[f"recall@{cut}"][query]) for query in ratings
    }
    return per_query


def _means(per_query: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {name: round(sum(values.values()) / len(values), 4) for name, values in per_query.items()}


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def latency(times: Sequence[float]) -> dict[str, float]:
    """p50_ms and p95_ms of times in milliseconds; at least one."""
    if len(times) == 1:
        return {"p50_ms": round(times[0], 2), "p95_ms": round(times[0], 2)}
    cuts = quantiles(times, n=100, method="inclusive")
    return {"p50_ms": round(cuts[49], 2), "p95_ms": round(cuts[94], 2)}


# -- significance ------------------------------------------------------------------------------------------------


def compare(systems: Mapping[str, np.ndarray], baseline: str, seed: int = 0) -> dict[str, Comparison]:
    """Each system's (queries,) scores against the baseline's."""
    found = {}
    for name, scores in systems.items():
        low, high = interval(scores, seed)
        gained = scores - systems[baseline]
        found[name] = Comparison(
            mean=round(float(scores.mean()), 4),
            low=low,
            high=high,
            difference=round(float(gained.mean()), 4),
            p=round(_p_value(gained, seed), 4),
            hurt=round(float((gained < -HURT).mean()), 4),
            helped=round(float((gained > HURT).mean()), 4),
        )
    return found


def interval(scores: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of (queries,) scores."""
    rng = np.random.default_rng(seed)
    # In parts: all at once, ten thousand queries would take a gigabyte.
    part = max(1, 5_000_000 // len(scores))
    sizes = [min(part, _RESAMPLES - start) for start in range(0, _RESAMPLES, part)]
    means = np.concatenate([scores[rng.integers(0, len(scores), (size, len(scores)))].mean(1) for size in sizes])
    low, high = np.quantile(means, [0.025, 0.975])
    return round(float(low), 4), round(float(high), 4)


def _p_value(gained: np.ndarray, seed: int) -> float:
    from scipy import stats

    if len(gained) < 2 or not np.abs(gained).max() > 1e-12:
        return 1.0  # of a single difference, either sign is as extreme
    result = stats.permutation_test(
        (gained, np.zeros_like(gained)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=_RESAMPLES,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


@dataclass(frozen=True)
class Change:
    """nDCG@10 of one query, before and after."""

    query: str
    before: float
    after: float

    @property
    def gain(self) -> float:
        return self.after - self.before


@dataclass(frozen=True)
class Paired:
    """Two results of the same queries: means, difference of the means with its 95 % bootstrap interval, and the
    queries, those that lose most first."""

    before: float
    after: float
    difference: float
    low: float
    high: float
    changes: list[Change] = field(repr=False)

    @property
    def lost(self) -> list[Change]:
        return [change for change in self.changes if change.gain < -HURT]

    @property
    def won(self) -> list[Change]:
        """Those that gain most first."""
        return [change for change in reversed(self.changes) if change.gain > HURT]

    def to_json(self) -> dict[str, Any]:
        return {
            **{name: value for name, value in self.__dict__.items() if name != "changes"},
            "queries": len(self.changes),
            "lost": [change.__dict__ for change in self.lost],
            "won": [change.__dict__ for change in self.won],
        }


def paired(before: Mapping[str, float], after: Mapping[str, float], seed: int = 0) -> Paired | None:
    """query -> score of two results, compared on the queries that both have; None where there are none."""
    changes = [Change(query, before[query], after[query]) for query in before if query in after]
    if not changes:
        return None
    gains = np.array([change.gain for change in changes])
    low, high = interval(gains, seed)
    first, second = ([getattr(change, name) for change in changes] for name in ("before", "after"))
    return Paired(
        round(float(np.mean(first)), 4), round(float(np.mean(second)), 4), round(float(gains.mean()), 4), low, high,
        sorted(changes, key=lambda change: change.gain),
    )  # fmt: skip


# -- out ---------------------------------------------------------------------------------------------------------


def write_runs(evaluation: Evaluation, folder: Path) -> list[Path]:
    """TREC files for trec_eval and others: SYSTEM.run of each system, qrels.txt, qrels.queries.tsv.

    Scores in the runs count down, for trec_eval sorts by them.

    Raises:
        UsageError: judged photos, a product id with a space in it, a folder that cannot be written.
    """
    numbers = {name: str(number) for number, name in enumerate(evaluation.judgments.ratings, 1)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = write_judgments(evaluation.judgments, folder / "qrels.txt", "trec")
        for system, result in evaluation.systems.items():
            path = folder / f"{system}.run"
            with path.open("w", encoding="utf-8", newline="\n") as out:
                for query, answer in result.answers.items():
                    for rank, hit in enumerate(answer.hits, 1):
                        out.write(f"{numbers[query]} Q0 {hit.id} {rank} {len(answer.hits) - rank + 1} {system}\n")
            written.append(path)
    except OSError as error:
        raise UsageError(f"cannot write runs to {folder}: {error.strerror}") from error
    return written
