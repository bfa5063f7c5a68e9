"""The columns of exports that a platform names in the language of the shop. Plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hybrid.catalogue.field_names import plain

#: Column in English, by its plain name -> its names in German, French, Spanish, Italian and Dutch, old ones too.
_WOOCOMMERCE = {
    "type": "Typ|Tipo",
    "sku": "Artikelnummer|UGS|COD",
    "gtin_upc_ean_or_isbn": "GTIN, UPC, EAN oder ISBN|GTIN, UPC, EAN ou ISBN|GTIN, UPC, EAN o ISBN|"
    "GTIN, UPC, EAN of ISBN",
    "name": "Nom|Nombre|Nome|Naam",
    "published": "Veröffentlicht|Publié|Publicado|Pubblicato|Gepubliceerd",
    "is_featured": "Ist hervorgehoben?|Mis en avant ?|Mise en avant ?|¿Está destacado?|In primo piano?|Uitgelicht?",
    "visibility_in_catalog": "Sichtbarkeit im Katalog|Visibilité dans le catalogue|Visibilidad en el catálogo|"
    "Visibilità nel catalogo|Zichtbaarheid in catalogus",
    "short_description": "Kurzbeschreibung|Description courte|Descripción corta|Breve descrizione|Descrizione breve|"
    "Korte omschrijving|Korte beschrijving",
    "description": "Beschreibung|Descripción|Descrizione|Beschrijving",
    "date_sale_price_starts": "Datum, an dem Angebotspreis beginnt|Date de début de promo|"
    "Día en que empieza el precio rebajado|Data di partenza del prezzo in saldo|"
    "Data di inizio del prezzo in offerta|Startdatum actieprijs",
    "date_sale_price_ends": "Datum, an dem Angebotspreis endet|Date de fin de promo|"
    "Día en que termina el precio rebajado|Termine data del prezzo di vendita|"
    "Data di fine del prezzo in offerta|Einddatum actieprijs",
    "tax_status": "Steuerstatus|État de la TVA|Estado del impuesto|Stato delle imposte|Btw status",
    "tax_class": "Steuerklasse|Classe de TVA|Clase de impuesto|Aliquota di imposta|Belastingklasse",
    "in_stock": "Vorrätig?|En stock ?|¿En inventario?|¿Existencias?|¿Hay existencias?|Op voorraad?",
    "stock": "Lager|Bestand|Lagerbestand|Inventario|Magazzino|Voorraad",
    "low_stock_amount": "Geringe Lagermenge|Montant de stock faible|Cantidad de bajo inventario|"
    "Quantità di magazzino bassa|Lage voorraad",
    "backorders_allowed": "Lieferrückstande erlaubt?|Lieferrückstände erlaubt?|Rückstände erlaubt?|"
    "Autoriser les commandes de produits en rupture ?|¿Permitir reservas de productos agotados?|"
    "Abilita gli ordini arretrati?|Nabestellingen toestaan?",
    "sold_individually": "Nur einzeln verkaufen?|Vendre individuellement ?|¿Vendido individualmente?|"
    "Venduto singolarmente?|Wordt individueel verkocht?",
    "allow_customer_reviews": "Kundenrezensionen erlauben?|Kundenbewertungen erlauben?|Autoriser les avis clients ?|"
    "¿Permitir valoraciones de clientes?|Permetti le recensioni clienti?|Klantbeoordelingen toestaan?",
    "sale_price": "Angebotspreis|Tarif promo|Precio rebajado|Prezzo in offerta|Actieprijs",
    "regular_price": "Regulärer Preis|Tarif régulier|Precio normal|Prezzo di listino|Reguliere prijs",
    "categories": "Kategorien|Catégories|Categorías|Categorias|Categorie|Categorieën",
    "tags": "Schlagwörter|Étiquettes|Etiquetas|Tag|Etichette",
    "shipping_class": "Versandklasse|Classe d’expédition|Classe de livraison|Clase de envío|Classe di spedizione|"
    "Verzendklasse",
    "images": "Bilder|Imágenes|Immagine|Immagini|Afbeeldingen",
    "download_limit": "Downloadlimit|Limite de téléchargement|Límite de descargas|Limite di download|Downloadlimiet",
    "download_expiry_days": "Ablauftage des Downloads|Jours d’expiration du téléchargement|"
    "Días de caducidad de la descarga|Scarica i giorni di scadenza|Dagen vervaltijd download",
    "parent": "Übergeordnetes Produkt|Übergeordnet|Superior|Genitore|Hoofd",
    "grouped_products": "Gruppierte Produkte|Groupe de produits|Produits groupés|Productos agrupados|"
    "Prodotti raggruppati|Gegroepeerde producten",
    "upsells": "Zusatzverkäufe|Produits suggérés|Ventas dirigidas|Up-sell",
    "cross_sells": "Cross-Sells (Querverkäufe)|Querverkäufe|Ventes croisées|Ventas cruzadas|Cross-sell",
    "position": "Posición|Posizione|Positie",
    "brands": "Marken|Marques|Marcas|Merken",
    "attribute_1_name": "Attribut 1 Name|Nom de l’attribut 1|Nombre del atributo 1|Attributo 1 nome|Naam eigenschap 1",
    "attribute_1_value_s": "Attribut 1 Wert(e)|Valeur(s) de l’attribut 1|Valor(es) del atributo 1|"
    "Attributo 1 valore(i)|Attributo 1 valuta(e)|Waarde eigenschap 1|Waarde(n) eigenschap 1",
    "attribute_1_visible": "Attribut 1 Sichtbar|Attribut 1 visible|Atributo visible 1|Attributo 1 visibile|"
    "Zichtbare eigenschap 1",
    "attribute_1_global": "Attribut 1 Global|Atributo global 1|Attributo 1 globale|Globale eigenschap 1",
    "attribute_1_default": "Attribut 1 Standard|Attribut 1 par défaut|Atributo por defecto 1|"
    "Attributo 1 predefinito|Standaardeigenschap 1",
}


def in_english(column: str, names: Mapping[str, str]) -> str:
    """The plain name of a column in English. names: see WOOCOMMERCE.

    >>> in_english("Regulärer Preis", WOOCOMMERCE), in_english("Valeur(s) de l’attribut 2", WOOCOMMERCE)
    ('regular_price', 'attribute_2_value_s')
    """
    name = plain(column)
    number = re.search(r"\d+", name)
    english = names.get(re.sub(r"\d+", "1", name))
    if english is None:
        return name
    return english.replace("_1_", f"_{number[0]}_") if number else english


#: Plain name in another language -> in English; both with the number 1, if any.
WOOCOMMERCE: Mapping[str, str] = {
    plain(name): english for english, names in _WOOCOMMERCE.items() for name in names.split("|")
}
