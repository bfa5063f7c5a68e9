"""Shapes the core's answer for the page: cards, facets, and the bars of "why this result". No I/O."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from hybrid.catalogue.documents import media_values
from hybrid.catalogue.stock import in_stock
from hybrid.catalogue.values import deepest, path_levels
from hybrid.contracts import LEVEL, FieldMap, values_at
from hybrid.search.evidence import SHARES
from hybrid.searches import Hit, Understood
from hybrid.signals import MAX_VIEWS, PRIOR
from hybrid.text import analysis
from web import strings

FACET_VALUES_SHOWN = 7
#: Levels of categories that are indented, each more than the one above it.
_DEEPEST = 4

#: Files that move without being played.
_MOVING = re.compile(r"\.(gif|webp|png|avif)(\?|$)|^data:image/", re.IGNORECASE)

#: Roles whose values are shown as the numbers that they are.
_NUMBERS = ("price", "regular_price", "rating")
#: What names a variant, and what of it tells a shopper nothing.
_CODES = ("sku", "id", "gtin", "ean", "mpn", "barcode")
_NO_OPTIONS = (*_CODES, "title", "price", "regular_price", "currency", "in_stock", "image", "url")
Segments = list[tuple[str, bool]]  # (text, marked)


@dataclass(frozen=True)
class PageState:
    """What the address of the page says; `url()` writes it back with changes."""

    lang: str
    q: str = ""
    like: str = ""  # id of the product that others are to be like
    index: str = ""
    system: str = ""
    page: int = 1
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # field -> values, any of
    ranges: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # field -> (min, max), "" for none
    index_named: bool = False  # only what the visitor chose is repeated in addresses
    lang_named: bool = False
    literal: str = ""  # words whose price was taken off, so that they are searched as they were typed

    @property
    def reads_prices(self) -> bool:
        """Whether price words of the query are a price; the mark goes with the words, so other words have prices."""
        return not self.literal or self.literal != self.q

    exact: bool = False  # only what was typed is searched

    def pairs(self) -> list[tuple[str, str]]:
        pairs = [("q", self.q)] if self.q else []
        pairs += [("like", self.like)] if self.like else []
        pairs += [("filter", f"{name}:{value}") for name, values in self.chosen.items() for value in values]
        for name, (low, high) in self.ranges.items():
            pairs += [(f"min.{name}", low)] if low else []
            pairs += [(f"max.{name}", high)] if high else []
        pairs += [] if self.reads_prices else [("literal", self.literal)]
        pairs += [("system", self.system)] if self.system else []
        pairs += [("index", self.index)] if self.index_named else []
        pairs += [("exact", self.q)] if self.exact and self.q else []
        pairs += [("page", str(self.page))] if self.page > 1 else []
        return pairs + ([("lang", self.lang)] if self.lang_named else [])

    def url(self, **changes: Any) -> str:
        """The page's address with changes; any change but that of the page starts at page 1."""
        pairs = replace(self, **{"page": 1, **changes}).pairs()
        return "/?" + urlencode(pairs) if pairs else "/"

    def similar(self, id: str) -> str:
        """Of the products that are like one: whatever was searched for before is left behind."""
        return self.url(q="", like=id, chosen={}, ranges={}, system="")

    def without(self, name: str, value: str) -> str:
        left = tuple(other for other in self.chosen.get(name, ()) if other != value)
        return self.url(chosen={**self.chosen, name: left})

    def without_range(self, name: str) -> str:
        return self.url(ranges={key: both for key, both in self.ranges.items() if key != name})


def marked(highlight: str) -> Segments:
    """HTML-escaped text with <mark> as plain pieces, so that the template escapes them itself.

    >>> marked("a &lt;b&gt; <mark>c</mark>")
    [('a <b> ', False), ('c', True)]
    """
    pieces: Segments = []
    inside = False
    for part in re.split(r"(</?mark>)", highlight):
        if part in ("<mark>", "</mark>"):
            inside = part == "<mark>"
        elif part:
            pieces.append((html.unescape(part), inside))
    return pieces


def marks_in(text: str, pieces: Segments) -> Segments | None:
    """The marks that fall on `text`, where the highlighted pieces hold it whole; None where they do not."""
    plain = "".join(piece for piece, _ in pieces)
    start = plain.find(text)
    if start < 0 or not text:
        return None
    segments: Segments = []
    at = 0
    for piece, is_marked in pieces:
        low, high = max(at, start), min(at + len(piece), start + len(text))
        if low < high:
            segments.append((plain[low:high], is_marked))
        at += len(piece)
    return segments


class Cards:
    """Makes a card of each hit, in one language, for one index."""

    def __init__(self, index: str, fields: FieldMap, lang: str, q: str = "") -> None:
        self.index, self.fields, self.lang, self.q = index, fields, lang, q

    def card(self, hit: Hit, position: int) -> dict[str, Any]:
        source = hit.source
        price, before = self.text(source, "price"), self.text(source, "regular_price")
        currency = self.text(source, "currency") or next(values_at(source, "currency"), None)
        return {
            "id": hit.id,
            "anchor": f"why-{position}",
            "title": self.segments(hit, "title") or [(hit.id, False)],
            "title_text": self.text(source, "title") or hit.id,
            "description": self.segments(hit, "description"),
            "brand": self.text(source, "brand"),
            "detail": " · ".join(filter(None, (self.category(source), self.text(source, "color")))),
            "price": strings.price(price, currency) if price != "" else "",
            "regular_price": strings.price(before, currency) if before not in ("", price) else "",
            "rating": strings.rating(self.text(source, "rating")),
            "variant": self.variant(source),
            "out_of_stock": in_stock(source, self.fields) is False,
            "picture": self.picture(hit),
            **self.clips(hit),
            "link": self.link(source),
            "why": why(hit, self.lang),
        }

    def text(self, source: Mapping[str, Any], role: str) -> Any:
        """The first value of a role, from the field of this language where there is one."""
        paths = self.fields.roles.get(role, ())
        mine = [path for path in paths if strings.path_language(path) == self.lang]
        plain = [path for path in paths if strings.path_language(path) is None]
        # A role may name the plain field alone while the document holds a translation beside it.
        mine += [path + "_" + self.lang for path in plain if path + "_" + self.lang not in mine]
        for path in (*mine, *plain, *paths):
            for value in values_at(source, path):
                return value if role in _NUMBERS else analysis.plain_text(str(value))
        return ""

    def category(self, source: Mapping[str, Any]) -> str:
        """The product's first category, at its deepest level."""
        values = [str(value) for path in self.fields.roles.get("category", ())[:1] for value in values_at(source, path)]
        shown = deepest(values)[:1] if any(LEVEL in value for value in values) else [self.text(source, "category")]
        return analysis.plain_text(shown[0]) if shown else ""

    def variant(self, source: Mapping[str, Any]) -> str:
        """The variant that the search names by its SKU or another code: "RS-M · M"."""
        typed = {_bare(word) for word in self.q.split()} | {_bare(self.q)}
        variants = source.get("variants")
        for variant in variants if isinstance(variants, list) else ():
            if isinstance(variant, Mapping):
                codes = [value for name, value in variant.items() if name in _CODES and isinstance(value, str)]
                if hit := next((code for code in codes if _bare(code) and _bare(code) in typed), None):
                    options = [value for name, value in variant.items() if name not in _NO_OPTIONS]
                    return " · ".join([hit, *(value for value in options if isinstance(value, str))])
        return ""

    def segments(self, hit: Hit, role: str) -> Segments:
        """A role's text in this language, with the marks of the search where they fall on it."""
        text = self.text(hit.source, role)
        pieces = marked(hit.highlight.get(role, ""))
        if not text or not pieces:
            return pieces or ([(text, False)] if text else [])
        whole = marks_in(text, pieces)
        if whole is not None:
            return whole
        fragment = "".join(piece for piece, _ in pieces)
        return pieces if fragment.strip(" …") in text else [(text, False)]

    def picture(self, hit: Hit) -> str:
        """The picture's address: the shop's own where it is one, else through /media. Of several the nearest."""
        values = self._files(hit, "image")
        number = int(hit.nearest.get("image", 0))
        if not values:
            return ""
        value = values[number] if number < len(values) else values[0]
        if safe_link(value):
            return value
        return self._address("media", hit) + (f"?n={number}" if number else "")

    def clips(self, hit: Hit) -> dict[str, Any]:
        """Video and sound of a card: their addresses, what stands for them until they are played, and why."""
        videos, sounds = self._files(hit, "video"), self._files(hit, "audio")
        at = hit.nearest.get("video")
        by_video = "video" in hit.signals and hit.signals["video"].contribution > 0
        clips: dict[str, Any] = {"video": "", "poster": "", "at": None, "sound": "", "wave": "", "moving": False}
        if videos and (by_video or not self._files(hit, "image")):
            local = not safe_link(videos[0])
            clips["video"] = self._address("video", hit) if local else videos[0]
            clips["moving"] = bool(_MOVING.search(videos[0]))
            if local:
                clips["poster"] = self._address("poster", hit) + (f"?at={at:g}" if at is not None else "")
            if at is not None:
                clips["video"] += "" if clips["moving"] else f"#t={at:g}"
                clips["at"] = f"{int(at) // 60}:{int(at) % 60:02d}"
        if sounds:
            local = not safe_link(sounds[0])
            clips["sound"] = self._address("audio", hit) if local else sounds[0]
            clips["wave"] = self._address("waveform", hit) if local else ""
        return clips

    def _files(self, hit: Hit, role: str) -> list[str]:
        """Where the catalogue says that its files of a role are, each once; numbers of pictures count in this list."""
        return media_values(hit.source, self.fields, role, MAX_VIEWS)

    def _address(self, kind: str, hit: Hit) -> str:
        return f"/{kind}/{quote(self.index, safe='')}/{quote(hit.id)}"

    def link(self, source: Mapping[str, Any]) -> str:
        paths = self.fields.roles.get("url", ())
        return next((v for path in paths for v in values_at(source, path) if safe_link(v)), "")


def _bare(code: str) -> str:
    """A code without marks: RS-M and rs m are one."""
    return re.sub(r"[\W_]+", "", code).lower()


def safe_link(value: Any) -> bool:
    """Only http and https: a catalogue must not be able to bring `javascript:` into the page."""
    return isinstance(value, str) and urlsplit(value.strip()).scheme.lower() in ("http", "https")


def why(hit: Hit, lang: str) -> dict[str, Any]:
    """The parts of a hit's score, largest first; `x` and `width` are of a bar that is 100 wide."""
    rows = []
    at = 0.0
    parts = sorted(hit.signals.items(), key=lambda item: (-item[1].contribution, item[0]))
    for name, signal in parts:
        kind = name.partition(".")[0]
        if name != kind and not signal.contribution:
            continue  # one of several signals of a kind, which says nothing
        unit = "" if name in SHARES else strings.STRINGS[lang]["unit_bm25" if kind == "lexical" else "unit_cosine"]
        raw = None if signal.raw is None else f"{signal.raw:,.10g}" if kind == PRIOR else f"{signal.raw:.3g} {unit}"
        width = _percent(signal.contribution)
        rows.append(
            {
                "kind": kind,
                "label": strings.signal_label(name, lang),
                "raw": raw and raw.strip(),
                "imputed": strings.STRINGS[lang]["why_typical" if kind == PRIOR else "why_imputed"],
                "weight": f"{signal.weight:.3f}",
                "scaled": f"{signal.scaled:.3f}",
                "contribution": f"{signal.contribution:.3f}",
                "track": _percent(signal.weight),
                "width": width,
                "x": round(at, 2),
            }
        )
        at += width
    return {"rows": rows, "score": f"{hit.score:.3f}"}


def _percent(part: float) -> float:
    return round(100 * min(max(part, 0.0), 1.0), 2)


def facet_fields(fields: FieldMap, lang: str) -> tuple[str, ...]:
    """The index's facets with those of the other language left out, in the page's language where indexed."""
    fields_shown: list[str] = []
    for path in fields.facets:
        base = strings.base_path(path)
        sibling = next((c for c in (f"{base}_{lang}", f"{base}.{lang}") if c in fields.types), None)
        stated = strings.path_language(path)
        pick = sibling or (path if stated in (None, lang) else None)
        if pick and pick not in fields_shown:
            fields_shown.append(pick)
    return tuple(fields_shown)


def role_of(fields: FieldMap, path: str) -> str | None:
    # "brand.raw", the keyword sub-field of a shop's own text field, plays the role of "brand".
    known = {path, strings.base_path(path), path.rpartition(".")[0]}
    return next((role for role, paths in fields.roles.items() if known & set(paths)), None)


def facet_groups(
    counts: Mapping[str, list[dict[str, Any]]], fields: FieldMap, state: PageState
) -> list[dict[str, Any]]:
    """The facets as the template draws them: a range of two numbers, or values to tick."""
    groups = []
    for position, (path, items) in enumerate(counts.items()):
        label = strings.field_label(path, role_of(fields, path), state.lang)
        group: dict[str, Any] = {"field": path, "label": label, "anchor": f"facet-{position}"}
        if items and "min" in items[0]:
            low, high = items[0]["min"], items[0]["max"]
            chosen = state.ranges.get(path, ("", ""))
            # One value leaves nothing to narrow, unless the narrowing itself is why there is only one.
            if low is None or high is None or (low == high and not any(chosen)):
                continue
            group |= {"range": (_bound(low), _bound(high)), "chosen": chosen}
        else:
            values = _facet_values(path, items, fields, state)
            if not values:
                continue
            group |= {"values": values[:FACET_VALUES_SHOWN], "more": values[FACET_VALUES_SHOWN:]}
        groups.append(group)
    return groups


def _facet_values(path: str, items: list[dict[str, Any]], fields: FieldMap, state: PageState) -> list[dict[str, Any]]:
    chosen = state.chosen.get(path, ())
    values = [(filter_text(item["value"]), item["count"]) for item in items]
    listed = {value for value, _ in values}
    values = [(value, 0) for value in chosen if value not in listed] + values
    if any(LEVEL in value for value, _ in values):
        values = _as_tree(values)
    return [
        {
            "value": value,
            "label": value_label(path, value, fields, state.lang),
            "within": value.rpartition(LEVEL)[0],
            "depth": min(value.count(LEVEL), _DEEPEST),
            "count": count,
            "chosen": value in chosen,
        }
        for value, count in values
    ]


def _as_tree(values: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Categories with their children below them, the order of siblings as it was."""
    places = {value: place for place, (value, _) in enumerate(values)}

    def key(value: str) -> list[int]:
        return [places.get(above, len(places)) for above in path_levels(value, LEVEL)]

    return sorted(values, key=lambda item: key(item[0]))


def filter_text(value: Any) -> str:
    """A facet's value as it stands in an address."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def value_label(path: str, value: str, fields: FieldMap, lang: str) -> str:
    if LEVEL in value:
        return value.rpartition(LEVEL)[2]
    if fields.types.get(path) == "boolean":
        return strings.STRINGS[lang]["yes" if value in ("true", "1") else "no"]
    return value


def _bound(value: Any) -> str:
    """12.0 as 12: the numbers stand in narrow inputs."""
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def active_filters(state: PageState, fields: FieldMap) -> list[dict[str, str]]:
    """The chips above the results; each one's address drops it."""
    text = strings.STRINGS[state.lang]
    chips = []
    for name, values in state.chosen.items():
        label = strings.field_label(name, role_of(fields, name), state.lang)
        for value in values:
            label_of_value = value_label(name, value, fields, state.lang)
            chips.append({"label": label, "value": label_of_value, "url": state.without(name, value)})
    for name, (low, high) in state.ranges.items():
        key = "between" if low and high else "at_least" if low else "at_most"
        label_of_value = text[key].format(a=low, b=high)
        label = strings.field_label(name, role_of(fields, name), state.lang)
        chips.append({"label": label, "value": label_of_value, "url": state.without_range(name)})
    return chips


def price_chip(state: PageState, understood: Sequence[Understood], fields: FieldMap) -> dict[str, str] | None:
    """The chip of a price that the words named; its address searches the words as they were typed."""
    text = strings.STRINGS[state.lang]
    for one in understood:
        if one.kind == "price" and one.applied and one.filter and one.field:
            low = next((f"{value:g}" for key, value in one.filter.items() if key.startswith("g")), "")
            high = next((f"{value:g}" for key, value in one.filter.items() if key.startswith("l")), "")
            key = "between" if low and high else _BOUNDS[next(iter(one.filter))]
            label = strings.field_label(one.field, role_of(fields, one.field), state.lang)
            value = text[key].format(a=low, b=high)
            return {"label": label, "value": value, "typed": one.text, "url": state.url(literal=state.q)}
    return None


#: Bound -> its word.
_BOUNDS = {"gt": "more_than", "gte": "at_least", "lt": "less_than", "lte": "at_most"}


def page_numbers(page: int, pages: int) -> list[int | None]:
    """Which pages the pager names; None is a gap.

    >>> page_numbers(6, 20)
    [1, None, 5, 6, 7, None, 20]
    """
    near = sorted({1, pages, *range(max(1, page - 1), min(pages, page + 1) + 1)})
    named: list[int | None] = []
    for number in near:
        last = next((n for n in reversed(named) if n is not None), None)
        if last is not None and number - last == 2:
            named.append(number - 1)
        elif last is not None and number - last > 2:
            named.append(None)
        named.append(number)
    return named
