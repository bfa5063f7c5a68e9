"""Sounds and their tags: examples are read, a network is trained and compared held out, and published as a version."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hybrid.errors import MediaError, UsageError
from hybrid.ingest.inputs import named
from hybrid.learning.sounds.examples import _LISTENED, _bytes, _catalogue, _file, _root
from hybrid.media import samples
from hybrid.services import Services

KIND = "sounds"
MFCC = "mfcc"
CATALOGUE = "catalogue"

Progress = Callable[[str, int, int], None]  # (what is done, how many of it, of how many)


def _silent(what: str, done: int, of: int) -> None:
    pass


@dataclass
class Trained:
    """What training gave. results: method -> its held-out figures (hybrid.learning.sounds.fit.figures). tags: how many
    sounds of each. skipped: what could not be used, by typed reason."""

    index: str
    method: str
    sounds: int
    tags: dict[str, int]
    skipped: dict[str, int]
    read_s: float
    fit_s: float
    results: dict[str, Any]
    encoders: dict[str, dict[str, str]]
    data: bytes = field(repr=False, default=b"")
    version: str | None = None

    @property
    def better(self) -> bool:
        """Whether it finds more than MFCC statistics do, for which nothing need be trained."""
        return bool(self.results[self.method]["map"] > self.results[MFCC]["map"])

    def to_json(self) -> dict[str, Any]:
        return {**{key: value for key, value in asdict(self).items() if key != "data"}, "better": self.better}


def train(
    services: Services,
    index: str,
    pairs: str = CATALOGUE,
    column: str | None = None,
    media: Path | None = None,
    seed: int = 0,
    progress: Progress = _silent,
) -> Trained:
    """Train on sounds and their tags. Writes nothing.

    pairs: a CSV with columns `audio` (a file under `media`, or beside the CSV) and `tag`; or "catalogue", for the
    products' own sounds and the first value of the field `column` (that of the role category, if none).

    Raises:
        UsageError: the pairs cannot be read, or are too few.
        ClusterError: the cluster does not answer.
    """
    from hybrid.encoders.trained import sounds as sound_cnn
    from hybrid.learning.sounds import fit

    profile = services.searcher.profile(index)
    mfcc = services.encoder(MFCC)
    started = time.monotonic()
    skipped: Counter[str] = Counter()
    rows = _catalogue(services, profile, column, skipped) if pairs == CATALOGUE else _file(Path(pairs))
    root = _root(services, profile) if pairs == CATALOGUE else (media or Path(pairs).parent)
    mels, vectors, tags = [], [], []
    seen: set[bytes] = set()
    for number, (value, tag) in enumerate(rows):
        try:
            data = _bytes(services, value, root)
            # The same recording for two products would ask for itself.
            if (digest := hashlib.blake2b(data).digest()) in seen:
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
        progress("sounds", number + 1, len(rows))
    if not mels:
        raise UsageError(
            f"no sound can be used of {len(rows)} with a tag"
            + (f" ({', '.join(sorted(skipped))})" if skipped else "")
            + (f"; files are sought in {root}" if root else "")
        )
    rare = {tag for tag, count in Counter(tags).items() if count < fit.MIN_SOUNDS}
    kept = np.array([row for row, tag in enumerate(tags) if tag not in rare], dtype=int)
    if rare:
        skipped["rare_tag"] += len(tags) - len(kept)
    found = fit.Sounds(mels, np.stack(vectors), np.array(tags)).of(kept)
    fit.check(found)
    read = time.monotonic()
    progress("compare", 0, fit.FOLDS)
    results = fit.validate(found, seed, progress=progress)
    method = fit.best(results)
    fitting = time.monotonic()
    model = fit.fit(found, method, seed)
    names, counts = np.unique(found.tags, return_counts=True)
    return Trained(
        index=index,
        method=method,
        sounds=len(found.tags),
        tags=dict(zip(names.tolist(), counts.tolist(), strict=True)),
        skipped=dict(skipped),
        read_s=round(read - started, 1),
        fit_s=round(time.monotonic() - fitting, 1),
        results=results,
        encoders={"audio": {"spec": mfcc.name, "version": mfcc.version}},
        data=model.to_bytes(),
    )


def publish(services: Services, trained: Trained, name: str | None = None) -> str:
    """Keep it as a version; its name. HYBRID_AUDIO_ENCODER=sound-cnn:NAME puts it in use, when an index is built anew.

    Raises:
        ModelVersionError: there is one of that name.
    """
    versions = services.models(KIND)
    name = name or f"{trained.index}-{trained.method.replace('+', '-')}-{1 + len(versions.list(trained.index))}"
    report = {key: value for key, value in trained.to_json().items() if key not in ("encoders", "version", "index")}
    about = {"method": trained.method, "encoders": trained.encoders, "report": report}
    versions.add(trained.index, name, about, trained.data)
    trained.version = name
    return name


def page(trained: Trained) -> str:
    """A page of HTML with the figures of every method."""
    from hybrid.learning.sounds.report import page

    return page(trained.to_json())


# -- examples --------------------------------------------------------------------------------------------------------
