"""The rules of a search, on an index in memory: scores, order, pages, weights, what fails and what is missing."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hybrid.errors import (
    ClusterError,
    ClusterTimeoutError,
    ClusterUnreachableError,
    EncoderError,
    IndexMissingError,
    IndexMovedError,
    MediaError,
    UsageError,
)
from hybrid.facts import Note
from hybrid.search.fusion import RRF_K
from hybrid.search.ports import Retrieved
from hybrid.search.searcher import Searcher
from hybrid.search.weights import WeightsModel, fixed
from hybrid.searches import Degradation, SearchAnswer, SearchRequest, Words
from hybrid.testing import MemoryRetrieval, PinnedWeights, ToyEncoder

MUGS = [
    {"id": "p1", "title": "red mug", "brand": "Aurora", "price": 5},
    {"id": "p2", "title": "blue mug", "brand": "Casa", "price": 7},
    {"id": "p3", "title": "red lamp", "brand": "Casa", "price": 30},
    {"id": "p4", "title": "green chair", "brand": "Casa", "price": 90},
]


def titled(*ids: str) -> list[dict[str, Any]]:
    """Products that differ in nothing but their ids."""
    return [{"id": id, "title": "mug"} for id in ids]


def photo() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def searching(shop: MemoryRetrieval, model: WeightsModel | None = None, depth: int = 10) -> Searcher:
    return Searcher(shop, shop.encoder, depth, PinnedWeights(model) if model else None)


def ids(answer: SearchAnswer) -> list[str]:
    return [hit.id for hit in answer.hits]


# -- scores and order ------------------------------------------------------------------------------------------------


def test_a_score_is_the_weighted_sum_of_absolute_scores() -> None:
    shop = MemoryRetrieval(titled("a", "b"), scores={"lexical": {"a": 4.0, "b": 12.0}, "text": {"a": 0.9, "b": 0.2}})
    answer = searching(shop).search(SearchRequest("shop", q="mug"))
    assert answer.weights == pytest.approx({"lexical": 0.88, "text": 0.12})
    scores = {hit.id: hit.score for hit in answer.hits}
    assert scores == pytest.approx({
        "b": 0.88 * 12 / (12 + 4) + 0.12 * 0.2,
        "a": 0.88 * 4 / (4 + 4) + 0.12 * 0.9,
    })  # fmt: skip
    assert ids(answer) == ["b", "a"]
    for hit in answer.hits:
        assert sum(part.contribution for part in hit.signals.values()) == hit.score
        assert all(part.contribution == part.weight * part.scaled for part in hit.signals.values())


@pytest.mark.parametrize("given", [["b", "a", "d", "c"], ["d", "c", "b", "a"], ["a", "b", "c", "d"]])
@pytest.mark.parametrize("system", ["fixed", "bm25", "text", "rrf"])
def test_equal_scores_are_in_the_order_of_their_ids(given: list[str], system: str) -> None:
    answer = searching(MemoryRetrieval(titled(*given))).search(SearchRequest("shop", q="mug", system=system))
    assert ids(answer) == ["a", "b", "c", "d"]


def test_ranks_alone_count_for_rrf() -> None:
    shop = MemoryRetrieval(titled("a", "b"), scores={"lexical": {"a": 9.0, "b": 1.0}, "text": {"b": 0.3}})
    answer = searching(shop).search(SearchRequest("shop", q="mug", system="rrf"))
    assert {hit.id: hit.score for hit in answer.hits} == pytest.approx(
        {"a": 1 / (RRF_K + 1), "b": 1 / (RRF_K + 2) + 1 / (RRF_K + 1)}
    )
    assert ids(answer) == ["b", "a"]


# -- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["fixed", "bm25", "text", "rrf"])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_pages_of_a_search_are_one_list_cut(system: str, size: int) -> None:
    """Behind the candidates, of which there are ten, come the other products that have the words."""
    rows = [{"id": f"p{n:02}", "title": f"{'red ' * (n % 3 > 0)}mug {n}", "brand": f"b{n % 2}"} for n in range(25)]
    searcher = searching(MemoryRetrieval(rows), depth=10)
    request = SearchRequest("shop", q="red mug", system=system)
    whole = searcher.search(replace(request, size=100))
    pages = [searcher.search(replace(request, size=size, page=page)) for page in range(1, whole.total // size + 2)]
    assert [id for page in pages for id in ids(page)] == ids(whole)
    assert len(set(ids(whole))) == len(whole.hits) == whole.total == (10 if system == "text" else 25)
    assert {page.total for page in pages} == {whole.total}
    assert all(page.facets == whole.facets for page in pages)


def test_bare_hits_are_the_same_without_their_documents() -> None:
    searcher = searching(MemoryRetrieval(MUGS))
    request = SearchRequest("shop", q="red mug")
    whole, bare = (searcher.search(replace(request, bare=bare)) for bare in (False, True))
    assert [replace(hit, source={}, highlight={}) for hit in whole.hits] == bare.hits
    assert whole.hits[0].source == MUGS[0]
    assert whole.hits[0].highlight == {"title": "<mark>red</mark> <mark>mug</mark>"}


def test_totals_and_facets_count_the_same_set() -> None:
    answer = searching(MemoryRetrieval(MUGS)).search(SearchRequest("shop", q="mug", system="bm25"))
    assert answer.total == 2
    assert answer.facets == {"brand": [{"value": "Aurora", "count": 1}, {"value": "Casa", "count": 1}]}
    chosen = SearchRequest("shop", q="mug", system="bm25", filters={"brand": "Casa", "price": {"lt": 20}})
    answer = searching(MemoryRetrieval(MUGS)).search(chosen)
    assert (answer.total, ids(answer)) == (1, ["p2"])
    # A facet that is filtered on still counts its other values.
    assert answer.facets["brand"] == [{"value": "Aurora", "count": 1}, {"value": "Casa", "count": 1}]


def test_browsing_has_every_product_in_order_and_no_scores() -> None:
    answer = searching(MemoryRetrieval(MUGS)).search(SearchRequest("shop"))
    assert (ids(answer), answer.total) == (["p1", "p2", "p3", "p4"], 4)
    assert {hit.score for hit in answer.hits} == {0.0}


# -- what is missing -------------------------------------------------------------------------------------------------


def test_a_product_without_a_vector_counts_by_the_signals_that_it_has() -> None:
    """Too few have a picture to say what its picture would be: its weights are raised to sum to 1."""
    shop = MemoryRetrieval(
        titled("a", "b", "c"),
        scores={"lexical": {"a": 4.0, "b": 4.0, "c": 1.0}, "image": {"a": 0.5, "c": 0.4}, "text": {}},
    )
    request = SearchRequest("shop", q="mug", image=photo(), weights={"lexical": 1.0, "image": 3.0})
    answer = searching(shop).search(request)
    by_id = {hit.id: hit for hit in answer.hits}
    assert by_id["b"].signals["image"].raw is None
    assert by_id["b"].signals["image"].contribution == 0.0
    assert by_id["b"].signals["lexical"].weight == 1.0
    assert {id: hit.score for id, hit in by_id.items()} == pytest.approx(
        {"a": 0.25 * 4 / 8 + 0.75 * 0.5, "b": 4 / 8, "c": 0.25 * 1 / 5 + 0.75 * 0.4}
    )


def test_a_product_without_a_vector_stands_with_those_like_it_in_words() -> None:
    """Neither below all that have one, nor above those whose pictures are near."""
    lamps = [{"id": f"lamp{n}", "title": "brass lamp"} for n in range(6)]
    chairs = [{"id": f"seat{n}", "title": "oak chair"} for n in range(6)]
    near = {f"lamp{n}": 0.90 for n in range(5)} | {f"seat{n}": 0.10 for n in range(5)}  # the sixth has no picture
    near["lamp0"] = 0.95
    shop = MemoryRetrieval([*lamps, *chairs], scores={"image": near, "text": {}})
    answer = searching(shop, depth=20).search(SearchRequest("shop", image=photo(), size=20))
    scores = {hit.id: hit.score for hit in answer.hits}
    assert len(scores) == 12
    assert scores["lamp0"] > scores["lamp5"] > scores["seat0"]
    assert scores["seat5"] < scores["lamp1"]
    assert scores["lamp5"] == pytest.approx((0.95 + 4 * 0.90) / 5, abs=0.02)
    assert {hit.signals["image"].raw for hit in answer.hits if hit.id in ("lamp5", "seat5")} == {None}


# -- weights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "weights", "note"),
    [
        ({"text": {"p1": 0.5, "p2": 0.5, "p3": 0.5, "p4": 0.5}}, {"lexical": 1.0, "text": 0.0}, ("same_score", "text")),
        ({"text": {"p1": -0.1, "p2": 0.0}}, {"lexical": 1.0, "text": 0.0}, ("no_match", "text")),
        ({"lexical": {}}, {"lexical": 0.0, "text": 1.0}, ("no_match", "lexical")),
        (
            {"text": {"p1": 0.075, "p2": 0.01}},  # half of what counts as weak
            {"lexical": 0.88 / (0.88 + 0.06), "text": 0.06 / (0.88 + 0.06)},
            ("weak_match", "text"),
        ),
    ],
)
def test_a_signal_that_has_nothing_to_say_gives_its_weight_to_the_others(
    scores: Mapping[str, Mapping[str, float | None]], weights: Mapping[str, float], note: tuple[str, str]
) -> None:
    answer = searching(MemoryRetrieval(MUGS, scores=scores)).search(SearchRequest("shop", q="red mug"))
    assert answer.weights == pytest.approx(weights)
    assert note in [(fact.kind, fact.signal) for fact in answer.notes]


def test_a_signal_of_small_weight_is_not_searched() -> None:
    shop = MemoryRetrieval(MUGS)
    model = replace(fixed({"lexical": 0.97, "text": 0.03}, "global-1"), kind="global", skip_below=0.05)
    answer = searching(shop, model).search(SearchRequest("shop", q="red mug"))
    assert shop.searches == [["lexical"]]
    assert (answer.weights, answer.weights_version) == ({"lexical": 1.0}, "global-1")
    assert answer.notes == [Note("not_searched", "text", value=pytest.approx(0.03))]


def test_a_signal_of_small_weight_is_searched_where_the_others_find_nothing() -> None:
    shop = MemoryRetrieval(MUGS)
    model = replace(fixed({"lexical": 0.97, "text": 0.03}), skip_below=0.05)
    answer = searching(shop, model).search(SearchRequest("shop", q="zzz"))
    assert shop.searches == [["lexical"], ["lexical", "text"]]
    assert answer.hits
    assert "not_searched" not in [note.kind for note in answer.notes]


def test_weights_of_the_request_are_used_and_what_has_none_is_not_even_encoded() -> None:
    shop = MemoryRetrieval(MUGS, encoder=(encoder := ToyEncoder()))
    encoder.batches.clear()
    words = searching(shop).search(SearchRequest("shop", q="red mug", weights={"lexical": 2.0}))
    assert (words.weights, words.weights_version, encoder.batches) == ({"lexical": 1.0}, "request", [])
    both = searching(shop).search(SearchRequest("shop", q="red mug", weights={"text": 3.0, "lexical": 1.0}))
    assert both.weights == pytest.approx({"lexical": 0.25, "text": 0.75})
    assert encoder.batches == [1]
    mixed = searching(shop).search(SearchRequest("shop", q="red mug", alpha=0.4))
    assert mixed.weights == pytest.approx({"lexical": 0.6, "text": 0.4})


def test_the_same_words_are_encoded_once() -> None:
    shop = MemoryRetrieval(MUGS, encoder=(encoder := ToyEncoder()))
    encoder.batches.clear()
    searcher = searching(shop)
    for page in (1, 2):
        searcher.search(SearchRequest("shop", q="red mug", page=page, size=2))
    assert encoder.batches == [1]


# -- what fails ------------------------------------------------------------------------------------------------------


def test_a_broken_encoder_degrades_to_keywords() -> None:
    shop = MemoryRetrieval(MUGS, encoder=(encoder := ToyEncoder()))
    plain = searching(shop).search(SearchRequest("shop", q="red mug", system="bm25"))
    encoder.error = EncoderError("the model is gone")
    answer = searching(shop).search(SearchRequest("shop", q="red mug"))
    assert answer.degraded == [Degradation("text", "the model is gone")]
    assert ids(answer) == ids(plain)


def test_vectors_of_another_version_are_not_compared() -> None:
    shop = MemoryRetrieval(MUGS)
    newer = Searcher(shop, lambda spec: ToyEncoder(version="toy@64+2"), 10)
    answer = newer.search(SearchRequest("shop", q="red mug"))
    assert answer.degraded == [Degradation("text", "the index was encoded by toy@64+1, this process has toy@64+2")]
    assert set(answer.weights) == {"lexical"}


def test_an_encoder_that_this_process_does_not_know_degrades() -> None:
    def unknown(spec: str) -> Any:
        raise UsageError(f"no encoder {spec!r}")

    answer = Searcher(MemoryRetrieval(MUGS), unknown, 10).search(SearchRequest("shop", q="red mug"))
    assert answer.degraded == [Degradation("text", "no encoder 'toy:64'")]
    assert answer.hits


def test_a_signal_that_the_cluster_cannot_search_is_left_out_and_named() -> None:
    shop = MemoryRetrieval(MUGS, failing={"text": "no such field"})
    answer = searching(shop).search(SearchRequest("shop", q="red mug"))
    assert answer.degraded == [Degradation("text", "no such field")]
    assert ids(answer) == ["p1", "p2", "p3"]
    assert answer.weights == {"lexical": 1.0}


def test_words_that_the_cluster_cannot_search_leave_the_vectors() -> None:
    shop = MemoryRetrieval(MUGS, failing={"lexical": "a shard failed"})
    answer = searching(shop).search(SearchRequest("shop", q="red mug"))
    assert answer.degraded == [Degradation("lexical", "a shard failed")]
    assert answer.hits[0].id == "p1"
    assert set(answer.hits[0].signals) == {"text"}


def test_where_no_vector_can_be_searched_the_words_answer() -> None:
    shop = MemoryRetrieval(MUGS, failing={"text": "no such field"})
    answer = searching(shop).search(SearchRequest("shop", q="red mug", system="text"))
    assert [part.part for part in answer.degraded] == ["vectors"]
    assert shop.searches == [["text"], ["lexical"]]
    assert ids(answer) == ["p1", "p2", "p3"]


@pytest.mark.parametrize(
    ("error", "searches"),
    [
        (ClusterUnreachableError("nobody answers"), 1),
        (ClusterTimeoutError("no answer in time"), 2),  # perhaps of the vectors: the words alone are tried
        (ClusterError("a circuit breaker is open"), 2),
    ],
)
def test_a_cluster_that_answers_nothing_is_an_error(error: ClusterError, searches: int) -> None:
    shop = MemoryRetrieval(MUGS)
    shop.error = error
    with pytest.raises(type(error), match=str(error)):
        searching(shop).search(SearchRequest("shop", q="red mug"))
    assert len(shop.searches) == searches


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"system": "magic"}, UsageError, "no system 'magic'"),
        ({"weights": {"smell": 1.0}}, UsageError, "no signal 'smell'"),
        ({"weights": {"text": -1.0}}, UsageError, "a number from 0 up"),
        ({"weights": {"text": 0.0}}, UsageError, "all weights are 0"),
        ({"weights": {"text": 1.0}, "alpha": 0.5}, UsageError, "weights or alpha, not both"),
        ({"page": 0}, UsageError, "count from 1"),
        ({"page": 2000, "size": 10}, UsageError, "out of reach"),
        ({"filters": {"nope": 1}}, UsageError, "cannot filter on 'nope'"),
        ({"facets": ("nope",)}, UsageError, "no facet 'nope'"),
        ({"image": b"not a picture", "weights": {"image": 1.0}}, MediaError, "picture|image"),
        ({"index": "another"}, IndexMissingError, "there is no index 'another'"),
        ({"like": "p1"}, UsageError, "one or the other"),
        ({"q": "", "like": "p9"}, UsageError, "no product 'p9'"),
        ({"q": "", "like": "p1", "system": "audio"}, UsageError, "has no audio vector"),
    ],
)
def test_bad_requests(options: dict[str, Any], error: type[Exception], message: str) -> None:
    shop = MemoryRetrieval(MUGS, vectors={"image": {}})
    with pytest.raises(error, match=message):
        searching(shop).search(SearchRequest(**{"index": "shop", "q": "red", **options}))


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ({"image": photo()}, Note("no_vectors", "image")),
        ({"video": b"any"}, Note("no_vectors", "video")),
        ({"audio": b"any"}, Note("no_vectors", "audio")),
        ({"image": photo(), "system": "text"}, Note("no_vectors", "image")),
    ],
)
def test_a_file_that_nothing_can_be_compared_with_finds_nothing(options: dict[str, Any], note: Note) -> None:
    searcher = searching(MemoryRetrieval(MUGS))
    alone = searcher.search(SearchRequest("shop", **options))
    assert (alone.total, alone.hits, alone.notes) == (0, [], [note])
    assert str(alone.total_counts) == "nothing, for no part of the query could be compared"
    beside = searcher.search(SearchRequest("shop", q="lamp", **options))
    assert note in beside.notes and ids(beside)[0] == "p3"


def test_a_file_that_the_request_leaves_out_finds_nothing() -> None:
    shop = MemoryRetrieval(MUGS, scores={"image": {"p1": 0.9}, "text": {}})
    assert searching(shop).search(SearchRequest("shop", image=photo())).total == 1
    for options in ({"system": "bm25"}, {"weights": {"lexical": 1.0}}):
        answer = searching(shop).search(SearchRequest("shop", image=photo(), **options))  # type: ignore[arg-type]
        assert (answer.total, answer.notes) == (0, [Note("not_asked", "image")])


def test_a_photo_whose_encoder_fails_finds_nothing() -> None:
    shop = MemoryRetrieval(MUGS, scores={"image": {"p1": 0.9}, "text": {}})
    shop.encoder("").error = EncoderError("gone")
    answer = searching(shop).search(SearchRequest("shop", image=photo()))
    assert (answer.total, [one.part for one in answer.degraded]) == (0, ["image"])


# -- products like a product, completions ----------------------------------------------------------------------------


def test_products_like_a_product_are_others() -> None:
    answer = searching(MemoryRetrieval(MUGS)).search(SearchRequest("shop", like="p1", size=2))
    assert ids(answer)[0] in ("p2", "p3")  # one word is the same
    assert "p1" not in ids(answer)
    assert answer.weights_version == "similar-1"
    words = searching(MemoryRetrieval(MUGS)).search(SearchRequest("shop", like="p1", system="bm25"))
    assert ids(words) == ["p2", "p3"]


def test_completions_of_what_was_typed() -> None:
    searcher = searching(MemoryRetrieval(MUGS))
    assert [option["text"] for option in searcher.suggest("shop", "Red")] == ["red mug", "red lamp"]
    assert [option["id"] for option in searcher.suggest("shop", "lanp")] == ["p3"]  # mistyped
    assert searcher.suggest("shop", " ?") == []


# -- an alias that moves ---------------------------------------------------------------------------------------------


class Moving(MemoryRetrieval):
    """The name stands for another index after each of the first `moves` profiles that were read."""

    def __init__(self, before: Iterable[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], moves: int) -> None:
        super().__init__(before)
        self._after, self._left = after, moves

    def profile(self, index: str) -> Any:
        profile = super().profile(index)
        if self._left:
            self._left -= 1
            self.move(self._after)
        return profile


def test_an_answer_is_made_anew_where_the_alias_moved_meanwhile() -> None:
    shop = Moving(MUGS, [{"id": "n1", "title": "red mug"}], moves=1)
    assert ids(searching(shop).search(SearchRequest("shop", q="mug"))) == ["n1"]
    assert len(shop.searches) == 2


def test_an_alias_that_does_not_stand_still_is_an_error() -> None:
    shop = Moving(MUGS, MUGS, moves=1_000)
    with pytest.raises(IndexMovedError, match="was moved to another index"):
        searching(shop).search(SearchRequest("shop", q="mug"))


def test_an_empty_answer_is_believed_only_of_an_index_that_stands() -> None:
    """No hit tells which index was searched, so it is asked for."""
    shop = MemoryRetrieval(MUGS)

    class MovesAtTheEnd(MemoryRetrieval):
        def retrieve(self, *args: Any, **options: Any) -> Retrieved:
            retrieved = super().retrieve(*args, **options)
            if len(self.searches) == 1:
                self.move([{"id": "n1", "title": "quiet kettle"}])
            return retrieved

    request = SearchRequest("shop", q="kettle", system="bm25")
    assert ids(searching(shop).search(request)) == []
    assert ids(searching(MovesAtTheEnd(MUGS)).search(request)) == ["n1"]


# -- the double itself -----------------------------------------------------------------------------------------------


def test_vectors_that_are_given_are_compared_by_their_cosine() -> None:
    axes = np.eye(64, dtype=np.float32)
    shop = MemoryRetrieval(titled("a", "b", "c"), vectors={"image": {"a": axes[0], "b": (axes[0] + axes[1]) / 2**0.5}})
    found = shop.retrieve(shop.profile("shop"), Words(), {"image": axes[0]}, {}, [], 10)
    assert found.lists == {"image": ["a", "b"]}
    assert found.raw["image"] == pytest.approx({"a": 1.0, "b": 2**-0.5})


def test_a_profile_of_an_earlier_generation_is_refused() -> None:
    shop = MemoryRetrieval(MUGS)
    profile = shop.profile("shop")
    assert not shop.moved(profile)
    shop.move(MUGS)
    assert shop.moved(profile)
    for ask in (
        lambda: shop.retrieve(profile, Words("mug"), {}, {}, [], 10),
        lambda: shop.tail(profile, Words("mug"), {}, [], 0, 10),
        lambda: shop.sources(profile, ["p1"]),
    ):
        with pytest.raises(IndexMovedError):
            ask()
