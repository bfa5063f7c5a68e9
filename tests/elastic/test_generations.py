"""An alias is moved from one index to another while searches go on: every answer is whole, and of one of them.

The two indices hold the same products, by other encoders, with other fields, in another number of shards.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from elasticsearch import Elasticsearch

from hybrid.dropin import IncomingSearch, service
from hybrid.elastic.retrieval import candidates, profiles
from hybrid.errors import HybridError, IndexMissingError, IndexMovedError, UsageError
from hybrid.node import NodeStatus
from hybrid.search import consistency
from hybrid.search.synonyms import PublishedSynonyms
from hybrid.search.weights import PublishedWeights
from hybrid.searches import SearchRequest, Words
from hybrid.services import Services
from tests.conftest import index_file, make_services, write_rows
from tests.support import web_services
from tests.support.raw import client_of
from tests.support.waiting import until
from web import create_app

pytestmark = pytest.mark.es

NAME = "tgen"
PHOTO = web_services.jpeg("#33456b")
MAPPING = {
    "name": {"type": "text"},
    "description": {"type": "text"},
    **{name: {"type": "keyword"} for name in ("brand", "category", "color", "season")},
    "price": {"type": "double"},
}

#: What a shopper asks, of every path through a search: words, filters and counts, behind the fused list, photo, all.
REQUESTS = {
    "words": SearchRequest(NAME, "reading lamp"),
    "filtered": SearchRequest(NAME, "light lamp", filters={"category": ["Lighting"], "price": {"gte": 5}}, size=4),
    "second page": SearchRequest(NAME, "a of with the and lamp", page=2, size=10),
    "photo": SearchRequest(NAME, image=PHOTO),
    "both": SearchRequest(NAME, "tote", image=PHOTO, size=20),
    "everything": SearchRequest(NAME, size=5),
    "bm25": SearchRequest(NAME, "wool", system="bm25"),
    "rrf": SearchRequest(NAME, "oak chair", system="rrf"),
}
WORDS = {"match": {"description": "light lamp shoes"}}
FILTERED = {"bool": {"must": [WORDS], "filter": [{"range": {"price": {"gte": 5}}}]}}
BODIES: dict[str, dict[str, Any]] = {
    "words": {"query": WORDS},
    "filtered": {
        "query": FILTERED,
        "aggs": {"colors": {"terms": {"field": "color"}}},
        "highlight": {"fields": {"description": {}}},
    },
    "second page": {"query": {"match": {"description": "a of with the and"}}, "from": 10, "size": 10},
    "passing": {"query": WORDS, "sort": [{"price": "asc"}], "size": 3},
}  # fmt: skip


@dataclass
class Generations:
    """old, new: names of the two indices. expected: of each, by index and by the key of what was asked."""

    services: Services
    direct: Elasticsearch
    old: str
    new: str
    expected: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def now(self) -> str:
        (name,) = self.direct.indices.get_alias(name=NAME).body
        return name

    def move(self, to: str | None = None) -> str:
        """Move the alias, as a reindex does: in one request."""
        target = to or (self.new if self.now == self.old else self.old)
        others = [{"remove": {"index": f"{NAME}-*", "alias": NAME, "must_exist": False}}]
        self.direct.indices.update_aliases(actions=[*others, {"add": {"index": target, "alias": NAME}}])
        return target


def rows(generation: str) -> list[dict[str, Any]]:
    """A third of the products has no picture, so that others stand in for it."""
    found = []
    for number, row in enumerate(web_services.products()):
        marked = {**row, "generation": generation, "image": row["image"] if number % 3 else ""}
        found.append({**marked, "season": ["summer", "winter"][number % 2]} if generation == "new" else marked)
    if generation == "new":
        found.append({**found[0], "id": "quokka", "name": "Quokka", "description": "A quokka."})
    return found


def make_index(engine: NodeStatus, folder: Path, generation: str, name: str) -> str:
    """The name of the index, without an alias."""
    services = make_services(engine, depth=10, **ENCODERS[generation])
    template = folder / f"{name}.json"
    settings = {"number_of_shards": {"old": 1, "new": 2}[generation]}
    template.write_text(json.dumps({"settings": settings, "mappings": {"properties": MAPPING}}))
    path = write_rows(folder / f"{name}.ndjson", rows(generation))
    index_file(services, path, name, folder, template=template, signals=["text", "image"], media_root=folder)
    client_of(services).indices.forcemerge(index=name, max_num_segments=1)
    (concrete,) = client_of(services).indices.get(index=name).body
    client_of(services).indices.delete_alias(index=concrete, name=name)
    return str(concrete)


ENCODERS = {
    "old": {"text_encoder": "toy:32", "image_encoder": "toy:32"},
    "new": {"text_encoder": "toy:64", "image_encoder": "toy:64"},
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generations") / "media"
    folder.mkdir()
    web_services.write_pictures(folder)
    return folder


@pytest.fixture(scope="module")
def two(engine: NodeStatus, pictures: Path) -> Iterator[Generations]:
    services = make_services(engine, depth=10)
    direct = Elasticsearch(engine.es_url)
    names = [make_index(engine, pictures, generation, f"{NAME}-{generation}") for generation in ("old", "new")]
    found = Generations(services, direct, *names)
    for index in names:
        direct.indices.put_alias(index=index, name=NAME)
        services.retrieval.forget()
        for key, request in REQUESTS.items():
            found.expected[index, key] = searched(found, request)
        for key, body in BODIES.items():
            found.expected[index, f"drop-in {key}"] = dropped_in(found, body)
        direct.indices.delete_alias(index=index, name=NAME)
    services.retrieval.forget()
    found.move(found.old)
    yield found
    for index in names:
        direct.indices.delete(index=index)
    direct.close()


def searched(two: Generations, request: SearchRequest) -> Any:
    """All that is told of a search, apart from the time taken; checked to be whole and of one generation."""
    answer = two.services.searcher.search(request)
    assert answer.hits
    assert not answer.degraded
    assert len({hit.source["generation"] for hit in answer.hits}) == 1
    return {**answer.to_json(), "took_ms": 0}


def dropped_in(two: Generations, body: dict[str, Any]) -> Any:
    outcome = two.services.dropin.search(NAME, body, {})
    return read(outcome.status, str(outcome.handled[0]), orjson.loads(outcome.body))


def dropped_in_together(two: Generations) -> list[Any]:
    searches = [IncomingSearch(NAME, body, {}) for body in BODIES.values()]
    outcome = two.services.dropin.msearch(searches, {})
    responses = orjson.loads(outcome.body)["responses"]
    for one in responses:
        assert one.pop("status") == 200
    return [read(outcome.status, str(one), answer) for one, answer in zip(outcome.handled, responses, strict=True)]


def read(status: int, how: str, answer: dict[str, Any]) -> Any:
    assert status == 200
    assert how in ("ranked", "passed; sort"), how
    hits = answer["hits"]["hits"]
    assert hits
    assert len({hit["_index"] for hit in hits}) == len({hit["_source"]["generation"] for hit in hits}) == 1
    return {**answer, "took": 0}


# ---- a move at every place ---------------------------------------------------------------------------


def everywhere(
    two: Generations, monkeypatch: pytest.MonkeyPatch, client: Any, ask: Callable[[], Any], cold: bool = False
) -> Iterator[tuple[str, Any]]:
    """(where the alias stands, the answer), with a move before the first round trip, before the second, and so on.

    cold: nothing is known of the index when the search begins.
    """
    transport = client.transport
    original = transport.perform_request
    for place in itertools.count():
        left = [place]
        target = []

        def perform(*args: Any, left: list[int] = left, target: list[str] = target, **kwargs: Any) -> Any:
            if not left[0]:
                target.append(two.move())
            left[0] -= 1
            return original(*args, **kwargs)

        two.services.retrieval.forget()
        if not cold:
            two.services.searcher.profile(NAME)
        before = two.now
        with monkeypatch.context() as patched:
            patched.setattr(transport, "perform_request", perform)
            answer = ask()
        yield (target[0] if target else before), answer
        if not target:
            assert place > 0
            return


@pytest.mark.es_both
@pytest.mark.parametrize("cold", [False, True], ids=["known", "cold"])
@pytest.mark.parametrize("key", REQUESTS)
def test_a_search_is_of_one_generation(two: Generations, monkeypatch: pytest.MonkeyPatch, key: str, cold: bool) -> None:
    def ask() -> Any:
        two.services.retrieval.coverage.forget()  # it is counted in the search, too
        return searched(two, REQUESTS[key])

    places = 0
    for index, answer in everywhere(two, monkeypatch, client_of(two.services), ask, cold):
        assert answer == two.expected[index, key], f"moved before round trip {places}"
        places += 1
    # Candidates, documents, and once without a move; photos have imputed scores too.
    assert places > (5 if REQUESTS[key].image else 2) + cold


@pytest.mark.es_both
@pytest.mark.parametrize("client", ["transport", "profile"])
@pytest.mark.parametrize("key", BODIES)
def test_the_drop_in_is_of_one_generation(
    two: Generations, monkeypatch: pytest.MonkeyPatch, key: str, client: str
) -> None:
    dropin = two.services.dropin
    clients = {"transport": dropin._transport._client, "profile": client_of(two.services)}

    def ask() -> Any:
        dropin._transport._hit_cache._hits.clear()
        return dropped_in(two, BODIES[key])

    cold = client == "profile"
    for index, answer in everywhere(two, monkeypatch, clients[client], ask, cold):
        assert answer == two.expected[index, f"drop-in {key}"]


@pytest.mark.es_both
def test_an_msearch_is_of_one_generation_each(two: Generations, monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes is asked for after what is ranked, and may be of the index that came in between."""
    transport = two.services.dropin._transport

    def ask() -> list[Any]:
        transport._hit_cache._hits.clear()
        return dropped_in_together(two)

    places = 0
    for _, answers in everywhere(two, monkeypatch, transport._client, ask):
        for key, answer in zip(BODIES, answers, strict=True):
            assert answer in [two.expected[index, f"drop-in {key}"] for index in (two.old, two.new)]
        places += 1
    assert places > 3


def test_what_is_trained_on_is_of_one_generation(two: Generations, monkeypatch: pytest.MonkeyPatch) -> None:
    request = REQUESTS["words"]
    dims = {two.old: 32, two.new: 64}

    def ask() -> Any:
        found = two.services.searcher.candidates(request)
        assert found is not None and found.query.meaning is not None
        return len(found.query.meaning), found.raw

    whole = {}
    for _ in range(2):
        index = two.move()
        whole[index] = ask()
        assert whole[index][0] == dims[index]
    for index, answer in everywhere(two, monkeypatch, client_of(two.services), ask):
        assert answer == whole[index]


# ---- right after a move --------------------------------------------------------------------------------


def test_what_reached_no_shard_tells_of_no_move() -> None:
    """A shard that was never reached has no index in the answer; it made nobody move."""
    nowhere, there, other = ({"shard": 0, "index": name, "reason": {}} for name in (None, "a", "b"))
    refused = {"error": {"failed_shards": [nowhere, there]}, "status": 503}
    partial = {"hits": {"hits": [{"_index": "a"}]}, "_shards": {"failed": 1, "failures": [nowhere]}}
    assert not candidates.strays([refused, partial, {"error": "gone"}], "a")
    assert candidates.strays([{"error": {"failed_shards": [other]}}], "a")
    assert candidates.strays([{**partial, "_shards": {"failed": 1, "failures": [other]}}], "a")


@pytest.mark.es_both
def test_an_index_that_refuses_names_itself(two: Generations, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alias may be back before anybody asks which index it names; then nothing else tells of the move."""
    retrieval = two.services.retrieval
    two.move(two.old)
    retrieval.forget()
    profile, query = retrieval.profile(NAME), np.eye(1, 32, dtype=np.float32)[0]
    two.move(two.new)
    monkeypatch.setattr(retrieval, "moved", lambda _: False)
    for words in (None, "word"):
        with pytest.raises(IndexMovedError):
            retrieval.retrieve(profile, Words(words), {"image": query}, {}, (), 10)
    two.move(two.old)
    retrieval.forget()


def test_the_next_search_is_of_the_new_index(two: Generations) -> None:
    for _ in range(3):
        for key, request in REQUESTS.items():
            index = two.move()
            assert searched(two, request) == two.expected[index, key]
        for key, body in BODIES.items():
            index = two.move()
            assert dropped_in(two, body) == two.expected[index, f"drop-in {key}"]


def test_what_only_the_new_index_has_is_found_at_once(two: Generations) -> None:
    searcher = two.services.searcher
    only_new = [
        SearchRequest(NAME, "quokka", system="bm25"),  # nothing is found: no hit tells of the move
        SearchRequest(NAME, "lamp", filters={"season": "summer"}),  # the old index refuses this filter
        SearchRequest(NAME, "lamp", facets=("season",)),
    ]
    for request in only_new:
        two.move(two.old)
        searcher.search(REQUESTS["words"])
        two.move(two.new)
        answer = searcher.search(request)
        assert answer.hits and not answer.degraded
        assert {hit.source["generation"] for hit in answer.hits} == {"new"}
    two.move(two.old)
    assert not searcher.search(only_new[0]).hits
    for request in only_new[1:]:
        with pytest.raises(UsageError):
            searcher.search(request)
    assert searcher.product(NAME, "quokka") is None
    two.move(two.new)
    found = searcher.product(NAME, "quokka")
    assert found is not None and found["generation"] == "new"


def test_the_old_index_may_be_deleted_at_once(
    two: Generations, engine: NodeStatus, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last place where this can happen is before the documents are fetched, or the page of the drop-in."""
    clients = [client_of(two.services), two.services.dropin._transport._client]
    asks: list[Callable[[], Any]] = [
        lambda: searched(two, REQUESTS["both"]),
        lambda: dropped_in(two, BODIES["filtered"]),
    ]
    keys = ["both", "drop-in filtered"]
    for key, client, ask in zip(keys, clients, asks, strict=True):
        for place in range(2):
            doomed = make_index(engine, pictures, "old", f"{NAME}-doomed-{key[:1]}{place}")
            two.move(doomed)
            ask()
            two.services.dropin._transport._hit_cache._hits.clear()
            left = [place]
            original = client.transport.perform_request

            def perform(
                *args: Any, left: list[int] = left, doomed: str = doomed, call: Any = original, **kw: Any
            ) -> Any:
                if left[0] == 0:
                    two.move(two.new)
                    two.direct.indices.delete(index=doomed)
                left[0] -= 1
                return call(*args, **kw)

            with monkeypatch.context() as patched:
                patched.setattr(client.transport, "perform_request", perform)
                assert ask() == two.expected[two.new, key]
            assert left[0] < 0


@pytest.mark.es_both
def test_a_name_that_becomes_an_alias(two: Generations, engine: NodeStatus, pictures: Path) -> None:
    """An index that bore the name itself is replaced by an alias, in one request."""
    name = f"{NAME}-own"
    made = make_index(engine, pictures, "old", f"{name}-source")
    two.direct.indices.put_settings(index=made, settings={"index.blocks.write": True})
    two.direct.indices.clone(index=made, target=name, wait_for_active_shards="1")
    two.direct.indices.delete(index=made)
    try:
        searcher = two.services.searcher
        before = searcher.search(SearchRequest(name, "reading lamp"))
        assert {hit.source["generation"] for hit in before.hits} == {"old"}
        two.direct.indices.update_aliases(
            actions=[{"remove_index": {"index": name}}, {"add": {"index": two.new, "alias": name}}]
        )
        after = searcher.search(SearchRequest(name, "reading lamp"))
        assert {hit.source["generation"] for hit in after.hits} == {"new"} and not after.degraded
    finally:
        two.direct.indices.delete_alias(index=two.new, name=name)
    with pytest.raises(IndexMissingError):
        searcher.search(SearchRequest(name, "reading lamp"))


def test_an_alias_that_does_not_stand_still_is_an_error(two: Generations, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an endless search; and the drop-in has the shop's own answer."""
    paths: list[str] = []
    for client in (client_of(two.services), two.services.dropin._transport._client):
        original = client.transport.perform_request

        def perform(*args: Any, call: Any = original, **kwargs: Any) -> Any:
            path = str(args[1]).partition("?")[0]
            searched = path in ("/_msearch", f"/{NAME}/_search", f"/{NAME}/_mget")
            if path == f"/{NAME}" or searched:
                # By what is asked, not by turns: whatever else is asked meanwhile, no search is of the profile's index.
                two.move(two.new if searched else two.old)
                paths.append(path)
            return call(*args, **kwargs)

        monkeypatch.setattr(client.transport, "perform_request", perform)
    one_try = [f"/{NAME}", "/_msearch"]
    two.services.retrieval.forget()
    with pytest.raises(HybridError) as failed:
        two.services.searcher.search(REQUESTS["words"])
    assert "moved" in str(failed.value)
    assert paths == one_try * consistency._TRIES
    paths.clear()
    outcome = two.services.dropin.search(NAME, BODIES["words"], {})
    (handling,) = outcome.handled
    assert not handling.ranked and "moved" in handling.error
    assert orjson.loads(outcome.body)["hits"]["hits"]
    assert paths[-1] == f"/{NAME}/_search" and paths.count("/_msearch") == consistency._TRIES


# ---- what it costs ---------------------------------------------------------------------------------------


def test_no_round_trip_more_while_nothing_moves(two: Generations, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner in (PublishedWeights, PublishedSynonyms):
        monkeypatch.setattr(owner, "TTL_S", 600.0)
    for owner, name in ((profiles, "TTL_S"), (service, "_INDICES_TTL_S")):
        monkeypatch.setattr(owner, name, 600.0)
    two.services.searcher.search(REQUESTS["words"])
    dropped_in(two, BODIES["words"])
    paths: list[str] = []
    for client in (client_of(two.services), two.services.dropin._transport._client):
        original = client.transport.perform_request

        def perform(*args: Any, call: Any = original, **kwargs: Any) -> Any:
            paths.append(str(args[1]).partition("?")[0])
            return call(*args, **kwargs)

        monkeypatch.setattr(client.transport, "perform_request", perform)
    two.services.searcher.search(REQUESTS["bm25"])
    assert paths == ["/_msearch", f"/{NAME}/_mget"]
    paths.clear()
    two.services.dropin._transport._hit_cache._hits.clear()
    dropped_in(two, BODIES["words"])
    assert set(paths) == {"/_msearch"} and len(paths) <= 3
    # The cluster is asked where no hit tells.
    paths.clear()
    two.services.searcher.search(SearchRequest(NAME, "nothingatall", system="bm25"))
    assert paths == ["/_msearch", f"/{NAME}/_alias"]


def test_the_profile_knows_its_index_and_is_the_same_behind_another(two: Generations) -> None:
    by_alias = two.services.cluster.indices.read_profile(NAME)
    assert by_alias.concrete == two.now
    assert "concrete" not in by_alias.to_json()
    both = f"{NAME}-both"
    two.direct.indices.put_alias(index=[two.old, two.new], name=both)
    try:
        assert two.services.cluster.indices.read_profile(both).concrete == ""
        assert not two.services.retrieval.moved(two.services.searcher.profile(both))
    finally:
        two.direct.indices.delete_alias(index=[two.old, two.new], name=both)


# ---- the web layer ---------------------------------------------------------------------------------------


def test_the_page_and_the_pictures_follow(two: Generations, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page asks for the facets of a profile, and the new index has others than the old."""
    browser = create_app(two.services).test_client()

    def page() -> bool:
        shown = browser.get("/", query_string={"index": NAME, "q": "reading lamp"})
        assert shown.status_code == 200
        return "season" in shown.text.lower()

    for index, has_season in everywhere(two, monkeypatch, client_of(two.services), page):
        assert has_season == (index == two.new)

    def picture() -> int:
        return browser.get(f"/media/{NAME}/p01").status_code

    for _, status in everywhere(two, monkeypatch, client_of(two.services), picture):
        assert status == 200


# ---- under load ------------------------------------------------------------------------------------------


def test_searches_go_on_while_the_alias_is_moved_again_and_again(two: Generations) -> None:
    stop = threading.Event()
    failures: list[str] = []
    counts: dict[str, int] = {"searches": 0, "moves": 0}
    seen: set[str] = set()
    #: How often the alias was moved during the search that each thread is at.
    moves = [0, 0, 0]

    def run(thread: int, keys: list[str], ask: Callable[[str], Any], told: str) -> None:
        for key in itertools.cycle(keys):
            if stop.is_set():
                return
            moves[thread] = 0
            try:
                answer = ask(key)
                match = [index for index in (two.old, two.new) if answer == two.expected[index, told + key]]
                seen.update(match)
                if not match:
                    failures.append(f"{told}{key}: an answer of neither index")
            except Exception as error:
                failures.append(f"{told}{key}: {type(error).__name__}: {error}")
            counts["searches"] += 1

    names = list(REQUESTS)
    bodies = list(BODIES)
    threads = [
        threading.Thread(target=run, args=(0, names, lambda key: searched(two, REQUESTS[key]), "")),
        threading.Thread(target=run, args=(1, names[::-1], lambda key: searched(two, REQUESTS[key]), "")),
        threading.Thread(target=run, args=(2, bodies, lambda key: dropped_in(two, BODIES[key]), "drop-in ")),
    ]
    for thread in threads:
        thread.start()

    def moved_enough() -> bool:
        if max(moves) < consistency._TRIES // 2:  # more would be an alias that does not stand still
            two.move()  # takes 20 to 150 ms
            counts["moves"] += 1
            moves[:] = [during + 1 for during in moves]
        return bool(failures) or (counts["searches"] > 200 and counts["moves"] > 50 and len(seen) == 2)

    try:
        until(moved_enough, "enough moves and searches")
    finally:
        stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert seen == {two.old, two.new}
