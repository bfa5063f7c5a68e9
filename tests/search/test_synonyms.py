"""Synonyms in a search: beside what was typed, counting a little less, and in force within seconds."""

from __future__ import annotations

from dataclasses import replace

from hybrid.errors import ClusterError
from hybrid.search.searcher import Searcher
from hybrid.search.synonyms import WEIGHT, PublishedSynonyms, beside
from hybrid.searches import Alternative, SearchRequest, Words
from hybrid.testing import FakeClock, MemoryRetrieval
from hybrid.text.synonyms import Synonyms, parse

ROWS = [{"id": f"s{n}", "title": f"sofa {n}"} for n in range(5)] + [
    {"id": "c", "title": "couch"}, {"id": "r", "title": "running shoes"}, {"id": "x", "title": "lamp"},
]  # fmt: skip


class Files:
    """A store of one file that counts how often it is read."""

    def __init__(self, text: str) -> None:
        self.version, self.text, self.read, self.down = 1, text, 0, False

    def current(self, index: str) -> tuple[int, str]:
        self.read += 1
        if self.down:
            raise ClusterError("down")
        return self.version, self.text


def test_a_synonym_counts_less_than_what_was_typed_and_a_rare_one_no_more() -> None:
    shop = MemoryRetrieval(ROWS)
    rules = Synonyms(parse("sofa, couch\ntrainers => running shoes"), "en")
    words, (read,) = beside(Words("red sofa"), "red Sofa", shop.profile("shop"), rules, shop)
    (couch,) = words.alternatives
    assert (couch.of, couch.terms, read.text, read.others) == ("sofa", "couch", "Sofa", ("couch",))
    assert 0.1 < couch.weight < WEIGHT / 2  # couch is rare, sofa is not: its BM25 is higher
    words, _ = beside(Words("couch"), "couch", shop.profile("shop"), rules, shop)
    assert words.alternatives == (Alternative("sofa", WEIGHT, "couch"),)
    same = Words("lamp")
    assert beside(same, "lamp", shop.profile("shop"), rules, shop) == (same, [])
    assert beside(Words(), "", shop.profile("shop"), rules, shop) == (Words(), [])


def test_in_the_shops_own_fields_they_are_text() -> None:
    shop = MemoryRetrieval(ROWS)
    own = replace(shop.profile("shop"), lexical_fields=("title^2",))
    words, _ = beside(
        Words("Red Trainers"), "Red Trainers", own, Synonyms(parse("trainers => Running Shoes"), "en"), shop
    )
    assert [(one.of, one.terms) for one in words.alternatives] == [("Trainers", "Running Shoes")]


def test_a_search_finds_them_and_says_so() -> None:
    shop, clock, files = MemoryRetrieval(ROWS), FakeClock(), Files("sofa, couch")
    searcher = Searcher(shop, shop.encoder, 10, None, PublishedSynonyms(files, clock))
    answer = searcher.search(SearchRequest("shop", "sofa", system="bm25"))
    assert [hit.id for hit in answer.hits] == ["s0", "s1", "s2", "s3", "s4", "c"]
    assert [(one.kind, one.text, one.others) for one in answer.understood] == [("synonym", "sofa", ("couch",))]
    assert answer.hits[-1].highlight["title"] == "<mark>couch</mark>"
    files.version, files.text = 2, "couch, lamp"
    assert searcher.search(SearchRequest("shop", "sofa", system="bm25")).total == 6  # for so long the old ones
    clock.advance(PublishedSynonyms.TTL_S)
    assert searcher.search(SearchRequest("shop", "sofa", system="bm25")).total == 5
    assert searcher.search(SearchRequest("shop", "couch", system="bm25")).total == 2
    files.down = True
    clock.advance(PublishedSynonyms.TTL_S)
    assert searcher.search(SearchRequest("shop", "couch", system="bm25")).total == 2
    assert files.read == 3
