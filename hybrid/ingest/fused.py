"""The signal `fused`: one vector a product, of its text's and its picture's, in the space of a published alignment.

It is made from vectors that are there already: from their codes, so that nothing is encoded again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hybrid import vectors as coding
from hybrid.catalogue import documents
from hybrid.contracts import FUSED, Fuser, IndexProfile

#: The signals that it is made of, in the order of its hash.
PARTS = ("text", "image")
NO_PARTS = ("no_parts", "neither its text nor its picture has a vector; mend those, then try this again")


def fused_hash(version: str, hashes: Mapping[str, str | None]) -> str:
    """Changes with the alignment and with the input of each part. hashes: part -> its content hash, if it has one."""
    return documents.content_hash(version, " ".join(f"{part}:{hashes.get(part) or '-'}" for part in PARTS).encode())


def agrees(version: str, state: Mapping[str, Any], meta: Mapping[str, Any], profile: IndexProfile) -> bool:
    """Whether the vector that `state` is noted of is made of the parts that `meta` notes."""
    hashes = {part: meta[part]["hash"] for part in PARTS if is_there(part, meta, profile)}
    return bool(state.get("hash") == fused_hash(version, hashes))


def is_there(part: str, meta: Mapping[str, Any], profile: IndexProfile) -> bool:
    """Whether a part has a vector by the encoder of the index, as far as `meta` notes it."""
    signal, state = profile.signals.get(part), meta.get(part) or {}
    return signal is not None and bool(state.get("hash")) and state.get("encoder") == signal.version


def fuse(
    encoder: Fuser, codes: Mapping[str, str | None], meta: Mapping[str, Any], profile: IndexProfile
) -> tuple[np.ndarray | None, str]:
    """(vector, its content hash) of a product; no vector where no part has one.

    codes, meta: of its parts, as `hybrid.codes` and `hybrid.meta` hold them. One by another encoder is left out.
    """
    vectors: dict[str, np.ndarray | None] = {}
    hashes: dict[str, str | None] = {}
    for part in PARTS:
        if not is_there(part, meta, profile):
            continue
        vector = coding.decode_code(codes.get(part), profile.signals[part].dims)
        if vector is not None:
            vectors[part], hashes[part] = vector, meta[part]["hash"]
    made = encoder.product(vectors) if vectors else None
    return made, fused_hash(profile.signals[FUSED].version, hashes)
