"""Dead letters: what failed for good, why, and trying it again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Response, abort, g, jsonify, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from hybrid.errors import ClusterUnreachableError, IndexMissingError, NodeError
from hybrid.operations import failures as core_failures
from hybrid.operations.orders import place
from hybrid.operations.runs import PENDING
from hybrid.searches import Hit
from hybrid.text.spreadsheets import guarded
from web.admin.access import admin
from web.admin.frame import core, page_number, render, saved_as, say
from web.admin.schemas import Call, ChosenFailures, FailuresPage
from web.params import MAX_WINDOW, json_of, validate
from web.shop.view import Cards

PAGE_SIZE = 50
#: How long the page goes on to reload after all products of an order are queued; and while products wait for a worker,
#: which may have to load its models first.
_WATCHED, _WATCHED_WHILE_PENDING = timedelta(minutes=1), timedelta(hours=1)
MAX_PAGE = MAX_WINDOW // PAGE_SIZE


@admin.get("/failures")
def failures() -> str:
    return render("admin/failures.html", here="failures", groups=core().dead_letters.groups())


@admin.get("/failures/<index>/<reason>")
def failures_of(index: str, reason: str) -> str:
    page = page_number(PAGE_SIZE)
    dead_letters = core().dead_letters.page(index, reason, PAGE_SIZE, (page - 1) * PAGE_SIZE)
    total = core().dead_letters.counts(index).get(reason, 0)
    order = core().orders.get(core_failures.slot(index))
    return render(
        "admin/failures_of.html", here="failures", index=index, reason=reason, total=total, page=page,
        dead_letters=_with_products(index, dead_letters), order=order, watched=_watched(index, order),
        more=page < MAX_PAGE and total > page * PAGE_SIZE,
    )  # fmt: skip


def _watched(index: str, order: dict[str, Any] | None) -> bool:
    """Whether the page is to reload: the order queues products, and workers take a while for the last of them."""
    if order is None or order["dead"]:
        return False
    if order["status"] in ("queued", "running"):
        return True
    since = datetime.now(UTC) - datetime.fromisoformat(order.get("beat") or order["placed"])
    return since < _WATCHED or (since < _WATCHED_WHILE_PENDING and core().cluster.indices.count(index, PENDING) > 0)


def _with_products(index: str, dead_letters: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The dead letters, each with the card of its product and the fields of the shop."""
    try:
        profile = core().searcher.profile(index)
    except IndexMissingError:
        return [{**dead_letter, "card": None, "fields": {}} for dead_letter in dead_letters]
    cards = Cards(index, profile.fields, g.lang)
    sources = core().retrieval.sources(profile, [dead_letter["product"] for dead_letter in dead_letters])

    def card(id: str, signal: str) -> dict[str, Any] | None:
        if id not in sources:
            return None
        hit = Hit(id, 0.0, {}, sources[id])
        # A picture that could not be read would be a broken one here, too.
        picture = "" if signal == "image" else cards.picture(hit)
        return {"title": cards.text(hit.source, "title") or id, "picture": picture}

    return [
        {
            **dead_letter,
            "card": card(dead_letter["product"], dead_letter["signal"]),
            "fields": sources.get(dead_letter["product"], {}),
        }
        for dead_letter in dead_letters
    ]


@admin.post("/failures/<index>/<reason>")
def change_failures(index: str, reason: str) -> AnyResponse:
    """Do what a button of the page says. `do`: retry, dismiss, retry_all or dismiss_all."""
    do = request.form.get("do", "")
    if do in ("retry", "dismiss"):
        ids = validate(ChosenFailures, {"dead_letters": request.form.getlist("dead_letter")}).dead_letters
        try:
            if not ids:
                say("failures_none_chosen", "warning")
            else:
                say("failures_queued" if do == "retry" else "failures_dismissed", n=_act(do, index, ids))
        except (NodeError, ClusterUnreachableError) as error:
            if do != "retry":
                raise
            say("failures_unqueued", "warning", why=error)
    elif do == "retry_all":
        notified = place(core(), core_failures.slot(index), core_failures.KIND, index, {"reason": reason}, g.user.name)
        say("failures_retrying" if notified else "ordered_not_notified", "done" if notified else "warning")
    elif do == "dismiss_all":
        if request.form.get("sure") != "yes":
            say("failures_not_sure", "warning")
        else:
            say("failures_dismissed", n=core_failures.dismiss_all(core().dead_letters, index, reason))
    else:
        abort(400, "do: must be retry, dismiss, retry_all or dismiss_all")
    left = core().dead_letters.counts(index).get(reason, 0)
    return redirect(url_for("admin.failures_of", index=index, reason=reason) if left else url_for("admin.failures"))


def _act(do: str, index: str, ids: Sequence[str]) -> int:
    """Retry or dismiss these dead letters, and return how many. Raises as `retry` does."""
    dead_letters = core().dead_letters.chosen(index, ids)
    if do == "retry":
        return core_failures.retry(core(), index, dead_letters)
    core().dead_letters.dismiss([dead_letter["id"] for dead_letter in dead_letters])
    return len(dead_letters)


@admin.get("/failures/<index>/<reason>/csv")
def failures_csv(index: str, reason: str) -> Response:
    rows = core_failures.csv_rows(core().dead_letters, index, reason)
    first = next(rows)  # an error of the cluster is to be an answer of its own, not the end of a file

    def lines() -> Iterator[str]:
        yield "\ufeff" + _line(first)  # without the mark, spreadsheets take UTF-8 for something else
        yield from map(_line, rows)

    return Response(lines(), mimetype="text/csv", headers=saved_as(f"failures-{index}-{reason}.csv"))


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(map(guarded, cells))
    return out.getvalue()


_GROUP = {"index": "shop", "reason": "image_missing", "count": 12, "newest": "2026-11-02T09:30:00Z"}


@admin.get("/api/failures")
@Call(FailuresPage, [{"groups": [_GROUP]}, {"dead_letters": [{"id": "5f2b8c0d", "product": "p-102"}], "total": 12}])
def api_failures() -> Response:
    """Groups; with index and reason, a page of dead letters."""
    if not request.args:
        return jsonify({"groups": core().dead_letters.groups()})
    params = validate(FailuresPage, request.args.to_dict())
    dead_letters = core().dead_letters.page(params.index, params.reason, PAGE_SIZE, (params.page - 1) * PAGE_SIZE)
    return jsonify(
        {"dead_letters": dead_letters, "total": core().dead_letters.counts(params.index).get(params.reason, 0)}
    )


@admin.post("/api/failures/<index>/<do>")
@Call(ChosenFailures, [{"queued": 12}, {"dismissed": 12}])
def api_change_failures(index: str, do: str) -> Response:
    """Retry or dismiss failures."""
    if do not in ("retry", "dismiss"):
        abort(404)
    ids = validate(ChosenFailures, json_of(request)).dead_letters
    return jsonify({"queued" if do == "retry" else "dismissed": _act(do, index, ids)})
