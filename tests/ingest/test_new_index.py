"""The layer in an index that a shop makes, and the orders that follow its writes. Neither asks a cluster."""

from __future__ import annotations

import functools
import time
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from hybrid.contracts import IndexProfile
from hybrid.elastic.indices.lifecycle import Indices
from hybrid.encoders import get_encoder
from hybrid.errors import ClusterUnreachableError, UsageError
from hybrid.ingest.new_index import NewIndices
from hybrid.ingest.written import Written
from hybrid.settings import Settings
from tests.support.waiting import until


def added(body: dict[str, Any], **changes: Any) -> tuple[dict[str, Any], IndexProfile]:
    """(the body with the layer, the profile in it)."""
    settings = Settings(text_encoder="toy:32", image_encoder="toy:16", **changes)
    indices = Indices(Elasticsearch("http://127.0.0.1:1"))
    new = NewIndices(indices, settings, functools.partial(get_encoder, settings=settings)).added("shop", body)
    return new, IndexProfile.from_json("shop", new["mappings"]["_meta"]["hybrid"])


def test_a_mapping_says_by_its_names_what_the_fields_are_for() -> None:
    text, keyword = {"type": "text"}, {"type": "keyword"}
    body = {
        "settings": {"number_of_shards": 1},
        "mappings": {
            "dynamic": "strict",
            "_meta": {"team": "search"},
            "properties": {"product_name": text, "brand": keyword, "image_url": keyword, "price": {"type": "float"}},
        },
    }
    new, profile = added(body)
    assert profile.attached and profile.fields.roles["id"] == ("_id",)
    assert {role: profile.fields.roles[role] for role in ("title", "brand", "image", "price")} == {
        "title": ("product_name",), "brand": ("brand",), "image": ("image_url",), "price": ("price",),
    }  # fmt: skip
    assert {name: one.dims for name, one in profile.signals.items()} == {"text": 32, "image": 16}
    assert (profile.fields.types["price"], profile.fields.facets) == ("double", ("brand",))
    layer = new["mappings"]["properties"].pop("hybrid")
    assert (layer["properties"]["text"]["dims"], layer["properties"]["image"]["dims"]) == (32, 16)
    new["mappings"]["_meta"].pop("hybrid")
    assert new == body


def test_settings_say_the_language_and_what_the_fields_are_for() -> None:
    text, keyword = {"type": "text"}, {"type": "keyword"}
    body = {"mappings": {"properties": {"bezeichnung": text, "name": text, "brand": keyword, "price": keyword}}}
    _, profile = added(body, dropin_proxy_language="de", dropin_proxy_map="title=bezeichnung,description=name,price=")
    roles = profile.fields.roles
    assert (roles["title"], roles["description"], roles["brand"]) == (("bezeichnung",), ("name",), ("brand",))
    assert "price" not in roles and profile.language == "de" and added(body)[1].language == "en"
    for wrong in ({"dropin_proxy_language": "klingon"}, {"dropin_proxy_map": "titel=name"}):
        with pytest.raises(UsageError, match=r"klingon|titel"):
            added(body, **wrong)


@pytest.mark.parametrize("body", [{}, {"mappings": {"properties": {"stock": {"type": "long"}}}}])
def test_without_words_in_the_mapping_the_usual_names_hold(body: dict[str, Any]) -> None:
    _, profile = added(body)
    assert profile.fields.roles["title"] == ("title", "name")
    assert list(profile.signals) == ["text"]


def test_many_writes_are_one_order_and_a_failure_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    ordered: list[str] = []

    def order(index: str) -> None:
        ordered.append(index)
        if index == "down":
            raise ClusterUnreachableError("the broker is gone")

    written = Written(order, collect_s=0.1, every_s=1.0)
    began = time.monotonic()
    for _ in range(100):
        written.add("shop")
        written.add("down")
    until(lambda: len(ordered) == 2)
    written.add("shop")
    until(lambda: len(ordered) == 3)
    assert ordered == ["down", "shop", "shop"]
    assert time.monotonic() - began > 1.0
    assert "left to the next sync: the broker is gone" in caplog.text
