"""Measures of ranked lists against judgments, and of latency. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import quantiles

CUT = 10
#: nDCG of the judged products alone; see `condensed`.
CONDENSED = f"condensed@{CUT}"
#: Ratings may be fractions, and trec_eval counts in whole numbers: one unit of gain is this many.
_UNIT = 100


def measures(
    runs: Mapping[str, Sequence[str]], ratings: Mapping[str, Mapping[str, float]], cut: int = CUT
) -> dict[str, float]:
    """Mean metrics of ranked lists, over the queries of `ratings`; a query without a list counts as 0."""
    return means(per_query_measures(runs, ratings, cut))


def per_query_measures(
    runs: Mapping[str, Sequence[str]], ratings: Mapping[str, Mapping[str, float]], cut: int = CUT
) -> dict[str, dict[str, float]]:
    """Metric -> query -> value, of ranked lists; a query without a list counts as 0."""
    import ir_measures
    from ir_measures import RR, Judged, P, R, Success, nDCG

    metrics = {
        f"ndcg@{cut}": nDCG @ cut,
        f"judged@{cut}": Judged @ cut,
        f"recall@{cut}": R(rel=_UNIT) @ cut,
        f"precision@{cut}": P(rel=_UNIT) @ cut,
        f"accuracy@{cut}": Success(rel=_UNIT) @ cut,
        "mrr": RR(rel=_UNIT),
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
    per_query: dict[str, dict[str, float]] = {name: dict.fromkeys(ratings, 0.0) for name in metrics}
    names = {str(measure): name for name, measure in metrics.items()}
    for metric in ir_measures.iter_calc(list(metrics.values()), qrels, run):
        per_query[names[str(metric.measure)]][metric.query_id] = metric.value
    per_query[f"f1@{cut}"] = {
        query: _f1(per_query[f"precision@{cut}"][query], per_query[f"recall@{cut}"][query]) for query in ratings
    }
    return per_query


def condensed(
    runs: Mapping[str, Sequence[str]], ratings: Mapping[str, Mapping[str, float]], cut: int = CUT
) -> dict[str, float]:
    """query -> nDCG of the judged products of its list alone: the others are taken out before it is cut.

    It asks how well a system orders what was judged, and so does not punish it for finding what nobody judged: the
    condensed list of Sakai, "Alternatives to Bpref" (SIGIR 2007). Systems that the judgments were not pooled from gain
    by it what nDCG takes from them, and more: read both. runs: lists longer than the cut.
    """
    judged = {query: [doc for doc in ranked if doc in ratings.get(query, ())] for query, ranked in runs.items()}
    return per_query_measures(judged, ratings, cut)[f"ndcg@{cut}"]


def means(per_query: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean of each measure over the queries."""
    return {name: round(sum(values.values()) / len(values), 4) for name, values in per_query.items()}


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def latency(times: Sequence[float]) -> dict[str, float]:
    """p50_ms and p95_ms of times in milliseconds; at least one."""
    if len(times) == 1:
        return {"p50_ms": round(times[0], 2), "p95_ms": round(times[0], 2)}
    cuts = quantiles(times, n=100, method="inclusive")
    return {"p50_ms": round(cuts[49], 2), "p95_ms": round(cuts[94], 2)}
