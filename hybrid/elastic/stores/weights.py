"""Versions of learned weights in the cluster, and which is in force."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from elasticsearch import Elasticsearch

from hybrid.elastic.client import translated
from hybrid.elastic.stores.base import ensure_store, now, store_unchanged, stored
from hybrid.errors import WeightsError

WEIGHTS = "hybrid-weights"
#: What a list of versions shows of their reports.
_BRIEF = [
    f"report.{name}"
    for name in ("rows", "kind", "chosen", "judged", "made_up", "signals", "in_force", "list", "by", "order")
]


class WeightsVersions:
    """Published weights: one document a version, and one an index that says which is in force."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def in_force(self, index: str) -> str | None:
        """The version in force; None before the first promotion."""
        version: str | None = self.standing(index)["version"]
        return version

    def standing(self, index: str) -> dict[str, Any]:
        """{"version": in force, "history": those before, last one last, "promoted": since when}; None for none."""
        pointer = self._get(_pointer_id(index))
        found = pointer["_source"] if pointer else {}
        return {
            "version": found.get("version"),
            "history": found.get("history", []),
            "promoted": found.get("promoted"),
        }

    def model(self, index: str, version: str) -> dict[str, Any] | None:
        """The stored model, or None."""
        found = self.get(index, version)
        return found["model"] if found else None

    def get(self, index: str, version: str) -> dict[str, Any] | None:
        """All of one version: kind, created, report, model."""
        found = self._get(_version_id(index, version))
        return dict(found["_source"]) if found else None

    def latest(self, index: str, kind: str) -> str | None:
        """The newest version of a kind."""
        found, _ = self._newest(index, 1, 0, ["version"], [{"term": {"kind": kind}}])
        return str(found[0]["version"]) if found else None

    def list(self, index: str) -> list[dict[str, Any]]:
        """Versions without their models, newest first."""
        return [*self._newest(index, 1_000, 0, [])[0]]

    def names(self, index: str) -> Sequence[str]:
        """Names of the versions, newest first."""
        return [entry["version"] for entry in self._newest(index, 1_000, 0, ["version"])[0]]

    def page(self, index: str, size: int, before: int = 0) -> tuple[Sequence[dict[str, Any]], int]:
        """(versions, newest first, after the first `before`; how many there are).

        Of a report only what a list of versions shows: a whole one is as long as the list of its queries.
        """
        return self._newest(index, size, before, ["version", "kind", "created", *_BRIEF])

    def _newest(
        self, index: str, size: int, before: int, fields: Sequence[str], more: Sequence[dict[str, Any]] = ()
    ) -> tuple[Sequence[dict[str, Any]], int]:
        with translated(WEIGHTS):
            hits = self._client.search(
                index=WEIGHTS,
                query={"bool": {"filter": [{"term": {"index": index}}, {"term": {"role": "version"}}, *more]}},
                sort=[{"created": "desc"}, {"version": "desc"}],
                size=size,
                from_=before,
                source_includes=list(fields) or None,
                source_excludes=["model"],
                track_total_hits=True,
                ignore_unavailable=True,
            )["hits"]
        return [hit["_source"] for hit in hits["hits"]], int(hits["total"]["value"])

    def add(self, index: str, version: str, kind: str, model: dict[str, Any], report: dict[str, Any]) -> None:
        """Keep a version.

        Raises:
            WeightsError: there is one of that name.
        """
        ensure_store(self._client, WEIGHTS, "weights")
        body = {
            "role": "version", "index": index, "version": version, "kind": kind, "created": now(),
            "report": report, "model": model,
        }  # fmt: skip
        if store_unchanged(self._client, WEIGHTS, _version_id(index, version), body, None) is None:
            raise WeightsError(f"weights {version!r} exist already; choose another name")

    def promote(self, index: str, version: str, instead_of: Collection[str | None] | None = None) -> None:
        """Put a version in force. What was in force before is remembered for `rollback`.

        instead_of: one of these must be in force until then (None among them: nothing was promoted yet).

        Raises:
            WeightsError: somebody else changed it at the same moment, or it is none of `instead_of`.
        """
        pointer = self._get(_pointer_id(index))
        _expect(pointer, instead_of)
        before = pointer["_source"] if pointer else {"history": []}
        history = before["history"] + ([before["version"]] if before.get("version") else [])
        self._point(index, version, history[-50:], pointer)

    def rollback(self, index: str, instead_of: Collection[str | None] | None = None) -> str | None:
        """Put the version before in force, and return it; None where that is the fixed weights.

        Raises:
            WeightsError: nothing was promoted; what is in force is none of `instead_of`, as for `promote`.
        """
        pointer = self._get(_pointer_id(index))
        _expect(pointer, instead_of)
        if not pointer or not pointer["_source"].get("version"):
            raise WeightsError(f"no weights were promoted for index {index!r}; nothing to roll back")
        history = list(pointer["_source"]["history"])
        version = history.pop() if history else None
        self._point(index, version, history, pointer)
        return version

    def _point(self, index: str, version: str | None, history: Sequence[str], before: Any) -> None:
        ensure_store(self._client, WEIGHTS, "weights")
        body = {"role": "in_force", "index": index, "version": version, "history": history, "promoted": now()}
        if store_unchanged(self._client, WEIGHTS, _pointer_id(index), body, before) is None:
            raise WeightsError("somebody else changed the weights in force just now; look, and try again")

    def _get(self, id: str) -> dict[str, Any] | None:
        return stored(self._client, WEIGHTS, id)


def _expect(pointer: dict[str, Any] | None, wanted: Collection[str | None] | None) -> None:
    version = pointer["_source"].get("version") if pointer else None
    if wanted is not None and version not in wanted:
        raise WeightsError(
            f"somebody else put {version or 'the fixed weights'} in force meanwhile; look at the weights again, then "
            "decide"
        )


def _version_id(index: str, version: str) -> str:
    return f"version:{index}:{version}"


def _pointer_id(index: str) -> str:
    return f"in-force:{index}"
