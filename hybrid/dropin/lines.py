"""Boosts of a shop that change the score of the words along a line: a product's score is `slope * words + base`.

The cluster is asked for two points of each candidate's line, beside the search for candidates. So the layer computes
what the shop's functions make of the fused scores, whatever these functions are, and the cluster need not compute the
whole search anew. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from hybrid.dropin.reading import SLOT, Query, filled, functions_of, lean, slots

#: How the score of a function and that of the words make a line.
_MODES = frozenset({"multiply", "sum", "avg", "replace"})
_ONE, _ZERO = "hybrid:one", "hybrid:zero"


class Line(NamedTuple):
    """The shop's query with 1 and with 0 in place of the score of its words; zero: None where that is always 0."""

    one: Query
    zero: Query | None

    @classmethod
    def of(cls, query: Query) -> Line | None:
        """Of a query with slots; None where the scores of the words do not make a line, or there are several."""
        if sum(1 for _ in slots(query)) != 1 or not _straight(query):
            return None
        return cls(_with(query, 1.0), _with(query, 0.0) if _has_base(query) else None)

    @property
    def points(self) -> list[Query]:
        """The queries whose scores are points of a product's line."""
        return [self.one] if self.zero is None else [self.one, self.zero]

    @property
    def named(self) -> list[Query]:
        """The same by name, so that a hit tells its scores (`include_named_queries_score`)."""
        names = (_ONE, _ZERO)
        return [{"bool": {"must": [query], "_name": name}} for name, query in zip(names, self.points, strict=False)]


class Straight(NamedTuple):
    """A product's line."""

    slope: float
    base: float

    @classmethod
    def of_hit(cls, hit: Mapping[str, Any]) -> Straight:
        """By the named scores of a hit. What it does not match has no name, and scores 0."""
        named = hit.get("matched_queries", {})
        base = float(named.get(_ZERO, 0.0))
        return cls(float(named.get(_ONE, 0.0)) - base, base)

    def at(self, score: float) -> float:
        return self.slope * score + self.base

    @classmethod
    def steepest(cls, tops: Iterable[float]) -> Straight:
        """A line that no product's is above. tops: the best score of each of `Line.points`."""
        one, *zero = tops
        return cls(one, *zero, *([] if zero else [0.0]))


def _with(query: Query, score: float) -> Query:
    """The query where every text that a product matches has this score."""

    def fill(slot: Query) -> Query:
        text: Query = {"match_all": {}} if slot["certain"] else lean(slot["text"])
        return {"constant_score": {"filter": text, "boost": score}}

    with_score: Query = filled(lean(query), fill)
    return with_score


def _straight(query: Query) -> bool:
    """Whether the way from the query down to its slot keeps a line a line."""
    if SLOT in query:
        return True
    ((kind, clause),) = query.items()
    if kind == "bool":
        return all(_straight(child) for child in _scoring(clause) if _has_slot(child))
    if kind == "function_score":
        of_score = any("script_score" in one for one in functions_of(clause))
        return not of_score and _mode(clause) in _MODES and _straight(clause["query"])
    return kind == "boosting" and _straight(clause["positive"])


def _has_base(query: Query) -> bool:
    """Whether a product may have a score where its words have 0."""
    if SLOT in query:
        return False
    ((kind, clause),) = query.items()
    if kind == "bool":
        first, *others = _scoring(clause)
        return bool(others) or _has_base(first)
    if kind == "function_score":
        return _mode(clause) != "multiply" or _has_base(clause["query"])
    return _has_base(clause["positive"])


def _scoring(clause: Mapping[str, Any]) -> list[Query]:
    return [*clause.get("must", ()), *clause.get("should", ())]


def _mode(clause: Mapping[str, Any]) -> str:
    return str(clause.get("boost_mode", "multiply")).lower()


def _has_slot(query: Query) -> bool:
    return any(True for _ in slots(query))
