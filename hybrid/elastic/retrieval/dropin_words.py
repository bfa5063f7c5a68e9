"""Pure builders of the drop-in's questions about words: which the index has, and which are like a mistyped one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hybrid.dropin.spelling import Met, Mistyped
from hybrid.elastic.retrieval import bodies
from hybrid.elastic.retrieval.dropin_bodies import matching
from hybrid.elastic.retrieval.lexical import begun

_TITLES = ("hybrid.terms.title", "hybrid.terms.category", "hybrid.terms.brand", "hybrid.terms.description")


def met(body: Mapping[str, Any], words: Sequence[str], fields: Sequence[str]) -> dict[str, Any]:
    """How many of what the shop's search matches have each word, and the beginning of the last one."""
    asked = {str(at): bodies.lexical_query(word, fields) for at, word in enumerate(words) if word}
    last = words[-1].split()[-1:] if words else []
    if last:
        asked["begun"] = begun(last[0], fields)
    return {
        "query": {"bool": {"filter": [matching(body)]}},
        "size": 0,
        "track_total_hits": 1,
        "timeout": body["timeout"],
        "aggs": {"met": {"filters": {"filters": asked}}},
    }


def read_met(answer: Mapping[str, Any], words: Sequence[str]) -> Met:
    """The answer to `met`."""
    buckets = answer["aggregations"]["met"]["buckets"]
    counts = {name: bucket["doc_count"] for name, bucket in buckets.items()}
    total = answer["hits"]["total"]["value"]
    return Met(total, [counts.get(str(at), 0) > 0 for at in range(len(words))], counts.get("begun", 0) > 0)


def similar(words: Sequence[Mistyped], fields: Sequence[str]) -> list[dict[str, Any]]:
    """Two searches for words like these: in the shop's fields, which may not exist, and in those of the layer."""
    searches = []
    for names, of_layer in ((fields, False), (_TITLES, True)):
        suggesters = {
            f"{at}:{name}": {
                "text": word.terms if of_layer else word.word.lower(),
                "term": {
                    "field": name, "size": 1, "suggest_mode": "missing", "max_edits": word.edits,
                    "prefix_length": word.prefix, "min_word_length": 3,
                },
            }
            for at, word in enumerate(words)
            for name in names
            if len((word.terms if of_layer else word.word).split()) == 1
        }  # fmt: skip
        searches.append({"size": 0, "track_total_hits": False, **({"suggest": suggesters} if suggesters else {})})
    return searches


def read_similar(answers: Sequence[Mapping[str, Any]], words: Sequence[Mistyped]) -> dict[str, str]:
    """Mistyped word -> the word that is most like it; of the shop's fields before the layer's, where words are cut."""
    best: dict[str, str] = {}
    for answer in answers:
        options: dict[str, list[tuple[float, int, str]]] = {}
        for name, entries in answer.get("suggest", {}).items():
            word = words[int(name.partition(":")[0])].word
            for entry in entries:
                options.setdefault(word, []).extend(
                    (one["score"], one["freq"], one["text"]) for one in entry["options"]
                )
        for word, found in options.items():
            if found and word not in best:
                best[word] = max(found)[2]
    return best
