"""What the exports of shop platforms look like: the columns that each has, and what they mean. Plain data.

A file whose columns are those of no platform is read by PLAIN, which knows but a sale price and a currency.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from hybrid.catalogue import interfaces
from hybrid.catalogue import options as reading
from hybrid.catalogue.field_names import plain
from hybrid.catalogue.options import Options
from hybrid.catalogue.translations import WOOCOMMERCE as WOOCOMMERCE_NAMES
from hybrid.catalogue.translations import in_english
from hybrid.errors import UsageError


@dataclass(frozen=True)
class Offer:
    """The columns that make a price: what is usually paid, what is paid now, and from when to when.

    until: one column may hold both times, with a slash between. month_first: 6/12/26 is in June, as in America. amount,
    percent: what is taken off, where that is what the export says.
    """

    regular: tuple[str, ...]
    sale: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    amount: tuple[str, ...] = ()
    percent: tuple[str, ...] = ()
    month_first: bool = False

    @property
    def columns(self) -> frozenset[str]:
        """All of them."""
        return frozenset((*self.regular, *self.sale, *self.start, *self.until, *self.amount, *self.percent))


def _no_options(row: Mapping[str, str]) -> Options:
    return {}


@dataclass(frozen=True)
class Preset:
    """How a platform writes its export. Columns are named in plain form: "Body (HTML)" is body_html.

    needs, one_of, hints: a file is such an export if it has all of the first, one of the second, and `wanted` of the
    third.
    key: columns that variants name a product by. id_key: a column whose value V is such a key too, as "id:V".
    parent: of a variant, the key of its product. variants: a column, and what it begins with in the rows of variants.
    children: of a product, a column that names its variants ("sku=A,size=S|sku=B,size=M"). group: rows that share it
    are one product, of which the first leads; identity: the column that has the group as the id of such a product.
    pictures: columns of pictures, the main one first. lists: columns with several values, with what is between them.
    paths: columns of categories, with what is between two of them, what is between two levels, and the names of roots
    that say nothing. published: columns that say whether customers see a row. stock: whether there is any.
    renamed: columns whose names are no names for fields. dropped: columns that say nothing of a product by themselves.
    variant: columns of a variant, with the name that each has in `variants`.
    options: what a product comes in. option_columns: a pattern of the columns that options are read from; they become
    fields with the options' names.
    view: a column that says for which view of the shop a row is; other views say again what is said already.
    escaped: columns in which a line ends with a backslash and an n. whole_paths: a category may have the mark in its
    name that is between two of them. translations: see hybrid.catalogue.translations.
    reshaped: makes a row of columns of an object of the platform's interface, see hybrid.catalogue.interfaces.
    """

    name: str
    title: str
    needs: frozenset[str]
    hints: frozenset[str]
    offer: Offer
    wanted: int = 2
    one_of: frozenset[str] = frozenset()
    key: tuple[str, ...] = ()
    id_key: str = ""
    parent: str = ""
    variants: tuple[str, str] = ("", "")
    children: str = ""
    group: tuple[str, ...] = ()
    identity: str = ""
    pictures: tuple[str, ...] = ()
    lists: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, tuple[str, str, frozenset[str]]] = field(default_factory=dict)
    published: tuple[str, ...] = ()
    stock: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    variant: Mapping[str, str] = field(default_factory=dict)
    options: Callable[[Mapping[str, str]], Options] = _no_options
    option_columns: str = ""
    view: str = ""
    escaped: frozenset[str] = frozenset()
    whole_paths: bool = False
    translations: Mapping[str, str] = field(default_factory=dict)
    reshaped: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None

    @cached_property
    def plain(self) -> Callable[[str], str]:
        """The plain name of a column, in English."""
        if not self.translations:
            return plain
        return lru_cache(maxsize=8192)(lambda column: in_english(column, self.translations))

    @cached_property
    def names(self) -> Callable[[tuple[str, ...]], Mapping[str, str]]:
        """Plain name -> column. Rows have few different sets of columns that are not empty."""
        return lru_cache(maxsize=4096)(lambda columns: {self.plain(column): column for column in columns})

    @cached_property
    def spent(self) -> Callable[[str], bool]:
        """Whether a column, by its plain name, says nothing of a product by itself."""
        options = re.compile(self.option_columns)
        return lru_cache(maxsize=8192)(lambda name: name in self.dropped or bool(options.fullmatch(name)))

    @property
    def gathers(self) -> bool:
        """Whether several rows may be one product."""
        return bool(self.parent or self.children or self.group)


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _words(names: str) -> tuple[str, ...]:
    return tuple(names.split())


WOOCOMMERCE = Preset(
    name="woocommerce",
    title="WooCommerce",
    needs=_set("type sku name"),
    hints=_set(
        "published regular_price sale_price parent in_stock tax_status visibility_in_catalog attribute_1_name "
        "is_featured grouped_products"
    ),
    wanted=3,
    offer=Offer(("regular_price",), ("sale_price",), ("date_sale_price_starts",), ("date_sale_price_ends",)),
    key=("sku",),
    id_key="id",
    parent="parent",
    variants=("type", "variation"),  # a product that is grouped has a parent too, and is sold alone
    escaped=_set("description short_description"),
    pictures=("images",),
    lists={"tags": ",", "images": ",", "brands": ","},
    paths={"categories": (",", ">", frozenset())},
    published=("published", "visibility_in_catalog"),
    stock=("in_stock", "stock"),
    dropped=_set(
        "type parent published in_stock visibility_in_catalog is_featured tax_status tax_class sold_individually "
        "backorders_allowed allow_customer_reviews download_limit download_expiry_days grouped_products upsells "
        "cross_sells position shipping_class low_stock_amount"
    ),
    variant={"id": "id", "sku": "sku", "name": "title", "gtin_upc_ean_or_isbn": "gtin"},
    options=reading.woocommerce,
    option_columns=r"attribute_\d+_.*",
    translations=WOOCOMMERCE_NAMES,
)

SHOPIFY = Preset(
    name="shopify",
    title="Shopify",
    needs=_set("title"),
    one_of=_set("handle url_handle"),
    hints=_set(
        "url_handle body_html variant_sku variant_price option1_name option1_value image_src product_image_url "
        "published_on_online_store variant_compare_at_price"
    ),
    offer=Offer(("variant_compare_at_price", "compare_at_price"), ("variant_price", "price")),
    group=("handle", "url_handle"),
    pictures=("image_src", "product_image_url", "variant_image", "variant_image_url"),
    lists={"tags": ","},
    paths={"product_category": ("", ">", frozenset())},
    published=("published", "published_on_online_store", "status"),
    stock=("variant_inventory_qty", "inventory_quantity"),
    dropped=_set(
        "published published_on_online_store status image_position image_alt_text gift_card variant_grams "
        "variant_inventory_tracker inventory_tracker variant_inventory_policy variant_fulfillment_service "
        "fulfillment_service variant_requires_shipping requires_shipping variant_taxable charge_tax "
        "variant_weight_unit variant_tax_code cost_per_item continue_selling_when_out_of_stock "
        "option1_linked_to option2_linked_to option3_linked_to"
    ),
    variant={"variant_sku": "sku", "sku": "sku", "variant_barcode": "barcode", "barcode": "barcode"},
    options=reading.shopify,
    option_columns=r"option\d_.*",
)

MAGENTO = Preset(
    name="magento",
    title="Magento",
    needs=_set("sku name product_type"),
    hints=_set(
        "attribute_set_code store_view_code product_websites additional_attributes configurable_variations "
        "special_price product_online base_image url_key visibility"
    ),
    offer=Offer(
        ("price",),
        ("special_price",),
        ("special_price_from_date", "special_from_date"),
        ("special_price_to_date", "special_to_date"),
        month_first=True,
    ),  # fmt: skip
    key=("sku",),
    children="configurable_variations",
    pictures=("base_image", "additional_images"),
    lists={"additional_images": ","},
    paths={"categories": (",", "/", frozenset({"Default Category", "Root Catalog"}))},
    published=("product_online", "visibility"),
    stock=("is_in_stock", "qty"),
    dropped=_set(
        "product_type is_in_stock attribute_set_code store_view_code product_websites visibility product_online "
        "tax_class_name additional_attributes configurable_variations configurable_variation_labels "
        "options_container display_product_options_in map_enabled page_layout custom_design "
        "custom_layout_update"
    ),
    variant={"sku": "sku", "name": "title"},
    options=reading.magento,
    view="store_view_code",
)

SHOPWARE = Preset(
    name="shopware",
    title="Shopware",
    needs=_set("name parent_id product_number"),
    hints=_set("id price_net price_gross tax_id tax_rate active stock categories options cover cover_media_url media"),
    offer=Offer(
        ("list_price_gross", "list_price_net"),
        ("price_gross", "price_net"),
    ),  # fmt: skip
    key=("id", "product_number"),
    parent="parent_id",
    pictures=("cover_media_url", "media"),
    lists={"categories": "|", "options": "|", "media": "|", "tags": "|"},
    published=("active",),
    stock=("stock",),
    dropped=_set("parent_id active tax_id tax_rate tax"),
    variant={"id": "id", "product_number": "sku", "ean": "ean", "options": "options"},
)

SHOPWARE_5 = Preset(
    name="shopware5",
    title="Shopware 5",
    needs=_set("name ordernumber mainnumber"),
    hints=_set("supplier tax price_ek pseudoprice_ek active instock description_long image_url categories"),
    offer=Offer(("pseudoprice_ek",), ("price_ek",)),
    key=("ordernumber",),
    parent="mainnumber",
    pictures=("image_url",),
    lists={"image_url": "|"},
    paths={"categories": ("|", ">", frozenset({"Deutsch", "English", "Root"}))},
    published=("active",),
    stock=("instock",),
    dropped=_set("mainnumber active tax base_price_ek stockmin"),
    variant={"ordernumber": "sku", "ean": "ean", "additionaltext": "title"},
)

PRESTASHOP = Preset(
    name="prestashop",
    title="PrestaShop",
    needs=_set("name"),
    hints=_set(
        "active_0_1 categories_x_y_z price_tax_excluded price_tax_included price_tax_excl price_tax_incl "
        "tax_rules_id on_sale_0_1 image_urls_x_y_z tags_x_y_z delete_existing_images_0_no_1_yes"
    ),
    offer=Offer(
        ("price_tax_included", "price_tax_incl", "price_tax_excluded", "price_tax_excl"),
        start=("discount_from_yyyy_mm_dd",),
        until=("discount_to_yyyy_mm_dd",),
        amount=("discount_amount",),
        percent=("discount_percent",),
    ),
    pictures=("image_urls_x_y_z",),
    lists={"tags_x_y_z": ",", "image_urls_x_y_z": ","},
    paths={"categories_x_y_z": (",", ">", frozenset({"Home", "Root"}))},
    published=("active_0_1", "status"),
    stock=("quantity",),
    dropped=_set(
        "active_0_1 status tax_rules_id wholesale_price on_sale_0_1 delete_existing_images_0_no_1_yes position "
        "available_for_order_0_no_1_yes show_price_0_no_1_yes id_name_of_shop meta_title meta_keywords meta_description"
    ),
    renamed={
        "name": "name",
        "product_id": "product_id",
        "reference": "reference",
        "categories_x_y_z": "categories",
        "tags_x_y_z": "tags",
        "image_urls_x_y_z": "images",
    },  # fmt: skip
    options=reading.prestashop,
    option_columns=r"feature_name_value.*",
)

GOOGLE = Preset(
    name="google",
    title="Google Merchant feed",
    needs=_set("id title price"),
    hints=_set(
        "image_link availability item_group_id google_product_category additional_image_link "
        "sale_price_effective_date identifier_exists"
    ),
    offer=Offer(("price",), ("sale_price",), until=("sale_price_effective_date",)),
    key=("id",),
    group=("item_group_id",),
    identity="id",
    pictures=("image_link", "additional_image_link"),
    lists={"additional_image_link": ","},
    paths={"product_type": (",", ">", frozenset()), "google_product_category": ("", ">", frozenset())},
    whole_paths=True,
    stock=("availability",),
    dropped=_set("item_group_id identifier_exists adult excluded_destination included_destination availability"),
    variant={"id": "sku", "mpn": "mpn", "gtin": "gtin", "sku": "sku", "title": "title", "link": "url"},
    options=reading.google,
    option_columns="color|size|pattern|material",
)

#: The more telling ones first.
PRESETS = (WOOCOMMERCE, MAGENTO, SHOPWARE_5, SHOPWARE, SHOPIFY, PRESTASHOP, GOOGLE)

WOOCOMMERCE_JSON = Preset(
    name="woocommerce-json",
    title="WooCommerce's interface",
    needs=_set("id name type permalink"),
    hints=_set("regular_price sale_price stock_status catalog_visibility short_description date_on_sale_from on_sale"),
    wanted=4,
    offer=Offer(
        ("regular_price", "price"), ("sale_price",), ("date_on_sale_from_gmt", "date_on_sale_from"),
        ("date_on_sale_to_gmt", "date_on_sale_to"),
    ),
    key=("id",),
    parent="parent_id",
    variants=("type", "variation"),
    pictures=("images",),
    published=("status", "catalog_visibility"),
    stock=("stock_status",),
    dropped=_set(
        "type status catalog_visibility parent_id tax_status tax_class reviews_allowed purchasable virtual "
        "downloadable downloads download_limit download_expiry manage_stock backorders backorders_allowed backordered "
        "low_stock_amount sold_individually shipping_required shipping_taxable shipping_class shipping_class_id "
        "upsell_ids cross_sell_ids related_ids grouped_products menu_order has_options featured on_sale purchase_note "
        "external_url button_text post_password date_created_gmt date_modified date_modified_gmt"
    ),
    variant={"id": "id", "sku": "sku", "name": "title", "global_unique_id": "gtin"},
    reshaped=interfaces.woocommerce,
)  # fmt: skip

SHOPIFY_JSON = Preset(
    name="shopify-json",
    title="Shopify's interface",
    needs=_set("title handle variants"),
    hints=_set("body_html product_type vendor options images published_at"),
    wanted=3,
    offer=Offer(("regular_price",), ("price",)),
    published=("status",),
    dropped=_set("status template_suffix admin_graphql_api_id published_scope updated_at created_at"),
    reshaped=interfaces.shopify,
)

#: What programs write as JSON has the names of a platform's interface, and other values.
INTERFACES = (WOOCOMMERCE_JSON, SHOPIFY_JSON)

_SALE = _words(
    "sale_price special_price discounted_price discount_price promo_price promotional_price offer_price "
    "reduced_price angebotspreis aktionspreis sonderpreis prix_promo prix_promotionnel prix_soldé precio_oferta "
    "precio_rebajado prezzo_scontato prezzo_offerta aanbiedingsprijs actieprijs セール価格 特価 促销价 折扣价 优惠价"
)
_REGULAR = _words(
    "price regular_price list_price normal_price original_price retail_price preis verkaufspreis normalpreis "
    "listenpreis prix prix_normal prix_ttc precio precio_normal prezzo prezzo_normale prijs normale_prijs 価格 "
    "通常価格 价格 原价 售价"
)
_START = _words(
    "sale_start_date date_on_sale_from angebot_von aktion_von angebotsbeginn début_promo inicio_oferta inizio_offerta "
    "sale_start sale_from sale_starts sale_price_from sale_price_start date_sale_price_starts special_from_date"
)
_UNTIL = _words(
    "sale_end_date date_on_sale_to angebot_bis aktion_bis angebotsende fin_promo fin_oferta fine_offerta "
    "sale_end sale_to sale_ends sale_until sale_price_to sale_price_end date_sale_price_ends special_to_date "
    "sale_price_effective_date"
)
#: Rows of no known platform.
PLAIN = Preset(
    name="none",
    title="no known platform",
    needs=frozenset(),
    hints=frozenset(),
    offer=Offer(_REGULAR, _SALE, _START, _UNTIL),
)


def preset_of(name: str) -> Preset:
    """The preset of a name; "none" reads rows as they are.

    Raises:
        UsageError: there is no such preset.
    """
    known = (*PRESETS, *INTERFACES, PLAIN)
    for preset in known:
        if preset.name == name:
            return preset
    raise UsageError(f"no preset {name!r}; presets: {', '.join(one.name for one in known)}")


def recognised(columns: Iterable[str], presets: Sequence[Preset] = PRESETS) -> Preset:
    """The preset whose export has these columns; PLAIN, if none.

    >>> recognised(["Handle", "Title", "Vendor", "Variant SKU", "Variant Price"]).title
    'Shopify'
    """
    columns = tuple(columns)
    for preset in presets:
        names = {preset.plain(column) for column in columns}
        telling = len(preset.hints & names) >= preset.wanted
        if telling and preset.needs <= names and (not preset.one_of or preset.one_of & names):
            return preset
    return PLAIN


def described(preset: Preset, products: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the preset does with a file that has these products, in words."""
    notes = []
    if preset is not PLAIN:
        gathered = "variants are in their product, " if preset.gathers else ""
        notes.append(
            f"read as an export of {preset.title}: {gathered}price is what is paid now, what is not published is left "
            "out; --preset none takes each row as a product"
        )
    elif any("regular_price" in row and any(plain(name) in _SALE for name in row) for row in products):
        notes.append("price is the sale price while it lasts, and regular_price the usual one")
    return notes
