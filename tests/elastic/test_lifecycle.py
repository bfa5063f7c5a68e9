"""Indices that are made."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from hybrid.catalogue.documents import WORDS_VERSION
from hybrid.contracts import FieldMap, IndexProfile
from hybrid.elastic.indices.lifecycle import Indices
from hybrid.services import Services

pytestmark = pytest.mark.es


def test_two_first_runs_of_an_index_do_not_collide(
    services: Services, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both find no index, and both make it."""
    both = threading.Barrier(2)
    create = Indices._create

    def together(indices: Indices, *args: Any) -> None:
        both.wait(30)
        create(indices, *args)

    monkeypatch.setattr(Indices, "_create", together)
    profile = IndexProfile(name, FieldMap({"id": ("id",), "title": ("title",)}), {}, "en", WORDS_VERSION)
    made: list[bool] = []
    runs = [threading.Thread(target=lambda: made.append(services.cluster.indices.ensure(profile))) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert sorted(made) == [False, True]
    assert services.cluster.indices.read_profile(name).fields.roles["title"] == ("title",)
