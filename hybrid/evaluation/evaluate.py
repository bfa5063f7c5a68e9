"""Quality and speed of systems on judged queries. Metrics come from ir_measures (trec_eval and friends).

Gain is 2^rating - 1, unjudged counts as 0, a rating from 1 up is relevant, and queries with no relevant
product are left out. accuracy@k is the share of queries with a relevant product among the first k.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hybrid.errors import UsageError
from hybrid.evaluation.formats import write_judgments
from hybrid.evaluation.judgments import Judgments
from hybrid.evaluation.measures import CUT, _means, latency, per_query_measures
from hybrid.evaluation.significance import Comparison, compare
from hybrid.searches import SearchAnswer, SearchRequest

Search = Callable[[SearchRequest], SearchAnswer]


@dataclass
class SystemResult:
    """measures: name -> mean over the queries. per_query: query -> nDCG@10. answers: query -> its answer."""

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
    results = {
        system: per_query_measures(
            {query: [hit.id for hit in answer.hits] for query, answer in answered.items()}, judged
        )
        for system, answered in answers.items()
    }
    ndcg = {system: np.array([values[f"ndcg@{CUT}"][query] for query in judged]) for system, values in results.items()}
    baseline = "bm25" if "bm25" in ndcg else systems[0]
    compared = compare(ndcg, baseline)
    return Evaluation(
        index,
        judgments,
        baseline,
        {
            system: SystemResult(
                measures=_means(results[system]),
                latency=latency([answer.took_ms for answer in answered.values()]),
                degraded=sum(bool(answer.degraded) for answer in answered.values()),
                per_query={query: round(value, 4) for query, value in results[system][f"ndcg@{CUT}"].items()},
                comparison=compared[system],
                answers=answered,
            )
            for system, answered in answers.items()
        },
    )


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
