"""Search on the real engine: scores, pages, totals, facets, filters, Chinese, degraded answers."""

from __future__ import annotations

import copy
import io
import os
from collections import Counter
from collections.abc import Iterator
from signal import SIGCONT, SIGSTOP
from typing import Any

import numpy as np
import orjson
import pytest
from elasticsearch.helpers import bulk
from PIL import Image

from hybrid.catalogue.documents import role_values
from hybrid.elastic.retrieval import bodies
from hybrid.errors import (
    ClusterTimeoutError,
    IndexConflictError,
    IndexMissingError,
    MediaError,
    UsageError,
)
from hybrid.operations import indexing
from hybrid.search import fusion
from hybrid.search.searcher import Searcher
from hybrid.searches import SearchRequest, Words
from hybrid.services import Services
from hybrid.testing import ToyEncoder
from hybrid.text.completions import Typed, offers
from tests.conftest import Sample, make_services, write_rows
from tests.support.baseline import Baseline
from tests.support.raw import client_of
from tests.support.wire import watched_wire
from web import create_app

pytestmark = [pytest.mark.es, pytest.mark.es_both]

COLORS = {"red": (200, 30, 30), "green": (30, 160, 60), "blue": (40, 60, 200)}
KINDS = ["mug", "lamp", "chair", "bag", "scarf"]
ZH = {"mug": "马克杯", "lamp": "台灯", "chair": "椅子", "bag": "背包", "scarf": "围巾"}
COUNT = 360


def catalogue() -> list[dict[str, Any]]:
    rows = []
    for number in range(COUNT):
        kind, color = KINDS[number % 5], list(COLORS)[number % 3]
        rows.append(
            {
                "id": f"p{number:03}",
                "name": f"{color} {kind} model {number}",
                "name_zh": f"{ZH[kind]}{number}号",
                "description": f"A {color} {kind} for every day, number {number}",
                "brand": ["Aurora", "Brightly", "Casa"][number % 7 % 3],
                "category": kind,
                "price": 5 + number,
                "image": f"{color}.png" if number < 300 else f"nowhere/{number}.png",
            }
        )
    # A text in a script that no vector stands for, and no picture: words alone.
    rows.append({"id": "bare", "name": "zzz", "category": "mug", "price": 1, "brand": "Casa"})
    return rows


@pytest.fixture(scope="module")
def shop(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, str]]:
    services = make_services(engine, depth=100)
    folder = tmp_path_factory.mktemp("shop")
    for color, rgb in COLORS.items():
        Image.new("RGB", (48, 48), rgb).save(folder / f"{color}.png")
    path = write_rows(folder / "c.ndjson", catalogue())
    name = f"tsearch-{engine.es_version.replace('.', '-')}"
    indexing.run_index(services, indexing.plan_index(services, path, name), rejects_path=folder / "rejects")
    # 8.19 walks the graphs of several segments at once, which tell each other what is good enough: then the hundred
    # nearest of many alike are not the same hundred twice.
    client_of(services).options(request_timeout=60).indices.forcemerge(index=name, max_num_segments=1)
    yield services, name
    for concrete in list(client_of(services).indices.get(index=f"{name}*").body):
        client_of(services).indices.delete(index=concrete)


def photo(color: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), COLORS[color]).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("system", ["bm25", "text", "rrf", "fixed"])
def test_pages_are_one_list_cut(shop: tuple[Services, str], system: str) -> None:
    services, name = shop
    request = {"index": name, "q": "red mug", "system": system}
    whole = services.searcher.search(SearchRequest(**request, size=100))
    everything: list[str] = []
    for page in range(1, 100):
        answer = services.searcher.search(SearchRequest(**request, size=17, page=page))
        assert answer.total == whole.total
        assert answer.facets == whole.facets
        if not answer.hits:
            break
        everything += [hit.id for hit in answer.hits]
    assert len(everything) == len(set(everything)) == whole.total
    assert everything[:100] == [hit.id for hit in whole.hits]


def test_every_candidate_has_every_present_signal_and_order_is_brute_force(shop: tuple[Services, str]) -> None:
    services, name = shop
    searcher = services.searcher
    answer = searcher.search(SearchRequest(index=name, q="green lamp", image=photo("green"), size=60))
    assert not answer.degraded
    encoder = services.encoder("toy:32")
    query = encoder.encode_texts(["green lamp"])[0]
    profile = searcher.profile(name)
    from hybrid.catalogue.documents import text_input

    for hit in answer.hits:
        assert set(hit.signals) == {"lexical", "text", "image"}
        vector = encoder.encode_texts([text_input(hit.source, profile.fields, encoder)])[0]
        assert hit.signals["text"].raw == pytest.approx(float(np.dot(query, vector)), abs=1e-3)
        assert sum(part.contribution for part in hit.signals.values()) == pytest.approx(hit.score, abs=1e-12)
        for signal, part in hit.signals.items():
            if part.raw is not None:
                assert part.scaled == pytest.approx(fusion.PLAIN.one(signal, part.raw))
    assert [hit.score for hit in answer.hits] == sorted((hit.score for hit in answer.hits), reverse=True)
    assert answer.hits[0].source["category"] == "lamp"
    assert answer.hits[0].source["name"].startswith("green")


def test_lexical_scores_are_those_of_the_cluster(shop: tuple[Services, str]) -> None:
    services, name = shop
    alone = services.searcher.search(SearchRequest(index=name, q="blue chair", system="bm25", size=40))
    fused = services.searcher.search(SearchRequest(index=name, q="blue chair", size=100))
    raw = {hit.id: hit.signals["lexical"].raw for hit in fused.hits}
    compared = [hit.id for hit in alone.hits if hit.id in raw]
    assert len(compared) > 20
    for hit in alone.hits:
        if hit.id in raw:
            assert raw[hit.id] == pytest.approx(hit.signals["lexical"].raw)


def test_totals_and_facets_count_the_same_set(shop: tuple[Services, str]) -> None:
    services, name = shop
    request = SearchRequest(index=name, q="scarf", facets=("category", "brand", "price"), size=20)
    answer = services.searcher.search(request)
    seen: Counter[str] = Counter()
    page = 1
    while hits := services.searcher.search(SearchRequest(index=name, q="scarf", facets=(), size=100, page=page)).hits:
        seen.update(hit.source["category"] for hit in hits)
        page += 1
    assert {entry["value"]: entry["count"] for entry in answer.facets["category"]} == dict(seen)
    assert sum(seen.values()) == answer.total == answer.facets["price"][0]["count"]


def test_filters_hold_for_every_signal(shop: tuple[Services, str]) -> None:
    services, name = shop
    filters = {"brand": ["Casa"], "price": {"gte": 20, "lt": 200}}
    for system in ("bm25", "text", "rrf", "fixed"):
        answer = services.searcher.search(
            SearchRequest(index=name, q="red bag", system=system, filters=filters, size=100)
        )
        assert answer.hits
        for hit in answer.hits:
            assert hit.source["brand"] == "Casa"
            assert 20 <= hit.source["price"] < 200
    # Filtered before the cut: a narrow filter still gives what it has.
    narrow = services.searcher.search(
        SearchRequest(index=name, q="red bag", system="text", filters={"price": {"gte": 360}})
    )
    assert narrow.total == 5


def test_chinese_finds_chinese(shop: tuple[Services, str]) -> None:
    services, name = shop
    for query in ("围巾", "圍巾"):
        answer = services.searcher.search(SearchRequest(index=name, q=query, system="bm25", size=10))
        assert answer.hits
        assert {hit.source["category"] for hit in answer.hits} == {"scarf"}
    assert "<mark>围巾</mark>" in answer.hits[0].highlight["title"]


def test_a_photo_alone_and_with_words(shop: tuple[Services, str]) -> None:
    services, name = shop
    alone = services.searcher.search(SearchRequest(index=name, image=photo("blue"), size=30))
    assert alone.hits
    # "bare" has no picture, and may stand among the others as the mug that it is.
    seen = [hit for hit in alone.hits if hit.id != "bare"]
    assert len(seen) >= 29 and {hit.source["name"].split()[0] for hit in seen} == {"blue"}
    both = services.searcher.search(SearchRequest(index=name, q="lamp", image=photo("blue"), size=10))
    assert {hit.source["name"].split(" model")[0] for hit in both.hits} == {"blue lamp"}


def test_a_product_without_vectors_is_found_by_words(shop: tuple[Services, str]) -> None:
    services, name = shop
    answer = services.searcher.search(SearchRequest(index=name, q="zzz", image=photo("red"), size=100))
    bare = next(hit for hit in answer.hits if hit.id == "bare")
    part = bare.signals["image"]
    assert part.raw is None  # what stands in comes from products like it, and is told as such
    assert 0 < part.contribution < max(hit.signals["image"].contribution for hit in answer.hits)


def test_browsing_pages_through_everything(shop: tuple[Services, str]) -> None:
    services, name = shop
    ids: list[str] = []
    for page in (1, 2, 3, 4, 5):
        answer = services.searcher.search(SearchRequest(index=name, size=100, page=page))
        assert answer.total == COUNT + 1
        ids += [hit.id for hit in answer.hits]
    assert len(ids) == len(set(ids)) == COUNT + 1


def test_highlight_is_escaped(shop: tuple[Services, str]) -> None:
    services, name = shop
    answer = services.searcher.search(SearchRequest(index=name, q="mugs", system="bm25", size=1))
    assert "<mark>mug</mark>" in answer.hits[0].highlight["title"]


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("kind", ["int8_flat", "int8_hnsw"])
def test_candidates_by_vector_are_the_nearest(shop: tuple[Services, str], kind: str, shards: int) -> None:
    """Of several hundred products, whatever way the cluster indexes vectors: not any that have one; with their BM25."""
    services, name = shop
    (made,) = client_of(services).indices.get(index=name).body.values()
    mappings = copy.deepcopy(made["mappings"])
    mappings["properties"]["hybrid"]["properties"]["text"]["index_options"] = {"type": kind}
    settings = {"number_of_shards": shards, "similarity": made["settings"]["index"]["similarity"]}
    index = f"{name}-{kind}-{shards}"
    client_of(services).indices.create(index=index, mappings=mappings, settings=settings)
    try:
        hits = client_of(services).search(index=name, size=500, fields=["hybrid.text"])["hits"]["hits"]
        held = {hit["_id"]: np.array(hit["fields"]["hybrid.text"]) for hit in hits if "hybrid.text" in hit["fields"]}
        for hit in hits:
            if hit["_id"] in held:
                hit["_source"]["hybrid"]["text"] = held[hit["_id"]].tolist()
        bulk(
            client_of(services),
            ({"_index": index, "_id": h["_id"], "_source": h["_source"]} for h in hits),
            refresh=True,
        )
        profile = services.searcher.profile(index)
        assert profile.shards == shards
        vector = held["p001"]
        found = services.retrieval.retrieve(profile, Words("lamp"), {"text": vector}, {}, [], 50)
        last = sorted((float(one @ vector) for one in held.values()), reverse=True)[49]
        listed = found.lists["text"]
        assert len(held) > 300
        assert len(listed) == 50
        assert sum(held[id] @ vector > last - 0.02 for id in listed) >= 48  # they are found by int8 vectors
        query = bodies.lexical_query("lamp", profile.lexical_fields)
        words = {"index": index, "query": query, "size": 500, "search_type": "dfs_query_then_fetch"}
        lamps = client_of(services).search(**words)["hits"]["hits"]
        scores = {hit["_id"]: hit["_score"] for hit in lamps}
        assert 0 < len(found.lists["lexical"]) <= len(scores)
        assert set(scores) & set(listed)
        assert set(listed) - set(scores)
        bm25 = {id: found.raw["lexical"][id] for id in listed}
        assert bm25 == pytest.approx({id: scores.get(id, 0.0) for id in listed})
    finally:
        client_of(services).indices.delete(index=index)


def test_suggestions_complete_titles_in_both_languages(shop: tuple[Services, str]) -> None:
    services, name = shop
    assert all("lamp" in option["text"] for option in services.searcher.suggest(name, "Green la", 5))
    assert services.searcher.suggest(name, "围", 3)[0]["text"].startswith("围巾")
    assert services.searcher.suggest(name, "  ", 3) == services.searcher.suggest(name, "?!", 3) == []


@pytest.mark.parametrize("typed", ["lamp", "lanp", "lapm gren", "lamp g", "gree", "围巾", "巾"])
def test_the_cluster_finds_the_titles_that_complete(shop: tuple[Services, str], typed: str) -> None:
    """Its prefixes and patterns mean what ours do: no product is missed, none is found that completes nothing."""
    services, name = shop
    profile = services.searcher.profile(name)
    hits = client_of(services).search(index=name, size=500)["hits"]["hits"]
    titles = [(hit["_id"], title) for hit in hits for title in role_values(hit["_source"], profile.fields, "title")]
    last: set[str] = set()
    for asked in (Typed.of(typed), Typed.of(typed).forgiven()):
        if asked is not None:
            found = services.retrieval.completing(profile, asked, 500)
            last = {id for id, title in titles if offers([(id, title)], asked)}
            assert set(found) == last
    assert 0 < len(last) < len(titles)


def test_a_mistyped_word_is_completed_when_too_few_are(shop: tuple[Services, str]) -> None:
    services, name = shop
    assert services.searcher.suggest(name, "lanp", 3) == services.searcher.suggest(name, "lamp", 3) != []


def test_a_broken_vector_field_degrades_to_keywords(shop: tuple[Services, str]) -> None:
    """The cluster refuses a vector of other dimensions than its field's."""
    services, name = shop
    right = services.encoder("toy:32")
    shorter = Searcher(services.retrieval, lambda spec: ToyEncoder(16, version=right.version), 100)
    answer = shorter.search(SearchRequest(index=name, q="red mug"))
    plain = services.searcher.search(SearchRequest(index=name, q="red mug", system="bm25"))
    assert [part.part for part in answer.degraded] == ["text", "image"]
    assert all("dimension" in part.reason for part in answer.degraded)
    assert [hit.id for hit in answer.hits] == [hit.id for hit in plain.hits]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"filters": {"nope": 1}}, UsageError, "cannot filter on 'nope'"),
        ({"facets": ("nope",)}, UsageError, "no facet 'nope'"),
        ({"image": b"not a picture"}, MediaError, "picture|image"),
        ({"index": "t-there-is-none"}, IndexMissingError, "there is no index"),
    ],
)
def test_bad_requests(shop: tuple[Services, str], options: dict, error: type[Exception], message: str) -> None:
    services, name = shop
    with pytest.raises(error, match=message):
        services.searcher.search(SearchRequest(**{"index": name, "q": "red", **options}))


def test_an_index_that_is_not_ours(shop: tuple[Services, str], name: str) -> None:
    services, _ = shop
    client_of(services).index(index=name, id="1", document={"title": "theirs"}, refresh=True)
    with pytest.raises(IndexConflictError, match="was not made by Hybrid"):
        services.searcher.search(SearchRequest(index=name, q="red"))
    assert name not in services.searcher.indices()


def test_products_like_a_product(sample: Sample, baseline: Baseline) -> None:
    """By all vectors that it has, of one kind alone, and by its words where it has none; never itself."""
    searcher = sample.services.searcher
    rows = {row["id"]: row for row in (orjson.loads(line) for line in sample.paths.products.read_bytes().splitlines())}
    same = 0
    for id in list(rows)[::40]:
        answer = searcher.search(SearchRequest(index=sample.name, like=id, size=5))
        assert set(answer.weights) == {"text", "image"} and answer.weights_version == "similar-1"
        assert id not in {hit.id for hit in answer.hits} and len(answer.hits) == 5
        same += sum(hit.source["category"] == rows[id]["category"] for hit in answer.hits)
        for hit in answer.hits:
            assert hit.score == sum(part.contribution for part in hit.signals.values())
    baseline.check("sample, the five most alike", same_category=same / 5 / len(list(rows)[::40]))
    first = next(iter(rows))
    alone = searcher.search(SearchRequest(index=sample.name, like=first, system="image", size=3))
    assert set(alone.weights) == {"image"} and first not in {hit.id for hit in alone.hits}
    words = searcher.search(SearchRequest(index=sample.name, like=first, system="bm25", size=3))
    assert words.hits and first not in {hit.id for hit in words.hits}
    filtered = searcher.search(SearchRequest(index=sample.name, like=first, filters={"brand": rows[first]["brand"]}))
    assert {hit.source["brand"] for hit in filtered.hits} <= {rows[first]["brand"]}
    for wrong, match in (
        ({"like": "nothing"}, "no product"), ({"like": first, "q": "shoes"}, "one or the other"),
        ({"like": first, "system": "audio"}, "no audio vector"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=match):
            searcher.search(SearchRequest(index=sample.name, **wrong))
    client = create_app(sample.services).test_client()
    found = client.get(f"/api/products/{first}/similar?index={sample.name}&size=3")
    assert [hit["id"] for hit in found.json["hits"]] == [
        hit.id for hit in searcher.search(SearchRequest(index=sample.name, like=first, size=3)).hits
    ]
    assert client.get(f"/api/products/nothing/similar?index={sample.name}").status_code == 404


def test_a_cluster_that_hangs_is_waited_for_twice_at_most(
    shop: tuple[Services, str], engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once by the search, once by that of keywords alone; not by a question where the alias stands."""
    services, name = shop
    hasty = Services(services.settings.model_copy(update={"es_timeout_s": 1.5}))
    hasty.searcher.search(SearchRequest(index=name, q="mug"))
    wire = watched_wire(client_of(hasty), monkeypatch)
    os.kill(engine.es_pid, SIGSTOP)
    try:
        with pytest.raises(ClusterTimeoutError):
            hasty.searcher.search(SearchRequest(index=name, q="lamp"))
        assert wire.requests == ["POST /_msearch"] * 2
    finally:
        os.kill(engine.es_pid, SIGCONT)
    assert hasty.searcher.search(SearchRequest(index=name, q="lamp")).hits
