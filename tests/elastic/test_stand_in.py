"""What is searched of an index that the layer has no part in."""

from __future__ import annotations

from typing import Any

from hybrid.contracts import FieldMap, IndexProfile
from hybrid.elastic.indices.stand_in import stand_in

TEXT, KEYWORD = {"type": "text"}, {"type": "keyword"}


def described(**properties: Any) -> dict[str, Any]:
    return {"mappings": {"properties": properties}, "settings": {"index.number_of_shards": "2"}}


def test_an_index_is_read_by_the_names_and_types_of_its_fields() -> None:
    profile = stand_in(
        "shop",
        "shop-2",
        described(
            product_name={**TEXT, "fields": {"raw": KEYWORD}},
            description=TEXT,
            log=TEXT,
            brand=KEYWORD,
            price={"type": "scaled_float", "scaling_factor": 100},
            hidden={"type": "keyword", "index": False},
            offers={"type": "nested", "properties": {"seller": TEXT}},
            hybrid={"properties": {"terms": {"properties": {"title": TEXT}}}},
        ),
    )
    assert profile is not None
    assert profile.lexical_fields == ("description", "product_name^2")
    assert dict(profile.fields.types) == {"product_name.raw": "keyword", "brand": "keyword", "price": "double"}
    assert profile.fields.roles["title"] == ("product_name",)
    assert (profile.signals, profile.shards, profile.concrete) == ({}, 2, "shop-2")
    assert "hybrid attach shop" in profile.without_layer


def test_where_no_name_tells_all_words_are_searched() -> None:
    profile = stand_in("shop", "shop-2", described(a=TEXT, b=TEXT))
    assert profile is not None and profile.lexical_fields == ("a", "b")


def test_what_was_known_of_the_name_holds_as_far_as_the_fields_are_there() -> None:
    fields = FieldMap({"title": ("headline", "gone"), "brand": ("maker",)}, {}, facets=("maker", "color"))
    before = IndexProfile("shop", fields, {}, "de", "1", media_root="/pictures", concrete="shop-1")
    profile = stand_in("shop", "shop-2", described(headline=TEXT, name=TEXT, maker=KEYWORD), before)
    assert profile is not None
    assert profile.fields.roles == {"title": ("headline",), "brand": ("maker",)}
    assert (profile.fields.facets, profile.lexical_fields) == (("maker",), ("headline^2",))
    assert (profile.language, profile.media_root) == ("de", "/pictures")


def test_without_words_there_is_nothing_to_search() -> None:
    assert stand_in("shop", "shop-2", described(code=KEYWORD)) is None
