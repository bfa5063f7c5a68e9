"""Mappings and settings of product indices. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import es_mappings
from hybrid.catalogue.index_template import Template
from hybrid.contracts import TAGS, IndexProfile

#: Bytes of a shard's vectors (a byte a dimension) up to which a search scans them. Above it, a graph is quicker.
SCANNED_BYTES = 16_000_000


def index_body(
    profile: IndexProfile,
    template: Template | None = None,
    documents: int = 0,
    present: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Settings and mappings of a product index. The shop's own template overrides the layer's.

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
    """The definitions of fields that the shop itself gave: neither the layer's field, nor the layer's guesses."""
    guesses = [_typed(kind) for kind in ("keyword", "long", "double", "date", "boolean")]
    own: dict[str, Any] = {}
    for name, definition in properties.items():
        if name == "hybrid" or definition in guesses:
            continue
        if set(definition) == {"properties"}:
            inner = shop_properties(definition["properties"])
            if inner:
                own[name] = {"properties": inner}
        else:
            own[name] = definition
    return own


def layer_property(
    profile: IndexProfile, own_similarity: bool, documents: int, present: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The field `hybrid` for the mapping of an index that the layer did not make.

    documents, present: see `vector_properties`.
    own_similarity: whether the index has the layer's BM25 parameters. They are a static setting, which an
        open index cannot take, so in other indices the words are scored with Elasticsearch's own.
    """
    layer: dict[str, Any] = es_mappings.load("product")["mappings"]["properties"]["hybrid"]
    layer["properties"].update(vector_properties(profile, layer["properties"], documents, present))
    if not own_similarity:
        for definition in (layer["properties"]["all"], *layer["properties"]["terms"]["properties"].values()):
            definition.pop("similarity", None)
    return layer


def vector_properties(
    profile: IndexProfile,
    into: Mapping[str, Any] | None = None,
    documents: int = 0,
    present: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Properties under `hybrid` for the vectors, their codes and their meta, and for the tags.

    documents: how many documents the index holds, or is to hold. present: the properties that it has under `hybrid`.
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
    """How vectors are indexed: without a graph while a shard has few vectors, with a graph from then on.

    A scan misses no vector and costs nothing to build; a graph is most of what refreshes and merges cost.
    Elasticsearch changes a field from scan to graph in place, segment by segment as it merges them, and never back.
    present: the field's mapping in the index, if it has one.
    """
    template = es_mappings.load("vector")
    if present and present.get("index_options", {}).get("type") != template["scan"]["type"]:
        return dict(present["index_options"])
    options: dict[str, Any] = template["graph" if vectors * dims > SCANNED_BYTES else "scan"]
    return options


def state_search(ids: Sequence[str], signals: Sequence[str], carry: bool = False) -> dict[str, Any]:
    """The state of these products: their meta, and which vectors the index really has. carry: also vectors and codes.

    Whether a vector is there is read from the index, never from `_source`, which hides vectors from 9.2 on.
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
    """Clauses by whose names a hit says which of the signals it has a vector of."""
    return [{"exists": {"field": f"hybrid.{name}", "_name": name}} for name in signals]


def _typed(kind: str) -> dict[str, Any]:
    if kind == "keyword":
        return {"type": "keyword", "ignore_above": 256}
    # A price of "call us" must not cost the shop the product: the product is stored, and not found by price.
    return {"type": kind, "ignore_malformed": True}


def _put(properties: dict[str, Any], path: str, definition: dict[str, Any]) -> None:
    head, _, rest = path.partition(".")
    if rest:
        inner = properties.setdefault(head, {"properties": {}})
        _put(inner.setdefault("properties", {}), rest, definition)
    else:
        properties[head] = definition


def own_settings() -> dict[str, Any]:
    """The settings of a new index by which the layer's words are scored best."""
    return {"similarity": es_mappings.load("product")["settings"]["similarity"]}
