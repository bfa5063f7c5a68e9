"""How many products have a word, remembered for some minutes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hybrid.contracts import IndexProfile
from hybrid.elastic.client import error_reason
from hybrid.elastic.retrieval.bodies import lexical_query
from hybrid.errors import ClusterError

#: Shares of a catalogue change slowly.
_TTL_S = 600.0
_MOST = 20_000
#: Takes a body and gives its answer.
Ask = Callable[[Mapping[str, Any]], dict[str, Any]]


class Counts:
    """The numbers of products that have words, at most ten minutes old. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str, str], tuple[float, int, int]] = {}
        self._lock = threading.Lock()

    def of(self, profile: IndexProfile, words: Sequence[str], ask: Ask) -> tuple[int, dict[str, int]]:
        """(products of the index, word -> how many have it). One search where a word is not known.

        Raises:
            ClusterError: the cluster could not count.
        """
        keys = {word: (profile.index, profile.concrete, word) for word in words}
        oldest = self._clock() - _TTL_S
        with self._lock:
            known = {word: found for word, key in keys.items() if (found := self._known.get(key)) and found[0] > oldest}
        unknown = [word for word in words if word not in known]
        if unknown:
            asked = {str(at): lexical_query(word, profile.lexical_fields) for at, word in enumerate(unknown)}
            # One hit, which says which index was counted.
            answer = ask({
                "size": 1, "_source": False, "track_total_hits": True,
                "aggs": {"words": {"filters": {"filters": asked}}},
            })  # fmt: skip
            if "error" in answer:
                raise ClusterError(f"Elasticsearch could not count words: {error_reason(answer)[1]}")
            total, buckets = int(answer["hits"]["total"]["value"]), answer["aggregations"]["words"]["buckets"]
            now = self._clock()
            known |= {word: (now, total, int(buckets[str(at)]["doc_count"])) for at, word in enumerate(unknown)}
            with self._lock:
                self._known |= {keys[word]: known[word] for word in unknown}
                while len(self._known) > _MOST:
                    self._known.pop(next(iter(self._known)))
        products = max((found[1] for found in known.values()), default=0)
        return products, {word: min(found[2], products) for word, found in known.items()}

    def forget(self) -> None:
        """Drop what is remembered."""
        with self._lock:
            self._known.clear()
