"""Judged queries with their candidates, gathered once, and what any weights make of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hybrid.evaluation.formats import read_judgments
from hybrid.learning.weights.examples import Example, Table, gather
from hybrid.search.fusion import Scaling, by_kind
from hybrid.searches import SearchRequest
from hybrid.services import Services


def gathered(services: Services, index: str, judgments: Path) -> list[Example]:
    """The judged queries of a file, with their candidates in an index."""
    ratings = read_judgments(judgments).relevant
    requests = [(query, SearchRequest(index=index, q=query), ratings[query], "") for query in ratings]
    return gather(services.searcher, requests)


def scores(examples: list[Example], weights: dict[str, float]) -> np.ndarray:
    """(queries,) nDCG@10 under weights by signal."""
    kinds, found = by_kind(weights), []
    for example in examples:
        table = Table(example, Scaling(), weights)
        found.append(float(table.ndcg(np.array([[kinds.get(name, 0.0) for name in table.signals]]))[0]))
    return np.array(found)
