"""The doctor: each trouble is made for real, found, named with its cure, and gone after the cure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hybrid.catalogue.documents import words_version
from hybrid.elastic.indices.health import Health
from hybrid.elastic.stores.dead_letters import DeadLetter
from hybrid.errors import ClusterError, IndexMissingError
from hybrid.media import close
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.operations.doctor import STATUSES, Check, Diagnosis, decoder_sandbox, examine
from hybrid.operations.sync import run_sync
from hybrid.services import Services
from hybrid.settings import Settings
from tests.conftest import make_services
from tests.media.test_sandbox import without_libseccomp
from tests.support.models import keep
from tests.support.raw import client_of
from tests.support.shop_writer import make_shop

pytestmark = pytest.mark.es_both


def rows(count: int = 10) -> list[dict[str, Any]]:
    return [{"id": f"p{n}", "title": f"Lamp number {n}", "short_description": "warm", "price": n} for n in range(count)]


def found(services: Services, name: str, what: str) -> list[Check]:
    return [check for check in examine(services, name).checks if check.part == f"index {name}" and check.what == what]


def test_the_worst_finding_is_the_status() -> None:
    checks = [Check("cluster", "x", status, "") for status in STATUSES]
    assert [Diagnosis(checks[: n + 1]).status for n in range(4)] == list(STATUSES)
    assert [Diagnosis(checks[: n + 1]).healthy for n in range(4)] == [True, True, False, False]
    assert Diagnosis().healthy


def test_nobody_answers() -> None:
    services = Services(Settings(es_url="http://127.0.0.1:1", text_encoder="toy:8", image_encoder="toy:8"))
    diagnosis = examine(services)
    assert diagnosis.status == "blocked"
    assert "does not answer" in diagnosis.checks[0].detail


@pytest.mark.es
def test_the_cluster_and_this_machine(engine: Any, services: Services, name: str) -> None:
    make_shop(client_of(services), name, rows())
    checks = {(check.part, check.what): check for check in examine(services, name).checks}
    assert checks["cluster", "version"].status == "ok"
    assert checks["cluster", "licence"].detail.startswith("basic, active")
    assert "without analysis-common, lang-painless" in checks["cluster", "modules"].detail
    assert checks["machine", "broker"].status == "ok"
    assert checks["machine", "text encoder"].detail.startswith("toy:32")
    assert checks["machine", "decoder sandbox"].status == ("ok" if sys.platform == "linux" else "note")
    assert checks[f"index {name}", "attach"].fix == f"hybrid attach {name} --dry-run"
    lame = make_services(engine, redis_url="redis://127.0.0.1:1/0", text_encoder="sentence-transformers:no/such-model")
    checks = {(check.part, check.what): check for check in examine(lame, name).checks}
    assert checks["machine", "broker"].status == "degraded"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing can be done about it")
def test_decoders_without_a_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    close()
    without_libseccomp(tmp_path, monkeypatch)
    try:
        check = decoder_sandbox()
    finally:
        close()
    assert (check.part, check.status) == ("machine", "degraded")
    assert "libseccomp is not installed" in check.detail and "install libseccomp" in check.fix


@pytest.mark.es
def test_before_and_after_an_attach(services: Services, name: str) -> None:
    make_shop(client_of(services), name, rows())
    before = found(services, name, "attach")
    assert before[0].fix == f"hybrid attach {name} --dry-run"
    client_of(services).indices.put_settings(index=name, settings={"index.blocks.write": True})
    assert [check.status for check in found(services, name, "attach")] == ["blocked"]
    client_of(services).indices.put_settings(index=name, settings={"index.blocks.write": None})
    run_attach(services, plan_attach(services, name))
    run_sync(services, name)
    assert examine(services, name).healthy
    with pytest.raises(IndexMissingError):
        examine(services, f"{name}-none")


@pytest.mark.es
def test_what_is_degraded_and_mended(services: Services, name: str) -> None:
    make_shop(client_of(services), name, rows())
    run_attach(services, plan_attach(services, name))
    run_sync(services, name)
    client_of(services).index(index=name, id="p1", document=rows()[1])
    source = client_of(services).get(index=name, id="p2")["_source"]
    source["hybrid"].pop("text", None)
    client_of(services).index(index=name, id="p2", document=source)
    client_of(services).update(index=name, id="p3", doc={"hybrid": {"meta": {"pending": ["text"]}}})
    documents, vectors, waiting = (found(services, name, what)[0] for what in ("documents", "text vectors", "waiting"))
    assert documents.detail == "1 of 10 documents were never enriched, or written whole since"
    assert vectors.detail == "8 of 10 have a vector (80.0%); 1 lost theirs to a whole-document write"
    assert waiting.detail == "1 documents wait for vectors"
    assert {check.status for check in (documents, vectors, waiting)} == {"degraded"}
    assert documents.fix == f"hybrid sync {name}"
    assert {check.sync for check in (documents, vectors, waiting)} == {name}
    assert found(services, name, "in step")[0].detail.startswith("3 writes since the last look")
    run_sync(services, name)
    assert examine(services, name).healthy
    services.dead_letters.add(name, "job", [DeadLetter("p1", "text", "bad_vector", "nothing usable")])
    failures = found(services, name, "failures")[0]
    assert failures.detail == "1 bad_vector" and "/admin/failures shows each" in failures.fix
    assert failures.sync == ""  # the cause is to be mended first
    services.dead_letters.remove(name, [("p1", "text")])


@pytest.mark.es
def test_another_encoder_and_broken_weights(engine: Any, services: Services, name: str) -> None:
    make_shop(client_of(services), name, rows())
    run_attach(services, plan_attach(services, name))
    mapping = client_of(services).indices.get_mapping(index=name).body[name]["mappings"]
    mapping["_meta"]["hybrid"]["signals"]["text"]["version"] = "toy@32+0"
    mapping["_meta"]["hybrid"]["analysis"] = "2.1"
    client_of(services).indices.put_mapping(index=name, meta=mapping["_meta"])
    keep(services, name, "gate-1", "gate", {"kind": "gate"}, {})
    services.models("weights").activate(name, "gate-1")
    encoder, weights = found(services, name, "text encoder")[0], found(services, name, "weights")[0]
    assert (encoder.status, encoder.fix) == ("degraded", f"hybrid attach {name}")
    words = found(services, name, "words")[0]
    assert words.detail == f"made by 2.1, and queries by {words_version(['en'])}" and words.fix == encoder.fix
    assert "queries here of toy@32" in encoder.detail
    assert weights.status == "degraded"


@pytest.mark.es
def test_the_command_for_scripts(engine: Any, services: Services, name: str) -> None:
    make_shop(client_of(services), name, rows())
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HYBRID_")}
    env = {**clean, "HYBRID_ES_URL": engine.es_url, "HYBRID_REDIS_URL": engine.redis_url}
    env |= {"HYBRID_TEXT_ENCODER": "toy:32", "HYBRID_IMAGE_ENCODER": "toy:32"}

    def doctor(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hybrid.cli", "doctor", *args]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)

    well = doctor(name, "--json")
    assert well.returncode == 0, well.stderr
    assert json.loads(well.stdout)["status"] in ("ok", "note")
    assert set(json.loads(well.stdout)["checks"][0]) == {"part", "what", "status", "detail", "fix", "sync"}
    client_of(services).indices.put_settings(index=name, settings={"index.blocks.write": True})
    ill = doctor(name)
    assert (ill.returncode, "blocked" in ill.stdout) == (1, True)
    assert doctor(f"{name}-none").returncode == 1
    assert doctor(name, "--what").returncode == 2


@pytest.mark.es
def test_failures_that_are_over_are_not_told(services: Services, name: str, tmp_path: Path) -> None:
    """The shop mends or removes a product by its own write, which takes the layer's note of the failure along."""
    data = [{**row, "image": f"{row['id']}.png"} for row in rows(5)]
    make_shop(client_of(services), name, data)
    run_attach(services, plan_attach(services, name, media_root=tmp_path))
    assert found(services, name, "failures")[0].detail == "5 image_missing"
    for number in range(3):
        Image.new("RGB", (40, 40), (9, number * 20, 9)).save(tmp_path / f"{number}.png")
        client_of(services).index(index=name, id=f"p{number}", document={**data[number], "image": f"{number}.png"})
    client_of(services).delete(index=name, id="p3")
    run_sync(services, name)
    assert found(services, name, "failures")[0].detail == "1 image_missing"
    client_of(services).update(index=name, id="p4", doc={"image": None})
    run_sync(services, name)
    assert examine(services, name).healthy


@pytest.mark.es
def test_what_the_cluster_does_not_say_does_not_end_it(
    services: Services, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Health) -> str:
        raise ClusterError("Elasticsearch refuses access (403: no monitor)")

    make_shop(client_of(services), name, rows())
    monkeypatch.setattr(Health, "status", refuse)
    checks = {(check.part, check.what): check for check in examine(services, name).checks}
    assert (checks["cluster", "access"].status, "403" in checks["cluster", "access"].detail) == ("degraded", True)
    assert checks[f"index {name}", "attach"].status == "note"
