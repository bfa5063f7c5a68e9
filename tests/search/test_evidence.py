"""The evidence of words: what a query's words are worth, and how their weight is spread. Arithmetic alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

import es_mappings
from hybrid.contracts import FieldMap, IndexProfile
from hybrid.elastic.retrieval import bodies
from hybrid.elastic.retrieval import evidence as named
from hybrid.search import evidence, fusion
from hybrid.searches import Alternative, Words
from hybrid.text.vocabulary import Vocabulary

OWN = IndexProfile("shop", FieldMap({}), {}, "en", "1")
#: 100 products: red in 50, shoe in 10 and in 8 titles.
KNOWN = Vocabulary(100, {"red": (50, 20, 0), "shoe": (10, 8, 0)})


def idf(count: int) -> float:
    return math.log(1 + (100 - count + 0.5) / (count + 0.5))


def of(
    terms: str, *alternatives: Alternative, vocabulary: Vocabulary | None = KNOWN, profile: IndexProfile = OWN
) -> evidence.Evidence:
    return evidence.of(terms, Words(terms, alternatives), vocabulary, profile)


def test_a_word_is_worth_its_rarity() -> None:
    both = of("red shoe")
    assert both.worth == pytest.approx(idf(50) + idf(10))
    assert both.title_worth == pytest.approx(idf(20) + idf(8))
    assert [place.share for place in both.places] == pytest.approx([idf(50) / both.worth, idf(10) / both.worth])
    # The boost of titles, and k1 + 1.
    assert both.bounds["lexical"] == pytest.approx(2 * 1.6 * both.worth)
    assert both.bounds[evidence.ALL] == pytest.approx(2.2 * both.worth)
    assert both.bounds[evidence.COVER] == 1.0
    assert both.pairs == ["red shoe"]


def test_an_unknown_word_is_worth_the_most_and_an_unknown_vocabulary_makes_all_alike() -> None:
    assert of("red nonesuch").places[1].share > 0.8
    assert [place.share for place in of("red shoe", vocabulary=None).places] == [0.5, 0.5]
    assert of("").bounds == {}


def test_a_word_is_worth_as_much_as_the_commonest_that_may_stand_for_it() -> None:
    corrected = of("red shoee", Alternative("shoe", 0.8, of="shoee"))
    assert corrected.worth == pytest.approx(idf(50) + idf(10))
    assert corrected.places[1].others == (("shoe", 0.8),)
    title = named.clauses(corrected)[1]["bool"]["should"][1]["dis_max"]["queries"]
    assert title[1] == {"term": {"hybrid.terms.title": {"value": "shoe", "boost": 0.8}}}


def test_a_long_query_is_looked_at_by_its_rarest_words() -> None:
    many = of(" ".join(["red", *(f"word{number}" for number in range(30))]))
    assert len(many.places) == 16
    assert "red" not in [place.term for place in many.places]


def test_the_clauses_are_in_a_filter_that_keeps_every_hit() -> None:
    body = named.add({"query": {"match_all": {}}}, of("red shoe"), shards=1)
    assert set(body) == {"query", "post_filter"}
    assert body["post_filter"]["bool"]["must"] == [{"match_all": {}}]
    assert named.add({"query": {}}, evidence.NONE, shards=1) == {"query": {}}
    # Over several shards, the words are counted over all of them.
    several = named.add({"query": {}, "rescore": {"window_size": 9}}, of("red shoe"), shards=3)
    assert several["rescore"][0] == {"window_size": 9}
    assert several["rescore"][1]["query"]["rescore_query"] == {"match": {"hybrid.all": {"query": "red shoe"}}}


def test_the_raw_scores_of_hits() -> None:
    hits = {"a": {"matched_queries": {"lexical.all": 3.0, "lexical.phrase": 1.0}}, "b": {}}
    raw = named.of_hits(hits, of("red shoe"))
    assert set(raw) == set(evidence.EVIDENCE)
    assert raw[evidence.ALL] == {"a": 3.0, "b": 0.0}
    assert evidence.PHRASE not in named.of_hits(hits, of("red"))


def test_the_weight_of_a_kind_is_spread_over_what_is_there() -> None:
    shares = {"lexical": 1.0, "lexical.title": 3.0}
    weights = {"lexical": 0.4, "text": 0.6}
    assert fusion.spread(weights, ["lexical", "lexical.title", "text"], shares) == {
        "lexical": 0.1, "lexical.title": pytest.approx(0.3), "text": 0.6,
    }  # fmt: skip
    assert fusion.spread(weights, ["lexical", "text"], shares) == weights


def test_the_shops_own_fields_score_by_their_boosts() -> None:
    own = replace(OWN, attached=True, lexical_fields=("name^3", "text"))
    assert of("shoe", profile=own).bounds["lexical"] == pytest.approx(3 * 2.2 * idf(10))


def test_the_bounds_are_those_of_the_mapping_and_of_the_lexical_query() -> None:
    settings = es_mappings.load("product")["settings"]["similarity"]
    boost = float(dict(name.partition("^")[::2] for name in bodies.LEXICAL_FIELDS)["title"])
    bounds = of("shoe").bounds
    assert bounds["lexical"] == pytest.approx(boost * (1 + settings["hybrid_terms"]["k1"]) * idf(10))
    assert bounds[evidence.TITLE] == pytest.approx((1 + settings["hybrid_terms"]["k1"]) * idf(8))
    assert bounds[evidence.ALL] == pytest.approx((1 + settings["hybrid_all"]["k1"]) * idf(10))
