"""The rows of shop platforms' exports, as they were meant: products, variants, options, pictures. Pure.

A preset turns a row into a Line: a product, or a variant of one. `gathering` puts the variants into their products.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hybrid.catalogue.offers import Table, amount, is_settled, offered
from hybrid.catalogue.options import Options, named_values
from hybrid.catalogue.presets import PLAIN, Preset
from hybrid.catalogue.values import flag, path_levels, split_list
from hybrid.contracts import Mark

Row = dict[str, Any]


class Line:
    """A row of an export, as it was meant. What nobody asks is not computed: most rows are asked for a part alone."""

    def __init__(self, preset: Preset, row: Row, table: Table) -> None:
        self._preset, self._table = preset, table
        self._row = preset.reshaped(row) if preset.reshaped else row

    @cached_property
    def _names(self) -> Mapping[str, str]:
        """Plain name -> column."""
        return self._preset.names(tuple(self._row))

    def _text(self, name: str) -> str:
        """The value of one column, by its plain name, as text."""
        return _said(self._row.get(self._names.get(name, "")))

    @cached_property
    def _texts(self) -> dict[str, str]:
        """Plain name -> the value as text; "" of what is none."""
        return {
            name: value.strip() if isinstance(value := self._row[column], str) else _said(value)
            for name, column in self._names.items()
        }

    @cached_property
    def source(self) -> Row:
        """The product, or the variant, without its options and pictures."""
        preset = self._preset
        if preset is PLAIN:
            return self._row if is_settled(self._row, self._table) else self._offered
        # What else stands in a column of pictures, such as objects of an interface, stays.
        drawn = {column for _, column in self._picture_columns if _each(self._offered[column])}
        return {
            preset.renamed.get(preset.plain(column), column): value
            for column, value in self._offered.items()
            if column in _COMMON or not (column in drawn or preset.spent(preset.plain(column)))
        }

    @cached_property
    def _offered(self) -> Row:
        """The row with its price, lists, paths and stock."""
        preset, names, texts = self._preset, self._names, self._texts
        row = self._row
        if not preset.escaped.isdisjoint(names):
            row = {
                column: _lines(value) if preset.plain(column) in preset.escaped else value
                for column, value in row.items()
            }
        source = offered(preset, row, names, texts, self._table)
        for name, between in preset.lists.items():
            if name in names and isinstance(source.get(names[name]), str):
                source[names[name]] = split_list(html.unescape(source[names[name]]), between)
        for name in preset.paths:
            if name in names and (paths := _paths(preset, name, source.get(names[name]))):
                source[names[name]] = paths
        if preset.stock and (available := _available(preset, texts, self._table)) is not None:
            source["in_stock"] = available
        return source

    @cached_property
    def _picture_columns(self) -> list[tuple[str, str]]:
        """(plain name, column) of the pictures that the row has a value of."""
        names, source = self._names, self._offered
        return [(name, names[name]) for name in self._preset.pictures if names.get(name) in source]

    @cached_property
    def pictures(self) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys(picture for _, column in self._picture_columns for picture in _each(self._offered[column]))
        )

    @property
    def picture_field(self) -> str:
        """Where the product has its pictures."""
        names, columns = self._names, self._table.columns
        shown = next((name for name in self._preset.pictures if name in names or name in columns), "images")
        return self._preset.renamed.get(shown, columns.get(shown, names.get(shown, shown)))

    @cached_property
    def options(self) -> Options:
        """What the variants of a product differ in."""
        return {} if self._preset is PLAIN else self._preset.options(self._texts)

    @property
    def titled(self) -> bool:
        """Whether it has what every product of the platform has."""
        return not self._preset.needs.isdisjoint(self._names)

    @cached_property
    def _group(self) -> str:
        return next((text for name in self._preset.group if (text := self._text(name))), "")

    @property
    def in_group(self) -> bool:
        """Whether its key is shared by the rows of one product, of which the first is the product."""
        return bool(self._group)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """What a variant may name it by."""
        if self.in_group:
            return (self._group,)
        keys = [text for name in self._preset.key if (text := self._text(name))]
        if self._preset.id_key and (number := self._text(self._preset.id_key)):
            keys.append(f"id:{number}")
        return tuple(dict.fromkeys(keys))

    @cached_property
    def parent(self) -> str:
        """Of a variant, the key of its product."""
        if not self._preset.parent or not (parent := self._text(self._preset.parent)):
            return ""
        column, beginning = self._preset.variants
        if column and not self._text(column).startswith(beginning):
            return ""
        return "" if parent in self.keys else parent

    @cached_property
    def _published(self) -> dict[str, str]:
        return {name: text.lower() for name in self._preset.published if (text := self._text(name))}

    @property
    def is_part(self) -> bool:
        """Whether customers see it as a variant alone."""
        return self._published.get("visibility") == _PART

    @property
    def hidden(self) -> bool:
        """Whether customers of the shop do not see it."""
        return any(text in _HIDDEN.get(name, _NO) for name, text in self._published.items() if text != _PART)

    @property
    def is_translation(self) -> bool:
        """Whether it says another time, for a view of the shop, what is said already."""
        return bool(self._preset.view and self._text(self._preset.view))

    def children(self) -> Iterator[tuple[str, str, Options]]:
        """(key, key of the product, what it comes in) of the variants that a product names."""
        named = self._text(self._preset.children)
        for part in named.split("|") if named and self.keys else ():
            options = named_values(part, ",")
            if key := next(iter(options.pop("sku", [])), ""):
                yield key, self.keys[0], options


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant of a product: what stands in the product's `variants`, what it comes in, and its pictures."""

    row: Row
    options: Options
    pictures: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"row": self.row, "options": self.options, "pictures": list(self.pictures)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Variant:
        return cls(data["row"], data["options"], tuple(data["pictures"]))


def _lines(value: Any) -> Any:
    return value.replace("\\n", "\n") if isinstance(value, str) else value


def _paths(preset: Preset, name: str, value: Any) -> list[str]:
    """The categories of a column, with all levels above each."""
    between, level, roots = preset.paths[name]
    each = _each(value)
    if between and isinstance(value, str):
        each = split_list(value, between)
        if preset.whole_paths and not all(level in one for one in each):  # the mark is a part of a name
            each = [value]
    return list(dict.fromkeys(path for one in each for path in path_levels(html.unescape(one), level, roots)))


def _available(preset: Preset, texts: Mapping[str, str], table: Table) -> bool | None:
    """Whether it can be had; None where the row does not say."""
    said = (flag(texts[name]) for name in preset.stock if texts.get(name))
    known = next((one for one in said if one is not None), None)
    if known is False:
        sold_on = (
            texts.get("variant_inventory_policy", "").lower() == "continue"
            or flag(texts.get("continue_selling_when_out_of_stock", "")) is True
            or flag(texts.get("is_closeout", "")) is False
        )
        if sold_on:
            return True
        trackers = ("variant_inventory_tracker", "inventory_tracker")
        if any(name in table.columns for name in trackers) and not any(texts.get(name) for name in trackers):
            return None  # nobody counts it
    return known


def _said(value: Any) -> str:
    return "" if value is None or isinstance(value, dict | list) else str(value).strip()


def _each(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str) and one]


def variant_of(preset: Preset, line: Line) -> Row:
    """A variant as it stands among the `variants` of its product; empty of a row that only has one more picture."""
    row: Row = {}
    for column, value in line.source.items():
        name = preset.variant.get(preset.plain(column)) or (column if column in _COMMON else "")
        if name and value not in ("", [], None):
            row.setdefault(name, value)
    for name, values in line.options.items():
        if len(values) == 1:
            row.setdefault(_field(name), values[0])
    if row and line.pictures:
        row["image"] = line.pictures[0]
    return row


#: What a product and its variants have in the same place, whatever the platform.
_COMMON = ("price", "regular_price", "currency", "in_stock")


def with_variants(preset: Preset, line: Line, variants: Sequence[Variant], mark: Mark) -> Row:
    """The product of a line with its variants: what they come in, the lowest price, and the pictures of all.

    mark: before the decimals of prices.
    """
    source = dict(line.source)
    if line.in_group and preset.identity:  # the id of its first variant would go with that variant
        source[next((column for column in source if preset.plain(column) == preset.identity), preset.identity)] = (
            line.keys[0]
        )
    if line.in_group and variants:  # the first row is the product, and a variant as well
        variants = [Variant(variant_of(preset, line), line.options, line.pictures), *variants]
    if line.in_group:  # the names of the options stand in the first row alone
        variants = [_renamed(variant, {str(n): name for n, name in enumerate(line.options, 1)}) for variant in variants]
    options: Options = {name: list(values) for name, values in line.options.items()}
    for variant in variants:
        for name, values in variant.options.items():
            options.setdefault(name, []).extend(values)
    taken = {preset.plain(column) for column in source}
    for name, values in options.items():
        if preset.plain(_field(name)) not in taken:
            each = list(dict.fromkeys(values))
            source[_field(name)] = each if len(each) > 1 else each[0]
    pictures = dict.fromkeys((*line.pictures, *(picture for variant in variants for picture in variant.pictures)))
    if pictures:
        source[line.picture_field] = list(pictures) if len(pictures) > 1 else next(iter(pictures))
    rows = [variant.row for variant in variants if variant.row]
    if rows:
        source["variants"] = rows
        offers = sorted((row for row in rows if row.get("price")), key=lambda row: amount(row["price"], mark))
        own = amount(source.get("price"), mark)
        if offers and (line.in_group or not 0 < own < float("inf")):
            source.pop("regular_price", None)
            source |= {name: offers[0][name] for name in ("price", "regular_price", "currency") if name in offers[0]}
        stocks = [row["in_stock"] for row in rows if "in_stock" in row]
        if stocks and ("in_stock" not in source or line.in_group):
            source["in_stock"] = any(stocks)
    return source


def _renamed(variant: Variant, names: Mapping[str, str]) -> Variant:
    row = {_field(names[name]) if name in names else name: value for name, value in variant.row.items()}
    options = {names.get(name, name): values for name, values in variant.options.items()}
    return Variant(row, options, variant.pictures)


def _field(option: str) -> str:
    """A name that Elasticsearch takes as that of one field, and that is not the layer's."""
    name = option.replace(".", " ").strip().lstrip("_") or "option"
    return f"{name} option" if name.lower() in ("hybrid", "variants", *_COMMON) else name


_PART = "not visible individually"
#: Values of a column that say that customers do not see a row. Magento: 2 is "disabled"; WooCommerce: -1 is a draft.
_NO = ("0", "-1", "false", "no")
_HIDDEN = {
    "visibility_in_catalog": ("hidden",),
    "catalog_visibility": ("hidden",),
    "status": ("draft", "pending", "private", "trash", "archived", "unlisted", "disabled", *_NO),
    "product_online": ("0", "2"),
}
