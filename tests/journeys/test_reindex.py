"""Reindexing beside an index in use, on real Elasticsearch."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from hybrid.catalogue.index_template import Template
from hybrid.catalogue.layer import Layer
from hybrid.elastic.indices import copies
from hybrid.elastic.indices.copies import Copies, Original
from hybrid.elastic.indices.generations import Generations
from hybrid.elastic.indices.products import Products
from hybrid.elastic.stores.leases import LEASE_S, Lease, Owner
from hybrid.errors import (
    ClusterBusyError,
    ClusterError,
    HybridError,
    IndexConflictError,
    IndexMissingError,
    JobError,
    UsageError,
)
from hybrid.evaluation.judgments import Judgments
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.operations.reindex import control, copying, late_writes, planning, recovery, running, transfer, verification
from hybrid.operations.reindex.guardian import Guardian
from hybrid.operations.reindex.late_writes import LateWrite, Watch
from hybrid.operations.runs import Progress
from hybrid.operations.sync import run_sync
from hybrid.search import weights
from hybrid.searches import SearchRequest
from hybrid.services import Services
from hybrid.testing import FakeClock
from tests.conftest import make_services
from tests.support.models import keep
from tests.support.raw import client_of
from tests.support.shop_writer import MAPPINGS, ShopWriter, compare, make_shop, record, rows
from tests.support.waiting import until

pytestmark = pytest.mark.es


def make(services: Services, name: str, count: int = 40, shards: int = 2, attach: bool = True) -> list[dict[str, Any]]:
    """An index of the shop's behind the alias `name`, attached."""
    data = rows(count)
    make_shop(client_of(services), f"{name}-000001", data, shards, alias=name)
    if attach:
        assert run_attach(services, plan_attach(services, name, signals=["text"])).complete
    return data


def reindex(services: Services, name: str, report: Any = None, **options: Any) -> running.ReindexReport:
    how = {key: options.pop(key) for key in ("workers", "swap", "judgments", "max_loss") if key in options}
    plan = planning.plan_reindex(services, name, signals=options.pop("signals", ["text"]), **options)
    return running.run_reindex(services, plan, running.Options(**how), report)


def shop_documents(services: Services, index: str) -> dict[str, dict[str, Any]]:
    client_of(services).indices.refresh(index=index)
    hits = client_of(services).search(index=index, size=10_000, source_excludes=["hybrid"])["hits"]["hits"]
    return {hit["_id"]: hit["_source"] for hit in hits}


def clean(services: Services, name: str, data: dict[str, dict[str, Any]]) -> None:
    """The alias shows what the shop wrote, each with its vector, and nothing is left of a run."""
    verdict = compare(services, services.cluster.indices.read_profile(name), data)
    assert verdict.clean, verdict.counts()
    no_leftovers(services, name)


def no_leftovers(services: Services, name: str) -> None:
    for concrete, settings in settings_of(services, name).items():
        assert "index.write.wait_for_active_shards" not in settings, concrete
        assert "index.routing.allocation.enable" not in settings, concrete
        assert settings["index.number_of_replicas"] == "0", concrete
    aliases = client_of(services).indices.get_alias(index=f"{name}*", expand_wildcards="all").body
    assert [alias for held in aliases.values() for alias in held["aliases"] if alias.endswith(".building")] == []
    assert Lease(client_of(services), name).holder() is None


def settings_of(services: Services, name: str) -> dict[str, dict[str, str]]:
    found = client_of(services).indices.get_settings(index=f"{name}*", expand_wildcards="all", flat_settings=True).body
    return {concrete: one["settings"] for concrete, one in found.items()}


def behind(services: Services, name: str) -> str:
    (concrete,) = services.cluster.indices.behind(name)
    return concrete


# -- what it makes -------------------------------------------------------------------------------------------


@pytest.mark.es_both
@pytest.mark.parametrize("attach", [True, False])
def test_another_number_of_shards(services: Services, name: str, attach: bool) -> None:
    data = make(services, name, attach=attach)
    report = reindex(services, name, shards=3)
    assert (report.swapped, report.status, report.complete) == (True, "done", True)
    assert (report.documents, report.copied, report.encoded) == (40, 40, 0 if attach else 40)
    assert behind(services, name) == report.new == f"{name}-000002"
    clean(services, name, record(data))
    settings = settings_of(services, name)
    assert settings[report.new]["index.number_of_shards"] == "3"
    assert "index.hidden" not in settings[report.new]
    assert settings[report.old]["index.hidden"] == "true"
    assert settings[report.old]["index.blocks.write"] == "true"
    mapping = client_of(services).indices.get_mapping(index=name).body[report.new]["mappings"]
    assert mapping["_meta"]["owner"] == "shop"
    assert {key: value for key, value in mapping["properties"].items() if key != "hybrid"} == MAPPINGS["properties"]
    answer = services.searcher.search(SearchRequest(index=name, q="lamp", filters={"supplier": "Aurora"}))
    assert answer.hits[0].source["title"].startswith("lamp")
    assert services.searcher.indices().count(name) == 1
    again = run_sync(services, name)
    assert (again.looked, again.written, again.whole) == (0, 0, False)
    assert reindex(services, name).new == f"{name}-000003"


@pytest.mark.es_both
def test_another_model(services: Services, name: str, engine: Any) -> None:
    data = make(services, name)
    other = make_services(engine, text_encoder="toy:64")
    report = reindex(other, name)
    assert (report.encoded, report.complete) == (40, True)
    profile = other.cluster.indices.read_profile(name)
    assert profile.signals["text"].dims == 64
    clean(other, name, record(data))
    answer = other.searcher.search(SearchRequest(index=name, q="lamp number 4"))
    assert answer.hits
    assert not answer.degraded


def test_a_new_price_needs_no_new_vector(
    services: Services, name: str, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was copied and is written again keeps what its copy has, unless that was made of what changed."""
    data = record(make(services, name))
    other = make_services(engine, text_encoder="toy:64")
    encoded: list[str] = []
    encoder = other.encoder("toy:64")
    encode_texts = type(encoder).encode_texts

    def spied(self: Any, texts: Any) -> Any:
        encoded.extend(texts)
        return encode_texts(self, texts)

    def shop(progress: Progress) -> None:
        if progress.phase == "catch up" and data["p5"]["price"] != 1.0:
            encoded.clear()
            for id in ("p5", "p6"):
                data[id]["price"] = 1.0
            data["p7"]["title"] = "a new title"
            client_of(services).update(index=name, id="p5", doc={"price": 1.0})
            client_of(services).index(index=name, id="p6", document=data["p6"])  # whole, without the layer's field
            client_of(services).update(index=name, id="p7", doc={"title": "a new title"})

    monkeypatch.setattr(type(encoder), "encode_texts", spied)
    report = reindex(other, name, shop)
    assert (report.copied, report.complete) == (43, True)
    assert sorted({text for text in encoded if text != "ready"}) == ["a new title. words of 7"]
    clean(other, name, data)


def test_words_of_an_earlier_version(services: Services, name: str) -> None:
    """Its completions stood in a field of their own, which is not taken along."""
    data = make(services, name)
    old = {"properties": {"hybrid": {"properties": {"suggest": {"type": "completion"}}}}}
    client_of(services).indices.put_mapping(index=name, **old)
    older = {"hybrid": {"suggest": {"input": ["of before"]}, "typed": None, "meta": {"analysis": "2"}}}
    operations = [part for row in data for part in ({"update": {"_id": row["id"]}}, {"doc": older})]
    assert not client_of(services).bulk(index=name, operations=operations, refresh=True)["errors"]
    report = reindex(services, name)
    assert (report.copied, report.encoded, report.complete) == (40, 0, True)
    layer = client_of(services).indices.get_mapping(index=name).body[report.new]["mappings"]["properties"]["hybrid"]
    assert "suggest" not in layer["properties"]
    assert "suggest" not in client_of(services).get(index=name, id="p1")["_source"]["hybrid"]
    assert services.searcher.suggest(name, "lamp number 4", 1)[0]["text"] == "lamp number 4"
    clean(services, name, record(data))


@pytest.mark.es_both
def test_another_mapping_and_every_alias_moves(services: Services, name: str) -> None:
    data = make(services, name)
    client = client_of(services)
    old = f"{name}-000001"
    client.indices.put_alias(index=old, name=f"{name}-read")
    client.indices.put_alias(index=old, name=f"{name}-cheap", filter={"range": {"price": {"lt": 10}}})
    client.indices.put_alias(index=old, name=f"{name}-write", is_write_index=True)
    template = Template(
        settings={"analysis": {"analyzer": {"plain": {"type": "standard"}}}, "refresh_interval": "2s"},
        properties={"short_description": {"type": "text", "analyzer": "plain"}, "supplier": {"type": "text"}},
    )
    report = reindex(services, name, template=template)
    assert report.complete
    aliases = client.indices.get_alias(index=report.new).body[report.new]["aliases"]
    assert set(aliases) == {name, f"{name}-read", f"{name}-cheap", f"{name}-write"}
    assert aliases[f"{name}-cheap"]["filter"] == {"range": {"price": {"lt": 10}}}
    assert aliases[f"{name}-write"]["is_write_index"]
    assert client.indices.get_alias(index=old).body[old]["aliases"] == {}
    settings = settings_of(services, name)[report.new]
    assert settings["index.refresh_interval"] == "2s"
    assert not [key for key in settings if key.startswith("index.merge")]  # those of an index that is built
    properties = client.indices.get_mapping(index=name).body[report.new]["mappings"]["properties"]
    assert properties["short_description"]["analyzer"] == "plain"
    assert (
        "supplier" not in services.cluster.indices.read_profile(name).fields.types
    )  # a text field cannot be filtered on
    clean(services, name, record(data))


@pytest.mark.es_both
def test_a_new_index_shows_changes_in_time_once_the_aliases_move(
    services: Services, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is built with a long interval; a run that dies behind the move must not leave it so."""
    make(services, name)
    client_of(services).indices.put_settings(index=name, settings={"index.refresh_interval": "2s"})
    seen: list[str] = []

    def noted(step: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*args: Any) -> Any:
            seen.append(settings_of(services, name)[f"{name}-000002"]["index.refresh_interval"])
            return step(*args)

        return stepped

    monkeypatch.setattr(Generations, "primaries_ready", noted(Generations.primaries_ready))
    monkeypatch.setattr(Generations, "swap", noted(Generations.swap))
    assert reindex(services, name).complete
    assert seen == ["5s", "2s"]
    assert settings_of(services, name)[f"{name}-000002"]["index.refresh_interval"] == "2s"


@pytest.mark.es_both
def test_documents_of_every_kind(services: Services, name: str) -> None:
    """Routing, odd ids, documents with nothing to encode, an empty one; as they were, in the shard they belong to."""
    old = f"{name}-live7"
    client_of(services).indices.create(
        index=old,
        settings={"number_of_shards": 3, "number_of_replicas": 0},
        mappings={**MAPPINGS, "_routing": {"required": True}},
        aliases={name: {}},
    )
    ids = ["ü/ä b", "商品 一", "a?b=c&d", "#1", "%41", "x" * 400, *(f"p{n}" for n in range(20))]
    data = {id: {**row, "id": id} for id, row in zip(ids, rows(len(ids)), strict=True)}
    data["p0"] = {}
    data["p1"] = {"price": 3, "nested": {"a": [1, {"b": None}]}, "a.dotted": "value"}
    operations = [
        part
        for n, (id, row) in enumerate(data.items())
        for part in ({"index": {"_id": id, "routing": f"c{n % 5}"}}, row)
    ]
    assert not client_of(services).bulk(index=name, operations=operations, refresh=True)["errors"]
    report = reindex(services, name, shards=2)
    assert report.complete
    assert report.new == f"{name}-000001"
    assert shop_documents(services, name) == data
    for n, (id, row) in enumerate(data.items()):
        assert (
            client_of(services).get(index=name, id=id, routing=f"c{n % 5}", source_excludes=["hybrid"])["_source"]
            == row
        )
    client_of(services).delete(index=name, id="#1", routing="c3")
    client_of(services).index(index=name, id="p9", routing=f"c{ids.index('p9') % 5}", document={"title": "since"})
    control.rollback(services, name)
    data.pop("#1")
    data["p9"] = {"title": "since"}
    assert shop_documents(services, name) == data


@pytest.mark.es_both
def test_pipelines_run_once(services: Services, name: str) -> None:
    make(services, name)
    try:
        client_of(services).ingest.put_pipeline(id=name, processors=[])
        client_of(services).indices.put_settings(index=name, settings={"index.default_pipeline": name})
        report = reindex(services, name)
        settings = settings_of(services, name)[report.new]
        assert settings["index.default_pipeline"] == name
    finally:
        client_of(services).indices.put_settings(index=f"{name}*", settings={"index.default_pipeline": None},
                                             expand_wildcards="all")  # fmt: skip
        client_of(services).ingest.delete_pipeline(id=name)


def test_weights_of_other_vectors_are_laid_aside(services: Services, name: str, engine: Any) -> None:
    make(services, name)
    model = {**weights.fixed().to_json(), "version": "mine", "kind": "global"}
    keep(services, name, "mine", "global", model, {})
    services.models("weights").activate(name, "mine")
    assert reindex(services, name, shards=1).notes == []
    assert services.models("weights").active(name) == "mine"
    other = make_services(engine, text_encoder="toy:64")
    report = reindex(other, name)
    assert "train anew" in report.notes[-1]
    assert services.models("weights").active(name) == weights.FIXED_VERSION
    assert not other.searcher.search(SearchRequest(index=name, q="lamp number 4")).degraded
    control.rollback(services, name)
    assert services.models("weights").active(name) == "mine"


def test_a_late_write_survives_a_client_that_read_before_it(services: Services, name: str) -> None:
    """The client reads the new index before a write that waited at the old one is there, and writes that back."""
    data = record(make(services, name, 10))
    read: dict[str, Any] = {}
    real = Generations.lower_fence

    def lower(self: Generations, index: str, before: Any) -> None:
        if index.endswith("-000001"):
            read.update(client_of(services).get(index=name, id="p3")["_source"])  # behind the alias: the new index
            real(self, index, before)
            client_of(services).update(index=index, id="p3", doc={"title": "late", "added": 1})
        else:
            real(self, index, before)
            client_of(services).index(index=name, id="p3", document={**read, "price": 77})

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Generations, "lower_fence", lower)
        assert reindex(services, name, shards=1).swapped
    until(lambda: control.status(services, name).get("mended") == 1, "the mending")
    data["p3"] |= {"title": "late", "added": 1, "price": 77}
    run_sync(services, name)
    clean(services, name, data)


def test_late_writes_are_watched_in_their_own_index_alone(
    services: Services, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another index under that name holds may look like a document that was taken back."""
    monkeypatch.setattr(late_writes, "PAUSES_S", ())
    late = LateWrite({"title": "a"}, Original("p1", None, {"title": "late"}, Layer(), 0, 7))
    as_read = {"title": "a", "hybrid": {"id": "p1", "meta": {"revision": {"shard": 0, "seq_no": 3}}}}

    def made() -> Watch:
        client_of(services).options(ignore_status=404).indices.delete(index=name)
        make_shop(client_of(services), name, [], 1)
        client_of(services).index(index=name, id="p1", document=as_read)
        return Watch.of(services.cluster.generations, name, [late])

    watch = Watch.from_json(made().to_json())
    assert watch.restore(services.cluster) == 1
    assert client_of(services).get(index=name, id="p1")["_source"]["title"] == "late"
    made()
    assert watch.restore(services.cluster) == 0
    assert client_of(services).get(index=name, id="p1")["_source"]["title"] == "a"
    client_of(services).indices.delete(index=name)
    assert watch.restore(services.cluster) == 0


def test_a_rollback_is_done_though_nobody_can_look_after_late_writes(
    services: Services, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(services, name)
    reindex(services, name)
    with monkeypatch.context() as patched:
        patched.setattr(Watch, "of", throw(ClusterError("gone")))
        with pytest.raises(ClusterError):
            control.rollback(services, name)
    assert behind(services, name) == f"{name}-000001"
    assert control.status(services, name)["status"] == "done"
    assert reindex(services, name).swapped  # nothing is open


# -- a shop that writes all the while ------------------------------------------------------------------------


@pytest.mark.es_both
def test_nothing_is_lost_under_a_writer(services: Services, name: str) -> None:
    data = make(services, name, 400)
    writer = ShopWriter(client_of(services), name, data, 150)
    writer.start()
    report = reindex(services, name, shards=1)
    until(lambda: writer.kinds["delete"] > 5 or writer.failure, "deletes of the writer")
    writer.stop()
    assert report.swapped
    run_sync(services, name)
    clean(services, name, writer.record)
    # And back, while it writes.
    writer = ShopWriter(client_of(services), name, list(writer.record.values()), 150, seed=2, first_new=10_000)
    writer.start()
    until(lambda: sum(writer.kinds.values()) > 150 or writer.failure, "writes of the writer")
    back = control.rollback(services, name)
    until(lambda: sum(writer.kinds.values()) > 300 or writer.failure, "writes after the rollback")
    writer.stop()
    assert back["copied"] > 50
    assert behind(services, name) == f"{name}-000001"
    run_sync(services, name)
    clean(services, name, writer.record)


@pytest.mark.es_both
def test_a_rollback_to_an_index_without_the_layer(services: Services, name: str) -> None:
    data = record(make(services, name, attach=False))
    report = reindex(services, name)
    client_of(services).update(index=name, id="p3", doc={"title": "since the swap"})
    client_of(services).delete(index=name, id="p4")
    client_of(services).index(index=name, id="new", document={"title": "new"})
    back = control.rollback(services, name)
    assert (back["copied"], back["deleted"]) == (2, 1)
    data["p3"]["title"] = "since the swap"
    del data["p4"]
    data["new"] = {"title": "new"}
    assert shop_documents(services, name) == data
    found = client_of(services).search(index=name, size=100)["hits"]["hits"]
    assert all("hybrid" not in hit["_source"] for hit in found)
    client_of(services).index(index=name, id="after", document={"title": "written as ever"})
    no_leftovers(services, name)
    with pytest.raises(JobError, match="nothing to roll back"):
        control.rollback(services, name)
    assert report.old == behind(services, name)


# -- ends in the middle --------------------------------------------------------------------------------------


class Crash(Exception):
    """Stands for whatever ends a process."""


#: (what is called when it ends, whether it is done first, which call of it)
ENDS = [
    (Copies, "write", True, 1),
    (Copies, "delete", True, 1),
    (verification, "_coverage", False, 1),
    (Generations, "raise_fences", True, 1),
    (Generations, "swap", False, 1),
    (Generations, "swap", True, 1),
    (Generations, "lower_fence", False, 1),
    (Generations, "block_writes", False, 1),
    (Generations, "block_writes", True, 1),
    (Generations, "lower_fence", False, 2),
    (Generations, "lower_fence", True, 2),
    (Generations, "hide", True, 1),
]


@pytest.mark.parametrize(("module", "function", "after", "call"), ENDS)
def test_it_goes_on_wherever_it_ended(
    services: Services, name: str, monkeypatch: pytest.MonkeyPatch, module: Any, function: str, after: bool, call: int
) -> None:
    data = record(make(services, name, 60))
    real = getattr(module, function)
    calls = 0

    def ends(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            raise Crash
        answer = real(*args, **options)
        if calls == call:
            raise Crash
        return answer

    def shop(progress: Progress) -> None:
        if progress.phase == "catch up" and "p5" in data:
            client_of(services).delete(index=name, id="p5")
            client_of(services).update(index=name, id="p6", doc={"title": "changed meanwhile"})
            del data["p5"]
            data["p6"]["title"] = "changed meanwhile"

    with monkeypatch.context() as patched:
        patched.setattr(module, function, ends)
        with pytest.raises(Crash):
            reindex(services, name, shop, shards=1)
    ended(services, name)
    if control.status(services, name)["status"] != "done":
        report = running.resume(services, name)
        assert report.swapped
    assert behind(services, name) == f"{name}-000002"
    clean(services, name, data)
    client_of(services).index(index=name, id="later", document={"title": "written as ever"}, timeout="2s")


def ended(services: Services, name: str) -> None:
    """Wait for the guardian, who ends what was left."""

    def over() -> bool:
        state = control.status(services, name)
        return state["phase"] not in ("swap", "drained") and not state["running"] and state["status"] != "running"

    until(over, "the end of the swap")


@pytest.mark.es_both
@pytest.mark.parametrize("moved", [False, True])
def test_a_run_that_is_killed_behind_the_fence(services: Services, name: str, moved: bool) -> None:
    """kill -9 of the process while writes wait: they go on within seconds, where they belong, and none is lost."""
    data = record(make(services, name, 60))
    code = f"""
        import os, signal, sys
        from hybrid.elastic.indices.generations import Generations
        from hybrid.operations.reindex import planning, running
        from hybrid.services import build_services
        real = Generations.swap
        def swap(*args):
            if {moved}:
                real(*args)
            print("now", flush=True)
            sys.stdin.readline()
            os.kill(os.getpid(), signal.SIGKILL)
        Generations.swap = swap
        services = build_services()
        running.run_reindex(services, planning.plan_reindex(services, {name!r}, shards=1, signals=["text"]))
    """
    environment = {**os.environ, "HYBRID_ES_URL": services.es_url, "HYBRID_TEXT_ENCODER": "toy:32"}
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert run.stdin is not None and run.stdout is not None
    assert run.stdout.readline() == "now\n"
    client = client_of(services).options(request_timeout=60)
    with ThreadPoolExecutor(1) as pool:
        # Waits at the fence of the old index, or of the new one.
        write = pool.submit(client.update, index=name, id="p7", doc={"title": "waited"})
        with pytest.raises(TimeoutError):
            write.result(0.5)
        run.stdin.close()  # it goes on, and is killed
        write.result()
    data["p7"]["title"] = "waited"
    assert run.wait() == -signal.SIGKILL
    ended(services, name)
    assert control.status(services, name)["status"] == ("done" if moved else "failed")
    if not moved:
        assert running.resume(services, name).swapped
    run_sync(services, name)
    clean(services, name, data)


def test_the_schedule_ends_what_no_guardian_does(
    services: Services, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = record(make(services, name))
    real = Generations.block_writes

    class Absent:
        def __init__(self, *_: Any) -> None: ...
        def __enter__(self) -> None: ...
        def __exit__(self, *_: Any) -> None: ...

    def crash(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(running, "Guardian", Absent)
        patched.setattr(Generations, "block_writes", crash)
        with pytest.raises(Crash):
            reindex(services, name)
    assert control.status(services, name)["phase"] == "swap"
    assert real is Generations.block_writes
    recovery.recover_all(services)
    assert control.status(services, name)["status"] == "done"
    clean(services, name, data)


# -- paused, cancelled, alone --------------------------------------------------------------------------------


def in_background(services: Services, name: str, until: str) -> tuple[threading.Thread, list[Any], threading.Event]:
    """A run that is held in a phase until the event is set."""
    there, going = threading.Event(), threading.Event()
    outcome: list[Any] = []

    def hold(progress: Progress) -> None:
        if progress.phase == until and not going.is_set():
            there.set()
            going.wait(20)

    def work() -> None:
        try:
            outcome.append(reindex(services, name, hold, shards=1))
        except HybridError as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert there.wait(30)
    return thread, outcome, going


def test_paused_and_resumed(services: Services, name: str) -> None:
    data = record(make(services, name))
    thread, outcome, going = in_background(services, name, "copy")
    with pytest.raises(JobError, match="is being worked on by process"):
        reindex(services, name)
    with pytest.raises(JobError, match="is being worked on by process"):
        running.resume(services, name)
    threading.Timer(0.5, going.set).start()
    assert control.pause(services, name)["status"] == "paused"
    thread.join()
    assert (outcome[0].status, outcome[0].complete) == ("paused", False)
    client_of(services).indices.put_alias(index=f"{name}-000001", name=f"{name}-too")
    for alias in (name, f"{name}-too"):
        with pytest.raises(JobError, match=f"a reindex of '{name}' is unfinished"):
            reindex(services, alias)
    with pytest.raises(JobError, match="is not running"):
        control.pause(services, name)
    client_of(services).delete(index=name, id="p1")
    del data["p1"]
    report = running.resume(services, name)
    assert report.swapped
    clean(services, name, data)
    with pytest.raises(JobError, match="no reindex of .* is unfinished"):
        running.resume(services, name)


def test_a_pause_asked_while_the_new_index_is_made_is_heeded(
    services: Services, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = record(make(services, name))
    ready = Generations.primaries_ready

    def asked_meanwhile(*given: Any) -> None:
        control.pause(services, name, wait=False)
        ready(*given)

    monkeypatch.setattr(Generations, "primaries_ready", asked_meanwhile)
    assert reindex(services, name, shards=1).status == "paused"
    assert running.resume(services, name).swapped
    clean(services, name, data)


@pytest.mark.parametrize("alive", [True, False])
def test_cancelled_without_leftovers(services: Services, name: str, alive: bool) -> None:
    data = record(make(services, name))
    thread, outcome, going = in_background(services, name, "encode")
    new = control.status(services, name)["new"]
    building = f"{new}.building"
    late = services.cluster.products.read(building, ["p1"])["p1"]
    threading.Timer(0.5, going.set).start()
    if not alive:
        control.pause(services, name)
        thread.join()
    assert control.cancel(services, name)["status"] == "cancelled"
    thread.join()
    assert outcome[0].status == ("cancelled" if alive else "paused")
    # A worker that had read its products before writes them now: the index must not come back.
    with pytest.raises(IndexMissingError):
        services.cluster.products.update_documents([(late, {"hybrid": {"meta": {"pending": []}}})], building)
    assert list(settings_of(services, name)) == [f"{name}-000001"]
    assert services.dead_letters.counts(building) == {}
    clean(services, name, data)
    with pytest.raises(JobError, match="no reindex of .* is unfinished"):
        control.cancel(services, name)
    assert reindex(services, name).swapped


@pytest.mark.es_both
def test_no_swap_under_an_update_by_query(services: Services, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The minimal distribution has none, so its task is made up as a full cluster describes it."""
    data = record(make(services, name))
    task = {"action": "indices:data/write/update/byquery", "description": f"update-by-query [{name}]"}
    with monkeypatch.context() as patched:
        patched.setattr(Generations, "write_tasks", lambda client: {"node:1": task})
        with pytest.raises(JobError, match=r"update-by-query \(node:1\) writes to .* when it has ended"):
            reindex(services, name)
    assert behind(services, name) == f"{name}-000001"
    assert running.resume(services, name).swapped
    clean(services, name, data)


def test_a_lease_ends_with_its_owner(services: Services, name: str) -> None:
    clock = FakeClock()
    first, second = Lease(client_of(services), name, clock), Lease(client_of(services), name)
    first.take()
    with pytest.raises(JobError, match="is being worked on"):
        second.take()
    assert first.holder() == Owner.me()
    first.release()
    second.take()
    clock.advance(LEASE_S)
    with pytest.raises(JobError, match="took over"):
        first.keep()
    dead = subprocess.Popen(["sleep", "0"])
    dead.wait()
    assert Owner(Owner.me().host, dead.pid, time.time()).is_dead()
    assert Owner(Owner.me().host, os.getpid(), 1.0).is_dead()  # another process with that id
    assert not Owner("elsewhere", dead.pid, 1.0).is_dead()
    second.release()


def test_verified_and_swapped_later(services: Services, name: str) -> None:
    data = record(make(services, name))
    report = reindex(services, name, swap=False, shards=1)
    assert (report.status, report.swapped, report.complete) == ("verified", False, True)
    assert behind(services, name) == report.old
    client_of(services).update(index=name, id="p2", doc={"title": "changed before the swap"})
    data["p2"]["title"] = "changed before the swap"
    later = running.resume(services, name)
    assert later.swapped
    clean(services, name, data)
    assert control.drop(services, name) == [report.old]
    assert list(settings_of(services, name)) == [report.new]
    with pytest.raises(JobError, match="was deleted"):
        control.rollback(services, name)
    with pytest.raises(JobError, match="no index is kept"):
        control.drop(services, name)


@pytest.mark.es
def test_a_run_whose_new_index_was_deleted_says_how_it_ends(services: Services, name: str) -> None:
    make(services, name)
    report = reindex(services, name, swap=False, shards=1)
    client_of(services).indices.delete(index=report.new)
    with pytest.raises(JobError, match=f"'{report.new}'.* was deleted; .*`hybrid reindex {name} --cancel`"):
        running.resume(services, name)
    assert control.status(services, name)["status"] == "verified"
    assert control.cancel(services, name)["status"] == "cancelled"
    assert reindex(services, name, shards=1).swapped


# -- what it refuses -----------------------------------------------------------------------------------------


def test_an_index_without_an_alias_is_explained(services: Services, name: str) -> None:
    make_shop(client_of(services), name, rows(5))
    with pytest.raises(IndexConflictError, match=f'no alias.*"alias": "{name}-live".*hybrid reindex {name}-live'):
        planning.plan_reindex(services, name)
    client_of(services).indices.put_alias(index=name, name=f"{name}-live")
    with pytest.raises(IndexConflictError, match=f"reindex '{name}-live'"):
        planning.plan_reindex(services, name)
    report = reindex(services, f"{name}-live")
    assert report.new == f"{name}-live-000001"
    assert report.complete


@pytest.mark.parametrize(
    ("alias", "message"),
    [({"filter": {"term": {"supplier": "Aurora"}}}, "shows a part"), ({"routing": "1"}, "shows a part")],
)
def test_an_alias_that_shows_a_part(services: Services, name: str, alias: dict[str, Any], message: str) -> None:
    make_shop(client_of(services), f"{name}-1", rows(5))
    client_of(services).indices.put_alias(index=f"{name}-1", name=name, **alias)
    with pytest.raises(IndexConflictError, match=message):
        planning.plan_reindex(services, name)


def test_options_that_cannot_be_used(services: Services, name: str) -> None:
    make(services, name, 5)
    for options, message in [
        ({"lexical": "nothing"}, "no text field"),
        ({"language": "klingon"}, "no language"),
        ({"signals": ["smell"]}, "no signal"),
        ({"template": Template(settings={"number_of_shards": "many"})}, "no number"),
    ]:
        with pytest.raises(UsageError, match=message):
            planning.plan_reindex(services, name, **options)
    bad = Template(properties={"title": {"type": "text", "analyzer": "nobody"}})
    with pytest.raises(IndexConflictError, match="refuses the new index.*nothing was changed"):
        reindex(services, name, template=bad)
    assert list(settings_of(services, name)) == [f"{name}-000001"]
    assert reindex(services, name).swapped  # the failed one left nothing to resume
    with pytest.raises(IndexMissingError):
        planning.plan_reindex(services, f"{name}-none")


@pytest.mark.es_both
def test_documents_that_the_new_mapping_refuses(services: Services, name: str) -> None:
    data = make(services, name)
    client_of(services).index(index=name, id="odd", document={"title": "odd", "size": "large"}, refresh=True)
    template = Template(properties={"size": {"type": "integer"}})
    with pytest.raises(JobError, match=r"lacks 1 documents \(odd: mapping_conflict.*old index stays in use"):
        reindex(services, name, template=template)
    assert behind(services, name) == f"{name}-000001"
    assert "odd" in control.status(services, name)["refused"]
    # Mended by the shop, the same run goes on.
    client_of(services).index(index=name, id="odd", document={"title": "odd", "size": 7}, refresh=True)
    report = running.resume(services, name)
    assert report.swapped
    clean(services, name, {**record(data), "odd": {"title": "odd", "size": 7}})


def test_answers_that_get_worse(services: Services, name: str) -> None:
    make(services, name)
    judgments = Judgments({"lamp": {f"p{n}": 3.0 for n in range(1, 40, 3)}})
    with pytest.raises(JobError, match=r"judged: nDCG@10 1.000 in the old index, 0\.\d+ in the new"):
        reindex(services, name, mapping="title=supplier,description=supplier", judgments=judgments)
    assert behind(services, name) == f"{name}-000001"
    report = running.resume(services, name, running.Options(judgments=judgments, max_loss=1.0))
    assert report.swapped


def test_a_copy_that_differs_is_found(services: Services, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make(services, name)
    real = Copies.write

    def careless(self: Copies, index: str, documents: Any, building: bool) -> Any:
        return real(self, index, [(one, {**body, "price": 0}) for one, body in documents], building)

    monkeypatch.setattr(Copies, "write", careless)
    with pytest.raises(JobError, match="fields: 40 of 40 sampled documents differ: p.* in price"):
        reindex(services, name)


def test_a_vector_that_is_missing_is_found(services: Services, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make(services, name, attach=False)
    monkeypatch.setattr(running.Run, "sweep_here", lambda self: None)
    monkeypatch.setattr(copying.Copyist, "encode", lambda self, made, at_once: made)
    with pytest.raises(JobError, match="text vectors: 0 of 40 have a vector.*100.0% wait"):
        reindex(services, name)
    monkeypatch.undo()
    assert running.resume(services, name).swapped


# -- what a reviewer found -----------------------------------------------------------------------------------


def test_a_plan_that_is_out_of_date_destroys_nothing(services: Services, name: str) -> None:
    data = record(make(services, name))
    stale = planning.plan_reindex(services, name, signals=["text"])
    report = reindex(services, name)
    with pytest.raises(JobError, match="stands for .* since this was planned"):
        running.run_reindex(services, stale)
    assert behind(services, name) == report.new
    clean(services, name, data)


@pytest.mark.es_both
def test_a_template_that_takes_the_alias_is_refused(services: Services, name: str) -> None:
    make(services, name)
    client_of(services).indices.put_index_template(
        name=name, index_patterns=[f"{name}-*"], priority=500, template={"aliases": {name: {}}}
    )
    try:
        with pytest.raises(IndexConflictError, match="would put .* behind the alias"):
            reindex(services, name)
        assert list(settings_of(services, name)) == [f"{name}-000001"]
        client_of(services).index(index=name, id="x", document={"title": "still written"})
    finally:
        client_of(services).indices.delete_index_template(name=name)
    assert reindex(services, name).swapped


def test_cancel_does_not_delete_what_is_in_use(services: Services, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make(services, name)
    with monkeypatch.context() as patched:
        patched.setattr(running, "_tidy", throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            reindex(services, name)
    assert control.status(services, name)["status"] == "done"
    client_of(services).indices.delete(index=f"{name}-000001")
    with pytest.raises(JobError, match="no reindex of .* is unfinished"):
        control.cancel(services, name)
    with pytest.raises(JobError, match="is behind the alias"):
        running.discard(services.cluster.generations, services.dead_letters, f"{name}-000002")
    assert behind(services, name) == f"{name}-000002"


def throw(error: BaseException) -> Any:
    def thrown(*_: Any, **__: Any) -> None:
        raise error

    return thrown


def test_a_rollback_that_would_lose_an_update_is_refused(services: Services, name: str) -> None:
    data = record(make(services, name))
    reindex(services, name, template=Template(properties={"price": {"type": "keyword"}}))
    client_of(services).update(index=name, id="p1", doc={"title": "since", "price": "on request"})
    for _ in range(2):
        with pytest.raises(JobError, match=r"refuses 1 documents .*\(p1: .*nothing was moved"):
            control.rollback(services, name)
        assert behind(services, name) == f"{name}-000002"
        no_leftovers(services, name)
    client_of(services).update(index=name, id="p1", doc={"price": 3})
    control.rollback(services, name)
    data["p1"] |= {"title": "since", "price": 3}
    assert shop_documents(services, name) == data
    no_leftovers(services, name)
    assert reindex(services, name).swapped  # nothing is open any more


@pytest.mark.parametrize("how", ["again", "cancel"])
def test_a_rollback_that_ended_behind_the_fence(
    services: Services, name: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    data = record(make(services, name))
    reindex(services, name)
    with monkeypatch.context() as patched:
        patched.setattr(control, "Guardian", lambda *_: contextlib.nullcontext(Mock(spec=Guardian)))
        patched.setattr(control, "let_go", lambda *_: None)
        patched.setattr(transfer, "let_go", lambda *_: None)
        patched.setattr(Generations, "swap", throw(Crash()))
        with pytest.raises(Crash):
            control.rollback(services, name)
    if how == "cancel":
        assert control.cancel(services, name)["status"] == "cancelled"
        no_leftovers(services, name)
        client_of(services).update(index=name, id="p1", doc={"title": "since"})
        data["p1"]["title"] = "since"
    control.rollback(services, name)
    no_leftovers(services, name)
    run_sync(services, name)
    clean(services, name, data)
    assert control.drop(services, name) == [f"{name}-000002"]
    assert reindex(services, name).new == f"{name}-000002"


def test_an_alias_that_moved_meanwhile(services: Services, name: str) -> None:
    data = make(services, name)
    reindex(services, name, swap=False)
    make_shop(client_of(services), f"{name}-nightly", data, 1)
    client_of(services).indices.update_aliases(
        actions=[
            {"remove": {"index": f"{name}-000001", "alias": name}},
            {"add": {"index": f"{name}-nightly", "alias": name}},
        ]
    )
    with pytest.raises(JobError, match="was moved to another index meanwhile"):
        running.resume(services, name)
    assert control.cancel(services, name)["status"] == "cancelled"
    assert sorted(settings_of(services, name)) == [f"{name}-000001", f"{name}-nightly"]
    no_leftovers(services, name)


@pytest.mark.parametrize("back", [False, True])
def test_a_guardian_has_nothing_to_end_after_a_swap_that_was_undone(
    services: Services, name: str, monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    make(services, name)
    if back:
        reindex(services, name)
    guardians: list[Guardian] = []

    class Kept(Guardian):
        def __enter__(self) -> Guardian:
            guardians.append(self)
            return super().__enter__()

    with monkeypatch.context() as patched:
        patched.setattr(control, "Guardian", Kept)
        patched.setattr(running, "Guardian", Kept)
        patched.setattr(Generations, "swap", throw(Crash()))
        with pytest.raises(Crash):
            control.rollback(services, name) if back else reindex(services, name)
    (guardian,) = guardians
    assert guardian._process.wait(30) == 0
    log = services.settings.data_dir / "logs" / "guardian.log"
    assert f"the swap of {name} was left in the middle" not in log.read_text()
    assert Lease(client_of(services), name).holder() is None


def test_a_busy_cluster_ends_a_swap_before_the_shops_writes_give_up(
    services: Services, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(services, name)
    raise_fences, send = Generations.raise_fences, Products._send
    fenced: list[str] = []

    def late(generations: Generations, fences: Any) -> None:
        client_of(services).update(index=name, id="p1", doc={"title": "late"})
        raise_fences(generations, fences)
        fenced.append(name)

    def busy(products: Products, *args: Any) -> Any:
        if fenced:
            raise ClusterBusyError("Elasticsearch is too busy")
        return send(products, *args)

    with monkeypatch.context() as patched:
        patched.setattr(transfer, "_FENCED_PATIENCE_S", 0.5)
        patched.setattr(Generations, "raise_fences", late)
        patched.setattr(Products, "_send", busy)
        with pytest.raises(ClusterBusyError, match=r"for 0\.5 s"):
            reindex(services, name)
    assert behind(services, name) == f"{name}-000001"
    client_of(services).update(index=name, id="p1", doc={"title": "written"}, timeout="2s")


@pytest.mark.parametrize("gone", ["alias", "target"])
def test_the_fence_comes_down_whatever_else_is_gone(
    services: Services, name: str, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    make(services, name)
    with monkeypatch.context() as patched:
        patched.setattr(running, "Guardian", lambda *_: contextlib.nullcontext(Mock(spec=Guardian)))
        patched.setattr(transfer, "let_go", lambda *_: None)
        patched.setattr(Generations, "swap", throw(Crash()))
        with pytest.raises(Crash):
            reindex(services, name)
    services.jobs.update(running.unfinished(services.jobs, name)[0], phase="swap", status="running")
    if gone == "alias":
        client_of(services).indices.delete_alias(index=f"{name}-000001", name=name)
    else:
        client_of(services).indices.delete(index=f"{name}-000002")
    recovery.recover_all(services)
    assert control.cancel(services, name)["status"] == "cancelled"
    assert list(settings_of(services, name)) == [f"{name}-000001"]
    no_leftovers(services, name)
    client_of(services).index(index=f"{name}-000001", id="x", document={"title": "written"}, timeout="2s")


@pytest.mark.es_both
def test_an_index_that_syncs_its_translog_now_and_then(services: Services, name: str) -> None:
    data = record(make(services, name))
    client_of(services).indices.put_settings(
        index=name, settings={"translog.durability": "async", "translog.sync_interval": "30s"}
    )

    def shop(progress: Progress) -> None:
        if progress.phase == "swap":
            return  # it would wait for us, who wait for it
        for n in range(3):
            title = f"changed {time.monotonic()}"
            client_of(services).update(index=name, id=f"p{n}", doc={"title": title})
            data[f"p{n}"]["title"] = title

    assert reindex(services, name, shop, shards=1).swapped
    run_sync(services, name)
    clean(services, name, data)


@pytest.mark.es_both
def test_a_document_that_moved_to_another_routing(services: Services, name: str) -> None:
    """The same id under another routing is another document, and the first one's copy must go."""
    make_shop(client_of(services), f"{name}-000001", rows(5), 1, alias=name)
    client_of(services).index(index=name, id="r", routing="a", document={"title": "here"}, refresh=True)

    def shop(progress: Progress) -> None:
        if progress.phase == "encode" and client_of(services).exists(index=name, id="r", routing="a"):
            client_of(services).delete(index=name, id="r", routing="a")
            client_of(services).index(index=name, id="r", routing="b", document={"title": "there"})

    assert reindex(services, name, shop, shards=4).swapped
    hits = client_of(services).search(index=name, query={"ids": {"values": ["r"]}})["hits"]["hits"]
    assert [(hit["_routing"], hit["_source"]["title"]) for hit in hits] == [("b", "there")]


@pytest.mark.es_both
def test_late_writes_that_are_refused_are_told(services: Services, name: str) -> None:
    make(services, name)
    real = Generations.lower_fence

    def lower(self: Generations, index: str, before: Any) -> None:
        real(self, index, before)
        if index.endswith("-000001"):
            client_of(services).update(index=index, id="p3", doc={"size": "large"})

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Generations, "lower_fence", lower)
        report = reindex(services, name, template=Template(properties={"size": {"type": "integer"}}))
    assert (report.swapped, report.complete, report.refused) == (True, False, {"mapping_conflict": 1})


# -- revisions -----------------------------------------------------------------------------------------------


def test_what_was_deleted_is_told_by_revisions(services: Services, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With buckets so small that many differ, and some are empty on one side."""
    monkeypatch.setattr(copies, "_LEAST_IN_BUCKET", 4)
    make(services, name, 60)
    gone = [f"p{n}" for n in (0, 1, 2, 3, 17, 31, 59)]

    def shop(progress: Progress) -> None:
        if progress.phase == "encode" and gone[0] is not None:
            client_of(services).bulk(index=name, operations=[{"delete": {"_id": id}} for id in gone])
            gone[0] = None  # type: ignore[call-overload]

    report = reindex(services, name, shop, shards=1)
    assert report.deleted == 7
    assert services.cluster.indices.count(name) == 53


def test_the_transfer_refuses_another_index_of_the_name(services: Services, name: str) -> None:
    data = make(services, name)
    thread, outcome, going = in_background(services, name, "copy")
    threading.Timer(0.3, going.set).start()
    control.pause(services, name)
    thread.join()
    assert outcome[0].status == "paused"
    client_of(services).indices.delete(index=f"{name}-000001")
    make_shop(client_of(services), f"{name}-000001", data, 2, alias=name)
    with pytest.raises(JobError, match="was made anew meanwhile"):
        running.resume(services, name)
    assert control.cancel(services, name)["status"] == "cancelled"
    assert isinstance(transfer.Stopped("pause"), Exception)


# -- the command ---------------------------------------------------------------------------------------------


@pytest.fixture
def hybrid(services: Services) -> Any:
    environment = {**os.environ, "HYBRID_ES_URL": services.es_url, "HYBRID_TEXT_ENCODER": "toy:32",
                   "HYBRID_REDIS_URL": services.redis_url}  # fmt: skip

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "hybrid.cli", *arguments], env=environment, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip

    return run


def test_the_command(services: Services, name: str, hybrid: Any, tmp_path: Path) -> None:
    data = record(make(services, name))
    dry = hybrid("reindex", name, "--shards", "1", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "shards: 2 -> 1" in dry.stdout
    assert list(settings_of(services, name)) == [f"{name}-000001"]
    assert hybrid("reindex", name, "--status").returncode == 1
    assert "was ever started" in hybrid("reindex", name, "--status").stderr
    wrong = hybrid("reindex", name, "--resume", "--shards", "3")
    assert (wrong.returncode, "does not go with --resume" in wrong.stderr) == (2, True)
    assert hybrid("reindex", name, "--resume", "--cancel").returncode == 2
    judged = tmp_path / "judgments.csv"
    judged.write_text("query,docid,rating\nlamp,p1,3\nmug,p0,3\n")
    done = hybrid("reindex", name, "--shards", "1", "--workers", "1", "--judgments", str(judged), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["swapped"], report["complete"], report["copied"]) == (True, True, 40)
    assert [finding["what"] for finding in report["verified"]["findings"]][-1] == "judged"
    state = json.loads(hybrid("reindex", name, "--status", "--json").stdout)
    assert (state["status"], state["running"]) == ("done", False)
    clean(services, name, data)
    back = hybrid("reindex", name, "--rollback")
    assert back.returncode == 0, back.stderr
    again = hybrid("reindex", name, "--rollback")
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "Traceback" not in again.stderr
    plainly = hybrid("reindex", name, "--shards", "1")
    assert plainly.returncode == 0, plainly.stderr
    assert "swapped in, writes waited" in plainly.stdout
