"""Judgments in, quality and speed out. Metrics come from ir_measures (trec_eval and friends).

Gain is 2^rating - 1, unjudged counts as 0, a rating from 1 up is relevant, and queries with no relevant
product are left out. accuracy@k is the share of queries with a relevant product among the first k.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

from hybrid.contracts import SearchRequest
from hybrid.errors import UsageError

_CUT = 10


@dataclass(frozen=True)
class Judgments:
    """ratings: query -> product id -> rating. kind "image": queries are paths of photos under `folder`."""

    ratings: Mapping[str, Mapping[str, float]]
    kind: str
    folder: Path

    def request(self, query: str, **options: Any) -> SearchRequest:
        """The search that a judged query stands for.

        Raises:
            UsageError: the photo is not there.
        """
        if self.kind == "text":
            return SearchRequest(q=query, **options)
        path = self.folder / query
        if not path.is_file():
            raise UsageError(f"judged photo {query!r} is not in {self.folder}")
        return SearchRequest(image=path.read_bytes(), **options)


def read_judgments(path: Path) -> Judgments:
    """Judgments from CSV: query,docid,rating (Quepid) or image,docid,rating (photos beside the file).

    Raises:
        UsageError: no such file, other columns, a rating that is no number, nothing judged.
    """
    if not path.is_file():
        raise UsageError(f"no judgments file {path}")
    ratings: dict[str, dict[str, float]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [name.strip().lower() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            kind = "image" if "image" in columns else "text"
            wanted = {"image" if kind == "image" else "query", "docid", "rating"}
            if not wanted <= set(columns):
                raise UsageError(
                    f"{path.name}: columns query,docid,rating (or image,docid,rating) wanted, found {','.join(columns)}"
                )
            for row in reader:
                try:
                    rating = float(row["rating"])
                except (TypeError, ValueError):
                    raise UsageError(f"{path.name}, line {reader.line_num}: rating {row['rating']!r}") from None
                query = row["image" if kind == "image" else "query"].strip()
                ratings.setdefault(query, {})[row["docid"].strip()] = rating
    except UnicodeDecodeError as error:
        raise UsageError(f"{path.name}: not UTF-8 ({error.reason})") from error
    if not ratings:
        raise UsageError(f"{path.name}: no judgments in it")
    return Judgments(ratings, kind, path.parent)


def evaluate(
    search: Callable[[SearchRequest], Any],
    index: str,
    judgments: Judgments,
    systems: Sequence[str],
    on_query: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """{"queries", "judged_at_10", "systems": {name: {"ndcg@10", …, "p50_ms", "p95_ms"}}}.

    judged_at_10 is the mean over the systems; each system has its own beside it. Latency is of the whole
    search, encoding included, after one warm-up query a system.

    Raises:
        UsageError: no judged query has a relevant product.
    """
    judged = {query: rel for query, rel in judgments.ratings.items() if any(value >= 1 for value in rel.values())}
    if not judged:
        raise UsageError("no judged query has a relevant product (rating 1 or more)")
    results = {}
    for system in systems:
        runs: dict[str, list[str]] = {}
        times: list[float] = []
        degraded = 0
        first = next(iter(judged))
        search(judgments.request(first, index=index, size=_CUT, system=system, facets=()))
        for query in judged:
            answer = search(judgments.request(query, index=index, size=_CUT, system=system, facets=()))
            runs[query] = [hit.id for hit in answer.hits]
            times.append(answer.took_ms)
            degraded += bool(answer.degraded)
            on_query()
        results[system] = {**measures(runs, judged), **_latency(times), "degraded": degraded}
    mean_judged = sum(result["judged@10"] for result in results.values()) / len(results)
    return {"queries": len(judged), "judged_at_10": round(mean_judged, 4), "systems": results}


def measures(
    runs: Mapping[str, Sequence[str]], ratings: Mapping[str, Mapping[str, float]], cut: int = _CUT
) -> dict[str, float]:
    """Mean metrics of ranked lists, over the queries of `ratings`; a query without a list counts as 0."""
    import ir_measures
    from ir_measures import RR, Judged, P, R, Success, nDCG

    wanted = {
        f"ndcg@{cut}": nDCG @ cut,
        f"recall@{cut}": R @ cut,
        f"precision@{cut}": P @ cut,
        f"accuracy@{cut}": Success @ cut,
        "mrr": RR,
        f"judged@{cut}": Judged @ cut,
    }
    # trec_eval's gain is the rating itself; handing it 2^rating - 1 gives the exponential gain, and leaves what
    # counts as relevant as it is.
    qrels = [
        ir_measures.Qrel(query, doc, round(2**rating - 1))
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
    means = {name: sum(values.values()) / len(values) for name, values in per_query.items()}
    f1 = [_f1(per_query[f"precision@{cut}"][query], per_query[f"recall@{cut}"][query]) for query in ratings]
    means[f"f1@{cut}"] = sum(f1) / len(f1)
    return {name: round(value, 4) for name, value in means.items()}


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _latency(times: Sequence[float]) -> dict[str, float]:
    if len(times) == 1:
        return {"p50_ms": round(times[0], 2), "p95_ms": round(times[0], 2)}
    cuts = quantiles(times, n=100, method="inclusive")
    return {"p50_ms": round(cuts[49], 2), "p95_ms": round(cuts[94], 2)}
