"""`POST /api/documents/<index>` on the real engine: who may, what is taken, that twice is once."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from hybrid.errors import ClusterUnreachableError
from hybrid.ingest.queue import TaskQueue
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.operations.sync import run_sync
from hybrid.services import Services
from tests.conftest import make_services
from tests.support.described_client import DescribedClient
from tests.support.raw import client_of
from tests.support.shop_writer import compare, make_shop
from web import create_app
from web.api.documents import MAX_DOCUMENTS

pytestmark = pytest.mark.es

TOKEN = "a-long-täken"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def rows(count: int = 12) -> list[dict[str, Any]]:
    return [{"id": f"p{n}", "title": f"Lamp number {n}", "short_description": "warm", "price": n} for n in range(count)]


@pytest.fixture
def shop(engine: Any, name: str) -> Services:
    services = make_services(engine, push_token=TOKEN)
    make_shop(client_of(services), name, rows())
    run_attach(services, plan_attach(services, name))
    return services


@pytest.fixture
def client(shop: Services) -> FlaskClient:
    app = create_app(shop)
    app.test_client_class = DescribedClient
    return app.test_client()


def send(client: FlaskClient, name: str, body: Any, mimetype: str = "application/json", **headers: str) -> Any:
    data = body if isinstance(body, str | bytes) else orjson.dumps(body)
    encoded = {"Authorization": HEADERS["Authorization"].encode().decode("latin-1"), **headers}
    return client.post(f"/api/documents/{name}", data=data, content_type=mimetype, headers=encoded)


def results(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.json
    return [item["result"] for item in answer.json["results"]]


@pytest.mark.es_both
def test_documents_and_deletes_and_the_same_again(client: FlaskClient, shop: Services, name: str) -> None:
    body = [
        {"_id": "p1", **rows()[1]},
        {"_id": "p2", **rows()[2], "price": 99},
        {"_id": "p3", **rows()[3], "title": "Another thing"},
        {"_id": "new", "id": "new", "title": "A new chair"},
        {"_id": "p4", "_deleted": True},
        {"_id": "none", "_deleted": True},
    ]
    first = send(client, name, body)
    assert results(first) == ["unchanged", "updated", "updated", "created", "deleted", "not_found"]
    assert (first.json["errors"], first.json["waiting"], first.json["queued"]) == (False, 2, True)
    again = send(client, name, body)
    assert results(again) == ["unchanged"] * 4 + ["not_found"] * 2
    report = run_sync(shop, name)
    assert report.encoded == {"text": 2}  # p2 kept its vector: its price is no input of it
    assert report.complete
    record = {row["id"]: row for row in rows()}
    record |= {str(item["_id"]): {k: v for k, v in item.items() if k[0] != "_"} for item in body if "title" in item}
    del record["p4"]
    assert compare(shop, shop.cluster.indices.read_profile(name), record).clean


def test_bulk_lines_in_their_order(client: FlaskClient, shop: Services, name: str) -> None:
    lines = (
        '{"index": {"_id": "p1"}}\n{"id": "p1", "title": "one"}\n'
        '{"index": {"_id": "p1"}}\n{"id": "p1", "title": "two"}\n'
        '{"delete": {"_id": "p2"}}\n\n'
        '{"create": {"_id": "p2"}}\n{"id": "p2", "title": "back"}\n'
        '{"_id": "ü/商", "title": "a document a line"}\n'
    )
    answer = send(client, name, lines, "application/x-ndjson")
    assert results(answer) == ["updated", "updated", "deleted", "created", "created"]
    assert shop.searcher.product(name, "p1") == {"id": "p1", "title": "two"}
    assert shop.searcher.product(name, "ü/商") == {"title": "a document a line"}


def test_one_bad_document_does_not_cost_the_others(client: FlaskClient, shop: Services, name: str) -> None:
    body = [
        {"_id": "a", "title": "good"},
        {"_id": "b", "title": "bad", "price": {"amount": 3}},
        {"_id": "c", "title": "bad", "hybrid": {}},
        {"_id": "d", "title": "bad", "hybrid.meta.pending": "text"},
    ]
    answer = send(client, name, body)
    assert results(answer) == ["created", "error", "error", "error"]
    reasons = [item["reason"] for item in answer.json["results"]]
    assert reasons == [None, "mapping_conflict", "reserved_field", "reserved_field"]
    assert run_sync(shop, name).complete
    assert answer.json["errors"] is True


def test_a_failure_of_a_changed_text_is_tried_again(client: FlaskClient, shop: Services, name: str) -> None:
    before = client_of(shop).get(index=name, id="p1")["_source"]["hybrid"]["meta"]["text"]["hash"]
    assert results(send(client, name, [{"_id": "p1", **rows()[1], "title": "Another thing"}])) == ["updated"]
    shop.ingester.give_up(shop.cluster.indices.read_profile(name), "job", ["p1"], "encoder_failed", "no model")
    meta = client_of(shop).get(index=name, id="p1")["_source"]["hybrid"]["meta"]
    assert (meta["failed"], meta["text"]["hash"]) == (["text"], before)  # the hash of the older text
    assert run_sync(shop, name).encoded == {}  # what failed for good is not tried again by each sync
    assert run_attach(shop, plan_attach(shop, name)).encoded == 1
    meta = client_of(shop).get(index=name, id="p1")["_source"]["hybrid"]["meta"]
    assert meta["failed"] == [] and meta["text"]["hash"] not in (None, before)
    assert shop.dead_letters.counts(name) == {}


def test_without_a_broker_the_next_sync_finds_them(engine: Any, shop: Services, name: str) -> None:
    alone = make_services(engine, push_token=TOKEN, redis_url="redis://127.0.0.1:1/0")
    alone.queue._app.conf.broker_connection_timeout = 1
    answer = send(create_app(alone).test_client(), name, [{"_id": "a", "title": "a chair"}])
    assert (results(answer), answer.json["queued"], answer.json["waiting"]) == (["created"], False, 1)
    assert run_sync(shop, name).encoded == {"text": 1}


def test_a_broker_that_hangs_is_waited_for_once_and_then_left_alone(
    engine: Any, shop: Services, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid.ingest.queue.ANSWER_S", 0.5)
    with socket.socket() as hung:  # it takes connections, and never says a word
        hung.bind(("127.0.0.1", 0))
        hung.listen(64)
        alone = make_services(engine, push_token=TOKEN, redis_url=f"redis://127.0.0.1:{hung.getsockname()[1]}/0")
        client = create_app(alone).test_client()
        for id in "abc":
            answer = send(client, name, [{"_id": id, "title": "a chair"}])
            assert (results(answer), answer.json["queued"]) == (["created"], False)
        for ask in (alone.queue.ping, alone.queue.depth, alone.queue.workers):
            with pytest.raises(ClusterUnreachableError, match="the broker does not answer"):
                ask()
        hung.settimeout(0)
        met = []
        with contextlib.suppress(BlockingIOError):
            while True:
                met.append(hung.accept())
        assert len(met) <= 3  # one attempt, which connects anew where no answer comes
    assert run_sync(shop, name).encoded == {"text": 3}


def test_who_may(client: FlaskClient, engine: Any, shop: Services, name: str) -> None:
    for value in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN):
        header = value.encode().decode("latin-1")
        answer = send(client, name, [{"_id": "x", "title": "x"}], Authorization=header)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].lower().startswith("bearer")
    off = create_app(make_services(engine)).test_client()
    assert send(off, name, [{"_id": "x"}]).status_code == 404
    assert shop.searcher.product(name, "x") is None
    assert client.get(f"/api/documents/{name}", headers={}).status_code == 405


@pytest.mark.parametrize(
    ("body", "mimetype", "status", "reason"),
    [
        ("[", "application/json", 400, "body: not valid JSON"),
        ("{}", "application/json", 400, "must be an array"),
        ("[]", "application/json", 400, "no documents"),
        ("[1]", "application/json", 400, "document 1: must be a JSON object"),
        ('[{"title": "no id"}]', "application/json", 400, "document 1: no id"),
        (json.dumps([{"_id": "x" * 513}]), "application/json", 400, "longer than 512 bytes"),
        (json.dumps([{"_id": "x", "t": "x" * 1_100_000}]), "application/json", 400, "larger than 1 MB"),
        (json.dumps([{"_id": "x"}] * (MAX_DOCUMENTS + 1)), "application/json", 413, "more than 2,000"),
        ('{"update": {"_id": "x"}}\n{"doc": {}}', "application/x-ndjson", 400, "line 1: update is not taken"),
        ('{"index": {"_id": "x", "_index": "y"}}\n{}', "application/x-ndjson", 400, "leave _index out"),
        ('{"index": {"_id": "x"}}\n', "application/x-ndjson", 400, "the document after line 1: not valid JSON"),
        ('{"index": {"_id": "x", "if_seq_no": 3}}\n{}', "application/x-ndjson", 400, "line 1: if_seq_no is not taken"),
        ('{"index": {"_id": "x", "routing": {}}}\n{}', "application/x-ndjson", 400, "line 1: routing must be a string"),
        ('[{"_id": "x", "_deleted": "true"}]', "application/json", 400, "document 1: _deleted must be true or false"),
        (
            '[{"_id": "x", "a": ' + "[" * 300 + "]" * 300 + "}]",
            "application/json",
            400,
            "body: not valid JSON (nested more than 100 deep)",
        ),
        (
            '{"index": {"_id": "x"}}\n{"a": ' + "[" * 300 + "]" * 300 + "}",
            "application/x-ndjson",
            400,
            "nested more than 100 deep",
        ),
        ("[" * 100_000, "application/json", 400, "body: not valid JSON"),
        ("a=b", "application/x-www-form-urlencoded", 415, "application/x-ndjson"),
    ],
)
def test_what_is_not_taken(client: FlaskClient, name: str, body: str, mimetype: str, status: int, reason: str) -> None:
    answer = send(client, name, body, mimetype)
    assert answer.status_code == status
    assert reason in answer.json["error"]["reason"]


def test_only_indices_of_the_layer(client: FlaskClient, shop: Services, name: str) -> None:
    make_shop(client_of(shop), f"{name}-other", rows(2))
    assert send(client, f"{name}-other", [{"_id": "x"}]).status_code == 409
    assert send(client, f"{name}-none", [{"_id": "x"}]).status_code == 404
    for wrong in (".security", f"{name},{name}-other", "*", "Shop"):
        assert send(client, wrong, [{"_id": "x"}]).status_code in (400, 404)
    assert shop.cluster.indices.count(f"{name}-other") == 2


def test_the_schedule_finds_changes_and_queues_them(shop: Services, name: str, monkeypatch: Any) -> None:
    """The task as the beat sends it; plain function, real index and broker."""
    from workers import tasks

    sent: list[list[str]] = []
    monkeypatch.setattr(TaskQueue, "enrich", lambda self, index, job, ids, patient=True: sent.append(ids))
    client_of(shop).update(index=name, id="p1", doc={"title": "Renamed"})

    class Task:
        class app:
            hybrid_services = shop

    done = tasks.sync.run.__func__(Task, name)
    assert (done[name]["written"], done[name]["waiting"], sent) == (1, 1, [["p1"]])
    assert tasks.sync.run.__func__(Task, f"{name}-none")[f"{name}-none"]["error"].startswith("there is no index")


def test_create_overwrites_nothing(client: FlaskClient, shop: Services, name: str) -> None:
    lines = '{"create": {"_id": "p1"}}\n{"id": "p1", "title": "mine"}\n{"create": {"_id": "new"}}\n{"title": "mine"}\n'
    answer = send(client, name, lines, "application/x-ndjson")
    assert [(item["result"], item["reason"]) for item in answer.json["results"]] == [
        ("error", "exists"),
        ("created", None),
    ]
    assert shop.searcher.product(name, "p1") == rows()[1]
    assert results(send(client, name, lines.split("\n", 2)[2], "application/x-ndjson")) == ["unchanged"]


def test_true_is_not_one(client: FlaskClient, shop: Services, name: str) -> None:
    assert results(send(client, name, [{"_id": "b", "title": "x", "stock": 1}])) == ["created"]
    assert results(send(client, name, [{"_id": "b", "stock": True, "title": "x"}])) == ["updated"]
    assert shop.searcher.product(name, "b") == {"stock": True, "title": "x"}
    assert results(send(client, name, [{"_id": "b", "title": "x", "stock": True}])) == ["unchanged"]


def test_deleted_and_made_again_in_one_batch(client: FlaskClient, name: str) -> None:
    answer = send(client, name, [{"_id": "p2", "_deleted": True}, {"_id": "p2", "title": "back"}])
    assert (results(answer), answer.json["waiting"], answer.json["queued"]) == (["deleted", "created"], 1, True)


@pytest.mark.es_both
def test_after_the_alias_moved_nothing_goes_by_the_old_profile(client: FlaskClient, shop: Services, name: str) -> None:
    client_of(shop).indices.put_alias(index=name, name=f"{name}-a")
    assert results(send(client, f"{name}-a", [{"_id": "x", "title": "x"}])) == ["created"]
    make_shop(client_of(shop), f"{name}-b", rows(2))
    client_of(shop).indices.update_aliases(
        actions=[
            {"remove": {"index": name, "alias": f"{name}-a"}},
            {"add": {"index": f"{name}-b", "alias": f"{name}-a"}},
        ]
    )
    assert send(client, f"{name}-a", [{"_id": "y", "title": "y"}]).status_code == 409
    assert not client_of(shop).exists(index=f"{name}-b", id="y")


def test_nothing_goes_to_a_name_of_two_indices(client: FlaskClient, shop: Services, name: str) -> None:
    """Where the other is the write index, the layer's field would end in an index that was never attached."""
    client_of(shop).indices.put_alias(index=name, name=f"{name}-a")
    assert results(send(client, f"{name}-a", [{"_id": "p1", **rows()[1]}])) == ["unchanged"]
    make_shop(client_of(shop), f"{name}-b", rows(2))
    client_of(shop).indices.put_alias(index=f"{name}-b", name=f"{name}-a", is_write_index=True)
    answer = send(client, f"{name}-a", [{"_id": "y", "title": "y"}])
    assert (answer.status_code, "stands for 2 indices" in answer.json["error"]["reason"]) == (409, True)
    assert not client_of(shop).exists(index=f"{name}-b", id="y")
