"""Products without a vector: what stands in, and that they are found and ranked on the real engine."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from hybrid.elastic.retrieval import lookalikes
from hybrid.evaluation.formats import read_judgments
from hybrid.search import imputation
from hybrid.searches import SearchRequest, Words
from hybrid.services import Services
from tests.conftest import Sample, index_file, write_rows

WORDS = {
    **{f"red{n}": frozenset({"red", "dress", f"n{n}"}) for n in range(8)},
    **{f"blue{n}": frozenset({"blue", "dress", f"n{n}"}) for n in range(8)},
    "new": frozenset({"red", "dress"}),
    "mute": frozenset(),
}
SCORES = {**{f"red{n}": 0.9 for n in range(8)}, **{f"blue{n}": 0.1 for n in range(8)}, "new": None, "mute": None}


def test_a_product_scores_as_those_most_like_it() -> None:
    donors = imputation.donors(SCORES)
    found = imputation.estimate(SCORES, donors, WORDS, ["new", "mute", "unheard of"])
    assert set(found) == {"new"}  # of the others no word is known
    assert 0.8 < found["new"] <= 0.9
    other = imputation.estimate(SCORES, donors, {**WORDS, "new": frozenset({"blue", "dress"})}, ["new"])
    assert 0.1 <= other["new"] < 0.2


def test_a_product_like_no_other_comes_out_low() -> None:
    scores = {**{f"p{n}": 0.9 - n / 100 for n in range(60)}, "odd": None}
    words = {**{id: frozenset({"cup", id}) for id in scores}, "odd": frozenset({"saw"})}
    found = imputation.estimate(scores, imputation.donors(scores), words, ["odd"])
    assert found["odd"] < np.median([score for score in scores.values() if score is not None])


def test_the_same_scores_stand_in_as_they_are() -> None:
    flat = {id: None if score is None else 0.4 for id, score in SCORES.items()}
    assert imputation.estimate(flat, imputation.donors(flat), WORDS, ["new"])["new"] == pytest.approx(0.4)


def test_donors_are_the_best_and_some_of_all_others() -> None:
    scores: dict[str, float | None] = {f"p{n:04}": n / 1000 for n in range(1000)} | {"none": None}
    donors = imputation.donors(scores)
    assert len(donors) == len(set(donors)) == imputation.DONORS
    assert donors[:3] == ["p0999", "p0998", "p0997"] and donors[-1] == "p0000"
    assert imputation.donors({"a": 0.5, "b": None}) == []  # too few to say anything


def test_telling_words_are_those_of_the_best() -> None:
    assert imputation.telling_words(imputation.donors(SCORES), WORDS)[0] == "red"


@pytest.mark.es
@pytest.mark.es_both
def test_a_product_without_a_picture_is_found_by_photo(services: Services, name: str, tmp_path: Path) -> None:
    from PIL import Image

    rows = []
    for n in range(40):
        color = ("red", "blue")[n % 2]
        picture = Image.new("RGB", (32, 32), (200 + n, 0, 0) if color == "red" else (0, 0, 200 + n))
        picture.save(tmp_path / f"{n}.png")
        rows.append({"id": f"p{n}", "name": f"{color} mug number {n}", "image": f"{n}.png"})
    rows += [
        {"id": "bare-red", "name": "red mug"},
        {"id": "bare-blue", "name": "blue mug"},
        {"id": "odd", "name": "saw"},
    ]
    index_file(services, write_rows(tmp_path / "c.ndjson", rows), name, tmp_path, signals=["text", "image"])
    photo = (tmp_path / "0.png").read_bytes()
    answer = services.searcher.search(SearchRequest(index=name, image=photo, size=50))
    scores = {hit.id: hit.score for hit in answer.hits}
    assert not answer.degraded
    assert scores["bare-red"] > scores["bare-blue"]
    bare = next(hit for hit in answer.hits if hit.id == "bare-red").signals["image"]
    assert bare.raw is None and bare.weight == 1.0 and bare.contribution == pytest.approx(scores["bare-red"])
    # The same set on every page, and counted.
    pages = [
        [hit.id for hit in services.searcher.search(SearchRequest(index=name, image=photo, page=page, size=7)).hits]
        for page in range(1, 8)
    ]
    assert [id for page in pages for id in page] == [hit.id for hit in answer.hits]
    assert answer.total == len(answer.hits)
    # Beside words the words still count, and a filter holds for what stands in too.
    both = services.searcher.search(SearchRequest(index=name, q="blue", image=photo, size=50))
    assert {"bare-red", "bare-blue"} <= {hit.id for hit in both.hits}


def test_words_that_were_taken_away_are_none() -> None:
    """A partial update leaves null where a text was; it made searches fail while a shop changed its products."""
    hit = {"_source": {"hybrid": {"terms": {"title": None, "brand": "acme", "description": None}}}}
    assert lookalikes.naming_words(hit) == {"acme"}
    assert (
        lookalikes.naming_words({"_source": {"hybrid": {"terms": {"title": None, "description": None}}}}) == frozenset()
    )


def test_one_vector_signal_alone_has_true_cosines(sample: Sample) -> None:
    services, name = sample.services, sample.name
    vector = services.encoder("minilm").encode_texts(["red striped dress"])[0]
    profile = services.retrieval.profile(name)
    alone = services.retrieval.retrieve(profile, Words(), {"text": vector}, {}, (), 100).raw["text"]
    among = services.retrieval.retrieve(profile, Words("red"), {"text": vector}, {}, (), 100).raw["text"]
    shared = [id for id in alone if among.get(id) is not None]
    assert len(shared) > 50
    assert np.allclose([alone[id] for id in shared], [among[id] for id in shared], atol=2e-3)


@pytest.mark.es
@pytest.mark.models
def test_a_third_of_the_vectors_may_be_lost(sample: Sample) -> None:
    services, name = sample.services, sample.name
    judged = read_judgments(sample.paths.all_queries)
    lost = f"{name}-lost"
    profile = services.retrieval.profile(name)

    def gone(id: str, signal: str) -> bool:
        return zlib.crc32(f"{signal} {id}".encode()) % 10 < 3

    services.cluster.indices.copy_without(profile, lost, gone, services.cluster.capabilities.base64_vectors)
    try:
        from hybrid.evaluation.measures import measures

        quality = {}
        for index in (name, lost):
            runs = {}
            for query in judged.relevant:
                answer = services.searcher.search(
                    judged.request(query, index=index, size=10, facets=(), system="fixed")
                )
                assert not answer.degraded
                runs[query] = [hit.id for hit in answer.hits]
            quality[index] = measures(runs, {query: judged.ratings[query] for query in judged.relevant})["ndcg@10"]
    finally:
        services.cluster.indices.delete(lost)
    print(f"all vectors {quality[name]:.4f}, 30 % lost {quality[lost]:.4f}")
    assert quality[lost] >= 0.96 * quality[name]  # one draw; `hybrid bench weights` has the mean of many mixtures
