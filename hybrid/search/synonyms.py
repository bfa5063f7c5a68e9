"""Synonyms of an index as searches use them: read every few seconds, and weighed by how rare they are."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from hybrid.contracts import IndexProfile
from hybrid.errors import HybridError
from hybrid.search.ports import RetrievalLike
from hybrid.searches import Alternative, Understood, Words
from hybrid.text import analysis
from hybrid.text.synonyms import Place, Synonyms, parse

logger = logging.getLogger(__name__)

#: What a synonym counts beside the words that were typed.
WEIGHT = 0.8


class StoreLike(Protocol):
    """See hybrid.elastic.stores.synonyms.SynonymFiles."""

    def current(self, index: str) -> tuple[int, str]: ...


class PublishedSynonyms:
    """The synonyms of each index, as this process knows them. Thread-safe.

    The file is looked up every three seconds, so that a new one needs no restart. Where it cannot be read, the last one
    stays in force.
    """

    TTL_S = 3.0

    def __init__(self, store: StoreLike, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds that only go forward."""
        self._store, self._clock = store, clock
        self._known: dict[str, tuple[float, int, tuple[str, ...], Synonyms]] = {}
        self._lock = threading.Lock()

    def of(self, profile: IndexProfile) -> Synonyms:
        """The synonyms for the index of a profile; the same object while they are the same."""
        index, languages = profile.index, profile.languages
        with self._lock:
            known = self._known.get(index)
        if known and self._clock() - known[0] < self.TTL_S and known[2] == languages:
            return known[3]
        version, synonyms = (known[1], known[3]) if known else (0, Synonyms())
        with self._lock:  # making thousands of rules ready takes a second: one search waits for it, the others do not
            self._known[index] = (self._clock(), version, languages, synonyms)
        try:
            current, text = self._store.current(index)
            if known is None or (current, languages) != (known[1], known[2]):
                version, synonyms = current, Synonyms(parse(text), *languages)
        except HybridError as error:
            logger.warning("the synonyms of %s cannot be read; those of before count: %s", index, error)
        with self._lock:
            self._known[index] = (self._clock(), version, languages, synonyms)
        return synonyms


def beside(
    words: Words, query: str, profile: IndexProfile, synonyms: Synonyms, retrieval: RetrievalLike
) -> tuple[Words, list[Understood]]:
    """The words of a query with their synonyms, and what these are.

    A synonym counts `WEIGHT` of what was typed, and less where it is rarer than that: a rare word has a high BM25, and
    would come before the typed one.
    """
    if not (synonyms and words.terms):
        return words, []
    placed: list[tuple[Place, str, list[str]]] = []
    for place in synonyms.places(query):
        of = _looked_for(place.text, profile)
        if of and (profile.lexical_fields or f" {of} " in f" {words.terms} "):
            others = dict.fromkeys(_looked_for(other, profile) for other in place.others)
            placed.append((place, of, [other for other in others if other and other != of]))
    if not placed:
        return words, []
    rarities = _rarities(retrieval, profile, {text for _, of, others in placed for text in (of, *others)})
    alternatives = [
        Alternative(other, round(WEIGHT * min(1.0, rarities[of] / rarities[other]), 3), of)
        for _, of, others in placed
        for other in others
    ]
    return words.beside(alternatives), [
        Understood("synonym", place.text, others=place.others) for place, _, _ in placed
    ]


def _looked_for(text: str, profile: IndexProfile) -> str:
    return text if profile.lexical_fields else analysis.query_terms(text, *profile.languages)


def _rarities(retrieval: RetrievalLike, profile: IndexProfile, texts: set[str]) -> Mapping[str, float]:
    """Text -> the sum of its words' inverse document frequencies, as BM25 has them; all 1 where they are not known."""
    vocabulary = retrieval.vocabulary(profile)
    if vocabulary is None or not vocabulary.products:
        return dict.fromkeys(texts, 1.0)
    return {text: sum(vocabulary.worth(word)[0] for word in text.split()) for text in texts}
