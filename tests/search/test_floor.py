"""The relevance floor: what no word finds, and no vector is near to, is not found."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from hybrid.catalogue.documents import role_values
from hybrid.facts import Note
from hybrid.search import floor, nonsense
from hybrid.search.ports import Limits, Retrieved
from hybrid.search.searcher import Searcher
from hybrid.searches import SearchRequest
from hybrid.testing import MemoryRetrieval
from tests.conftest import Sample

MUGS = [
    {"id": "p1", "title": "red mug", "brand": "Aurora"},
    {"id": "p2", "title": "blue mug", "brand": "Casa"},
    {"id": "p3", "title": "lamp", "brand": "Casa"},
]
NEAR = {"text": {"p1": 0.5, "p2": 0.45, "p3": 0.3}}


def searcher(**options: Any) -> Searcher:
    shop = MemoryRetrieval(MUGS, **{"scores": NEAR, "floors": {"text": 0.4}, **options})
    return Searcher(shop, shop.encoder, depth=10)


def test_what_no_word_finds_must_be_near() -> None:
    answer = searcher().search(SearchRequest("shop", q="beaker", facets=("brand",)))
    assert [hit.id for hit in answer.hits] == ["p1", "p2"]
    assert answer.total == 2
    assert answer.facets["brand"] == [{"value": "Aurora", "count": 1}, {"value": "Casa", "count": 1}]
    assert Note("below_floor", "text", value=0.4) in answer.notes
    nothing = searcher(floors={"text": 0.51}).search(SearchRequest("shop", q="asdfghjkl", facets=("brand",)))
    assert (nothing.total, nothing.hits, nothing.facets["brand"]) == (0, [], [])


def test_where_a_word_matches_vectors_bring_what_they_find() -> None:
    answer = searcher(floors={"text": 0.9}).search(SearchRequest("shop", q="lamp"))
    assert answer.total == 3
    assert not [note for note in answer.notes if note.kind == "below_floor"]


def test_without_a_floor_and_with_that_of_another_encoder_nothing_is_left_out() -> None:
    assert searcher(floors={}).search(SearchRequest("shop", q="beaker")).total == 3
    shop = MemoryRetrieval(MUGS, scores=NEAR, floors={"text": 0.9})
    profile = shop.profile("shop")
    of_another = {"text": type(profile.floors["text"])("another@1", {floor.LATIN: 0.9})}
    object.__setattr__(profile, "floors", of_another)
    assert Searcher(shop, shop.encoder, depth=10).search(SearchRequest("shop", q="beaker")).total == 3


def test_a_floor_is_of_words_alone() -> None:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(picture, "PNG")
    with_photos = searcher(scores={**NEAR, "image": NEAR["text"]}, floors={"text": 0.9, "image": 0.9})
    assert with_photos.search(SearchRequest("shop", image=picture.getvalue())).total == 3
    assert with_photos.search(SearchRequest("shop", q="beaker", image=picture.getvalue())).total == 3
    # Vectors alone: nobody knows whether a word matches.
    assert with_photos.search(SearchRequest("shop", q="beaker", system="text")).total == 3
    assert searcher(scores={}, floors={"text": 0.99}).search(SearchRequest("shop", like="p1")).total == 2


def test_what_is_half_as_near_as_the_best_is_no_like_of_a_full_title() -> None:
    title = "red mug with handle of glazed stoneware"
    shop = searcher(scores={"text": {"p1": 0.9, "p2": 0.46, "p3": 0.44}, "lexical": {"p1": 2.0}}, floors={})
    answer = shop.search(SearchRequest("shop", q=title))
    assert [hit.id for hit in answer.hits] == ["p1", "p2"]
    assert answer.total == 2
    assert shop.search(SearchRequest("shop", q="red mug")).total == 3


@pytest.mark.parametrize("query", ["...", "???", "-", "_ & %"])
def test_marks_alone_find_nothing(query: str) -> None:
    answer = searcher(floors={}).search(SearchRequest("shop", q=query))
    assert (answer.total, answer.hits) == (0, [])


def test_a_floor_lies_above_nearly_all_nonsense() -> None:
    assert floor.calibrated([0.3] * 15 + [0.4] * 15) == pytest.approx(0.35 + 2.8 * 0.0509, abs=1e-3)
    assert floor.calibrated([0.3] * 29) is None


def test_nonsense_is_of_each_script_of_the_titles_and_always_the_same() -> None:
    made = nonsense.strings(["灯 台灯 落地灯", "лампа настольная", "lamp"])
    assert {"Latin", "Han", "Cyrillic"} == set(made)
    assert made == nonsense.strings(["灯 台灯 落地灯", "лампа настольная", "lamp"])
    assert len(made["Latin"]) > 200


@pytest.mark.es
@pytest.mark.models
def test_on_the_sample_nonsense_finds_nothing_and_meaning_is_found(sample: Sample) -> None:
    services, name, _ = sample
    assert services.cluster.indices.read_profile(name).floors["text"].cosines[floor.LATIN] < 0.6

    def total(query: str) -> int:
        return services.searcher.search(SearchRequest(name, query, size=1, bare=True)).total

    made = nonsense.strings([], seed=9)["Latin"]
    found = [query for query in [*made[:20], *made[60:80], *made[120:140], "lawsuit", "goulash", "..."] if total(query)]
    assert len(found) <= 2, found
    answer = services.searcher.search(SearchRequest(name, "something to keep me dry in a downpour"))
    assert answer.total > 0
    assert any("umbrella" in str(hit.source).lower() or "rain" in str(hit.source).lower() for hit in answer.hits)
    fields, totals = services.searcher.profile(name).fields, []
    for id, row in services.cluster.products.sample(name, 10, 3):
        title = " ".join(map(str, role_values(row, fields, "title")))
        whole = services.searcher.search(SearchRequest(name, title))
        assert id in [hit.id for hit in whole.hits]
        totals.append(whole.total)
    assert sum(totals) / len(totals) < 512 / 2.5, totals  # without the floor nearly half of the shop


def test_other_evidence_of_words_keeps_nothing_and_a_code_does() -> None:
    found = Retrieved(
        lists={"lexical": [], "text": ["a", "b"]},
        raw={
            "lexical": {"a": 0.0, "b": 0.0},
            "lexical.all": {"a": 0.0, "b": 0.0},
            "text": {"a": 0.3, "b": 0.3},
            "code": {"a": 0.0, "b": 1.0},
        },
    )
    floor.drop(found, Limits({"text": 0.4}, 0.0, frozenset({"text"})))
    assert set(found.raw["text"]) == {"b"}
