"""Products as the interfaces of shop platforms give them in JSON: objects become the values of one product. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Row = dict[str, Any]
#: What a product of WooCommerce's interface has that says nothing of it, or says again what it has in plain values.
_WOOCOMMERCE_OWN = ("_links", "meta_data", "price_html", "variations", "attributes", "default_attributes", "dimensions")


def woocommerce(row: Mapping[str, Any]) -> Row:
    """A product of `GET /wp-json/wc/v3/products`: names of categories, tags and brands, addresses of pictures, options.

    A field that is none of these stays as it is.
    """
    product: Row = {name: value for name, value in row.items() if name not in _WOOCOMMERCE_OWN}
    for name in ("categories", "tags", "brands"):
        if name in row:
            product[name] = _each(row[name], "name")
    if "image" in row and "images" not in row:  # of a variation
        product["images"] = [product.pop("image")]
    if "images" in product:
        product["images"] = _each(product["images"], "src")
    for attribute in _objects(row.get("attributes")):
        values = attribute.get("options") or attribute.get("option")
        option = attribute.get("name")
        if isinstance(option, str) and values and option not in product:
            product[option] = values
    return product


def shopify(row: Mapping[str, Any]) -> Row:
    """A product of `products.json`: with its pictures, its options, its variants, and what it costs at least."""
    product: Row = {
        name: value for name, value in row.items() if name not in ("image", "images", "options", "variants")
    }
    pictures = _each(row.get("images"), "src") or _each([row.get("image")], "src")
    if pictures:
        product["images"] = pictures
    if isinstance(tags := row.get("tags"), str):
        product["tags"] = [tag for part in tags.split(",") if (tag := part.strip())]
    options = [one for one in _objects(row.get("options")) if one.get("values") != ["Default Title"]]
    names = {f"option{one.get('position', place)}": str(one.get("name")) for place, one in enumerate(options, 1)}
    for one in options:
        product.setdefault(str(one.get("name")), one.get("values"))
    sources = {one.get("id"): one.get("src") for one in _objects(row.get("images"))}
    variants = [_variant(one, names, sources) for one in _objects(row.get("variants"))]
    priced = sorted((one for one in variants if _amount(one.get("price")) > 0), key=lambda one: _amount(one["price"]))
    if priced:
        product |= {name: priced[0][name] for name in ("price", "regular_price") if name in priced[0]}
    stocks = [one["in_stock"] for one in variants if "in_stock" in one]
    if stocks:
        product["in_stock"] = any(stocks)
    if len(variants) == 1:
        product = {**{name: variants[0][name] for name in ("sku", "barcode") if name in variants[0]}, **product}
    elif variants:
        product["variants"] = variants
    return product


def _variant(one: Mapping[str, Any], names: Mapping[str, str], sources: Mapping[Any, Any]) -> Row:
    variant: Row = {name: one[name] for name in ("id", "sku", "barcode", "title", "price") if one.get(name)}
    variant |= {names[option]: one[option] for option in names if one.get(option)}
    if _amount(one.get("compare_at_price")) > _amount(one.get("price")):
        variant["regular_price"] = one["compare_at_price"]
    if isinstance(available := one.get("available"), bool):
        variant["in_stock"] = available
    elif one.get("inventory_management") and isinstance(count := one.get("inventory_quantity"), int):
        variant["in_stock"] = count > 0 or one.get("inventory_policy") == "continue"
    shown = one.get("featured_image")
    picture = shown.get("src") if isinstance(shown, Mapping) else sources.get(one.get("image_id"))
    if picture:
        variant["image"] = picture
    return variant


def _objects(value: Any) -> Iterable[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _each(value: Any, name: str) -> list[Any]:
    """What the objects of a list have by a name; other values as they are."""
    each = value if isinstance(value, list) else [value]
    found = [one.get(name) if isinstance(one, Mapping) else one for one in each]
    return [one for one in found if one not in (None, "")]


def _amount(value: Any) -> float:
    """A price as the interfaces write it: a number, or its text with a dot; 0 for none."""
    try:
        return float(value) if not isinstance(value, bool) else 0.0
    except (TypeError, ValueError):
        return 0.0
