"""The drop-in `_search` on the real engine: side by side with Elasticsearch, by its official clients, and attacked."""

from __future__ import annotations

import copy
import gzip
import io
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from elastic_transport import BaseNode, Urllib3HttpNode
from elastic_transport.client_utils import DEFAULT
from elasticsearch import ApiError, Elasticsearch
from flask.testing import FlaskClient
from pydantic import SecretStr

from hybrid import vectors
from hybrid.dropin import MAX_BODY_BYTES, MAX_SEARCHES, IncomingSearch, service
from hybrid.dropin.repeats import Repeats
from hybrid.elastic.curl import CurlNode
from hybrid.elastic.indices.changes import CHECKPOINTS, Checkpoint
from hybrid.elastic.retrieval import cosines, hit_cache, profiles
from hybrid.elastic.retrieval.lookalikes import Gaps
from hybrid.errors import EncoderError, IndexConflictError
from hybrid.node import NodeStatus
from hybrid.search import weights
from hybrid.search.synonyms import PublishedSynonyms
from hybrid.search.weights import PublishedWeights
from hybrid.searches import SearchRequest
from hybrid.services import Services
from tests.conftest import index_file, make_services, npm_package, write_rows
from tests.support import web_services
from tests.support.dropin_requests import FACETS, KINDS, WORDS, Kind
from tests.support.models import keep
from tests.support.raw import client_of
from tests.support.serving import served
from web import create_app

pytestmark = [pytest.mark.es, pytest.mark.es_both]

INDEX = "tdropin"
#: As a shop maps its products.
TEMPLATE = {
    "mappings": {
        "properties": {
            "name": {"type": "text"},
            "description": {"type": "text"},
            **{name: {"type": "keyword"} for name in ("brand", "category", "color")},
            "price": {"type": "double"},
            "typed": {"type": "completion"},
        }
    }
}


@dataclass
class Shop:
    """The same index by two addresses: Elasticsearch itself, and the drop-in of a running web server."""

    services: Services
    direct: Elasticsearch
    dropin: Elasticsearch
    url: str
    app: FlaskClient


@pytest.fixture(scope="module")
def shop(engine: NodeStatus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("dropin")
    (folder / "images").mkdir()
    for color, (_, shade) in web_services.COLORS.items():
        (folder / "images" / f"{color}.jpg").write_bytes(web_services.jpeg(shade))
    (folder / "template.json").write_text(json.dumps(TEMPLATE))
    services = make_services(engine, depth=10)
    rows = write_rows(folder / "rows.ndjson", [{**row, "typed": row["name"]} for row in web_services.products()])
    index_file(
        services, rows, INDEX, folder, template=folder / "template.json", signals=["text", "image"], media_root=folder
    )
    client_of(services).indices.forcemerge(index=INDEX, max_num_segments=1)
    app = create_app(services)
    with served(app) as address:
        url = f"{address}/es"
        with Elasticsearch(engine.es_url) as direct, Elasticsearch(url) as dropin:
            yield Shop(services, direct, dropin, url, app.test_client())


# ---- side by side -----------------------------------------------------------------------------------


def ask(client: Elasticsearch, kind: Kind) -> tuple[dict[str, Any], str | None]:
    answer = client.search(index=INDEX, body=copy.deepcopy(kind.body), **kind.params)
    return answer.body, answer.meta.headers.get("x-hybrid")


def shape(value: Any, path: str = "") -> set[str]:
    """Every path of an answer with its kind; what only some hits have is left out."""
    if isinstance(value, dict):
        if "_id" in value:
            value = {key: inner for key, inner in value.items() if key not in ("highlight", "_source", "fields")}
        return {f"{path}:object"} | {one for key, inner in value.items() for one in shape(inner, f"{path}.{key}")}
    if isinstance(value, list):
        return {f"{path}:list"} | {one for inner in value for one in shape(inner, f"{path}[]")}
    return {f"{path}:{'number' if isinstance(value, int | float) else type(value).__name__}"}


def shops_own(answer: Any) -> Any:
    """A direct answer without the layer's field and what differs from run to run."""
    if isinstance(answer, list):
        return [shops_own(item) for item in answer]
    if not isinstance(answer, dict):
        return answer
    return {
        key: shops_own(value)
        for key, value in answer.items()
        if key not in ("took", "hybrid") and not key.startswith("hybrid.")
    }


def check_same(kind: Kind, direct: dict[str, Any], dropin: dict[str, Any]) -> None:
    """The same shape for all, the same answer where it passes, the same match set where it is ranked."""
    wanted, found = shops_own(direct), shops_own(dropin)
    assert dropin.get("took") is None or isinstance(dropin["took"], int)
    assert "hybrid" not in json.dumps(dropin)
    if kind.how != "ranked":
        assert found == wanted
        return
    assert shape(found) == shape(wanted)
    assert list(dropin) == list(direct)
    hits, wanted_hits = found["hits"].pop("hits", []), wanted["hits"].pop("hits", [])
    best, wanted_best = found["hits"].pop("max_score", None), wanted["hits"].pop("max_score", None)
    assert found == wanted  # totals, aggregations, suggestions, shards
    assert len(hits) == len(wanted_hits)
    if "filter_path" in kind.params:
        return
    scores = [hit["_score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert wanted_best is None or not hits or best == scores[0] or kind.body.get("from")


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_the_python_client_gets_the_same(shop: Shop, kind: Kind) -> None:
    direct, _ = ask(shop.direct, kind)
    dropin, how = ask(shop.dropin, kind)
    assert how == kind.how
    check_same(kind, direct, dropin)


def test_each_hit_is_the_shops_own(shop: Shop) -> None:
    """A product is shown as Elasticsearch shows it, whatever its place: source, fields, marks, names of clauses."""
    query = {"bool": {"must": [{"match": {"description": {"query": "light lamp shoes", "_name": "words"}}}]}}
    body = {
        "query": query, "size": 40, "fields": ["name"], "highlight": {"fields": {"description": {}}},
        "version": True, "seq_no_primary_term": True, "docvalue_fields": ["brand"],
    }  # fmt: skip
    direct, _ = ask(shop.direct, Kind("", "", body))
    dropin, how = ask(shop.dropin, Kind("", "", body))
    assert how == "ranked"
    by_id = [{hit["_id"]: hit for hit in shops_own(one)["hits"]["hits"]} for one in (direct, dropin)]
    assert by_id[0].keys() == by_id[1].keys()
    for id, hit in by_id[0].items():
        assert {**hit, "_score": 0} == {**by_id[1][id], "_score": 0}


def test_hits_behind_the_candidates_have_the_shops_names(shop: Shop) -> None:
    """The names of clauses are the shop's own on every page, with or without what adds to the words."""
    words = {"match": {"description": {"query": "a of with the and", "_name": "words"}}}
    brand = {"term": {"brand": {"value": "Lumen", "_name": "brand"}}}
    for query in ({"bool": {"must": [words]}}, {"bool": {"must": [words], "should": [brand]}}):
        body = {"query": query, "size": 40, "_source": False}
        named = []
        for client in (shop.direct, shop.dropin):
            answer, how = ask(client, Kind("", "", body))
            named.append({hit["_id"]: hit["matched_queries"] for hit in answer["hits"]["hits"]})
        assert how == "ranked"
        assert named[0] == named[1]
        assert len(named[0]) > 24


def test_pages_have_no_holes_and_no_doubles(shop: Shop) -> None:
    """Past the candidates (ten of each signal here) the words' order goes on, with the same totals on every page."""
    body = {"query": {"match": {"description": "a of with the and"}}, "_source": False}
    matched = shop.direct.search(index=INDEX, body={**body, "size": 100})["hits"]
    assert matched["total"]["value"] > 24
    pages = [
        shop.dropin.search(index=INDEX, body={**body, "from": start, "size": 5})["hits"] for start in range(0, 45, 5)
    ]
    ids = [hit["_id"] for page in pages for hit in page["hits"]]
    assert len(ids) == len(set(ids)) == matched["total"]["value"]
    assert set(ids) == {hit["_id"] for hit in matched["hits"]}
    scores = [hit["_score"] for page in pages for hit in page["hits"]]
    assert scores == sorted(scores, reverse=True)
    assert all(page["total"] == matched["total"] and page["max_score"] == pages[0]["max_score"] for page in pages)


def test_vectors_change_the_order_and_stay_within_what_matches(shop: Shop) -> None:
    body = {
        "query": {"bool": {"must": [{"match": {"description": "light lamp"}}], "filter": [{"term": {"color": "navy"}}]}}
    }
    found = shop.dropin.search(index=INDEX, body={**body, "post_filter": {"range": {"price": {"lte": 100}}}})["hits"]
    assert all(hit["_source"]["color"] == "navy" and hit["_source"]["price"] <= 100 for hit in found["hits"])

    # The same products by the layer's own search have the same scores.
    plain = shop.dropin.search(index=INDEX, body=body)["hits"]
    own = shop.services.searcher.search(SearchRequest(INDEX, "light lamp", filters={"color": "navy"}, size=50))
    expected = {hit.id: hit.score for hit in own.hits}
    assert {"lexical", "lexical.all", "text"} <= set(own.hits[0].signals)
    assert len(plain["hits"]) > 1
    assert all(hit["_score"] == pytest.approx(expected[hit["_id"]]) for hit in plain["hits"])


def test_boosts_are_business_rules(shop: Shop) -> None:
    def first(query: dict[str, Any]) -> dict[str, Any]:
        answer = shop.dropin.search(index=INDEX, body={"query": query, "size": 40})
        assert answer.meta.headers["x-hybrid"] == "ranked"
        found: dict[str, Any] = answer["hits"]["hits"][0]["_source"]
        return found

    words: dict[str, Any] = {"match": {"description": "light lamp shoes"}}
    for color in web_services.COLORS:
        wanted = {"term": {"color": color}}
        multiplied = {"query": words, "functions": [{"filter": wanted, "weight": 50}]}
        assert first({"function_score": multiplied})["color"] == color
        added = {"constant_score": {"filter": wanted, "boost": 500}}
        assert first({"bool": {"must": [words], "should": [added]}})["color"] == color
        assert first({"boosting": {"positive": words, "negative": wanted, "negative_boost": 0.01}})["color"] != color


def test_a_product_that_the_layer_has_not_written_yet_is_found(shop: Shop) -> None:
    """The shop writes beside the layer: such a product has no vector and no terms, and is shown all the same."""
    new = {"name": "Zebra lamp", "description": "A light lamp.", "brand": "Zoo", "color": "navy", "price": 1.0}
    body = {"query": {"match": {"description": "lamp"}}, "size": 40}
    shop.direct.index(index=INDEX, id="zebra", document=new, refresh=True)
    try:
        dropin = shop.dropin.search(index=INDEX, body=body)
        direct = shop.direct.search(index=INDEX, body=body)
    finally:
        shop.direct.delete(index=INDEX, id="zebra", refresh=True)
    assert dropin.meta.headers["x-hybrid"] == "ranked"
    assert {hit["_id"] for hit in dropin["hits"]["hits"]} == {hit["_id"] for hit in direct["hits"]["hits"]}
    assert "zebra" in {hit["_id"] for hit in dropin["hits"]["hits"]}


def test_a_product_without_a_vector_ranks_with_its_kind(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in for its vector is what products like it in words have; the match set stays the shop's."""
    monkeypatch.setattr(hit_cache, "_TTL_S", 600.0)  # else hits may expire between two searches
    like = next(str(row["id"]) for row in web_services.products() if row["category"] == "Lighting")
    body = {"query": {"match": {"description": "lamp steel"}}, "size": 40}

    def asked() -> tuple[dict[str, float], int]:
        shop.dropin.search(index=INDEX, body=body)  # from here on its hits are known
        monkeypatch.setattr(shop.services.dropin, "_repeats", Repeats())  # its answer is not
        before = requests_of(shop.direct)["/_msearch"]
        answer = shop.dropin.search(index=INDEX, body=body)
        assert answer.meta.headers["x-hybrid"] == "ranked"
        spent = requests_of(shop.direct)["/_msearch"] - before
        return {hit["_id"]: hit["_score"] for hit in answer["hits"]["hits"]}, spent

    whole, spent = asked()
    assert spent == 1
    document = shop.direct.get(index=INDEX, id=like).body["_source"]
    bare = {**document, "hybrid": {"id": "twin", "terms": document["hybrid"]["terms"]}}
    shop.direct.index(index=INDEX, id="twin", document=bare, refresh=True)
    try:
        scores, spent = asked()
        assert spent == 2
        monkeypatch.setattr(Gaps, "search", lambda self: None)
        without, spent = asked()
        assert spent == 1
    finally:
        shop.direct.delete(index=INDEX, id="twin", refresh=True)
    assert scores.keys() == without.keys() == {*whole, "twin"}
    assert abs(scores["twin"] - scores[like]) < abs(without["twin"] - without[like])


def test_a_change_is_shown_at_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hit that was shown a moment ago is not shown again once its product has changed."""
    monkeypatch.setattr(hit_cache, "_TTL_S", 600.0)
    body = {"query": {"match": {"description": "steel dome"}}, "size": 40}

    def prices() -> dict[str, float]:
        return {
            hit["_id"]: hit["_source"]["price"] for hit in shop.dropin.search(index=INDEX, body=body)["hits"]["hits"]
        }

    before = prices()
    id, price = next(iter(before.items()))
    for changed in (price + 1, price):
        shop.direct.update(index=INDEX, id=id, doc={"price": changed}, refresh=True)
        assert prices() == {**before, id: changed}
    asked = requests_of(shop.direct)["/_msearch"]
    assert prices() == before
    assert requests_of(shop.direct)["/_msearch"] == asked + 1


def test_the_same_reply_is_not_ranked_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each search asks the cluster, and one thing that differs has it ranked: the answer is as one made anew."""
    monkeypatch.setattr(hit_cache, "_TTL_S", 600.0)
    dropin = shop.services.dropin
    body: dict[str, Any] = {
        "query": {"match": {"description": "light shoes"}},
        "aggs": {"by": {"terms": {"field": "brand"}}},
    }
    made: list[int] = []
    candidates = dropin._transport.candidates

    def counted(gathered: Any) -> Any:
        made.append(1)
        return candidates(gathered)

    def asked(**changed: Any) -> tuple[dict[str, Any], int]:
        made.clear()
        before = requests_of(shop.direct)["/_msearch"]
        answer = shop.dropin.search(index=INDEX, body={**body, **changed})
        assert answer.meta.headers["x-hybrid"] == "ranked" and requests_of(shop.direct)["/_msearch"] > before
        return {key: value for key, value in answer.body.items() if key != "took"}, len(made)

    def anew() -> dict[str, Any]:
        monkeypatch.setattr(dropin, "_repeats", Repeats())
        dropin._ranked.clear()
        return asked()[0]

    monkeypatch.setattr(dropin._transport, "candidates", counted)
    first = anew()
    asked()  # the first was sent for codes too
    assert asked() == (first, 0)
    for changed in ({"from": 3}, {"_source": ["price"]}, {"aggs": {}}, {"query": {"match": {"description": "lamp"}}}):
        other, ranked = asked(**changed)
        assert ranked == 1 and other != first
    assert asked() == (first, 0)

    monkeypatch.setattr(shop.services.published, "TTL_S", 0.0)
    model = weights.fixed({"lexical": 0.9, "text": 0.1}, "words-1")
    keep(shop.services, INDEX, "words-1", "fixed", model.to_json(), {})
    shop.services.models("weights").activate(INDEX, "words-1")
    try:
        other, ranked = asked()
        assert ranked == 1 and other != first
    finally:
        shop.services.models("weights").activate(INDEX, weights.FIXED_VERSION)
    assert asked()[0] == first

    id = first["hits"]["hits"][0]["_id"]
    price = first["hits"]["hits"][0]["_source"]["price"]
    for other_price in (price + 1, price):
        shop.direct.update(index=INDEX, id=id, doc={"price": other_price}, refresh=True)
        answer, ranked = asked()
        shown_now = {hit["_id"]: hit["_source"]["price"] for hit in answer["hits"]["hits"]}
        assert ranked == 1 and shown_now[id] == other_price
    assert asked()[0] == anew()


def test_an_answer_is_not_given_again_once_its_hits_are_too_old(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version cannot tell an index that was made anew under its name; see hybrid.elastic.retrieval.hit_cache."""
    body = {"query": {"match": {"description": "light jacket"}}}

    def spent() -> int:
        before = requests_of(shop.direct)["/_msearch"]
        assert shop.dropin.search(index=INDEX, body=body).meta.headers["x-hybrid"] == "ranked"
        return requests_of(shop.direct)["/_msearch"] - before

    monkeypatch.setattr(hit_cache, "_TTL_S", 600.0)
    spent()
    assert [spent(), spent()] == [1, 1]
    monkeypatch.setattr(hit_cache, "_TTL_S", 0.0)
    monkeypatch.setattr(shop.services.dropin, "_repeats", Repeats())
    assert [spent(), spent(), spent()] == [2, 2, 2]


def test_a_repeated_search_reads_no_codes_of_what_it_knows(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever changed meanwhile, its scores are those of a process that never made the search."""
    transport = shop.services.dropin._transport
    body = {"query": {"match": {"description": "steel dome lamp"}}, "size": 40}
    sent: list[list[dict[str, Any]]] = []
    send = transport.msearch

    def spied(searches: Any, params: Any) -> Any:
        sent.append([search for _, search in searches])
        return send(searches, params)

    def reads_codes(search: dict[str, Any]) -> bool:
        return any("hybrid.codes" in str(field) for field in search.get("docvalue_fields", ()))

    def scores() -> dict[str, float]:
        answer = shop.dropin.search(index=INDEX, body=body)
        assert answer.meta.headers["x-hybrid"] == "ranked"
        return {hit["_id"]: hit["_score"] for hit in answer["hits"]["hits"]}

    def anew() -> dict[str, float]:
        monkeypatch.setattr(transport, "_cosines", cosines.KnownCosines())
        return scores()

    monkeypatch.setattr(transport, "msearch", spied)
    before = anew()
    assert all(map(reads_codes, sent[0]))
    sent.clear()
    assert scores() == before
    assert not any(reads_codes(search) for searches in sent for search in searches)

    def whole(id: str, codes_of: str) -> dict[str, Any]:
        """The document of a product, as it is but for its vectors: those of another one."""
        found, other = (shop.direct.get(index=INDEX, id=one).body["_source"] for one in (id, codes_of))
        layer = {**found["hybrid"], "codes": other["hybrid"]["codes"]}
        for name, code in layer["codes"].items():
            layer[name] = vectors.vector_of(code, profile.signals[name].dims, as_base64=False)
        return {**found, "hybrid": layer}

    profile = shop.services.searcher.profile(INDEX)
    first, last = list(before)[0], list(before)[-1]
    as_it_was, changed, bare = whole(first, first), whole(first, last), whole(first, first)
    came = {**whole(last, last), "hybrid": {**whole(last, last)["hybrid"], "id": "came"}}
    bare["hybrid"] = {"id": first, "terms": bare["hybrid"]["terms"]}
    try:
        # One has another vector, one comes: only these are read.
        shop.direct.index(index=INDEX, id=first, document=changed)
        shop.direct.index(index=INDEX, id="came", document=came, refresh=True)
        sent.clear()
        after = scores()
        read = [search for searches in sent for search in searches if reads_codes(search)]
        assert [set(search["query"]["bool"]["filter"][0]["ids"]["values"]) for search in read] == [{first, "came"}]
        assert after == anew() == scores() and after[first] != before[first] and "came" in after
        shop.direct.index(index=INDEX, id=first, document=bare, refresh=True)
        assert scores() == anew() and scores()[first] not in (before[first], after[first])
    finally:
        shop.direct.delete(index=INDEX, id="came")
        shop.direct.index(index=INDEX, id=first, document=as_it_was, refresh=True)


def test_a_swap_of_the_alias_is_shown_at_once(shop: Shop) -> None:
    """Copied in the same order, documents have the same sequence numbers in the new index as in the old."""
    alias, old, new = f"{INDEX}-swapped", f"{INDEX}-swapped-1", f"{INDEX}-swapped-2"
    made = next(iter(shop.direct.indices.get(index=INDEX).body.values()))
    settings = {"similarity": made["settings"]["index"]["similarity"]}
    layers = {"id": "1", "terms": {"description": "light lamp"}}
    for index, price in ((old, 1.0), (new, 2.0)):
        shop.direct.indices.create(index=index, mappings=made["mappings"], settings=settings)
        product = {"description": "light lamp", "price": price, "hybrid": layers}
        shop.direct.index(index=index, id="1", document=product, refresh=True)
    try:
        shop.direct.indices.put_alias(index=old, name=alias)
        shop.services.dropin._known = (float("-inf"), frozenset())
        seen = []
        for index in (old, new):
            shop.direct.indices.update_aliases(
                actions=[
                    {"remove": {"index": f"{INDEX}-swapped-*", "alias": alias}},
                    {"add": {"index": index, "alias": alias}},
                ]
            )
            answer = shop.dropin.search(index=alias, body={"query": WORDS})
            assert answer.meta.headers["x-hybrid"] == "ranked"
            seen += [(hit["_index"], hit["_source"]["price"]) for hit in answer["hits"]["hits"]]
        assert seen == [(old, 1.0), (new, 2.0)]
    finally:
        for index in (old, new):
            shop.direct.indices.delete(index=index)


def test_an_alias_that_leaves_the_layer_goes_on_by_words(shop: Shop) -> None:
    """Within the same request, in a process that has not seen it before as well, and never with another index's."""
    alias, old, new = f"{INDEX}-left", f"{INDEX}-left-1", f"{INDEX}-left-2"
    made = next(iter(shop.direct.indices.get(index=INDEX).body.values()))
    settings = {"similarity": made["settings"]["index"]["similarity"]}
    shop.direct.indices.create(index=old, mappings=made["mappings"], settings=settings)
    layers = {"id": "1", "terms": {"title": "lamp", "description": "light lamp"}}
    shop.direct.index(
        index=old, id="1", document={"name": "Lamp", "description": "light lamp", "hybrid": layers}, refresh=True
    )
    shop.direct.indices.create(index=new, mappings=TEMPLATE["mappings"])
    product = {"name": "Lamp", "description": "light lamp", "brand": "Lumen", "price": 2.0}
    shop.direct.index(index=new, id="2", document=product, refresh=True)
    shop.direct.indices.put_alias(index=old, name=alias)

    def answers(app: FlaskClient) -> tuple[str, list[str], list[str], list[dict[str, str]]]:
        """How /es did it, the ids of /es and of /api/search, and what that says is degraded."""
        dropin = app.post(f"/es/{alias}/_search", json={"query": WORDS})
        own = app.post("/api/search", json={"index": alias, "q": "light lamps", "filters": {"brand": "Lumen"}})
        assert (dropin.status_code, own.status_code) == (200, 200), (dropin.json, own.json)
        ids = [hit["_id"] for hit in dropin.json["hits"]["hits"]], [hit["id"] for hit in own.json["hits"]]
        return dropin.headers["X-Hybrid"], *ids, own.json["degraded"]

    try:
        shop.services.dropin._known = (float("-inf"), frozenset())
        for name in (alias, old):  # by its own name, too
            assert shop.dropin.search(index=name, body={"query": WORDS}).meta.headers["x-hybrid"] == "ranked"
        assert shop.app.get(f"/api/search?index={alias}&q=lamp").json["degraded"] == []
        moves = [{"remove": {"index": old, "alias": alias}}, {"add": {"index": new, "alias": alias}}]
        shop.direct.indices.update_aliases(actions=moves)
        how, dropped_in, own, degraded = answers(shop.app)
        assert how.startswith("passed; degraded:") and f"hybrid attach {alias}" in how
        assert (dropped_in, own, [one["part"] for one in degraded]) == (["2"], ["2"], ["vectors"])
        assert f"hybrid attach {alias}" in degraded[0]["reason"]
        shop.services.dropin._known = (float("-inf"), frozenset())  # it is asked again which names there are
        assert answers(shop.app)[:3] == (how, ["2"], ["2"])
        with pytest.raises(IndexConflictError, match="hybrid attach"):
            shop.services.searcher.profile(alias)  # who writes is told

        fresh = create_app(Services(shop.services.settings)).test_client()
        assert fresh.post(f"/es/{alias}/_search", json={"query": WORDS}).status_code == 403
        assert fresh.get(f"/api/search?index={alias}&q=lamp").status_code >= 400
        shop.services.checkpoints.save(alias, Checkpoint("", {}))  # as the first sync of the name does
        client_of(shop.services).indices.refresh(index=CHECKPOINTS)
        fresh = create_app(Services(shop.services.settings)).test_client()
        assert answers(fresh)[:3] == (how, ["2"], ["2"])

        shop.direct.indices.put_alias(index=old, name=alias)  # now it stands for both
        for app in (shop.app, fresh):
            services = app.application.extensions["hybrid"]
            services.dropin._known = (float("-inf"), frozenset())
            services.retrieval.forget()
            assert app.post(f"/es/{alias}/_search", json={"query": WORDS}).status_code == 403
            assert app.get(f"/api/search?index={alias}&q=lamp").status_code >= 400
    finally:
        for index in (old, new):
            shop.direct.indices.delete(index=index)
        shop.direct.options(ignore_status=404).delete(index=CHECKPOINTS, id=alias)


def test_msearch(shop: Shop) -> None:
    kinds = [kind for kind in KINDS if not kind.params and kind.name != "nothing matches"][::3]
    searches = [part for kind in kinds for part in ({"index": INDEX}, copy.deepcopy(kind.body))]
    direct = shop.direct.msearch(searches=searches)
    for answer in (shop.dropin.msearch(searches=searches), shop.dropin.msearch(searches=searches, index=INDEX)):
        assert answer.meta.headers["x-hybrid"] == ", ".join(kind.how for kind in kinds)
        assert list(answer.body) == list(direct.body)
        for kind, wanted, found in zip(kinds, direct["responses"], answer["responses"], strict=True):
            check_same(kind, wanted, found)


def test_a_bad_search_fails_as_the_cluster_fails_it(shop: Shop) -> None:
    for body in (
        {"query": {"foo": {}}},
        {"query": {"match": {"name": {"query": "x", "foo": 1}}}},
        {"query": {"match": 4}},
    ):
        failures = []
        for client in (shop.direct, shop.dropin):
            with pytest.raises(ApiError) as failed:
                client.search(index=INDEX, body=body)
            failures.append(failed.value)
        assert failures[0].meta.status == failures[1].meta.status == 400
        assert failures[0].body["error"]["type"] == failures[1].body["error"]["type"]
        assert failures[0].body.keys() == failures[1].body.keys()
        wrong = [{"index": INDEX}, {"query": WORDS}, {"index": INDEX}, body]
        with pytest.raises(ApiError) as several:
            shop.dropin.msearch(searches=wrong)
        assert several.value.meta.status == 400


def test_query_string_of_the_address(shop: Shop) -> None:
    direct = shop.direct.search(index=INDEX, q="lamp reading", df="description")
    dropin = shop.dropin.search(index=INDEX, q="lamp reading", df="description")
    assert dropin.meta.headers["x-hybrid"] == "ranked"
    assert dropin["hits"]["total"] == direct["hits"]["total"]


def test_clients_recognise_the_product(shop: Shop) -> None:
    assert shop.dropin.ping()
    assert shop.dropin.info()["version"]["number"] == shop.services.cluster.capabilities.version_text
    plain = shop.app.post(f"/es/{INDEX}/_search", json={"query": WORDS})
    assert plain.content_type == "application/json"
    vendor = "application/vnd.elasticsearch+json; compatible-with=8"
    answer = shop.app.post(
        f"/es/{INDEX}/_search?pretty",
        data=gzip.compress(orjson.dumps({"query": WORDS})),
        headers={"Content-Type": vendor, "Accept": vendor, "Content-Encoding": "gzip"},
    )
    assert (answer.status_code, answer.headers["X-Elastic-Product"]) == (200, "Elasticsearch")
    assert answer.content_type == "application/vnd.elasticsearch+json;compatible-with=8"
    assert answer.data.startswith(b'{\n  "took"')
    assert answer.headers["X-Hybrid"] == "ranked"


def test_the_javascript_client_gets_the_same(shop: Shop, engine: NodeStatus, javascript: Path) -> None:
    script = Path(__file__).with_name("dropin_client.mjs")
    requests = [{"body": kind.body, "params": kind.params} for kind in KINDS]
    given = json.dumps({"urls": [engine.es_url, shop.url], "index": INDEX, "requests": requests})
    done = subprocess.run(
        ["node", str(script), str(javascript)], input=given, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    direct, dropin = json.loads(done.stdout)
    for kind, wanted, found in zip(KINDS, direct["found"], dropin["found"], strict=True):
        assert "error" not in wanted and "error" not in found, (kind.name, wanted, found)
        assert found["how"] == kind.how
        check_same(kind, wanted["answer"], found["answer"])
    for kind, wanted, found in zip(KINDS, direct["several"]["responses"], dropin["several"]["responses"], strict=False):
        check_same(kind, wanted, found)


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the official JavaScript client; without Node.js the test skips, but not in CI."""
    return npm_package(tmp_path_factory.mktemp("node"), "@elastic/elasticsearch@8")


# ---- what fails -------------------------------------------------------------------------------------


def test_a_model_that_fails_leaves_the_shops_own_ranking(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(spec: str) -> Any:
        raise EncoderError("the model is gone")

    monkeypatch.setattr(shop.services.searcher._preparer._queries, "_get_encoder", gone)
    answer = shop.dropin.search(index=INDEX, body={"query": WORDS, "aggs": FACETS})
    direct = shop.direct.search(index=INDEX, body={"query": WORDS, "aggs": FACETS})
    assert answer.meta.headers["x-hybrid"].startswith("passed; degraded: text: the model is gone")
    assert shops_own(answer.body) == shops_own(direct.body)


@pytest.mark.parametrize("part", ["gather", "candidates", "pages", "RankedSearch"])
def test_a_mistake_of_the_layer_is_not_the_shops(shop: Shop, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    def broken(*given: Any) -> Any:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(shop.services.dropin, "_repeats", Repeats())
    shop.services.dropin._ranked.clear()
    monkeypatch.setattr(service if part == "RankedSearch" else shop.services.dropin._transport, part, broken)
    direct = shop.direct.search(index=INDEX, body={"query": WORDS})
    answer = shop.dropin.search(index=INDEX, body={"query": WORDS})
    assert answer.meta.headers["x-hybrid"] == "passed; degraded: KeyError"
    assert shops_own(answer.body) == shops_own(direct.body)
    several = shop.dropin.msearch(searches=[{"index": INDEX}, {"query": WORDS}, {"index": INDEX}, {"size": 1}])
    assert several.meta.headers["x-hybrid"] == "passed; degraded: KeyError, passed; no query"
    assert shops_own(several["responses"][0]) == {**shops_own(direct.body), "status": 200}


def test_a_cluster_that_is_gone_is_said_in_its_shape(shop: Shop) -> None:
    with socket.socket() as taken:  # bound and not listening
        taken.bind(("127.0.0.1", 0))
        settings = shop.services.settings.model_copy(update={"es_url": f"http://127.0.0.1:{taken.getsockname()[1]}"})
        client = create_app(Services(settings)).test_client()
        for path in (f"/es/{INDEX}/_search", "/es/"):
            answer = client.get(path)
            assert answer.status_code == answer.json["status"] == 503
            assert answer.json["error"]["root_cause"][0]["reason"]


# ---- what is refused --------------------------------------------------------------------------------

SCRIPT = {"query": {"script_score": {"query": WORDS, "script": {"source": "Math.random()"}}}}
LINES = b"{}\n" + orjson.dumps({"query": WORDS}) + b"\n"
HOSTILE: list[tuple[str, str, Any, int]] = [
    # another index
    ("POST", "/es/other/_search", {}, 403),
    ("POST", "/es/.security/_search", {}, 403),
    ("POST", "/es/*/_search", {}, 403),
    ("POST", "/es/_all/_search", {}, 403),
    ("POST", f"/es/{INDEX},other/_search", {}, 403),
    ("POST", f"/es/-{INDEX}/_search", {}, 403),
    ("POST", f"/es/{INDEX}*/_search", {}, 403),
    ("POST", "/es/remote:shop/_search", {}, 403),
    ("POST", "/es/%3C%7Bnow%2Fd%7D%3E/_search", {}, 403),
    ("POST", "/es/_search", {}, 403),
    ("POST", "/es/_msearch", LINES, 403),
    ("POST", "/es/_msearch", b'{"index": ["%s", "other"]}\n{}\n' % INDEX.encode(), 403),
    ("POST", f"/es/{INDEX}/_msearch", LINES + b'{"index": "other"}\n{}\n', 403),
    ("POST", f"/es/{INDEX}/_search", {"query": {"terms": {"brand": {"index": "other", "id": "1", "path": "x"}}}}, 403),
    # writing, and everything else that is not a search
    ("PUT", f"/es/{INDEX}/_doc/1", {"name": "x"}, 403),
    ("POST", f"/es/{INDEX}/_doc", {"name": "x"}, 403),
    ("POST", f"/es/{INDEX}/_update/1", {"doc": {}}, 403),
    ("POST", "/es/_bulk", b'{"delete": {"_index": "%s", "_id": "p00"}}\n' % INDEX.encode(), 403),
    ("POST", f"/es/{INDEX}/_bulk", b'{"delete": {"_id": "p00"}}\n', 403),
    ("DELETE", f"/es/{INDEX}", None, 403),
    ("DELETE", f"/es/{INDEX}/_search", None, 405),
    ("PUT", f"/es/{INDEX}/_search", {}, 405),
    ("POST", f"/es/{INDEX}/_delete_by_query", {"query": WORDS}, 403),
    ("POST", f"/es/{INDEX}/_search/template", {"source": "{}"}, 403),
    ("POST", "/es/_search/scroll", {"scroll_id": "x"}, 403),
    ("POST", f"/es/{INDEX}/_pit?keep_alive=1h", None, 403),
    ("POST", "/es/_scripts/x", {"script": "1"}, 403),
    ("POST", "/es/_sql", {"query": "SELECT 1"}, 403),
    ("GET", "/es/_cluster/settings", None, 403),
    ("GET", f"/es/{INDEX}/_mapping", None, 403),
    ("GET", f"/es/{INDEX}/..%2F_cat%2Findices/_search", None, 403),
    # bodies
    ("POST", f"/es/{INDEX}/_search", SCRIPT, 400),
    ("POST", f"/es/{INDEX}/_msearch", LINES + b"{}\n" + orjson.dumps(SCRIPT) + b"\n", 400),
    ("POST", f"/es/{INDEX}/_search", {"from": 9_999, "size": 2}, 400),
    ("GET", f"/es/{INDEX}/_search?size=10001", None, 400),
    ("POST", f"/es/{INDEX}/_search?from=9991", {"query": WORDS}, 400),
    ("POST", f"/es/{INDEX}/_search?scroll=1d", {}, 400),
    ("GET", f"/es/{INDEX}/_search?source=%7B%7D&source_content_type=application/json", None, 400),
    ("POST", f"/es/{INDEX}/_search?magic=1", {}, 400),
    ("POST", f"/es/{INDEX}/_search?filter_path={'**.' * 300}x", {"query": WORDS}, 400),
    ("POST", f"/es/{INDEX}/_msearch?filter_path={'**.' * 300}x", LINES, 400),
    ("GET", f"/es/{INDEX}/_search?track_total_hits={10**20}", None, 400),
    ("GET", f"/es/{INDEX}/_search?terminate_after={10**20}", None, 400),
    ("POST", f"/es/{INDEX}/_search?size=1&size=2", {}, 400),
    ("POST", f"/es/{INDEX}/_search", b"{", 400),
    ("POST", f"/es/{INDEX}/_search", b"[]", 400),
    ("POST", f"/es/{INDEX}/_search", b"[" * 100_000, 400),
    ("POST", f"/es/{INDEX}/_search", b'{"query": "' + b"x" * MAX_BODY_BYTES + b'"}', 413),
    ("POST", f"/es/{INDEX}/_msearch", b"", 400),
    ("POST", f"/es/{INDEX}/_msearch", LINES[:-1], 400),
    ("POST", f"/es/{INDEX}/_msearch", b"{}\n", 400),
    ("POST", f"/es/{INDEX}/_msearch", b'{"magic": 1}\n{}\n', 400),
    ("POST", f"/es/{INDEX}/_msearch", LINES * (MAX_SEARCHES + 1), 400),
    ("POST", f"/es/{INDEX}/_msearch?index=other", LINES, 400),
]  # fmt: skip


def requests_of(direct: Elasticsearch) -> dict[str, int]:
    """How often each address of the cluster was asked, by its own count."""
    nodes = direct.nodes.stats(metric="http", filter_path="nodes.*.http.routes.*.requests.count")["nodes"]
    routes = next(iter(nodes.values()))["http"]["routes"]
    return {route: one["requests"]["count"] for route, one in routes.items() if not route.startswith("/_nodes")}


def test_nothing_refused_reaches_the_cluster(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the layer knows is not looked up again meanwhile, however long this takes.
    monkeypatch.setattr(service, "_INDICES_TTL_S", 600.0)
    monkeypatch.setattr(profiles, "TTL_S", 600.0)
    monkeypatch.setattr(PublishedWeights, "TTL_S", 600.0)
    monkeypatch.setattr(PublishedSynonyms, "TTL_S", 600.0)
    assert shop.app.post(f"/es/{INDEX}/_search", json={"query": WORDS}).status_code == 200
    # Others may ask the cluster something at the same time, but not every time.
    for _ in range(3):
        before = requests_of(shop.direct)
        send_what_is_refused(shop)
        if requests_of(shop.direct) == before:
            return
    pytest.fail("something that is refused reaches the cluster")


def send_what_is_refused(shop: Shop) -> None:
    for method, path, body, status in HOSTILE:
        data = orjson.dumps(body) if isinstance(body, dict) else body
        answer = shop.app.open(path, method=method, data=data, content_type="application/json")
        assert (answer.status_code, answer.json["status"]) == (status, status), (method, path, answer.json)
        error = answer.json["error"]
        assert error["root_cause"] == [{"type": error["type"], "reason": error["reason"]}]
        assert answer.headers["X-Elastic-Product"] == "Elasticsearch"
        assert answer.headers["X-Hybrid"] == "refused"
    bomb = gzip.compress(b" " * (64 * MAX_BODY_BYTES))
    packed = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    assert shop.app.post(f"/es/{INDEX}/_search", data=bomb, headers=packed).status_code == 413
    chunks = io.BytesIO(b'{"query": "' + b"x" * MAX_BODY_BYTES + b'"}')
    chunked = {"content_type": "application/json", "environ_overrides": {"wsgi.input_terminated": True}}
    assert shop.app.post(f"/es/{INDEX}/_search", input_stream=chunks, **chunked).status_code == 413
    xml = shop.app.post(f"/es/{INDEX}/_search", data="<q/>", content_type="text/xml")
    assert (xml.status_code, xml.json["error"]["type"]) == (415, "media_type_header_exception")
    assert shop.app.get(f"/es/{INDEX}/_search", headers={"Accept": "application/yaml"}).status_code == 406


def test_an_alias_leads_to_no_other_index(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_INDICES_TTL_S", 0.0)
    other, alias = f"{INDEX}-orders", f"{INDEX}-everything"
    concrete = next(iter(shop.direct.indices.get(index=INDEX).body))
    shop.direct.index(index=other, id="1", document={"name": "a secret lamp"}, refresh=True)
    try:
        shop.direct.indices.put_alias(index=concrete, name=alias)
        assert shop.app.post(f"/es/{alias}/_search", json={"query": WORDS}).status_code == 200
        shop.direct.indices.put_alias(index=other, name=alias)
        assert shop.app.post(f"/es/{alias}/_search", json={"query": WORDS}).status_code == 403
        assert shop.app.post(f"/es/{INDEX}/_search", json={"query": WORDS}).status_code == 200
        shop.direct.indices.put_settings(index=other, settings={"index.hidden": True})
        hidden = [{"add": {"index": one, "alias": alias, "is_hidden": True}} for one in (concrete, other)]
        shop.direct.indices.update_aliases(actions=hidden)
        assert shop.app.post(f"/es/{alias}/_search", json={"query": WORDS}).status_code == 403
        assert alias not in shop.services.cluster.indices.names()
    finally:
        shop.direct.indices.delete(index=other)
        shop.direct.indices.delete_alias(index=concrete, name=alias)


def test_an_index_that_was_made_again_without_the_layer_is_not_searched(shop: Shop) -> None:
    made = f"{INDEX}-made"
    shop.direct.indices.create(index=made, mappings=TEMPLATE["mappings"])
    indices = shop.services.cluster.indices
    try:
        assert made not in indices.served({made}) and indices.stand_in(made) is None
        shop.direct.indices.put_alias(index=made, name=f"{made}-alias")
        assert f"{made}-alias" in indices.served({f"{made}-alias"})
        assert indices.stand_in(f"{made}-alias") is not None
    finally:
        shop.direct.indices.delete(index=made)


def test_a_key_may_be_asked_for(shop: Shop) -> None:
    settings = shop.services.settings.model_copy(
        update={"dropin_key": SecretStr("open sesame"), "dropin_indices": INDEX}
    )
    client = create_app(Services(settings)).test_client()
    path = f"/es/{INDEX}/_search"
    for headers in ({}, {"Authorization": "ApiKey wrong"}, {"Authorization": "Basic open sesame"}):
        refused = client.post(path, json={}, headers=headers)
        assert (refused.status_code, refused.json["error"]["type"]) == (401, "security_exception")
    assert client.post(path, json={}, headers={"Authorization": "ApiKey open sesame"}).status_code == 200
    other = create_app(Services(settings.model_copy(update={"dropin_indices": "other"}))).test_client()
    assert other.post(path, json={}, headers={"Authorization": "ApiKey open sesame"}).status_code == 403


def test_a_search_is_given_an_end(shop: Shop) -> None:
    search = shop.services.dropin._accepted(IncomingSearch(INDEX, {"timeout": "1h"}, {}))
    assert search.body["timeout"] == f"{round(shop.services.settings.es_timeout_s * 1000)}ms"


def states(pid: int) -> set[str]:
    """The states of a process's threads, as the kernel names them; T is stopped."""
    found = set()
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            found.add(stat.read_text().rpartition(") ")[2][0])
        except (FileNotFoundError, ProcessLookupError):
            continue  # this thread has ended
    return found


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that stands still. On a busy machine its threads run on for a while after the signal."""
    os.kill(pid, signal.SIGSTOP)
    try:
        while states(pid) != {"T"}:
            time.sleep(0.01)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def short_waits() -> Iterator[list[tuple[str, float]]]:
    """(path, seconds that it would wait) of each request to the cluster by this thread; its wait ends sooner.

    Another thread writes down how long searches take: no search waits for that.
    """
    waits: list[tuple[str, float]] = []
    here = threading.current_thread()

    def impatient(send: Callable[..., Any]) -> Callable[..., Any]:
        def perform(self: BaseNode, method: str, target: str, *args: Any, **kwargs: Any) -> Any:
            limit = kwargs.pop("request_timeout", DEFAULT)
            if threading.current_thread() is here:
                waits.append((target.partition("?")[0], self.config.request_timeout if limit is DEFAULT else limit))
            return send(self, method, target, *args, request_timeout=0.5, **kwargs)

        return perform

    with pytest.MonkeyPatch.context() as patched:
        for node in (CurlNode, Urllib3HttpNode):
            patched.setattr(node, "perform_request", impatient(node.perform_request))
        yield waits


def test_a_cluster_that_hangs_is_waited_for_twice_at_most(
    shop: Shop, engine: NodeStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once by the search that would be ranked, once by the plain one; not by a question in between."""
    # What is read every few seconds is read in the first search.
    for owner, name in ((profiles, "TTL_S"), (service, "_INDICES_TTL_S"), (PublishedWeights, "TTL_S")):
        monkeypatch.setattr(owner, name, 600.0)
    client = create_app(Services(shop.services.settings.model_copy(update={"es_timeout_s": 60.0}))).test_client()
    body = {"query": WORDS}
    assert client.post(f"/es/{INDEX}/_search", json=body).headers["X-Hybrid"] == "ranked"
    assert engine.es_pid is not None
    with stopped(engine.es_pid), short_waits() as waits:
        answer = client.post(f"/es/{INDEX}/_search", json={**body, "size": 3})
    assert (answer.status_code, answer.headers["X-Hybrid"]) == (504, "failed")
    assert "in time" in answer.json["error"]["reason"]
    assert waits == [("/_msearch", 60.0), (f"/{INDEX}/_search", 60.0)]
    assert client.post(f"/es/{INDEX}/_search", json=body).headers["X-Hybrid"] == "ranked"
