"""Clauses of modules that the engine of the tests lacks: what is sent is recorded, and a stand-in is answered."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hybrid.elastic.curl import CurlNode
from hybrid.node import NodeStatus
from hybrid.services import Services
from tests.conftest import index_file, make_services, write_rows
from web import create_app

pytestmark = pytest.mark.es
INDEX = "tabsent"
WORDS = {"match": {"title": "laptop bag"}}
FEATURE = {"rank_feature": {"field": "sold", "boost": 2.0, "saturation": {"pivot": 8}}}
PINNED = {"ids": ["c3", "c1"], "organic": WORDS}
SCRIPT = {
    "type": "number",
    "script": {"lang": "painless", "source": "Long.parseLong(doc['_id'].value)"},
    "order": "desc",
}


@pytest.fixture(scope="module")
def services(engine: NodeStatus, tmp_path_factory: pytest.TempPathFactory) -> Services:
    folder = tmp_path_factory.mktemp("absent")
    kinds = ("laptop bag", "laptop stand", "hand bag", "desk lamp")
    rows = [{"id": f"c{n}", "title": f"{kind} {n}", "price": 5.0 + n} for n, kind in enumerate(kinds * 3)]
    template = folder / "template.json"
    template.write_text('{"mappings": {"properties": {"title": {"type": "text"}}}}')
    services = make_services(engine, dropin_scripts="inline")
    index_file(services, write_rows(folder / "rows.ndjson", rows), INDEX, folder, template=template, signals=["text"])
    return services


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """(name, clause) of what was sent and the engine does not know, as it was sent."""
    recorded: list[tuple[str, Any]] = []
    perform = CurlNode.perform_request

    def standing_in(self: CurlNode, method: str, target: str, body: bytes | None = None, **options: Any) -> Any:
        if body and any(name in body for name in (b"rank_feature", b"pinned", b"_script")):
            lines = (orjson.dumps(known(orjson.loads(line), recorded)) for line in body.splitlines() if line)
            body = b"\n".join(lines) + b"\n"
        return perform(self, method, target, body, **options)

    monkeypatch.setattr(CurlNode, "perform_request", standing_in)
    return recorded


def known(value: Any, recorded: list[tuple[str, Any]]) -> Any:
    """The value with what the engine knows in place of what it does not."""
    if isinstance(value, list):
        return [known(one, recorded) for one in value]
    if not isinstance(value, dict):
        return value
    for name in ("rank_feature", "pinned", "_script"):
        if name in value:
            recorded.append((name, value[name]))
    if "rank_feature" in value:
        return {"exists": {"field": "price"}}
    if "pinned" in value:
        return known(value["pinned"]["organic"], recorded)
    if "_script" in value:
        return {"price": value["_script"]["order"]}
    return {key: known(one, recorded) for key, one in value.items()}


@pytest.mark.parametrize(
    ("body", "name", "wanted"),
    [
        ({"query": {"bool": {"must": WORDS, "should": [FEATURE]}}}, "rank_feature", FEATURE["rank_feature"]),
        ({"query": {"pinned": PINNED}}, "pinned", PINNED["ids"]),
        ({"query": WORDS, "sort": [{"_score": "desc"}, {"_script": SCRIPT}]}, "_script", SCRIPT),
    ],
    ids=["rank_feature", "pinned", "script"],
)
def test_a_clause_goes_to_the_cluster_as_the_shop_wrote_it(
    services: Services, sent: list[tuple[str, Any]], body: dict[str, Any], name: str, wanted: Any
) -> None:
    answer = create_app(services).test_client().post(f"/es/{INDEX}/_search", json=body)
    assert (answer.status_code, answer.headers["X-Hybrid"]) == (200, "ranked"), answer.text
    assert [hit["_source"]["title"] for hit in answer.json["hits"]["hits"]][0].startswith("laptop bag")
    clauses = [clause["ids"] if name == "pinned" else clause for one, clause in sent if one == name]
    assert wanted in clauses
