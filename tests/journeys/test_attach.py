"""Attaching to a shop's own index: what is added, what stands in the way, what is never touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from hybrid.elastic.indices import shop
from hybrid.errors import HybridError, IndexConflictError, UsageError
from hybrid.operations import indexing, runs
from hybrid.operations.attach import AttachReport, estimate, plan_attach, run_attach
from hybrid.operations.sync import run_sync
from hybrid.searches import SearchRequest
from hybrid.services import Services
from tests.conftest import make_services, write_rows
from tests.support.raw import client_of
from tests.support.shop_writer import MAPPINGS, ShopWriter, compare, make_shop, record, rows

pytestmark = pytest.mark.es


def attach(services: Services, name: str, workers: int = 0, **options: Any) -> AttachReport:
    return run_attach(services, plan_attach(services, name, **options), workers)


@pytest.mark.es_both
@pytest.mark.parametrize("shards", [1, 3])
def test_attach_adds_the_layer_and_touches_nothing_else(services: Services, name: str, shards: int) -> None:
    data = rows()
    make_shop(client_of(services), name, data, shards)
    before = client_of(services).indices.get_mapping(index=name).body[name]["mappings"]
    report = attach(services, name)
    assert (report.documents, report.encoded, report.complete) == (30, 30, True)
    after = client_of(services).indices.get_mapping(index=name).body[name]["mappings"]
    assert after["_meta"]["owner"] == "shop"
    assert {key: value for key, value in after["properties"].items() if key != "hybrid"} == before["properties"]
    assert compare(services, services.cluster.indices.read_profile(name), record(data)).clean
    answer = services.searcher.search(SearchRequest(index=name, q="lamp", filters={"supplier": "Aurora"}))
    assert answer.hits[0].source["title"].startswith("lamp")
    assert "hybrid" not in answer.hits[0].source
    assert set(answer.facets) == {"supplier", "price"}
    again = attach(services, name)
    assert (again.written, again.encoded, again.unchanged) == (0, 0, 30)


def test_what_the_shop_notes_in_its_mapping_meanwhile_stays(services: Services, name: str) -> None:
    make_shop(client_of(services), name, rows(3))
    plan = plan_attach(services, name)
    client_of(services).indices.put_mapping(index=name, meta={"owner": "shop", "release": 7})
    run_attach(services, plan)
    kept = client_of(services).indices.get_mapping(index=name).body[name]["mappings"]["_meta"]
    assert (kept["owner"], kept["release"], "signals" in kept["hybrid"]) == ("shop", 7, True)


def test_a_search_works_while_a_part_is_enriched(services: Services, name: str) -> None:
    data = rows()
    make_shop(client_of(services), name, data)
    attach(services, name)
    client_of(services).bulk(
        index=name,
        operations=[part for n in range(20) for part in ({"index": {"_id": f"p{n}"}}, data[n])],
        refresh=True,
    )
    answer = services.searcher.search(SearchRequest(index=name, q="lamp"))
    assert answer.hits
    assert not answer.degraded
    repaired = run_sync(services, name)
    assert repaired.encoded == {"text": 20}
    assert compare(services, services.cluster.indices.read_profile(name), record(data)).clean


def test_vectors_that_a_whole_put_dropped_come_back_without_encoding(services: Services, name: str) -> None:
    data = rows()
    make_shop(client_of(services), name, data)
    attach(services, name)
    source = client_of(services).get(index=name, id="p4")["_source"]
    source["price"] = data[4]["price"] = 1.25
    source["hybrid"].pop("text", None)  # as 9.2+ answers, and 8.19 does not
    client_of(services).index(index=name, id="p4", document=source)
    report = run_sync(services, name)
    assert (report.written, report.restored, report.encoded) == (1, 1, {})
    assert compare(services, services.cluster.indices.read_profile(name), record(data)).clean


def test_a_text_that_is_gone_takes_its_vector_along(services: Services, name: str) -> None:
    data = rows()
    make_shop(client_of(services), name, data)
    attach(services, name)
    client_of(services).update(index=name, id="p4", doc={"title": None, "short_description": None})
    run_sync(services, name)
    assert services.cluster.indices.count(name, {"exists": {"field": "hybrid.text"}}) == 29
    assert services.cluster.indices.count(name, {"exists": {"field": "hybrid.terms.title"}}) == 29
    again = run_sync(services, name)
    assert (again.written, again.encoded) == (0, {})


def test_words_of_an_earlier_version_are_made_anew_and_vectors_stay(services: Services, name: str) -> None:
    """Completions stood in a field of their own, which costs the shop's cluster much; its values go."""
    data = rows()
    make_shop(client_of(services), name, data)
    attach(services, name)
    layer = {"properties": {"suggest": {"type": "completion"}}}
    client_of(services).indices.put_mapping(index=name, properties={"hybrid": layer})
    older = {"hybrid": {"suggest": {"input": ["of before"]}, "typed": None, "meta": {"analysis": "2"}}}
    operations = [part for row in data for part in ({"update": {"_id": row["id"]}}, {"doc": older})]
    assert not client_of(services).bulk(index=name, operations=operations, refresh=True)["errors"]
    assert services.searcher.suggest(name, "lamp nu") == []
    report = attach(services, name)
    assert (report.written, report.encoded, report.complete) == (30, 0, True)
    assert services.cluster.indices.count(name, {"exists": {"field": "hybrid.suggest"}}) == 0
    assert client_of(services).get(index=name, id="p1")["_source"]["hybrid"]["suggest"] is None
    assert services.searcher.suggest(name, "lamp nu", 2) == [
        {"text": "lamp number 1", "id": "p1", "kind": "product"},
        {"text": "lamp number 4", "id": "p4", "kind": "product"},
    ]
    assert compare(services, services.cluster.indices.read_profile(name), record(data)).clean


@pytest.mark.es_both
def test_behind_an_alias_with_odd_ids_and_routing(services: Services, name: str) -> None:
    """Under `dynamic: strict` and required routing; ids of every script, with the characters that URLs know."""
    concrete = f"{name}-v7"
    mappings = {**MAPPINGS, "dynamic": "strict", "_routing": {"required": True}}
    mappings["properties"] = {**MAPPINGS["properties"], "id": {"type": "keyword"}}
    client_of(services).indices.create(
        index=concrete,
        settings={"number_of_shards": 3, "number_of_replicas": 0},
        mappings=mappings,
        aliases={name: {}},
    )
    ids = ["ü/ä b", "商品 一", "a?b=c&d", "#1", "%41", "x" * 400, *(f"p{n}" for n in range(20))]
    data = [{**row, "id": id} for row, id in zip(rows(len(ids)), ids, strict=True)]
    operations = [
        part
        for n, row in enumerate(data)
        for part in ({"index": {"_id": row["id"], "routing": f"customer-{n % 5}"}}, row)
    ]
    assert not client_of(services).bulk(index=name, operations=operations, refresh=True)["errors"]
    report = attach(services, name)
    assert (report.encoded, report.complete) == (len(ids), True)
    assert compare(services, services.cluster.indices.read_profile(name), record(data)).clean
    found = {hit["_id"]: hit["_routing"] for hit in client_of(services).search(index=name, size=100)["hits"]["hits"]}
    assert found == {id: f"customer-{n % 5}" for n, id in enumerate(ids)}
    client_of(services).update(index=name, id="#1", routing="customer-3", doc={"title": "chair, renamed"})
    assert run_sync(services, name).encoded == {"text": 1}


def test_its_own_words_and_mapping_are_used(services: Services, name: str) -> None:
    make_shop(client_of(services), name, rows())
    plan = plan_attach(services, name, "title=title+supplier,description=", lexical="title^3,short_description")
    assert plan.profile.fields.roles["title"] == ("title", "supplier")
    run_attach(services, plan)
    answer = services.searcher.search(SearchRequest(index=name, q="lamps number", system="bm25"))
    assert answer.total == 30  # the standard analyzer of the shop, and no stemmer: "number" is in every title
    # Without options, what was decided before holds.
    assert plan_attach(services, name).profile == services.cluster.indices.read_profile(name)
    with pytest.raises(UsageError, match="is no text field of index .*; text fields: short_description, title"):
        plan_attach(services, name, lexical="supplier")


def test_pictures(services: Services, name: str, tmp_path: Path) -> None:
    data = rows(6)
    for number, row in enumerate(data):
        row["image"] = f"{number}.png"
        if number < 4:
            Image.new("RGB", (40, 40), (number * 60, 10, 200)).save(tmp_path / f"{number}.png")
    make_shop(client_of(services), name, data)
    with pytest.raises(UsageError, match="--media FOLDER"):
        plan_attach(services, name)
    report = attach(services, name, media_root=tmp_path)
    assert (report.failed, report.complete) == ({"image_missing": 2}, False)
    assert services.cluster.indices.count(name, {"exists": {"field": "hybrid.image"}}) == 4
    assert run_sync(services, name).failed == {}  # no change, no new try
    for number in (4, 5):
        Image.new("RGB", (40, 40), (9, number * 20, 9)).save(tmp_path / f"{number}.png")
    mended = attach(services, name)
    assert mended.complete
    assert services.cluster.indices.count(name, {"exists": {"field": "hybrid.image"}}) == 6


def test_an_estimate_writes_nothing(services: Services, name: str) -> None:
    make_shop(client_of(services), name, rows())
    found = estimate(services, plan_attach(services, name))
    assert found.documents == 30
    assert found.bytes > 30 * 32 * 4
    assert found.rates["text"] > 0
    assert "hybrid" not in client_of(services).indices.get_mapping(index=name).body[name]["mappings"]["properties"]


# -- what stands in the way --------------------------------------------------------------------------------------


def blocked(services: Services, name: str, match: str) -> None:
    with pytest.raises(HybridError, match=match) as caught:
        attach(services, name)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code in (1, 2)


def test_a_field_named_hybrid(services: Services, name: str) -> None:
    client_of(services).index(index=name, id="1", document={"title": "a car", "hybrid": True}, refresh=True)
    blocked(services, name, "has a field `hybrid` of its own")


def test_an_unmapped_field_named_hybrid(services: Services, name: str) -> None:
    make_shop(client_of(services), name, [{**row, "hybrid": "petrol"} for row in rows()])
    blocked(services, name, "have a field `hybrid` of their own")


def test_a_field_named_hybrid_that_comes_later_is_left_alone(services: Services, name: str) -> None:
    make_shop(client_of(services), name, rows())
    attach(services, name)
    client_of(services).index(index=name, id="car", document={"title": "a car", "hybrid": {"fuel": "petrol"}})
    report = run_sync(services, name)
    assert (report.refused, report.complete) == ({"reserved_field": 1}, False)
    assert client_of(services).get(index=name, id="car")["_source"]["hybrid"] == {"fuel": "petrol"}


@pytest.mark.parametrize(
    ("source", "match"),
    [({"enabled": False}, "keeps no _source"), ({"excludes": ["price"]}, "leaves fields out of _source")],
)
def test_an_incomplete_source(services: Services, name: str, source: dict[str, Any], match: str) -> None:
    client_of(services).indices.create(index=name, mappings={**MAPPINGS, "_source": source})
    client_of(services).index(index=name, id="1", document=rows(1)[0], refresh=True)
    blocked(services, name, match)


def test_a_closed_a_read_only_and_an_empty_index(services: Services, name: str) -> None:
    make_shop(client_of(services), name, rows(3))
    client_of(services).indices.close(index=name)
    blocked(services, name, "is closed; open it with POST")
    client_of(services).indices.open(index=name)
    client_of(services).cluster.health(index=name, wait_for_status="yellow")
    client_of(services).indices.put_settings(index=name, settings={"index.blocks.read_only_allow_delete": True})
    blocked(services, name, "takes no writes .index.blocks.read_only_allow_delete")
    client_of(services).indices.put_settings(index=name, settings={"index.blocks.read_only_allow_delete": None})
    client_of(services).indices.create(index=f"{name}-empty")
    blocked(services, f"{name}-empty", "is empty")


def test_a_full_mapping(services: Services, name: str) -> None:
    make_shop(client_of(services), name, rows(3))
    client_of(services).indices.put_settings(index=name, settings={"index.mapping.total_fields.limit": 15})
    blocked(services, name, r"has \d+ fields, the layer adds \d+, and its limit is 15; raise it: PUT")
    needed = int(str(plan_attach(services, name).blockers[0]).rsplit(" ", 1)[1].rstrip("}")) - 50
    client_of(services).indices.put_settings(index=name, settings={"index.mapping.total_fields.limit": needed})
    assert attach(services, name).complete  # the count is the cluster's, to the field


def test_names_that_are_not_one_index(services: Services, name: str) -> None:
    for number in (1, 2):
        make_shop(client_of(services), f"{name}-{number}", rows(2), alias=name)
    blocked(services, name, f"stands for 2 indices .{name}-1, {name}-2.; attach one of them")
    blocked(services, f"{name}-none", "there is no index")
    client_of(services).indices.put_alias(
        index=f"{name}-1", name=f"{name}-part", filter={"term": {"supplier": "Aurora"}}
    )
    blocked(services, f"{name}-part", "shows a part of its index")
    client_of(services).indices.put_alias(index=f"{name}-1", name=f"{name}-routed", routing="a")
    blocked(services, f"{name}-routed", "carries a routing")


def test_a_data_stream_is_refused() -> None:
    """The answer of a cluster with the module; the minimal distribution has none."""
    with pytest.raises(IndexConflictError, match="is a data stream"):
        shop.only("logs", {".ds-logs-000001": {"aliases": {}, "settings": {}, "data_stream": "logs"}})


def test_other_dimensions_and_the_layers_own_indices(
    services: Services, name: str, engine: Any, tmp_path: Path
) -> None:
    make_shop(client_of(services), f"{name}-shop", rows(5))
    attach(services, f"{name}-shop")
    other = make_services(engine, text_encoder="toy:16")
    blocked(other, f"{name}-shop", "holds text vectors of 32 dimensions")
    path = write_rows(tmp_path / "c.ndjson", rows(5))
    plan = indexing.plan_index(services, path, f"{name}-shop")
    with pytest.raises(IndexConflictError, match="is the shop's own, and Hybrid is only attached"):
        indexing.run_index(services, plan, rejects_path=tmp_path / "r")
    indexing.run_index(services, indexing.plan_index(services, path, f"{name}-made"), rejects_path=tmp_path / "r")
    blocked(services, f"{name}-made", "was made by Hybrid and needs no attach")


# -- under a writer, and when killed -----------------------------------------------------------------------------


@pytest.mark.es_both
def test_under_a_writer(services: Services, name: str) -> None:
    data = rows(800)
    make_shop(client_of(services), name, data, shards=2)
    writer = ShopWriter(client_of(services), name, data)
    writer.start()
    report = attach(services, name)
    writer.stop()
    # Whole documents that it wrote at the end may be from before their vectors, and wait again.
    assert report.in_step and not report.failed and not report.refused
    writer.put_whole(0.1)
    assert run_sync(services, name).complete
    verdict = compare(services, services.cluster.indices.read_profile(name), writer.record)
    assert verdict.clean, verdict.counts()
    assert run_sync(services, name).written == 0


def environment(engine: Any) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HYBRID_")}
    return {
        **clean,
        "HYBRID_ES_URL": engine.es_url,
        "HYBRID_REDIS_URL": engine.redis_url,
        "HYBRID_TEXT_ENCODER": "toy:32",
        "HYBRID_BATCH_SIZE": "16",
    }


#: `hybrid`, killed when it has done a thing for the second time.
KILLED = """
import os, signal
from hybrid.ingest.{module} import {owner}
real, calls = {owner}.{method}, []
def counted(*arguments, **options):
    answer = real(*arguments, **options)
    calls.append(answer)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
{owner}.{method} = counted
from hybrid.cli.main import main
main()
"""
MARKING = {"module": "marker", "owner": "Marker", "method": "mark"}
ENCODING = {"module": "ingester", "owner": "Ingester", "method": "enrich"}


@pytest.mark.parametrize("phase", [MARKING, ENCODING], ids=["marking", "encoding"])
def test_killed_and_run_again(services: Services, engine: Any, name: str, phase: dict[str, str]) -> None:
    data = rows(1_100)  # three pages of marking
    make_shop(client_of(services), name, data)
    arguments = ["attach", name, "--json"]
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED.format(**phase)), *arguments],
        env=environment(engine), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    client_of(services).indices.refresh(index=name)
    marked, encoded = (
        services.cluster.indices.count(name, {"exists": {"field": field}})
        for field in ("hybrid.meta.at", "hybrid.text")
    )
    assert 0 < (marked if phase is MARKING else encoded) < len(data)
    command = [sys.executable, "-m", "hybrid.cli", *arguments]
    again = subprocess.run(command, env=environment(engine), capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    report = json.loads(again.stdout)
    assert report["complete"]
    profile = services.cluster.indices.read_profile(name)
    assert compare(services, profile, record(data)).clean


@pytest.mark.slow
def test_a_killed_worker_costs_nothing(
    services: Services, engine: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "STALL_S", 5.0)
    for key, value in environment(engine).items():
        if key.startswith("HYBRID_"):
            monkeypatch.setenv(key, value)
    data = rows(1_500)
    make_shop(client_of(services), name, data)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    killed: list[int] = []

    def kill(progress: Any) -> None:
        if not killed and progress.phase == "encode" and progress.done < len(data):
            new = {child.pid for child in psutil.Process().children(recursive=True)} - before
            # Of a process that has just ended this gives None, where `cmdline()` raises.
            found = psutil.process_iter(["cmdline"])
            workers = [one for one in found if one.pid in new and "celery" in " ".join(one.info["cmdline"] or [])]
            if workers:
                os.kill(workers[-1].pid, signal.SIGKILL)
                killed.append(workers[-1].pid)

    own = make_services(engine, batch_size=16)
    report = run_attach(own, plan_attach(own, name), workers=2, report=kill)
    assert killed
    assert report.complete
    assert compare(services, services.cluster.indices.read_profile(name), record(data)).clean


def test_the_command(services: Services, engine: Any, name: str) -> None:
    make_shop(client_of(services), name, rows())

    def hybrid(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hybrid.cli", *args]
        return subprocess.run(command, env=environment(engine), capture_output=True, text=True, timeout=120)

    dry = hybrid("attach", name, "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    plan = json.loads(dry.stdout)
    assert (plan["documents"], plan["estimate"]["documents"], plan["blockers"]) == (30, 30, [])
    assert "takes        about" in hybrid("attach", name, "--dry-run").stdout
    done = hybrid("attach", name)
    assert (done.returncode, "30 encoded (lexical, text)" in done.stdout) == (0, True)
    client_of(services).update(index=name, id="p1", doc={"title": "a new lamp"}, refresh=True)
    synced = hybrid("sync", name, "--json")
    assert (synced.returncode, json.loads(synced.stdout)["encoded"]) == (0, {"text": 1})
    for args, code in ((("attach", f"{name}-none"), 1), (("attach", name, "--signals", "smell"), 2), (("attach",), 2)):
        wrong = hybrid(*args)
        assert wrong.returncode == code
        assert "Traceback" not in wrong.stderr
    client_of(services).indices.put_settings(index=name, settings={"index.blocks.write": True})
    stopped = hybrid("attach", name, "--dry-run")
    assert stopped.returncode == 1
    assert "index.blocks.write" in stopped.stderr
