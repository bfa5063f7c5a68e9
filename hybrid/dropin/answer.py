"""Scores and order of a ranked answer, and its shape. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from hybrid.search.fusion import RawScores
from hybrid.signals import CODE


def has_words(raw: RawScores) -> bool:
    """Whether any product that the shop's search matches has the layer's words, or a code among them."""
    return any((value or 0.0) > 0 for name in ("lexical", CODE) for value in raw.get(name, {}).values())


def behind(scores: Sequence[float | None], last: float, lowest: float) -> list[float]:
    """Scores of the products behind the candidates: under the last candidate's, in proportion to their word scores."""
    return [last * min(1.0, max(score or 0.0, 0.0) / lowest) if lowest > 0 else 0.0 for score in scores]


def filtered(answer: Any, filter_path: str) -> Any:
    """The answer cut down to the paths of `filter_path`: dotted, with `*` and `**`. A path behind a `-` is removed."""
    paths = [path.strip() for path in filter_path.split(",") if path.strip()]
    included = [tuple(path.split(".")) for path in paths if not path.startswith("-")]
    excluded = [tuple(path[1:].split(".")) for path in paths if path.startswith("-")]
    if included:
        answer = _keep(answer, _Paths(included, {}))
    if excluded:
        answer = _drop(answer, _Paths(excluded, {}))
    return {} if answer is _NOTHING else answer


_NOTHING = object()
#: The rest of a dotted path.
Path = tuple[str, ...]


class _Paths:
    """Some paths, and those that go on below a key. Hits have the same keys, and a key is compared with the paths once.

    known: all that come of the same `filter_path`, by their paths.
    """

    def __init__(self, paths: Iterable[Path], known: dict[frozenset[Path], _Paths]) -> None:
        self._paths = frozenset(paths)
        self._known = known
        self._met: dict[str, tuple[bool, _Paths | None]] = {}
        known[self._paths] = self

    def below(self, key: str) -> tuple[bool, _Paths | None]:
        """(whether a path ends at this key, the rests of the paths that go on below it)."""
        if key not in self._met:
            ends, rests = _below(key, self._paths)
            deeper = self._known.get(rests) or _Paths(rests, self._known) if rests else None
            self._met[key] = ends, deeper
        return self._met[key]


def _below(key: str, paths: Iterable[Path]) -> tuple[bool, frozenset[Path]]:
    """As `_Paths.below`. Each path is followed once."""
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
    return ends, frozenset(deeper)


def _keep(value: Any, paths: _Paths) -> Any:
    if isinstance(value, list):
        items = [inner for item in value if (inner := _keep(item, paths)) is not _NOTHING]
        return items or _NOTHING
    if not isinstance(value, dict):
        return _NOTHING
    fields = {}
    for key, inner in value.items():
        ends, deeper = paths.below(key)
        left = inner if ends else _keep(inner, deeper) if deeper else _NOTHING
        if left is not _NOTHING:
            fields[key] = left
    return fields or _NOTHING


def _drop(value: Any, paths: _Paths) -> Any:
    if isinstance(value, list):
        return [left for item in value if (left := _drop(item, paths)) is not _NOTHING]
    if not isinstance(value, dict):
        return value
    fields = {}
    for key, inner in value.items():
        ends, deeper = paths.below(key)
        left = _NOTHING if ends else _drop(inner, deeper) if deeper else inner
        if left is not _NOTHING:
            fields[key] = left
    return fields if fields or not value else _NOTHING
