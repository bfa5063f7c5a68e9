"""Numbers of products are named for an index in use: by the command line and by HTTP, measured, and told by doctor."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from hybrid.cli.main import app
from hybrid.errors import UsageError
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.operations.doctor import examine
from hybrid.operations.priors import set_priors
from hybrid.operations.reindex import planning, running
from hybrid.searches import SearchRequest
from hybrid.services import Services
from tests.conftest import index_file, write_rows
from tests.support.admin_client import signed_in
from tests.support.raw import client_of
from tests.support.shop_writer import make_shop

pytestmark = pytest.mark.es

MAPPED = "title=title,rating=rating,date=released,brand=brand"


def rows() -> list[dict[str, Any]]:
    """Mugs that words tell not apart; a fifth is not rated, and one is a lamp of the best rating."""
    made = [
        {"id": f"m{at:02}", "title": "red mug", "brand": f"b{at % 4}", "released": f"2024-01-{1 + at % 28:02}",
         **({"rating": 1 + at % 9 / 2} if at % 5 else {})}
        for at in range(40)
    ]  # fmt: skip
    return [*made, {"id": "lamp", "title": "lamp", "brand": "b1", "released": "2020-01-01", "rating": 5}]


@pytest.fixture
def shop(services: Services, name: str, tmp_path: Path) -> str:
    index_file(services, write_rows(tmp_path / "c.ndjson", rows()), name, tmp_path, signals=["text"], mapping=MAPPED)
    return name


def asked(services: Services, monkeypatch: pytest.MonkeyPatch, request: SearchRequest) -> tuple[Any, list[Any]]:
    """The answer, and the lines of every `_msearch` that it took."""
    client, sent = client_of(services), []
    original = client.msearch

    def msearch(**options: Any) -> Any:
        sent.append(copy.deepcopy(options))
        return original(**options)

    monkeypatch.setattr(client, "msearch", msearch)
    services.retrieval.coverage.forget()
    answer = services.searcher.search(request)
    monkeypatch.undo()
    return answer, sent


def said(services: Services, name: str) -> dict[str, str]:
    return {one.what: one.status for one in examine(services, name).checks if one.what.startswith("prior.")}


@pytest.mark.es_both
def test_a_search_reads_them_with_its_hits(services: Services, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    request = SearchRequest(shop, "red mug", size=45)
    before, plain = asked(services, monkeypatch, request)
    rating, released = set_priors(services, shop, ["rating", "released"])
    assert (rating.quantiles[0][0], rating.quantiles[-1][0], rating.is_date, released.is_date) == (1, 5, False, True)
    after, lines = asked(services, monkeypatch, request)
    # No request more, and of each search nothing else than the two fields.
    assert len(lines) == len(plain)
    own = ["rating", {"field": "released", "format": "epoch_millis"}]
    for one, other in zip(plain, lines, strict=True):
        for body, longer in zip(one["searches"], other["searches"], strict=True):
            more = {"docvalue_fields": [*body["docvalue_fields"], *own]} if "docvalue_fields" in body else {}
            assert longer == {**body, **more}
    # The same products, and of those that match alike the better rated first.
    assert {hit.id for hit in after.hits} == {hit.id for hit in before.hits} and after.total == before.total
    by_id = {hit.id: hit for hit in after.hits}
    assert after.hits[0].signals["prior.rating"].raw == 5.0
    unrated = by_id["m05"].signals["prior.rating"]
    assert unrated.raw is None and 0.3 < unrated.scaled < 0.7
    for hit in after.hits:
        assert hit.score == sum(part.contribution for part in hit.signals.values())
        assert 0 <= hit.signals["prior.released"].scaled <= 1
    named = services.searcher.search(SearchRequest(shop, "mug", weights={"lexical": 1, "prior.rating": 1}))
    rated = [hit.signals["prior.rating"].raw for hit in named.hits]
    assert rated[:4] == [5.0, 5.0, 5.0, 4.5] and rated == sorted(rated, reverse=True)
    set_priors(services, shop, [])
    again, lines = asked(services, monkeypatch, request)
    assert lines == plain
    assert [hit.id for hit in again.hits] == [hit.id for hit in before.hits]


@pytest.mark.es_both
def test_browsing_is_in_their_order_on_every_page(services: Services, shop: str) -> None:
    set_priors(services, shop, ["rating:less", "released"])
    searcher = services.searcher
    searcher._depth = 10  # the pages after it are read from the cluster
    pages = [searcher.search(SearchRequest(shop, "", page=page, size=8)) for page in range(1, 7)]
    ids = [hit.id for page in pages for hit in page.hits]
    by_id = {row["id"]: row for row in rows()}
    newest = sorted(rows(), key=lambda row: row["released"], reverse=True)
    wanted = sorted(newest, key=lambda row: row.get("rating", 9))
    assert sorted(ids) == sorted(by_id)
    assert [(by_id[id].get("rating"), by_id[id]["released"]) for id in ids] == [
        (row.get("rating"), row["released"]) for row in wanted
    ]
    some = searcher.search(SearchRequest(shop, "", filters={"brand": "b1"}, size=3))
    assert [hit.source["rating"] for hit in some.hits] == [1.0, 1.5, 1.5]


def test_fields_that_cannot_count_are_named_and_nothing_changes(services: Services, shop: str) -> None:
    set_priors(services, shop, ["rating"])
    for fields, why in ((["title"], "'title' is no number and no date; there are: rating, released"),
                        (["rating", "sold"], "'sold' is no number")):  # fmt: skip
        with pytest.raises(UsageError, match=why):
            set_priors(services, shop, fields)
    assert [prior.field for prior in services.searcher.profile(shop).priors] == ["rating"]


def test_without_doc_values_a_field_cannot_count(services: Services, name: str) -> None:
    fields = {"title": {"type": "text"}, "sold": {"type": "long", "doc_values": False}, "rank": {"type": "integer"}}
    same = [{"id": f"p{at}", "title": f"mug {at}", "sold": at, "rank": 7} for at in range(5)]
    make_shop(client_of(services), name, same, mappings={"properties": fields})
    run_attach(services, plan_attach(services, name, signals=["text"]))
    with pytest.raises(UsageError, match="'sold' is no number and no date; there are: rank"):
        set_priors(services, name, ["sold"])
    with pytest.raises(UsageError, match="all products have the same rank"):
        set_priors(services, name, ["rank"])


def test_the_command_line_and_programs_name_them(
    services: Services, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid.services.build_services", lambda: Services(services.settings))
    run = CliRunner()
    done = run.invoke(app, ["priors", "set", "rating", "released", "--index", shop])
    assert done.exit_code == 0, done.output
    assert "rating: more is better; from 1 to 5, median 3" in done.output and "newer is better" in done.output
    services.retrieval.forget()
    ed = signed_in(services)
    told = ed.get(f"/admin/api/priors/{shop}").get_json()
    assert told == orjson.loads(run.invoke(app, ["priors", "show", "--index", shop, "--json"]).stdout)
    assert said(services, shop) == {"prior.rating": "ok", "prior.released": "ok"}
    answer = ed.send(f"/admin/api/priors/{shop}", {"fields": ["rating:less"]})
    assert answer.get_json()["priors"] == [
        {"field": "rating", "less": True, "date": False, "median": 3.0, "half_life_days": None}
    ]
    wrong = ed.send(f"/admin/api/priors/{shop}", {"fields": ["title"]})
    assert wrong.status_code == 400 and "'title' is no number" in wrong.get_json()["error"]["reason"]
    viewer = signed_in(services, "vi", "viewer")
    assert viewer.send(f"/admin/api/priors/{shop}", {"fields": []}).status_code == 403
    assert "no number" in run.invoke(app, ["priors", "remove", "--index", shop]).output
    assert services.cluster.indices.read_profile(shop).priors == ()


def test_they_outlive_another_run_and_a_reindex(services: Services, shop: str, tmp_path: Path) -> None:
    (kept,) = set_priors(services, shop, ["rating"])
    more = [*rows(), {"id": "new", "title": "red mug", "brand": "b0", "released": "2024-01-01", "rating": 2}]
    index_file(services, write_rows(tmp_path / "d.ndjson", more), shop, tmp_path, signals=["text"], mapping=MAPPED)
    assert services.cluster.indices.read_profile(shop).priors == (kept,)
    plan = planning.plan_reindex(services, shop, signals=["text"], shards=2)
    assert running.run_reindex(services, plan, running.Options()).swapped
    profile = services.cluster.indices.read_profile(shop)
    assert profile.shards == 2 and profile.priors == (kept,)
    answer = services.searcher.search(SearchRequest(shop, "red mug"))
    assert answer.hits[0].signals["prior.rating"].raw == 5.0
