"""Scores and order of a ranked answer, and its shape. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from hybrid.search.fusion import RawScores


def boosted(
    fused: Mapping[str, float],
    text: Mapping[str, float | None],
    whole: Mapping[str, float],
    inner: Mapping[str, float] | None,
    shop: Mapping[str, float] | None,
) -> dict[str, float]:
    """Fused scores, with the scores that the shop adds to its words and the factors that it multiplies them by.

    text: the scores of the layer's words alone. inner: these with the added scores; None where the shop multiplies
    nothing. whole: the scores with additions and factors. shop: the scores of the shop's own words, where the shop adds
    to them. A boost then counts as much beside the best fused score as it did beside the best score of `shop`.
    """
    best_shop = max(shop.values(), default=0.0) if shop else 0.0
    best_fused = max(fused.values(), default=0.0)
    unit = best_fused / best_shop if best_shop > 0 and best_fused > 0 else 1.0
    scores = {}
    for id, score in fused.items():
        below = (inner or whole).get(id, 0.0)
        added = (below - (text.get(id) or 0.0)) * unit if shop is not None else 0.0
        factor = whole[id] / below if inner is not None and below > 0 else 1.0
        scores[id] = max(score + added, 0.0) * factor
    return scores


def order(scores: Mapping[str, float]) -> list[str]:
    """Best first, ties by id."""
    return sorted(scores, key=lambda id: (-scores[id], id))


def has_words(raw: RawScores, floor: float) -> bool:
    """Whether the layer's words match any product that the shop's search matches."""
    return any((value or 0.0) > floor for value in raw.get("lexical", {}).values())


def behind(scores: Sequence[float | None], last: float, lowest: float) -> list[float]:
    """Scores of the products behind the candidates: under the last candidate's, in proportion to their word scores."""
    return [last * min(1.0, max(score or 0.0, 0.0) / lowest) if lowest > 0 else 0.0 for score in scores]


def filtered(answer: Any, filter_path: str) -> Any:
    """The answer cut down to the paths of `filter_path`: dotted, with `*` and `**`. A path behind a `-` is removed."""
    paths = [path.strip() for path in filter_path.split(",") if path.strip()]
    included = [tuple(path.split(".")) for path in paths if not path.startswith("-")]
    excluded = [tuple(path[1:].split(".")) for path in paths if path.startswith("-")]
    if included:
        answer = _keep(answer, included)
    if excluded:
        answer = _drop(answer, excluded)
    return {} if answer is _NOTHING else answer


_NOTHING = object()
#: The rest of a dotted path.
Path = tuple[str, ...]


def _below(key: str, paths: Iterable[Path]) -> tuple[bool, list[Path]]:
    """(whether a path ends at this key, the rests of the paths that go on below it). Each path is followed once."""
    ends, deeper, seen, waiting = False, set(), set(), list(paths)
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        head, rest = path[0], path[1:]
        if head == "**":
            deeper.add(path)
            if rest:
                waiting.append(rest)
            ends = ends or not rest
        elif fnmatchcase(key, head):
            if rest:
                deeper.add(rest)
            ends = ends or not rest
    return ends, list(deeper)


def _keep(value: Any, paths: list[Path]) -> Any:
    if isinstance(value, list):
        items = [inner for item in value if (inner := _keep(item, paths)) is not _NOTHING]
        return items or _NOTHING
    if not isinstance(value, dict):
        return _NOTHING
    fields = {}
    for key, inner in value.items():
        ends, deeper = _below(key, paths)
        left = inner if ends else _keep(inner, deeper) if deeper else _NOTHING
        if left is not _NOTHING:
            fields[key] = left
    return fields or _NOTHING


def _drop(value: Any, paths: list[Path]) -> Any:
    if isinstance(value, list):
        return [left for item in value if (left := _drop(item, paths)) is not _NOTHING]
    if not isinstance(value, dict):
        return value
    fields = {}
    for key, inner in value.items():
        ends, deeper = _below(key, paths)
        left = _NOTHING if ends else _drop(inner, deeper) if deeper else inner
        if left is not _NOTHING:
            fields[key] = left
    return fields if fields or not value else _NOTHING
