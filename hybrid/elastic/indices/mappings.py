"""Mappings and settings of product indices. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import es_mappings
from hybrid.catalogue.index_template import Template
from hybrid.contracts import TAGS, IndexProfile

#: Vectors of a shard that a search scans, at a byte for each dimension; of more, a graph finds the nearest sooner.
SCANNED_BYTES = 16_000_000


def index_body(
    profile: IndexProfile,
    template: Template | None = None,
    documents: int = 0,
    present: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Settings and mappings of a product index; what the shop's own template says of its fields comes first.

    documents, present: see `vector_properties`.
    """
    body = es_mappings.load("product")
    body["settings"]["number_of_shards"] = profile.shards
    properties = body["mappings"]["properties"]
    if template:
        for key, value in template.settings.items():
            ours = body["settings"].get(key)
            body["settings"][key] = {**ours, **value} if isinstance(ours, dict) else value
        body["mappings"] |= template.mappings
        properties |= template.properties
    own = set(template.kinds()) if template else set()
    for path, kind in profile.fields.types.items():
        if path not in own:
            _put(properties, path, _typed(kind))
    layer = properties["hybrid"]["properties"]
    layer.update(vector_properties(profile, layer, documents, present))
    body["mappings"]["_meta"] = {"hybrid": profile.to_json()}
    return body


def shop_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """What a mapping says of the shop's fields by the shop's own word: not the layer's field, nor its guesses."""
    guesses = [_typed(kind) for kind in ("keyword", "long", "double", "date", "boolean")]
    found: dict[str, Any] = {}
    for name, definition in properties.items():
        if name == "hybrid" or definition in guesses:
            continue
        if set(definition) == {"properties"}:
            inner = shop_properties(definition["properties"])
            if inner:
                found[name] = {"properties": inner}
        else:
            found[name] = definition
    return found


def layer_property(
    profile: IndexProfile, own_similarity: bool, documents: int, present: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The field `hybrid` for the mapping of an index that the layer did not make.

    documents, present: see `vector_properties`.
    own_similarity: whether the index has the layer's BM25 parameters. They are a static setting, which an open
    index cannot take, so elsewhere the words are scored with Elasticsearch's own.
    """
    layer: dict[str, Any] = es_mappings.load("product")["mappings"]["properties"]["hybrid"]
    layer["properties"].update(vector_properties(profile, layer["properties"], documents, present))
    if not own_similarity:
        for definition in layer["properties"]["terms"]["properties"].values():
            del definition["similarity"]
    return layer


def vector_properties(
    profile: IndexProfile,
    into: Mapping[str, Any] | None = None,
    documents: int = 0,
    present: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Properties under `hybrid` for the vectors, their codes and their meta, and for the tags.

    documents: how many the index holds, or is to hold. present: the properties under `hybrid` that it has already.
    """
    template = es_mappings.load("vector")
    into = into or {}
    codes = dict(into.get("codes", {"dynamic": False, "properties": {}}))
    meta = dict(into.get("meta", {"dynamic": False, "properties": {}}))
    codes["properties"], meta["properties"] = dict(codes["properties"]), dict(meta["properties"])
    properties: dict[str, Any] = {"codes": codes, "meta": meta}
    for name, signal in profile.signals.items():
        options = index_options(signal.dims, documents / profile.shards, (present or {}).get(name, {}))
        properties[name] = {**template["vector"], "dims": signal.dims, "index_options": options}
        codes["properties"][name] = template["code"]
        meta["properties"][name] = template["meta"]
    if profile.tags is not None:
        properties[TAGS] = template["tags"]
        meta["properties"][TAGS] = template["meta"]
    return properties


def index_options(dims: int, vectors: float, present: Mapping[str, Any]) -> dict[str, Any]:
    """How vectors are indexed: scanned while a shard has few, by a graph from then on.

    A scan misses none and costs nothing to build, where a graph is most of what refreshes and merges cost.
    Elasticsearch changes from the one to the other in place, segment by segment as it merges them, and never back.
    present: the field as it is mapped already.
    """
    template = es_mappings.load("vector")
    if present and present.get("index_options", {}).get("type") != template["scan"]["type"]:
        return dict(present["index_options"])
    found: dict[str, Any] = template["graph" if vectors * dims > SCANNED_BYTES else "scan"]
    return found


def state_search(ids: Sequence[str], signals: Sequence[str], carry: bool = False) -> dict[str, Any]:
    """What the index holds for these products: their meta and which vectors are really there.

    Presence is asked of the index, never of `_source`, which hides vectors from 9.2 on.
    """
    body: dict[str, Any] = {
        "query": {
            "bool": {
                "filter": [{"ids": {"values": list(ids)}}],
                "should": presence(signals),
            }
        },
        "size": len(ids),
        "_source": ["hybrid.meta"],
        "track_total_hits": False,
    }
    if carry:
        body["fields"] = [f"hybrid.{name}" for name in signals]
        body["_source"] = ["hybrid.meta", "hybrid.codes"]
    return body


def presence(signals: Sequence[str]) -> list[dict[str, Any]]:
    """Clauses that name, for each hit, the signals whose vector is there."""
    return [{"exists": {"field": f"hybrid.{name}", "_name": name}} for name in signals]


def _typed(kind: str) -> dict[str, Any]:
    if kind == "keyword":
        return {"type": "keyword", "ignore_above": 256}
    # A price of "call us" must not cost the shop the product: it is kept, and not found by price.
    return {"type": kind, "ignore_malformed": True}


def _put(properties: dict[str, Any], path: str, definition: dict[str, Any]) -> None:
    head, _, rest = path.partition(".")
    if rest:
        inner = properties.setdefault(head, {"properties": {}})
        _put(inner.setdefault("properties", {}), rest, definition)
    else:
        properties[head] = definition


def own_settings() -> dict[str, Any]:
    """The settings that the layer's words are best scored with, of an index that is made anew."""
    return {"similarity": es_mappings.load("product")["settings"]["similarity"]}
