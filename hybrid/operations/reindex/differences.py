"""The differences between the two indices of a reindex, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hybrid.elastic.indices.copies import Differences


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the new index refuses a document: a typed reason, and the cluster's message."""

    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


def described(differences: Differences, refused: Mapping[str, Refusal]) -> str:
    """The differences in words, with reasons of refused documents."""
    lacking = [one.id for one in differences.missing]
    reasons = [f"{id}: {refused[id]}" for id in lacking if id in refused]
    named = "; ".join(reasons[:3]) or ", ".join(lacking[:3])
    parts = [f"lacks {len(lacking):,} documents ({named})"] if lacking else []
    if differences.extra:
        parts.append(
            f"has {len(differences.extra):,} that are gone ({', '.join(one.id for one in differences.extra[:3])})"
        )
    return " and ".join(parts)
