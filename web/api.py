"""The JSON interface: search, suggestions, health. Views parse, call the core once, shape."""

from __future__ import annotations

from flask import Blueprint, Response, g, jsonify, request

from hybrid.errors import HybridError
from web.openapi import document
from web.parse import fields_of
from web.schemas import SearchParams, SuggestParams, validate
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
