"""Pure builders: what is sent to Elasticsearch. No client, no I/O; compared whole in tests."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import es_mappings
from hybrid.completions import FIRST, Typed
from hybrid.contracts import TAGS, FieldMap, IndexProfile
from hybrid.errors import UsageError
from hybrid.template import Template

#: A word counts where it is rarest over all fields together (`cross_fields`), so that the brand in one field and
#: the type in another make one match; a trace of the other fields (the tie breaker) orders what matches alike.
#: Boosts, tie breaker, k1 and b (es_mappings/product.json) lie in the middle of a plateau on chorus (benchmarks.md).
LEXICAL_FIELDS = ("title^2", "code", "brand^1.5", "category", "description^2", "attributes")
TIE_BREAKER = 0.02

#: More values than a page shows, so that counts merged with those of vector-only candidates stay right.
FACET_VALUES = 100

#: Vectors of a shard that a search scans, at a byte for each dimension; of more, a graph finds the nearest sooner.
SCANNED_BYTES = 16_000_000

#: `_id` is a stored field, read from compressed blocks beside `_source`: for 200 candidates that takes longer
#: than finding them. The id is a doc value as well, so a search of candidates needs no stored field.
_NO_STORED_FIELDS = {"stored_fields": "_none_"}

_DATE = re.compile(r"^(\d{4}(-\d\d(-\d\d(T[\d:.,]+(Z|[+-]\d\d:?\d\d)?)?)?)?(\|\|.*)?|\d+|now.*)$")
_RANGE_KEYS = frozenset({"gte", "gt", "lte", "lt"})


def index_body(
    profile: IndexProfile,
    template: Template | None = None,
    documents: int = 0,
    present: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Settings and mappings of a product index; what the shop's own template says of its fields comes first.

    documents, present: see `vector_properties`.
    """
    body = es_mappings.load("product")
    body["settings"]["number_of_shards"] = profile.shards
    properties = body["mappings"]["properties"]
    if template:
        for key, value in template.settings.items():
            ours = body["settings"].get(key)
            body["settings"][key] = {**ours, **value} if isinstance(ours, dict) else value
        body["mappings"] |= template.mappings
        properties |= template.properties
    own = set(template.kinds()) if template else set()
    for path, kind in profile.fields.types.items():
        if path not in own:
            _put(properties, path, _typed(kind))
    layer = properties["hybrid"]["properties"]
    layer.update(vector_properties(profile, layer, documents, present))
    body["mappings"]["_meta"] = {"hybrid": profile.to_json()}
    return body


def shop_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """What a mapping says of the shop's fields by the shop's own word: not the layer's field, nor its guesses."""
    guesses = [_typed(kind) for kind in ("keyword", "long", "double", "date", "boolean")]
    found: dict[str, Any] = {}
    for name, definition in properties.items():
        if name == "hybrid" or definition in guesses:
            continue
        if set(definition) == {"properties"}:
            inner = shop_properties(definition["properties"])
            if inner:
                found[name] = {"properties": inner}
        else:
            found[name] = definition
    return found


def layer_property(
    profile: IndexProfile, own_similarity: bool, documents: int, present: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The field `hybrid` for the mapping of an index that the layer did not make.

    documents, present: see `vector_properties`.
    own_similarity: whether the index has the layer's BM25 parameters. They are a static setting, which an open
    index cannot take, so elsewhere the words are scored with Elasticsearch's own.
    """
    layer: dict[str, Any] = es_mappings.load("product")["mappings"]["properties"]["hybrid"]
    layer["properties"].update(vector_properties(profile, layer["properties"], documents, present))
    if not own_similarity:
        for definition in layer["properties"]["terms"]["properties"].values():
            del definition["similarity"]
    return layer


def vector_properties(
    profile: IndexProfile,
    into: Mapping[str, Any] | None = None,
    documents: int = 0,
    present: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Properties under `hybrid` for the vectors, their codes and their meta, and for the tags.

    documents: how many the index holds, or is to hold. present: the properties under `hybrid` that it has already.
    """
    template = es_mappings.load("vector")
    into = into or {}
    codes = dict(into.get("codes", {"dynamic": False, "properties": {}}))
    meta = dict(into.get("meta", {"dynamic": False, "properties": {}}))
    codes["properties"], meta["properties"] = dict(codes["properties"]), dict(meta["properties"])
    properties: dict[str, Any] = {"codes": codes, "meta": meta}
    for name, signal in profile.signals.items():
        options = index_options(signal.dims, documents / profile.shards, (present or {}).get(name, {}))
        properties[name] = {**template["vector"], "dims": signal.dims, "index_options": options}
        codes["properties"][name] = template["code"]
        meta["properties"][name] = template["meta"]
    if profile.tags is not None:
        properties[TAGS] = template["tags"]
        meta["properties"][TAGS] = template["meta"]
    return properties


def index_options(dims: int, vectors: float, present: Mapping[str, Any]) -> dict[str, Any]:
    """How vectors are indexed: scanned while a shard has few, by a graph from then on.

    A scan misses none and costs nothing to build, where a graph is most of what refreshes and merges cost.
    Elasticsearch changes from the one to the other in place, segment by segment as it merges them, and never back.
    present: the field as it is mapped already.
    """
    template = es_mappings.load("vector")
    if present and present.get("index_options", {}).get("type") != template["scan"]["type"]:
        return dict(present["index_options"])
    found: dict[str, Any] = template["graph" if vectors * dims > SCANNED_BYTES else "scan"]
    return found


def filters_body(filters: Mapping[str, Any], fields: FieldMap) -> list[dict[str, Any]]:
    """Filter clauses. A value, a list (any of), or a range {"gte": x, "lte": y}.

    Raises:
        UsageError: a field that cannot be filtered on, or a malformed value.
    """
    clauses: list[dict[str, Any]] = []
    for field, wanted in filters.items():
        if field not in fields.types:
            raise UsageError(f"cannot filter on {field!r}; fields: {', '.join(sorted(fields.types)) or 'none'}")
        kind = fields.types[field]
        if isinstance(wanted, Mapping):
            if not wanted or not set(wanted) <= _RANGE_KEYS:
                raise UsageError(f"filter {field}: a range takes gte, gt, lte, lt")
            if kind in ("keyword", "boolean"):
                raise UsageError(f"filter {field}: not a number or a date, so no range")
            clauses.append({"range": {field: {key: _valid(field, kind, bound) for key, bound in wanted.items()}}})
        elif isinstance(wanted, list | tuple):
            clauses.append({"terms": {field: [_valid(field, kind, value) for value in wanted]}})
        else:
            clauses.append({"term": {field: _valid(field, kind, wanted)}})
    return clauses


def _valid(field: str, kind: str, value: Any) -> Any:
    """The value, if a field of that kind can have it: Elasticsearch would fail the whole search."""
    if not isinstance(value, str | int | float | bool):
        raise UsageError(f"filter {field}: a plain value, a list of plain values or a range is wanted")
    fits: dict[str, Callable[[], bool]] = {
        "keyword": lambda: True,
        "boolean": lambda: str(value).lower() in ("true", "false"),
        "long": lambda: math.isfinite(float(value)),
        "double": lambda: math.isfinite(float(value)),
        "date": lambda: bool(_DATE.match(str(value))),
    }
    try:
        if fits[kind]():
            return str(value).lower() if kind == "boolean" else value
    except ValueError:
        pass
    raise UsageError(f"filter {field}: {value!r} is no {'number' if kind in ('long', 'double') else kind}")


def lexical_query(words: str, own_fields: Sequence[str] = ()) -> dict[str, Any]:
    """BM25 over the layer's terms, or over the shop's own analysed fields; everything where there are no words.

    words: as made by hybrid.analysis.query_terms; for own fields as typed, the cluster analyses them.
    """
    if not words:
        return {"match_all": {}}
    fields = list(own_fields) or [f"hybrid.terms.{field}" for field in LEXICAL_FIELDS]
    return {"multi_match": {"query": words, "type": "cross_fields", "fields": fields, "tie_breaker": TIE_BREAKER}}


def header(profile: IndexProfile, words: str) -> dict[str, Any]:
    """The line before each search of an `_msearch` for these words."""
    # The same copy of every shard for the same words, so that pages of one search agree.
    found = {"index": profile.index, "preference": hashlib.blake2b(words.encode(), digest_size=6).hexdigest()}
    if profile.shards > 1:  # as a section `knn` has it: a word weighs the same on every shard
        found["search_type"] = "dfs_query_then_fetch"
    return found


def lexical_search(
    lexical: Mapping[str, Any],
    filters: Sequence[dict[str, Any]],
    codes: Sequence[str],
    depth: int,
    aggs: Mapping[str, Any],
) -> dict[str, Any]:
    """The best `depth` products by a `lexical_query`, with the vector codes of the signals in play."""
    query = dict(lexical)
    if filters:
        query = {"bool": {"must": [query], "filter": list(filters)}}
    return {
        "query": query,
        "size": depth,
        "track_total_hits": True,
        "docvalue_fields": _doc_values(codes),
        **_NO_STORED_FIELDS,
        **({"aggs": dict(aggs)} if aggs else {}),
    }


def vector_search(
    signal: str,
    vector: Sequence[float],
    lexical: Mapping[str, Any] | None,
    filters: Sequence[dict[str, Any]],
    codes: Sequence[str],
    depth: int,
    shards: int,
    facets: Sequence[str],
) -> dict[str, Any]:
    """The nearest products by one vector signal, each with its BM25 score as `_score` and its codes.

    The shop's filters are in the kNN clause, for a filter beside it would come after the cut. One search tells both
    scores, with no second round trip.
    """
    return {
        **nearest(_knn(signal, vector, filters, depth), shards, lexical),
        "docvalue_fields": [*_doc_values(codes), *facets],
        **_NO_STORED_FIELDS,
    }


def nearest_search(
    signal: str,
    vector: Sequence[float],
    filters: Sequence[dict[str, Any]],
    depth: int,
    shards: int,
    facets: Sequence[str],
) -> dict[str, Any]:
    """The nearest products by one vector signal that is searched alone, each with its true cosine in `_score`.

    No codes are read: for 200 products that takes longer than finding them. Rescoring by the vectors themselves, in
    place of the int8 ones that they are found by, makes the cosine as exact as a code's.
    """
    knn = {**_knn(signal, vector, filters, depth), "rescore_vector": {"oversample": 1.0}}
    return {
        **nearest(knn, shards),
        "docvalue_fields": [*_doc_values(()), *facets],
        **_NO_STORED_FIELDS,
    }


def nearest(knn: Mapping[str, Any], shards: int, words: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A search of the `k` nearest, with their own scores, or with those of `words` (0 where they do not match).

    As a filter the clause would not do: on a field without a graph it matches all that have a vector, and the `k`
    nearest are then those of highest score. As the query it cuts within each shard; where there are several, the
    section `knn` cuts over all of them, for one more round between the nodes (1 ms); see also `header`.
    """
    found: dict[str, Any] = {"query": {"knn": knn}} if shards == 1 else {"knn": knn}
    if words:
        # After the cut, of the same products: what words score does not decide which are near.
        swap = {"rescore_query": dict(words), "query_weight": 0.0, "rescore_query_weight": 1.0}
        found["rescore"] = {"window_size": knn["k"], "query": swap}
    return {**found, "size": knn["k"], "track_total_hits": False}


def cosine(score: float) -> float:
    """The cosine behind the `_score` of a knn query on a field of cosine similarity."""
    return 2 * score - 1


def words_search(ids: Sequence[str]) -> dict[str, Any]:
    """The analysed words of these products."""
    return {"query": {"ids": {"values": list(ids)}}, "size": len(ids), "_source": ["hybrid.terms"]}


def lookalike_search(
    signal: str,
    ids: Sequence[str],
    words: Sequence[str],
    lexical: Mapping[str, Any] | None,
    filters: Sequence[dict[str, Any]],
    codes: Sequence[str],
    depth: int,
    facets: Sequence[str],
) -> dict[str, Any]:
    """Products without a vector of this signal: those of `ids`, and others by these words; with their own words.

    The score of the shopper's words is told by the named query "lexical" (`include_named_queries_score`).
    """
    likeness = {
        "multi_match": {
            "query": " ".join(words),
            "type": "most_fields",
            "fields": [f"hybrid.terms.{field}" for field in LEXICAL_FIELDS],
        }
    }
    should: list[dict[str, Any]] = [
        likeness,
        {"constant_score": {"filter": {"ids": {"values": list(ids)}}, "boost": 1e6}},
    ]
    if lexical:
        ((kind, clause),) = lexical.items()
        should.append({kind: {**clause, "_name": "lexical"}})
    return {
        "query": {
            "bool": {
                "should": should,
                "minimum_should_match": 1,
                "filter": list(filters),
                "must_not": [{"exists": {"field": f"hybrid.{signal}"}}],
            }
        },
        "size": len(ids) + depth,
        "track_total_hits": False,
        "docvalue_fields": [*_doc_values(codes), *facets],
        "_source": ["hybrid.terms"],
    }


def lacking_search(signal: str) -> dict[str, Any]:
    """How many products have no vector of this signal."""
    query = {"bool": {"must_not": [{"exists": {"field": f"hybrid.{signal}"}}]}}
    return {"query": query, "size": 0, "track_total_hits": True}


def with_ids(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same search, reading `_id` as well: for products that the layer has not written yet."""
    return {**{key: value for key, value in body.items() if key not in _NO_STORED_FIELDS}, "_source": False}


def tail_search(
    lexical: Mapping[str, Any], filters: Sequence[dict[str, Any]], exclude: Sequence[str], start: int, size: int
) -> dict[str, Any]:
    """Products behind the fused list: the rest of the lexical matches in their own order."""
    return {
        "query": {
            "bool": {
                "must": [dict(lexical)],
                "filter": list(filters),
                "must_not": [{"ids": {"values": list(exclude)}}],
            }
        },
        "from": start,
        "size": size,
        "_source": False,
        "track_total_hits": False,
    }


def facet_aggs(facets: Sequence[str], fields: FieldMap) -> dict[str, Any]:
    """Counts by value for keywords and flags, the span for numbers and dates.

    Raises:
        UsageError: a field that cannot be a facet.
    """
    aggs: dict[str, Any] = {}
    for field in facets:
        kind = fields.types.get(field)
        if kind is None:
            raise UsageError(f"no facet {field!r}; facets: {', '.join(sorted(fields.types)) or 'none'}")
        if kind in ("long", "double", "date"):
            aggs[field] = {"stats": {"field": field}}
        else:
            aggs[field] = {"terms": {"field": field, "size": FACET_VALUES}}
    return aggs


def completion_search(typed: Typed, fields: FieldMap, size: int) -> dict[str, Any]:
    """Products whose titles have the typed words; those whose titles begin with them first."""
    every: list[dict[str, Any]] = []
    for place, word in enumerate(typed.words):
        if pattern := typed.pattern(place):
            every.append({"regexp": {"hybrid.typed": {"value": pattern, "flags": "NONE"}}})
        else:
            every.append({"prefix" if typed.goes_on(place) else "term": {"hybrid.typed": word}})
    first = {"prefix" if typed.goes_on(0) else "term": {"hybrid.typed": f"{FIRST}{typed.words[0]}"}}
    return {
        "query": {"bool": {"filter": every, "should": [{"constant_score": {"filter": first}}]}},
        "_source": list(fields.roles["title"]),
        "size": size,
        "track_total_hits": False,
    }


def state_search(ids: Sequence[str], signals: Sequence[str], carry: bool = False) -> dict[str, Any]:
    """What the index holds for these products: their meta and which vectors are really there.

    Presence is asked of the index, never of `_source`, which hides vectors from 9.2 on.
    """
    body: dict[str, Any] = {
        "query": {
            "bool": {
                "filter": [{"ids": {"values": list(ids)}}],
                "should": presence(signals),
            }
        },
        "size": len(ids),
        "_source": ["hybrid.meta"],
        "track_total_hits": False,
    }
    if carry:
        body["fields"] = [f"hybrid.{name}" for name in signals]
        body["_source"] = ["hybrid.meta", "hybrid.codes"]
    return body


def presence(signals: Sequence[str]) -> list[dict[str, Any]]:
    """Clauses that name, for each hit, the signals whose vector is there."""
    return [{"exists": {"field": f"hybrid.{name}", "_name": name}} for name in signals]


def _knn(signal: str, vector: Sequence[float], filters: Sequence[dict[str, Any]], depth: int) -> dict[str, Any]:
    return {
        "field": f"hybrid.{signal}",
        "query_vector": vector,
        "k": depth,
        "num_candidates": max(depth, 100),
        **({"filter": list(filters)} if filters else {}),
    }


def _doc_values(signals: Sequence[str]) -> list[str]:
    return ["hybrid.id", *(f"hybrid.codes.{name}" for name in signals)]


def _typed(kind: str) -> dict[str, Any]:
    if kind == "keyword":
        return {"type": "keyword", "ignore_above": 256}
    # A price of "call us" must not cost the shop the product: it is kept, and not found by price.
    return {"type": kind, "ignore_malformed": True}


def _put(properties: dict[str, Any], path: str, definition: dict[str, Any]) -> None:
    head, _, rest = path.partition(".")
    if rest:
        inner = properties.setdefault(head, {"properties": {}})
        _put(inner.setdefault("properties", {}), rest, definition)
    else:
        properties[head] = definition


def own_settings() -> dict[str, Any]:
    """The settings that the layer's words are best scored with, of an index that is made anew."""
    return {"similarity": es_mappings.load("product")["settings"]["similarity"]}
