"""The bodies of shop platforms, side by side with Elasticsearch: on the layer's fields, and on the shop's own."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from elasticsearch import ApiError, Elasticsearch

from hybrid.dropin import wording
from hybrid.node import NodeStatus
from hybrid.services import Services
from tests.conftest import SHARED, index_file, make_services, write_rows
from tests.support.raw import client_of
from tests.support.serving import served
from web import create_app

pytestmark = [pytest.mark.es, pytest.mark.es_both]

CASES = SHARED.parent / "cases"
INDEX, DROP = "tplatforms", "tdrop"
FIELDS = {
    "title": "text", "description": "text", "attributes": "text", "code": "text", "brand": "text", "category": "text",
    "number": "keyword", "supplier": "keyword", "attr_t_product_colour": "keyword", "price": "double",
    "date_released": "date", "place": "integer",
}  # fmt: skip
#: The layer's fields in the bodies -> the shop's own.
OWN = {**{f"hybrid.terms.{name}": name for name in ("title", "description", "attributes", "code", "brand", "category")}}
OWN["hybrid.id"] = "number"
KINDS = (
    "laptop bag", "laptop sleeve", "laptop stand", "notebook case", "notebook cooler", "camera bag", "phone charger",
    "laser printer",
)  # fmt: skip
SUPPLIERS, COLOURS = ("HP", "Urban Factory", "Dell"), ("Black", "White", "Grey", "Blue", "Silver", "Red")

TOP = "passed; an aggregation of the best hits"
OPERATORS = "passed; a query_string with operators"
#: File -> how the search is handled, where it is not ranked; a number is the status of a refusal.
HANDLED: dict[str, str | int] = {
    "65-least-script-sort-words": 400,
    "66-least-script-sort-no-words": 400,
    "72-least-two-leading-wildcards": OPERATORS,
    "75-least-query-string-on-a-field": OPERATORS,
    "77-least-more-like-this": "passed; a more_like_this clause",
    "78-least-top-hits": TOP,
}


def products() -> list[dict[str, Any]]:
    """48 products: eight kinds in six colours. Half of the phone chargers are for laptops."""
    return [
        {
            "id": f"c{number:02}",
            "number": f"c{number:02}",
            "title": f"{colour} {kind} {number}",
            "description": f"A {kind} by {supplier} in {colour.lower()}, for work." + " Sturdy." * (number % 4),
            "attributes": f"colour {colour.lower()}" + (" laptop" if kind == "phone charger" and number % 2 else ""),
            "code": f"{kind[:2].upper()}-{number}",
            "brand": supplier,
            "category": kind.split()[1],
            "supplier": supplier,
            "attr_t_product_colour": colour,
            "price": 10.0 + number * 7 % 90,
            "date_released": f"20{10 + number % 15}-0{1 + number % 9}-15",
            **({"place": number} if number in (4, 2) else {}),
        }
        for number, (kind, colour, supplier) in enumerate(
            (kind, colour, SUPPLIERS[(at + by) % 3])
            for at, kind in enumerate(KINDS)
            for by, colour in enumerate(COLOURS)
        )
    ]  # fmt: skip


@dataclass
class Shop:
    """An index by two addresses: Elasticsearch itself, and the drop-in."""

    services: Services
    direct: Elasticsearch
    dropin: Elasticsearch


@pytest.fixture(scope="module")
def shop(engine: NodeStatus, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("platforms")
    template = folder / "template.json"
    properties = {name: {"type": kind} for name, kind in FIELDS.items()}
    template.write_text(json.dumps({"mappings": {"properties": properties}}))
    services = make_services(engine, depth=10)
    rows = write_rows(folder / "rows.ndjson", products())
    mapping = "title=title,description=description,brand=brand,category=category,attributes=attributes,code=code"
    index_file(services, rows, INDEX, folder, template=template, mapping=mapping, signals=["text"])
    drop = CASES / "catalogues" / "drop.ndjson"
    # What comes before what rests on meaning too, which made-up vectors have not.
    real = make_services(engine, depth=10, text_encoder="minilm-words")
    index_file(real, drop, DROP, folder, template=drop.with_name("tmpl.json"), signals=["text"])
    for index in (INDEX, DROP):
        drop_deleted(client_of(services), index)
    with (
        served(create_app(services)) as address,
        Elasticsearch(engine.es_url) as direct,
        Elasticsearch(f"{address}/es") as dropin,
    ):
        yield Shop(services, direct, dropin)


def drop_deleted(client: Elasticsearch, index: str) -> None:
    """Documents of before an update count in scores, and are kept until the cluster knows that no copy needs them."""
    ending = time.monotonic() + 60
    while client.indices.stats(index=index, metric="docs")["_all"]["primaries"]["docs"]["deleted"]:
        assert time.monotonic() < ending, "deleted documents are still there"
        client.indices.flush(index=index, force=True)
        client.indices.forcemerge(index=index, max_num_segments=1)
        client.indices.refresh(index=index)
        time.sleep(0.2)


def case(name: str) -> dict[str, Any]:
    read: dict[str, Any] = orjson.loads((CASES / "dropin" / f"{name}.json").read_bytes())
    return read


def names() -> list[str]:
    return sorted(path.stem for path in (CASES / "dropin").glob("*.json")) or ["absent"]


def own(body: Any) -> Any:
    """The body on the shop's own text fields."""
    text = orjson.dumps(body).decode()
    for layer, name in OWN.items():
        text = text.replace(layer, name)
    return orjson.loads(text)


def ask(client: Elasticsearch, body: Mapping[str, Any], index: str = INDEX, **params: Any) -> tuple[Any, str]:
    answer = client.search(index=index, body=copy.deepcopy(dict(body)), **params)
    return answer.body, answer.meta.headers.get("x-hybrid", "")


def ids(answer: Mapping[str, Any]) -> list[str]:
    return [hit["_id"] for hit in answer["hits"]["hits"]]


def shops_own(value: Any) -> Any:
    """An answer without the layer's field, the times and what new scores change."""
    if isinstance(value, list):
        return [shops_own(item) for item in value]
    if not isinstance(value, dict):
        return value
    new = ("took", "hybrid", "_score", "sort", "max_score")
    return {key: shops_own(inner) for key, inner in value.items() if key not in new}


def check_alike(direct: dict[str, Any], dropin: dict[str, Any], size: int) -> None:
    """Totals, aggregations, suggestions and the contents of common hits are the same."""
    wanted, found = shops_own(direct), shops_own(dropin)
    hits, wanted_hits = found["hits"].pop("hits"), wanted["hits"].pop("hits")
    assert found == wanted
    assert len(hits) == len(wanted_hits)
    if all("_id" in hit for hit in hits):
        known = {hit["_id"]: hit for hit in wanted_hits}
        assert all(hit == known.get(hit["_id"], hit) for hit in hits)
        assert len(hits) == size or {hit["_id"] for hit in hits} == set(known)
    for before, after in zip(direct["hits"]["hits"], dropin["hits"]["hits"], strict=True):
        assert before.keys() == after.keys() and len(before.get("sort", [])) == len(after.get("sort", []))
    scores = [hit["_score"] for hit in dropin["hits"]["hits"]]
    if None not in scores and "sort" not in str(dropin["hits"]["hits"][:1]):
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("fields", ["the layer's", "the shop's own"])
@pytest.mark.parametrize("name", names())
def test_every_body_of_the_platforms(shop: Shop, name: str, fields: str) -> None:
    given = case(name)
    body = given["body"] if "body" in given else given["lines"][1]
    body = own(body) if fields == "the shop's own" else body
    if body.get("min_score") == 9.0:  # as many are below it here as on the index that it was made for
        body["min_score"] = 2.0
    wanted = HANDLED.get(name, "ranked")
    if "lines" in given:
        head = {**given["lines"][0], "index": INDEX}
        direct, dropin = (client.msearch(searches=[head, body]) for client in (shop.direct, shop.dropin))
        assert dropin.meta.headers["x-hybrid"] == wanted
        check_alike(direct["responses"][0], dropin["responses"][0], 10)
        return
    params = given.get("params", {})
    if isinstance(wanted, int):
        with pytest.raises(ApiError) as refused:
            ask(shop.dropin, body, **params)
        assert refused.value.meta.status == wanted and "HYBRID_DROPIN_SCRIPTS" in str(refused.value.body)
        return
    direct, _ = ask(shop.direct, body, **params)
    dropin, how = ask(shop.dropin, body, **params)
    assert how == wanted
    assert direct["hits"]["hits"], "the case shows nothing"
    if how == "ranked":
        check_alike(direct, dropin, int(body.get("size", 10)))
    else:
        assert ids(dropin) == ids(direct)


# ---- what comes first ---------------------------------------------------------------------------------

WORDS: dict[str, Any] = {"match": {"title": "laptop bag"}}


def ranked(shop: Shop, body: Mapping[str, Any], index: str = INDEX) -> Any:
    answer, how = ask(shop.dropin, body, index)
    assert how == "ranked"
    return answer


def test_tie_breakers_and_fields_before_the_score_keep_their_meaning(shop: Shop) -> None:
    plain = ranked(shop, {"query": WORDS, "size": 30})
    scores = {hit["_id"]: hit["_score"] for hit in plain["hits"]["hits"]}
    for order in ("asc", "desc"):
        body = {"query": WORDS, "sort": [{"_score": "DESC"}, {"number": order}], "size": 30}
        hits = ranked(shop, body)["hits"]["hits"]
        assert [hit["sort"] for hit in hits] == sorted(
            ([hit["_score"], hit["_id"]] for hit in sorted(hits, key=lambda hit: hit["_id"], reverse=order == "desc")),
            key=lambda pair: -pair[0],
        )
        assert {hit["_id"]: pytest.approx(hit["_score"], rel=1e-3) for hit in hits} == scores
    pages = [ids(ranked(shop, {**body, "from": start, "size": 10})) for start in (0, 10, 20)]
    assert sum(pages, []) == [hit["_id"] for hit in hits]
    place = {"place": {"order": "asc", "missing": "_last"}}
    first = ids(ranked(shop, {"query": WORDS, "sort": [place, {"_score": "desc"}], "size": 30}))
    assert first == ["c02", "c04", *(id for id in ids(plain) if id not in ("c02", "c04"))]


def test_every_mode_of_a_function_is_computed_as_the_shop_wrote_it(shop: Shop) -> None:
    hp = {"term": {"supplier": "HP"}}
    base = {hit["_id"]: hit["_score"] for hit in ranked(shop, {"query": WORDS, "size": 30})["hits"]["hits"]}
    unit = ask(shop.direct, {"query": WORDS})[0]["hits"]["max_score"]
    words = {id: score * unit / max(base.values()) for id, score in base.items()}
    values = {"multiply": (15, 3), "sum": (8, 3), "avg": (1, 1), "max": (5, 3), "min": (3, 3), "first": (5, 3)}
    combined = {
        "multiply": lambda one, other: one * other, "sum": lambda one, other: one + other, "max": max, "min": min,
        "avg": lambda one, other: (one + other) / 2, "replace": lambda one, other: other,
    }  # fmt: skip
    for score_mode, (of_hp, of_others) in values.items():
        for boost_mode, combine in combined.items():
            functions = [{"filter": hp, "weight": 5}, {"weight": 3}]
            function = {"query": WORDS, "functions": functions, "score_mode": score_mode, "boost_mode": boost_mode}
            for query in (
                {"function_score": function},
                {"bool": {"must": [{"function_score": function}], "filter": [{"exists": {"field": "price"}}]}},
            ):
                hits = ranked(shop, {"query": query, "size": 30})["hits"]["hits"]
                for hit in hits:
                    value = of_hp if hit["_source"]["supplier"] == "HP" else of_others
                    assert hit["_score"] == pytest.approx(combine(words[hit["_id"]], value), rel=1e-3)


def test_pinned_products_stay_first_in_their_order(shop: Shop) -> None:
    sku = {"terms": {"number": ["c17", "c03", "c09"], "boost": 100_000}}
    graded = [{"term": {"number": {"value": id, "boost": boost}}} for id, boost in (("c17", 9e5), ("c30", 8e5))]
    weighted = {"query": WORDS, "functions": [{"filter": {"term": {"number": "c10"}}, "weight": 9_999}]}
    for query, first in (
        ({"bool": {"must": [WORDS], "should": [sku]}}, 3),
        ({"bool": {"should": [WORDS, *graded]}}, 2),
        ({"bool": {"should": [WORDS, {"constant_score": {"filter": {"ids": {"values": ["c33"]}}, "boost": 1e6}}]}}, 1),
        ({"function_score": weighted}, 1),
        ({"multi_match": {"query": "laptop", "fields": ["title", "attributes^9999"]}}, 3),
        ({"bool": {"should": [WORDS, {"match": {"attributes": {"query": "laptop", "boost": 9_999}}}]}}, 3),
    ):
        body = {"query": query, "size": 12}
        direct, _ = ask(shop.direct, body)
        dropin = ranked(shop, body)
        assert ids(dropin)[:first] == ids(direct)[:first]
        assert dropin["hits"]["total"] == direct["hits"]["total"]


def test_what_a_heavy_function_puts_first_is_ranked(shop: Shop) -> None:
    heavy = {"query": WORDS, "functions": [{"filter": {"term": {"supplier": "HP"}}, "weight": 1_000}]}
    hits = ranked(shop, {"query": {"function_score": heavy}, "size": 30})["hits"]["hits"]
    by_hp = {hit["_id"] for hit in hits if hit["_source"]["supplier"] == "HP"}
    plain = ids(ranked(shop, {"query": WORDS, "size": 30}))
    assert 5 < len(by_hp) < 25
    assert [hit["_id"] for hit in hits] == sorted(plain, key=lambda id: id not in by_hp)


def test_a_minus_excludes_what_it_excludes_in_elasticsearch(shop: Shop) -> None:
    for text, lamp_is_excluded in (
        ("red - lamp", False), ("red -lamp", True), ('"red -lamp"', False), ('red "tall -lamp', True),
        ('"red"-lamp', True), ("red +-lamp", True), ("red\\-lamp", False), ("wi-lamp", False), ("(red) -lamp", True),
    ):  # fmt: skip
        clause = {"query": text, "fields": ["title"], "default_operator": "and"}
        query = {"simple_query_string": clause}
        told = shop.direct.indices.validate_query(index=DROP, query=query, explain=True)
        assert ("-title:lamp" in told["explanations"][0]["explanation"]) == lamp_is_excluded, text
        assert (wording.excluded(clause) == "lamp") == lamp_is_excluded, text


def test_synonyms_do_not_outweigh_what_was_typed(shop: Shop) -> None:
    body = {**own(case("80-least-synonym-clause")["body"]), "size": 30}
    kinds = [" ".join(hit["_source"]["title"].split()[1:3]) for hit in ranked(shop, body)["hits"]["hits"]]
    assert kinds == ["laptop bag"] * 6 + ["notebook case"] * 6


def test_groups_show_their_best(shop: Shop) -> None:
    body = {"query": WORDS, "size": 5, "collapse": {"field": "supplier", "inner_hits": {"name": "more", "size": 2}}}
    plain = ids(ranked(shop, {"query": WORDS, "size": 30}))
    direct, _ = ask(shop.direct, body)
    dropin = ranked(shop, body)
    assert dropin["hits"]["total"] == direct["hits"]["total"]
    groups = {hit["fields"]["supplier"][0]: ids(hit["inner_hits"]["more"]) for hit in dropin["hits"]["hits"]}
    suppliers = {row["id"]: row["supplier"] for row in products()}
    assert ids(dropin) == [next(id for id in plain if suppliers[id] == supplier) for supplier in groups]
    assert groups.keys() == set(SUPPLIERS) and all(len(inner) == 2 for inner in groups.values())


def test_a_mistyped_word_counts_as_what_it_finds(shop: Shop) -> None:
    for query in (
        {"match": {"title": {"query": "wooden keettle", "fuzziness": 1}}},
        {"match": {"title": {"query": "wooden keettle", "fuzziness": "AUTO"}}},
        {"multi_match": {"query": "wooden keettle", "fields": ["title^3", "description"], "fuzziness": 1}},
    ):
        body = {"query": query, "size": 40}
        direct, _ = ask(shop.direct, body, DROP)
        dropin = ranked(shop, body, DROP)
        assert dropin["hits"]["total"] == direct["hits"]["total"]
        titles = [hit["_source"]["title"] for hit in dropin["hits"]["hits"]]
        kettles = sum("kettle" in title for title in titles)
        assert kettles >= 9 and all("kettle" in title for title in titles[:kettles])
    lost = {"query": {"multi_match": {"query": "keet", "fields": ["title"], "type": "phrase_prefix"}}}
    assert ask(shop.dropin, lost, DROP)[1] == "ranked"  # nothing matches
    begun = ranked(shop, {"query": {"match_phrase_prefix": {"title": "wooden ket"}}}, DROP)
    assert [hit["_source"]["title"].rsplit(" ", 1)[0] for hit in begun["hits"]["hits"]] == ["Wooden kettle"]


def test_what_is_excluded_comes_last(shop: Shop) -> None:
    query = {"simple_query_string": {"query": "red -lamp", "fields": ["title", "description"]}}
    body = {"query": query, "size": 98}
    direct, _ = ask(shop.direct, body, DROP)
    dropin = ranked(shop, body, DROP)
    assert dropin["hits"]["total"] == direct["hits"]["total"] and set(ids(dropin)) == set(ids(direct))
    lamps = ["lamp" in hit["_source"]["title"] for hit in dropin["hits"]["hits"]]
    assert lamps == sorted(lamps) and any(lamps)
    strict = {"simple_query_string": {**query["simple_query_string"], "default_operator": "and"}}
    found = ranked(shop, {"query": strict, "size": 98}, DROP)
    assert ids(found) and not any("lamp" in hit["_source"]["title"] for hit in found["hits"]["hits"])


def test_a_query_of_no_indexed_field_says_so(shop: Shop) -> None:
    for query in ({"match": {"nome": "laptop"}}, {"multi_match": {"query": "laptop", "fields": ["nome^2", "titel"]}}):
        assert ask(shop.dropin, {"query": query})[1] == "passed; no field of the query is indexed"
    one_is = {"multi_match": {"query": "zeppelin", "fields": ["nome", "title"]}}
    assert ask(shop.dropin, {"query": one_is})[1] == "ranked"


def test_a_whole_search_that_is_repeated_takes_one_trip_and_shows_every_change(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, sent = shop.services.dropin._transport, []
    send = transport.msearch

    def spied(searches: Any, params: Any) -> Any:
        sent.append(len(searches))
        return send(searches, params)

    monkeypatch.setattr(transport, "msearch", spied)
    factor = {"field": "price", "missing": 1}
    body = {"query": {"function_score": {"query": WORDS, "field_value_factor": factor}}, "size": 30}

    def asked() -> tuple[dict[str, float], int]:
        sent.clear()
        found = ranked(shop, body)["hits"]["hits"]
        assert "hybrid" not in found[0]["_source"]
        return {hit["_id"]: hit["_score"] for hit in found}, len(sent)

    asked(), asked()
    first, trips = asked()
    assert trips == 1
    id = list(first)[-1]
    price = next(row["price"] for row in products() if row["id"] == id)
    for changed in (price * 1000, price):
        shop.direct.update(index=INDEX, id=id, doc={"price": changed}, refresh=True)
        now, trips = asked()
        assert trips == 2 and (list(now)[0] == id) == (changed != price)
    again, trips = asked()
    assert trips == 1 and again == now
    shop.services.dropin._finals.clear()
    assert asked() == (now, 2)


JAVA = {
    "typed_keys": "true", "max_concurrent_shard_requests": "5", "ignore_unavailable": "false",
    "expand_wildcards": "open", "allow_no_indices": "true", "search_type": "query_then_fetch",
    "batched_reduce_size": "512", "ccs_minimize_roundtrips": "true", "pre_filter_shard_size": "128",
}  # fmt: skip


def test_requests_as_clients_shape_them(shop: Shop) -> None:
    """Parameters and headers that the clients of Java and PHP send by default."""
    body = {"query": {"bool": {"must": [WORDS], "adjust_pure_negative": True, "boost": 1.0}}, "from": 0, "size": 10,
            "aggregations": {"by": {"terms": {"field": "supplier", "min_doc_count": 1,
                                              "order": [{"_count": "desc"}, {"_key": "asc"}]}}}}  # fmt: skip
    vendor = "application/vnd.elasticsearch+json; compatible-with=8"
    for params, headers in (
        (JAVA, {"content-type": "application/json", "accept": "application/json"}),
        (
            {"typed_keys": "true"},
            {"content-type": vendor, "accept": vendor, "x-elastic-client-meta": "es=8.19.0,jv=17"},
        ),
        ({}, {"content-type": vendor, "accept": vendor, "x-elastic-client-meta": "es=8.19.0,php=8.3.0"}),
    ):
        answers = [
            client.perform_request("POST", f"/{INDEX}/_search", params=params, headers=headers, body=body)
            for client in (shop.direct, shop.dropin)
        ]
        assert answers[1].meta.headers["x-hybrid"] == "ranked"
        assert (
            answers[0].meta.headers["content-type"].split(";")[0]
            == answers[1].meta.headers["content-type"].split(";")[0]
        )
        check_alike(answers[0].body, answers[1].body, 10)
