"""Tags: strategies on small sets whose answer is known, and written to documents of a real index."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid.contracts import IndexProfile
from hybrid.encoders.trained import calibration as calibration_module
from hybrid.encoders.trained.tags import TagModel
from hybrid.errors import IndexConflictError, UsageError
from hybrid.learning.models import apply
from hybrid.learning.tags import calibration, training
from hybrid.learning.tags import fit as learning
from hybrid.learning.tags.fit import STRATEGIES, Examples
from hybrid.learning.tags.report import page
from hybrid.learning.trained import publish
from hybrid.operations import attach
from hybrid.operations.reindex import planning, running
from hybrid.searches import SearchRequest
from hybrid.services import Services
from tests.conftest import index_file, make_services, write_rows
from tests.support.baseline import Baseline
from tests.support.raw import client_of

WORDS = {"cup": "cup mug handle tea", "shoe": "shoe sole lace walk", "lamp": "lamp light bulb shade"}


def blobs(sizes: tuple[int, ...] = (60, 30, 8), width: int = 12, noise: float = 0.6, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    middles = rng.standard_normal((len(sizes), 2 * width))
    rows = (middles[labels] + noise * rng.standard_normal((len(labels), 2 * width))).astype(np.float32)
    names = np.array([f"t{label}" for label in labels])
    return Examples({"text": rows[:, :width], "image": rows[:, width:]}, names, np.arange(len(labels)))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_remedy_tells_tags_apart_and_is_the_same_twice(strategy: str) -> None:
    found = learning.validate(strategy, blobs()).figures()
    # By chance: a third.
    assert found["macro_f1"] > 0.8 and found["worst_recall"] > 0.6
    model = learning.fit(strategy, blobs())
    again = TagModel.from_bytes(model.to_bytes())
    assert again.to_bytes() == learning.fit(strategy, blobs()).to_bytes()
    assert np.allclose(again.probabilities(blobs().parts), model.probabilities(blobs().parts), atol=1e-5)


def test_views_of_one_photo_stay_in_one_fold() -> None:
    """Noise that only a leak could learn: every item is a random point with a random tag, seen twice."""
    rng = np.random.default_rng(3)
    rows = np.repeat(rng.standard_normal((60, 40)).astype(np.float32), 2, axis=0)
    names = np.repeat(np.array(["a", "b", "c"])[rng.integers(0, 3, 60)], 2)
    found = learning.validate("augmentation", Examples({"image": rows}, names, np.repeat(np.arange(60), 2))).figures()
    assert found["accuracy"] < 0.6


def test_drop_out_serves_products_that_lack_a_part() -> None:
    examples = blobs((200, 100, 40), noise=1.2, seed=4)
    held = {drop: learning.validate("plain", examples, drop=drop).figures()["alone"] for drop in (True, False)}
    mean = {drop: np.mean([one["macro_f1"] for one in found.values()]) for drop, found in held.items()}
    assert mean[True] > mean[False] + 0.01


def test_figures_on_paper() -> None:
    likely = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    found = calibration.figures(("a", "b"), np.array([0, 0, 1, 1]), likely)
    assert (found["worst"], found["worst_recall"], found["accuracy"]) == ("b", 0.5, 0.75)
    assert found["macro_f1"] == round((0.8 + 2 / 3) / 2, 4)
    assert found["confusion"] == [[2, 0, 0], [1, 1, 0]]
    assert found["calibration_error"] == round((0.1 + 0.2 + 0.3 + 0.6) / 4, 4)


def test_rare_tags_are_raised_as_far_as_the_others_do_not_suffer() -> None:
    """Points on a line about -1 and 1, one in fifteen of the second, with the probabilities that they really have."""
    rng = np.random.default_rng(1)
    truth = (np.arange(3000) % 15 == 0).astype(int)
    points = rng.normal(2 * truth - 1, 0.7)
    rare = 1 / (1 + 14 * np.exp(-2 * points / 0.7**2))
    likely = np.stack([1 - rare, rare], axis=1)
    found = calibration.calibrate(likely, truth)
    assert len(found.offsets) == 2 and found.offsets[0] > found.offsets[1]
    before, after = (calibration.figures(("a", "b"), truth, one) for one in (likely, found(likely)))
    assert after["worst_recall"] > before["worst_recall"] + 0.02
    assert after["macro_f1"] > before["macro_f1"] - 0.011
    assert after["calibration_error"] < 0.05
    assert calibration_module.Calibration.from_arrays(found.to_arrays()) == found
    # Nothing to gain: probabilities stay in their order, and versions of before this are read.
    assert calibration.calibrate(np.eye(2)[truth] * 0.8 + 0.1, truth).offsets == ()
    assert calibration_module.Calibration.from_arrays(
        {"numbers": np.array([2.0, 0.5])}
    ) == calibration_module.Calibration(2.0, 0.5)


def test_best_prefers_the_worst_class_where_macro_f1_is_alike() -> None:
    results = {
        "one": {"macro_f1": 0.900, "worst_recall": 0.5, "calibration_error": 0.01},
        "two": {"macro_f1": 0.895, "worst_recall": 0.7, "calibration_error": 0.05},
        "three": {"macro_f1": 0.850, "worst_recall": 0.9, "calibration_error": 0.01},
    }
    assert calibration.best(results) == "two"


def test_too_little_to_learn_from() -> None:
    with pytest.raises(UsageError, match="at least two"):
        learning.check(blobs((5,)))
    with pytest.raises(UsageError, match="'t1' has 1 example"):
        learning.check(blobs((5, 1)))


def rows(count: int = 12) -> list[dict[str, Any]]:
    return [
        {"id": f"{kind}{number}", "title": f"{words} {number}", "kind": kind}
        for kind, words in WORDS.items()
        for number in range(count)
    ]


def trained(services: Services, name: str, folder: Path) -> str:
    index_file(services, write_rows(folder / "a.ndjson", rows()), name, folder, signals=["text"])
    made = training.train(services, name, "catalogue", "text", "plain", "kind")
    text = page({**made.to_json(), "index": "<b>"})
    assert "<b>" not in text.replace("<body>", "") and "&lt;b&gt;" in text
    return publish(services.models, made, f"{name}-v")


def written(services: Services, name: str, id: str) -> list[str]:
    layer = client_of(services).get(index=name, id=id)["_source"]["hybrid"]
    return [tag["name"] for tag in layer.get("tags", [])]


@pytest.mark.es
@pytest.mark.es_both
def test_tags_are_written_counted_and_kept_in_step(services: Services, name: str, tmp_path: Path) -> None:
    version = trained(services, name, tmp_path)
    applied = apply(services, "tags", name, version)
    assert applied.complete and applied.run and applied.run.documents == 36
    answer_services = make_services_like(services)
    request = SearchRequest(name, "", facets=("hybrid.tags.name",), size=40)
    answer = answer_services.searcher.search(request)
    assert {item["value"]: item["count"] for item in answer.facets["hybrid.tags.name"]} == dict.fromkeys(WORDS, 12)
    only = answer_services.searcher.search(dataclasses.replace(request, filters={"hybrid.tags.name": "cup"}))
    assert only.total == 12 and {hit.source["kind"] for hit in only.hits} == {"cup"}
    assert all(0 < hit.source["hybrid"]["tags"][0]["confidence"] <= 1 for hit in only.hits)
    assert set(only.hits[0].source["hybrid"]) == {"tags"}
    # A new product, one whose words changed, and one whose words did not.
    changed = [
        {"id": "new", "title": "lamp light bulb shade 3", "kind": "?"},
        {"id": "cup0", "title": "shoe sole lace walk 3", "kind": "cup"},
        {"id": "cup1", "title": "cup mug handle tea 1", "kind": "other"},
    ]
    report = index_file(answer_services, write_rows(tmp_path / "b.ndjson", changed), name, tmp_path, signals=["text"])
    assert report.complete
    assert [written(services, name, id) for id in ("new", "cup0", "cup1")] == [["lamp"], ["shoe"], ["cup"]]
    again = index_file(answer_services, write_rows(tmp_path / "b.ndjson", changed), name, tmp_path, signals=["text"])
    assert again.unchanged == 3


@pytest.mark.es
def test_a_reindex_takes_tags_along_and_they_can_be_taken_off(services: Services, name: str, tmp_path: Path) -> None:
    version = trained(services, name, tmp_path)
    apply(services, "tags", name, version)
    plan = planning.plan_reindex(services, name, shards=2)
    report = running.run_reindex(services, plan, running.Options(), None)
    assert report.swapped and report.encoded == 0
    fresh = make_services_like(services)
    request = SearchRequest(name, "", facets=("hybrid.tags.name",), size=40)
    counts = fresh.searcher.search(request).facets["hybrid.tags.name"]
    assert {item["value"]: item["count"] for item in counts} == dict.fromkeys(WORDS, 12)
    for _ in range(2):  # as after a run that ended early
        assert apply(fresh, "tags", name, "none").complete
    layers = [hit["_source"]["hybrid"] for hit in client_of(fresh).search(index=name, size=40)["hits"]["hits"]]
    assert len(layers) == 36 and not any(layer.get("tags") or layer["meta"]["tags"]["hash"] for layer in layers)
    assert all(layer["codes"]["text"] for layer in layers)
    assert fresh.cluster.indices.read_profile(name).tags is None
    with pytest.raises(UsageError, match="no facet 'hybrid.tags.name'"):
        make_services_like(services).searcher.search(request)
    new = write_rows(tmp_path / "b.ndjson", [{"id": "new", "title": "lamp light", "kind": "?"}])
    assert index_file(make_services_like(services), new, name, tmp_path, signals=["text"]).complete
    assert written(services, name, "new") == []
    client_of(services).indices.create(index=f"{name}-bare")
    with pytest.raises(IndexConflictError, match="has no vectors yet"):
        apply(services, "tags", f"{name}-bare", "none")
    assert apply(make_services_like(services), "tags", name, version).complete
    assert written(services, name, "new") == ["lamp"]


@pytest.mark.es
def test_without_its_model_products_have_their_vectors_and_it_is_said(
    services: Services, name: str, tmp_path: Path
) -> None:
    version = trained(services, name, tmp_path)
    apply(services, "tags", name, version)
    services.models("tags").remove(version)
    fresh = make_services_like(services)
    new = write_rows(tmp_path / "b.ndjson", [{"id": "new", "title": "lamp light", "kind": "?"}])
    report = index_file(fresh, new, name, tmp_path, signals=["text"])
    assert report.failed == {"no_tags_model": 1}
    layer = client_of(services).get(index=name, id="new")["_source"]["hybrid"]
    assert "text" in layer["codes"] and layer["meta"]["failed"] == ["tags"]


@pytest.mark.es
@pytest.mark.es_both
def test_a_shops_own_index_is_tagged_and_its_fields_stay(services: Services, name: str, tmp_path: Path) -> None:
    version = trained(services, name, tmp_path)
    own = f"{name}-own"
    for row in rows(3):
        client_of(services).index(index=own, id=row["id"], document=row)
    client_of(services).indices.refresh(index=own)
    attach.run_attach(services, attach.plan_attach(services, own, "title=title", signals=["text"]))
    assert apply(services, "tags", own, version).complete
    assert written(services, own, "lamp1") == ["lamp"]
    found = client_of(services).get(index=own, id="lamp1")["_source"]
    assert {key: value for key, value in found.items() if key != "hybrid"} == rows(3)[7]


@pytest.mark.es
def test_what_cannot_be_used_is_said_in_one_line(services: Services, name: str, tmp_path: Path) -> None:
    index_file(services, write_rows(tmp_path / "a.ndjson", rows(2)), name, tmp_path, signals=["text"])
    bad = tmp_path / "bad.csv"
    bad.write_text("picture,label\nx.jpg,cup\n")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"labels": str(bad)}, "needs a column `tag`"),
        ({"labels": str(tmp_path / "none.csv")}, "cannot be read"),
        ({"labels": "catalogue", "column": "kind", "source": "image"}, "has no image vectors"),
        ({"labels": "catalogue", "column": "nothing", "source": "text"}, "no product"),
        ({"labels": "catalogue", "source": "smell"}, "no source"),
        ({"labels": "catalogue", "strategy": "luck"}, "no strategy"),
    ]
    for options, said in cases:
        with pytest.raises(UsageError, match=said) as caught:
            training.train(services, name, **options)
        assert "\n" not in str(caught.value)


@pytest.mark.es
def test_profiles_of_before_are_read_as_they_are(services: Services, name: str, tmp_path: Path) -> None:
    index_file(services, write_rows(tmp_path / "a.ndjson", rows(2)), name, tmp_path, signals=["text"])
    profile = services.cluster.indices.read_profile(name)
    assert profile.tags is None and "tags" not in profile.to_json()
    assert IndexProfile.from_json(name, profile.to_json()).searchable is not None


def make_services_like(services: Services) -> Services:
    """Another process: nothing of what this one knows is kept."""
    return Services(services.settings)


@pytest.mark.es
@pytest.mark.models
@pytest.mark.long
def test_clothing(engine: Any, name: str, shared: Path, tmp_path: Path, baseline: Baseline) -> None:
    """The figures of docs/benchmarks.md; see tests.measure.tags."""
    from tests.measure.tags import measure

    found = measure(make_services(engine, image_encoder="efficientnet-lite0"), shared / "clothing", tmp_path, name)
    baseline.check("clothing, tags", noise=0.03, macro_f1=found["documents"]["macro_f1"])
    # Of six skirts.
    baseline.check("clothing, the worst tag", noise=0.1, recall=found["documents"]["worst_recall"])
