"""Fine-tuning of the last blocks of EfficientNet-Lite0 on photos, for tags and for towers.

The outputs of the earlier blocks are computed once for every view, and only the later blocks learn, so that a thousand
photos take minutes on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.encoders.base import file_digest
from hybrid.encoders.inference import networks
from hybrid.encoders.inference.graphs import load_graph
from hybrid.encoders.inference.networks import FROZEN
from hybrid.encoders.pixels import BATCH, VIEWS, mean_colour, picture_views, squashed, weights_file
from hybrid.errors import UsageError
from hybrid.settings import Settings

if TYPE_CHECKING:
    import torch
    from PIL import Image

#: Shape of an output of the network's middle: channels, height, width.
MIDDLE = (112, 14, 14)
#: AUGMENTED: varied views of a picture for training, beside the views that queries have. ROOM: views that fit into
#: memory (44 kB each).
AUGMENTED, ROOM, MAX_PHOTOS = 8, 16_000, 5_000
#: Photos of a training step.
ROWS = 32
RATE, HEAD_RATE = 3e-4, 3e-3
SMOOTH, MIX = 0.1, 0.2
_DECAY = 1e-2

Progress = Callable[[str, int, int], None]  # (what is done, how many of it, of how many)


@dataclass(frozen=True)
class Middles:
    """Outputs of the frozen blocks for n photos, float16. learned: of the views for training. query_views: of the views
    that a picture is encoded by. there: whether each given picture could be opened, which n of them could."""

    learned: np.ndarray  # (n, views, *MIDDLE)
    query_views: np.ndarray  # (n, VIEWS, *MIDDLE)
    there: np.ndarray  # (pictures,)


def look(
    pictures: Iterable[Image.Image | None], count: int, settings: Settings, seed: int, progress: Progress,
    learn: bool = True, beside: Callable[[int, Image.Image], None] | None = None,
) -> Middles:  # fmt: skip
    """Outputs of the frozen blocks for views of pictures. pictures that are None are left out; count: of all pictures.

    learn: also compute the views for training. beside: is called with each picture's place and the picture.

    Raises:
        UsageError: more than MAX_PHOTOS are to be learned from: they would not fit into memory.
        EncoderError: the model cannot be had.
    """
    if learn and count > MAX_PHOTOS:
        raise UsageError(f"{count:,} photos: the network learns from at most {MAX_PHOTOS:,}; give it a part of them")
    rng = np.random.default_rng(seed)
    varied = min(AUGMENTED, max(0, ROOM // max(1, count) - VIEWS)) if learn else 0
    version = f"efficientnet-lite0-front@{file_digest(weights_file(), settings)}+{FROZEN}"
    front = load_graph("efficientnet-lite0-front", weights_file(), version, settings)
    learned = np.zeros((count if learn else 0, varied + VIEWS, *MIDDLE), np.float16)
    query_views = np.zeros((count, VIEWS, *MIDDLE), np.float16)
    there = np.zeros(count, dtype=bool)
    for row, picture in enumerate(pictures):
        if picture is not None:
            picture = picture.convert("RGB")
            views = np.stack([*picture_views(picture), *(_varied(picture, rng) for _ in range(varied))])
            outputs = np.concatenate([front.run([views[at : at + BATCH]]) for at in range(0, len(views), BATCH)])
            query_views[row], there[row] = outputs[:VIEWS], True
            if learn:
                learned[row] = outputs
            if beside is not None:
                beside(row, picture)
        if row % 16 == 15 or row + 1 == count:
            progress("views of photos", row + 1, count)
    if not there.all():
        learned, query_views = learned[there[: len(learned)]], query_views[there]
    return Middles(learned, query_views, there)


def _varied(picture: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """(224, 224, 3) uint8: a random part of the picture, perhaps mirrored, turned a little, in other light."""
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


def drawn(learned: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """(len(rows), *MIDDLE): a random training view of each of these photos."""
    import torch

    views = learned[rows, rng.integers(0, learned.shape[1], len(rows))].astype(np.float32)
    return torch.from_numpy(views).to(memory_format=torch.channels_last)


def descend(
    groups: list[dict[str, Any]], steps: int, loss: Callable[[], torch.Tensor], progress: Callable[[int, int], None]
) -> None:
    """Train by AdamW for so many steps, with a rate that first rises, then falls.

    groups: parameters and their "lr". loss: computes the loss of a step. progress: (steps, of how many).
    """
    import torch

    optimiser = torch.optim.AdamW(groups, weight_decay=_DECAY)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps + 1, pct_start=0.15)
    for step in range(steps):
        optimiser.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        progress(step + 1, steps)


def changes(module: torch.nn.Module, before: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """The changes of a tail's parameters, as networks.tail takes them. before: its parameters by name, before the
    training."""
    learned: dict[str, np.ndarray] = {}
    for name, value in module.named_parameters():
        learned |= networks.packed(name, (value.detach() - before[name]).numpy())
    return learned


@contextmanager
def alone(seed: int) -> Iterator[None]:
    """Run torch with its own seed, in one thread. For matrices this small a second thread costs three times the work,
    and with one thread sums are the same every time."""
    import torch

    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
