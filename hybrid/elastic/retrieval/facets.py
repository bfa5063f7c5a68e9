"""Facets: what is counted over matches by words and over the other candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hybrid.catalogue.values import is_blank, path_levels
from hybrid.contracts import IndexProfile


def facet_fields(facets: Sequence[str], profile: IndexProfile) -> list[Any]:
    """The doc values that a hit needs so that it can be counted; dates as numbers."""
    return [
        {"field": facet, "format": "epoch_millis"} if profile.fields.types.get(facet) == "date" else facet
        for facet in facets
    ]


def merged_facet(
    aggregation: dict[str, Any] | None, others: list[list[Any]], kind: str, levels: str = ""
) -> list[dict[str, Any]]:
    """The aggregation of the matches by words, and the values of the other candidates, counted together.

    kind: the type of the field; numbers and dates have {"min", "max", "count"}, others {"value", "count"}, most first.
    Texts that are empty are no values: a shop's own index may have them.
    levels: what is between the levels of a category, where documents name the deepest alone. A category then counts the
    products of all below it; one that is in two of these counts twice.
    """
    if kind in ("long", "double", "date"):
        numbers = [float(value) for values in others for value in values]
        if aggregation and aggregation["count"]:
            numbers += [aggregation["min"], aggregation["max"]]
        if not numbers:
            return []
        count = (aggregation["count"] if aggregation else 0) + sum(len(values) for values in others)
        return [{"min": min(numbers), "max": max(numbers), "count": count}]
    counts: dict[Any, int] = {}
    for bucket in (aggregation or {}).get("buckets", []):
        value = bool(bucket["key"]) if kind == "boolean" else bucket["key"]
        counts[value] = bucket["doc_count"]
    for values in others:
        for value in values:
            counts[value] = counts.get(value, 0) + 1
    if levels:
        flat, counts = counts, {}
        for value, count in flat.items():
            for level in path_levels(str(value), levels):
                counts[level] = counts.get(level, 0) + count
    named = ((value, count) for value, count in counts.items() if not is_blank(value))
    ordered = sorted(named, key=lambda item: (-item[1], str(item[0])))
    return [{"value": value, "count": count} for value, count in ordered]
