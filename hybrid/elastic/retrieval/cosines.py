"""True cosines of hits with a query's vectors: by their codes, or as they were computed a moment ago."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from cachetools import LRUCache

from hybrid import vectors as coding
from hybrid.contracts import IndexProfile
from hybrid.dropin.request import Cosines

#: Bounds what a version cannot tell, as in hybrid.elastic.retrieval.shown; a cosine is no price, so it may be older.
TTL_S = 60.0

#: By product id.
Known = Mapping[str, Cosines]


def of_hits(
    hits: Mapping[str, dict[str, Any]], profile: IndexProfile, name: str, vector: np.ndarray
) -> tuple[dict[str, float | None], dict[str, int]]:
    """(id -> cosine by the code of each hit, None where it has none; id -> number of the view that is nearest).

    What has several views is as near as the nearest of them, or as their mean where that is nearer.
    vector: (dims,) of length 1.
    """
    path, dims = f"hybrid.codes.{name}", profile.signals[name].dims
    query = vector.astype(np.float32)
    scores: dict[str, float | None] = dict.fromkeys(hits)
    codes = {id: hit["fields"][path] for id, hit in hits.items() if path in hit.get("fields", {})}
    whole = {id: next((code for code in held if not coding.is_view(code, dims)), None) for id, held in codes.items()}
    with_code = [id for id, code in whole.items() if code is not None]
    if with_code:
        matrix = coding.decode_codes([whole[id] or "" for id in with_code], dims)
        scores.update(zip(with_code, (matrix @ query).tolist(), strict=True))
    nearest: dict[str, int] = {}
    views = [(id, code) for id in with_code for code in codes[id] if len(codes[id]) > 1 and coding.is_view(code, dims)]
    if views:
        numbers, matrix = coding.decode_views([code for _, code in views], dims)
        best: dict[str, float] = {}
        for (id, _), number, cosine in zip(views, numbers.tolist(), (matrix @ query).tolist(), strict=True):
            if cosine > best.get(id, -2.0):
                best[id], nearest[id] = cosine, number
        scores.update({id: max(cosine, scores[id] or cosine) for id, cosine in best.items()})
    return scores, nearest


class KnownCosines:
    """Cosines of searches that were made a moment ago, so that the same search reads no codes again. Thread-safe.

    By the `candidates_key` of a search. A cosine is given again only for the very version of the product that it was
    computed with.
    """

    def __init__(
        self, most: int = 1_000, most_products: int = 500, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """most: searches that are remembered. most_products: of each, many times its candidates. clock: in seconds."""
        self._most_products, self._clock = most_products, clock
        self._searches: LRUCache[bytes, tuple[float, Known]] = LRUCache(most)
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Known:
        """What is known of a search; empty where it is nothing, or too old."""
        with self._lock:
            kept = self._searches.get(key)
        return kept[1] if kept is not None and self._clock() - kept[0] < TTL_S else {}

    def put(self, key: bytes, found: Known) -> None:
        """Remember what was computed by codes, beside what is known already."""
        now = self._clock()
        with self._lock:
            since, known = self._searches.get(key, (now, {}))
            if now - since >= TTL_S or len(known) + len(found) > self._most_products:
                since, known = now, {}
            self._searches[key] = (since, {**known, **found})
