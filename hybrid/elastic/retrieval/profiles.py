"""The profiles of the indices behind names, cached for some seconds, also of names that have left the layer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from elasticsearch import Elasticsearch

from hybrid.contracts import IndexProfile
from hybrid.elastic.indices.changes import Checkpoints
from hybrid.elastic.indices.lifecycle import Indices
from hybrid.errors import IndexConflictError

logger = logging.getLogger(__name__)

TTL_S = 5.0


class Profiles:
    """What searches know of the indices behind names. Thread-safe."""

    def __init__(self, client: Elasticsearch, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds that only go forward."""
        self._indices, self._checkpoints, self._clock = Indices(client), Checkpoints(client), clock
        self._cached: dict[str, tuple[float, IndexProfile]] = {}
        #: The last profile of the layer's own of each name. A name of them may move to an index without the layer.
        self._last: dict[str, IndexProfile] = {}
        self._lock = threading.Lock()

    def get(self, index: str) -> IndexProfile:
        """See hybrid.elastic.retrieval.candidates.Retrieval.profile."""
        with self._lock:
            cached = self._cached.get(index)
        if cached and self._clock() - cached[0] < TTL_S:
            return cached[1]
        try:
            profile = self._indices.read_profile(index)
        except IndexConflictError:
            replacement = self._stand_in(index)
            if replacement is None:
                raise
            logger.warning("%s", replacement.without_layer)
            profile = replacement
        with self._lock:
            self._cached[index] = (self._clock(), profile)
            if not profile.without_layer:
                self._last[index] = profile
        return profile

    def _stand_in(self, index: str) -> IndexProfile | None:
        with self._lock:
            before = self._last.get(index)
        if before is None and self._checkpoints.saved_at(index) is None:
            return None
        return self._indices.stand_in(index, before)

    def served(self) -> frozenset[str]:
        """Every name that searches may use; see hybrid.elastic.indices.lifecycle.Indices.served.

        The names that the layer served before are those of its checkpoints, and those that this process has searched.
        """
        with self._lock:
            before = set(self._last)
        return self._indices.served(before.union(self._checkpoints.names()))

    def forget(self) -> None:
        """Drop what is cached."""
        with self._lock:
            self._cached.clear()

    def moved(self, profile: IndexProfile) -> bool:
        """See hybrid.elastic.retrieval.candidates.Retrieval.moved."""
        if not profile.concrete or self._indices.behind(profile.index) == {profile.concrete}:
            return False
        self.drop(profile)
        return True

    def superseded(self, profile: IndexProfile) -> bool:
        """See hybrid.elastic.retrieval.candidates.Retrieval.superseded."""
        with self._lock:
            cached = self._cached.get(profile.index)
        return cached is None or cached[1].concrete != profile.concrete

    def drop(self, profile: IndexProfile) -> None:
        """Drop the cached profile of a name, unless another search has read a newer one."""
        with self._lock:
            cached = self._cached.get(profile.index)
            if cached and cached[1].concrete == profile.concrete:
                del self._cached[profile.index]
