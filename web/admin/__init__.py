"""The admin page at /admin/: one blueprint, a module for each of its pages, and access kept in one place."""

from __future__ import annotations

from flask import Flask, request

from hybrid.evaluation.photos import parts_of
from web.admin import (
    access,
    audit,
    evaluations,
    failures,
    judgments,
    models,
    overview,
    priors,
    reindex,
    synonyms,
    tryit,
    weights,
)  # fmt: skip
from web.admin.access import admin
from web.admin.frame import error_answer

__all__ = ["admin", "error_answer", "install", "is_here"]

#: Importing them puts their views on the blueprint.
PAGES = (overview, tryit, judgments, reindex, failures, weights, models, evaluations, synonyms, priors, audit)


def install(app: Flask) -> None:
    """Put the admin page into an app, behind its sign-in."""
    app.config.setdefault("ADMIN_LOOK_S", 1.0)
    access.install(app)
    app.jinja_env.filters["judged_parts"] = parts_of  # a filter, for macros see no more than that
    app.register_blueprint(admin)


def is_here() -> bool:
    """Whether the request is for the admin page."""
    return request.path == "/admin" or request.path.startswith("/admin/")
