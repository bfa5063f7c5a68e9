"""Try it and Judgments, as a person without script and a program see them."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from hybrid.elastic.stores.evaluations import EVALUATIONS
from hybrid.elastic.stores.orders import ORDERS
from hybrid.evaluation.photos import judged_photo
from hybrid.operations import evaluations
from hybrid.operations.orders import learning_slot
from hybrid.services import Services
from tests.support.admin_client import AdminClient, forget, signed_in
from tests.support.raw import client_of
from tests.support.web_services import EVIL, WebShop, jpeg
from workers.orders import work

pytestmark = pytest.mark.es


@pytest.fixture
def services(web_shop: WebShop) -> Iterator[Services]:
    services = Services(web_shop.settings)  # the whole: published weights too
    forget(services)
    yield services
    for index in (web_shop.name, web_shop.odd):
        for found in services.judgment_lists.lists(index):
            services.judgment_lists.delete(index, found["list"])
    forget(services)


@pytest.fixture
def ed(services: Services) -> AdminClient:
    return signed_in(services)


def rate(client: AdminClient, shop: WebShop, **change: Any) -> TestResponse:
    given = {"index": shop.name, "list": "team", "query": "mug", "product": "p00", "rating": 2}
    return client.send("/admin/api/judgments", given | change)


def test_two_systems_stand_side_by_side(ed: AdminClient, web_shop: WebShop) -> None:
    page = ed.get(f"/admin/try?q=stoneware+mug&index={web_shop.name}&left=bm25&right=text").text
    assert page.count('class="try-hit"') > 20  # the nearest by meaning alone are that many
    assert 'data-side="left"' in page and 'data-side="right"' in page
    assert 'class="move new"' in page or 'class="move up"' in page or 'class="move same"' in page


def test_a_side_that_cannot_be_asked_leaves_the_other(ed: AdminClient, web_shop: WebShop) -> None:
    page = ed.get(f"/admin/try?q=mug&index={web_shop.name}&left=gate&right=bm25").text
    assert "no gate weights" in page and 'id="right-1"' in page
    page = ed.get(f"/admin/try?q=mug&index={web_shop.name}&left=own&left_lexical=0&right=none").text
    assert "at least one signal a weight above 0" in page and "no weights version &#39;none&#39;" in page


def test_own_weights_are_searched_by(ed: AdminClient, web_shop: WebShop) -> None:
    given = {"q": "mug", "index": web_shop.name, "left": "own", "left_weights": {"lexical": 0.2, "text": 0.8}}
    found = ed.send("/admin/api/try", given).json
    assert found["left"]["weights_version"] == "request"
    assert found["left"]["weights"]["text"] > found["left"]["weights"]["lexical"]
    assert set(found["pool"]["scaled"]) == {"lexical", "text", "image"}
    assert ed.get(f"/admin/try?q=mug&index={web_shop.name}&left=own&left_lexical=many").status_code == 400


def test_a_program_is_told_of_a_photo_that_is_none(ed: AdminClient, web_shop: WebShop) -> None:
    broken = "data:image/jpeg;base64," + base64.b64encode(b"no picture").decode()
    given = {"q": "mug", "index": web_shop.name, "image": broken, "left": "bm25", "right": "image"}
    answer = ed.send("/admin/api/try", given)
    assert answer.status_code == 400 and "is not a JPEG" in answer.json["error"]["reason"]


def test_a_form_without_a_photo_comes_to_an_address_to_share(ed: AdminClient, web_shop: WebShop) -> None:
    answer = ed.post("/admin/try", q="mug", index=web_shop.name, left="own", left_text="0.5", right="", list="team")
    assert answer.status_code == 302
    assert answer.location.endswith(f"/admin/try?q=mug&index={web_shop.name}&list=team&left=own&left_text=0.5")


def test_a_photo_is_kept_and_dropped(ed: AdminClient, web_shop: WebShop) -> None:
    ed.get("/admin/try")
    form = {"index": web_shop.name, "left": "image", "right": "fixed"}
    page = ed.post("/admin/try", **form, image=(io.BytesIO(jpeg()), "a.jpg")).text
    assert 'id="left-1"' in page and "data-rate=" in page
    kept = kept_image(page)
    assert 'id="left-1"' in ed.post("/admin/try", **form, kept_image=kept).text
    assert ed.post("/admin/try", **form, kept_image=kept, drop_image="1").status_code == 302
    broken = ed.post("/admin/try", **form, image=(io.BytesIO(b"no picture"), "a.jpg"))
    assert broken.status_code == 200 and 'class="notice error"' in broken.text and 'id="left-1"' not in broken.text


def kept_image(page: str) -> str:
    return page.split('name="kept_image" value="')[1].split('"')[0]


def data_url(photo: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(photo).decode()}"


def test_a_rated_photo_shows_its_ratings_when_it_is_chosen_again(ed: AdminClient, web_shop: WebShop) -> None:
    photo, key = jpeg(size=900), judged_photo(jpeg(size=900)).key
    assert rate(ed, web_shop, query="", image=data_url(photo), rating=3).json == {"rating": 3, "photo": key}
    here = f"/admin/api/judgments?index={web_shop.name}&list=team"
    assert ed.get(f"{here}&photo={key}").json["ratings"] == {"p00": 3}
    assert ed.get(f"{here}&photo={key}&q=mug").json["ratings"] == {}
    rows = ed.get(here).json["queries"]
    assert rows == [{"query": "", "photo": key, "judgments": 1, "relevant": 1}]
    ed.get("/admin/try")
    again = ed.post("/admin/try", index=web_shop.name, list="team", left="image", image=(io.BytesIO(photo), "a.jpg"))
    assert again.status_code == 302 and f"photo={key}" in again.location
    page = ed.get(again.location).text
    assert 'data-rating="3.0"' in page and kept_image(page).startswith("data:image/jpeg")
    cards = ed.get(f"/admin/try/cards?index={web_shop.name}&list=team&q=&photo={key}&id=p00").text
    assert 'data-rating="3.0"' in cards and 'data-rate="1"' in cards
    said = ed.app.extensions["hybrid"].audit.list(1)[0][0]["detail"]
    assert said["photo"] == key and "image" not in said
    # Taken back with what the page carries, the photo is forgotten.
    assert rate(ed, web_shop, query="", image=kept_image(page), rating=None).json == {"rating": None, "photo": key}
    gone = ed.get(again.location)
    assert gone.status_code == 200 and "This photo has expired" in gone.text and 'id="left-1"' not in gone.text


def test_photos_are_rated_without_script(ed: AdminClient, web_shop: WebShop) -> None:
    ed.get("/admin/try")
    form = {"index": web_shop.name, "list": "team", "q": "mug", "left": "image"}
    page = ed.post("/admin/try", **form, image=(io.BytesIO(jpeg()), "a.jpg")).text
    back = html.unescape(page.split('name="back" value="')[1].split('"')[0])
    given = {"index": web_shop.name, "list": "team", "query": "mug", "back": back, "kept_image": kept_image(page)}
    key = judged_photo(jpeg()).key
    answer = ed.post("/admin/try/rate", **given, rate="3|left-2|p01")
    assert answer.status_code == 302 and answer.location.endswith(f"&photo={key}#left-2")
    assert 'data-rating="3.0"' in ed.get(answer.location).text
    answer = ed.post("/admin/try/rate", **given, rate="-|left-2|p01")
    assert answer.status_code == 307 and answer.location.endswith("#left-2")  # the browser posts the form on
    page = ed.post(answer.location.partition("#")[0], **given, rate="-|left-2|p01").text
    assert "data-rate=" in page and 'data-rating="3.0"' not in page and kept_image(page) == given["kept_image"]


@pytest.mark.parametrize(
    ("image", "status"),
    [
        ("https://elsewhere/a.jpg", 400), ("data:image/jpeg;base64,%%", 400), ("data:text/html;base64,AAAA", 400),
        ("", 400), (5, 400), (data_url(b"no picture"), 400), (data_url(jpeg()[:60]), 400),
        (data_url(bytes(10 * 1024 * 1024 + 1)), 413),
    ],
)  # fmt: skip
def test_hostile_photos_are_refused_and_nothing_is_kept(
    ed: AdminClient, web_shop: WebShop, image: Any, status: int
) -> None:
    answer = rate(ed, web_shop, query="mug", image=image)
    assert answer.status_code == status, answer.text
    assert answer.json["error"]["reason"] and "\n" not in answer.json["error"]["reason"]
    assert ed.app.extensions["hybrid"].judgment_lists.lists(web_shop.name) == []


def test_a_judged_photo_is_shown_to_those_who_are_signed_in(ed: AdminClient, web_shop: WebShop) -> None:
    key = rate(ed, web_shop, query="<b>mug", image=data_url(jpeg(size=900))).json["photo"]
    page = ed.get(f"/admin/judgments/{web_shop.name}/team").text
    address = f"/admin/api/photos/{key}"
    assert f'src="{address}"' in page and f"photo={key}" in page and "&lt;b&gt;mug" in page
    shown = ed.client.get(address)
    assert shown.headers["Content-Type"] == "image/jpeg" and judged_photo(shown.data).key == key
    assert shown.headers["Cache-Control"].startswith("private")
    assert ed.client.get(address, headers={"If-None-Match": shown.headers["ETag"]}).status_code == 304
    assert ed.get(f"/admin/api/photos/{'0' * 32}").status_code == 404
    assert ed.get("/admin/api/photos/x").status_code == 400
    assert ed.get("/admin/try?q=mug&photo=x").status_code == 400
    stranger = AdminClient(ed.app.extensions["hybrid"]).get(address)
    assert stranger.status_code == 401 and stranger.headers["Cache-Control"] == "no-store"
    ed.get("/admin/judgments")
    assert key in ed.get(f"/admin/judgments/{web_shop.name}/team/coverage").text


def test_a_list_with_photos_is_measured_and_its_hurt_queries_shown(ed: AdminClient, web_shop: WebShop) -> None:
    services, index = ed.app.extensions["hybrid"], web_shop.name
    # p00 looks as this photo does, and has not the words.
    key = rate(ed, web_shop, query="lamp", image=data_url(jpeg("#3f6b52", 900)), rating=3).json["photo"]
    rate(ed, web_shop, query="", image=data_url(jpeg("#3f6b52", 900)), rating=3)
    rate(ed, web_shop, query="mug")
    evaluations.order(services, index, "team", ["image", "bm25"], 0, "ed")
    assert work(services, learning_slot(index))
    order = services.orders.get(learning_slot(index))
    assert order["error"] is None
    run = evaluations.run(services.evaluations, order["result"]["run"])
    assert set(run["per_query"]["queries"]) == {"mug", f"{key}.jpg", f"lamp + {key}.jpg"}
    assert evaluations.scores(run, "image")[f"{key}.jpg"] > 0
    page = ed.get(f"/admin/evaluations/{run['id']}").text
    assert f'src="/admin/api/photos/{key}"' in page and f"lamp + photo {key[:8]}" in page
    assert f"q=lamp&amp;photo={key}&amp;left=bm25&amp;right=image&amp;list=team" in page
    client_of(services).indices.delete(index=[EVALUATIONS, ORDERS], ignore_unavailable=True)


def test_ratings_are_saved_shown_and_taken_back(ed: AdminClient, web_shop: WebShop) -> None:
    assert rate(ed, web_shop).json == {"rating": 2}
    address = f"/admin/try?q=mug&index={web_shop.name}&list=team"
    assert 'data-rating="2.0"' in ed.get(address).text
    here = f"/admin/api/judgments?index={web_shop.name}&list=team"
    assert ed.get(f"{here}&q=mug").json["ratings"] == {"p00": 2}
    assert rate(ed, web_shop, rating=None).json == {"rating": None}
    assert ed.get(f"{here}&q=mug").json["ratings"] == {}


def test_rating_without_script_comes_back_to_the_hit(ed: AdminClient, web_shop: WebShop) -> None:
    ed.get("/admin/try")
    back = f"q=mug&index={web_shop.name}&list=team"
    answer = ed.post("/admin/try/rate", index=web_shop.name, list="team", query="mug", rate="3|left-4|p01", back=back)
    assert answer.status_code == 302 and answer.location.endswith(f"/admin/try?{back}#left-4")
    assert ed.app.extensions["hybrid"].judgment_lists.ratings(web_shop.name, "team", "mug") == {"p01": 3}


@pytest.mark.parametrize(
    "change",
    [
        {"rating": 4}, {"rating": "2"}, {"rating": 1.5}, {"query": ""}, {"product": ""}, {"list": "../x"},
        {"index": "*"}, {"more": 1},
    ],
)  # fmt: skip
def test_what_is_no_rating_is_refused(ed: AdminClient, web_shop: WebShop, change: dict[str, Any]) -> None:
    answer = rate(ed, web_shop, **change)
    assert answer.status_code == 400, answer.text
    assert answer.json["error"]["type"] == "UsageError"


def test_a_viewer_compares_but_does_not_rate(services: Services, web_shop: WebShop) -> None:
    viewer = signed_in(services, "vi", "viewer")
    page = viewer.get(f"/admin/try?q=mug&index={web_shop.name}").text
    assert 'id="left-1"' in page and "data-rate=" not in page
    assert viewer.post("/admin/try", q="mug", index=web_shop.name).status_code == 302
    assert rate(viewer, web_shop).status_code == 403


def test_evil_texts_stay_texts(ed: AdminClient, web_shop: WebShop) -> None:
    services = ed.app.extensions["hybrid"]
    services.judgment_lists.rate(web_shop.odd, "team", EVIL, "evil", 1, "ed")
    for address in (f"/admin/try?q=script&index={web_shop.odd}", f"/admin/judgments/{web_shop.odd}/team"):
        page = ed.get(address).text
        assert "<script>alert" not in page and "<img src=x" not in page
        assert "alert(1)" in page


def upload(client: AdminClient, shop: WebShop, content: bytes, **form: Any) -> TestResponse:
    client.get("/admin/judgments")
    given = {"index": shop.name, "list": "team", "file": (io.BytesIO(content), "j.csv")} | form
    return client.post("/admin/judgments", **given)


def test_a_file_is_imported_listed_exported_and_deleted(ed: AdminClient, web_shop: WebShop) -> None:
    content = b"query,docid,rating\nmug,p00,3\nmug,p01,1\nlamp,p06,0\n"
    assert upload(ed, web_shop, content).status_code == 302
    page = ed.get(f"/admin/judgments/{web_shop.name}/team").text
    assert "3 judgments were imported into the list team" in page and "2 searches, 3 judgments" in page
    assert f"/admin/judgments/{web_shop.name}/team" in ed.get(f"/admin/judgments?index={web_shop.name}").text
    out = ed.get(f"/admin/judgments/{web_shop.name}/team/export?format=quepid")
    assert "team.csv" in out.headers["Content-Disposition"]
    assert sorted(out.data.split(b"\n")) == sorted(content.split(b"\n"))
    assert ed.get(f"/admin/judgments/{web_shop.name}/team/export?format=none").status_code == 400
    ed.get("/admin/judgments")
    ed.post(f"/admin/judgments/{web_shop.name}/team/delete")  # without the tick
    assert ed.app.extensions["hybrid"].judgment_lists.one(web_shop.name, "team")
    ed.post(f"/admin/judgments/{web_shop.name}/team/delete", sure="yes")
    assert ed.app.extensions["hybrid"].judgment_lists.one(web_shop.name, "team") is None


def test_a_bad_file_says_which_line_and_imports_nothing(ed: AdminClient, web_shop: WebShop) -> None:
    answer = upload(ed, web_shop, b"query,docid,rating\nmug,p00,3\nmug,p01,high\n")
    assert answer.status_code == 400 and "line 3: rating &#39;high&#39;" in answer.text
    assert upload(ed, web_shop, b"", file=(io.BytesIO(b""), "")).status_code == 400
    assert upload(ed, web_shop, b"query,docid,rating\nmug,p00,3\n", list="a/b").status_code == 400
    assert "none of the 1 judged products" in upload(ed, web_shop, b"query,docid,rating\nmug,gone,3\n").text
    assert ed.app.extensions["hybrid"].judgment_lists.lists(web_shop.name) == []
    upload(ed, web_shop, b"query,docid,rating\nmug,p00,3\nmug,gone,3\n")
    said = ed.get(f"/admin/judgments/{web_shop.name}/team").text
    assert (
        "2 judgments were imported" in said and "1 of 2 judged products are not in index" in said and "(gone)" in said
    )


def test_coverage_is_measured_when_asked_for(ed: AdminClient, web_shop: WebShop) -> None:
    upload(ed, web_shop, b"query,docid,rating\nmug,p00,3\n")
    assert "Least judged" not in ed.get(f"/admin/judgments/{web_shop.name}/team").text
    assert "10 %" in ed.get(f"/admin/judgments/{web_shop.name}/team?coverage=1").text
    assert "10 %" in ed.get(f"/admin/judgments/{web_shop.name}/team/coverage").text
    found = ed.get(f"/admin/api/judgments/coverage?index={web_shop.name}&list=team").json
    assert found == {"queries": 1, "asked": 1, "judged_at_10": 0.1}


def test_programs_import_export_and_delete_lists(ed: AdminClient, web_shop: WebShop) -> None:
    at = f"/admin/api/judgments/{web_shop.name}/team"
    token = {"X-CSRFToken": ed.token}
    content = b"query,docid,rating\nmug,p00,3\n"
    taken = ed.client.post(f"{at}/import", data={"file": (io.BytesIO(content), "j.csv")}, headers=token)
    assert taken.json == {"judgments": 1, "notes": []}
    assert ed.get(f"{at}/export").data == content
    empty = ed.client.post(f"{at}/import", data={}, headers=token, content_type="multipart/form-data")
    assert empty.status_code == 400
    assert ed.client.delete(at).status_code == 400  # without the token of a page
    assert ed.client.delete(at, headers=token).json == {"judgments": 1}
    assert ed.get(f"/admin/api/judgments?index={web_shop.name}").json["lists"] == []
    kept = ed.app.extensions["hybrid"].audit.list(4)[0]
    counted = {entry["action"]: entry["detail"].get("judgments") for entry in kept if entry["status"] == 200}
    assert counted == {"api_import": "1", "api_delete": "1"}
