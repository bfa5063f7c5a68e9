"""Who did what, and when."""

from __future__ import annotations

from flask import request

from hybrid.errors import UsageError
from web.admin.access import admin
from web.admin.frame import core, render

PAGE_SIZE = 50


@admin.get("/audit")
def audit() -> str:
    number = request.args.get("page", "1")
    if not number.isdecimal() or not 1 <= int(number) <= 10_000 // PAGE_SIZE:
        raise UsageError("page: must be a number from 1 to 200")
    entries, total = core().audit.list(PAGE_SIZE, (int(number) - 1) * PAGE_SIZE)
    return render(
        "admin/audit.html", here="audit", entries=entries, total=total, page=int(number),
        more=total > int(number) * PAGE_SIZE,
    )  # fmt: skip
