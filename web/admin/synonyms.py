"""Synonyms of an index, for programs."""

from __future__ import annotations

from typing import Any

from flask import g, request

from web.admin.access import admin
from web.admin.frame import core
from web.admin.schemas import Call, NoSynonymsParams, SynonymsParams
from web.params import json_of, validate

_FILE = {
    "index": "shop", "text": "sofa, couch, settee\ntrainers => running shoes", "version": 1, "rules": 2, "by": "ed",
    "at": "2026-11-02T09:30:00+00:00",
}  # fmt: skip


def _put(index: str, text: str, instead_of: int) -> dict[str, Any]:
    core().searcher.profile(index)
    file = core().synonym_files.put(index, text, g.user.name, instead_of)
    g.counted = {"rules": file.rules, "version": file.version}
    return {"index": index, **file.to_json()}


@admin.get("/api/synonyms/<index>")
@Call(gives=_FILE)
def api_synonyms(index: str) -> dict[str, Any]:
    """The synonyms of an index as they were given; version 0 where none ever were."""
    return {"index": index, **core().synonym_files.get(index).to_json()}


@admin.post("/api/synonyms/<index>")
@Call(SynonymsParams, _FILE)
def api_set_synonyms(index: str) -> dict[str, Any]:
    """Replace the synonyms of an index. A line that cannot be read is named, and nothing is changed."""
    params = validate(SynonymsParams, json_of(request))
    return _put(index, params.text, params.instead_of)


@admin.post("/api/synonyms/<index>/remove")
@Call(NoSynonymsParams, {**_FILE, "text": "", "rules": 0, "version": 2})
def api_remove_synonyms(index: str) -> dict[str, Any]:
    """Remove the synonyms of an index."""
    return _put(index, "", validate(NoSynonymsParams, json_of(request)).instead_of)
