"""The search page: one template, rendered here for browsers with and without script.

The script asks for the same addresses and swaps in the part named `results`, so both kinds of visitor
see the same page, and every text from a catalogue is escaped in one place: the template.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, g, make_response, render_template, request
from werkzeug.datastructures import CombinedMultiDict, MultiDict
from werkzeug.exceptions import HTTPException

from hybrid.contracts import FUSED, IndexProfile
from hybrid.errors import HybridError, UsageError
from hybrid.searches import LEARNED_SYSTEMS, UNDERSTANDS, SearchAnswer, SearchRequest, systems
from web import facts, strings
from web.assets import asset, kept_file, read_files
from web.openapi import OF_SEARCHES, Described
from web.params import MAX_WINDOW, SearchParams, page_of, validate
from web.requests import is_busy
from web.services import SearcherLike, default_index, services
from web.shop import view
from web.shop.view import PageState

page = Blueprint("page", __name__)

PAGE_SIZE = 24
#: Learned weights are offered as the default, which is whatever is active: an index need not have every kind.
_CHOICES = tuple(name for name in systems() if name not in LEARNED_SYSTEMS)
EXAMPLES = 6
#: Kinds of notes that a shopper is to see without asking why: the file that they chose took no part.
_OF_THE_FILE = ("no_vectors", "not_asked")


@page.route("/", methods=["GET", "POST"])
@Described(gives="text/html", query=("q",), errors=(*OF_SEARCHES, 413), error="text/html")
def index() -> Response:
    """The search page; a form with a photo is posted."""
    values = request.values
    state = read_state(values)
    files = read_files()
    if files:
        state = replace(state, like="")
    searcher = services().searcher
    names = searcher.indices()
    try:
        name = state.index if state.index_named else default_index(names)
    except UsageError:
        return _render(state, names, files, choose=True)
    state = replace(state, index=name)

    def search(profile: IndexProfile) -> tuple[IndexProfile, SearchAnswer]:
        params = validate(
            SearchParams,
            {
                "index": name,
                "q": state.q,
                **files,
                "filters": filters_of(state),
                "facets": list(view.facet_fields(profile.fields, state.lang)),
                "page": state.page,
                "correct": not state.exact,
                "size": PAGE_SIZE,
                # Browsing has nothing to match by; a system left from the last search must not refuse it.
                "system": (state.q or files) and state.system or None,
                "understand": [name for name in UNDERSTANDS if name != "price" or state.reads_prices],
            },
        )
        return profile, searcher.search(replace(params.to_request(name), like=state.like, quick=is_busy(request)))

    # The facets are asked for by the profile, so both are to be of one index.
    profile, answer = searcher.whole(name, search)
    g.degraded = bool(answer.degraded)
    missing = {"video", "audio", FUSED} - set(profile.signals)
    results = _results(state, profile, answer, bool(files))
    if not answer.total and not results["browsing"]:
        results["categories"] = _categories(searcher, profile, state)
    if state.like:
        source = searcher.product(name, state.like) or {}
        results["like_title"] = view.Cards(name, profile.fields, state.lang).text(source, "title") or state.like
    return _render(state, names, files, missing, **results)


def read_state(values: MultiDict[str, str]) -> PageState:
    """The page's own parameters. Unknown ones are left alone: links to pages carry campaign marks.

    Raises:
        UsageError: one that is known cannot be used.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    for pair in values.getlist("filter"):
        name, _, value = pair.partition(":")
        if name and value and value not in chosen.get(name, ()):
            chosen[name] = (*chosen.get(name, ()), value)
    ranges: dict[str, tuple[str, str]] = {}
    for key in values:
        side, _, name = key.partition(".")
        if side in ("min", "max") and name and name not in ranges:
            low, high = values.get(f"min.{name}", "").strip(), values.get(f"max.{name}", "").strip()
            if low or high:
                ranges[name] = (low, high)
    number = page_of(values.get("page", "") or "1", MAX_WINDOW)
    q = values.get("q", "").strip()
    return PageState(
        lang=language(values),
        q=q,
        like="" if q else values.get("like", "").strip(),
        index=values.get("index", ""),
        system=values.get("system", ""),
        page=number,
        chosen=chosen,
        ranges=ranges,
        index_named=bool(values.get("index")),
        lang_named=values.get("lang") in strings.LANGUAGES,
        literal=values.get("literal", "").strip(),
        exact=bool(q) and values.get("exact", "").strip() == q,  # it goes with that query, and not with the next one
    )


def language(values: MultiDict[str, str]) -> str:
    """The language asked for, else the browser's."""
    wanted_language = values.get("lang", "")
    if wanted_language in strings.LANGUAGES:
        return wanted_language
    return request.accept_languages.best_match(strings.LANGUAGES, "en") or "en"


def filters_of(state: PageState) -> dict[str, Any]:
    """The core's filters: values as they are, numbers of a range as numbers."""
    filters: dict[str, Any] = {name: list(values) for name, values in state.chosen.items() if values}
    for name, (low, high) in state.ranges.items():
        bounds = {"gte": _number(low), "lte": _number(high)}
        filters[name] = {side: bound for side, bound in bounds.items() if bound != ""}
    return filters


def _number(text: str) -> float | str:
    try:
        value = float(text)
    except ValueError:
        return text  # a date
    return value if math.isfinite(value) else text


def _results(state: PageState, profile: IndexProfile, answer: SearchAnswer, by_file: bool) -> dict[str, Any]:
    cards = view.Cards(profile.index, profile.fields, state.lang, state.q)
    pages = min(math.ceil(answer.total / PAGE_SIZE), MAX_WINDOW // PAGE_SIZE)
    category = _category(profile, state.lang)
    values = [item["value"] for item in answer.facets.get(category, [])]
    plain = not (state.q or state.like or by_file or state.chosen or state.ranges)
    return {
        "answer": answer,
        "hits": [cards.card(hit, position) for position, hit in enumerate(answer.hits)],
        "facets": view.facet_groups(answer.facets, profile.fields, state),
        "chips": view.active_filters(state, profile.fields),
        "price_chip": view.price_chip(state, answer.understood, profile.fields),
        "pages": pages,
        "numbers": view.page_numbers(state.page, pages) if pages > 1 else [],
        "start": plain and state.page == 1,
        "browsing": not (state.q or state.like or by_file),
        "examples": [str(value) for value in values[:EXAMPLES]],
        "counts": facts.counted(answer.total_counts, state.lang),
        "unlisted": _unlisted(state, answer),
        "degraded": [
            {"text": facts.degraded(item, state.lang), "reason": item.reason}
            for item in answer.degraded
        ],
        "notices": [facts.note(note, state.lang) for note in answer.notes if note.kind in _OF_THE_FILE],
        "reasons": [facts.reason(reason, state.lang) for reason in answer.reasons],
        "notes": [facts.note(note, state.lang) for note in answer.notes],
        "signals": [
            {
                "kind": name.partition(".")[0],
                "label": strings.signal_label(name, state.lang),
                "percent": round(100 * w),
            }
            for name, w in sorted(answer.weights.items(), key=lambda item: (-item[1], item[0]))
        ],
    }  # fmt: skip


def _categories(searcher: SearcherLike, profile: IndexProfile, state: PageState) -> list[dict[str, str]]:
    """What the shop has most of, with the address of each: what to look at where nothing was found."""
    category = _category(profile, state.lang)
    if not category:
        return []
    everything = SearchRequest(profile.index, system="bm25", facets=(category,), size=1, bare=True)
    values = [view.filter_text(item["value"]) for item in searcher.search(everything).facets.get(category, [])]
    return [
        {
            "label": view.value_label(category, value, profile.fields, state.lang),
            "url": state.url(q="", like="", system="", chosen={category: (value,)}, ranges={}),
        }
        for value in values[:EXAMPLES]
    ]


def _category(profile: IndexProfile, lang: str) -> str:
    category_fields = profile.fields.roles.get("category", ())
    fields = view.facet_fields(profile.fields, lang)
    return next((path for path in fields if path in category_fields or strings.base_path(path) in category_fields), "")


def _unlisted(state: PageState, answer: SearchAnswer) -> list[tuple[str, str]]:
    """Filters that no shown facet carries, as hidden fields: a plain form would lose them otherwise."""
    pairs = [("filter", f"{n}:{v}") for n, values in state.chosen.items() if n not in answer.facets for v in values]
    for name, both in state.ranges.items():
        items = answer.facets.get(name, [])
        if not (items and "min" in items[0]):
            pairs += [(f"{side}.{name}", bound) for side, bound in zip(("min", "max"), both, strict=True) if bound]
    return pairs


def _render(
    state: PageState, names: list[str], files: Mapping[str, bytes], missing: Collection[str] = (FUSED,), **more: Any
) -> Response:
    """missing: signals that the index does not have."""
    text = strings.STRINGS[state.lang]
    file = next(iter(files), None)
    enhanced = request.headers.get("X-Hybrid-Page") == "1"  # the script keeps the file itself
    body = render_template(
        "page.html",
        t=text,
        state=state,
        html_lang=strings.HTML_LANG[state.lang],
        indices=names,
        systems=strings.system_choices([name for name in _CHOICES if name not in missing], state.lang),
        script_text={key: text[key] for key in strings.SCRIPT_KEYS},
        file_kind=file,
        file_url=kept_file(files[file], file) if file and not enhanced else None,
        asset=asset,
        number=strings.number,
        **more,
    )
    response = make_response(body)
    response.headers["Vary"] = "Accept-Language"
    response.headers["Cache-Control"] = "no-store" if files else "private, no-cache"
    return response


def error_page(status: int, kind: str, reason: str) -> Response:
    """The page with the error in the place of the results; the search box stays usable."""
    try:
        values = request.values
    except (HTTPException, UsageError):  # a body that could not be read cannot fill in the form either
        values = CombinedMultiDict([request.args])
    try:
        state = read_state(values)
    except UsageError:
        state = PageState(lang=language(values))
    text = strings.STRINGS[state.lang]
    key = f"error_{status}" if f"error_{status}" in text else "error_503" if status in (502, 504) else "error_500"
    try:
        names = services().searcher.indices() if status < 500 else []
    except HybridError:
        names = []
    if key == "error_500" and status < 500:  # a refusal with a reason of its own, such as an index not made by us
        key = "error_400"
    error = {"text": text[key], "reason": reason if kind != "InternalError" else "", "status": status}
    return _render(state, names, {}, error=error)
