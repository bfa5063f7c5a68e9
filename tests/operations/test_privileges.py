"""With security on, the documented privileges are enough for all that Hybrid does, and each of them is needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import ApiError, Elasticsearch

from hybrid.elastic.indices.health import CLUSTER_PRIVILEGES, INDEX_PRIVILEGES
from hybrid.elastic.stores.models import WEIGHTS
from hybrid.errors import AccessRefusedError, ClusterError, HybridError
from hybrid.evaluation.evaluate import evaluate
from hybrid.evaluation.judgments import Judgments
from hybrid.ingest.push import Operation
from hybrid.learning import models
from hybrid.learning.trained import publish
from hybrid.learning.weights import training
from hybrid.node import NodeStatus
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.operations.doctor import examine
from hybrid.operations.reindex import control, planning, running
from hybrid.operations.sync import run_sync
from hybrid.search.weights import FIXED_VERSION
from hybrid.searches import SearchRequest
from hybrid.services import Services
from tests.conftest import ROOT, VERSIONS, index_file, make_services, write_rows
from tests.journeys.test_proxy import program
from tests.support import secured
from tests.support.raw import client_of
from tests.support.serving import served
from tests.support.shop_writer import make_shop
from web import create_app

pytestmark = pytest.mark.es

SHOP, MADE = "shop-own", "shop-made"
ALL = "all"
#: A user who may do all with the indices of PROXIED, and one who may do nothing.
PROXIED, PROGRAM, STRANGER = "shop-proxied", "program", "stranger"
PROGRAMS_ROLE = {"cluster": ["monitor"], "indices": [{"names": [f"{PROXIED}*"], "privileges": ["all"]}]}
COLORS, KINDS = ("red", "blue", "green"), ("lamp", "mug", "chair")
ROWS = [{"id": f"p{n}", "title": f"{COLORS[n % 3]} {KINDS[n // 3 % 3]} {n}", "price": n} for n in range(30)]
WORDS = [*(f"{color} {kind}" for color in COLORS for kind in KINDS), "red", "mug"]
JUDGED = Judgments({
    words: {row["id"]: 3.0 for row in ROWS if set(words.split()) <= set(str(row["title"]).split())} for words in WORDS
})  # fmt: skip


def documented() -> tuple[list[str], list[str]]:
    """The privileges on the cluster and on indices that docs/operating/connect.md asks for."""
    page = (ROOT / "docs/operating/connect.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (`[a-z`, ]+`) \| (the cluster|`hybrid-\*`.*) \|$", page, re.MULTILINE))
    by_place = {where.startswith("`"): re.findall(r"\w+", names) for names, where in rows.items()}
    return by_place[False], by_place[True]


CLUSTER, INDEX = documented()


def role(without: str = "") -> dict[str, Any]:
    on = [{"names": ["hybrid-*", "shop-*"], "privileges": [name for name in INDEX if name != without]}]
    return {"cluster": [name for name in CLUSTER if name != without], "indices": on}


@pytest.fixture(scope="module")
def engine_with_security() -> Iterator[NodeStatus]:
    roles = {
        ALL: role(),
        PROGRAM: PROGRAMS_ROLE,
        STRANGER: {},
        **{f"without-{name}": role(name) for name in (*CLUSTER, *INDEX)},
    }
    with secured.secured(VERSIONS[0], roles) as engine:
        yield engine


@pytest.fixture
def as_user(engine_with_security: NodeStatus) -> Callable[[str], Services]:
    def services(user: str, password: str = secured.PASSWORD, **more: Any) -> Services:
        own = {"es_username": user, "es_password": password, "es_timeout_s": 30}
        return make_services(engine_with_security, **own, **more)

    return services


def test_the_privileges_that_are_checked_are_those_that_are_documented() -> None:
    assert (tuple(CLUSTER), tuple(INDEX)) == (CLUSTER_PRIVILEGES, INDEX_PRIVILEGES)


def test_the_documented_privileges_are_enough(as_user: Callable[[str], Services], tmp_path: Path) -> None:
    make_shop(client_of(as_user(secured.ROOT)), f"{SHOP}-000001", ROWS, alias=SHOP)
    services = as_user(ALL)
    assert index_file(services, write_rows(tmp_path / "c.ndjson", ROWS), MADE, tmp_path, signals=["text"]).complete
    assert run_attach(services, plan_attach(services, SHOP, signals=["text"])).complete
    assert run_sync(services, SHOP).complete
    plan = planning.plan_reindex(services, SHOP, signals=["text"], shards=2)
    assert running.run_reindex(services, plan, running.Options()).swapped
    assert control.rollback(services, SHOP)["new"] == f"{SHOP}-000001"
    assert services.push(SHOP, [Operation("p29", None)]).results[0].result == "deleted"
    services.judgment_lists.take_in(SHOP, "lamps", JUDGED, "ed")
    trained = training.train(services, SHOP, JUDGED, "global", folds=2, repeats=1, synthetic=20)
    version = publish(services.models, trained)
    assert models.apply(services, WEIGHTS, SHOP, version).version == version
    assert services.searcher.search(SearchRequest(SHOP, q="red lamp")).total >= 3
    assert models.rollback(services, WEIGHTS, SHOP).version == FIXED_VERSION
    assert evaluate(services.searcher.search, SHOP, JUDGED, ["bm25", "fixed"]).judged_at_10 > 0
    with services.audit.recorded("ed", "user_add", name="mei"):
        services.accounts.add("mei", "a rather long password", "viewer")
    diagnosis = examine(services)
    assert [check for check in diagnosis.checks if check.status in ("degraded", "blocked")] == []
    assert "privileges" in {check.what for check in diagnosis.checks}


def fails(do: Callable[[], Any]) -> str:
    with pytest.raises(AccessRefusedError) as caught:
        do()
    return str(caught.value)


@pytest.mark.parametrize("left_out", [*CLUSTER, *INDEX])
def test_a_privilege_that_is_missing_is_said_in_one_line(
    left_out: str, as_user: Callable[[str], Services], tmp_path: Path
) -> None:
    """The shop and its weights are those of the test before."""
    services = as_user(f"without-{left_out}")
    what_fails: dict[str, Callable[[], Any]] = {
        "monitor": lambda: services.cluster.capabilities,
        "manage": lambda: run_attach(services, plan_attach(services, SHOP, signals=["text"], language="de")),
        "read": lambda: services.searcher.search(SearchRequest(SHOP, q="red lamp")),
        "write": lambda: services.push(SHOP, [Operation("p1", {**ROWS[1], "title": "a lamp"})]),
    }
    said = fails(what_fails[left_out])
    assert "\n" not in said and "docs/operating/connect.md" in said
    assert re.search(rf"privileges \[[a-z_,]*\b{left_out}\b", said), said
    bad = [check for check in examine(services, SHOP).checks if check.status in ("degraded", "blocked")]
    assert any(re.search(rf"\b{left_out}\b", check.detail) and "connect.md" in check.fix for check in bad), bad


def test_a_wrong_password_is_said_in_one_line(as_user: Callable[..., Services]) -> None:
    services = as_user(ALL, "wrong")
    with pytest.raises(ClusterError, match=r"401: .*check HYBRID_ES_API_KEY, or HYBRID_ES_USERNAME and") as caught:
        services.searcher.search(SearchRequest(SHOP, q="red lamp"))
    assert not isinstance(caught.value, AccessRefusedError) and isinstance(caught.value, HybridError)
    assert "401" in examine(services).checks[0].detail


@pytest.fixture
def at(as_user: Callable[..., Services]) -> Iterator[str]:
    """The address of the proxy, of a server that may do all that is documented."""
    services = as_user(ALL, dropin_proxy=True, dropin_proxy_indices=f"{PROXIED}, {PROXIED}-*")
    with served(create_app(services)) as address:
        yield f"{address}/es"


def test_a_shops_program_has_its_own_rights_through_the_proxy(engine_with_security: NodeStatus, at: str) -> None:
    """By password. The engine of the tests lacks an analyser that its index of API keys needs: it makes none."""
    credentials = (PROGRAM, secured.PASSWORD)
    with (
        Elasticsearch(engine_with_security.es_url, basic_auth=credentials) as direct,
        Elasticsearch(at, basic_auth=credentials) as es,
    ):
        wanted = program(direct, PROXIED)
        assert program(es, PROXIED) == wanted


def test_the_proxy_lends_nobody_the_credentials_of_the_layer(at: str, as_user: Callable[..., Services]) -> None:
    make_shop(client_of(as_user(secured.ROOT)), PROXIED, ROWS)
    rights: list[tuple[dict[str, Any], int]] = [
        ({}, 401),
        ({"basic_auth": (PROGRAM, "wrong")}, 401),
        ({"basic_auth": ("nobody", secured.PASSWORD)}, 401),
        ({"api_key": "bm90OmFueQ=="}, 401),
        ({"bearer_auth": "token"}, 401),
        ({"basic_auth": (STRANGER, secured.PASSWORD)}, 403),
    ]
    for credentials, status in rights:
        with Elasticsearch(at, **credentials) as es:
            for ask in (
                lambda es=es: es.count(index=PROXIED),
                lambda es=es: es.index(index=PROXIED, id="x", document={"name": "x"}),
                lambda es=es: es.bulk(operations=[{"delete": {"_index": PROXIED, "_id": "p01"}}]),
                lambda es=es: es.indices.create(index=f"{PROXIED}-new"),
                lambda es=es: es.indices.delete(index=PROXIED),
                lambda es=es: es.indices.put_mapping(index=PROXIED, properties={"more": {"type": "keyword"}}),
            ):
                assert refused(ask) == (status, "security_exception"), credentials
    root = client_of(as_user(secured.ROOT))
    assert root.count(index=PROXIED)["count"] == len(ROWS) and not root.indices.exists(index=f"{PROXIED}-new")


def refused(ask: Callable[[], Any]) -> tuple[int, str]:
    """The status and kind of the error; of a bulk, those of its first action."""
    try:
        answer = ask()
    except ApiError as error:
        kind = error.body["error"]["type"]
        asks = error.meta.status != 401 or "www-authenticate" in error.meta.headers
        return error.meta.status, kind if asks else "asks for nothing"
    action = answer["items"][0]["delete"]
    return action["status"], action["error"]["type"]
