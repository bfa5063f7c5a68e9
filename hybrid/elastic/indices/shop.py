"""A shop's own index: its description, what blocks attaching to it, and the layer's field in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from elasticsearch import Elasticsearch

from hybrid.contracts import IndexProfile
from hybrid.elastic.client import Capabilities, translated
from hybrid.elastic.indices import mappings as mappings_module
from hybrid.elastic.indices.own import refuse_own
from hybrid.errors import IndexConflictError, IndexMissingError, MappingConflictError

_BLOCKS = ("write", "read_only", "read_only_allow_delete", "metadata", "read")
_FIELDS_LIMIT = 1000


@dataclass(frozen=True)
class ShopIndex:
    """An index as the cluster describes it. name: an alias or the index's own name. concrete: the index behind it."""

    name: str
    concrete: str
    uuid: str
    mappings: Mapping[str, Any]
    settings: Mapping[str, str]
    alias: Mapping[str, Any] = field(default_factory=dict)
    closed: bool = False
    documents: int = 0
    size_bytes: int = 0

    @property
    def properties(self) -> Mapping[str, Any]:
        properties: Mapping[str, Any] = self.mappings.get("properties", {})
        return properties

    @property
    def fingerprint(self) -> str:
        """A digest that changes when another index gets the name, or the mapping changes."""
        return hashlib.sha256(orjson.dumps([self.uuid, self.mappings], option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]

    @property
    def profile(self) -> IndexProfile | None:
        """The layer's profile, where it made the index or is attached to it."""
        meta = self.mappings.get("_meta", {}).get("hybrid")
        return IndexProfile.from_json(self.name, meta, self.shards) if meta else None

    @property
    def shards(self) -> int:
        return int(self.settings.get("index.number_of_shards", 1))

    @property
    def replicas(self) -> int:
        return int(self.settings.get("index.number_of_replicas", 0))

    @property
    def own_similarity(self) -> bool:
        """Whether the index was made with the layer's BM25 parameters."""
        return any(key.startswith("index.similarity.hybrid_terms.") for key in self.settings)


class ShopIndices:
    """Indices that are the shop's own."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def describe(self, name: str) -> ShopIndex:
        """The index behind a name.

        Raises:
            IndexMissingError: there is none.
            IndexConflictError: the name stands for several indices, or for a data stream.
        """
        refuse_own(name)
        with translated(name):
            descriptions = self._client.indices.get(
                index=name, flat_settings=True, expand_wildcards="none", ignore_unavailable=False
            ).body
        refuse_own(*descriptions)
        concrete, described = only(name, descriptions)
        settings = described["settings"]
        alias = described.get("aliases", {}).get(name, {}) if name != concrete else {}
        closed = self._is_closed(concrete)
        documents = size = 0
        if not closed:
            with translated(name):
                primaries = self._client.indices.stats(index=concrete, metric="docs,store")["_all"]["primaries"]
            documents, size = int(primaries["docs"]["count"]), int(primaries["store"]["size_in_bytes"])
            with translated(name):
                # Lucene's number counts nested objects as documents of their own.
                documents = int(self._client.count(index=concrete)["count"])
        return ShopIndex(
            name, concrete, settings["index.uuid"], described["mappings"], settings, alias, closed, documents, size
        )

    def _is_closed(self, concrete: str) -> bool:
        with translated(concrete):
            indices = self._client.indices.resolve_index(name=concrete, expand_wildcards="all").body["indices"]
        return any("closed" in index.get("attributes", ()) for index in indices)

    def sample(self, shop: ShopIndex, count: int, seed: int = 0) -> list[tuple[str, dict[str, Any]]]:
        """(id, whole document) of documents from all over the index."""
        query = {"function_score": {"query": {"match_all": {}}, "random_score": {"seed": seed, "field": "_seq_no"}}}
        with translated(shop.name):
            hits = self._client.search(index=shop.concrete, query=query, size=count)["hits"]["hits"]
        return [(hit["_id"], hit["_source"]) for hit in hits]

    def add_layer(self, shop: ShopIndex, profile: IndexProfile) -> None:
        """Add the layer's field to the mapping, and change nothing else in it. Field and profile come in one change.

        Raises:
            IndexConflictError: the cluster refuses the mapping.
        """
        # The cluster replaces `_meta` whole. What the shop keeps there is written again, as it is now and not as it was
        # when we planned.
        with translated(shop.name):
            mappings = self._client.indices.get_mapping(index=shop.concrete).body[shop.concrete]["mappings"]
        meta = {**mappings.get("_meta", {}), "hybrid": profile.to_json()}
        try:
            with translated(shop.name, mapping=True):
                self._client.indices.put_mapping(index=shop.concrete, properties=properties(shop, profile), meta=meta)
        except MappingConflictError as error:
            raise IndexConflictError(
                f"index {shop.name!r} does not take the layer's field: {error}; nothing was changed"
            ) from error


def only(name: str, indices: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(the one index behind a name, its description). indices: index -> description, as the cluster gives it."""
    if not indices:
        raise IndexMissingError(f"there is no index {name!r}")
    streams = {described["data_stream"] for described in indices.values() if described.get("data_stream")}
    if streams:
        raise IndexConflictError(
            f"{name!r} is a data stream; its documents cannot be updated in place: index the catalogue beside it "
            "with `hybrid index FILE --index NAME`"
        )
    if len(indices) > 1:
        raise IndexConflictError(
            f"the alias {name!r} stands for {len(indices)} indices ({', '.join(sorted(indices))}); attach one of them "
            "by its own name"
        )
    return next(iter(indices.items()))


def blockers(shop: ShopIndex, profile: IndexProfile | None, capabilities: Capabilities) -> list[str]:
    """Why the layer cannot be added, each reason with the way out; none: documents can be enriched in place. Pure."""
    return list(_blockers(shop, profile, capabilities))


def _blockers(shop: ShopIndex, profile: IndexProfile | None, capabilities: Capabilities) -> Iterator[str]:
    name = shop.name
    if capabilities.version < (8, 12):
        yield f"Elasticsearch {capabilities.version_text} cannot search vectors inside a query; 8.19 or 9.x is needed"
    if shop.closed:
        yield f"index {name!r} is closed; open it with POST {shop.concrete}/_open"
    for block in _BLOCKS:
        if shop.settings.get(f"index.blocks.{block}") == "true":
            yield (
                f"index {name!r} takes no writes (index.blocks.{block}); set it to null with PUT "
                f"{shop.concrete}/_settings"
            )
    if shop.settings.get("index.store.type") == "snapshot":
        yield f"index {name!r} is a mounted snapshot, which takes no writes; restore it first"
    if shop.settings.get("index.mode") == "time_series":
        yield f"index {name!r} is a time series, whose documents cannot be updated"
    if shop.alias.get("index_routing") or shop.alias.get("search_routing"):
        yield f"the alias {name!r} carries a routing; attach the index {shop.concrete!r} by its own name"
    if shop.alias.get("filter"):
        yield f"the alias {name!r} shows a part of its index; attach the index {shop.concrete!r} by its own name"
    if shop.alias.get("is_write_index") is False:
        yield f"the alias {name!r} takes no writes; attach the index {shop.concrete!r} by its own name"
    yield from _source_blockers(shop)
    existing = shop.profile
    if existing is None and "hybrid" in shop.properties:
        yield f"index {name!r} has a field `hybrid` of its own, the name that the layer needs; rename that field"
    if profile is not None:
        yield from _mapping_blockers(shop, profile)


def _source_blockers(shop: ShopIndex) -> Iterator[str]:
    source = shop.mappings.get("_source", {})
    mode = shop.settings.get("index.mapping.source.mode", source.get("mode", "stored"))
    if source.get("enabled") in (False, "false") or mode == "disabled":
        yield f"index {shop.name!r} keeps no _source, so no document can be updated in place; reindex it with one"
    elif mode == "synthetic":
        yield (
            f"index {shop.name!r} makes its _source anew from the fields (synthetic), so an update would reorder the "
            "shop's own values; reindex it with a stored _source"
        )
    elif source.get("includes") or source.get("excludes"):
        yield (
            f"index {shop.name!r} leaves fields out of _source, and an update would lose them; reindex it with a "
            "whole _source"
        )


def _mapping_blockers(shop: ShopIndex, profile: IndexProfile) -> Iterator[str]:
    before = shop.profile
    if before is not None:
        for name, signal in profile.signals.items():
            existing = before.signals.get(name)
            if existing and existing.dims != signal.dims:
                yield (
                    f"index {shop.name!r} holds {name} vectors of {existing.dims} dimensions ({existing.encoder}) and "
                    f"{signal.encoder} makes {signal.dims}; choose the encoder with "
                    f"HYBRID_{name.upper()}_ENCODER={existing.encoder}"
                )
    limit = int(shop.settings.get("index.mapping.total_fields.limit", _FIELDS_LIMIT))
    present = count_fields({key: value for key, value in shop.properties.items() if key != "hybrid"})
    added = count_fields(properties(shop, profile))
    if present + added > limit:
        yield (
            f"index {shop.name!r} has {present} fields, the layer adds {added}, and its limit is {limit}; raise it: "
            f'PUT {shop.concrete}/_settings {{"index.mapping.total_fields.limit": {present + added + 50}}}'
        )


def count_fields(properties: Mapping[str, Any]) -> int:
    """Fields as `index.mapping.total_fields.limit` counts them: objects and multi-fields too."""
    return sum(
        1 + count_fields(definition.get("properties", {})) + count_fields(definition.get("fields", {}))
        for definition in properties.values()
    )


def properties(shop: ShopIndex, profile: IndexProfile) -> dict[str, Any]:
    """The one property that attaching adds."""
    present = shop.properties.get("hybrid", {}).get("properties", {})
    return {"hybrid": mappings_module.layer_property(profile, shop.own_similarity, shop.documents, present)}
