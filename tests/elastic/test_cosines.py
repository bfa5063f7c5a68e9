"""Cosines that are remembered of one search for the same one a moment later."""

from __future__ import annotations

import dataclasses

import numpy as np

from hybrid.contracts import FieldMap, IndexProfile, VectorSignal
from hybrid.dropin.request import Cosines, Version, candidates_key
from hybrid.elastic.retrieval.cosines import TTL_S, KnownCosines
from hybrid.testing import FakeClock

PROFILE = IndexProfile(
    "shop", FieldMap({}), {"text": VectorSignal("toy:4", "toy-1", 4)}, "en", "", concrete="shop-000001"
)
VECTORS = {"text": np.array([1.0, 0.0, 0.0, 0.0], dtype=np.float32)}
SEARCH = [{"match": {"title": "lamp"}}, "lamp"]
FOUND = {
    "p1": Cosines(Version("shop-000001", 4, 1), {"text": 0.5}),
    "p2": Cosines(Version("shop-000001", 5, 1), {"text": None}),
}


def test_what_decides_a_cosine_decides_the_key() -> None:
    key = candidates_key(PROFILE, SEARCH, VECTORS)
    assert key == candidates_key(PROFILE, list(SEARCH), {"text": VECTORS["text"].copy()})
    other = dataclasses.replace(PROFILE.signals["text"], version="toy-2")
    keys = {
        key,
        candidates_key(PROFILE, [{"match": {"title": "lamps"}}, "lamp"], VECTORS),
        candidates_key(PROFILE, SEARCH, {"text": -VECTORS["text"]}),
        candidates_key(dataclasses.replace(PROFILE, concrete="shop-000002"), SEARCH, VECTORS),
        candidates_key(dataclasses.replace(PROFILE, signals={"text": other}), SEARCH, VECTORS),
    }
    assert len(keys) == 5


def test_what_is_found_later_is_remembered_beside_it_and_forgotten_with_it() -> None:
    clock = FakeClock()
    known = KnownCosines(clock=clock)
    known.put(b"1", FOUND)
    clock.advance(TTL_S / 2)
    more = {"p3": Cosines(Version("shop-000001", 6, 1), {"text": 0.1})}
    known.put(b"1", more)
    assert known.get(b"1") == {**FOUND, **more}
    clock.advance(TTL_S / 2)
    assert known.get(b"1") == {}  # the first of them are as old as they may be
    known.put(b"1", more)
    assert known.get(b"1") == more


def test_memory_is_bounded() -> None:
    known = KnownCosines(most=2, most_products=2)
    for key in (b"1", b"2", b"3"):
        known.put(key, FOUND)
    assert [bool(known.get(key)) for key in (b"1", b"2", b"3")] == [False, True, True]
    more = {"p3": Cosines(Version("shop-000001", 6, 1), {"text": 0.1})}
    known.put(b"3", more)
    assert known.get(b"3") == more
