"""`hybrid bench check`: what has a limit is measured, a missed one is said and told to scripts, and nothing is left."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest
from typer.testing import CliRunner

from hybrid.bench import targets
from hybrid.bench.targets import TARGETS, Measured
from hybrid.cli.main import app
from hybrid.elastic.stores.judgments import JUDGMENTS
from hybrid.learning.alignment import fit
from hybrid.sample import SamplePaths
from hybrid.services import Services
from tests.support.raw import client_of


@pytest.mark.es
def test_each_target_is_measured_and_nothing_is_left(
    services: Services, sample_files: SamplePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "write_sample", lambda _: sample_files)
    monkeypatch.setattr(targets, "_ROUNDS", 1)
    monkeypatch.setattr(targets.measurements, "_ROUNDS", 1)
    monkeypatch.setattr(targets, "FAILURES", 300)
    monkeypatch.setattr(targets, "JUDGED", 100)
    monkeypatch.setattr(targets, "PAIRS", 300)
    monkeypatch.setattr(targets.measurements, "encoding_pictures", lambda *_: {"ratio": 4.0})
    monkeypatch.setattr(fit, "METHODS", ("procrustes", "cca"))
    letters: list[int] = []
    dismiss = targets.failures.dismiss_all

    def counted(core: Services, index: str, reason: str) -> int:
        letters.append(dismiss(core, index, reason))
        return letters[-1]

    monkeypatch.setattr(targets.failures, "dismiss_all", counted)
    found = {one.target.name: one for one in targets.check(services)}
    assert list(found) == list(TARGETS)
    assert all(one.value > 0 for one in found.values())
    assert found["pictures"].value == 0.25
    assert found["align"].detail in fit.METHODS and found["admin"].detail.startswith("/admin/")
    assert letters == [300, 0]
    assert not client_of(services).indices.get(index="hybrid-bench-*", expand_wildcards="all").body
    assert not [user for user in services.accounts.list() if user["name"].startswith("bench-")]
    assert not [group for group in services.dead_letters.groups() if group["index"].startswith("hybrid-bench-")]
    assert client_of(services).count(index=JUDGMENTS, query={"prefix": {"index": "hybrid-bench-"}})["count"] == 0


@pytest.mark.parametrize(("value", "code"), [(1.5, 0), (1.6, 1)])
def test_a_missed_target_is_an_exit_code(monkeypatch: pytest.MonkeyPatch, value: float, code: int) -> None:
    def check(_: Services) -> Iterator[Measured]:
        yield Measured(TARGETS["predict"], value, "why")

    monkeypatch.setattr(targets, "check", check)
    monkeypatch.setenv("HYBRID_ES_URL", "http://127.0.0.1:1")  # nobody is asked
    plain = CliRunner().invoke(app, ["bench", "check"])
    assert plain.exit_code == code
    assert ("MISSED" in plain.stdout) == bool(code) and "at most 1.5" in plain.stdout and "(why)" in plain.stdout
    told = CliRunner().invoke(app, ["bench", "check", "--json"])
    assert told.exit_code == code
    answer = orjson.loads(told.stdout)
    assert answer["met"] == (not code)
    assert answer["targets"][0]["name"] == "predict" and answer["targets"][0]["measured"] == value
