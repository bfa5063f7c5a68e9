"""Who may use the admin page: nothing answers without a password, and a password is not to be guessed or got around."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import argon2
import orjson
import pytest
from werkzeug.routing import Rule

from hybrid.elastic.stores.admin import ADMIN, AUDIT
from hybrid.errors import AccountError
from hybrid.services import Services
from tests.conftest import make_services
from tests.support.admin_client import PASSWORD, AdminClient, forget, signed_in
from tests.support.raw import client_of

pytestmark = pytest.mark.es
OPEN = {"admin.sign_in", "admin.api_sign_in", "admin.language"}
SAFE = ("GET", "HEAD", "OPTIONS")


@pytest.fixture
def services(engine: Any) -> Iterator[Services]:
    services = make_services(engine)
    forget(services)
    yield services
    forget(services)


def admin_rules(client: AdminClient) -> list[Rule]:
    rules = [rule for rule in client.app.url_map.iter_rules() if rule.rule.startswith("/admin")]
    assert len(rules) > 4
    return rules


def writing(client: AdminClient) -> list[tuple[Rule, str]]:
    """(route, method) of all that change something."""
    found = [(rule, method) for rule in admin_rules(client) for method in sorted((rule.methods or set()) - set(SAFE))]
    assert len(found) > 10
    return found


def address(rule: Rule) -> str:
    """An address of a view, whatever its parts are called."""
    return re.sub(r"<(int:)?[^>]*>", lambda part: "1" if part[1] else "x", rule.rule)


# -- accounts ----------------------------------------------------------------------------------------------------


def test_an_account_is_kept_hashed_and_is_there_once(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybrid.accounts.PasswordHasher", argon2.PasswordHasher)  # the tests have a quick one
    services.accounts.add("mei", PASSWORD, "viewer")
    with pytest.raises(AccountError, match="there is a user 'mei' already"):
        services.accounts.add("mei", PASSWORD)
    kept = client_of(services).get(index=ADMIN, id="user:mei")["_source"]
    assert kept["hash"].startswith("$argon2id$v=19$m=65536,t=3,p=4$") and PASSWORD not in str(kept)
    assert [(user["name"], user["role"]) for user in services.accounts.list()] == [("mei", "viewer")]


@pytest.mark.parametrize(
    ("name", "password", "role", "message"),
    [
        ("", PASSWORD, "editor", "a user's name"),
        ("a/b", PASSWORD, "editor", "a user's name"),
        ("x" * 65, PASSWORD, "editor", "a user's name"),
        ("mei", "short", "editor", "10 to 200 characters"),
        ("mei", "x" * 201, "editor", "10 to 200 characters"),
        ("mei", PASSWORD, "owner", "no role 'owner'"),
    ],
)
def test_what_cannot_be_an_account_is_said(
    services: Services, name: str, password: str, role: str, message: str
) -> None:
    with pytest.raises(AccountError, match=message):
        services.accounts.add(name, password, role)
    assert services.accounts.list() == []


def test_a_change_of_password_or_role_or_the_end_of_an_account_ends_its_sessions(services: Services) -> None:
    for change in (
        lambda: services.accounts.change_password("ed", PASSWORD),
        lambda: services.accounts.change_role("ed", "viewer"),
        lambda: services.accounts.remove("ed"),
    ):
        client = signed_in(services)
        assert client.get("/admin/").status_code == 200
        change()
        assert client.get("/admin/").status_code == 302
    with pytest.raises(AccountError, match="no user 'ed'"):
        services.accounts.remove("ed")


# -- without a password ------------------------------------------------------------------------------------------


def test_nothing_under_admin_answers_without_a_session(services: Services) -> None:
    client = AdminClient(services)
    client.get("/admin/sign-in")  # whose token is a good one
    for rule in admin_rules(client):
        if rule.endpoint in OPEN:
            continue
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            answer = client.client.open(address(rule), method=method, headers={"X-CSRFToken": client.token})
            if method == "GET" and not rule.rule.startswith("/admin/api/"):
                assert (answer.status_code, answer.location.split("?")[0]) == (302, "/admin/sign-in"), rule
            else:
                assert answer.status_code == 401, (rule, method)


def test_nothing_that_writes_does_so_without_the_token_of_a_page(services: Services) -> None:
    client = signed_in(services)
    for rule, method in writing(client):
        if rule.endpoint == "admin.api_sign_in":
            continue  # for programs: it takes a password, and sets no cookie
        for headers in ({}, {"X-CSRFToken": "guess"}):
            answer = client.client.open(address(rule), method=method, headers=headers)
            assert answer.status_code == 400 and "CSRF" in answer.text, (rule, method)


def test_nothing_that_writes_answers_without_a_key(services: Services) -> None:
    client = AdminClient(services).client
    assert client.post("/api/documents/x", json={"documents": []}).status_code in (401, 403, 404)
    for method in ("PUT", "DELETE", "PATCH"):
        for path in ("/admin/", "/api/search", "/es/x/_search", "/es/x/_doc/1", "/"):
            assert client.open(path, method=method).status_code >= 400, (method, path)


def test_a_viewer_looks_and_does_not_change(services: Services) -> None:
    client = signed_in(services, "vi", "viewer")
    assert client.get("/admin/").status_code == 200
    for rule, method in writing(client):
        view = client.app.view_functions[rule.endpoint]
        if not getattr(view, "open_to_viewers", False) and rule.endpoint not in OPEN:
            answer = client.client.open(address(rule), method=method, json={}, headers={"X-CSRFToken": client.token})
            assert answer.status_code == 403, (rule, method)
    assert client.post("/admin/sign-out").status_code == 302


# -- signing in --------------------------------------------------------------------------------------------------


def test_signing_in_leads_to_where_one_was_going_and_never_elsewhere(services: Services) -> None:
    services.accounts.add("ed", PASSWORD)
    client = AdminClient(services)
    assert client.get("/admin/audit?page=1").location == "/admin/sign-in?next=/admin/audit?page%3D1"
    for wanted, found in {
        "/admin/audit?page=1": "/admin/audit?page=1",
        "https://evil.example/": "/admin/",
        "//evil.example/admin/": "/admin/",
        "/admin/\\evil.example": "/admin/",
        "/other": "/admin/",
        "javascript:alert(1)": "/admin/",
    }.items():
        client = AdminClient(services)
        client.get("/admin/sign-in")
        answer = client.post("/admin/sign-in", name="ed", password=PASSWORD, next=wanted)
        assert (answer.status_code, answer.location) == (302, found)


def test_a_wrong_name_is_not_told_from_a_wrong_password(services: Services) -> None:
    services.accounts.add("ed", PASSWORD)
    answers = []
    for name in ("ed", "nobody"):
        client = AdminClient(services)
        answer = client.sign_in(name, "not the password")
        answers.append((answer.status_code, re.sub(r'(content|value)="[^"]*"', "", answer.text)))
    assert answers[0] == answers[1]
    assert answers[0][0] == 401 and "The name or the password is wrong." in answers[0][1]


def test_guessing_is_throttled_for_the_right_password_too(services: Services) -> None:
    services.accounts.add("guessed", PASSWORD)
    statuses = [AdminClient(services).sign_in("guessed", f"guess number {i}").status_code for i in range(8)]
    assert statuses == [401] * 5 + [429] * 3
    assert AdminClient(services).sign_in("guessed").status_code == 429
    client = AdminClient(services).client
    assert client.post("/admin/api/sign-in", json={"name": "guessed", "password": PASSWORD}).status_code == 429


def test_a_password_is_not_taken_over_plain_http_from_another_machine(services: Services) -> None:
    services.accounts.add("ed", PASSWORD)
    client = AdminClient(services)
    for base, status in {"http://shop.example": 400, "https://shop.example": 302, "http://localhost": 302}.items():
        client.client = client.app.test_client()
        client.get("/admin/sign-in", base_url=base)
        headers = {"Referer": f"{base}/admin/sign-in"}
        form = {"csrf_token": client.token, "name": "ed", "password": PASSWORD}
        answer = client.client.post("/admin/sign-in", data=form, base_url=base, headers=headers)
        assert answer.status_code == status, base
        if status == 302:
            cookies = answer.headers.getlist("Set-Cookie")
            assert len(cookies) == 2  # of the session, and of the browser
            for cookie in cookies:
                assert "HttpOnly" in cookie and "Path=/admin" in cookie
                assert "SameSite=Lax" in cookie or "SameSite=Strict" in cookie
                assert ("Secure" in cookie) is base.startswith("https")


def test_a_program_signs_in_for_a_token(services: Services) -> None:
    services.accounts.add("ed", PASSWORD)
    client = AdminClient(services).client
    assert client.post("/admin/api/sign-in", json={"name": "ed"}).status_code == 400
    assert client.post("/admin/api/sign-in", json=["ed"]).status_code == 400
    assert client.post("/admin/api/sign-in", json={"name": "ed", "password": "wrong password"}).status_code == 401
    token = client.post("/admin/api/sign-in", json={"name": "ed", "password": PASSWORD}).get_json()["token"]
    other = AdminClient(services).client
    assert other.get("/admin/audit", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    for wrong in (token[:-1], "ed:", "mei:" + token.partition(":")[2], ""):
        assert other.get("/admin/audit", headers={"Authorization": f"Bearer {wrong}"}).status_code == 302


# -- sessions ----------------------------------------------------------------------------------------------------


def stolen(client: AdminClient) -> str:
    """The client's cookie, as somebody else might have copied it."""
    cookie = client.client.get_cookie("hybrid_admin", path="/admin")
    assert cookie is not None
    return cookie.value


def test_a_stolen_cookie_is_of_no_use_after_signing_out(services: Services) -> None:
    client = signed_in(services)
    thief = AdminClient(services)
    thief.client.set_cookie("hybrid_admin", stolen(client), path="/admin")
    assert thief.get("/admin/").status_code == 200
    client.get("/admin/audit")
    assert client.post("/admin/sign-out").status_code == 302
    assert thief.get("/admin/").status_code == 302


@pytest.mark.parametrize(("field", "age"), [("seen", {"minutes": 61}), ("created", {"hours": 13})])
def test_a_session_ends_by_itself(services: Services, field: str, age: dict[str, int]) -> None:
    client = signed_in(services)
    cookie = stolen(client)
    [session] = client_of(services).search(index=ADMIN, query={"term": {"kind": "session"}})["hits"]["hits"]
    old = (datetime.now(UTC) - timedelta(**age)).isoformat(timespec="seconds")
    client_of(services).update(index=ADMIN, id=session["_id"], doc={field: old}, refresh=True)
    assert client.get("/admin/").status_code == 302
    thief = AdminClient(services)
    thief.client.set_cookie("hybrid_admin", cookie, path="/admin")
    assert thief.get("/admin/").status_code == 302
    assert not client_of(services).exists(index=ADMIN, id=session["_id"])


def test_a_cookie_signed_by_somebody_else_is_none(services: Services) -> None:
    client = signed_in(services)
    value = stolen(client)
    signed, _, signature = value.rpartition(".")
    # Not its last letter: some bits of that say nothing.
    other_signature = ("A" if signature[0] != "A" else "B") + signature[1:]
    for forged in (f"{signed}.{other_signature}", "x" + value, value.split(".")[0], ""):
        other = AdminClient(services)
        other.client.set_cookie("hybrid_admin", forged, path="/admin")
        assert other.get("/admin/").status_code == 302


def test_the_store_holds_no_token(services: Services) -> None:
    signed_in(services)
    with AdminClient(services).app.test_request_context("/admin/"):
        pass
    docs = client_of(services).search(index=ADMIN, query={"term": {"kind": "session"}})["hits"]["hits"]
    token = services.accounts.sign_in("ed", PASSWORD)
    assert docs and token and all(token not in str(doc) for doc in docs)


# -- forged posts and markup -------------------------------------------------------------------------------------


def test_a_post_forged_by_another_site_does_nothing(services: Services) -> None:
    client = signed_in(services)
    for form in ({}, {"csrf_token": ""}, {"csrf_token": "guess"}, {"csrf_token": client.token[:-2]}):
        assert client.client.post("/admin/sign-out", data=form).status_code == 400
    assert client.client.post("/admin/sign-out", json={}).status_code == 400
    other = signed_in(services, "other")
    assert client.client.post("/admin/sign-out", data={"csrf_token": other.token}).status_code == 400
    assert client.get("/admin/").status_code == 200


def test_markup_in_what_is_recorded_is_shown_as_text(services: Services) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    signed_in(services).post("/admin/sign-out", **{evil[:64]: evil})
    page = signed_in(services).get("/admin/audit")
    assert "&lt;script&gt;alert(1)" in page.text and "<script>alert" not in page.text and "<img" not in page.text
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"


def test_the_audit_trail_says_who_did_what_and_keeps_no_password(services: Services) -> None:
    client = signed_in(services)
    client.post("/admin/sign-out", password="slipped in", why="lunch")
    entries, total = services.audit.list()
    assert [(entry["user"], entry["action"], entry["status"]) for entry in entries] == [
        ("ed", "sign_out", 302), ("ed", "sign_in", 302),
    ]  # fmt: skip
    assert entries[0]["detail"] == {"why": "lunch"}
    assert total == 2 and "password" not in str(entries)


def test_what_is_refused_before_sign_in_is_counted_and_not_stored(services: Services) -> None:
    services.accounts.add("ed", PASSWORD)
    client = AdminClient(services)
    assert client.sign_in("ed", "a wrong password").status_code == 401
    big = {f"key {number}": "x" * 1_000 for number in range(1_000)}
    assert client.client.post("/admin/api/judgments", json=big).status_code == 401
    assert client.client.post("/admin/sign-out", data={"name": "somebody else"}).status_code == 400
    assert services.audit.list() == ([], 0)
    assert client.sign_in("ed").status_code == 302
    assert "3 since this web process" in client.get("/admin/audit").text


def test_an_entry_of_the_audit_trail_is_small_whatever_was_sent(services: Services) -> None:
    client = signed_in(services)
    client.post("/admin/sign-out", **{f"{number:03} {'k' * 500}": "v" * 10_000 for number in range(100)})
    entries, _ = services.audit.list()
    assert len(orjson.dumps(entries[0])) < 8_000
    assert len(entries[0]["detail"]) == 20


def test_nothing_is_done_that_cannot_be_read_or_recorded(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(type(services.accounts), "sign_out", lambda *_: done.append("sign_out"))
    client = signed_in(services)
    deep = "[" * 5_000 + "]" * 5_000
    headers = {"X-CSRFToken": client.token, "Content-Type": "application/json"}
    answer = client.client.post("/admin/sign-out", data=deep, headers=headers)
    assert answer.status_code == 400 and not done
    block(services, True)
    try:
        rating = {"index": "shop", "list": "lamps", "query": "lamp", "product": "p1", "rating": 3}
        assert client.send("/admin/api/judgments", rating).status_code >= 409
    finally:
        block(services, None)
    assert client.post("/admin/sign-out").status_code == 302 and done
    assert services.judgment_lists.lists("shop") == []


def test_an_entry_stays_where_its_end_cannot_be_recorded(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(services)
    with monkeypatch.context() as patch:
        patch.setattr(type(services.accounts), "sign_out", lambda *_: block(services, True))
        assert client.post("/admin/sign-out").status_code == 302
    block(services, None)
    entries, _ = services.audit.list()
    assert (entries[0]["action"], entries[0]["status"]) == ("sign_out", None)
    assert "how it ended is not known" in signed_in(services).get("/admin/audit").text


def block(services: Services, blocked: bool | None) -> None:
    """Have the audit trail take no entries, or take them again."""
    client_of(services).indices.put_settings(index=AUDIT, settings={"index.blocks.write": blocked})


def test_what_the_command_line_changes_is_recorded(services: Services) -> None:
    with pytest.raises(AccountError), services.audit.recorded("root (command line)", "user_add", name="x"):
        services.accounts.add("x", "short")
    entries, _ = services.audit.list()
    assert [(one["user"], one["action"], one["status"]) for one in entries] == [
        ("root (command line)", "user_add", 400)
    ]
    assert entries[0]["detail"]["name"] == "x" and "characters" in entries[0]["detail"]["error"]


def guess(services: Services, name: str, address: str, times: int) -> list[int]:
    client = AdminClient(services)
    client.client.environ_base["REMOTE_ADDR"] = address
    return [client.sign_in(name, f"guess number {number}").status_code for number in range(times)]


def test_guessing_keeps_nobody_out_who_knows_the_password(services: Services) -> None:
    services.accounts.add("owner", PASSWORD)
    known = AdminClient(services)
    assert known.sign_in("owner").status_code == 302
    statuses = guess(services, "owner", "10.0.0.1", 70)
    assert statuses[:5] == [401] * 5 and statuses.count(429) == 65  # five a minute
    elsewhere = AdminClient(services)
    elsewhere.client.environ_base["REMOTE_ADDR"] = "10.0.0.2"
    assert elsewhere.sign_in("owner").status_code == 302
    known.post("/admin/sign-out")
    known.client.environ_base["REMOTE_ADDR"] = "10.0.0.1"  # even from where it is guessed
    assert known.sign_in("owner").status_code == 302


def test_a_refused_attempt_says_how_long_to_wait_and_does_not_count(services: Services) -> None:
    services.accounts.add("ed", PASSWORD)
    client = AdminClient(services)
    statuses = [client.sign_in("ed", "a wrong one").status_code for _ in range(50)]
    assert statuses == [401] * 5 + [429] * 45
    answer = client.sign_in("ed")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    program = client.client.post("/admin/api/sign-in", json={"name": "ed", "password": PASSWORD})
    assert program.status_code == 429 and 1 <= int(program.headers["Retry-After"]) <= 60


def test_a_mark_of_another_browser_or_name_is_worth_nothing(services: Services) -> None:
    services.accounts.add("ed", PASSWORD)
    services.accounts.add("mei", PASSWORD)
    client = AdminClient(services)
    assert client.sign_in("mei").status_code == 302
    client.post("/admin/sign-out")
    assert [client.sign_in("ed", "a wrong one").status_code for _ in range(6)] == [401] * 5 + [429]
    forged = AdminClient(services)
    forged.client.set_cookie("hybrid_device", '{"name": "ed", "mark": "x"}', path="/admin")
    assert [forged.sign_in("ed", "a wrong one").status_code for _ in range(2)] == [429, 429]


def test_every_answer_of_the_admin_and_the_drop_in_has_its_headers(services: Services) -> None:
    client = AdminClient(services).client
    for path in (
        "/admin",
        "/admin/",
        "/admin/nothing",
        "/admin/api/nothing",
        "/es",
        "/es/x/_search",
        "/es/nothing/at/all",
    ):
        for secure in (False, True):
            answer = client.get(path, base_url="https://shop.example" if secure else "http://localhost")
            assert answer.headers["Cache-Control"] == "no-store", path
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"], path
            assert answer.headers["X-Content-Type-Options"] == "nosniff", path
            assert ("Strict-Transport-Security" in answer.headers) is secure, path
            assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize("name", ["*", "_all", "a,b", "shop*", "-x", "__init__", ".."])
def test_a_name_of_several_indices_is_refused_at_once_wherever_it_stands(services: Services, name: str) -> None:
    client = signed_in(services)
    for rule in admin_rules(client):
        if "GET" in (rule.methods or ()) and rule.endpoint not in OPEN | {"admin.index"}:
            assert client.get(address(rule), query_string={"index": name}).status_code == 400, rule
            if "<index>" in rule.rule and name != "..":
                assert client.get(address(rule).replace("/x", f"/{name}", 1)).status_code == 400, rule


def test_redirects_name_no_host(services: Services) -> None:
    """A proxy in front may have another name, port or scheme."""
    client = AdminClient(services).client
    assert client.get("/admin").headers["Location"] == "/admin/"
    assert client.get("/admin/").headers["Location"].startswith("/admin/sign-in?next=")


# -- a cluster that takes no writes ------------------------------------------------------------------------------


def test_where_no_write_is_taken_one_may_sign_in_and_look(services: Services) -> None:
    services.accounts.add("ed", PASSWORD)
    services.accounts.secret()  # whoever opened the page before has had it made
    services.audit.end(services.audit.begin("ed", "look"), 200)
    client = AdminClient(services)
    blocked = {"index.blocks.read_only_allow_delete": True}
    client_of(services).indices.put_settings(index=[ADMIN, AUDIT], settings=blocked)
    try:
        assert client.sign_in("ed", "a wrong one").status_code == 401
        assert client.sign_in("ed").status_code == 302
        for path in ("/admin/", "/admin/overview/coverage", "/admin/audit", "/admin/models", "/admin/failures"):
            assert client.get(path).status_code == 200, path
        client.get("/admin/audit")
        assert client.post("/admin/failures/x/image_missing", do="retry_all").status_code == 403  # to look only
        assert client.post("/admin/sign-out").status_code == 302
    finally:
        unblocked = {"index.blocks.read_only_allow_delete": None}
        client_of(services).indices.put_settings(index=[ADMIN, AUDIT], settings=unblocked)
    assert signed_in(services).post("/admin/sign-out").status_code == 302


def test_a_session_to_look_ends_with_another_password(services: Services) -> None:
    services.accounts.add("ed", PASSWORD)
    services.accounts.secret()
    blocked = {"index.blocks.write": True}
    client_of(services).indices.put_settings(index=ADMIN, settings=blocked)
    token = services.accounts.sign_in("ed", PASSWORD)
    client_of(services).indices.put_settings(index=ADMIN, settings={"index.blocks.write": None})
    assert token
    user = services.accounts.signed_in("ed", token)
    assert user is not None and not user.may_edit
    assert services.accounts.signed_in("mei", token) is None
    assert services.accounts.signed_in("ed", token[:-2]) is None
    services.accounts.change_password("ed", f"another {PASSWORD}")
    assert services.accounts.signed_in("ed", token) is None


@pytest.mark.parametrize("password", ["aaaaaaaaaa", "password123", "qwertyuiop12", "hybridhybrid"])
def test_a_password_that_few_guesses_find_is_refused(services: Services, password: str) -> None:
    with pytest.raises(AccountError, match="too easy to guess"):
        services.accounts.add("ed", password)


# -- failures ----------------------------------------------------------------------------------------------------


def test_without_the_cluster_the_page_says_so_and_lets_nobody_in() -> None:
    services = Services(make_settings_of_nowhere())
    client = AdminClient(services)
    for path in ("/admin/", "/admin/sign-in"):
        answer = client.get(path)
        assert answer.status_code == 503 and "does not answer" in answer.text


def test_without_redis_guessing_is_still_throttled(engine: Any) -> None:
    services = make_services(engine, redis_url="redis://127.0.0.1:1/0")
    forget(services)
    services.accounts.add("ed", PASSWORD)
    client = AdminClient(services)
    statuses = [client.sign_in("ed", f"guess number {i}").status_code for i in range(6)]
    assert statuses == [401] * 5 + [429]
    forget(services)


def make_settings_of_nowhere() -> Any:
    from hybrid.settings import Settings

    return Settings(es_url="http://127.0.0.1:1", redis_url="redis://127.0.0.1:1/0")
