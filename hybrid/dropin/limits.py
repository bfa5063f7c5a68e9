"""The searches that the drop-in refuses before anything reaches the cluster. Pure: it reads a body, and may raise.

The keys of a search body are allowed one by one, so that a key of a later Elasticsearch does not pass unchecked.
Limits that Elasticsearch itself has (buckets, boolean clauses, result windows of inner hits, states of a regular
expression) are left to it where its own default is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hybrid.errors import RefusedError

MAX_BODY_BYTES = 1024 * 1024
MAX_SEARCHES = 50
#: Elasticsearch's default index.max_result_window.
MAX_WINDOW = 10_000
#: JSON levels; a query nested ten times takes about thirty.
MAX_LEVELS = 60
#: JSON objects in a body: clauses, fields, aggregations.
MAX_OBJECTS = 4_096
MAX_AGGREGATIONS = 100
MAX_AGGREGATION_LEVELS = 6
#: Values of one aggregation (`size`, `shard_size`).
MAX_BUCKETS = 10_000
MAX_PATTERN_CHARS = 256

#: Options that set how much a clause may cost, and the largest value of each.
OPTIONS = {"max_determinized_states": 10_000, "max_expansions": 1_000}
#: Options of one suggester (`size`, `shard_size`): Elasticsearch makes room for as many at once.
MAX_SUGGESTIONS = 1_000

#: Names in a `filter_path`, with those that a dot parts.
MAX_FILTER_NAMES = 256

_MOST = 2**31 - 1

SEARCH_KEYS = frozenset(
    {
        "_source", "aggregations", "aggs", "collapse", "docvalue_fields", "explain", "ext", "fields", "from",
        "highlight", "indices_boost", "knn", "min_score", "post_filter", "profile", "query", "rank", "rescore",
        "retriever", "search_after", "seq_no_primary_term", "size", "sort", "stats", "stored_fields", "suggest",
        "terminate_after", "timeout", "track_scores", "track_total_hits", "version",
    }
)  # fmt: skip
_NOT_HERE = {
    "pit": "a point in time names its own indices",
    "scroll": "a scroll would hold resources on the cluster; page with from and size, or search_after",
    "slice": "a slice needs a scroll or a point in time",
    "script_fields": "no scripts from outside",
    "runtime_mappings": "no scripts from outside",
    "sub_searches": "send one query",
}
#: Keys with scripts that no setting allows.
_NEVER = frozenset({"runtime_mappings", "script_fields", "collate"})  # the query of a `collate` is a template
#: Keys of clauses and aggregations that have a script inside, and keys whose value is a script.
_SCRIPTED = frozenset({"_script", "bucket_script", "bucket_selector", "moving_fn", "script_score", "scripted_metric"})
_SCRIPTS = frozenset(
    {
        "combine_script", "init_script", "map_script", "minimum_should_match_script", "reduce_script", "script",
        "scripts",
    }
)  # fmt: skip
#: Queries that cannot be read here, because they are encoded or stored elsewhere.
_OPAQUE = frozenset({"wrapper", "template", "percolate"})


@dataclass(frozen=True)
class Limits:
    """What an operator may allow.

    scripts: "" for none, "stored" for those that the cluster keeps, "inline" for any. patterns: clauses of a search
    that walk the dictionary of terms (wildcard, regexp, and query_string with such patterns). leading: those of them
    that may begin with a wildcard, which visit every term of the field.
    """

    scripts: Literal["", "stored", "inline"] = ""
    patterns: int = 8
    leading: int = 4


#: What is allowed where no setting says otherwise.
DEFAULTS = Limits()


def check(index: str, body: Mapping[str, Any], limits: Limits = DEFAULTS, *, others: Container[str] = ()) -> None:
    """Refuse what must not reach the cluster. others: indices beside its own that a clause may look something up in.

    Raises:
        RefusedError: scripts, another index, a key that is not served, a window or a size out of bounds.
    """
    for key in body:
        if key in _NOT_HERE:
            raise RefusedError(f"[{key}] is not served here: {_NOT_HERE[key]}")
        if key not in SEARCH_KEYS:
            raise RefusedError(f"unknown key [{key}] in a search body", "parsing_exception")
    _window(body)
    walk = _Walk(index, limits, others)
    walk.visit(body, 1)
    walk.boosts(body.get("indices_boost"))
    for key in ("aggs", "aggregations"):
        _aggregations(body.get(key), 1, [0])
    _suggestions(body.get("suggest"))


def check_filter_path(filter_path: str) -> None:
    """Refuse a filter path of too many names: every key of an answer is compared with every name.

    Raises:
        RefusedError: there are too many names.
    """
    if filter_path.count(".") + filter_path.count(",") >= MAX_FILTER_NAMES:
        raise RefusedError(f"[filter_path] has at most [{MAX_FILTER_NAMES}] names")


def _window(body: Mapping[str, Any]) -> None:
    start, size = whole("from", body.get("from", 0)), whole("size", body.get("size", 10))
    if start + size > MAX_WINDOW:
        raise RefusedError(
            f"Result window is too large, from + size must be less than or equal to: [{MAX_WINDOW}] but was "
            f"[{start + size}]"
        )


def whole(name: str, value: Any) -> int:
    """The value as a whole number from 0 to the largest that Elasticsearch reads. The value may be text.

    Raises:
        RefusedError: it is no such number.
    """
    number = None
    if isinstance(value, int | str) and not isinstance(value, bool):
        try:
            number = int(value)
        except ValueError:
            number = None
    if number is None or not 0 <= number <= _MOST:
        raise RefusedError(f"[{name}] must be a whole number from 0 to {_MOST}, found [{str(value)[:40]}]")
    return number


class _Walk:
    """One pass over everything in a body."""

    def __init__(self, index: str, limits: Limits, others: Container[str]) -> None:
        self.index, self.limits, self.others = index, limits, others
        self.objects = self.patterns = self.leading = 0

    def visit(self, value: Any, level: int) -> None:
        if level > MAX_LEVELS:
            raise RefusedError(f"the body is nested deeper than [{MAX_LEVELS}] levels")
        if isinstance(value, list):
            for item in value:
                self.visit(item, level + 1)
        elif isinstance(value, dict):
            self.objects += 1
            if self.objects > MAX_OBJECTS:
                raise RefusedError(f"the body has more than [{MAX_OBJECTS}] clauses", "too_many_clauses")
            self._elsewhere(value)
            for key, inner in value.items():
                self._key(key, inner)
                self.visit(inner, level + 1)

    def _key(self, key: str, inner: Any) -> None:
        if key in _NEVER:
            raise RefusedError(f"[{key}] is not served here: no scripts from outside")
        if key in _SCRIPTED or key in _SCRIPTS:
            self._script(key, inner)
        if key in _OPAQUE and isinstance(inner, dict):
            raise RefusedError(f"[{key}] is not served here: its query comes from elsewhere")
        if key in ("wildcard", "regexp", "query_string") and isinstance(inner, dict):
            for pattern, leading in _patterns(key, inner):
                self._pattern(key, pattern, leading)
        if key in OPTIONS and not isinstance(inner, dict) and whole(key, inner) > OPTIONS[key]:
            raise RefusedError(f"[{key}] is at most [{OPTIONS[key]}]")

    def _script(self, key: str, inner: Any) -> None:
        allowed = self.limits.scripts
        if not allowed:
            raise RefusedError(f"[{key}] is not served here: set HYBRID_DROPIN_SCRIPTS to allow scripts from outside")
        if allowed == "inline" or key in _SCRIPTED:
            return
        if isinstance(inner, dict) and "script" in inner:  # a clause around a script
            return
        if not isinstance(inner, dict) or "id" not in inner or "source" in inner or "inline" in inner:
            raise RefusedError(
                f"[{key}] is not served here: HYBRID_DROPIN_SCRIPTS allows stored scripts alone, which have an [id]"
            )

    def _pattern(self, kind: str, pattern: str, leading: bool) -> None:
        self.patterns += 1
        self.leading += leading
        if len(pattern) > MAX_PATTERN_CHARS:
            raise RefusedError(f"[{kind}] patterns have at most [{MAX_PATTERN_CHARS}] characters")
        if self.patterns > self.limits.patterns:
            raise RefusedError(f"at most [{self.limits.patterns}] patterns in a search; see HYBRID_DROPIN_PATTERNS")
        if self.leading > self.limits.leading:
            raise RefusedError(
                f"at most [{self.limits.leading}] patterns in a search may begin with a wildcard; see "
                "HYBRID_DROPIN_LEADING_WILDCARDS"
            )

    def _elsewhere(self, value: Mapping[str, Any]) -> None:
        """Refuse a clause that looks up a document of another index (terms lookup, indexed shape, more like this)."""
        named = [value.get("_index")]
        if "id" in value:
            named.append(value.get("index"))
        shape = value.get("indexed_shape")
        if isinstance(shape, dict):
            named.append(shape.get("index", "shapes"))  # Elasticsearch's default
        for name in named:
            if isinstance(name, list):  # Elasticsearch may read any of them
                for one in name:
                    self._served(str(one))
            else:
                self._served(name)

    def boosts(self, indices_boost: Any) -> None:
        """Refuse a boost of another index: the answer would show whether that index exists."""
        for one in indices_boost if isinstance(indices_boost, list) else [indices_boost]:
            for name in one if isinstance(one, dict) else ():
                self._served(name)

    def _served(self, name: Any) -> None:
        # A bare number is a name to Elasticsearch as well.
        if isinstance(name, str | int | float) and str(name) != self.index and str(name) not in self.others:
            raise RefusedError(f"index [{name}] is not served by this search", "security_exception", 403)


#: A regular expression of a query_string. Its first slash is where a word begins.
_SLASHED = re.compile(r"/((?:[^/\\]|\\.)*)/?", re.DOTALL)
#: What a regular expression begins with, where all that it matches begins with the same letter.
_FIRM = re.compile(r"[(^]*(?:\\.|[^\\.?+*|{}\[\]()\"#@&<>~^])(?![?*{])", re.DOTALL)


def _patterns(kind: str, clause: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """(pattern, whether it visits every term of a field, since none of its letters has to come first)."""
    if kind == "query_string":
        return _patterns_of_words(str(clause.get("query", "")))
    values = [
        spec.get("value", spec.get("wildcard")) if isinstance(spec, dict) else spec
        for field, spec in clause.items()
        if field not in ("_name", "boost")
    ]
    patterns = [value for value in values if isinstance(value, str)]
    if kind == "regexp":
        return [(pattern, _loose(pattern)) for pattern in patterns]
    return [(pattern, pattern.startswith(("*", "?"))) for pattern in patterns]


def _patterns_of_words(text: str) -> list[tuple[str, bool]]:
    regexps = [one[1] for one in _SLASHED.finditer(text)]
    words = re.sub(r'[():"^]', " ", _SLASHED.sub(" ", text)).split()
    globs = [word.lstrip("+-!") for word in words if "*" in word or "?" in word]
    return [
        *((pattern, _loose(pattern)) for pattern in regexps),
        *((pattern, pattern.startswith(("*", "?"))) for pattern in globs),
    ]


def _loose(regexp: str) -> bool:
    """Whether a regular expression may begin with any letter. Each part beside a `|` is taken for a beginning."""
    return not all(_FIRM.match(part) for part in regexp.split("|"))


def _suggestions(value: Any) -> None:
    for key, inner in value.items() if isinstance(value, dict) else ():
        if key in ("size", "shard_size") and not isinstance(inner, dict) and whole(key, inner) > MAX_SUGGESTIONS:
            raise RefusedError(f"[{key}] of a suggester is at most [{MAX_SUGGESTIONS}]")
        _suggestions(inner)


def _aggregations(named: Any, level: int, counted: list[int]) -> None:
    if not isinstance(named, dict):
        return
    if level > MAX_AGGREGATION_LEVELS:
        raise RefusedError(f"aggregations are nested at most [{MAX_AGGREGATION_LEVELS}] levels deep")
    counted[0] += len(named)
    if counted[0] > MAX_AGGREGATIONS:
        raise RefusedError(f"at most [{MAX_AGGREGATIONS}] aggregations in a search")
    for definition in named.values():
        if not isinstance(definition, dict):
            continue  # the cluster says what is wrong with it
        for kind, options in definition.items():
            if kind in ("aggs", "aggregations"):
                _aggregations(options, level + 1, counted)
            elif isinstance(options, dict):
                for key in ("size", "shard_size"):
                    if (
                        key in options
                        and kind not in ("filter", "filters", "meta")
                        and whole(key, options[key]) > MAX_BUCKETS
                    ):
                        raise RefusedError(f"[{key}] of an aggregation is at most [{MAX_BUCKETS}]")
