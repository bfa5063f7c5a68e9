"""A CNN on pixels and an RNN on tokens that learn at once: what they compute, and what an index gets of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from hybrid.cli.main import app
from hybrid.encoders.trained.towers import DIMS, WIDTH, TextTower, TowersModel
from hybrid.encoders.words import MiniLMWords
from hybrid.errors import EncoderError, IndexConflictError, UsageError
from hybrid.learning import fine_tuning
from hybrid.learning.alignment import towers as learning
from hybrid.learning.alignment import towers_training, training
from hybrid.learning.models import apply
from hybrid.learning.trained import publish
from hybrid.media import open_image
from hybrid.operations.planning import vector_signal
from hybrid.searches import SearchRequest
from hybrid.services import Services
from hybrid.settings import Settings
from tests.conftest import index_file, make_services, write_rows
from tests.support.shapes import SHAPES, put

pytestmark = pytest.mark.models

INKS = {"red": (200, 30, 30), "blue": (30, 60, 200)}
PHOTOS = 6


def draw(ink: str, shape: str, rng: np.random.Generator) -> Image.Image:
    """A red or blue shape anywhere on something light, of about that colour."""
    size = (int(rng.integers(90, 160)), int(rng.integers(90, 160)))
    colour = tuple(int(np.clip(one + rng.integers(-25, 25), 0, 255)) for one in INKS[ink])
    picture = Image.new("RGB", size, tuple(int(one) for one in rng.integers(200, 250, 3)))
    pen = ImageDraw.Draw(picture)
    put(pen, size, shape, (int(rng.integers(35, 55)), int(rng.integers(35, 55)), int(rng.integers(22, 32))), colour)
    return picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """products.ndjson with a picture each, photos of them in photos.csv, and some/ that nobody has seen."""
    root = tmp_path_factory.mktemp("towers")
    (root / "some").mkdir()
    rng = np.random.default_rng(7)
    rows, lines = [], ["image,product_id"]
    for ink in INKS:
        for shape in SHAPES:
            name = f"{ink}-{shape}"
            draw(ink, shape, rng).save(root / f"{name}.png")
            draw(ink, shape, rng).save(root / "some" / f"{name}.png")
            rows.append({"id": name, "title": f"{ink} {shape}", "image": f"{name}.png"})
            for number in range(PHOTOS):
                draw(ink, shape, rng).save(root / f"{name}-{number}.png")
                lines.append(f"{name}-{number}.png,{name}")
    write_rows(root / "products.ndjson", rows)
    (root / "photos.csv").write_text("\n".join(lines) + "\nbroken.png,red-disc\nred-disc-0.png,none\n")
    (root / "broken.png").write_bytes(b"no picture")
    return root


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps: what is tested is what becomes of towers, not how good they can get."""
    monkeypatch.setattr(learning, "EPOCHS", 8)
    monkeypatch.setattr(learning, "ROWS", 16)
    monkeypatch.setattr(learning, "FOLDS", 2)
    monkeypatch.setattr(fine_tuning, "AUGMENTED", 2)


def test_the_rnn_is_the_one_that_learned() -> None:
    """Without torch it gives what torch gives, whatever stands beside a text."""
    import torch

    torch.manual_seed(0)
    gru = torch.nn.GRU(MiniLMWords.dims, WIDTH, bidirectional=True, batch_first=True)
    weights = {name: value.detach().numpy() for name, value in gru.named_parameters()}
    rng = np.random.default_rng(0)
    weights |= {
        "from_states": rng.standard_normal((DIMS, 2 * WIDTH)).astype(np.float32),
        "from_words": np.zeros((DIMS, MiniLMWords.dims), np.float32), "bias": np.zeros(DIMS, np.float32),
    }  # fmt: skip
    texts = [rng.standard_normal((length, MiniLMWords.dims)).astype(np.float32) for length in (3, 7, 3, 0)]
    made = TextTower(weights)(texts)
    assert not made[3].any() and np.allclose(np.linalg.norm(made[:3], axis=1), 1, atol=1e-5)
    for row in range(3):
        with torch.inference_mode():
            states = gru(torch.from_numpy(texts[row])[None])[0][0].mean(0).numpy()
        wanted = states @ weights["from_states"].T
        assert np.allclose(made[row], wanted / np.linalg.norm(wanted), atol=1e-5)
        assert np.allclose(made[row], TextTower(weights)([texts[row]])[0], atol=1e-6)


@pytest.mark.es
def test_towers_are_learned_taken_up_by_an_index_and_searched(
    engine: Any, name: str, folder: Path, quick: None, models: Path
) -> None:
    options = {"text_encoder": "minilm-words", "image_encoder": "efficientnet-lite0", "data_dir": models}
    services = make_services(engine, **options)
    load(services, folder, name)
    seen: list[str] = []
    pairs = str(folder / "photos.csv")
    trained, drawn = towers_training.train(services, name, pairs, progress=lambda what, *_: seen.append(what))
    assert list(dict.fromkeys(seen)) == ["views of photos", "held out", "towers"]
    assert trained.pairs == 6 * PHOTOS and trained.skipped == {"unknown_product": 1, "image_unsupported": 1}
    result = trained.results["towers"]
    print(result)
    assert result["photos"]["left_to_right"]["top1"] > 0.4  # by chance 0.17
    assert result["photos"]["right_to_left"]["precision@10"] > 0.4
    assert set(result["products"]) == {"left_to_right", "right_to_left", "to_product"}
    assert "towers" in training.page_of(trained, drawn)
    version = publish(services.models, trained, f"{name}-towers")
    assert trained.held_out.against == "chance" and trained.better
    with pytest.raises(IndexConflictError, match=f"HYBRID_IMAGE_ENCODER=towers:{version} hybrid reindex {name}"):
        apply(services, "towers", name, version)
    with pytest.raises(UsageError, match="needs an alignment"):  # towers are none
        vector_signal(services, "fused", name)

    spec = f"towers:{version}"
    shop = make_services(engine, **{**options, "image_encoder": spec})
    other = f"{name}-b"
    load(shop, folder, other)
    right = {"words": 0, "photo": 0}
    for ink in INKS:
        for shape in SHAPES:
            photo = (folder / "some" / f"{ink}-{shape}.png").read_bytes()
            for how, request in (
                ("words", SearchRequest(other, f"{ink} {shape}", system="image")),
                ("photo", SearchRequest(other, image=photo, system="image")),
            ):
                found = shop.searcher.search(request)
                assert not found.degraded
                right[how] += found.hits[0].id == f"{ink}-{shape}"
    print(right)
    assert min(right.values()) >= 3  # of 6; by chance 1

    # What learned in torch is what runs without it; damage is one line.
    model = TowersModel.from_bytes(trained.data)
    pictures = [open_image(folder / f"{ink}-disc.png") for ink in INKS]
    looked = fine_tuning.look(pictures, 2, services.settings, 0, lambda *_: None, learn=False)
    ours = shop.encoder(spec).encode_images(pictures)
    assert np.allclose(ours, learning.pictures(model, looked.query_views), atol=2e-2)
    code = (
        "import sys; from hybrid.settings import Settings; from hybrid.services import Services;"
        f"e = Services(Settings(es_url={engine.es_url!r})).encoder({spec!r});"
        "print(e.encode_texts(['red disc']).tolist()); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(shop.encoder(spec).encode_texts(["red disc"]).tolist())
    assert not shop.encoder(spec).encode_texts([""]).any()
    with pytest.raises(UsageError, match="takes no sound"):
        shop.encoder(spec).encode_sounds([])
    shop.models("towers").add(name, f"{name}-bad", {"encoders": trained.encoders}, trained.data[:-300])
    with pytest.raises(EncoderError, match="damaged"):
        shop.encoder(f"towers:{name}-bad").encode_texts(["red"])


@pytest.mark.es
def test_what_cannot_be_learned_from_is_said(engine: Any, name: str, folder: Path, models: Path) -> None:
    services = make_services(engine, image_encoder="efficientnet-lite0", data_dir=models)
    load(services, folder, name)
    few = folder / "few.csv"
    few.write_text("image,product_id\nred-disc-0.png,red-disc\n")
    for pairs, said in ((str(few), "too few"), ("catalogue", "too few")):
        with pytest.raises(UsageError, match=said):
            towers_training.train(services, name, pairs)


@pytest.mark.es
def test_by_command_from_the_catalogues_own_pictures(
    engine: Any, name: str, folder: Path, quick: None, models: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    services = make_services(engine, image_encoder="efficientnet-lite0", data_dir=models)
    rows = [
        {"id": photo.stem, "title": photo.stem.replace("-", " "), "image": photo.name}
        for photo in sorted(folder.glob("*-*-*.png"))
    ]
    load(services, folder, name, write_rows(folder / "many.ndjson", rows))
    monkeypatch.setattr(learning, "EPOCHS", 1)
    monkeypatch.setattr("hybrid.services.build_services", lambda: services)
    page = tmp_path / "towers.html"
    asked = ["train", "towers", "--index", name, "--name", f"{name}-t", "--report", str(page), "--force"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert f"HYBRID_IMAGE_ENCODER=towers:{name}-t hybrid reindex {name}" in " ".join(done.output.split())
    assert "Products held out" in page.read_text() and "Photos held out" not in page.read_text()
    listed = json.loads(CliRunner().invoke(app, ["models", "list", "towers", "--index", name, "--json"]).output)
    assert listed["active"] == {"towers": None}
    assert [(one["version"], one["held_out"]["examples"]) for one in listed["versions"]] == [(f"{name}-t", len(rows))]


def load(services: Services, folder: Path, name: str, path: Path | None = None) -> None:
    path = path or folder / "products.ndjson"
    assert index_file(services, path, name, folder, signals=["text", "image"], media_root=folder).complete


def test_settings_name_them(tmp_path: Path) -> None:
    from hybrid.encoders import TRAINED

    encoder = TRAINED["towers"]("towers:x", lambda: ({}, b""), lambda spec: None, Settings(data_dir=tmp_path))  # type: ignore[arg-type, return-value]
    assert encoder.version == "towers:x+1" and encoder.dims == DIMS and encoder.modalities == {"text", "image"}
