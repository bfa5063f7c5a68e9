"""The names that fields go by in exports of shops, by role: in English and Chinese, then in other languages."""

from __future__ import annotations

import re
from functools import lru_cache

_NAMES = {
    "id": "id _id uniq_id uid uuid docid doc_id handle url_handle sku sku_id asin article_id code key ref reference "
    "ean gtin ordernumber 编号 编码 货号 id号",
    "title": "title name display_name full_name item_name headline label product model_name 名称 标题 品名 "
    "名字 商品",
    "description": "description long_description full_description desc long_desc detail_desc details body_html "
    "body short_description short_desc summary overview content about features bullet_points text 描述 "
    "详细描述 详情 介绍 简介 说明",
    "brand": "brand brand_name brands manufacturer manufacturer_name maker supplier supplier_name vendor "
    "vendor_name designer 品牌 品牌名称 厂商 制造商 生产商 供应商",
    "category": "category categories category_name category_names category_path google_category "
    "google_product_category main_category master_category product_type type_name department "
    "department_name sub_category subcategory article_type group_name section section_name breadcrumb "
    "breadcrumbs type genre 类别 分类 类目 品类 种类 部门",
    "tags": "tags tag keywords keyword labels collections search_terms 标签 关键词 关键字",
    "color": "color colour colors colours color_name colour_name base_color base_colour main_color "
    "main_colour primary_color color_family colour_group_name 颜色 色彩 主色",
    "code": "model model_number model_no model_code mpn part_number part_no partnumber "
    "manufacturer_part_number product_number sku style_code style_number article_number item_number ean ean13 gtin "
    "gtin13 gtin14 upc barcode isbn isbn13 isbn10 gtin_upc_ean_or_isbn asin reference ordernumber "
    "型号 款号 货号 条码 条形码",
    "price": "price current_price sale_price selling_price final_price discounted_price unit_price "
    "retail_price regular_price list_price actual_price price_amount price_value price_usd price_eur "
    "price_gbp price_cny amount offer_price 价格 售价 单价 现价 原价",
    "regular_price": "regular_price list_price compare_at_price variant_compare_at_price msrp rrp was_price "
    "price_before original_price normal_price strike_price 原价 市场价 划线价",
    "currency": "currency currency_code price_currency currency_iso 货币 币种",
    "stock": "in_stock is_in_stock instock stock_status availability available stock inventory qty quantity "
    "stock_quantity quantity_in_stock inventory_quantity variant_inventory_qty 库存 有货 库存数量",
    "rating": "rating average_rating avg_rating rating_average review_rating customer_rating star_rating stars "
    "评分 星级",
    "date": "released release_date date_released launch_date launched published_at publish_date "
    "date_published published date_added added available_from availability_date created_at created "
    "date_created date updated_at updated 上市日期 上市时间 发布日期 发布时间 上架时间 上架日期 日期",
    "image": "image main_image base_image primary_image image_link image_url image_src image_path images "
    "images_src images_url img img_url image_file picture picture_url pictures photo photo_url photos "
    "im_url high_pic 图片 主图 图片地址 图片链接 图片url 图",
    "video": "video video_url video_link video_path video_file videos movie clip clips animation 视频 "
    "视频地址 动画",
    "audio": "audio audio_url audio_link audio_path audio_file sound sounds recording preview_audio music "
    "音频 声音 音乐",
    "url": "url link page_url permalink canonical_url href 链接 网址",
}  # fmt: skip

#: German, French, Spanish, Italian, Dutch, Japanese.
_MORE = {
    "id": "artikelnummer artikelnr artikel_nr produktnummer produkt_id référence reference_produit id_produit "
    "identifiant referencia id_producto código codice id_prodotto riferimento artikelcode productnummer 商品番号 "
    "商品コード 商品id 管理番号",
    "title": "bezeichnung artikelbezeichnung artikelname produktname produktbezeichnung titel nom désignation "
    "nom_du_produit intitulé titre nombre título titulo denominación nome nome_prodotto titolo denominazione naam "
    "productnaam omschrijving_kort 商品名 製品名 品名 タイトル",
    "description": "beschreibung produktbeschreibung langbeschreibung artikelbeschreibung langtext kurzbeschreibung "
    "descriptif description_longue description_courte descripción descripcion descripción_larga descripción_corta "
    "descrizione descrizione_lunga descrizione_breve beschrijving omschrijving productomschrijving 商品説明 説明 "
    "説明文 詳細",
    "brand": "marke hersteller lieferant marque fabricant fournisseur marca fabricante proveedor produttore fornitore "
    "merk fabrikant leverancier ブランド メーカー 製造元",
    "category": "kategorie kategorien warengruppe produktgruppe produktkategorie catégorie catégories rayon famille "
    "categoría categorías categoria categorie categorieën productgroep reparto カテゴリ カテゴリー 分類",
    "tags": "schlagworte schlagwörter stichworte mots_clés étiquettes etiquetas palabras_clave parole_chiave etichette "
    "trefwoorden タグ キーワード",
    "color": "farbe farben couleur couleurs colores colore kleur kleuren 色 カラー",
    "code": "modell modellnummer herstellernummer herstellerartikelnummer artikelnummer strichcode barcode_ean modèle "
    "code_barres référence_fabricant modelo código_de_barras modello codice_a_barre codice_articolo modelnummer "
    "型番 品番 janコード jan",
    "price": "preis verkaufspreis bruttopreis endpreis vk_preis prix prix_ttc prix_de_vente precio precio_venta pvp "
    "prezzo prezzo_vendita prijs verkoopprijs 価格 販売価格 税込価格",
    "regular_price": "uvp streichpreis statt_preis listenpreis normalpreis prix_barré prix_conseillé prix_normal "
    "precio_anterior precio_normal precio_original prezzo_pieno prezzo_di_listino prezzo_originale adviesprijs "
    "van_prijs 定価 希望小売価格 通常価格",
    "currency": "währung waehrung devise monnaie moneda divisa valuta 通貨",
    "stock": "verfügbar verfügbarkeit lieferbar auf_lager lagerbestand bestand lagernd en_stock disponible "
    "disponibilité stock_disponible quantité disponibilidad existencias disponibile disponibilità giacenza quantità "
    "voorraad op_voorraad beschikbaar beschikbaarheid 在庫 在庫数 在庫状況",
    "rating": "bewertung durchschnittsbewertung note_moyenne évaluation valoración valoracion valutazione "
    "beoordeling 評価 レビュー評価",
    "date": "erscheinungsdatum veröffentlicht datum erstellt_am date_de_sortie date_de_parution fecha "
    "fecha_de_lanzamiento data data_di_uscita verschijningsdatum 発売日 登録日",
    "image": "bild bilder bild_url bildlink hauptbild produktbild imagen imágenes imagen_principal immagine immagini "
    "foto afbeelding afbeeldingen 画像 商品画像 画像url",
    "video": "vidéo filmato 動画",
    "audio": "ton klang son sonido suono geluid 音声",
    "url": "produktlink produkt_url lien url_produit enlace collegamento productlink 商品url リンク",
}  # fmt: skip

#: role -> names that a field of it goes by, the most telling first, as `field_statistics` writes them.
NAMES: dict[str, tuple[str, ...]] = {
    role: (*names.split(), *_MORE.get(role, "").split()) for role, names in _NAMES.items()
}


@lru_cache(maxsize=8192)
def plain(column: str) -> str:
    """A column's name in lower case, words joined by underscores: "Body (HTML)" is body_html, "g:image link" too.

    >>> plain("Body (HTML)"), plain("In stock?"), plain("g:image_link")
    ('body_html', 'in_stock', 'image_link')
    """
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column.strip().removeprefix("g:")).lower()
    return re.sub(r"[^\w]+", "_", name).strip("_") or name
