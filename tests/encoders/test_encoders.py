"""Encoders: the registry, the toy exactly, and the real models against their originals."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hybrid.contracts import Encoder
from hybrid.encoders import get_encoder, known_encoders
from hybrid.encoders.base import RETRY_AFTER_S, LazyEncoder, file_digest, thread_count
from hybrid.encoders.benchmark import benchmark, benchmark_pictures
from hybrid.encoders.inference import graphs
from hybrid.encoders.minilm import batches
from hybrid.errors import EncoderError, UsageError
from hybrid.settings import Settings
from hybrid.testing import FakeClock

HEAVY = ("torch", "openvino", "transformers", "tokenizers", "sentence_transformers", "open_clip", "PIL.Image")


def lengths(rows: np.ndarray) -> np.ndarray:
    return np.linalg.norm(rows, axis=1)


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", left, right) / lengths(left) / lengths(right)


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


# -- registry -------------------------------------------------------------------------------------------------


def test_an_unknown_encoder_names_the_known_ones(settings: Settings) -> None:
    with pytest.raises(
        UsageError, match='no encoder "clipp"; known: minilm, bge-small-zh, efficientnet-lite0, mfcc, toy'
    ):
        get_encoder("clipp", settings)
    assert "open_clip:ARCHITECTURE[:WEIGHTS]" in known_encoders()


@pytest.mark.parametrize(
    "spec",
    [
        "toy:x",
        "toy:4",
        "toy:-64",
        "minilm:f16",
        "bge-small-zh:f16",
        "efficientnet-lite0:1",
        "sentence-transformers",
        "open_clip:",
        "timm:",
        "timm:hf-hub:",
    ],
)
def test_arguments_that_an_encoder_does_not_take(spec: str, settings: Settings) -> None:
    with pytest.raises(UsageError, match=f'encoder "{spec}"'):
        get_encoder(spec, settings)


def test_one_encoder_a_spec(settings: Settings, tmp_path: Path) -> None:
    assert get_encoder("toy:32", settings) is get_encoder(" toy:32 ", settings)
    assert get_encoder("toy:32", settings) is not get_encoder("toy", settings)
    assert get_encoder("toy", settings) is not get_encoder("toy", Settings(data_dir=tmp_path / "other"))


@pytest.mark.parametrize(
    "spec", ["minilm", "bge-small-zh", "efficientnet-lite0", "toy", "open_clip:ViT-B-32", "sentence-transformers:x"]
)
def test_naming_an_encoder_loads_nothing(spec: str) -> None:
    code = (
        "import sys; from hybrid.settings import Settings; from hybrid.encoders import get_encoder;"
        f"from hybrid.contracts import Encoder; e = get_encoder({spec!r}, Settings());"
        f"print([name for name in {HEAVY!r} if name in sys.modules], e.name, sorted(e.modalities))"
    )
    assert run_python(code).startswith(f"[] {spec} ['")


def test_encoders_keep_the_contract(settings: Settings) -> None:
    for spec in ("minilm", "minilm:f32", "bge-small-zh", "efficientnet-lite0", "toy"):
        encoder = get_encoder(spec, settings)
        assert isinstance(encoder, Encoder)
        assert encoder.name == spec
    assert get_encoder("minilm", settings).scripts == frozenset({"Latin"})
    assert get_encoder("minilm", settings).dims == 384
    assert get_encoder("efficientnet-lite0", settings).dims == 1280
    assert get_encoder("toy", settings).scripts is None


def test_the_wrong_kind_of_input_is_a_usage_error(settings: Settings) -> None:
    with pytest.raises(UsageError, match="takes no pictures"):
        get_encoder("minilm", settings).encode_images([Image.new("RGB", (4, 4))])
    with pytest.raises(UsageError, match="takes no text"):
        get_encoder("efficientnet-lite0", settings).encode_texts(["a"])


# -- toy ------------------------------------------------------------------------------------------------------


def test_toy_texts(settings: Settings) -> None:
    toy = get_encoder("toy", settings)
    rows = toy.encode_texts(["red shoe", "Red, SHOE!", "red boots", "garden hose", "", "!?"])
    assert rows.shape == (6, 64) and rows.dtype == np.float32
    assert lengths(rows) == pytest.approx(1.0)
    assert rows[0].tolist() == rows[1].tolist()
    assert rows[0] @ rows[2] > 0.3 > abs(rows[0] @ rows[3])
    assert rows[4].tolist() == [1.0] + [0.0] * 63 == rows[5].tolist()
    assert toy.encode_texts([]).shape == (0, 64)
    assert toy.encode_texts(["red shoe"]).tolist() == rows[:1].tolist()


def test_toy_is_the_same_in_every_process(settings: Settings) -> None:
    code = (
        "from hybrid.settings import Settings; from hybrid.encoders import get_encoder; import json;"
        "print(json.dumps(get_encoder('toy:16', Settings()).encode_texts(['Grüne Äpfel 苹果']).tolist()))"
    )
    assert json.loads(run_python(code)) == get_encoder("toy:16", settings).encode_texts(["Grüne Äpfel 苹果"]).tolist()


def test_toy_images(settings: Settings) -> None:
    toy = get_encoder("toy:48", settings)
    red, dark_red, blue = (Image.new("RGB", (30, 20), colour) for colour in ((250, 0, 0), (240, 9, 9), (0, 0, 250)))
    rows = toy.encode_images([red, dark_red, blue])
    assert rows.shape == (3, 48) and rows.dtype == np.float32
    assert rows[0] @ rows[1] == pytest.approx(1.0)
    assert rows[0] @ rows[2] == pytest.approx(0.0)
    assert toy.encode_images([]).shape == (0, 48)


def test_toy_is_fast(settings: Settings) -> None:
    toy = get_encoder("toy", settings)
    texts = [f"product number {row} in colour {row % 7}" for row in range(5000)]
    toy.encode_texts(texts)

    def once() -> float:
        start = time.process_time()
        toy.encode_texts(texts)
        return time.process_time() - start

    assert len(texts) / min(once() for _ in range(5)) > 20_000


# -- shared parts ---------------------------------------------------------------------------------------------


def test_batches_bucket_by_length_within_the_budget() -> None:
    tokens = [[7] * size for size in (3, 50, 4, 1, 50, 200, 3)]
    made = list(batches(tokens, 100, 3))
    assert [list(rows) for rows, _ in made] == [[5], [1, 4], [2, 0, 6], [3]]
    assert sorted(row for rows, _ in made for row in rows) == list(range(7))
    for rows, (ids, mask) in made:
        assert mask.sum(1).tolist() == [len(tokens[row]) for row in rows]
        assert ids.tolist() == (mask * 7).tolist()


def test_a_digest_is_remembered_until_the_file_changes(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    assert file_digest(file, settings) == "ba7816bf8f01"
    note = settings.data_dir / "models" / "digests.json"
    note.write_text(note.read_text().replace("ba7816bf8f01", "remembered!!"))
    assert file_digest(file, settings) == "remembered!!"
    file.write_bytes(b"abcd")
    assert file_digest(file, settings) == "88d4266fd4e6"
    note.write_text("damaged")
    assert file_digest(file, settings) == "88d4266fd4e6"
    with pytest.raises(EncoderError, match="cannot be read"):
        file_digest(tmp_path / "none", settings)


def test_a_data_dir_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert file_digest(tmp_path / "file", Settings(data_dir=tmp_path / "file" / "below")) == "ba7816bf8f01"


def test_threads(settings: Settings) -> None:
    assert thread_count(Settings(threads=3)) == 3
    assert thread_count(settings) >= 1


def test_loading_happens_once_and_failures_are_remembered(settings: Settings) -> None:
    calls: list[int] = []

    class Failing(LazyEncoder[int]):
        def _load(self) -> int:
            calls.append(1)
            if len(calls) < 2:
                raise EncoderError("the hub is away")
            time.sleep(0.05)
            return 42

    clock = FakeClock()
    encoder = Failing("failing", settings, clock)
    for _ in range(3):
        with pytest.raises(EncoderError, match="the hub is away"):
            _ = encoder.model
    assert len(calls) == 1
    clock.advance(RETRY_AFTER_S + 1)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(encoder.model)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [42] * 8 and len(calls) == 2


def test_benchmark_of_an_encoder_without_a_twin(settings: Settings) -> None:
    figures = benchmark("toy", ["red shoe", "blue hose"], settings, rounds=2)
    assert figures["texts_per_s"] > 0 and figures["query_ms_p50"] >= 0 and figures["texts"] == 2
    assert figures["stock_texts_per_s"] is figures["ratio"] is figures["cosine_min"] is None
    with pytest.raises(UsageError, match="no texts"):
        benchmark("toy", [], settings)


def test_benchmark_of_pictures_needs_two(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least two pictures"):
        benchmark_pictures("toy", [tmp_path / "one.jpg"], settings)


# -- real models ----------------------------------------------------------------------------------------------

TEXTS = [
    "",
    "a",
    "!!!",
    "USB-C",
    "wireless mouse",
    "café crème, 12 %",
    "half a pair: \ud83d",
    "x" * 10_000,
    "Tripp Lite 8-outlet surge protector. " * 200,
    *(" ".join(f"part {number} of {size}" for number in range(size)) for size in range(1, 42)),
]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings whose data_dir holds the text models, converted; the picture model comes with its first use.

    Converted in this process, which needs torch anyway: loading it takes longer than the conversion. The
    picture model goes through the child process, as in production.
    """
    from hybrid.encoders.inference import convert
    from hybrid.encoders.minilm import model_folder

    settings = Settings(data_dir=tmp_path_factory.mktemp("models"), threads=2)
    for spec, kind in (("minilm", "minilm"), ("minilm:f32", "minilm-f32")):
        folder = settings.data_dir / "models" / get_encoder(spec, settings).version
        folder.mkdir(parents=True)
        convert.convert(kind, model_folder(), folder)
        sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
        (folder / "sizes.json").write_text(json.dumps(sizes))
    return settings


@pytest.fixture(scope="session")
def stock_vectors() -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    from hybrid.encoders.minilm import model_folder

    texts = [text.encode("utf-8", "replace").decode() for text in TEXTS]
    return np.asarray(SentenceTransformer(str(model_folder()), device="cpu").encode(texts, show_progress_bar=False))


@pytest.mark.models
@pytest.mark.parametrize(("spec", "least"), [("minilm", 0.999), ("minilm:f32", 0.99999)])
def test_minilm_is_the_original(spec: str, least: float, models: Settings, stock_vectors: np.ndarray) -> None:
    encoder = get_encoder(spec, models)
    rows = encoder.encode_texts(TEXTS)
    assert rows.shape == (len(TEXTS), 384) and rows.dtype == np.float32
    assert lengths(rows) == pytest.approx(1.0, abs=1e-5)
    # Row by row against the original: also that bucketing by length keeps the order.
    assert cosines(rows, stock_vectors).min() >= least
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    assert cosines(rows, alone).min() > 0.9999
    assert cosines(encoder.encode_texts(TEXTS[::-1])[::-1], rows).min() > 0.9999
    assert encoder.encode_texts([]).shape == (0, 384)


@pytest.mark.models
def test_minilm_with_many_threads(models: Settings) -> None:
    encoder = get_encoder("minilm", models)
    expected = encoder.encode_texts(TEXTS)
    worst: list[float] = []

    def work(seed: int) -> None:
        order = np.random.default_rng(seed).permutation(len(TEXTS))[:20]
        rows = encoder.encode_texts([TEXTS[row] for row in order])
        one = encoder.encode_texts([TEXTS[order[0]]])
        worst.append(float(min(cosines(rows, expected[order]).min(), cosines(one, expected[order[:1]]).min())))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(worst) == 8 and min(worst) > 0.9999


@pytest.mark.models
def test_a_kept_model_needs_no_torch(models: Settings) -> None:
    get_encoder("minilm", models).encode_texts(["a"])
    get_encoder("efficientnet-lite0", models).encode_images([Image.new("RGB", (4, 4))])
    code = f"""
import sys
from pathlib import Path
from PIL import Image
from hybrid.settings import Settings
from hybrid.encoders import get_encoder
settings = Settings(data_dir=Path({str(models.data_dir)!r}))
text, image = get_encoder("minilm", settings), get_encoder("efficientnet-lite0", settings)
text.encode_texts(["one"]), text.encode_texts(["one", "two"]), image.encode_images([Image.new("RGB", (9, 9))])
import psutil
print([name for name in ("torch", "transformers", "openvino_telemetry") if sys.modules.get(name)])
print(psutil.Process().memory_info().rss < 1e9)
"""
    assert run_python(code) == "[]\nTrue"


@pytest.mark.models
def test_a_half_written_model_is_made_anew(models: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = get_encoder("minilm", models)
    expected = fresh.encode_texts(["wireless mouse"])
    kept = models.data_dir / "models" / fresh.version
    made: list[Path] = []

    def convert(kind: str, source: Path, folder: Path) -> None:
        made.append(folder)
        shutil.copytree(aside, folder, dirs_exist_ok=True)

    aside = models.data_dir / "aside"
    shutil.copytree(kept, aside)
    monkeypatch.setattr(graphs, "_convert", convert)

    def load() -> np.ndarray:
        tokens = np.array([[101, 9949, 8000, 102]], dtype=np.int64)  # [CLS] wireless mouse [SEP]
        return graphs.load_graph("minilm", Path(), fresh.version, models).run([tokens, np.ones_like(tokens)])

    assert cosines(load(), expected).min() > 0.9999 and made == []
    (kept / "model.bin").write_bytes(b"cut")  # on a copy: the first one is mapped, see below
    assert cosines(load(), expected).min() > 0.9999 and len(made) == 1
    (kept / "sizes.json").unlink()
    assert cosines(load(), expected).min() > 0.9999 and len(made) == 2
    xml = kept / "model.xml"
    xml.write_text("<" * xml.stat().st_size)  # of the right size, and still no model
    assert cosines(load(), expected).min() > 0.9999 and len(made) == 3


@pytest.mark.models
def test_two_processes_convert_once(models: Settings, tmp_path: Path) -> None:
    aside = models.data_dir / "models" / get_encoder("efficientnet-lite0", models).version
    get_encoder("efficientnet-lite0", models).encode_images([Image.new("RGB", (4, 4))])
    code = f"""
import shutil, time
from pathlib import Path
from hybrid.encoders.inference import graphs
from hybrid.settings import Settings
def convert(kind, source, folder):
    print("converted"); time.sleep(0.5); shutil.copytree({str(aside)!r}, folder, dirs_exist_ok=True)
graphs._convert = convert
graphs.load_graph("efficientnet-lite0", Path(), "v", Settings(data_dir=Path({str(tmp_path)!r})))
"""
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    output = "".join(process.communicate()[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert output.count("converted") == 1
    left = sorted(path.name for path in (tmp_path / "models").iterdir())
    assert left == ["v", "v.lock"]


@pytest.mark.models
def test_without_openvino_torch_does_it(
    models: Settings, stock_vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Any:
        raise ImportError("No module named 'openvino'")

    monkeypatch.setattr(graphs, "_core", broken)
    encoder = get_encoder("minilm:f32", Settings(data_dir=models.data_dir, threads=1))
    rows = encoder.encode_texts(TEXTS[:12])
    assert cosines(rows, stock_vectors[:12]).min() > 0.9999
    assert "runs in torch" in caplog.text


@pytest.mark.models
def test_a_data_dir_that_cannot_be_written_keeps_nothing(
    models: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good = get_encoder("efficientnet-lite0", models)
    picture = Image.effect_noise((64, 64), 90).convert("RGB")
    expected = good.encode_images([picture])
    kept = models.data_dir / "models" / good.version
    monkeypatch.setattr(
        graphs, "_convert", lambda kind, source, folder: shutil.copytree(kept, folder, dirs_exist_ok=True)
    )
    (tmp_path / "file").write_text("")
    other = get_encoder("efficientnet-lite0", Settings(data_dir=tmp_path / "file" / "below"))
    assert cosines(other.encode_images([picture, picture]), expected[[0, 0]]).min() > 0.9999
    assert "cannot be kept" in caplog.text


@pytest.mark.models
def test_a_failed_conversion_ends_in_torch_or_one_line(models: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(EncoderError, match="efficientnet-lite0 cannot be loaded from .*reinstall") as caught:
        graphs.load_graph("efficientnet-lite0", Path("none.pth"), "none", models)
    assert "\n" not in str(caught.value) and "conversion failed" in caplog.text


@pytest.mark.models
def test_images(models: Settings) -> None:
    encoder = get_encoder("efficientnet-lite0", models)
    rng = np.random.default_rng(1)
    shapes = [(30, 40), (400, 300), (224, 224), (1000, 100), (1, 1)] * 4
    pictures = [Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)) for shape in shapes]
    rows = encoder.encode_images(pictures)
    assert rows.shape == (20, 1280) and rows.dtype == np.float32
    assert lengths(rows) == pytest.approx(1.0, abs=1e-5)
    alone = np.concatenate([encoder.encode_images([picture]) for picture in pictures])
    assert cosines(rows, alone).min() > 0.9999
    assert encoder.encode_images([]).shape == (0, 1280)
    assert encoder.version.startswith("efficientnet-lite0@")


@pytest.mark.models
def test_photos_find_their_product(models: Settings, shared: Path) -> None:
    """A tenth of the grocery photos against the catalogue pictures; all of them give 0.389 and 0.709."""
    import csv

    from hybrid.media import open_image

    folder = shared / "grocery"
    products = [json.loads(line) for line in (folder / "products.ndjson").read_text("utf-8").splitlines()]
    with (folder / "val.csv").open() as file:
        photos = list(csv.DictReader(file))[::4]
    encoder = get_encoder("efficientnet-lite0", models)
    catalogue = encoder.encode_images([open_image(folder / row["image"]) for row in products])
    queries = encoder.encode_images([open_image(folder / row["image"]) for row in photos])
    order = np.argsort(-queries @ catalogue.T, axis=1)[:, :5]
    found = np.array([[str(products[at]["id"]) for at in row] for row in order])
    hit = found == np.array([[row["product_id"]] for row in photos])
    assert hit[:, 0].mean() > 0.3 and hit.any(axis=1).mean() > 0.6


@pytest.mark.models
@pytest.mark.parametrize("folder", ["grocery", "clothing"])
def test_pictures_have_the_neighbours_that_the_stock_loop_gives(folder: str, models: Settings, shared: Path) -> None:
    """Clothing's photos are oblong, grocery's square. `hybrid bench check` has the rate."""
    files = sorted((shared / folder).rglob("*.jpg"))
    chosen = files[:: len(files) // 64][:64]
    figures = benchmark_pictures("efficientnet-lite0", chosen, models, rounds=1)
    print(folder, figures)
    assert figures["pictures"] == 64 and figures["overlap_at_10"] >= 0.98 and figures["cosine_min"] > 0.999


# -- hubs -----------------------------------------------------------------------------------------------------


@pytest.mark.models
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("sentence-transformers:no-such/model-of-hybrid-tests", "hub cannot be reached"),
        ("sentence-transformers:./no/such/folder", "no folder"),
        ("open_clip:ViT-B-32:laion2b_s34b_b79k", "hub cannot be reached"),
        ("open_clip:ViT-B-32:no-such-tag", "neither a file nor weights of ViT-B-32"),
        ("open_clip:NoSuchNet", "no architecture NoSuchNet"),
        ("timm:efficientnet_lite0", "hub cannot be reached"),
        ("timm:efficientnet_lite0.none", "no weights none of efficientnet_lite0; there are: ra_in1k"),
        ("timm:no_such_net", "no architecture no_such_net"),
        ("timm:resnet18:./no/such/file", "no file ./no/such/file"),
        ("timm:resnet18s", "no architecture resnet18s"),
    ],
)
def test_a_model_that_cannot_be_had_is_one_line(
    spec: str, words: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import open_clip  # noqa: F401  # importing may say something, which is not the hub's
    import timm  # noqa: F401
    from huggingface_hub import constants
    from sentence_transformers import SentenceTransformer  # noqa: F401

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody answers there, wherever this runs
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(settings.data_dir))
    capfd.readouterr()
    encoder = get_encoder(spec, settings)
    with pytest.raises(EncoderError, match=words) as caught:
        encoder.encode_images([Image.new("RGB", (9, 9))]) if spec[:4] == "timm" else encoder.encode_texts(["a"])
    assert spec in str(caught.value) and "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.models
def test_sentence_transformers_from_a_folder(settings: Settings, stock_vectors: np.ndarray) -> None:
    from hybrid.encoders.minilm import model_folder

    encoder = get_encoder(f"sentence-transformers:{model_folder()}", settings)
    assert encoder.dims == 384 and encoder.version.endswith("@53aa51172d14+2")
    assert cosines(encoder.encode_texts(TEXTS[:9]), stock_vectors[:9]).min() > 0.9999
    assert encoder.encode_texts([]).shape == (0, 384)


@pytest.mark.models
def test_open_clip_from_a_file(settings: Settings, tmp_path: Path) -> None:
    import open_clip
    import torch

    config: dict[str, Any] = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    (tmp_path / "tiny-hybrid.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    torch.manual_seed(0)
    weights = tmp_path / "tiny.pt"
    torch.save(open_clip.create_model("tiny-hybrid").state_dict(), weights)
    encoder = get_encoder(f"open_clip:tiny-hybrid:{weights}", settings)
    assert encoder.dims == 32 and encoder.modalities == {"text", "image"}
    assert encoder.version.startswith("open_clip:tiny-hybrid@") and str(tmp_path) not in encoder.version
    texts = encoder.encode_texts(["a shoe", "", "half \ud83d", "long " * 500] * 20)
    pictures = encoder.encode_images([Image.new("RGB", (50, 40), (200, 0, 0)), Image.new("RGB", (9, 9))])
    assert texts.shape == (80, 32) and pictures.shape == (2, 32)
    assert texts.dtype == pictures.dtype == np.float32
    assert lengths(texts) == pytest.approx(1.0, abs=1e-5) and lengths(pictures) == pytest.approx(1.0, abs=1e-5)
    assert encoder.encode_images([]).shape == (0, 32)
    same: Sequence[str] = ["a shoe"]
    assert cosines(encoder.encode_texts(same), texts[:1]).min() > 0.9999
    with pytest.raises(EncoderError, match="nobody published weights"):
        get_encoder("open_clip:tiny-hybrid", settings).encode_texts(["a"])


@pytest.mark.models
def test_timm_from_a_file(settings: Settings, tmp_path: Path) -> None:
    """The same network and weights as EfficientNet-Lite0 would need a hub; one of timm's own shape is made here."""
    import timm
    import torch

    torch.manual_seed(0)
    whole = timm.create_model("mobilenetv3_small_050", num_classes=7)  # with a head, as a shop's own training leaves it
    weights = tmp_path / "shop.pt"
    torch.save(whole.state_dict(), weights)
    encoder = get_encoder(f"timm:mobilenetv3_small_050:{weights}", settings)
    assert encoder.modalities == {"image"} and encoder.dims == 1024
    assert encoder.version.startswith("timm:mobilenetv3_small_050@") and str(tmp_path) not in encoder.version
    pictures = [Image.new("RGB", (50, 40), (200, 0, 0)), Image.new("RGB", (9, 9)), Image.new("L", (300, 20), 99)]
    vectors = encoder.encode_images(pictures * 15)
    assert vectors.shape == (45, 1024) and vectors.dtype == np.float32
    assert lengths(vectors) == pytest.approx(1.0, abs=1e-5)
    assert cosines(encoder.encode_images(pictures[:1]), vectors[:1]).min() > 0.9999
    assert encoder.encode_images([]).shape == (0, 1024)
    from timm.data import create_transform, resolve_data_config

    whole.eval()
    given = create_transform(**resolve_data_config({}, model=whole))(pictures[0])[None]
    with torch.inference_mode():
        stock = whole.forward_head(whole.forward_features(given), pre_logits=True).numpy()
    assert cosines(stock / np.linalg.norm(stock), vectors[:1]).min() > 0.9999
    with pytest.raises(EncoderError, match="shop.pt holds no weights of resnet18"):
        get_encoder(f"timm:resnet18:{weights}", settings).encode_images(pictures)
    half = {key: value for key, value in whole.state_dict().items() if not key.startswith("blocks.5")}
    torch.save(half, weights.with_name("half.pt"))
    with pytest.raises(EncoderError, match="half.pt lacks [0-9]+ weights of mobilenetv3_small_050"):
        get_encoder(f"timm:mobilenetv3_small_050:{weights.with_name('half.pt')}", settings).encode_images(pictures)
    with pytest.raises(UsageError, match="takes no text"):
        encoder.encode_texts(["a"])


def test_two_threads_may_be_the_first_to_use_openvino() -> None:
    """A web process that warms up, and is asked at the same moment, waited for ever in every third start."""
    code = (
        "import threading\n"
        "from hybrid.encoders.inference.graphs import _core\n"
        "both = threading.Barrier(2)\n"
        "def use():\n"
        "    both.wait()\n"
        "    _core()\n"
        "    import openvino\n"
        "    openvino.Type.f32.to_dtype()\n"
        "threads = [threading.Thread(target=use) for _ in range(2)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
    )
    for _ in range(8):
        subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
