"""How fast an encoder is beside the same model in stock PyTorch, in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np

from hybrid.encoders import get_encoder
from hybrid.encoders.base import thread_count
from hybrid.errors import UsageError
from hybrid.settings import Settings

ROUNDS = 5
QUERIES = ("usb c cable", "wireless mouse for laptop", "black ink cartridge", "27 inch monitor")
QUERY_REPEATS = 60


def benchmark(spec: str, texts: Sequence[str], settings: Settings, rounds: int = ROUNDS) -> dict[str, Any]:
    """Rates on these texts and the time of one short query, ours and stock, in interleaved rounds.

    Stock is SentenceTransformer.encode with batches of 32 and the same number of threads; None where the
    encoder has no such twin. Interleaved, so that other work on the machine slows both alike.

    Returns:
        encoder, version, threads, texts, rounds; texts_per_s and stock_texts_per_s (medians over the rounds),
        ratio (median of the rounds' ratios) with ratio_min and ratio_max; query_ms_p50, query_ms_p95,
        stock_query_ms_p50, stock_query_ms_p95 (warm, one at a time); cosine_min, cosine_mean to stock;
        rss_mb (of this process before stock was loaded).

    Raises:
        UsageError: there are no texts. EncoderError: the model cannot be had.
    """
    texts = list(texts)
    if not texts:
        raise UsageError("there are no texts to encode; check the catalogue's title and description roles")
    encoder = get_encoder(spec, settings)
    encoder.encode_texts(texts[:32])
    rss = _rss_mb()
    stock = _stock(spec, settings)
    rates: list[float] = []
    stock_rates: list[float] = []
    ours: np.ndarray | None = None
    theirs: np.ndarray | None = None
    if stock is not None:
        stock(texts[:32])
    for _ in range(rounds):
        if stock is not None:
            seconds, theirs = _timed(stock, texts)
            stock_rates.append(len(texts) / seconds)
        seconds, ours = _timed(encoder.encode_texts, texts)
        rates.append(len(texts) / seconds)
    cosines = np.einsum("ij,ij->i", ours, theirs) if ours is not None and theirs is not None else None
    ratios = [rate / other for rate, other in zip(rates, stock_rates, strict=False)]
    query_ms = _query_ms(encoder.encode_texts)
    stock_ms = _query_ms(stock) if stock is not None else (None, None)
    return {
        "encoder": spec,
        "version": encoder.version,
        "threads": thread_count(settings),
        "texts": len(texts),
        "rounds": rounds,
        "texts_per_s": round(median(rates), 1),
        "stock_texts_per_s": round(median(stock_rates), 1) if stock_rates else None,
        "ratio": round(median(ratios), 2) if ratios else None,
        "ratio_min": round(min(ratios), 2) if ratios else None,
        "ratio_max": round(max(ratios), 2) if ratios else None,
        "query_ms_p50": query_ms[0],
        "query_ms_p95": query_ms[1],
        "stock_query_ms_p50": stock_ms[0],
        "stock_query_ms_p95": stock_ms[1],
        "cosine_min": round(float(cosines.min()), 6) if cosines is not None else None,
        "cosine_mean": round(float(cosines.mean()), 6) if cosines is not None else None,
        "rss_mb": rss,
    }


def _stock(spec: str, settings: Settings) -> Callable[[Sequence[str]], np.ndarray] | None:
    kind, _, argument = spec.partition(":")
    if kind == "minilm":
        from hybrid.encoders.text import model_folder

        argument = str(model_folder())
    elif kind != "sentence-transformers":
        return None
    from hybrid.encoders.hub import SentenceTransformers

    twin = SentenceTransformers(f"sentence-transformers:{argument}", argument, settings)
    model = twin.model

    def encode(texts: Sequence[str]) -> np.ndarray:
        return np.asarray(model.encode(list(texts), batch_size=32, show_progress_bar=False))

    return encode


def _timed(encode: Callable[[Sequence[str]], np.ndarray], texts: Sequence[str]) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    rows = encode(texts)
    return time.perf_counter() - start, rows


def _query_ms(encode: Callable[[Sequence[str]], np.ndarray]) -> tuple[float, float]:
    """p50 and p95 in milliseconds of one short query at a time, warm."""
    for query in QUERIES:
        encode([query])
    times = [_timed(encode, [QUERIES[turn % len(QUERIES)]])[0] * 1e3 for turn in range(QUERY_REPEATS)]
    return round(float(np.percentile(times, 50)), 2), round(float(np.percentile(times, 95)), 2)


def _rss_mb() -> float | None:
    try:
        import psutil
    except ImportError:
        return None
    return round(float(psutil.Process().memory_info().rss) / 1e6, 1)
