"""Reads a request's fields from wherever they are: query string, form, multipart or JSON."""

from __future__ import annotations

from typing import Any

from flask import Request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from hybrid.contracts import MEDIA_SIGNALS
from hybrid.errors import UsageError


def fields_of(request: Request) -> dict[str, Any]:
    """The fields of a GET or POST as one plain map, not yet checked.

    Raises:
        UsageError: a field is given twice, or the body is not what it says it is.
    """
    if request.method in ("GET", "HEAD"):
        return from_pairs(request.args)
    if request.args:
        raise UsageError(f"{next(iter(request.args))}: send the fields in the body, not in the address")
    if request.mimetype == "application/json":
        return _from_json(request)
    if request.mimetype in ("multipart/form-data", "application/x-www-form-urlencoded"):
        data = from_pairs(request.form)
        for name, files in request.files.lists():
            chosen = [file for file in files if file.filename or file.content_length]
            if not chosen:
                continue  # a form sends an empty part for a file that was not chosen
            if name not in MEDIA_SIGNALS or len(chosen) > 1 or name in data:
                raise UsageError(f"{name}: one file a field is taken, in the fields {', '.join(MEDIA_SIGNALS)}")
            data[name] = chosen[0].read()
        return data
    raise UnsupportedMediaType("send application/json, multipart/form-data or a plain form")


def from_pairs(pairs: MultiDict[str, str]) -> dict[str, Any]:
    """Fields of a query string or form; repeated `filter=brand:HP` are gathered under `filters`.

    Empty values are left out, as forms send them for what was not filled in.
    """
    data: dict[str, Any] = {}
    chosen: dict[str, list[str]] = {}
    for name, values in pairs.lists():
        if name == "filter":
            for value in values:
                field, colon, wanted = value.partition(":")
                if not colon or not field or not wanted:
                    raise UsageError(f"filter: {value!r} is not field:value")
                chosen.setdefault(field, []).append(wanted)
        elif name == "facets":
            data[name] = ",".join(values)
        elif len(values) > 1:
            raise UsageError(f"{name}: given {len(values)} times")
        elif values[0]:
            data[name] = values[0]
    if chosen:
        if "filters" in data:
            raise UsageError("filter: use either filter or filters")
        data["filters"] = {field: wanted if len(wanted) > 1 else wanted[0] for field, wanted in chosen.items()}
    return data


def _from_json(request: Request) -> dict[str, Any]:
    try:
        data = request.get_json()
    except BadRequest as error:
        raise UsageError("body: not valid JSON") from error
    if not isinstance(data, dict):
        raise UsageError("body: must be a JSON object")
    return data
