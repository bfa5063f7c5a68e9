"""The layer's own field: when a shop's search reads it, and when an answer has it. Pure.

A shop that does not name the field never sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

#: The object in a document that is the layer's.
LAYER = "hybrid"
#: The whole `_source` but the layer's object.
SHOP_ALONE = {"excludes": [LAYER]}


def without_layer(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with the layer's object excluded from `_source`, unless the body names that object."""
    shop_body: dict[str, Any] = _inner_sources(dict(body))
    if "_source" in shop_body or "stored_fields" not in shop_body:  # stored fields alone bring no _source
        shop_body["_source"] = _source(shop_body.get("_source"))
    elif "_source" in _names(shop_body["stored_fields"]):
        shop_body["_source"] = dict(SHOP_ALONE)
    return shop_body


def _inner_sources(value: Any) -> Any:
    if isinstance(value, list):
        return [_inner_sources(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = {}
    for key, inner in value.items():
        if key in ("aggs", "aggregations") and isinstance(inner, dict):  # the keys below are names, not kinds
            fields[key] = {name: _inner_sources(one) for name, one in inner.items()}
        else:
            fields[key] = _inner_sources(inner)
    for key in ("top_hits", "inner_hits"):
        options = fields.get(key)
        for one in options if isinstance(options, list) else [options]:
            if isinstance(one, dict):
                one["_source"] = _source(one.get("_source"))
    return fields


def _source(source: Any) -> Any:
    if source is None or source is True or source == "true":
        return dict(SHOP_ALONE)
    if isinstance(source, str | list):
        source = {"includes": source}
    if not isinstance(source, dict):
        return source
    if any(map(_of_layer, _names(source.get("includes", source.get("include"))))):
        return source
    excludes = _names(source.get("excludes", source.get("exclude")))
    others = {key: value for key, value in source.items() if key not in ("exclude", "excludes")}
    return {**others, "excludes": [*excludes, LAYER]}


def _of_layer(name: Any) -> bool:
    return isinstance(name, str) and name.partition(".")[0] == LAYER


def may_show_layer(body: Any) -> bool:
    """Whether a wildcard of `fields` or `highlight` could bring the layer's fields into an answer."""
    if isinstance(body, list):
        return any(may_show_layer(item) for item in body)
    if not isinstance(body, dict):
        return False
    for key, value in body.items():
        if key in ("fields", "docvalue_fields", "stored_fields") and any(map(_wild, _names(value))):
            return True
        if may_show_layer(value):
            return True
    return False


def _names(value: Any) -> list[Any]:
    """Field names: of a list of names, of objects that have a `field`, of an object by name (highlight), or of one."""
    items = list(value) if isinstance(value, list | dict) else [] if value is None else [value]
    names: list[Any] = []
    for one in items:
        names += [one.get("field"), *one] if isinstance(one, dict) else [one]
    return names


def _wild(name: Any) -> bool:
    return isinstance(name, str) and "*" in name and not _of_layer(name)


def hide(body: Mapping[str, Any], answer: dict[str, Any]) -> None:
    """Take the layer's fields out of an answer to this body, in place, where a wildcard asked for them."""
    if may_show_layer(body):
        hide_layer(answer)


def hidden(body: Mapping[str, Any], answer: bytes) -> bytes:
    """As `hide`, for an answer in bytes."""
    if not may_show_layer(body):
        return answer
    read = orjson.loads(answer)
    hide_layer(read)
    return orjson.dumps(read)


def hide_layer(answer: Any) -> None:
    """Take the layer's fields out of every hit of an answer, in place, where a wildcard brought them.

    `filter_path` may have left a hit without its `_id`.
    """
    if isinstance(answer, list):
        for item in answer:
            hide_layer(item)
    elif isinstance(answer, dict):
        for key in ("fields", "highlight"):
            fields = answer.get(key)
            if isinstance(fields, dict) and any(_of_layer(name) for name in fields):
                shop_fields = {name: value for name, value in fields.items() if not _of_layer(name)}
                answer.pop(key)
                answer.update({key: shop_fields} if shop_fields else {})
        for key, value in answer.items():
            if key not in ("_source", "fields", "highlight"):
                hide_layer(value)


def drop_from_sources(hits: Sequence[dict[str, Any]]) -> None:
    """Take the layer's object out of whole documents, in place."""
    for hit in hits:
        if isinstance(hit.get("_source"), dict):
            hit["_source"].pop(LAYER, None)
