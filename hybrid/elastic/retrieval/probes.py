"""Small searches that learn of an index what no single product says: which words it knows, how near others come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from elasticsearch import Elasticsearch

from hybrid.contracts import IndexProfile
from hybrid.elastic.client import error_reason, translated
from hybrid.elastic.retrieval import bodies
from hybrid.errors import ClusterError
from hybrid.text import analysis

_AT_ONCE = 50


class Probes:
    """Asks many small searches in few requests."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    def unknown(self, profile: IndexProfile, texts: Sequence[str]) -> list[str]:
        """Those of the texts of which no product has a word.

        Raises:
            IndexMissingError, ClusterError
        """
        words = [text if profile.lexical_fields else analysis.query_terms(text, *profile.languages) for text in texts]
        searches = [
            {
                "query": bodies.lexical_query(one, profile.lexical_fields) if one else {"match_none": {}},
                "size": 0,
                "track_total_hits": 1,
            }
            for one in words
        ]
        answers = self._ask(profile, searches)
        return [text for text, answer in zip(texts, answers, strict=True) if not answer["hits"]["total"]["value"]]

    def nearest(self, profile: IndexProfile, signal: str, vectors: np.ndarray) -> list[float]:
        """The cosine of each vector (rows, dims) with its nearest product, of those that have one.

        Raises:
            IndexMissingError, ClusterError
        """
        listed = vectors.astype(np.float32).tolist()
        searches = [bodies.nearest_search(signal, vector, [], 1, profile.shards, ()) for vector in listed]
        hits = [answer["hits"]["hits"] for answer in self._ask(profile, searches)]
        return [bodies.cosine(found[0]["_score"]) for found in hits if found]

    def _ask(self, profile: IndexProfile, searches: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        head = bodies.header(profile, "")
        for start in range(0, len(searches), _AT_ONCE):
            lines = [line for search in searches[start : start + _AT_ONCE] for line in (head, search)]
            with translated(profile.index):
                responses = self._client.msearch(searches=lines)["responses"]
            for answer in responses:
                if "error" in answer:
                    raise ClusterError(
                        f"Elasticsearch could not search {profile.index}: {': '.join(error_reason(answer))}"
                    )
                yield answer
