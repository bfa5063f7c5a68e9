"""What the words of a query are looked for as: alone the plain query, with alternatives the best of each place."""

from __future__ import annotations

from typing import Any

from hybrid.elastic.retrieval import bodies, lexical
from hybrid.searches import Alternative, Reading, Words


def plain(terms: str, **options: Any) -> dict[str, Any]:
    return {"multi_match": {**bodies.lexical_query(terms)["multi_match"], **options}}


def test_words_without_alternatives_are_the_plain_query() -> None:
    assert lexical.query(Words("red sofa")) == plain("red sofa")
    assert lexical.query(Words("")) == {"match_all": {}}
    assert lexical.conditions(Words("red sofa")) == []


def test_an_alternative_stands_in_the_place_of_its_words() -> None:
    words = Words("red sofa bed", (Alternative("couch", 0.8, of="sofa"), Alternative("settee", 0.5, of="sofa")))
    best = {"dis_max": {"queries": [plain("sofa"), plain("couch", boost=0.8), plain("settee", boost=0.5)]}}
    assert lexical.query(words) == {"bool": {"should": [plain("red bed"), best]}}
    one = Words("laptop", (Alternative("lap top", 0.9, of="laptop"),))
    assert lexical.query(one) == {
        "dis_max": {"queries": [plain("laptop"), plain("lap top", operator="and", boost=0.9)]}
    }


def test_words_that_were_typed_do_not_count_twice() -> None:
    known = Words("running trainer", (Alternative("running shoe", 0.8, of="trainer"),))
    shoe = {"bool": {"must": [plain("shoe", boost=0.8)], "filter": [plain("running")]}}
    assert lexical.query(known) == {
        "bool": {"should": [plain("running"), {"dis_max": {"queries": [plain("trainer"), shoe]}}]}
    }
    both = Words("sofa couch", (Alternative("couch", 0.8, of="sofa"),))
    assert lexical.query(both) == {"bool": {"should": [plain("couch"), {"dis_max": {"queries": [plain("sofa")]}}]}}


def test_alternatives_of_the_whole_query_and_an_unfinished_word_are_beside_it() -> None:
    words = Words("red kettle", (Alternative("pot", 0.5),), unfinished="kettle")
    begun = lexical.begun("kettle", boost=2.0)
    assert begun["multi_match"]["type"] == "bool_prefix"
    assert lexical.query(words) == {
        "dis_max": {
            "queries": [
                {"bool": {"should": [plain("red kettle"), begun]}},
                {"bool": {"must": [plain("pot")], "boost": 0.5}},
            ]
        }
    }


def test_in_the_shops_own_fields_words_without_spaces_have_places_too() -> None:
    words = Words("红色沙发", (Alternative("长椅", 0.8, of="沙发"),))
    query = lexical.query(words, ["name^3"])
    rest, place = query["bool"]["should"]
    assert rest["multi_match"]["query"] == "红色"
    assert [one["multi_match"]["query"] for one in place["dis_max"]["queries"]] == ["沙发", "长椅"]


def test_phrases_and_exclusions_are_conditions() -> None:
    words = Words("", phrases=((Reading("run shoe"),),), excluded=((Reading("nike"),), (Reading("红 色", 1),)))
    phrase, without = lexical.conditions(words, ["name^3", "brand"])
    assert phrase == {
        "multi_match": {"query": "run shoe", "type": "phrase", "fields": ["name", "brand"], "lenient": True}
    }
    nike, red = without["bool"]["must_not"]
    assert nike["multi_match"]["query"] == "nike"
    assert [list(one["intervals"]) for one in red["bool"]["should"]] == [["name"], ["brand"]]
