"""Stores of the layer and of the cluster are no indices of products, by whatever name they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hybrid.dropin import IncomingSearch
from hybrid.elastic.indices.own import is_own
from hybrid.elastic.stores.admin import AUDIT
from hybrid.errors import HybridError, RefusedError, UsageError
from hybrid.ingest.push import Operation
from hybrid.operations.attach import plan_attach
from hybrid.operations.doctor import examine
from hybrid.operations.indexing import plan_index, run_index
from hybrid.operations.reindex.planning import plan_reindex
from hybrid.operations.sync import run_sync
from hybrid.searches import SearchRequest
from hybrid.services import Services
from tests.conftest import make_services
from tests.support.raw import client_of
from web import create_app

pytestmark = pytest.mark.es


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("hybrid-audit", True), ("hybrid-admin", True), ("hybrid-whatever-comes", True), (".security-7", True),
        ("shop", False), ("hybrid", False), ("hybridshop", False), ("hybrid-bench-1", False), ("my-hybrid-a", False),
    ],
)  # fmt: skip
def test_which_names_are_own(name: str, own: bool) -> None:
    assert is_own(name) is own


@pytest.fixture(scope="module")
def services(engine: Any) -> Services:
    return make_services(engine, push_token="a token")


@pytest.fixture(scope="module", params=["store", "alias"])
def name(request: pytest.FixtureRequest, services: Services) -> Iterator[str]:
    """A store that somebody has attached in an earlier version, and an alias that points to it."""
    services.audit.end(services.audit.begin("ed", "look"), 200)
    client = client_of(services)
    meta = {"hybrid": {"fields": {}, "signals": {}, "language": "en", "attached": True}}
    client.indices.put_mapping(index=AUDIT, meta=meta)
    client.indices.put_alias(index=AUDIT, name="shops-alias")
    yield AUDIT if request.param == "store" else "shops-alias"
    client.indices.delete(index=AUDIT, ignore_unavailable=True)


WAYS: dict[str, Callable[[Services, str, Path], object]] = {
    "attach": lambda services, name, folder: plan_attach(services, name),
    "index": lambda services, name, folder: run_index(services, plan_index(services, _rows(folder), name, signals=[])),
    "reindex": lambda services, name, folder: plan_reindex(services, name),
    "sync": lambda services, name, folder: run_sync(services, name),
    "search": lambda services, name, folder: services.searcher.search(SearchRequest(name, "ed")),
    "suggest": lambda services, name, folder: services.searcher.suggest(name, "ed"),
    "product": lambda services, name, folder: services.searcher.product(name, "1"),
    "push": lambda services, name, folder: services.push(name, [Operation("1", None)]),
    "drop-in": lambda services, name, folder: services.dropin.search(name, {"query": {"match_all": {}}}, {}),
    "drop-in, several": lambda services, name, folder: services.dropin.msearch(
        [IncomingSearch(name, {"query": {"match_all": {}}}, {})], {}
    ),
}


def _rows(folder: Path) -> Path:
    path = folder / "rows.ndjson"
    path.write_text('{"id": "1", "title": "a lamp"}\n')
    return path


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_to_a_store(services: Services, name: str, way: str, tmp_path: Path) -> None:
    before = services.audit.list()
    with pytest.raises(HybridError) as refused:
        WAYS[way](services, name, tmp_path)
    assert isinstance(refused.value, UsageError)
    if not isinstance(refused.value, RefusedError):  # the drop-in says that it serves no such index
        assert "belong to Hybrid" in str(refused.value)
    assert services.audit.list() == before


def test_no_address_leads_to_a_store(services: Services, name: str) -> None:
    client = create_app(services).test_client()
    for path in ("/api/search?index={}", "/?index={}", "/media/{}/1", "/poster/{}/1", "/waveform/{}/1"):
        assert client.get(path.format(name)).status_code == 400, path
    headers = {"Authorization": "Bearer a token"}
    assert client.post(f"/api/documents/{name}", json=[{"_id": "1"}], headers=headers).status_code == 400
    assert client.post(f"/es/{name}/_search", json={}).status_code == 403


def test_stores_are_on_no_list(services: Services, name: str) -> None:
    assert name not in services.searcher.indices()
    assert name not in services.cluster.indices.others()
    assert any("belong to Hybrid" in check.detail for check in examine(services, name).checks)
