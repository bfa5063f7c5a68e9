"""A signed-in person at the admin page, without a browser."""

from __future__ import annotations

import contextlib
import html
import re
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from werkzeug.test import TestResponse

from hybrid.elastic.stores.admin import ADMIN, AUDIT
from hybrid.errors import NodeError
from hybrid.services import Services
from tests.support.raw import client_of
from web import create_app

PASSWORD = "correct horse battery"


class AdminClient:
    """Flask's test client, which takes the token of the page it last saw along, as a form does."""

    def __init__(self, services: Services) -> None:
        self.app = create_app(services)
        self.client = self.app.test_client()
        self.token = ""

    def get(self, path: str, **options: Any) -> TestResponse:
        answer = self.client.get(path, **options)
        found = re.search(r'name="csrf-token" content="([^"]+)"', answer.text)
        self.token = html.unescape(found[1]) if found else self.token
        return answer

    def post(self, path: str, **form: Any) -> TestResponse:
        """Post a form."""
        return self.client.post(path, data={"csrf_token": self.token, **form})

    def send(self, path: str, body: Any) -> TestResponse:
        """Post JSON, as the pages' scripts do."""
        return self.client.post(path, json=body, headers={"X-CSRFToken": self.token})

    def sign_in(self, name: str, password: str = PASSWORD) -> TestResponse:
        self.get("/admin/sign-in")
        answer = self.post("/admin/sign-in", name=name, password=password)
        if answer.status_code == 302:
            self.get("/admin/audit")  # the session has another token now
        return answer


def signed_in(services: Services, name: str = "ed", role: str = "editor") -> AdminClient:
    """A client with an account of its own; made if it is not there."""
    if name not in {user["name"] for user in services.accounts.list()}:
        services.accounts.add(name, PASSWORD, role)
    client = AdminClient(services)
    assert client.sign_in(name).status_code == 302
    return client


def forget(services: Services) -> None:
    """Delete accounts, sessions, audit trail, and what is counted of attempts to sign in."""
    with contextlib.suppress(RedisError, NodeError), Redis.from_url(services.redis_url) as redis:
        for key in redis.scan_iter("*hybrid-sign-in*"):
            redis.delete(key)
    client_of(services).indices.delete(index=[ADMIN, AUDIT], ignore_unavailable=True)
