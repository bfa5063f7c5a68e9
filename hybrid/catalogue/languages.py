"""The language of each text field of a catalogue, told from its values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hybrid.catalogue.documents import TERM_FIELDS
from hybrid.contracts import FieldMap, values_at
from hybrid.text.detection import language_of

#: The language that stands for: tell it from the values, for each field.
AUTO = "auto"
_OTHERWISE = "en"


def guess_languages(fields: FieldMap, rows: Sequence[Mapping[str, Any]]) -> tuple[str, FieldMap]:
    """The language of the titles, and the FieldMap with the languages of the fields that are in another.

    A field whose values do not tell is in the language of the titles; where these do not tell, in that of all texts.
    """
    paths = {path: None for roles in TERM_FIELDS.values() for role in roles for path in fields.roles.get(role, ())}
    of_codes = {*fields.roles.get("id", ()), *fields.roles.get("code", ())}
    guessed = {path: language_of(_texts(rows, [path])) for path in paths if path not in of_codes}
    of_titles = next((guessed[path] for path in fields.roles.get("title", ()) if guessed.get(path)), None)
    language = of_titles or language_of(_texts(rows, guessed)) or _OTHERWISE
    others = {path: named for path, named in guessed.items() if named is not None and named != language}
    return language, replace(fields, languages=others)


def described(language: str, fields: FieldMap) -> str:
    """Which field is in which language, in words."""
    others = [f"{path} in {named}" for path, named in fields.languages.items()]
    return "; ".join([f"words are read as {language}", *others])


def _texts(rows: Sequence[Mapping[str, Any]], paths: Sequence[str] | Mapping[str, Any]) -> Iterator[str]:
    return (value for row in rows for path in paths for value in values_at(row, path) if isinstance(value, str))
