"""Two towers from a shop's own pairs of photo and text: the last blocks of a CNN on pixels, and an RNN on tokens.

Both learn at once, so that a photo stands nearer to its product's text than to others' (InfoNCE: van den Oord et al.,
2018; both ways: Radford et al., 2021; all photos of a product are its partners: Khosla et al., 2020).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.encoders.inference import networks
from hybrid.encoders.pixels import VIEWS
from hybrid.encoders.trained.towers import DIMS, WIDTH, TextTower, TowersModel
from hybrid.encoders.words import MiniLMWords
from hybrid.errors import UsageError
from hybrid.learning import fine_tuning
from hybrid.learning.alignment.closed_form import Pairs
from hybrid.learning.alignment.fit import MIN_PAIRS, MIN_PRODUCTS
from hybrid.learning.alignment.held_out import Ranked, by_photos, by_products, figures, joined, ranked
from hybrid.learning.alignment.report import Clouds, drawn
from hybrid.learning.fine_tuning import MIX, RATE, ROWS, SMOOTH
from hybrid.vectors import unit

if TYPE_CHECKING:
    import torch

FOLDS, EPOCHS = 3, 8
#: Products that a training step compares its photos with.
CANDIDATES = 128
_TEMPERATURE, _TEXT_RATE, _FORGOTTEN = 0.07, 2e-3, 0.2


def _silent(step: int, of: int) -> None:
    pass


@dataclass(frozen=True)
class Examples:
    """Training examples: n photos of m products.

    learned, query_views: as in hybrid.learning.fine_tuning.Middles. groups: which product a photo shows. own: whether
    it is the catalogue's picture, which is always learned from and never a query. texts: word vectors of each
    product's text. titles: word vectors of its title alone, because shoppers type short queries.
    """

    learned: np.ndarray  # (n, views, *MIDDLE)
    query_views: np.ndarray  # (n, VIEWS, *MIDDLE)
    groups: np.ndarray  # (n,)
    own: np.ndarray  # (n,)
    texts: Sequence[np.ndarray]  # m times (tokens, d)
    titles: Sequence[np.ndarray]  # m times (tokens, d)


def check(examples: Examples) -> None:
    """Raises UsageError where nothing can be learned."""
    count, products = len(examples.groups), len(np.unique(examples.groups))
    if count < MIN_PAIRS or products < MIN_PRODUCTS:
        raise UsageError(
            f"{count} pairs of {products} products are too few to align by: at least {MIN_PAIRS} pairs of "
            f"{MIN_PRODUCTS} products are needed"
        )


def fit(
    examples: Examples, rows: np.ndarray | None = None, seed: int = 0, progress: Callable[[int, int], None] = _silent
) -> TowersModel:
    """Both towers, trained on these rows, or on all. progress: (steps, of how many)."""
    import torch
    from torch.nn import functional
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    rows = np.arange(len(examples.groups)) if rows is None else rows
    products, groups = np.unique(examples.groups[rows], return_inverse=True)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    tail = networks.tail(None, DIMS).to(memory_format=torch.channels_last)
    before = {name: value.detach().clone() for name, value in tail.named_parameters()}
    torch.nn.init.normal_(tail.head.weight, std=1280**-0.5)
    tail.drop.train()
    words = MiniLMWords.dims
    gru = torch.nn.GRU(words, WIDTH, bidirectional=True, batch_first=True)
    from_states, from_words = torch.nn.Linear(2 * WIDTH, DIMS), torch.nn.Linear(words, DIMS, bias=False)

    def texts(chosen: np.ndarray) -> torch.Tensor:
        """(len(chosen), DIMS) vectors of each product's text or title, without a random part of its words."""
        read = []
        for row in products[chosen].tolist():
            text = examples.titles[row] if rng.random() < 0.5 and len(examples.titles[row]) else examples.texts[row]
            left = text[rng.random(len(text)) >= _FORGOTTEN]
            read.append(torch.from_numpy(left if len(left) else text))
        lengths = torch.tensor([len(text) for text in read])
        padded = torch.nn.utils.rnn.pad_sequence(read, batch_first=True)
        states = gru(pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False))[0]
        mean = pad_packed_sequence(states, batch_first=True)[0].sum(1) / lengths[:, None]
        plain = padded.sum(1) / lengths[:, None]
        return functional.normalize(
            from_states(functional.dropout(mean, 0.2)) + from_words(functional.dropout(plain, 0.2)), dim=1
        )

    batch = min(ROWS, len(rows))
    rarely = 1 / np.sqrt(np.bincount(groups))[groups]

    def loss() -> torch.Tensor:
        chosen = rng.choice(len(rows), batch, replace=False, p=rarely / rarely.sum())
        here = np.unique(groups[chosen])
        rest = np.setdiff1d(np.arange(len(products)), here)
        candidates = np.concatenate([here, rng.permutation(rest)[: max(0, CANDIDATES - len(here))]])
        place = np.searchsorted(here, groups[chosen])
        share, others = float(rng.beta(MIX, MIX)), rng.permutation(batch)
        views = fine_tuning.drawn(examples.learned, rows[chosen], rng)
        seen = functional.normalize(tail(share * views + (1 - share) * views[others]), dim=1)
        scores = seen @ texts(candidates).T / _TEMPERATURE
        partners = functional.one_hot(torch.from_numpy(place), len(candidates)).float()
        partners = share * partners + (1 - share) * partners[others]
        smooth = (1 - SMOOTH) * partners + SMOOTH / len(candidates)
        asks = -(smooth * scores.log_softmax(1)).sum(1).mean()
        answers = partners[:, : len(here)] / partners[:, : len(here)].sum(0)
        return asks - (answers * scores.log_softmax(0)[:, : len(here)]).sum(0).mean()

    learning = [*gru.parameters(), *from_states.parameters(), *from_words.parameters()]
    last = list(tail.head.parameters())
    rest = [value for name, value in tail.named_parameters() if not name.startswith("head.")]
    rates = [{"params": rest, "lr": RATE}, {"params": last, "lr": RATE}, {"params": learning, "lr": _TEXT_RATE}]
    fine_tuning.descend(rates, max(1, EPOCHS * len(rows) // batch), loss, progress)
    weights = {name: value.detach().numpy() for name, value in gru.named_parameters()}
    weights["from_states"], weights["bias"] = from_states.weight.detach().numpy(), from_states.bias.detach().numpy()
    weights["from_words"] = from_words.weight.detach().numpy()
    model = TowersModel(fine_tuning.changes(tail, before), TextTower(weights))
    return TowersModel.from_bytes(model.to_bytes())  # as precise as it is stored


def pictures(model: TowersModel, views: np.ndarray) -> np.ndarray:
    """(n, DIMS) unit rows of (n, VIEWS, *MIDDLE)."""
    import torch
    from torch.nn import functional

    tail = networks.tail(model.picture, DIMS)
    vectors = np.zeros((len(views), DIMS), np.float32)
    with torch.inference_mode():
        for start in range(0, len(views), ROWS):
            part = torch.from_numpy(views[start : start + ROWS].astype(np.float32)).flatten(0, 1)
            vectors[start : start + ROWS] = (
                functional.normalize(tail(part), dim=1).reshape(-1, VIEWS, DIMS).sum(1).numpy()
            )
    return unit(vectors)


def validate(
    examples: Examples, names: Sequence[str], seed: int, progress: Callable[[int, int], None]
) -> tuple[dict[str, Any], Clouds]:
    """Held-out figures of towers, in the form of fit.validate, and the clouds of the last fold's held-out products.

    "to_product": photos search for the catalogue's own pictures of products. names: of the products.
    """
    check(examples)
    taken = np.flatnonzero(~examples.own)
    labels, groups = np.unique(examples.groups[taken], return_inverse=True)
    # The folds follow the same rule as for other methods, which does not read the vectors.
    nothing = np.zeros((len(taken), 1), np.float32)
    pairs = Pairs(nothing, nothing[: len(labels)], groups, np.arange(len(taken)), False, False)
    photos, products = by_photos(pairs), by_products(pairs, FOLDS, seed)
    runs = len(photos) + len(products)
    done, seconds = 0, []
    ranks: dict[str, list[int]] = {}
    models: list[TowersModel] = []

    def over(masks: Sequence[np.ndarray]) -> dict[str, Any]:
        nonlocal done
        parts: dict[str, list[Ranked]] = {}
        for test in masks:

            def report_step(step: int, of: int, done: int = done) -> None:
                progress(done * of + step, runs * of)

            started = time.perf_counter()
            # The towers must not learn from the catalogue's picture of a held-out product either.
            unseen = np.setdiff1d(examples.groups[taken[test]], examples.groups[taken[~test]])
            learn = np.concatenate([taken[~test], np.flatnonzero(examples.own & ~np.isin(examples.groups, unseen))])
            model = fit(examples, learn, seed, report_step)
            models[:] = [model]
            seconds.append(time.perf_counter() - started)
            done += 1
            for name, one in _held_out_ranks(model, examples, taken, test).items():
                parts.setdefault(name, []).append(one)
        if not ranks:  # those of photos held out, where there are any
            ranks["photo"] = np.concatenate([np.flatnonzero(test) for test in masks]).tolist()
            ranks["left_to_right"] = joined(parts["left_to_right"]).first.tolist()
        return {name: figures(joined(part), name == "right_to_left", seed) for name, part in parts.items()}

    result = {
        "method": "towers",
        "photos": over(photos) if photos else None,
        "products": over(products),
        "pairs": len(taken),
        "candidates": len(labels),
        "seconds": round(float(np.mean(seconds)), 2),
        "ranks": ranks,
    }
    return result, _clouds(models[-1], examples, taken[products[-1]], names)


def _clouds(model: TowersModel, examples: Examples, test_photos: np.ndarray, names: Sequence[str]) -> Clouds:
    """Clouds of held-out photos and their texts, by the towers, and before: mean outputs of the frozen blocks, and mean
    word vectors of the texts."""
    labels, first = np.unique(examples.groups[test_photos], return_index=True)
    photos = examples.query_views[test_photos[first]]
    texts = [examples.texts[row] for row in labels.tolist()]
    plain = unit(photos.astype(np.float32).mean(axis=(1, 3, 4))), unit(np.stack([text.mean(axis=0) for text in texts]))
    return drawn(plain, (pictures(model, photos), model.text(texts)), [names[row] for row in labels.tolist()])


def first(model: TowersModel, examples: Examples, rows: np.ndarray) -> np.ndarray:
    """Whether each photo finds its product's text first. rows: which photos, a mask over those that are not the
    catalogue's own."""
    return np.asarray(_held_out_ranks(model, examples, np.flatnonzero(~examples.own), rows)["left_to_right"].first <= 1)


def _held_out_ranks(model: TowersModel, examples: Examples, taken: np.ndarray, test: np.ndarray) -> dict[str, Ranked]:
    """Ranks of the held-out photos, by direction. taken: rows of photos (not the catalogue's own); test: a mask of
    these."""
    test_photos = taken[test]
    groups = examples.groups
    labels = np.unique(groups[taken])
    texts = model.text([examples.texts[row] for row in labels.tolist()])
    seen = pictures(model, examples.query_views[test_photos])
    tested = np.unique(groups[test_photos])
    # A training photo of a tested product would be an easy right answer, so it is no candidate.
    others = taken[~test & ~np.isin(groups[taken], tested)]
    candidates = np.vstack([seen, pictures(model, examples.query_views[others])])
    asking = texts[np.searchsorted(labels, tested)]
    ranks = {
        "left_to_right": ranked(seen, groups[test_photos], texts, labels),
        "right_to_left": ranked(asking, tested, candidates, np.concatenate([groups[test_photos], groups[others]])),
    }
    own = np.flatnonzero(examples.own)
    if len(np.intersect1d(groups[own], tested)) == len(tested):
        ranks["to_product"] = ranked(seen, groups[test_photos], pictures(model, examples.query_views[own]), groups[own])
    return ranks
