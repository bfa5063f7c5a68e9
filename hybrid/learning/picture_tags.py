"""Tags from the pictures themselves: the last blocks of EfficientNet-Lite0 learn from a shop's own photos.

What the earlier blocks make of every view is computed once, and only what follows learns, so that a thousand photos
take minutes on two cores. It meets unequal classes in two ways at once: cut, turned, mirrored and recoloured views and
mixtures of two (mixup: Zhang et al., ICLR 2018), and rarer tags drawn more often (class-aware, by the root of the
frequency).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.encoders import convert
from hybrid.encoders.base import file_digest
from hybrid.encoders.convert import FROZEN
from hybrid.encoders.image import BATCH, weights_file
from hybrid.encoders.picture_tags import VIEWS, PictureTags, mean_colour, shown, squashed
from hybrid.encoders.runtime import load_graph
from hybrid.errors import UsageError
from hybrid.learning.tags import HeldOut, cooled, figures, held_out, softmax
from hybrid.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

#: Of the network's middle: channels, height, width.
MIDDLE = (112, 14, 14)
#: Beside the views that tags are told by, so many varied ones are learned from, and of all that there is room for
#: (44 kB each).
AUGMENTED, ROOM, MAX_PHOTOS = 8, 16_000, 5_000
FOLDS, TAILS, EPOCHS, ROWS = 3, 2, 10, 32
_RATE, _HEAD_RATE, _DECAY, _SMOOTH, _MIX = 3e-4, 3e-3, 1e-2, 0.1, 0.2

Progress = Callable[[str, int, int], None]  # (what is done, how many of it, of how many)


def _silent(step: int, of: int) -> None:
    pass


@dataclass(frozen=True)
class Photos:
    """What is learned from. learned: (n, views, *MIDDLE) float16 of views to learn from; asked: (n, VIEWS, *MIDDLE) of
    those that tags are told by; tags: (n,) names."""

    learned: np.ndarray
    asked: np.ndarray
    tags: np.ndarray


def look(
    pictures: Iterable[Image.Image | None],
    tags: Sequence[str],
    settings: Settings,
    seed: int,
    progress: Progress,
    learn: bool = True,
) -> Photos:
    """Views of photos, as far as the blocks that do not learn. pictures: one a tag; None is left out. learn: also the
    views that are learned from.

    Raises:
        UsageError: more than MAX_PHOTOS are to be learned from: they would not fit into memory.
        EncoderError: the model cannot be had.
    """
    if learn and len(tags) > MAX_PHOTOS:
        raise UsageError(f"{len(tags):,} photos: --fine-tune takes at most {MAX_PHOTOS:,}; give it a part of them")
    rng = np.random.default_rng(seed)
    count = min(AUGMENTED, max(0, ROOM // max(1, len(tags)) - VIEWS)) if learn else 0
    front = load_graph("efficientnet-lite0-front", weights_file(), _front_version(settings), settings)
    learned = np.zeros((len(tags) if learn else 0, count + VIEWS, *MIDDLE), np.float16)
    asked = np.zeros((len(tags), VIEWS, *MIDDLE), np.float16)
    there = np.zeros(len(tags), dtype=bool)
    for row, picture in enumerate(pictures):
        if picture is not None:
            picture = picture.convert("RGB")
            views = np.stack([*shown(picture), *(_varied(picture, rng) for _ in range(count))])
            made = np.concatenate([front.run([views[at : at + BATCH]]) for at in range(0, len(views), BATCH)])
            asked[row], there[row] = made[:VIEWS], True
            if learn:
                learned[row] = made
        if row % 16 == 15 or row + 1 == len(tags):
            progress("views of photos", row + 1, len(tags))
    if not there.all():
        learned, asked = learned[there[: len(learned)]], asked[there]
    return Photos(learned, asked, np.array(tags)[there])


def measured(model: PictureTags, photos: Photos) -> dict[str, Any]:
    """{"index": figures} on photos that were not learned from."""
    place = {name: number for number, name in enumerate(model.names)}
    truth = np.array([place.get(name, -1) for name in photos.tags.tolist()])
    return {"index": figures(model.names, truth, cooled(probabilities(model, photos.asked), model.temperature))}


def _front_version(settings: Settings) -> str:
    return f"efficientnet-lite0-front@{file_digest(weights_file(), settings)}+{FROZEN}"


def _varied(picture: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """(224, 224, 3) uint8: a part of the picture, mirrored or not, a little turned, lighter or darker."""
    from PIL import Image, ImageEnhance, ImageOps

    width, height = picture.size
    area, shape = width * height * rng.uniform(0.4, 1.0), float(np.exp(rng.uniform(-0.29, 0.29)))
    across = min(width, max(1, round((area * shape) ** 0.5)))
    down = min(height, max(1, round((area / shape) ** 0.5)))
    left, top = rng.integers(0, width - across + 1), rng.integers(0, height - down + 1)
    part = picture.crop((left, top, left + across, top + down))
    if rng.random() < 0.5:
        part = ImageOps.mirror(part)
    part = part.rotate(rng.uniform(-10, 10), Image.Resampling.BILINEAR, fillcolor=mean_colour(part))
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        part = enhancer(part).enhance(rng.uniform(0.7, 1.3))
    return squashed(part)


def fit(photos: Photos, seed: int = 0, progress: Callable[[int, int], None] = _silent) -> PictureTags:
    """TAILS networks that learn from all photos; not yet calibrated. progress: (steps, of how many)."""
    names = np.unique(photos.tags)
    tails = []
    for number in range(TAILS):

        def told(step: int, of: int, number: int = number) -> None:
            progress(number * of + step, TAILS * of)

        tails.append(_tail(photos, seed + number, told))
    return PictureTags(tuple(names.tolist()), tuple(tails))


def _tail(photos: Photos, seed: int, progress: Callable[[int, int], None]) -> dict[str, np.ndarray]:
    import torch
    from torch.nn import functional

    names, classes = np.unique(photos.tags, return_inverse=True)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    module = convert.tail(None, len(names)).to(memory_format=torch.channels_last)
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    head = list(module.head.parameters())
    rest = [value for name, value in module.named_parameters() if not name.startswith("head.")]
    optimiser = torch.optim.AdamW(
        [{"params": rest, "lr": _RATE}, {"params": head, "lr": _HEAD_RATE}], weight_decay=_DECAY
    )
    rows = min(ROWS, len(classes))
    steps = max(1, EPOCHS * len(classes) // rows)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [_RATE, _HEAD_RATE], total_steps=steps + 1, pct_start=0.15
    )
    drawn = 1 / np.sqrt(np.bincount(classes))[classes]
    for step in range(steps):
        chosen = rng.choice(len(classes), rows, replace=False, p=drawn / drawn.sum())
        views = photos.learned[chosen, rng.integers(0, photos.learned.shape[1], rows)].astype(np.float32)
        given = torch.from_numpy(views).to(memory_format=torch.channels_last)
        wanted = torch.from_numpy(classes[chosen])
        share, others = float(rng.beta(_MIX, _MIX)), torch.from_numpy(rng.permutation(rows))
        module.drop.train()  # the rest stays as it is in use: so few photos would spoil the norms' statistics
        scores = module(share * given + (1 - share) * given[others])
        lost = share * functional.cross_entropy(scores, wanted, label_smoothing=_SMOOTH)
        lost = lost + (1 - share) * functional.cross_entropy(scores, wanted[others], label_smoothing=_SMOOTH)
        optimiser.zero_grad()
        lost.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        progress(step + 1, steps)
    module.eval()
    learned: dict[str, np.ndarray] = {}
    for name, value in module.named_parameters():
        learned |= convert.packed(name, (value.detach() - before[name]).numpy())
    return learned


def probabilities(model: PictureTags, asked: np.ndarray) -> np.ndarray:
    """(n, tags) of (n, VIEWS, *MIDDLE), not calibrated."""
    import torch

    tails = [convert.tail(weights, len(model.names)) for weights in model.tails]
    with torch.inference_mode():
        votes = [
            softmax(
                np.concatenate(
                    [
                        tail(torch.from_numpy(asked[start : start + ROWS, view].astype(np.float32))).numpy()
                        for start in range(0, len(asked), ROWS)
                    ]
                )
            )
            for view in range(asked.shape[1])
            for tail in tails
        ]
    return np.asarray(np.mean(votes, axis=0))


def validate(photos: Photos, seed: int, progress: Progress) -> HeldOut:
    """Stratified cross-validation over photos."""
    from sklearn.model_selection import StratifiedKFold

    names, truth = np.unique(photos.tags, return_inverse=True)
    parts = int(min(FOLDS, np.bincount(truth).min()))
    raw, fold = np.zeros((len(truth), len(names))), np.zeros(len(truth), dtype=int)
    for number, (learn, test) in enumerate(StratifiedKFold(parts, shuffle=True, random_state=seed).split(truth, truth)):
        some = Photos(photos.learned[learn], photos.asked[:0], photos.tags[learn])

        def told(step: int, of: int, number: int = number) -> None:
            progress("fine-tuning, held out", number * of + step, parts * of)

        raw[test] = probabilities(fit(some, seed, told), photos.asked[test])
        fold[test] = number
    return held_out(names.tolist(), truth, raw, fold)
