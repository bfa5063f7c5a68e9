"""The layer in an index that a shop makes by itself: the field, the fields' roles and the encoders, before any product.

Settings say what the fields are for, or the names in the mapping. `hybrid attach INDEX --map …` may say it later on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybrid.catalogue.documents import words_version
from hybrid.catalogue.fields import named_roles
from hybrid.catalogue.index_template import Template, served_by
from hybrid.contracts import FieldMap, GetEncoder, IndexProfile, VectorSignal
from hybrid.elastic.indices.lifecycle import Indices
from hybrid.elastic.indices.mappings import layer_property
from hybrid.elastic.indices.stand_in import roles_of
from hybrid.errors import IndexMissingError, UsageError
from hybrid.settings import Settings
from hybrid.signals import SIGNALS, has_titles
from hybrid.text.stems import languages

#: The roles of a new index whose mapping names no text: its first documents make the fields.
_USUAL = {
    "title": ("title", "name"),
    "description": ("description",),
    "brand": ("brand",),
    "category": ("category",),
    "tags": ("tags",),
    "color": ("color",),
}
_FACETS = ("category", "brand", "color")


class NewIndices:
    """Adds the layer to the bodies of `PUT index`."""

    def __init__(self, indices: Indices, settings: Settings, get_encoder: GetEncoder) -> None:
        """Raises:
        UsageError: the settings have an unknown language, or a mapping that cannot be read.
        """
        self._indices, self._settings, self._get_encoder = indices, settings, get_encoder
        self._language = settings.dropin_proxy_language
        if self._language not in languages():
            raise UsageError(f"no language {self._language!r} for new indices; known: {', '.join(languages())}")
        self._named = named_roles(settings.dropin_proxy_map)

    def noted(self, index: str) -> dict[str, Any] | None:
        """What the mapping of an index notes of the layer; None where the layer has no part in it, or it is not there.

        Raises:
            IndexConflictError: the name stands for several indices.
        """
        try:
            return self._indices.note(index)
        except IndexMissingError:  # the cluster says so itself
            return None

    def added(self, index: str, body: dict[str, Any]) -> dict[str, Any]:
        """The body of `PUT index` with the layer's field and profile in its mapping. body: of parts of a right kind.

        Raises:
            EncoderError: a model cannot be had.
        """
        mappings = dict(body.get("mappings", {}))
        profile = self._profile(index, mappings.get("properties", {}))
        properties = {**mappings.get("properties", {}), "hybrid": layer_property(profile, False, 0)}
        mappings |= {"properties": properties, "_meta": {**mappings.get("_meta", {}), "hybrid": profile.to_json()}}
        return {**body, "mappings": mappings}

    def _profile(self, index: str, properties: Mapping[str, Any]) -> IndexProfile:
        kinds = Template(properties=properties).kinds()
        roles = roles_of(kinds)
        if "text" not in kinds.values():
            roles = {**_USUAL, **roles}
        taken = {path for paths in self._named.values() for path in paths}
        roles = {role: tuple(path for path in paths if path not in taken) for role, paths in roles.items()}
        roles = {role: paths for role, paths in {**roles, **self._named}.items() if paths}
        roles["id"] = ("_id",)
        types = {path: kind for path, kind in kinds.items() if kind not in ("text", "")}
        facets = tuple(path for role in _FACETS for path in roles.get(role, ()))
        fields = served_by(properties, FieldMap(roles, {**dict.fromkeys(facets, "keyword"), **types}, facets))
        signals = {}
        for name, signal in SIGNALS.items():
            # Which scripts its texts will be in nobody knows yet.
            if signal.parts or signal.of or (signal.role is not None and signal.role not in roles):
                continue
            spec = signal.spec(self._settings)
            encoder = self._get_encoder(spec)
            if signal.modality in encoder.modalities:
                titles = has_titles(self._settings, name)
                signals[name] = VectorSignal(spec, encoder.version, encoder.dims, titles=titles)
        root = self._settings.media_root
        return IndexProfile(
            index=index,
            fields=fields,
            signals=signals,
            language=self._language,
            analysis=words_version([self._language]),
            media_root=str(root.resolve()) if root else None,
            attached=True,
        )
