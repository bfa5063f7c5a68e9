"""Estimates of the time and the disk space that enriching an index takes, from a sample that is encoded here."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from hybrid.catalogue import documents
from hybrid.contracts import Encoder, IndexProfile
from hybrid.errors import MediaError
from hybrid.ingest.inputs import Titled, encode
from hybrid.services import Services
from hybrid.signals import SIGNALS

#: Sample sizes that give a rate within a few percent, in a second or two.
_TEXTS, _FILES = 96, 16
#: Documents that are marked and written in a second, without encoding; fewer on slow clusters.
_WRITTEN_PER_S = 1_200
#: Bytes that one dimension takes in a shard: float32 for exact scores, int8 for the graph, the float16 code as doc
#: value and in _source as base64; and before 9.2 the vector's JSON in _source.
_VECTOR, _VECTOR_IN_SOURCE = 4 + 1 + 2 + 2.7, 7.0
_GRAPH = 150
#: The same of a title: an int8 as doc value and in _source as base64.
_TITLE = 1 + 1.4
#: Bytes in a shard by byte of words: in _source and, with positions, in the index; compression halves them.
_WORDS = 1.2


@dataclass(frozen=True)
class Estimate:
    """rates: inputs a second by signal, in this process. bytes: of all copies; two to three times as much while the run
    lasts, until Elasticsearch has merged old versions away."""

    documents: int
    rates: Mapping[str, float]
    seconds: float
    bytes: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(
    services: Services,
    profile: IndexProfile,
    sample: Sequence[dict[str, Any]],
    count: int,
    replicas: int,
    reused: Collection[str] = (),
) -> Estimate:
    """Encode a part of the sample, and extrapolate. reused: signals whose vectors exist and are not encoded again.

    Raises:
        EncoderError: a model cannot be had.
    """
    inputs = services.inputs
    rates: dict[str, float] = {}
    seconds = count / _WRITTEN_PER_S
    size = 0.0
    words = [orjson.dumps([documents.terms_of(row, profile), documents.typed_of(row, profile)]) for row in sample]
    size += _WORDS * sum(map(len, words)) / len(words)
    in_source = _VECTOR_IN_SOURCE if services.cluster.capabilities.version < (9, 2) else 0.0
    for name, signal in profile.signals.items():
        encoder = services.encoder(signal.encoder)
        contents: list[Any] = []
        # A derived signal is computed from other vectors, in negligible time.
        readable = () if SIGNALS[name].parts else sample
        for row in [row for row in readable if inputs.wants(name, row, profile)]:
            if len(contents) == (_TEXTS if SIGNALS[name].file is None else _FILES):
                break
            try:
                contents.append(inputs.read(name, row, profile, encoder).content)
            except MediaError:  # the run will count it as a failure; here another file replaces it
                continue
        titles = sum(isinstance(content, Titled) for content in contents) / max(1, len(contents))
        share = sum(inputs.wants(name, row, profile) for row in sample) / len(sample)
        if contents and name not in reused:
            rates[name] = round(_rate(encoder, name, contents), 1)
            seconds += count * share / rates[name]
        size += share * (signal.dims * (_VECTOR + in_source + titles * _TITLE) + _GRAPH)
    return Estimate(count, rates, round(seconds, 1), int(size * count * (1 + replicas)))


def _rate(encoder: Encoder, name: str, contents: Sequence[Any]) -> float:
    encode(encoder, name, contents[:4])  # loads the model
    started = time.perf_counter()
    encode(encoder, name, contents)
    return len(contents) / max(time.perf_counter() - started, 1e-6)
