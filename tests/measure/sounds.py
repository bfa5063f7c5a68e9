"""What MFCC statistics and a trained network find, on clips that were not learned from. Needs no cluster.

python -m tests.measure.sounds

Prints JSON, for each set and method top-1, precision@5 and mAP with 95 % intervals. `new voices`: names of products
spoken by two voices ask for the same names by the others, each pair of voices held out in turn. `new sounds`:
instruments and noises of another seed ask for those that were learned from; `in noise`: the same, with white noise.
`new words`: the network has learned other words than those that it is asked about.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from hybrid.encoders import get_encoder
from hybrid.encoders.trained.sounds import frames
from hybrid.learning.sounds import fit
from hybrid.learning.sounds.fit import METHODS, Sounds
from hybrid.media import samples
from hybrid.settings import Settings
from tests.support import clips
from tests.support.clips import Clip


def heard(found: list[Clip], noise: float = 0.0) -> Sounds:
    rng = np.random.default_rng(0)
    waves = [samples(clip.path) for clip in found]
    waves = [wave + rng.normal(0, noise, len(wave)).astype(np.float32) for wave in waves]
    mels = [mel for wave in waves if (mel := frames(wave)) is not None]
    vectors = get_encoder("mfcc", Settings()).encode_sounds(waves)
    return Sounds(mels, vectors, np.array([clip.label for clip in found]))


def compare(pairs: list[tuple[Sounds, Sounds, Any]]) -> dict[str, Any]:
    """pairs: (what asks, what is searched, the model)."""
    rows = defaultdict(list)
    for asking, held, model in pairs:
        for method in METHODS:
            vectors = asking.vectors(model, method), held.vectors(model, method)
            rows[method].append(fit.scores(vectors[0], asking.tags, vectors[1], held.tags))
        # Of a rank without any knowledge: what is searched in an order of its own.
        random = np.random.default_rng(0).normal(size=(len(asking.tags) + len(held.tags), 16))
        split = np.split(random, [len(asking.tags)])
        rows["chance"].append(fit.scores(split[0], asking.tags, split[1], held.tags))
    return {method: fit.figures(np.concatenate(found)) for method, found in rows.items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        said = clips.speech(Path(folder) / "speech")
        spoken = heard(said)
        known = heard(clips.sounds(Path(folder) / "known", seed=11))
        new = clips.sounds(Path(folder) / "new", seed=12)
        unseen, noisy = heard(new), heard(new, 0.02)
    voices = np.array([clip.variant for clip in said])
    english = np.isin(spoken.tags, clips.SPOKEN)
    started, trainings = time.perf_counter(), 0
    by_voice = []
    names = [voice for voice, _, _ in clips.VOICES]
    for two in (names[:2], names[2:4], names[4:]):
        held = np.isin(voices, two)
        learned = spoken.of(np.flatnonzero(~held & english))
        by_voice.append((spoken.of(np.flatnonzero(held & english)), learned, fit.fit(learned)))
        trainings += 1
    model = fit.fit(known)
    words = []
    for half in (clips.SPOKEN[::2], clips.SPOKEN[1::2]):
        mine = np.isin(spoken.tags, half)
        other = fit.fit(spoken.of(np.flatnonzero(english & ~mine)))
        asks = mine & np.isin(voices, names[:2])
        words.append((spoken.of(np.flatnonzero(asks)), spoken.of(np.flatnonzero(mine & ~asks)), other))
        trainings += 1
    result = {
        "seconds of one training": round((time.perf_counter() - started) / (trainings + 1), 1),
        "new voices": compare(by_voice),
        "new sounds": compare([(unseen, known, model)]),
        "new sounds in noise": compare([(noisy, known, model)]),
        "new words": compare(words),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
