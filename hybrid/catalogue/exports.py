"""The rows of shop platforms' exports, as they were meant: products, variants, options, pictures. Pure.

A preset turns a row into a Line: a product, or a variant of one. `gathering` puts the variants into their products.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybrid.catalogue.offers import Table, amount, is_settled, offered
from hybrid.catalogue.presets import GOOGLE, MAGENTO, PLAIN, WOOCOMMERCE, Options, Preset, named_values, plain
from hybrid.catalogue.values import flag, path_levels, split_list
from hybrid.contracts import Mark

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A row of an export, as it was meant.

    source: the product, or the variant, without its options and pictures. keys: what a variant may name it by. parent:
    of a variant, the key of its product. options: what the variants of a product differ in. picture_field: where the
    product has its pictures. hidden: customers of the shop do not see it. is_part: they see it as a variant alone.
    is_translation: it says another time, for a view of the shop, what is said already.
    in_group: its key is shared by the rows of one product, of which the first is the product.
    """

    source: Row
    keys: tuple[str, ...] = ()
    parent: str = ""
    options: Options = field(default_factory=dict)
    picture_field: str = ""
    pictures: tuple[str, ...] = ()
    hidden: bool = False
    is_part: bool = False
    is_translation: bool = False
    in_group: bool = False


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


def line_of(preset: Preset, row: Row, table: Table) -> Line:
    """What a row of an export says."""
    if preset is PLAIN and is_settled(row, table):
        return Line(row)
    names = {plain(column): column for column in row}
    texts = {name: _said(row[column]) for name, column in names.items()}
    if preset is WOOCOMMERCE:  # which writes the ends of lines as a backslash and an n
        row = {column: _lines(value) if "description" in plain(column) else value for column, value in row.items()}
    source = offered(preset, row, names, texts, table)
    if preset is PLAIN:
        return Line(source)
    for name, between in preset.lists.items():
        if name in names and isinstance(source.get(names[name]), str):
            source[names[name]] = split_list(html.unescape(source[names[name]]), between)
    for name in preset.paths:
        if name in names and (paths := _paths(preset, name, source.get(names[name]))):
            source[names[name]] = paths
    if (available := _available(preset, texts, table)) is not None:
        source["in_stock"] = available
    group = next((texts[name] for name in preset.group if texts.get(name)), "")
    pictures = [value for name in preset.pictures if name in names for value in _each(source.get(names[name]))]
    shown = next((name for name in preset.pictures if name in names or name in table.columns), "images")
    picture_field = preset.renamed.get(shown, table.columns.get(shown, names.get(shown, shown)))
    said = {name: texts[name].lower() for name in preset.published if texts.get(name)}
    part = said.pop("visibility", "") == "not visible individually"
    options = preset.options(texts)
    optional = {name for name in names if re.fullmatch(preset.option_columns, name)}
    # What else stands in a column of pictures, such as objects of an interface, stays.
    drawn = {name for name in preset.pictures if name in names and _each(source.get(names[name]))}
    spent = preset.dropped | optional | drawn
    return Line(
        source={
            preset.renamed.get(plain(column), column): value
            for column, value in source.items()
            if column in _COMMON or plain(column) not in spent
        },
        keys=(group,) if group else _keys(preset, texts),
        parent=_parent(preset, texts),
        options=options,
        picture_field=picture_field,
        pictures=tuple(dict.fromkeys(pictures)),
        hidden=any(text in _HIDDEN.get(name, _NO) for name, text in said.items()),
        is_translation=preset is MAGENTO and bool(texts.get("store_view_code")),
        is_part=part,
        in_group=bool(group),
    )


def _lines(value: Any) -> Any:
    return value.replace("\\n", "\n") if isinstance(value, str) else value


def _paths(preset: Preset, name: str, value: Any) -> list[str]:
    """The categories of a column, with all levels above each."""
    between, level, roots = preset.paths[name]
    each = _each(value)
    if between and isinstance(value, str):
        each = split_list(value, between)
        if preset is GOOGLE and not all(level in one for one in each):  # the mark is a part of a name
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


def children_of(preset: Preset, row: Row) -> Iterator[tuple[str, str, Options]]:
    """(key, key of the product, what it comes in) of the variants that a product names: Magento's configurable ones."""
    texts = {plain(column): str(value).strip() for column, value in row.items()}
    parent = next(iter(_keys(preset, texts)), "")
    for part in texts.get(preset.children, "").split("|"):
        options = named_values(part, ",")
        if parent and (key := next(iter(options.pop("sku", [])), "")):
            yield key, parent, options


def variant_of(preset: Preset, line: Line) -> Row:
    """A variant as it stands among the `variants` of its product; empty of a row that only has one more picture."""
    row: Row = {}
    for column, value in line.source.items():
        name = preset.variant.get(plain(column)) or (column if column in _COMMON else "")
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
        source[next((column for column in source if plain(column) == preset.identity), preset.identity)] = line.keys[0]
    if line.in_group and variants:  # the first row is the product, and a variant as well
        variants = [Variant(variant_of(preset, line), line.options, line.pictures), *variants]
    if line.in_group:  # the names of the options stand in the first row alone
        variants = [_renamed(variant, {str(n): name for n, name in enumerate(line.options, 1)}) for variant in variants]
    options: Options = {name: list(values) for name, values in line.options.items()}
    for variant in variants:
        for name, values in variant.options.items():
            options.setdefault(name, []).extend(values)
    taken = {plain(column) for column in source}
    for name, values in options.items():
        if plain(_field(name)) not in taken:
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


def _keys(preset: Preset, texts: Mapping[str, str]) -> tuple[str, ...]:
    keys = [texts[name] for name in preset.key if texts.get(name)]
    if preset is WOOCOMMERCE and texts.get("id"):  # a parent is named by its SKU, or so
        keys.append(f"id:{texts['id']}")
    return tuple(dict.fromkeys(keys))


def _parent(preset: Preset, texts: Mapping[str, str]) -> str:
    parent = texts.get(preset.parent, "") if preset.parent else ""
    if preset is WOOCOMMERCE and not texts.get("type", "").startswith("variation"):
        return ""  # a product that is grouped has a parent too, and is sold alone
    return "" if parent in _keys(preset, texts) else parent


#: Values of a column that say that customers do not see a row. Magento: 2 is "disabled"; WooCommerce: -1 is a draft.
_NO = ("0", "-1", "false", "no")
_HIDDEN = {
    "visibility_in_catalog": ("hidden",),
    "status": ("draft", "archived", "unlisted", "disabled", *_NO),
    "product_online": ("0", "2"),
}
