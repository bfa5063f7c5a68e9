"""The proxy at /es before an upstream that records: what is forwarded and how, and what reaches nothing."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote_to_bytes

import orjson
import pytest
from elasticsearch import ApiError, Elasticsearch
from pydantic import SecretStr
from werkzeug.test import Client, TestResponse

from hybrid.dropin.forwarding import Names
from hybrid.dropin.proxy import Answered, Forward, Proxy
from hybrid.elastic import upstream as upstream_module
from hybrid.elastic.upstream import Upstream
from hybrid.errors import ClusterTimeoutError, EncoderError, IndexConflictError, RefusedError, UsageError
from hybrid.settings import Settings
from tests.support.serving import served
from web.compat.elasticsearch import Compat
from web.cors import Cors
from web.door import Door
from web.requests import MAX_BODY_BYTES

SHOP = "shop"
NDJSON = "application/x-ndjson"


@dataclass
class Recording:
    """A cluster that records what reaches it."""

    sent: list[Forward] = field(default_factory=list)
    status: int = 200
    secured: bool = True

    def send(self, request: Forward) -> Answered:
        self.sent.append(request)
        headers = {
            "content-type": "application/json", "X-Elastic-Product": "Elasticsearch", "Connection": "keep-alive",
            "Transfer-Encoding": "chunked", "Set-Cookie": "a=b", "Warning": '299 - "old"',
        }  # fmt: skip
        return Answered(self.status, headers, iter([b'{"a":', b"1}"]))

    def asks_for_credentials(self) -> bool:
        return self.secured


class Layer:
    """What the layer adds to a new index; fails where it has an error."""

    error: Exception | None = None

    def added(self, index: str, body: dict[str, Any]) -> dict[str, Any]:
        if self.error:
            raise self.error
        return {**body, "mappings": {**body.get("mappings", {}), "_meta": {"hybrid": {"by": "the layer"}}}}

    def noted(self, index: str) -> dict[str, Any] | None:
        if self.error:
            raise self.error
        return {"by": "the layer"}


class DropIn:
    """A drop-in that serves no index: what it would search goes on."""

    def serves(self, index: str) -> bool:
        return index == "layered"

    def search(self, *_: Any) -> Any:
        raise RefusedError("index is not served here", "security_exception", 403)

    msearch = search


class Gateway:
    """The app of /es in front of all that."""

    def __init__(self, **changes: Any) -> None:
        settings = {"dropin_proxy": True, "dropin_proxy_indices": f"{SHOP}, shop-*, 商品, layered", **changes}
        self.settings = Settings(**settings)
        self.upstream, self.layer, self.dropin = Recording(), Layer(), DropIn()
        self.written: list[str] = []
        self.moves = 0
        self.proxy = Proxy(
            self.upstream, self.layer, Names(self.settings.dropin_proxy_indices),
            self.settings.dropin_proxy_key is not None, self.written.append, self._moved,
        )  # fmt: skip
        self.search_times = type("Times", (), {"add": lambda *_: None})()
        self.client = Client(Compat(lambda *_: pytest.fail("not at /es"), self))  # type: ignore[arg-type, return-value]

    def _moved(self) -> None:
        self.moves += 1

    def health(self) -> dict[str, Any]:
        return {"elasticsearch": {"version": "9.5.2"}}

    def open(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        data = orjson.dumps(body) if isinstance(body, dict) else body
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        kind = given.pop("Content-Type", "application/json")
        return self.client.open(
            "/es", method=method, data=data, headers=given, content_type=kind if data is not None else None,
            # As it comes over the wire, which the test client would tidy up.
            environ_overrides={"REQUEST_URI": path, "PATH_INFO": raw_to_path(path), "QUERY_STRING": query_of(path)},
        )  # fmt: skip


def raw_to_path(path: str) -> str:
    return unquote_to_bytes(path.partition("?")[0]).decode("latin-1")


def query_of(path: str) -> str:
    return path.partition("?")[2]


def lines(*rows: Mapping[str, Any]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


# ---- what passes -----------------------------------------------------------------------------------------------------

PASSES: list[tuple[str, str, Any, str]] = [
    ("HEAD", "/es/shop", None, "/shop"),
    ("GET", "/es/shop/", None, "/shop"),
    ("DELETE", "/es/shop-2", None, "/shop-2"),
    ("GET", "/es/%E5%95%86%E5%93%81/_mapping", None, "/%E5%95%86%E5%93%81/_mapping"),
    ("PUT", "/es/shop/_doc/a%20b%C3%A4%2B1?refresh=true&routing=x%26y", {"name": "x"},
     "/shop/_doc/a%20b%C3%A4%2B1?refresh=true&routing=x%26y"),
    ("GET", "/es/shop/_doc/http:~x,1/", None, "/shop/_doc/http%3A~x%2C1"),
    ("POST", "/es/shop/_doc", {"name": "x"}, "/shop/_doc"),
    ("PUT", "/es/shop/_create/1", {"name": "x"}, "/shop/_create/1"),
    ("POST", "/es/shop/_update/1", {"script": {"source": "ctx._source.stock -= 1"}}, "/shop/_update/1"),
    ("DELETE", "/es/shop/_doc/1", None, "/shop/_doc/1"),
    ("POST", "/es/shop/_mget", {"ids": ["1", 2]}, "/shop/_mget"),
    ("POST", "/es/_mget", {"docs": [{"_index": "shop-2", "_id": "1"}]}, "/_mget"),
    ("POST", "/es/shop/_count", {"query": {"term": {"brand": "x"}}}, "/shop/_count"),
    ("POST", "/es/shop/_count", {"query": {"terms": {"a": {"index": "shop-2", "id": "1", "path": "x"}}}},
     "/shop/_count"),
    ("POST", "/es/shop/_count", {"query": {"terms": {"_index": ["shop", "shop-2"]}}}, "/shop/_count"),
    ("GET", "/es/shop/_count?q=lamp", None, "/shop/_count?q=lamp"),
    ("POST", "/es/shop/_search?size=3", {"query": {"match_all": {}}}, "/shop/_search?size=3"),
    ("POST", "/es/_msearch", lines({"index": "shop"}, {"size": 1}, {"index": "layered"}, {}), "/_msearch"),
    ("GET", "/es/shop/_stats/docs,store", None, "/shop/_stats/docs%2Cstore"),
    ("GET", "/es/_nodes/_local/http,os", None, "/_nodes/_local/http%2Cos"),
    ("GET", "/es/_nodes/stats/jvm", None, "/_nodes/stats/jvm"),
    ("GET", "/es/_cluster/health", None, "/_cluster/health"),
    ("GET", "/es/_cluster/health/shop?level=indices", None, "/_cluster/health/shop?level=indices"),
    ("GET", "/es/_cat/count/shop?format=json", None, "/_cat/count/shop?format=json"),
    ("POST", "/es/shop/_refresh", None, "/shop/_refresh"),
    ("PUT", "/es/shop/_settings", {"index": {"refresh_interval": "-1"}}, "/shop/_settings"),
    ("PUT", "/es/shop/_mapping", {"properties": {"script": {"type": "text"}}}, "/shop/_mapping"),
    ("PUT", "/es/shop/_mapping",
     {"dynamic_templates": [{"script": {"match": "*", "mapping": {"type": "text", "fields": {"{name}": {}}}}}],
      "properties": {"a.script": {"type": "text", "copy_to": "hybrids"}}}, "/shop/_mapping"),
    ("POST", "/es/_aliases", {"actions": [{"add": {"index": "shop-2", "alias": "shop"}}]}, "/_aliases"),
    ("GET", "/es/_alias/shop", None, "/_alias/shop"),
    ("POST", "/es/shop/_analyze", {"analyzer": "standard", "text": "a b"}, "/shop/_analyze"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "target"), PASSES, ids=[f"{one[0]} {one[1]}" for one in PASSES])
def test_what_a_shop_sends_passes_unchanged(method: str, path: str, body: Any, target: str) -> None:
    gateway = Gateway()
    answer = gateway.open(
        method, path, body, Authorization="Basic dTpw", X_Opaque_Id="7", Cookie="a=b", X_Forwarded_For="1.2.3.4",
        Connection="close, X-Opaque-Id", es_security_runas_user="elastic",
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    (sent,) = gateway.upstream.sent
    assert (sent.method, sent.target, sent.authorization) == (method, target, "Basic dTpw")
    wanted = orjson.dumps(body) if isinstance(body, dict) else body or b""
    assert sent.body == wanted
    assert set(sent.headers) == {"X-Opaque-Id", *(["Content-Type"] if body else [])}
    assert answer.headers["X-Elastic-Product"] == "Elasticsearch"
    assert (answer.headers["X-Hybrid"], answer.headers["Warning"]) == ("forwarded", '299 - "old"')
    assert not {"Set-Cookie", "Transfer-Encoding", "Connection"} & set(answer.headers.keys())
    assert answer.data == (b"" if method == "HEAD" else b'{"a":1}')


def test_a_bulk_is_read_by_its_actions_and_its_indices_are_enriched() -> None:
    gateway = Gateway()
    document = b'{"name" : "as it came", "delete": {"_index": "secret"}}'
    body = (
        b'{"index":{"_index":"shop","_id":1}}\n' + document + b"\n\n"
        b'{"delete":{"_index":"shop-2","_id":"2","_index":"shop-2"}}\n'
        b'{"update":{"_id":"3"}}\r\n{"doc":{}}\r\n'
    )  # fmt: skip
    for packed, how in ((body, {}), (gzip.compress(body), {"Content_Encoding": "gzip"})):
        assert gateway.open("POST", "/es/shop/_bulk", packed, Content_Type=NDJSON, **how).status_code == 200
    first, second = gateway.upstream.sent
    assert first.body == second.body == (
        b'{"index":{"_index":"shop","_id":1}}\n' + document + b"\n"
        b'{"delete":{"_index":"shop-2","_id":"2"}}\n{"update":{"_id":"3"}}\n{"doc":{}}\r\n'
    )  # fmt: skip
    assert sorted(gateway.written) == ["shop", "shop", "shop-2", "shop-2"]
    # Two streams of gzip are one body, as for Elasticsearch.
    two = gzip.compress(lines({"index": {"_id": "1"}}, {})) + gzip.compress(lines({"index": {"_id": "2"}}, {}))
    assert gateway.open("POST", "/es/shop/_bulk", two, Content_Encoding="gzip").status_code == 200
    assert gateway.upstream.sent[-1].body.count(b"\n") == 4
    gateway.written = gateway.written[:4]
    gateway.upstream.status = 429
    assert gateway.open("POST", "/es/shop/_bulk", body, Content_Type=NDJSON).status_code == 429
    assert len(gateway.written) == 4


def test_a_new_index_has_the_layer_and_its_own_part_is_the_layers_to_write() -> None:
    gateway = Gateway()
    forged = {
        "settings": {"index": {"number_of_shards": 1}, "index.analysis.analyzer.x.type": "simple"},
        "aliases": {"shop": {"filter": {"term": {"a": "b"}}}},
        "mappings": {"properties": {"hybrid": {"type": "text"}, "a": {"type": "text"}},
                     "_meta": {"hybrid": {"media_root": "/etc"}, "team": "search"}},
    }  # fmt: skip
    assert gateway.open("PUT", "/es/shop-3", forged).status_code == 200
    assert gateway.open("PUT", "/es/shop-4").status_code == 200
    assert gateway.open("PUT", "/es/shop-3/_mapping", forged["mappings"]).status_code == 200
    made, bare, mapped = (orjson.loads(one.body) for one in gateway.upstream.sent)
    assert made["mappings"] == {"properties": {"a": {"type": "text"}}, "_meta": {"hybrid": {"by": "the layer"}}}
    assert bare == {"mappings": {"_meta": {"hybrid": {"by": "the layer"}}}}
    assert mapped["_meta"] == {"team": "search", "hybrid": {"by": "the layer"}}
    assert "hybrid" not in mapped["properties"]
    assert gateway.moves == 2

    gateway.upstream.sent.clear()
    gateway.layer.error = EncoderError("the model is gone")
    answer = gateway.open("PUT", "/es/shop-5", {"settings": {}})
    assert (answer.status_code, answer.headers["X-Hybrid"]) == (200, "forwarded; degraded: the model is gone")
    assert gateway.upstream.sent[0].body == b'{"settings":{}}'
    gateway.layer.error, gateway.upstream.status = None, 400
    gateway.upstream.sent.clear()
    assert gateway.open("PUT", "/es/shop-5", {"settings": {}}).status_code == 400
    assert [b"hybrid" in one.body for one in gateway.upstream.sent] == [True, False]


def test_what_the_layer_notes_is_never_lost_to_another_mapping() -> None:
    for error, status, reason in (
        (IndexConflictError("'shop' stands for 2 indices, not one"), 400, "stands for 2 indices"),
        (ClusterTimeoutError("no answer from 10.0.0.1"), 409, "try again"),
        (KeyError("10.0.0.1"), 409, "try again"),
    ):
        gateway = Gateway()
        gateway.layer.error = error
        answer = gateway.open("PUT", "/es/shop/_mapping", {"_meta": {"a": 1}})
        assert answer.status_code == status and reason in answer.text and "10.0.0.1" not in answer.text
        assert gateway.upstream.sent == []
        assert gateway.open("PUT", "/es/shop/_mapping", {"properties": {}}).status_code == 200


# ---- what reaches nothing --------------------------------------------------------------------------------------------

ACTION = {"index": {"_index": "shop", "_id": "1"}}
HOSTILE: list[tuple[str, str, Any, int]] = [
    ("GET", "/es/shop/_count?q=" + "%20".join(f"*{letter}*" for letter in "abcdef"), None, 400),
    # paths
    ("GET", "/es/shop/../_cluster/settings", None, 403),
    ("GET", "/es/shop/%2e%2e/_cluster/settings", None, 403),
    ("GET", "/es/shop/%2E%2E%2f_cluster%2fsettings", None, 403),
    ("GET", "/es/shop/_doc/..", None, 403),
    ("GET", "/es/shop/_doc/%252e%252e", None, 403),
    ("GET", "/es/shop/_doc/..%2f..%2f_security%2fuser", None, 403),
    ("GET", "/es/shop/_doc/..%5c..%5c_security", None, 403),
    ("GET", "/es/shop/_doc/%c0%ae%c0%ae", None, 403),
    ("GET", "/es/shop/_doc/a%0d%0aX: y", None, 403),
    ("GET", "/es/shop/_doc/a%00", None, 403),
    ("GET", "/es/shop/_doc/a%zz", None, 403),
    ("GET", "/es//", None, 403),
    ("GET", "/es//_cluster/settings", None, 403),
    ("GET", "/es/shop//_doc/1", None, 403),
    ("GET", "/es/shop/_doc/1//", None, 403),
    ("GET", "/es/./shop", None, 403),
    ("GET", "/es/%73hop/_doc/1", None, 403),
    ("GET", "/es/shop/%5fdoc/1", None, 403),
    ("GET", "/%65s/shop", None, 403),
    ("GET", "/es/shop;x/_doc/1", None, 403),
    ("GET", "/es/shop%3fx/_doc/1", None, 403),
    ("GET", "/es/" + "a/" * 3_000, None, 403),
    # names
    ("GET", "/es/secret", None, 403),
    ("DELETE", "/es/shop,secret", None, 403),
    ("DELETE", "/es/shop%2Csecret", None, 403),
    ("DELETE", "/es/shop-2,shop-3", None, 403),
    ("DELETE", "/es/*", None, 403),
    ("DELETE", "/es/shop-*", None, 403),
    ("DELETE", "/es/_all", None, 403),
    ("GET", "/es/-shop/_count", None, 403),
    ("GET", "/es/%3Cshop-%7Bnow%2Fd%7D%3E/_doc/1", None, 403),
    ("GET", "/es/<shop-{now}>/_doc/1", None, 403),
    ("GET", "/es/shop-<{now}>/_doc/1", None, 403),
    ("GET", "/es/remote:shop/_count", None, 403),
    ("GET", "/es/shop::failures/_count", None, 403),
    ("GET", "/es/.security/_doc/1", None, 403),
    ("GET", "/es/.ds-shop-1/_mapping", None, 403),
    ("GET", "/es/hybrid-admin/_doc/1", None, 403),
    ("PUT", "/es/hybrid-checkpoints/_doc/shop", {}, 403),
    ("GET", "/es/Shop-2/_mapping", None, 403),
    ("GET", "/es/_count", None, 403),
    ("GET", "/es/_mapping", None, 403),
    ("GET", "/es/_stats", None, 403),
    ("GET", "/es/_alias", None, 403),
    ("GET", "/es/_alias/secret", None, 403),
    ("GET", "/es/shop/_alias/hybrid-x", None, 403),
    # verbs, and what nobody needs of a shop's index
    ("PATCH", "/es/shop/_doc/1", {}, 405),
    ("TRACE", "/es/shop/_doc/1", None, 405),
    ("DELETE", "/es/shop/_mapping", None, 405),
    ("POST", "/es/shop", {}, 405),
    ("PUT", "/es/_cluster/health", {}, 405),
    ("GET", "/es/_security/user", None, 403),
    ("PUT", "/es/_security/user/me", {"password": "x"}, 403),
    ("PUT", "/es/_scripts/x", {"script": "1"}, 403),
    ("PUT", "/es/_cluster/settings", {"persistent": {}}, 403),
    ("POST", "/es/_cluster/reroute", {}, 403),
    ("PUT", "/es/_snapshot/x", {"type": "fs"}, 403),
    ("POST", "/es/_reindex", {"source": {"index": "secret"}, "dest": {"index": "shop"}}, 403),
    ("POST", "/es/shop/_update_by_query", {}, 403),
    ("POST", "/es/shop/_delete_by_query", {"query": {"match_all": {}}}, 403),
    ("PUT", "/es/_ingest/pipeline/x", {}, 403),
    ("PUT", "/es/_index_template/x", {}, 403),
    ("POST", "/es/shop/_close", None, 403),
    ("PUT", "/es/shop/_block/write", None, 403),
    ("POST", "/es/shop/_clone/shop-9", None, 403),
    ("GET", "/es/_nodes/10.0.0.1/http", None, 403),
    ("GET", "/es/_nodes/hot_threads", None, 403),
    ("GET", "/es/secret/_search", None, 403),
    ("GET", "/es/_cat/indices", None, 403),
    ("GET", "/es/_tasks", None, 403),
    ("POST", "/es/_sql", {"query": "SELECT 1"}, 403),
    ("POST", "/es/_search/scroll", {"scroll_id": "x"}, 403),
    ("POST", "/es/shop/_search/template", {}, 403),
    # parameters
    ("GET", "/es/shop/_count?source=%7B%7D&source_content_type=application/json", None, 400),
    ("POST", "/es/_mget?source=%7B%22docs%22%3A%5B%5D%7D", None, 400),
    ("PUT", "/es/shop/_doc/1?pipeline=x", {}, 400),
    ("POST", "/es/shop/_bulk?pipeline=x", lines(ACTION, {}), 400),
    ("POST", "/es/shop/_search?scroll=1m", {}, 400),
    ("GET", "/es/shop/_doc/1?routing=a&routing=b", None, 400),
    # bodies
    ("POST", "/es/_bulk", lines({"index": {"_index": "secret"}}, {}), 403),
    ("POST", "/es/shop/_bulk", lines(ACTION, {}, {"delete": {"_index": "hybrid-admin", "_id": "1"}}), 403),
    ("POST", "/es/shop/_bulk", lines(ACTION, {}, {"delete": {"_index": "*", "_id": "1"}}), 403),
    ("POST", "/es/shop/_bulk", lines(ACTION, {}, {"index": {"_index": "<shop-{now}>"}}, {}), 403),
    ("POST", "/es/_bulk", lines({"delete": {"_id": "1"}}), 403),
    ("POST", "/es/shop/_bulk", b'{"index":{"_index":"shop","_index":"secret"}}\n{}\n', 403),
    ("POST", "/es/shop/_bulk", lines({"index": {"pipeline": "x"}}, {}), 403),
    ("POST", "/es/shop/_bulk", lines({"index": {}, "delete": {}}, {}), 400),
    ("POST", "/es/shop/_bulk", lines({"index": {"_type": "x"}}, {}), 400),
    ("POST", "/es/shop/_bulk", b'{"index":{"_id":1' + b"0" * 30 + b"}}\n{}\n", 400),
    ("POST", "/es/shop/_bulk", lines({"index": {"_index": ["shop"]}}, {}), 403),
    ("POST", "/es/shop/_bulk", lines(ACTION), 400),
    ("POST", "/es/shop/_bulk", lines(ACTION) + b"\n" + lines({"delete": {"_index": "secret", "_id": "1"}}), 400),
    ("POST", "/es/shop/_bulk", lines(ACTION) + b"{}", 400),
    ("POST", "/es/shop/_bulk", b'{"index":{"_id":"' + b"x" * 10_000 + b'"}}\n{}\n', 400),
    ("POST", "/es/shop/_bulk", b"[" * 5_000 + b"\n", 400),
    ("POST", "/es/shop/_bulk", lines({"delete": {"_id": "1"}}) * 60_000, 413),
    ("POST", "/es/shop/_mget", {"docs": [{"_id": "1"}, {"_index": "secret", "_id": "1"}]}, 403),
    ("POST", "/es/_mget", {"ids": ["1"]}, 403),
    ("POST", "/es/_msearch", lines({"index": "shop"}, {}, {"index": "secret"}, {}), 403),
    ("POST", "/es/_aliases", {"actions": [{"add": {"index": "secret", "alias": "shop"}}]}, 403),
    ("POST", "/es/_aliases", {"actions": [{"add": {"indices": ["shop", "hybrid-admin"], "alias": "shop"}}]}, 403),
    ("POST", "/es/_aliases", {"actions": [{"add": {"index": "shop", "alias": "secret"}}]}, 403),
    ("POST", "/es/_aliases", {"actions": [{"remove_index": {"index": "*"}}]}, 403),
    ("PUT", "/es/shop/_alias/shop-2",
     {"filter": {"terms": {"a": {"index": "secret", "id": "1", "path": "x"}}}}, 403),
    ("POST", "/es/shop/_count", {"query": {"terms": {"a": {"index": "secret", "id": "1", "path": "x"}}}}, 403),
    ("POST", "/es/shop/_count", {"query": {"terms": {"a": {"index": ["secret"], "id": "1", "path": "x"}}}}, 403),
    ("POST", "/es/shop/_count",
     {"query": {"more_like_this": {"like": [{"_index": [["secret"]], "_id": "1"}]}}}, 403),
    ("POST", "/es/shop/_search", {"pit": {"id": "x"}}, 400),
    ("POST", "/es/shop/_search", {"query": {"script_score": {"query": {}, "script": {"source": "1"}}}}, 400),
    ("PUT", "/es/shop-2", {"aliases": {"secret": {}}}, 403),
    ("PUT", "/es/shop-2", {"settings": {"index.default_pipeline": "x"}}, 403),
    ("PUT", "/es/shop-2", {"settings": {"index": {"similarity": {"x": {"script": {"source": "1"}}}}}}, 400),
    ("PUT", "/es/shop-2", {"mappings": {"runtime": {"x": {"script": "1"}}}}, 400),
    ("PUT", "/es/shop-2", {"mappings": {"properties": {"x": {"type": "long", "script": "1"}}}}, 400),
    ("PUT", "/es/shop/_settings", {"index": {"blocks": {"read": True}}}, 403),
    ("POST", "/es/shop/_analyze", {"filter": [{"type": "condition", "script": {"source": "1"}}]}, 400),
    ("PUT", "/es/shop/_mapping", b"[" * 200 + b"]" * 200, 400),
    ("GET", "/es/_cluster/health?level=indices", None, 400),
    ("POST", "/es/shop/_analyze", {"filter": [{"type": "condition", "script.source": "1"}]}, 400),
    ("PUT", "/es/shop-2", {"settings": {"analysis.filter.f.script.source": "1"}}, 400),
    ("PUT", "/es/shop/_mapping", {"dynamic_templates": [{"meta": {"mapping": {"script": "1"}}}]}, 400),
    ("PUT", "/es/shop/_mapping", {"dynamic_templates": [{"properties": {"runtime": {}}}]}, 400),
    ("PUT", "/es/shop/_mapping", {"dynamic_templates": [{"a": {"mapping": {"{name}": {"source": "1"}}}}]}, 400),
    ("PUT", "/es/shop/_mapping", {"properties": {"a": {"type": "text", "copy_to": "hybrid.terms.title"}}}, 400),
    ("PUT", "/es/shop/_mapping", {"properties": {"a": {"fields": {"b": {"copy_to": ["c", "hybrid.x"]}}}}}, 400),
    ("POST", "/es/shop/_bulk",
     b'{"index":{"dynamic_templates":' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}}\n{}\n", 400),
    ("GET", "/es/shop/_doc/1", {"a": 1}, 400),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "status"), HOSTILE, ids=[f"{n} {one[0]} {one[1][:60]}" for n, one in enumerate(HOSTILE)]
)
def test_what_is_hostile_reaches_nothing(method: str, path: str, body: Any, status: int) -> None:
    assert len(HOSTILE) > 100
    gateway = Gateway()
    answer = gateway.open(method, path, body, Authorization="Basic dTpw")
    assert (gateway.upstream.sent, gateway.written, gateway.moves) == ([], [], 0)
    assert answer.status_code == status, answer.text
    assert answer.headers["X-Elastic-Product"] == "Elasticsearch"
    assert answer.headers["X-Hybrid"] == "refused"
    error = answer.json["error"]  # type: ignore[index]
    assert answer.json["status"] == status  # type: ignore[index]
    assert error["root_cause"] == [{"type": error["type"], "reason": error["reason"]}]
    assert status != 405 or answer.headers["Allow"]


def test_headers_and_forms_that_could_be_read_another_way_reach_nothing() -> None:
    gateway = Gateway()
    for name in ("X_HTTP_Method_Override", "X_HTTP_Method", "X_Method_Override"):
        assert gateway.open("POST", "/es/shop/_doc/1", {}, **{name: "DELETE"}).status_code == 403
    for kind in ("text/plain", "application/cbor", "application/yaml", "application/json; charset=utf-16"):
        assert gateway.open("POST", "/es/shop/_doc/1", b"{}", Content_Type=kind).status_code == 415
    bomb = gzip.compress(b" " * (MAX_BODY_BYTES + 1))
    assert gateway.open("POST", "/es/shop/_doc/1", bomb, Content_Encoding="gzip").status_code == 413
    packed = gzip.compress(b"{}")
    for broken in (packed[:-8], packed[:-1], packed + b"x", packed * 2 + b"\0", packed * 70, b"{}"):
        answer = gateway.open("POST", "/es/shop/_doc/1", broken, Content_Encoding="gzip")
        assert (answer.status_code, "gzip" in answer.text) == (400, True), broken
    long = gateway.open("POST", "/es/shop/_doc/1", b" " * (MAX_BODY_BYTES + 1))
    assert long.status_code == 413 and str(MAX_BODY_BYTES) in long.text
    assert gateway.upstream.sent == []


class Node(BaseHTTPRequestHandler):
    """A node of a cluster, as far as the wire goes: notes what comes, and answers at length."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[tuple[str, bytes, dict[str, str]]]] = []
    status: ClassVar[int] = 200
    answer: ClassVar[bytes] = b'{"errors":false,"items":[' + b'"x",' * 300_000 + b'"x"]}'

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append((self.requestline, body, dict(self.headers.items())))
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.answer)

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST  # noqa: N815

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def wired(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Gateway]]:
    """(the address of the web server itself, in front of a node; the gateway in it)."""
    monkeypatch.setattr(Node, "seen", [])
    with ThreadingHTTPServer(("127.0.0.1", 0), Node) as node:
        threading.Thread(target=node.serve_forever, daemon=True).start()
        gateway = Gateway(dropin_proxy_key=SecretStr("open"))
        url = f"http://layer:secret@127.0.0.1:{node.server_port}/below"
        gateway.proxy._upstream = Upstream(gateway.settings, url)
        with served(Door(gateway.client.application, lambda: (True, {}))) as address:
            yield address, gateway
        node.shutdown()


def test_over_the_wire_a_client_gets_the_clusters_answer(wired: tuple[str, Gateway]) -> None:
    address, gateway = wired
    with Elasticsearch(f"{address}/es/", api_key="open", http_compress=True) as client:
        actions = [{"index": {"_id": str(n)}} if n % 2 else {"name": "x" * 200} for n in range(1, 40_001)]
        answer = client.bulk(index=SHOP, operations=actions)
        assert len(answer["items"]) == 300_001
        assert client.indices.exists(index=SHOP)
        client.get(index=SHOP, id="日本 语+ü")
    (bulk, body, headers), (head, _, _), (get, _, _) = Node.seen
    assert (bulk, head) == ("PUT /below/shop/_bulk HTTP/1.1", "HEAD /below/shop HTTP/1.1")
    assert get == "GET /below/shop/_doc/%E6%97%A5%E6%9C%AC%20%E8%AF%AD%2B%C3%BC HTTP/1.1"
    assert body.count(b"\n") == 40_000 and "Content-Encoding" not in headers
    assert "Authorization" not in headers and headers["Content-Type"].endswith("compatible-with=8")
    assert gateway.written == [SHOP]


def test_a_bulk_may_have_more_where_the_operator_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "seen", [])
    monkeypatch.setattr(Node, "answer", b"{}")
    line = b'{"index":{"_id":"1"}}\n{"name":"' + b"x" * 2**20 + b'"}\n'
    body = line * 15
    with ThreadingHTTPServer(("127.0.0.1", 0), Node) as node:
        threading.Thread(target=node.serve_forever, daemon=True).start()
        for megabytes, bulk in ((14, 413), (16, 200)):
            gateway = Gateway(dropin_proxy_key=SecretStr("open"), dropin_proxy_bulk_mb=megabytes)
            gateway.proxy._upstream = Upstream(gateway.settings, f"http://127.0.0.1:{node.server_port}")
            door = Door(gateway.client.application, lambda: (True, {}), bulk_bytes=megabytes * 2**20)
            with served(door) as address:
                asked = [
                    ("/es/shop/_bulk", body, {}, bulk),
                    ("/es/_bulk", iter([body.replace(b'"_id"', b'"_index":"shop","_id"')]), {}, bulk),  # in chunks
                    ("/es/shop/_bulk", gzip.compress(body), {"Content-Encoding": "gzip"}, bulk),
                    ("/es/shop/_bulk", line, {"Expect": "100-continue"}, 200),
                    ("/es/shop/_bulk", line * 17, {}, 413),
                    ("/es/shop/_doc/1", b'{"name":"' + b"x" * len(body) + b'"}', {}, 413),
                ]
                for path, sent, more, status in asked:
                    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
                    headers = {"Content-Type": "application/json", "Authorization": "ApiKey open", **more}
                    # What is refused is not read to its end, which may break the connection.
                    with contextlib.nullcontext() if status == 200 else contextlib.suppress(ConnectionError):
                        connection.request("POST", path, sent, headers, encode_chunked=not isinstance(sent, bytes))
                        assert connection.getresponse().status == status, (path, megabytes, more)
                    connection.close()
        node.shutdown()
    assert [taken.count(b"\n") for _, taken, _ in Node.seen] == [2, 30, 30, 30, 2]


def test_whether_the_cluster_asks_who_it_is_is_asked_without_credentials(
    wired: tuple[str, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, gateway = wired
    gateway.proxy._keyed = False
    monkeypatch.setattr(upstream_module, "_ASKED_TTL_S", 0.0)
    with Elasticsearch(f"{address}/es", api_key="open") as client:
        with pytest.raises(ApiError) as refused:
            client.get(index=SHOP, id="1")
        assert refused.value.meta.status == 403 and "HYBRID_DROPIN_PROXY_KEY" in str(refused.value)
        assert [(line, "Authorization" in headers) for line, _, headers in Node.seen] == [
            ("GET /below/ HTTP/1.1", False)
        ]
        monkeypatch.setattr(Node, "status", 403)  # of an anonymous user, who may write
        with pytest.raises(ApiError) as anonymous:
            client.get(index=SHOP, id="1")
        assert "HYBRID_DROPIN_PROXY_KEY" in str(anonymous.value)
        monkeypatch.setattr(Node, "status", 401)
        with pytest.raises(ApiError) as asked:
            client.get(index=SHOP, id="1")
        assert asked.value.meta.status == 401
        assert Node.seen[-1][0] == "GET /below/shop/_doc/1 HTTP/1.1"


def test_a_forwarded_search_is_waited_for_no_longer_than_a_search(wired: tuple[str, Gateway]) -> None:
    address, gateway = wired
    timeouts = []
    pool = gateway.proxy._upstream._pool  # type: ignore[attr-defined]
    urlopen = pool.urlopen
    pool.urlopen = lambda *args, **more: timeouts.append(more["timeout"].read_timeout) or urlopen(*args, **more)
    with Elasticsearch(f"{address}/es", api_key="open") as client:
        client.search(index=SHOP)
        client.msearch(searches=[{"index": SHOP}, {}])
        client.index(index=SHOP, id="_search", document={})
    assert timeouts == [gateway.settings.es_timeout_s, gateway.settings.es_timeout_s, 60.0]


def test_no_write_takes_a_thread_of_the_searches() -> None:
    door = Door(Gateway().client.application, lambda: (True, {}))
    for path in ("/es/shop/_doc/_search", "/es/shop/_doc/_msearch", "/es/_search/scroll", "/es//_search"):
        assert door._lane(path, None).name == "proxy", path
    for path in ("/es/shop/_search", "/es/shop/_msearch/", "/es/_msearch"):
        assert door._lane(path, None).name == "search", path


def test_over_the_wire_no_trick_of_a_path_reaches_anything(wired: tuple[str, Gateway]) -> None:
    address, gateway = wired
    host, port = address.removeprefix("http://").split(":")
    paths = [path for method, path, body, _ in HOSTILE if method == "GET" and body is None and " " not in path]
    assert len(paths) > 40
    for path in paths:
        with socket.create_connection((host, int(port)), timeout=10) as wire:
            head = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: ApiKey open\r\nConnection: close\r\n\r\n"
            wire.sendall(head.encode())
            status = wire.makefile("rb").readline().split()[1]
        assert status in (b"400", b"403", b"404", b"414"), (path, status)
    assert Node.seen == []


def test_without_the_proxy_nothing_but_searches_passes() -> None:
    gateway = Gateway()
    gateway.proxy = None  # type: ignore[assignment]
    for method, path, body, _ in PASSES:
        if not path.split("?")[0].endswith("search"):
            assert gateway.open(method, path, body).status_code in (403, 405), path
    assert gateway.upstream.sent == []


# ---- who sends it ----------------------------------------------------------------------------------------------------


def encoded(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


def test_a_key_is_taken_as_clients_send_it_and_never_goes_on() -> None:
    gateway = Gateway(dropin_proxy_key=SecretStr("öpen"), dropin_key=SecretStr("read"))
    gateway.upstream.secured = False
    wire = "öpen".encode().decode("latin-1")
    for authorization in ("", "ApiKey wrong", "ApiKey read", f"Basic {encoded('öpen:x')}", f"Basic {wire}", wire):
        # Nothing tells which indices there are, either.
        assert gateway.open("GET", "/es/secret/_doc/1", Authorization=authorization).status_code == 401
        answer = gateway.open("GET", "/es/shop/_doc/1", Authorization=authorization, X_Hybrid_Key="no")
        assert (answer.status_code, answer.json["error"]["type"]) == (401, "security_exception")  # type: ignore[index]
    assert gateway.upstream.sent == []
    own = f"Basic {encoded('me:cluster')}"
    right = (
        ({"Authorization": f"ApiKey {wire}"}, None),
        ({"Authorization": f"Bearer {wire}"}, None),
        ({"Authorization": f"ApiKey {encoded('id:öpen')}"}, None),
        ({"Authorization": f"Basic {encoded('shop:öpen')}"}, None),
        ({"X_Hybrid_Key": wire, "Authorization": own}, own),
    )
    for headers, sent in right:
        assert gateway.open("GET", "/es/shop/_doc/1", **headers).status_code == 200
        assert gateway.upstream.sent[-1].authorization == sent
        assert "X-Hybrid-Key" not in gateway.upstream.sent[-1].headers
    # The key of the proxy opens searches, too: a client has one key.
    assert gateway.open("GET", "/es/", Authorization=f"ApiKey {wire}").status_code == 200
    assert gateway.open("GET", "/es", Authorization="ApiKey read").status_code == 200
    assert gateway.open("GET", "/es/", Authorization="ApiKey wrong").status_code == 401


def test_where_the_proxy_has_a_key_searches_need_one_too() -> None:
    gateway = Gateway(dropin_proxy_key=SecretStr("open"))
    for path in ("/es/layered/_search", "/es/", "/es/_msearch"):
        assert gateway.open("GET", path).status_code == 401
    assert gateway.open("GET", "/es/", Authorization="ApiKey open").status_code == 200


def test_without_a_key_the_cluster_must_ask_for_credentials() -> None:
    gateway = Gateway()
    gateway.upstream.secured = False
    answer = gateway.open("GET", "/es/shop/_doc/1", Authorization="Basic dTpw")
    assert answer.status_code == 403 and "HYBRID_DROPIN_PROXY_KEY" in answer.text
    assert gateway.upstream.sent == []


@pytest.mark.parametrize("listed", ["*", "hybrid-*", ".kibana", "a,b c", "Shop", "-x", "a*b", "<x>", "hybrid-admin"])
def test_no_setting_lists_what_is_not_a_shops(listed: str) -> None:
    with pytest.raises(UsageError, match="dropin_proxy_indices"):
        Names(listed)
    assert not Names(" , ")
    assert "hybrid-admin" not in Names("h*") and ".a" not in Names("a*")


# ---- other sites -----------------------------------------------------------------------------------------------------


def test_only_listed_sites_may_read() -> None:
    gateway = Gateway()
    client = Client(Cors(gateway.client.application, "https://shop.example:443, http://localhost:3000"))
    asks = {"Access-Control-Request-Method": "PUT"}
    for origin in ("https://shop.example", "http://localhost:3000"):
        preflight = client.options("/es/shop/_doc/1", headers={"Origin": origin, **asks})
        assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (204, origin)
        assert "PUT" in preflight.headers["Access-Control-Allow-Methods"]
        answer = client.get("/es/", headers={"Origin": origin})
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "X-Hybrid" in answer.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
    for origin in ("https://shop.example.evil", "http://shop.example", "null", "https://shop.example:444", "*"):
        for method in ("OPTIONS", "GET"):
            answer = client.open("/es/", method=method, headers={"Origin": origin, **asks})
            assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
            assert answer.headers["Vary"] == "Origin"
    for wrong in ("*", "shop.example", "https://shop.example/", "https://*.shop.example"):
        with pytest.raises(UsageError, match="cors_origins"):
            Cors(gateway.client.application, wrong)


def test_options_are_answered_without_a_key() -> None:
    answer = Gateway(dropin_key=SecretStr("read")).open("OPTIONS", "/es/shop/_doc/1")
    assert (answer.status_code, answer.headers["Allow"]) == (204, "GET, HEAD, POST, PUT, DELETE")
