"""In step: what changed is found without reading the rest, by numbers that survive aliases, kills and two at once."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pytest

from hybrid.contracts import FieldMap, IndexProfile, VectorSignal
from hybrid.elastic.indices import changes
from hybrid.elastic.indices.changes import Checkpoint
from hybrid.errors import IndexConflictError
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.operations.sync import SyncReport, SyncRun, checked_profile, dispatch_sync, run_sync
from hybrid.searches import SearchRequest
from hybrid.services import Services
from tests.conftest import make_services
from tests.support.raw import client_of
from tests.support.shop_writer import compare, make_shop


def rows(count: int = 300) -> list[dict[str, Any]]:
    return [
        {"id": f"p{n}", "title": f"Lamp number {n}", "short_description": f"warm {n}", "price": n, "supplier": "Aurora"}
        for n in range(count)
    ]


def attached(services: Services, name: str, data: list[dict[str, Any]], shards: int = 1, index: str = "") -> None:
    make_shop(client_of(services), index or name, data, shards, alias=name if index else None)
    run_attach(services, plan_attach(services, name))
    run_sync(services, name)


def update(services: Services, name: str, ids: range, **doc: Any) -> None:
    operations = [part for n in ids for part in ({"update": {"_id": f"p{n}"}}, {"doc": doc})]
    assert not client_of(services).bulk(index=name, operations=operations)["errors"]


def figures(report: SyncReport) -> tuple[int, int, dict[str, int]]:
    return report.looked, report.written, report.encoded


# -- checkpoints, on paper -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("earlier", "expected"),
    [
        (None, {"0": -1, "1": -1}),
        (Checkpoint("a", {"0": ("h0", 5), "1": ("h1", 7)}), {"0": 5}),
        (Checkpoint("a", {"0": ("h0", 9), "1": ("h1", 7)}), {}),
        (Checkpoint("b", {"0": ("h0", 9), "1": ("h1", 7)}), {"0": -1, "1": -1}),  # another index behind the alias
        (Checkpoint("a", {"0": ("h0", 12), "1": ("h1", 7)}), {"0": -1}),  # the number went down: restored
        (Checkpoint("a", {"0": ("old", 5), "1": ("h1", 7)}), {"0": -1}),  # a forced primary has another history
        (Checkpoint("a", {"1": ("h1", 6)}), {"0": -1, "1": 6}),
    ],
)
def test_where_to_look_from(earlier: Checkpoint | None, expected: dict[str, int]) -> None:
    assert Checkpoint("a", {"0": ("h0", 9), "1": ("h1", 7)}).since(earlier) == expected


def test_an_empty_shard_needs_no_look() -> None:
    assert Checkpoint("a", {"0": ("h", -1)}).since(None) == {}


def test_the_query_for_what_plainly_lacks_something() -> None:
    profile = IndexProfile("i", FieldMap({}), {"text": VectorSignal("toy:8", "toy@8", 8)}, "en", "analysis-1")
    assert changes.incomplete_query(profile) == {
        "bool": {
            "should": [
                {"bool": {"must_not": [{"exists": {"field": "hybrid.meta.at"}}]}},
                {"bool": {"must_not": [{"term": {"hybrid.meta.analysis": "analysis-1"}}]}},
                {
                    "bool": {
                        "filter": [{"exists": {"field": "hybrid.meta.text.hash"}}],
                        "must_not": [{"exists": {"field": "hybrid.text"}}],
                    }
                },
                {
                    "bool": {
                        "filter": [{"exists": {"field": "hybrid.meta.text.hash"}}],
                        "must_not": [{"term": {"hybrid.meta.text.encoder": "toy@8"}}],
                    }
                },
            ],
            "minimum_should_match": 1,
        }
    }


# -- on the real engine --------------------------------------------------------------------------------------------


@pytest.mark.es_both
@pytest.mark.es
@pytest.mark.parametrize("shards", [1, 3])
def test_only_changes_are_looked_at_and_only_texts_encoded(services: Services, name: str, shards: int) -> None:
    attached(services, name, rows(), shards)
    assert figures(run_sync(services, name)) == (0, 0, {})
    update(services, name, range(10), title="Another lamp")
    update(services, name, range(10, 30), price=1)
    client_of(services).index(index=name, id="new", document={"title": "A new chair"})
    client_of(services).delete(index=name, id="p40")
    assert figures(run_sync(services, name)) == (31, 11, {"text": 11})
    # The layer's own writes are seen once more, and told from changes by their hashes.
    assert figures(run_sync(services, name)) == (11, 0, {})
    assert figures(run_sync(services, name)) == (0, 0, {})


@pytest.mark.es
def test_without_a_refresh_nothing_is_missed(services: Services, name: str) -> None:
    attached(services, name, rows(20))
    client_of(services).indices.put_settings(index=name, settings={"index.refresh_interval": "-1"})
    update(services, name, range(5), title="Unseen as yet")
    assert run_sync(services, name).encoded == {"text": 5}


@pytest.mark.es
def test_another_index_behind_the_alias(services: Services, name: str) -> None:
    attached(services, name, rows(20), index=f"{name}-1")
    make_shop(client_of(services), f"{name}-2", rows(25))
    swap = [{"remove": {"index": f"{name}-1", "alias": name}}, {"add": {"index": f"{name}-2", "alias": name}}]
    client_of(services).indices.update_aliases(actions=swap)
    with pytest.raises(IndexConflictError, match=f"hybrid attach {name}"):
        run_sync(services, name)
    report = run_attach(services, plan_attach(services, name))
    assert (report.documents, report.encoded) == (25, 25)
    swap = [{"remove": {"index": f"{name}-2", "alias": name}}, {"add": {"index": f"{name}-1", "alias": name}}]
    client_of(services).indices.update_aliases(actions=swap)
    back = run_sync(services, name)
    assert (back.whole, back.looked, back.written) == (True, 20, 0)


@pytest.mark.es
def test_a_crash_between_marking_and_encoding(services: Services, name: str) -> None:
    attached(services, name, rows(20))
    update(services, name, range(5), title="Changed")
    run = SyncRun(services, services.cluster.indices.read_profile(name), "job")
    assert run.look() == 5  # and here the process dies
    after = run_sync(services, name)
    assert (after.encoded, after.complete) == ({"text": 5}, True)


@pytest.mark.es
def test_many_at_once_are_as_one(engine: Any, services: Services, name: str) -> None:
    data = rows(200)
    attached(services, name, data)
    update(services, name, range(50), title="Changed")
    for row in data[:50]:
        row["title"] = "Changed"
    threads = [threading.Thread(target=run_sync, args=(make_services(engine), name)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run_sync(services, name).complete
    record = {str(row["id"]): row for row in data}
    assert compare(services, services.cluster.indices.read_profile(name), record).clean


@pytest.mark.es
def test_an_index_that_the_layer_made(services: Services, name: str, tmp_path: Any) -> None:
    from hybrid.operations import indexing
    from tests.conftest import write_rows

    path = write_rows(tmp_path / "c.ndjson", rows(20))
    indexing.run_index(services, indexing.plan_index(services, path, name), rejects_path=tmp_path / "r")
    first = run_sync(services, name)
    assert (first.whole, first.looked, first.written) == (True, 20, 0)
    update(services, name, range(3), title="Written past the layer")
    assert run_sync(services, name).encoded == {"text": 3}


@pytest.mark.es
def test_another_version_of_the_encoder_is_said(services: Services, name: str) -> None:
    attached(services, name, rows(5))
    mapping = client_of(services).indices.get_mapping(index=name).body[name]["mappings"]
    mapping["_meta"]["hybrid"]["signals"]["text"]["version"] = "toy@32+0"
    client_of(services).indices.put_mapping(index=name, meta=mapping["_meta"])
    with pytest.raises(IndexConflictError, match="run `hybrid attach .*` to make them anew"):
        checked_profile(services.cluster.indices, services.encoder, name)
    assert run_attach(services, plan_attach(services, name)).complete
    assert checked_profile(services.cluster.indices, services.encoder, name).signals["text"].version != "toy@32+0"


@pytest.mark.es
def test_the_alias_moves_while_a_look_is_under_way(services: Services, name: str) -> None:
    """Two indices filled alike have the same sequence numbers, so those alone do not tell their documents apart."""
    attached(services, name, rows(20), index=f"{name}-1")
    make_shop(client_of(services), f"{name}-2", rows(20))
    client_of(services).index(index=f"{name}-1", id="p3", document={"id": "p3", "title": "Changed"})
    client_of(services).index(index=f"{name}-2", id="p3", document={"id": "p3", "title": "Changed"})
    run = SyncRun(services, services.cluster.indices.read_profile(name), "job")
    before = client_of(services).get(index=f"{name}-2", id="p3")
    found = next(services.cluster.products.iterate(name, {"ids": {"values": ["p3"]}}, ["text"]))
    client_of(services).update(
        index=f"{name}-2", id="p3", doc={"price": 1}, if_seq_no=before["_seq_no"], if_primary_term=1
    )
    now_there = client_of(services).get(index=f"{name}-2", id="p3")
    found = [dataclasses.replace(found[0], seq_no=now_there["_seq_no"])]
    swap = [{"remove": {"index": f"{name}-1", "alias": name}}, {"add": {"index": f"{name}-2", "alias": name}}]
    client_of(services).indices.update_aliases(actions=swap)
    run.mark([found])
    assert "hybrid" not in client_of(services).get(index=f"{name}-2", id="p3")["_source"]
    with pytest.raises(IndexConflictError, match=f"hybrid attach {name}"):
        run.look()
    client_of(services).indices.refresh(index=f"{name}-2")
    assert services.cluster.indices.count(f"{name}-2", {"exists": {"field": "hybrid.meta.at"}}) == 0
    mapping = client_of(services).indices.get_mapping(index=f"{name}-2").body[f"{name}-2"]["mappings"]
    assert "hybrid" not in mapping["properties"]


@pytest.mark.es
def test_an_attach_that_died_after_it_changed_the_profile(services: Services, name: str) -> None:
    """What it had decided holds, so the next sync looks at all documents."""
    attached(services, name, rows(20))
    plan = plan_attach(services, name, mapping="title=supplier,description=")
    services.cluster.shops.add_layer(plan.shop, plan.profile)  # and here it dies
    report = run_sync(services, name)
    assert (report.whole, report.encoded, report.complete) == (True, {"text": 20}, True)
    record = {str(row["id"]): row for row in rows(20)}
    assert compare(services, services.cluster.indices.read_profile(name), record).clean


@pytest.mark.es
def test_a_name_that_has_come_to_stand_for_two_indices(services: Services, name: str) -> None:
    attached(services, name, rows(5), index=f"{name}-1")
    make_shop(client_of(services), f"{name}-2", rows(5), alias=name)
    with pytest.raises(IndexConflictError, match="stands for 2 indices"):
        run_sync(services, name)


@pytest.mark.es_both
@pytest.mark.es
def test_a_copy_under_another_id_is_found_under_its_own(services: Services, name: str) -> None:
    attached(services, name, rows(5))
    copied = client_of(services).get(index=name, id="p1")["_source"]
    client_of(services).index(index=name, id="copy", document=copied)
    report = run_sync(services, name)
    assert (report.written, report.encoded) == (1, {})
    assert client_of(services).get(index=name, id="copy")["_source"]["hybrid"]["id"] == "copy"
    found = services.searcher.search(SearchRequest(index=name, q="lamp number 1"))
    assert {hit.id for hit in found.hits[:2]} == {"p1", "copy"}
    assert figures(run_sync(services, name)) == (1, 0, {})


@pytest.mark.es
def test_a_worker_with_another_version_of_the_encoder_makes_no_vectors(
    services: Services, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attached(services, name, rows(5))
    update(services, name, range(2), title="Changed")
    run = SyncRun(services, services.cluster.indices.read_profile(name), "job")
    run.look()
    monkeypatch.setattr(services.encoder("toy:32"), "version", "toy@32+newer")
    with pytest.raises(IndexConflictError, match="and this machine has toy@32.newer"):
        run.enrich_here(["p0", "p1"])
    assert run.pending() == 2


@pytest.mark.es
def test_what_waits_in_the_queue_is_not_queued_again(services: Services, name: str) -> None:
    attached(services, name, rows(100))
    old = {"hybrid": {"meta": {"pending": ["text"], "at": "2020-01-01T00:00:00+00:00"}}}
    operations = [part for n in range(100) for part in ({"update": {"_id": f"p{n}"}}, {"doc": old})]
    client_of(services).bulk(index=name, operations=operations, refresh=True)
    queue = services.queue
    queue._app.control.purge()
    services.checkpoints.save(name, services.cluster.changes.position(name))
    depths = []
    for _ in range(3):
        dispatch_sync(services, name)
        depths.append(queue.depth())
    queue._app.control.purge()
    assert depths == [1, 1, 1]
