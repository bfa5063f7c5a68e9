r"""What numbers of products bring as priors, of a real catalogue and planted ones.

    python -m tests.measure.numbers plant ../shared/data/chorus/products.ndjson.gz judgments.csv > planted.ndjson
    hybrid index planted.ndjson --index planted --signals text \
      --map title=title,code=name,brand=supplier,description=short_description,price=price
    python -m tests.measure.numbers measure planted judgments.csv price price:less date_released sold random
    python -m tests.measure.numbers shares planted judgments.csv

`plant` adds two numbers to each product: `random`, and `sold`, which is skewed like sales and higher, with much noise,
where a product is rated better. `measure` prints, for each field as the only prior: nDCG@10 without it, with the
shipped weights, and with weights learned in repeated cross-validation without and with it; and the weight that is
learned from all queries. `shares` draws ten numbers by chance and ten that are higher where a product is rated better,
and prints what each changes, by the share of the whole that the prior has.
"""

from __future__ import annotations

import gzip
import math
import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson

from hybrid.evaluation.formats import read_judgments
from hybrid.evaluation.significance import paired
from hybrid.learning.weights.examples import Example, Table
from hybrid.learning.weights.linear import Lists, fit_with_pull, shipped
from hybrid.learning.weights.selection import folds_of
from hybrid.operations.priors import set_priors
from hybrid.search.fusion import Scaling, by_kind
from hybrid.services import build_services
from hybrid.signals import PRIOR
from tests.measure.candidates import gathered, scores

FOLDS, REPEATS = 5, 4


def best_rating(judgments: Path) -> dict[str, float]:
    """Product -> its best rating over all queries."""
    rating: dict[str, float] = {}
    for of_query in read_judgments(judgments).ratings.values():
        for id, value in of_query.items():
            rating[id] = max(value, rating.get(id, 0.0))
    return rating


def plant(catalogue: Path, judgments: Path) -> None:
    rating, rng = best_rating(judgments), random.Random(0)
    with gzip.open(catalogue) as lines:
        for line in lines:
            product = orjson.loads(line)
            better = 0.8 * rating.get(str(product["id"]), 0.0)
            product["sold"] = int(math.exp(rng.gauss(2.0 + better, 1.5)))
            product["random"] = int(math.exp(rng.gauss(2.0, 1.5)))
            sys.stdout.write(orjson.dumps(product).decode() + "\n")


def learned(examples: list[Example]) -> tuple[np.ndarray, dict[str, float]]:
    """(held-out nDCG@10 of each query, the weights learned from all)."""
    lists = Lists(examples, [Table(example, Scaling()) for example in examples])
    prior, held = shipped(lists.signals), np.zeros(len(examples))
    for fold in folds_of(np.arange(len(examples)), FOLDS, REPEATS, 0):
        weights = fit_with_pull(lists, fold.rest, prior).weights
        held[fold.held_out] += scores([examples[row] for row in fold.held_out], weights) / REPEATS
    return held, fit_with_pull(lists, np.arange(len(examples)), prior).weights


def said(after: np.ndarray, before: np.ndarray) -> str:
    change = paired(dict(enumerate(before)), dict(enumerate(after)))
    assert change is not None
    return f"{after.mean():.4f} ({change.difference:+.4f}, {change.low:+.4f} to {change.high:+.4f})"


def measure(index: str, judgments: Path, fields: list[str]) -> None:
    services = build_services()
    set_priors(services, index, [])
    without = gathered(services, index, judgments)
    plain, (held, _) = scores(without, shipped({name for one in without for name in one.raw})), learned(without)
    print(f"no prior: shipped {plain.mean():.4f}, learned {held.mean():.4f}, {len(without)} queries", flush=True)
    for field in fields:
        set_priors(services, index, [field])
        found = gathered(services, index, judgments)
        small = scores(found, shipped({name for one in found for name in one.raw}))
        better, weights = learned(found)
        print(
            f"{field}: shipped {said(small, plain)}, learned {said(better, held)}, weight "
            f"{by_kind(weights)[PRIOR]:.3f}",
            flush=True,
        )
    set_priors(services, index, [])


def shares(index: str, judgments: Path) -> None:
    services = build_services()
    set_priors(services, index, ["random"])
    examples, rating = gathered(services, index, judgments), best_rating(judgments)
    set_priors(services, index, [])
    shipped_weights = shipped({name for one in examples for name in one.raw})
    others = {name: weight for name, weight in shipped_weights.items() if name != "prior.random"}
    for better in (0.0, 0.4, 0.8):
        changes: dict[float, list[float]] = {}
        for seed in range(10):
            drawn = [
                replace(one, raw={**one.raw, "prior.random": {
                    id: math.exp(random.Random(f"{seed} {id}").gauss(2.0 + better * rating.get(id, 0.0), 1.5))
                    for id in one.raw["prior.random"]
                }})
                for one in examples
            ]  # fmt: skip
            for share in (0.0, 0.01, 0.02, 0.03, 0.05, 0.08):
                left = (1 - share) / sum(others.values())
                weights = {**{name: weight * left for name, weight in others.items()}, "prior.random": share}
                changes.setdefault(share, []).append(float(scores(drawn, weights).mean()))
        print(f"{better} better with each step of the rating:", flush=True)
        for share, found in changes.items():
            print(
                f"  {share}: {np.mean(found) - np.mean(changes[0.0]):+.4f}, deviation {np.std(found):.4f}", flush=True
            )


if __name__ == "__main__":
    if sys.argv[1] == "plant":
        plant(Path(sys.argv[2]), Path(sys.argv[3]))
    elif sys.argv[1] == "shares":
        shares(sys.argv[2], Path(sys.argv[3]))
    else:
        measure(sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
