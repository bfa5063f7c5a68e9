"""`POST /api/documents/<index>`: documents that a shop pushes. Off until a token is set."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import Any

import orjson
from flask import Blueprint, Request, Response, jsonify, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import NotFound, RequestEntityTooLarge, Unauthorized, UnsupportedMediaType

from hybrid.contracts import MAX_ID_BYTES, values_at
from hybrid.errors import UsageError
from hybrid.ingest.push import Operation
from web.answers import PushAnswer, Pushed
from web.openapi import OF_SEARCHES, Described
from web.params import checked_index
from web.requests import read_json
from web.services import services

documents = Blueprint("documents", __name__)

MAX_DOCUMENTS = 2_000
MAX_DOCUMENT_BYTES = 1024 * 1024
_NDJSON = ("application/x-ndjson", "application/ndjson")


#: What a request may hold: media type -> its form, and an example.
_BODIES = {
    "application/json": {
        "schema": {
            "type": "array",
            "description": f"at most {MAX_DOCUMENTS:,} documents, each of at most 1 MB",
            "maxItems": MAX_DOCUMENTS,
            "items": {
                "type": "object",
                "properties": {
                    "_id": {"type": "string", "description": "if absent, the field that the index was read by as id"},
                    "_routing": {"type": "string"},
                    "_deleted": {"type": "boolean", "description": "true: delete it; no other fields are needed"},
                },
            },
        },
        "example": [{"_id": "p1", "title": "Desk lamp"}, {"_id": "p2", "_deleted": True}],
    },
    "application/x-ndjson": {
        "schema": {
            "type": "string",
            "description": "lines of an Elasticsearch bulk body (index, create and delete), or a document a line; "
            f"at most {MAX_DOCUMENTS:,} documents, each of at most 1 MB",
        },
        "example": '{"index":{"_id":"p1"}}\n{"title":"Desk lamp"}\n{"delete":{"_id":"p2"}}\n',
    },
}


@documents.post("/api/documents/<index>")
@Described(_BODIES, PushAnswer, errors=(*OF_SEARCHES, 401), token="token")
def push(index: str) -> Response:
    """Write or delete documents; the same request twice changes nothing more.

    Each document is written whole; its vectors are carried along, or made by the workers. They are carried out in
    their order.
    """
    _authorize(request)
    name = checked_index(index)
    id_fields = services().searcher.profile(name).fields.roles.get("id", ("_id",))
    report = services().push(name, _operations(request, id_fields))
    answer = PushAnswer(
        index=name,
        errors=report.errors,
        waiting=len(report.waiting),
        queued=report.queued,
        results=[
            Pushed(id=outcome.id, result=outcome.result, reason=outcome.reason, message=outcome.message)
            for outcome in report.results
        ],
    )
    return jsonify(answer.model_dump(exclude_none=False))


def _authorize(incoming: Request) -> None:
    """Whether the caller knows the token; compared in a time that does not tell how much of it was right."""
    token = services().settings.push_token
    if token is None or not token.get_secret_value():
        raise NotFound("pushing documents is off")
    scheme, _, credentials = incoming.headers.get("Authorization", "").partition(" ")
    # WSGI hands a header's bytes over as latin-1, whatever they are.
    known = hmac.compare_digest(credentials.strip().encode("latin-1", "replace"), token.get_secret_value().encode())
    if scheme.lower() != "bearer" or not known:
        raise Unauthorized("send the token as Authorization: Bearer …", www_authenticate=WWWAuthenticate("bearer"))


def _operations(incoming: Request, id_fields: tuple[str, ...]) -> list[Operation]:
    """The operations of a body.

    Raises:
        UsageError: it is not what its type says, or an operation is not one that is taken.
    """
    if incoming.mimetype in _NDJSON:
        operations = list(_from_lines(incoming.get_data(), id_fields))
    elif incoming.mimetype == "application/json":
        operations = list(_from_array(incoming.get_data(), id_fields))
    else:
        raise UnsupportedMediaType("send application/json (an array of documents) or application/x-ndjson")
    if not operations:
        raise UsageError("body: no documents")
    return operations


def _from_array(body: bytes, id_fields: tuple[str, ...]) -> Iterator[Operation]:
    rows = _json(body, "body")
    if not isinstance(rows, list):
        raise UsageError("body: must be an array of documents")
    for number, row in enumerate(rows, 1):
        _check_count(number)
        yield _document(row, f"document {number}", id_fields)


def _from_lines(body: bytes, id_fields: tuple[str, ...]) -> Iterator[Operation]:
    lines = ((number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip())
    for count, (number, line) in enumerate(lines, 1):
        _check_count(count)
        where = f"line {number}"
        row = _json(line, where)
        action = _action(row)
        if action is None:
            yield _document(row, where, id_fields)
            continue
        verb, described = action
        if verb == "update":
            raise UsageError(f"{where}: update is not taken; send the whole document with index")
        if "_index" in described:
            raise UsageError(f"{where}: the index stands in the address; leave _index out")
        unknown = sorted(described.keys() - {"_id", "routing", "_routing"})
        if unknown:  # a guard, a version or a pipeline that is ignored would be a write that was not asked for
            raise UsageError(f"{where}: {unknown[0]} is not taken; an action has _id and routing")
        routing = _routing(described.get("routing", described.get("_routing")), where)
        source = None
        if verb != "delete":
            _, following = next(lines, (0, b""))
            source = _json(following, f"the document after {where}")
            _check_document(source, f"the document after {where}")
        yield Operation(_id(described.get("_id"), where), source, routing, verb == "create")


def _action(row: Any) -> tuple[str, dict[str, Any]] | None:
    """(verb, what it says) of an action line of a bulk body; None for a document."""
    if isinstance(row, dict) and len(row) == 1:
        verb, described = next(iter(row.items()))
        if verb in ("index", "create", "delete", "update") and isinstance(described, dict) and "_id" in described:
            return verb, described
    return None


def _document(row: Any, where: str, id_fields: tuple[str, ...]) -> Operation:
    _check_document(row, where)
    source = {key: value for key, value in row.items() if key not in ("_id", "_routing", "_deleted")}
    candidates = [row["_id"]] if "_id" in row else [value for path in id_fields for value in values_at(source, path)]
    deleted = row.get("_deleted", False)
    if not isinstance(deleted, bool):  # else a delete would be taken for a document without fields
        raise UsageError(f"{where}: _deleted must be true or false")
    return Operation(
        _id(candidates[0] if candidates else None, where),
        None if deleted else source,
        _routing(row.get("_routing"), where),
    )


def _check_document(row: Any, where: str) -> None:
    if not isinstance(row, dict):
        raise UsageError(f"{where}: must be a JSON object")
    if len(orjson.dumps(row)) > MAX_DOCUMENT_BYTES:
        raise UsageError(f"{where}: larger than 1 MB")


def _id(value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise UsageError(f"{where}: no id; send it as _id")
    if len(str(value).encode()) > MAX_ID_BYTES:
        raise UsageError(f"{where}: the id is longer than {MAX_ID_BYTES} bytes")
    return str(value)


def _routing(value: Any, where: str) -> str | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int) or value == ""):
        raise UsageError(f"{where}: routing must be a string or a whole number")
    return None if value is None else str(value)


def _check_count(number: int) -> None:
    if number > MAX_DOCUMENTS:
        raise RequestEntityTooLarge(f"more than {MAX_DOCUMENTS:,} documents; send them in several requests")


def _json(text: bytes, where: str) -> Any:
    try:
        return read_json(text)
    except ValueError as error:
        raise UsageError(f"{where}: not valid JSON ({error})") from None
