"""Metrics and significance on paper arithmetic; runs and the report of an evaluation."""

from __future__ import annotations

import base64
import csv
import io
import re
from math import log2
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from ir_measures import nDCG
from PIL import Image

from hybrid.errors import UsageError
from hybrid.evaluation import evaluate, measures, pool, significance
from hybrid.evaluation.formats import read_judgments
from hybrid.evaluation.judgments import JudgedQuery, Judgments
from hybrid.evaluation.photos import file_name, judged_photo
from hybrid.evaluation.report import Curves, write_report
from hybrid.facts import Counted, Reason
from hybrid.searches import Hit, SearchAnswer, SearchRequest, SignalScore


def test_measures_on_paper() -> None:
    ratings = {"q1": {"a": 3.0, "b": 1.0, "c": 0.0}, "q2": {"x": 2.0}}
    runs = {"q1": ["b", "u", "a"], "q2": ["u", "v"]}
    found = measures.measures(runs, ratings)
    dcg = 1 / log2(2) + 7 / log2(4)
    ideal = 7 / log2(2) + 1 / log2(3)
    assert found["ndcg@10"] == pytest.approx((dcg / ideal + 0) / 2, abs=1e-4)
    assert found["recall@10"] == pytest.approx((2 / 2 + 0) / 2)
    assert found["precision@10"] == pytest.approx((2 / 10 + 0) / 2)
    assert found["f1@10"] == pytest.approx((2 * 0.2 * 1 / 1.2 + 0) / 2, abs=1e-4)
    assert found["accuracy@10"] == pytest.approx(1 / 2)
    assert found["mrr"] == pytest.approx((1 + 0) / 2)
    assert found["judged@10"] == pytest.approx((2 / 3 + 0) / 2, abs=1e-4)


def test_what_is_not_judged_is_taken_out_of_the_condensed_list() -> None:
    ratings = {"q1": {"a": 3.0, "b": 1.0, "c": 0.0}, "q2": {"x": 2.0}, "q3": {"y": 1.0}}
    strangers = [f"u{number}" for number in range(12)]
    found = measures.condensed({"q1": [*strangers, "c", "a"], "q2": [*strangers, "x"]}, ratings)
    ideal = 7 / log2(2) + 1 / log2(3)
    assert found == {"q1": pytest.approx(7 / log2(3) / ideal, abs=1e-4), "q2": 1.0, "q3": 0.0}


def test_how_many_queries_would_show_a_difference() -> None:
    gained = np.tile([0.1, -0.1], 50)  # a deviation of 0.1
    needed = significance.queries_needed(gained)
    assert needed == pytest.approx(((1.96 + 0.8416) * 0.1 / 0.01) ** 2, rel=0.02)  # 785
    assert needed == significance.queries_needed(gained + 0.3)
    drawn = np.random.default_rng(0).normal(0.01, 0.1, (2_000, needed))
    sure = np.abs(drawn.mean(1)) > 1.96 * drawn.std(1, ddof=1) / np.sqrt(needed)
    assert sure.mean() == pytest.approx(0.8, abs=0.03)
    assert significance.queries_needed(np.zeros(9)) is significance.queries_needed(np.array([0.5])) is None


def test_a_query_without_hits_counts_as_zero() -> None:
    found = measures.measures({"q1": ["a"]}, {"q1": {"a": 1.0}, "q2": {"b": 1.0}})
    assert found["ndcg@10"] == pytest.approx(0.5)


def test_a_rating_between_grades() -> None:
    found = measures.measures({"q": ["b", "a"]}, {"q": {"a": 1.5, "b": 0.9}})
    high, low = 2**1.5 - 1, 2**0.9 - 1
    assert found["ndcg@10"] == pytest.approx((low + high / log2(3)) / (high + low / log2(3)), abs=2e-3)
    assert found["precision@10"] == pytest.approx(0.1)  # 0.9 is short of relevant


def test_comparison_on_paper() -> None:
    before = np.array([0.5, 0.5, 0.5, 0.5])
    after = np.array([0.9, 0.56, 0.44, 0.5])
    found = significance.compare({"bm25": before, "new": after}, "bm25")
    assert found["new"].difference == pytest.approx(0.1)
    assert (found["new"].hurt, found["new"].helped) == (0.25, 0.5)
    # Of the 8 sign patterns of the three differences, those as extreme as +.4 +.06 -.06: 6 of 8.
    assert found["new"].p == pytest.approx(6 / 8, abs=0.02)
    assert (found["bm25"].p, found["bm25"].difference) == (1.0, 0.0)
    assert found["new"].low < found["new"].mean < found["new"].high


def test_a_single_query_is_no_evidence() -> None:
    found = significance.compare({"bm25": np.array([0.2]), "new": np.array([0.9])}, "bm25")["new"]
    assert (found.difference, found.p, found.helped) == (0.7, 1.0, 1.0)


def answer(ids: list[str], reasons: list[Reason], weight: float = 0.5) -> SearchAnswer:
    hits = [
        Hit(id, 0.9 - rank / 10, {"lexical": SignalScore(7.1, 0.8, weight, 0.8 * weight)}, {"name": f"<b>{id}</b>"})
        for rank, id in enumerate(ids)
    ]
    weights = {"lexical": weight, "text": 1 - weight}
    counted = Counted("all", (), 200)
    return SearchAnswer(len(ids), hits, {}, 1, 10, "gate", weights, "gate-1", counted, reasons=reasons, took_ms=2.0)


@pytest.fixture
def judged() -> Judgments:
    return Judgments({"lamp": {"a": 3.0, "b": 0.0}, "mug": {"c": 2.0}, "nothing": {"a": 0.0}})


@pytest.fixture
def result(judged: Judgments) -> evaluate.Evaluation:
    given = {
        ("bm25", "lamp"): answer(["a", "b"], []),
        ("bm25", "mug"): answer(["b"], []),
        ("gate", "lamp"): answer(["b", "x", "a"], [Reason("several words", True, "text", 0.3)], 0.2),
        ("gate", "mug"): answer(["c"], [], 0.9),
    }
    return evaluate.evaluate(lambda request: given[str(request.system), request.q], "shop", judged, ["bm25", "gate"])


def test_evaluation_leaves_out_queries_with_nothing_relevant(result: evaluate.Evaluation) -> None:
    found = result.to_json()
    assert (found["queries"], found["baseline"]) == (2, "bm25")
    assert found["systems"]["gate"]["per_query"] == {"lamp": 0.5, "mug": 1.0}
    assert found["systems"]["bm25"]["ndcg@10"] == pytest.approx(0.5)
    assert (found["systems"]["gate"]["hurt"], found["systems"]["gate"]["helped"]) == (0.5, 0.5)
    assert found["kinds"] == {"single word": {"queries": 2, "ndcg@10": {"bm25": 0.5, "gate": 0.75}}}
    assert list(found["systems"]["gate"])[:3] == ["ndcg@10", "condensed@10", "judged@10"]
    assert (found["systems"]["bm25"]["queries_needed"], found["systems"]["gate"]["queries_needed"]) == (None, 88300)
    with pytest.raises(UsageError, match="no judged query has a relevant product"):
        evaluate.evaluate(lambda request: answer([], []), "x", Judgments({"q": {"a": 0.0}}), ["bm25"])


def test_the_condensed_list_is_made_of_more_than_the_page() -> None:
    asked = []

    def search(request: SearchRequest) -> SearchAnswer:
        asked.append((request.size, request.bare))
        return answer([*(f"u{number}" for number in range(20)), "a"][: request.size], [])

    found = evaluate.evaluate(search, "shop", Judgments({"lamp": {"a": 3.0}}), ["bm25"]).systems["bm25"]
    assert asked == [(10, False), (10, False), (100, True)]
    assert (found.measures["ndcg@10"], found.measures["condensed@10"], found.measures["judged@10"]) == (0.0, 1.0, 0.0)
    assert len(found.answers["lamp"].hits) == 10


def test_what_to_rate_comes_out_and_goes_in_again(
    result: evaluate.Evaluation, judged: Judgments, tmp_path: Path
) -> None:
    assert [(row.query, row.product, row.shown) for row in result.unjudged()] == [
        ("mug", "b", {"bm25": 1}), ("lamp", "x", {"gate": 2}),
    ]  # fmt: skip
    shown = {"a": {"q": ["same", "low", "up"]}, "b": {"q": ["same", "up", "low", "=1+1"]}}
    rows = pool.unjudged(shown, {"q": {}})
    assert [row.product for row in rows] == ["=1+1", "low", "up", "same"]  # no system is told apart by the last
    assert [row.shown for row in pool.unjudged(shown, {"q": {"=1+1": 0.0, "low": 1.0, "up": 1.0}})] == [
        {"a": 1, "b": 1}
    ]
    searched, titles = pool.search_pool(
        lambda request: answer(["a", "new", '"quoted", with a comma'], []), "shop", judged, ["bm25"], 2, ("name",)
    )
    assert {row.query for row in searched} == {"lamp", "mug", "nothing"}  # what has nothing relevant is asked too
    (path,) = pool.write_pool(rows + searched, judged, titles, tmp_path / "rate.csv")
    with pytest.raises(UsageError, match="no judgments in it"):
        read_judgments(path)
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == ["query", "docid", "title", "rating", "shown"]
    assert (table[0]["docid"], table[-1]["title"], table[1]["shown"]) == (
        "'=1+1",
        '<b>"quoted", with a comma</b>',
        "a 2, b 3",
    )
    table[0]["rating"], table[-1]["rating"] = "3", "0"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    assert read_judgments(path).ratings == {"q": {"=1+1": 3.0}, searched[-1].query: {searched[-1].product: 0.0}}
    with pytest.raises(UsageError, match="cannot write"):
        pool.write_pool(rows, judged, titles, tmp_path / "none" / "rate.csv")


def test_photos_to_rate_go_with_their_list(tmp_path: Path) -> None:
    held = Judgments({"p.jpg": {"a": 3.0}}, queries={"p.jpg": JudgedQuery(image="p.jpg")}, photos={"p.jpg": b"photo"})
    rows = pool.unjudged({"image": {"p.jpg": ["a", "b"]}}, held.ratings)
    assert pool.write_pool(rows, held, {}, tmp_path / "rate.csv") == [tmp_path / "rate.csv", tmp_path / "p.jpg"]
    text = (tmp_path / "rate.csv").read_text("utf-8-sig")
    assert text == "query,image,docid,title,rating,shown\n,p.jpg,b,,,image 2\n"


def test_runs_read_by_another_tool_give_the_same_figures(result: evaluate.Evaluation, tmp_path: Path) -> None:
    written = evaluate.write_runs(result, tmp_path / "runs")
    assert {path.name for path in written} == {"qrels.txt", "qrels.queries.tsv", "bm25.run", "gate.run"}
    qrels = [
        ir_measures.Qrel(row.query_id, row.doc_id, 2**row.relevance - 1)
        for row in ir_measures.read_trec_qrels(str(tmp_path / "runs" / "qrels.txt"))
        if row.query_id != "3"
    ]
    for system in ("bm25", "gate"):
        run = list(ir_measures.read_trec_run(str(tmp_path / "runs" / f"{system}.run")))
        again = ir_measures.calc_aggregate([nDCG @ 10], qrels, run)[nDCG @ 10]
        assert again == pytest.approx(result.systems[system].measures["ndcg@10"], abs=1e-4)


def test_report_is_one_file_that_says_what_was_hurt(result: evaluate.Evaluation, tmp_path: Path) -> None:
    fewer = [{"judged": 0, "ndcg": 0.6, "low": 0.5, "high": 0.7}, {"judged": 44, "ndcg": 0.7, "low": 0.6, "high": 0.8}]
    skip = [{"threshold": 0.0, "ndcg": 0.7, "saved": 0.0}, {"threshold": 0.1, "ndcg": 0.69, "saved": 0.4}]
    write_report(result, tmp_path / "e.html", ("name",), Curves("gate-1", fewer, skip))
    page = (tmp_path / "e.html").read_text(encoding="utf-8")
    for part in ("Systems", "Wins and losses by query", "Weights over the queries", "number of judgments",
                 "Quality against skipped signals", "Queries that were hurt", "gate: 1 of 2",
                 "Kinds of query", "condensed@10", "88,300"):  # fmt: skip
        assert part in page
    assert "text +0.30, because the query has several words" in page
    assert "&lt;b&gt;a&lt;/b&gt;" in page and "<b>a</b>" not in page  # the shop's text is no markup
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing is fetched
    assert page.count("<svg") == page.count('role="img"') == 5
    with pytest.raises(UsageError, match="cannot write"):
        write_report(result, tmp_path / "none" / "e.html")


def photo_report(folder: Path, judged: Judgments, **options: int) -> str:
    """The report on judged photos that "text" loses, all of them."""
    given = {"bm25": answer(["a"], []), "text": answer(["b"], [])}
    result = evaluate.evaluate(lambda request: given[str(request.system)], "shop", judged, ["bm25", "text"])
    write_report(result, folder / "e.html", **options)
    return (folder / "e.html").read_text(encoding="utf-8")


def test_the_report_shows_judged_photos_small(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 255, (600, 900, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    (tmp_path / "j.csv").write_text("query,image,docid,rating\n,noise.png,a,3\nred,noise.png,a,3\nwords,,a,3\n")
    of_file = photo_report(tmp_path, read_judgments(tmp_path / "j.csv"))
    kept = judged_photo((tmp_path / "noise.png").read_bytes())
    name = file_name(kept.key)
    held = Judgments({name: {"a": 3.0}}, queries={name: JudgedQuery(image=name)}, photos={name: kept.data})
    of_list = photo_report(tmp_path, held)
    for page, count in ((of_file, 2), (of_list, 1)):
        shown = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)" alt="">', page)
        assert len(shown) == page.count("<img") == count
        assert {Image.open(io.BytesIO(base64.b64decode(one))).size for one in shown} == {(96, 64)}
        assert "named only" not in page and "http" not in page.replace("http://www.w3.org", "")
    # There is an end to what they add.
    size = len(re.findall(r"data:[^\"]+", of_file)[0])
    page = photo_report(tmp_path, read_judgments(tmp_path / "j.csv"), photos_bytes=size)
    assert page.count("<img") == 1 and "1 judged photos are named only" in page
    assert "<strong>red</strong> + noise.png" in page


def test_the_report_names_photos_that_went_meanwhile(tmp_path: Path) -> None:
    Image.new("RGB", (60, 60), "red").save(tmp_path / "red.png")
    (tmp_path / "j.csv").write_text("image,docid,rating\nred.png,a,3\n")
    given = {"bm25": answer(["a"], []), "text": answer(["b"], [])}
    judged = read_judgments(tmp_path / "j.csv")
    result = evaluate.evaluate(lambda request: given[str(request.system)], "shop", judged, ["bm25", "text"])
    (tmp_path / "red.png").unlink()
    write_report(result, tmp_path / "e.html")
    page = (tmp_path / "e.html").read_text(encoding="utf-8")
    assert "<img" not in page and "No longer there, or no picture any more: red.png." in page
