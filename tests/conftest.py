"""Shared fixtures: one real engine a version and run, services with the toy encoder, the shared data."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from hybrid import node
from hybrid.node import NodeStatus
from hybrid.settings import Settings
from hybrid.wiring import Services

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
VERSIONS = os.environ.get("HYBRID_TEST_ES", "9,8").split(",")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the real data; absent, tests skip, but not in CI."""
    if not SHARED.is_dir():
        if os.environ.get("CI"):
            pytest.fail("../shared/data is absent, and CI must have it")
        pytest.skip("../shared/data is absent")
    return SHARED


@pytest.fixture(scope="session", params=VERSIONS, ids=lambda version: f"es{version}")
def engine(request: pytest.FixtureRequest) -> Iterator[NodeStatus]:
    """A real Elasticsearch of each version with a real Redis, for the whole run."""
    settings = Settings(es_url=None, redis_url=None)
    name = f"test-{os.getpid()}-{request.param.replace('.', '-')}"
    try:
        yield node.up(settings, name=name, version=request.param)
    finally:
        node.down(settings, name=name, wipe=True)


def make_services(engine: NodeStatus, **changes: Any) -> Services:
    """Services on a test engine; the toy encoder unless told otherwise."""
    defaults = {
        "es_url": engine.es_url,
        "redis_url": engine.redis_url,
        "text_encoder": "toy:32",
        "image_encoder": "toy:32",
    }
    return Services(Settings(**{**defaults, **changes}))


@pytest.fixture
def services(engine: NodeStatus) -> Services:
    return make_services(engine)


@pytest.fixture
def name(engine: NodeStatus) -> Iterator[str]:
    """A unique index name; the index is deleted afterwards."""
    unique = f"t{uuid.uuid4().hex[:10]}"
    yield unique
    client = make_services(engine).client
    for concrete in list(client.indices.get(index=f"{unique}*", expand_wildcards="all").body):
        client.indices.delete(index=concrete)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """An NDJSON catalogue."""
    path.write_bytes(b"\n".join(orjson.dumps(row) for row in rows) + b"\n")
    return path
