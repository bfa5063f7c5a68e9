"""Metrics on paper arithmetic, and judgments that cannot be read."""

from __future__ import annotations

from math import log2
from pathlib import Path

import pytest

from hybrid import evaluation
from hybrid.errors import UsageError


def test_measures_on_paper() -> None:
    ratings = {"q1": {"a": 3.0, "b": 1.0, "c": 0.0}, "q2": {"x": 2.0}}
    runs = {"q1": ["b", "u", "a"], "q2": ["u", "v"]}
    found = evaluation.measures(runs, ratings)
    dcg = 1 / log2(2) + 7 / log2(4)
    ideal = 7 / log2(2) + 1 / log2(3)
    assert found["ndcg@10"] == pytest.approx((dcg / ideal + 0) / 2, abs=1e-4)
    assert found["recall@10"] == pytest.approx((2 / 2 + 0) / 2)
    assert found["precision@10"] == pytest.approx((2 / 10 + 0) / 2)
    assert found["f1@10"] == pytest.approx((2 * 0.2 * 1 / 1.2 + 0) / 2, abs=1e-4)
    assert found["accuracy@10"] == pytest.approx(1 / 2)
    assert found["mrr"] == pytest.approx((1 + 0) / 2)
    assert found["judged@10"] == pytest.approx((2 / 3 + 0) / 2, abs=1e-4)


def test_a_query_without_hits_counts_as_zero() -> None:
    found = evaluation.measures({"q1": ["a"]}, {"q1": {"a": 1.0}, "q2": {"b": 1.0}})
    assert found["ndcg@10"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("query,docid\na,b\n", "columns query,docid,rating"),
        ("query,docid,rating\na,b,good\n", "line 2: rating 'good'"),
        ("query,docid,rating\n", "no judgments"),
        ("", "columns query,docid,rating"),
    ],
)
def test_judgments_that_cannot_be_read(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "j.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        evaluation.read_judgments(path)


def test_no_file_and_nothing_relevant(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no judgments file"):
        evaluation.read_judgments(tmp_path / "none.csv")
    path = tmp_path / "j.csv"
    path.write_text("query,docid,rating\na,b,0\n")
    with pytest.raises(UsageError, match="no judged query has a relevant product"):
        evaluation.evaluate(lambda request: None, "x", evaluation.read_judgments(path), ["bm25"])
