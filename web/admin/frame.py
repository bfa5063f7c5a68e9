"""What every page of the admin shares: language, navigation, rendering, messages, and how numbers are written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from flask import Response, current_app, flash, g, jsonify, make_response, render_template, request, session
from flask_wtf.csrf import generate_csrf

from hybrid.text.human import size
from web import strings
from web.admin import charts
from web.admin.words.common import WORDS
from web.assets import asset
from web.params import MAX_WINDOW, page_of

if TYPE_CHECKING:
    from hybrid.services import Services

#: (endpoint, word) of the pages, in the order of the navigation.
NAVIGATION = [
    ("admin.index", "overview"),
    ("admin.tryit", "tryit"),
    ("admin.judgments", "judgments"),
    ("admin.evaluations", "evaluations"),
    ("admin.weights", "weights"),
    ("admin.models", "models"),
    ("admin.reindex", "reindex"),
    ("admin.failures", "failures"),
    ("admin.audit", "audit"),
]


def core() -> Services:
    """The services of the current app: the admin page runs and watches all of them."""
    return cast("Services", current_app.extensions["hybrid"])


def choose_language() -> str:
    """The language chosen here before, else the browser's."""
    chosen = session.get("lang") or request.accept_languages.best_match(strings.LANGUAGES, "en")
    return chosen if chosen in strings.LANGUAGES else "en"


class Words:
    """The words of one language: `t.overview`, `t("found", n=3)`."""

    def __init__(self, lang: str) -> None:
        self._position = strings.LANGUAGES.index(lang)

    def __getattr__(self, key: str) -> str:
        try:
            return WORDS[key][self._position]
        except KeyError:
            raise AttributeError(key) from None

    def __call__(self, key: str, **values: Any) -> str:
        """A word with values put in; a typed name without a word of its own is shown as it is."""
        entry = WORDS.get(key)
        return entry[self._position].format(**values) if entry else key


def chosen_index() -> str:
    """The index that is named, else the configured or the first one, which the page shows; "" where there is none.

    Raises:
        IndexMissingError, IndexConflictError: no such index, or not one of the layer's.
    """
    if requested := request.args.get("index"):
        core().searcher.profile(requested)
        return requested
    return shown_first(core().searcher.indices())


def shown_first(indices: Sequence[str]) -> str:
    """The index that a page shows where none is named: the configured or the first one; "" where there is none."""
    return core().settings.index or next(iter(indices), "")


def page_number(size: int) -> int:
    """Which page of `size` was asked for, from 1.

    Raises:
        UsageError: none that there can be; Elasticsearch pages no further than `MAX_WINDOW`.
    """
    return page_of(request.args.get("page", "1"), MAX_WINDOW // size)


def render(template: str, **values: Any) -> str:
    """A page of the admin."""
    lang = g.get("lang") or "en"
    # Without the cluster there is no key to sign one with, and nobody to post it.
    values.setdefault("csrf_token", generate_csrf if current_app.secret_key else lambda: "")
    return render_template(
        template, t=Words(lang), lang=lang, html_lang=strings.HTML_LANG[lang], user=g.get("user"), asset=asset,
        navigation=NAVIGATION, number=strings.number, words=WORDS, ago=lambda at: ago(at, lang), charts=charts,
        lasting=lambda seconds: lasting(seconds, lang), between=lambda start, end: between(start, end, lang),
        size=size, signal_label=lambda name: strings.signal_label(name, lang), **values,
    )  # fmt: skip


def say(key: str, kind: str = "done", **values: Any) -> None:
    """A message on the next page. kind: done, warning or error."""
    flash(Words(g.lang)(key, **values), kind)


def saved_as(file: str) -> dict[str, str]:
    """The header of an answer that a browser saves under a name, which may be made of what others wrote."""
    plain = re.sub(r'[^ -~]|["\\%/]', "_", file)
    return {"Content-Disposition": f'attachment; filename="{plain}"'}


def error_answer(status: int, kind: str, reason: str) -> Response:
    """An error as a page, or as JSON where a program asked."""
    if request.path.startswith("/admin/api/"):
        return jsonify({"error": {"type": kind, "reason": reason}})
    g.lang = g.get("lang") or "en"
    return make_response(render("admin/error.html", status=status, reason=reason))


def lasting(seconds: float | None, lang: str) -> str:
    """A length of time in words."""
    words = Words(lang)
    if seconds is None:
        return ""
    if seconds < 90:
        return words("seconds", n=max(1, round(seconds)))
    return words("minutes", n=round(seconds / 60)) if seconds < 5_400 else words("hours", n=f"{seconds / 3_600:.1f}")


def between(start: str, end: str, lang: str) -> str:
    """The time between two stored times, in words."""
    return lasting((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), lang)


def ago(at: str | None, lang: str) -> str:
    """How long ago a stored time was, in words."""
    if not at:
        return ""
    seconds = max(0, int((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()))
    words = Words(lang)
    for key, length in (("days_ago", 86_400), ("hours_ago", 3_600), ("minutes_ago", 60)):
        if seconds >= length:
            return words(key, n=seconds // length)
    return words("seconds_ago", n=seconds)
