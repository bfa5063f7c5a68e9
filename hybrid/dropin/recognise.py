"""The words of a search body, and whether its hits may be put in another order. Pure.

A query is *words* where every clause that scores is a text clause. The layer then computes the scores, and the query
decides what matches. The shop may add to the score of the words or multiply it (`function_score`, `boosting`, clauses
that boost a brand): this keeps its effect. Every other body passes through unchanged, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

#: The place of a part of a query: keys and positions, from the query itself.
Path = tuple[str | int, ...]

MAX_WORDS_CHARS = 1_000

_FIELD_TEXT = ("match", "match_phrase", "match_phrase_prefix", "match_bool_prefix")
_FIELDS_TEXT = ("multi_match", "combined_fields", "simple_query_string", "query_string")
#: Clauses whose score, if any, is a constant or the shop's own business.
_NEUTRAL = frozenset(
    {
        "constant_score", "exists", "fuzzy", "geo_bounding_box", "geo_distance", "geo_shape", "ids", "match_all",
        "match_none", "prefix", "range", "regexp", "term", "terms", "terms_set", "wildcard",
    }
)  # fmt: skip
#: Parts of a body that decide how hits are found, ordered or shown.
_PASSING = {
    "retriever": "retriever",
    "rank": "rank",
    "knn": "knn",
    "rescore": "rescore",
    "search_after": "search_after",
    "collapse": "collapse",
    "profile": "profile",
    "explain": "explain",
    "terminate_after": "terminate_after",
    "indices_boost": "indices_boost",
}


class _Passes(Exception):
    """The query is not one that can be ranked anew; the message is the reason."""


@dataclass(frozen=True)
class Recognised:
    """passes: why the body passes unchanged, or "". words: the words of the query.

    text: the part of the query that is words alone. silent: the other text clauses, whose scores the layer's score
    replaces. inner: the query whose score the shop multiplies, if it does. adds: whether other clauses than the words
    add to the score.
    """

    passes: str = ""
    words: str = ""
    text: Path = ()
    silent: tuple[Path, ...] = ()
    inner: Path | None = None
    adds: bool = False


def recognise(body: Mapping[str, Any], not_text: Collection[str] = ()) -> Recognised:
    """Read a body. not_text: fields of values, not text: a `match` on one of them is a filter, not words."""
    for key, reason in _PASSING.items():
        if body.get(key) not in (None, False, [], {}):
            return Recognised(passes=reason)
    if not by_score(body.get("sort")):
        return Recognised(passes="sort")
    if str(body.get("size", 10)) == "0":
        return Recognised(passes="size 0 asks for no hits")
    if "_none_" in str(body.get("stored_fields")):
        return Recognised(passes="hits without ids")
    if any(_by_best(body.get(key)) for key in ("aggs", "aggregations")):
        return Recognised(passes="an aggregation of the best hits")
    if _completes(body.get("suggest")):
        return Recognised(passes="completions are shown as hits are")
    query = body.get("query")
    if not isinstance(query, dict):
        return Recognised(passes="no query")
    try:
        return _Reader(not_text).read(query)
    except _Passes as why:
        return Recognised(passes=str(why))


def by_score(sort: Any) -> bool:
    """Whether a sort is absent, or is the order of scores, which a search has without a sort."""
    if sort in (None, [], "_score"):
        return True
    if isinstance(sort, dict):
        sort = [sort]
    if not isinstance(sort, list) or len(sort) != 1:
        return False
    return sort[0] in ("_score", {"_score": "desc"}, {"_score": {"order": "desc"}}, {"_score": {}})


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


def part(query: Mapping[str, Any], path: Path) -> Any:
    """The part of a query at a path."""
    value: Any = query
    for step in path:
        value = value[step]
    return value


def put(query: Any, path: Path, value: Any) -> Any:
    """A copy of the query with another part at a path."""
    if not path:
        return value
    step, *rest = path
    if isinstance(query, list):
        return [put(item, tuple(rest), value) if place == step else item for place, item in enumerate(query)]
    return {**query, step: put(query[step], tuple(rest), value)}


class _Reader:
    def __init__(self, not_text: Collection[str]) -> None:
        self.not_text = frozenset(not_text)
        self.words: list[str] = []
        self.texts: list[Path] = []
        self.adds = False

    def read(self, query: Mapping[str, Any]) -> Recognised:
        path, inner = self._unwrap(query, (), None)
        self._scoring(part(query, path), path)
        words = " ".join(self.words)
        if not words:
            raise _Passes("no words that score")
        if len(words) > MAX_WORDS_CHARS:
            raise _Passes(f"more than {MAX_WORDS_CHARS} characters of words")
        text, *silent = self.texts
        if not self.adds:  # words alone: the layer scores the whole query
            text, silent = path, []
        return Recognised("", words, text, tuple(silent), inner, self.adds)

    def _unwrap(self, query: Mapping[str, Any], path: Path, inner: Path | None) -> tuple[Path, Path | None]:
        """The path of the query below all functions, and the path of the query that the outermost multiplies."""
        kind, clause = _clause(query)
        if kind == "function_score":
            _multiplies(clause)
            if not isinstance(clause.get("query"), dict):
                raise _Passes("function_score without a query")
            below = (*path, kind, "query")
            return self._unwrap(clause["query"], below, inner or below)
        if kind == "boosting" and isinstance(clause.get("positive"), dict):
            below = (*path, kind, "positive")
            return self._unwrap(clause["positive"], below, inner or below)
        return path, inner

    def _scoring(self, query: Any, path: Path) -> bool:
        """Collect the words of a clause that scores; whether it is words alone."""
        kind, clause = _clause(query)
        if kind == "bool":
            return self._bool(clause, path)
        if kind == "dis_max":
            return self._dis_max(clause, path)
        if kind in ("nested", "has_child", "has_parent") and isinstance(clause.get("query"), dict):
            inner = _Reader(self.not_text)
            if not inner._scoring(clause["query"], ()) or not inner.words:
                raise _Passes(f"a {kind} clause that is not words alone")
            self._take(inner.words, path)
            return True
        text = _text(kind, clause, self.not_text)
        if text is not None:
            self._take([text] if text else [], path)
            return True
        if kind in _NEUTRAL or kind == "match":
            return False
        raise _Passes(f"a {kind} clause")

    def _bool(self, clause: Mapping[str, Any], path: Path) -> bool:
        before, adds = len(self.texts), self.adds
        pure = True
        for occur in ("must", "should"):
            children = clause.get(occur)
            for place, child in enumerate(children if isinstance(children, list) else [children] if children else []):
                below: Path = (*path, "bool", occur, *([place] if isinstance(children, list) else []))
                alike = occur == "must" and "should" not in path and _constant(child, self.not_text)
                pure = (alike or self._scoring(child, below)) and pure
        if not pure:
            self.adds = True
            return False
        if len(self.texts) > before:  # the whole clause counts as one part
            self.texts[before:] = [path]
        self.adds = adds
        return True

    def _dis_max(self, clause: Mapping[str, Any], path: Path) -> bool:
        queries = clause.get("queries")
        inner = _Reader(self.not_text)
        if not isinstance(queries, list) or not all([inner._scoring(query, ()) for query in queries]):
            raise _Passes("a dis_max of words and other clauses")
        self._take(inner.words, path)
        return True

    def _take(self, words: list[str], path: Path) -> None:
        self.texts.append(path)
        for text in words:
            if not any(_folded(text) in _folded(known) for known in self.words):
                self.words = [known for known in self.words if _folded(known) not in _folded(text)]
                self.words.append(text)


def _constant(query: Any, not_text: frozenset[str]) -> bool:
    """Whether a clause has the same score for all that it matches. As a `must`, it does not change the order."""
    kind, clause = _clause(query)
    if kind in ("term", "match"):
        return any(name in not_text for name in clause)
    return kind in _NEUTRAL and kind not in ("fuzzy", "terms_set", "geo_shape")


def _folded(text: str) -> str:
    return f" {' '.join(text.casefold().split())} "


def _clause(query: Any) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(query, dict) or len(query) != 1:
        raise _Passes("a query that is not recognised")
    kind, clause = next(iter(query.items()))
    if not isinstance(clause, dict):
        raise _Passes("a query that is not recognised")
    return kind, clause


def _multiplies(clause: Mapping[str, Any]) -> None:
    """Check that functions multiply the score: then they multiply the layer's score as well."""
    mode = clause.get("boost_mode", "multiply")
    if mode != "multiply":
        raise _Passes(f"function_score with boost_mode {mode}")
    if clause.get("min_score") is not None:  # it would compare the layer's scores, and so match other products
        raise _Passes("function_score with min_score")
    functions = clause.get("functions", [clause])
    if not isinstance(functions, list) or any("random_score" in one for one in functions if isinstance(one, dict)):
        raise _Passes("function_score with random_score")


def _text(kind: str, clause: Mapping[str, Any], not_text: frozenset[str]) -> str | None:
    """The words of a text clause, or None where it is none."""
    if kind in _FIELD_TEXT:
        fields = [name for name in clause if name not in ("boost", "_name")]
        if len(fields) != 1:
            raise _Passes("a query that is not recognised")
        if fields[0] in not_text:
            return None
        spec = clause[fields[0]]
        return _plain(spec.get("query") if isinstance(spec, dict) else spec)
    if kind not in _FIELDS_TEXT:
        return None
    named = clause.get("fields") or [clause.get("default_field", "*")]
    if isinstance(named, list) and all(str(name).partition("^")[0] in not_text for name in named):
        return None
    words = _plain(clause.get("query"))
    return _OPERATORS[kind](words) if kind in _OPERATORS else words


def _plain(value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise _Passes("a query that is not recognised")
    return " ".join(str(value).split())


def _simple(text: str) -> str:
    """The words of a simple_query_string, without its operators and without the excluded words."""
    text = re.sub(r'(?:^|(?<=\s))-\s*(?:"[^"]*"|\S+)', " ", text)
    text = re.sub(r"~\d*", " ", text)
    return " ".join(re.sub(r'(?:^|(?<=[\s(]))\+|[|"*()\\]', " ", text).split())


def _lucene(text: str) -> str:
    """The words of a query_string that has only words, phrases, AND, OR and boosts."""
    if re.search(r"[:/\\{}\[\]~*?!]|\bNOT\b|&&|\|\||(?:^|[\s(])-", text):
        raise _Passes("a query_string with operators")
    text = re.sub(r"\^[\d.]+", " ", re.sub(r"\b(?:AND|OR)\b", " ", text))
    return " ".join(re.sub(r'(?:^|(?<=[\s(]))\+|["()]', " ", text).split())


_OPERATORS: dict[str, Callable[[str], str]] = {"simple_query_string": _simple, "query_string": _lucene}
