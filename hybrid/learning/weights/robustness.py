"""`hybrid bench weights`: what learned weights are worth when judgments are few, and when vectors are bad."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hybrid.elastic.indices.own import TRIAL
from hybrid.evaluation.judgments import Judgments
from hybrid.learning.weights import selection, validation
from hybrid.learning.weights.examples import Example, Table
from hybrid.learning.weights.fit import Options, fixed_bias
from hybrid.learning.weights.kinds import up_to
from hybrid.services import Services
from hybrid.text.vocabulary import Vocabulary

_VECTORS = ("text", "image")


def measure(
    services: Services,
    index: str,
    judgments: Judgments,
    kind: str = "kinds",
    folds: int = 5,
    repeats: int = 2,
    synthetic: int = 600,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[str, Any]:
    """Held-out nDCG@10 with all, 40, 20 and no judgments; with vectors shuffled among products, and 30 % removed.

    shuffled: training and search both take shuffled scores of the candidates, as from an index whose vectors are wrong;
    only queries that have words count. shuffled_chosen: what training would choose then, against `fixed`. removed: the
    model is trained with all vectors and searches without 30 % of them, in a copy of the index that is deleted again.
    """
    vocabulary = Vocabulary.count(services.cluster.products.iterate_terms(index))
    examples = validation.collect(services, index, judgments, synthetic, seed, progress)
    options = Options()
    material = validation.prepare(examples, vocabulary)
    result: dict[str, Any] = {"index": index, "kind": kind, "judged": len(material.judged), "synthetic": synthetic}

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
    worded = validation.has_words(material, material.judged)
    if worded.any():
        kinds = up_to(kind)
        turns = list(selection.folds_of(shuffled.judged, folds, repeats, seed))
        found = selection.cross_validated([validation.candidate(one, shuffled, options) for one in kinds], turns, seed)
        fixed = shuffled.basis.model("global", fixed_bias(shuffled.basis.signals))
        before = [validation.predict(fixed, shuffled, turn.held_out) for turn in turns]
        scores = {"fixed": before, **{name: one.scores for name, one in found.items()}}
        result["shuffled_chosen"], _ = selection.climb("fixed", kinds, scores, turns)
        mixed = validation.turn_mixtures(found[kind], turns, shuffled, shuffled.judged)
        mine = np.mean([validation.score(one, shuffled, shuffled.judged) for one in mixed], 0)[worded].mean()
        plain = validation.alone("lexical", material, material.judged)[worded].mean()
        result["shuffled"] = round(float(mine), 4)
        result["shuffled_of_bm25"] = round(float(mine / plain), 4)
    poorer = {example.name: example for example in _without(services, index, judgments, 0.3, seed, progress)}
    losses = []
    for turn in full:
        for row, one in zip(material.judged, turn, strict=True):
            example = poorer.get(material.surfaces.examples[row].name)
            # A query that finds nothing without these vectors has no example, and scores 0.
            table = Table(example, material.basis.scaling, one.shares) if example else None
            losses.append(table.ndcg(one.weights[None])[0] if table else 0.0)
    result["removed_30_percent"] = round(float(np.mean(losses)), 4)
    result["removed_of_full"] = round(float(np.mean(losses)) / result["full"], 4)
    return result


def _shuffled(example: Example, rng: np.random.Generator) -> Example:
    raw = {name: dict(scores) for name, scores in example.raw.items()}
    for name in raw:
        if name.partition(".")[0] in _VECTORS:
            ids = list(raw[name])
            raw[name] = dict(zip(ids, [raw[name][ids[at]] for at in rng.permutation(len(ids))], strict=True))
    return replace(example, raw=raw)


def _without(
    services: Services,
    index: str,
    judgments: Judgments,
    share: float,
    seed: int,
    progress: validation.Progress,
) -> list[Example]:
    """The judged queries asked of a copy of the index that lost this share of its vectors, each by chance."""
    rng = np.random.default_rng(seed)
    poorer = f"{TRIAL}{uuid.uuid4().hex[:12]}"
    profile = services.searcher.profile(index)
    base64_vectors = services.cluster.capabilities.base64_vectors
    try:
        services.cluster.indices.copy_without(profile, poorer, lambda id, name: rng.random() < share, base64_vectors)
        return validation.collect(services, poorer, judgments, 0, seed, progress)
    finally:
        services.cluster.indices.delete(poorer)
