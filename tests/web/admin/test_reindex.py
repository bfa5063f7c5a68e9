"""The reindex page: estimated, started once, watched, paused, ended, swapped in, rolled back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, TransportApiResponse

from hybrid.elastic.stores.orders import ORDERS
from hybrid.operations import orders
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.operations.reindex import running
from hybrid.searches import SearchRequest
from hybrid.services import Services
from tests.support.admin_client import AdminClient, forget, signed_in
from tests.support.raw import client_of
from tests.support.shop_writer import make_shop, rows
from web.admin import live
from web.admin.reindex import plan_slot, slot
from workers.orders import work

pytestmark = pytest.mark.es
WAIT_S = 60.0


@pytest.fixture
def shop(services: Services, name: str) -> Iterator[str]:
    """A shop's own index behind an alias, without the layer."""
    client_of(services).indices.delete(index=ORDERS, ignore_unavailable=True)
    make_shop(client_of(services), f"{name}-000001", rows(60), alias=name)
    yield name
    client_of(services).indices.delete(index=ORDERS, ignore_unavailable=True)
    forget(services)


@pytest.fixture
def attached(services: Services, shop: str) -> str:
    assert run_attach(services, plan_attach(services, shop, signals=["text"])).complete
    return shop


@pytest.fixture
def client(services: Services, shop: str) -> AdminClient:
    return signed_in(services)


def until(wanted: Callable[[], Any]) -> None:
    ending = time.monotonic() + WAIT_S
    while not wanted():
        assert time.monotonic() < ending, "it did not come to pass"
        time.sleep(0.1)


def act(client: AdminClient, index: str, do: str, **form: Any) -> str:
    """Press a button; the page that it leads to."""
    answer = client.post(f"/admin/reindex/{index}", do=do, **form)
    assert answer.status_code == 302, answer.text
    return client.get(answer.location).text


def planned(services: Services, client: AdminClient, index: str, **form: Any) -> str:
    act(client, index, "plan", **form)
    assert work(services, plan_slot(index))
    return client.get(f"/admin/reindex/{index}").text


class Beside:
    """The process of an order, here a thread; it can be held at its next progress."""

    def __init__(self, services: Services, slot: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        show = orders.Work.show

        def held(work: orders.Work, progress: Any) -> None:
            show(work, progress)
            self.reached.set()
            assert self.go.wait(WAIT_S)

        monkeypatch.setattr(orders.Work, "show", held)
        self.thread = threading.Thread(target=work, args=(services, slot))
        self.thread.start()
        assert self.reached.wait(WAIT_S)

    def end(self) -> None:
        self.go.set()
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()


def test_an_index_without_the_layer_is_attached(services: Services, client: AdminClient, shop: str) -> None:
    assert f'href="/admin/reindex/{shop}"' in client.get("/admin/reindex").text
    page = planned(services, client, shop, what="attach", signals="text")
    assert "60" in page and "Estimated time" in page
    refused = client.post(f"/admin/reindex/{shop}", do="start", what="attach", signals=["text", "image"])
    assert refused.status_code == 400 and "make the estimate of just this first" in refused.text
    act(client, shop, "start", what="attach", signals="text")
    again = client.post(f"/admin/reindex/{shop}", do="start", what="attach", signals="text")
    assert again.status_code == 409 and "under way, ordered by ed" in again.text
    assert work(services, slot(shop))
    order = services.orders.get(slot(shop))
    assert order is not None and order["status"] == "done" and order["result"]["encoded"] == 60
    [run] = [run for run in services.jobs.history(10)[0] if run["index"] == shop]
    assert (run["kind"], run["status"], run["ordered"]["by"]) == ("attach", "done", "ed")
    assert "attach" in client.get("/admin/reindex").text


def test_an_estimate_holds_for_the_index_that_it_was_made_of(
    services: Services, client: AdminClient, attached: str
) -> None:
    planned(services, client, attached, what="reindex", shards="2")
    operations = [part for n in range(30) for part in ({"index": {"_id": f"more{n}"}}, {"title": f"mug {n}"})]
    client_of(services).bulk(index=attached, operations=operations, refresh=True)
    refused = client.post(f"/admin/reindex/{attached}", do="start", what="reindex", shards="2")
    assert refused.status_code == 409 and "had 60 documents at the estimate and has 90 now" in refused.text
    planned(services, client, attached, what="reindex", shards="2")
    client_of(services).indices.put_mapping(index=attached, properties={"more": {"type": "keyword"}})
    refused = client.post(f"/admin/reindex/{attached}", do="start", what="reindex", shards="2")
    assert refused.status_code == 409 and "has changed since the estimate" in refused.text
    assert services.orders.get(slot(attached)) is None or services.orders.get(slot(attached))["kind"] != "reindex"


def test_a_reindex_is_watched_paused_continued_swapped_in_and_rolled_back(
    services: Services, client: AdminClient, attached: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = planned(services, client, attached, what="reindex", shards="2")
    assert f"{attached}-000002" in page and "shards: 1 -&gt; 2" in page
    act(client, attached, "start", what="reindex", shards="2", swap="no")
    beside = Beside(services, slot(attached), monkeypatch)
    state = client.get(f"/admin/reindex/{attached}/state").text
    assert 'data-live="1"' in state and 'value="pause"' in state and 'value="start"' not in state
    assert "Pausing. It stops" in act(client, attached, "pause")
    beside.end()
    found = client.get(f"/admin/api/runs?index={attached}").get_json()
    assert (found["job"]["status"], found["can"]["resume"], found["can"]["start"]) == ("paused", True, False)

    act(client, attached, "resume", swap="no")
    assert work(services, slot(attached))
    found = client.get(f"/admin/api/runs?index={attached}").get_json()
    assert (found["job"]["status"], found["can"]["swap"]) == ("verified", True)
    assert set(client_of(services).indices.get(index=attached)) == {f"{attached}-000001"}
    act(client, attached, "swap")
    assert work(services, slot(attached))
    assert set(client_of(services).indices.get(index=attached)) == {f"{attached}-000002"}

    assert "Tick the box" in act(client, attached, "rollback")
    act(client, attached, "rollback", sure="yes")
    assert work(services, slot(attached))
    assert set(client_of(services).indices.get(index=attached)) == {f"{attached}-000001"}
    act(client, attached, "drop", sure="yes")
    assert work(services, slot(attached))
    assert not client_of(services).indices.exists(index=f"{attached}-000002")
    actions = [entry["detail"].get("do") for entry in services.audit.list()[0] if entry["action"] == "change_index"]
    assert actions == ["drop", "rollback", "rollback", "swap", "resume", "pause", "start", "plan"]


def test_a_reindex_that_is_cancelled_leaves_nothing(
    services: Services, client: AdminClient, attached: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(services, client, attached, what="reindex")
    act(client, attached, "start", what="reindex")
    beside = Beside(services, slot(attached), monkeypatch)
    act(client, attached, "cancel", sure="yes")
    beside.end()
    assert set(client_of(services).indices.get(index=f"{attached}*", expand_wildcards="all")) == {f"{attached}-000001"}
    found = client.get(f"/admin/api/runs?index={attached}").get_json()
    assert (found["job"]["status"], found["can"]["start"]) == ("cancelled", True)


def test_an_order_begun_again_goes_on_with_its_own_run(
    services: Services, client: AdminClient, attached: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(services, client, attached, what="reindex")
    act(client, attached, "start", what="reindex")

    class Killed(BaseException):
        pass

    def dies(work: orders.Work, progress: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(orders.Work, "show", dies)
        patch.setattr(orders, "_keep", lambda doing, **fields: None)  # the dead say nothing
        with pytest.raises(Killed):
            work(services, slot(attached))
    old = "2020-01-01T00:00:00.000+00:00"
    client_of(services).update(index=ORDERS, id=slot(attached), doc={"beat": old}, refresh=True)
    page = client.get(f"/admin/reindex/{attached}").text
    assert "Its process has died" in page and 'value="go_on"' in page
    assert services.orders.abandoned() == [slot(attached)]
    assert work(services, slot(attached))
    order = services.orders.get(slot(attached))
    assert order is not None and (order["status"], order["attempts"]) == ("done", 2)
    assert set(client_of(services).indices.get(index=attached)) == {f"{attached}-000002"}
    assert len([job for job, _ in services.jobs.of(running.KIND, attached)]) == 1


def test_the_stream_tells_what_changes_and_streams_are_bounded(
    services: Services, client: AdminClient, attached: str
) -> None:
    client.app.config["ADMIN_LOOK_S"] = 0.05
    path = f"/admin/reindex/{attached}/events"
    # Of whatever is watched: each is rendered again and again.
    watched = [*[path] * (live.MAX_STREAMS - 1), f"/admin/weights/{attached}/order/events"]
    streams = [client.client.get(one, buffered=False) for one in watched]
    assert client.client.get(path).status_code == 503
    events = streams[0].response
    first = [next(iter(events)).decode() for _ in range(2)]
    assert first[0].startswith("retry:")
    assert "Nothing is running" in json.loads(first[1].removeprefix("data: "))
    act(client, attached, "sync")
    until(lambda: "waiting for a worker" in next(iter(events)).decode())
    for stream in streams:
        stream.close()
    last = client.client.get(path, buffered=False)
    assert last.status_code == 200
    last.close()


def test_what_does_not_run_cannot_be_paused(client: AdminClient, attached: str) -> None:
    answer = client.send(f"/admin/api/runs/{attached}", {"do": "pause"})
    assert (answer.status_code, answer.json["error"]["type"]) == (409, "JobStateError")


def test_a_viewer_watches_and_presses_nothing(services: Services, client: AdminClient, attached: str) -> None:
    viewer = signed_in(services, "vi", "viewer")
    page = viewer.get(f"/admin/reindex/{attached}").text
    assert 'name="do"' not in page
    assert viewer.post(f"/admin/reindex/{attached}", do="sync").status_code == 403
    assert viewer.send(f"/admin/api/runs/{attached}", {"do": "sync"}).status_code == 403


@pytest.mark.parametrize(
    "form",
    [{"do": "explode"}, {"do": "plan", "shards": "0"}, {"do": "plan", "shards": "x"}, {"do": "plan", "what": "x"}, {}],
)
def test_what_cannot_be_asked_for_is_refused(client: AdminClient, shop: str, form: dict[str, str]) -> None:
    assert client.post(f"/admin/reindex/{shop}", **form).status_code == 400
    assert client.send(f"/admin/api/runs/{shop}", form).status_code == 400


@pytest.mark.parametrize(("counts", "drawn"), [((0, 0, 0), False), ((7, 7, 7), False), ((0, 4, 9), True)])
def test_the_rate_of_work_is_drawn_once_there_is_one(
    services: Services, client: AdminClient, attached: str, counts: tuple[int, ...], drawn: bool
) -> None:
    orders.place(services, slot(attached), "sync", attached, {}, "ed")
    assert work(services, slot(attached))
    order = services.orders.get(slot(attached))
    assert order is not None
    assert services.orders.keep(order, samples=[[float(at), done] for at, done in enumerate(counts)])
    page = client.get(f"/admin/reindex/{attached}").text
    assert ("Products per second" in page) is drawn and ('<figure class="chart">' in page) is drawn


def test_indices_that_may_not_be_listed_leave_the_rest_of_the_page(
    services: Services, client: AdminClient, attached: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a cluster with security answers; the test engine has no such module."""
    transport = client_of(services).transport
    perform, refused = transport.perform_request, set()

    def guarded(method: str, target: str, **options: Any) -> Any:
        for part in refused:
            if target.split("?")[0].endswith(part):
                reason = "action [indices:admin/aliases/get] is unauthorized for user [hybrid]"
                error = {"root_cause": [{"type": "security_exception", "reason": reason}], "type": "security_exception"}
                answer = perform(method, target, **options)
                meta = ApiResponseMeta(403, answer.meta.http_version, answer.meta.headers, 0.1, answer.meta.node)
                return TransportApiResponse(meta, {"error": error, "status": 403})
        return perform(method, target, **options)

    monkeypatch.setattr(transport, "perform_request", guarded)
    missing, link = "view_index_metadata on *", f'<a href="/admin/reindex/{attached}">'
    assert missing not in client.get("/admin/reindex").text
    for part, listed in (("/_alias", 2), ("/*,-.*", 1)):
        refused.add(part)
        page = client.get("/admin/reindex")
        assert page.status_code == 200 and page.text.count(missing) == 1
        assert page.text.count(link) == listed  # among the runs, and where it can be told among the indices
    # Its own page needs no list.
    assert 'value="sync"' in client.get(f"/admin/reindex/{attached}").text


def test_products_are_deleted_by_their_ids(services: Services, client: AdminClient, attached: str) -> None:
    first, second = (hit.id for hit in services.searcher.search(SearchRequest(attached, size=2)).hits)

    def delete(products: str, **form: str) -> str:
        answer = client.post(f"/admin/reindex/{attached}/products", products=products, **form)
        return client.get(answer.location).text if answer.status_code == 302 else answer.text

    assert "Tick the box" in delete(f"{first}, {second}")
    assert services.searcher.product(attached, first) is not None
    page = delete(f"{first},\r\n{second}  nobody", sure="yes")
    assert "Products deleted: 2." in page and "Not in the index: nobody (1)." in page
    assert services.searcher.product(attached, first) is None
    assert client.post(f"/admin/reindex/{attached}/products", products=" ", sure="yes").status_code == 400
    assert services.audit.list()[0][0]["action"] == "delete_products"
