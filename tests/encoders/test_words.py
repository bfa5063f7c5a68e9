"""Encoders of words without a transformer: arithmetic, and what they are worth on real catalogues."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hybrid.contracts import Encoder
from hybrid.encoders import get_encoder
from hybrid.encoders.trained.tfidf import TfIdf, features
from hybrid.errors import EncoderError, ModelVersionError, UsageError
from hybrid.evaluation.formats import read_judgments
from hybrid.learning import tfidf
from hybrid.learning.trained import publish
from hybrid.sample import SamplePaths
from hybrid.searches import SearchRequest
from hybrid.services import Services
from hybrid.settings import Settings
from tests.conftest import index_file
from tests.measure.word_encoders import fitted, measure, texts_of
from tests.support.baseline import Baseline

TEXTS = ["red running shoe", "红色运动鞋", "blue garden hose", "red garden shoe", "蓝色运动鞋", "blue hose"]


def test_bow_counts_logarithmically_and_is_the_same_in_every_process() -> None:
    bow = get_encoder("bow:64", Settings())
    rows = bow.encode_texts(["shoes shoe", "SHOE", "mouse", "", "!?", "half \ud83d"])
    assert rows[0] == pytest.approx(rows[1]) and not rows[3:5].any()
    assert np.linalg.norm(rows[[0, 2]], axis=1) == pytest.approx(1)
    one, two = get_encoder("bow:4096", Settings()).encode_texts(["mouse", "mouse mouse shoe"])
    assert one @ two == pytest.approx((1 + np.log(2)) / np.hypot(1 + np.log(2), 1), abs=1e-6)
    code = (
        "from hybrid.encoders import get_encoder; from hybrid.settings import Settings;"
        "print(get_encoder('bow:64', Settings()).encode_texts(['red shoe']).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(bow.encode_texts(["red shoe"]).tolist())
    with pytest.raises(UsageError, match="bow takes a number"):
        get_encoder("bow:x", Settings())
    with pytest.raises(UsageError, match="no argument"):
        get_encoder("minilm-words:1", Settings())


def test_tfidf_survives_its_bytes_and_damage_is_told() -> None:
    assert {"=hose", " h", "ose", "ose "} <= set(features("hose"))
    model = TfIdf.fit(TEXTS, dims=3)
    data = model.to_bytes()
    rows = model(TEXTS)
    assert rows.shape == (6, 3) and np.linalg.norm(rows, axis=1) == pytest.approx(1)
    assert TfIdf.from_bytes(data)(TEXTS).tolist() == rows.tolist()
    assert rows[1] @ rows[4] > 0.5 > rows[1] @ rows[2]
    assert not model(["", "ξ"]).any()
    for damaged in (b"", data[:-200], b"x" + data[1:]):
        with pytest.raises(ValueError, match="no TF-IDF model"):
            TfIdf.from_bytes(damaged)
    with pytest.raises(UsageError, match="too few for 500 dimensions"):
        TfIdf.fit(TEXTS, dims=500)
    with pytest.raises(UsageError, match="share too few words"):
        TfIdf.fit(["a", "b"], dims=2)


@pytest.mark.slow
def test_chorus(shared: Path, baseline: Baseline) -> None:
    """The vectors alone, exactly compared. MiniLM, measured apart, has 0.577 (judged 0.425)."""
    bow, words = get_encoder("bow", Settings()), get_encoder("minilm-words", Settings())
    ids, texts = texts_of(shared / "chorus" / "products.ndjson.gz", bow)
    judged = read_judgments(shared / "chorus" / "judgments.csv")
    chosen: dict[str, Encoder] = {"bow": bow, "minilm-words": words, "tfidf": fitted(texts, 256)}
    ndcg = {name: measure(encoder, ids, texts, judged)["ndcg@10"] for name, encoder in chosen.items()}
    baseline.check("chorus, vectors alone", **ndcg)


@pytest.mark.es
def test_a_chinese_query_finds_its_product(
    services: Services, name: str, sample_files: SamplePaths, tmp_path: Path
) -> None:
    trained = tfidf.train(services, None, sample_files.products, 128)
    assert publish(services.models, trained, name) == name and 0 < trained.size < 20_000_000
    assert trained.held_out.against == "bow" and trained.held_out.examples == len(trained.scores) >= 20
    print(trained.held_out)
    with pytest.raises(ModelVersionError, match="already"):
        publish(services.models, trained, name)
    for number, spec in enumerate((f"tfidf:{name}", "bow:512")):
        settings = services.settings.model_copy(update={"text_encoder": spec})
        index = f"{name}-{number}"
        shop = Services(settings)
        assert index_file(shop, sample_files.products, index, tmp_path, signals=["text"]).complete
        asked = [("无线耳机", "headphones"), ("雨伞", "umbrellas")]
        if number == 0:
            asked.append(("運動鞋", "sneakers"))  # in other words than the catalogue's: n-grams share 鞋 at its end
        for query, kind in asked:
            found = shop.searcher.search(SearchRequest(index, query, system="text", size=5))
            assert [hit.source["category"] for hit in found.hits].count(kind) >= 3, (spec, query)
            assert not found.degraded
    unknown = shop.searcher.search(SearchRequest(f"{name}-0", "ξξξ"))
    assert not unknown.degraded and "unknown_words" in {note.kind for note in unknown.notes}
    # The very same model is no better than it is: its held-out scores are compared, not what it has learned.
    again = tfidf.train(shop, f"{name}-0", None, 128)
    assert (again.texts, again.held_out.against) == (trained.texts, name)
    # Which products are held out follows their order, which an index does not keep: one run differs by 0.025.
    assert again.held_out.before == pytest.approx(again.held_out.figure, abs=0.06)
    with pytest.raises(UsageError, match="--index NAME or --catalogue FILE"):
        tfidf.train(shop, None, None, 32)
    # Damaged numbers are one clear line; the search goes on by words.
    shop.models("tfidf").add(name, f"{name}-bad", {"report": {}}, b"damaged")
    with pytest.raises(EncoderError, match=f"^tfidf '{name}-bad' is damaged .*; train another, or apply the version b"):
        shop.encoder(f"tfidf:{name}-bad").encode_texts(["a"])
