"""The vocabularies that searches read, kept in the process and renewed in the background."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from elasticsearch import Elasticsearch

from hybrid.elastic.indices.products import BUILDING
from hybrid.elastic.stores.vocabularies import VocabularyStore
from hybrid.errors import HybridError
from hybrid.text.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

_GENERATION = re.compile(rf"-\d{{6}}(?:{re.escape(BUILDING)})?$")

#: Seconds until a search has the process look for a newer vocabulary.
TTL_S = 10.0
#: The same where there was none, as before the first run has ended.
NONE_TTL_S = 1.0


@dataclass
class _Kept:
    looked: float
    at: str = ""
    vocabulary: Vocabulary | None = None
    looking: bool = False


class Vocabularies:
    """The vocabulary of each index that is searched. Thread-safe.

    The first search of an index reads its vocabulary, which takes some tens of milliseconds; searches at the same
    moment go without. Later a thread of its own looks for a newer one, and no search waits. A generation of an index
    that has no words of its own yet has those of the index.
    """

    def __init__(self, client: Elasticsearch, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds that only go forward."""
        self._store, self._clock = VocabularyStore(client), clock
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def get(self, index: str) -> Vocabulary | None:
        """What is known of an index's words; None where nothing is known yet."""
        known, alias = self._get(index), _GENERATION.sub("", index)
        return known if known or alias == index else self._get(alias)

    def _get(self, index: str) -> Vocabulary | None:
        with self._lock:
            kept = self._kept.get(index)
            if kept is None:
                kept = self._kept[index] = _Kept(self._clock())
            elif kept.looking or self._clock() - kept.looked < (TTL_S if kept.vocabulary else NONE_TTL_S):
                return kept.vocabulary
            first = kept.vocabulary is None
            kept.looking = True
        if first:
            self._look(index, kept)
        else:
            threading.Thread(target=self._look, args=(index, kept), name="vocabulary", daemon=True).start()
        return kept.vocabulary

    def forget(self) -> None:
        """Drop what is cached."""
        with self._lock:
            self._kept.clear()

    def _look(self, index: str, kept: _Kept) -> None:
        try:
            if not kept.at or self._store.at(index) != kept.at:
                kept.at, kept.vocabulary = self._store.load(index)
        except (HybridError, ValueError) as error:  # a search does without
            logger.warning("the words of %s could not be read: %s", index, error)
        finally:
            kept.looked, kept.looking = self._clock(), False
