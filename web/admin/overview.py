"""How the layer is: cluster, coverage, queue, errors, and what to do."""

from __future__ import annotations

from web.admin.access import admin
from web.admin.frame import render


@admin.get("/")
def index() -> str:
    return render("admin/overview.html", here="overview")
