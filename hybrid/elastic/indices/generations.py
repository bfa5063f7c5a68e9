"""Generations of an index behind an alias: the next one is made beside, fenced, and swapped in.

The fence makes a shop's writes wait, and refuses none: an index that wants one more copy than can be allocated has
too few active ones, and Elasticsearch holds a write back until there are enough (a minute at most, by default), while
searches go on. Our own writes say that they do not wait. Behind it the last changes are copied, and the alias moves.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Collection, Mapping
from typing import Any

from elasticsearch import Elasticsearch

from hybrid.catalogue.index_template import Template
from hybrid.contracts import IndexProfile
from hybrid.elastic.client import translated
from hybrid.elastic.indices import mappings as mappings_module
from hybrid.elastic.indices.copies import REVISION
from hybrid.elastic.indices.products import BUILDING, is_building
from hybrid.elastic.indices.shop import ShopIndex
from hybrid.errors import (
    AccessRefusedError,
    AlreadyExistsError,
    ClusterError,
    IndexConflictError,
    IndexMissingError,
    InvalidRequestError,
    JobError,
)

logger = logging.getLogger(__name__)

#: Settings that belong to one index, or that must not hold while it is built.
_OWN_SETTINGS = re.compile(
    r"index\.(uuid|creation_date|provided_name|version|resize|blocks|hidden|history|frozen|verified_before_close|"
    r"routing\.allocation\.initial_recovery|store\.snapshot|lifecycle\.indexing_complete|default_pipeline|"
    r"final_pipeline|number_of_shards|number_of_routing_shards|shard\.|transform)"
)
#: Pipelines would change what was already through them, so they are set when the shop's own writes arrive.
PIPELINES = ("index.default_pipeline", "index.final_pipeline")
#: While an index is built nobody searches it, and what a copy replaces is merged away soon enough by the shop's own
#: writes: Elasticsearch 9 else merges a small index whole with every few refreshes. 2 MB is the default of 8.19.
BUILD_SETTINGS = {
    "index.refresh_interval": "5s",
    "index.merge.policy.floor_segment": "2mb",
    "index.merge.policy.deletes_pct_allowed": 50,
}
_WAIT = "index.write.wait_for_active_shards"
_ALLOCATION = "index.routing.allocation.enable"
_FENCE_SETTINGS = ("index.number_of_replicas", "index.auto_expand_replicas", _ALLOCATION, _WAIT)
Fence = Mapping[str, str | None]


class Generations:
    """The indices behind an alias: made, fenced, swapped, deleted."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def next_name(self, alias: str, concrete: str) -> str:
        """The name of the next generation: that of shop-000001 is shop-000002. Any other name counts from the alias."""
        with translated(alias):
            taken = self._client.indices.get(
                index=f"{alias}-*", expand_wildcards="all", filter_path="*.settings.index.uuid"
            ).body
        # Exactly so: a shop's own numbers may be dates, and the next one its next index.
        own = re.compile(rf"{re.escape(alias)}-(\d{{6}})")
        numbers = [int(match.group(1)) for name in [concrete, *taken] if (match := own.fullmatch(name))]
        return f"{alias}-{max(numbers, default=0) + 1:06d}"

    def create(
        self,
        found: ShopIndex,
        profile: IndexProfile,
        name: str,
        template: Template | None = None,
    ) -> None:
        """Make the next generation, empty and hidden: the shop's settings and mapping, the template's over them.

        Raises:
            IndexConflictError: the cluster refuses the mapping or the settings.
        """
        template = template or Template()
        settings: dict[str, Any] = {key: value for key, value in found.settings.items() if not _OWN_SETTINGS.match(key)}
        settings |= settings_in(template)
        similarity = mappings_module.own_settings()
        settings |= _flat("index", similarity)
        settings |= {"index.number_of_shards": profile.shards, "index.hidden": True}
        # Copies went through them once; by name, for a template of the cluster may have some too.
        settings |= dict.fromkeys(PIPELINES, "_none") | BUILD_SETTINGS
        for alias in self._template_aliases(name):
            raise IndexConflictError(
                f"an index template of the cluster would put {name!r} behind the alias {alias!r} at once, empty "
                "as it is; take `aliases` out of the template, then run this again"
            )
        mappings = {key: value for key, value in found.mappings.items() if key not in ("properties", "_meta")}
        layer = mappings_module.layer_property(profile, True, found.documents)
        layer["properties"]["meta"]["properties"]["revision"] = REVISION
        mappings |= template.mappings
        mappings["properties"] = {**found.properties, **template.properties, "hybrid": layer}
        mappings["_meta"] = {**found.mappings.get("_meta", {}), "hybrid": profile.to_json()}
        try:
            with translated(name, mapping=True):
                self._client.options(request_timeout=60).indices.create(
                    index=name,
                    settings=settings,
                    mappings=mappings,
                    aliases={f"{name}{BUILDING}": {"is_hidden": True}},
                    wait_for_active_shards="1",
                )
        except (InvalidRequestError, AlreadyExistsError) as error:
            raise IndexConflictError(
                f"the cluster refuses the new index: {error}; nothing was changed (see --template)"
            ) from error
        # A legacy template does the same, and is not seen before.
        if others := [alias for alias in self.aliases_of(name) if not is_building(alias)]:
            self.delete(name)
            raise IndexConflictError(
                f"an index template of the cluster puts {name!r} behind {others[0]!r}; take that out"
            )

    def _template_aliases(self, name: str) -> list[str]:
        """The aliases that an index of that name would get from a template; none where one may not ask."""
        try:
            with translated(name):
                answer = self._client.indices.simulate_index_template(name=name).body
        except AccessRefusedError as error:
            logger.info("not known which aliases a template gives %s: %s", name, error)
            return []
        return sorted(answer.get("template", {}).get("aliases", {}))

    def exists(self, name: str) -> bool:
        """Whether there is an index, or an alias, of that name."""
        with translated(name):
            return bool(self._client.indices.exists(index=name, expand_wildcards="all"))

    def delete(self, index: str) -> None:
        """Delete an index, if it is there. Its alias goes first, so that no late write makes it anew."""
        with translated(index):
            self._client.options(ignore_status=404).indices.delete_alias(index=index, name=f"{index}{BUILDING}")
            self._client.options(request_timeout=60).indices.delete(index=index, ignore_unavailable=True)

    def has_moved(self, alias: str, new: str) -> bool:
        """Whether an alias stands for the new index."""
        return self.exists(new) and alias in self.aliases_of(new)

    def swap(self, alias: str, old: str, new: str) -> None:
        """Move every alias of one index to another, with its properties, in one step of the cluster.

        Raises:
            JobError: the alias that all this is for is elsewhere.
            ClusterError: the cluster did not do it.
        """
        with translated(old):
            aliases = self._client.indices.get_alias(index=old).body[old]["aliases"]
            building = self._client.indices.get_alias(index=new).body[new]["aliases"]
        if alias not in aliases:
            raise JobError(
                f"{alias!r} was moved to another index meanwhile; end this with `hybrid reindex {alias} --cancel`"
            )
        actions: list[dict[str, Any]] = []
        for name, properties in aliases.items():
            actions.append({"remove": {"index": old, "alias": name, "must_exist": True}})
            actions.append({"add": {"index": new, "alias": name, **properties}})
        if f"{new}{BUILDING}" in building:
            actions.append({"remove": {"index": new, "alias": f"{new}{BUILDING}"}})
        with translated(old):
            answer = self._client.options(request_timeout=60).indices.update_aliases(actions=actions)
        if not answer.get("acknowledged"):
            raise ClusterError(f"not every node took the move of the aliases of {old!r} in time")

    def fence_of(self, index: str) -> Fence:
        """The settings that a fence changes, as they are."""
        settings = self.settings_of(index)
        if settings.get(_ALLOCATION) == "primaries" and settings.get(_WAIT) == "all":
            raise JobError(
                f"writes to {index!r} are held up already, by a swap that was not ended; `hybrid doctor` says how"
            )
        return {key: settings.get(key) for key in _FENCE_SETTINGS}

    def raise_fences(self, before: Mapping[str, Fence]) -> None:
        """Make writes to these indices wait. before: as `fence_of` said, and kept where a crash does not lose it."""
        alike: dict[tuple[tuple[str, Any], ...], list[str]] = {}
        for index, settings in before.items():
            wanted: dict[str, Any] = {
                "index.number_of_replicas": int(settings["index.number_of_replicas"] or 0) + 1,
                _ALLOCATION: "primaries",
                _WAIT: "all",
            }
            if settings.get("index.auto_expand_replicas") not in (None, "false"):
                wanted["index.auto_expand_replicas"] = "false"
            alike.setdefault(tuple(wanted.items()), []).append(index)
        for settings_of_all, names in alike.items():
            self._put(",".join(names), dict(settings_of_all))  # one change of the cluster's state where they agree

    def lower_fence(self, index: str, before: Fence) -> None:
        """Let waiting writes go on, and put the settings back; an index that is gone needs none."""
        restored = {key: value for key, value in before.items() if key != "index.auto_expand_replicas" or value}
        try:
            self._put(index, restored)
        except IndexMissingError:
            return

    def settings_of(self, index: str) -> dict[str, str]:
        """The settings of an index, flat."""
        with translated(index):
            return dict(self._client.indices.get_settings(index=index, flat_settings=True).body[index]["settings"])

    def set_pipelines(self, index: str, pipelines: Mapping[str, str | None]) -> None:
        """Let the writes of an index go through these ingest pipelines; None: none."""
        if any(self.settings_of(index).get(key) != pipelines.get(key) for key in PIPELINES):
            self._put(index, {key: pipelines.get(key) for key in PIPELINES})

    def set_refresh_interval(self, index: str, interval: str | None) -> None:
        """How often an index shows what was written; None: as it is by default."""
        self._put(index, {"index.refresh_interval": interval})

    def open_for_copies(self, index: str) -> None:
        """Let copies be written to an index that was in use once: what they are of went through its pipelines then."""
        self._put(index, {**dict.fromkeys(PIPELINES, "_none"), "index.blocks.write": None})

    def hide(self, index: str) -> None:
        """Let patterns such as `shop-*` not find an index, if it is there: another one has the same products."""
        if self.exists(index):
            self._put(index, {"index.hidden": True})

    def block_writes(self, index: str) -> None:
        """No write reaches an index from here on; those under way have ended."""
        if self.settings_of(index).get("index.blocks.write") == "true":
            self.unblock_writes(index)  # set by somebody who did not live to hear that it holds; it is not told twice
        with translated(index):
            answer = self._client.options(request_timeout=60).indices.add_block(index=index, block="write")
        if not answer.get("shards_acknowledged"):
            raise ClusterError(f"not every shard of {index!r} took the write block in time")

    def unblock_writes(self, index: str) -> None:
        self._put(index, {"index.blocks.write": None})

    def settle_writes(self, index: str, earlier: Collection[str] = (), patience_s: float = 5.0) -> None:
        """Wait until no write to an index is under way, those included that waited for its fence.

        earlier: writes that were under way before the aliases moved. They are waited for as well, for a second: one
        that looked the alias up late waits at the other index's fence, and ends when that is lowered.
        """
        started = time.monotonic()
        quiet = 0
        while quiet < 2 and time.monotonic() - started < patience_s:
            tasks = self.write_tasks()
            here = any(f"[{index}]" in task.get("description", "") for task in tasks.values())
            left = bool(tasks.keys() & set(earlier)) and time.monotonic() - started < 1.0
            quiet = 0 if here or left else quiet + 1
            time.sleep(0.01)

    def writes_under_way(self) -> set[str]:
        """Names of the tasks that write, to whatever index."""
        return set(self.write_tasks())

    def long_writers(self, names: Collection[str]) -> str | None:
        """An update or delete by query that goes on over one of these names; None: there is none."""
        for name, task in self.write_tasks().items():
            words = task.get("description", "")
            if task["action"].endswith(("/byquery", "write/reindex")) and any(f"[{index}]" in words for index in names):
                return f"{words.split(' ', 1)[0]} ({name})"
        return None

    def write_tasks(self) -> dict[str, dict[str, Any]]:
        # Not by the client's own method, which warns that this API may change.
        with translated():
            nodes = self._client.perform_request(
                "GET",
                "/_tasks",
                params={"actions": "indices:data/write/*", "detailed": "true"},
                headers={"accept": "application/json"},
            ).body.get("nodes", {})
        return {name: task for node in nodes.values() for name, task in node["tasks"].items()}

    def primaries_ready(self, index: str, patience_s: float = 60.0) -> None:
        """Wait until an index has its primaries, and those copies that the cluster can give it.

        Raises:
            ClusterError: no primary in time.
        """
        with translated(index):
            self._client.options(request_timeout=patience_s + 10).cluster.health(
                index=index,
                wait_for_status="yellow",
                wait_for_no_initializing_shards=True,
                timeout=f"{patience_s:.0f}s",
            )

    def _put(self, index: str, settings: Mapping[str, Any]) -> None:
        with translated(index):
            self._client.options(request_timeout=60).indices.put_settings(index=index, settings=dict(settings))

    def aliases_of(self, index: str) -> list[str]:
        """The aliases of an index."""
        with translated(index):
            return sorted(self._client.indices.get_alias(index=index).body[index]["aliases"])


def settings_in(template: Template) -> dict[str, Any]:
    """The settings of a template, flat."""
    return _flat("index", template.settings)


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {prefix: value}
    return {key: inner for name, part in value.items() for key, inner in _flat(f"{prefix}.{name}", part).items()}
