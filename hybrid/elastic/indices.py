"""Product indices: made behind an alias, described by the profile in their mapping."""

from __future__ import annotations

from typing import Any

from elasticsearch import BadRequestError, Elasticsearch

from hybrid.contracts import IndexProfile
from hybrid.elastic import bodies
from hybrid.elastic.client import translated
from hybrid.errors import IndexConflictError, IndexMissingError, UsageError


def read_profile(client: Elasticsearch, index: str) -> IndexProfile:
    """The profile of an index that the layer made.

    Raises:
        IndexMissingError: there is none of that name.
        IndexConflictError: it exists, and the layer did not make it.
    """
    with translated(index):
        mappings = client.indices.get_mapping(index=index).body
        settings = client.indices.get_settings(index=index, flat_settings=True).body
    if not mappings:
        raise IndexMissingError(f"there is no index {index!r}; `hybrid index FILE --index NAME` makes one")
    concrete, mapping = next(iter(mappings.items()))
    meta = mapping["mappings"].get("_meta", {}).get("hybrid")
    if meta is None:
        raise IndexConflictError(
            f"the index {index!r} was not made by Hybrid, and its documents are left alone; choose another "
            "name with --index"
        )
    shards = int(settings[concrete]["settings"]["index.number_of_shards"])
    return IndexProfile.from_json(index, meta, shards)


def ensure_index(client: Elasticsearch, profile: IndexProfile) -> bool:
    """Make the index, or check that the existing one fits and add what is missing. True if it was made.

    Raises:
        IndexConflictError: it was not made by the layer, or its vectors have other dimensions.
        UsageError: the name cannot be an index's.
    """
    try:
        existing = read_profile(client, profile.index)
    except IndexMissingError:
        _create(client, profile)
        return True
    for name, signal in profile.signals.items():
        before = existing.signals.get(name)
        if before and before.dims != signal.dims:
            raise IndexConflictError(
                f"index {profile.index!r} holds {name} vectors of {before.dims} dimensions ({before.encoder}) and "
                f"{signal.encoder} makes {signal.dims}; index under another name, or choose the encoder with "
                f"HYBRID_{name.upper()}_ENCODER={before.encoder}"
            )
    merged = IndexProfile(
        index=profile.index,
        fields=profile.fields,
        signals={**existing.signals, **profile.signals},
        language=profile.language,
        analysis=profile.analysis,
        media_root=profile.media_root or existing.media_root,
        shards=existing.shards,
    )
    mappings = bodies.index_body(merged)["mappings"]
    mappings.pop("dynamic")
    try:
        with translated(profile.index):
            client.indices.put_mapping(index=profile.index, properties=mappings["properties"], meta=mappings["_meta"])
    except Exception as error:
        if "cannot be changed" in str(error) or "Cannot update parameter" in str(error):
            raise IndexConflictError(
                f"index {profile.index!r} maps a field otherwise than this catalogue needs ({error}); index under "
                "another name, or say with --map how to read it"
            ) from error
        raise
    return False


def _create(client: Elasticsearch, profile: IndexProfile) -> None:
    body = bodies.index_body(profile)
    try:
        with translated(profile.index):
            client.indices.create(
                index=f"{profile.index}-000001",
                settings=body["settings"],
                mappings=body["mappings"],
                aliases={profile.index: {}},
            )
    except Exception as error:
        cause = error.__cause__
        if isinstance(cause, BadRequestError) and "invalid_index_name" in str(error):
            raise UsageError(
                f"{profile.index!r} cannot be an index name: lower case letters, digits, - and _ only"
            ) from error
        raise


def list_indices(client: Elasticsearch) -> list[str]:
    """Names of the product indices that the layer made, in order."""
    with translated():
        found = client.indices.get(
            index="*,-.*", filter_path="*.mappings._meta.hybrid.language,*.aliases", expand_wildcards="open"
        ).body
    names: set[str] = set()
    for concrete, described in found.items():
        if "mappings" in described:
            names.update(described.get("aliases") or {concrete: {}})
    return sorted(names)


def refresh(client: Elasticsearch, index: str) -> None:
    """Make everything written visible to search."""
    with translated(index):
        client.indices.refresh(index=index)


def count(client: Elasticsearch, index: str, query: dict[str, Any] | None = None) -> int:
    """How many products match (all without a query), as far as search sees them."""
    with translated(index):
        return int(client.count(index=index, query=query or {"match_all": {}})["count"])
