"""True cosines of hits with a query's vectors: computed from the hits' codes, or cached from an equal search."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from cachetools import LRUCache

from hybrid import vectors as coding
from hybrid.contracts import IndexProfile
from hybrid.dropin.request import Cosines

#: Bounds the age of what a version cannot tell, as in hybrid.elastic.retrieval.hit_cache. A cosine may be older than a
#: price may be.
TTL_S = 60.0

#: Product id -> its cosines.
Known = Mapping[str, Cosines]


def of_hits(
    hits: Mapping[str, dict[str, Any]], profile: IndexProfile, name: str, vector: np.ndarray
) -> tuple[dict[str, float | None], dict[str, int]]:
    """(id -> cosine by the code of each hit, None where a hit has no code; id -> number of the nearest view).

    The cosine of a product with several views is that of its nearest view, or of the views' mean where that is nearer.
    vector: (dims,) of length 1.
    """
    codes, dims = _codes(hits, name, profile), profile.signals[name].dims
    query = vector.astype(np.float32)
    scores: dict[str, float | None] = dict.fromkeys(hits)
    if codes.whole:
        matrix = coding.decode_codes(list(codes.whole.values()), dims)
        scores.update(zip(codes.whole, (matrix @ query).tolist(), strict=True))
    nearest: dict[str, int] = {}
    views = [(id, code) for id, code in codes.views if id in codes.whole]
    if views:
        numbers, matrix = coding.decode_views([code for _, code in views], dims)
        best: dict[str, float] = {}
        for (id, _), number, cosine in zip(views, numbers.tolist(), (matrix @ query).tolist(), strict=True):
            if cosine > best.get(id, -2.0):
                best[id], nearest[id] = cosine, number
        scores.update({id: max(cosine, scores[id] or cosine) for id, cosine in best.items()})
    return scores, nearest


def of_titles(
    hits: Mapping[str, dict[str, Any]],
    profile: IndexProfile,
    name: str,
    vector: np.ndarray,
    of_all_text: Mapping[str, float | None],
) -> dict[str, float | None]:
    """id -> cosine of the title of each hit. of_all_text: as `of_hits` gives it.

    Where the text of a product is its title alone, its vector is that of the title: only one of them is stored.
    """
    titles = _codes(hits, name, profile).titles
    cosines = dict(of_all_text)
    if titles:
        matrix = coding.decode_titles(list(titles.values()), profile.signals[name].dims)
        cosines.update(zip(titles, (matrix @ vector.astype(np.float32)).tolist(), strict=True))
    return cosines


class _Codes(NamedTuple):
    """The codes of hits by what they are of. views: (id, code) of each."""

    whole: dict[str, str]
    views: list[tuple[str, str]]
    titles: dict[str, str]


def _codes(hits: Mapping[str, dict[str, Any]], name: str, profile: IndexProfile) -> _Codes:
    path, dims = f"hybrid.codes.{name}", profile.signals[name].dims
    codes = _Codes({}, [], {})
    for id, hit in hits.items():
        for code in hit.get("fields", {}).get(path, ()):
            kind = coding.kind(code, dims)
            if kind == "whole":
                codes.whole[id] = code
            elif kind == "title":
                codes.titles[id] = code
            elif kind == "view":
                codes.views.append((id, code))
    return codes


class KnownCosines:
    """A cache of the cosines of recent searches, so that an equal search reads no codes again. Thread-safe.

    The key is the `candidates_key` of a search. A caller uses a cosine again only for the version of the product that
    the cosine was computed with.
    """

    def __init__(
        self, most: int = 1_000, most_products: int = 500, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """most: searches in the cache. most_products: of each search, many times its candidates. clock: in seconds."""
        self._most_products, self._clock = most_products, clock
        self._searches: LRUCache[bytes, tuple[float, Known]] = LRUCache(most)
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Known:
        """The cached cosines of a search; empty where there are none, or they are too old."""
        with self._lock:
            cached = self._searches.get(key)
        return cached[1] if cached is not None and self._clock() - cached[0] < TTL_S else {}

    def put(self, key: bytes, computed: Known) -> None:
        """Add cosines that were computed from codes to those in the cache."""
        now = self._clock()
        with self._lock:
            since, known = self._searches.get(key, (now, {}))
            if now - since >= TTL_S or len(known) + len(computed) > self._most_products:
                since, known = now, {}
            self._searches[key] = (since, {**known, **computed})
