"""The JSON interface: search, suggestions, health. Views parse, call the core once, shape."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

from flask import Blueprint, Flask, Response, current_app, g, jsonify, request
from werkzeug.exceptions import NotFound

from hybrid.searches import SearchRequest
from web.answers import Alive, Readiness, SearchAnswer, Suggestions
from web.compat import elasticsearch
from web.openapi import OF_SEARCHES, Described, document, routes
from web.params import SearchParams, SimilarParams, SuggestParams, fields_of, validate
from web.requests import is_busy, log
from web.services import ServicesLike, default_index, services

api = Blueprint("api", __name__)


@api.route("/api/search", methods=["GET", "POST"])
@Described(SearchParams, SearchAnswer, forms=True, errors=(*OF_SEARCHES, 413, 415))
def search() -> Response:
    """Search by words, a picture, a video or a recording, or by several of them."""
    params = validate(SearchParams, fields_of(request))
    wanted = params.to_request(params.index or default_index())
    answer = services().searcher.search(replace(wanted, quick=is_busy(request)))
    g.degraded = bool(answer.degraded)
    return jsonify(answer.to_json())


@api.get("/api/suggest")
@Described(SuggestParams, Suggestions)
def suggest() -> Response:
    """Complete what has been typed so far."""
    params = validate(SuggestParams, fields_of(request))
    index = params.index or default_index()
    suggestions = services().searcher.suggest(index, params.q, params.size) if params.q.strip() else []
    return jsonify({"index": index, "q": params.q, "suggestions": suggestions})


@api.get("/api/products/<path:product_id>/similar")
@Described(SimilarParams, SearchAnswer)
def similar(product_id: str) -> Response:
    """Products like a product, by the vectors that it has; the most alike first."""
    params = validate(SimilarParams, fields_of(request))
    index = params.index or default_index()
    searcher = services().searcher
    if searcher.product(index, product_id) is None:
        raise NotFound(f"no product {product_id!r} in index {index!r}")
    answer = searcher.search(SearchRequest(index=index, like=product_id, size=params.size, system=params.system))
    g.degraded = bool(answer.degraded)
    return jsonify(answer.to_json())


@api.get("/healthz")
@Described(gives=Alive, errors=())
def healthz() -> Response:
    """Is the process alive?

    It asks nothing of anybody, so that a slow cluster does not get it killed.
    """
    return jsonify({"status": "alive"})


@api.get("/readyz")
@Described(gives=Readiness, also={503: Readiness}, errors=())
def readyz() -> tuple[Response, int]:
    """Can it answer searches?

    Ready means that Elasticsearch answers: everything else only degrades a search.
    """
    ready, parts = readiness(services())
    return jsonify({"ready": ready, "parts": parts}), 200 if ready else 503


def readiness(core: ServicesLike) -> tuple[bool, dict[str, Any]]:
    """Whether searches can be answered, and the state of each part that they need."""
    parts = core.health()
    for name, part in parts.items():
        if reason := part.get("reason"):  # it may name hosts and settings
            log.warning("not ready: %s: %s", name, reason)
            part["reason"] = "it does not answer; the log says why"
    return bool(parts.get("elasticsearch", {}).get("ok")), parts


@api.get("/openapi.json")
@Described(gives={"openapi": "3.1.0", "info": {}, "servers": [], "paths": {}, "components": {}}, errors=(429,))
def openapi() -> Response:
    """This description, as OpenAPI 3.1."""
    return jsonify(_description(cast(Any, current_app)._get_current_object()))


@lru_cache(maxsize=1)
def _description(app: Flask) -> dict[str, Any]:
    """It does not change while the process lives."""
    return document([*routes(app), *elasticsearch.routes()])
