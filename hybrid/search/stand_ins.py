"""What a product without a vector would score: what products most like it in words do. Pure functions.

The scores of one signal are smoothed over the products that have them, by the likeness of their words (kernel
regression: Nadaraya, 1964; Watson, 1964), so that a product whose picture was never taken ranks with its kind: it is
neither punished nor given anything, and needs no vector of its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

#: Products whose scores stand in for others: half of them the best, the rest spread over the whole list, for what is
#: like no good one must come out low. More change nothing on the sample catalogue and on chorus; 60 lose a little.
DONORS = 100
#: Fewer say too little: then a product is scored on the signals that it has.
_FEWEST = 5
#: Likeness, a cosine, counts e times less for each step of this; of no more products than that.
_STEP, _NEAREST = 0.1, 20
#: Of the best donors, whose words find products like them.
_BEST, _WORDS = 10, 25


def donors(scores: Mapping[str, float | None]) -> list[str]:
    """Ids of the products whose scores stand in for others, best first; none where too few have one."""
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
    """Words that the best donors share and the others lack, most telling first."""
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
    given = [id for id in donors if words.get(id)]
    wanted = [id for id in missing if words.get(id)]
    if len(given) < _FEWEST or not wanted:
        return {}
    counts = Counter(word for id in [*given, *wanted] for word in words[id])
    column = {word: at for at, word in enumerate(counts)}
    total = len(given) + len(wanted)
    rarity = np.array([_rarity(total, count) for count in counts.values()])
    table = np.zeros((total, len(column)), dtype=np.float32)
    for row, id in enumerate([*given, *wanted]):
        at = [column[word] for word in words[id]]
        table[row, at] = rarity[at]
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    likeness = table[len(given) :] @ table[: len(given)].T
    known = np.array([scores[id] for id in given], dtype=float)
    found = {}
    for id, row in zip(wanted, likeness, strict=True):
        # Of what is as like, the lower score first: a product that is like none must come out low.
        nearest = np.lexsort((known, -row.round(6)))[:_NEAREST]
        share = np.exp((row[nearest] - row[nearest[0]]) / _STEP)
        found[id] = float(share @ known[nearest] / share.sum())
    return found


def _rarity(total: int, count: int) -> float:
    return math.log(1 + total / count)
