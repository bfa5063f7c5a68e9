"""What words ask for beside being words, on the real engine: phrases, exclusions, prices and synonyms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import Result
from typer.testing import CliRunner

from hybrid.cli.main import app
from hybrid.elastic.retrieval import bodies
from hybrid.elastic.retrieval.candidates import Retrieval
from hybrid.errors import HybridError, SynonymsConflictError, SynonymsError
from hybrid.node import NodeStatus
from hybrid.search.searcher import Searcher
from hybrid.search.synonyms import PublishedSynonyms
from hybrid.search.understanding import conditions
from hybrid.searches import Alternative, SearchAnswer, SearchRequest, Words
from hybrid.services import Services
from hybrid.testing import FakeClock
from tests.conftest import index_file, make_services, write_rows
from tests.support.admin_client import signed_in
from tests.support.raw import client_of

pytestmark = pytest.mark.es

#: The words of each product; its id is the place in this list, its price ten times that.
TITLES = [
    "lamp", "red running shoes", "shoes for running, red", "blue running shoe", "USB-C cable", "usb cable, type c",
    "红色运动鞋", "运动鞋 蓝色", "红色的跑步运动鞋", "手机壳", "sofa", "couch", "settee", "couch cover", "leather sofa",
    "trainers", "grey settee chair", "couch table",
]  # fmt: skip


@pytest.fixture(scope="module")
def shop(engine: NodeStatus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, str]]:
    services, name = make_services(engine), f"tasking-{engine.es_version.replace('.', '-')}"
    folder = tmp_path_factory.mktemp("asking")
    rows = [
        {"id": str(at), "title": title, "price": 10.0 * at, "kind": "shoe" if "shoe" in title else "other"}
        for at, title in enumerate(TITLES)
    ]
    mapping = "id=id,title=title,price=price,category=kind"
    path = write_rows(folder / "rows.ndjson", rows)
    assert index_file(services, path, name, folder, signals=["text"], mapping=mapping).complete
    client_of(services).indices.refresh(index=name)
    yield services, name
    for concrete in list(client_of(services).indices.get(index=f"{name}*").body):
        client_of(services).indices.delete(index=concrete)


def ids(answer: SearchAnswer) -> set[int]:
    return {int(hit.id) for hit in answer.hits}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('"running shoes"', {1, 3}),
        ('"Running Shoe" -blue', {1}),
        ('-"running shoes" -sofa -couch -settee -鞋', {0, 2, 4, 5, 9, 15}),
        ('"usb c"', {4}),
        ('"usb-c"', {4}),
        ("「红色运动鞋」", {6}),
        ("「手机」", {9}),
        ('"running shoes" under 20', {1}),
        ("under 20", {0, 1}),
        ("50元以下 -lamp", {1, 2, 3, 4, 5}),
        ('"green shoes"', set()),
        ("lamp over 900", set()),
    ],
)
@pytest.mark.parametrize("system", ["fixed", "bm25", "text", "rrf"])
def test_what_is_asked_for_holds_for_every_signal(
    shop: tuple[Services, str], query: str, found: set[int], system: str
) -> None:
    services, name = shop
    answer = services.searcher.search(SearchRequest(name, query, system=system, size=50))
    assert ids(answer) == found
    assert answer.total == len(found)
    counts = {item["value"]: item["count"] for item in answer.facets["kind"]}
    shoes = sum("shoe" in TITLES[at] for at in found)
    assert counts == {key: n for key, n in (("shoe", shoes), ("other", len(found) - shoes)) if n}
    assert not answer.degraded and answer.understood


def test_pages_of_a_search_that_asks_for_more_are_one_list(shop: tuple[Services, str]) -> None:
    services, name = shop
    few = Searcher(services.retrieval, services.encoder, 3, services.published)
    pages = [few.search(SearchRequest(name, "-couch under 100", size=3, page=page)) for page in range(1, 6)]
    everything = [int(hit.id) for page in pages for hit in page.hits]
    assert sorted(everything) == list(range(10)) and {page.total for page in pages} == {10}


def test_a_query_that_has_none_of_it_is_sent_as_it_was(
    shop: tuple[Services, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    services, name = shop
    client = client_of(services)
    sent: list[Any] = []
    ask = client.msearch
    monkeypatch.setattr(client, "msearch", lambda **options: sent.append(options["searches"]) or ask(**options))
    Searcher(Retrieval(client), services.encoder, 20).search(SearchRequest(name, "red shoes 5 - 10"))
    (_, lexical, _, nearest) = sent[0]
    assert lexical["query"] == bodies.lexical_query("red shoe 5 10")
    assert "filter" not in nearest["query"]["knn"]


def test_synonyms_are_in_force_within_seconds(shop: tuple[Services, str], monkeypatch: pytest.MonkeyPatch) -> None:
    services, name = shop
    files = services.synonym_files
    assert files.get(name).version == 0
    kept = files.put(name, "# seats\nsofa, couch, settee\ntrainers => running shoes\n手机 => 手机壳", "ed")
    assert (kept.version, kept.rules, files.get(name)) == (1, 3, kept)
    with pytest.raises(SynonymsError, match="line 2"):
        files.put(name, "sofa, couch\nsettee", "ed")
    with pytest.raises(SynonymsConflictError, match="version 1 by now"):
        files.put(name, "sofa, couch", "mei", instead_of=0)
    assert files.get(name) == kept
    clock = FakeClock()
    published = PublishedSynonyms(files, clock)
    searcher = Searcher(services.retrieval, services.encoder, 50, None, published)

    def found(query: str) -> list[str]:
        answer = searcher.search(SearchRequest(name, query, size=50, system="bm25"))
        assert answer.total == len(answer.hits) == sum(item["count"] for item in answer.facets["kind"])
        return [TITLES[int(hit.id)] for hit in answer.hits]

    seats = [title for title in TITLES if {"sofa", "couch", "settee"} & set(title.split())]
    for query in ("Sofas", "couch", "settee"):
        hits, typed = found(query), query.lower().rstrip("s")
        assert set(hits) == set(seats)
        assert all(typed in title for title in hits[: sum(typed in title for title in seats)]), hits
    assert found("trainers")[0] == "trainers" and set(found("trainers")[1:]) == set(TITLES[1:4])
    assert "trainers" not in found("running shoes")
    assert set(found("couch -cover under 130")) == {"couch", "settee", "sofa"}
    assert found("couch table sofa")[0] == "couch table"
    assert found("手机")[0] == "手机壳"
    fused = searcher.search(SearchRequest(name, "settee", size=50))
    assert all(fused.hits[at].signals["lexical"].raw for at in range(3)) and fused.understood[0].kind == "synonym"
    # The drop-in: the shop's own query decides what matches, and synonyms help to rank it.
    monkeypatch.setattr(PublishedSynonyms, "TTL_S", 0.0)
    body = {"query": {"bool": {"must": [{"match": {"hybrid.terms.title": "leather settee sofa cover"}}]}}}
    outcome = services.dropin.search(name, body, {})
    hits = orjson.loads(outcome.body)["hits"]["hits"]
    assert str(outcome.handled[0]) == "ranked"
    assert {TITLES[int(hit["_id"])] for hit in hits} == {"leather sofa", "sofa", "couch cover"}
    prepared = services.searcher.prepare(SearchRequest(name, "leather sofa"), services.searcher.profile(name))
    assert {(one.of, one.terms) for one in prepared.every_word.alternatives} == {("sofa", "couch"), ("sofa", "sette")}
    assert services.searcher.holds(prepared)
    assert files.put(name, "", "ed", instead_of=1).version == 2
    assert not services.searcher.holds(prepared)
    clock.advance(published.TTL_S)
    assert set(found("sofa")) == {"sofa", "leather sofa"}


def test_synonyms_by_the_command_line(
    shop: tuple[Services, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, name = shop
    monkeypatch.setattr("hybrid.services.build_services", lambda: Services(services.settings))

    def run(*command: str) -> Result:
        return CliRunner().invoke(app, ["synonyms", *command, "--index", name])

    file = tmp_path / "synonyms.txt"
    file.write_text("sofa, couch\n手机, 移动电话\n")
    done = run("set", str(file))
    assert done.exit_code == 0 and done.output.startswith("2 rules are in force")
    before = run("show").stdout
    assert before == file.read_text()
    file.write_text("sofa, couch\nsettee\n")
    assert "line 2" in str(run("set", str(file)).exception)
    assert run("show").stdout == before
    assert isinstance(run("set", str(file), "--instead-of", "0").exception, HybridError)
    assert run("remove").exit_code == 0 and run("show").stdout.strip() == ""
    file.write_bytes(b"sofa, \xff")
    assert "UTF-8" in str(run("set", str(file)).exception)
    actions = [entry["action"] for entry in services.audit.list(20)[0] if entry["index"] == name]
    assert actions == ["synonyms_remove", "synonyms_set", "synonyms_set", "synonyms_set"]


def test_synonyms_by_the_admin_interface(shop: tuple[Services, str]) -> None:
    services, name = shop
    ed, vic = signed_in(services), signed_in(services, "vic", "viewer")
    path = f"/admin/api/synonyms/{name}"
    version = ed.get(path).json["version"]
    body = {"text": "sofa, couch", "instead_of": version}
    assert vic.send(path, body).status_code == 403 and vic.get(path).status_code == 200
    answer = ed.send(path, body)
    assert (answer.status_code, answer.json["version"], answer.json["rules"]) == (200, version + 1, 1)
    assert ed.send(path, body).status_code == 409
    bad = ed.send(path, {"text": "sofa, couch\n=> x", "instead_of": version + 1})
    assert bad.status_code == 400 and "line 2" in bad.json["error"]["reason"]
    assert ed.get(path).json["text"] == "sofa, couch"
    assert ed.send(f"{path}-none", {"text": "a, b", "instead_of": 0}).status_code == 404
    assert ed.send(f"{path}/remove", {"instead_of": version + 1}).json["rules"] == 0
    entry = next(
        one for one in services.audit.list(20)[0] if one["action"] == "api_set_synonyms" and one["status"] == 200
    )
    assert (entry["user"], entry["index"], entry["detail"]["rules"]) == ("ed", name, "1")


def test_in_the_shops_own_fields_words_are_text(shop: tuple[Services, str]) -> None:
    services, name = shop
    own = replace(services.searcher.profile(name), lexical_fields=("hybrid.terms.title^2", "hybrid.terms.brand"))

    def found(words: Words) -> list[str]:
        retrieved = services.retrieval.retrieve(own, words, {}, {}, ["kind"], 50)
        assert (
            retrieved.total == len(retrieved.lists["lexical"]) == sum(one["count"] for one in retrieved.facets["kind"])
        )
        return [TITLES[int(id)] for id in retrieved.lists["lexical"]]

    couch = Alternative("couch", 0.5, of="sofa")
    assert found(Words("sofa", (couch,)))[0] == "sofa" and len(found(Words("sofa", (couch,)))) == 5
    both = Alternative("leather sofa", 0.5, of="lamp")
    assert found(Words("lamp", (both,))) == ["lamp", "leather sofa"]
    asked = conditions(SearchRequest(name, phrases=("couch cover",), excluded=("leather",)), own)
    assert found(replace(asked, terms="couch sofa")) == ["couch cover"]
