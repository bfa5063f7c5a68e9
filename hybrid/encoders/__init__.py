"""Encoders by name. Importing this, or naming an encoder, loads no model, no torch and no OpenVINO.

Specs: "minilm", "minilm:f32", "bge-small-zh", "bge-small-zh:f32", "minilm-words", "bow[:DIMS]" (texts),
"efficientnet-lite0" (pictures), "mfcc" (sounds), "toy", "toy:DIMS", "sentence-transformers:NAME_OR_FOLDER",
"open_clip:ARCHITECTURE[:WEIGHTS]", "timm:ARCHITECTURE[.TAG][:FILE]" (pictures).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from hybrid.contracts import Encoder, GetEncoder
from hybrid.encoders.trained.published import Load, PublishedModel
from hybrid.errors import UsageError
from hybrid.settings import Settings

__all__ = ["TRAINED", "get_encoder", "known_encoders"]

Maker = Callable[[str, str, Settings], Encoder]  # (whole spec, what follows the first colon or "", settings)


def _toy(name: str, argument: str, settings: Settings) -> Encoder:
    from hybrid.encoders.toy import Toy

    return Toy(name, argument, settings)


def _minilm(name: str, argument: str, settings: Settings) -> Encoder:
    from hybrid.encoders.minilm import MiniLM

    return MiniLM(name, argument, settings)


def _bge_small_zh(name: str, argument: str, settings: Settings) -> Encoder:
    from hybrid.encoders.bge_zh import BgeSmallZh

    return BgeSmallZh(name, argument, settings)


def _efficientnet(name: str, argument: str, settings: Settings) -> Encoder:
    from hybrid.encoders.efficientnet import EfficientNetLite0

    return EfficientNetLite0(name, argument, settings)


def _mfcc(name: str, argument: str, settings: Settings) -> Encoder:
    from hybrid.encoders.mfcc import Mfcc

    return Mfcc(name, argument, settings)


def _sentence_transformers(name: str, argument: str, settings: Settings) -> Encoder:
    from hybrid.encoders.hub import SentenceTransformers

    return SentenceTransformers(name, argument, settings)


def _open_clip(name: str, argument: str, settings: Settings) -> Encoder:
    from hybrid.encoders.hub import OpenClip

    return OpenClip(name, argument, settings)


def _timm(name: str, argument: str, settings: Settings) -> Encoder:
    from hybrid.encoders.timm_models import Timm

    return Timm(name, argument, settings)


def _minilm_words(name: str, argument: str, settings: Settings) -> Encoder:
    from hybrid.encoders.words import MiniLMWords

    return MiniLMWords(name, argument, settings)


def _bow(name: str, argument: str, settings: Settings) -> Encoder:
    from hybrid.encoders.words import Bow

    return Bow(name, argument, settings)


def _alignment(name: str, load: Load, encoder: GetEncoder, settings: Settings) -> PublishedModel[Any]:
    from hybrid.encoders.trained.alignment import AlignedEncoder

    return AlignedEncoder(name, load, encoder, settings)


def _towers(name: str, load: Load, encoder: GetEncoder, settings: Settings) -> PublishedModel[Any]:
    from hybrid.encoders.trained.towers import Towers

    return Towers(name, load, encoder, settings)


def _tags(name: str, load: Load, encoder: GetEncoder, settings: Settings) -> PublishedModel[Any]:
    from hybrid.encoders.trained.tags import PublishedTags

    return PublishedTags(name, load, encoder, settings)


def _sounds(name: str, load: Load, encoder: GetEncoder, settings: Settings) -> PublishedModel[Any]:
    from hybrid.encoders.trained.sounds import SoundEncoder

    return SoundEncoder(name, load, encoder, settings)


def _tfidf(name: str, load: Load, encoder: GetEncoder, settings: Settings) -> PublishedModel[Any]:
    from hybrid.encoders.trained.tfidf import TfIdfEncoder

    return TfIdfEncoder(name, load, encoder, settings)


#: The part of a spec before the first colon -> its maker, and how the spec is written.
REGISTRY: dict[str, tuple[Maker, str]] = {
    "minilm": (_minilm, "minilm"),
    "bge-small-zh": (_bge_small_zh, "bge-small-zh"),
    "efficientnet-lite0": (_efficientnet, "efficientnet-lite0"),
    "mfcc": (_mfcc, "mfcc"),
    "toy": (_toy, "toy[:DIMS]"),
    "minilm-words": (_minilm_words, "minilm-words"),
    "bow": (_bow, "bow[:DIMS]"),
    "sentence-transformers": (_sentence_transformers, "sentence-transformers:NAME_OR_FOLDER"),
    "open_clip": (_open_clip, "open_clip:ARCHITECTURE[:WEIGHTS]"),
    "timm": (_timm, "timm:ARCHITECTURE[.TAG][:FILE]"),
}

#: Models that a shop trained, "KIND:VERSION": the kind, as the cluster stores it -> its maker, of (whole spec, function
#: that loads the model, function that gives the encoder of another spec, settings).
TRAINED: dict[str, Callable[[str, Load, GetEncoder, Settings], PublishedModel[Any]]] = {
    "alignment": _alignment,
    "towers": _towers,
    "tags": _tags,
    "sounds": _sounds,
    "tfidf": _tfidf,
}

_encoders: dict[tuple[object, ...], Encoder] = {}
_lock = threading.Lock()


def known_encoders() -> list[str]:
    """The spec of each known encoder, packaged ones first."""
    return [written for _, written in REGISTRY.values()]


def get_encoder(spec: str, settings: Settings) -> Encoder:
    """The encoder of this spec: one a process, loaded on first use.

    Raises:
        UsageError: no such encoder, or an argument that it does not take.
    """
    spec = spec.strip()
    # The process is part of the key: a model that was loaded before a fork is of no use after it.
    key = (spec, settings.data_dir, settings.threads, os.getpid())
    with _lock:
        if key not in _encoders:
            kind, _, argument = spec.partition(":")
            if kind not in REGISTRY:
                raise UsageError(f'no encoder "{spec}"; known: {", ".join(known_encoders())}')
            _encoders[key] = REGISTRY[kind][0](spec, argument, settings)
        return _encoders[key]
