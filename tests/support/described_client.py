"""A test client that holds every answer to the description of the API."""

from __future__ import annotations

from fnmatch import fnmatch
from functools import cache
from typing import Any

import schemathesis
from flask.testing import FlaskClient
from schemathesis.core.transport import Response
from schemathesis.schemas import APIOperation, BaseSchema
from werkzeug.test import TestResponse

from hybrid.services import Services
from hybrid.settings import Settings
from web import create_app


def closed(schema: Any) -> Any:
    """A schema, or a part of one, that takes no key but those that it names: what is sent is described."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: part if key in ("example", "examples") else closed(part) for key, part in schema.items()}
    return {"additionalProperties": False, **parts} if "properties" in schema and "type" in schema else parts


@cache
def description() -> BaseSchema:
    """What every app says of itself, its objects closed but those of the drop-in, whose answers are Elasticsearch's."""
    app = create_app(Services(Settings()))  # asks nobody
    document = FlaskClient(app, app.response_class).get("/openapi.json").get_json()
    paths = {path: item if path.startswith("/es") else closed(item) for path, item in document.pop("paths").items()}
    parts = document.pop("components")
    schemas = {
        name: schema if name.startswith("Cluster") else closed(schema) for name, schema in parts["schemas"].items()
    }
    components = {**closed(parts), "schemas": schemas}
    return schemathesis.openapi.from_dict({**document, "paths": paths, "components": components})


def check_described(operation: APIOperation, answer: Any) -> None:
    """Fail where an answer is not described: its status, its type, a header that it lacks, or its fields."""
    got = Response.from_any(answer)
    said = f"{operation.label} answers {got.status_code}: {got.content[:500]!r}"
    described = operation.responses.find_by_status_code(got.status_code)
    assert described is not None, f"not described: {said}"
    # A client of Elasticsearch may ask for its own name of the type.
    kind = str(got.headers.get("content-type", [""])[0]).partition(";")[0].replace("/vnd.elasticsearch+", "/")
    kinds = described.definition.get("content", {})
    assert not kinds or any(fnmatch(kind, one) for one in kinds), f"not of type {kind}: {said}"
    assert {name.lower() for name in described.definition.get("headers", {})} <= set(got.headers), said
    if answer.request.method != "HEAD":
        operation.validate_response(answer)


class DescribedClient(FlaskClient):
    """Fails where an answer has a status, a type, a header or a field that the description lacks, or lacks one."""

    def open(self, *args: Any, **options: Any) -> TestResponse:
        answer = super().open(*args, **options)
        operation = description().find_operation_by_path(answer.request.method, answer.request.path)
        if operation is not None:
            check_described(operation, answer)
        return answer
