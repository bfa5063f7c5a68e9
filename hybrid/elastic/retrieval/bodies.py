"""Pure builders of the bodies that are sent to Elasticsearch. No client, no I/O. Tests compare the bodies whole."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hybrid.contracts import LEVEL, FieldMap, IndexProfile
from hybrid.errors import UsageError
from hybrid.search.floor import is_long
from hybrid.text.completions import FIRST, Typed

#: `cross_fields` weighs a word by its rarity over all fields together, so that the brand in one field and the type in
#: another make one match. The tie breaker adds a trace of the other fields, which orders equal matches.
#: Boosts, tie breaker, k1 and b (es_mappings/product.json) lie in the middle of a plateau on chorus (benchmarks.md).
LEXICAL_FIELDS = ("title^2", "code", "brand^1.5", "category", "description^2", "attributes")
TIE_BREAKER = 0.02

#: Of a long query, a product that has one common word is no match: of more than 6 terms it must have a quarter, of more
#: than 10 a third. On esci that takes nothing from judged queries, and three quarters from what full titles match.
_ENOUGH = "0<1 6<25% 10<35%"

#: Values of a facet that are counted. A page lists fewer, so that counts stay right when those of candidates that only
#: vectors found are added.
FACET_VALUES = 100
#: `_id` is a stored field in compressed blocks beside `_source`: reading it of 200 candidates takes longer than finding
#: them. The id is a doc value as well, so a search of candidates needs no stored field.
NO_STORED_FIELDS = {"stored_fields": "_none_"}

#: Dates as Elasticsearch takes them: a day or a moment, milliseconds since 1970, and sums with one of these or `now`.
_SUM = r"(?:[+-]\d{1,6}[yMwdhHms]|/[yMwdhHms])*"
_NOW_DATE = re.compile(rf"now{_SUM}|\d{{1,14}}", re.ASCII)
_OFFSET = r"[+-](?:0\d|1[0-7]):?[0-5]\d|[+-]18:?00"
_DATE = re.compile(
    rf"(\d{{4}})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,]\d{{1,9}})?)?)?(?:Z|{_OFFSET})?)?)?)?"
    rf"(?:\|\|{_SUM})?",
    re.ASCII,
)
#: Numbers as Java reads them: Python reads 1_000 as well, and the digits of every script.
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_LONGS = range(-(2**63), 2**63)
_RANGE_KEYS = frozenset({"gte", "gt", "lte", "lt"})


def filters_body(filters: Mapping[str, Any], fields: FieldMap) -> list[dict[str, Any]]:
    """Filter clauses. filters: field -> a value, a list (any of), or a range {"gte": x, "lte": y}.

    Raises:
        UsageError: a field that cannot be filtered on, or a malformed value.
    """
    clauses: list[dict[str, Any]] = []
    for field, condition in filters.items():
        if field not in fields.types:
            raise UsageError(f"cannot filter on {field!r}; fields: {', '.join(sorted(fields.types)) or 'none'}")
        kind = fields.types[field]
        if isinstance(condition, Mapping):
            if not condition or not set(condition) <= _RANGE_KEYS:
                raise UsageError(f"filter {field}: a range takes gte, gt, lte, lt")
            if kind in ("keyword", "boolean"):
                raise UsageError(f"filter {field}: not a number or a date, so no range")
            clauses.append({"range": {field: {key: _valid(field, kind, bound) for key, bound in condition.items()}}})
        elif field in fields.paths:
            values = condition if isinstance(condition, list | tuple) else [condition]
            clauses.append(_at_or_below(field, [_valid(field, kind, value) for value in values], fields.paths[field]))
        elif isinstance(condition, list | tuple):
            clauses.append({"terms": {field: [_valid(field, kind, value) for value in condition]}})
        else:
            clauses.append({"term": {field: _valid(field, kind, condition)}})
    return clauses


def _at_or_below(field: str, values: Sequence[str], mark: str) -> dict[str, Any]:
    """Categories that are one of these, or below one of them. mark: between the levels of a path."""
    spaced = (f" {mark} ", mark)
    below = [{"prefix": {field: f"{value.replace(LEVEL, between)}{between}"}} for value in values for between in spaced]
    same = [value.replace(LEVEL, between) for value in values for between in spaced]
    return {"bool": {"should": [{"terms": {field: list(dict.fromkeys([*values, *same]))}}, *below]}}


def _valid(field: str, kind: str, value: Any) -> Any:
    """Check that a field of that kind can have the value, for Elasticsearch would fail the whole search."""
    if not isinstance(value, str | int | float | bool):
        raise UsageError(f"filter {field}: a plain value, a list of plain values or a range is wanted")
    if kind == "date" and isinstance(value, float) and value.is_integer():
        value = int(value)  # a year, or milliseconds, that a form has sent
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if kind == "keyword":
        return text
    if kind == "boolean" and text.lower() in ("true", "false"):
        return text.lower()
    if kind == "date" and not isinstance(value, bool) and _is_date(text):
        return value
    if kind in ("long", "double") and not isinstance(value, bool) and _is_number(kind, value):
        # Elasticsearch's numbers have 64 bits, and JSON for it is written so.
        return float(value) if isinstance(value, int) and value not in _LONGS else value
    wanted = "number" if kind in ("long", "double") else kind
    raise UsageError(f"filter {field}: {text[:80]!r} is no {wanted}")


def _is_number(kind: str, value: str | int | float) -> bool:
    """Whether a value is a number that a field of the kind can have."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return False
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return False
    return math.isfinite(number) and (isinstance(value, float) or int(number) in _LONGS or kind == "double")


def _is_date(text: str) -> bool:
    if _NOW_DATE.fullmatch(text):
        return True
    parts = _DATE.fullmatch(text)
    if not parts:
        return False
    year, month, day, hour, minute, second = parts.groups()
    try:
        datetime(
            int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC
        )
    except ValueError:
        return False
    return True


def lexical_query(words: str, own_fields: Sequence[str] = ()) -> dict[str, Any]:
    """BM25 over the layer's terms, or over the shop's own analysed fields; all products where there are no words.

    words: the words that hybrid.text.analysis.query_terms gives. For `own_fields`, the words as the shopper typed them:
        the cluster analyses these.
    """
    if not words:
        return {"match_all": {}}
    fields = list(own_fields) or [f"hybrid.terms.{field}" for field in LEXICAL_FIELDS]
    clause = {"query": words, "type": "cross_fields", "fields": fields, "tie_breaker": TIE_BREAKER}
    if is_long(words):
        clause["minimum_should_match"] = _ENOUGH
    return {"multi_match": clause}


def header(profile: IndexProfile, words: str) -> dict[str, Any]:
    """The header line of each search of an `_msearch` for these words."""
    # The same copy of every shard for the same words, so that pages of one search agree.
    line = {"index": profile.index, "preference": hashlib.blake2b(words.encode(), digest_size=6).hexdigest()}
    if profile.shards > 1:  # a word weighs the same on every shard, as with a section `knn`
        line["search_type"] = "dfs_query_then_fetch"
    return line


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
        "docvalue_fields": doc_values(codes),
        **NO_STORED_FIELDS,
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

    The filters are in the kNN clause, for a filter beside it would apply after the cut. One search gives both scores,
    without a second round trip.
    """
    return {
        **nearest(_knn(signal, vector, filters, depth), shards, lexical),
        "docvalue_fields": [*doc_values(codes), *facets],
        **NO_STORED_FIELDS,
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

    No codes are read: reading those of 200 products takes longer than finding the products. The search finds products
    by int8 vectors, and rescores them by the vectors themselves, so the cosine is as exact as that of a code.
    """
    knn = {**_knn(signal, vector, filters, depth), "rescore_vector": {"oversample": 1.0}}
    return {
        **nearest(knn, shards),
        "docvalue_fields": [*doc_values(()), *facets],
        **NO_STORED_FIELDS,
    }


def nearest(knn: Mapping[str, Any], shards: int, words: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A search of the `k` nearest, with their own scores, or with those of `words` (0 where `words` do not match).

    The clause cannot be a filter: on a field without a graph, a filter matches all products that have a vector, and the
    search would give those of the highest score. As the query, the clause cuts within each shard. Where there are
    several shards, the section `knn` cuts over all of them, at the cost of one more round between the nodes (1 ms); see
    also `header`.
    """
    body: dict[str, Any] = {"query": {"knn": knn}} if shards == 1 else {"knn": knn}
    if words:
        # The words rescore the products after the cut, so they do not decide which products are near.
        body["rescore"] = _by_words(words, knn["k"])
    return {**body, "size": knn["k"], "track_total_hits": False}


def rescored(query: Mapping[str, Any], words: Mapping[str, Any], size: int) -> dict[str, Any]:
    """The best `size` by a query, with the scores of `words` in place of its own."""
    return {"query": dict(query), "rescore": _by_words(words, size), "size": size, "track_total_hits": False}


def _by_words(words: Mapping[str, Any], size: int) -> dict[str, Any]:
    swap = {"rescore_query": dict(words), "query_weight": 0.0, "rescore_query_weight": 1.0}
    return {"window_size": size, "query": swap}


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
    """Products without a vector of this signal: those of `ids`, and `depth` others that have `words`.

    Each hit has the product's own words. The named query "lexical" gives the score of the shopper's words
    (`include_named_queries_score`).
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
        "docvalue_fields": [*doc_values(codes), *facets],
        "_source": ["hybrid.terms"],
    }


def lacking_search(signal: str) -> dict[str, Any]:
    """How many products have no vector of this signal."""
    query = {"bool": {"must_not": [{"exists": {"field": f"hybrid.{signal}"}}]}}
    return {"query": query, "size": 0, "track_total_hits": True}


def with_ids(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same search that reads `_id` as well, for products that the layer has not written yet."""
    return {**{key: value for key, value in body.items() if key not in NO_STORED_FIELDS}, "_source": False}


def tail_search(
    lexical: Mapping[str, Any], filters: Sequence[dict[str, Any]], exclude: Sequence[str], start: int, size: int
) -> dict[str, Any]:
    """The lexical matches that come after the fused list, in the order of their scores."""
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
    """Counts by value for keywords and booleans, the range for numbers and dates.

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
    """Products whose titles have the typed words. Those whose titles begin with the words come first."""
    clauses: list[dict[str, Any]] = []
    for place, word in enumerate(typed.words):
        if pattern := typed.pattern(place):
            clauses.append({"regexp": {"hybrid.typed": {"value": pattern, "flags": "NONE"}}})
        else:
            clauses.append({"prefix" if typed.goes_on(place) else "term": {"hybrid.typed": word}})
    first = {"prefix" if typed.goes_on(0) else "term": {"hybrid.typed": f"{FIRST}{typed.words[0]}"}}
    return {
        "query": {"bool": {"filter": clauses, "should": [{"constant_score": {"filter": first}}]}},
        "_source": list(fields.roles["title"]),
        "size": size,
        "track_total_hits": False,
    }


def _knn(signal: str, vector: Sequence[float], filters: Sequence[dict[str, Any]], depth: int) -> dict[str, Any]:
    return {
        "field": f"hybrid.{signal}",
        "query_vector": vector,
        "k": depth,
        "num_candidates": max(depth, 100),
        **({"filter": list(filters)} if filters else {}),
    }


def doc_values(signals: Sequence[str]) -> list[str]:
    """What every hit is read with: its id, and its vectors' codes of these signals."""
    return ["hybrid.id", *(f"hybrid.codes.{name}" for name in signals)]
