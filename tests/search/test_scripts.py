"""Texts in several scripts, in one index: encoded apart, asked apart, and kept in step as other signals are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hybrid.contracts import VectorSignal
from hybrid.errors import UsageError
from hybrid.operations import indexing
from hybrid.operations.attach import estimate, plan_attach, run_attach
from hybrid.operations.doctor import examine
from hybrid.operations.sync import run_sync
from hybrid.search.fusion import PLAIN, Scaling
from hybrid.search.query_vectors import QueryVectors
from hybrid.searches import SearchAnswer, SearchRequest
from hybrid.services import Services
from hybrid.settings import Settings
from hybrid.testing import MemoryRetrieval, ToyEncoder
from tests.conftest import NodeStatus, make_services, write_rows
from tests.support.raw import client_of

#: By id: an English title, a Chinese one.
TITLES = {
    "both": ("running shoes", "红色 运动鞋"),
    "english": ("running shorts", None),
    "chinese": (None, "蓝色 运动鞋 Nike"),
    "lamp": ("desk lamp", "台灯"),
    "ja": ("tea pot", "急須 ティーポット"),
}


def rows() -> list[dict[str, Any]]:
    named = {id: {"name": english, "name_zh": chinese} for id, (english, chinese) in TITLES.items()}
    return [{"id": id, **{key: value for key, value in names.items() if value}} for id, names in named.items()]


@pytest.fixture
def bilingual(engine: NodeStatus) -> Services:
    return make_services(engine, text_encoder="minilm-words", text_zh_encoder="toy:32")


def search(services: Services, index: str, q: str, **request: Any) -> SearchAnswer:
    return Services(services.settings).searcher.search(SearchRequest(index, q, **request))


@pytest.mark.es
def test_chinese_texts_have_vectors_of_their_own(bilingual: Services, name: str, tmp_path: Path) -> None:
    plan = indexing.plan_index(bilingual, write_rows(tmp_path / "c.ndjson", rows()), name, "title=name+name_zh")
    assert "texts in Han script, in 60% of the products, get vectors of their own, by toy:32" in plan.notes
    report = indexing.run_index(bilingual, plan)
    assert report.complete and report.signals == ["lexical", "text", "text_zh"]
    stored = bilingual.cluster.products.read(name, list(TITLES))
    held = {id: sorted(product.layer.states) for id, product in stored.items()}
    assert held == {
        "both": ["text", "text_zh"], "english": ["text"], "chinese": ["text_zh"], "lamp": ["text", "text_zh"],
        "ja": ["text"],  # kanji and kana are no Chinese
    }  # fmt: skip
    # A query is compared with the vectors of its own script, and that is no news.
    for q, signal in (("运动鞋", "text_zh"), ("nike 鞋", "text_zh"), ("running", "text"), ("2024", "text")):
        answer = search(bilingual, name, q)
        assert set(answer.weights) <= {"lexical", "code", signal} and not answer.degraded
        assert "untrained_script" not in {note.kind for note in answer.notes}
    assert ("untrained_script", "Katakana") in {(n.kind, n.script) for n in search(bilingual, name, "ポット").notes}
    # A kind stands for its signals: alone, and in weights by hand.
    alone = search(bilingual, name, "红色 运动鞋", system="text")
    assert alone.hits[0].id == "both" and alone.hits[0].signals["text_zh"].raw == pytest.approx(1.0, abs=1e-3)
    by_hand = search(bilingual, name, "红色 运动鞋", weights={"lexical": 1, "text": 3})
    assert by_hand.weights == pytest.approx({"lexical": 0.25, "text_zh": 0.75})
    # A product without Chinese is not punished: it is weighed by what it has.
    english = next(hit for hit in search(bilingual, name, "运动鞋 running").hits if hit.id == "english")
    assert english.signals["text_zh"].raw is None and english.signals["text_zh"].weight == 0.0
    assert sum(signal.weight for signal in english.signals.values()) == pytest.approx(1.0)
    # Like a product: by one of its texts, whichever it has.
    assert set(search(bilingual, name, "", like="both").weights) == {"text"}
    assert search(bilingual, name, "", like="chinese").hits[0].id == "both"
    with pytest.raises(UsageError, match="no system 'text_zh'"):
        search(bilingual, name, "鞋", system="text_zh")
    checks = {check.what: check for check in examine(bilingual, name).checks}
    assert checks["layer"].detail.endswith("lexical, text, text_zh")
    assert "toy:32" in checks["text_zh encoder"].detail


@pytest.mark.es
def test_a_shops_index_gets_them_in_place(bilingual: Services, name: str) -> None:
    client = client_of(bilingual)
    for row in rows():
        client.index(index=name, id=row["id"], document=row)
    client.indices.refresh(index=name)
    plan = plan_attach(bilingual, name, mapping="title=name+name_zh")
    assert set(plan.profile.signals) == {"text", "text_zh"}
    assert set(estimate(bilingual, plan).rates) == {"text", "text_zh"}
    assert run_attach(bilingual, plan).complete
    client.update(index=name, id="both", doc={"name_zh": "绿色 拖鞋"}, refresh=True)
    assert run_sync(bilingual, name).encoded == {"text_zh": 1}


@pytest.mark.es
def test_where_there_is_nothing_to_gain_nothing_is_added(engine: NodeStatus, name: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "c.ndjson", rows())
    english = write_rows(tmp_path / "e.ndjson", [{"id": "1", "name": "desk lamp"}, {"id": "2", "name": "tea pot"}])

    def planned(file: Path = path, **settings: str) -> tuple[list[str], str]:
        services = make_services(engine, **{"text_encoder": "minilm-words", "text_zh_encoder": "toy:32", **settings})
        plan = indexing.plan_index(services, file, name, None if file == english else "title=name+name_zh")
        return list(plan.profile.signals), " ".join(plan.notes)

    assert planned(english)[0] == ["text"]
    assert planned(text_zh_encoder="")[0] == ["text"]
    assert planned(text_encoder="toy:32")[0] == ["text"], "it reads every script itself"
    # What cannot be had is left out, and said: here there is no such folder.
    signals, notes = planned(text_zh_encoder=f"sentence-transformers:{tmp_path}/none")
    assert signals == ["text"] and "texts in Han script, in 60% of the products, get no vectors: model " in notes


def test_cosines_are_scaled_by_the_span_of_their_encoder() -> None:
    assert PLAIN.beside({"text": (0.2, 0.6)}).one("text", 0.4) == pytest.approx(0.5)
    learned = Scaling({"lexical": 2.0}, {"text": (0.0, 0.8)})
    assert learned.beside({"text": (0.2, 0.6), "text_zh": (0.3, 0.7)}).span == {
        "text": (0.0, 0.8),
        "text_zh": (0.3, 0.7),
    }

    class Narrow(ToyEncoder):
        span: tuple[float, float] | None = (0.25, 0.75)

    shop = MemoryRetrieval([{"id": "1", "title": "red mug"}], encoder=Narrow(32), scores={"text": {"1": 0.35}})
    from hybrid.search.searcher import Searcher

    searcher = Searcher(shop, shop.encoder, 10)
    hit = searcher.search(SearchRequest("shop", "mug", explain=True)).hits[0]
    assert (hit.signals["text"].raw, hit.signals["text"].scaled) == (0.35, pytest.approx(0.2))
    assert hit.score == sum(part.contribution for part in hit.signals.values())
    candidates = searcher.candidates(SearchRequest("shop", "mug"))
    assert candidates is not None and candidates.span == {"text": (0.25, 0.75)}
    # An index may name an encoder that this process does not know.
    profile = shop.profile("shop")
    unknown = type(profile)(**{**vars(profile), "signals": {"text": VectorSignal("nobody:x", "1", 8)}})
    services = Services(Settings(es_url=None))
    assert QueryVectors(services.encoder).spans(unknown) == {}
