"""Quality and speed of systems on judged queries. Metrics come from ir_measures (trec_eval and friends).

Gain is 2^rating - 1, unjudged counts as 0, a rating from 1 up is relevant, and queries with no relevant
product are left out. accuracy@k is the share of queries with a relevant product among the first k.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybrid.errors import UsageError
from hybrid.evaluation.formats import write_judgments
from hybrid.evaluation.judgments import Judgments
from hybrid.evaluation.measures import CONDENSED, CUT, condensed, latency, means, per_query_measures
from hybrid.evaluation.pool import Unjudged, unjudged
from hybrid.evaluation.significance import Comparison, compare
from hybrid.search.kinds import KINDS, kind_of
from hybrid.searches import SearchAnswer, SearchRequest

#: Hits that a condensed list is made from, where some of the first are not judged.
DEEP = 100
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

    @property
    def kinds(self) -> dict[str, dict[str, Any]]:
        """Kind of query -> {"queries": how many, "ndcg@10": system -> mean over them}."""
        kinds: dict[str, list[str]] = {}
        for name in self.queries:
            query = self.judgments.query(name)
            kinds.setdefault(kind_of(query.text, bool(query.image)), []).append(name)
        return {
            kind: {
                "queries": len(kinds[kind]),
                f"ndcg@{CUT}": {
                    system: round(float(np.mean([result.per_query[name] for name in kinds[kind]])), 4)
                    for system, result in self.systems.items()
                },
            }
            for kind in KINDS
            if kind in kinds
        }

    def unjudged(self, depth: int = CUT) -> list[Unjudged]:
        """What the systems show and nobody judged, for the queries of this evaluation, most useful first."""
        shown = {
            system: {query: [hit.id for hit in answer.hits[:depth]] for query, answer in result.answers.items()}
            for system, result in self.systems.items()
        }
        return unjudged(shown, self.judgments.ratings)

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
                "queries_needed": compared.needed,
                "degraded": result.degraded,
                "per_query": result.per_query,
            }
        return {
            "queries": len(self.queries),
            "judged_at_10": round(self.judged_at_10, 4),
            "baseline": self.baseline,
            "kinds": self.kinds,
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
    system. The baseline is bm25, or else the first system. Where some of the first hits are not judged, the query is
    asked again for DEEP hits, which the condensed list is made from and no time is taken of.

    Raises:
        UsageError: no judged query has a relevant product.
    """
    judged = judgments.relevant
    if not judged:
        raise UsageError("no judged query has a relevant product (rating 1 or more)")
    answers: dict[str, dict[str, SearchAnswer]] = {}
    deeper: dict[str, dict[str, list[str]]] = {}
    for system in systems:
        options = {"index": index, "size": depth, "system": system, "facets": (), "explain": True}
        search(judgments.request(next(iter(judged)), **options))
        answers[system], deeper[system] = {}, {}
        for query in judged:
            request = judgments.request(query, **options)
            answers[system][query] = search(request)
            deeper[system][query] = _deeper(search, request, answers[system][query], judged[query])
            on_query()
    results = {}
    for system, answered in answers.items():
        found = per_query_measures({query: _ids(answer) for query, answer in answered.items()}, judged)
        # Beside each other: the one says how far to believe the other.
        first = f"ndcg@{CUT}"
        results[system] = {first: found.pop(first), CONDENSED: condensed(deeper[system], judged), **found}
    ndcg = {system: np.array([values[f"ndcg@{CUT}"][query] for query in judged]) for system, values in results.items()}
    baseline = "bm25" if "bm25" in ndcg else systems[0]
    compared = compare(ndcg, baseline)
    return Evaluation(
        index,
        judgments,
        baseline,
        {
            system: SystemResult(
                measures=means(results[system]),
                latency=latency([answer.took_ms for answer in answered.values()]),
                degraded=sum(bool(answer.degraded) for answer in answered.values()),
                per_query={query: round(value, 4) for query, value in results[system][f"ndcg@{CUT}"].items()},
                comparison=compared[system],
                answers=answered,
            )
            for system, answered in answers.items()
        },
    )


def _ids(answer: SearchAnswer) -> list[str]:
    return [hit.id for hit in answer.hits]


def _deeper(search: Search, request: SearchRequest, answer: SearchAnswer, rated: Mapping[str, float]) -> list[str]:
    """The ids of an answer, longer where products of its first ten would leave the condensed list."""
    ids = _ids(answer)
    if len(ids) < request.size or len(ids) >= DEEP or all(id in rated for id in ids[:CUT]):
        return ids
    return _ids(search(replace(request, size=DEEP, bare=True, explain=False)))


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
