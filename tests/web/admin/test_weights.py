"""The weights page: versions listed, compared, applied, rolled back, trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybrid.elastic.stores.models import WEIGHTS
from hybrid.elastic.stores.orders import ORDERS
from hybrid.errors import ModelConflictError, ModelMissingError, OrderTakenError, UsageError
from hybrid.evaluation.judgments import Judgments
from hybrid.learning import orders as ordered
from hybrid.learning.weights import versions
from hybrid.operations import indexing, orders
from hybrid.operations import orders as orders_module
from hybrid.search.weights import FIXED_VERSION, fixed
from hybrid.services import Services
from tests.conftest import write_rows
from tests.support.admin_client import signed_in
from tests.support.admin_seed import add
from tests.support.models import keep
from tests.support.raw import client_of
from tests.support.web_services import EVIL
from workers.orders import work

pytestmark = pytest.mark.es

ROWS = [
    {"id": f"p{n}", "name": f"{['red', 'blue', 'green'][n % 3]} {['lamp', 'mug', 'chair'][n // 3 % 3]} {n}",
     "description": f"thing number {n} to put in a room", "brand": ["Aa", "Bb"][n % 2]}
    for n in range(60)
]  # fmt: skip
QUERIES = [f"{color} {kind}" for color in ("red", "blue", "green") for kind in ("lamp", "mug", "chair")]
RATINGS = {query: {row["id"]: 3.0 for row in ROWS if row["name"].startswith(query)} for query in QUERIES} | {
    word: {row["id"]: 2.0 for row in ROWS if word in row["name"].split()} for word in ("red", "lamp", "mug")
}


@pytest.fixture
def shop(services: Services, name: str, tmp_path: Path) -> tuple[Services, str]:
    """Sixty products, and a judgment list of twelve queries."""
    plan = indexing.plan_index(services, write_rows(tmp_path / "c.ndjson", ROWS), name)
    indexing.run_index(services, plan, rejects_path=tmp_path / "rejects")
    services.judgment_lists.take_in(name, "lamps", Judgments(RATINGS), "ed")
    return services, name


BEFORE = {"red lamp": 0.5, "blue mug": 0.5, EVIL: 0.5, "mug": 0.5}
AFTER = {"red lamp": 0.9, "blue mug": 0.8, EVIL: 0.1, "mug": 0.5}


def test_apply_with_what_is_expected_and_roll_back(shop: tuple[Services, str]) -> None:
    services, name = shop
    add(services, name, "gate-1", scores=AFTER, before=BEFORE)
    admin = signed_in(services)
    page = admin.get(f"/admin/weights?index={name}").text
    assert "fixed-1" in page and "gate-1" in page and "lamps" in page
    version = admin.get(f"/admin/weights/{name}/gate-1").text
    assert 'class="histogram lexical"' in version and "because" in version
    asked = admin.get(f"/admin/weights/{name}/gate-1/apply").text
    assert "+0.0750" in asked  # (0.4 + 0.3 - 0.4 + 0) / 4
    assert "&lt;script&gt;alert(1)" in asked and "<script>alert" not in asked  # the query that would lose
    assert services.models("weights").active(name) is None  # nothing happens before it is confirmed
    answer = admin.post(f"/admin/weights/{name}/gate-1/apply", instead_of=FIXED_VERSION)
    assert answer.status_code == 302
    assert services.models("weights").active(name) == "gate-1"
    page = admin.get(f"/admin/weights?index={name}").text
    assert "Go back to fixed-1" in page
    assert admin.post(f"/admin/weights/{name}/rollback", instead_of="gate-1").status_code == 302
    assert services.models("weights").active(name) is None
    entry = services.audit.list(1)[0][0]
    assert (entry["action"], entry["index"], entry["status"]) == ("weights_rollback", name, 302)


def test_two_people_at_once(shop: tuple[Services, str]) -> None:
    services, name = shop
    for number in (1, 2):
        add(services, name, f"gate-{number}", scores=AFTER, before=BEFORE)
    mei, ed = signed_in(services, "mei"), signed_in(services)
    for person in (mei, ed):
        assert 'name="instead_of" value="fixed-1"' in person.get(f"/admin/weights/{name}/gate-2/apply").text
    assert mei.post(f"/admin/weights/{name}/gate-1/apply", instead_of=FIXED_VERSION).status_code == 302
    late = ed.post(f"/admin/weights/{name}/gate-2/apply", instead_of=FIXED_VERSION)
    assert late.status_code == 409
    assert "somebody else made gate-1 of weights active meanwhile" in late.text
    assert 'name="instead_of" value="gate-1"' in late.text  # to decide again
    assert services.models("weights").active(name) == "gate-1"
    # A second click on rollback must not go back two steps.
    assert mei.post(f"/admin/weights/{name}/rollback", instead_of="gate-1").status_code == 302
    assert mei.post(f"/admin/weights/{name}/rollback", instead_of="gate-1").status_code == 409
    answer = ed.send(f"/admin/api/weights/{name}/apply", {"version": "gate-2", "instead_of": "gate-1"})
    assert (answer.status_code, answer.json["error"]["type"]) == (409, "ModelConflictError")
    answer = ed.send(f"/admin/api/weights/{name}/apply", {"version": "gate-2", "instead_of": "fixed-1"})
    assert (answer.status_code, answer.json["active"]) == (200, "gate-2")
    answer = ed.send(f"/admin/api/weights/{name}/rollback", {"instead_of": "gate-2"})
    assert answer.json["active"] == FIXED_VERSION
    with pytest.raises(ModelMissingError, match="no weights version 'gate-9'"):
        versions.apply(services.models(WEIGHTS), name, "gate-9")


def test_fixed_weights_by_name_count_as_fixed(shop: tuple[Services, str]) -> None:
    services, name = shop
    add(services, name, "gate-1", scores=AFTER, before=BEFORE)
    services.models("weights").activate(name, FIXED_VERSION)  # as a reindex does
    versions.apply(services.models(WEIGHTS), name, "gate-1", instead_of=FIXED_VERSION)
    with pytest.raises(ModelConflictError, match="somebody else"):
        versions.apply(services.models(WEIGHTS), name, "gate-1", instead_of=FIXED_VERSION)


def test_two_versions_side_by_side(shop: tuple[Services, str]) -> None:
    services, name = shop
    store = services.models(WEIGHTS)
    add(services, name, "gate-1", scores=BEFORE, before=BEFORE)
    add(services, name, "gate-2", scores=AFTER, before=BEFORE, active="gate-7")
    admin = signed_in(services)
    page = admin.get(f"/admin/weights/{name}/compare?v=gate-2&v=gate-1").text
    assert "gate-1 versus gate-2" in page and "+0.0750" in page
    assert admin.get(f"/admin/weights/{name}/compare?v=gate-2").status_code == 400
    change = admin.get(f"/admin/api/weights/{name}/compare?a=gate-1&b=gate-2").json["change"]
    assert (change["queries"], change["difference"]) == (4, 0.075)
    assert [one["query"] for one in change["lost"]] == [EVIL]
    # Not measured beside what is active: by the held-out scores of each, where there are any.
    assert versions.expected(store, name, versions.version(store, name, "gate-2")).change is None
    services.models("weights").activate(name, "gate-1")
    found = versions.expected(store, name, versions.version(store, name, "gate-2")).change
    assert found is not None and found.difference == 0.075
    keep(services, name, "gate-3", "gate", fixed(version="gate-3").to_json(), {})  # no report at all
    assert admin.get(f"/admin/weights/{name}/gate-3").status_code == 200
    assert admin.get(f"/admin/weights/{name}/gate-3/apply").status_code == 200
    assert admin.get(f"/admin/weights/{name}/compare?v=gate-3&v=gate-1").status_code == 200


def test_a_viewer_looks_and_changes_nothing(shop: tuple[Services, str]) -> None:
    services, name = shop
    add(services, name, "gate-1", scores=AFTER, before=BEFORE)
    viewer = signed_in(services, "vi", "viewer")
    page = viewer.get(f"/admin/weights?index={name}").text
    assert "gate-1" in page and f"/admin/weights/{name}/train" not in page
    assert viewer.post(f"/admin/weights/{name}/gate-1/apply", instead_of=FIXED_VERSION).status_code == 403
    assert viewer.post(f"/admin/weights/{name}/train", kind="gate").status_code == 403
    assert services.models("weights").active(name) is None


def test_training_as_an_order(shop: tuple[Services, str]) -> None:
    services, name = shop
    admin = signed_in(services)
    given = {"kind": "gate", "judgments": "lamps", "synthetic": 30, "folds": 3, "repeats": 1}
    answer = admin.send(f"/admin/api/weights/{name}/train", given)
    assert (answer.status_code, answer.json["order"]["status"]) == (202, "queued")
    again = admin.post(f"/admin/weights/{name}/train", kind="gate", synthetic=30)
    assert again.status_code == 409  # one at a time
    slot = orders_module.learning_slot(name)
    assert work(services, slot)
    order = services.orders.get(slot)
    assert order is not None
    assert (order["status"], order["error"]) == ("done", None)
    assert order["progress"]["total"] > 0
    page = admin.get(f"/admin/weights?index={name}").text
    assert services.models("weights").active(name) is None  # never by itself
    found, total = versions.listed(services.models(WEIGHTS), name, 20)
    if order["result"]["version"] is None:
        assert total == 0 and "No better, so nothing was saved" in page
    else:
        assert [entry["version"] for entry in found] == [order["result"]["version"]]
        assert (found[0]["list"], found[0]["by"]) == ("lamps", "ed")
        spread = versions.version(services.models(WEIGHTS), name, found[0]["version"])["report"]["spread"]
        assert set(spread) == {"lexical", "text"} and sum(spread["text"]["counts"]) == 12
    with pytest.raises(UsageError, match="no judgment list 'chairs'"):
        versions.order_training(services, name, "gate", "ed", "chairs")
    with pytest.raises(UsageError, match="no kind 'magic'"):
        versions.order_training(services, name, "magic", "ed", None)


def test_a_training_begun_again_keeps_one_version(shop: tuple[Services, str], monkeypatch: pytest.MonkeyPatch) -> None:
    services, name = shop
    # Active weights that are as bad as can be, and no doubt, so that the training publishes from few queries.
    monkeypatch.setattr(ordered.training, "doubt", lambda *given: "")
    bad = fixed({"text": 1.0, "lexical": 1e-9}, "bad-1").to_json()
    keep(services, name, "bad-1", "global", {**bad, "kind": "global"}, {})
    services.models("weights").activate(name, "bad-1")
    versions.order_training(services, name, "global", "ed", "lamps", synthetic=30, folds=3, repeats=1)
    slot = orders_module.learning_slot(name)
    taken = services.orders.take(slot)
    assert taken is not None
    first = ordered.train(orders.Work(services, taken))  # published, and then the process dies
    assert first["version"] is not None
    again = {**taken, "attempts": taken["attempts"] + 1}
    monkeypatch.setattr(ordered.training, "train", lambda *args, **options: pytest.fail("trained again"))
    assert ordered.train(orders.Work(services, again))["version"] == first["version"]
    assert len(services.models("weights").names(name)) == 2
    with pytest.raises(OrderTakenError):
        versions.order_training(services, name, "gate", "ed", None)
    client_of(services).delete(index=ORDERS, id=slot, refresh=True)


def test_versions_are_turned_over(shop: tuple[Services, str]) -> None:
    services, name = shop
    for number in range(22):
        add(services, name, f"gate-{number:02}", scores=AFTER, before=BEFORE)
    admin = signed_in(services)
    page = admin.get(f"/admin/weights?index={name}&page=2")
    assert page.text.count('name="v"') == 2
    assert '<span class="mark-tag">22</span>' in page.text
    assert admin.get(f"/admin/weights?index={name}&page=0").status_code == 400
    assert admin.get("/admin/weights?index=no-such-index").status_code == 404
    body = admin.get(f"/admin/api/weights/{name}").json
    assert (body["total"], len(body["versions"]), body["active"]) == (22, 20, FIXED_VERSION)
    assert services.models("weights").latest(name, "gate") == body["versions"][0]["version"]


def test_in_chinese(shop: tuple[Services, str]) -> None:
    services, name = shop
    add(services, name, "gate-1", scores=AFTER, before=BEFORE)
    admin = signed_in(services)
    admin.post("/admin/language", lang="zh", next="/admin/")
    assert "权重" in admin.get(f"/admin/weights?index={name}").text
    assert "预期提升" in admin.get(f"/admin/weights/{name}/gate-1/apply").text
