"""The proxy at /es on the real engine: a shop's program runs unmodified, and what it writes is enriched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from elasticsearch import ApiError, Elasticsearch, helpers
from pydantic import SecretStr

from hybrid.ingest.queue import TaskQueue
from hybrid.node import NodeStatus
from hybrid.operations.sync import run_sync
from hybrid.services import Services
from tests.conftest import make_services
from tests.support import web_services
from tests.support.serving import served
from tests.support.waiting import until
from web import create_app

pytestmark = pytest.mark.es

MAPPINGS = {
    "properties": {
        "name": {"type": "text"},
        "description": {"type": "text"},
        **{field: {"type": "keyword"} for field in ("brand", "category", "color")},
        "price": {"type": "double"},
    }
}


@pytest.fixture
def services(engine: NodeStatus, name: str) -> Services:
    return make_services(
        engine, dropin_proxy=True, dropin_proxy_indices=f"{name}, {name}-*", dropin_proxy_key=SecretStr("open")
    )


@pytest.fixture
def synced(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names that a worker was told to look at; this process looks at them in its place."""
    told: list[str] = []

    def sync(queue: TaskQueue, index: str) -> None:
        told.append(index)
        run_sync(services, index)

    monkeypatch.setattr(TaskQueue, "sync", sync)
    return told


def program(es: Elasticsearch, index: str) -> dict[str, Any]:
    """A small shop's program, as it was written for Elasticsearch; what it learns."""
    learned: dict[str, Any] = {"there": bool(es.indices.exists(index=index))}
    learned["made"] = es.indices.create(index=f"{index}-1", mappings=MAPPINGS, aliases={index: {}})["acknowledged"]
    rows = web_services.products()
    learned["indexed"] = es.index(index=index, id="p00", document=rows[0], refresh=True)["result"]
    actions = [{"_index": index, "_id": row["id"], "_source": row} for row in rows]
    learned["bulk"] = helpers.bulk(es, actions, chunk_size=10, refresh=True)
    learned["count"] = es.count(index=index, query={"term": {"color": "navy"}})["count"]
    properties = es.indices.get_mapping(index=index)[f"{index}-1"]["mappings"]["properties"]
    learned["mapping"] = {key: value for key, value in properties.items() if key in MAPPINGS["properties"]}
    found = es.search(index=index, query={"match": {"description": "lamp"}}, aggs={"b": {"terms": {"field": "brand"}}})
    learned["found"] = sorted(hit["_id"] for hit in found["hits"]["hits"])
    learned["brands"] = found["aggregations"]["b"]["buckets"]
    several = es.msearch(searches=[{"index": index}, {"size": 0}, {"index": f"{index}-1"}, {"size": 0}])
    learned["several"] = [one["hits"]["total"]["value"] for one in several["responses"]]
    learned["updated"] = es.update(index=index, id="p01", doc={"price": 1.0}, refresh=True)["result"]
    learned["price"] = es.get(index=index, id="p01", source_includes=["price"])["_source"]
    learned["mget"] = [one["found"] for one in es.mget(index=index, ids=["p01", "none"])["docs"]]
    learned["deleted"] = es.delete(index=index, id="p02", refresh=True)["result"]
    learned["gone"] = bool(es.exists(index=index, id="p02"))
    learned["missing"] = es.options(ignore_status=404).get(index=index, id="p02")["found"]
    with pytest.raises(ApiError) as conflict:
        es.create(index=index, id="p01", document={})
    learned["conflict"] = (conflict.value.meta.status, conflict.value.error)
    learned["stats"] = es.indices.stats(index=index, metric="docs")["_all"]["primaries"]["docs"]["count"]
    learned["shards"] = es.indices.get_settings(index=index)[f"{index}-1"]["settings"]["index"]["number_of_shards"]
    learned["nodes"] = len(es.nodes.info()["nodes"])
    es.indices.put_settings(index=index, settings={"refresh_interval": "5s"})
    es.indices.create(index=f"{index}-2", mappings=MAPPINGS)
    moves = [{"remove": {"index": f"{index}-1", "alias": index}}, {"add": {"index": f"{index}-2", "alias": index}}]
    learned["moved"] = es.indices.update_aliases(actions=moves)["acknowledged"]
    learned["empty"] = es.search(index=index)["hits"]["total"]["value"]
    learned["alias"] = list(es.indices.get_alias(name=index).body)
    learned["dropped"] = [es.indices.delete(index=f"{index}-{number}")["acknowledged"] for number in (1, 2)]
    return learned


def test_a_shops_program_runs_unmodified(engine: NodeStatus, services: Services, synced: list[str], name: str) -> None:
    with Elasticsearch(engine.es_url, api_key="open") as direct:
        wanted = program(direct, name)
        assert wanted["bulk"] == (36, []) and wanted["conflict"][0] == 409
        with served(create_app(services)) as address, Elasticsearch(f"{address}/es", api_key="open") as es:
            assert program(es, name) == wanted
        with served(create_app(make_services(engine))) as address, Elasticsearch(f"{address}/es") as es:
            with pytest.raises(ApiError) as refused:
                es.indices.create(index=name)
            assert refused.value.meta.status == 403
            assert not direct.indices.exists(index=name)


def test_what_is_written_through_the_proxy_is_enriched_at_once(
    engine: NodeStatus, services: Services, synced: list[str], name: str
) -> None:
    with (
        served(create_app(services)) as address,
        Elasticsearch(f"{address}/es", api_key="open") as es,
        Elasticsearch(engine.es_url) as direct,
    ):
        es.indices.create(index=f"{name}-1", mappings=MAPPINGS, aliases={name: {}})
        profile = services.searcher.profile(name)
        assert profile.attached and list(profile.signals) == ["text"]
        assert profile.fields.roles["title"] == ("name",) and "brand" in profile.fields.types
        rows = web_services.products()
        helpers.bulk(es, [{"_index": f"{name}-1", "_id": row["id"], "_source": row} for row in rows])
        vectors = {"exists": {"field": "hybrid.text"}}
        until(lambda: services.cluster.indices.count(name, vectors) == len(rows))
        assert set(synced) == {name}  # by the name that the schedule has for it
        answer = es.search(index=name, query={"match": {"description": "reading lamp"}})
        assert answer.meta.headers["x-hybrid"] == "ranked"
        assert answer["hits"]["hits"][0]["_source"]["category"] == "Lighting"

        es.update(index=name, id="p00", doc={"name": "Zebra kettle"}, refresh=True)
        renamed = {"term": {"hybrid.terms.title": "zebra"}}
        until(lambda: services.cluster.indices.count(name, renamed) == 1)

        # What the layer notes of an index stays there, whatever else is written beside it, and goes to no other index.
        noted = direct.indices.get_mapping(index=f"{name}-1")[f"{name}-1"]["mappings"]["_meta"]
        es.indices.put_mapping(index=name, meta={"team": "search"})
        after = direct.indices.get_mapping(index=f"{name}-1")[f"{name}-1"]["mappings"]["_meta"]
        assert after == {"team": "search", **noted}
        direct.indices.create(index=f"{name}-orders", aliases={f"{name}-both": {}})
        direct.indices.put_alias(index=f"{name}-1", name=f"{name}-both")
        with pytest.raises(ApiError, match="stands for 2 indices"):
            es.indices.put_mapping(index=f"{name}-both", meta={"team": "none"})
        assert direct.indices.get_mapping(index=f"{name}-1")[f"{name}-1"]["mappings"]["_meta"] == after
        direct.indices.delete_alias(index=f"{name}-*", name=f"{name}-both")

        # An index that the layer has no part in is searched as Elasticsearch itself does.
        direct.index(index=f"{name}-orders", id="1", document={"customer": "Ada"}, refresh=True)
        orders = es.search(index=f"{name}-orders", query={"match": {"customer": "ada"}})
        assert (orders["hits"]["total"]["value"], orders.meta.headers["x-hybrid"]) == (1, "forwarded")


def test_a_broker_that_is_gone_costs_the_caller_nothing(services: Services, name: str) -> None:
    """The next sync finds what was written."""
    alone = Services(services.settings.model_copy(update={"redis_url": "redis://127.0.0.1:9"}))
    client = create_app(alone).test_client()
    headers = {"Authorization": "ApiKey open"}
    assert client.put(f"/es/{name}", json={"mappings": MAPPINGS}, headers=headers).status_code == 200
    written = client.put(f"/es/{name}/_doc/1?refresh=true", json={"name": "Lamp"}, headers=headers)
    assert written.status_code == 201
    assert written.headers["Location"] == f"/{name}/_doc/1"
    assert run_sync(services, name).encoded == {"text": 1}
