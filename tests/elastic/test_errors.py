"""An error of the cluster is told by its `error.type`, and by nothing that its sentence says."""

from __future__ import annotations

from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError, Elasticsearch

from hybrid.elastic.client import translate, translated, write_blocked
from hybrid.elastic.stores.base import ensure_store, store_unchanged, stored
from hybrid.errors import (
    AccessRefusedError,
    AlreadyExistsError,
    ClusterError,
    DocumentMissingError,
    HybridError,
    IndexMissingError,
    InvalidNameError,
    InvalidRequestError,
    MappingConflictError,
    VersionConflictError,
    WriteBlockedError,
)
from hybrid.services import Services
from tests.support.raw import client_of

META = ApiResponseMeta(400, "1.1", HttpHeaders(), 0.0, NodeConfig("http", "localhost", 9200))
ILLEGAL = "illegal_argument_exception"


def answered(status: int, body: Any) -> ApiError:
    return ApiError("", ApiResponseMeta(status, "1.1", META.headers, 0.0, META.node), body)


def failed(kind: str, reason: str = "for a reason of its own") -> dict[str, Any]:
    return {"error": {"root_cause": [{"type": kind, "reason": reason}], "type": kind, "reason": reason}}


@pytest.mark.parametrize(
    ("status", "body", "mapping", "expected"),
    [
        (404, failed("index_not_found_exception"), False, IndexMissingError),
        (400, failed("resource_already_exists_exception"), False, AlreadyExistsError),
        (400, failed("invalid_index_name_exception"), False, InvalidNameError),
        (400, failed("mapper_parsing_exception"), False, MappingConflictError),
        (400, failed(ILLEGAL), True, MappingConflictError),
        (400, failed(ILLEGAL, "mapper [x] cannot be changed"), False, InvalidRequestError),
        (400, failed("no_such_exception", "resource_already_exists"), False, InvalidRequestError),
        (405, {"error": "Incorrect HTTP method"}, False, InvalidRequestError),
        (409, failed("version_conflict_engine_exception"), False, VersionConflictError),
        (404, failed("document_missing_exception"), False, DocumentMissingError),
        (404, {"_index": "a", "_id": "1", "found": False}, False, DocumentMissingError),
        (404, {"_index": "a", "_id": "1", "result": "not_found"}, False, DocumentMissingError),
        (404, failed("resource_not_found_exception"), False, ClusterError),
        (403, failed("security_exception"), False, AccessRefusedError),
        (403, failed("cluster_block_exception"), False, WriteBlockedError),
        (500, failed("null_pointer_exception"), True, ClusterError),
    ],
)
def test_the_type_tells(status: int, body: Any, mapping: bool, expected: type[HybridError]) -> None:
    error = translate(answered(status, body), "shop", mapping)
    assert type(error) is expected
    assert "\n" not in str(error)


def test_a_full_disk_is_told_by_its_status() -> None:
    assert "flood-stage" in str(write_blocked("shop", "index [shop] blocked by: [x]", 429))
    assert "flood-stage" not in str(write_blocked("shop", "blocked by: [FORBIDDEN/8/read-only-allow-delete]", 403))


@pytest.mark.es
def test_the_cluster_says_these_types(services: Services, name: str) -> None:
    client: Elasticsearch = client_of(services)
    client.indices.create(index=name, mappings={"properties": {"x": {"type": "long"}}})
    with pytest.raises(AlreadyExistsError), translated(name):
        client.indices.create(index=name)
    with pytest.raises(InvalidNameError), translated(name):
        client.indices.create(index=f"{name}-UPPER")
    for properties in ({"x": {"type": "text"}}, {"y": {"type": "no_such_type"}}):
        with pytest.raises(MappingConflictError), translated(name, mapping=True):
            client.indices.put_mapping(index=name, properties=properties)
    client.indices.put_settings(index=name, settings={"index.mapping.total_fields.limit": 1})
    with pytest.raises(MappingConflictError), translated(name, mapping=True):
        client.indices.put_mapping(index=name, properties={"z": {"type": "long"}})
    with pytest.raises(DocumentMissingError), translated(name):
        client.get(index=name, id="1")
    with pytest.raises(DocumentMissingError), translated(name):
        client.delete(index=name, id="1")
    with pytest.raises(DocumentMissingError), translated(name):
        client.update(index=name, id="1", doc={"x": 1})
    assert stored(client, name, "1") is None
    first = store_unchanged(client, name, "1", {"x": 1}, None)
    assert first is not None
    assert store_unchanged(client, name, "1", {"x": 2}, None) is None
    assert store_unchanged(client, name, "1", {"x": 2}, first) is not None
    assert store_unchanged(client, name, "1", {"x": 3}, first) is None
    with pytest.raises(InvalidRequestError), translated():
        client.indices.analyze(analyzer="no_such_analyzer", text="a")


@pytest.mark.es
def test_another_process_may_make_a_store_first(services: Services, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client: Elasticsearch = client_of(services)
    ensure_store(client, name, "jobs")
    monkeypatch.setattr(type(client.indices), "exists", lambda self, **_: False)  # looked before it was there
    ensure_store(client, name, "jobs")
    with pytest.raises(InvalidNameError):
        ensure_store(client, f"{name}-UPPER", "jobs")
