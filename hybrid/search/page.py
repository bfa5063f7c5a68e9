"""What a page says beside its hits: highlights, and what its total counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybrid.contracts import (
    IndexProfile,
    values_at,
)
from hybrid.text import analysis


def _total_counts(terms: str | None, vectors: Mapping[str, Any], depth: int) -> str:
    nearest = f"the {depth} nearest by {' and by '.join(vectors)}" if vectors else ""
    if terms is None:
        return nearest
    words = "products with one of the words" if terms else "all products"
    return f"{words}, and {nearest}" if nearest else words


_ROLES = ("title", "description")


def highlights(source: Mapping[str, Any], profile: IndexProfile, wanted: frozenset[str]) -> dict[str, str]:
    """Role -> HTML-escaped text with <mark>, of the first value that has one of the analysed words."""
    found: dict[str, str] = {}
    for role in _ROLES:
        for path in profile.fields.roles.get(role, ()):
            for value in values_at(source, path):
                marked = analysis.highlight(analysis.plain_text(str(value)), wanted, profile.language)
                if marked and role not in found:
                    found[role] = marked
    return found
