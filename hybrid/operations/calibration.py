"""Calibrates the relevance floor of an index by strings of nonsense; see hybrid.search.floor."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from hybrid.catalogue.documents import role_values
from hybrid.contracts import Encoder, Floor, IndexProfile
from hybrid.elastic.indices.products import Products
from hybrid.elastic.retrieval.probes import Probes
from hybrid.errors import HybridError
from hybrid.search import floor, nonsense
from hybrid.services import Services
from hybrid.signals import SIGNALS

logger = logging.getLogger(__name__)

#: In a smaller catalogue everything is near the top, and a floor would take away what a shopper can oversee.
FEWEST_PRODUCTS = 100
_TITLES = 200


def calibrate(services: Services, index: str) -> dict[str, Floor]:
    """Find the floor of each signal that words ask, and note it in the index: signal -> floor, {} where it is small.

    It encodes some hundred short texts, and searches as often.

    Raises:
        IndexMissingError, IndexConflictError: no such index, or not one of the layer's.
        EncoderError: a model cannot be had.
        AccessRefusedError: the mapping may not be changed.
        ClusterError
    """
    profile = services.cluster.indices.read_profile(index, one=True)
    floors: dict[str, Floor] = {}
    if can_have_floor(profile, services.cluster.indices.count(index)):
        probes = services.cluster.store(Probes)
        strings = _unknown(services.cluster.products, probes, profile)
        for name in filter(_of_words, profile.signals):
            encoder = services.encoder(profile.signals[name].encoder)
            if "text" in encoder.modalities and encoder.version == profile.signals[name].version:
                cosines = _floors(probes, profile, name, encoder, strings)
                if cosines:
                    floors[name] = Floor(encoder.version, cosines)
    services.cluster.indices.note_floors(index, floors)
    return floors


def calibrate_after(services: Services, index: str, changed: bool) -> str:
    """Calibrate at the end of a run, if it changed vectors or an encoder; returns why it could not, or ""."""
    try:
        profile = services.cluster.indices.read_profile(index, one=True)
        if changed or not profile.floors or any(is_old(profile, name) for name in profile.floors):
            calibrate(services, index)
    except (HybridError, RuntimeError, MemoryError) as error:
        # The run has done what it was for, and a search without a floor is a search.
        logger.warning("no relevance floor for %s: %s", index, error)
        return f"no relevance floor: {error}; `hybrid calibrate {index}` tries again"
    return ""


def can_have_floor(profile: IndexProfile, documents: int) -> bool:
    """Whether words ask a vector signal of the index, and it has products enough."""
    return documents >= FEWEST_PRODUCTS and any(map(_of_words, profile.signals))


def is_old(profile: IndexProfile, signal: str) -> bool:
    """Whether the floor of a signal was calibrated with another encoder than its vectors are of."""
    return signal not in profile.signals or profile.floors[signal].version != profile.signals[signal].version


def _of_words(signal: str) -> bool:
    return "words" in SIGNALS[signal].asked_by


def _unknown(products: Products, probes: Probes, profile: IndexProfile) -> dict[str, list[str]]:
    """Script -> strings of nonsense of which no product has a word."""
    rows = products.sample(profile.index, _TITLES, 0)
    titles = [str(title) for _, row in rows for title in role_values(row, profile.fields, "title")]
    return {script: probes.unknown(profile, made) for script, made in nonsense.strings(titles).items()}


def _floors(
    probes: Probes, profile: IndexProfile, name: str, encoder: Encoder, strings: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Script -> the least cosine, of the scripts that the encoder reads."""
    cosines = {}
    for script, texts in strings.items():
        if not texts or (encoder.scripts is not None and script not in encoder.scripts):
            continue
        vectors = encoder.encode_texts(texts)
        least = floor.calibrated(probes.nearest(profile, name, vectors[vectors.any(axis=1)]))
        if least is not None:
            cosines[script] = least
    return cosines
