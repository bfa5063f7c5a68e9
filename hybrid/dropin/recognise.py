"""The words of a search body, and whether its hits may be put in another order. Pure.

Where the words are all that scores, the layer computes the scores, and the query decides what matches. Where the shop
adds to the score of the words, multiplies it, pins products, sorts by more than the score or collapses, Elasticsearch
itself computes the whole search, with the layer's scores in place of those of the words (see hybrid.dropin.reading).
Every other body passes through unchanged, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from hybrid.dropin.lines import Line
from hybrid.dropin.reading import Query, Read, read
from hybrid.dropin.wording import Passes, Said

MAX_WORDS_CHARS = 1_000

#: Parts of a body that decide how hits are found, ordered or shown.
_PASSING = {
    "retriever": "retriever",
    "rank": "rank",
    "knn": "knn",
    "rescore": "rescore",
    "search_after": "search_after",
    "profile": "profile",
    "explain": "explain",
    "terminate_after": "terminate_after",
    "indices_boost": "indices_boost",
}
#: What an option of a sort says of a field that some products lack.
_RARE = ("missing", "unmapped_type", "nested", "nested_path", "nested_filter")
_NUMBERS = ("long", "double", "date")


@dataclass(frozen=True)
class Recognised:
    """passes: why the body passes unchanged, or "". words: the words of the query.

    alternatives: other words, and how much they count beside these. said: the text clauses. query: the query with a
    slot for each text; None where the words are all that scores and that orders. pins: what the products match that the
    shop pins. excluded: what the products match that the words exclude. raised: what the products match that a function
    puts first. line: of the query, where the layer may compute the shop's boosts itself. See hybrid.dropin.reading.Read
    and hybrid.dropin.lines.
    """

    passes: str = ""
    words: str = ""
    alternatives: tuple[tuple[str, float], ...] = ()
    said: tuple[Said, ...] = ()
    query: Query | None = None
    pins: tuple[Query, ...] = ()
    excluded: tuple[Query, ...] = ()
    raised: tuple[Query, ...] = ()
    scaled: bool = False
    line: Line | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields that the words are searched in."""
        return tuple(dict.fromkeys(name for one in self.said for name in one.fields))

    @property
    def loose(self) -> bool:
        """Whether the query matches words that are not those typed: similar ones, or longer ones."""
        return any(one.fuzzy or one.unfinished for one in self.said)


def recognise(body: Mapping[str, Any], not_text: Mapping[str, str] | Collection[str] = ()) -> Recognised:
    """Read a body. not_text: the fields of values, and where known their types. See hybrid.dropin.reading.read."""
    for key, reason in _PASSING.items():
        if body.get(key) not in (None, False, [], {}):
            return Recognised(passes=reason)
    types = not_text if isinstance(not_text, Mapping) else {}
    sort = _sort(body.get("sort"))
    if sort is None or not _may_rank(sort, types):
        return Recognised(passes="sort")
    if str(body.get("size", 10)) == "0":
        return Recognised(passes="size 0 asks for no hits")
    if any(_by_best(body.get(key)) for key in ("aggs", "aggregations")):
        return Recognised(passes="an aggregation of the best hits")
    if _completes(body.get("suggest")):
        return Recognised(passes="completions are shown as hits are")
    query = body.get("query")
    if not isinstance(query, dict):
        return Recognised(passes="no query")
    try:
        found = read(query, not_text)
    except Passes as why:
        return Recognised(passes=str(why))
    words = found.words
    if len(words) > MAX_WORDS_CHARS:
        return Recognised(passes=f"more than {MAX_WORDS_CHARS} characters of words")
    whole = len(sort) > 1 or body.get("collapse") or "_none_" in str(body.get("stored_fields"))
    return _recognised(found, words, bool(whole))


def _recognised(found: Read, words: str, whole: bool) -> Recognised:
    alone = found.pure and not found.pins and not found.excluded
    boosted = not (whole or found.pure or found.pins or found.excluded or found.raised)
    return Recognised(
        words=words,
        alternatives=found.alternatives,
        said=found.said,
        query=None if alone and not whole else found.slotted,
        pins=found.pins,
        excluded=found.excluded,
        raised=found.raised,
        scaled=bool(found.pins) or not found.pure,
        line=Line.of(found.slotted) if boosted else None,
    )


def _sort(sort: Any) -> list[tuple[str, Mapping[str, Any]]] | None:
    """(field, options) of each key of a sort; that of scores where there is none. None where it cannot be read."""
    keys: list[tuple[str, Mapping[str, Any]]] = []
    for one in sort if isinstance(sort, list) else [sort] if sort is not None else []:
        for name, options in one.items() if isinstance(one, dict) else [(one, {})]:
            if not isinstance(name, str):
                return None
            keys.append((name, options if isinstance(options, dict) else {"order": options}))
    return keys or [("_score", {})]


def _may_rank(sort: list[tuple[str, Mapping[str, Any]]], types: Mapping[str, str]) -> bool:
    """Whether the best score comes first, or first of those that are alike in a few fields before it."""
    for name, options in sort:
        if name == "_score":
            return str(options.get("order") or "desc").lower() == "desc"
        told = any(key in options for key in _RARE)
        if name.startswith("_") or not (told or types.get(name, "long") not in _NUMBERS):
            return False
    return False


def _completes(suggest: Any) -> bool:
    """Whether a suggester returns products: they must have the fields that the body requests, not a candidate's."""
    named = suggest.values() if isinstance(suggest, dict) else ()
    return any(isinstance(one, dict) and "completion" in one for one in named)


def _by_best(aggregations: Any) -> bool:
    """Whether an aggregation depends on scores: with other scores its result would be another."""
    for named in aggregations.values() if isinstance(aggregations, dict) else ():
        for kind, options in named.items() if isinstance(named, dict) else ():
            if kind in ("aggs", "aggregations"):
                if _by_best(options):
                    return True
            elif kind in ("sampler", "diversified_sampler"):
                return True
            elif kind in ("top_hits", "top_metrics") and isinstance(options, dict):
                sort = options.get("sort")
                if sort is None or "_score" in str(sort):
                    return True
    return False
