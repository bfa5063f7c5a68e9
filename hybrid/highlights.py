"""Where the words of a query stand in a product: marked text for its page. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybrid import analysis
from hybrid.contracts import IndexProfile, values_at

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
