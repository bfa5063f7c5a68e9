"""What the command line changes is in the audit trail; what it only looks at is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hybrid.cli.main import app
from hybrid.cli.options import operator
from hybrid.errors import HybridError
from hybrid.services import Services
from tests.conftest import write_rows
from tests.support.raw import client_of
from tests.support.shop_writer import make_shop, rows

pytestmark = pytest.mark.es


def test_every_change_by_command_is_recorded(
    services: Services, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid.services.build_services", lambda: Services(services.settings))
    make_shop(client_of(services), f"{name}-000001", rows(12), alias=name)
    table = str(write_rows(tmp_path / "c.ndjson", [{"id": "1", "title": "red lamp"}, {"id": "2", "title": "mug"}]))
    made = f"{name}-made"
    commands = {
        ("attach", name, "--signals", "text", "--dry-run"): None,
        ("attach", name, "--signals", "text"): "attach",
        ("sync", name): "sync",
        ("reindex", name, "--dry-run"): None,
        ("reindex", name, "--shards", "2"): "reindex start",
        ("reindex", name, "--status"): None,
        ("reindex", name, "--rollback"): "reindex rollback",
        ("reindex", name, "--drop-old"): "reindex drop-old",
        ("index", table, "--index", made, "--signals", "text"): "index_file",
        ("calibrate", made): "calibrate",
        ("doctor", made): None,
        ("models", "list", "--index", made): None,
        ("models", "apply", "weights", "fixed-1", "--index", made): "models_apply",
        ("delete", "2", "--index", made): "delete_products",
    }
    for command in commands:
        done = CliRunner().invoke(app, list(command))
        assert done.exit_code == 0, (command, done.output, done.exception)
    refused = CliRunner().invoke(app, ["sync", f"{name}-none"])
    assert isinstance(refused.exception, HybridError)
    entries = [entry for entry in reversed(services.audit.list(200)[0]) if str(entry["index"]).startswith(name)]
    said = [" ".join(filter(None, (entry["action"], entry["detail"].get("step")))) for entry in entries]
    assert said == [*filter(None, commands.values()), "sync"]
    assert {entry["user"] for entry in entries} == {operator()}
    assert [entry["status"] for entry in entries] == [200] * (len(entries) - 1) + [404]
    assert entries[-1]["detail"]["error"].startswith("there is no index")
