"""What words ask for beside being words, on the real engine: phrases, exclusions and prices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hybrid.elastic.retrieval import bodies
from hybrid.elastic.retrieval.candidates import Retrieval
from hybrid.node import NodeStatus
from hybrid.search.searcher import Searcher
from hybrid.searches import SearchAnswer, SearchRequest
from hybrid.services import Services
from tests.conftest import index_file, make_services, write_rows
from tests.support.raw import client_of

pytestmark = pytest.mark.es

#: The words of each product; its id is the place in this list, its price ten times that.
TITLES = [
    "lamp", "red running shoes", "shoes for running, red", "blue running shoe", "USB-C cable", "usb cable, type c",
    "红色运动鞋", "运动鞋 蓝色", "红色的跑步运动鞋", "手机壳", "sofa", "couch", "settee", "couch cover", "leather sofa",
    "trainers", "grey settee chair", "couch table",
]  # fmt: skip


@pytest.fixture(scope="module")
def shop(engine: NodeStatus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, str]]:
    services, name = make_services(engine), f"tasking-{engine.es_version.replace('.', '-')}"
    folder = tmp_path_factory.mktemp("asking")
    rows = [
        {"id": str(at), "title": title, "price": 10.0 * at, "kind": "shoe" if "shoe" in title else "other"}
        for at, title in enumerate(TITLES)
    ]
    mapping = "id=id,title=title,price=price,category=kind"
    path = write_rows(folder / "rows.ndjson", rows)
    assert index_file(services, path, name, folder, signals=["text"], mapping=mapping).complete
    client_of(services).indices.refresh(index=name)
    yield services, name
    for concrete in list(client_of(services).indices.get(index=f"{name}*").body):
        client_of(services).indices.delete(index=concrete)


def ids(answer: SearchAnswer) -> set[int]:
    return {int(hit.id) for hit in answer.hits}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('"running shoes"', {1, 3}),
        ('"Running Shoe" -blue', {1}),
        ('-"running shoes" -sofa -couch -settee -鞋', {0, 2, 4, 5, 9, 15}),
        ('"usb c"', {4}),
        ('"usb-c"', {4}),
        ("「红色运动鞋」", {6}),
        ("「手机」", {9}),
        ('"running shoes" under 20', {1}),
        ("under 20", {0, 1}),
        ("50元以下 -lamp", {1, 2, 3, 4, 5}),
        ('"green shoes"', set()),
        ("lamp over 900", set()),
    ],
)
@pytest.mark.parametrize("system", ["fixed", "bm25", "text", "rrf"])
def test_what_is_asked_for_holds_for_every_signal(
    shop: tuple[Services, str], query: str, found: set[int], system: str
) -> None:
    services, name = shop
    answer = services.searcher.search(SearchRequest(name, query, system=system, size=50))
    assert ids(answer) == found
    assert answer.total == len(found)
    counts = {item["value"]: item["count"] for item in answer.facets["kind"]}
    shoes = sum("shoe" in TITLES[at] for at in found)
    assert counts == {key: n for key, n in (("shoe", shoes), ("other", len(found) - shoes)) if n}
    assert not answer.degraded and answer.understood


def test_pages_of_a_search_that_asks_for_more_are_one_list(shop: tuple[Services, str]) -> None:
    services, name = shop
    few = Searcher(services.retrieval, services.encoder, 3, services.published)
    pages = [few.search(SearchRequest(name, "-couch under 100", size=3, page=page)) for page in range(1, 6)]
    everything = [int(hit.id) for page in pages for hit in page.hits]
    assert sorted(everything) == list(range(10)) and {page.total for page in pages} == {10}


def test_a_query_that_has_none_of_it_is_sent_as_it_was(
    shop: tuple[Services, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    services, name = shop
    client = client_of(services)
    sent: list[Any] = []
    ask = client.msearch
    monkeypatch.setattr(client, "msearch", lambda **options: sent.append(options["searches"]) or ask(**options))
    Searcher(Retrieval(client), services.encoder, 20).search(SearchRequest(name, "red shoes 5 - 10"))
    (_, lexical, _, nearest) = sent[0]
    assert lexical["query"] == bodies.lexical_query("red shoe 5 10")
    assert "filter" not in nearest["query"]["knn"]
