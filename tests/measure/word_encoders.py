"""What the text encoders are worth on chorus: nDCG@10 of their vectors alone, by exact cosine, and judged@10.

python -m tests.measure.word_encoders ../shared/data/chorus [--no-minilm]

Prints JSON, with texts encoded a second. MiniLM alone takes minutes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hybrid.catalogue.documents import text_input
from hybrid.catalogue.fields import guess_fields
from hybrid.catalogue.reader import open_catalogue
from hybrid.contracts import Encoder, Product
from hybrid.encoders import get_encoder
from hybrid.encoders.trained.tfidf import TfIdf, TfIdfEncoder
from hybrid.evaluation.formats import read_judgments
from hybrid.evaluation.judgments import Judgments
from hybrid.settings import Settings


def texts_of(path: Path, encoder: Encoder) -> tuple[list[str], list[str]]:
    """(ids, texts) of a catalogue's products."""
    with open_catalogue(path) as catalogue:
        fields = guess_fields(catalogue.sample())
    with open_catalogue(path) as catalogue:
        rows = [row for row in catalogue.rows(fields.roles["id"]) if isinstance(row, Product)]
    return [row.id for row in rows], [text_input(row.source, fields, encoder) for row in rows]


def fitted(texts: Sequence[str], dims: int) -> Encoder:
    """A TF-IDF encoder by way of the bytes that are published."""
    data = TfIdf.fit(texts, dims).to_bytes()
    settings = Settings()
    return TfIdfEncoder("tfidf:measured", lambda: ({}, data), lambda spec: get_encoder(spec, settings), settings)


def measure(encoder: Encoder, ids: Sequence[str], texts: Sequence[str], judged: Judgments) -> dict[str, float]:
    started = time.perf_counter()
    products = encoder.encode_texts(texts)
    seconds = time.perf_counter() - started
    names = list(judged.relevant)
    order = np.argsort(-encoder.encode_texts(names) @ products.T, axis=1, kind="stable")[:, :10]
    discounts = 1 / np.log2(np.arange(2, 12))
    gains, seen = [], []
    for name, row in zip(names, order, strict=True):
        rated = judged.ratings[name]
        best = sorted((2**rating - 1 for rating in rated.values()), reverse=True)[:10]
        found = [ids[place] for place in row]
        gained = np.dot([2 ** rated.get(id, 0) - 1 for id in found], discounts)
        gains.append(gained / np.dot(best, discounts[: len(best)]))
        seen.append(np.mean([id in rated for id in found]))
    return {
        "ndcg@10": round(float(np.mean(gains)), 3),
        "judged@10": round(float(np.mean(seen)), 3),
        "dims": encoder.dims,
        "texts_per_s": round(len(texts) / seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the chorus data")
    parser.add_argument("--no-minilm", action="store_true")
    options = parser.parse_args()
    settings = Settings()
    ids, texts = texts_of(options.folder / "products.ndjson.gz", get_encoder("bow", settings))
    judged = read_judgments(options.folder / "judgments.csv")
    specs = ["bow:512", "bow", "bow:2048", "minilm-words", *([] if options.no_minilm else ["minilm"])]
    encoders = {spec: get_encoder(spec, settings) for spec in specs}
    encoders |= {f"tfidf, {dims} dims": fitted(texts, dims) for dims in (256, 512)}
    print(json.dumps({name: measure(one, ids, texts, judged) for name, one in encoders.items()}, indent=2))


if __name__ == "__main__":
    main()
