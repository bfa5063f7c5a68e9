"""The OpenAPI 3.1 description of what programs can call, made of the views: nothing is said of a route elsewhere.

A route gives its address, the view's docstring its summary, and `Described` the models that check its fields
(web.params, web.admin.schemas), those of its answers (web.answers), and its errors.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from apispec import APISpec
from flask import Flask
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

import hybrid
from hybrid.contracts import MEDIA
from web.answers import Error

View = TypeVar("View", bound=Callable[..., Any])
#: Statuses of whatever asks the cluster.
OF_SEARCHES = (400, 404, 409, 502, 503, 504)


class Route(NamedTuple):
    """One method of an address; name: of the operation, as `push_documents`."""

    path: str
    method: str
    name: str
    view: Callable[..., Any]


@dataclass(frozen=True)
class Described:
    """Decorates a view with what it takes and answers; the view itself stays as it is.

    takes: model of its fields, which come in the address of a GET, else as JSON; or media type -> what a body is.
    forms: the fields come as forms too. optional: it answers without a body too.
    gives: model of the answer, an example of a JSON object or several, or the media type of a file.
    also: further statuses -> model of that answer, or what it means.
    errors: statuses that the view itself can cause; 405, 429 and 500 are everybody's (but 429 of what causes none
    itself), 408, 413 and 415 of all that takes a body.
    error: model of their answers, or their media type.
    """

    takes: type[BaseModel] | Mapping[str, Any] | None = None
    gives: type[BaseModel] | Mapping[str, Any] | Sequence[Mapping[str, Any]] | str = field(default_factory=dict)
    query: Sequence[str] = ()
    forms: bool = False
    optional: bool = False
    status: int = 200
    also: Mapping[int, type[BaseModel] | str] = field(default_factory=dict)
    errors: Sequence[int] = OF_SEARCHES
    error: type[BaseModel] | str = Error
    headers: Sequence[str] = ()
    token: str | None = None

    def __call__(self, view: View) -> View:
        view.described = self  # type: ignore[attr-defined]
        return view


#: Parameters that views read by name -> what they are, and an example, whose type is theirs.
PARAMETERS: dict[str, tuple[str, Any]] = {
    "a": ("the version or run to compare with", "gate-1"),
    "after": ("where the page begins: `after` of the page before", "desk lamp"),
    "at": ("second of the frame; if absent, an ordinary one", 2.5),
    "b": ("the version or run that is compared", "gate-2"),
    "do": ("retry or dismiss", "retry"),
    "format": ("of the file: quepid, trec, rre, ranklib, beir or srw", "quepid"),
    "index": ("name of an index", "shop"),
    "kind": ("of model: weights, alignment, towers, tags, sounds or tfidf", "tags"),
    "list": ("name of a judgment list", "lamps"),
    "n": ("of several pictures, which; from 0", 1.0),
    "name": ("name of a judgment list", "lamps"),
    "page": ("number of the page, from 1", 1),
    "photo": ("key of a photo, as its ratings give it", "5f2b8c0d9e1a4b7c8d9e0f1a2b3c4d5e"),
    "product_id": ("id of a product", "p-102"),
    "q": ("words of the query", "desk lamp"),
    "reason": ("typed reason of failures", "image_missing"),
    "run": ("id of an evaluation", "3f6c1e0a"),
    "version": ("a version of a trained model", "gate-2"),
}
#: Headers of answers -> what they say.
_HEADERS = {
    "X-Request-Id": "the caller's, or a new one; stands in the log",
    "X-Hybrid": "`ranked`, or `passed; ` and why the answer is the cluster's own; a list for several searches",
}
_ERRORS = {
    400: "a field is wrong; the reason names it",
    401: "no token or key, or a wrong one",
    403: "the account may look, but not change anything; at /es: not a search, or of an index that is not served",
    404: "no such index, product or address",
    405: "the method is not allowed here",
    406: "an answer of that type is not given",
    408: "the body came too slowly",
    409: "the index is not one of the layer's, or work on it is under way",
    413: "the body or the picture is too large",
    415: "the body is of a type that is not taken",
    416: "the part that Range asks for is none of the file",
    429: "too many requests at once, or attempts to sign in; Retry-After says how many seconds to wait",
    500: "an unexpected error; the log has it under the X-Request-Id",
    502: "Elasticsearch answered with an error",
    503: "Elasticsearch or a model cannot be reached",
    504: "Elasticsearch did not answer in time",
}
_TOKENS = {"token": "HYBRID_PUSH_TOKEN", "admin": "what POST /admin/api/sign-in gives"}
#: Type of a value -> its name in a schema.
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
_FILTER = {
    "description": "field:value, repeatable; the short form of filters",
    "type": "array",
    "items": {"type": "string"},
    "examples": [["brand:HP", "brand:Canon"]],
}


def routes(app: Flask) -> list[Route]:
    """What programs can call of an app; the pages of the admin are for people."""
    described = []
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static" or (rule.rule.startswith("/admin") and not rule.rule.startswith("/admin/api/")):
            continue
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        name = rule.endpoint.replace(".", "_").replace("api_", "")
        methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        for method in methods:
            by = f"_by_{method.lower()}" if len(methods) > 1 else ""
            described.append(Route(path, method, name + by, app.view_functions[rule.endpoint]))
    return described


def document(described: Iterable[Route]) -> dict[str, Any]:
    """The whole description."""
    described = list(described)
    spec = APISpec(
        "Hybrid search", hybrid.__version__, "3.1.0", servers=[{"url": "/"}],
        info={
            "description": "Multimodal product search beside Elasticsearch.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
    )  # fmt: skip
    for name, text in _HEADERS.items():
        spec.components.header(name, {"description": text, "schema": {"type": "string"}})
    for name, text in _TOKENS.items():
        spec.components.security_scheme(name, {"type": "http", "scheme": "bearer", "description": text})
    writer = _Writer(_about(route) for route in described)
    for name, schema in writer.schemas.items():
        spec.components.schema(name, schema)
    for error in dict.fromkeys(_about(route).error for route in described):
        for status, text in _ERRORS.items():
            answer = {**writer.answer(error), "description": text}
            spec.components.response(_named(error, status), answer, lazy=True)
    for route in described:
        spec.path(route.path, operations={route.method.lower(): writer.operation(route)})
    return spec.to_dict()


def _named(error: type[BaseModel] | str, status: int) -> str:
    """The name of an error answer. A wrong method is no mistake of a person who looks at a page."""
    if isinstance(error, str):
        return f"Page{status}" if status != 405 else _named(Error, status)
    return f"{error.__name__}{status}"


def _about(route: Route) -> Described:
    about = getattr(route.view, "described", None)
    return about if isinstance(about, Described) else Described()


class _Writer:
    """Writes operations; `schemas` are those of all their models, by name."""

    def __init__(self, views: Iterable[Described]) -> None:
        modes: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
        for about in views:
            # Requests are described as they are sent, answers as they are received.
            if isinstance(about.takes, type):
                modes[about.takes, "validation"] = None
            for model in (about.gives, about.error, *about.also.values()):
                if isinstance(model, type):
                    modes[model, "serialization"] = None
        self._references, schema = TypeAdapter.json_schemas(
            [(model, mode, TypeAdapter(model)) for model, mode in modes], ref_template="#/components/schemas/{model}"
        )
        self.schemas: dict[str, Any] = schema["$defs"]

    def operation(self, route: Route) -> dict[str, Any]:
        """What one route takes and answers."""
        about = _about(route)
        summary, _, more = (inspect.getdoc(route.view) or "").partition("\n\n")
        head, *words = route.name.split("_")
        of_all = {405, 500} | ({429} if about.errors else set())  # health is never refused
        of_bodies = {408, 413, 415} if about.takes and route.method != "GET" else set()
        written: dict[str, Any] = {
            "operationId": head + "".join(word.capitalize() for word in words),
            "summary": " ".join(summary.split()).rstrip("."),
            "description": more.partition("Raises:")[0].strip(),
            "parameters": [
                *({**_parameter(name, "path"), "required": True} for name in re.findall(r"{(\w+)}", route.path)),
                *(_parameter(name, "query") for name in about.query),
            ],
            "responses": {
                about.status: self.answer(about.gives, about.headers),
                **{status: _named(about.error, status) for status in sorted({*of_all, *of_bodies, *about.errors})},
                **{
                    status: {"description": gives} if isinstance(gives, str) else self.answer(gives)
                    for status, gives in about.also.items()
                },
            },
        }
        if about.token:
            written["security"] = [{about.token: []}]
        if isinstance(about.takes, Mapping):
            written["requestBody"] = {"required": not about.optional, "content": dict(about.takes)}
        elif about.takes and route.method == "GET":
            written["parameters"] += [
                {"name": name, "in": "query", "description": schema.pop("description", name), "schema": schema}
                for name, schema in self._texts(about.takes).items()
            ]
        elif about.takes:
            forms = self._forms(about.takes) if about.forms else {}
            content = {"application/json": self._content(about.takes, "validation"), **forms}
            written["requestBody"] = {"required": True, "content": content}
        return written

    def answer(self, gives: Any, headers: Sequence[str] = ()) -> dict[str, Any]:
        """An answer: of a model, like one of several examples, or a file."""
        text = "done, or found"
        if isinstance(gives, type):
            text, content = inspect.getdoc(gives) or "", {"application/json": self._content(gives, "serialization")}
        elif isinstance(gives, str):
            content = {gives: {}}
        else:
            examples = [gives] if isinstance(gives, Mapping) else gives
            named_examples = {f"example{number}": {"value": example} for number, example in enumerate(examples, 1)}
            content = {"application/json": {"schema": {"anyOf": [*map(_like, examples)]}, "examples": named_examples}}
        return {"description": text, "headers": {name: name for name in ("X-Request-Id", *headers)}, "content": content}

    def _content(self, model: type[BaseModel], mode: JsonSchemaMode) -> dict[str, Any]:
        reference = self._references[model, mode]
        return {"schema": reference, "example": self._example(reference)}

    def _forms(self, model: type[BaseModel]) -> dict[str, Any]:
        texts = self._texts(model)
        file = {"type": "string", "contentMediaType": "application/octet-stream"}
        uploads = {**texts, **{name: file for name in MEDIA if name in texts}}
        return {
            kind: {"schema": {"type": "object", "properties": fields, "additionalProperties": False}}
            for kind, fields in (("application/x-www-form-urlencoded", texts), ("multipart/form-data", uploads))
        }

    def _texts(self, model: type[BaseModel]) -> dict[str, dict[str, Any]]:
        """Fields as they are sent in an address or a form: maps, lists and files as text."""
        fields = self._resolved(self._references[model, "validation"])["properties"]
        texts = {}
        for name, schema in fields.items():
            kinds = {part.get("type") for part in schema.get("anyOf", [schema])}
            short = bool(kinds & {"array", "object"}) or "contentEncoding" in schema
            texts[name] = {"type": "string", "description": schema["description"]} if short else dict(schema)
        return {**texts, "filter": dict(_FILTER)} if "filters" in texts else texts

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        reference = schema.get("$ref")
        return self.schemas[reference.rpartition("/")[2]] if reference else schema

    def _example(self, schema: Mapping[str, Any]) -> Any:
        """A value that fits a schema, made of the examples in it; "…" where any text would do."""
        match self._resolved(schema):
            case {"examples": [example, *_]} | {"enum": [example, *_]} | {"const": example} | {"default": example}:
                return example
            case {"anyOf": [first, *_]}:
                return self._example(first)
            case {"properties": properties}:
                return {name: self._example(part) for name, part in properties.items()}
            case {"type": "array", "items": items}:
                return [self._example(items)]
            case {"type": kind}:
                return {"number": 1.0, "integer": 1, "boolean": True, "object": {}}.get(kind, "…")
        return None


def _parameter(name: str, where: str) -> dict[str, Any]:
    text, example = PARAMETERS[name]
    return {
        "name": name,
        "in": where,
        "description": text,
        "schema": {"type": _TYPES[type(example)]},
        "example": example,
    }


def _like(example: Mapping[str, Any]) -> dict[str, Any]:
    """A schema for objects with the keys of an example, whose values are of the same types, or null."""
    types = {key: ["null"] if value is None else [_TYPES[type(value)], "null"] for key, value in example.items()}
    properties = {key: {"type": named} for key, named in types.items()}
    return {"type": "object", "properties": properties, "required": [*example]}
