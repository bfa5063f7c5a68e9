"""Numbers of the products that count in searches, for programs."""

from __future__ import annotations

from typing import Any

from flask import g, request

from hybrid.operations import priors
from web.admin.access import admin
from web.admin.frame import core
from web.admin.schemas import Call, PriorsParams
from web.params import json_of, validate

_PRIORS = {
    "index": "shop", "priors": [
        {"field": "rating", "less": False, "date": False, "median": 4.4, "half_life_days": None},
        {"field": "price", "less": True, "date": False, "median": 39.9, "half_life_days": None},
    ],
}  # fmt: skip


@admin.get("/api/priors/<index>")
@Call(gives=_PRIORS)
def api_priors(index: str) -> dict[str, Any]:
    """The numbers of products that count in searches of an index."""
    return priors.to_json(index, core().searcher.profile(index).priors)


@admin.post("/api/priors/<index>")
@Call(PriorsParams, _PRIORS)
def api_set_priors(index: str) -> dict[str, Any]:
    """Let these numbers count, in place of those before. A field that cannot is named, and nothing is changed."""
    fields = validate(PriorsParams, json_of(request)).fields
    g.counted = {"fields": fields}
    return priors.to_json(index, priors.set_priors(core(), index, fields))
