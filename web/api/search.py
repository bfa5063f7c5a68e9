"""The JSON interface: search, suggestions, health. Views parse, call the core once, shape."""

from __future__ import annotations

from flask import Blueprint, Response, g, jsonify, request
from werkzeug.exceptions import NotFound

from hybrid.contracts import SearchRequest
from hybrid.errors import HybridError
from web.api.openapi import document
from web.params import SearchParams, SimilarParams, SuggestParams, fields_of, validate
from web.services import default_index, services

api = Blueprint("api", __name__)


@api.route("/api/search", methods=["GET", "POST"])
def search() -> Response:
    params = validate(SearchParams, fields_of(request))
    answer = services().searcher.search(params.to_request(params.index or default_index()))
    g.degraded = bool(answer.degraded)
    return jsonify(answer.to_json())


@api.get("/api/suggest")
def suggest() -> Response:
    params = validate(SuggestParams, fields_of(request))
    index = params.index or default_index()
    found = services().searcher.suggest(index, params.q, params.size) if params.q.strip() else []
    return jsonify({"index": index, "q": params.q, "suggestions": found})


@api.get("/api/products/<path:product_id>/similar")
def similar(product_id: str) -> Response:
    params = validate(SimilarParams, fields_of(request))
    index = params.index or default_index()
    searcher = services().searcher
    if searcher.product(index, product_id) is None:
        raise NotFound(f"no product {product_id!r} in index {index!r}")
    answer = searcher.search(SearchRequest(index=index, like=product_id, size=params.size, system=params.system))
    g.degraded = bool(answer.degraded)
    return jsonify(answer.to_json())


@api.get("/healthz")
def healthz() -> Response:
    """Says that the process lives; asks nothing of anybody, so that a slow cluster does not get it killed."""
    return jsonify({"status": "alive"})


@api.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Ready means that Elasticsearch answers: everything else only degrades a search."""
    try:
        parts = services().health()
    except HybridError as error:
        parts = {"elasticsearch": {"ok": False, "reason": str(error)}}
    ready = bool(parts.get("elasticsearch", {}).get("ok"))
    return jsonify({"ready": ready, "parts": parts}), 200 if ready else 503


@api.get("/openapi.json")
def openapi() -> Response:
    return jsonify(document())
