"""The models page: every kind of trained model of an index; applied and removed with the guards of other pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybrid.learning import models as life
from hybrid.learning.tags import training
from hybrid.learning.trained import publish
from hybrid.operations.orders import learning_slot
from hybrid.search.weights import FIXED_VERSION
from hybrid.services import Services
from tests.conftest import index_file, write_rows
from tests.support.admin_client import signed_in
from tests.support.admin_seed import add, done
from tests.support.web_services import EVIL

pytestmark = pytest.mark.es

ROWS = [
    {"id": f"{kind}{number}", "title": f"{kind} number {number}", "kind": kind}
    for kind in ("lamp", "mug")
    for number in range(8)
]


@pytest.fixture
def shop(services: Services, name: str, tmp_path: Path) -> tuple[Services, str]:
    """Products, two versions of tags, and two of weights."""
    assert index_file(services, write_rows(tmp_path / "a.ndjson", ROWS), name, tmp_path, signals=["text"]).complete
    trained = training.train(services, name, "catalogue", "text", "plain", "kind")
    for number in (1, 2):
        publish(services.models, trained, f"{name}-tags-{number}")
        add(services, name, f"gate-{number}", scores={"red lamp": 0.5}, before={"red lamp": 0.4})
    return services, name


def test_all_kinds_on_one_page(shop: tuple[Services, str]) -> None:
    services, name = shop
    page = signed_in(services).get(f"/admin/models?index={name}").text
    for word in (f"{name}-tags-1", f"{name}-tags-2", "gate-1", "gate-2", "macro-F1", "for everything",
                 f"hybrid train towers --index {name}"):  # fmt: skip
        assert word in page, word
    alone = signed_in(services).get(f"/admin/models?index={name}&kind=tags").text
    assert f"{name}-tags-1" in alone and "gate-1" not in alone
    assert signed_in(services).get(f"/admin/models?index={name}&kind=horoscope").status_code == 400
    version = signed_in(services).get(f"/admin/models/{name}/tags/{name}-tags-1").text
    assert "toy:32" in version and "Remove for good" in version
    weights = signed_in(services).get(f"/admin/models/{name}/weights/gate-1").text
    assert f'href="/admin/weights/{name}/gate-1"' in weights
    assert signed_in(services).get(f"/admin/models/{name}/tags/none").status_code == 404


def test_applied_by_a_worker_rolled_back_and_removed(shop: tuple[Services, str]) -> None:
    services, name = shop
    ed, mei = signed_in(services), signed_in(services, "mei")
    one, two = (f"/admin/models/{name}/tags/{name}-tags-{number}" for number in (1, 2))
    for person in (ed, mei):
        assert 'name="instead_of" value="none"' in person.get(one).text
    assert ed.post(f"{one}/apply", instead_of="none").status_code == 302
    assert life.active(services, "tags", name).version is None  # not before a worker has it
    done(services, learning_slot(name))
    assert "16 of 16 products were written" in ed.get(f"/admin/models?index={name}").text
    late = mei.post(f"{two}/apply", instead_of="none")
    assert late.status_code == 409 and f"made {name}-tags-1 of tags active meanwhile" in late.text
    refused = mei.post(f"{one}/remove")
    assert refused.status_code == 409 and f"is active for {name}" in refused.text
    assert mei.post(f"{two}/apply", instead_of=f"{name}-tags-1").status_code == 302
    done(services, learning_slot(name))
    page = ed.get(f"/admin/models?index={name}").text
    assert f"Go back to {name}-tags-1" in page
    assert ed.post(f"/admin/models/{name}/tags/rollback", instead_of=f"{name}-tags-2").status_code == 302
    done(services, learning_slot(name))
    assert life.active(services, "tags", name).version == f"{name}-tags-1"
    assert "Go back to no model" in ed.get(f"/admin/models?index={name}").text
    assert ed.post(f"{two}/remove").status_code == 302
    assert ed.get(two).status_code == 404
    entry = services.audit.list(1)[0][0]
    assert (entry["action"], entry["index"], entry["status"]) == ("models_remove", name, 302)


def test_weights_are_applied_at_once_and_reindexed_kinds_say_how(shop: tuple[Services, str]) -> None:
    services, name = shop
    ed = signed_in(services)
    asked = f"/admin/api/models/{name}"
    answer = ed.send(f"{asked}/weights/apply", {"version": "gate-1", "instead_of": FIXED_VERSION})
    assert (answer.status_code, answer.json["active"]["version"], answer.json["notified"]) == (200, "gate-1", None)
    assert ed.post(f"/admin/models/{name}/weights/rollback", instead_of="gate-1").status_code == 302
    assert life.active(services, "weights", name).version == FIXED_VERSION
    assert ed.send(f"{asked}/weights/apply", {"version": "gate-1", "instead_of": FIXED_VERSION}).status_code == 200
    assert f'action="/admin/models/{name}/weights/fixed-1/apply"' in ed.get(f"/admin/models?index={name}").text
    assert ed.post(f"/admin/models/{name}/weights/fixed-1/apply", instead_of="gate-1").status_code == 302
    assert ed.get(f"{asked}/weights/fixed-1").json["active"]
    assert "Remove for good" not in ed.get(f"/admin/models/{name}/weights/fixed-1").text
    services.models("sounds").add(name, f"{name}-cnn", {"method": "cnn", "encoders": {}, "report": {}}, b"any")
    answer = ed.send(f"{asked}/sounds/apply", {"version": f"{name}-cnn", "instead_of": "none"})
    said = f"HYBRID_AUDIO_ENCODER=sounds:{name}-cnn hybrid reindex {name}"
    assert answer.status_code == 409 and said in answer.json["error"]["reason"]
    assert said in ed.get(f"/admin/models/{name}/sounds/{name}-cnn").text
    assert ed.send(f"{asked}/sounds/remove", {"version": f"{name}-cnn"}).json == {"removed": f"{name}-cnn"}
    answer = ed.send(f"{asked}/tags/apply", {"version": f"{name}-tags-1", "instead_of": "none"})
    assert answer.status_code == 202 and answer.json["active"]["version"] is None
    listed = ed.get(asked).json
    assert listed["active"]["weights"]["version"] == FIXED_VERSION and len(listed["versions"]) == 5
    assert ed.get(f"{asked}/tags/{name}-tags-1").json["report"]["examples"] == 16


def test_a_viewer_looks_and_changes_nothing(shop: tuple[Services, str]) -> None:
    services, name = shop
    viewer = signed_in(services, "vi", "viewer")
    page = viewer.get(f"/admin/models?index={name}").text
    assert f"{name}-tags-1" in page and '<form method="post"' not in page.split("<main", 1)[1].split("</main>")[0]
    for path in (f"tags/{name}-tags-1/apply", "tags/rollback", f"tags/{name}-tags-1/remove"):
        assert viewer.post(f"/admin/models/{name}/{path}", instead_of="none").status_code == 403
    unsigned = signed_in(services)
    assert unsigned.post(f"/admin/models/{name}/tags/rollback", csrf_token="forged", instead_of="x").status_code == 400
    assert services.models("tags").head(f"{name}-tags-1")


def test_what_was_lost_and_markup(shop: tuple[Services, str]) -> None:
    services, name = shop
    life.apply(services, "tags", name, f"{name}-tags-1")
    services.models("tags").remove(f"{name}-tags-1")  # as if the cluster had lost it
    services.models("alignment").add(
        name, f"{name}-evil", {"method": EVIL, "encoders": {"text": {"spec": EVIL, "version": EVIL}},
                               "report": {EVIL: EVIL, "text": EVIL}}, b"any",
    )  # fmt: skip
    admin = signed_in(services)
    page = admin.get(f"/admin/models?index={name}").text
    assert "the cluster no longer has it" in page and f"{name}-tags-1" in page
    for shown in (page, admin.get(f"/admin/models/{name}/alignment/{name}-evil").text):
        assert "&lt;script&gt;alert(1)" in shown and "<script>alert" not in shown


def test_in_chinese(shop: tuple[Services, str]) -> None:
    services, name = shop
    admin = signed_in(services)
    admin.post("/admin/language", lang="zh", next="/admin/")
    assert "留出集" in admin.get(f"/admin/models?index={name}").text
    assert "永久删除" in admin.get(f"/admin/models/{name}/tags/{name}-tags-1").text
