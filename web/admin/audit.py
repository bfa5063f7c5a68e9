"""Who did what, and when."""

from __future__ import annotations

from flask import current_app

from web.admin.access import admin
from web.admin.frame import core, page_number, render

PAGE_SIZE = 50


@admin.get("/audit")
def audit() -> str:
    page = page_number(PAGE_SIZE)
    entries, total = core().audit.list(PAGE_SIZE, (page - 1) * PAGE_SIZE)
    return render(
        "admin/audit.html", here="audit", entries=entries, total=total, page=page,
        refusals=current_app.extensions["hybrid_refusals"],
        more=total > page * PAGE_SIZE,
    )  # fmt: skip
