"""The failures page: grouped, shown beside the product, tried again, forgotten, exported."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid.elastic.stores.dead_letters import DEAD_LETTERS, DeadLetter
from hybrid.elastic.stores.orders import ORDERS
from hybrid.operations import failures
from hybrid.services import Services
from tests.conftest import index_file, write_rows
from tests.support.admin_client import AdminClient, forget, signed_in
from tests.support.raw import client_of
from tests.support.web_services import EVIL, jpeg
from tests.support.wire import watched_wire
from workers.orders import work

pytestmark = pytest.mark.es


@pytest.fixture
def letters(services: Services, name: str, tmp_path: Path) -> Iterator[str]:
    """An index of four products: two without their picture's file, one with a file that is no picture."""
    client_of(services).indices.delete(index=[DEAD_LETTERS, ORDERS], ignore_unavailable=True)
    (tmp_path / "good.jpg").write_bytes(jpeg())
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    names = {"a": "good.jpg", "b": "bad.jpg", "c": "gone.jpg", "d": "gone2.jpg"}
    rows = [{"id": id, "name": f"{EVIL} {id}", "image": image} for id, image in names.items()]
    index_file(services, write_rows(tmp_path / "c.ndjson", rows), name, tmp_path, media_root=tmp_path)
    yield name
    client_of(services).indices.delete(index=[DEAD_LETTERS, ORDERS], ignore_unavailable=True)
    forget(services)


@pytest.fixture
def client(services: Services, letters: str) -> AdminClient:
    return signed_in(services)


def ids_of(services: Services, index: str, reason: str) -> dict[str, str]:
    """product -> id of its letter."""
    return {letter["product"]: letter["id"] for letter in services.dead_letters.page(index, reason, 100)}


def test_failures_are_grouped_by_reason_and_shown_beside_the_product(client: AdminClient, letters: str) -> None:
    page = client.get("/admin/failures").text
    assert (
        "The picture is not at the place that the catalogue names" in page
        and "This kind of picture is not supported" in page
    )
    shown = client.get(f"/admin/failures/{letters}/image_missing").text
    assert "does not exist under the media folder" in shown and "2 failures" in shown
    assert "&lt;script&gt;alert(1)" in shown and "<script>alert" not in shown and "<img src=x" not in shown
    found = client.get("/admin/api/failures").get_json()["groups"]
    assert [(group["reason"], group["count"]) for group in found] == [("image_missing", 2), ("image_unsupported", 1)]


def test_one_that_was_mended_goes_when_it_is_tried_again_and_one_that_was_not_is_renewed(
    services: Services, client: AdminClient, letters: str, tmp_path: Path
) -> None:
    ids = ids_of(services, letters, "image_missing")
    (tmp_path / "gone.jpg").write_bytes(jpeg("#112233"))
    client.get(f"/admin/failures/{letters}/image_missing")
    answer = client.post(f"/admin/failures/{letters}/image_missing", do="retry", dead_letter=list(ids.values()))
    assert answer.status_code == 302
    assert "2 products were sent to the workers" in client.get(answer.location).text
    waiting = services.cluster.products.read(letters, ["c", "d"])
    assert {id: product.layer.pending for id, product in waiting.items()} == {"c": ("image",), "d": ("image",)}
    # What a worker does with what was queued.
    services.ingester.enrich(services.searcher.profile(letters), "retry", ["c", "d"])
    assert set(ids_of(services, letters, "image_missing")) == {"d"}
    assert services.queue.depth() >= 1


def test_all_of_a_reason_are_tried_again_by_an_order(services: Services, client: AdminClient, letters: str) -> None:
    client.get(f"/admin/failures/{letters}/image_missing")
    for wanted in ("All of them are being retried", "under way"):
        answer = client.post(f"/admin/failures/{letters}/image_missing", do="retry_all")
        if answer.status_code == 302:
            page = client.get(answer.location).text
        else:
            assert answer.status_code == 409
            page = answer.text
        assert wanted in page
    assert work(services, failures.slot(letters))
    order = services.orders.get(failures.slot(letters))
    assert order is not None and order["result"] == {"reason": "image_missing", "letters": 2, "queued": 2}


def test_some_or_all_are_dismissed_and_the_products_stay(services: Services, client: AdminClient, letters: str) -> None:
    ids = ids_of(services, letters, "image_missing")
    path = f"/admin/failures/{letters}/image_missing"
    client.get(path)
    client.post(path, do="dismiss", dead_letter=[ids["c"]])
    assert set(ids_of(services, letters, "image_missing")) == {"d"}
    client.post(path, do="dismiss", dead_letter=[])  # nothing chosen
    client.post(path, do="dismiss_all")  # not confirmed
    assert set(ids_of(services, letters, "image_missing")) == {"d"}
    client.post(path, do="dismiss_all", sure="yes")
    assert ids_of(services, letters, "image_missing") == {}
    assert services.dead_letters.counts(letters) == {"image_unsupported": 1}
    assert client_of(services).count(index=letters)["count"] == 4


def test_letters_of_another_index_are_not_reached_through_this_one(
    services: Services, client: AdminClient, letters: str
) -> None:
    services.dead_letters.add("other", "job", [DeadLetter("x", "image", "image_missing", "elsewhere")])
    [foreign] = ids_of(services, "other", "image_missing").values()
    answer = client.send(f"/admin/api/failures/{letters}/dismiss", {"dead_letters": [foreign]})
    assert answer.get_json() == {"dismissed": 0}
    assert client.send(f"/admin/api/failures/{letters}/dismiss", {"dead_letters": "x"}).status_code == 400
    assert client.post(f"/admin/failures/{letters}/image_missing", do="explode").status_code == 400
    assert services.dead_letters.counts("other") == {"image_missing": 1}


def test_the_csv_holds_all_and_no_formula(services: Services, client: AdminClient, letters: str) -> None:
    formulas = ["=1+1", "+1", "-1", "@x", 'a"b,c']
    services.dead_letters.add(letters, "j", [DeadLetter(text, "image", "image_missing", text) for text in formulas])
    answer = client.get(f"/admin/failures/{letters}/image_missing/csv")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    rows = list(csv.reader(io.StringIO(answer.get_data(as_text=True).lstrip("\ufeff"))))
    assert rows[0] == ["index", "product", "signal", "reason", "message", "at"] and len(rows) == 8
    assert {row[1] for row in rows[1:]} == {"c", "d", "'=1+1", "'+1", "'-1", "'@x", 'a"b,c'}


def test_a_viewer_sees_no_button(services: Services, letters: str) -> None:
    client = signed_in(services, "vi", "viewer")
    page = client.get(f"/admin/failures/{letters}/image_missing").text
    assert "gone.jpg" in page and 'name="do"' not in page
    assert client.post(f"/admin/failures/{letters}/image_missing", do="dismiss_all", sure="yes").status_code == 403


def test_20_000_letters_are_dismissed_by_few_requests(
    services: Services, letters: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [DeadLetter(f"p{number:05}", "image", "image_missing", "not there") for number in range(20_000)]
    for start in range(0, len(many), 5_000):
        services.dead_letters.add(letters, "job", many[start : start + 5_000])
    wire = watched_wire(client_of(services), monkeypatch)
    assert failures.dismiss_all(services.dead_letters, letters, "image_missing") == 20_002
    assert len(wire.requests) <= 16, wire.requests
