"""Imputed scores: a product without a vector has the scores of the products most like it in words. Pure functions.

The scores of one signal are smoothed over the products that have them, by the likeness of their words (kernel
regression: Nadaraya, 1964; Watson, 1964). So a product whose picture was never taken ranks with products of its kind,
neither below nor above them, and needs no vector of its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

#: Products that others' scores are imputed from. Half of them are the best; the rest are spread over the whole list,
#: because a product that is like no good one must score low. More donors change nothing on the sample catalogue and on
#: chorus; 60 lose a little.
DONORS = 100
#: With fewer donors nothing is imputed: then a product is scored on the signals that it has.
_FEWEST = 5
#: The step of likeness, a cosine, over which a donor counts e times less; and the most donors of one product.
_STEP, _NEAREST = 0.1, 20
#: How many of the best donors lend their words to find products like them, and how many words.
_BEST, _WORDS = 10, 25


def donors(scores: Mapping[str, float | None]) -> list[str]:
    """Ids of the products that others' scores are imputed from, best first; none where too few have a score."""
    known = sorted(
        ((score, id) for id, score in scores.items() if score is not None), key=lambda item: (-item[0], item[1])
    )
    if len(known) < _FEWEST:
        return []
    best = min(DONORS // 2, len(known))
    spread = (
        np.unique(np.linspace(best, len(known) - 1, DONORS - best).astype(int)).tolist() if best < len(known) else []
    )
    return [known[at][1] for at in [*range(best), *spread]]


def telling_words(donors: Sequence[str], words: Mapping[str, frozenset[str]]) -> list[str]:
    """Words that the best donors share and the other donors lack, the most distinctive first."""
    everywhere = Counter(word for id in donors for word in words.get(id, ()))
    best = Counter(word for id in donors[:_BEST] for word in words.get(id, ()))
    worth = {word: count * _rarity(len(donors), everywhere[word]) for word, count in best.items()}
    return sorted(worth, key=lambda word: (-worth[word], word))[:_WORDS]


def estimate(
    scores: Mapping[str, float | None],
    donors: Sequence[str],
    words: Mapping[str, frozenset[str]],
    missing: Iterable[str],
) -> dict[str, float]:
    """Id -> score in the signal's own unit, of those `missing` products whose words are known.

    scores: of the signal, by id; words: id -> the product's analysed words, of donors and of missing products.
    """
    known_donors = [id for id in donors if words.get(id)]
    estimated = [id for id in missing if words.get(id)]
    if len(known_donors) < _FEWEST or not estimated:
        return {}
    counts = Counter(word for id in [*known_donors, *estimated] for word in words[id])
    column = {word: at for at, word in enumerate(counts)}
    total = len(known_donors) + len(estimated)
    rarity = np.array([_rarity(total, count) for count in counts.values()])
    table = np.zeros((total, len(column)), dtype=np.float32)
    for row, id in enumerate([*known_donors, *estimated]):
        at = [column[word] for word in words[id]]
        table[row, at] = rarity[at]
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    likeness = table[len(known_donors) :] @ table[: len(known_donors)].T
    known = np.array([scores[id] for id in known_donors], dtype=float)
    estimates = {}
    for id, row in zip(estimated, likeness, strict=True):
        # Of donors that are equally like, the lower score first: a product that is like none must score low.
        nearest = np.lexsort((known, -row.round(6)))[:_NEAREST]
        share = np.exp((row[nearest] - row[nearest[0]]) / _STEP)
        estimates[id] = float(share @ known[nearest] / share.sum())
    return estimates


def _rarity(total: int, count: int) -> float:
    return math.log(1 + total / count)
