"""All clients of the web tests hold the answers that they get to `/openapi.json`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from tests.support.described_client import DescribedClient


@pytest.fixture(scope="session", autouse=True)
def _described() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "test_client_class", DescribedClient)
        yield
