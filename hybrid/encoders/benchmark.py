"""How fast an encoder is beside the same model in stock PyTorch, in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np

from hybrid.encoders import get_encoder
from hybrid.encoders.base import thread_count
from hybrid.errors import UsageError
from hybrid.settings import Settings

ROUNDS = 5
QUERIES = ("usb c cable", "wireless mouse for laptop", "black ink cartridge", "27 inch monitor")
QUERY_REPEATS = 60
NEAREST = 10

Input = TypeVar("Input")


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
    if stock is not None:
        stock(texts[:32])
    speed, ours, theirs = _raced(encoder.encode_texts, stock, texts, rounds, "texts")
    query_ms = _query_ms(encoder.encode_texts)
    stock_ms = _query_ms(stock) if stock is not None else (None, None)
    return {
        "encoder": spec,
        "version": encoder.version,
        "threads": thread_count(settings),
        "texts": len(texts),
        "rounds": rounds,
        **speed,
        "query_ms_p50": query_ms[0],
        "query_ms_p95": query_ms[1],
        "stock_query_ms_p50": stock_ms[0],
        "stock_query_ms_p95": stock_ms[1],
        **_cosines(ours, theirs),
        "rss_mb": rss,
    }


def benchmark_pictures(spec: str, files: Sequence[Path], settings: Settings, rounds: int = ROUNDS) -> dict[str, Any]:
    """Rates on these picture files, from the file to the vector, ours and stock, in interleaved rounds.

    Ours is what a worker does: the limited process decodes, the encoder prepares and runs. Stock is the loop that
    most people write: Pillow opens, torchvision's Resize(256) and CenterCrop(224), the same network in torch by
    batches of 32 and with the same number of threads; None where the encoder is not efficientnet-lite0.

    Returns:
        encoder, version, threads, pictures, rounds; pictures_per_s and stock_pictures_per_s, ratio, ratio_min,
        ratio_max as `benchmark`; overlap_at_10: which share of the ten pictures nearest to each (all of them for
        fewer) is the same by both; cosine_min, cosine_mean to stock; rss_mb.

    Raises:
        UsageError: there are fewer than two pictures. EncoderError: the model cannot be had. MediaError: a file
        cannot be decoded.
    """
    from hybrid.media import open_image

    files = list(files)
    if len(files) < 2:
        raise UsageError("give a folder with at least two pictures (.jpg, .png, .webp, ...)")
    encoder = get_encoder(spec, settings)

    def encode(paths: Sequence[Path]) -> np.ndarray:
        return encoder.encode_images([open_image(path) for path in paths])

    encode(files[:32])
    rss = _rss_mb()
    stock = _stock_pictures(spec, settings)
    if stock is not None:
        stock(files[:32])
    speed, ours, theirs = _raced(encode, stock, files, rounds, "pictures")
    return {
        "encoder": spec,
        "version": encoder.version,
        "threads": thread_count(settings),
        "pictures": len(files),
        "rounds": rounds,
        **speed,
        "overlap_at_10": _overlap(ours, theirs) if theirs is not None else None,
        **_cosines(ours, theirs),
        "rss_mb": rss,
    }


def _stock_pictures(spec: str, settings: Settings) -> Callable[[Sequence[Path]], np.ndarray] | None:
    if spec != "efficientnet-lite0":
        return None
    import torch
    from PIL import Image
    from torchvision import transforms

    from hybrid.encoders.inference.networks import torch_module
    from hybrid.encoders.pixels import weights_file

    torch.set_num_threads(thread_count(settings))
    module = torch_module("efficientnet-lite0", weights_file())
    bicubic = transforms.InterpolationMode.BICUBIC
    prepare = transforms.Compose(
        [transforms.Resize(256, interpolation=bicubic), transforms.CenterCrop(224), transforms.PILToTensor()]
    )

    def encode(paths: Sequence[Path]) -> np.ndarray:
        parts = []
        with torch.inference_mode():
            for start in range(0, len(paths), 32):
                rows = [prepare(Image.open(path).convert("RGB")) for path in paths[start : start + 32]]
                parts.append(module(torch.stack(rows).permute(0, 2, 3, 1)).numpy())
        return np.concatenate(parts)

    return encode


def _raced(
    ours: Callable[[Sequence[Input]], np.ndarray],
    stock: Callable[[Sequence[Input]], np.ndarray] | None,
    inputs: Sequence[Input],
    rounds: int,
    what: str,
) -> tuple[dict[str, Any], np.ndarray, np.ndarray | None]:
    """Figures of speed, and the vectors of both."""
    rates: list[float] = []
    stock_rates: list[float] = []
    rows = theirs = None
    for _ in range(rounds):
        if stock is not None:
            seconds, theirs = _timed(stock, inputs)
            stock_rates.append(len(inputs) / seconds)
        seconds, rows = _timed(ours, inputs)
        rates.append(len(inputs) / seconds)
    ratios = [rate / other for rate, other in zip(rates, stock_rates, strict=False)]
    figures = {
        f"{what}_per_s": round(median(rates), 1),
        f"stock_{what}_per_s": round(median(stock_rates), 1) if stock_rates else None,
        "ratio": round(median(ratios), 2) if ratios else None,
        "ratio_min": round(min(ratios), 2) if ratios else None,
        "ratio_max": round(max(ratios), 2) if ratios else None,
    }
    assert rows is not None
    return figures, rows, theirs


def _cosines(ours: np.ndarray, theirs: np.ndarray | None) -> dict[str, float | None]:
    if theirs is None:
        return {"cosine_min": None, "cosine_mean": None}
    cosines = np.einsum("ij,ij->i", ours, theirs)
    return {"cosine_min": round(float(cosines.min()), 6), "cosine_mean": round(float(cosines.mean()), 6)}


def _overlap(ours: np.ndarray, theirs: np.ndarray) -> float:
    count = min(NEAREST, len(ours) - 1)
    nearest = []
    for rows in (ours, theirs):
        likeness = rows @ rows.T
        np.fill_diagonal(likeness, -np.inf)
        nearest.append(np.argsort(-likeness, axis=1, kind="stable")[:, :count])
    shared = [len(set(a) & set(b)) for a, b in zip(nearest[0].tolist(), nearest[1].tolist(), strict=True)]
    return round(float(np.mean(shared)) / count, 4)


def _stock(spec: str, settings: Settings) -> Callable[[Sequence[str]], np.ndarray] | None:
    kind, _, argument = spec.partition(":")
    if kind == "minilm":
        from hybrid.encoders.minilm import model_folder

        argument = str(model_folder())
    elif kind != "sentence-transformers":
        return None
    from hybrid.encoders.hub import SentenceTransformers

    twin = SentenceTransformers(f"sentence-transformers:{argument}", argument, settings)
    model = twin.model

    def encode(texts: Sequence[str]) -> np.ndarray:
        return np.asarray(model.encode(list(texts), batch_size=32, show_progress_bar=False))

    return encode


def _timed(encode: Callable[[Sequence[Input]], np.ndarray], inputs: Sequence[Input]) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    rows = encode(inputs)
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
