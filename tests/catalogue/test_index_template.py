"""The shop's own mapping and analysers: read, fitted to what was guessed, and searched on the real engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hybrid.catalogue.index_template import Template, parse_lexical, read_template, served_by
from hybrid.contracts import FieldMap
from hybrid.errors import IndexConflictError, UsageError
from hybrid.operations import indexing
from hybrid.searches import SearchRequest
from hybrid.services import Services
from tests.conftest import write_rows

pytestmark = pytest.mark.es_both
OWN = {
    "settings": {
        "index": {"number_of_shards": 2},
        "analysis": {"analyzer": {"own": {"tokenizer": "standard", "filter": ["lowercase", "stop"]}}},
    },
    "mappings": {
        "properties": {
            "name": {"type": "text", "analyzer": "own"},
            "brand": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
            "price": {"type": "float"},
        }
    },
}


def test_a_template_fits_the_guess() -> None:
    template = Template(properties=OWN["mappings"]["properties"] | {"parts": {"type": "nested", "properties": {}}})
    guessed = FieldMap(
        roles={"id": ("id",)},
        types={"name": "keyword", "brand": "keyword", "price": "long", "stock": "long", "parts": "keyword"},
        facets=("brand", "parts", "price"),
    )
    fitted = template.fit(guessed)
    assert fitted.types == {"brand.raw": "keyword", "price": "double", "stock": "long"}
    assert fitted.facets == ("brand.raw", "price")
    assert template.fit(fitted) == fitted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "wanted"),
        ("{}", "wanted"),
        ('{"mappings": {"_source": {"enabled": false}}}', "_source cannot be taken over"),
        ('{"mappings": {"properties": {"hybrid": {"type": "text"}}}}', "belongs to the layer"),
        ('{"mappings": {"properties": {"name": "text"}}}', "a definition for each field"),
    ],
)
def test_a_wrong_template_is_one_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=reason):
        read_template(path)
    with pytest.raises(UsageError, match="cannot read template"):
        read_template(tmp_path / "absent.json")


def test_lexical_fields_are_parsed() -> None:
    assert parse_lexical("name^3, description") == ("name^3", "description")
    assert parse_lexical("hybrid.terms") == ()
    for wrong in ("", "^2", "name^", "name^-1", "name^x"):
        with pytest.raises(UsageError, match="--lexical"):
            parse_lexical(wrong)


ROWS: list[dict[str, Any]] = [
    {"id": "a", "name": "The lamp for reading", "brand": "Lumen", "price": 9.5},
    {"id": "b", "name": "Lamps of glass", "brand": "Lumen", "price": 20},
    {"id": "c", "name": "A chair", "brand": "Oak & Co", "price": 70},
]


@pytest.mark.es
def test_the_shops_own_fields_are_the_lexical_signal(services: Services, name: str, tmp_path: Path) -> None:
    template = tmp_path / "own.json"
    template.write_text(json.dumps({"template": OWN}))
    rows = write_rows(tmp_path / "c.ndjson", ROWS)

    def index(**options: Any) -> indexing.IndexReport:
        plan = indexing.plan_index(services, rows, name, "title=name,brand=brand,price=price", **options)
        report = indexing.run_index(services, plan, rejects_path=tmp_path / "rejects")
        services.retrieval.forget()
        return report

    def found(q: str, **options: Any) -> set[str]:
        answer = services.searcher.search(SearchRequest(index=name, q=q, system="bm25", **options))
        assert not answer.degraded
        return {hit.id for hit in answer.hits}

    index(template=template, lexical="name^3,brand")
    profile = services.cluster.indices.read_profile(name)
    assert profile.lexical_fields == ("name^3", "brand")
    assert profile.shards == 2
    assert found("the lamp") == {"a"}  # as the shop's analyser has it: no stemming, no "the"
    assert found("oak") == {"c"}
    assert found("lumen", filters={"brand.raw": "Lumen", "price": {"gte": 10}}) == {"b"}
    hybrid_search = SearchRequest(index=name, q="lamp", weights={"lexical": 0.5, "text": 0.5})
    assert services.searcher.search(hybrid_search).hits[0].id == "a"

    again = index()  # without saying it again
    assert (again.written, again.unchanged) == (0, 3)
    assert found("the lamp") == {"a"}
    index(lexical="hybrid.terms")
    assert found("the lamp") == {"a", "b"}
    with pytest.raises(UsageError, match="'price' is no text field"):
        index(lexical="price")
    changed = {"mappings": {"properties": {"name": {"type": "keyword"}}}}
    template.write_text(json.dumps(changed))
    with pytest.raises(IndexConflictError, match="does not take the fields of this catalogue"):
        index(template=template)


@pytest.mark.es
def test_a_mapping_that_the_cluster_refuses_is_one_line(services: Services, name: str, tmp_path: Path) -> None:
    template = tmp_path / "own.json"
    template.write_text(json.dumps({"mappings": {"properties": {"name": {"type": "text", "analyzer": "nowhere"}}}}))
    plan = indexing.plan_index(services, write_rows(tmp_path / "c.ndjson", ROWS), name, template=template)
    with pytest.raises(UsageError, match="the cluster refuses the mapping.*nowhere"):
        indexing.run_index(services, plan, rejects_path=tmp_path / "rejects")


def test_an_existing_index_serves_what_it_has() -> None:
    properties = {
        "brand": {"type": "keyword"},
        "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        "color": {"type": "keyword", "index": False, "doc_values": False},
        "offer": {"properties": {"price": {"type": "float"}}},
        "variants": {"type": "nested", "properties": {"size": {"type": "keyword"}}},
    }
    guessed = FieldMap(
        roles={"title": ("title",)},
        types={
            "brand": "keyword", "title": "keyword", "color": "keyword", "offer.price": "double",
            "variants.size": "keyword", "unmapped": "keyword",
        },
        facets=("brand", "unmapped", "color", "offer.price"),
    )  # fmt: skip
    served = served_by(properties, guessed)
    assert served.types == {"brand": "keyword", "title.raw": "keyword", "offer.price": "double"}
    assert served.facets == ("brand", "offer.price")
    assert served.roles == guessed.roles
