"""Judgment lists: what is in them, how much of today's ranking they cover, in from a file and out in every format."""

from __future__ import annotations

from typing import Any

from flask import Response, g, jsonify, redirect, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from hybrid.errors import JudgmentsError, UsageError
from hybrid.evaluation import side_by_side
from hybrid.evaluation.archives import archived, read_upload
from hybrid.evaluation.formats import FORMATS
from hybrid.evaluation.judgments import checked_list
from hybrid.evaluation.photos import checked_key
from web.admin.access import admin
from web.admin.frame import chosen_index, core, render, saved_as, say
from web.admin.schemas import Call
from web.params import checked_index, wanted
from web.services import default_index

PAGE_SIZE = 50
#: What the formats are called by those who use them.
FORMAT_NAMES = {
    "quepid": "CSV (Quepid)", "trec": "TREC qrels", "rre": "Rated Ranking Evaluator", "ranklib": "RankLib (LTR)",
    "beir": "BEIR", "srw": "OpenSearch SRW",
}  # fmt: skip


@admin.get("/judgments")
def judgments() -> str:
    names, index = core().searcher.indices(), chosen_index()
    lists = core().judgment_lists.lists(index) if index else []
    return render("admin/judgments.html", here="judgments", indices=names, index=index, lists=lists, failed=None)


@admin.get("/judgments/<index>/<name>")
def judgments_of(index: str, name: str) -> str:
    rows, after = core().judgment_lists.queries(index, name, PAGE_SIZE, request.args.get("after"))
    entry = core().judgment_lists.one(index, name)
    covered = None
    if request.args.get("coverage") and entry:
        covered = _coverage(index, name)
    return render(
        "admin/judgments_of.html", here="judgments", index=index, name=name, entry=entry, rows=rows, after=after,
        first="after" not in request.args, covered=covered, formats=[(one, FORMAT_NAMES[one]) for one in FORMATS],
    )  # fmt: skip


def _coverage(index: str, name: str) -> side_by_side.Coverage:
    return side_by_side.coverage(core().searcher, index, core().judgment_lists.judgments(index, name))


@admin.get("/judgments/<index>/<name>/coverage")
def judgments_coverage(index: str, name: str) -> str:
    """The part of the page that takes its time."""
    covered = _coverage(index, name)
    return render("admin/_coverage.html", index=index, name=name, covered=covered)


@admin.post("/judgments")
def import_judgments() -> AnyResponse | tuple[str, int]:
    index, name = request.form.get("index", ""), request.form.get("list", "").strip()
    try:
        taken, notes = _take_in(index, name)
    except (UsageError, JudgmentsError) as error:
        lists = core().judgment_lists.lists(index) if index else []
        page = render(
            "admin/judgments.html", here="judgments", indices=core().searcher.indices(), index=index, lists=lists,
            failed=str(error), named=name,
        )  # fmt: skip
        return page, error.http_status
    say("judgments_taken", n=f"{taken:,}", list=name)
    for note in notes:
        say("judgments_note", "warning", note=note)
    return redirect(url_for("admin.judgments_of", index=index, name=name))


def _take_in(index: str, name: str) -> tuple[int, tuple[str, ...]]:
    checked_list(name)
    core().searcher.profile(checked_index(index))
    file, queries = request.files.get("file"), request.files.get("queries")
    if file is None or not file.filename:
        raise UsageError("choose a file of judgments")
    texts = queries.read() if queries is not None and queries.filename else None
    read = core().checked(index, read_upload(file.filename, file.read(), texts))
    taken = core().judgment_lists.take_in(index, name, read, g.user.name)
    g.counted = {"judgments": taken}
    return taken, read.notes


@admin.get("/judgments/<index>/<name>/export")
def export_judgments(index: str, name: str) -> Response:
    judgments_list = core().judgment_lists.judgments(index, name)
    file, content = archived(judgments_list, name, request.args.get("format", "quepid"))
    return Response(content, mimetype="application/octet-stream", headers=saved_as(file))


@admin.post("/judgments/<index>/<name>/delete")
def delete_judgments(index: str, name: str) -> AnyResponse:
    if request.form.get("sure") != "yes":
        say("judgments_not_sure", "warning")
        return redirect(url_for("admin.judgments_of", index=index, name=name))
    count = _delete(index, name)
    say("judgments_deleted", n=f"{count:,}", list=name)
    return redirect(url_for("admin.judgments", index=index))


def _delete(index: str, name: str) -> int:
    count = core().judgment_lists.delete(index, name)
    g.counted = {"judgments": count}
    return count


# -- for programs ----------------------------------------------------------------------------------------------------


_FILE = {"type": "string", "format": "binary"}
_UPLOAD = {"type": "object", "required": ["file"], "properties": {"file": _FILE, "queries": _FILE}}


@admin.post("/api/judgments/<index>/<name>/import")
@Call({"multipart/form-data": {"schema": _UPLOAD}}, {"judgments": 120, "notes": []})
def api_import(index: str, name: str) -> dict[str, Any]:
    """Take in the uploaded `file`, with the texts of numbered queries in `queries` where its format needs them."""
    wanted(request, "multipart/form-data")
    taken, notes = _take_in(index, name)
    return {"judgments": taken, "notes": notes}


@admin.get("/api/judgments/<index>/<name>/export")
@Call(gives="application/octet-stream", query=("format",))
def api_export(index: str, name: str) -> Response:
    """A list as a file in one of the formats of evaluation."""
    return export_judgments(index, name)


@admin.delete("/api/judgments/<index>/<name>")
@Call(gives={"judgments": 120})
def api_delete(index: str, name: str) -> dict[str, Any]:
    """Delete a list; how many judgments it had."""
    return {"judgments": _delete(index, name)}


@admin.get("/api/judgments")
@Call(
    gives=[
        {"index": "shop", "lists": [{"list": "lamps", "queries": 12, "judgments": 120, "at": "2026-11-02T09:30:00Z"}]},
        {
            "index": "shop",
            "list": "lamps",
            "queries": [{"query": "desk lamp", "judgments": 9, "relevant": 4}],
            "after": "desk lamp",
        },
        {"index": "shop", "list": "lamps", "ratings": {"p-102": 3.0}},
    ],
    query=("index", "list", "q", "photo", "after"),
)
def api_judgments() -> Response:
    """Lists of an index; with list, a page of its queries; with q or photo (its key) too, the ratings of that query."""
    args = request.args
    index, name = args.get("index") or default_index(), args.get("list")
    lists = core().judgment_lists
    if not name:
        return jsonify({"index": index, "lists": lists.lists(index)})
    result: dict[str, Any] = {"index": index, "list": name}
    if "q" in args or args.get("photo"):
        photo = checked_key(args["photo"]) if args.get("photo") else ""
        return jsonify({**result, "ratings": lists.ratings(index, name, args.get("q", ""), photo)})
    rows, after = lists.queries(index, name, PAGE_SIZE, args.get("after"))
    return jsonify({**result, "queries": rows, "after": after})


@admin.get("/api/judgments/coverage")
@Call(gives={"queries": 12, "asked": 12, "judged_at_10": 0.84}, query=("index", "list"))
def api_coverage() -> Response:
    """How much of the first ten hits of today's ranking a list judges."""
    index, name = request.args.get("index") or default_index(), request.args.get("list", "")
    covered = _coverage(index, name)
    return jsonify({"queries": covered.queries, "asked": covered.sampled, "judged_at_10": covered.judged})


@admin.get("/api/photos/<photo>")
@Call(gives="image/jpeg", also={304: "unchanged since the ETag that was sent"})
def judged_photo(photo: str) -> AnyResponse:
    """A photo that judgments name: for pages too."""
    photo_found = core().judgment_lists.photos.get(checked_key(photo))
    if photo_found is None:
        raise NotFound("this photo is not stored")
    # Its address is its content: it never changes, but it can be deleted.
    answer = Response(photo_found.data, mimetype="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})
    answer.set_etag(photo)
    return answer.make_conditional(request)
