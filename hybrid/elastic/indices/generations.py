"""Generations of an index behind an alias: the next one is built beside the current one, and the alias moves to it.

While the alias moves, a fence makes a shop's writes wait. It refuses no write: the fence demands one more active copy
of each shard than the cluster can allocate, and Elasticsearch holds a write back until there are enough copies (a
minute at most, by default), while searches go on. Our own writes say that they do not wait. While the fence is up, the
last changes are copied, and the alias moves.
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
#: Copies have passed the shop's pipelines already, and a pipeline would change them again. So the pipelines are set
#: when the shop's own writes arrive.
PIPELINES = ("index.default_pipeline", "index.final_pipeline")
#: Nobody searches an index while it is built. The shop's own writes merge replaced copies away soon enough; with its
#: defaults, Elasticsearch 9 merges a small index whole with every few refreshes. 2 MB is the default of 8.19.
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
    """Creates, fences, swaps and deletes the indices behind an alias."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def next_name(self, alias: str, concrete: str) -> str:
        """The name of the next generation: that of shop-000001 is shop-000002. Any other name counts from the alias."""
        with translated(alias):
            existing = self._client.indices.get(
                index=f"{alias}-*", expand_wildcards="all", filter_path="*.settings.index.uuid"
            ).body
        # Exactly six digits: a shop's own numbers may be dates, and the next number its next index.
        own = re.compile(rf"{re.escape(alias)}-(\d{{6}})")
        numbers = [int(match.group(1)) for name in [concrete, *existing] if (match := own.fullmatch(name))]
        return f"{alias}-{max(numbers, default=0) + 1:06d}"

    def create(
        self,
        shop: ShopIndex,
        profile: IndexProfile,
        name: str,
        template: Template | None = None,
    ) -> None:
        """Make the next generation, empty and hidden: the shop's settings and mapping, the template's over them.

        Raises:
            IndexConflictError: the cluster refuses the mapping or the settings.
        """
        template = template or Template()
        settings: dict[str, Any] = {key: value for key, value in shop.settings.items() if not _OWN_SETTINGS.match(key)}
        settings |= settings_in(template)
        similarity = mappings_module.own_settings()
        settings |= _flat("index", similarity)
        settings |= {"index.number_of_shards": profile.shards, "index.hidden": True}
        # Copies went through the pipelines once. "_none" is set, for a template of the cluster may name pipelines too.
        settings |= dict.fromkeys(PIPELINES, "_none") | BUILD_SETTINGS
        for alias in self._template_aliases(name):
            raise IndexConflictError(
                f"an index template of the cluster would put {name!r} behind the alias {alias!r} at once, empty "
                "as it is; take `aliases` out of the template, then run this again"
            )
        mappings = {key: value for key, value in shop.mappings.items() if key not in ("properties", "_meta")}
        layer = mappings_module.layer_property(profile, True, shop.documents)
        layer["properties"]["meta"]["properties"]["revision"] = REVISION
        mappings |= template.mappings
        mappings["properties"] = {**shop.properties, **template.properties, "hybrid": layer}
        mappings["_meta"] = {**shop.mappings.get("_meta", {}), "hybrid": profile.to_json()}
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
        # A legacy template adds aliases too, and the check above does not see it.
        if others := [alias for alias in self.aliases_of(name) if not is_building(alias)]:
            self.delete(name)
            raise IndexConflictError(
                f"an index template of the cluster puts {name!r} behind {others[0]!r}; take that out"
            )

    def _template_aliases(self, name: str) -> list[str]:
        """The aliases that an index of that name would get from a template; none where the user may not ask."""
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
        """Delete an index, if it is there. Its alias is deleted first, so that no late write creates it again."""
        with translated(index):
            self._client.options(ignore_status=404).indices.delete_alias(index=index, name=f"{index}{BUILDING}")
            self._client.options(request_timeout=60).indices.delete(index=index, ignore_unavailable=True)

    def has_moved(self, alias: str, new: str) -> bool:
        """Whether an alias stands for the new index."""
        return self.exists(new) and alias in self.aliases_of(new)

    def swap(self, alias: str, old: str, new: str) -> None:
        """Move every alias of one index to another, with its properties, in one step of the cluster.

        Raises:
            JobError: the alias stands for another index by now.
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
        """The settings that a fence changes, with their values now."""
        settings = self.settings_of(index)
        if settings.get(_ALLOCATION) == "primaries" and settings.get(_WAIT) == "all":
            raise JobError(
                f"writes to {index!r} are held up already, by a swap that was not ended; `hybrid doctor` says how"
            )
        return {key: settings.get(key) for key in _FENCE_SETTINGS}

    def raise_fences(self, before: Mapping[str, Fence]) -> None:
        """Make writes to these indices wait.

        before: index -> its settings by `fence_of`, which the caller has saved where a crash does not lose them.
        """
        indices_by_fence: dict[tuple[tuple[str, Any], ...], list[str]] = {}
        for index, settings in before.items():
            fence: dict[str, Any] = {
                "index.number_of_replicas": int(settings["index.number_of_replicas"] or 0) + 1,
                _ALLOCATION: "primaries",
                _WAIT: "all",
            }
            if settings.get("index.auto_expand_replicas") not in (None, "false"):
                fence["index.auto_expand_replicas"] = "false"
            indices_by_fence.setdefault(tuple(fence.items()), []).append(index)
        for fence_settings, names in indices_by_fence.items():
            self._put(",".join(names), dict(fence_settings))  # one change of the cluster's state for equal settings

    def lower_fence(self, index: str, before: Fence) -> None:
        """Let waiting writes go on, and put the settings back. Nothing is done where the index is gone."""
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
        """Let the writes of an index go through these ingest pipelines; None: through no pipeline."""
        if any(self.settings_of(index).get(key) != pipelines.get(key) for key in PIPELINES):
            self._put(index, {key: pipelines.get(key) for key in PIPELINES})

    def set_refresh_interval(self, index: str, interval: str | None) -> None:
        """Set how often an index makes writes visible to searches; None: the default."""
        self._put(index, {"index.refresh_interval": interval})

    def open_for_copies(self, index: str) -> None:
        """Let copies be written to an index that was in use, without pipelines: the originals passed them."""
        self._put(index, {**dict.fromkeys(PIPELINES, "_none"), "index.blocks.write": None})

    def hide(self, index: str) -> None:
        """Hide an index, if it is there, from patterns such as `shop-*`: another index has the same products."""
        if self.exists(index):
            self._put(index, {"index.hidden": True})

    def block_writes(self, index: str) -> None:
        """Block writes to an index. Writes that were under way have ended when this returns."""
        if self.settings_of(index).get("index.blocks.write") == "true":
            # Another process set the block, and died before the cluster acknowledged it. Elasticsearch acknowledges no
            # block that is set already.
            self.unblock_writes(index)
        with translated(index):
            answer = self._client.options(request_timeout=60).indices.add_block(index=index, block="write")
        if not answer.get("shards_acknowledged"):
            raise ClusterError(f"not every shard of {index!r} took the write block in time")

    def unblock_writes(self, index: str) -> None:
        self._put(index, {"index.blocks.write": None})

    def settle_writes(self, index: str, earlier: Collection[str] = (), patience_s: float = 5.0) -> None:
        """Wait until no write to an index is under way. Writes that waited for its fence are included.

        earlier: writes that were under way before the aliases moved. This waits for them as well, for a second: a
        write that looked the alias up late waits at the other index's fence, and ends when that fence is lowered.
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
        """Names of the tasks that write to any index."""
        return set(self.write_tasks())

    def long_writers(self, names: Collection[str]) -> str | None:
        """A running update or delete by query over one of these indices; None: there is none."""
        for name, task in self.write_tasks().items():
            words = task.get("description", "")
            if task["action"].endswith(("/byquery", "write/reindex")) and any(f"[{index}]" in words for index in names):
                return f"{words.split(' ', 1)[0]} ({name})"
        return None

    def write_tasks(self) -> dict[str, dict[str, Any]]:
        # The client's own method warns that this API may change.
        with translated():
            nodes = self._client.perform_request(
                "GET",
                "/_tasks",
                params={"actions": "indices:data/write/*", "detailed": "true"},
                headers={"accept": "application/json"},
            ).body.get("nodes", {})
        return {name: task for node in nodes.values() for name, task in node["tasks"].items()}

    def primaries_ready(self, index: str, patience_s: float = 60.0) -> None:
        """Wait until an index has its primaries, and the replicas that the cluster can allocate.

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
