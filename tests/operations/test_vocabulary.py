"""The words of an index: counted with a run, kept in step, and what searches make of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hybrid.elastic.retrieval.vocabularies import TTL_S, Vocabularies
from hybrid.elastic.stores.vocabularies import Counted, VocabularyStore
from hybrid.ingest.push import Operation
from hybrid.operations.indexing import plan_index, run_index
from hybrid.operations.sync import run_sync
from hybrid.operations.vocabulary import keep_in_step
from hybrid.searches import SearchAnswer, SearchRequest
from hybrid.services import Services
from hybrid.testing import FakeClock
from hybrid.text.vocabulary import Vocabulary
from tests.support.raw import client_of
from tests.support.waiting import until

_TITLES = ["Wireless mouse", "Mechanical keyboard", "Laptop charger", "Hard drive case", "Desk lamp"]


@pytest.mark.parametrize(
    ("now", "writes"),
    [
        (("a", {"0": ("h", 9), "1": ("g", 4)}), 0),
        (("a", {"0": ("h", 12), "1": ("g", 5)}), 4),
        (("b", {"0": ("h", 9), "1": ("g", 4)}), None),  # another index behind the name
        (("a", {"0": ("h", 9), "1": ("x", 4)}), None),  # a forced primary has another history
    ],
)
def test_writes_since_a_count(now: tuple[str, dict[str, tuple[str, int]]], writes: int | None) -> None:
    assert Counted(("a", {"0": ("h", 9), "1": ("g", 4)})).writes_until(now) == writes
    assert Counted().writes_until(now) is None and Counted().age_s == float("inf")


@pytest.mark.es
def test_from_a_run_to_a_search_and_in_step(services: Services, name: str, tmp_path: Path) -> None:
    rows = [{"id": f"p{n}", "title": _TITLES[n % len(_TITLES)]} for n in range(60)]
    file = tmp_path / "shop.ndjson"
    file.write_text("\n".join(map(json.dumps, rows)))
    run_index(services, plan_index(services, file, name))

    def search(words: str, **options: bool) -> SearchAnswer:
        return services.searcher.search(SearchRequest(name, words, size=20, **options))

    right, mistyped = search("wireless mouse"), search("wirless mouse")
    assert mistyped.corrected is not None and mistyped.corrected.also == "wireless mouse" and not right.corrected
    assert [hit.id for hit in mistyped.hits] == [hit.id for hit in right.hits]
    assert all(hit.highlight["title"] == "<mark>Wireless</mark> <mark>mouse</mark>" for hit in mistyped.hits[:12])
    assert mistyped.hits[0].signals["text"].raw == pytest.approx(right.hits[0].signals["text"].raw)
    as_typed = search("wirless mouse", correct=False)
    assert as_typed.corrected is None and as_typed.hits[0].signals["lexical"].raw < right.hits[0].signals["lexical"].raw
    both = search("mouze lampp")
    assert both.corrected is not None and both.corrected.also == "mouse lamp" and both.total >= 24
    assert not keep_in_step(services.cluster, name, ended=True)  # nothing was written

    pushed = [Operation(f"z{n}", {"id": f"z{n}", "title": "Zyxelon router"}) for n in range(3)]
    services.pusher.push(services.cluster.indices.read_profile(name), pushed)
    unknown = search("zyxelonn")
    assert unknown.corrected is None  # it is not counted yet
    run_sync(services, name)
    services.retrieval.forget()
    found = search("zyxelonn")
    assert found.corrected is not None and found.corrected.also == "zyxelon"
    assert {hit.id for hit in found.hits[:3]} == {"z0", "z1", "z2"}

    gone = [Operation(f"z{n}", None) for n in range(3)]
    services.pusher.push(services.cluster.indices.read_profile(name), gone)
    run_sync(services, name)
    services.retrieval.forget()
    assert search("zyxelonn").corrected is None


@pytest.mark.es
def test_a_generation_has_the_words_of_its_index_until_it_has_its_own(services: Services, name: str) -> None:
    store = services.cluster.store(VocabularyStore)
    for index, word in ((name, "lamp"), (f"{name}-202611", "mug")):  # a shop's own index of a month
        claimed = store.claim(index, store.counted(index))
        assert claimed is not None
        store.save(index, Vocabulary(1, {word: (1, 1, 0)}), ("uuid", {}), 0.0, claimed)
    kept = Vocabularies(client_of(services))
    found = {
        index: set(vocabulary.terms) if (vocabulary := kept.get(f"{name}{index}")) else None
        for index in ("", "-000002", "-000002.building", "-202611", "-next")
    }
    assert found == {
        "": {"lamp"}, "-000002": {"lamp"}, "-000002.building": {"lamp"}, "-202611": {"mug"}, "-next": None,
    }  # fmt: skip


@pytest.mark.es
def test_one_counts_at_a_time_and_searches_never_wait(services: Services, name: str) -> None:
    store = services.cluster.store(VocabularyStore)
    clock = FakeClock()
    kept = Vocabularies(client_of(services), clock)
    assert kept.get(name) is None
    before = store.counted(name)
    claimed = store.claim(name, before)
    assert claimed is not None
    assert store.claim(name, before) is None and store.claim(name, store.counted(name)) is None
    words = Vocabulary(3, {"lamp": (3, 2, 1)}, {"lamp": (3, 2)})
    store.save(name, words, ("uuid", {"0": ("h", 7)}), 1.5, claimed)
    assert store.counted(name).position == ("uuid", {"0": ("h", 7)})
    assert kept.get(name) is None
    clock.advance(TTL_S)
    until(lambda: kept.get(name))  # read in the background
    assert kept.get(name) == words
    assert store.claim(name, store.counted(name)) is not None  # the count before has ended
