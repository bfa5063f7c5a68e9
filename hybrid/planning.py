"""What planning an index and planning an attach share: options checked, signals chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hybrid import analysis
from hybrid.contracts import FUSED, VECTOR_SIGNALS, FieldMap, VectorSignal, values_at
from hybrid.encoders.aligned import PREFIX
from hybrid.errors import MediaError, UsageError
from hybrid.fields import expand
from hybrid.media import is_url
from hybrid.wiring import Services

_TRIED = 2  # pictures behind addresses


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


def vector_signal(services: Services, name: str, index: str) -> VectorSignal:
    """The signal as the settings' encoder makes it; `fused` by the newest alignment that was trained for the index.

    Raises:
        UsageError: the encoder of the settings takes no such input, or no alignment was trained.
    """
    settings = services.settings
    if name == FUSED:
        newest = services.alignments.list(index, 1)
        if not newest:
            raise UsageError(
                f"signal {FUSED} needs an alignment: `hybrid train alignment --index {index} --pairs FILE`"
            )
        aligned = services.encoder(f"{PREFIX}{newest[0]['version']}")
        return VectorSignal(encoder=aligned.name, version=aligned.version, dims=aligned.dims)
    encoder = services.encoder(settings.text_encoder if name == "text" else settings.image_encoder)
    if name not in encoder.modalities:
        raise UsageError(f"encoder {encoder.name} takes no {name}; set HYBRID_{name.upper()}_ENCODER")
    spec = settings.text_encoder if name == "text" else settings.image_encoder
    return VectorSignal(encoder=spec, version=encoder.version, dims=encoder.dims)


def guess_signals(
    services: Services, fields: FieldMap, sample: Sequence[dict[str, Any]], notes: list[str]
) -> list[str]:
    """The signals that these products can have; why one is left out goes to `notes`.

    Pictures behind addresses count if one of the first few can be fetched here.
    """
    pictures = [
        str(value)
        for row in sample
        for path in expand(fields.roles.get("image", ()), row)
        for value in values_at(row, path)
    ]
    if not pictures:
        return ["text"]
    if not all(is_url(value) for value in pictures):
        return ["text", "image"]
    why = ""
    for value in list(dict.fromkeys(pictures))[:_TRIED]:
        try:
            services.fetcher.fetch(value)
            return ["text", "image"]
        except MediaError as error:
            why = str(error)
    notes.append(f"no image vectors, unless asked for with --signals text,image: {why}")
    return ["text"]
