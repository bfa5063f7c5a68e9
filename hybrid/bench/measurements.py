"""The figures of `hybrid bench`, each against its baseline in the same run."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from typing import Any

from hybrid.catalogue.documents import text_input
from hybrid.catalogue.fields import guess_fields
from hybrid.catalogue.reader import open_catalogue
from hybrid.contracts import Product
from hybrid.elastic.retrieval.candidates import Retrieval
from hybrid.errors import UsageError
from hybrid.evaluation.formats import read_judgments
from hybrid.evaluation.measures import measures
from hybrid.search.ports import Retrieved
from hybrid.search.searcher import Searcher
from hybrid.searches import SearchRequest
from hybrid.services import Services
from hybrid.settings import Settings
from hybrid.text import analysis

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic"})
_ROUNDS = 5


def encoding(services: Services, file: Path, limit: int) -> dict[str, Any]:
    """Text encoding of a catalogue's products against stock PyTorch; see hybrid.encoders.benchmark."""
    from hybrid.encoders.benchmark import benchmark

    with open_catalogue(file) as catalogue:
        fields = guess_fields(catalogue.sample())
    with open_catalogue(file) as catalogue:
        rows = [row for row in catalogue.rows(fields.roles["id"]) if isinstance(row, Product)]
    chosen = random.Random(0).sample(rows, min(limit, len(rows)))
    encoder = services.encoder(services.settings.text_encoder)
    texts = [text_input(row.source, fields, encoder) for row in chosen]
    return benchmark(services.settings.text_encoder, [text for text in texts if text], services.settings)


def encoding_pictures(settings: Settings, folder: Path, limit: int) -> dict[str, Any]:
    """Encoding of a folder's pictures, decoding included, against stock PyTorch; see hybrid.encoders.benchmark."""
    from hybrid.encoders.benchmark import benchmark_pictures

    if not folder.is_dir():
        raise UsageError(f"no folder {folder}; give one with pictures")
    pictures = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    chosen = random.Random(0).sample(pictures, min(limit, len(pictures)))
    return benchmark_pictures(settings.image_encoder, chosen, settings)


def searching(searcher: Searcher, index: str, judgments: Path) -> dict[str, Any]:
    """Search with cached query vectors: `fixed` against its BM25 and kNN parts alone, interleaved.

    Times are whole searches, milliseconds, medians over the queries of the medians over the rounds;
    `ratio` is fixed over the slower of its parts.
    """
    judged = read_judgments(judgments)
    if any(judged.query(name).image for name in judged.ratings):
        raise UsageError("bench search takes text queries")
    systems = ("bm25", "text", "fixed")
    times: dict[str, dict[str, list[float]]] = {system: {} for system in systems}
    for turn in range(_ROUNDS + 1):
        for query in judged.ratings:
            for system in systems:
                request = SearchRequest(index=index, q=query, system=system, size=10, facets=())
                started = time.perf_counter()
                searcher.search(request)
                if turn:  # the first round warms the caches
                    taken = (time.perf_counter() - started) * 1000
                    times[system].setdefault(query, []).append(taken)
    p50 = {system: median(median(taken) for taken in times[system].values()) for system in systems}
    return {
        "queries": len(judged.ratings),
        **{f"{system}_p50_ms": round(value, 2) for system, value in p50.items()},
        "ratio": round(p50["fixed"] / max(p50["bm25"], p50["text"]), 3),
    }


def weighing(services: Services, index: str, judgments: Path) -> dict[str, Any]:
    """Learned weights with few judgments and with bad vectors; what predicting them costs, and skipping signals saves.

    predict_ms_p50 is for one query on top of its embedding. retrieval_ms_mean is what the index takes for a query by
    the active weights, without the encoding of its words and photo: the mean over queries of the median over rounds;
    retrieval_all_ms_mean the same with every signal searched, interleaved.
    """
    from hybrid.learning.weights import robustness
    from hybrid.search.searcher import Searcher
    from hybrid.search.weights import PinnedWeights, Query

    judged = read_judgments(judgments)
    result = robustness.measure(services, index, judged)
    model, _ = services.published.active(index)
    times = []
    for query in list(judged.ratings) * 3:
        weighed_query = Query(query, analysis.query_terms(query))
        started = time.perf_counter()
        model.predict(weighed_query, model.signals[:2], explain=True)
        times.append((time.perf_counter() - started) * 1000)
    timed = [_TimedRetrieval(services.retrieval) for _ in range(2)]
    searchers = [
        Searcher(retrieval, services.encoder, services.settings.depth, PinnedWeights(choice))
        for retrieval, choice in zip(timed, (model, replace(model, skip_below=0.0)), strict=True)
    ]
    taken: list[dict[str, list[float]]] = [{}, {}]
    quality: list[dict[str, list[str]]] = [{}, {}]
    for turn in range(_ROUNDS):
        for query in judged.ratings:
            for place, searcher in enumerate(searchers):
                timed[place].ms = 0.0
                answer = searcher.search(judged.request(query, index=index, size=10, facets=()))
                if turn:
                    taken[place].setdefault(query, []).append(timed[place].ms)
                quality[place][query] = [hit.id for hit in answer.hits]
    relevant = {query: rel for query, rel in judged.ratings.items() if any(value >= 1 for value in rel.values())}
    some, all_ = (mean(median(times) for times in queries.values()) for queries in taken)
    skipping, everything = (measures(runs, relevant)["ndcg@10"] for runs in quality)
    return {
        **result,
        "active": model.version,
        "skip_below": model.skip_below,
        "predict_ms_p50": round(median(times), 3),
        "retrieval_ms_mean": round(some, 2),
        "retrieval_all_ms_mean": round(all_, 2),
        "retrieval_time_saved": round(1 - some / all_, 3),
        "search_ndcg": skipping,
        "search_all_ndcg": everything,
    }


class _TimedRetrieval(Retrieval):
    """Counts the milliseconds that retrieving takes, a second try for skipped signals included."""

    def __init__(self, inner: Retrieval) -> None:
        self.__dict__.update(inner.__dict__)
        self.ms = 0.0

    def retrieve(self, *arguments: Any) -> Retrieved:
        started = time.perf_counter()
        try:
            return super().retrieve(*arguments)
        finally:
            self.ms += (time.perf_counter() - started) * 1000
