"""Training on sounds and their tags: read examples, compare methods on held-out sounds, fit the best one."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.contracts import IndexProfile
from hybrid.elastic.stores.models import ModelStores
from hybrid.encoders.trained.sounds import PREFIX, SoundModel
from hybrid.errors import MediaError, UsageError
from hybrid.ingest.inputs import named
from hybrid.learning.sounds.examples import _LISTENED, _bytes, _catalogue, _file, _root
from hybrid.learning.trained import CATALOGUE, HeldOut, Progress, Trained, active_model, silent
from hybrid.media import samples
from hybrid.services import Services

if TYPE_CHECKING:
    from hybrid.learning.sounds import fit

KIND = "sounds"
MFCC = "mfcc"
_MEASURE = "mean average precision"


@dataclass
class TrainedSounds(Trained):
    """The result of a training. results: method -> its held-out figures (hybrid.learning.sounds.fit.figures). tags: tag
    -> number of sounds. skipped: typed reason -> number of sounds that could not be used. scores: sound -> its average
    precision, held out."""

    index: str
    method: str
    sounds: int
    tags: dict[str, int]
    skipped: dict[str, int]
    read_s: float
    fit_s: float
    results: dict[str, Any]
    encoders: Mapping[str, Mapping[str, str]]
    held_out: HeldOut
    scores: dict[str, float] = field(repr=False, default_factory=dict)
    data: bytes = field(repr=False, default=b"")
    version: str | None = None
    family: str = KIND

    def report(self) -> dict[str, Any]:
        apart = ("data", "version", "held_out", "encoders", "family")
        return {name: value for name, value in self.__dict__.items() if name not in apart}

    def numbers(self, version: str) -> bytes:
        return self.data


def train(
    services: Services,
    index: str,
    pairs: str = CATALOGUE,
    column: str | None = None,
    media: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> TrainedSounds:
    """Train on sounds and their tags. Writes nothing.

    pairs: a CSV with columns `audio` (a file under `media`, or beside the CSV) and `tag`; or "catalogue", for the
    products' own sounds and the first value of the field `column` (that of the role category, if none).

    Raises:
        UsageError: the pairs cannot be read, or are too few.
        ClusterError: the cluster does not answer.
    """
    from hybrid.encoders.trained import sounds as sound_cnn
    from hybrid.learning.sounds import fit

    profile = services.cluster.indices.read_profile(index)
    mfcc = services.encoder(MFCC)
    started = time.monotonic()
    skipped: Counter[str] = Counter()
    rows = _catalogue(services.cluster.products, profile, column, skipped) if pairs == CATALOGUE else _file(Path(pairs))
    root = _root(services.settings, profile) if pairs == CATALOGUE else (media or Path(pairs).parent)
    mels, vectors, tags, keys = [], [], [], []
    seen: set[str] = set()
    for number, (value, tag) in enumerate(rows):
        try:
            data = _bytes(services, value, root)
            # Of two products with the same recording, one would find the other at once.
            if (digest := hashlib.blake2b(data, digest_size=16).hexdigest()) in seen:
                skipped["audio_twice"] += 1
                continue
            seen.add(digest)
            sound = samples(data, _LISTENED)
        except MediaError as error:
            skipped[named(error, "audio").reason] += 1
            continue
        mel = sound_cnn.frames(sound)
        if mel is None:
            skipped["audio_silent"] += 1
            continue
        mels.append(mel)
        vectors.append(mfcc.encode_sounds([sound])[0])
        tags.append(tag)
        keys.append(digest)
        progress("sounds", number + 1, len(rows))
    if not mels:
        raise UsageError(
            f"no sound can be used of {len(rows)} with a tag"
            + (f" ({', '.join(sorted(skipped))})" if skipped else "")
            + (f"; files are sought in {root}" if root else "")
        )
    rare = {tag for tag, count in Counter(tags).items() if count < fit.MIN_SOUNDS}
    usable = np.array([row for row, tag in enumerate(tags) if tag not in rare], dtype=int)
    if rare:
        skipped["rare_tag"] += len(tags) - len(usable)
    sounds = fit.Sounds(mels, np.stack(vectors), np.array(tags)).of(usable)
    fit.check(sounds)
    read = time.monotonic()
    progress("compare", 0, fit.FOLDS)
    results, precisions = fit.validate(sounds, seed, progress=progress)
    method = fit.best(results)
    known = np.array(keys)[usable]
    scores = dict(zip(known.tolist(), np.round(precisions[method], 4).tolist(), strict=True))
    fitting = time.monotonic()
    model = fit.fit(sounds, method, seed)
    names, counts = np.unique(sounds.tags, return_counts=True)
    return TrainedSounds(
        index=index,
        method=method,
        sounds=len(sounds.tags),
        tags=dict(zip(names.tolist(), counts.tolist(), strict=True)),
        skipped=dict(skipped),
        read_s=round(read - started, 1),
        fit_s=round(time.monotonic() - fitting, 1),
        results=results,
        encoders={"audio": {"spec": mfcc.name, "version": mfcc.version}},
        held_out=_held_out(services.models, active(profile), sounds, known, mfcc.version, scores, results[MFCC]["map"]),
        scores=scores,
        data=model.to_bytes(),
    )


def _held_out(
    models: ModelStores,
    version: str | None,
    sounds: fit.Sounds,
    known: np.ndarray,
    mfcc: str,
    mine: Mapping[str, float],
    by_mfcc: float,
) -> HeldOut:
    """The held-out figure, compared with the active network; without one, with MFCC statistics, which need no training.
    known: the key of each sound."""
    figure = float(np.mean(list(mine.values())))
    previous = active_model(models, KIND, version, lambda _, data: SoundModel.from_bytes(data)) if version else None
    if previous is None:
        return HeldOut(_MEASURE, figure, MFCC, by_mfcc, len(mine))
    about, model = previous
    # A sound that it learned from counts with the held-out score of its own training. On its own training sounds a
    # model scores too high, and no newer model would ever be published.
    seen = about["report"]["scores"]
    new = np.flatnonzero([key not in seen for key in known.tolist()])
    others = [seen[key] for key in mine if key in seen]
    if len(new) and about["encoders"]["audio"]["version"] != mfcc:  # the active network cannot be run here
        return HeldOut(_MEASURE, figure, f"{version} on its own sounds", about["held_out"]["figure"], len(mine))
    if len(new):
        from hybrid.learning.sounds import fit

        others += fit.precisions(model, sounds, new).tolist()
    return HeldOut(_MEASURE, figure, str(version), float(np.mean(others)), len(mine))


def active(profile: IndexProfile) -> str | None:
    """The version whose vectors the sounds of an index have."""
    signal = profile.signals.get("audio")
    return signal.encoder.removeprefix(PREFIX) if signal and signal.encoder.startswith(PREFIX) else None


def page(trained: TrainedSounds) -> str:
    """A page of HTML with the figures of every method."""
    from hybrid.learning.sounds.report import page

    return page(trained.to_json())
