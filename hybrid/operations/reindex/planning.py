"""The plan of a reindex: decides and estimates the next generation of an index. Writes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hybrid.catalogue.fields import guess_fields
from hybrid.catalogue.index_template import Template, served_by, text_fields
from hybrid.contracts import IndexProfile
from hybrid.elastic.indices.generations import Generations
from hybrid.elastic.indices.products import BUILDING, is_building
from hybrid.elastic.indices.shop import ShopIndex, ShopIndices
from hybrid.errors import IndexConflictError, UsageError
from hybrid.operations.planning import decide_profile, views_in
from hybrid.operations.sizing import Estimate, measure
from hybrid.services import Services
from hybrid.signals import has_titles

#: How long an estimate is valid, and by which share the number of documents may have changed meanwhile.
_HOLDS, _MOVED = timedelta(hours=1), 0.2


@dataclass(frozen=True)
class ReindexPlan:
    """What a reindex would do. new: the name of the next generation."""

    shop: ShopIndex
    new: str
    profile: IndexProfile
    template: Template
    sample: list[dict[str, Any]]
    changes: list[str]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        return {
            "index": self.shop.name,
            "old": self.shop.concrete,
            "new": self.new,
            "documents": self.shop.documents,
            "size_bytes": self.shop.size_bytes,
            "shards": self.profile.shards,
            "fields": self.profile.fields.to_json(),
            "signals": {name: signal.to_json() for name, signal in self.profile.signals.items()},
            "changes": self.changes,
            "notes": self.notes,
        }


def plan_reindex(
    services: Services,
    index: str,
    *,
    shards: int | None = None,
    template: Template | None = None,
    mapping: str | None = None,
    signals: Sequence[str] | None = None,
    language: str | None = None,
    media_root: Path | None = None,
    lexical: str | None = None,
) -> ReindexPlan:
    """Look at the index behind an alias, and decide what the next one is like. Writes nothing.

    The profile of the old index stays, except for the options given here; the encoders are those of the settings.

    Raises:
        IndexMissingError, IndexConflictError: no such index, or one that cannot be swapped; says how it can.
        UsageError: an option cannot be used.
    """
    template = template or Template()
    shop_index = services.cluster.shops.describe(index)
    hopeless = list(_blockers(services.cluster.generations, shop_index))
    if hopeless:
        raise IndexConflictError(hopeless[0])
    new = services.cluster.generations.next_name(index, shop_index.concrete)
    count = _shards(shards, template, shop_index)
    properties = {**shop_index.properties, **template.properties}
    with_template = dataclasses.replace(shop_index, mappings={**shop_index.mappings, "properties": properties})
    notes: list[str] = []
    profile, sample = decide_profile(services, with_template, mapping, signals, language, media_root, lexical, notes)
    profile = dataclasses.replace(profile, shards=count)
    chosen = profile.signals if signals is None else {name: profile.signals[name] for name in signals}
    # The new index can have as many views as its products have now, and titles as the settings say now.
    counted = {
        name: dataclasses.replace(
            signal, views=views_in(sample, profile.fields, name), titles=has_titles(services.settings, name)
        )
        for name, signal in chosen.items()
    }
    profile = dataclasses.replace(profile, signals=counted)
    if template.properties and mapping is None:
        # Filters and facets follow the new mapping. The roles of the fields stay.
        able = served_by(properties, guess_fields(sample, "id=_id"))
        profile = dataclasses.replace(
            profile,
            fields=dataclasses.replace(
                able, roles=profile.fields.roles, marks=profile.fields.marks, languages=profile.fields.languages
            ),
        )
    known = text_fields({name: value for name, value in properties.items() if name != "hybrid"})
    for name in profile.lexical_fields:
        if name.partition("^")[0] not in known:
            raise UsageError(f"--lexical: {name!r} is no text field; text fields: {', '.join(sorted(known)) or 'none'}")
    return ReindexPlan(shop_index, new, profile, template, sample, _changes(shop_index, profile, template), notes)


def _shards(shards: int | None, template: Template, shop_index: ShopIndex) -> int:
    try:
        return shards or int(template.settings.get("number_of_shards", shop_index.shards))
    except (TypeError, ValueError) as error:
        raise UsageError("the template's number_of_shards is no number") from error


def _blockers(generations: Generations, shop_index: ShopIndex) -> Iterator[str]:
    """Reasons that prevent a reindex, each with its remedy where there is one."""
    name = shop_index.name
    if is_building(name):
        yield f"{name!r} is an index that is being built; use the name without {BUILDING}"
    elif name == shop_index.concrete:
        aliases = [alias for alias in generations.aliases_of(name) if not is_building(alias)]
        if aliases:
            yield f"{name!r} is the index itself, and it is behind the alias {aliases[0]!r}: reindex {aliases[0]!r}"
        yield (
            f"{name!r} is an index and no alias, so no other can take its place. Give it one (POST _aliases "
            f'{{"actions": [{{"add": {{"index": "{name}", "alias": "{name}-live"}}}}]}}), let all that reads and '
            f"writes it use {name}-live, and then run `hybrid reindex {name}-live`"
        )
    if shop_index.closed:
        yield f"index {name!r} is closed; open it with POST {shop_index.concrete}/_open"
    for key in ("index_routing", "search_routing", "filter"):
        if shop_index.alias.get(key):
            yield f"the alias {name!r} shows a part of its index ({key}); reindex an alias that shows all of it"
    if shop_index.settings.get("index.mode") == "time_series":
        yield f"index {name!r} is a time series, which ends and is not rebuilt"
    source = shop_index.mappings.get("_source", {})
    if shop_index.settings.get("index.mapping.source.mode", source.get("mode")) == "disabled":
        source = {"enabled": False}
    if source.get("enabled") in (False, "false") or source.get("includes") or source.get("excludes"):
        yield f"index {name!r} does not keep whole documents in _source, so they cannot be copied; index them anew"
    if shop_index.profile is None and "hybrid" in shop_index.properties:
        yield f"index {name!r} has a field `hybrid` of its own, the name that the layer needs; rename that field"


def _changes(shop_index: ShopIndex, profile: IndexProfile, template: Template) -> list[str]:
    """The changes against the old index, in words."""
    before = shop_index.profile
    changes = [] if profile.shards == shop_index.shards else [f"shards: {shop_index.shards} -> {profile.shards}"]
    if before is None:
        changes.append("the layer's field `hybrid` is added")
    for name, signal in profile.signals.items():
        signal_before = before.signals.get(name) if before is not None else None
        if signal_before is None:
            changes.append(f"{name} vectors by {signal.encoder}")
        elif signal_before.views != signal.views:
            changes.append(
                f"{name} vectors: of up to {signal.views} pictures or frames a product, not {signal_before.views}"
            )
        elif signal_before.version == signal.version and signal_before.titles != signal.titles:
            changes.append(f"{name} vectors: {'of titles too' if signal.titles else 'of titles no more'}")
        elif signal_before.version != signal.version:
            changes.append(
                f"{name} vectors: {signal_before.encoder} {signal_before.version} -> {signal.encoder} {signal.version}"
            )
    if before is not None and before.analysis != profile.analysis:
        changes.append(f"words: {before.analysis} -> {profile.analysis}")
    changes += [
        f"mapping of {name}"
        for name in template.properties
        if shop_index.properties.get(name) != template.properties[name]
    ]
    changes += [f"setting {name}" for name in template.settings]
    return changes or ["nothing but the index itself: segments, and the layer's part made whole"]


def outdated(shops: ShopIndices, index: str, plan: Mapping[str, Any], placed: str) -> str | None:
    """Why a plan that a user saw is no longer valid; None where it is valid.

    plan: has a "fingerprint" and "documents". placed: when the plan was ordered, ISO 8601.

    Raises:
        IndexMissingError, IndexConflictError: as shop.describe does.
    """
    if datetime.now(UTC) - datetime.fromisoformat(placed) > _HOLDS:
        return "the estimate is older than an hour"
    shop_index = shops.describe(index)
    if shop_index.fingerprint != plan.get("fingerprint"):
        return f"the mapping of {index!r} has changed since the estimate, or another index has its name"
    if abs(shop_index.documents - plan["documents"]) > _MOVED * max(1, plan["documents"]):
        return f"{index!r} had {plan['documents']:,} documents at the estimate and has {shop_index.documents:,} now"
    return None


def estimate(services: Services, plan: ReindexPlan) -> Estimate:
    """Estimate the time and the disk space of a reindex by encoding a small sample here. Writes nothing.

    Raises:
        EncoderError: a model cannot be had.
    """
    before = plan.shop.profile
    reused = {
        name
        for name, signal in plan.profile.signals.items()
        if before is not None and name in before.signals and before.signals[name].made_by == signal.made_by
    }
    measured = measure(services, plan.profile, plan.sample, plan.shop.documents, plan.shop.replicas, reused)
    return dataclasses.replace(measured, bytes=measured.bytes + plan.shop.size_bytes * (1 + plan.shop.replicas))
