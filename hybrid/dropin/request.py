"""One search as a shop's code sends it, in one form: what came in the address is moved into the body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hybrid.dropin.limits import whole
from hybrid.errors import RefusedError

#: Parameters that a line of `_msearch` takes as well: where and how to search.
ROUTE = frozenset(
    {
        "allow_no_indices", "allow_partial_search_results", "expand_wildcards", "ignore_throttled",
        "ignore_unavailable", "preference", "request_cache", "routing", "search_type",
    }
)  # fmt: skip
#: Parameters of the whole answer, which `_msearch` takes in its address.
ANSWER = frozenset(
    {
        "ccs_minimize_roundtrips", "error_trace", "human", "max_concurrent_shard_requests", "pre_filter_shard_size",
        "rest_total_hits_as_int", "typed_keys",
    }
)  # fmt: skip
#: Parameters that shape the answer here, once it is ranked.
SHAPE = frozenset({"filter_path", "pretty"})
#: Parameters that only the cluster's own search understands.
PLAIN = frozenset(
    {
        "batched_reduce_size", "force_synthetic_source", "include_named_queries_score", "min_compatible_shard_node",
        "suggest_field", "suggest_mode", "suggest_size", "suggest_text",
    }
)  # fmt: skip
MSEARCH = ANSWER | SHAPE | {"include_named_queries_score", "max_concurrent_searches", "search_type"}

_QUERY_STRING = {
    "analyzer": "analyzer",
    "analyze_wildcard": "analyze_wildcard",
    "default_operator": "default_operator",
    "df": "default_field",
    "lenient": "lenient",
}
_FLAGS = ("version", "seq_no_primary_term", "explain", "track_scores")
_BODY = frozenset(
    {
        "_source", "_source_excludes", "_source_includes", "docvalue_fields", "from", "q", "size", "sort", "stats",
        "stored_fields", "terminate_after", "timeout", "track_total_hits", *_FLAGS, *_QUERY_STRING,
    }
)  # fmt: skip
_REFUSED = {
    "scroll": "a scroll would hold resources on the cluster; page with from and size, or search_after",
    "source": "send the search as the body of the request",
    "source_content_type": "send the search as the body of the request",
}
_TIME = re.compile(r"(\d+)(nanos|micros|ms|s|m|h|d)")
_SECONDS = {"nanos": 1e-9, "micros": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class ShopSearch:
    """index: one name. body: the whole search. route: see ROUTE. plain: see PLAIN."""

    index: str
    body: Mapping[str, Any]
    route: Mapping[str, Any] = field(default_factory=dict)
    plain: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, index: str, body: Mapping[str, Any], params: Mapping[str, str], timeout_s: float) -> ShopSearch:
        """From the body and the parameters of the address; `timeout` is added, or cut to timeout_s.

        Raises:
            RefusedError: a parameter that is not served, or of a wrong kind.
        """
        for name in params:
            if name in _REFUSED:
                raise RefusedError(f"parameter [{name}] is not served here: {_REFUSED[name]}")
            if name not in ROUTE | ANSWER | SHAPE | PLAIN | _BODY:
                raise RefusedError(f"request [/{index}/_search] contains unrecognized parameter: [{name}]")
        merged = {**body, **_from_address(params)}
        merged["timeout"] = bounded(merged.get("timeout"), timeout_s)
        return cls(
            index,
            merged,
            {name: value for name, value in params.items() if name in ROUTE},
            {name: value for name, value in params.items() if name in PLAIN},
        )


def bounded(given: Any, limit_s: float) -> str:
    """A time as Elasticsearch writes it, at most limit_s."""
    match = _TIME.fullmatch(str(given)) if given is not None else None
    seconds = float(match[1]) * _SECONDS[match[2]] if match else limit_s
    return str(given) if match and seconds <= limit_s else f"{round(limit_s * 1000)}ms"


def flag(name: str, value: Any) -> bool:
    """A flag of the address; alone it means true.

    Raises:
        RefusedError: neither true nor false.
    """
    if value in ("", "true", True):
        return True
    if value in ("false", False):
        return False
    raise RefusedError(f"Failed to parse value [{value}] as only [true] or [false] are allowed for [{name}]")


def _from_address(params: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("from", "size", "terminate_after"):
        if name in params:
            found[name] = whole(name, params[name])
    for name in _FLAGS:
        if name in params:
            found[name] = flag(name, params[name])
    for name in ("docvalue_fields", "stored_fields", "stats"):
        if name in params:
            found[name] = params[name].split(",")
    if "timeout" in params:
        found["timeout"] = params["timeout"]
    if "track_total_hits" in params:
        given = params["track_total_hits"]
        found["track_total_hits"] = whole("track_total_hits", given) if given.isdigit() else flag("", given)
    if "sort" in params:
        pairs = [part.partition(":") for part in params["sort"].split(",")]
        found["sort"] = [{name: {"order": order}} if order else name for name, _, order in pairs]
    source = _source(params)
    if source is not None:
        found["_source"] = source
    if "q" in params:
        options = {key: params[name] for name, key in _QUERY_STRING.items() if name in params}
        found["query"] = {"query_string": {"query": params["q"], **options}}
    elif stray := sorted(set(params) & set(_QUERY_STRING)):
        raise RefusedError(f"parameter [{stray[0]}] belongs to [q]")
    return found


def _source(params: Mapping[str, str]) -> Any:
    wanted = params.get("_source")
    includes, excludes = params.get("_source_includes"), params.get("_source_excludes")
    if wanted in ("true", "false") and not includes and not excludes:
        return wanted == "true"
    if wanted and wanted not in ("true", "false"):
        includes = includes or wanted
    if not includes and not excludes:
        return None
    found = {}
    if includes:
        found["includes"] = includes.split(",")
    if excludes:
        found["excludes"] = excludes.split(",")
    return found
