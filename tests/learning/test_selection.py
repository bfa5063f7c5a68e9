"""Selection by evidence: what is chance is not chosen, what is planted is found; on scores, and on fitted weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from hybrid.learning.weights import fit, selection, validation
from hybrid.learning.weights.examples import Example
from hybrid.learning.weights.fit import Options
from hybrid.learning.weights.selection import Candidate, Step
from hybrid.search.features import Vocabulary
from hybrid.search.weights import Query

FOLDS, REPEATS = 5, 4


def test_the_bound_on_paper() -> None:
    gains = [np.array([0.1, 0.3]), np.array([0.3, 0.1])]
    mean, least = selection.least_gain(gains, 2.0, 0.975)
    # Of one fold: variance of the four, 0.04 / 3, over two queries; the corrected share is 1 / 2 + 2 / 2; 4 queries.
    assert mean == pytest.approx(0.2)
    assert least == pytest.approx(0.2 - 3.1824 * math.sqrt(1.5 * 0.04 / 3 / 2), abs=1e-4)
    assert selection.least_gain([np.full(10, 0.1)] * 5, 40, 0.98) == pytest.approx((0.1, 0.1))
    assert selection.least_gain([np.zeros(10)] * 5, 40, 0.98) == (0.0, 0.0)
    assert selection.least_gain([np.array([0.9])], 40, 0.98) == (0.9, -math.inf)  # one query is no evidence
    # Folds that differ by more than their queries do count as what they are.
    assert selection.least_gain([np.full(10, 0.0), np.full(10, 0.2)], 10, 0.98)[1] < 0


def test_each_kind_has_to_beat_the_one_in_force() -> None:
    folds = list(selection.folds_of(np.arange(40), 4, 1, 0))
    flat = {name: [np.full(10, level) for _ in folds] for name, level in
            (("fixed", 0.5), ("global", 0.6), ("gate", 0.55), ("attention", 0.7))}  # fmt: skip
    chosen, steps = selection.climb("fixed", ["global", "gate", "attention"], flat, folds)
    assert (chosen, [(step.kind, step.against, step.better) for step in steps]) == (
        "attention", [("global", "fixed", True), ("gate", "global", False), ("attention", "global", True)],
    )  # fmt: skip
    assert [step.sure for step in steps] == pytest.approx([1 - 0.02 / 3] * 3)
    assert selection.climb("fixed", ["gate"], {"fixed": flat["gate"], "gate": flat["gate"]}, folds)[0] == "fixed"
    assert str(Step("gate", "global", -0.0012, -0.0301, 0.99)) == (
        "gate is no better than global (-0.0012 nDCG@10, 99 % sure is -0.0301 or more)"
    )


def test_folds_only_report() -> None:
    """Whatever a candidate chooses, it has seen none of the rows that it is measured on."""
    seen: list[set[int]] = []

    def inner(rest: np.ndarray, held_out: np.ndarray) -> list[np.ndarray]:
        seen.append({*rest.tolist(), *held_out.tolist()})
        assert not set(rest) & set(held_out)
        return [np.zeros(len(held_out)), np.ones(len(held_out)), np.ones(len(held_out))]

    candidate = Candidate(
        "any", lambda rows, seed: selection.tuned("abc", inner, rows, seed), lambda fitted, rows: rows / 100
    )
    folds = list(selection.folds_of(np.arange(100, 130), 5, 2, 7))
    found = selection.cross_validated([candidate], folds, 7)["any"]
    assert found.fitted == ["b"] * 10  # of equals, the first
    for fold, part, scores in zip(folds, seen[::2], found.scores, strict=True):
        assert part == set(fold.rest.tolist()) and not part & set(fold.held_out.tolist())
        assert scores.tolist() == (fold.held_out / 100).tolist()
    assert selection.tuned("abc", inner, np.arange(3)) == "a"  # too few to choose by


def paired(queries: int, gains: Sequence[float], seed: int, noise: float = 0.02) -> tuple[str, list[Step]]:
    """Kinds one after the other, each of which changes half of the queries, some of them much."""
    rng = np.random.default_rng(seed)
    folds = list(selection.folds_of(np.arange(queries), FOLDS, REPEATS, seed))
    scores = {"fixed": [np.full(len(fold.held_out), 0.6) for fold in folds]}
    before = "fixed"
    for number, gain in enumerate(gains):
        change = np.where(rng.random(queries) < 0.5, 0.07 * rng.standard_t(4, queries), 0.0) + gain
        scores[f"kind {number}"] = [
            base + change[fold.held_out] + rng.normal(0, noise, len(fold.held_out)) + rng.normal(0, 0.005)
            for base, fold in zip(scores[before], folds, strict=True)
        ]
        before = f"kind {number}"
    return selection.climb("fixed", list(scores)[1:], scores, folds)


@pytest.mark.parametrize("queries", [20, 55, 300])
def test_chance_is_not_chosen(queries: int) -> None:
    assert sum(paired(queries, (0.0, 0.0), seed)[0] != "fixed" for seed in range(100)) <= 5


def test_a_planted_gain_is_found() -> None:
    found = [paired(300, (0.02, 0.0), seed) for seed in range(100)]
    assert sum(chosen != "fixed" for chosen, _ in found) >= 90
    assert sum(steps[1].better for _, steps in found) <= 5  # and nothing on top of it


# ---- with what is fitted -----------------------------------------------------------------------------

_CANDIDATES, _RELEVANT = 30, 4


def tables(queries: int, seed: int, shuffled: bool = False, spoken: bool = False) -> list[Example]:
    """Judged queries whose vectors tell more than `fixed` gives them: the best mixture has .02 more nDCG@10.

    shuffled: the ratings say nothing, as of other products. spoken: `fixed` is right for one half of the queries, and
    the other half are sentences in which words tell more: a mixture of their own gains .02 over all queries.
    """
    rng = np.random.default_rng(seed)
    words = ("red", "lamp", "tn-2110", "how", "cable", "mug")
    ids = [f"d{number:02}" for number in range(_CANDIDATES)]
    examples = []
    for number in range(queries):
        good = rng.choice(_CANDIDATES, _RELEVANT, replace=False)
        relevant = np.isin(np.arange(_CANDIDATES), good)
        sentence = spoken and number % 2 == 1
        by_words, by_meaning = (6.0, 0.2) if sentence else (3.2, 0.1 if spoken else 0.24)
        lexical = np.maximum(0, 8 + 3 * rng.normal(size=_CANDIDATES) + by_words * relevant)
        text = np.clip(0.5 + 0.1 * rng.normal(size=_CANDIDATES) + by_meaning * relevant, 0, 1)
        if shuffled:
            good = rng.choice(_CANDIDATES, _RELEVANT, replace=False)
        query = " ".join(rng.choice(words, rng.integers(1, 4))) + f" {number}"
        query = f"what is it that I need {number}" if sentence else query
        raw = {name: dict(zip(ids, row.tolist(), strict=True)) for name, row in (("lexical", lexical), ("text", text))}
        examples.append(Example(query, Query(query, query), raw, {ids[place]: 3.0 for place in good}))
    return examples


def trained(examples: list[Example], kinds: list[str], repeats: int = 1) -> tuple[str, list[Step]]:
    material = validation.prepare(examples, Vocabulary())
    folds = list(selection.folds_of(material.judged, FOLDS, repeats, 0))
    found = selection.cross_validated([validation.candidate(kind, material, Options()) for kind in kinds], folds)
    fixed = material.basis.model("global", fit.fixed_bias(material.basis.signals))
    before = [validation.predict(fixed, material, fold.held_out) for fold in folds]
    return selection.climb(
        "fixed", kinds, {"fixed": before, **{kind: one.scores for kind, one in found.items()}}, folds
    )


def test_weights_are_chosen_by_evidence() -> None:
    assert trained(tables(300, 0), ["global"], 2)[0] == "global"
    assert [trained(tables(60, seed, shuffled=True), ["global"], 2)[0] for seed in range(3)] == ["fixed"] * 3
    chosen, steps = trained(tables(40, 0, shuffled=True), ["global", "gate"])
    assert chosen == "fixed" and not steps[1].better
    assert trained(tables(300, 0, spoken=True), ["global", "kinds"])[0] == "kinds"
    assert trained(tables(60, 0, shuffled=True, spoken=True), ["global", "kinds"])[0] == "fixed"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_weights_of_shuffled_labels_are_not_chosen() -> None:
    chosen = [trained(tables(60, seed, shuffled=True), ["global", "kinds", "gate"])[0] for seed in range(100)]
    assert sum(kind != "fixed" for kind in chosen) <= 5
    chosen = [trained(tables(60, seed, shuffled=True, spoken=True), ["global", "kinds"])[0] for seed in range(100)]
    assert sum(kind != "fixed" for kind in chosen) <= 5


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_planted_gain_is_found_by_weights() -> None:
    found = [trained(tables(300, seed), ["global"], 2) for seed in range(100)]
    assert np.mean([steps[0].gain for _, steps in found]) == pytest.approx(0.02, abs=0.003)
    assert sum(chosen == "global" for chosen, _ in found) >= 90


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_planted_gain_of_a_kind_of_query_is_found() -> None:
    found = [trained(tables(300, seed, spoken=True), ["global", "kinds"], 2) for seed in range(100)]
    assert np.mean([steps[1].gain for _, steps in found]) == pytest.approx(0.02, abs=0.003)
    assert sum(chosen == "kinds" for chosen, _ in found) >= 90
