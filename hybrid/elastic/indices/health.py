"""The state of a cluster and its abilities, for `hybrid doctor`. Reads only."""

from __future__ import annotations

from typing import Any

from elasticsearch import Elasticsearch

from hybrid.contracts import IndexProfile
from hybrid.elastic.client import translated
from hybrid.elastic.indices import changes
from hybrid.elastic.indices.changes import Changes
from hybrid.elastic.indices.lifecycle import Indices
from hybrid.errors import AccessRefusedError, InvalidRequestError

#: The analyzers of languages, and painless.
MODULES = ("analysis-common", "lang-painless")

#: What the layer needs, as docs/operating/connect.md says: on the cluster; and on its stores and the shop's indices.
CLUSTER_PRIVILEGES, INDEX_PRIVILEGES = ("monitor",), ("manage", "read", "write")


class Health:
    """The state of a cluster, and of the indices in it."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client
        self._changes = Changes(client)
        self._indices = Indices(client)

    def licence(self) -> tuple[str, str] | None:
        """(type, status); None where the cluster does not say."""
        try:
            with translated():
                licence_info = self._client.license.get()["license"]
        except (AccessRefusedError, InvalidRequestError):  # the minimal distribution knows no licence
            return None
        return str(licence_info["type"]), str(licence_info["status"])

    def missing_privileges(self, index: str | None = None) -> list[str] | None:
        """What the layer needs and its user may not do, as "write on shop": on an index, or on the cluster and the
        layer's own stores; None where the cluster does not say, because it has no security."""
        try:
            with translated():
                answer = self._client.security.has_privileges(
                    cluster=[] if index else list(CLUSTER_PRIVILEGES),
                    index=[{"names": [index or "hybrid-*"], "privileges": list(INDEX_PRIVILEGES)}],
                )
        except InvalidRequestError:
            return None
        granted = {"the cluster": answer["cluster"], **answer["index"]}
        return [
            f"{name} on {where}" for where, by_name in granted.items() for name, held in by_name.items() if not held
        ]

    def status(self) -> str:
        """green, yellow or red."""
        with translated():
            return str(self._client.cluster.health()["status"])

    def fullest_disk(self) -> float | None:
        """Share of the fullest data disk in use; None where the cluster does not say."""
        try:
            with translated():
                nodes = self._client.nodes.stats(metric="fs", filter_path="nodes.*.fs.total")["nodes"].values()
        except (AccessRefusedError, InvalidRequestError):
            return None
        totals = [node["fs"]["total"] for node in nodes if node.get("fs", {}).get("total", {}).get("total_in_bytes")]
        return max((1 - total["available_in_bytes"] / total["total_in_bytes"] for total in totals), default=None)

    def missing_modules(self) -> list[str]:
        """The modules of a full cluster that this one lacks, of those that a shop's mapping may use."""
        with translated():
            nodes = self._client.nodes.info(metric="plugins", filter_path="nodes.*.modules.name").body.get("nodes", {})
        there = {module["name"] for node in nodes.values() for module in node.get("modules", ())}
        return [name for name in MODULES if name not in there]

    def coverage(self, profile: IndexProfile, refresh: bool = True) -> dict[str, Any]:
        """Counts of an index: documents, unseen (no meta), pending, failed, and for each signal with, lost (dropped by
        a whole-document write) and outdated (of another encoder). Without `refresh`, searches may not see all writes.
        """
        index = profile.index
        if refresh:
            self._indices.refresh(index)

        def count(query: dict[str, Any]) -> int:
            return self._indices.count(index, query)

        counts: dict[str, Any] = {
            "documents": count({"match_all": {}}),
            "unseen": count({"bool": {"must_not": [{"exists": {"field": "hybrid.meta.at"}}]}}),
            "pending": count({"exists": {"field": "hybrid.meta.pending"}}),
            "failed": count({"exists": {"field": "hybrid.meta.failed"}}),
            "signals": {},
        }
        for name, signal in profile.signals.items():
            has_hash, there = {"exists": {"field": f"hybrid.meta.{name}.hash"}}, {"exists": {"field": f"hybrid.{name}"}}
            other = {"term": {f"hybrid.meta.{name}.encoder": signal.made_by}}
            counts["signals"][name] = {
                "with": count(there),
                "lost": count({"bool": {"filter": [has_hash], "must_not": [there]}}),
                "outdated": count({"bool": {"filter": [has_hash], "must_not": [other]}}),
            }
        return counts

    def writes_since(self, index: str, earlier: changes.Checkpoint | None) -> int | None:
        """How many writes of an index no sync has read yet, the layer's own writes included; None: unknown."""
        here = self._changes.position(index, refresh=False)  # all writes count, also those that searches do not see yet
        if not here.continues(earlier):
            return None
        return sum(here.shards[shard][1] - start for shard, start in here.since(earlier).items())
