"""What planning an index and planning an attach share: options checked, signals chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hybrid import analysis, documents
from hybrid.contracts import FUSED, MAX_VIEWS, MEDIA_SIGNALS, TOWERS, VECTOR_SIGNALS, FieldMap, VectorSignal
from hybrid.encoders.aligned import PREFIX
from hybrid.errors import MediaError, UsageError
from hybrid.media import is_url
from hybrid.wiring import Services

_TRIED = 2  # files behind addresses


def check_options(language: str, signals: Sequence[str] | None) -> None:
    """Whether the layer knows them.

    Raises:
        UsageError: it does not.
    """
    if language not in analysis.languages():
        raise UsageError(f"no language {language!r}; known: {', '.join(analysis.languages())}")
    unknown = [name for name in signals or () if name not in VECTOR_SIGNALS]
    if unknown:
        raise UsageError(f"no signal {unknown[0]!r}; signals: {', '.join(VECTOR_SIGNALS)}")


def vector_signal(services: Services, name: str, index: str, views: int = 1) -> VectorSignal:
    """The signal as the settings' encoder makes it, of so many views; `fused` by the newest alignment that was trained
    for the index.

    Raises:
        UsageError: the encoder of the settings takes no such input, or no alignment was trained.
    """
    settings = services.settings
    if name == FUSED:
        newest = [entry for entry in services.alignments.list(index) if entry["method"] != TOWERS]
        if not newest:
            raise UsageError(
                f"signal {FUSED} needs an alignment: `hybrid train alignment --index {index} --pairs FILE`"
            )
        aligned = services.encoder(f"{PREFIX}{newest[0]['version']}")
        return VectorSignal(encoder=aligned.name, version=aligned.version, dims=aligned.dims)
    # A video is seen as its frames.
    modality = "image" if name == "video" else name
    spec = getattr(settings, f"{modality}_encoder")
    encoder = services.encoder(spec)
    if modality not in encoder.modalities:
        raise UsageError(f"encoder {encoder.name} takes no {modality}; set HYBRID_{modality.upper()}_ENCODER")
    return VectorSignal(encoder=spec, version=encoder.version, dims=encoder.dims, views=views)


def views_in(sample: Sequence[dict[str, Any]], fields: FieldMap, name: str) -> int:
    """How many views of a product the signal is to have: several where products have several pictures, or videos."""
    if name == "video":
        return MAX_VIEWS
    several = name == "image" and any(len(documents.media_values(row, fields, name, 2)) > 1 for row in sample)
    return MAX_VIEWS if several else 1


def guess_signals(
    services: Services, fields: FieldMap, sample: Sequence[dict[str, Any]], notes: list[str]
) -> list[str]:
    """The signals that these products can have; why one is left out goes to `notes`.

    Files behind addresses count if one of the first few can be fetched here.
    """
    found = ["text"]
    for name in MEDIA_SIGNALS:
        values = [value for row in sample for value in documents.media_values(row, fields, name, MAX_VIEWS)]
        why = _unreachable(services, values) if values and all(is_url(value) for value in values) else None
        if why:
            wanted = ",".join([*found, name])
            notes.append(f"no {name} vectors, unless asked for with --signals {wanted}: {why}")
        elif values:
            found.append(name)
    return found


def _unreachable(services: Services, values: Sequence[str]) -> str | None:
    """Why none of the first few addresses can be fetched; None if one can."""
    why = None
    for value in list(dict.fromkeys(values))[:_TRIED]:
        try:
            services.fetcher.fetch(value)
            return None
        except MediaError as error:
            why = str(error)
    return why
