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
    """The real client, but for bulks: it takes every other item, and no item of every third request."""

    def __init__(self, client: Any, deaf: bool = False) -> None:
        self._client, self._deaf = client, deaf
        self.requests = self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def options(self, **options: Any) -> Busy:
        return self

    def bulk(self, index: str, operations: list[Any], **options: Any) -> Any:
        self.requests += 1
        if self._deaf or self.requests % 3 == 0:
            meta = elastic_transport.ApiResponseMeta(429, "1.1", elastic_transport.HttpHeaders(), 0.0, None)  # type: ignore[arg-type]
            reason = {"type": "es_rejected_execution_exception", "reason": "rejected execution of a bulk"}
            raise ApiError("es_rejected_execution_exception", meta, {"error": reason})
        pairs = list(zip(operations[::2], operations[1::2], strict=True))
        taken = [pair for number, pair in enumerate(pairs) if number % 2 == 0]
        answer = self._client.bulk(index=index, operations=[part for pair in taken for part in pair], **options)
        items = iter(answer["items"])
        refusal = {"type": "es_rejected_execution_exception", "reason": "rejected execution of a write"}
        whole = []
        for number in range(len(pairs)):
            if number % 2 == 0:
                whole.append(next(items))
            else:
                self.refused += 1
                whole.append({"index": {"status": 429, "error": refusal}})
        return {"items": whole}


def rows(folder: Path, count: int) -> Path:
    path = folder / "rows.ndjson"
    path.write_bytes(b"".join(orjson.dumps({"id": f"p{n}", "title": f"lamp {n}"}) + b"\n" for n in range(count)))
    return path


@pytest.fixture
def busy(engine: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Services, Busy]:
    monkeypatch.setattr("hybrid.elastic.indices.products._PAUSE_S", 0.01)
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


def test_a_run_ends_with_the_way_out_where_nothing_is_accepted(
    busy: tuple[Services, Busy], name: str, tmp_path: Path
) -> None:
    services, client = busy
    client._deaf = True
    plan = plan_index(services, rows(tmp_path, 30), name, signals=[])
    with pytest.raises(ClusterBusyError, match=r"accepted none of 30 writes .*run the same command again"):
        run_index(services, plan)
    assert client.requests > 3
