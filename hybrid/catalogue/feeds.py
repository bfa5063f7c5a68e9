"""Product feeds in XML: RSS and Atom of Google Merchant, and lists of elements that are products by their name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson
from lxml import etree

from hybrid.catalogue.streams import MAX_ROW_BYTES, Piece, StreamEnd

#: Elements that are one product. What is within one is a part of it.
_PRODUCT = frozenset((
    "item", "entry", "product", "offer", "shopitem", "article", "artikel", "produkt", "produit", "producto", "prodotto",
    "row", "record",
))  # fmt: skip
_HEAD = re.compile(rb"\s*(?:<\?xml[^>]*\?>\s*)?(?:<!--.*?-->\s*)*<(?!!|html\b)[A-Za-z]", re.DOTALL | re.IGNORECASE)


def is_feed(head: bytes) -> bool:
    """Whether a file begins as XML, and not as HTML or with a document type."""
    return bool(_HEAD.match(head))


def products(content: Iterator[bytes]) -> Iterator[Piece]:
    """Every product as JSON, numbered from 1: elements by their names, those of one name as a list.

    Entities that a document type defines are not read.

    Raises:
        StreamEnd: the XML breaks off, or a product is too large.
    """
    parser = etree.XMLPullParser(("start", "end"), resolve_entities=False, no_network=True, load_dtd=False)
    depth = number = size = 0
    try:
        for chunk in content:
            size += len(chunk)
            if size > MAX_ROW_BYTES:
                limit = MAX_ROW_BYTES // 2**20
                raise StreamEnd("row_too_large", f"no product ends within {limit} MiB; the rest was not read")
            parser.feed(chunk)
            for event, element in parser.read_events():
                assert isinstance(element, etree._Element)
                is_product = _name(element) in _PRODUCT
                depth += is_product if event == "start" else 0
                if event == "end":
                    depth -= is_product
                    if depth == 0:
                        if is_product:
                            number, size = number + 1, 0
                            yield Piece(number, orjson.dumps(_value(element)))
                        _forget(element)
        parser.close()
    except etree.XMLSyntaxError as error:
        raise StreamEnd("bad_xml", f"no XML from here on: {error.msg}") from error


def _forget(element: etree._Element) -> None:
    """Let go of an element and of what is before it; else the emptied elements of a whole file stay in memory."""
    element.clear(keep_tail=True)
    while element.getprevious() is not None and (parent := element.getparent()) is not None:
        del parent[0]


def _name(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2].lower()


def _value(element: etree._Element) -> Any:
    """The text of an element, or an object of what it holds. Atom's links have their address in an attribute."""
    held: dict[str, Any] = {}
    spaces: dict[str, str] = {}
    for child in element:
        if not isinstance(child.tag, str):
            continue  # a comment
        space, _, name = child.tag.rpartition("}")
        value = _value(child)
        if value in ("", {}):
            continue
        if spaces.setdefault(name, space) != space:  # an entry of Atom has an id of its own beside that of the product
            if "base.google.com" not in space:
                continue
            spaces[name] = space
            held.pop(name)
        before = held.get(name)
        held[name] = value if before is None else [*(before if isinstance(before, list) else [before]), value]
    for name, value in element.attrib.items():
        held.setdefault(str(name).rpartition("}")[2], value)
    text = (element.text or "").strip()
    if len(element) or _name(element) in _PRODUCT:
        return held
    return text or held.get("href", "")
