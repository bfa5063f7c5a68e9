"""`hybrid.tags`: what a published model of tags says of a product, from the codes of the vectors that it has.

Made in the same write as the vectors, and noted in `hybrid.meta.tags`: by which version, of which inputs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import numpy as np

from hybrid import documents
from hybrid.contracts import TAGS, IndexProfile
from hybrid.elastic import coding
from hybrid.errors import EncoderError
from hybrid.fused import is_there

NO_MODEL = "no_tags_model"


class Tagger(Protocol):
    """See hybrid.encoders.tagger.PublishedTags."""

    @property
    def version(self) -> str: ...

    def tags(self, parts: Mapping[str, np.ndarray | None]) -> list[dict[str, Any]]: ...


def tags_hash(meta: Mapping[str, Any], profile: IndexProfile) -> str:
    """Changes with the model and with the input of each part that it looks at."""
    assert profile.tags is not None
    hashes = [
        f"{part}:{meta[part]['hash'] if is_there(part, meta, profile) else '-'}" for part in sorted(profile.tags.parts)
    ]
    return documents.content_hash(profile.tags.version, " ".join(hashes).encode())


def agrees(meta: Mapping[str, Any], profile: IndexProfile, changing: Collection[str] = ()) -> bool:
    """Whether the tags that `meta` notes are those of the parts that it notes. changing: signals that wait."""
    if profile.tags is None or set(changing).intersection(profile.tags.parts):
        return profile.tags is None
    return bool((meta.get(TAGS) or {}).get("hash") == tags_hash(meta, profile))


def put(
    tagger: Tagger,
    layer: dict[str, Any],
    codes: Mapping[str, str | None],
    meta: Mapping[str, Any],
    profile: IndexProfile,
) -> None:
    """Write the tags of a product into the layer's field; none where none is sure enough, or no part has a vector.

    codes, meta: of the parts, as `hybrid.codes` and `hybrid.meta` hold them.

    Raises:
        EncoderError: the model cannot be had, or takes other vectors.
    """
    assert profile.tags is not None
    if tagger.version != profile.tags.version:
        raise EncoderError(f"{profile.index!r} has tags of {profile.tags.version!r}, and this is {tagger.version!r}")
    parts = {
        part: coding.decode_code(codes.get(part), profile.signals[part].dims)
        for part in profile.tags.parts
        if is_there(part, meta, profile)
    }
    layer[TAGS] = tagger.tags(parts) if any(vector is not None for vector in parts.values()) else []
    layer["meta"][TAGS] = {"hash": tags_hash(meta, profile), "encoder": profile.tags.version}
