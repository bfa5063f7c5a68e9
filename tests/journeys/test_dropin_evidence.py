"""The evidence of words, and codes, in the drop-in's order: as the search API has them, in the shop's own shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from hybrid.elastic.retrieval import cosines, evidence
from hybrid.node import NodeStatus
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.search.evidence import EVIDENCE
from hybrid.searches import SearchRequest
from hybrid.services import Services
from tests.conftest import make_services
from tests.support.raw import client_of

pytestmark = pytest.mark.es

MAPPINGS = {
    "properties": {
        **{name: {"type": "text"} for name in ("title", "description", "sku")},
        "brand": {"type": "keyword"},
        "price": {"type": "double"},
    }
}
#: BM25 over the fields is the same for the first two; the second has the words of `green tea` side by side.
ROWS = [
    {"title": "Cup", "description": "green cup spoon bowl tea", "sku": "CU-A", "brand": "Acme", "price": 3.0},
    {"title": "Cup", "description": "cup spoon bowl green tea", "sku": "CU-B", "brand": "Acme", "price": 3.0},
    {"title": "Toner", "description": "ink", "sku": "MX-500/2", "brand": "Zoo", "price": 9.0},
    {"title": "Box for MX-500/2, MX-500/2", "description": "MX-500/2", "sku": "BX-7", "brand": "Acme", "price": 5.0},
    {"title": "Teapot", "description": "a pot", "sku": "TP-1", "brand": "Acme", "price": 7.0},
    *[
        {"title": f"Lamp l{at}", "description": "steel", "sku": f"LA-{at}", "brand": "Lux", "price": at}
        for at in range(9)
    ],
]
FIELDS = ["title^2", "description", "sku"]


class Shop:
    """A shop's own index that the layer is attached to."""

    def __init__(self, services: Services, index: str) -> None:
        self.services, self.index = services, index

    def ask(self, body: dict[str, Any], anew: bool = True) -> dict[str, Any]:
        """A ranked answer without its time. anew: as from a process that never made the search."""
        if anew:
            self.services.dropin._transport._cosines = cosines.KnownCosines()
        outcome = self.services.dropin.search(self.index, body, {})
        assert [str(one) for one in outcome.handled] == ["ranked"]
        return {key: value for key, value in orjson.loads(outcome.body).items() if key != "took"}

    def scores(self, query: dict[str, Any]) -> dict[str, float]:
        return {hit["_id"]: hit["_score"] for hit in self.ask({"query": query, "size": 20})["hits"]["hits"]}

    def direct(self, body: dict[str, Any]) -> dict[str, Any]:
        return dict(client_of(self.services).search(index=self.index, body=body).body)


def words(text: str) -> dict[str, Any]:
    return {"multi_match": {"query": text, "fields": FIELDS}}


@pytest.fixture(scope="module", params=[1, 3])
def shop(engine: NodeStatus, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """Of one shard, and of several."""
    services, index = make_services(engine), f"tdropin-evidence-{request.param}"
    client = client_of(services)
    client.indices.create(index=index, mappings=MAPPINGS, settings={"number_of_shards": request.param})
    operations = [part for at, row in enumerate(ROWS) for part in ({"index": {"_id": f"p{at}"}}, row)]
    client.bulk(index=index, operations=operations, refresh=True)
    run_attach(services, plan_attach(services, index))
    client.indices.refresh(index=index)
    yield Shop(services, index)
    client.indices.delete(index=index)


def test_scores_are_those_of_the_search_api(shop: Shop) -> None:
    """Where the same products are candidates: every product has one of these words."""
    query = "green tea cup lamp toner box teapot"
    own = shop.services.searcher.search(SearchRequest(shop.index, query, size=20)).hits
    assert set(EVIDENCE) <= set(own[0].signals) and len(own) == len(ROWS)
    assert shop.scores(words(query)) == pytest.approx({hit.id: hit.score for hit in own})


def test_what_stands_side_by_side_comes_first(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    found = shop.scores(words("green tea"))
    assert found["p1"] > found["p0"]
    monkeypatch.setattr(evidence, "clauses", lambda evidence: [])
    alike = shop.scores(words("green tea"))
    assert alike["p1"] == pytest.approx(alike["p0"])


def test_a_repeated_search_asks_for_no_evidence_and_answers_the_same(shop: Shop) -> None:
    body = {"query": words("green tea"), "aggs": {"by": {"terms": {"field": "brand"}}}}
    transport = shop.services.dropin._transport
    shop.ask(body)
    known = next(iter(transport._cosines._searches.values()))[1]
    assert all(set(one.evidence) == set(EVIDENCE) for one in known.values())
    assert shop.ask(body, anew=False) == shop.ask(body, anew=False) == shop.ask(body)


BOOSTS = [
    {"function_score": {"query": words("green tea"), "field_value_factor": {"field": "price"}}},
    {"bool": {"must": [words("green tea")], "should": [{"term": {"brand": {"value": "Acme", "boost": 2}}}]}},
    {"bool": {"must": [words("green tea")], "should": [{"term": {"brand": {"value": "Acme", "boost": 5_000}}}]}},
]


@pytest.mark.parametrize("query", [words("green tea"), *BOOSTS], ids=["words", "multiplied", "added", "pinned"])
def test_the_shape_is_the_shops_own(shop: Shop, query: dict[str, Any]) -> None:
    """Names, totals and counts are those of Elasticsearch itself, asked the first time and again."""
    body = {
        "query": {"bool": {"must": [query], "filter": [{"exists": {"field": "sku", "_name": "lexical.all"}}]}},
        "post_filter": {"range": {"price": {"lte": 8, "_name": "cheap"}}},
        "aggs": {"by": {"terms": {"field": "brand"}}},
        "highlight": {"fields": {"description": {}}},
    }
    expected = shop.direct(body)
    for answer in (shop.ask(body), shop.ask(body, anew=False), shop.ask(body, anew=False)):
        assert answer["hits"]["total"] == expected["hits"]["total"]
        assert answer["aggregations"] == expected["aggregations"]
        assert {hit["_id"] for hit in answer["hits"]["hits"]} == {hit["_id"] for hit in expected["hits"]["hits"]}
        for hit in answer["hits"]["hits"]:
            assert "lexical.all" in hit["matched_queries"] and set(hit["matched_queries"]) <= {"lexical.all", "cheap"}
            assert isinstance(hit["matched_queries"], list)
        assert b"title_cover" not in orjson.dumps(answer)


def test_an_index_without_the_field_of_all_text_is_ranked_by_its_fields(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "_ALL", "hybrid.none")
    without = shop.scores(words("green tea"))
    monkeypatch.setattr(evidence, "clauses", lambda evidence: [])
    assert without == shop.scores(words("green tea"))


def test_other_texts_beside_the_words_are_no_evidence(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    weaker = {"match": {"description": {"query": "steel bowl", "boost": 0.5}}}
    query = {"dis_max": {"queries": [words("green tea"), weaker]}}
    found = shop.scores(query)
    monkeypatch.setattr(evidence, "clauses", lambda evidence: [])
    assert found == shop.scores(query)


def test_the_product_with_the_code_comes_first(shop: Shop) -> None:
    for typed in ("MX-500/2", "mx 500/2", "box mx-500/2"):
        body = {"query": words(typed), "aggs": {"by": {"terms": {"field": "brand"}}}}
        expected = shop.direct(body)
        answer = shop.ask(body)
        assert [hit["_id"] for hit in answer["hits"]["hits"]][:2] == ["p2", "p3"]
        assert answer["hits"]["total"] == expected["hits"]["total"]
        assert answer["aggregations"] == expected["aggregations"]
        assert shop.ask(body, anew=False) == answer


def test_a_code_finds_nothing_that_the_shops_search_does_not(shop: Shop) -> None:
    within = {"bool": {"must": [words("mx-500/2")], "filter": [{"term": {"brand": "Acme"}}]}}
    shown = {"query": words("mx-500/2"), "post_filter": {"term": {"brand": "Acme"}}}
    for body in ({"query": within}, shown, {"query": {"match": {"title": "MX-500/2"}}}):
        assert [hit["_id"] for hit in shop.ask(body)["hits"]["hits"]] == ["p3"]
    boosted = {"function_score": {"query": words("mx-500/2"), "field_value_factor": {"field": "price"}}}
    assert list(shop.scores(boosted))[0] == "p2"
