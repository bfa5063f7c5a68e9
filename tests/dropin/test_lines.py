"""Boosts along a line: which queries have one, and when the candidates decide a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from hybrid.dropin.lines import Line, Straight
from hybrid.dropin.order import decides
from hybrid.dropin.recognise import recognise
from hybrid.elastic.retrieval.transport import Transport
from hybrid.node import NodeStatus
from tests.conftest import index_file, make_services, write_rows
from tests.support.serving import served
from web import create_app

WORDS: dict[str, Any] = {"match": {"title": "laptop bag"}}
IN_STOCK: dict[str, Any] = {"filter": {"term": {"stock": True}}, "weight": 1.3}
NEW: dict[str, Any] = {"gauss": {"price": {"origin": 20, "scale": 10}}}
BRAND: dict[str, Any] = {"term": {"brand": {"value": "hp", "boost": 3}}}


def functions(*given: dict[str, Any], query: dict[str, Any] = WORDS, **options: Any) -> dict[str, Any]:
    return {"function_score": {"query": query, "functions": list(given), **options}}


#: Query -> how many points its line has; 0 where it has none.
QUERIES: list[tuple[dict[str, Any], int]] = [
    (functions(IN_STOCK), 1),
    (functions(IN_STOCK, NEW, score_mode="sum", boost_mode="sum"), 2),
    (functions(IN_STOCK, NEW, score_mode="max", boost_mode="AVG", max_boost=2), 2),
    (functions(NEW, boost_mode="replace"), 2),
    (functions(IN_STOCK, boost_mode="max"), 0),
    (functions({"script_score": {"script": {"id": "of-the-score"}}}), 0),
    ({"function_score": {"query": WORDS, "field_value_factor": {"field": "price", "modifier": "log1p"}}}, 1),
    ({"bool": {"must": [WORDS], "should": [BRAND]}}, 2),
    ({"bool": {"must": [functions(IN_STOCK)], "filter": [{"range": {"price": {"gte": 11}}}]}}, 1),
    ({"bool": {"should": [functions(IN_STOCK), BRAND]}}, 2),
    ({"bool": {"should": [functions(IN_STOCK, min_score=0.5), BRAND], "minimum_should_match": 1}}, 2),
    ({"boosting": {"positive": WORDS, "negative": {"term": {"brand": "acer"}}, "negative_boost": 0.4}}, 1),
    ({"boosting": {"positive": {"bool": {"must": [WORDS], "should": [BRAND]}}, "negative": BRAND,
                   "negative_boost": 0.4}}, 2),
    ({"dis_max": {"queries": [functions(IN_STOCK), BRAND]}}, 0),
    ({"bool": {"should": [functions(IN_STOCK), functions(NEW)]}}, 0),
    ({"pinned": {"ids": ["p3"], "organic": WORDS}}, 0),
    (WORDS, 0),
]  # fmt: skip


@pytest.mark.parametrize(("query", "points"), QUERIES)
def test_a_line_is_read_from_the_query(query: dict[str, Any], points: int) -> None:
    seen = recognise({"query": query}, {"brand": "keyword", "stock": "boolean"})
    assert not seen.passes
    assert len(seen.line.points if seen.line else []) == points


def test_a_sort_with_a_tie_breaker_has_no_line() -> None:
    assert recognise({"query": functions(IN_STOCK), "sort": ["_score", {"price": "asc"}]}).line is None


def test_a_line_has_the_scores_of_two_points() -> None:
    line = Line.of(recognise({"query": {"bool": {"must": [WORDS], "should": [BRAND]}}}, ["brand"]).query or {})
    assert line and [one["bool"]["_name"] for one in line.named] == ["hybrid:one", "hybrid:zero"]
    both = Straight.of_hit({"matched_queries": {"hybrid:one": 4.0, "hybrid:zero": 3.0}})
    assert (both.at(0.0), both.at(0.5), both.at(10.0)) == (3.0, 3.5, 13.0)
    assert Straight.of_hit({}).at(7.0) == 0.0
    assert Straight.steepest([4.0]).at(0.5) == 2.0


@pytest.mark.parametrize(
    ("scores", "start", "end", "others", "wanted"),
    [
        ([9.0, 8.0, 7.0], 0, 2, 0.0, True),
        ([9.0, 8.0, 7.0], 0, 5, 0.0, True),  # these are all
        ([9.0, 8.0, 7.0], 0, 2, 7.5, True),
        ([9.0, 8.0, 7.0], 0, 2, 8.5, False),  # another product may be better than the second
        ([9.0, 8.0, 7.0], 0, 4, 1.0, False),  # the fourth is not known
        ([9.0, 8.0, 8.0], 0, 2, 0.0, False),  # the second may be the third elsewhere
        ([9.0, 9.0, 8.0], 0, 2, 0.0, True),
        ([9.0, 9.0, 8.0], 1, 3, 0.0, False),
        ([], 0, 10, 0.0, True),
    ],
)
def test_when_candidates_decide_a_page(scores: list[float], start: int, end: int, others: float, wanted: bool) -> None:
    assert decides(scores, start, end, others) is wanted


@pytest.fixture(scope="module")
def shop(engine: NodeStatus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elasticsearch]:
    folder = tmp_path_factory.mktemp("lines")
    # A few of what is searched for, and more that have a word of it than the list of words is long.
    titles = [f"laptop bag {'for work ' * n}" for n in range(9)] + [f"hand bag {'of wool ' * n}" for n in range(40)]
    rows = [
        {"id": f"p{n:02}", "title": title, "price": 10.0 + n * 7 % 41, "brand": ("hp", "acer", "dell")[n % 3],
         "stock": n % 2 == 0}
        for n, title in enumerate(titles)
    ]  # fmt: skip
    properties = {"title": "text", "brand": "keyword", "price": "double", "stock": "boolean"}
    mappings = {"properties": {name: {"type": kind} for name, kind in properties.items()}}
    services = make_services(engine)
    path = write_rows(folder / "rows.ndjson", rows)
    for shards in (1, 2):
        template = folder / f"template{shards}.json"
        template.write_text(json.dumps({"settings": {"number_of_shards": shards}, "mappings": mappings}))
        index_file(services, path, f"tlines-{shards}", folder, template=template, signals=["text"])
    with served(create_app(services)) as address, Elasticsearch(f"{address}/es") as client:
        yield client


#: What else a search with a boost may have.
MORE: list[dict[str, Any]] = [
    {"post_filter": {"term": {"brand": "hp"}}},
    {"min_score": 0.9},
    {"highlight": {"fields": {"title": {}}}, "docvalue_fields": ["price"], "version": True, "_source": ["brand"]},
]


@pytest.mark.es
@pytest.mark.parametrize(
    ("query", "more", "shards"),
    [
        *((query, {}, 1) for query, points in QUERIES if points),
        *((QUERIES[at][0], more, shards) for at in (0, 7) for more in MORE for shards in (1, 2)),
    ],
)
def test_the_layer_computes_what_the_cluster_would(
    shop: Elasticsearch, monkeypatch: pytest.MonkeyPatch, query: dict[str, Any], more: dict[str, Any], shards: int
) -> None:
    """A tie breaker makes the cluster compute the same search whole."""
    whole, finals = [], Transport.finals

    def counting(self: Transport, requests: Any, params: Any) -> Any:
        whole.extend(requests)
        return finals(self, requests, params)

    monkeypatch.setattr(Transport, "finals", counting)
    aggs = {"brands": {"terms": {"field": "brand"}}}
    pages = []
    for start, size in ((0, 3), (3, 3), (0, 100)):
        body = {"query": query, "aggs": aggs, "from": start, "size": size, **more}
        answer = shop.search(index=f"tlines-{shards}", body=body)
        assert answer.meta.headers["x-hybrid"] == "ranked"
        wanted = shop.search(index=f"tlines-{shards}", body={**body, "sort": ["_score", {"price": "asc"}]})
        assert answer["hits"]["total"] == wanted["hits"]["total"]
        assert answer["aggregations"] == wanted["aggregations"]
        scores, wanted_scores = ([hit["_score"] for hit in one["hits"]["hits"]] for one in (answer, wanted))
        assert scores == pytest.approx(wanted_scores, rel=1e-4)
        # Of products that are alike, another may stand at the end of the page.
        shown = {hit["_id"]: look(hit) for hit in wanted["hits"]["hits"]}
        ahead = [hit for hit in answer["hits"]["hits"] if hit["_score"] > 1.0001 * scores[-1]]
        assert all(look(hit) == shown[hit["_id"]] for hit in ahead)
        pages.append(len(whole))
    # The layer computed the first page, but where all scores are alike, or depend on the words of several shards.
    assert (pages[0] == 1) is not ("replace" in str(query) or (shards == 2 and "should" in str(query)))


def look(hit: dict[str, Any]) -> dict[str, Any]:
    """A hit without its place."""
    return {key: value for key, value in hit.items() if key not in ("_score", "sort")}
