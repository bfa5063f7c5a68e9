"""Relevance with real models on real catalogues, against the figures of before (tests/measure/baseline.json)."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybrid.evaluation import evaluate
from hybrid.evaluation.formats import read_judgments
from hybrid.sample.queries import text_queries
from hybrid.searches import SearchRequest
from tests.conftest import Sample, index_file, make_services, real_services, write_rows
from tests.support.baseline import Baseline
from tests.support.chorus import judged_first
from tests.support.raw import client_of

pytestmark = [pytest.mark.es, pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(900)]
SYSTEMS = ["bm25", "text", "rrf", "fixed"]


@pytest.mark.es_both
def test_sample_text_queries(sample: Sample, baseline: Baseline) -> None:
    services, name, paths = sample
    judged = read_judgments(paths.judgments)
    result = evaluate.evaluate(services.searcher.search, name, judged, SYSTEMS).to_json()
    ndcg = {system: values["ndcg@10"] for system, values in result["systems"].items()}
    baseline.check("sample, words", **ndcg)
    assert all(values["degraded"] == 0 for values in result["systems"].values())
    assert ndcg["fixed"] > max(ndcg["bm25"], ndcg["text"])


@pytest.mark.es_both
def test_sample_photo_queries_find_the_category(sample: Sample, baseline: Baseline) -> None:
    services, name, paths = sample
    judged = read_judgments(paths.photo_queries)
    result = evaluate.evaluate(services.searcher.search, name, judged, ["image"]).to_json()
    baseline.check("sample, photos", precision=result["systems"]["image"]["precision@10"])


@pytest.mark.es_both
@pytest.mark.parametrize("query", ["无线耳机", "紅色運動鞋", "雨伞"])
def test_chinese_queries_find_chinese_products(sample: Sample, query: str, chinese_model: Path) -> None:
    services, name, _ = sample
    answer = services.searcher.search(SearchRequest(index=name, q=query, size=5))
    kind = {"无线耳机": "headphones", "紅色運動鞋": "sneakers", "雨伞": "umbrellas"}[query]
    found = [hit.source["category"] for hit in answer.hits]
    assert found[0] == kind
    assert found.count(kind) >= 3
    assert set(answer.weights) == {"lexical", "text_zh"} and not answer.notes and not answer.degraded


@pytest.mark.es_both
def test_sample_by_language(sample: Sample, chinese_model: Path, baseline: Baseline) -> None:
    """Chinese queries are found by meaning, and lose nothing by words; English ones know nothing of it."""
    services, name, paths = sample
    judged = read_judgments(paths.judgments)
    asked = {query.text: query for query in text_queries() if query.language == "zh"}
    chinese = replace(judged, ratings={text: judged.ratings[text] for text in asked})
    result = evaluate.evaluate(services.searcher.search, name, chinese, SYSTEMS).to_json()
    ndcg = {system: values["ndcg@10"] for system, values in result["systems"].items()}
    baseline.check("sample, Chinese words", **ndcg)
    assert ndcg["text"] >= 0.80 and ndcg["fixed"] >= 0.80 > 0.70 > ndcg["bm25"]
    answer = services.searcher.search(SearchRequest(index=name, q="red sneakers", size=3))
    assert set(answer.weights) == {"lexical", "text"}


def test_grocery_photos(engine: Any, shared: Path, tmp_path: Path, baseline: Baseline) -> None:
    services = real_services(engine)
    name = "tgrocery"
    report = index_file(services, shared / "grocery" / "products.ndjson", name, tmp_path)
    try:
        assert report.complete
        assert services.cluster.indices.count(name, {"exists": {"field": "hybrid.image"}}) == 81
        with (shared / "grocery" / "val.csv").open() as file:
            photos = list(csv.DictReader(file))[::6]
        found = 0
        for photo in photos:
            data = (shared / "grocery" / photo["image"]).read_bytes()
            answer = services.searcher.search(SearchRequest(index=name, image=data, size=5))
            found += photo["product_id"] in [hit.id for hit in answer.hits]
        baseline.check("grocery, photos", noise=1.5 / len(photos), top5=found / len(photos))  # by chance 0.06
    finally:
        client_of(services).indices.delete(index=f"{name}-000001")


@pytest.mark.parametrize(
    ("figures", "encoder", "count"),
    [
        ("chorus, minilm-words, 4381 products", "minilm-words", 4_381),
        pytest.param("chorus, minilm-words", "minilm-words", 19_406, marks=pytest.mark.long),
        pytest.param("chorus, minilm", "minilm", 19_406, marks=pytest.mark.long),
    ],
    ids=["part", "all", "all by the network"],
)
def test_chorus(
    engine: Any, shared: Path, tmp_path: Path, baseline: Baseline, figures: str, encoder: str, count: int
) -> None:
    """What is judged, and others. All products take minutes, most of them Elasticsearch's."""
    services = make_services(engine, text_encoder=encoder, es_timeout_s=30)
    judged = read_judgments(shared / "chorus" / "judgments.csv")
    products = judged_first(shared, {id for rated in judged.ratings.values() for id in rated})
    file = write_rows(tmp_path / "products.ndjson", products[:count])
    name = f"tchorus-{encoder}-{count}"
    try:
        report = index_file(services, file, name, tmp_path)
        assert (report.read, report.encoded, report.complete) == (count, count, True)
        assert services.cluster.indices.count(name, {"exists": {"field": "hybrid.text"}}) == count
        again = index_file(services, file, name, tmp_path)
        assert (again.written, again.encoded, again.unchanged) == (0, 0, count)
        result = evaluate.evaluate(services.searcher.search, name, judged, SYSTEMS).to_json()
        assert result["queries"] == 55
        ndcg = {system: values["ndcg@10"] for system, values in result["systems"].items()}
        baseline.check(figures, **ndcg)
        assert ndcg["fixed"] > ndcg["rrf"]
    finally:
        client_of(services).indices.delete(index=f"{name}-000001", ignore_unavailable=True)
