"""The web layer on the real engine: what it accepts, refuses, escapes and promises."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate as validate_openapi
from pydantic import TypeAdapter

from hybrid import searches
from hybrid.errors import EncoderError
from hybrid.facts import Counted, Note, Reason
from hybrid.searches import SearchAnswer
from tests.support.raw import client_of
from tests.support.web_services import COLORS, EVIL, NO_PICTURES, OUTSIDE, Watched, WebShop, jpeg
from web import MAX_BODY_BYTES, answers, create_app
from web.admin.schemas import ApplyParams
from web.compat.elasticsearch import ADDRESSES
from web.params import MAX_FILE_BYTES, Params, SearchParams, validate

pytestmark = pytest.mark.es


def data_url(data: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


@pytest.fixture
def services(web_shop: WebShop) -> Watched:
    return web_shop.services()


@pytest.fixture
def client(services: Watched) -> FlaskClient:
    return create_app(services).test_client()


@pytest.fixture
def unreachable(web_shop: WebShop) -> Iterator[FlaskClient]:
    """A client of services whose Elasticsearch does not answer."""
    with socket.socket() as taken:  # bound and not listening: nobody answers, and nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        yield create_app(web_shop.services(es_url=f"http://127.0.0.1:{taken.getsockname()[1]}")).test_client()


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
    ({"system": "magic"}, "system: must be one of bm25, text, image, video, audio, fused, rrf, fixed"),
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
    assert other.json["error"]["reason"].startswith("photo: one file a field is taken")


def test_every_way_of_asking_means_the_same(client: FlaskClient, services: Watched, web_shop: WebShop) -> None:
    picture = jpeg()
    filters = {"brand": ["Strato", "Lumen"], "price": {"gte": 10, "lte": 200}}
    short = {
        "index": web_shop.name,
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


@pytest.mark.parametrize("filters", [{"price": "cheap"}, {"price": {"gte": "cheap"}}], ids=["value", "bound"])
def test_a_filter_that_is_no_number_is_the_callers_mistake(client: FlaskClient, filters: dict[str, Any]) -> None:
    answer = client.post("/api/search", json={"filters": filters})
    assert (answer.status_code, answer.json["error"]["type"]) == (400, "UsageError")


def test_repeated_filters_are_any_of(client: FlaskClient, services: Watched) -> None:
    assert client.get("/api/search?filter=brand:HP&filter=brand:A:B&filter=color:red").json["total"] == 0
    assert services.searcher.asked[-1].filters == {"brand": ["HP", "A:B"], "color": "red"}


def test_the_index_may_be_left_out(web_shop: WebShop) -> None:
    only = web_shop.services(index=None)
    assert create_app(only).test_client().get("/api/search").json["total"] == 36
    configured = web_shop.services(index=web_shop.odd)
    configured.searcher.names = [web_shop.name, web_shop.odd]
    create_app(configured).test_client().get("/api/search")
    assert [asked.index for asked in (*only.searcher.asked, *configured.searcher.asked)] == [
        web_shop.name,
        web_shop.odd,
    ]


# ---- answers ----------------------------------------------------------------------------------------


def test_the_answer_is_the_contract(client: FlaskClient) -> None:
    answer = client.get("/api/search?q=trainers")
    TypeAdapter(SearchAnswer).validate_python(answer.json, strict=False)
    assert answer.json["degraded"] == []
    assert [hit["source"]["category"] for hit in answer.json["hits"]][:6] == ["Shoes"] * 6
    for hit in answer.json["hits"]:
        assert set(hit["signals"]) >= {"lexical", "lexical.title", "lexical.cover", "text", "image"}
        assert hit["score"] == pytest.approx(sum(s["contribution"] for s in hit["signals"].values()))
    assert "日常针织运动鞋" in answer.get_data(as_text=True)  # UTF-8, not escaped


def test_a_degraded_answer_is_the_contract(client: FlaskClient, web_shop: WebShop) -> None:
    answer = client.get(f"/api/search?q=picture&index={web_shop.odd}")
    TypeAdapter(SearchAnswer).validate_python(answer.json, strict=False)
    reason = f"the index was encoded by {EVIL}, this process has toy@32+1"
    assert answer.json["degraded"] == [{"part": part, "reason": reason} for part in ("text", "image")]
    assert len(answer.json["hits"]) == len(OUTSIDE) + len(NO_PICTURES)
    assert set(answer.json["weights"]) == {"lexical"}


@pytest.mark.parametrize("spec", ["sentence-transformers:/gone/model", "of-a-later-release"])
def test_a_model_that_cannot_be_had_degrades(
    client: FlaskClient, services: Watched, web_shop: WebShop, name: str, spec: str
) -> None:
    profile = services.searcher.profile(web_shop.name)
    text = dataclasses.replace(profile.signals["text"], encoder=spec)
    services.cluster.indices.ensure(dataclasses.replace(profile, index=name, signals={"text": text}))
    answer = client.get(f"/api/search?q=mug&index={name}")
    assert answer.status_code == 200
    assert [part["part"] for part in answer.json["degraded"]] == ["text"]


def test_suggestions(client: FlaskClient) -> None:
    found = client.get("/api/suggest?q=every&size=1").json["suggestions"]
    assert found == [{"text": found[0]["text"], "id": found[0]["id"], "kind": "product"}]
    assert found[0]["text"].startswith("everyday knit trainers")
    assert client.get("/api/suggest?q=").json["suggestions"] == []
    assert client.get("/api/suggest?q=a&size=99").status_code == 400
    assert client.get("/api/suggest?q=a&limit=9").json["error"]["reason"].startswith("limit: unknown field")


@pytest.mark.parametrize("path", ["/api/search", "/api/suggest?q=a", "/api/products/p1/similar"])
def test_of_several_indices_one_must_be_named(web_shop: WebShop, path: str) -> None:
    """Else a trial index would become the shop's search, where its name sorts first."""
    services = web_shop.services(index=None)
    client = create_app(services).test_client()
    services.searcher.names = [web_shop.odd, web_shop.name]
    answer = client.get(path)
    assert answer.status_code == 400
    assert answer.json["error"]["reason"] == f"index: name one of {', '.join(sorted(services.searcher.names))}"
    assert not services.searcher.asked


def test_the_page_asks_which_of_several_indices_is_meant(web_shop: WebShop) -> None:
    services = web_shop.services(index=None)
    client = create_app(services).test_client()
    services.searcher.names = [web_shop.odd, web_shop.name]
    page = client.get("/?q=shoe").get_data(as_text=True)
    assert "Which catalogue do you want to search?" in page
    assert f'href="/?q=shoe&amp;index={web_shop.name}"' in page
    assert not services.searcher.asked
    assert client.get(f"/?q=shoe&index={web_shop.name}").status_code == 200
    assert [asked.index for asked in services.searcher.asked] == [web_shop.name]


def check_failure(client: FlaskClient, status: int, kind: str, reason: str, **fields: Any) -> None:
    """The API and the page both tell of an error."""
    image = fields.pop("image", None)
    answers = []
    for path in ("/api/search", "/"):
        upload = {"image": (io.BytesIO(image), "a.jpg")} if image else {}
        answers.append(client.post(path, data={**fields, **upload}, content_type="multipart/form-data"))
    answer, page = answers
    assert (answer.status_code, answer.json["error"]["type"]) == (status, kind)
    assert reason in answer.json["error"]["reason"]
    assert "\n" not in answer.json["error"]["reason"]
    assert page.status_code == status
    assert page.mimetype == "text/html"
    assert reason in page.get_data(as_text=True)
    assert 'id="q"' in page.get_data(as_text=True)  # one can still search


def test_no_cluster(unreachable: FlaskClient, web_shop: WebShop) -> None:
    check_failure(unreachable, 503, "ClusterUnreachableError", "Elasticsearch does not answer", index=web_shop.name)


def test_the_cluster_answers_with_an_error(
    client: FlaskClient, services: Watched, web_shop: WebShop, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    profile = services.searcher.profile(web_shop.name)
    services.cluster.indices.ensure(dataclasses.replace(profile, index=name))
    client_of(services).indices.close(index=name)
    check_failure(client, 502, "ClusterError", "Elasticsearch could not carry it out", index=name)
    assert "closed" in caplog.text


def test_a_photo_that_is_none(client: FlaskClient) -> None:
    check_failure(client, 400, "MediaError", "the picture is not a JPEG", image=b"not a picture")


def test_a_model_that_fails_a_search(client: FlaskClient, services: Watched) -> None:
    services.searcher.failure = EncoderError("no model")  # a real one only degrades a search
    check_failure(client, 503, "EncoderError", "something failed here")


def test_an_unexpected_error_is_logged_and_kept_private(
    services: Watched, client: FlaskClient, caplog: pytest.LogCaptureFixture
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
    picture = b"\xff\xd8\xff" + b"0" * MAX_FILE_BYTES
    over_picture = client.post("/api/search", data={"image": (io.BytesIO(picture), "a.jpg")})
    over_body = client.post("/api/search", data=b"0" * (MAX_BODY_BYTES + 1), content_type="application/json")
    for answer in (over_picture, over_body):
        assert answer.status_code == 413
        assert "10 MB" in answer.json["error"]["reason"]
    page = client.post("/", data={"image": (io.BytesIO(b"0" * (MAX_BODY_BYTES + 1)), "a.jpg")})
    assert page.status_code == 413
    assert "too large" in page.get_data(as_text=True)


def test_too_large_though_it_tells_no_length(client: FlaskClient) -> None:
    """As a client sends it in chunks. Cut where it becomes too long, such a body could still be one."""
    for size, status in ((100, 400), (MAX_BODY_BYTES + 1, 413)):
        answer = client.post(
            "/api/search", input_stream=io.BytesIO(b"0" * size), content_type="application/json",
            environ_overrides={"wsgi.input_terminated": True},
        )  # fmt: skip
        assert answer.status_code == status


def test_health(client: FlaskClient, unreachable: FlaskClient) -> None:
    assert client.get("/healthz").json == {"status": "alive"}
    assert client.get("/readyz").status_code == 200
    answer = unreachable.get("/readyz")
    assert answer.status_code == 503
    assert "does not answer" in answer.json["parts"]["elasticsearch"]["reason"]
    assert unreachable.get("/healthz").status_code == 200


def test_openapi_is_valid_and_whole(client: FlaskClient) -> None:
    document = client.get("/openapi.json").json
    validate_openapi(document)
    described = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    served = {
        (rule.rule.replace("<path:", "{").replace("<", "{").replace(">", "}"), method)
        for rule in client.application.url_map.iter_rules()
        if rule.endpoint != "static"
        and (rule.rule.startswith("/admin/api/") or not rule.rule.startswith("/admin/"))  # pages are for people
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    served |= {(f"/es{address}", method) for address, (methods, _) in ADDRESSES.items() for method in methods}
    assert described == served
    assert set(document["components"]["schemas"]["SearchParams"]["properties"]) == set(SearchParams.model_fields)
    for fact in (Reason("has digits", True, "text", 0.1), Note("no_match", "text"), Counted("all", (), 20)):
        described_fact = document["components"]["schemas"][type(fact).__name__]["properties"]
        assert set(described_fact) == set(fact.to_json())
    statuses = set(document["paths"]["/api/search"]["post"]["responses"])
    assert statuses >= {"200", "400", "404", "413", "415", "500", "502", "503"}
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["summary"] for operation in operations)


def described_bodies(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(operation, its JSON or NDJSON) of every body and answer that is described."""
    for operation in (operation for item in document["paths"].values() for operation in item.values()):
        for body in (operation.get("requestBody", {}), *operation["responses"].values()):
            for kind, content in body.get("content", {}).items():
                if kind.endswith("json"):
                    yield operation["operationId"], content


def test_every_operation_has_examples_that_are_true(client: FlaskClient) -> None:
    document = client.get("/openapi.json").json
    bodies = list(described_bodies(document))
    assert len(bodies) > 60
    for name, content in bodies:
        examples = [one["value"] for one in content.get("examples", {}).values()] or [content["example"]]
        checks = OAS31Validator({**content["schema"], "components": document["components"]})
        for example in examples:
            assert [error.message for error in checks.iter_errors(example)] == [], name
    for model in (*Params.__subclasses__(), ApplyParams):
        for example in model.model_json_schema().get("examples", ()):
            validate(model, example)  # some checks of a model are in no schema


@pytest.mark.parametrize("name", ["SearchAnswer", "Hit", "SignalScore", "Degradation", "Understood"])
def test_models_of_answers_have_the_fields_of_the_core(name: str) -> None:
    core = [field.name for field in dataclasses.fields(getattr(searches, name))]
    assert list(getattr(answers, name).model_fields) == core


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


def test_a_picture_is_served_once(client: FlaskClient, web_shop: WebShop) -> None:
    answer = client.get(f"/media/{web_shop.name}/p02")
    assert (answer.status_code, answer.mimetype) == (200, "image/jpeg")
    assert answer.data == jpeg(COLORS["navy"][1])
    assert "max-age=3600" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = client.get(f"/media/{web_shop.name}/p02", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("careless", [False, True], ids=["", "careless resolver"])
@pytest.mark.parametrize("id", OUTSIDE)
def test_no_path_leaves_the_media_root(
    client: FlaskClient, web_shop: WebShop, monkeypatch: pytest.MonkeyPatch, id: str, careless: bool
) -> None:
    if careless:  # the view does not trust the resolver either
        monkeypatch.setattr("hybrid.media.resolve_media", lambda value, root, kind: Path(root) / value)
    assert client.get(f"/media/{web_shop.odd}/{id}").status_code == 404
    assert client.get(f"/media/{web_shop.odd}/..%2F..%2Fsecret.jpg").status_code == 404


@pytest.mark.parametrize("id", NO_PICTURES)
def test_only_pictures_are_served(client: FlaskClient, web_shop: WebShop, id: str) -> None:
    assert client.get(f"/media/{web_shop.odd}/{id}").status_code == 404
    assert client.get(f"/media/other/{id}").status_code == 404


@pytest.mark.parametrize("way", ["media", "video", "audio", "poster", "waveform"])
@pytest.mark.parametrize("index", ["0:", "*", "_all", ".security", "tweb,tweb-odd"])
def test_a_file_is_of_one_index(client: FlaskClient, way: str, index: str) -> None:
    answer = client.get(f"/{way}/{index}/p02")
    assert answer.status_code == 400
    assert "index: not the name of one index" in answer.text
