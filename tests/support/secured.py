"""An embedded engine with security on, and users with chosen privileges.

The engine of the tests has the module of security, without the set-up that a full distribution brings: its users and
roles are files, as an administrator writes them for the file realm.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hybrid import node
from hybrid.node import NodeStatus, engine
from hybrid.node.places import Places
from hybrid.settings import Settings

ROOT, PASSWORD = "root", "correct horse battery"
_ROUNDS = 10_000


@contextmanager
def secured(version: str, roles: Mapping[str, Mapping[str, Any]]) -> Iterator[NodeStatus]:
    """The engine. roles: user -> the privileges of the user's only role, as roles.yml has them. ROOT may do all."""
    settings, name = Settings(es_url=None, redis_url=None), f"test-secured-{os.getpid()}"
    configure = engine.configure

    def configure_secured(places: Places, *options: Any) -> None:
        configure(places, *options)
        config = places.es / "config"
        settings_file = config / "elasticsearch.yml"
        off, on = (f'xpack.security.enabled: "{state}"' for state in ("false", "true"))
        text = settings_file.read_text()
        assert off in text
        settings_file.write_text(text.replace(off, on) + "xpack.security.authc.password_hashing.algorithm: pbkdf2\n")
        users = [ROOT, *roles]
        (config / "users").write_text("".join(f"{user}:{_hashed(PASSWORD)}\n" for user in users))
        given = {"superuser": ROOT, **{f"role-{user}": user for user in roles}}
        (config / "users_roles").write_text("".join(f"{role}:{user}\n" for role, user in given.items()))
        # A line a role, since Elasticsearch cuts this file at lines; YAML reads JSON.
        lines = [f"role-{user}: {json.dumps(role)}\n" for user, role in roles.items()]
        (config / "roles.yml").write_text("".join(lines))
        for path in config.iterdir():
            _give(path, places)

    def health(url: str, timeout_s: float = 5) -> dict[str, Any] | None:
        token = base64.b64encode(f"{ROOT}:{PASSWORD}".encode()).decode()
        answer = engine._get(f"{url}/_cluster/health", timeout_s, {"Authorization": f"Basic {token}"})
        return answer if answer and isinstance(answer.get("status"), str) else None

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "configure", configure_secured)
            patch.setattr(engine, "health", health)
            patch.setattr(engine, "READY_TIMEOUT_S", 600.0)  # the machine may be busy
            started = node.up(settings, name=name, version=version, with_redis=False)
        yield started
    finally:
        node.down(settings, name=name, wipe=True)


def _hashed(password: str) -> str:
    """As Elasticsearch stores a password with PBKDF2."""
    salt = secrets.token_bytes(32)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS, 32)
    return f"{{PBKDF2}}{_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def _give(path: Path, places: Places) -> None:
    if places.owner is not None:
        os.chown(path, places.owner.uid, places.owner.gid, follow_symlinks=False)
