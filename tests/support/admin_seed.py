"""An index with something on every page of the admin, little or much, and with markup wherever others write texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from hybrid.elastic.stores.base import now
from hybrid.elastic.stores.dead_letters import DEAD_LETTERS, DeadLetter
from hybrid.elastic.stores.evaluations import EVALUATIONS
from hybrid.elastic.stores.jobs import JOBS
from hybrid.elastic.stores.judgments import JUDGMENTS
from hybrid.elastic.stores.models import MODELS
from hybrid.elastic.stores.orders import ORDERS
from hybrid.evaluation.judgments import Judgments
from hybrid.operations import evaluations, orders
from hybrid.operations.orders import learning_slot
from hybrid.search.weights import FIXED_VERSION, fixed
from hybrid.services import Services
from tests.conftest import index_file, write_rows
from tests.support.admin_client import forget
from tests.support.models import keep
from tests.support.raw import client_of
from tests.support.web_services import EVIL, Watched, products, write_pictures
from web.admin.reindex import plan_slot, slot
from workers.orders import work

#: Markup without a slash, which a part of an address cannot hold.
EVIL_NAME = "\"'><img src=x onerror=alert(2)>"
REASON = "image_missing"
#: What the issue asks the pages to bear.
LETTERS, VERSIONS, RUNS, EVALUATED, JUDGED = 20_000, 200, 500, 200, 5_000
RATINGS = {
    "mug": {f"p{n:02}": 3.0 for n in range(6)},
    "table lamp": {f"p{n:02}": 2.0 for n in range(6, 12)},
    "bag for the beach": {f"p{n:02}": 2.0 for n in range(12, 18)},
    EVIL: {"p00": 1.0},
}


def report(scores: dict[str, float], before: dict[str, float], active: str = FIXED_VERSION) -> dict[str, Any]:
    """What training would say of a version, as far as its pages read it."""
    rows = [
        {
            "system": name, "ndcg": sum(found.values()) / len(found), "low": 0.2, "high": 0.9, "against_bm25": 0.01,
            "p_bm25": 0.4, "against_active": 0.02, "p_active": 0.03, "hurt": 0.1,
        }
        for name, found in (("active", before), ("gate", scores))
    ]  # fmt: skip
    return {
        "kind": "gate", "chosen": "gate", "judged": len(scores), "synthetic": 30, "active": active, "list": "lamps",
        "rows": rows, "per_query": {"active": before, "gate": scores}, "reason": "because", "oracle": 0.9,
        "spread": {"lexical": {"counts": [1] * 20, "median": 0.5}}, "ablation": {"Chinese": 0.01},
        "skip": [{"threshold": 0.0, "ndcg": 0.5, "saved": 0.0}, {"threshold": 0.2, "ndcg": 0.45, "saved": 0.3}],
        "fewer": [
            {"judged": judged, "ndcg": ndcg, "low": ndcg - 0.1, "high": ndcg + 0.1}
            for judged, ndcg in ((10, 0.4), (50, 0.55), (120, 0.6))
        ],
    }  # fmt: skip


def add(services: Services, index: str, version: str, **given: Any) -> None:
    keep(services, index, version, "gate", fixed(version=version).to_json(), report(**given))


def done(services: Services, slot: str) -> dict[str, Any]:
    """Do an order here, as a worker would."""
    assert work(services, slot)
    order = services.orders.get(slot)
    assert order is not None and (order["status"], order["error"]) == ("done", None)
    return order


def make_index(services: Services, index: str, folder: Path) -> Services:
    """A small catalogue, one of whose titles is markup; services that see no other index."""
    media = folder / "media"
    media.mkdir()
    write_pictures(media)
    evil = {"id": "evil", "name": f"mug {EVIL}", "description": EVIL, "brand": EVIL, "category": EVIL, "color": EVIL}
    path = write_rows(folder / "catalogue.ndjson", [*products(), evil])
    index_file(services, path, index, folder, signals=["text", "image"], media_root=media)
    # Indexing takes markup out of texts; a shop that writes its index itself may leave it in.
    client_of(services).update(index=index, id="evil", doc={"name": evil["name"], "description": EVIL}, refresh=True)
    return Watched(services.settings, [index])


def fill(services: Services, index: str, many: bool = False) -> list[str]:
    """Put something on every page about an index of `make_index`; the addresses of the pages.

    many: as much as the pages have to bear.
    """
    for kind, at in (("plan", plan_slot(index)), ("reindex", slot(index))):
        orders.place(services, at, kind, index, {"what": "reindex"} if kind == "plan" else {"swap": True}, "ed")
        done(services, at)
    orders.place(services, plan_slot(index), "plan", index, {"what": "reindex", "shards": 2}, "ed")
    done(services, plan_slot(index))
    services.judgment_lists.take_in(index, "basics", Judgments(RATINGS), "ed")
    runs = [_evaluated(services, index, system) for system in ("text", "rrf")]
    if many:
        _fill_up(services, index, runs[0])
    scores = {query: 0.5 for query in RATINGS}
    for number in (1, 2):
        add(services, index, f"gate-{number}", scores={**scores, EVIL: 0.1 * number}, before={**scores, "mug": 0.2})
    _add_markup(services, index)
    return pages_of(index, runs)


def _evaluated(services: Services, index: str, system: str) -> str:
    evaluations.order(services, index, "basics", ["bm25", system], 0, "ed")
    return str(done(services, learning_slot(index))["result"]["run"])


def _add_markup(services: Services, index: str) -> None:
    """Failures and texts of others; names that the layer's own checks would refuse, as somebody might write them."""
    failed = services.jobs.start("index", index, ordered={"by": EVIL})
    services.jobs.update(failed, status="failed", error=EVIL)
    services.dead_letters.add(index, "job", [
        DeadLetter("p01", "image", REASON, f"'{EVIL}.jpg' is gone"), DeadLetter("evil", "image", REASON, EVIL),
        DeadLetter("unknown", "text", "encoder_failed", EVIL),
    ])  # fmt: skip
    body = {"index": index, "list": EVIL_NAME, "query": EVIL, "product": "p00", "rating": 1, "by": EVIL}
    client_of(services).index(index=JUDGMENTS, document={**body, "at": now()}, refresh=True)
    [newest], _ = services.evaluations.page(1, 0, index)
    run = evaluations.run(services.evaluations, newest["id"])
    services.evaluations.keep("evil", {**run, "list": EVIL_NAME, "by": EVIL, "notes": [EVIL], "at": now()})
    add(services, index, EVIL_NAME, scores={EVIL: 0.5}, before={EVIL: 0.4})
    services.audit.end(services.audit.begin(EVIL, EVIL, EVIL, {EVIL: EVIL}), 400)


def _fill_up(services: Services, index: str, run: str) -> None:
    letters = [DeadLetter(f"p{number:05}", "image", REASON, "not there") for number in range(LETTERS)]
    for start in range(0, LETTERS, 5_000):
        services.dead_letters.add(index, "job", letters[start : start + 5_000])
    queries = [f"query number {number}" for number in range(150)]
    scores = {query: 0.5 + number / 1_000 for number, query in enumerate(queries)}
    add(services, index, "many", scores=scores, before=scores)
    version = client_of(services).get(index=MODELS, id=f"version:weights:{index}:many")["_source"]
    _many(
        services,
        MODELS,
        VERSIONS,
        lambda n: (f"version:weights:{index}:many-{n}", {**version, "version": f"many-{n}"}),
    )
    [job], _ = services.jobs.history(1)
    _many(services, JOBS, RUNS, lambda n: (f"{index}-{n}", {**job, "index": index, "kind": "attach", "status": "done"}))
    kept = evaluations.run(services.evaluations, run)
    kept["per_query"] = {"queries": queries, "scores": {name: list(scores.values()) for name in kept["systems"]}}
    _many(services, EVALUATIONS, EVALUATED, lambda n: (f"many-{n}", {**kept, "id": f"many-{n}"}))
    per_query = JUDGED // len(queries)
    judged = Judgments({query: {f"p{n:02}": float(n % 4) for n in range(per_query + 1)} for query in queries})
    services.judgment_lists.take_in(index, "many", judged, "ed")


def _many(services: Services, store: str, count: int, make: Callable[[int], tuple[str, dict[str, Any]]]) -> None:
    operations: list[Any] = []
    for number in range(count):
        id, body = make(number)
        operations += [{"index": {"_id": id}}, body]
    answer = client_of(services).options(request_timeout=60).bulk(index=store, operations=operations, refresh=True)
    assert not answer["errors"]


def pages_of(index: str, runs: list[str]) -> list[str]:
    """Every page that people open, of an index that was filled; `runs`: two evaluations."""
    here, by_hand = {"index": index}, {"left": "own", "left_lexical": 0.4, "left_text": 0.6, "right": "fixed"}

    def of(path: str, **asked: Any) -> str:
        return f"/admin/{path}?{urlencode({**here, **asked})}"

    def under(*parts: str) -> str:
        return "/admin/" + "/".join(quote(part, safe="") for part in parts)

    return [
        "/admin/",
        "/admin/try",
        of("try", q="mug", left="bm25", right="text"),
        of("try", q="mug", list="basics", **by_hand),
        of("judgments"),
        under("judgments", index, "basics"),
        under("judgments", index, "basics") + "?coverage=1",
        of("evaluations"),
        of("evaluations", list="basics"),
        under("evaluations", runs[0]),
        f"/admin/evaluations/compare?run={runs[1]}&run={runs[0]}",
        of("weights"),
        under("weights", index, "gate-1"),
        under("weights", index, "compare") + "?v=gate-2&v=gate-1",
        under("weights", index, "gate-1", "apply"),
        of("models"),
        under("models", index, "weights", "gate-1"),
        "/admin/reindex",
        under("reindex", index),
        "/admin/failures",
        under("failures", index, REASON),
        "/admin/audit",
    ]


def empty(services: Services, index: str) -> None:
    """Take all of `fill` away again, and the accounts."""
    client_of(services).indices.delete(
        index=[EVALUATIONS, JUDGMENTS, ORDERS, DEAD_LETTERS], ignore_unavailable=True
    )  # fmt: skip
    for store in (MODELS, JOBS):
        found = client_of(services).search(
            index=store, query={"term": {"index": index}}, size=5_000, source=False, ignore_unavailable=True
        )
        operations = [{"delete": {"_id": hit["_id"]}} for hit in found["hits"]["hits"]]
        if operations:
            client_of(services).bulk(index=store, operations=operations, refresh=True)
    forget(services)
