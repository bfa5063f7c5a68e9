"""How good the shipped weights are, and weights fitted without the catalogue that they are tried on.

    python -m tests.measure.prior chorus:chorus=judgments.csv esci:us=judgments_us.csv esci:es=judgments_es.csv

Each argument is INDEX:NAME=FILE: a list of judgments of an index of the cluster. Lists of one index are one catalogue.
For each list: nDCG@10 of words alone, of the shipped weights, and of weights that were fitted to all lists, and to
those of the other catalogues.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from hybrid.evaluation.significance import interval
from hybrid.learning.weights.examples import Example, Table
from hybrid.learning.weights.linear import Lists, fit, shipped
from hybrid.search.fusion import Scaling
from hybrid.services import build_services
from hybrid.signals import LEXICAL
from tests.measure.candidates import gathered, scores

#: How strongly a fit is drawn to the shipped weights, in lists of 100 queries.
PULL = 100.0


def fitted(lists: list[list[Example]], prior: dict[str, float]) -> dict[str, float]:
    """Weights fitted to these lists, each of which counts as 100 queries."""
    examples = [example for one in lists for example in one]
    worth = [100.0 / len(one) for one in lists for _ in one]
    gathered = Lists(examples, [Table(example, Scaling()) for example in examples], worth)
    return fit(gathered, np.arange(len(examples)), prior, PULL).weights


def main(arguments: list[str]) -> None:
    services = build_services()
    found: dict[tuple[str, str], list[Example]] = {}
    for argument in arguments:
        place, _, file = argument.partition("=")
        index, _, name = place.partition(":")
        found[index, name] = gathered(services, index, Path(file))
        print(f"{index}:{name}: {len(found[index, name])} queries", flush=True)
    prior = shipped({name for examples in found.values() for example in examples for name in example.raw})
    everything = fitted(list(found.values()), prior)
    print("weights", {name: round(weight, 3) for name, weight in sorted(everything.items())})
    for (index, name), examples in found.items():
        others = [one for (other, _), one in found.items() if other != index]
        systems = {
            "words": {signal: weight for signal, weight in prior.items() if signal.startswith(LEXICAL)},
            "shipped": prior,
            "fitted": everything,
            **({"fitted without": fitted(others, prior)} if others else {}),
        }
        for system, weights in systems.items():
            held = scores(examples, weights)
            low, high = interval(held)
            print(f"{index}:{name:8} {system:15} {held.mean():.4f} ({low:.4f} to {high:.4f})", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
