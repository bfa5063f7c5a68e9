"""Bodies that the drop-in forwards: checked for the indices that they name, and written anew as they were read. Pure.

What names an index is never passed as it came, so that the cluster cannot read another name in it. A document passes as
it came: it names none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from hybrid.dropin.forwarding import Names
from hybrid.dropin.limits import MAX_SEARCHES, check
from hybrid.dropin.request import ROUTE
from hybrid.errors import RefusedError

Json = dict[str, Any]
#: Reads a text of JSON, nested no deeper than is good for it; raises ValueError.
ReadJson = Callable[[bytes], Any]

_MAX_ACTIONS, _MAX_ACTION_BYTES = 50_000, 8_192
_ACTIONS = ("index", "create", "update", "delete")
_ACTION_KEYS = frozenset(
    {
        "_id", "_index", "_source", "dynamic_templates", "if_primary_term", "if_seq_no", "list_executed_pipelines",
        "op_type", "pipeline", "require_alias", "require_data_stream", "retry_on_conflict", "routing", "version",
        "version_type",
    }
)  # fmt: skip
_ALIAS_KEYS = frozenset({"filter", "index_routing", "is_write_index", "must_exist", "routing", "search_routing"})
_INDEX_KEYS = frozenset({"aliases", "mappings", "settings"})
#: Settings of a new index. Pipelines, which may send a document to another index, are not among them.
_SETTINGS = frozenset(
    {
        "analysis", "auto_expand_replicas", "codec", "highlight", "mapping", "max_docvalue_fields_search",
        "max_inner_result_window", "max_ngram_diff", "max_regex_length", "max_rescore_window", "max_result_window",
        "max_shingle_diff", "max_terms_count", "number_of_replicas", "number_of_routing_shards", "number_of_shards",
        "priority", "query", "refresh_interval", "routing_partition_size", "search", "similarity", "sort", "translog",
    }
)  # fmt: skip
#: Settings of an index in use.
_DYNAMIC = frozenset({"auto_expand_replicas", "max_result_window", "number_of_replicas", "refresh_interval"})


@dataclass(frozen=True)
class Body:
    """A body as it is forwarded. indices: those that it names; in a bulk, of the documents that it writes."""

    data: bytes
    indices: frozenset[str] = field(default_factory=frozenset)


def named(kind: str, data: bytes, index: str | None, names: Names, read: ReadJson) -> Body:
    """A body of a kind, as hybrid.dropin.forwarding.Route names it. index: the one that the address names.

    Raises:
        RefusedError: it names an index that is not served, or is none of its kind.
    """
    own = frozenset({index} if index else ())
    if kind == "":
        if data:
            raise RefusedError("this request does not support having a body")
        return Body(data, own)
    if kind == "document":
        return Body(data, own)
    if kind == "bulk":
        return _bulk(data, index, names, read)
    if kind == "msearch":
        return _msearch(data, index, names, read)
    if not data.strip():
        return Body(b"", own)
    body = _object(data, read)
    _KINDS[kind](body, index, names)
    return Body(orjson.dumps(body), own)


# -- a line for each ---------------------------------------------------------------------------------------------------


def _bulk(data: bytes, index: str | None, names: Names, read: ReadJson) -> Body:
    """Lines of actions are read and written anew; those of documents pass. A line is looked at in its turn."""
    if not data.strip():
        raise RefusedError("request body is required", "parse_exception")
    if not data.endswith(b"\n"):
        raise RefusedError("The bulk request must be terminated by a newline [\\n]")
    lines: list[bytes] = []
    written = set()
    count = 0
    rest = _lines(data)
    for line in rest:
        if not line.strip():
            continue
        count += 1
        if count > _MAX_ACTIONS:
            raise RefusedError(f"at most [{_MAX_ACTIONS}] actions in one request", "content_too_long_exception", 413)
        verb, meta = _action(line, count, read)
        written.add(names.check(meta.get("_index", index)))
        lines.append(orjson.dumps({verb: meta}))
        if verb != "delete":
            document = next(rest, b"")
            if not document.strip():
                raise RefusedError(f"action [{count}] of the bulk has no line with its document")
            lines.append(document)
    return Body(b"\n".join([*lines, b""]), frozenset(written))


def _action(line: bytes, count: int, read: ReadJson) -> tuple[str, Json]:
    if len(line) > _MAX_ACTION_BYTES:
        raise RefusedError(f"Malformed action/metadata line [{count}]: longer than [{_MAX_ACTION_BYTES}] bytes")
    action = _object(line, read)
    verb, meta = next(iter(action.items()), ("", None))
    if len(action) != 1 or verb not in _ACTIONS or not isinstance(meta, dict):
        raise RefusedError(f"Malformed action/metadata line [{count}], expected one of {list(_ACTIONS)}")
    if unknown := sorted(set(meta) - _ACTION_KEYS):
        raise RefusedError(f"Action/metadata line [{count}] contains an unknown parameter [{unknown[0][:255]}]")
    if meta.get("pipeline", "_none") != "_none":
        raise RefusedError(f"Action/metadata line [{count}]: [pipeline] is not served here", "security_exception", 403)
    for key in ("_id", "routing"):
        _check_id(meta.get(key))
    return verb, meta


def _msearch(data: bytes, index: str | None, names: Names, read: ReadJson) -> Body:
    lines = list(_lines(data))
    if not data.endswith(b"\n") or len(lines) % 2 or len(lines) > 2 * MAX_SEARCHES:
        raise RefusedError(f"a header and a body a line are wanted, at most [{MAX_SEARCHES}] of them")
    searched = set()
    written: list[bytes] = []
    for head, line in zip(lines[::2], lines[1::2], strict=True):
        header, body = _object(head or b"{}", read), _object(line, read)
        name = header.get("index", index)
        if isinstance(name, list) and len(name) == 1:
            name = name[0]
        searched.add(names.check(name))
        if unknown := sorted(set(header) - ROUTE - {"index"}):
            raise RefusedError(f"key [{unknown[0][:255]}] is not supported in the metadata section")
        check(str(name), body, names.limits, others=names)
        written += [orjson.dumps({**header, "index": name}), orjson.dumps(body)]
    return Body(b"\n".join([*written, b""]), frozenset(searched))


def _lines(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        yield data[start:end]
        start = end + 1


# -- one object --------------------------------------------------------------------------------------------------------


def _mget(body: Json, index: str | None, names: Names) -> None:
    if unknown := sorted(set(body) - {"docs", "ids"}):
        raise RefusedError(f"unknown key [{unknown[0][:255]}]", "parsing_exception")
    ids = _list(body.get("ids", []), "ids")
    if ids:
        names.check(index)
    for id in ids:
        _check_id(id)
    for document in _list(body.get("docs", []), "docs"):
        if not isinstance(document, dict):
            raise RefusedError("docs array element should include an object", "parsing_exception")
        if unknown := sorted(set(document) - _ACTION_KEYS - {"_id", "_index", "stored_fields"}):
            raise RefusedError(f"unknown parameter [{unknown[0][:255]}] in request body", "parsing_exception")
        _check_id(document.get("_id"))
        names.check(document.get("_index", index))


def _aliases(body: Json, index: str | None, names: Names) -> None:
    if set(body) != {"actions"}:
        raise RefusedError("[aliases] takes [actions]", "parsing_exception")
    for action in _list(body["actions"], "actions"):
        verb, options = next(iter(action.items()), ("", None)) if isinstance(action, dict) else ("", None)
        if verb not in ("add", "remove", "remove_index") or len(action) != 1 or not isinstance(options, dict):
            raise RefusedError("an action is one of [add], [remove], [remove_index]")
        indices = [options.get("index"), *_list(options.get("indices", []), "indices")]
        aliases = [options.get("alias"), *_list(options.get("aliases", []), "aliases")]
        _check_alias({key: value for key, value in options.items() if key not in _NAMING}, names)
        for name in (*indices, *aliases):
            if name is not None:
                names.check(name)
        if not any(indices):
            raise RefusedError("One of [index] or [indices] is required")


_NAMING = frozenset({"alias", "aliases", "index", "indices"})


def _alias(body: Json, index: str | None, names: Names) -> None:
    _check_alias(body, names)


def _index(body: Json, index: str | None, names: Names) -> None:
    if unknown := sorted(set(body) - _INDEX_KEYS):
        raise RefusedError(f"unknown key [{unknown[0][:255]}] for create index", "parse_exception")
    for name, options in _dict(body.get("aliases", {}), "aliases").items():
        names.check(name)
        _check_alias(_dict(options, "aliases"), names)
    _check_settings(_dict(body.get("settings", {}), "settings"), _SETTINGS)
    _mapping(_dict(body.get("mappings", {}), "mappings"), index, names)


def _mapping(body: Json, index: str | None, names: Names) -> None:
    """The layer's own field and what it notes are taken out: they are the layer's to write."""
    _definition(body)
    properties = _dict(body.get("properties", {}), "properties")
    for name in [name for name in properties if name.partition(".")[0] == "hybrid"]:
        del properties[name]
    _dict(body.get("_meta", {}), "_meta").pop("hybrid", None)
    # Keys of `properties`, `fields` and `dynamic_templates` are names, which may be anything.
    left: list[Any] = [value for key, value in body.items() if key not in ("_meta", "dynamic_templates", "properties")]
    left += properties.values()
    for template in _list(body.get("dynamic_templates", []), "dynamic_templates"):
        left += _dict(template, "dynamic_templates").values()
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            _definition(one)
            for key, inner in one.items():
                if key in ("properties", "fields"):
                    left += _dict(inner, key).values()
                elif key != "meta":
                    left.append(inner)


def _definition(one: Json) -> None:
    """Refuse a part of a mapping by its keys."""
    for key, value in one.items():
        if {"runtime", "script"} & set(key.split(".")):
            raise RefusedError(f"[{key[:255]}] is not served here: no scripts from outside")
        if "{" in key:  # a dynamic template puts the name of a field there
            raise RefusedError(f"[{key[:255]}] is not served here: a key of a mapping has no placeholder")
        if key == "copy_to":
            for field in value if isinstance(value, list) else [value]:
                head = str(field).partition(".")[0]
                if head == "hybrid" or "{" in head:
                    raise RefusedError(f"[copy_to] [{str(field)[:255]}] is not served here: the field is the layer's")


def _settings(body: Json, index: str | None, names: Names) -> None:
    _check_settings(body, _DYNAMIC)


def _query(body: Json, index: str | None, names: Names) -> None:
    check(names.check(index), body, names.limits, others=names)


def _capabilities(body: Json, index: str | None, names: Names) -> None:
    if unknown := sorted(set(body) - {"fields", "index_filter"}):
        raise RefusedError(f"[{unknown[0][:255]}] is not served here", "parsing_exception")
    check(names.check(index), {"query": body.get("index_filter")}, names.limits, others=names)


def _analyze(body: Json, index: str | None, names: Names) -> None:
    _no_scripts(body)


_KINDS: dict[str, Callable[[Json, str | None, Names], None]] = {
    "alias": _alias,
    "aliases": _aliases,
    "analyze": _analyze,
    "capabilities": _capabilities,
    "index": _index,
    "mapping": _mapping,
    "mget": _mget,
    "query": _query,
    "settings": _settings,
}


# -- parts -------------------------------------------------------------------------------------------------------------


def _check_alias(options: Mapping[str, Any], names: Names) -> None:
    if unknown := sorted(set(options) - _ALIAS_KEYS):
        raise RefusedError(f"unknown field [{unknown[0][:255]}] of an alias", "parsing_exception")
    check("", {"query": options.get("filter")}, names.limits, others=names)


def _check_settings(settings: Mapping[str, Any], allowed: frozenset[str]) -> None:
    inner = settings.get("index")
    if isinstance(inner, dict):
        _check_settings(inner, allowed)
        settings = {key: value for key, value in settings.items() if key != "index"}
    for key in settings:
        if key.removeprefix("index.").partition(".")[0] not in allowed:
            raise RefusedError(f"setting [{key[:255]}] is not served here", "security_exception", 403)
    _no_scripts(settings)


def _no_scripts(value: Any) -> None:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += one
        elif isinstance(one, Mapping):
            if any("script" in key.split(".") for key in one):
                raise RefusedError("[script] is not served here: no scripts from outside")
            left += one.values()


def _check_id(value: Any) -> None:
    # A number that is too long for 64 bits was read as another one.
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
        raise RefusedError("an id or a routing is a text, or a whole number of 64 bits")


def _object(data: bytes, read: ReadJson) -> Json:
    try:
        value = read(data)
    except ValueError as error:
        raise RefusedError(f"the body is not JSON: {error}", "parsing_exception") from error
    return _dict(value, "body")


def _dict(value: Any, what: str) -> Json:
    if not isinstance(value, dict):
        raise RefusedError(f"[{what}] must be an object", "parsing_exception")
    return value


def _list(value: Any, what: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise RefusedError(f"[{what}] must be an array", "parsing_exception")
    return value
