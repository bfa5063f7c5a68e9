"""The parts of a page beside its hits: highlights, and the meaning of its total."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from hybrid.contracts import IndexProfile, values_at
from hybrid.facts import Counted
from hybrid.text import analysis

_ROLES = ("title", "description")


def counted(terms: str | None, vectors: Iterable[str], depth: int) -> Counted:
    """What the total of a search counts. terms: "" to browse everything, None where words take no part."""
    words: Literal["matching", "all"] | None = None if terms is None else "matching" if terms else "all"
    return Counted(words, tuple(vectors), depth)


def highlights(source: Mapping[str, Any], profile: IndexProfile, query_terms: frozenset[str]) -> dict[str, str]:
    """Role -> HTML-escaped text with <mark>, of the first value that has one of the analysed words."""
    marked_texts: dict[str, str] = {}
    for role in _ROLES:
        marked = (
            analysis.highlight(analysis.plain_text(str(value)), query_terms, profile.language_of(path))
            for path in profile.fields.roles.get(role, ())
            for value in values_at(source, path)
        )
        if first := next(filter(None, marked), None):
            marked_texts[role] = first
    return marked_texts
