"""Which requests the drop-in forwards: an allow-list of methods and shapes of address. Pure.

An address is taken apart as it came over the wire, decoded once, and made anew of its parts. What would decode to
something else, or twice, is refused: whatever stands between here and the cluster reads the same address as this does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote, unquote_to_bytes, urlencode

from hybrid.dropin.limits import DEFAULTS, Limits
from hybrid.dropin.request import ROUTE
from hybrid.errors import RefusedError, UsageError

_MAX_PATH_BYTES, _MAX_SEGMENTS = 4_096, 6
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
#: An index: no list, pattern, date math, cluster, or what Elasticsearch itself takes for no name.
_NAME = re.compile(r"[^\s\\/*?\"<>|,#:%A-Z_+.\x00-\x1f\x7f-\x9f-][^\s\\/*?\"<>|,#:%A-Z\x00-\x1f\x7f-\x9f]*")
_MAX_NAME_BYTES = 255
#: Words of an address, such as metrics, and names of fields.
_WORDS = re.compile(r"[a-z_]+(?:,[a-z_]+)*")
_FIELDS = re.compile(r"[\w.@*-]+(?:,[\w.@*-]+)*")
_NODES = ("_all", "_local", "stats")
_METRICS = frozenset(
    {
        "aggregations", "breaker", "fs", "http", "indices", "ingest", "jvm", "os", "plugins", "process", "stats",
        "thread_pool", "transport",
    }
)  # fmt: skip


class Names:
    """The indices that may be read and written through the proxy: names, and beginnings with a `*` behind them.

    limits: what queries on them may have.
    """

    def __init__(self, listed: str, limits: Limits = DEFAULTS) -> None:
        """listed: comma-separated.

        Raises:
            UsageError: an entry is no name of an index, or one of the layer's or the cluster's own.
        """
        self.limits = limits
        entries = [entry.strip() for entry in listed.split(",") if entry.strip()]
        for entry in entries:
            if not is_name(entry.removesuffix("*")):
                raise UsageError(
                    f"setting dropin_proxy_indices: {entry!r} is not the name of a shop's index; name it whole, or "
                    "its beginning with a * behind"
                )
        self._whole = frozenset(entry for entry in entries if not entry.endswith("*"))
        self._beginnings = tuple(entry[:-1] for entry in entries if entry.endswith("*"))

    def __contains__(self, name: object) -> bool:
        """Whether an index, an alias, or what is to be one, may be named."""
        if not isinstance(name, str) or not is_name(name):
            return False
        return name in self._whole or name.startswith(self._beginnings)

    def __bool__(self) -> bool:
        return bool(self._whole or self._beginnings)

    def check(self, name: object) -> str:
        """The name.

        Raises:
            RefusedError: it may not be named.
        """
        if name not in self:
            raise RefusedError(f"index [{str(name)[:255]}] is not served here", "security_exception", 403)
        return str(name)


def is_name(name: str) -> bool:
    """Whether a text can be the name of a shop's index. Neither hidden ones nor the layer's stores are a shop's."""
    if name.startswith("hybrid-") or len(name.encode("utf-8", "surrogatepass")) > _MAX_NAME_BYTES:
        return False
    return bool(_NAME.fullmatch(name))


@dataclass(frozen=True)
class Route:
    """One method of an address. body: what it takes, see hybrid.dropin.named; "" for nothing.

    writes: whether products change. moves: whether names of indices come, go or lead elsewhere. searches: whether it
    is a search, which shares threads with those that the layer ranks.
    """

    body: str
    params: frozenset[str]
    writes: bool = False
    moves: bool = False
    searches: bool = False


_EVERY = frozenset({"error_trace", "filter_path", "human", "pretty"})
_SHARDS = frozenset({"refresh", "routing", "timeout", "wait_for_active_shards"})
_GUARDS = frozenset({"if_primary_term", "if_seq_no", "require_alias", "version", "version_type"})
_SOURCE = frozenset({"_source", "_source_excludes", "_source_includes"})
_READ = _SOURCE | {"preference", "realtime", "refresh", "routing", "stored_fields", "version", "version_type"}
_WHICH = frozenset({"allow_no_indices", "expand_wildcards", "ignore_unavailable", "local", "master_timeout"})
_CHANGE = frozenset({"master_timeout", "timeout", "wait_for_active_shards"})
_QUERY = frozenset(
    {
        "analyze_wildcard", "analyzer", "default_operator", "df", "lenient", "min_score", "preference", "q", "routing",
        "terminate_after",
    }
)  # fmt: skip
_STATS = frozenset(
    {
        "completion_fields", "fielddata_fields", "fields", "forbid_closed_indices", "groups",
        "include_segment_file_sizes", "include_unloaded_segments", "level",
    }
)  # fmt: skip
_CAT = frozenset({"bytes", "format", "h", "health", "help", "pri", "s", "time", "ts", "v"}) | _WHICH
_HEALTH = _WHICH | frozenset(
    {
        "timeout", "wait_for_active_shards", "wait_for_events", "wait_for_no_initializing_shards",
        "wait_for_no_relocating_shards", "wait_for_nodes", "wait_for_status",
    }
)  # fmt: skip
_SEARCH = ROUTE | frozenset(
    {
        "_source", "_source_excludes", "_source_includes", "analyze_wildcard", "analyzer", "default_operator", "df",
        "docvalue_fields", "explain", "from", "lenient", "max_concurrent_searches", "max_concurrent_shard_requests",
        "q", "rest_total_hits_as_int", "seq_no_primary_term", "size", "sort", "stats", "stored_fields",
        "terminate_after", "timeout", "track_scores", "track_total_hits", "typed_keys", "version",
    }
)  # fmt: skip

#: Address below /es -> method -> route. A method that is not here, or a parameter, is not forwarded.
_ROUTES: dict[str, dict[str, Route]] = {
    "{index}": {
        "HEAD": Route("", _WHICH | {"flat_settings", "include_defaults"}),
        "GET": Route("", _WHICH | {"features", "flat_settings", "include_defaults"}),
        "PUT": Route("index", _CHANGE, moves=True),
        "DELETE": Route("", _CHANGE | _WHICH, moves=True),
    },
    "{index}/_doc": {"POST": Route("document", _SHARDS | _GUARDS | {"op_type"}, writes=True)},
    "{index}/_doc/{id}": {
        "GET": Route("", _READ),
        "HEAD": Route("", _READ),
        "PUT": Route("document", _SHARDS | _GUARDS | {"op_type"}, writes=True),
        "POST": Route("document", _SHARDS | _GUARDS | {"op_type"}, writes=True),
        "DELETE": Route("", _SHARDS | _GUARDS, writes=True),
    },
    "{index}/_create/{id}": dict.fromkeys(("PUT", "POST"), Route("document", _SHARDS | _GUARDS, writes=True)),
    "{index}/_update/{id}": {
        "POST": Route("document", _SHARDS | _GUARDS | _SOURCE | {"lang", "retry_on_conflict"}, writes=True)
    },
    "{index}/_source/{id}": dict.fromkeys(("GET", "HEAD"), Route("", _READ)),
    "_bulk": dict.fromkeys(("POST", "PUT"), Route("bulk", _SHARDS | _SOURCE | {"require_alias"}, writes=True)),
    "{index}/_bulk": dict.fromkeys(("POST", "PUT"), Route("bulk", _SHARDS | _SOURCE | {"require_alias"}, writes=True)),
    "_mget": dict.fromkeys(("GET", "POST"), Route("mget", _READ)),
    "{index}/_mget": dict.fromkeys(("GET", "POST"), Route("mget", _READ)),
    # Of indices that the drop-in does not serve; the others are searched by it.
    "{index}/_search": dict.fromkeys(("GET", "POST"), Route("query", _SEARCH, searches=True)),
    "{index}/_msearch": dict.fromkeys(("GET", "POST"), Route("msearch", _SEARCH, searches=True)),
    "_msearch": dict.fromkeys(("GET", "POST"), Route("msearch", _SEARCH, searches=True)),
    "{index}/_count": dict.fromkeys(("GET", "POST"), Route("query", _QUERY | _WHICH)),
    "{index}/_explain/{id}": dict.fromkeys(("GET", "POST"), Route("query", _QUERY | _SOURCE | {"stored_fields"})),
    "{index}/_validate/query": dict.fromkeys(
        ("GET", "POST"), Route("query", _QUERY | _WHICH | {"all_shards", "explain", "rewrite"})
    ),
    "{index}/_field_caps": dict.fromkeys(
        ("GET", "POST"), Route("capabilities", _WHICH | {"fields", "filters", "types"})
    ),
    "{index}/_analyze": dict.fromkeys(("GET", "POST"), Route("analyze", frozenset())),
    "{index}/_mapping": {
        "GET": Route("", _WHICH),
        "HEAD": Route("", _WHICH),
        **dict.fromkeys(("PUT", "POST"), Route("mapping", _CHANGE | _WHICH | {"write_index_only"})),
    },
    "{index}/_mapping/field/{fields}": {"GET": Route("", _WHICH | {"include_defaults"})},
    "{index}/_settings": {
        "GET": Route("", _WHICH | {"flat_settings", "include_defaults"}),
        "PUT": Route("settings", _CHANGE | _WHICH | {"flat_settings", "preserve_existing"}),
    },
    "{index}/_settings/{fields}": {"GET": Route("", _WHICH | {"flat_settings", "include_defaults"})},
    "{index}/_refresh": dict.fromkeys(("GET", "POST"), Route("", _WHICH)),
    "{index}/_flush": dict.fromkeys(("GET", "POST"), Route("", _WHICH | {"force", "wait_if_ongoing"})),
    "{index}/_stats": {"GET": Route("", _STATS | _WHICH)},
    "{index}/_stats/{words}": {"GET": Route("", _STATS | _WHICH)},
    "{index}/_alias": dict.fromkeys(("GET", "HEAD"), Route("", _WHICH)),
    "{index}/_alias/{alias}": {
        "GET": Route("", _WHICH),
        "HEAD": Route("", _WHICH),
        "PUT": Route("alias", _CHANGE, moves=True),
        "POST": Route("alias", _CHANGE, moves=True),
        "DELETE": Route("", _CHANGE, moves=True),
    },
    "_alias/{alias}": dict.fromkeys(("GET", "HEAD"), Route("", _WHICH)),
    "_aliases": {"POST": Route("aliases", _CHANGE, moves=True)},
    # Without an index, `level` would list every index of the cluster.
    "_cluster/health": {"GET": Route("", _HEALTH)},
    "_cluster/health/{index}": {"GET": Route("", _HEALTH | {"level"})},
    "_nodes": {"GET": Route("", frozenset({"flat_settings", "timeout"}))},
    "_nodes/{metrics}": {"GET": Route("", frozenset({"flat_settings", "timeout"}))},
    "_nodes/{node}/{metrics}": {"GET": Route("", frozenset({"flat_settings", "timeout"}))},
    "_cat/health": {"GET": Route("", _CAT)},
    "_cat/count/{index}": {"GET": Route("", _CAT)},
    "_cat/indices/{index}": {"GET": Route("", _CAT)},
}
_SHAPES = [(tuple(shape.split("/")), methods) for shape, methods in _ROUTES.items()]


@dataclass(frozen=True)
class Address:
    """An address that may be forwarded. index: the one that it names. id: of a document, or "". methods: of it."""

    path: str
    methods: Mapping[str, Route]
    index: str | None = None
    id: str = ""


def address(raw_path: str, names: Names) -> Address:
    """The address below /es. raw_path: with what is before it, as it came over the wire, without parameters.

    Raises:
        RefusedError: it is none that is forwarded.
    """
    segments = list(_segments(raw_path))
    for shape, methods in _SHAPES:
        found = _read(shape, segments)
        if found is None:
            continue
        for name in ("{index}", "{alias}"):
            if name in found:
                names.check(found[name])
        path = "/" + "/".join(quote(segment, safe="") for segment in segments)
        return Address(path, methods, found.get("{index}"), found.get("{id}", ""))
    raise RefusedError(f"[{raw_path[:255]}] is not served here", "security_exception", 403)


def query(params: Mapping[str, str], route: Route, path: str) -> str:
    """The parameters as they are forwarded.

    Raises:
        RefusedError: one of them is not.
    """
    for name in params:
        if name not in route.params | _EVERY:
            raise RefusedError(f"request [{path}] contains unrecognized parameter: [{name[:255]}]")
    return urlencode(list(params.items()))


def _read(shape: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
    """Placeholder -> what stands there; None where the address has another shape."""
    if len(shape) != len(segments):
        return None
    found = {}
    for wanted, segment in zip(shape, segments, strict=True):
        if not wanted.startswith("{"):
            if wanted != segment:
                return None
            continue
        if wanted in ("{index}", "{alias}") and segment.startswith("_"):
            return None
        if wanted == "{words}" and not _WORDS.fullmatch(segment):
            return None
        if wanted == "{metrics}" and not _METRICS.issuperset(segment.split(",")):
            return None
        if wanted == "{fields}" and not _FIELDS.fullmatch(segment):
            return None
        if wanted == "{node}" and segment not in _NODES:
            return None
        found[wanted] = segment
    return found


def _segments(raw_path: str) -> Iterator[str]:
    """The parts between the slashes, decoded; a slash at the end says nothing."""
    below = raw_path.removeprefix("/es")
    if not below.startswith("/") or len(raw_path) > _MAX_PATH_BYTES:
        raise _unreadable(raw_path)
    parts = below[1:].removesuffix("/").split("/")
    if len(parts) > _MAX_SEGMENTS:
        raise _unreadable(raw_path)
    for part in parts:
        yield _decoded(part, raw_path)


def _decoded(part: str, raw_path: str) -> str:
    """A part as text. It must be written as a client writes it: escaped where it has to be, once, as UTF-8."""
    try:
        text = unquote_to_bytes(part.encode("latin-1")).decode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise _unreadable(raw_path) from None
    escaped = [chr(int(code, 16)) for code in _ESCAPED.findall(part)]
    if (
        text in ("", ".", "..")
        or _BROKEN_ESCAPE.search(part)
        or unquote(text) != text
        or any(_UNRESERVED.match(one) for one in escaped)
        or any(character in "/\\" or ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in text)
    ):
        raise _unreadable(raw_path)
    return text


def _unreadable(raw_path: str) -> RefusedError:
    return RefusedError(f"the address [{raw_path[:255]}] could be read in several ways", "security_exception", 403)
