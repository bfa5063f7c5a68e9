"""What a search body asks for in words, and whether its hits may be put in another order. Pure.

A query is *words* where all that scores in it are text clauses; then the layer scores it in its own way, and the
query decides what matches. Around the words there may be what the shop adds or multiplies (`function_score`,
`boosting`, clauses that boost a brand): that keeps its effect. Everything else passes through, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

#: Where a part of a query stands: keys and positions, from the query itself.
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
#: Parts of a body that say themselves how hits are found, ordered or shown.
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
    """passes: why the body is left as it is, or "". words: what is looked for.

    text: the part of the query that is words alone. silent: other text clauses beside it, whose scores the layer's
    takes the place of. inner: the query that the shop multiplies, where it does. adds: whether clauses beside the
    words add to the score.
    """

    passes: str = ""
    words: str = ""
    text: Path = ()
    silent: tuple[Path, ...] = ()
    inner: Path | None = None
    adds: bool = False


def recognise(body: Mapping[str, Any], not_text: Collection[str] = ()) -> Recognised:
    """not_text: fields that hold values, not text: a `match` on one of them is a filter, not words."""
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
    """Whether a sort is none at all, or the order of scores that a search has anyway."""
    if sort in (None, [], "_score"):
        return True
    if isinstance(sort, dict):
        sort = [sort]
    if not isinstance(sort, list) or len(sort) != 1:
        return False
    return sort[0] in ("_score", {"_score": "desc"}, {"_score": {"order": "desc"}}, {"_score": {}})


def _completes(suggest: Any) -> bool:
    """Whether a suggester brings products: those must look as the shop's body says, not as candidates do."""
    named = suggest.values() if isinstance(suggest, dict) else ()
    return any(isinstance(one, dict) and "completion" in one for one in named)


def _by_best(aggregations: Any) -> bool:
    """Whether an aggregation looks at scores: with other scores it would count something else."""
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
    found: Any = query
    for step in path:
        found = found[step]
    return found


def put(query: Any, path: Path, value: Any) -> Any:
    """The query with another part at a path; the given one stays as it is."""
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
        if not self.adds:  # nothing but words: the whole of it is what the layer scores
            text, silent = path, []
        return Recognised("", words, text, tuple(silent), inner, self.adds)

    def _unwrap(self, query: Mapping[str, Any], path: Path, inner: Path | None) -> tuple[Path, Path | None]:
        """Down to the query that functions multiply."""
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
        """Take in a clause that scores; whether it is words alone."""
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
            given = clause.get(occur)
            for place, child in enumerate(given if isinstance(given, list) else [given] if given else []):
                below: Path = (*path, "bool", occur, *([place] if isinstance(given, list) else []))
                alike = occur == "must" and "should" not in path and _constant(child, self.not_text)
                pure = (alike or self._scoring(child, below)) and pure
        if not pure:
            self.adds = True
            return False
        if len(self.texts) > before:  # one part, whatever stands in it
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
    """Whether a clause gives the same score to all that it matches: asked of every hit, it orders nothing."""
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
    """Whether functions scale the score: then they scale the new one as well."""
    mode = clause.get("boost_mode", "multiply")
    if mode != "multiply":
        raise _Passes(f"function_score with boost_mode {mode}")
    if clause.get("min_score") is not None:  # it would cut by the layer's scores, and so match something else
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
        given = clause[fields[0]]
        return _plain(given.get("query") if isinstance(given, dict) else given)
    if kind not in _FIELDS_TEXT:
        return None
    named = clause.get("fields") or [clause.get("default_field", "*")]
    if isinstance(named, list) and all(str(name).partition("^")[0] in not_text for name in named):
        return None
    words = _plain(clause.get("query"))
    return _OPERATORS[kind](words) if kind in _OPERATORS else words


def _plain(given: Any) -> str:
    if not isinstance(given, str | int | float):
        raise _Passes("a query that is not recognised")
    return " ".join(str(given).split())


def _simple(text: str) -> str:
    """simple_query_string without its operators, and without what is not wanted."""
    text = re.sub(r'(?:^|(?<=\s))-\s*(?:"[^"]*"|\S+)', " ", text)
    text = re.sub(r"~\d*", " ", text)
    return " ".join(re.sub(r'(?:^|(?<=[\s(]))\+|[|"*()\\]', " ", text).split())


def _lucene(text: str) -> str:
    """query_string where it is but words, phrases, AND, OR and boosts."""
    if re.search(r"[:/\\{}\[\]~*?!]|\bNOT\b|&&|\|\||(?:^|[\s(])-", text):
        raise _Passes("a query_string with operators")
    text = re.sub(r"\^[\d.]+", " ", re.sub(r"\b(?:AND|OR)\b", " ", text))
    return " ".join(re.sub(r'(?:^|(?<=[\s(]))\+|["()]', " ", text).split())


_OPERATORS: dict[str, Callable[[str], str]] = {"simple_query_string": _simple, "query_string": _lucene}
