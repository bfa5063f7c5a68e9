"""Learned weights: predicted, stored, applied, rolled back, broken; and what training makes of constructed queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid.contracts import FieldMap, IndexProfile, VectorSignal
from hybrid.elastic.stores.models import WEIGHTS
from hybrid.errors import ModelConflictError, ModelVersionError, UsageError, WeightsError
from hybrid.evaluation.judgments import Judgments
from hybrid.evaluation.measures import measures
from hybrid.learning.trained import publish
from hybrid.learning.weights import training, validation, versions
from hybrid.learning.weights.examples import Example, Table, calibrate
from hybrid.learning.weights.fit import Options
from hybrid.learning.weights.queries import synthetic_queries
from hybrid.learning.weights.selection import Fold, HeldOutFits, Step
from hybrid.operations import indexing
from hybrid.search import fusion
from hybrid.search.features import FEATURES, query_features
from hybrid.search.fusion import Scaling
from hybrid.search.prior import BY_QUERY
from hybrid.search.stating import by_hand
from hybrid.search.weights import FIXED_VERSION, PublishedWeights, Query, WeightsModel, fixed
from hybrid.searches import SearchRequest, by_kind
from hybrid.services import Services
from hybrid.testing import FakeClock
from hybrid.text.vocabulary import Vocabulary
from tests.conftest import write_rows
from tests.support.models import keep
from tests.support.waiting import until

SIGNALS = ("lexical", "text")
DOCUMENTS = [{"title": "red lamp", "brand": "lumen", "category": "lamp"}, {"title": "blue chair", "category": "chair"}]


def gate(**changes: Any) -> WeightsModel:
    """A gate of one hidden unit that gives text more where a query has several words."""
    w1 = np.zeros((1, 1, len(FEATURES)))
    w1[0, 0, FEATURES.index("several words")] = 1.0
    parameters = {"w1": w1, "b1": np.zeros((1, 1)), "w2": np.array([[[-1.0], [1.0]]])}
    bias = np.log([0.8, 0.2])
    model = WeightsModel("gate-1", "gate", SIGNALS, bias, parameters=parameters, vocabulary=Vocabulary.count(DOCUMENTS))
    return replace(model, **changes)


def attention() -> WeightsModel:
    query = np.zeros((1, 2, len(FEATURES)))
    query[0, 0, FEATURES.index("has digits")] = 1.0
    parameters = {"query": query, "keys": np.array([[[2.0, 0.0], [-2.0, 0.0]]]), "temperature": np.array([0.5])}
    return WeightsModel("attention-1", "attention", SIGNALS, np.zeros(2), parameters=parameters)


# ---- predicting --------------------------------------------------------------------------------------


def test_weights_on_paper() -> None:
    short = gate().predict(Query("lamp", "lamp"), SIGNALS).weights
    assert short == pytest.approx({"lexical": 0.8, "text": 0.2})
    push = np.tanh(1.0)
    powers = np.array([0.8 * np.exp(-push), 0.2 * np.exp(push)])
    long = gate().predict(Query("red lamp", "red lamp"), SIGNALS).weights
    assert list(long.values()) == pytest.approx(list(powers / powers.sum()))
    digits = attention().predict(Query("tn-2110", "tn2110 tn 2110"), SIGNALS).weights
    assert digits["lexical"] == pytest.approx(1 / (1 + np.exp(-8)))


def test_weights_of_the_signals_in_play_sum_to_one() -> None:
    assert gate().predict(Query("red lamp", "red lamp"), ["text"]).weights == {"text": 1.0}
    with_photo = gate().predict(Query("red", "red", True), ["lexical", "text", "image"]).weights  # image: never seen
    assert sum(with_photo.values()) == pytest.approx(1.0)
    assert with_photo["image"] == pytest.approx(1.5 / 2.5)


def test_a_signal_that_came_after_the_training_leaves_the_others_as_they_were_learned() -> None:
    known = gate().predict(Query("red lamp", "red lamp"), SIGNALS).weights
    by_words = gate().predict(Query("red lamp", "red lamp"), (*SIGNALS, "fused")).weights
    by_photo = gate().predict(Query("red lamp", "red lamp", has_photo=True), (*SIGNALS, "fused")).weights
    for weights in (by_words, by_photo):
        assert sum(weights.values()) == pytest.approx(1.0)
        assert weights["text"] / weights["lexical"] == pytest.approx(known["text"] / known["lexical"])
    assert by_words["fused"] == pytest.approx(0.12 / 1.12)
    assert by_photo["fused"] == pytest.approx(6.0 / 7.0)


def test_reasons_name_what_moved_the_weights() -> None:
    reasons = gate().predict(Query("red lamp", "red lamp"), SIGNALS, explain=True).reasons
    assert (reasons[0].feature, reasons[0].more) == ("several words", True)
    weights = gate().predict(Query("red lamp", "red lamp"), SIGNALS).weights
    before = gate().predict(Query("lamp", "lamp"), SIGNALS).weights  # the feature at its mean
    assert reasons[0].change == pytest.approx(weights[reasons[0].signal] - before[reasons[0].signal], abs=1e-4)
    assert gate().predict(Query("lamp", "lamp"), SIGNALS, explain=True).reasons == []


def test_a_kind_of_query_multiplies_weights() -> None:
    sentence = "how do i keep my tea warm"
    words, spoken = (fixed().predict(Query(text, text), SIGNALS, explain=True) for text in ("tea warmer", sentence))
    assert words.weights == pytest.approx({"lexical": 0.72, "text": 0.28}) and words.reasons == []
    factor = BY_QUERY["sentence"]["text"]
    whole = 0.72 + 0.28 * factor
    assert spoken.weights == pytest.approx({"lexical": 0.72 / whole, "text": 0.28 * factor / whole})
    (reason,) = spoken.reasons
    assert (reason.feature, reason.more, reason.signal) == ("sentence", True, "text")
    assert reason.change == pytest.approx(spoken.weights["text"] - 0.28, abs=1e-4)
    # A gate has its own say beside it, and weights that a person gives have none.
    model = gate(by_query={"sentence": {"text": 2.0}})
    push = np.exp(2 * np.tanh(1.0))
    assert model.predict(Query(sentence, sentence), SIGNALS).weights["text"] == pytest.approx(
        0.2 * 2 * push / (0.8 + 0.2 * 2 * push)
    )
    given = fixed({"lexical": 0.5, "text": 0.5}, "half")
    assert given.predict(Query(sentence, sentence), SIGNALS).weights == {"lexical": 0.5, "text": 0.5}


def test_a_strange_query_does_not_run_away() -> None:
    model = gate(scale=np.full(len(FEATURES), 1e-9))
    for text in ("", "x" * 900, "1" * 300, "灯" * 200, "🙂 🙂", "\u0000"):
        weights = model.predict(Query(text, text), SIGNALS).weights
        assert sum(weights.values()) == pytest.approx(1.0)


def test_features_tell_queries_apart() -> None:
    vocabulary = Vocabulary.count(DOCUMENTS)

    def of(text: str, terms: str, photo: bool = False) -> dict[str, float]:
        return dict(zip(FEATURES, query_features(text, terms, vocabulary, photo), strict=True))

    assert of("lamp", "lamp")["names a category"] == 1
    assert of("lumen lamp", "lumen lamp")["only category and brand"] == 1
    assert of("zzz", "zzz")["unknown words"] == 1
    assert of("TN-2110", "tn2110")["looks like a part number"] == 1
    assert of("无线耳机", "无线 耳机")["Chinese"] == 1
    assert of("how do i keep my tea warm", "keep tea warm")["words of speech"] > 0.5
    assert of("", "", True)["has a photo"] == 1
    assert Vocabulary.from_text(vocabulary.to_text()) == vocabulary


@pytest.mark.parametrize(
    ("weights", "alpha", "signals", "reason"),
    [
        ({"text": 1.0}, 0.5, SIGNALS, "not both"),
        (None, 1.5, SIGNALS, "from 0"),
        (None, float("nan"), SIGNALS, "from 0"),
        (None, 0.5, ("lexical", "text", "image"), "one kind of vector"),
        ({"smell": 1.0}, None, SIGNALS, "no signal 'smell'"),
        ({"text": -1.0}, None, SIGNALS, "from 0 up"),
        ({"text": float("inf")}, None, SIGNALS, "from 0 up"),
        ({"text": 0.0}, None, SIGNALS, "all weights are 0"),
    ],
)
def test_meaningless_mixes_are_refused(weights: Any, alpha: Any, signals: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        by_hand(weights, alpha, signals)


def test_alpha_is_the_share_of_the_vectors() -> None:
    assert by_hand(None, 0.3, ("lexical", "image")) == {"lexical": 0.7, "image": 0.3}
    assert by_hand(None, 0.3, ("lexical",)) == {"lexical": 1.0}  # a query that no vector understands
    assert by_hand(None, None, SIGNALS) is None


# ---- storing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [gate(skip_below=0.1, scaling=Scaling({"lexical": 3.0}, {"text": (0.1, 0.9)})), attention(), fixed()]
    + [
        WeightsModel(
            "kinds-1", "kinds", SIGNALS, np.zeros(2), by_query={"code": {"text": 0.5}, "sentence": {"text": 2.0}}
        )
    ],
)
def test_a_model_survives_storing(model: WeightsModel) -> None:
    again = WeightsModel.from_json(model.to_json())
    for text in ("lamp", "red lamp", "tn-2110", "how do i keep my tea warm"):
        assert again.predict(Query(text, text), SIGNALS).weights == pytest.approx(
            model.predict(Query(text, text), SIGNALS).weights
        )
    assert (again.skip_below, again.scaling) == (model.skip_below, model.scaling)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 99}, "another release"),
        ({"features": ["other"]}, "another release"),
        ({"bias": [1.0]}, "do not fit"),
        ({"bias": [float("nan"), 1.0]}, "numbers that are none"),
        ({"kind": "oracle"}, "unknown kind"),
        ({"parameters": {}}, "broken"),
        ({"parameters": {"w1": [[[1.0]]], "b1": [[0.0]], "w2": [[[1.0], [1.0]]]}}, "broken"),
        ({"vocabulary": "zzz"}, "broken"),
        ({"scaling": {"half": {"lexical": 0}}}, "broken"),
        ({"skip_below": 2}, "do not fit"),
        ({"mean": None}, "broken"),
        ({"by_query": {"sentence": {"text": 0.0}}}, "factors"),
        ({"by_query": {"riddle": {"text": 2.0}}}, "factors"),
        ({"by_query": None}, "broken"),
    ],
)
def test_a_broken_model_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(WeightsError, match=reason):
        WeightsModel.from_json({**gate().to_json(), **change})


# ---- learning ----------------------------------------------------------------------------------------


def constructed(count: int) -> list[Example]:
    """Queries of one word are answered by words, those of two by vectors; neither mixture suits both."""
    rng = np.random.default_rng(0)
    examples = []
    for number in range(count):
        several = number % 2
        ids = [f"d{n:02}" for n in range(40)]
        good = set(rng.choice(ids, 5, replace=False).tolist())
        helpful = {id: float(rng.uniform(0.6, 0.9) if id in good else rng.uniform(0.0, 0.5)) for id in ids}
        noise = {id: float(rng.uniform(0.0, 0.9)) for id in ids}
        words = {id: 10 * value for id, value in (noise if several else helpful).items()}
        raw = {"lexical": words, "text": helpful if several else noise}
        text = f"red lamp{number}" if several else f"lamp{number}"
        examples.append(Example(text, Query(text, text), raw, dict.fromkeys(good, 3.0)))
    return examples


def test_a_gate_learns_what_one_mixture_cannot() -> None:
    material = validation.prepare(constructed(40), Vocabulary.count(DOCUMENTS))
    held_out = validation.cross_validate(["global", "gate", "attention"], material, Options(), 4, 1, 0, lambda *a: None)
    means = {kind: validation.score(turns[0], material, material.judged).mean() for kind, turns in held_out.items()}
    assert means["gate"] > means["global"] + 0.05
    assert means["attention"] > means["global"] + 0.05
    assert means["gate"] > 0.95


@pytest.mark.parametrize(
    ("ndcg", "least", "said"),
    [
        (0.7, 0.01, ""),
        (0.5, 0.01, "it is worse than BM25 alone, nDCG@10 0.5000 against 0.6000"),  # what is active is worse still
        (0.7, 0.0, "gate is no better than global-1 (+0.0250 nDCG@10, 99 % sure is +0.0000 or more)"),
    ],
)
def test_what_training_does_not_make_active(ndcg: float, least: float, said: str) -> None:
    assert training.doubt(ndcg, 0.6, Step("gate", "global-1", 0.025, least, 0.99)) == said


def test_one_mixture_leaves_the_words_alone_where_vectors_do_harm() -> None:
    rng = np.random.default_rng(1)
    harmful = []
    for example in constructed(24):
        good = set(example.ratings)
        words = {id: 9.0 if id in good else float(rng.uniform(0, 3)) for id in example.raw["text"]}
        harmful.append(replace(example, raw={"lexical": words, "text": {id: -score for id, score in words.items()}}))
    material = validation.prepare(harmful, Vocabulary.count(DOCUMENTS))
    model = validation.fit("global", material, material.judged, Options())
    assert validation.predict(model, material, material.judged).tolist() == pytest.approx([1.0] * 24)


def test_a_mixture_is_scored_by_the_shares_of_its_model() -> None:
    """Of two signals of words, one puts the good products first and the other last."""
    examples = []
    for example in constructed(24):
        words = {id: 2.0 if id in example.ratings else 1.0 for id in example.raw["text"]}
        titles = {id: 3.0 - score for id, score in words.items()}
        bounds = {"lexical": 4.0, "lexical.title": 4.0}
        examples.append(replace(example, raw={"lexical": words, "lexical.title": titles}, bounds=bounds))
    material = validation.prepare(examples, Vocabulary.count(DOCUMENTS))
    bias = np.zeros(1)
    for shares, wanted in (({"lexical": 1.0}, True), ({"lexical.title": 1.0}, False)):
        model = material.basis.model("global", bias, shares=shares)
        found = HeldOutFits([model], [])
        folds = [Fold(0, material.judged, material.judged)]
        (turn,) = validation.turn_mixtures(found, folds, material, material.judged)
        assert (validation.score(turn, material, material.judged) == 1.0).all() == wanted


def test_training_twice_gives_the_same() -> None:
    material = validation.prepare(constructed(12), Vocabulary.count(DOCUMENTS))
    first, second = (validation.fit("gate", material, material.judged, Options(), 3) for _ in range(2))
    assert first.to_json() == second.to_json()


def test_the_arithmetic_of_learning_is_that_of_search() -> None:
    for example in constructed(6):
        raw = {name: dict(scores) for name, scores in example.raw.items()}
        raw["text"]["d03"] = None  # type: ignore[assignment]
        example = replace(example, raw=raw)
        scaling = calibrate([example] * 20)
        table = Table(example, scaling)
        for share in (0.1, 0.5, 0.8):
            ranking = fusion.weighted(raw, {"lexical": 1 - share, "text": share}, scaling)
            found = measures({"q": ranking.ids[:10]}, {"q": dict(example.ratings)})["ndcg@10"]
            assert table.ndcg(np.array([[1 - share, share]]))[0] == pytest.approx(found, abs=1e-4)


def test_made_up_queries_are_what_the_catalogue_holds() -> None:
    fields = FieldMap(
        roles={"id": ("id",), "title": ("name", "name_zh"), "brand": ("brand",), "category": ("kind",),
               "color": ("color",), "code": ("model",), "description": ("text",)}
    )  # fmt: skip
    profile = IndexProfile("shop", fields, {"text": VectorSignal("toy:4", "1", 4)}, "en", "2")
    sampled = [
        (f"p{n}", {"name": f"Lumen Model{n} reading lamp", "name_zh": f"流明牌台灯{n}号", "brand": "Lumen",
                   "kind": "lamps", "color": ["red", "blue"][n % 2], "model": f"LM-{1000 + n}",
                   "text": "A lamp that stands firm on any desk and does not flicker"})
        for n in range(30)
    ]  # fmt: skip
    queries = synthetic_queries(sampled, profile, 60, seed=1)
    assert {query.kind for query in queries} == {"title", "typo", "part number", "attributes", "Chinese", "sentence"}
    assert queries == synthetic_queries(sampled, profile, 60, seed=1)
    ids = {id for id, _ in sampled}
    for query in queries:
        assert query.text.strip()
        assert set(query.ratings) <= ids
        assert max(query.ratings.values()) == 3.0
    reds = next(q for q in queries if q.kind == "attributes" and "red" in q.text)
    assert {id for id, rating in reds.ratings.items() if rating == 3.0} == {f"p{n}" for n in range(0, 30, 2)}


def test_spoken_queries_say_a_product_in_words_that_it_has_not() -> None:
    fields = FieldMap(roles={"id": ("id",), "title": ("name",)})
    profile = IndexProfile("shop", fields, {"text": VectorSignal("toy:4", "1", 4)}, "en", "2")
    pairs = [("sofa", "couch"), ("crimson", "scarlet"), ("bulb", "lamp"), ("kettle", "boiler"), ("rug", "carpet")]
    words = [word for pair in pairs for word in pair] + [f"filler{chr(97 + n) * 3}" for n in range(20)]
    meaning = np.eye(len(words))
    for one, other in pairs:
        meaning[words.index(other)] = meaning[words.index(one)]
    titles = [f"{pairs[n % 5][n // 5 % 2]} {pairs[(n + 1) % 5][0]} {words[10 + n % 20]}" for n in range(60)]
    sampled = [(f"p{n:02}", {"name": title}) for n, title in enumerate(titles)]

    def encode(asked: Sequence[str]) -> np.ndarray:
        return meaning[[words.index(word) for word in asked]]

    spoken = [query for query in synthetic_queries(sampled, profile, 60, 1, encode) if query.kind == "spoken"]
    assert len(spoken) >= 5
    other = dict(pairs) | {second: first for first, second in pairs}
    for query in spoken:
        said = [word for word in query.text.split() if word in other]
        assert len(said) == 2
        for id in query.ratings:
            title = dict(sampled)[id]["name"].split()
            assert all(other[word] in title for word in said)
    assert not any(query.kind == "spoken" for query in synthetic_queries(sampled, profile, 60, 1))


# ---- versions on the real engine ---------------------------------------------------------------------

ROWS = [
    {"id": f"p{n}", "name": f"{['red', 'blue', 'green'][n % 3]} {['lamp', 'mug', 'chair'][n // 3 % 3]} {n}",
     "description": f"thing number {n} to put in a room", "brand": ["Aa", "Bb"][n % 2]}
    for n in range(60)
]  # fmt: skip


@pytest.fixture
def shop(services: Services, name: str, tmp_path: Path) -> tuple[Services, str]:
    plan = indexing.plan_index(services, write_rows(tmp_path / "c.ndjson", ROWS), name)
    indexing.run_index(services, plan, rejects_path=tmp_path / "rejects")
    return services, name


def fresh(services: Services) -> Services:
    """As another web process: nothing remembered."""
    return Services(services.settings)


@pytest.mark.es
def test_apply_rollback_and_a_named_version(shop: tuple[Services, str], monkeypatch: pytest.MonkeyPatch) -> None:
    services, name = shop
    store, other = services.models("weights"), fresh(services)
    request = SearchRequest(index=name, q="red lamp")
    assert other.searcher.search(request).weights_version == FIXED_VERSION
    for number in (1, 2):
        model = gate(version=f"gate-{number}", bias=np.log([0.8, 0.2 * number]))
        keep(services, name, model.version, "gate", model.to_json(), {"judged": 5})
    assert [entry["version"] for entry in store.heads(name)] == ["gate-2", "gate-1"]
    assert store.active(name) is None
    store.activate(name, "gate-1")
    store.activate(name, "gate-2")
    until(lambda: other.searcher.search(request).weights_version == "gate-2")  # no restart
    answer = other.searcher.search(request)
    assert answer.system == "gate"
    assert answer.reasons[0].feature == "several words"
    for hit in answer.hits:
        assert hit.score == pytest.approx(sum(part.contribution for part in hit.signals.values()))
    named = other.searcher.search(replace(request, weights_version="gate-1"))
    assert named.weights_version == "gate-1"
    assert named.weights["text"] < answer.weights["text"]
    assert other.searcher.search(replace(request, system="gate")).weights_version == "gate-2"
    assert store.rollback(name) == "gate-1"
    assert fresh(services).searcher.search(request).weights_version == "gate-1"
    assert store.rollback(name) is None
    assert fresh(services).searcher.search(request).weights_version == FIXED_VERSION
    with pytest.raises(ModelConflictError, match="nothing to roll back"):
        store.rollback(name)
    with pytest.raises(ModelVersionError, match="already"):
        keep(services, name, "gate-1", "gate", model.to_json(), {})
    for wrong in ({"weights_version": "gate-9"}, {"system": "attention"}):
        with pytest.raises(UsageError, match="weights"):
            other.searcher.search(replace(request, **wrong))


@pytest.mark.es
def test_applying_what_is_active_changes_nothing(shop: tuple[Services, str]) -> None:
    services, name = shop
    store = services.models(WEIGHTS)
    versions.apply(store, name, FIXED_VERSION)  # active by itself: no step that could be rolled back
    assert versions.active_version(store, name).before is None
    for number in (1, 2):
        keep(services, name, f"gate-{number}", "gate", gate(version=f"gate-{number}").to_json(), {})
    for version in ("gate-1", "gate-2", "gate-2"):
        versions.apply(store, name, version, instead_of=versions.active_version(store, name).active)
    assert versions.rollback(store, name) == "gate-1"
    for _ in range(2):
        versions.apply(store, name, FIXED_VERSION)
    assert versions.rollback(store, name) == "gate-1"
    assert versions.rollback(store, name) == FIXED_VERSION
    versions.apply(store, name, FIXED_VERSION)
    with pytest.raises(ModelConflictError, match="nothing to roll back"):
        versions.rollback(store, name)


@pytest.mark.es
def test_a_broken_version_never_takes_search_down(shop: tuple[Services, str]) -> None:
    services, name = shop
    good, broken = gate(version="gate-1").to_json(), gate(version="gate-2").to_json() | {"bias": ["x"]}
    keep(services, name, "gate-1", "gate", good, {})
    keep(services, name, "gate-2", "gate", broken, {})
    services.models("weights").activate(name, "gate-2")
    request = SearchRequest(index=name, q="red lamp")
    answer = fresh(services).searcher.search(request)
    assert (answer.weights_version, [item.part for item in answer.degraded]) == (FIXED_VERSION, ["weights"])
    assert answer.hits
    dims = gate(version="gate-3", projection=np.ones((4, 7))).to_json()  # trained on another encoder
    keep(services, name, "gate-3", "gate", dims, {})
    services.models("weights").activate(name, "gate-3")
    answer = fresh(services).searcher.search(request)
    assert "query vectors of 7 dimensions" in answer.degraded[0].reason
    assert answer.hits


@pytest.mark.es
def test_the_last_good_version_outlives_an_outage(shop: tuple[Services, str]) -> None:
    """The store's cluster goes away between two looks."""

    class Store:
        def __init__(self, now: Services) -> None:
            self.now = now

        def __getattr__(self, name: str) -> Any:
            return getattr(self.now.models("weights"), name)

    services, name = shop
    keep(services, name, "gate-1", "gate", gate(version="gate-1").to_json(), {})
    services.models("weights").activate(name, "gate-1")
    clock, store = FakeClock(), Store(services)
    published = PublishedWeights(store, clock)
    assert published.active(name)[0].version == "gate-1"
    store.now = fresh(replace_url(services))
    assert published.active(name)[1] == ""  # it is not looked at again so soon
    clock.advance(PublishedWeights.TTL_S)
    model, problem = published.active(name)
    assert model.version == "gate-1"
    assert "Elasticsearch does not answer" in problem


def replace_url(services: Services) -> Services:
    return Services(services.settings.model_copy(update={"es_url": "http://127.0.0.1:9"}))


@pytest.mark.es
def test_a_signal_that_counts_too_little_is_not_searched(shop: tuple[Services, str]) -> None:
    services, name = shop
    model = gate(version="gate-1", skip_below=0.5)
    keep(services, name, "gate-1", "gate", model.to_json(), {})
    services.models("weights").activate(name, "gate-1")
    answer = fresh(services).searcher.search(SearchRequest(index=name, q="lamp"))
    assert answer.weights == pytest.approx({"lexical": 1.0})
    assert set(by_kind(answer.hits[0].signals)) == {"lexical"}
    assert [note.signal for note in answer.notes if note.kind == "not_searched"] == ["text"]
    # No word is known: what would have been left out is searched after all.
    unknown = fresh(services).searcher.search(SearchRequest(index=name, q="zzyzx"))
    assert unknown.hits and set(by_kind(unknown.hits[0].signals)) == {"lexical", "text"}
    assert "not_searched" not in {note.kind for note in unknown.notes}


@pytest.mark.es
def test_training_publishes_what_is_better_and_keeps_what_is_not(shop: tuple[Services, str]) -> None:
    services, name = shop
    queries = {
        f"{color} {kind}": color + " " + kind for color in ("red", "blue", "green") for kind in ("lamp", "mug", "chair")
    }
    ratings = {
        query: {row["id"]: 3.0 for row in ROWS if row["name"].startswith(start)} for query, start in queries.items()
    }
    ratings |= {
        word: {row["id"]: 2.0 for row in ROWS if word in row["name"].split()} for word in ("red", "lamp", "mug")
    }
    judged = Judgments(ratings)
    result = training.train(services, name, judged, "gate", folds=3, repeats=1, synthetic=30)
    assert result.judged == 12
    assert {row.system for row in result.rows} == {"bm25", "active", "global", "kinds", "gate"}
    means = {row.system: row.ndcg for row in result.rows}
    sure = pytest.approx(1 - 0.02 / 3)
    assert [(step.kind, step.sure) for step in result.steps] == [("global", sure), ("kinds", sure), ("gate", sure)]
    assert result.steps[0].against == FIXED_VERSION
    assert result.steps[0].gain == pytest.approx(means["global"] - means["active"], abs=1e-3)
    assert result.better == any(step.better for step in result.steps) == (result.doubt == "")
    assert result.reason.startswith("global is ") and ("no better than" in result.reason) == (not result.better)
    version = publish(services.models, result)
    assert services.models(WEIGHTS).head(version, name)["report"]["steps"][2]["kind"] == "gate"
    versions.apply(services.models(WEIGHTS), name, version)
    assert version == f"{result.chosen}-1"
    answer = fresh(services).searcher.search(SearchRequest(index=name, q="red lamp"))
    assert (answer.weights_version, answer.degraded) == (version, [])
    again = training.train(services, name, judged, "global", folds=3, repeats=1, synthetic=30)
    assert again.active == again.held_out.against == version
    # What is active is measured by its own held-out scores, not on queries that it has learned from.
    assert {row.system: row.ndcg for row in again.rows}["active"] == pytest.approx(means[result.chosen], abs=1e-3)
    with pytest.raises(UsageError, match="too few"):
        training.train(services, name, Judgments({"red": ratings["red"]}), "gate", synthetic=0)
    with pytest.raises(UsageError, match="kinds weights learn from judged queries alone"):
        training.train(services, name, None)
    free = training.train(services, name, None, "gate", synthetic=40)
    assert (free.judged, free.rows[-1].system) == (0, "gate")
