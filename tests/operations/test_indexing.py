"""Whole runs over catalogues as shops export them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from hybrid.cli.main import app
from hybrid.errors import JudgmentsError, UsageError
from hybrid.node import NodeStatus
from hybrid.operations.indexing import IndexReport, Replace, plan_index, run_index
from hybrid.searches import SearchRequest
from hybrid.services import Services
from tests.conftest import SHARED, make_services
from tests.support.picture_server import Server
from tests.support.web_services import jpeg

pytestmark = pytest.mark.es
COLORS = ("#c03020", "#20a040", "#2040c0", "#d0b020", "#808080")
CASES = SHARED.parent / "cases" / "catalogues"


@pytest.fixture(autouse=True)
def _there(shared: Path) -> None:
    """The cases lie beside the real data."""


def index(
    services: Services, path: Path, name: str, folder: Path, replace: Replace | None = None, **options: Any
) -> IndexReport:
    plan = plan_index(services, path, name, signals=[], **options)
    report = run_index(services, plan, rejects_path=folder / "rejects.ndjson", replace=replace)
    services.cluster.indices.refresh(name)
    return report


def prices(services: Services, name: str, **options: Any) -> dict[str, Any]:
    answer = services.searcher.search(SearchRequest(name, size=100, **options))
    return {hit.id: hit.source.get("price") for hit in answer.hits}


def test_the_same_file_with_decimal_commas_has_the_same_prices(services: Services, name: str, tmp_path: Path) -> None:
    first = index(services, CASES / "pc1.csv", name, tmp_path)
    before = {id: float(price) for id, price in prices(services, name).items()}
    assert first.complete and before["1"] == 11.5 and len(before) == 30
    cheap = prices(services, name, filters={"price": {"lte": 20}})
    second = index(services, CASES / "pc2.csv", name, tmp_path)
    assert second.complete
    assert prices(services, name) == before
    assert prices(services, name, filters={"price": {"lte": 20}}).keys() == cheap.keys() != set()


def test_a_column_of_two_kinds_of_numbers_is_read_whole(services: Services, name: str, tmp_path: Path) -> None:
    report = index(services, CASES / "mixprice.csv", name, tmp_path)
    assert report.complete and report.written == 40
    assert prices(services, name)["m6"] == 16.5
    assert len(prices(services, name, filters={"price": {"gte": 0}})) == 40


def test_what_does_not_fit_and_what_gets_lost_is_counted(services: Services, name: str, tmp_path: Path) -> None:
    index(services, CASES / "pc1.csv", name, tmp_path)
    path = tmp_path / "later.csv"
    path.write_text(
        "id,title,price\n" + "".join(f"{n},Lamp {n},{n}.50\n" for n in range(1, 10)) + "10,Lamp 10,ask us\n"
    )
    report = index(services, path, name, tmp_path)
    assert not report.complete and report.written == 10
    assert (report.misfits["price"].count, report.misfits["price"].line) == (1, 11)
    assert report.losses == ["no field of this file is the brand, as brand was; name it with --map brand=FIELD"]
    assert index(services, path, name, tmp_path, mapping="brand=").losses == []


def ids_in(path: Path) -> set[str]:
    with path.open(encoding="utf-8-sig") as file:
        return {row["id"] for row in csv.DictReader(file)}


def test_what_left_the_catalogue_is_counted_and_with_replace_deleted(
    services: Services, name: str, tmp_path: Path
) -> None:
    first, second = CASES / "cat1.csv", CASES / "cat2.csv"
    gone = ids_in(first) - ids_in(second)
    assert gone == {"3", "4"}
    index(services, first, name, tmp_path)
    assert index(services, second, name, tmp_path).absent == 2
    assert prices(services, name).keys() == ids_in(first) | ids_in(second)
    report = index(services, second, name, tmp_path, replace=Replace())
    assert (report.absent, report.removed, report.complete) == (2, 2, True)
    assert prices(services, name).keys() == ids_in(second)
    report = index(services, second, name, tmp_path, replace=Replace())
    assert (report.absent, report.removed, report.kept_because) == (0, 0, None)


def lamps(folder: Path, *numbers: int) -> Path:
    path = folder / "lamps.csv"
    path.write_text("id,title,price\n" + "".join(f"{n},Lamp {n},{n}.50\n" for n in numbers))
    return path


def test_many_products_are_deleted_only_after_a_question(services: Services, name: str, tmp_path: Path) -> None:
    index(services, lamps(tmp_path, 1, 2, 3, 4), name, tmp_path)
    asked: list[tuple[int, float]] = []

    def no(absent: int, share: float) -> bool:
        asked.append((absent, share))
        return False

    fewer = lamps(tmp_path, 1, 2, 5, 6)
    report = index(services, fewer, name, tmp_path, replace=Replace(confirm=no))
    assert asked == [(2, pytest.approx(1 / 3))] and not report.complete
    assert report.kept_because == "they are 33% of the index, more than --max-removed 20 allows"
    assert len(prices(services, name)) == 6
    assert index(services, fewer, name, tmp_path, replace=Replace(confirm=lambda *_: True)).removed == 2
    assert prices(services, name).keys() == {"1", "2", "5", "6"}


def test_nothing_is_deleted_where_a_row_cannot_be_read(services: Services, name: str, tmp_path: Path) -> None:
    path = lamps(tmp_path, 1, 2, 3, 4)
    index(services, path, name, tmp_path)
    path.write_text(path.read_text().replace("4,Lamp 4,4.50", "4,Lamp 4"))
    report = index(services, path, name, tmp_path, replace=Replace(most=1))
    assert (report.absent, report.removed) == (1, 0)
    assert report.kept_because == "1 rows could not be read, and may be products of the index"


def test_products_are_deleted_by_id(
    services: Services, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    index(services, lamps(tmp_path, 1, 2, 3), name, tmp_path)
    monkeypatch.setattr("hybrid.services.build_services", lambda *_, **__: services)
    with pytest.raises(SystemExit) as ended:
        app(["delete", "3", "nine", "--index", name])
    assert ended.value.code == 1
    assert capsys.readouterr().out.splitlines() == ["3: deleted", "nine: not found"]
    services.cluster.indices.refresh(name)
    assert prices(services, name).keys() == {"1", "2"}
    assert services.audit.list()[0][0]["action"] == "delete_products"


def test_a_german_export_as_excel_saves_it(services: Services, name: str, tmp_path: Path) -> None:
    report = index(services, CASES / "de_sep.csv", name, tmp_path, language="de")
    assert report.complete and report.written == 40
    found = services.searcher.search(SearchRequest(name, "Kühlschrank", filters={"Preis": {"gte": 1000}}))
    assert (found.hits[0].id, found.hits[0].source["Preis"]) == ("00123", 1299.0)


def found(services: Services, name: str, q: str) -> str:
    """The id of the first product that a search finds."""
    return services.searcher.search(SearchRequest(name, q=q)).hits[0].id


def test_an_export_is_read_as_it_was_meant(services: Services, name: str, tmp_path: Path) -> None:
    report = index(services, CASES / "woo.csv", name, tmp_path)
    assert report.complete and (report.written, report.variants, report.left_out) == (4, 2, {"not published": 1})
    assert report.notes[0].startswith("read as an export of WooCommerce")
    assert prices(services, name) == {"101": "45", "104": "18", "106": None, "107": "11.05"}
    assert found(services, name, "HOOD-R") == found(services, name, "hood b") == "101"
    assert prices(services, name, filters={"Categories": ["Clothing"]}).keys() == {"101", "104", "106"}
    assert prices(services, name, filters={"Categories": ["Clothing > Hoodies"]}).keys() == {"101"}
    again = index(services, CASES / "woo.csv", name, tmp_path)
    assert (again.unchanged, again.losses) == (4, [])


def test_rows_of_a_handle_are_one_product(services: Services, name: str, tmp_path: Path) -> None:
    report = index(services, CASES / "shopify.csv", name, tmp_path)
    assert report.complete and report.written == 2
    assert [found(services, name, sku) for sku in ("RS-M", "RS-L", "BC-1")] == ["red-shirt", "red-shirt", "blue-cap"]
    facets = services.searcher.search(SearchRequest(name, facets=("Tags",))).facets
    assert facets["Tags"] == [{"value": "summer", "count": 2}, {"value": "sale", "count": 1}]


def test_a_parent_finds_the_products_of_its_children(services: Services, name: str, tmp_path: Path) -> None:
    report = index(services, CASES / "facets.ndjson", name, tmp_path)
    answer = services.searcher.search(SearchRequest(name, facets=("category", "brand"), size=100))
    counts = {item["value"]: item["count"] for item in answer.facets["category"]}
    for parent in ("Home", "Home > Kitchen", "Toys"):
        below = services.searcher.search(SearchRequest(name, filters={"category": [parent]}, size=100)).hits
        paths = [hit.source["category"] for hit in below]
        assert counts[parent] == len(below) > counts.get(f"{parent} > Pots", 0)
        assert all(parent in (path if isinstance(path, list) else [path]) for path in paths)
    assert counts["Home"] > counts["Home > Kitchen"] > counts["Home > Kitchen > Pots"] > 0
    assert report.complete


def test_facets_have_no_nameless_value_and_dates_that_are_none_are_refused(
    services: Services, name: str, tmp_path: Path
) -> None:
    index(services, CASES / "facets.ndjson", name, tmp_path)
    found = services.searcher.search(SearchRequest(name, facets=("brand",), filters={"released": {"gte": "2010"}}))
    brands = {item["value"]: item["count"] for item in found.facets["brand"]}
    assert "Trim" in brands and not [value for value in brands if value != value.strip() or not value]
    assert len(prices(services, name, filters={"brand": "Trim"})) == brands["Trim"]
    for value in ("soon", "2010-02-30", "31.12.2010", "2010-01-01T00:00+19:00", "٢٠١٠", "now-5x"):
        for condition in (value, [value], {"lte": value}):
            with pytest.raises(UsageError, match="filter released: .* is no date"):
                prices(services, name, filters={"released": condition})


def test_a_value_that_only_the_cluster_can_tell_is_the_callers_mistake_too(
    services: Services, name: str, tmp_path: Path
) -> None:
    """A field of the shop's template may have a format of its own."""
    template = tmp_path / "template.json"
    released = {"type": "date", "format": "yyyy-MM-dd"}
    template.write_text(json.dumps({"mappings": {"properties": {"released": released}}}))
    index(services, CASES / "facets.ndjson", name, tmp_path, template=template)
    assert len(prices(services, name, filters={"released": "2010-01-10"})) == 1
    with pytest.raises(UsageError, match="does not take a value"):
        prices(services, name, filters={"released": {"gte": "2010-01-10T00:00"}})


def test_judged_products_that_the_index_does_not_have_are_counted(
    services: Services, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    index(services, lamps(tmp_path, 1, 2, 3), name, tmp_path)
    monkeypatch.setattr("hybrid.services.build_services", lambda *_, **__: services)
    path = tmp_path / "judgments.csv"
    path.write_text("query,docid,rating\nlamp,1,3\nlamp,2,0\nlamp,gone,3\nlamp,other,1\n")
    app(["evaluate", "--index", name, "--judgments", str(path), "--systems", "bm25"], standalone_mode=False)
    assert (
        f"2 of 4 judged products are not in index '{name}' and cannot be found (gone, other)" in capsys.readouterr().err
    )
    path.write_text("query,docid,rating\nlamp,gone,3\n")
    for command in (["evaluate"], ["train", "weights"]):
        with pytest.raises(JudgmentsError, match="none of the 1 judged products") as none:
            app([*command, "--index", name, "--judgments", str(path)], standalone_mode=False)
        assert none.value.exit_code == 1


@pytest.mark.parametrize("language", ["zh", "en"])
def test_chinese_is_found_by_words_and_by_one_character(
    services: Services, name: str, tmp_path: Path, language: str
) -> None:
    index(services, CASES / "zh.ndjson", name, tmp_path, language=language)
    wanted = {
        "鞋": {"z7", "z8"}, "鞋子": {"z7", "z8"}, "裙子": {"z10"}, "伞": {"z15", "z16"}, "傘": {"z15", "z16"},
        "杯": {"z11", "z12", "z20", "z21"}, "保温杯": {"z11", "z12"}, "華為手機殼": {"z3", "z4", "z6"},
    }  # fmt: skip
    for query, ids in wanted.items():
        found = services.searcher.search(SearchRequest(name, query, size=20))
        titles = [hit.id for hit in found.hits]
        assert set(titles[: len(ids)]) == ids, query
        assert all("<mark>" in hit.highlight["title"] for hit in found.hits[: len(ids)])


def test_each_field_is_read_in_its_language_and_an_index_keeps_them(
    services: Services, name: str, tmp_path: Path
) -> None:
    german = "Bequeme Laufschuhe für Damen aus leichtem Mesh, mit rutschfester Sohle für jeden Untergrund"
    path = tmp_path / "mixed.ndjson"
    rows = [{"id": f"p{n}", "title": f"儿童运动鞋 {n}", "description": german, "price": n} for n in range(12)]
    path.write_text("\n".join(map(json.dumps, rows)))
    first = index(services, path, name, tmp_path, language="auto")
    assert "words are read as zh; description in de" in first.notes
    for query, role in (("鞋", "title"), ("Laufschuh", "description"), ("laufschuhen", "description")):
        answer = services.searcher.search(SearchRequest(name, query, size=20))
        assert answer.total == 12 and all("<mark>" in hit.highlight[role] for hit in answer.hits)
    again = index(services, path, name, tmp_path)
    assert again.unchanged == 12
    assert services.searcher.profile(name).languages == ("zh", "de")


def test_letters_that_a_keyboard_lacks_are_typed_without(services: Services, name: str, tmp_path: Path) -> None:
    path = tmp_path / "letters.csv"
    titles = ["Coupe à œufs", "Søren stol", "Lampa Łódź", "kırmızı çanta", "Straße 7"]
    path.write_text("id,title\n" + "".join(f"{n},{title}\n" for n, title in enumerate(titles)))
    index(services, path, name, tmp_path)
    for number, (plain, own) in enumerate(
        [("oeufs", "Œufs"), ("Soren", "SØREN"), ("Lodz", "łódź"), ("kirmizi", "KIRMIZI"), ("strasse", "straße")]
    ):
        for query in (plain, own):
            answer = services.searcher.search(SearchRequest(name, query))
            assert [hit.id for hit in answer.hits] == [str(number)]
            assert "<mark>" in answer.hits[0].highlight["title"]
        assert services.searcher.suggest(name, plain[:3])


def test_several_pictures_in_one_cell_are_several_vectors(engine: NodeStatus, name: str, tmp_path: Path) -> None:
    """A picture whose name has spaces is one, escaped or not."""
    with Server() as server:
        paths = ("plain", "other1", "other2", "other3", "mit%20leerzeichen%20%C3%BC")
        server.pictures = {f"/{path}.jpg": jpeg(color) for path, color in zip(paths, COLORS, strict=True)}
        table = tmp_path / "wooimg.csv"
        table.write_text((CASES / "wooimg.csv").read_text().replace("18765", str(server.port)))
        services = make_services(engine, media_private_hosts=f"127.0.0.1:{server.port}")
        plan = plan_index(services, table, name, signals=["image"])
        report = run_index(services, plan, rejects_path=tmp_path / "rejects.ndjson")
        assert report.complete and report.encoded == 6, report
        assert {path for path, _ in server.seen} == set(server.pictures)
    found = services.searcher.search(SearchRequest(name, image=jpeg(COLORS[1]), size=3)).hits
    assert {found[0].id, found[1].id} == {"1", "2"} and found[0].score == found[1].score > found[2].score
