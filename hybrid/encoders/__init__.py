"""Encoders by name. Importing this, or naming an encoder, loads no model, no torch and no OpenVINO.

Specs: "minilm", "minilm:f32", "minilm-words", "bow[:DIMS]" (texts), "efficientnet-lite0" (pictures), "mfcc" (sounds),
"toy", "toy:DIMS", "sentence-transformers:NAME_OR_FOLDER", "open_clip:ARCHITECTURE[:WEIGHTS]",
"timm:ARCHITECTURE[.TAG][:FILE]" (pictures).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, cast

from hybrid.contracts import Encoder
from hybrid.errors import UsageError
from hybrid.settings import Settings

__all__ = ["TRAINED", "get_encoder", "known_encoders"]

Maker = Callable[[str, str, Settings], Encoder]  # (whole spec, what follows the first colon or "", settings)
Load = Callable[[], tuple[dict[str, Any], bytes]]  # what hybrid.elastic.stores.models.ModelVersions.get gives


def _toy(name: str, argument: str, settings: Settings) -> Encoder:
    from hybrid.encoders.toy import Toy

    return Toy(name, argument, settings)


def _minilm(name: str, argument: str, settings: Settings) -> Encoder:
    from hybrid.encoders.minilm import MiniLM

    return MiniLM(name, argument, settings)


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


def _tfidf(name: str, load: Load, encoder: Callable[[str], Encoder], settings: Settings) -> Encoder:
    from hybrid.encoders.trained.tfidf import TfIdfEncoder

    return TfIdfEncoder(name, load)


def _aligned(name: str, load: Load, encoder: Callable[[str], Encoder], settings: Settings) -> Encoder:
    from hybrid.encoders.trained.alignment import AlignedEncoder

    return AlignedEncoder(name, load, encoder)


def _sound_cnn(name: str, load: Load, encoder: Callable[[str], Encoder], settings: Settings) -> Encoder:
    from hybrid.encoders.trained.sounds import SoundCnn

    return SoundCnn(name, load, encoder)


def _towers(name: str, load: Load, encoder: Callable[[str], Encoder], settings: Settings) -> Encoder:
    from hybrid.encoders.trained.towers import Towers

    return Towers(name, load, settings)


def _tags(name: str, load: Load, encoder: Callable[[str], Encoder], settings: Settings) -> Encoder:
    from hybrid.encoders.trained.tags import PublishedTags

    # It tells tags by vectors and makes none: see hybrid.ingest.inputs.Inputs.tagger, which alone asks for one.
    return cast(Encoder, PublishedTags(name, load, settings))


#: What stands before the first colon of a spec -> its maker, and how the spec is written.
REGISTRY: dict[str, tuple[Maker, str]] = {
    "minilm": (_minilm, "minilm"),
    "efficientnet-lite0": (_efficientnet, "efficientnet-lite0"),
    "mfcc": (_mfcc, "mfcc"),
    "toy": (_toy, "toy[:DIMS]"),
    "minilm-words": (_minilm_words, "minilm-words"),
    "bow": (_bow, "bow[:DIMS]"),
    "sentence-transformers": (_sentence_transformers, "sentence-transformers:NAME_OR_FOLDER"),
    "open_clip": (_open_clip, "open_clip:ARCHITECTURE[:WEIGHTS]"),
    "timm": (_timm, "timm:ARCHITECTURE[.TAG][:FILE]"),
}

#: Encoders that a shop trained, "PREFIX:VERSION": what they begin with -> the kind of model that is kept in the
#: cluster, and their maker: (whole spec, what loads the model, the encoder of another spec, the settings).
TRAINED: dict[str, tuple[str, Callable[[str, Load, Callable[[str], Encoder], Settings], Encoder]]] = {
    "aligned": ("alignments", _aligned),
    "tfidf": ("tfidf", _tfidf),
    "sound-cnn": ("sounds", _sound_cnn),
    "tags": ("tags", _tags),
    "towers": ("alignments", _towers),
}

_made: dict[tuple[object, ...], Encoder] = {}
_lock = threading.Lock()


def known_encoders() -> list[str]:
    """How each known encoder is written, packaged ones first."""
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
        if key not in _made:
            kind, _, argument = spec.partition(":")
            if kind not in REGISTRY:
                raise UsageError(f'no encoder "{spec}"; known: {", ".join(known_encoders())}')
            _made[key] = REGISTRY[kind][0](spec, argument, settings)
        return _made[key]
