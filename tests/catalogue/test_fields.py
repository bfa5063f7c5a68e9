"""Guessing which field plays which role, on real catalogues and on the usual exports, and overriding it."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.catalogue.fields import MAX_FACETS, MAX_TYPES, describe, expand, guess_fields, override
from hybrid.catalogue.reader import open_catalogue
from hybrid.contracts import ROLES, FieldMap, values_at
from hybrid.errors import UsageError

SHARED = Path(__file__).parents[3] / "shared" / "data"


def shared_sample(name: str) -> list[dict[str, Any]]:
    """The first rows of real data. Absent: skip, but fail in CI, where it must be."""
    path = SHARED / name
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{path} is absent")
        pytest.skip(f"{path} is absent")
    with open_catalogue(path) as catalogue:
        return catalogue.sample()


def made(count: int = 60) -> list[dict[str, Any]]:
    """Rows shaped like the sample catalogue."""
    colors = [("red", "红色"), ("blue", "蓝色"), ("green", "绿色")]
    kinds = [("dresses", "连衣裙"), ("bags", "手提包"), ("lamps", "灯具")]
    return [
        {
            "id": f"p{i:04d}",
            "name": f"{colors[i % 3][0].title()} thing of kind {i}",
            "name_zh": f"{colors[i % 3][1]}东西{i}",
            "description": f"A fine thing number {i}, made to last for years.",
            "description_zh": f"一件很好的东西，第{i}号。",
            "brand": f"Brand {i % 7}",
            "category": kinds[i % 3][0],
            "category_zh": kinds[i % 3][1],
            "color": colors[i % 3][0],
            "color_zh": colors[i % 3][1],
            "pattern": ["plain", "striped", "dotted"][i % 3],
            "material": ["cotton", "wool"][i % 2],
            "tags": ["summer", "party"] if i % 2 else ["office"],
            "price": 10 + i + 0.5,
            "in_stock": i % 5 > 0,
            "released": f"2024-{i % 12 + 1:02d}-03",
            "model": f"MX-{i:03d}",
            "rating": 3.0 + i % 4 / 2,
            "image": f"images/p{i:04d}.jpg",
        }
        for i in range(count)
    ]


def test_sample_catalogue() -> None:
    fields = guess_fields(made())
    assert fields.roles == {
        "id": ("id",),
        "title": ("name", "name_zh"),
        "description": ("description", "description_zh"),
        "brand": ("brand",),
        "category": ("category", "category_zh"),
        "tags": ("tags",),
        "color": ("color", "color_zh"),
        "code": ("model",),
        "attributes": ("pattern", "material"),
        "price": ("price",),
        "stock": ("in_stock",),
        "rating": ("rating",),
        "date": ("released",),
        "image": ("image",),
    }
    assert fields.types == {
        "category": "keyword",
        "category_zh": "keyword",
        "brand": "keyword",
        "color": "keyword",
        "color_zh": "keyword",
        "tags": "keyword",
        "price": "double",
        "released": "date",
        "pattern": "keyword",
        "material": "keyword",
        "in_stock": "boolean",
        "rating": "double",
    }
    assert fields.facets == ("category", "brand", "color", "tags", "price", "pattern", "material", "category_zh")
    assert FieldMap.from_json(orjson.loads(orjson.dumps(fields.to_json()))) == fields


def test_chorus() -> None:
    rows = shared_sample("chorus/products.ndjson.gz")
    fields = guess_fields(rows)
    assert fields.roles == {
        "id": ("id",),
        "title": ("title",),
        "description": ("short_description",),
        "brand": ("supplier",),
        "code": ("name", "ean"),
        "attributes": ("attr_t_*",),
        "price": ("price",),
        "date": ("date_released",),
        "image": ("img_500x500",),
    }
    assert fields.facets == ("supplier", "price", "attr_t_product_colour")
    assert len(fields.types) == MAX_TYPES
    assert fields.types["supplier"] == "keyword"
    assert fields.types["price"] == "double"
    assert fields.types["date_released"] == "date"
    assert fields.types["attr_n_weight"] == "double"
    assert fields.types["attr_b_rohs_compliance"] == "boolean"
    assert not {"id", "name", "ean", "title", "img_high"} & set(fields.types)
    expanded = expand(fields.roles["attributes"], rows[0])
    assert expanded == [  # by name: the order of a document's keys is Elasticsearch's to change
        "attr_t_compatibility",
        "attr_t_print_technology",
        "attr_t_printing_colours",
        "attr_t_type",
    ]


def test_chorus_as_csv(tmp_path: Path) -> None:
    """The same guess where every value is a string."""
    rows = shared_sample("chorus/products.ndjson.gz")
    names = list(dict.fromkeys(name for row in rows for name in row))
    path = tmp_path / "products.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for row in rows:
            cells = {k: v if isinstance(v, str) else orjson.dumps(v).decode() for k, v in row.items()}
            writer.writerow(cells)
    with open_catalogue(path) as catalogue:
        read = catalogue.sample()
    assert len(read) == len(rows)
    assert read[0]["ean"] == ["0095205603217"]
    assert guess_fields(read).roles == guess_fields(rows).roles
    assert guess_fields(read).facets == guess_fields(rows).facets


def test_grocery() -> None:
    fields = guess_fields(shared_sample("grocery/products.ndjson"))
    assert fields.roles == {
        "id": ("id",),
        "title": ("name",),
        "description": ("description",),
        "category": ("category", "department"),
        "image": ("image",),
    }
    assert fields.types == {"category": "keyword", "department": "keyword"}
    assert fields.facets == ("category", "department")


def exported(header: str, *lines: str) -> list[dict[str, Any]]:
    """24 rows of an export, its lines repeated with a running number for %."""
    names = header.split("|")
    rows = []
    for i in range(24):
        cells = lines[i % len(lines)].replace("%", f"{i:02d}").split("|")
        rows.append({name: cell for name, cell in zip(names, cells, strict=True) if cell})
    return rows


EXPORTS = {
    "shopify": (
        exported(
            "Handle|Title|Body (HTML)|Vendor|Type|Tags|Variant SKU|Variant Price|Variant Barcode|Image Src|Status",
            "red-shirt-%|Red shirt %|<p>A red shirt</p>|Acme|Shirts|red, cotton|SH-%|19.90|0012345678%|https://c.io/%.jpg?v=1|active",
            "blue-hat-%|Blue hat %|<p>A blue hat</p>|Zenith|Hats|blue, wool|HT-%|9.00|0012345679%|https://c.io/%.png?v=1|active",
        ),
        {
            "id": ("Handle",),
            "title": ("Title",),
            "description": ("Body (HTML)",),
            "brand": ("Vendor",),
            "category": ("Type",),
            "tags": ("Tags",),
            "code": ("Variant SKU", "Variant Barcode"),
            "price": ("Variant Price",),
            "image": ("Image Src",),
        },
    ),
    "woocommerce": (
        exported(
            "ID|Type|SKU|Name|Short description|Description|Regular price|Categories|Tags|Images|Brands",
            "1%|simple|W-%|Red shirt %|Short words %|Long words about shirt %|19.9|Shirts|red|https://c.io/%.jpg, https://c.io/b.jpg|Acme",
            "1%|variable|W-%|Blue hat %|Short words %|Long words about hat %|9|Hats|blue|https://c.io/%.jpg|Zenith",
        ),
        {
            "id": ("ID",),
            "title": ("Name",),
            "description": ("Description", "Short description"),
            "brand": ("Brands",),
            "category": ("Categories",),
            "tags": ("Tags",),
            "code": ("SKU",),
            "price": ("Regular price",),
            "image": ("Images",),
        },
    ),
    "magento": (
        exported(
            "sku|product_type|name|description|price|base_image|thumbnail_image|manufacturer|url_key",
            "M%|simple|Red shirt %|Words about shirt %|19.9|/s/h/%.jpg|/s/h/%_t.jpg|Acme|red-shirt-%",
            "M%|configurable|Blue hat %|Words about hat %|9.5|/h/a/%.jpg|/h/a/%_t.jpg|Zenith|blue-hat-%",
        ),
        {
            "id": ("sku",),
            "title": ("name",),
            "description": ("description",),
            "brand": ("manufacturer",),
            "code": ("sku",),
            "price": ("price",),
            "image": ("base_image",),
        },
    ),
    "google": (
        exported(
            "g:id|g:title|g:description|g:link|g:image_link|g:price|g:brand|g:gtin|g:mpn|g:google_product_category|g:color",
            "A%|Red shirt %|Words about shirt %|https://s.io/p/%|https://c.io/%.jpg|19.90 USD|Acme"
            "|0012345678%|SH%|Apparel > Shirts|red",
            "A%|Blue hat %|Words about hat %|https://s.io/p/%|https://c.io/%.jpg|9.00 USD|Zenith"
            "|0012345679%|HT%|Apparel > Hats|blue",
        ),
        {
            "id": ("g:id",),
            "title": ("g:title",),
            "description": ("g:description",),
            "brand": ("g:brand",),
            "category": ("g:google_product_category",),
            "color": ("g:color",),
            "code": ("g:mpn", "g:gtin"),
            "price": ("g:price",),
            "image": ("g:image_link",),
            "url": ("g:link",),
        },
    ),
    "chinese": (
        exported(
            "商品编号|商品名称|详情|品牌|类别|颜色|型号|售价|上市日期|图片|材质",
            "K%|红色连衣裙%|一件漂亮的连衣裙|花间|连衣裙|红色|HX-%|199.00|2024-03-05|图/%.jpg|棉",
            "K%|蓝色手提包%|一只好看的手提包|青禾|手提包|蓝色|QH-%|299.00|2024-04-05|图/%.jpg|皮革",
        ),
        {
            "id": ("商品编号",),
            "title": ("商品名称",),
            "description": ("详情",),
            "brand": ("品牌",),
            "category": ("类别",),
            "color": ("颜色",),
            "code": ("型号",),
            "attributes": ("材质",),
            "price": ("售价",),
            "date": ("上市日期",),
            "image": ("图片",),
        },
    ),
    "fashion": (
        exported(
            "productId|productDisplayName|masterCategory|subCategory|articleType|baseColour|season|thumbnail_120|photo_640",
            "9%|Red shirt %|Apparel|Topwear|Shirts|Red|Summer|t/%.jpg|p/%.jpg",
            "9%|Blue hat %|Accessories|Headgear|Hats|Blue|Winter|t/%.jpg|p/%.jpg",
        ),
        {
            "id": ("productId",),
            "title": ("productDisplayName",),
            "category": ("masterCategory", "subCategory", "articleType"),
            "color": ("baseColour",),
            "attributes": ("season",),
            "image": ("photo_640",),
        },
    ),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_usual_exports(name: str) -> None:
    rows, expected = EXPORTS[name]
    assert guess_fields(rows).roles == expected


@pytest.mark.parametrize(
    "header",
    [
        "Artikelnummer|Bezeichnung|Beschreibung|Marke|Kategorie|Preis|Farbe|Bild",
        "Référence|Nom|Descriptif|Marque|Catégorie|Prix TTC|Couleur|Photo",
        "Referencia|Nombre|Descripción|Marca|Categoría|Precio|Color|Imagen",
        "Codice|Nome|Descrizione|Marca|Categoria|Prezzo|Colore|Immagine",
        "Artikelcode|Naam|Beschrijving|Merk|Categorie|Prijs|Kleur|Afbeelding",
        "商品番号|商品名|商品説明|ブランド|カテゴリ|販売価格|色|画像",
    ],
    ids=["de", "fr", "es", "it", "nl", "ja"],
)
def test_headers_in_other_languages(header: str) -> None:
    roles = ("id", "title", "description", "brand", "category", "price", "color", "image")
    rows = exported(
        header, "A%|Rot %|Worte über %|Acme|Hemden|1.019,90|rot|%.jpg", "A%|Blau %|Mehr %|Zen|Hüte|9,00|blau|%.jpg"
    )
    fields = guess_fields(rows)
    named = dict(zip(roles, header.split("|"), strict=True))
    assert {role: fields.roles.get(role) for role in roles} == {role: (name,) for role, name in named.items()}
    assert fields.marks == {named["price"]: ","}


def test_types_of_csv_strings() -> None:
    rows = exported(
        "id|title|stock|weight|postcode|ean|on_sale|seen|when|size",
        "%|Chair number %|12|1.5|00501|4006381333931|true|2024-05-31|2024-05-31 10:00|S",
        "%|Table number %|7|12|10115|4006381333932|false|2024-06-01T10:00:00Z|2024-06-01 10:00|M",
    )
    assert guess_fields(rows).types == {
        "stock": "long",
        "weight": "double",
        "on_sale": "boolean",
        "seen": "date",
        "postcode": "keyword",
        "when": "keyword",
        "size": "keyword",
    }


def test_nested_fields() -> None:
    rows = [
        {
            "product": {"id": i, "title": {"en": f"Chair {i}", "zh": f"椅子{i}"}},
            "offer": [{"price": 3 + i}],
            "seller": {"name": "x", "id": 4},
            "images": [{"src": f"a/{i}.jpg"}],
        }
        for i in range(30)
    ]
    fields = guess_fields(rows)
    assert fields.roles == {
        "id": ("product.id",),
        "title": ("product.title.en", "product.title.zh"),
        "price": ("offer.price",),
        "image": ("images.src",),
    }
    assert fields.types == {"offer.price": "double", "seller.name": "keyword", "seller.id": "long"}


def test_what_elasticsearch_cannot_map_has_no_type() -> None:
    rows: list[dict[str, Any]] = [
        {"id": str(i), "title": f"Chair {i}", "size": 3, "a..b": 4, "_score": 5, "ok": 6} for i in range(30)
    ]
    rows[3]["size"] = {"eu": 36}  # an object in one row, a number in the others
    assert guess_fields(rows).types == {"ok": "long"}


def test_sparse_strings_of_digits_stay_untyped() -> None:
    rows: list[dict[str, Any]] = [{"id": str(i), "title": f"Chair {i}"} for i in range(30)]
    rows[0]["speed"] = "5400"
    rows[0]["watts"] = 40
    assert guess_fields(rows).types == {"watts": "long"}


def test_at_most_so_many_facets() -> None:
    rows = [
        {"id": str(i), "title": f"Chair {i}", **{f"{chr(97 + n)}kind": "xyz"[i % 3] for n in range(11)}}
        for i in range(30)
    ]
    assert len(guess_fields(rows).facets) == MAX_FACETS


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({"colour": "red", "title": "Chair"}, "the id; fields: colour, title; name it with --map id=FIELD"),
        ({"id": "1", "colour": "red"}, "the title; fields: id, colour; name it with --map title=FIELD"),
    ],
)
def test_id_and_title_are_required(row: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError) as caught:
        guess_fields([row])
    assert word in str(caught.value)


def test_mapping_supplies_what_cannot_be_guessed() -> None:
    rows = [{"pk1": f"{i}x", "caption": f"Chair {i}"} for i in range(9)]
    fields = guess_fields(rows, "id=pk1, title = caption")
    assert (fields.roles["id"], fields.roles["title"]) == (("pk1",), ("caption",))


def test_override() -> None:
    rows = [{**row, "offer": {"price": 5, "old": "7"}, "a,b+c": "x y"} for row in made()]
    fields = override(guess_fields(rows), r"title=name_zh,price=offer.price,brand=,attributes=a\,b\+c+material", rows)
    assert fields.roles["title"] == ("name_zh",)
    assert fields.roles["price"] == ("offer.price",)
    assert fields.roles["attributes"] == ("a,b+c", "material")
    assert "brand" not in fields.roles
    assert fields.roles["color"] == ("color", "color_zh")
    assert fields.types["offer.price"] == "double"
    assert fields.facets[:4] == ("category", "color", "tags", "offer.price")


def test_override_takes_a_field_from_the_role_it_was_guessed_for() -> None:
    rows = made()
    fields = override(guess_fields(rows), "brand=material,category=category", rows)
    assert fields.roles["attributes"] == ("pattern",)
    assert fields.roles["brand"] == ("material",)
    assert fields.facets[:2] == ("category", "material")


def test_override_with_a_family() -> None:
    rows = [{**row, "attr_a": "x", "attr_b": "y"} for row in made()]
    assert override(guess_fields(rows), "attributes=attr_*", rows).roles["attributes"] == ("attr_*",)


@pytest.mark.parametrize(
    ("mapping", "word"),
    [
        ("titel=name", "no role 'titel'; roles: id, title"),
        ("title=nam", "title=nam: no such field in the first 60 rows; did you mean name"),
        ("title=qqqqqqqq", "fields: id, name, name_zh"),
        ("title", "cannot read 'title' in the field mapping; write it like title=name+name_zh"),
        ("=name", "cannot read '=name'"),
        ("title=name+", "cannot read 'title=name+'"),
        ("title=name,title=name_zh", "role title is given twice; join its fields with a plus"),
        ("title=name*", "only attributes can end in *"),
        ("attributes=zzz_*", "no such field"),
        ("price=brand", "price=brand: its values are not numbers"),
        ("date=price", "date=price: its values are not ISO dates"),
        ("id=", "--map id=FIELD"),
    ],
)
def test_override_errors(mapping: str, word: str) -> None:
    rows = made()
    with pytest.raises(UsageError) as caught:
        override(guess_fields(rows), mapping, rows)
    assert word in str(caught.value)


def test_describe() -> None:
    rows = made()
    table = describe(guess_fields(rows), rows)
    assert table[:2] == [("id", "id", "p0000"), ("title", "name, name_zh", "Red thing of kind 0")]
    there = list(dict.fromkeys(role for role, _, _ in table if role in ROLES))
    assert there == [role for role in ROLES if role in there] and len(there) == 14
    assert ("facet", "material", "cotton") in table
    assert table[-3:] == [
        ("number", "price, rating", "10.5"),
        ("date", "released", "2024-01-03"),
        ("boolean", "in_stock", "False"),
    ]


def test_expand() -> None:
    source = {"attr_a": 1, "attr_b": {"c": 2}, "x*": 3, "spec": [{"k1": 1}, {"k2": 2, "k1": 3}]}
    assert expand(["attr_*", "attr_a", "name"], source) == ["attr_a", "attr_b", "name"]
    assert expand(["spec.*"], source) == ["spec.k1", "spec.k2"]
    assert expand(["spec.k2*", "x*"], source) == ["spec.k2", "x*"]
    assert expand(["none_*"], source) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=6), JSON, max_size=5), min_size=1, max_size=6))
def test_any_rows_can_be_guessed_on(rows: list[dict[str, Any]]) -> None:
    rows = [{**row, "id": f"k{i}", "title": "some words"} for i, row in enumerate(rows)]
    fields = guess_fields(rows)
    assert fields.roles["id"] and fields.roles["title"]
    assert set(fields.facets) <= set(fields.types)
    assert len(describe(fields, rows)) >= 2


def test_the_order_of_keys_does_not_matter() -> None:
    """Elasticsearch gives the keys of a `_source` in another order where it has filtered it."""
    row = {"attr_t_b": "2", "attr_t_a": "1", "size": {"w": 3, "h": 2}}
    turned = {"size": {"h": 2, "w": 3}, "attr_t_a": "1", "attr_t_b": "2"}
    assert expand(("attr_t_*",), row) == expand(("attr_t_*",), turned) == ["attr_t_a", "attr_t_b"]
    assert list(values_at(row, "size")) == list(values_at(turned, "size")) == [2, 3]
