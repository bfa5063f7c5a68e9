"""Indexing on the real engine: what is written, skipped, encoded, carried, rejected, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import AuthorizationException
from elasticsearch.client import IndicesClient
from PIL import Image

from hybrid.elastic.indices import mappings
from hybrid.errors import ClusterUnreachableError, IndexConflictError, UsageError, WriteBlockedError
from hybrid.operations import indexing
from hybrid.operations.doctor import Check, examine
from hybrid.operations.indexing import IndexReport
from hybrid.operations.sync import run_sync
from hybrid.searches import SearchRequest
from hybrid.services import Services
from hybrid.settings import Settings
from tests.conftest import make_services, write_rows
from tests.support.raw import client_of

pytestmark = pytest.mark.es


def rows(count: int = 30, **extra: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": f"p{number}",
            "name": f"Lamp number {number}",
            "description": f"A warm lamp for desk {number}",
            "brand": ["Aurora", "Brightly"][number % 2],
            "price": 10 + number,
            **extra,
        }
        for number in range(count)
    ]


def run(services: Services, path: Path, name: str, **options: Any) -> IndexReport:
    plan = indexing.plan_index(services, path, name, **options)
    return indexing.run_index(services, plan, rejects_path=path.with_suffix(".rejects"))


def count(services: Services, name: str, field: str) -> int:
    return services.cluster.indices.count(name, {"exists": {"field": field}})


@pytest.mark.es_both
def test_first_run_second_run_one_change_one_price(services: Services, name: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "c.ndjson", rows())
    first = run(services, path, name)
    assert (first.read, first.written, first.encoded, first.unchanged, first.complete) == (30, 30, 30, 0, True)
    assert count(services, name, "hybrid.text") == 30
    second = run(services, path, name)
    assert (second.written, second.encoded, second.unchanged) == (0, 0, 30)

    changed = rows()
    changed[3]["description"] = "Quite another thing"
    changed[4]["price"] = 999
    write_rows(path, changed)
    third = run(services, path, name)
    # The new price is written, and its vector is carried over: only the new text is encoded.
    assert (third.written, third.encoded, third.unchanged) == (2, 1, 28)
    assert count(services, name, "hybrid.text") == 30
    assert count(services, name, "hybrid.codes.text") == 30
    assert services.searcher.product(name, "p4")["price"] == 999
    assert services.jobs.get(third.job)["status"] == "done"


def test_a_removed_field_is_gone(services: Services, name: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "c.ndjson", rows(5, note="old"))
    run(services, path, name)
    write_rows(path, rows(5))
    run(services, path, name)
    assert "note" not in services.searcher.product(name, "p1")


def test_dropped_vectors_are_noticed_and_made_again(services: Services, name: str, tmp_path: Path) -> None:
    """As on 9.2+ when somebody writes back a `_source` that hides vectors."""
    path = write_rows(tmp_path / "c.ndjson", rows(10))
    run(services, path, name)
    source = client_of(services).get(index=name, id="p2")["_source"]
    source["hybrid"].pop("text", None)
    client_of(services).index(index=name, id="p2", document=source, refresh=True)
    assert count(services, name, "hybrid.text") == 9
    again = run(services, path, name)
    assert (again.encoded, again.unchanged) == (1, 9)
    assert count(services, name, "hybrid.text") == 10


def test_an_interrupted_run_goes_on(services: Services, name: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "c.ndjson", rows(20))
    plan = indexing.plan_index(services, path, name)
    services.cluster.indices.ensure(plan.profile)
    with indexing.open_catalogue(path) as catalogue:
        loaded = services.ingester.load(plan.profile, list(catalogue.rows(["id"])))
    assert len(loaded.queued) == 20  # and now the process is killed
    assert count(services, name, "hybrid.text") == 0
    report = run(services, path, name)
    assert report.complete
    assert count(services, name, "hybrid.text") == 20
    assert count(services, name, "hybrid.meta.pending") == 0


def test_a_change_during_encoding_is_encoded_again(services: Services, name: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "c.ndjson", rows(3))
    plan = indexing.plan_index(services, path, name)
    services.cluster.indices.ensure(plan.profile)
    with indexing.open_catalogue(path) as catalogue:
        batch = list(catalogue.rows(["id"]))
    services.ingester.load(plan.profile, batch)
    encoder = services.encoder("toy:32")
    original, calls = encoder.encode_texts, []

    def interrupting(texts: Any) -> Any:
        calls.append(list(texts))
        if len(calls) == 1:  # the shop writes p1 while its old text is being encoded
            client_of(services).update(index=name, id="p1", doc={"description": "changed meanwhile"})
        return original(texts)

    encoder.encode_texts = interrupting  # type: ignore[method-assign]
    try:
        services.ingester.enrich(plan.profile, "job", [row.id for row in batch])
    finally:
        encoder.encode_texts = original  # type: ignore[method-assign]
    assert calls[1] == ["Lamp number 1. changed meanwhile"]
    assert services.searcher.product(name, "p1")["description"] == "changed meanwhile"


def test_rejects_do_not_stop_the_run(services: Services, name: str, tmp_path: Path) -> None:
    path = tmp_path / "c.ndjson"
    write_rows(path, rows(3))
    with path.open("ab") as file:
        file.write(b'{"id": "broken", \n{"id": "p1", "name": "again"}\n{"name": "no id"}\n')
        file.write(b'{"id": "x", "name": "reserved", "hybrid": 1}\n{"id": "last", "name": "The last one"}\n')
    report = run(services, path, name)
    assert report.rejects == {"bad_json": 1, "duplicate_id": 1, "missing_id": 1, "reserved_field": 1}
    assert not report.complete
    assert report.written == 4
    assert Path(str(report.rejects_file)).read_text().count("\n") == 4


def test_a_value_of_the_wrong_type_keeps_the_product(services: Services, name: str, tmp_path: Path) -> None:
    data = rows(40)
    path = write_rows(tmp_path / "c.ndjson", data)
    run(services, path, name)
    data.append({"id": "odd", "name": "Odd lamp", "price": "call us"})
    report = run(services, write_rows(path, data), name)
    assert not report.complete and report.misfits["price"].value == "call us"
    assert services.searcher.product(name, "odd")["price"] == "call us"


def test_pictures_and_their_failures(services: Services, name: str, tmp_path: Path) -> None:
    data = rows(6)
    for number, row in enumerate(data):
        row["image"] = f"images/{number}.png"
    (tmp_path / "images").mkdir()
    for number in range(4):
        Image.new("RGB", (40, 40), (number * 60, 10, 200)).save(tmp_path / "images" / f"{number}.png")
    (tmp_path / "images" / "4.png").write_bytes(b"not a picture")
    (tmp_path / "secret.png").write_bytes(b"x")
    path = write_rows(tmp_path / "c.ndjson", data)
    report = run(services, path, name)
    assert report.signals == ["lexical", "text", "image"]
    assert sum(report.failed.values()) == 2
    assert set(report.failed) <= {"image_missing", "image_unreadable", "image_unsupported"}
    assert count(services, name, "hybrid.image") == 4
    assert count(services, name, "hybrid.text") == 6  # a missing picture costs no text vector
    Image.new("RGB", (40, 40), (9, 9, 9)).save(tmp_path / "images" / "4.png")
    Image.new("RGB", (40, 40), (9, 99, 9)).save(tmp_path / "images" / "5.png")
    mended = run(services, path, name)
    assert mended.complete
    assert count(services, name, "hybrid.image") == 6
    client_of(services).indices.refresh(index="hybrid-dead-letters")
    assert services.dead_letters.counts(name) == {}


@pytest.mark.es_both
def test_other_dimensions_are_refused_before_anything_is_written(
    services: Services, name: str, engine: Any, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "c.ndjson", rows(5))
    run(services, path, name)
    other = make_services(engine, text_encoder="toy:16")
    with pytest.raises(IndexConflictError, match="holds text vectors of 32 dimensions"):
        run(other, path, name)
    assert run(services, path, name).unchanged == 5


def test_an_index_of_somebody_else_is_left_alone(services: Services, name: str, tmp_path: Path) -> None:
    client_of(services).index(index=name, id="1", document={"title": "theirs"}, refresh=True)
    path = write_rows(tmp_path / "c.ndjson", rows(5))
    with pytest.raises(IndexConflictError, match="was not made by Hybrid"):
        run(services, path, name)
    assert services.cluster.indices.count(name) == 1


def test_a_bad_index_name_a_bad_signal_a_bad_language(services: Services, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "c.ndjson", rows(5))
    with pytest.raises(UsageError, match="cannot be an index name"):
        run(services, path, "Shop Index")
    with pytest.raises(UsageError, match="no signal 'smell'"):
        run(services, path, "t-x", signals=["smell"])
    with pytest.raises(UsageError, match="no language 'xx'"):
        run(services, path, "t-x", language="xx")


def test_an_unreachable_cluster_is_one_line(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "c.ndjson", rows(5))
    services = Services(Settings(es_url="http://127.0.0.1:1", text_encoder="toy:8", image_encoder="toy:8"))
    with pytest.raises(ClusterUnreachableError, match="does not answer"):
        run(services, path, "t-x")


@pytest.mark.es_both
def test_a_full_disk_stops_the_run_with_one_line_and_loses_nothing(
    services: Services, name: str, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "c.ndjson", rows(5))
    run(services, path, name)
    block = "index.blocks.read_only_allow_delete"  # the very block that the flood-stage watermark sets
    # Elasticsearch lifts it by itself when it looks at a disk with room, as it does every 30 seconds. A run that it
    # let through so proves nothing: only one that ended under the block does, and another is made.
    for size in (8, 11, 14):
        client_of(services).indices.put_settings(index=name, settings={block: True})
        write_rows(path, rows(size))
        try:
            run(services, path, name)
        except WriteBlockedError as error:
            refused = str(error)
            break
        still = client_of(services).indices.get_settings(index=name, name=block, flat_settings=True)
        assert not still[name]["settings"].get(block), "a run wrote, or said that it did, into a blocked index"
    else:
        pytest.fail("Elasticsearch lifted the block three times within a run")
    assert "flood-stage watermark" in refused
    client_of(services).indices.put_settings(index=name, settings={block: None})
    report = run(services, path, name)
    assert (report.complete, report.unchanged, report.encoded) == (True, size - 3, 3)


def test_presence_is_asked_of_the_index(services: Services, name: str, tmp_path: Path) -> None:
    run(services, write_rows(tmp_path / "c.ndjson", rows(4)), name)
    states = services.cluster.products.states(name, ["p0", "p3", "nope"], ["text", "image"])
    assert {id: set(state.present) for id, state in states.items()} == {"p0": {"text"}, "p3": {"text"}}


def kind(services: Services, index: str) -> str:
    (found,) = client_of(services).indices.get_mapping(index=index).body.values()
    return str(found["mappings"]["properties"]["hybrid"]["properties"]["text"]["index_options"]["type"])


@pytest.mark.es_both
def test_vectors_get_a_graph_when_they_have_become_many(
    services: Services, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dims = 32  # of the toy encoder
    monkeypatch.setattr(mappings, "SCANNED_BYTES", 40 * dims)
    path = write_rows(tmp_path / "c.ndjson", rows(30))
    run(services, path, name)
    run_sync(services, name)
    assert kind(services, name) == "int8_flat"
    before = services.searcher.search(SearchRequest(name, q="lamp 7", system="text", size=30))
    write_rows(path, rows(50))
    run(services, path, name)  # an index has the kind of its size when a run begins, and of the size it has come to
    run_sync(services, name)
    assert kind(services, name) == "int8_hnsw"
    assert count(services, name, "hybrid.text") == 50
    after = services.searcher.search(SearchRequest(name, q="lamp 7", system="text", size=50))
    scores = {hit.id: hit.score for hit in after.hits}
    assert len(scores) == 50
    assert [scores[hit.id] for hit in before.hits] == pytest.approx([hit.score for hit in before.hits])
    write_rows(path, rows(30))
    monkeypatch.setattr(mappings, "SCANNED_BYTES", 400 * dims)
    assert run(services, path, name).unchanged == 30
    assert kind(services, name) == "int8_hnsw"


@pytest.mark.es_both
def test_who_may_not_change_the_mapping_scans_on(
    services: Services, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(services, write_rows(tmp_path / "c.ndjson", rows(30)), name)
    monkeypatch.setattr(mappings, "SCANNED_BYTES", 20 * 32)

    def refuse(*_: Any, **__: Any) -> None:
        meta = ApiResponseMeta(403, "1.1", HttpHeaders(), 0.0, NodeConfig("http", "shop", 9200))
        raise AuthorizationException("security_exception", meta, {"error": {"type": "security_exception"}})

    def told() -> list[Check]:
        return [check for check in examine(services, name).checks if "scanned" in check.detail]

    with monkeypatch.context() as refused:
        refused.setattr(IndicesClient, "put_mapping", refuse)
        report = run_sync(services, name)
        assert report.complete and report.looked == 30
        assert kind(services, name) == "int8_flat"
        assert [(check.status, check.what) for check in told()] == [("note", "text vectors")]
    client_of(services).update(index=name, id="p0", doc={"name": "Another lamp"}, refresh=True)
    run_sync(services, name)
    assert kind(services, name) == "int8_hnsw" and not told()


def test_a_long_catalogue_gets_its_graph_while_it_is_read(
    services: Services, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mappings, "SCANNED_BYTES", 1_000 * 32)
    path = write_rows(tmp_path / "c.ndjson", rows(2_600))
    kinds = []
    enrich = services.ingester.enrich
    monkeypatch.setattr(services.ingester, "enrich", lambda *a: (kinds.append(kind(services, name)), enrich(*a))[1])
    run(services, path, name)
    assert kinds[0] == "int8_flat"
    assert kinds[-1] == "int8_hnsw"
