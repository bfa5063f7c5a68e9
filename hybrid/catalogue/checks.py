"""What a run has to say of a catalogue: how its numbers are read, values that do not fit, what an index loses. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hybrid.catalogue.field_statistics import is_date
from hybrid.catalogue.numbers import Evidence, evidence, standard
from hybrid.contracts import NUMBERS, FieldMap, Mark, values_at

#: Roles that a file may lack on a day: nothing may be on sale.
_OPTIONAL = ("attributes", "regular_price")
_WORDS = {"date": "a date such as 2024-05-31", "boolean": "true or false"}


@dataclass
class Misfits:
    """Values of one field that are not of its type: how many, and the first with its line."""

    count: int
    line: int
    value: str
    wanted: str


def misfits(source: Mapping[str, Any], fields: FieldMap) -> Iterator[tuple[str, Any]]:
    """(field, value) of what Elasticsearch would leave out: it is not of the type that its field has."""
    for path, kind in fields.types.items():
        if kind == "keyword":
            continue
        for value in values_at(source, path):
            if not _fits(value, kind):
                yield path, value


def wanted(kind: str) -> str:
    """What a field of a type takes, in words."""
    return _WORDS.get(kind, "a number")


def _fits(value: Any, kind: str) -> bool:
    if value is None or value == "":
        return True
    if kind == "boolean":
        return isinstance(value, bool) or value in ("true", "false")
    if kind == "date":
        return is_date(value) or (not isinstance(value, bool) and str(value).isdecimal())
    return kind not in NUMBERS or standard(value) is not None  # others are of the shop's own template


def losses(
    before: FieldMap, after: FieldMap, rows: Sequence[Mapping[str, Any]], chosen: Collection[str] = ()
) -> list[str]:
    """What the index has, and will not have of this file: roles that no field plays, numbers that are read as text.

    chosen: roles that somebody has chosen the fields of, or none.
    """
    found = []
    for role, paths in before.roles.items():
        if role not in _OPTIONAL and role not in chosen and not after.roles.get(role):
            found.append(
                f"no field of this file is the {role}, as {', '.join(paths)} was; name it with --map {role}=FIELD"
            )
    for path, kind in before.types.items():
        if kind in NUMBERS and after.types.get(path) not in NUMBERS:
            values = [value for row in rows for value in values_at(row, path)]
            if values:
                example = next((one for one in values if not _fits(one, kind)), values[0])
                found.append(f"{path} was a number, and does not read as one: {str(example)[:40]!r}")
    return found


def settled(
    fields: FieldMap, sample: Sequence[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]], decimal: Mark | None
) -> tuple[FieldMap, list[str]]:
    """The FieldMap with the decimal marks that all rows prove, and how its numbers are read, in words.

    rows: all of them; they are read where the sample leaves a doubt, up to the first proof. decimal: as somebody said.
    """
    seen = {path: evidence(_texts(sample, path)) for path in (*fields.marks, *fields.roles.get("price", ()))}
    doubtful = {path for path, one in seen.items() if not one.is_sure} if decimal is None else set()
    for row in rows if doubtful else ():
        for path in list(doubtful):
            for text in _texts([row], path):
                seen[path].see(text)
            if seen[path].is_sure:
                doubtful.remove(path)
        if not doubtful:
            break
    marks: dict[str, Mark] = {path: decimal or seen[path].mark for path in fields.marks}
    for path in seen:
        if seen[path].mark == "," and decimal is None and fields.types.get(path) in NUMBERS:
            marks[path] = ","
    return replace(fields, marks=marks), [
        _said(path, seen[path], marks, path in doubtful) for path in seen if (path in marks or path in doubtful)
    ]


def _texts(rows: Iterable[Mapping[str, Any]], path: str) -> list[str]:
    return [value for row in rows for value in values_at(row, path) if isinstance(value, str)]


def _said(path: str, seen: Evidence, marks: Mapping[str, str], doubtful: bool) -> str:
    if doubtful:
        read, otherwise = ("1,299 is read as 1299", "1.299") if seen.perhaps_commas else ("1.299 stays 1.299", "1299")
        return f"{path}: {read}, for no value shows which mark is before decimals; --decimal , reads {otherwise}"
    if not marks[path]:
        return f"{path}: numbers have commas and dots before decimals; what may be either, such as 1,299, is not read"
    example = "1.299,00" if marks[path] == "," else "1,299.00"
    return f"{path}: numbers are read as in {example}; --decimal says otherwise"
