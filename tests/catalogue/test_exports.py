"""Exports of shop platforms become products with their variants, prices, categories and pictures."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from hybrid.catalogue.fields import guess_fields
from hybrid.catalogue.presets import preset_of
from hybrid.catalogue.reader import Catalogue, open_catalogue
from hybrid.catalogue.values import conform
from hybrid.contracts import Reject
from hybrid.errors import CatalogueError, UsageError
from tests.conftest import SHARED

CASES = SHARED.parent / "cases" / "catalogues"
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


def read(path: Path, **options: Any) -> tuple[dict[str, dict[str, Any]], Catalogue]:
    """Products by id, as they are indexed."""
    with open_catalogue(path, now=NOW, **options) as catalogue:
        fields = guess_fields(catalogue.sample())
        rows = list(catalogue.rows(fields.roles["id"]))
        assert not any(isinstance(row, Reject) for row in rows), rows
        return {row.id: conform(row.source, fields) for row in rows if not isinstance(row, Reject)}, catalogue


def written(folder: Path, text: str, name: str = "export.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.fixture(autouse=True)
def _there(shared: Path) -> None:
    """The cases lie beside the real data."""


def test_woocommerce() -> None:
    products, catalogue = read(CASES / "woo.csv")
    assert catalogue.gathering.preset.title == "WooCommerce"
    assert products.keys() == {"101", "104", "106", "107"} and catalogue.gathering.left_out == {"not published": 1}
    hoodie, beanie = products["101"], products["104"]
    assert [variant["sku"] for variant in hoodie["variants"]] == ["HOOD-R", "HOOD-B"]
    assert (hoodie["variants"][1]["price"], hoodie["variants"][1]["regular_price"]) == ("40", "45")
    assert hoodie["Color"] == ["Blue", "Green", "Red"] and "pocket" in hoodie["Description"].splitlines()[1]
    assert len(hoodie["Images"]) == 3, "its own two, and that of a variant"
    assert beanie["Categories"] == ["Clothing", "Clothing > Accessories"]
    assert (beanie["price"], beanie["regular_price"], hoodie["price"]) == ("18", "20", "45")
    assert "variants" not in beanie and beanie["Color"] == "Red"


#: The columns of a WooCommerce export, as it writes them in the language of the shop.
LOCALISED = {
    "de": "ID,Typ,Artikelnummer,Name,Veröffentlicht,Vorrätig?,Lager,Kurzbeschreibung,Beschreibung,Angebotspreis,"
    "Regulärer Preis,Kategorien,Schlagwörter,Bilder,Übergeordnetes Produkt,Attribut 1 Name,Attribut 1 Wert(e),"
    "Attribut 1 Sichtbar",
    "fr": "ID,Type,UGS,Nom,Publié,En stock ?,Stock,Description courte,Description,Tarif promo,Tarif régulier,"
    "Catégories,Étiquettes,Images,Parent,Nom de l’attribut 1,Valeur(s) de l’attribut 1 ,Attribut 1 visible",
    "es": "ID,Tipo,SKU,Nombre,Publicado,¿Existencias?,Inventario,Descripción corta,Descripción,Precio rebajado,"
    "Precio normal,Categorías,Etiquetas,Imágenes,Superior,Nombre del atributo 1,Valor(es) del atributo 1,"
    "Atributo visible 1",
    "it": "ID,Tipo,COD,Nome,Pubblicato,In stock?,Magazzino,Breve descrizione,Descrizione,Prezzo in offerta,"
    "Prezzo di listino,Categorie,Etichette,Immagine,Genitore,Attributo 1 nome,Attributo 1 valore(i),"
    "Attributo 1 visibile",
    "nl": "ID,Type,SKU,Naam,Gepubliceerd,Op voorraad?,Voorraad,Korte beschrijving,Beschrijving,Actieprijs,"
    "Reguliere prijs,Categorieën,Tags,Afbeeldingen,Hoofd,Naam eigenschap 1,Waarde(n) eigenschap 1,"
    "Zichtbare eigenschap 1",
}


@pytest.mark.parametrize("language", LOCALISED)
def test_woocommerce_in_the_language_of_the_shop(tmp_path: Path, language: str) -> None:
    rows = (
        '1,variable,HOOD,Hoodie,1,1,,Warm,"A\\nB",,,"Mode, Mode > Hoodies","warm, soft","https://s.invalid/a.jpg, '
        'https://s.invalid/b.jpg",,Color,"Blue, Red",1\n'
        '2,variation,HOOD-R,Hoodie - Red,1,1,3,,,"39,95","1.045,00",,,,HOOD,Color,Red,1\n'
        '3,variation,HOOD-B,Hoodie - Blue,1,0,0,,,,"45,00",,,,id:1,Color,Blue,1\n'
        "4,simple,OFF,Draft,-1,1,1,,,,9,,,,,,,\n"
    )
    header = LOCALISED[language]
    products, catalogue = read(written(tmp_path, f"{header}\n{rows}"))
    assert catalogue.gathering.preset.title == "WooCommerce" and catalogue.gathering.left_out == {"not published": 1}
    (hoodie,) = products.values()
    assert [one["sku"] for one in hoodie["variants"]] == ["HOOD-R", "HOOD-B"]
    assert [one["in_stock"] for one in hoodie["variants"]] == [True, False]
    assert (hoodie["price"], hoodie["regular_price"], hoodie["Color"]) == (39.95, 1045, ["Blue", "Red"])
    # The other columns keep the names that the file gives them.
    columns = header.split(",")
    categories, tags, images, description = (hoodie[columns[at]] for at in (11, 12, 13, 8))
    assert categories == ["Mode", "Mode > Hoodies"] and tags == ["warm", "soft"] and len(images) == 2
    assert description.splitlines() == ["A", "B"]
    assert hoodie.keys().isdisjoint({columns[at] for at in (1, 4, 5, 9, 10, 14, 15, 16, 17)})


def test_pictures_in_one_cell_are_several_and_one_with_spaces_is_one() -> None:
    products, _ = read(CASES / "wooimg.csv")
    assert [url.rpartition("/")[2] for url in products["1"]["Images"]] == ["plain.jpg", "other1.jpg"]
    assert products["6"]["Images"].endswith("mit leerzeichen ü.jpg")


def test_shopify() -> None:
    products, catalogue = read(CASES / "shopify.csv")
    assert products.keys() == {"red-shirt", "blue-cap"} and catalogue.gathering.left_out == {"not published": 1}
    shirt = products["red-shirt"]
    assert [(one["sku"], one["Size"], one["price"]) for one in shirt["variants"]] == [
        ("RS-S", "S", "19.90"), ("RS-M", "M", "19.90"), ("RS-L", "L", "21.90")
    ]  # fmt: skip
    assert (shirt["price"], shirt["Tags"], shirt["Size"]) == ("19.90", ["summer", "sale"], ["S", "M", "L"])
    assert "variants" not in products["blue-cap"], "Default Title is no option"


def test_shopify_with_a_price_before_and_pictures_in_further_rows(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "Handle,Title,Vendor,Option1 Name,Option1 Value,Variant SKU,Variant Price,Variant Compare At Price,Image Src,"
        "Variant Inventory Qty\n"
        "lamp,Lamp,Lux,Size,S,L-S,30,40,a.jpg,0\n"
        "lamp,,,,L,L-L,25,50,b.jpg,2\n"
        "lamp,,,,,,,,c.jpg,\n",
    )
    lamp = read(path)[0]["lamp"]
    assert (lamp["price"], lamp["regular_price"]) == ("25", "50"), "those of the cheapest variant"
    assert lamp["Image Src"] == ["a.jpg", "b.jpg", "c.jpg"] and len(lamp["variants"]) == 2
    assert lamp["in_stock"] is True and [one["in_stock"] for one in lamp["variants"]] == [False, True]


MAGENTO = """sku,store_view_code,attribute_set_code,product_type,categories,name,price,special_price,\
special_price_from_date,special_price_to_date,visibility,product_online,base_image,additional_images,\
additional_attributes,is_in_stock,configurable_variations
T-S,,Top,simple,Default Category/Women,Tank S,34.00,,,,Not Visible Individually,1,/a.jpg,,"color=Blue,size=S",1,
T-M,,Top,simple,Default Category/Women,Tank M,34.00,29.00,6/1/26,6/30/26,Not Visible Individually,1,/b.jpg,,\
"color=Red,size=M",0,
T,,Top,configurable,"Default Category/Women/Tops,Default Category/Sale",Tank,,,,,"Catalog, Search",1,/a.jpg,\
"/c.jpg,/d.jpg","material=Cotton|Nylon",1,"sku=T-S,size=S,color=Blue|sku=T-M,size=M,color=Red"
OFF,,Top,simple,Default Category,Off,1,,,,"Catalog, Search",2,,,,1,
PART,,Top,simple,Default Category,Part,1,,,,Not Visible Individually,1,,,,1,
"""


def test_magento_where_products_name_their_variants_after_them(tmp_path: Path) -> None:
    products, catalogue = read(written(tmp_path, MAGENTO))
    assert products.keys() == {"T"} and catalogue.gathering.left_out == {"not published": 2}
    tank = products["T"]
    assert tank["categories"] == ["Women", "Women > Tops", "Sale"]
    assert [(one["sku"], one["price"], one["in_stock"]) for one in tank["variants"]] == [
        ("T-S", "34.00", True), ("T-M", "29.00", False)
    ]  # fmt: skip
    assert (tank["price"], tank["regular_price"], tank["size"]) == ("29.00", "34.00", ["S", "M"])
    assert tank["material"] == ["Cotton", "Nylon"] and tank["base_image"] == ["/a.jpg", "/c.jpg", "/d.jpg", "/b.jpg"]


def test_shopware_both_generations(tmp_path: Path) -> None:
    six = written(
        tmp_path,
        "id;parent_id;product_number;active;stock;name;price_net;price_gross;options;cover_media_url\n"
        "bb;aa;SW1.1;1;5;;16;20;red|S;\naa;;SW1;1;10;Shirt;16;20;;s.jpg\ncc;aa;SW1.2;1;0;;17;21;red|M;\n"
        "dd;zz;SW2.1;1;1;Lost;17;21;;\n",
    )
    products, catalogue = read(six)
    assert [one["sku"] for one in products["aa"]["variants"]] == ["SW1.1", "SW1.2"], "also of one that came first"
    assert products["dd"]["product_number"] == "SW2.1" and catalogue.gathering.alone == 1, "its product is not there"
    five = written(
        tmp_path,
        "ordernumber;mainnumber;name;supplier;price_EK;pseudoprice_EK;active;instock;categories;imageUrl\n"
        "A1;A1;Shirt;Fash;10,00;15,00;1;3;Deutsch>Mode>Herren;a.jpg|b.jpg\nA1.2;A1;Shirt;Fash;12,00;0;1;0;;\n",
        "five.csv",
    )
    shirt = read(five)[0]["A1"]
    assert (shirt["price"], shirt["regular_price"], shirt["categories"]) == (10.0, 15.0, ["Mode", "Mode > Herren"])
    assert shirt["variants"][0]["sku"] == "A1.2"


def test_prestashop(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'Product ID;Active (0/1);Name *;Categories (x,y,z...);Price tax included;Discount percent;"Discount from '
        '(yyyy-mm-dd)";Discount to (yyyy-mm-dd);Reference #;Quantity;Tags (x,y,z...);Image URLs (x,y,z...);'
        "Feature(Name:Value:Position)\n"
        "1;1;Blouse;Home>Women>Tops,Home>Sale;29,90;20;2026-06-15;2026-06-15;BL-1;5;new,silk;"
        "https://x.invalid/1.jpg,https://x.invalid/2.jpg;Colour:Blue:1,Fabric:Silk\n"
        "2;1;Skirt;Home;19,90;20;2026-06-01;2026-06-14;SK-1;0;;;\n3;0;Hidden;Home;9,90;;0000-00-00;0000-00-00;;0;;;\n",
    )
    products, _ = read(path)
    assert products.keys() == {"1", "2"}
    blouse, skirt = products["1"], products["2"]
    assert (blouse["price"], blouse["regular_price"]) == (23.92, 29.9), "its last day is not over"
    assert skirt["price"] == 19.9 and "regular_price" not in skirt, "the sale ended yesterday"
    assert blouse["categories"] == ["Women", "Women > Tops", "Sale"] and blouse["tags"] == ["new", "silk"]
    assert (blouse["Colour"], blouse["Fabric"], len(blouse["images"])) == ("Blue", "Silk", 2)
    assert (blouse["in_stock"], skirt["in_stock"]) == (True, False)


GOOGLE = [
    "id", "title", "link", "image_link", "additional_image_link", "availability", "price", "sale_price",
    "sale_price_effective_date", "product_type", "item_group_id", "size",
]  # fmt: skip
DRESSES = [
    ["A1", "Dress S", "https://x.invalid/1", "a.jpg", "b.jpg,c.jpg", "out_of_stock", "59.90 EUR", "49.90 EUR",
     "2026-06-01T00:00+0200/2026-07-01T00:00+0200", "Women > Dresses", "G1", "S"],
    ["A2", "Dress M", "https://x.invalid/2", "d.jpg", "", "in stock", "59.90 EUR", "39.90 EUR",
     "2026-01-01T00:00+0200/2026-02-01T00:00+0200", "Women > Dresses", "G1", "M"],
    ["B1", "Mug", "https://x.invalid/3", "e.jpg", "", "preorder", "9.90 EUR", "", "", "Home > Mugs", "", ""],
]  # fmt: skip


def _element(name: str, value: str) -> str:
    parts = value.split(",") if name == "additional_image_link" else [value]
    return "".join(f"<g:{name}>{part.replace('>', '&gt;')}</g:{name}>" for part in parts if part)


@pytest.mark.parametrize("form", ["tsv", "xml"])
def test_a_google_feed_as_a_table_and_in_xml(tmp_path: Path, form: str) -> None:
    if form == "tsv":
        text = "".join("\t".join(row) + "\n" for row in (GOOGLE, *DRESSES))
    else:
        items = ("".join(map(_element, GOOGLE, row)) for row in DRESSES)
        text = (
            '<?xml version="1.0"?><rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel><title>Shop'
            f"</title><link>https://x.invalid</link>{''.join(f'<item>{item}</item>' for item in items)}</channel></rss>"
        )
    products, catalogue = read(written(tmp_path, text, f"feed.{form}"))
    assert (catalogue.format, catalogue.gathering.preset.name) == (form, "google")
    dress, mug = products["G1"], products["B1"]
    assert [(one["sku"], one["price"], one["size"]) for one in dress["variants"]] == [
        ("A1", "49.90", "S"), ("A2", "59.90", "M")
    ]  # fmt: skip
    assert (dress["price"], dress["regular_price"], dress["currency"]) == ("49.90", "59.90", "EUR")
    assert dress["in_stock"] is True and dress["product_type"] == ["Women", "Women > Dresses"]
    assert dress["image_link"] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert (mug["price"], mug["in_stock"]) == ("9.90", True)


def test_a_feed_in_xml_that_breaks_off_or_has_entities(tmp_path: Path) -> None:
    item = "<item><id>1</id><title>Lamp &amp; shade</title><secret>&x;</secret></item>"
    bomb = f'<!DOCTYPE feed [<!ENTITY x SYSTEM "file:///etc/hostname">]><items>{item}</items>'
    with pytest.raises(CatalogueError, match="HTML, or XML that is no feed"):
        open_catalogue(written(tmp_path, bomb, "bomb.xml"))
    path = written(tmp_path, f"<items><item><id>1</id><title>Lamp &amp; shade</title></item>{item[:20]}", "cut.xml")
    with open_catalogue(path) as catalogue:
        product, end = list(catalogue.rows(("id",)))
    assert not isinstance(product, Reject) and product.source == {"id": "1", "title": "Lamp & shade"}
    assert isinstance(end, Reject) and end.reason == "bad_xml"
    with pytest.raises(CatalogueError, match="without products"):
        open_catalogue(written(tmp_path, "<a><b>1</b></a>", "none.xml"))


def test_a_table_of_no_platform(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "id,title,price,sale_price,sale_end,tags,in_stock,image,rating\n"
        '1,Lamp,20.00,15.00,2026-07-01,"a, b",yes,"x/a.jpg, x/b.jpg",4.5\n'
        "2,Chair,30.00,25.00,2026-01-01,a,no,x/c.jpg,3\n3,Desk,40.00,,,,sold out,x/c.jpg,\n"
        "4,Shelf,50.00,9.00,whenever,,yes,,\n",
    )
    products, _ = read(path)
    assert [(one["price"], one.get("regular_price")) for one in products.values()] == [
        ("15.00", "20.00"), ("30.00", None), ("40.00", None), ("50.00", None)
    ]  # fmt: skip
    assert products["1"]["tags"] == ["a", "b"] and products["1"]["image"] == ["x/a.jpg", "x/b.jpg"]
    assert [one["in_stock"] for one in products.values()] == [True, False, False, True]
    rows = read(path, preset=preset_of("none"))[0]
    assert rows == products, "a sale price is one of any file"
    with pytest.raises(UsageError, match="no preset 'woo'; presets: woocommerce"):
        preset_of("woo")


def test_the_currency_of_a_price_is_kept(tmp_path: Path) -> None:
    path = written(tmp_path, "id,title,price\n1,Lamp,€ 12\n2,Chair,13 USD\n3,Desk,14\n")
    products, _ = read(path)
    assert [(one["price"], one.get("currency")) for one in products.values()] == [
        (12, "EUR"),
        (13, "USD"),
        (14, None),
    ]


def test_roles_beyond_text(tmp_path: Path) -> None:
    text = "id,title,price,list price,currency,availability,average rating,bullets\n" + "".join(
        f"{n},Lamp {n},{n},{n + 5},EUR,in stock,{n % 5}.5,<li>Part {n} of a very long list of things to say</li>\n"
        for n in range(1, 9)
    )
    with open_catalogue(written(tmp_path, text)) as catalogue:
        fields = guess_fields(catalogue.sample())
    roles = {role: paths[0] for role, paths in fields.roles.items()}
    assert roles["regular_price"] == "list price" and roles["currency"] == "currency"
    assert roles["stock"] == "availability" and roles["rating"] == "average rating"
    assert roles["description"] == "bullets" and "bullets" not in fields.facets and "bullets" not in fields.types
    assert fields.types["availability"] == "boolean"


def test_a_product_without_a_picture_of_its_own_has_those_of_its_variants(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "ID,Type,SKU,Name,Published,Regular price,Images,Parent\n"
        "1,variable,P,Hoodie,1,9,,\n2,variation,P-R,,1,9,https://x/r.jpg,P\n",
    )
    assert read(path)[0]["1"]["Images"] == "https://x/r.jpg"


def test_every_row_of_a_file_with_sales_has_a_price(tmp_path: Path) -> None:
    path = written(tmp_path, "Artikelnummer;Name;Preis;Angebotspreis\nA1;Lampe;1.299,00;999,00\nA2;Stuhl;49,90;\n")
    products, _ = read(path)
    assert [(one["price"], one.get("regular_price")) for one in products.values()] == [(999, 1299), (49.9, None)]


def test_options_replace_no_column(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "Handle,Title,Type,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Price\n"
        "coffee,House Blend,Drinks,Title,250g,price,low,C-1,5\ncoffee,,,,500g,,high,C-2,9\n",
    )
    coffee = read(path)[0]["coffee"]
    assert (coffee["Title"], coffee["Type"], coffee["price"]) == ("House Blend", "Drinks", "5")
    assert [(one["Title"], one["price option"], one["price"]) for one in coffee["variants"]] == [
        ("250g", "low", "5"), ("500g", "high", "9")
    ]  # fmt: skip


def test_the_handle_is_the_id_of_the_newer_export_too(tmp_path: Path) -> None:
    rows = "".join(f"Lamp {n},lamp-{n},S-{n % 7 or ''},5,x.jpg\n" for n in range(40))
    path = written(tmp_path, "Title,URL handle,SKU,Price,Product image URL\n" + rows)
    products, catalogue = read(path, preset=preset_of("shopify"))
    assert len(products) == 40 and products["lamp-7"]["Title"] == "Lamp 7"


@pytest.mark.parametrize(
    ("start", "end", "price"),
    [
        ("2026-06-01", "N/A", "9"), ("", "15/06/2026", "9"), ("", "15.06.26", "9"), ("", "June 15, 2026", "9"),
        ("", "2026年6月15日", "9"), ("", "6/15/26 12:00", "9"), ("", "1800000000", "9"), ("", "1700000000", "12"),
        ("05/07/2026", "10/08/2026", "12"), ("", "soon", "12"), ("", "14/06/2026", "12"),
    ],
)  # fmt: skip
def test_nothing_is_sold_too_cheaply(tmp_path: Path, start: str, end: str, price: str) -> None:
    """A day that may be two counts as the stricter one, and a time that nobody can read as none of the sale."""
    path = written(tmp_path, f'id,title,price,sale_price,sale_start,sale_end\n1,Lamp,12,9,"{start}","{end}"\n')
    assert read(path)[0]["1"]["price"] == price


def test_what_programs_write_is_no_export(tmp_path: Path) -> None:
    row = '{"id": 1, "name": "Lamp", "type": "simple", "sku": "L", "regular_price": "5", "status": "draft", '
    row += '"tax_status": "x", "parent": 0, "images": [{"src": "https://x/a.jpg"}]}\n'
    products, catalogue = read(written(tmp_path, row, "rest.ndjson"))
    assert catalogue.gathering.preset.name == "none"
    assert products["1"]["images"] == [{"src": "https://x/a.jpg"}]


def test_rows_for_other_views_of_a_shop_are_no_products(tmp_path: Path) -> None:
    more = "T-S,de,Top,simple,,Tank S de,34.00,,,,Not Visible Individually,1,,,,1,\n"
    more += "T,de,Top,configurable,,Tank de,,,,,,1,,,,,\n"
    products, catalogue = read(written(tmp_path, MAGENTO + more))
    assert products.keys() == {"T"} and [one["sku"] for one in products["T"]["variants"]] == ["T-S", "T-M"]
    assert catalogue.gathering.left_out == {"not published": 2, "of another view of the shop": 2}


def test_a_group_is_led_by_the_product_that_has_its_name(tmp_path: Path) -> None:
    rows = [["A1", *DRESSES[0][1:]], ["G1", *DRESSES[2][1:]], DRESSES[1]]
    products, _ = read(written(tmp_path, "".join("\t".join(row) + "\n" for row in (GOOGLE, *rows)), "feed.tsv"))
    assert products.keys() == {"G1"} and products["G1"]["title"] == "Mug"
    assert [one["sku"] for one in products["G1"]["variants"]] == ["A1", "A2"]


def test_a_parent_is_named_by_its_sku_or_by_its_id_as_such(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "ID,Type,SKU,Name,Published,Regular price,Parent\n44,simple,900,Mug,1,9,\n50,variable,44,Hoodie,1,9,\n"
        "51,variation,44-R,,1,9,44\n52,variation,44-B,,1,9,id:50\n53,variation,44-X,,0,9,44\n",
    )
    products, catalogue = read(path)
    assert "variants" not in products["44"] and len(products["50"]["variants"]) == 2
    assert catalogue.gathering.left_out == {"not published": 1}


def test_a_dot_before_three_decimals_is_one(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "Product ID;Active (0/1);Name;Price tax included;Discount percent;Tags (x,y,z...)\n1;1;Pen;16.807;10%;a\n",
    )
    pen = read(path)[0]["1"]
    assert (pen["price"], pen["regular_price"]) == (15.13, "16.807")


def test_what_nobody_counts_is_not_sold_out(tmp_path: Path) -> None:
    head = "Handle,Title,Variant SKU,Variant Price,Variant Inventory Tracker,Variant Inventory Qty,"
    head += "Variant Inventory Policy\n"
    text = head + "a,A,a,1,,0,deny\nb,B,b,1,shopify,-2,continue\nc,C,c,1,shopify,0,deny\n"
    products, _ = read(written(tmp_path, text))
    assert [one.get("in_stock") for one in products.values()] == [None, True, False]


def test_variants_of_a_file_that_breaks_off_are_no_products(tmp_path: Path) -> None:
    text = "id;parent_id;product_number;name;price_gross;price_net\nb;a;S.1;;2;1\nc;a;S.2;;2;1\na;;S;Shirt;2\n"
    with open_catalogue(written(tmp_path, text), now=NOW) as catalogue:
        rows = list(catalogue.rows(("id",)))
    assert [row.reason for row in rows if isinstance(row, Reject)] == ["bad_columns"] and len(rows) == 1
    assert catalogue.gathering.left_out == {"variants whose product could not be read": 2}


def test_woocommerces_interface(tmp_path: Path) -> None:
    def row(id: int, **more: Any) -> dict[str, Any]:
        return {
            "id": id, "name": f"Hoodie {id}", "type": "simple", "status": "publish", "catalog_visibility": "visible",
            "permalink": "https://s.invalid/p", "description": "<p>Warm</p>", "short_description": "", "sku": f"H{id}",
            "price": "40", "regular_price": "45", "sale_price": "40", "date_on_sale_from": None, "on_sale": True,
            "date_on_sale_to": "2026-06-30T23:59:59", "stock_status": "instock", "parent_id": 0,
            "categories": [{"id": 9, "name": "Clothing"}, {"id": 10, "name": "Hoodies"}], "tags": [{"name": "warm"}],
            "images": [{"id": 1, "src": "https://s.invalid/a.jpg"}, {"id": 2, "src": "https://s.invalid/b.jpg"}],
            "attributes": [{"name": "Color", "options": ["Blue", "Red"]}], "meta_data": [{"key": "x"}], **more,
        }  # fmt: skip

    rows = [
        row(1), row(2, date_on_sale_to="2026-06-01T00:00:00"), row(3, status="draft"), row(4, type="variable"),
        row(5, type="variation", parent_id=4, sku="H5-R", sale_price="", stock_status="outofstock"),
    ]  # fmt: skip
    products, catalogue = read(written(tmp_path, orjson.dumps(rows).decode(), "products.json"))
    assert catalogue.gathering.preset.name == "woocommerce-json"
    assert products.keys() == {"1", "2", "4"} and catalogue.gathering.left_out == {"not published": 1}
    first, second, fourth = products.values()
    assert (first["price"], first["regular_price"], first["in_stock"]) == ("40", "45", True)
    assert second["price"] == "45" and "regular_price" not in second, "the sale is over"
    assert first["categories"] == ["Clothing", "Hoodies"] and first["tags"] == ["warm"]
    assert first["images"] == ["https://s.invalid/a.jpg", "https://s.invalid/b.jpg"]
    assert first["Color"] == ["Blue", "Red"]
    assert first.keys().isdisjoint({"meta_data", "attributes", "status", "type", "on_sale", "sale_price"})
    assert [(one["sku"], one["price"], one["in_stock"]) for one in fourth["variants"]] == [("H5-R", "45", False)]


@pytest.mark.parametrize("name", ["products.json", "products.ndjson"])
def test_shopifys_interface(tmp_path: Path, name: str) -> None:
    def variant(id: int, size: str, price: str, before: str | None, **more: Any) -> dict[str, Any]:
        return {"id": id, "title": size, "option1": size, "sku": f"S-{size}", "price": price,
                "compare_at_price": before, **more}  # fmt: skip

    picture = {"src": "https://s.invalid/b.jpg"}
    shirt = {
        "id": 1, "title": "Shirt", "handle": "shirt", "body_html": "<b>Soft</b>", "vendor": "Acme", "status": "active",
        "product_type": "Tops", "tags": "summer, sale", "published_at": "2026-01-01T00:00:00Z",
        "options": [{"name": "Size", "position": 1, "values": ["S", "M"]}],
        "images": [{"id": 7, "src": "https://s.invalid/a.jpg"}, {"id": 8, **picture}],
        "variants": [variant(11, "S", "20.00", "25.00", available=False),
                     variant(12, "M", "19.00", None, available=True, featured_image=picture)],
    }  # fmt: skip
    one = variant(21, "Default Title", "9.00", "0.00", inventory_management="shopify", inventory_quantity=0)
    cap = {**shirt, "id": 2, "title": "Cap", "handle": "cap", "tags": ["cotton"], "variants": [one],
           "options": [{"name": "Title", "position": 1, "values": ["Default Title"]}]}  # fmt: skip
    rows = [shirt, cap, {**shirt, "id": 3, "handle": "draft", "status": "draft"}]
    text = orjson.dumps({"products": rows}) if name.endswith(".json") else b"\n".join(map(orjson.dumps, rows))
    products, catalogue = read(written(tmp_path, text.decode(), name))
    assert catalogue.gathering.preset.name == "shopify-json"
    assert products.keys() == {"1", "2"} and catalogue.gathering.left_out == {"not published": 1}
    first, second = products.values()
    assert [(one["sku"], one["Size"], one["price"], one["in_stock"]) for one in first["variants"]] == [
        ("S-S", "S", "20.00", False), ("S-M", "M", "19.00", True)
    ]  # fmt: skip
    assert first["variants"][0]["regular_price"] == "25.00" and first["variants"][1]["image"] == picture["src"]
    assert (first["price"], first["Size"], first["in_stock"]) == ("19.00", ["S", "M"], True)
    assert first["tags"] == ["summer", "sale"] and "regular_price" not in first and len(first["images"]) == 2
    assert (second["price"], second["sku"], second["in_stock"]) == ("9.00", "S-Default Title", False)
    assert second["tags"] == ["cotton"] and second.keys().isdisjoint({"variants", "Title"})


def test_json_that_is_of_no_platform_is_read_as_it_is(tmp_path: Path) -> None:
    rows = [{"id": "1", "title": "Shirt", "variants": [{"sku": "a"}], "images": [{"src": "a.jpg"}]}]
    products, catalogue = read(written(tmp_path, orjson.dumps(rows).decode(), "products.json"))
    assert catalogue.gathering.preset.name == "none" and products["1"] == rows[0]
