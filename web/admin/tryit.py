"""Try it: one query under two systems side by side, weighed by hand, and its hits rated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from flask import Response, g, jsonify, redirect, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as AnyResponse

from hybrid.contracts import IndexProfile
from hybrid.elastic.stores.judgments import RATINGS
from hybrid.errors import MediaError, UsageError
from hybrid.evaluation import side_by_side
from hybrid.evaluation.photos import JudgedPhoto, checked_key, judged_photo
from hybrid.search import fusion
from hybrid.searches import Hit, SearchRequest, by_kind, systems
from hybrid.signals import LEXICAL, PRIOR
from web import facts, strings
from web.admin.access import admin, open_to_viewers, unrecorded
from web.admin.frame import Words, core, render, say, shown_first
from web.admin.schemas import Call, Rating, TryParams
from web.assets import kept_file, read_photo
from web.params import SearchParams, checked_index, json_of, validate
from web.services import default_index
from web.shop.view import Cards

SIDES = ("left", "right")
#: Hits of a side that are visible, and hits whose places are compared to say what moved.
VISIBLE, KNOWN = 20, 50
VERSIONS = 50
DEFAULT_LIST = "judgments"


@dataclass(frozen=True)
class TrySearch:
    """The search in the address of the page.

    systems: side -> system, as side_by_side.side_request takes it. photo: the key of a stored photo.
    """

    q: str
    index: str
    list: str
    systems: Mapping[str, str]
    own: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    photo: str = ""

    def query_string(self, photo: str = "") -> str:
        pairs = [("q", self.q), ("photo", photo), ("index", self.index), ("list", self.list), *self.systems.items()]
        for side, weights in self.own.items():
            if self.systems[side] == "own":
                pairs += [(f"{side}_{name}", f"{weight:g}") for name, weight in weights.items()]
        return urlencode([(key, value) for key, value in pairs if value])


def _search_of(values: MultiDict[str, str]) -> TrySearch:
    """Raises UsageError: a weight that is no number, a photo that is no key."""
    own: dict[str, dict[str, float]] = {side: {} for side in SIDES}
    for key, value in values.items():
        side, _, signal = key.partition("_")
        if side in own and signal and value.strip():
            own[side][signal] = _weight(key, value)
    systems = {"left": values.get("left", "bm25"), "right": values.get("right", "")}
    return TrySearch(
        " ".join(values.get("q", "").split()), values.get("index", ""), values.get("list", "").strip(), systems, own,
        _key(values),
    )  # fmt: skip


def _key(values: MultiDict[str, str]) -> str:
    return checked_key(values["photo"]) if values.get("photo") else ""


def _weight(key: str, value: str) -> float:
    try:
        weight = float(value)
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight) or weight < 0:
        raise UsageError(f"{key}: must be a number of at least 0")
    return weight


@admin.route("/try", methods=["GET", "POST"])
@open_to_viewers
@unrecorded
def tryit() -> str | AnyResponse:
    search = _search_of(request.values)
    photo, problem = _photo(search)
    photos = core().judgment_lists.photos
    if request.method == "POST" and not problem and (photo is None or photos.get(photo.key)):
        # An address to keep and to share.
        return redirect(f"{url_for('admin.tryit')}?{search.query_string(photo.key if photo else '')}")
    names = core().searcher.indices()
    if not names and not search.index:
        return render("admin/tryit.html", here="tryit", search=search, indices=[], sides=[], searched=False)
    index = checked_index(search.index) if search.index else shown_first(names)
    lists = [entry["list"] for entry in core().judgment_lists.lists(index)]
    name = search.list or next(iter(lists), DEFAULT_LIST)
    searched = bool(search.q or photo) and not problem  # words alone would answer something else
    tried = _tried(search, index, photo, searched)
    rated = core().judgment_lists.ratings(index, name, search.q, photo.key if photo else "") if searched else {}
    return render(
        "admin/tryit.html", here="tryit", search=search, index=index, indices=names, lists=lists, list=name,
        choices=_choices(index), photo=photo, problem=problem, photo_url=kept_file(photo.data) if photo else None,
        ratings=RATINGS, rated=rated, may_rate=g.user.may_edit and searched, searched=searched,
        back=search.query_string(), address=search.query_string(photo.key if photo else ""), **tried,
    )  # fmt: skip


def _photo(search: TrySearch) -> tuple[JudgedPhoto | None, str]:
    """(the photo to search by, the reason why a requested photo is missing).

    The photo is the small one that judgments store, so that evaluation and training search by the same photo later.
    """
    try:
        if upload := read_photo():
            return judged_photo(upload), ""
    except MediaError as error:
        return None, str(error)
    if not search.photo or request.form.get("drop_image"):
        return None, ""
    photo = core().judgment_lists.photos.get(search.photo)
    return photo, "" if photo else Words(g.lang).try_photo_gone


def _tried(search: TrySearch, index: str, photo: JudgedPhoto | None, searched: bool) -> dict[str, Any]:
    """The sides for the template, and the pool whose candidates the script weighs anew."""
    searcher = core().searcher
    profile = searcher.profile(index)
    signals = _signals(profile)
    if not searched:
        sides = [_side(side, search, side_by_side.Side(None), None, signals) for side in SIDES]
        return {"sides": sides, "pool": None}
    base = _base(index, search.q, photo)
    answered, candidates = _search(search, base)
    pool = candidates if any(side.answer for side in answered) else None
    if pool:
        signals = list(pool.scaled) or signals
    sides = [_side(name, search, side, pool, signals) for name, side in zip(SIDES, answered, strict=True)]
    cards = Cards(index, profile.fields, g.lang)
    orders = [[hit.id for hit in side.answer.hits] if side.answer else [] for side in answered]
    for at, (side, answer) in enumerate(zip(sides, (side.answer for side in answered), strict=True)):
        moves = _left_moves(*orders) if at == 0 else _right_moves(*orders)
        side["order"] = orders[at]
        side["hits"] = (
            [
                {**_card(cards, hit, _parts(hit, answer.system == "rrf", signals)), "rank": rank, "move": move}
                for rank, (hit, move) in enumerate(zip(answer.hits[:VISIBLE], moves, strict=False), 1)
            ]
            if answer
            else []
        )
    return {"sides": sides, "pool": pool}


def _signals(profile: IndexProfile) -> list[str]:
    return [LEXICAL, *profile.signals, *([PRIOR] if profile.priors else [])]


def _base(index: str, words: str, photo: JudgedPhoto | None) -> SearchRequest:
    """Raises UsageError: an index or words that no search takes."""
    image = photo.data if photo else None
    options: dict[str, Any] = {"index": index, "q": words, "image": image, "size": KNOWN, "facets": []}
    return validate(SearchParams, options).to_request(index)


def _search(search: TrySearch, base: SearchRequest) -> tuple[list[side_by_side.Side], side_by_side.Pool | None]:
    requests: list[SearchRequest | str] = []
    for side in SIDES:
        try:
            requests.append(side_by_side.side_request(base, search.systems[side], search.own.get(side)))
        except UsageError as error:
            requests.append(str(error))
    asking = [one for one in requests if not isinstance(one, str)]
    sides, pool = side_by_side.side_by_side(core().searcher, core().published, asking, base)
    answers = iter(sides)
    return [side_by_side.Side(None, one) if isinstance(one, str) else next(answers) for one in requests], pool


def _side(
    name: str, search: TrySearch, side: side_by_side.Side, pool: side_by_side.Pool | None, signals: Sequence[str]
) -> dict[str, Any]:
    answer, system = side.answer, search.systems[name]
    start: Mapping[str, float] = search.own.get(name, {}) if system == "own" else {}
    if answer and system != "own":
        # Reciprocal rank fusion has no weights of scores: each field begins with the same weight.
        start = pool.requested_weights(answer.weights) if pool and system != "rrf" else answer.weights
    return {
        "name": name,
        "system": system,
        "problem": side.problem,
        "answer": answer,
        "hits": [],
        "order": [],
        "weights": {signal: f"{start.get(signal, 0.0):.3g}" if start else "" for signal in signals},
        "shares": sorted(answer.weights.items(), key=lambda item: (-item[1], item[0])) if answer else [],
        "reasons": [facts.reason(reason, g.lang) for reason in answer.reasons] if answer else [],
        "notes": [facts.note(note, g.lang) for note in answer.notes] if answer else [],
        "degraded": [(facts.degraded(item, g.lang), item.reason) for item in answer.degraded] if answer else [],
    }


def _choices(index: str) -> dict[str, list[tuple[str, str]]]:
    """(value, label) of the choices of a side: systems, then published weights."""
    labels = {one["name"]: one["label"] for one in strings.system_choices(systems(), g.lang)}
    return {
        "systems": [(name, labels[name]) for name in systems()],
        "versions": [
            (entry["version"], f"{entry['version']} ({entry['method']})")
            for entry in core().models("weights").page(index, VERSIONS)[0]
        ],
    }


def _card(cards: Cards, hit: Hit, parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": hit.id,
        "title": cards.text(hit.source, "title") or hit.id,
        "picture": cards.picture(hit),
        "parts": parts,
        "score": f"{hit.score:.3f}",
    }


def _parts(hit: Hit, rrf: bool, signals: Sequence[str]) -> list[dict[str, Any]]:
    """The contribution of each signal: width of a bar of 100, and the sum in figures."""
    # A rank scores 1 / (60 + rank): the first rank is a full bar.
    full, digits = (1 / (fusion.RRF_K + 1), 4) if rrf else (1.0, 3)
    rows, parts = [], by_kind(hit.signals)
    for name in signals:
        part = parts.get(name)
        counts = part is not None and (part.weight > 0 or part.raw is not None)
        rows.append(
            {
                "name": name,
                "kind": name.partition(".")[0],
                "label": strings.signal_label(name, g.lang),
                "counts": part is not None,
                "width": round(100 * min(1.0, part.contribution / full), 2) if part else 0,
                "sum": f"{part.weight:.2f} × {part.scaled:.{digits}f} = {part.contribution:.{digits}f}"
                if part and counts
                else "",
            }
        )
    return rows


def _right_moves(left: Sequence[str], right: Sequence[str]) -> Iterable[tuple[str, int]]:
    """("up" | "down" | "same" | "new", places) of each hit of the right against the left."""
    before = {id: rank for rank, id in enumerate(left)}
    for rank, id in enumerate(right):
        if not left:
            yield "", 0
        elif id not in before:
            yield "new", 0
        else:
            by = before[id] - rank
            yield ("up" if by > 0 else "down" if by < 0 else "same"), abs(by)


def _left_moves(left: Sequence[str], right: Sequence[str]) -> Iterable[tuple[str, int]]:
    """("gone" | "", 0) of each hit of the left: gone where the right does not show it."""
    visible_right = set(right[:VISIBLE])
    return (("gone" if right and id not in visible_right else "", 0) for id in left)


@admin.get("/try/cards")
def tryit_cards() -> str:
    """Hits that a change of weights brings up and that are not on the page yet."""
    index, ids = checked_index(request.args.get("index", "")), request.args.getlist("id")[:KNOWN]
    profile = core().searcher.profile(index)
    cards = Cards(index, profile.fields, g.lang)
    sources = core().retrieval.sources(profile, ids)
    hits = []
    for id in ids:
        if id in sources:
            hit = Hit(id, 0.0, {}, sources[id])
            parts = _parts(hit, False, _signals(profile))
            hits.append({**_card(cards, hit, parts), "rank": 0, "move": ("", 0)})
    name, query, photo = request.args.get("list", ""), request.args.get("q", ""), _key(request.args)
    rated = core().judgment_lists.ratings(index, name, query, photo) if name and (query or photo) else {}
    return render(
        "admin/_try_hits.html", hits=hits, side="left", ratings=RATINGS, rated=rated,
        may_rate=g.user.may_edit and bool(query or photo),
    )  # fmt: skip


@admin.post("/try/rate")
def rate_hit() -> AnyResponse:
    """Rate by a button where no script runs. `rate` is "3|left-4|product", or "-" in place of the 3."""
    rating, _, rest = request.form.get("rate", "").partition("|")
    place, _, product = rest.partition("|")
    fields: dict[str, Any] = {key: request.form.get(key, "") for key in ("index", "list", "query")}
    rated = None if rating == "-" else _whole(rating)
    params = validate(Rating, {**fields, "image": read_photo(), "product": product, "rating": rated})
    photo = _rate(params)
    say(
        "try_unrated" if params.rating is None else "try_rated",
        product=params.product,
        n=params.rating,
        list=params.list,
    )
    anchor = place if place.replace("-", "").isalnum() else ""
    back = f"{url_for('admin.tryit')}?{request.form.get('back', '').lstrip('?')}"
    if photo is None:
        return redirect(f"{back}#{anchor}")
    if core().judgment_lists.photos.get(photo):
        return redirect(f"{back}&photo={photo}#{anchor}")
    return redirect(f"{back}#{anchor}", 307)  # the browser posts the photo again: no rating stores it any more


def _whole(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _rate(rating: Rating) -> str | None:
    """Store a rating, or remove it, and return the key of its photo.

    Raises:
        MediaError: a photo that cannot be used.
    """
    lists = core().judgment_lists
    photo = judged_photo(rating.image) if rating.image else None
    key = photo.key if photo else ""
    if rating.rating is None:
        lists.unrate(rating.index, rating.list, rating.query, rating.product, key)
    else:
        lists.rate(rating.index, rating.list, rating.query, rating.product, rating.rating, g.user.name, photo)
    g.counted = {"photo": key} if photo else {}
    return key or None


@admin.post("/api/judgments")
@Call(Rating, [{"rating": 3}, {"rating": 3, "photo": "5f2b8c0d9e1a4b7c8d9e0f1a2b3c4d5e"}])
def api_rate() -> Response:
    """Store a rating, or remove it. photo: key of the photo, where one is judged."""
    rating = validate(Rating, json_of(request))
    photo = _rate(rating)
    return jsonify({"rating": rating.rating, **({"photo": photo} if photo else {})})


@admin.post("/api/try")
@open_to_viewers
@unrecorded
@Call(
    TryParams,
    {
        "index": "shop",
        "left": {"problem": "no published gate weights"},
        "right": {"total": 36, "hits": [], "system": "gate"},
        "pool": {"ids": ["p-102"], "scaled": {"lexical": [1.0]}, "confidence": {}},
    },
)
def api_try() -> Response:
    """One search under two systems: both answers, and every candidate for weighing them anew.

    pool is null where the query itself is wrong.
    """
    params = validate(TryParams, json_of(request))
    index = params.index or default_index()
    base = _base(index, params.q, judged_photo(params.image) if params.image else None)
    own = {"left": params.left_weights, "right": params.right_weights}
    search = TrySearch(params.q, index, "", {"left": params.left, "right": params.right}, own)
    answered, pool = _search(search, base)
    sides = {
        name: side.answer.to_json() if side.answer else {"problem": side.problem}
        for name, side in zip(SIDES, answered, strict=True)
    }
    return jsonify({"index": index, **sides, "pool": pool and pool.to_json()})
