"""Indices that are made."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from hybrid.catalogue.documents import words_version
from hybrid.contracts import FieldMap, IndexProfile
from hybrid.elastic.client import wait_until_made
from hybrid.elastic.indices.lifecycle import Indices
from hybrid.errors import ClusterBusyError
from hybrid.services import Services
from tests.support.raw import client_of

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
    profile = IndexProfile(name, FieldMap({"id": ("id",), "title": ("title",)}), {}, "en", words_version(["en"]))
    made: list[bool] = []
    runs = [threading.Thread(target=lambda: made.append(services.cluster.indices.ensure(profile))) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert sorted(made) == [False, True]
    assert services.cluster.indices.read_profile(name).fields.roles["title"] == ("title",)


def test_the_slower_run_waits_until_the_new_index_can_be_read(services: Services, name: str) -> None:
    client = client_of(services)
    node = "index.routing.allocation.require._name"
    client.indices.create(index=name, settings={node: "no-such-node"}, wait_for_active_shards=0)
    with pytest.raises(ClusterBusyError):
        services.cluster.indices.count(name)
    allocated = threading.Timer(0.5, client.indices.put_settings, kwargs={"index": name, "settings": {node: None}})
    allocated.start()
    wait_until_made(client, name)
    allocated.join()
    assert services.cluster.indices.count(name) == 0
