"""Numbers of products as signals: scaled absolutely, neutral where missing, small, and never a candidate's reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hybrid.contracts import FieldMap, IndexProfile, Prior
from hybrid.errors import UsageError
from hybrid.evaluation import side_by_side
from hybrid.learning.weights import linear
from hybrid.learning.weights.examples import Example, Table, lowered
from hybrid.search import fusion, numbers
from hybrid.search.fusion import Scaling
from hybrid.search.searcher import Searcher
from hybrid.search.weights import PinnedWeights, Query, WeightsModel, fixed
from hybrid.searches import SearchAnswer, SearchRequest
from hybrid.signals import PRIOR_WEIGHT
from hybrid.testing import MemoryRetrieval

DAY = 86_400_000
FIELDS = FieldMap({}, {"rating": "double", "price": "long", "day": "date", "brand": "keyword"})


def of_values(field: str, values: list[float], less: bool = False) -> Prior:
    return numbers.measured(field, less, np.percentile(values, numbers.PERCENTS).tolist(), False, 0)


RATING = of_values("rating", [1.0, 2.0, 3.0, 4.0, 5.0])


def test_what_a_merchandiser_may_name() -> None:
    assert numbers.parse(["rating", "price:less", "day"], FIELDS) == [
        ("rating", False), ("price", True), ("day", False),
    ]  # fmt: skip
    for names, why in (
        (["brand"], "'brand' is no number and no date; there are: day, price, rating"),
        (["rating", "rating:less"], "name each field once"),
        ([f"n{at}" for at in range(11)], "10 fields at most"),
    ):
        with pytest.raises(UsageError, match=why):
            numbers.parse(names, FIELDS)
    many = FieldMap({}, {f"attribute_{at}": "long" for at in range(50)} | {"sold": "long"})
    with pytest.raises(UsageError, match="there are: sold, .*…"):
        numbers.parse(["solt"], many)
    with pytest.raises(UsageError, match="all products have the same price"):
        of_values("price", [7.0, 7.0])


def test_a_number_scales_to_its_place_in_the_catalogue() -> None:
    sold = of_values("sold", [0.0] * 55 + [float(at**3) for at in range(1, 51)])  # half sold nothing, few very much
    scaled = numbers.scaled(sold, np.array([-5.0, 0.0, 1.0, 1000.0, 125_000.0, 1e12, np.nan]))
    assert (np.diff(scaled[:6]) >= 0).all() and scaled.min() >= 0 and scaled.max() <= 1
    assert scaled[0] == scaled[1] == pytest.approx(0.25, abs=0.01)  # in the middle of the half that sold nothing
    assert scaled[4] == scaled[5] == 1.0
    assert scaled[6] == 0.0
    assert numbers.scaled(replace(sold, less=True), np.array([125_000.0]))[0] == 0.0
    # Whatever unit: the place stays.
    cents = of_values("sold", [100 * value for value in [0.0] * 55 + [float(at**3) for at in range(1, 51)]])
    assert numbers.scaled(cents, np.array([100_000.0]))[0] == pytest.approx(scaled[3])


def test_a_date_loses_half_in_each_half_life() -> None:
    today = numbers.today()
    ages = [0, 10, 20, 30, 40]
    percentiles = np.percentile([(today - age) * DAY for age in ages], numbers.PERCENTS).tolist()
    new = numbers.measured("day", False, percentiles, True, today)
    assert new.is_date and new.typical == 20
    assert numbers.scaled(new, np.array([-3.0, 0.0, 20.0, 40.0])).tolist() == [1.0, 1.0, 0.5, 0.25]
    assert numbers.raw(new, [(today - 7) * DAY, (today - 2) * DAY], today) == 2.0  # the newest counts
    assert numbers.measured("day", False, [(today * DAY) - 1.0, *[float(today * DAY)] * 10], True, today).typical == 1.0


def test_of_several_values_the_best_counts() -> None:
    assert numbers.raw(RATING, [3, 5, 4], 0) == 5.0
    assert numbers.raw(replace(RATING, less=True), [3, 5, 4], 0) == 3.0
    assert numbers.raw(RATING, [], 0) is None


def test_the_profile_keeps_them_and_drops_those_whose_field_became_another() -> None:
    profile = IndexProfile("shop", FIELDS, {}, "en", "1", priors=(RATING,))
    assert IndexProfile.from_json("shop", profile.to_json()).priors == (RATING,)
    assert numbers.of(profile) == (RATING,)
    assert numbers.of(replace(profile, fields=FieldMap({}, {"rating": "keyword"}))) == ()
    assert "priors" not in replace(profile, priors=()).to_json()


# ---- weights ---------------------------------------------------------------------------------------------


def test_they_have_a_small_share_of_the_whole_whatever_is_in_play() -> None:
    for in_play in (["lexical"], ["lexical", "text"], ["lexical", "image", "fused"]):
        weights = fixed().predict(Query("a", "a"), [*in_play, "prior.rating", "prior.sold"]).weights
        assert weights["prior"] == pytest.approx(PRIOR_WEIGHT)
        assert sum(weights.values()) == pytest.approx(1.0)


def test_what_was_learned_of_a_prior_is_not_given_to_another() -> None:
    learned = WeightsModel(
        "global-1", "global", ("lexical", "text", "prior"), np.log([0.5, 0.3, 0.2]),
        shares={"lexical": 1.0, "prior.sold": 0.15, "prior.rating": 0.05},
    )  # fmt: skip
    for priors, expected in (
        (["sold", "rating"], 0.2), (["sold", "rating", "new"], 0.2), (["sold"], 0.15), (["rating", "new"], 0.05),
        (["new"], PRIOR_WEIGHT),
    ):  # fmt: skip
        weights = learned.predict(Query("a", "a"), ["lexical", "text", *(f"prior.{name}" for name in priors)]).weights
        assert weights["prior"] == pytest.approx(expected)
        assert weights["lexical"] / weights["text"] == pytest.approx(5 / 3)
        assert sum(weights.values()) == pytest.approx(1.0)


def test_they_get_nothing_of_what_others_lose() -> None:
    weights = {"lexical": 0.5, "text": 0.4, "prior.a": 0.06, "prior.b": 0.04}
    for shares, expected in (
        ([1, 1, 1, 1], [0.5, 0.4, 0.06, 0.04]),
        ([0, 0.5, 1, 1], [0.0, 0.9, 0.06, 0.04]),
        ([0, 0.5, 0, 1], [0.0, 0.96, 0.0, 0.04]),
        ([0, 0, 1, 1], [0.5, 0.4, 0.06, 0.04]),  # some order is better than none
        ([0, 0, 0, 0], [0.5, 0.4, 0.06, 0.04]),
    ):
        found = fusion.lowered(weights, dict(zip(weights, shares, strict=True)))
        if any(shares):
            assert list(found.values()) == pytest.approx(expected)
        assert sum(found.values()) == pytest.approx(1.0)
        # What training and the admin page compute is the same.
        rows = lowered(
            np.array([list(weights.values())]), np.array(shares, float), np.array([False, False, True, True])
        )
        assert rows[0].tolist() == pytest.approx(list(found.values()))


# ---- searches --------------------------------------------------------------------------------------------

ROWS: list[dict[str, Any]] = [
    {"id": "a", "title": "red mug", "rating": 1.0},
    {"id": "b", "title": "red mug", "rating": 5.0},
    {"id": "c", "title": "red mug"},
    {"id": "d", "title": "red plate", "rating": 5.0},
    {"id": "e", "title": "lamp", "rating": 5.0},
]


def searched(q: str, *priors: Prior, **options: Any) -> SearchAnswer:
    shop = MemoryRetrieval(ROWS, priors=priors)
    return Searcher(shop, shop.encoder, 10).search(SearchRequest("shop", q, **options))


def test_they_order_what_matches_equally_well_and_nothing_else() -> None:
    words = {"lexical": 1.0 - PRIOR_WEIGHT, "prior": PRIOR_WEIGHT}
    answer = searched("red mug", RATING, weights=words)
    # Without a rating: between the best and the worst, neither favoured nor punished.
    assert [hit.id for hit in answer.hits] == ["b", "c", "a", "d"]
    assert answer.total == searched("red mug", weights={"lexical": 1.0}).total == 4
    best, unrated = answer.hits[0].signals["prior.rating"], answer.hits[1].signals["prior.rating"]
    assert (best.raw, best.scaled, unrated.raw, unrated.scaled) == (5.0, 1.0, None, 0.5)
    assert best.contribution == best.weight * best.scaled == pytest.approx(PRIOR_WEIGHT)
    for hit in answer.hits:
        assert hit.score == sum(part.contribution for part in hit.signals.values())
    assert answer.weights["prior"] == pytest.approx(PRIOR_WEIGHT)


def test_a_request_may_weigh_them_together_or_by_name() -> None:
    price = of_values("rating", [1.0, 5.0], less=True)
    assert [hit.id for hit in searched("red mug", RATING, weights={"prior.rating": 1.0}).hits] == ["b", "d", "c", "a"]
    assert [hit.id for hit in searched("red mug", price, weights={"prior": 1.0}).hits][0] == "a"
    assert "prior" not in searched("red mug", RATING, weights={"lexical": 0.5, "text": 0.5}).weights
    with pytest.raises(UsageError, match="no signal 'prior.sold'"):
        searched("red mug", RATING, weights={"prior.sold": 1.0})
    named = {"lexical": 0.4, "prior": 0.4, "prior.a": 0.2}
    assert fusion.spread(named, ["lexical", "prior.a", "prior.b", "prior.c"], {"prior.b": 3.0, "prior.c": 1.0}) == (
        pytest.approx({"lexical": 0.4, "prior.a": 0.2, "prior.b": 0.3, "prior.c": 0.1})
    )


def test_weights_by_hand_can_ask_for_those_that_counted() -> None:
    shop = MemoryRetrieval(ROWS, priors=[RATING], scores={"lexical": dict.fromkeys("abcde", 2.0)})  # words say nothing
    searcher, published = Searcher(shop, shop.encoder, 10), PinnedWeights(fixed())
    request = SearchRequest("shop", "red mug")
    answer, pool = searcher.search(request), side_by_side.pool(searcher, published, request)
    assert answer.weights == pytest.approx({"lexical": 0, "text": 1 - PRIOR_WEIGHT, "prior": PRIOR_WEIGHT}, abs=0.01)
    assert set(pool.scaled) == {"lexical", "text", "prior"}
    again = searcher.search(replace(request, weights=pool.requested_weights(answer.weights)))
    assert again.weights == pytest.approx({name: weight for name, weight in answer.weights.items() if weight})
    assert [hit.id for hit in again.hits] == [hit.id for hit in answer.hits]


@pytest.mark.parametrize("options", [{"system": "bm25"}, {"system": "text"}, {"system": "rrf"}, {"alpha": 0.5}])
def test_systems_that_sum_no_weights_have_none(options: dict[str, Any]) -> None:
    answer = searched("red mug", RATING, **options)
    assert answer.hits and not any("prior.rating" in hit.signals for hit in answer.hits)


def test_browsing_is_in_their_order_those_without_a_value_last() -> None:
    assert [hit.id for hit in searched("").hits] == ["a", "b", "c", "d", "e"]
    assert [hit.id for hit in searched("", RATING).hits] == ["b", "d", "e", "a", "c"]
    assert [hit.id for hit in searched("", replace(RATING, less=True)).hits] == ["a", "b", "d", "e", "c"]


# ---- learning --------------------------------------------------------------------------------------------


def examples(informative: bool, count: int = 120) -> list[Example]:
    """Queries of 30 products: words tell half of what is relevant; the number tells of the rest, or is chance."""
    rng = np.random.default_rng(1)
    found = []
    for at in range(count):
        ids = [f"p{number:02}" for number in range(30)]
        wanted = rng.normal(0, 1, 30)
        words = wanted + rng.normal(0, 1, 30)
        number = (wanted if informative else 0) + rng.normal(0, 1, 30)
        ratings = {id: float(np.clip(round(value), 0, 3)) for id, value in zip(ids, wanted, strict=True)}
        raw = {
            "lexical": dict(zip(ids, (3 + words.clip(-3)).tolist(), strict=True)),
            "prior.sold": dict(zip(ids, np.exp(number).tolist(), strict=True)),
        }
        values = [value for value in raw["prior.sold"].values()]
        found.append(Example(str(at), Query("a", "a"), raw, ratings, priors=(of_values("sold", values),)))
    return found


@pytest.mark.parametrize("informative", [True, False])
def test_training_finds_a_number_that_tells_and_leaves_one_that_does_not(informative: bool) -> None:
    found = examples(informative)
    tables = [Table(example, Scaling()) for example in found]
    lists = linear.Lists(found, tables)
    assert found[0].signals == ("lexical", "prior")
    rows = np.arange(len(found))
    weights = linear.fit_with_pull(lists, rows[::2], linear.shipped(lists.signals)).weights
    held = [float(tables[row].ndcg(np.array([[weights["lexical"], weights["prior.sold"]]]))[0]) for row in rows[1::2]]
    words = [float(tables[row].ndcg(np.array([[1.0, 0.0]]))[0]) for row in rows[1::2]]
    change = float(np.mean(held) - np.mean(words))
    if informative:
        assert weights["prior.sold"] > 0.2 and change > 0.02
    else:
        assert weights["prior.sold"] < 0.06 and abs(change) < 0.01
