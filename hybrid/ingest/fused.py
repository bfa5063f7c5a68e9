"""Derived signals: one vector a product, of its parts' vectors, in the space of a published alignment.

The vector is computed from the codes of the parts' vectors, so that nothing is encoded again.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hybrid import vectors as coding
from hybrid.contracts import Fuser, IndexProfile
from hybrid.ingest.derived import States, combined_hash, has_part, parts_of
from hybrid.vectors import Code

NO_PARTS = ("no_parts", "neither its text nor its picture has a vector; mend those, then try this again")


def fuse(
    name: str, encoder: Fuser, codes: Mapping[str, Code], states: States, profile: IndexProfile
) -> tuple[np.ndarray | None, str]:
    """(vector of a signal, its content hash) of a product; no vector where no part has one.

    codes, states: of the parts. A part whose vector is by another encoder than the index has is left out.
    """
    vectors: dict[str, np.ndarray | None] = {}
    hashes: dict[str, str | None] = {}
    parts = parts_of(name, profile)
    for part in parts:
        if not has_part(part, states, profile):
            continue
        vector = coding.decode_code(codes.get(part), profile.signals[part].dims)
        if vector is not None:
            vectors[part], hashes[part] = vector, states[part].hash
    fused = encoder.product(vectors) if vectors else None
    return fused, combined_hash(profile.signals[name].version, parts, hashes)
