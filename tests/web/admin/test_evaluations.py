"""The evaluations page: ordered, measured, kept, looked at, and compared from run to run."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest

from hybrid.elastic.stores.evaluations import EVALUATIONS
from hybrid.elastic.stores.judgments import JUDGMENTS
from hybrid.elastic.stores.orders import ORDERS
from hybrid.errors import UsageError
from hybrid.evaluation.judgments import Judgments
from hybrid.learning import orders as ordered
from hybrid.operations import evaluations, orders
from hybrid.operations.orders import learning_slot
from hybrid.search.weights import fixed
from hybrid.services import Services
from tests.support.admin_client import signed_in
from tests.support.admin_seed import RATINGS
from tests.support.models import keep
from tests.support.raw import client_of
from tests.support.web_services import WebShop
from workers.orders import work

pytestmark = pytest.mark.es


@pytest.fixture
def shop(web_shop: WebShop) -> Iterator[tuple[Services, str]]:
    """The small catalogue with a judgment list; runs, orders and lists go afterwards."""
    services = Services(web_shop.settings)
    _forget(services)
    services.judgment_lists.take_in(web_shop.name, "basics", Judgments(RATINGS), "ed")
    yield services, web_shop.name
    _forget(services)


def _forget(services: Services) -> None:
    client_of(services).indices.delete(index=[EVALUATIONS, JUDGMENTS, ORDERS], ignore_unavailable=True)


def measure(services: Services, index: str, *systems: str, folds: int = 0, **options: int) -> dict[str, Any]:
    """A run, ordered and done here."""
    evaluations.order(services, index, "basics", systems, folds, "ed", **options)
    assert work(services, learning_slot(index))
    order = services.orders.get(learning_slot(index))
    assert order is not None
    assert (order["status"], order["error"]) == ("done", None)
    return evaluations.run(services.evaluations, order["result"]["run"])


def test_from_the_form_to_the_page_of_the_run(shop: tuple[Services, str]) -> None:
    services, index = shop
    admin = signed_in(services)
    page = admin.get(f"/admin/evaluations?index={index}").text
    assert "basics (4 queries)" in page and "There have been no evaluations yet" in page
    form = {"index": index, "judgments": "basics", "systems": ["bm25", "text"], "version": ""}
    assert admin.post("/admin/evaluations", **form).status_code == 302
    assert admin.post("/admin/evaluations", **form).status_code == 409
    assert "waiting for a worker" in admin.get(f"/admin/evaluations?index={index}").text
    assert work(services, learning_slot(index))
    key = services.orders.get(learning_slot(index))["result"]["run"]  # type: ignore[index]
    assert f"/admin/evaluations/{key}" in admin.get(f"/admin/evaluations?index={index}").text
    run = evaluations.run(services.evaluations, key)
    assert (run["by"], run["list"], run["systems"], run["baseline"]) == ("ed", "basics", ["bm25", "text"], "bm25")
    assert (run["weights_version"], run["queries"]) == ("fixed-1", 4)
    assert set(evaluations.scores(run, "text")) == set(RATINGS)
    assert run["results"]["bm25"]["p50_ms"] > 0
    assert "answers" not in str(run)
    listed = admin.get(f"/admin/evaluations/{key}/unjudged.csv")
    assert run["unjudged"] and len(listed.text.splitlines()) == 1 + len(run["unjudged"])
    assert "basics-to-rate.csv" in listed.headers["Content-Disposition"]
    judged = {(query, product) for query, rated in RATINGS.items() for product in rated}
    assert not judged & {(row["query"], row["product"]) for row in run["unjudged"]}
    assert sum(figures["queries"] for figures in run["kinds"].values()) == 4
    page = admin.get(f"/admin/evaluations/{key}").text
    assert "condensed@10" in page and "a single word" in page and f"/admin/evaluations/{key}/unjudged.csv" in page
    assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page
    assert 'class="gains"' in page and 'class="interval"' in page and "recall@10" in page
    assert admin.get("/admin/evaluations/nothing").status_code == 400
    body = admin.get(f"/admin/api/evaluations/{key}").json
    assert body["per_query"]["scores"]["bm25"] == run["per_query"]["scores"]["bm25"]


def test_the_stream_tells_how_far_the_work_is(shop: tuple[Services, str]) -> None:
    services, index = shop
    admin = signed_in(services)
    admin.app.config["ADMIN_LOOK_S"] = 0.05
    path = f"/admin/weights/{index}/order/events"
    assert f'data-events="{path}"' in admin.get(f"/admin/evaluations?index={index}").text
    assert f'data-events="{path}"' in admin.get(f"/admin/weights?index={index}").text
    stream = admin.client.get(path, buffered=False)
    events = iter(stream.response)

    def heard(wanted: str) -> str:
        """The next part that says this; fails if it does not come."""
        for _ in range(600):
            event = next(events).decode()
            if wanted in event:
                return str(json.loads(event.removeprefix("data: ")))
        raise AssertionError(f"{wanted} was not told")

    assert next(events).decode().startswith("retry:")
    assert 'data-live=""' in json.loads(next(events).decode().removeprefix("data: "))
    evaluations.order(services, index, "basics", ["bm25"], 0, "ed")
    assert 'data-live="1"' in heard("waiting for a worker")
    assert work(services, learning_slot(index))
    assert 'data-live=""' in heard("Show the result")
    stream.close()
    assert admin.get(f"/admin/weights/{index}/order").text.count("data-live") == 1  # where there is no thread to spare
    assert admin.get("/admin/weights/No*Index/order/events").status_code == 400


def test_hurt_queries_can_be_tried(shop: tuple[Services, str]) -> None:
    services, index = shop
    run = measure(services, index, "bm25", "text")
    run["per_query"]["scores"]["text"] = [0.0, *run["per_query"]["scores"]["text"][1:]]
    run["per_query"]["scores"]["bm25"] = [1.0, *run["per_query"]["scores"]["bm25"][1:]]
    services.evaluations.keep("hurt", run)
    page = signed_in(services).get("/admin/evaluations/hurt").text
    link = html.unescape(re.search(r'href="/admin/try\?([^"]+)"', page)[1])  # type: ignore[index]
    asked = {"index": index, "q": run["per_query"]["queries"][0], "left": "bm25", "right": "text", "list": run["list"]}
    assert dict(parse_qsl(link)) == asked


def test_a_version_of_the_weights_is_a_system(shop: tuple[Services, str]) -> None:
    services, index = shop
    version = "global-1"
    words = fixed({"lexical": 1.0, "text": 1e-9, "image": 1e-9}, version).to_json()
    keep(services, index, version, "global", {**words, "kind": "global"}, {})
    run = measure(services, index, "bm25", version)
    assert run["results"][version]["weights_version"] == version
    assert run["results"]["bm25"]["weights_version"] is None
    assert run["results"][version]["ndcg@10"] == pytest.approx(run["results"]["bm25"]["ndcg@10"], abs=0.2)
    assert "may have seen these queries" in signed_in(services).get(f"/admin/evaluations/{run['id']}").text
    services.models("weights").remove(version, index)


def test_an_evaluation_begun_again_keeps_one_run(shop: tuple[Services, str]) -> None:
    services, index = shop
    evaluations.order(services, index, "basics", ["bm25"], 0, "ed")
    taken = services.orders.take(learning_slot(index))
    assert taken is not None
    first = ordered.evaluate(orders.Work(services, taken))  # kept, and then the process dies
    again = ordered.evaluate(orders.Work(services, {**taken, "attempts": 2}))
    assert first == again
    assert services.evaluations.page(10)[1] == 1


def test_runs_over_time(shop: tuple[Services, str]) -> None:
    services, index = shop
    first, second = (measure(services, index, "bm25", system) for system in ("text", "rrf"))
    second["per_query"]["scores"]["bm25"] = [max(0.0, score - 0.2) for score in second["per_query"]["scores"]["bm25"]]
    services.evaluations.keep(second["id"], second)
    admin = signed_in(services)
    page = admin.get(f"/admin/evaluations?index={index}&list=basics").text
    assert 'class="lines"' in page and page.count('class="series-0"') == 2  # the line, and its key
    page = admin.get(f"/admin/evaluations/compare?run={second['id']}&run={first['id']}").text
    assert "bm25" in page and "rrf" not in page
    data = admin.get(f"/admin/api/evaluations/compare?a={first['id']}&b={second['id']}").json["systems"]
    change = data["bm25"]
    assert list(data) == ["bm25"]
    assert change["difference"] < 0 and change["low"] <= change["difference"] <= change["high"]
    assert len(change["lost"]) == sum(score > 0.05 for score in first["per_query"]["scores"]["bm25"])
    assert admin.get(f"/admin/evaluations/compare?run={first['id']}").status_code == 400


def test_a_file_is_kept_as_a_list(shop: tuple[Services, str]) -> None:
    services, index = shop
    admin = signed_in(services)
    file = (io.BytesIO(b"query,docid,rating\nmug,p00,3\nmug,p01,2\n"), "../judged.csv")
    form = {"index": index, "judgments": "basics", "systems": "bm25", "keep_as": "from a file", "file": file}
    assert admin.post("/admin/evaluations", **form).status_code == 302
    assert services.orders.get(learning_slot(index))["options"]["judgments"] == "from a file"  # type: ignore[index]
    assert work(services, learning_slot(index))
    assert services.evaluations.page(5, 0, index, "from a file")[1] == 1
    broken = (io.BytesIO(b"query,docid,rating\nmug,p00,many\n"), "judged.csv")
    answer = admin.post("/admin/evaluations", **{**form, "file": broken})
    assert answer.status_code == 400 and "line 2" in answer.text
    other = (io.BytesIO(b"query,docid,rating\nmug,gone,3\n"), "judged.csv")
    answer = admin.post("/admin/evaluations", **{**form, "file": other})
    assert answer.status_code == 400 and "none of the 1 judged products" in answer.text


def test_what_cannot_be_measured_is_refused(shop: tuple[Services, str]) -> None:
    services, index = shop
    for given, reason in (
        (("basics", ["magic"], 0), "no system"),
        (("nothing", ["bm25"], 0), "no judgment list"),
        (("basics", [], 0), "choose at least one"),
        (("basics", ["gate"], 0), "no gate weights"),
        (("basics", ["gate"], 1), "one fold"),
    ):
        with pytest.raises(UsageError, match=reason):
            evaluations.order(services, index, *given, by="ed")
    viewer = signed_in(services, "vi", "viewer")
    body = {"index": index, "judgments": "basics", "systems": "bm25,text"}
    assert viewer.send("/admin/api/evaluations", body).status_code == 403
    admin = signed_in(services)
    assert admin.send("/admin/api/evaluations", {**body, "extra": 1}).status_code == 400
    assert admin.send("/admin/api/evaluations", body).status_code == 202


def test_learned_kinds_held_out(shop: tuple[Services, str]) -> None:
    services, index = shop
    ratings = {f"{color} {kind}": {f"p{6 * k + c:02}": 3.0}
               for k, kind in enumerate(("mug", "lamp", "tote")) for c, color in enumerate(("forest", "clay", "navy", "sand"))}  # fmt: skip  # noqa: E501
    services.judgment_lists.take_in(index, "basics", Judgments(ratings), "ed")
    run = measure(services, index, "bm25", "global", folds=3, synthetic=20)
    assert run["folds"] == 3
    assert "not seen" in signed_in(services).get(f"/admin/evaluations/{run['id']}").text
