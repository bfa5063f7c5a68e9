"""Values as they were meant: several in one cell, paths of categories, yes and no, numbers for people. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from hybrid.catalogue.numbers import number
from hybrid.contracts import LEVEL, FieldMap


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_YES = _words(
    "true yes y t on available instock auflager lagernd enstock opvoorraad onbackorder backorder preorder "
    "limitedavailability ja oui si sí sì tak verfügbar lieferbar disponible disponibile beschikbaar voorradig "
    "是 有 有货 有貨 あり 在庫あり"
)
_NO = _words(
    "false no n f off nichtauflager vergriffen nondisponible nodisponible nondisponibile nietbeschikbaar "
    "temporarilyoutofstock 在庫切れ unavailable notavailable outofstock soldout discontinued nein nichtverfügbar "
    "ausverkauft non épuisé indisponible rupturedestock agotado esaurito nee nie uitverkocht 否 无 無 缺货 缺貨 无货 "
    "售罄 なし 在庫なし 売り切れ"
)


def flag(value: Any) -> bool | None:
    """Whether a value says yes or no: true, "In stock", "0", 12 pieces left; None where it says neither.

    >>> flag("out_of_stock"), flag("https://schema.org/InStock"), flag("0"), flag(12), flag("-3"), flag("red")
    (False, True, False, True, False, None)
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = re.sub(r"[\W_]+", "", value.strip().rstrip("/").rpartition("/")[2]).lower()
        if word in _YES or word in _NO:
            return word in _YES
        value = number(value, ".")
    return value > 0 if isinstance(value, int | float) else None


def split_list(text: str, between: str) -> list[str]:
    r"""The values of a cell, each once, without empty ones; the mark itself is written with a backslash before it.

    A mark between two addresses parts them; one within an address, of a query such as ?size=1,2, does not.

    >>> split_list(r"summer, sale\, now", ","), split_list("http://a/x.jpg?f=1,2, http://a/y.jpg", ",")
    (['summer', 'sale, now'], ['http://a/x.jpg?f=1,2', 'http://a/y.jpg'])
    """
    mark = re.escape(between)
    pattern = rf"(?<!\\){mark}"
    if re.match(r"\s*https?://", text):
        pattern = rf"\s*{mark}\s*(?=https?://)"
    parts = (part.replace(f"\\{between}", between).strip() for part in re.split(pattern, text))
    return list(dict.fromkeys(part for part in parts if part))


def path_levels(path: str, between: str, roots: Iterable[str] = ()) -> list[str]:
    """A path of categories with all that is above it, so that a parent finds its children.

    roots: names of first levels that say nothing.

    >>> path_levels("Home>Kitchen > Pots", ">"), path_levels("Default Category/Bags", "/", ["Default Category"])
    (['Home', 'Home > Kitchen', 'Home > Kitchen > Pots'], ['Bags'])
    """
    levels = [level for part in path.split(between) if (level := part.strip())]
    if len(levels) > 1 and levels[0] in roots:
        del levels[0]
    return [LEVEL.join(levels[:depth]) for depth in range(1, len(levels) + 1) if levels]


def deepest(values: Iterable[str]) -> list[str]:
    """Paths of categories without those that others begin with.

    >>> deepest(["Home", "Home > Kitchen", "Toys"])
    ['Home > Kitchen', 'Toys']
    """
    each = list(dict.fromkeys(values))
    above = {level for one in each for level in path_levels(one, LEVEL)[:-1]}
    return [one for one in each if one not in above]


def is_blank(value: Any) -> bool:
    """Whether a value is a text without a character to see."""
    return isinstance(value, str) and not value.strip()


def conform(source: dict[str, Any], fields: FieldMap) -> dict[str, Any]:
    """A row as it was meant: lists, paths, flags and numbers as the map says. What is none of these stays as it is.

    Keywords are trimmed, and left out if they are empty then: a facet would list an empty value without a name, and
    " HP " beside "HP".
    """
    for path, between in fields.lists.items():
        source = _changed(source, path, lambda value, mark=between: _listed(value, mark))  # type: ignore[misc]
    for path, between in fields.paths.items():
        source = _changed(source, path, lambda value, mark=between: _levelled(value, mark))  # type: ignore[misc]
    for path in fields.flags:
        source = _changed(source, path, _flagged)
    for path, mark in fields.marks.items():
        source = _changed(source, path, lambda value, mark=mark: _numbered(value, mark))  # type: ignore[misc]
    for path, kind in fields.types.items():
        if kind == "keyword":
            source = _changed(source, path, _trimmed)
    return source


def _changed(source: dict[str, Any], path: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    """The row with another value at a dotted path, also within lists of objects; itself, where nothing changes.

    A value that becomes None is left out.
    """
    if path in source:
        name, value = path, source[path]
        changed = change(value)
    else:
        name, _, rest = path.partition(".")
        value = source.get(name) if rest else None
        if isinstance(value, dict):
            changed = _changed(value, rest, change)
        elif isinstance(value, list):
            inner = [_changed(one, rest, change) if isinstance(one, dict) else one for one in value]
            changed = inner if any(one is not other for one, other in zip(inner, value, strict=True)) else value
        else:
            return source
    if changed is value:
        return source
    if changed is None:
        return {key: one for key, one in source.items() if key != name}
    return {**source, name: changed}


def _listed(value: Any, between: str) -> Any:
    return split_list(value, between) if isinstance(value, str) else value


def _levelled(value: Any, between: str) -> Any:
    each = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in each):
        return value
    levels = list(dict.fromkeys(level for one in each for level in path_levels(one, between)))
    return levels if len(levels) != 1 else levels[0]


def _flagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_flagged(one) for one in value]
    known = flag(value)
    return value if known is None else known


def _numbered(value: Any, mark: Any) -> Any:
    if isinstance(value, list):
        return [_numbered(one, mark) for one in value]
    if isinstance(value, str) and (read := number(value, mark)) is not None:
        return read
    return value


def _trimmed(value: Any) -> Any:
    if isinstance(value, str):
        stripped = value.strip()
        return value if stripped == value and value else stripped or None
    if isinstance(value, list):
        kept = [one for one in map(_trimmed, value) if one is not None]
        same = len(kept) == len(value) and all(one is other for one, other in zip(kept, value, strict=True))
        return value if same else kept
    return value
