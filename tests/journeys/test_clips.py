"""The clips of the tests are what they say, can be decoded as a catalogue's are, and are the same every time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from hybrid.media import frames, samples, video_frames
from tests.support import clips


def test_sounds_can_be_heard_and_are_the_same_every_time(tmp_path: Path) -> None:
    made, again = (clips.sounds(tmp_path / name, seed=1, each=3) for name in ("one", "two"))
    other = clips.sounds(tmp_path / "three", seed=2, each=3)
    assert Counter(clip.label for clip in made) == dict.fromkeys(clips.SOUNDS, 3)
    assert {clip.path.suffix[1:] for clip in made} == set(clips.FORMATS)
    for one, two, three in zip(made, again, other, strict=True):
        assert one.path.read_bytes() == two.path.read_bytes() != three.path.read_bytes()
        sound = samples(one.path)
        assert 0.8 < len(sound) / 16_000 < 3.5 and 0.03 < np.abs(sound).max() <= 1


def test_names_are_spoken_by_every_voice(tmp_path: Path) -> None:
    made = clips.speech(tmp_path)
    assert len(made) == len(clips.SPOKEN) * len(clips.VOICES) + len(clips.SPOKEN_ZH) * len(clips.VOICES_ZH)
    assert len({clip.path.read_bytes() for clip in made}) == len(made)
    for clip in made:
        sound = samples(clip.path)
        assert 0.3 < len(sound) / 16_000 < 2.5 and np.abs(sound).max() > 0.1


def test_videos_show_their_colour_and_shape(tmp_path: Path) -> None:
    made = clips.videos(tmp_path)
    assert Counter(clip.kind for clip in made) == {"video": 27, "animation": 12}
    for clip in made:
        seen, at = (frames if clip.kind == "animation" else video_frames)(clip.path)
        assert 2 <= len(seen) == len(at) <= 8 and at == sorted(at)
        # The shape is what is not light grey; its own colour, and no other of the clip's, at its time.
        first = [image for image, second in zip(seen, at, strict=True) if second < 1.9 or "," not in clip.label]
        second = [image for image, second in zip(seen, at, strict=True) if second >= 2 and "," in clip.label]
        for half, words in zip((first, second), clip.label.split(", "), strict=False):
            pixels = np.concatenate([np.asarray(image, dtype=float).reshape(-1, 3) for image in half])
            shape = pixels[np.ptp(pixels, axis=1) > 110].mean(0)
            nearest = min(clips.COLOURS, key=lambda name: float(np.abs(shape - clips.COLOURS[name]).sum()))
            assert nearest == words.split()[0]
    assert abs(len(samples(made[-1].path)) / 16_000 - 4) < 0.2
