"""`hybrid bench weights`: what learned weights are worth when judgments are few, and when vectors are bad."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hybrid.elastic import products
from hybrid.features import Vocabulary
from hybrid.judgments import Judgments
from hybrid.learning import validation
from hybrid.learning.examples import Example, Table
from hybrid.learning.fit import Options
from hybrid.wiring import Services

_VECTORS = ("text", "image")


def measure(
    services: Services,
    index: str,
    judgments: Judgments,
    kind: str = "gate",
    folds: int = 5,
    repeats: int = 2,
    made_up: int = 600,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[str, Any]:
    """Held-out nDCG@10 with all, 40, 20 and no judgments; with vectors shuffled among products, and 30 % removed.

    Broken vectors are broken in the candidates' scores. shuffled: trained and searched with them, as an index whose
    vectors are wrong would be, over the queries that have words. removed: trained before they were lost, searched
    after.
    """
    vocabulary = Vocabulary.count(products.iterate_terms(services.client, index))
    examples = validation.collect(services, index, judgments, made_up, seed, progress)
    options = Options()
    material = validation.prepare(examples, vocabulary)
    result: dict[str, Any] = {"index": index, "kind": kind, "judged": len(material.judged), "made_up": made_up}

    def held_out(material: validation.Material, limit: int | None = None) -> list[validation.Mixtures]:
        return validation.cross_validate([kind], material, options, folds, repeats, seed, limit=limit)[kind]

    def mean(turns: list[validation.Mixtures], material: validation.Material) -> float:
        return float(np.mean([validation.score(mixed, material, material.judged) for mixed in turns]))

    words = validation.alone("lexical", material, material.judged).mean()
    result["bm25"] = round(float(words), 4)
    full = held_out(material)
    result["full"] = round(mean(full, material), 4)
    for limit in (40, 20, 0):
        figure = mean(held_out(material, limit), material)
        result[f"judged_{limit}"] = round(figure, 4)
        result[f"judged_{limit}_of_full"] = round(figure / result["full"], 4)
        progress("fewer judgments", 40 - limit, 40)
    rng = np.random.default_rng(seed)
    shuffled = validation.prepare([_shuffled(example, rng) for example in examples], vocabulary)
    # A photo alone has no words to fall back to, and so no BM25 to be compared with.
    worded = np.array(["lexical" in material.surfaces.examples[row].signals for row in material.judged])
    if worded.any():
        broken = [validation.score(mixed, shuffled, shuffled.judged)[worded].mean() for mixed in held_out(shuffled)]
        plain = validation.alone("lexical", material, material.judged)[worded].mean()
        result["shuffled"] = round(float(np.mean(broken)), 4)
        result["shuffled_of_bm25"] = round(float(np.mean(broken) / plain), 4)
    losses = []
    for mixed in full:
        for row, weights in zip(material.judged, mixed, strict=True):
            table = Table(_removed(examples[row], 0.3, rng), material.basis.scaling)
            losses.append(table.ndcg(weights[None].copy())[0])
    result["removed_30_percent"] = round(float(np.mean(losses)), 4)
    result["removed_of_full"] = round(float(np.mean(losses)) / result["full"], 4)
    return result


def _shuffled(example: Example, rng: np.random.Generator) -> Example:
    raw = {name: dict(scores) for name, scores in example.raw.items()}
    for name in _VECTORS:
        if name in raw:
            ids = list(raw[name])
            raw[name] = dict(zip(ids, [raw[name][ids[at]] for at in rng.permutation(len(ids))], strict=True))
    return replace(example, raw=raw)


def _removed(example: Example, share: float, rng: np.random.Generator) -> Example:
    raw = {name: dict(scores) for name, scores in example.raw.items()}
    for name in _VECTORS:
        for id in raw.get(name, {}):
            if rng.random() < share:
                raw[name][id] = None
    return replace(example, raw=raw)
