"""Tags from the pictures themselves: the last blocks of EfficientNet-Lite0 learn from a shop's own photos.

Three measures together treat unequal classes: cut, turned, mirrored and recoloured views and mixtures of two (mixup:
Zhang et al., ICLR 2018); more frequent draws of rare tags (class-aware, by the root of the frequency); and a vote of
fine-tuned networks and of a linear head over many layers of the frozen network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.encoders.inference import networks
from hybrid.encoders.pixels import LAYERS, VIEWS
from hybrid.encoders.trained.calibration import softmax
from hybrid.encoders.trained.picture_tags import PictureTags, layers, layers_graph
from hybrid.learning import fine_tuning
from hybrid.learning.fine_tuning import HEAD_RATE, MIX, RATE, ROWS, SMOOTH, Progress
from hybrid.learning.tags.calibration import HeldOut, figures, held_out
from hybrid.learning.tags.fit import linear_head
from hybrid.settings import Settings

if TYPE_CHECKING:
    import torch
    from PIL import Image

FOLDS, TAILS, EPOCHS = 3, 2, 10
#: Weight decay of the head over many layers, over features of variance 1.
_HEAD_DECAY = 5e-3


def _silent(step: int, of: int) -> None:
    pass


@dataclass(frozen=True)
class Photos:
    """n training photos. learned, query_views: as in hybrid.learning.fine_tuning.Middles. layers: see
    hybrid.encoders.trained.picture_tags. tags: names. keys: of each photo a key that is the same in another
    training."""

    learned: np.ndarray  # (n, views, *MIDDLE)
    query_views: np.ndarray  # (n, VIEWS, *MIDDLE)
    layers: np.ndarray  # (n, VIEWS, LAYERS)
    tags: np.ndarray  # (n,)
    keys: np.ndarray  # (n,)

    def of(self, rows: np.ndarray) -> Photos:
        """The photos of these rows, by number."""
        return Photos(self.learned[rows], self.query_views[rows], self.layers[rows], self.tags[rows], self.keys[rows])


def look(
    pictures: Iterable[Image.Image | None],
    tags: Sequence[str],
    keys: Sequence[str],
    settings: Settings,
    seed: int,
    progress: Progress,
    learn: bool = True,
) -> Photos:
    """Photos prepared for training, or for prediction only where `learn` is false.

    pictures: one for each tag and key; a picture that is None is left out.

    Raises:
        UsageError, EncoderError: as hybrid.learning.fine_tuning.look.
    """
    wide = layers_graph(settings)
    seen = np.zeros((len(tags), VIEWS, LAYERS), np.float32)

    def beside(row: int, picture: Image.Image) -> None:
        seen[row] = layers(wide, [picture])[0]

    middles = fine_tuning.look(pictures, len(tags), settings, seed, progress, learn, beside)
    return Photos(
        middles.learned,
        middles.query_views,
        seen[middles.there],
        np.array(tags)[middles.there],
        np.array(keys)[middles.there],
    )


def measured(model: PictureTags, photos: Photos) -> dict[str, Any]:
    """{"index": figures} of a model on photos that it did not learn from."""
    place = {name: number for number, name in enumerate(model.names)}
    truth = np.array([place.get(name, -1) for name in photos.tags.tolist()])
    return {"index": figures(model.names, truth, model.calibration(probabilities(model, photos)))}


def fit(photos: Photos, seed: int = 0, progress: Callable[[int, int], None] = _silent) -> PictureTags:
    """A vote of TAILS networks that learn from all photos, and of a head over many layers of the frozen network.

    It is not yet calibrated. progress: (steps, of how many).
    """
    names = np.unique(photos.tags)
    tails = []
    for number in range(TAILS):

        def report_step(step: int, of: int, number: int = number) -> None:
            progress(number * of + step, TAILS * of)

        tails.append(_tail(photos, seed + number, report_step))
    return PictureTags(tuple(names.tolist()), tuple(tails), _head(photos))


def _head(photos: Photos) -> dict[str, np.ndarray]:
    names, classes = np.unique(photos.tags, return_inverse=True)
    rows = photos.layers.reshape(-1, LAYERS)
    centre, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    matrix, bias = linear_head((rows - centre) / spread, np.repeat(classes, VIEWS), len(names), decay=_HEAD_DECAY)
    # The head takes raw features, so the standardisation becomes a part of it.
    matrix = matrix / spread[:, None]
    return {"matrix": matrix.astype(np.float32), "bias": (bias - centre @ matrix).astype(np.float32)}


def _tail(photos: Photos, seed: int, progress: Callable[[int, int], None]) -> dict[str, np.ndarray]:
    import torch
    from torch.nn import functional

    names, classes = np.unique(photos.tags, return_inverse=True)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    module = networks.tail(None, len(names)).to(memory_format=torch.channels_last)
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    rows = min(ROWS, len(classes))
    often = 1 / np.sqrt(np.bincount(classes))[classes]
    module.drop.train()  # only the dropout: so few photos would spoil the statistics of the norms

    def loss() -> torch.Tensor:
        chosen = rng.choice(len(classes), rows, replace=False, p=often / often.sum())
        views, targets = fine_tuning.drawn(photos.learned, chosen, rng), torch.from_numpy(classes[chosen])
        share, others = float(rng.beta(MIX, MIX)), torch.from_numpy(rng.permutation(rows))
        scores = module(share * views + (1 - share) * views[others])
        lost = share * functional.cross_entropy(scores, targets, label_smoothing=SMOOTH)
        return lost + (1 - share) * functional.cross_entropy(scores, targets[others], label_smoothing=SMOOTH)

    rest = [value for name, value in module.named_parameters() if not name.startswith("head.")]
    groups = [{"params": rest, "lr": RATE}, {"params": list(module.head.parameters()), "lr": HEAD_RATE}]
    fine_tuning.descend(groups, max(1, EPOCHS * len(classes) // rows), loss, progress)
    return fine_tuning.changes(module, before)


def probabilities(model: PictureTags, photos: Photos) -> np.ndarray:
    """(n, tags), not calibrated."""
    import torch

    tails = [networks.tail(weights, len(model.names)) for weights in model.tails]
    with torch.inference_mode():
        votes = [
            softmax(
                np.concatenate(
                    [
                        tail(
                            torch.from_numpy(photos.query_views[start : start + ROWS, view].astype(np.float32))
                        ).numpy()
                        for start in range(0, len(photos.query_views), ROWS)
                    ]
                )
            )
            for view in range(VIEWS)
            for tail in tails
        ]
    return model.vote(np.mean(votes, axis=0), photos.layers)


def validate(photos: Photos, seed: int, progress: Progress) -> HeldOut:
    """Stratified cross-validation over photos."""
    from sklearn.model_selection import StratifiedKFold

    names, truth = np.unique(photos.tags, return_inverse=True)
    parts = int(min(FOLDS, np.bincount(truth).min()))
    raw, fold = np.zeros((len(truth), len(names))), np.zeros(len(truth), dtype=int)
    for number, (learn, test) in enumerate(StratifiedKFold(parts, shuffle=True, random_state=seed).split(truth, truth)):

        def report_step(step: int, of: int, number: int = number) -> None:
            progress("fine-tuning, held out", number * of + step, parts * of)

        raw[test] = probabilities(fit(photos.of(learn), seed, report_step), photos.of(test))
        fold[test] = number
    return held_out(names.tolist(), truth, raw, fold)
