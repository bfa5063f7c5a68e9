"""Requests made up of all that `/openapi.json` says, by nobody, a viewer and an editor, and mistakes that callers make.

Each is answered as the description says, and none with a 5xx.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis
import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.schemas import APIOperation

from hybrid.elastic.stores.dead_letters import DeadLetter
from hybrid.evaluation.judgments import Judgments
from hybrid.services import Services
from hybrid.settings import Settings
from tests.conftest import make_services
from tests.support.admin_client import PASSWORD
from tests.support.admin_seed import RATINGS, REASON, add, empty, fill, make_index
from tests.support.described_client import check_described, description
from tests.support.raw import client_of
from web import create_app

pytestmark = pytest.mark.es
TOKEN = "a token to push with"
#: Requests made up for an operation, and in a long run; each is sent by all three.
TRIES, LONG_TRIES = 2, 60


@schemathesis.serializer("application/x-ndjson", "application/vnd.elasticsearch+x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    """How a made-up text is sent; what is none is a line of JSON."""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else json.dumps(value).encode() + b"\n"


@dataclass(frozen=True)
class Target:
    """app: of an index that goes away afterwards. others: what else is on the engine. callers: the headers of each."""

    app: Flask
    index: str
    others: frozenset[str]
    callers: dict[str, dict[str, str]]

    def aim(self, case: Any, real: bool) -> Any:
        """A made-up request at the index, and at what it has; or as it is, which must not be at another's."""
        parts = [part for part in (case.path_parameters, case.query, case.body) if isinstance(part, dict)]
        for part in parts:
            for name, value in self.there.items() if real else ():
                if name in part:
                    part[name] = value
            assert str(part.get("index")) not in self.others, "the index of another test"
        return case

    @property
    def there(self) -> dict[str, str]:
        """Names of parameters -> what is there."""
        return {
            "index": self.index, "product_id": "p01", "product": "p01", "list": "basics", "judgments": "basics",
            "kind": "weights", "version": "gate-1", "instead_of": "gate-2", "name": "basics", "reason": REASON,
            "a": "gate-1", "b": "gate-2", "left": "bm25", "right": "gate-1",
        }  # fmt: skip


@pytest.fixture(scope="module")
def target(engine: Any, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Target]:
    """Orders stay undone: they are queued in a database of Redis that no worker reads, and deleted afterwards."""
    assert str(engine.redis_url).endswith("/0")
    plain = make_services(engine, redis_url=f"{str(engine.redis_url)[:-2]}/9", push_token=TOKEN)
    index = f"t{uuid.uuid4().hex[:10]}"
    found = client_of(plain).indices.get_alias(index="*", expand_wildcards="all").body
    others = frozenset(name for concrete, of in found.items() for name in (concrete, *of["aliases"]))
    services = make_index(plain, index, tmp_path_factory.mktemp("shop"))
    empty(services, index)
    if pytestconfig.getoption("long"):
        fill(services, index)
    else:
        sow(services, index)
    client_of(plain).indices.create(index=f"{index}-plain")  # a shop's, and not attached
    callers = {"nobody": {}} | {role: signed_in(services, role) for role in ("viewer", "editor")}
    yield Target(create_app(services), index, others, callers)
    empty(services, index)
    for concrete in list(client_of(services).indices.get(index=f"{index}*", expand_wildcards="all").body):
        client_of(services).indices.delete(index=concrete)


def sow(services: Services, index: str) -> None:
    """The little of `fill` that takes no time."""
    services.judgment_lists.take_in(index, "basics", Judgments(RATINGS), "ed")
    for version in ("gate-1", "gate-2"):
        add(services, index, version, scores=dict.fromkeys(RATINGS, 0.5), before=dict.fromkeys(RATINGS, 0.4))
    services.dead_letters.add(index, "job", [DeadLetter("p01", "image", REASON, "it is gone")])


def signed_in(services: Services, role: str) -> dict[str, str]:
    services.accounts.add(role, PASSWORD, role)
    return {"Authorization": f"Bearer {role}:{services.accounts.sign_in(role, PASSWORD)}"}


@pytest.mark.timeout(900)
def test_made_up_requests_are_answered_as_described(target: Target, pytestconfig: pytest.Config) -> None:
    operations = [found.ok() for found in description().get_all_operations()]
    assert {operation.path for operation in operations} == set(description().raw_schema["paths"])
    # What deletes comes last, and finds what the others looked at.
    operations.sort(key=lambda operation: operation.method.upper() != "GET")
    for operation in operations:
        try_out(target, operation, LONG_TRIES if pytestconfig.getoption("long") else TRIES)


def try_out(target: Target, operation: APIOperation, tries: int) -> None:
    """Right ones and wrong ones, at what is there and at what is not."""
    cases = operation.as_strategy()
    if operation.body or operation.query or operation.path_parameters:
        cases = st.one_of(cases, operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))

    @seed(1)
    @hypothesis.settings(
        max_examples=tries,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(made_up=cases, real=st.booleans())
    def is_answered_as_described(made_up: Any, real: bool) -> None:
        case = target.aim(made_up, real)
        for caller, headers in target.callers.items():
            case.headers = {name: value for name, value in case.headers.items() if name.lower() != "authorization"}
            pushes = caller == "editor" and operation.path.startswith("/api/documents")
            case.headers |= {"Authorization": f"Bearer {TOKEN}"} if pushes else headers
            answer = case.call(app=target.app)
            assert answer.status_code < 500, answer.content
            check_described(operation, answer)
            if caller == "nobody" and operation.path.startswith("/admin/") and "sign-in" not in operation.path:
                assert answer.status_code == 401, answer.content

    is_answered_as_described()


def test_a_body_of_another_type_a_broken_one_and_no_key_are_refused_as_described(target: Target) -> None:
    client, answered = target.app.test_client(use_cookies=False), {}
    for path, item in description().raw_schema["paths"].items():
        said = item.get("post", {})
        kinds = said.get("requestBody", {}).get("content", {})
        if not kinds:
            continue
        address = re.sub(r"{(\w+)}", lambda part: target.there.get(part[1], "retry"), path)
        secured = [*said.get("security", [{}])[0]]
        key = {"token": {"Authorization": f"Bearer {TOKEN}"}, "admin": target.callers["editor"]}.get(
            *secured or [""], {}
        )
        text = client.post(address, data="{}", content_type="text/plain", headers=key)
        answered[path, "text"] = text.status_code == 415
        if "application/json" in kinds:
            broken = client.post(address, data="{", content_type="application/json", headers=key)
            answered[path, "broken"] = broken.status_code == 400
        for wrong in ({}, {"Authorization": "Bearer x:y"}, {"Authorization": "Basic eDp5"}) if secured else ():
            answered[path, str(wrong)] = client.post(address, json={}, headers=wrong).status_code == 401
    assert len(answered) > 60 and [at for at, right in answered.items() if not right] == []


LONG, FORM = "x" * 5_000, {"content_type": "multipart/form-data; boundary=X", "data": b"--X"}
CARDS = "/admin/try/cards"
#: (status, method, address, what is sent)
MISTAKES: list[tuple[int, str, str, dict[str, Any]]] = [
    *[(400, "GET", f"/admin/api/evaluations/compare{ids}", {}) for ids in ("", "?a=x", "?a=&b=", f"?a={LONG}&b=y")],
    *[(400, "GET", f"/admin/evaluations/compare{ids}", {}) for ids in ("", "?run=x", "?run=&run=", "?run=x&run=y")],
    (400, "GET", f"/admin/api/evaluations/{LONG}", {}),
    (404, "GET", f"/admin/api/weights/INDEX/compare?a={LONG}&b=x", {}),
    *[(400, "GET", CARDS + asked, {}) for asked in ("", "?index=", "?index=0:", "?index=INDEX&photo=../x")],
    *[(200, "GET", f"{CARDS}?index=INDEX{asked}", {})
      for asked in ("&id=", f"&id={LONG}", "&id=%00&list=%00&q=%00", "&id=p01" * 5_000)],
    (400, "GET", "/admin/try?index=0:", {}),
    (200, "POST", "/admin/api/failures/INDEX/dismiss", {"json": {"dead_letters": ["", LONG]}}),
    (200, "GET", "/admin/failures/INDEX/a%0Ab/csv", {}),
    *[(400, "POST", path, FORM)
      for path in ("/", "/api/search", "/admin/api/judgments/INDEX/new/import", "/admin/try")],
    *[(409, "GET", path, {})
      for path in ("/?index=INDEX-plain", "/api/search?index=INDEX-plain", "/media/INDEX-plain/p01",
                   "/api/suggest?q=a&index=INDEX-plain", "/admin/models?index=INDEX-plain")],
    (400, "GET", "/?page=" + "9" * 5_000, {}),
    (416, "GET", "/media/INDEX/p01", {"headers": {"Range": "bytes=999999999-"}}),
    *[(405, method, path, {})
      for method, path in (("POST", "/es/"), ("DELETE", "/es/INDEX/_search"), ("PUT", "/admin/api/try"))],
]  # fmt: skip


def test_mistakes_of_callers_are_told_as_such(target: Target) -> None:
    wrong = []
    client = target.app.test_client(use_cookies=False)
    for status, method, path, sent in MISTAKES:
        headers = {**target.callers["editor"], **sent.get("headers", {})}
        answer = client.open(path.replace("INDEX", target.index), method=method, **{**sent, "headers": headers})
        whole = answer.status_code == status and (status != 405 or "Allow" in answer.headers)
        if path.startswith(("/admin", "/es")):
            whole &= "Cache-Control" in answer.headers and "Content-Security-Policy" in answer.headers
        if not whole:
            wrong.append((method, path[:60], answer.status_code))
    assert wrong == []


def test_nobody_is_told_a_setting(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    services = target.app.extensions["hybrid"]
    monkeypatch.setattr(services, "settings", services.settings.model_copy(update={"push_token": None}))
    client = target.app.test_client()
    account = {"name": "ed", "password": PASSWORD}
    answers = [
        client.post("/api/documents/x", json=[]),
        client.post("/admin/api/sign-in", json=account, base_url="http://shop.example"),
        create_app(Services(Settings(es_url="http://127.0.0.1:1"))).test_client().get("/admin/api/runs"),
    ]
    assert [answer.status_code for answer in answers] == [404, 400, 503]
    assert not any(said in answer.text for answer in answers for said in ("HYBRID_", "127.0.0.1"))
