"""What the drop-in costs and is worth: the official Python client against Elasticsearch itself and against /es.

python -m tests.measure.dropin --index chorus --judgments judgments.csv --fields title^3,name,short_description^2

Both sides are asked in turn, query by query, so that they share the machine's moods. Prints JSON: for each kind of
body the p50 of both and their ratio, the same of each query's fastest round (`quiet`, what other work on the machine
disturbs least), and nDCG@10 of both. Query vectors are cached, as for every repeated query; `first_p50_ms` is with
queries that the layer never saw.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

from elasticsearch import Elasticsearch
from elasticsearch.serializer import OrjsonSerializer

from hybrid.evaluation.formats import read_judgments
from hybrid.evaluation.measures import measures
from hybrid.services import build_services
from tests.measure.serving import serving

ROUNDS = 9


def bodies(words: str, fields: list[str], facet: str) -> dict[str, dict[str, Any]]:
    """The searches that shops send: words alone; with filters, facets and highlights; with the shop's boosts."""
    text = {"multi_match": {"query": words, "type": "cross_fields", "fields": fields}}
    filtered = {"bool": {"must": [text], "filter": [{"exists": {"field": facet}}]}}
    plain_field = fields[0].partition("^")[0]
    return {
        "words": {"query": text},
        "page": {
            "query": filtered,
            "aggs": {"facet": {"terms": {"field": facet, "size": 20}}},
            "highlight": {"fields": {plain_field: {}}},
            "size": 24,
        },
        "boosted": {
            "query": {
                "function_score": {
                    "query": text,
                    "functions": [{"filter": {"exists": {"field": facet}}, "weight": 1.2}],
                }
            }
        },
    }


def client(url: str) -> Elasticsearch:
    return Elasticsearch(url, request_timeout=60, serializers={"application/json": OrjsonSerializer()})


def measure(direct: Elasticsearch, dropin: Elasticsearch, options: argparse.Namespace) -> dict[str, Any]:
    judged = read_judgments(Path(options.judgments))
    queries = list(judged.ratings)
    relevant = {query: rel for query, rel in judged.ratings.items() if any(value >= 1 for value in rel.values())}
    fields = options.fields.split(",")
    if not any(
        direct.search(index=options.index, body=bodies(query, fields, options.facet)["words"])["hits"]["hits"]
        for query in queries
    ):
        raise SystemExit(f"Elasticsearch itself finds nothing in {options.fields}: attach the shop's own index")
    result: dict[str, Any] = {"queries": len(queries)}
    for kind in bodies("", fields, options.facet):
        times: dict[str, dict[str, list[float]]] = {"direct": {}, "dropin": {}}
        runs: dict[str, dict[str, list[str]]] = {"direct": {}, "dropin": {}}
        ranked = 0
        for turn, query in itertools.product(range(ROUNDS), queries):
            body = bodies(query, fields, options.facet)[kind]
            for side, asked in (("direct", direct), ("dropin", dropin)):
                started = time.perf_counter()
                answer = asked.search(index=options.index, body=body)
                taken = (time.perf_counter() - started) * 1000
                if turn:  # the first round warms the caches
                    times[side].setdefault(query, []).append(taken)
                runs[side][query] = [hit["_id"] for hit in answer["hits"]["hits"]][:10]
                if side == "dropin" and not turn:
                    ranked += answer.meta.headers["x-hybrid"] == "ranked"
        p50 = {side: median(median(taken) for taken in byquery.values()) for side, byquery in times.items()}
        quiet = {side: median(min(taken) for taken in byquery.values()) for side, byquery in times.items()}
        result[kind] = {
            **{f"{side}_p50_ms": round(value, 2) for side, value in p50.items()},
            "ratio": round(p50["dropin"] / p50["direct"], 2),
            **{f"{side}_quiet_ms": round(value, 2) for side, value in quiet.items()},
            "quiet_ratio": round(quiet["dropin"] / quiet["direct"], 2),
            "ranked": ranked,
            **{f"{side}_ndcg@10": round(measures(run, relevant)["ndcg@10"], 4) for side, run in runs.items()},
        }
    first = []
    for number, query in enumerate(queries):
        started = time.perf_counter()
        dropin.search(index=options.index, body=bodies(f"{query} {number}", fields, options.facet)["words"])
        first.append((time.perf_counter() - started) * 1000)
    return {**result, "first_p50_ms": round(median(first), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", required=True)
    parser.add_argument("--judgments", required=True)
    parser.add_argument("--fields", default="title^3,name,short_description^2,supplier^2")
    parser.add_argument("--facet", default="supplier.keyword")
    options = parser.parse_args()
    with serving(build_services()) as port:
        dropin = client(f"http://127.0.0.1:{port}/es")
        print(json.dumps(measure(client(build_services().es_url), dropin, options), indent=2))


if __name__ == "__main__":
    main()
