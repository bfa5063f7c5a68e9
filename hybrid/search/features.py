"""The features of a query, known before the search: the input of learned weights. Numpy alone, microseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hybrid.text import analysis
from hybrid.text.vocabulary import BRAND, CATEGORY, Vocabulary

#: Length of the projection of the query's vector.
MEANING = 4

FEATURES = (
    "several words", "number of words", "letters a word", "has digits", "looks like a part number",
    "words of speech", "Chinese", "not Latin", "unknown words", "rarest word", "commonest word",
    "words in titles", "names a category", "names a brand", "only category and brand", "has a photo",
    *(f"meaning {number}" for number in range(1, MEANING + 1)),
)  # fmt: skip

#: Function words of spoken questions: they mark a sentence, where a shopper's keywords have none.
_SPEECH = frozenset(
    """a an and are as at be but by can do for from get give have how i if in is it its keep like me my need not of on
    or our something stop than that the their them these they this to want we what when where which while who will
    with without you your""".split()  # noqa: SIM905
)
_SPEECH_HAN = frozenset("的了吗么怎我你在是什能要不给和")


def query_features(
    text: str,
    terms: str,
    vocabulary: Vocabulary,
    has_photo: bool = False,
    meaning: Sequence[float] | np.ndarray = (),
) -> np.ndarray:
    """(len(FEATURES),) float64. terms: the analysed query; meaning: the query's vector, projected to MEANING numbers.

    Rarities are logs of the share of products with the word, from 0 (all) down to -1 (none).
    """
    words = text.split()
    query_terms = terms.split()
    known = [vocabulary.terms.get(term) for term in query_terms]
    counts = [entry[0] if entry else 0 for entry in known]
    floor = np.log1p(vocabulary.products) or 1.0
    rarity = [np.log1p(count) / floor - 1.0 for count in counts]
    title_share = [entry[1] / entry[0] if entry else 0.0 for entry in known]
    flags = [entry[2] if entry else 0 for entry in known]
    latin = [word.strip(".,!?'\"").lower() for word in words]
    characters = sum(map(len, words))
    han = sum(1 for char in text if "\u3400" <= char <= "\u9fff")
    speech = sum(word in _SPEECH for word in latin) + sum(char in _SPEECH_HAN for char in text)
    values = [
        float(len(query_terms) > 1),
        np.log1p(len(query_terms)),
        np.log1p(characters / max(1, len(words))),
        float(any(char.isdigit() for char in text)),
        float(any(_is_part_number(word) for word in words)),
        speech / max(1, len(words) + han / 2),
        float(analysis.is_chinese(text)),
        float(analysis.script_of(text) not in ("", "Latin")),
        sum(count == 0 for count in counts) / max(1, len(counts)),
        min(rarity, default=0.0),
        max(rarity, default=0.0),
        sum(title_share) / max(1, len(title_share)),
        float(any(flag & CATEGORY for flag in flags)),
        float(any(flag & BRAND for flag in flags)),
        float(bool(flags) and all(flag & (CATEGORY | BRAND) for flag in flags)),
        float(has_photo),
    ]
    tail = np.zeros(MEANING)
    tail[: len(meaning)] = meaning
    return np.concatenate([np.array(values, dtype=float), tail])


def describe(values: np.ndarray) -> dict[str, Any]:
    """Feature values by name, rounded for people."""
    return {name: round(float(value), 3) for name, value in zip(FEATURES, values, strict=True)}


def _is_part_number(word: str) -> bool:
    return (
        len(word) >= 4
        and any(char.isdigit() for char in word)
        and sum(char.isdigit() for char in word) * 3 >= len(word)
    )
