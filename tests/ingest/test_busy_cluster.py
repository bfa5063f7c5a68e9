"""A cluster that refuses half of the writes: a run waits and goes on, and ends only when nothing is accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import elastic_transport
import orjson
import pytest
from elasticsearch import ApiError

from hybrid.errors import ClusterBusyError
from hybrid.operations.indexing import plan_index, run_index
from hybrid.services import Services
from tests.conftest import make_services
from tests.support.raw import client_of

pytestmark = pytest.mark.es


class Busy:
    """The real client, but it refuses every other request that reads, and takes of bulks every other item, and none of
    every third."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.deaf = self.blind = False
        self.requests = self.refused = self.reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def options(self, **options: Any) -> Busy:
        return self

    def search(self, **options: Any) -> Any:
        return self._read("search", options)

    def mget(self, **options: Any) -> Any:
        return self._read("mget", options)

    def open_point_in_time(self, **options: Any) -> Any:
        return self._read("open_point_in_time", options)

    def _read(self, name: str, options: dict[str, Any]) -> Any:
        self.reads += 1
        if self.blind or self.reads % 2:
            raise refusal("a search")
        return getattr(self._client, name)(**options)

    def bulk(self, index: str, operations: list[Any], **options: Any) -> Any:
        self.requests += 1
        if self.deaf or self.requests % 3 == 0:
            raise refusal("a bulk")
        pairs = list(zip(operations[::2], operations[1::2], strict=True))
        taken = [pair for number, pair in enumerate(pairs) if number % 2 == 0]
        answer = self._client.bulk(index=index, operations=[part for pair in taken for part in pair], **options)
        items = iter(answer["items"])
        error = {"type": "es_rejected_execution_exception", "reason": "rejected execution of a write"}
        whole = []
        for number in range(len(pairs)):
            if number % 2 == 0:
                whole.append(next(items))
            else:
                self.refused += 1
                whole.append({"index": {"status": 429, "error": error}})
        return {"items": whole}


def refusal(what: str) -> ApiError:
    meta = elastic_transport.ApiResponseMeta(429, "1.1", elastic_transport.HttpHeaders(), 0.0, None)  # type: ignore[arg-type]
    reason = {"type": "es_rejected_execution_exception", "reason": f"rejected execution of {what}"}
    return ApiError("es_rejected_execution_exception", meta, {"error": reason})


def rows(folder: Path, count: int) -> Path:
    path = folder / "rows.ndjson"
    path.write_bytes(b"".join(orjson.dumps({"id": f"p{n}", "title": f"lamp {n}"}) + b"\n" for n in range(count)))
    return path


@pytest.fixture
def busy(engine: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Services, Busy]:
    monkeypatch.setattr("hybrid.elastic.indices.products._PAUSE_S", 0.01)
    monkeypatch.setattr("hybrid.elastic.client._PAUSE_S", 0.01)
    services = make_services(engine, es_patience_s=2.0)
    client = Busy(client_of(services))
    services.cluster.products._client = client  # type: ignore[assignment]
    return services, client


def test_a_run_goes_on_where_half_of_its_writes_are_refused(
    busy: tuple[Services, Busy], name: str, tmp_path: Path
) -> None:
    services, client = busy
    report = run_index(services, plan_index(services, rows(tmp_path, 300), name, signals=[]))
    assert client.refused > 100
    assert report.written == 300 and report.complete
    assert services.cluster.indices.count(name) == 300


def test_a_run_goes_on_where_half_of_its_reads_are_refused(
    busy: tuple[Services, Busy], name: str, tmp_path: Path
) -> None:
    services, client = busy
    path = rows(tmp_path, 60)
    run_index(services, plan_index(services, path, name, signals=[]))
    reads = client.reads
    path.write_bytes(path.read_bytes().replace(b"lamp", b"desk lamp"))
    report = run_index(services, plan_index(services, path, name, signals=["text"]))
    assert client.reads > reads + 3
    assert report.complete and report.written == 60
    assert len(list(services.cluster.products.iterate_ids(name, {"exists": {"field": "hybrid.text"}}))) == 60


def test_a_run_ends_with_the_way_out_where_nothing_is_accepted(
    busy: tuple[Services, Busy], name: str, tmp_path: Path
) -> None:
    services, client = busy
    client.deaf = True
    plan = plan_index(services, rows(tmp_path, 30), name, signals=[])
    with pytest.raises(ClusterBusyError, match=r"accepted none of 30 writes .*run the same command again"):
        run_index(services, plan)
    assert client.requests > 3


def test_a_run_ends_with_the_way_out_where_nothing_can_be_read(busy: tuple[Services, Busy], name: str) -> None:
    services, client = busy
    client_of(services).indices.create(index=name)
    client.blind = True
    with pytest.raises(ClusterBusyError, match=r"try again later \(it was asked for 2 s; HYBRID_ES_PATIENCE_S"):
        services.cluster.products.read(name, ["p1"])
    assert client.reads > 3
    at_once = services.cluster.products.within(0)
    with pytest.raises(ClusterBusyError, match="try again later$"):
        at_once.read(name, ["p1"])
