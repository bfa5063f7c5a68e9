"""What the relevance floor takes from nonsense, from full titles, and from judged queries: without it, and with it.

python -m tests.measure.floor INDEX JUDGMENTS [--most 300]

The index is one that there is. Strings of nonsense are seeded and of four kinds, 50 each; none of the other trades'
words is one that the floor was calibrated with, and words that the catalogue knows are no nonsense to it. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from hybrid.catalogue.documents import role_values
from hybrid.elastic.retrieval import bodies
from hybrid.elastic.retrieval.probes import Probes
from hybrid.evaluation.measures import measures
from hybrid.search import floor, nonsense
from hybrid.search.ports import NO_LIMITS
from hybrid.searches import SearchRequest
from hybrid.services import Services, build_services

_EACH = 50
_TITLES = 60
#: Words of trades that few shops have, none of them in hybrid.search.nonsense.
_OTHERS = """\
goulash paella kebab tortilla yoghurt parsley gooseberry artichoke turnip mackerel sardine venison marzipan custard
vinegar chutney jury prosecutor plaintiff subpoena tribunal arbitration mayor monarchy republic treaty ambassador
synagogue mosque parish bishop apostle psalm gospel coffin obituary obstetrics asthma cholesterol migraine pneumonia
tonsillitis dermatology psychiatry geometry grammar linguistics sociology archaeology neolithic viking emperor
avalanche tornado monsoon swamp savanna crocodile flamingo ostrich walrus squirrel badger weasel goat donkey rooster
irrigation silo sawmill quarry blacksmith cobbler tailor upholstery barber tattoo choreography operetta poetry sonata
cello oboe accordion fencing judo rowing bobsleigh biathlon marina runway tramway canal asteroid galaxy eclipse
"""


def strings(seed: int) -> dict[str, list[str]]:
    """Kind -> strings."""
    chance = random.Random(seed)
    made = {
        "keyboard": [nonsense._run(chance) for _ in range(3 * _EACH)],
        "letters": [nonsense._letters(chance) for _ in range(3 * _EACH)],
        "spoken": [nonsense._spoken(chance) for _ in range(3 * _EACH)],
        "other trades": chance.sample(_OTHERS.split(), len(_OTHERS.split())),
    }
    return {kind: list(dict.fromkeys(of_kind)) for kind, of_kind in made.items()}


@contextmanager
def without_floor() -> Iterator[None]:
    """Search as if there were no floor, and as if one word of a long query were a match."""
    with (
        patch.object(floor, "limits", lambda *_: NO_LIMITS),
        patch.object(bodies, "is_long", lambda _: False),
    ):
        yield


def totals(services: Services, index: str, queries: Sequence[str]) -> list[int]:
    search = services.searcher.search
    return [search(SearchRequest(index, query, size=1, bare=True, facets=())).total for query in queries]


def quality(services: Services, index: str, ratings: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    search = services.searcher.search
    runs = {
        query: [hit.id for hit in search(SearchRequest(index, query, size=100, bare=True, facets=())).hits]
        for query in ratings
    }
    return {"ndcg@10": measures(runs, ratings)["ndcg@10"], "recall@100": measures(runs, ratings, 100)["recall@100"]}


def measure(services: Services, index: str, judgments: str, most: int) -> dict[str, object]:
    """The figures of one index. most: judged queries that are looked at, a seeded sample."""
    profile = services.searcher.profile(index)
    probes = services.cluster.store(Probes)
    made = {kind: probes.unknown(profile, of_kind)[:_EACH] for kind, of_kind in strings(1).items()}
    judged = services.judged(index, judgments).relevant
    chosen = random.Random(0).sample(sorted(judged), min(most, len(judged)))
    ratings = {query: judged[query] for query in chosen}
    rows = services.cluster.products.sample(index, _TITLES, 1)
    titles = [" ".join(map(str, role_values(row, profile.fields, "title"))) for _, row in rows]
    products = services.cluster.indices.count(index)

    def figures() -> dict[str, object]:
        found = {kind: totals(services, index, of_kind) for kind, of_kind in made.items()}
        of_titles = totals(services, index, titles)
        return {
            "nonsense with 0 products": {
                **{kind: f"{of_kind.count(0)} of {len(of_kind)}" for kind, of_kind in found.items()},
                "all": round(statistics.fmean(not total for of_kind in found.values() for total in of_kind), 3),
            },
            "products of a full title": {
                "median": statistics.median(of_titles),
                "mean share of the shop": round(statistics.fmean(of_titles) / products, 4),
            },
            **quality(services, index, ratings),
        }

    with without_floor():
        before = figures()
    return {
        "index": index,
        "products": products,
        "floors": {name: one.cosines for name, one in profile.floors.items()},
        "judged queries": len(ratings),
        "without": before,
        "with": figures(),
        "marks alone": totals(services, index, ["...", "???", "-", "&%$"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index")
    parser.add_argument("judgments", type=Path)
    parser.add_argument("--most", type=int, default=300, help="judged queries that are looked at")
    options = parser.parse_args()
    services = build_services()
    print(json.dumps(measure(services, options.index, str(options.judgments), options.most), indent=2))


if __name__ == "__main__":
    main()
