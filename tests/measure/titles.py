"""What vectors of titles bring, and what they cost.

    python -m tests.measure.titles quality chorus:chorus=judgments.csv esci:us=judgments_us.csv
    python -m tests.measure.titles encoding products.ndjson title description=bullets
    python -m tests.measure.titles searching WITHOUT WITH judgments.csv

quality: nDCG@10 of lists of judgments (INDEX:NAME=FILE) of indices whose titles have vectors, by the share of these in
the weight of texts, under the weights `fixed` and by texts alone; each against a share of 0. encoding: milliseconds and
tokens of a product, by the encoder of the setting. searching: milliseconds of a search in two indices of the same
products, turn by turn, each query's fastest.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from hybrid.catalogue import documents
from hybrid.catalogue.fields import guess_fields
from hybrid.catalogue.reader import open_catalogue
from hybrid.encoders.minilm import MiniLM
from hybrid.evaluation.formats import read_judgments
from hybrid.evaluation.significance import compare, interval
from hybrid.learning.weights.examples import Example, Table
from hybrid.search.fusion import Scaling
from hybrid.search.prior import SHARES
from hybrid.searches import SearchRequest
from hybrid.services import build_services
from hybrid.signals import LEXICAL, fixed_weight
from tests.measure.candidates import gathered

TRIED = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
ROUNDS = 7
PRODUCTS = 500


def scores(examples: list[Example], share: float, words: float) -> np.ndarray:
    """(queries,) nDCG@10 with this share of titles, and this weight of words."""
    shares, found = {**SHARES, "text": 1 - share, "text.title": share}, []
    for example in examples:
        table = Table(example, Scaling(), shares)
        weights = [words if name == LEXICAL else fixed_weight(name) for name in table.signals]
        found.append(float(table.ndcg(np.array([weights]))[0]))
    return np.array(found)


def quality(arguments: list[str]) -> None:
    services = build_services()
    for argument in arguments:
        place, _, file = argument.partition("=")
        index, _, _ = place.partition(":")
        examples = [one for one in gathered(services, index, Path(file)) if "text.title" in one.raw]
        for system, words in (("fixed", fixed_weight(LEXICAL)), ("text", 0.0)):
            by_share = {f"{share}": scores(examples, share, words) for share in TRIED}
            for share, one in compare(by_share, "0.0").items():
                low, high = interval(by_share[share] - by_share["0.0"])
                gain = f"{one.difference:+.4f} ({low:+.4f} to {high:+.4f}), p {one.p:.3f}"
                print(
                    f"{place:12} {len(examples)} queries, {system:5} share {share}: {one.mean:.4f} {gain}", flush=True
                )


def encoding(arguments: list[str]) -> None:
    services = build_services()
    encoder = services.encoder(services.settings.text_encoder)
    file, *mapping = arguments
    with open_catalogue(Path(file)) as catalogue:
        rows = catalogue.sample(PRODUCTS)
    fields = guess_fields(rows, ",".join(mapping))
    read = [(row, text) for row in rows if (text := documents.text_input(row, fields, encoder))]
    texts = [text for _, text in read]
    titles = [title for row, text in read if (title := documents.title_input(row, fields, encoder, "text", text))]
    took: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(ROUNDS):
        for name, inputs in (("without", texts), ("with", [*texts, *titles])):
            started = time.perf_counter()
            encoder.encode_texts(inputs)
            took[name].append((time.perf_counter() - started) * 1000 / len(texts))
    least = {name: min(times) for name, times in took.items()}
    print(f"{encoder.name}: {len(texts)} texts, {len(titles)} with a title of its own")
    if isinstance(encoder, MiniLM):
        tokens = [_tokens(encoder, inputs) / len(texts) for inputs in (texts, [*texts, *titles])]
        print("tokens a product: {:.1f} without, {:.1f} with".format(*tokens))
    print(
        {name: f"{ms:.3f} ms a product" for name, ms in least.items()}, f"{least['with'] / least['without']:.3f} times"
    )


def _tokens(encoder: MiniLM, texts: list[str]) -> int:
    return sum(len(encoding.ids) for encoding in encoder.model.tokenizer.encode_batch(texts))


def searching(arguments: list[str]) -> None:
    services = build_services()
    *indices, file = arguments
    queries = list(read_judgments(Path(file)).relevant)[:100]
    took = {index: np.full(len(queries), np.inf) for index in indices}
    for turn in range(ROUNDS):
        for row, query in enumerate(queries):
            for index in indices if turn % 2 else reversed(indices):
                started = time.perf_counter()
                services.searcher.search(SearchRequest(index=index, q=query))
                took[index][row] = min(took[index][row], (time.perf_counter() - started) * 1000)
    for index, times in took.items():
        print(f"{index}: p50 {np.median(times):.2f} ms, mean {times.mean():.2f} ms, {len(queries)} queries")


if __name__ == "__main__":
    {"quality": quality, "encoding": encoding, "searching": searching}[sys.argv[1]](sys.argv[2:])
