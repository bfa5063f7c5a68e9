"""What typing mistakes cost a search by words: nDCG@10 with one mistake in each judged query, against without.

python -m tests.measure.typing_mistakes ../shared/data/chorus/judgments.csv --index chorus --seeds 1,2,3

The index must be there, of the products that the queries are judged on. Prints JSON: for each kind of mistake the
nDCG@10 with correction and without, and what correction does to the queries as they are. BM25 alone, no models.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from hybrid.evaluation.formats import read_judgments
from hybrid.search.correction import correct
from hybrid.search.searcher import Searcher
from hybrid.searches import SearchRequest
from hybrid.services import Services, build_services

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def substitution(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word))
    return word[:at] + rng.choice(_LETTERS.replace(word[at].lower(), "")) + word[at + 1 :]


def deletion(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word))
    return word[:at] + word[at + 1 :]


def insertion(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word) + 1)
    return word[:at] + rng.choice(_LETTERS) + word[at:]


def transposition(word: str, rng: random.Random) -> str:
    places = [at for at in range(len(word) - 1) if word[at] != word[at + 1]]
    at = rng.choice(places)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def space(word: str, rng: random.Random) -> str:
    at = rng.randrange(2, len(word) - 1) if len(word) > 3 else 1
    return f"{word[:at]} {word[at:]}"


#: Mistakes in a word. "joined" is one between two words.
KINDS: dict[str, Callable[[str, random.Random], str]] = {
    "substitution": substitution, "deletion": deletion, "insertion": insertion, "transposition": transposition,
    "space": space,
}  # fmt: skip


def mistyped(query: str, kind: str, rng: random.Random, shortest: int = 4) -> str:
    """The query with one mistake in one of its words of letters; as it is where no word has `shortest` letters."""
    words = query.split()
    able = [at for at, word in enumerate(words) if word.isalpha() and len(word) >= shortest and len(set(word)) > 1]
    if kind == "joined":
        pairs = [at for at in range(len(words) - 1) if words[at].isalpha() and words[at + 1].isalpha()]
        if not pairs:
            return query
        at = rng.choice(pairs)
        return " ".join([*words[:at], words[at] + words[at + 1], *words[at + 2 :]])
    if not able:
        return query
    at = rng.choice(able)
    return " ".join([*words[:at], KINDS[kind](words[at], rng), *words[at + 1 :]])


def ndcg(found: Sequence[str], ratings: Mapping[str, float]) -> float:
    discounts = 1 / np.log2(np.arange(2, 12))
    best = sorted((2**rating - 1 for rating in ratings.values()), reverse=True)[:10]
    gains = [2 ** ratings.get(id, 0) - 1 for id in found]
    return float(np.dot(gains, discounts[: len(gains)]) / np.dot(best, discounts[: len(best)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judgments", type=Path)
    parser.add_argument("--index", required=True)
    parser.add_argument("--seeds", default="1", help="of the mistakes, e.g. 1,2,3")
    parser.add_argument("--most", type=int, default=10_000, help="queries of the file that are mistyped")
    parser.add_argument("--shortest", type=int, default=4, help="letters of the shortest word that is mistyped")
    options = parser.parse_args()
    judged = read_judgments(options.judgments)
    queries = list(judged.relevant)
    services = build_services()
    searcher = services.searcher

    def scores(texts: Sequence[str], correct: bool) -> np.ndarray:
        return np.array([
            ndcg(_found(searcher, options.index, text, correct), judged.ratings[query])
            for query, text in zip(queries, texts, strict=True)
        ])  # fmt: skip

    clean = scores(queries, False)
    started = time.perf_counter()
    corrected = scores(queries, True)
    changed = corrected - clean
    result: dict[str, object] = {
        "queries": len(queries),
        "as they are": {
            "uncorrected": round(float(clean.mean()), 4), "corrected": round(float(corrected.mean()), 4),
            "better": int((changed > 1e-9).sum()), "worse": int((changed < -1e-9).sum()),
            "ms a search": round(1000 * (time.perf_counter() - started) / len(queries), 2),
        },
    }  # fmt: skip
    result["microseconds a correction"] = _times(services, options.index, queries)
    shares = []
    clean, queries = clean[: options.most], queries[: options.most]
    for kind in (*KINDS, "joined"):
        rows = []
        for seed in map(int, options.seeds.split(",")):
            rng = random.Random(f"{seed} {kind}")
            texts = [mistyped(query, kind, rng, options.shortest) for query in queries]
            rows.append((scores(texts, False).mean(), scores(texts, True).mean()))
        without, with_correction = np.mean(rows, axis=0)
        share = float(with_correction / clean.mean())
        result[kind] = {
            "uncorrected": round(float(without), 4), "corrected": round(float(with_correction), 4),
            "share": round(share, 4), "shares": [round(float(row[1] / clean.mean()), 4) for row in rows],
        }  # fmt: skip
        shares.append(share)
    result["mean share of the four kinds in a word"] = round(float(np.mean(shares[:4])), 4)
    print(json.dumps(result, indent=2))


def _times(services: Services, index: str, queries: Sequence[str]) -> dict[str, list[int]]:
    """[median, p95] of the processor's time that correcting takes, for queries as they are and with a mistake."""
    profile = services.searcher.profile(index)
    words = services.retrieval.vocabulary(profile)
    assert words is not None, f"the words of {index} were never counted: hybrid sync {index}"
    rng = random.Random(0)
    times = {}
    for name, texts in (
        ("as they are", queries),
        ("mistyped", [mistyped(query, "substitution", rng) for query in queries]),
    ):
        taken = []
        for text in texts:
            correct(text, words, profile.languages)  # its terms are cached, as a search needs them anyway
            started = time.thread_time()
            correct(text, words, profile.languages)
            taken.append(1e6 * (time.thread_time() - started))
        times[name] = [round(float(value)) for value in np.percentile(taken, [50, 95])]
    return times


def _found(searcher: Searcher, index: str, query: str, correct: bool) -> list[str]:
    request = SearchRequest(index, query, system="bm25", bare=True, correct=correct, facets=())
    return [hit.id for hit in searcher.search(request).hits]


if __name__ == "__main__":
    main()
