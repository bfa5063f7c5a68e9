"""The shop's own settings and mapping for its fields, as in the index template that it has. Pure, but for reading."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybrid.contracts import NUMBERS, FieldMap
from hybrid.errors import UsageError

#: Elasticsearch types by the kinds that the layer filters and counts on.
_KINDS = {
    "keyword": ("keyword", "constant_keyword", "wildcard"),
    "long": ("byte", "short", "integer", "long", "unsigned_long"),
    "double": ("half_float", "float", "double", "scaled_float"),
    "date": ("date", "date_nanos"),
    "boolean": ("boolean",),
    "text": ("text", "match_only_text", "search_as_you_type"),
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}
_MAPPING_KEYS = frozenset({"properties", "dynamic", "dynamic_templates", "date_detection", "numeric_detection"})


@dataclass(frozen=True)
class Template:
    """settings: of the index, analysis among them; properties: field definitions; mappings: what else it says."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    mappings: Mapping[str, Any] = field(default_factory=dict)

    def kinds(self) -> dict[str, str]:
        """Path -> kind ("text", "keyword", "long", …; "" for others), multi-fields such as `name.english` too."""
        return dict(_kinds(self.properties))

    def fit(self, fields: FieldMap) -> FieldMap:
        """The guessed types as this template has them: a text field is filtered by its keyword sub-field, if any."""
        kinds = self.kinds()

        def served(path: str, kind: str) -> tuple[str, str] | None:
            if path not in kinds:
                return path, kind
            if kinds[path] not in ("text", ""):
                return path, kinds[path]
            inner = (sub for sub, named in kinds.items() if sub.startswith(f"{path}.") and named == "keyword")
            keyword = next(inner, None) if kinds[path] == "text" else None
            return (keyword, "keyword") if keyword else None

        moved = {path: served(path, kind) for path, kind in fields.types.items()}
        return dataclasses.replace(
            fields,
            types=dict(pair for pair in moved.values() if pair),
            facets=tuple(pair[0] for path in fields.facets if (pair := moved[path])),
            # What the shop's template takes as text stays as it is written.
            marks={path: mark for path, mark in fields.marks.items() if kinds.get(path, "double") in NUMBERS},
        )


def served_by(properties: Mapping[str, Any], fields: FieldMap) -> FieldMap:
    """The guessed types as an existing index has them: only what it can filter and count on."""
    template = Template(properties=properties)
    fitted = template.fit(fields)
    # Not those within nested objects, which `kinds` leaves out.
    able = {path for path, definition in _definitions(properties) if _is_counted(definition)} & set(template.kinds())
    types = {path: kind for path, kind in fitted.types.items() if path in able}
    facets = tuple(path for path in fitted.facets if path in types)
    return dataclasses.replace(fitted, types=types, facets=facets, marks={})  # the shop's own fields stay as they are


def _definitions(properties: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, definition in properties.items():
        yield f"{prefix}{name}", definition
        yield from _definitions(definition.get("properties", {}), f"{prefix}{name}.")
        yield from _definitions(definition.get("fields", {}), f"{prefix}{name}.")


def _is_counted(definition: Mapping[str, Any]) -> bool:
    return all(str(definition.get(key, True)).lower() != "false" for key in ("index", "doc_values", "enabled"))


def read_template(path: Path) -> Template:
    """A JSON file {"settings": {…}, "mappings": {"properties": {…}}}, as sent to `PUT index` or `_index_template`.

    Raises:
        UsageError: no such file, not JSON, or a part that the layer cannot take.
    """
    try:
        data = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"cannot read template {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"template {path.name} is not JSON: {error}") from error
    if isinstance(data, dict) and isinstance(data.get("template"), dict):
        data = data["template"]  # the body of _index_template
    settings = data.get("settings", {}) if isinstance(data, dict) else None
    mappings = data.get("mappings", {}) if isinstance(data, dict) else None
    if not isinstance(settings, dict) or not isinstance(mappings, dict) or not (settings or mappings):
        raise UsageError(f'template {path.name}: {{"settings": {{…}}, "mappings": {{"properties": {{…}}}}}} wanted')
    if unknown := sorted(set(mappings) - _MAPPING_KEYS):
        raise UsageError(f"template {path.name}: mappings.{unknown[0]} cannot be taken over; take it out")
    properties = mappings.get("properties", {})
    if not isinstance(properties, dict) or not all(isinstance(value, dict) for value in properties.values()):
        raise UsageError(f"template {path.name}: mappings.properties must hold a definition for each field")
    if "hybrid" in properties:
        raise UsageError(f"template {path.name}: the field name `hybrid` belongs to the layer; rename the field")
    settings = {**settings, **settings.pop("index", {})} if isinstance(settings.get("index", {}), dict) else settings
    settings = {key.removeprefix("index."): value for key, value in settings.items()}
    return Template(settings, properties, {key: value for key, value in mappings.items() if key != "properties"})


def parse_lexical(text: str) -> tuple[str, ...]:
    """ "name^3,description" as field names with boosts; "hybrid.terms" stands for the layer's own.

    Raises:
        UsageError: nothing named, or a boost that is no positive number.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise UsageError("--lexical names no field; for example name^3,description")
    for name in names:
        path, caret, boost = name.partition("^")
        try:
            valid = bool(path) and (not caret or 0 < float(boost) < float("inf"))
        except ValueError:
            valid = False
        if not valid:
            raise UsageError(f"--lexical: {name!r} is not a field, or field^boost")
    return () if names == ("hybrid.terms",) else names


def text_fields(properties: Mapping[str, Any]) -> set[str]:
    """Paths of the analysed fields of a mapping."""
    return {path for path, kind in _kinds(properties) if kind == "text"}


def _kinds(properties: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, definition in properties.items():
        path = f"{prefix}{name}"
        if "properties" in definition:
            # Nested objects are documents of their own: a plain filter does not see into them.
            if definition.get("type") == "nested":
                yield path, ""
            else:
                yield from _kinds(definition["properties"], f"{path}.")
            continue
        yield path, _KIND_OF.get(definition.get("type", ""), "")
        yield from _kinds(definition.get("fields", {}), f"{path}.")
