"""Sounds and their tags: examples are read, a network is trained and compared held out, and published as a version."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hybrid import documents
from hybrid.contracts import IndexProfile, values_at
from hybrid.elastic import products
from hybrid.errors import MediaError, UsageError
from hybrid.inputs import named
from hybrid.media import is_url, read_media, samples
from hybrid.tables import read_table
from hybrid.wiring import Services

KIND = "sounds"
MFCC = "mfcc"
CATALOGUE = "catalogue"
_LOOKED_UP = 500
#: Seconds of a sound that are listened to, as when it is indexed.
_LISTENED = 30

Progress = Callable[[str, int, int], None]  # (what is done, how many of it, of how many)


def _silent(what: str, done: int, of: int) -> None:
    pass


@dataclass
class Trained:
    """What training gave. results: method -> its held-out figures (hybrid.learning.sounds.figures). tags: how many
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
    from hybrid.encoders import sound_cnn
    from hybrid.learning import sounds

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
    rare = {tag for tag, count in Counter(tags).items() if count < sounds.MIN_SOUNDS}
    kept = np.array([row for row, tag in enumerate(tags) if tag not in rare], dtype=int)
    if rare:
        skipped["rare_tag"] += len(tags) - len(kept)
    found = sounds.Sounds(mels, np.stack(vectors), np.array(tags)).of(kept)
    sounds.check(found)
    read = time.monotonic()
    progress("compare", 0, sounds.FOLDS)
    results = sounds.validate(found, seed, progress=progress)
    method = sounds.best(results)
    fitting = time.monotonic()
    model = sounds.fit(found, method, seed)
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
    from hybrid.learning.sounds_report import page

    return page(trained.to_json())


# -- examples --------------------------------------------------------------------------------------------------------


def _file(path: Path) -> list[tuple[str, str]]:
    """(file, tag) of each line."""
    columns, lines = read_table(path, "sounds")
    if missing := {"audio", "tag"} - set(columns):
        raise UsageError(f"{path.name} needs columns audio and tag; it lacks {' and '.join(sorted(missing))}")
    rows = [(row["audio"], row["tag"]) for row in lines if row["audio"] and row["tag"]]
    if not rows:
        raise UsageError(f"{path.name} has no sound with a tag")
    return rows


def _catalogue(
    services: Services, profile: IndexProfile, column: str | None, skipped: Counter[str]
) -> list[tuple[str, str]]:
    """(file, tag) of each product that has both; products without a sound are none of our business."""
    if not profile.fields.roles.get("audio"):
        raise UsageError(f"no field of {profile.index!r} holds sounds; index it with --map audio=FIELD, or use --pairs")
    paths = (column,) if column else profile.fields.roles.get("category", ())
    if not paths:
        raise UsageError(f"no field of {profile.index!r} is its category; name the field of the tags with --field")
    rows = []
    for source in _sources(services, profile):
        values = documents.media_values(source, profile.fields, "audio")
        tag = next((str(value).strip() for path in paths for value in values_at(source, path)), "")
        if values and tag:
            rows.append((values[0], tag))
        elif values:
            skipped["no_tag"] += 1
    if not rows:
        raise UsageError(f"no product of {profile.index!r} has a sound and a value in {' or '.join(paths)}")
    return rows


def _sources(services: Services, profile: IndexProfile) -> Iterator[dict[str, Any]]:
    body = {"query": {"match_all": {}}, "source": {"excludes": ["hybrid"]}}
    for hits in products.pages(services.client, profile.index, body, _LOOKED_UP):
        for hit in hits:
            yield hit["_source"]


def _root(services: Services, profile: IndexProfile) -> Path | None:
    return services.settings.media_root or (Path(profile.media_root) if profile.media_root else None)


def _bytes(services: Services, value: str, root: Path | None) -> bytes:
    if not is_url(value):
        return read_media(value, root, "audio")
    data = services.fetcher.fetch(value.strip()).data
    if data is None:
        raise MediaError(f"{value[:200]} answered with nothing", "audio_unreadable")
    return data
