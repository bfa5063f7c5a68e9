"""Tags by the pictures themselves: a network that learned from photos, written to documents of a real index."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hybrid.encoders.pixels import VIEWS, framed, picture_views
from hybrid.encoders.trained.picture_tags import PictureTags
from hybrid.encoders.trained.tags import FINE_TUNED, PublishedTags
from hybrid.errors import UsageError
from hybrid.learning import fine_tuning
from hybrid.learning.models import apply
from hybrid.learning.tags import pictures as picture_tags
from hybrid.learning.tags import training
from hybrid.learning.trained import publish
from hybrid.media import open_image
from hybrid.operations import sync
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.operations.reindex import planning, running
from hybrid.services import Services
from hybrid.settings import Settings
from tests.conftest import index_file, make_services, write_rows
from tests.support.raw import client_of
from tests.support.shapes import SHAPES, put

pytestmark = pytest.mark.models


def draw(shape: str, rng: np.random.Generator) -> Image.Image:
    """A shape of some colour on another, anywhere, oblong or not."""
    size = (int(rng.integers(90, 160)), int(rng.integers(90, 160)))
    ground, ink = (tuple(int(one) for one in rng.integers(low, low + 100, 3)) for low in (150, 0))
    picture = Image.new("RGB", size, ground)
    pen = ImageDraw.Draw(picture)
    put(pen, size, shape, (int(rng.integers(30, 60)), int(rng.integers(30, 60)), int(rng.integers(20, 30))), ink)
    return picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos with their tags in photos.csv, others in products/, and photos.csv with one that is broken."""
    root = tmp_path_factory.mktemp("shapes")
    (root / "products").mkdir()
    rng = np.random.default_rng(5)
    lines = ["image,tag"]
    for number in range(12):
        for shape in SHAPES:
            draw(shape, rng).save(root / f"{shape}{number}.png")
            draw(shape, rng).save(root / "products" / f"{shape}{number}.png")
            lines.append(f"{shape}{number}.png,{shape}")
    (root / "photos.csv").write_text("\n".join(lines) + "\n")
    (root / "broken.png").write_bytes(b"no picture")
    (root / "some.csv").write_text("\n".join([*lines, "broken.png,disc"]) + "\n")
    return root


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps: what is tested is what becomes of a model, not how good it can get."""
    for name, value in (("TAILS", 1), ("EPOCHS", 5), ("FOLDS", 2), ("ROWS", 12)):
        monkeypatch.setattr(picture_tags, name, value)
    monkeypatch.setattr(fine_tuning, "AUGMENTED", 2)


@pytest.fixture(scope="module")
def learned() -> dict[str, training.TrainedTags]:
    """What was learned once, for the tests after the first."""
    return {}


def catalogue(folder: Path, shapes: dict[str, str], price: int = 1) -> Path:
    rows = [
        {"id": id, "title": "a print", "image": f"products/{file}.png", "price": price} for id, file in shapes.items()
    ]
    return write_rows(folder / "products.ndjson", rows)


def load(services: Services, path: Path, name: str, folder: Path) -> Any:
    return index_file(services, path, name, folder, signals=["image"], media_root=folder)


def written(services: Services, name: str) -> dict[str, str]:
    client_of(services).indices.refresh(index=name)
    hits = client_of(services).search(index=name, size=100, query={"exists": {"field": "hybrid.id"}})["hits"]["hits"]
    return {hit["_id"]: hit["_source"]["hybrid"]["tags"][0]["name"] for hit in hits if hit["_source"]["hybrid"]["tags"]}


def surely(trained: training.Trained) -> None:
    """Let every product have a tag, however unsure."""
    model = PictureTags.from_bytes(trained.data)
    sure = dataclasses.replace(model.calibration, threshold=0.0)
    trained.data = dataclasses.replace(model, calibration=sure).to_bytes()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many products were looked at, each time."""
    counted: list[int] = []
    whole = PublishedTags.look

    def count(self: PublishedTags, pictures: Any) -> Any:
        counted.append(len(pictures))
        return whole(self, pictures)

    monkeypatch.setattr(PublishedTags, "look", count)
    return counted


def test_a_model_is_the_same_after_it_was_kept_and_in_openvino(folder: Path, models: Path, quick: None) -> None:
    settings = Settings(data_dir=models, threads=2)
    pictures = [open_image(folder / f"{shape}0.png") for shape in SHAPES]
    keys = [f"photo {number}" for number in range(12)]
    photos = picture_tags.look(pictures * 4, ["a", "b"] * 6, keys, settings, 0, lambda *_: None)
    assert photos.learned.shape == (12, 5, *fine_tuning.MIDDLE) and photos.query_views.shape[1] == VIEWS
    model = picture_tags.fit(photos)
    again = PictureTags.from_bytes(model.to_bytes())
    assert again.to_bytes() == model.to_bytes() == picture_tags.fit(photos).to_bytes()
    ours = again.probabilities(again.graphs(settings), pictures)
    assert np.allclose(ours.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(ours, picture_tags.probabilities(model, photos)[: len(pictures)], atol=2e-3)
    with pytest.raises(ValueError, match="."):
        PictureTags.from_bytes(b"nothing")
    with pytest.raises(UsageError, match="at most 5,000"):
        picture_tags.look([], ["a"] * 5001, ["key"] * 5001, settings, 0, lambda *_: None)


def test_views_show_all_of_a_picture() -> None:
    picture = Image.new("RGB", (40, 120), (255, 0, 0))
    picture.paste((0, 0, 255), (0, 0, 40, 10))  # what an encoder of the middle never sees
    views = picture_views(picture)
    assert [view.shape for view in views] == [(224, 224, 3)] * VIEWS
    assert [bool((view[2, 112] == (0, 0, 255)).all()) for view in views] == [False, True, True]
    assert abs(int(framed(picture)[112, 5, 0]) - 233) < 9  # its mean colour beside it


@pytest.mark.es
def test_products_are_looked_at_once(
    engine: Any, name: str, folder: Path, models: Path, quick: None, looks: list[int],
    learned: dict[str, training.TrainedTags],
) -> None:  # fmt: skip
    services = make_services(engine, image_encoder="efficientnet-lite0", data_dir=models)
    files = {f"{shape}{number}": f"{shape}{number}" for shape in SHAPES for number in range(4)}
    path = catalogue(folder, files)
    assert load(services, path, name, folder).complete
    if "some" not in learned:
        with pytest.MonkeyPatch.context() as patch:  # on shapes so plain the vectors may do as well
            patch.setattr("hybrid.learning.tags.calibration.best", lambda results: FINE_TUNED)
            learned["some"] = training.train(
                services, name, str(folder / "some.csv"), "image", "plain", fine_tune=True, validate=folder / "some.csv"
            )
    made = dataclasses.replace(learned["some"], index=name)
    assert set(made.results) == {"plain", FINE_TUNED} and made.skipped == {"image_unsupported": 1}
    assert made.validation is not None and made.validation["index"]["count"] == made.examples == 36
    surely(made)
    version = publish(services.models, made, f"{name}-looks")
    assert services.models("tags").heads(name)[0]["method"] == FINE_TUNED
    assert apply(services, "tags", name, version).complete and sum(looks) == 12
    found = written(services, name)
    right = sum(found.get(id, "").startswith(id.rstrip("0123456789")) for id in files)
    assert right >= 9  # of 12; by chance 4
    shown_first = training.predict(services.encoder, version, folder / "products" / "disc0.png", None)[0]
    assert shown_first["name"] == found.get("disc0", shown_first["name"])
    with pytest.raises(UsageError, match="give --image FILE"):
        training.predict(services.encoder, version, None, "a disc")

    # Another price moves the tags along; another picture is looked at; a new process knows what was told.
    fresh = Services(services.settings)
    looks.clear()
    again = load(fresh, catalogue(folder, files, price=2), name, folder)
    assert again.written == 12 and looks == [] and written(fresh, name) == found
    swapped = {**files, "disc0": "cross1", "new": "stripes1"}
    assert load(fresh, catalogue(folder, swapped, price=2), name, folder).complete
    now = written(fresh, name)
    assert sum(looks) == 2
    assert (now.get("disc0"), now.get("new")) == (found.get("cross1"), found.get("stripes1"))

    # A reindex takes them along without a look.
    looks.clear()
    plan = planning.plan_reindex(fresh, name, shards=2)
    report2 = running.run_reindex(fresh, plan, running.Options(), None)
    assert report2.swapped and looks == [] and written(fresh, name) == now

    # Without the model products have their vectors, and it is said.
    services.models("tags").remove(version)
    lost = Services(services.settings)
    report3 = load(lost, catalogue(folder, {**swapped, "late": "disc2"}, price=2), name, folder)
    assert report3.failed == {"no_tags_model": 1}
    layer = client_of(services).get(index=name, id="late")["_source"]["hybrid"]
    assert "image" in layer["codes"] and layer["meta"]["failed"] == ["tags"]


@pytest.mark.es
def test_a_shops_own_index_is_looked_at_and_kept_in_step(
    engine: Any, name: str, folder: Path, models: Path, quick: None, looks: list[int],
    learned: dict[str, training.TrainedTags],
) -> None:  # fmt: skip
    services = make_services(engine, image_encoder="efficientnet-lite0", data_dir=models)
    for number, shape in enumerate(SHAPES):
        document = {"title": "a print", "image": f"products/{shape}{number}.png"}
        client_of(services).index(index=name, id=shape, document=document)
    client_of(services).indices.refresh(index=name)
    plan = plan_attach(services, name, "title=title,image=image", signals=["image"], media_root=folder)
    assert run_attach(services, plan).complete
    if "some" not in learned:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hybrid.learning.tags.calibration.best", lambda results: FINE_TUNED)
            learned["some"] = training.train(
                services, name, str(folder / "photos.csv"), "image", "plain", fine_tune=True
            )
    made = dataclasses.replace(learned["some"], index=name)
    surely(made)
    version = publish(services.models, made, f"{name}-own")
    assert apply(services, "tags", name, version).complete and sum(looks) == 3
    before = written(services, name)
    client_of(services).update(index=name, id="disc", doc={"image": "products/cross2.png"}, refresh=True)
    client_of(services).update(index=name, id="cross", doc={"title": "another"}, refresh=True)
    looks.clear()
    sync.run_sync(services, name)
    noted = client_of(services).get(index=name, id="disc")["_source"]["hybrid"]["meta"]["tags"]
    assert sum(looks) == 1 and noted["encoder"] == version and json.dumps(noted["told"])
    assert written(services, name)["cross"] == before["cross"]
    # The picture's file is gone: the tags that were told of it stay, and so does all else.
    client_of(services).update(index=name, id="disc", doc={"image": "products/none.png"}, refresh=True)
    report = sync.run_sync(services, name)
    assert set(report.failed) == {"image_missing"}
