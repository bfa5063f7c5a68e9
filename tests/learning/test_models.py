"""The life of trained models: published if better, listed, applied, rolled back, removed, by command and by order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer import Exit
from typer.testing import CliRunner

from hybrid.cli.main import app
from hybrid.cli.options import end_training
from hybrid.errors import HybridError, ModelConflictError, UsageError
from hybrid.learning import models as life
from hybrid.learning.tags import training
from hybrid.learning.trained import HeldOut, Trained, publish
from hybrid.operations import orders
from hybrid.search.weights import FIXED_VERSION, fixed
from hybrid.services import Services
from tests.conftest import index_file, write_rows
from tests.support.models import keep
from tests.support.raw import client_of
from workers.orders import work

WORDS = {"lamp": "lamp light bulb", "cup": "cup mug handle", "shoe": "shoe sole lace"}
ROWS = [
    {"id": f"{kind}{number}", "title": f"{words} {number}", "kind": kind, "odd": "same" if number % 2 else kind}
    for kind, words in WORDS.items()
    for number in range(8)
]


@pytest.fixture
def shop(services: Services, name: str, tmp_path: Path) -> Services:
    assert index_file(services, write_rows(tmp_path / "a.ndjson", ROWS), name, tmp_path, signals=["text"]).complete
    return services


@pytest.fixture
def hybrid(shop: Services, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command; (exit code, its JSON or None, all that it printed)."""
    monkeypatch.setattr("hybrid.services.build_services", lambda: Services(shop.settings))

    def run(*asked: str) -> tuple[int, Any, str]:
        done = CliRunner().invoke(app, list(asked))
        if isinstance(done.exception, HybridError):
            return done.exception.exit_code, None, str(done.exception)
        start = done.stdout.find("{") if "--json" in asked else -1
        return done.exit_code, json.loads(done.stdout[start:]) if start >= 0 else None, done.stdout

    return run


def written(services: Services, name: str, id: str) -> list[str]:
    layer = client_of(services).get(index=name, id=id)["_source"]["hybrid"]
    return [tag["name"] for tag in layer.get("tags") or []]


def test_what_is_better() -> None:
    assert HeldOut("mAP", 0.5, "mfcc", 0.4, 10).better
    assert not HeldOut("mAP", 0.4, "mfcc", 0.4, 10).better
    assert HeldOut("mAP", 0.0, "", None, 0).better  # there is nothing to compare with
    assert str(HeldOut("mAP", 0.5, "a-1", 0.6, 1200)) == (
        "mAP 0.5000 does not beat a-1 0.6000 on 1,200 held-out examples"
    )


@dataclass
class Plain(Trained):
    """A training of tags with these figures."""

    index: str
    held_out: HeldOut
    family: str = "tags"
    method: str = "plain"
    encoders: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    version: str | None = None

    def report(self) -> dict[str, Any]:
        return {}

    def numbers(self, version: str) -> bytes:
        return b"any"


@pytest.mark.es
def test_what_is_worse_is_published_by_force_and_not_made_active(
    shop: Services, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = Plain(name, HeldOut("mAP", 0.4, "a-1", 0.5, 10))
    with pytest.raises(Exit):
        end_training(shop, worse, lambda trained: None, None, force=False, apply=True, json=False)
    assert worse.version is None and "nothing better to publish" in capsys.readouterr().out
    end_training(shop, worse, lambda trained: None, None, force=True, apply=True, json=False)
    said = f"published {name}-plain-1, not active: it is worse than a-1; `hybrid models apply tags {name}-plain-1"
    assert said in capsys.readouterr().out
    assert worse.version == f"{name}-plain-1" and life.active(shop, "tags", name).version is None
    assert shop.audit.list(1)[0][0]["detail"]["apply"] == "False"
    assert Plain(name, HeldOut("mAP", 0.5, "a-1", 0.5, 10)).doubt == ""  # no worse: --force makes it active


@pytest.mark.es
def test_a_life_by_command(shop: Services, name: str, hybrid: Any) -> None:
    train = ["train", "tags", "--index", name, "--field", "kind", "--from", "text", "--strategy", "plain", "--json"]
    code, first, _ = hybrid(*train)
    assert code == 0 and first["better"] and first["applied"]["complete"] and first["version"] == f"{name}-text-1"
    assert first["held_out"]["against"].endswith("for everything") and first["held_out"]["before"] < 0.5
    assert written(shop, name, "lamp1") == ["lamp"]

    # The same examples again are no better than they are: nothing is published, in one line and with exit code 1.
    code, again, _ = hybrid(*train)
    assert code == 1 and not again["better"] and again["version"] is None and again["applied"] is None
    assert again["held_out"]["against"] == first["version"]
    assert again["held_out"]["before"] == again["held_out"]["figure"] == first["held_out"]["figure"]
    code, _, shown = hybrid(*train[:-1])
    assert code == 1 and "does not beat" in shown and shown.strip().endswith("(--force publishes all the same)")
    code, forced, _ = hybrid(*train, "--force", "--no-apply")
    second = forced["version"]
    assert code == 0 and second == f"{name}-text-2" and forced["applied"] is None

    code, listed, _ = hybrid("models", "list", "--index", name, "--json")
    assert code == 0 and listed["active"]["tags"] == first["version"] and listed["active"]["weights"] == FIXED_VERSION
    shown = [(one["version"], one["active"]) for one in listed["versions"]]
    assert shown == [(FIXED_VERSION, True), (second, False), (first["version"], True)]
    assert "report" not in listed["versions"][1]
    code, _, shown = hybrid("models", "list", "tags", "--index", name)
    assert code == 0 and "macro-F1" in shown
    code, one, _ = hybrid("models", "show", "tags", second, "--index", name, "--json")
    assert code == 0 and one["report"]["examples"] == 24 and not one["active"]
    assert hybrid("models", "show", "tags", second, "--index", name)[0] == 0
    code, told, _ = hybrid("models", "predict", "tags", second, "--text", "lamp light")
    assert code == 0

    code, applied, _ = hybrid("models", "apply", "tags", second, "--index", name, "--json")
    assert (code, applied["version"], applied["before"]) == (0, second, first["version"])
    code, _, said = hybrid("models", "remove", "tags", second, "--index", name)
    assert code == 1 and f"tags '{second}' is active for {name}" in said
    code, back, _ = hybrid("models", "rollback", "tags", "--index", name, "--json")
    assert (code, back["version"]) == (0, first["version"])
    assert shop.cluster.indices.read_profile(name).tags.version == first["version"]  # type: ignore[union-attr]
    assert hybrid("models", "remove", "tags", second, "--index", name, "--json")[1]["removed"] == second
    assert hybrid("models", "show", "tags", second, "--index", name)[0] == 2
    code, back, _ = hybrid("models", "rollback", "tags", "--index", name, "--json")
    assert (code, back["version"]) == (0, None) and written(shop, name, "lamp1") == []
    code, _, said = hybrid("models", "rollback", "tags", "--index", name)
    assert code == 1 and "nothing to roll back" in said
    code, _, said = hybrid("models", "apply", "horoscope", "x", "--index", name)
    assert code == 2 and "kinds: weights, alignment, towers, tags, sounds, tfidf" in said


@pytest.mark.es
def test_examples_that_the_active_version_has_not_seen_are_asked_of_it(shop: Services, name: str) -> None:
    half = training.train(shop, name, "catalogue", "text", "plain", "kind")
    half.predictions = {
        key: tag for key, tag in half.predictions.items() if int(key[-1]) < 4
    }  # as if it had learned from these
    life.apply(shop, "tags", name, publish(shop.models, half))
    whole = training.train(shop, name, "catalogue", "text", "plain", "kind")
    # It has seen the others after all, and tells them better than held out.
    assert whole.held_out.before is not None and whole.held_out.before >= half.held_out.figure
    assert whole.held_out.examples == 24
    # One that was lost does not keep its successor from being published.
    shop.models("tags").remove(half.version or "")
    alone = training.train(shop, name, "catalogue", "text", "plain", "kind")
    assert alone.better and alone.held_out.against.endswith("for everything")


@pytest.mark.es
def test_weights_have_the_same_life(shop: Services, name: str, hybrid: Any) -> None:
    for version in ("global-1", "global-2"):
        model = {**fixed({"lexical": 1.0, "text": 0.5}, version).to_json(), "kind": "global"}
        keep(shop, name, version, "global", model, {})
    assert hybrid("models", "apply", "weights", "global-1", "--index", name)[0] == 0
    code, _, said = hybrid("models", "apply", "weights", "global-2", "--index", name)
    assert (code, said.strip()) == (0, f"global-2 is active for {name}; searches take it up within seconds")
    assert hybrid("models", "rollback", "weights", "--index", name, "--json")[1]["version"] == "global-1"
    with pytest.raises(ModelConflictError, match=f"'global-1' is active for {name}"):
        life.remove(shop, "weights", name, "global-1")
    life.remove(shop, "weights", name, "global-2")
    assert hybrid("models", "apply", "weights", "none", "--index", name, "--json")[1]["version"] == FIXED_VERSION
    assert [one["version"] for one in life.by_kind(shop, name, "weights")[0].versions] == ["global-1", FIXED_VERSION]
    # The built-in ones have the name by which they are listed, and cannot go away.
    assert hybrid("models", "apply", "weights", "global-1", "--index", name)[0] == 0
    for command in (["apply", "weights", FIXED_VERSION], ["show", "weights", FIXED_VERSION], ["list", "weights"]):
        code, _, said = hybrid("models", *command, "--index", name)
        assert code == 0 and FIXED_VERSION in said and ("built in" in said or command[0] == "apply"), said
    assert life.active(shop, "weights", name).version == FIXED_VERSION
    assert "is built in" in hybrid("models", "remove", "weights", FIXED_VERSION, "--index", name)[2]
    with pytest.raises(UsageError, match="no kind of model 'gate'"):
        life.active(shop, "gate", name)


@pytest.mark.es
def test_by_order(shop: Services, name: str) -> None:
    version = publish(shop.models, training.train(shop, name, "catalogue", "text", "plain", "kind"))
    with pytest.raises(ModelConflictError, match="somebody else made no version"):
        life.order_apply(shop, "tags", name, version, "ed", version)
    with pytest.raises(ModelConflictError, match="nothing to roll back"):
        life.order_rollback(shop, "tags", name, "ed", "none")
    life.order_apply(shop, "tags", name, version, "ed", "none")
    assert life.active(shop, "tags", name).version is None  # nothing happens before a worker has it
    assert done(shop, name)["result"]["version"] == version
    assert written(shop, name, "cup3") == ["cup"]
    life.order_rollback(shop, "tags", name, "ed", version)
    assert done(shop, name)["result"]["version"] is None and life.active(shop, "tags", name).version is None

    # A process that died after the index had changed: the next one does not go one further back.
    life.apply(shop, "tags", name, version)
    life.order_rollback(shop, "tags", name, "ed", version)
    slot = orders.learning_slot(name)
    taken = shop.orders.take(slot)
    assert taken is not None
    life.rollback(shop, "tags", name)
    again = orders.Work(shop, {**taken, "attempts": 2})
    assert life.perform(again)["version"] is None and life.active(shop, "tags", name).version is None


def done(services: Services, name: str) -> dict[str, Any]:
    assert work(services, orders.learning_slot(name))
    order = services.orders.get(orders.learning_slot(name))
    assert order is not None and (order["status"], order["error"]) == ("done", None)
    return order


@pytest.mark.es
def test_an_index_that_was_changed_by_other_means(shop: Services, name: str) -> None:
    """What the index says counts, not what was applied last."""
    trained = training.train(shop, name, "catalogue", "text", "plain", "kind")
    first, second = publish(shop.models, trained), publish(shop.models, trained, f"{name}-b")
    life.apply(shop, "tags", name, first)
    found, profile = life._described(shop.cluster.shops, name)
    changed = training.profile_with(shop, profile, second)
    life.enrich_in_place(shop, found, changed)
    now = life.active(shop, "tags", name)
    assert (now.version, now.before) == (second, first)
    assert life.rollback(shop, "tags", name).version == first
    life.apply(shop, "tags", name, "none")
    assert life.active(shop, "tags", name) == life.Active(None, life.active(shop, "tags", name).since, first)
