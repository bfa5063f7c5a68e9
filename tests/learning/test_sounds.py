"""Encoders of sounds on real clips: what they find, through other formats and noise; training, and a real index."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid.contracts import Encoder
from hybrid.encoders import get_encoder
from hybrid.encoders.mfcc import MELS
from hybrid.encoders.trained.sounds import DIMS, WINDOW, WINDOWS, SoundModel, frames, windows
from hybrid.errors import (
    EncoderError,
    IndexConflictError,
    ModelConflictError,
    ModelMissingError,
    ModelVersionError,
    UsageError,
)
from hybrid.learning import models as life
from hybrid.learning.sounds import fit
from hybrid.learning.sounds import training as made
from hybrid.learning.sounds.fit import Sounds
from hybrid.learning.trained import publish
from hybrid.media import samples
from hybrid.searches import SearchRequest
from hybrid.services import Services
from hybrid.settings import Settings
from tests.conftest import index_file, make_services, write_rows
from tests.support import clips
from tests.support.baseline import Baseline
from tests.support.clips import Clip

LABELS = ("guitar", "bell", "siren", "drum", "rain", "organ")


@pytest.fixture(scope="session")
def heard(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Clip], list[np.ndarray]]:
    """Six clips of each of LABELS, in five kinds of files."""
    found = [clip for clip in clips.sounds(tmp_path_factory.mktemp("sounds"), seed=7) if clip.label in LABELS]
    return found, [samples(clip.path) for clip in found]


@pytest.fixture
def mfcc() -> Encoder:
    return get_encoder("mfcc", Settings())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training is short where only that it is done matters."""
    monkeypatch.setattr(fit, "STEPS", 30)
    monkeypatch.setattr(fit, "FOLDS", 2)


def prepared(mfcc: Encoder, found: list[Clip], heard: list[np.ndarray]) -> Sounds:
    mels = [mel for sound in heard if (mel := frames(sound)) is not None]
    assert len(mels) == len(heard)
    return Sounds(mels, mfcc.encode_sounds(heard), np.array([clip.label for clip in found]))


def test_the_nearest_other_sound_is_of_the_same_kind(
    mfcc: Encoder, heard: tuple[list[Clip], list[np.ndarray]], baseline: Baseline
) -> None:
    found, all_heard = heard
    labels = np.array([clip.label for clip in found])
    vectors = mfcc.encode_sounds(all_heard)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    rng = np.random.default_rng(0)
    noisy = mfcc.encode_sounds([sound + rng.normal(0, 0.01, len(sound)).astype(np.float32) for sound in all_heard])
    shares = {}
    for name, asking in (("as they are", vectors), ("in noise", noisy)):
        cosines = asking @ vectors.T
        np.fill_diagonal(cosines, -1)
        shares[name] = float((labels[cosines.argmax(1)] == labels).mean())
    baseline.check("mfcc, nearest sound", noise=1.5 / len(labels), **shares)  # by chance 5 / 35


def test_a_sound_is_found_through_other_formats(mfcc: Encoder, tmp_path: Path) -> None:
    kinds: dict[str, list[np.ndarray]] = {}
    for kind in clips.FORMATS:
        for number, words in enumerate(clips.SPOKEN):
            wave = clips.say(words, tmp_path / f"{kind}-{number}.wav")
            kinds.setdefault(kind, []).append(samples(clips.encoded(wave, kind)))
    plain = mfcc.encode_sounds(kinds["wav"])
    for kind, found in kinds.items():
        cosines = mfcc.encode_sounds(found) @ plain.T
        assert cosines.argmax(1).tolist() == list(range(len(clips.SPOKEN))), kind
        assert np.diag(cosines).min() > 0.9, kind


@pytest.mark.parametrize("sound", [
    np.zeros(0), np.zeros(16_000), np.full(16_000, np.nan), np.full(100, np.inf), np.full(8_000, 1e-7),
])  # fmt: skip
def test_nothing_to_hear_has_no_vector(mfcc: Encoder, sound: np.ndarray) -> None:
    rows = mfcc.encode_sounds([sound.astype(np.float32), np.sin(np.arange(16_000, dtype=np.float32))])
    assert not rows[0].any()
    assert np.linalg.norm(rows[1]) == pytest.approx(1, abs=1e-5)
    assert frames(sound.astype(np.float32)) is None


@pytest.mark.parametrize("seconds", [0.0001, 0.01, 0.3, 60])
def test_short_and_long_sounds(mfcc: Encoder, seconds: float) -> None:
    sound = np.sin(np.arange(1, int(16_000 * seconds) + 1, dtype=np.float32))
    assert np.linalg.norm(mfcc.encode_sounds([sound])[0]) == pytest.approx(1, abs=1e-5)
    mel = frames(sound)
    assert mel is not None
    shown = windows(mel)
    assert shown.shape[1:] == (WINDOW, MELS) and 1 <= len(shown) <= WINDOWS


# -- training --------------------------------------------------------------------------------------------------------


def test_names_by_a_voice_that_was_not_learned_from(mfcc: Encoder, tmp_path: Path, baseline: Baseline) -> None:
    """Five voices teach, the sixth asks: the network finds more of its words than MFCC statistics do."""
    said = [clip for clip in clips.speech(tmp_path) if clip.label in clips.SPOKEN[:6]]
    whole = prepared(mfcc, said, [samples(clip.path) for clip in said])
    new = np.array([clip.variant == "en-gb+f2" for clip in said])
    learned, asking = whole.of(np.flatnonzero(~new)), whole.of(np.flatnonzero(new))
    model = fit.fit(learned, seed=1, steps=100)
    found = {
        method: fit.figures(
            fit.scores(asking.vectors(model, method), asking.tags, learned.vectors(model, method), learned.tags)
        )
        for method in fit.METHODS
    }
    maps = {method: told["map"] for method, told in found.items()}
    # Of six words: one that is found differs by more than the noise of others.
    baseline.check("sounds, a new voice", noise=0.05, **maps, mfcc_top1=found["mfcc"]["top1"])  # by chance 0.17
    assert maps["cnn"] > maps["mfcc"]


def test_the_same_seed_gives_the_same_bytes(mfcc: Encoder, heard: tuple[list[Clip], list[np.ndarray]]) -> None:
    whole = prepared(mfcc, *heard)
    one, two, other = (fit.fit(whole, seed=seed, steps=5).to_bytes() for seed in (3, 3, 4))
    assert one == two != other
    back = SoundModel.from_bytes(one)
    assert back.to_bytes() == one and back.tags == tuple(sorted(LABELS))
    rows = back.encode(whole.mels[:3])
    assert rows.shape == (3, DIMS) and np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert sum(array.size for name, array in back.weights.items() if "running" not in name) < 200_000
    assert len(one) < 400_000


def test_damaged_bytes_are_refused(mfcc: Encoder, heard: tuple[list[Clip], list[np.ndarray]], tmp_path: Path) -> None:
    data = fit.fit(prepared(mfcc, *heard), steps=1).to_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 0xFF
    for broken in (b"", b"PK", b"nonsense" * 100, data[: len(data) // 2], data[:-30], bytes(flipped)):
        with pytest.raises(ValueError, match="no model of sounds"):
            SoundModel.from_bytes(broken)
    (tmp_path / "one.npz").write_bytes(data)
    with np.load(tmp_path / "one.npz") as file:
        arrays = dict(file)
    for name, array in (
        ("1.weight", np.zeros((3, 3), np.float32)),
        ("0.0.weight", np.full_like(arrays["0.0.weight"], np.nan)),
        ("about", np.frombuffer(b'{"format": 99}', np.uint8)),
        ("about", np.frombuffer(b"{}", np.uint8)),
    ):
        np.savez(tmp_path / "two.npz", **{**arrays, name: array})
        with pytest.raises(ValueError, match="no model of sounds"):
            SoundModel.from_bytes((tmp_path / "two.npz").read_bytes())


def test_figures_by_hand() -> None:
    candidates = np.eye(3, dtype=np.float32)[[0, 1, 2]]
    rows = fit.scores(
        np.array([[3, 2, 1], [1, 3, 2], [1, 2, 3.0]]), np.array(["a", "a", "c"]), candidates, np.array(["a", "b", "a"])
    )
    # The third asks for what nothing is of. Of two right ones, at 1 and 3; at 2 and 3.
    assert rows.tolist() == [[1, 0.5, pytest.approx((1 + 2 / 3) / 2)], [0, 0.5, pytest.approx((1 / 2 + 2 / 3) / 2)]]
    told = fit.figures(rows)
    assert (told["top1"], told["precision@5"], told["queries"]) == (0.5, 0.5, 2)


def test_too_few_sounds_are_refused(mfcc: Encoder, heard: tuple[list[Clip], list[np.ndarray]]) -> None:
    whole = prepared(mfcc, *heard)
    for rows in (np.arange(6), np.arange(9)):
        with pytest.raises(UsageError, match="too few to learn from: at least 2 tags with 4 sounds each"):
            fit.fit(whole.of(rows))
        with pytest.raises(UsageError, match="too few"):
            fit.validate(whole.of(rows))


# -- through an index ------------------------------------------------------------------------------------------------


@pytest.mark.es
@pytest.mark.usefixtures("quick")
def test_trained_published_and_searched(
    services: Services,
    engine: Any,
    name: str,
    heard: tuple[list[Clip], list[np.ndarray]],
    tmp_path: Path,
) -> None:
    found, _ = heard
    folder = found[0].path.parent
    asked = [clip for clip in found if clip.name.endswith(" 6")]
    rows: list[dict[str, Any]] = [
        {"id": clip.path.stem, "name": clip.name, "category": clip.label, "audio": clip.path.name}
        for clip in found
        if clip not in asked
    ]
    odd = [("twice", "bell", rows[0]["audio"]), ("lone", "gong", asked[0].path.name), ("gone", "bell", "none.wav"),
           ("text", "bell", "text.wav"), ("mute", "bell", "mute.wav")]  # fmt: skip
    rows += [{"id": id, "name": id, "category": tag, "audio": file} for id, tag, file in odd]
    rows += [{"id": "quiet", "name": "quiet", "category": "bell"}]
    (folder / "text.wav").write_bytes(b"no sound at all, but words. " * 20)
    silence = clips.say(" ", folder / "mute.wav")
    silence.write_bytes(silence.read_bytes()[:44] + bytes(40_000))
    catalogue = write_rows(folder / "catalogue.ndjson", rows)
    mapping = "id=id,title=name,category=category,audio=audio"
    index_file(services, catalogue, name, tmp_path, signals=["audio"], mapping=mapping)

    trained = made.train(services, name, seed=2)
    assert trained.held_out.against == "mfcc" and trained.held_out.examples == 30
    assert trained.better == (trained.results[trained.method]["map"] > trained.results["mfcc"]["map"])
    assert trained.skipped == {
        "audio_twice": 1, "rare_tag": 1, "audio_missing": 1, "audio_unsupported": 1, "audio_silent": 1,
    }  # fmt: skip
    assert trained.sounds == 30 and trained.tags == dict.fromkeys(sorted(LABELS), 5)
    assert set(trained.results) == set(fit.METHODS)
    page = made.page(trained)
    assert "mean average precision" in page and "5 left out" not in page and "audio_silent" in page
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]+"', "", page)

    version = publish(services.models, trained)
    with pytest.raises(ModelVersionError, match="there is a sounds version"):
        publish(services.models, trained, version)
    (entry,) = services.models("sounds").heads(name)
    assert (entry["version"], entry["method"]) == (version, trained.method)

    # Another process: nothing of the training is at hand.
    other = make_services(engine, audio_encoder=f"sounds:{version}")
    encoder = other.encoder(f"sounds:{version}")
    assert (encoder.version, encoder.modalities) == (f"sounds:{version}", frozenset({"audio"}))
    vectors = encoder.encode_sounds([samples(asked[0].path), np.zeros(16_000, np.float32)])
    assert vectors.shape == (2, encoder.dims) and np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-5)
    assert not vectors[1].any()
    assert encoder.encode_sounds([]).shape == (0, encoder.dims)
    with pytest.raises(UsageError, match="takes no text"):
        encoder.encode_texts(["word"])

    index_file(other, catalogue, f"{name}-cnn", tmp_path, signals=["audio"], mapping=mapping)
    assert other.searcher.profile(f"{name}-cnn").signals["audio"].encoder == f"sounds:{version}"
    right = 0
    for clip in asked:
        hits = other.searcher.search(SearchRequest(f"{name}-cnn", audio=clip.path.read_bytes(), size=3)).hits
        right += any(hit.source["category"] == clip.label for hit in hits if hit.id != "lone")
    print(f"{right} of {len(asked)} new sounds find their kind among the first three, by a network of 30 steps")
    assert right >= 4

    command = [sys.executable, "-m", "hybrid.cli", "models", "list", "sounds", "--index", name, "--json"]
    told = json.loads(subprocess.check_output(command, env={**os.environ, "HYBRID_ES_URL": engine.es_url}))
    assert told["active"] == {"sounds": None} and [one["version"] for one in told["versions"]] == [version]
    assert life.active(other, "sounds", f"{name}-cnn").version == version
    with pytest.raises(IndexConflictError, match=f"HYBRID_AUDIO_ENCODER=sounds:{version} hybrid reindex {name}"):
        life.apply(services, "sounds", name, version)
    with pytest.raises(ModelConflictError, match=f"is active for {name}-cnn"):
        life.remove(services, "sounds", name, version)
    with pytest.raises(ModelMissingError, match="no sounds version 'none'"):
        _ = services.encoder("sounds:none").dims
    about, data = services.models("sounds").get(version)
    kept = {key: about[key] for key in ("method", "report")}
    services.models("sounds").add(name, f"{version}-old", {**kept, "encoders": {"audio": {"spec": "mfcc",
                                  "version": "mfcc+0"}}}, data)  # fmt: skip
    services.models("sounds").add(name, f"{version}-bad", {**kept, "encoders": about["encoders"]}, data[:500])
    with pytest.raises(EncoderError, match="was trained on mfcc\\+0"):
        _ = services.encoder(f"sounds:{version}-old").dims
    with pytest.raises(EncoderError, match="is damaged"):
        _ = services.encoder(f"sounds:{version}-bad").dims


@pytest.mark.es
@pytest.mark.usefixtures("quick")
def test_pairs_of_a_file(
    services: Services, name: str, heard: tuple[list[Clip], list[np.ndarray]], tmp_path: Path
) -> None:
    found, _ = heard
    catalogue = write_rows(tmp_path / "plain.ndjson", [{"id": "1", "name": "guitar", "category": "music"}])
    index_file(services, catalogue, name, tmp_path, signals=["text"])
    pairs = tmp_path / "pairs.csv"
    with pairs.open("w", newline="") as file:
        csv.writer(file).writerows([("Audio", "Tag"), *((clip.path.name, clip.label) for clip in found), ("", "x")])
    trained = made.train(services, name, str(pairs), media=found[0].path.parent)
    assert trained.sounds == 36 and not trained.skipped
    with pytest.raises(UsageError, match=r"no sound can be used of 36 with a tag \(audio_missing\); files are sought"):
        made.train(services, name, str(pairs))
    with pytest.raises(UsageError, match="no field of .* holds sounds"):
        made.train(services, name)
    pairs.write_text("audio,label\na.wav,b\n")
    with pytest.raises(UsageError, match="needs columns audio and tag; it lacks tag"):
        made.train(services, name, str(pairs))
    pairs.write_text("audio,tag\n,\n")
    with pytest.raises(UsageError, match="has no sound with a tag"):
        made.train(services, name, str(pairs))
    with pytest.raises(UsageError, match="cannot be read as a CSV"):
        made.train(services, name, str(tmp_path / "none.csv"))
