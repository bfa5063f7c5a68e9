"""What the drop-in takes mistyped and unfinished words for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from hybrid.contracts import FieldMap, IndexProfile
from hybrid.dropin.recognise import recognise
from hybrid.dropin.request import ShopSearch
from hybrid.dropin.spelling import Meant, Met, Mistyped, meant

PROFILE = IndexProfile("shop", FieldMap({"title": ("title",)}), {}, "en", "1")


@dataclass
class Index:
    """An index of a few terms."""

    terms: Sequence[str] = ("wooden", "kettl", "shoe")
    total: int = 3
    asked: list[tuple[Mistyped, ...]] = field(default_factory=list)

    def met(self, search: ShopSearch, profile: IndexProfile, words: Sequence[str]) -> Met:
        begun = bool(words[-1]) and any(term.startswith(words[-1]) for term in self.terms)
        return Met(self.total, [word in self.terms for word in words], begun)

    def similar(self, profile: IndexProfile, words: Sequence[Mistyped], fields: Sequence[str]) -> Mapping[str, str]:
        self.asked.append(tuple(words))
        return {word.word: "kettle" for word in words if word.word == "keettle"}


def fuzzy(text: str, **options: Any) -> dict[str, Any]:
    return {"match": {"title": {"query": text, "fuzziness": "AUTO", **options}}}


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (fuzzy("wooden kettles"), Meant("wooden kettles")),
        (fuzzy("wooden keettle"), Meant("wooden kettle")),
        (fuzzy("wooden qxzt"), Meant("wooden qxzt")),
        ({"match_phrase_prefix": {"title": "wooden sho"}}, Meant("wooden sho", "sho")),
        ({"match_phrase_prefix": {"title": "sho wooden"}}, Meant("sho wooden")),
        ({"match_phrase_prefix": {"title": "wooden keettle"}}, Meant("wooden keettle")),
        (fuzzy("!?"), Meant("!?")),
    ],
)
def test_a_word_stands_for_what_it_finds(query: dict[str, Any], wanted: Meant) -> None:
    body = {"query": query, "timeout": "1s"}
    analysis = recognise(body)
    assert analysis.loose
    assert meant(ShopSearch("shop", body), PROFILE, analysis, Index()) == wanted


def test_no_more_letters_are_wrong_than_the_shop_forgives() -> None:
    index = Index()
    body = {"query": fuzzy("kette wodden keettle", prefix_length=2), "timeout": "1s"}
    meant(ShopSearch("shop", body), PROFILE, recognise(body), index)
    assert [(one.word, one.edits, one.prefix) for one in index.asked[0]] == [
        ("kette", 1, 2), ("wodden", 2, 2), ("keettle", 2, 2),
    ]  # fmt: skip
    assert meant(ShopSearch("shop", body), PROFILE, recognise(body), Index(total=0)).words == "kette wodden keettle"
