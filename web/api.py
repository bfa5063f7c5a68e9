"""The JSON interface: search, suggestions, pictures, health. Views parse, call the core once, shape."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, g, jsonify, request, send_file
from werkzeug.exceptions import NotFound

from hybrid.contracts import values_at
from hybrid.errors import HybridError, MediaError
from web.openapi import document
from web.parse import fields_of
from web.schemas import SearchParams, SuggestParams, validate
from web.services import default_index, services

api = Blueprint("api", __name__)

PICTURE_SECONDS = 3600  # a changed picture shows within the hour; its ETag makes asking again cheap


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


@api.get("/media/<index>/<path:product_id>")
def media(index: str, product_id: str) -> Response:
    """A product's picture. Only the catalogue decides the path; nothing of the address reaches the disk."""
    # On first use: the decoder behind it is not needed to answer a search.
    from hybrid.media import is_data_url, resolve_image

    searcher = services().searcher
    # Both of one index: another one may keep its pictures in other fields.
    profile, source = searcher.whole(index, lambda profile: (profile, searcher.product(index, product_id)))
    root = services().settings.media_root or profile.media_root
    if source is None:
        raise NotFound("no picture")
    folder = Path(root).resolve() if root is not None else None
    for value in picture_values(source, profile.fields.roles.get("image", ())):
        if is_data_url(value):
            return _inline_picture(value)
        if folder is None:
            continue
        try:
            path = Path(resolve_image(value, folder)).resolve()
        except MediaError:
            continue
        if not path.is_relative_to(folder) or not path.is_file():
            continue
        mimetype = picture_type(path)
        if mimetype:
            return send_file(path, mimetype=mimetype, conditional=True, max_age=PICTURE_SECONDS)
    raise NotFound("no picture")


def _inline_picture(value: str) -> Response:
    """A picture that stands in the catalogue itself, as a data URL."""
    from hybrid.media import read_picture

    try:
        data = read_picture(value, None)
    except MediaError as error:
        raise NotFound("no picture") from error
    mimetype = picture_type_of(data[:16])  # not the one that the catalogue says
    if mimetype is None:
        raise NotFound("no picture")
    return send_file(io.BytesIO(data), mimetype=mimetype, max_age=PICTURE_SECONDS)


def picture_values(source: dict[str, Any], paths: tuple[str, ...]) -> list[str]:
    """Where the catalogue says that a product's pictures are."""
    return [value for path in paths for value in values_at(source, path) if isinstance(value, str)]


def picture_type(path: Path) -> str | None:
    """The media type of a file that is a picture."""
    with path.open("rb") as file:
        return picture_type_of(file.read(16))


def picture_type_of(head: bytes) -> str | None:
    """The media type by the first 16 bytes, not the name: a page called .jpg is not served as anything.

    SVG is left out on purpose, since it can carry script.
    """
    for magic, mimetype in (
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"BM", "image/bmp"),
    ):
        if head.startswith(magic):
            return mimetype
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return "image/avif" if head[4:12] == b"ftypavif" else None
