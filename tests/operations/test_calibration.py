"""The floor is calibrated at the end of a run, kept with the index, and told by the doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hybrid.cli.main import app
from hybrid.contracts import Floor
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.operations.doctor import examine
from hybrid.searches import SearchRequest
from hybrid.services import Services
from tests.conftest import index_file, write_rows
from tests.support.raw import client_of
from tests.support.shop_writer import make_shop

pytestmark = pytest.mark.es

KINDS = ("lamp", "mug", "chair", "table", "shelf", "pillow", "carpet", "mirror")
COLOURS = ("red", "blue", "green", "black", "white", "brown", "grey", "yellow")


def rows(count: int) -> list[dict[str, Any]]:
    return [{"id": f"p{at}", "title": f"{COLOURS[at // 8 % 8]} {KINDS[at % 8]} {at}"} for at in range(count)]


def status(services: Services, name: str) -> list[str]:
    return [check.status for check in examine(services, name).checks if "floor" in check.what]


def test_a_run_calibrates_and_an_unchanged_one_keeps_it(services: Services, name: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "c.ndjson", rows(128))
    index_file(services, path, name, tmp_path, signals=["text"])
    floors = services.cluster.indices.read_profile(name).floors
    assert floors["text"].version == services.encoder("toy:32").version
    assert floors["text"].cosines["Latin"] > 0
    assert status(services, name) == ["ok"]
    index_file(services, path, name, tmp_path, signals=["text"])
    assert services.cluster.indices.read_profile(name).floors == floors
    services.cluster.indices.note_floors(name, {"text": Floor("another@1", {"Latin": 0.9})})
    assert status(services, name) == ["degraded"]
    index_file(services, path, name, tmp_path, signals=["text"])  # what is of another encoder is made anew
    assert services.cluster.indices.read_profile(name).floors == floors


def test_a_small_catalogue_has_no_floor(services: Services, name: str, tmp_path: Path) -> None:
    index_file(services, write_rows(tmp_path / "c.ndjson", rows(20)), name, tmp_path, signals=["text"])
    assert services.cluster.indices.read_profile(name).floors == {}
    assert status(services, name) == []
    assert services.searcher.search(SearchRequest(name, "asdfghjkl")).total == 20


def test_what_a_shop_notes_in_its_mapping_stays(services: Services, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybrid.services.build_services", lambda: Services(services.settings))
    client = client_of(services)
    make_shop(client, name, rows(128), mappings={"_meta": {"team": "search"}})
    run_attach(services, plan_attach(services, name, signals=["text"]))
    floors = services.cluster.indices.read_profile(name).floors
    assert floors
    services.cluster.indices.note_floors(name, {})
    assert status(services, name) == ["note"]
    done = CliRunner().invoke(app, ["calibrate", name])
    assert done.exit_code == 0, done.output
    assert "needs a cosine of" in done.output
    assert services.cluster.indices.read_profile(name).floors == floors
    assert client.indices.get_mapping(index=name).body[name]["mappings"]["_meta"]["team"] == "search"
