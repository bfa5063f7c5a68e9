"""The score contract as a table of cases on paper arithmetic, and against a brute-force reference."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.search import fusion
from hybrid.searches import SignalScore

NAN = float("nan")


@pytest.mark.parametrize(
    ("signal", "raw", "scaled"),
    [
        ("lexical", 0.0, 0.0),
        ("lexical", 4.0, 0.5),
        ("lexical", 30.0, 30 / (30 + 4)),
        ("lexical.title", 4.0, 0.5),
        ("lexical", math.inf, 1.0),
        ("lexical", NAN, 0.0),
        ("lexical", -3.0, 0.0),
        ("text", 1.0, 1.0),
        ("text", 1.0000001, 1.0),
        ("text", 0.25, 0.25),
        ("text", -0.9, 0.0),
        ("image", NAN, 0.0),
    ],
)
def test_scaling_is_absolute(signal: str, raw: float, scaled: float) -> None:
    assert fusion.PLAIN.one(signal, raw) == pytest.approx(scaled)


@pytest.mark.parametrize(
    ("case", "raw", "expected"),
    [
        (
            "both speak",
            {"lexical": {"a": 10.0, "b": 0.0}, "text": {"a": 0.2, "b": 0.6}},
            {"lexical": 0.75, "text": 0.25},
        ),
        ("no word matches", {"lexical": {"a": 0.0, "b": 0.0}, "text": {"a": 0.2, "b": 0.6}}, {"lexical": 0, "text": 1}),
        (
            "no vector at all",
            {"lexical": {"a": 9.0, "b": 1.0}, "text": {"a": None, "b": None}},
            {"lexical": 1, "text": 0},
        ),
        ("all ties", {"lexical": {"a": 9.0, "b": 1.0}, "text": {"a": 0.5, "b": 0.5}}, {"lexical": 1, "text": 0}),
        ("not a number", {"lexical": {"a": 9.0, "b": 1.0}, "text": {"a": NAN, "b": NAN}}, {"lexical": 1, "text": 0}),
        ("all negative", {"lexical": {"a": 9.0, "b": 1.0}, "text": {"a": -0.5, "b": -0.1}}, {"lexical": 1, "text": 0}),
        # The best cosine 0.075 is half of what counts as weak (0.15): half the weight, 0.125 against 0.75.
        (
            "weak best",
            {"lexical": {"a": 9.0, "b": 1.0}, "text": {"a": 0.075, "b": 0.0}},
            {"lexical": 0.75 / 0.875, "text": 0.125 / 0.875},
        ),
        ("one candidate", {"lexical": {"a": 10.0}, "text": {"a": 0.4}}, {"lexical": 0.75, "text": 0.25}),
        ("nothing speaks", {"lexical": {"a": 0.0}, "text": {"a": -1.0}}, {"lexical": 0.75, "text": 0.25}),
        ("no candidate", {"lexical": {}, "text": {}}, {"lexical": 0.75, "text": 0.25}),
    ],
)
def test_a_signal_with_nothing_to_say_lowers_its_own_weight(case: str, raw: dict, expected: dict) -> None:
    weights, notes = fusion.effective_weights({"lexical": 0.75, "text": 0.25}, raw)
    assert weights == pytest.approx(expected), case
    assert sum(weights.values()) == pytest.approx(1)
    assert bool(notes) == (weights != pytest.approx({"lexical": 0.75, "text": 0.25})) or case in (
        "nothing speaks",
        "no candidate",
    )


def test_a_single_match_is_not_stretched_to_one() -> None:
    ranking = fusion.weighted({"lexical": {"a": 2.0}}, {"lexical": 1.0})
    assert ranking.scores["a"] == pytest.approx(2 / (2 + 4))


def test_a_product_without_a_vector_is_scored_on_what_it_has() -> None:
    raw = {"lexical": {"new": 4.0, "old": 4.0, "far": 1.0}, "text": {"new": None, "old": 0.5, "far": 0.1}}
    ranking = fusion.weighted(raw, {"lexical": 0.5, "text": 0.5})
    assert ranking.scores["new"] == pytest.approx(0.5)
    assert ranking.scores["old"] == pytest.approx(0.5 * 0.5 + 0.5 * 0.5)
    part = ranking.signals("new")["text"]
    assert (part.raw, part.weight, part.contribution) == (None, 0.0, 0.0)


def test_duplicates_are_ordered_by_id() -> None:
    raw = {"lexical": {"c": 5.0, "a": 5.0, "b": 5.0, "z": 6.0}, "text": {"c": 0.3, "a": 0.3, "b": 0.3, "z": 0.1}}
    assert fusion.weighted(raw, {"lexical": 0.5, "text": 0.5}).ids == ["a", "b", "c", "z"]


def test_rrf_on_paper() -> None:
    lists = {"lexical": ["a", "b"], "text": ["b", "c"]}
    raw = {"lexical": {"a": 3.0, "b": 2.0, "c": 0.0}, "text": {"a": 0.1, "b": 0.9, "c": 0.8}}
    ranking = fusion.rrf(lists, raw)
    assert ranking.ids == ["b", "a", "c"]
    assert ranking.scores["b"] == pytest.approx(1 / (60 + 2) + 1 / (60 + 1))
    assert sum(part.contribution for part in ranking.signals("b").values()) == pytest.approx(ranking.scores["b"])


RAW = st.one_of(st.none(), st.floats(-1, 1), st.just(NAN))
SCORES = st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.tuples(st.floats(0, 60), RAW, RAW), max_size=12)


@given(
    SCORES,
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
    st.tuples(st.floats(0.1, 50), st.floats(-0.5, 0.4), st.floats(0.5, 1)),
    st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.floats(-1, 1), max_size=6),
)
def test_order_and_explanation_equal_brute_force(
    scores: dict, given_weights: tuple, numbers: tuple, others: dict
) -> None:
    half, low, high = numbers
    scaling = fusion.Scaling({"lexical": half}, {"text": (low, high)})
    names = ("lexical", "text", "image")
    raw = {name: {id: values[place] for id, values in scores.items()} for place, name in enumerate(names)}
    before = repr(raw)
    given = fusion.normalised(dict(zip(names, given_weights, strict=True)))
    ranking = fusion.weighted(raw, given, scaling, {"image": others})
    assert repr(raw) == before  # inputs are never changed
    reference = {}
    for id in scores:
        known = {name: raw[name][id] for name in names if raw[name][id] is not None and not math.isnan(raw[name][id])}
        have = {name: scaling.one(name, value) for name, value in known.items()}
        if "image" not in have and id in others:
            have["image"] = scaling.one("image", others[id])
        total = sum(ranking.weights[name] for name in have)
        reference[id] = (
            sum(ranking.weights[name] / total * scaled for name, scaled in have.items()) if total > 0 else 0.0
        )
    assert ranking.scores == pytest.approx(reference)
    assert sorted(ranking.ids) == sorted(scores)
    keys = [(-ranking.scores[id], id) for id in ranking.ids]
    assert keys == sorted(keys)
    for id in scores:
        parts = ranking.signals(id)
        assert sum(part.contribution for part in parts.values()) == pytest.approx(ranking.scores[id])
        assert all(0 <= part.scaled <= 1 for part in parts.values())


@pytest.mark.parametrize(
    ("raw", "scaled"),
    [(-1.0, 0.0), (0.2, 0.0), (0.4, 0.5), (0.6, 1.0), (0.9, 1.0), (NAN, 0.0)],
)
def test_a_calibrated_span(raw: float, scaled: float) -> None:
    scaling = fusion.Scaling({"lexical": 2.0}, {"text": (0.2, 0.6)})
    assert scaling.one("text", raw) == pytest.approx(scaled)
    assert scaling.one("image", 0.4) == pytest.approx(0.4)  # not named: the defaults
    assert fusion.Scaling.from_json(scaling.to_json()) == scaling


def test_a_stand_in_counts_where_there_is_no_vector() -> None:
    raw = {"lexical": {"a": 12.0, "b": 4.0, "c": 0.0}, "text": {"a": None, "b": None, "c": 0.05}}
    ranking = fusion.weighted(raw, {"lexical": 0.5, "text": 0.5}, imputed={"text": {"a": 0.3, "c": 0.9}})
    part, weight = ranking.signals("a")["text"], ranking.weights["text"]
    assert part == SignalScore(None, 0.3, pytest.approx(weight), pytest.approx(weight * 0.3))
    assert ranking.signals("b")["text"] == SignalScore(None, 0.0, 0.0, 0.0)  # nothing is known: only its words count
    assert ranking.scores["b"] == pytest.approx(4 / (4 + 4))
    assert ranking.signals("c")["text"].scaled == pytest.approx(0.05)  # its own, whatever stands in


@pytest.mark.parametrize(
    "data",
    [
        {"half": {"lexical": 0}},
        {"span": {"text": [NAN, 0.1]}},
        {"span": {"text": [0.5, 0.5]}},
        {"half": {"lexical": NAN}},
    ],
)
def test_no_scaling(data: dict) -> None:
    with pytest.raises(ValueError, match="no scaling"):
        fusion.Scaling.from_json(data)
