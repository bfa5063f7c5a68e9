"""The layer's own field: what a shop's search may ask of it, and what an answer shows. Pure.

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
    """The body, asking for no `_source` of the layer's unless it names it."""
    found: dict[str, Any] = _inner_sources(dict(body))
    if "_source" in found or "stored_fields" not in found:  # stored fields alone bring no _source
        found["_source"] = _source(found.get("_source"))
    elif "_source" in _names(found["stored_fields"]):
        found["_source"] = dict(SHOP_ALONE)
    return found


def _inner_sources(value: Any) -> Any:
    if isinstance(value, list):
        return [_inner_sources(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, inner in value.items():
        if key in ("aggs", "aggregations") and isinstance(inner, dict):  # below are names, and no kinds
            found[key] = {name: _inner_sources(one) for name, one in inner.items()}
        else:
            found[key] = _inner_sources(inner)
    for key in ("top_hits", "inner_hits"):
        asked_for = found.get(key)
        for one in asked_for if isinstance(asked_for, list) else [asked_for]:
            if isinstance(one, dict):
                one["_source"] = _source(one.get("_source"))
    return found


def _source(asked_for: Any) -> Any:
    if asked_for is None or asked_for is True or asked_for == "true":
        return dict(SHOP_ALONE)
    if isinstance(asked_for, str | list):
        asked_for = {"includes": asked_for}
    if not isinstance(asked_for, dict):
        return asked_for
    if any(map(_of_layer, _names(asked_for.get("includes", asked_for.get("include"))))):
        return asked_for
    excludes = _names(asked_for.get("excludes", asked_for.get("exclude")))
    kept = {key: value for key, value in asked_for.items() if key not in ("exclude", "excludes")}
    return {**kept, "excludes": [*excludes, LAYER]}


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
    """Field names of a list of them, of objects that name one, or of an object by field (highlight); of one alone."""
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
    """The same for an answer as it came."""
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
            shown = answer.get(key)
            if isinstance(shown, dict) and any(_of_layer(name) for name in shown):
                kept = {name: value for name, value in shown.items() if not _of_layer(name)}
                answer.pop(key)
                answer.update({key: kept} if kept else {})
        for key, value in answer.items():
            if key not in ("_source", "fields", "highlight"):
                hide_layer(value)


def drop_from_sources(hits: Sequence[dict[str, Any]]) -> None:
    """Take the layer's object out of whole documents, in place."""
    for hit in hits:
        if isinstance(hit.get("_source"), dict):
            hit["_source"].pop(LAYER, None)
