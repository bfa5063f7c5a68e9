"""The web layer on made-up services: what it accepts, refuses, escapes and promises."""

from __future__ import annotations

import base64
import io
import json
import logging
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import validate as validate_openapi
from PIL import Image
from pydantic import TypeAdapter

from hybrid.contracts import Degradation, SearchAnswer
from hybrid.errors import ClusterError, ClusterUnreachableError, EncoderError, MediaError
from tests.browser.shop import Services, catalogue
from web import MAX_BODY_BYTES, create_app
from web.schemas import MAX_IMAGE_BYTES, SearchParams


def jpeg(size: int = 8) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (size, size), "#3f6b52").save(data, "JPEG")
    return data.getvalue()


def data_url(data: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return Services(catalogue(), tmp_path)


@pytest.fixture
def client(services: Services) -> FlaskClient:
    return create_app(services).test_client()


# ---- what a request may hold ------------------------------------------------------------------------

BAD: list[tuple[dict[str, Any], str]] = [
    ({"q": "x" * 1001}, "q: "),
    ({"q": 5}, "q: "),
    ({"page": 0}, "page: "),
    ({"page": "two"}, "page: "),
    ({"size": 101}, "size: "),
    ({"size": 0}, "size: "),
    ({"page": 101, "size": 100}, "page: page x size must be at most 10,000"),
    ({"colour": "red"}, "colour: unknown field; known are index, q"),
    ({"system": "magic"}, "system: must be one of bm25, text, image, rrf, fixed"),
    ({"index": "shop,other"}, "index: not the name of one index"),
    ({"index": ".security"}, "index: not the name of one index"),
    ({"index": "*"}, "index: not the name of one index"),
    ({"weights": {"text": -1}}, "weights: text must be a number of at least 0"),
    ({"weights": "text=NaN"}, "weights: text must be a number of at least 0"),
    ({"weights": {"text": 0}}, "weights: at least one must be above 0"),
    ({"weights": "text"}, "weights: 'text' is not name=number"),
    ({"filters": "{brand"}, "filters: not valid JSON"),
    ({"filters": []}, "filters: must be an object"),
    ({"filters": {"price": {"gt": 4}}}, "filters: price must have gte, lte or both, not gt"),
    ({"filters": {"price": {}}}, "filters: price must have gte, lte or both"),
    ({"filters": {"brand": []}}, "filters: brand must be a list of 1 to 200 plain values"),
    ({"filters": {"brand": {"gte": [1]}}}, "filters: brand has a bound"),
    ({"filters": {"brand": None}}, "filters: brand must be a value"),
    ({"image": "http://example.com/a.jpg"}, "image: must be a data URL"),
    ({"image": "data:text/html;base64,AAAA"}, "image: must be a data URL"),
    ({"image": "data:image/png;base64,%%%"}, "image: not valid base64"),
    ({"image": "data:image/png;base64,"}, "image: the picture is empty"),
    ({"user": "u" * 201}, "user: "),
]


@pytest.mark.parametrize(("body", "reason"), BAD, ids=[reason[:40] for _, reason in BAD])
def test_a_wrong_field_is_named(client: FlaskClient, body: dict[str, Any], reason: str) -> None:
    answer = client.post("/api/search", json=body)
    assert answer.status_code == 400
    assert answer.json["error"]["type"] == "UsageError"
    assert answer.json["error"]["reason"].startswith(reason)
    assert "\n" not in answer.json["error"]["reason"]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("q=a&q=b", "q: given 2 times"),
        ("filter=brand", "filter: 'brand' is not field:value"),
        ('filter=brand:HP&filters={"brand":"HP"}', "filter: use either filter or filters"),
        ("size=ten", "size: "),
    ],
)
def test_a_wrong_query_string_is_named(client: FlaskClient, query: str, reason: str) -> None:
    answer = client.get(f"/api/search?{query}")
    assert answer.status_code == 400
    assert answer.json["error"]["reason"].startswith(reason)


def test_a_wrong_body_is_refused(client: FlaskClient) -> None:
    bad_json = client.post("/api/search", data="{", content_type="application/json")
    assert (bad_json.status_code, bad_json.json["error"]["reason"]) == (400, "body: not valid JSON")
    assert client.post("/api/search", json=["q"]).json["error"]["reason"] == "body: must be a JSON object"
    assert client.post("/api/search", data="<q/>", content_type="text/xml").status_code == 415
    mixed = client.post("/api/search?q=a", json={})
    assert mixed.json["error"]["reason"].startswith("q: send the fields in the body")
    other = client.post("/api/search", data={"photo": (io.BytesIO(jpeg()), "a.jpg")})
    assert other.json["error"]["reason"].startswith("photo: only one file")


def test_every_way_of_asking_means_the_same(client: FlaskClient, services: Services) -> None:
    picture = jpeg()
    filters = {"brand": ["Strato", "Lumen"], "price": {"gte": 10, "lte": 200}}
    short = {
        "index": "shop",
        "q": "shoes",
        "facets": "brand,price",
        "weights": "text=.6,lexical=.4",
        "page": "2",
        "size": "5",
        "system": "fixed",
        "explain": "true",
    }
    long = short | {
        "facets": ["brand", "price"],
        "weights": {"text": 0.6, "lexical": 0.4},
        "page": 2,
        "size": 5,
        "explain": True,
        "filters": filters,
    }
    texts = {**short, "filters": json.dumps(filters)}
    answers = [
        client.get("/api/search", query_string={**texts, "image": data_url(picture)}),
        client.post("/api/search", json={**long, "image": data_url(picture)}),
        client.post("/api/search", data={**texts, "image": data_url(picture)}),
        client.post("/api/search", data={**texts, "image": (io.BytesIO(picture), "a.jpg")}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    first, *others = services.searcher.asked
    assert first.image == picture
    assert first.weights == {"text": 0.6, "lexical": 0.4}
    assert all(other == first for other in others)


def test_repeated_filters_are_any_of(client: FlaskClient, services: Services) -> None:
    client.get("/api/search?filter=brand:HP&filter=brand:A:B&filter=color:red")
    assert services.searcher.asked[-1].filters == {"brand": ["HP", "A:B"], "color": "red"}


def test_the_index_may_be_left_out(client: FlaskClient, services: Services) -> None:
    client.get("/api/search")
    services.settings.index = "shop"
    client.get("/api/search")
    assert [asked.index for asked in services.searcher.asked] == ["shop", "shop"]
    services.settings.index, services.searcher.names = None, []
    answer = client.get("/api/search")
    assert (answer.status_code, answer.json["error"]["type"]) == (404, "IndexMissingError")


# ---- answers ----------------------------------------------------------------------------------------


def test_the_answer_is_the_contract(client: FlaskClient, services: Services) -> None:
    services.searcher.degraded = [Degradation("image", "model not found")]
    answer = client.get("/api/search?q=shoes")
    assert answer.json["degraded"] == [{"part": "image", "reason": "model not found"}]
    TypeAdapter(SearchAnswer).validate_python(answer.json, strict=False)
    for hit in answer.json["hits"]:
        assert hit["score"] == pytest.approx(sum(s["contribution"] for s in hit["signals"].values()))
    assert "日常针织运动鞋" in answer.get_data(as_text=True)  # UTF-8, not escaped


def test_suggestions(client: FlaskClient) -> None:
    found = client.get("/api/suggest?q=sho&size=1").json["suggestions"]
    assert found == [{"text": "Shoes", "id": found[0]["id"], "kind": "category"}]
    assert client.get("/api/suggest?q=").json["suggestions"] == []
    assert client.get("/api/suggest?q=a&size=99").status_code == 400
    assert client.get("/api/suggest?q=a&limit=9").json["error"]["reason"].startswith("limit: unknown field")


@pytest.mark.parametrize(
    ("failure", "status", "kind"),
    [
        (ClusterUnreachableError("nobody answers"), 503, "ClusterUnreachableError"),
        (ClusterError("shards failed"), 502, "ClusterError"),
        (EncoderError("no model"), 503, "EncoderError"),
        (MediaError("not a picture"), 400, "MediaError"),
    ],
)
def test_errors_of_the_core(
    services: Services, client: FlaskClient, failure: Exception, status: int, kind: str
) -> None:
    services.searcher.failure = failure
    answer = client.get("/api/search?index=shop")
    assert answer.status_code == status
    assert answer.json == {"error": {"type": kind, "reason": str(failure)}}
    page = client.get("/")
    assert page.status_code == status
    assert page.mimetype == "text/html"
    assert 'id="q"' in page.get_data(as_text=True)  # one can still search


def test_an_unexpected_error_is_logged_and_kept_private(
    services: Services, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    services.searcher.failure = RuntimeError("secret path /etc/x")
    with caplog.at_level(logging.ERROR, logger="hybrid.web"):
        answer = client.get("/api/search", headers={"X-Request-Id": "r-1"})
        page = client.get("/")
    assert answer.status_code == page.status_code == 500
    assert "secret" not in answer.get_data(as_text=True) + page.get_data(as_text=True)
    assert caplog.records[0].getMessage().startswith("r-1 ")
    assert caplog.records[0].exc_info is not None


def test_unknown_addresses_and_methods(client: FlaskClient) -> None:
    assert client.get("/nothing").json["error"] == {"type": "NotFound", "reason": "nothing at this address"}
    wrong = client.delete("/api/search")
    assert wrong.status_code == 405
    assert wrong.json["error"]["reason"] == "DELETE is not allowed here"
    assert "GET" in wrong.headers["Allow"]


def test_too_large(client: FlaskClient) -> None:
    picture = b"\xff\xd8\xff" + b"0" * MAX_IMAGE_BYTES
    over_picture = client.post("/api/search", data={"image": (io.BytesIO(picture), "a.jpg")})
    over_body = client.post("/api/search", data=b"0" * (MAX_BODY_BYTES + 1), content_type="application/json")
    for answer in (over_picture, over_body):
        assert answer.status_code == 413
        assert "10 MB" in answer.json["error"]["reason"]
    page = client.post("/", data={"image": (io.BytesIO(b"0" * (MAX_BODY_BYTES + 1)), "a.jpg")})
    assert page.status_code == 413
    assert "too large" in page.get_data(as_text=True)


def test_health(client: FlaskClient, services: Services) -> None:
    assert client.get("/healthz").json == {"status": "alive"}
    assert client.get("/readyz").status_code == 200
    services.alive = False
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json["parts"]["elasticsearch"]["reason"] == "connection refused"
    assert client.get("/healthz").status_code == 200


def test_openapi_is_valid_and_whole(client: FlaskClient) -> None:
    document = client.get("/openapi.json").json
    validate_openapi(document)
    described = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    app = create_app(Services([]))
    served = {
        (rule.rule.replace("<path:", "{").replace("<", "{").replace(">", "}"), method)
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static"
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert described == served
    assert set(document["components"]["schemas"]["SearchParams"]["properties"]) == set(SearchParams.model_fields)
    statuses = set(document["paths"]["/api/search"]["post"]["responses"])
    assert statuses >= {"200", "400", "404", "413", "415", "500", "502", "503"}


@pytest.mark.parametrize("path", ["/", "/api/search", "/api/search?page=0", "/nothing", "/static/app.js", "/healthz"])
def test_security_headers(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"]
    assert len(answer.headers["X-Request-Id"]) == 32


def test_a_forged_request_id_is_replaced(client: FlaskClient) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"] == "abc-1"
    assert client.get("/healthz", headers={"X-Request-Id": "a b" * 99}).headers["X-Request-Id"] != "a b" * 99


# ---- pictures ---------------------------------------------------------------------------------------


@pytest.fixture
def media(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A resolver with no guard of its own: the view must not trust it."""
    module = types.ModuleType("hybrid.media")
    module.resolve_image = lambda value, root: Path(root) / value  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hybrid.media", module)
    (tmp_path / "images").mkdir()
    return tmp_path


def test_a_picture_is_served_once(client: FlaskClient, services: Services, media: Path) -> None:
    product = services.searcher.products["p0001"]
    (media / product["image"]).write_bytes(jpeg())
    answer = client.get("/media/shop/p0001")
    assert (answer.status_code, answer.mimetype) == (200, "image/jpeg")
    assert "max-age=3600" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = client.get("/media/shop/p0001", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("value", ["../secret.jpg", "/etc/passwd", "images/../../secret.jpg", "images", "link.jpg"])
def test_no_path_leaves_the_media_root(client: FlaskClient, services: Services, media: Path, value: str) -> None:
    secret = media.parent / "secret.jpg"
    secret.write_bytes(jpeg())
    (media / "link.jpg").symlink_to(secret)
    services.searcher.products["p0001"] |= {"image": value}
    assert client.get("/media/shop/p0001").status_code == 404
    assert client.get("/media/shop/..%2F..%2Fsecret.jpg").status_code == 404


@pytest.mark.parametrize("content", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html><script>", b""])
def test_only_pictures_are_served(client: FlaskClient, services: Services, media: Path, content: bytes) -> None:
    (media / services.searcher.products["p0001"]["image"]).write_bytes(content)
    assert client.get("/media/shop/p0001").status_code == 404
    assert client.get("/media/other/p0001").status_code == 404
