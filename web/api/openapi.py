"""The OpenAPI 3.1 document, generated from the very models that check requests and the core's contracts."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

import hybrid
from hybrid.contracts import MEDIA_SIGNALS, SearchAnswer
from web.admin import openapi
from web.admin.schemas import (
    ApplyParams,
    ChosenFailures,
    EvaluationParams,
    FailuresPage,
    PointParams,
    Rating,
    RunAction,
    SignIn,
    TrainParams,
    TryParams,
    VersionParams,
)
from web.api.documents import MAX_DOCUMENTS, PushAnswer
from web.params import SearchParams, SimilarParams, SuggestParams


class ErrorDetail(BaseModel):
    type: str = Field(description="class of the error", examples=["UsageError"])
    reason: str = Field(description="one line: what is wrong and what to do")


class Error(BaseModel):
    """Every error answer, whatever its status."""

    error: ErrorDetail


class Suggestion(BaseModel):
    text: str
    id: str | None = Field(None, description="product id, where the suggestion is a product")
    kind: str = Field(description="product, brand or category")


class Suggestions(BaseModel):
    index: str
    q: str
    suggestions: list[Suggestion]


class ClusterCause(BaseModel):
    type: str = Field(examples=["illegal_argument_exception"])
    reason: str


class ClusterErrorDetail(ClusterCause):
    root_cause: list[ClusterCause]


class ClusterError(BaseModel):
    """An error answer of the drop-in, as Elasticsearch shapes its own."""

    error: ClusterErrorDetail
    status: int


class ClusterInfo(BaseModel):
    name: str
    cluster_name: str
    version: dict[str, str]
    tagline: str


class Alive(BaseModel):
    status: str = Field(examples=["alive"])


class Readiness(BaseModel):
    ready: bool
    parts: dict[str, Any] = Field(description="each part: ok, and the reason where it is not")


_REF = "#/components/schemas/{model}"
_ERRORS = {
    400: "a field is wrong; the reason names it",
    401: "no token, or a wrong one",
    403: "the account may look, but not change anything",
    404: "no such index, product or address",
    405: "the method is not allowed here",
    409: "the index is not one of the layer's, or work on it is under way",
    413: "the body or the picture is too large",
    415: "the body is of a type that is not taken",
    429: "too many attempts to sign in",
    500: "an unexpected error; the log has it under the X-Request-Id",
    502: "Elasticsearch answered with an error",
    503: "Elasticsearch or a model cannot be reached",
    504: "Elasticsearch did not answer in time",
}


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The whole description; it does not change while the process lives."""
    # Requests are described as they are sent, answers as they are received.
    inputs: list[type] = [
        SearchParams,
        SimilarParams,
        SuggestParams,
        SignIn,
        ChosenFailures,
        FailuresPage,
        RunAction,
        TrainParams,
        PointParams,
        ApplyParams,
        EvaluationParams,
        Rating,
        TryParams,
        VersionParams,
    ]
    outputs: list[type] = [SearchAnswer, Suggestions, PushAnswer, Alive, Readiness, Error, ClusterInfo, ClusterError]
    adapters: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        *((model.__name__, "validation", TypeAdapter(model)) for model in inputs),
        *((model.__name__, "serialization", TypeAdapter(model)) for model in outputs),
    ]
    _, schema = TypeAdapter.json_schemas(adapters, ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hybrid search",
            "version": hybrid.__version__,
            "description": "Multimodal product search beside Elasticsearch.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": _paths(*(schema["$defs"][name] for name in ("SearchParams", "SuggestParams", "SimilarParams"))),
        "components": {
            "schemas": schema["$defs"],
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "HYBRID_PUSH_TOKEN"},
                "admin": {"type": "http", "scheme": "bearer", "description": "what POST /admin/api/sign-in gives"},
            },
        },
    }


def _paths(search: dict[str, Any], suggest: dict[str, Any], similar: dict[str, Any]) -> dict[str, Any]:
    found = _answer("the page of hits, with facets and the part of each signal", "SearchAnswer")
    search_errors = _errors(400, 404, 405, 413, 415, 500, 502, 503, 504)
    path_name = {"in": "path", "required": True, "schema": {"type": "string"}}
    html = {"200": {"description": "the search page", "content": {"text/html": {"schema": {"type": "string"}}}}}
    return {
        "/api/search": {
            "get": {
                "operationId": "search",
                "summary": "Search with a query string",
                "parameters": [*_query(search), _FILTER],
                "responses": {"200": found, **search_errors},
            },
            "post": {
                "operationId": "searchByBody",
                "summary": "Search with JSON, a form, or a multipart upload of a picture",
                "requestBody": {"required": True, "content": _bodies(search)},
                "responses": {"200": found, **search_errors},
            },
        },
        "/api/suggest": {
            "get": {
                "operationId": "suggest",
                "summary": "Complete what has been typed so far",
                "parameters": _query(suggest),
                "responses": {
                    "200": _answer("completions, best first", "Suggestions"),
                    **_errors(400, 404, 500, 502, 503, 504),
                },
            }
        },
        "/api/products/{product_id}/similar": {
            "get": {
                "operationId": "similar",
                "summary": "Products like a product, by the vectors that it has",
                "parameters": [{"name": "product_id", **path_name}, *_query(similar)],
                "responses": {
                    "200": _answer("products, most alike first", "SearchAnswer"),
                    **_errors(400, 404, 500, 502, 503, 504),
                },
            }
        },
        "/api/documents/{index}": {
            "post": {
                "operationId": "pushDocuments",
                "summary": "Write or delete documents; the same request twice changes nothing more",
                "description": "Each document is written whole; its vectors are carried along, or made by the workers. "
                f"At most {MAX_DOCUMENTS:,} documents a request, carried out in their order.",
                "security": [{"token": []}],
                "parameters": [{"name": "index", **path_name}],
                "requestBody": {"required": True, "content": _PUSHED},
                "responses": {
                    "200": _answer("what became of each document; errors says whether all is well", "PushAnswer"),
                    **_errors(400, 401, 404, 405, 409, 413, 415, 500, 502, 503, 504),
                },
            }
        },
        **{f"/{path}/{{index}}/{{product_id}}": _media(*about, path_name) for path, about in _FILES.items()},
        **_dropin(),
        **_admin(),
        "/healthz": {"get": _plain("alive", "Is the process alive?", {"200": _answer("it is", "Alive")})},
        "/readyz": {
            "get": _plain(
                "ready",
                "Can it answer searches?",
                {"200": _answer("ready", "Readiness"), "503": _answer("not ready, and why", "Readiness")},
            )
        },
        "/openapi.json": {
            "get": _plain(
                "description",
                "This description",
                {
                    "200": {
                        "description": "OpenAPI 3.1",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    }
                },
            )
        },
        "/": {
            "get": _plain("page", "The search page", html),
            "post": _plain("pageByPhoto", "The search page, for a form with a photo", html),
        },
    }


def _admin() -> dict[str, Any]:
    """What the admin page does, for programs. Its pages themselves are for people."""

    def called(operation: str, summary: str, takes: str = "", parameters: tuple[str, ...] = ()) -> dict[str, Any]:
        said: dict[str, Any] = {"content": {"application/json": {"schema": {"type": "object"}}}}
        described = {
            "operationId": operation,
            "summary": summary,
            "security": [] if operation == "adminSignIn" else [{"admin": []}],
            "parameters": [
                {"in": "path", "name": name, "required": True, "schema": {"type": "string"}} for name in parameters
            ],
            "responses": {
                "200": {"description": "done, or found", "headers": _HEADERS, **said},
                **_errors(400, 401, 403, 404, 405, 409, 429, 500, 502, 503, 504),
            },
        }
        if takes:
            schema = {"$ref": _REF.format(model=takes)}
            described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        return described

    return openapi.paths(called)


def _dropin() -> dict[str, Any]:
    """Elasticsearch's own interface: its bodies and answers are described by Elasticsearch."""
    name = {"in": "path", "name": "index", "required": True, "schema": {"type": "string"}}
    paths: dict[str, Any] = {
        "/es/": {
            "get": {
                "operationId": "dropinInfo",
                "summary": "Which Elasticsearch this is, for its clients",
                "responses": {"200": _answer("the version", "ClusterInfo"), **_cluster_errors(401, 405, 406, 503)},
            }
        }
    }
    for path, kind, summary in (
        ("/es/{index}/_search", "json", "One Elasticsearch search, ranked by the layer where it can be"),
        ("/es/{index}/_msearch", "x-ndjson", "Several Elasticsearch searches of one index"),
        ("/es/_msearch", "x-ndjson", "Several Elasticsearch searches, each naming its index"),
    ):
        body = {"schema": {"type": "object"} if kind == "json" else {"type": "string"}}
        types = (f"application/{kind}", f"application/vnd.elasticsearch+{kind}")
        answer = {
            "description": "as Elasticsearch answers it",
            "headers": {**_HEADERS, "X-Hybrid": _HOW},
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
        described = {
            "summary": summary,
            "parameters": [name] if "{index}" in path else [],
            "requestBody": {"required": False, "content": dict.fromkeys(types, body)},
            "responses": {"200": answer, **_cluster_errors(400, 401, 403, 405, 406, 413, 415, 500, 502, 503, 504)},
        }
        word = "Index" if kind != "json" and "{index}" in path else ""
        operation = f"dropin{word}{'Search' if kind == 'json' else 'Msearch'}"
        paths[path] = {
            method: {"operationId": f"{operation}{suffix}", **described}
            for method, suffix in (("get", "ByGet"), ("post", ""))
        }
    return paths


_HOW = {
    "description": "`ranked`, or `passed; ` and why the answer is the cluster's own; a list for several searches",
    "schema": {"type": "string"},
}


def _cluster_errors(*statuses: int) -> dict[str, Any]:
    described = {**_ERRORS, 401: "the key is missing or wrong", 403: "not a search, or of an index that is not served",
                 406: "an answer of that type is not given", 413: "the body is larger than 1 MiB"}  # fmt: skip
    return {str(status): _answer(described[status], "ClusterError") for status in statuses}


_FILTER = {
    "name": "filter",
    "in": "query",
    "description": "field:value, repeatable; the short form of filters",
    "schema": {"type": "array", "items": {"type": "string"}, "examples": [["brand:HP", "brand:Canon"]]},
    "explode": True,
}
_PUSHED = {
    "application/json": {
        "schema": {
            "type": "array",
            "maxItems": MAX_DOCUMENTS,
            "items": {
                "type": "object",
                "properties": {
                    "_id": {"type": "string", "description": "if absent, the field that the index was read by as id"},
                    "_routing": {"type": "string"},
                    "_deleted": {"type": "boolean", "description": "true: delete it; no other fields are needed"},
                },
            },
            "examples": [[{"_id": "p1", "title": "Desk lamp"}, {"_id": "p2", "_deleted": True}]],
        }
    },
    "application/x-ndjson": {
        "schema": {
            "type": "string",
            "description": "lines of an Elasticsearch bulk body (index, create and delete), or a document a line",
            "examples": ['{"index":{"_id":"p1"}}\n{"title":"Desk lamp"}\n{"delete":{"_id":"p2"}}\n'],
        }
    },
}
#: Addresses of a product's files: (operation, what it is, its types, parameters).
_FILES: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "media": ("picture", "A product's picture", "image/*", {"n": "of several pictures, which; from 0"}),
    "video": ("video", "A product's video, or its animation", "video/*", {}),
    "audio": ("audio", "A product's sound", "audio/*", {}),
    "poster": (
        "poster",
        "A frame of a product's video",
        "image/*",
        {"at": "second of the frame; default: an ordinary one"},
    ),
    "waveform": ("waveform", "The loudness of a product's sound over time", "image/svg+xml", {}),
}


def _media(operation: str, summary: str, types: str, more: dict[str, str], path_name: dict[str, Any]) -> dict[str, Any]:
    parameters = [{"name": name, **path_name} for name in ("index", "product_id")]
    parameters += [
        {"name": name, "in": "query", "description": text, "schema": {"type": "number"}} for name, text in more.items()
    ]
    return {
        "get": {
            "operationId": operation,
            "summary": summary,
            "parameters": parameters,
            "responses": {
                "200": {"description": "the file", "content": {types: {}}},
                "206": {"description": "the part asked for by Range"},
                "304": {"description": "unchanged since the ETag sent"},
                **_errors(400, 404, 500, 502, 503, 504),
            },
        }
    }


def _plain(operation: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"operationId": operation, "summary": summary, "responses": {**responses, **_errors(405, 500)}}


def _query(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """One query parameter a field. Maps and lists are sent in their short form, as text."""
    parameters = []
    for name, field in schema["properties"].items():
        short = name in ("filters", "facets", "weights", *MEDIA_SIGNALS)
        parameters.append(
            {
                "name": name,
                "in": "query",
                "description": field.get("description", name) + _SHORT.get(name, ""),
                "schema": {"type": "string"} if short else _bare(field),
            }
        )
    return parameters


_SHORT = {
    "filters": "; as JSON",
    "facets": "; separated by commas, none: empty",
    "weights": "; as name=number, separated by commas",
    **dict.fromkeys(MEDIA_SIGNALS, "; as a data URL, so rather POST it"),
}


def _bare(field: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in field.items() if key != "description"}


def _bodies(search: dict[str, Any]) -> dict[str, Any]:
    names = search["properties"]
    texts = {name: {"type": "string", "description": names[name].get("description", "")} for name in names}
    form = {**texts, "filter": {"type": "array", "items": {"type": "string"}}}
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    upload = {**form, **dict.fromkeys(MEDIA_SIGNALS, file)}
    return {
        "application/json": {"schema": {"$ref": _REF.format(model="SearchParams")}},
        "application/x-www-form-urlencoded": {
            "schema": {"type": "object", "properties": form, "additionalProperties": False}
        },
        "multipart/form-data": {"schema": {"type": "object", "properties": upload, "additionalProperties": False}},
    }


def _answer(description: str, model: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _REF.format(model=model)}}}
    return {"description": description, "headers": _HEADERS, "content": content}


_HEADERS = {
    "X-Request-Id": {
        "description": "the caller's, or a new one; stands in the log",
        "schema": {"type": "string"},
    }
}


def _errors(*statuses: int) -> dict[str, Any]:
    return {str(status): _answer(_ERRORS[status], "Error") for status in statuses}
