"""The store of trained models: versions in parts, whole or not there; and which one is active."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid.elastic.stores import models
from hybrid.elastic.stores.models import MODELS, PART_BYTES, ModelVersions, Pointer
from hybrid.errors import ClusterError, ModelConflictError, ModelMissingError, ModelVersionError
from hybrid.services import Services
from tests.support.raw import client_of

pytestmark = pytest.mark.es

ABOUT = {"method": "cca", "encoders": {"text": {"spec": "toy", "version": "toy+1"}}, "report": {"pairs": 3}}
DATA = bytes(range(256)) * 10_000  # 2.56 MB: three parts


@pytest.fixture
def store(services: Services) -> ModelVersions:
    return services.models("alignment")


def parts_of(services: Services, version: str) -> list[dict[str, Any]]:
    query = {"bool": {"filter": [{"term": {"version": version}}, {"terms": {"role": ["part", "writing"]}}]}}
    client_of(services).indices.refresh(index=MODELS)
    return [hit for hit in client_of(services).search(index=MODELS, query=query, size=100)["hits"]["hits"]]


def test_a_version_is_kept_in_parts_and_read_back(services: Services, name: str, store: ModelVersions) -> None:
    store.add(name, f"{name}-1", ABOUT, DATA)
    parts = parts_of(services, f"{name}-1")
    assert len(parts) == 3  # and no note of the write
    assert max(len(part["_source"]["data"]) for part in parts) <= PART_BYTES * 4 / 3 + 4
    head, data = store.get(f"{name}-1")
    assert data == DATA
    assert {key: head[key] for key in ("kind", "index", "version", "method", "report", "parts", "size")} == {
        "kind": "alignment", "index": name, "version": f"{name}-1", "method": "cca", "report": {"pairs": 3},
        "parts": 3, "size": len(DATA),
    }  # fmt: skip
    store.add(name, f"{name}-2", ABOUT, b"")
    assert store.get(f"{name}-2")[1] == b""
    listed = store.heads(name)
    assert [one["version"] for one in listed] == [f"{name}-2", f"{name}-1"] and "report" not in listed[0]
    assert store.next_name(name, name) == f"{name}-3"
    assert services.models("tags").heads(name) == []
    with pytest.raises(ModelVersionError, match="already; choose another name"):
        store.add(f"{name}-other", f"{name}-1", ABOUT, DATA)
    with pytest.raises(ModelVersionError, match="no version can be named 'none'"):
        store.add(name, models.NONE, ABOUT, DATA)
    store.remove(f"{name}-1")
    assert parts_of(services, f"{name}-1") == []
    for missing in (store.head, store.get, store.remove):
        with pytest.raises(ModelMissingError, match=f"no alignment version '{name}-1'"):
            missing(f"{name}-1")


def test_names_of_weights_are_an_indexs_own(services: Services, name: str) -> None:
    weights = services.models("weights")
    for index, data in ((name, b"one"), (f"{name}-b", b"two")):
        weights.add(index, "gate-1", {"method": "gate"}, data)
    assert [weights.get("gate-1", index)[1] for index in (name, f"{name}-b")] == [b"one", b"two"]
    assert weights.latest(name, "gate") == "gate-1" and weights.latest(name, "attention") is None
    with pytest.raises(ModelMissingError, match="no weights version 'gate-1' for index"):
        weights.head("gate-1", f"{name}-c")


@pytest.mark.parametrize(("change", "why"), [
    (None, "part 2 of 3 is missing"),
    ({"data": "AAAA"}, "part 2 of 3 does not match its checksum"),
    ({"data": "no base64!"}, "part 2 of 3 does not match its checksum"),
])  # fmt: skip
def test_damage_is_one_clear_line(
    services: Services, name: str, store: ModelVersions, change: dict[str, str] | None, why: str
) -> None:
    store.add(name, f"{name}-1", ABOUT, DATA)
    [second] = [part["_id"] for part in parts_of(services, f"{name}-1") if part["_id"].endswith(":1")]
    if change is None:
        client_of(services).delete(index=MODELS, id=second)
    else:
        client_of(services).update(index=MODELS, id=second, doc=change)
    with pytest.raises(ModelVersionError) as caught:
        store.get(f"{name}-1")
    assert str(caught.value) == (f"alignment '{name}-1' is damaged ({why}); train another, or apply the version before")


def test_parts_of_another_order_are_told(services: Services, name: str, store: ModelVersions) -> None:
    store.add(name, f"{name}-1", ABOUT, DATA)
    parts = parts_of(services, f"{name}-1")
    for part, other in zip(parts, parts[1:] + parts[:1], strict=True):
        client_of(services).index(index=MODELS, id=part["_id"], document=other["_source"])
    with pytest.raises(ModelVersionError, match="its parts are not those that were written"):
        store.get(f"{name}-1")


def test_what_a_write_left_that_died_is_deleted(
    services: Services, name: str, store: ModelVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(self: ModelVersions, write: str, parts: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "store_unchanged", lambda *_, **__: die(store, "", 0))
    with pytest.raises(KeyboardInterrupt):
        store.add(name, f"{name}-1", ABOUT, DATA)
    monkeypatch.undo()
    assert len(parts_of(services, f"{name}-1")) == 4
    assert store.heads(name) == []
    with pytest.raises(ModelMissingError):
        store.get(f"{name}-1")
    store.sweep()
    assert len(parts_of(services, f"{name}-1")) == 4  # somebody may be writing them
    assert store.sweep("0s") == 1
    assert parts_of(services, f"{name}-1") == []
    store.add(name, f"{name}-1", ABOUT, DATA)
    assert store.get(f"{name}-1")[1] == DATA


def test_a_write_that_was_taken_for_dead_ends(
    services: Services, name: str, store: ModelVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = models._digest

    def swept(data: bytes) -> str:
        if len(data) < PART_BYTES:  # the last part
            client_of(services).indices.refresh(index=MODELS)
            assert services.models("tags").sweep("0s") == 1
        return digest(data)

    monkeypatch.setattr(models, "_digest", swept)
    with pytest.raises(ModelVersionError, match="took too long"):
        store.add(name, f"{name}-1", ABOUT, DATA)
    assert parts_of(services, f"{name}-1") == [] and store.heads(name) == []


def test_a_write_that_the_cluster_refuses_leaves_nothing(
    services: Services, name: str, store: ModelVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "now", lambda *_: "no time")
    with pytest.raises(ClusterError):
        store.add(name, f"{name}-1", ABOUT, DATA)
    monkeypatch.undo()
    assert parts_of(services, f"{name}-1") == [] and store.heads(name) == []


def test_which_one_is_active(name: str, store: ModelVersions) -> None:
    assert store.pointer(name) == Pointer()
    with pytest.raises(ModelConflictError, match="nothing to roll back"):
        store.rollback(name)
    store.activate(name, "a")
    store.activate(name, "b", instead_of=["a"])
    store.activate(name, "b")  # twice is once
    pointer = store.pointer(name)
    assert (pointer.version, pointer.history, pointer.before) == ("b", ("a",), "a") and pointer.since
    with pytest.raises(ModelConflictError, match="somebody else made b of alignment active meanwhile"):
        store.activate(name, "c", instead_of=["a"])
    store.activate(name, "c", before="x")  # an index that was built anew by settings had x
    assert [store.rollback(name) for _ in range(3)] == ["x", "a", None]
    with pytest.raises(ModelConflictError, match="nothing to roll back"):
        store.rollback(name)
    store.activate(name, "d")
    assert store.pointed_at("d") == [name] and store.pointed_at("c") == []
    assert store.rollback(name, instead_of=["d"]) is None
