"""A profile for an index that the layer has no part in, by which its own words are searched.

A name that the layer served may move to an index that was never attached. Searches of the name go on by the words of
the shop's own fields, until somebody attaches the index. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybrid.catalogue.field_statistics import rank
from hybrid.catalogue.index_template import Template, served_by, text_fields
from hybrid.contracts import ROLES, TEXT_ROLES, FieldMap, IndexProfile

_TITLE_BOOST = 2


def stand_in(
    index: str, concrete: str, description: Mapping[str, Any], before: IndexProfile | None = None
) -> IndexProfile | None:
    """The profile of an index without the layer, None where the index has no analysed field.

    description: the index as the cluster gives it, with flat settings. before: the profile of the index that the name
    stood for; its roles and facets hold as far as the new index has the fields.
    """
    properties = description.get("mappings", {}).get("properties", {})
    own = {name: definition for name, definition in properties.items() if name != "hybrid"}
    words, kinds = sorted(text_fields(own)), Template(properties=own).kinds()
    if not words:
        return None
    roles = roles_of(kinds, before)
    lexical_fields = _lexical_fields(words, roles)
    roles.setdefault("title", (words[0],))  # each profile has one
    types = {path: kind for path, kind in kinds.items() if kind not in ("text", "")}
    facets = tuple(path for path in before.fields.facets if path in types) if before else ()
    return IndexProfile(
        index=index,
        fields=served_by(own, FieldMap(roles, types, facets)),
        signals={},
        language=before.language if before else "en",
        analysis=before.analysis if before else "",
        media_root=before.media_root if before else None,
        lexical_fields=lexical_fields,
        shards=int(description["settings"]["index.number_of_shards"]),
        concrete=concrete,
        without_layer=(
            f"the layer has no part in the index that {index!r} leads to now, and its words alone are searched; add "
            f"the layer with `hybrid attach {index}`"
        ),
    )


def roles_of(kinds: Mapping[str, str], before: IndexProfile | None = None) -> dict[str, tuple[str, ...]]:
    """Role -> fields: as they were, else the field whose name fits best. kinds: path -> kind of field."""
    roles: dict[str, tuple[str, ...]] = {}
    for role in ROLES:
        if before is not None:
            held = tuple(path for path in before.fields.roles.get(role, ()) if path in kinds)
        else:
            ranks = {path: fit for path in kinds if (fit := rank(path, role)) is not None}
            held = (min(sorted(ranks), key=lambda path: ranks[path]),) if ranks else ()
        if held:
            roles[role] = held
    return roles


def _lexical_fields(words: list[str], roles: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The analysed fields that say what a product is; all of them where no name tells."""
    telling = {path for role in TEXT_ROLES for path in roles.get(role, ())}
    named = [path for path in words if path in telling] or words
    return tuple(f"{path}^{_TITLE_BOOST}" if path in roles.get("title", ()) else path for path in named)
