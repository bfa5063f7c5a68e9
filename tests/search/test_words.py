"""Words that people type into a shop's search, on a real engine: codes, sizes, single characters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from hybrid.node import NodeStatus
from hybrid.operations.indexing import plan_index, run_index
from hybrid.searches import SearchAnswer, SearchRequest
from hybrid.services import Services
from tests.conftest import SHARED, client_of, make_services

pytestmark = pytest.mark.es
CASES = SHARED.parent / "cases" / "catalogues"
FILES = ("toner", "sku", "frac", "units", "zh")
MORE = [
    {"id": "e1", "title": "Chocolate with nuts", "sku": "CH-1", "ean": 4006381333931},
    {"id": "e2", "title": "Chocolate 4006381333931 flavour", "sku": "CH-2", "ean": 36000291452},
    {"id": "item_88-x", "title": "Nut mix", "sku": "NM-1", "ean": 5901234123457},
]


@pytest.fixture(scope="module")
def shop(engine: NodeStatus, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, str]]:
    """All the cases in one index."""
    folder, name = tmp_path_factory.mktemp("words"), "words-cases"
    rows = [line for one in FILES for line in (CASES / f"{one}.ndjson").read_bytes().splitlines()]
    (folder / "all.ndjson").write_bytes(b"\n".join([*rows, *map(orjson.dumps, MORE)]))
    services = make_services(engine)
    run_index(services, plan_index(services, folder / "all.ndjson", name), rejects_path=folder / "rejects.ndjson")
    services.cluster.indices.refresh(name)
    yield services, name
    client = client_of(services)
    client.indices.delete(index=",".join(client.indices.get(index=f"{name}*").body))


def found(shop: tuple[Services, str], query: str) -> SearchAnswer:
    services, name = shop
    return services.searcher.search(SearchRequest(name, query, size=20))


def ids(shop: tuple[Services, str], query: str) -> list[str]:
    return [hit.id for hit in found(shop, query).hits]


def test_an_exact_part_number_stands_before_what_mentions_it(shop: tuple[Services, str]) -> None:
    for at in range(40):
        assert ids(shop, f"TN-24{at:02}")[0] == f"p{at}"
    assert ids(shop, "brother toner tn 2417")[0] == "p17"


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("COS4101", ["s7"]),
        ("COS 4101", ["s7"]),
        ("cos-4101", ["s7"]),
        ("mx500", ["s0", "s1"]),
        ("MX 500/2", ["s0"]),
        ("MX5002", ["s2"]),
        ("KT-INS114", ["s12", "s13"]),
        ("kt ins114 blk", ["s13"]),
        ("16-08", ["s6"]),
        ("90.750", ["s23"]),
        ("17", ["s25"]),
        ("0017", ["s24"]),
        ("#4711", ["s18"]),
        ("B+W 010", ["s19"]),
        ("6.2 kW/3", ["s29"]),
        ("4006381333931", ["e1"]),
        ("036000291452", ["e2"]),
        ("item_88-x", ["item_88-x"]),
    ],
)
def test_codes_are_found_with_and_without_their_marks(shop: tuple[Services, str], query: str, first: list[str]) -> None:
    assert set(ids(shop, query)[: len(first)]) == set(first)


def test_a_code_is_a_signal_and_one_that_is_not_there_is_named(shop: tuple[Services, str]) -> None:
    exact = found(shop, "TN-2405")
    best, other = exact.hits[0].signals["code"], exact.hits[1].signals["code"]
    assert (best.raw, best.scaled, other.raw) == (1.0, 1.0, 0.0)
    assert exact.weights["code"] > 0.9 and not [note for note in exact.notes if note.signal == "code"]
    assert exact.hits[0].score == sum(part.contribution for part in exact.hits[0].signals.values())
    begun = found(shop, "TN-240")
    assert {hit.id for hit in begun.hits[:10]} == {f"p{at}" for at in range(10)}
    missing = found(shop, "TN-9999")
    assert "no product has the code TN-9999" in map(str, missing.notes) and missing.hits
    assert missing.weights["code"] == 0.0
    assert "code" not in found(shop, "laser toner").weights


@pytest.mark.parametrize(
    ("query", "same"),
    [
        ("hdmi cable 1.5m", {"7", "10", "11"}),
        ("hdmi cable 1,5 m", {"7", "10", "11"}),
        ("hdmi cable 1.5 metres", {"7", "10", "11"}),
        ("hdmi cable 150 cm", {"7", "10", "11"}),
        ("hdmi cable 15m", {"8"}),
        ("ball valve 3/4", {"3"}),
        ('ball valve 3/4"', {"3"}),
        ("ball valve ¾ inch", {"3"}),
        ("ball valve 1.5 inch", {"5"}),
        ("juice 1.5 l", {"u3"}),
        ("mineral water 1500 ml", {"u0", "u1"}),
        ("10000mah", {"u37", "u38", "u39"}),
        ("power bank 10,000 mAh", {"u37", "u38", "u39"}),
        ("towel 30 x 40", {"u5", "u6"}),
        ("screw m8x40", {"u9", "u10"}),
        ("cable 2.5 mm²", {"u12", "u13"}),
        ("pipe 0.5 inch", {"u15", "u16"}),
        ("bulb 60w", {"u17", "u18"}),
        ("ssd 1 tb", {"u20", "u21"}),
        ("ssd 512gb", {"u22", "u23"}),
        ("1000毫升水杯", {"z20", "z21"}),
        ("保温杯 0.5l", {"z11", "z12"}),
    ],
)
def test_the_products_of_that_very_size_come_first(shop: tuple[Services, str], query: str, same: set[str]) -> None:
    assert set(ids(shop, query)[: len(same)]) == same


@pytest.mark.parametrize("query", ["灯", "伞", "鞋", "杯", "裙", "耳", "茶", "壳", "水", "色"])
def test_one_character_finds_every_product_that_has_it(shop: tuple[Services, str], query: str) -> None:
    simplified = str.maketrans("殼運動紅", "壳运动红")
    rows = [orjson.loads(line) for line in (CASES / "zh.ndjson").read_bytes().splitlines()]
    having = {row["id"] for row in rows if query in row["title"].translate(simplified)}
    assert set(ids(shop, query)[: len(having)]) == having


@pytest.mark.parametrize(
    ("query", "same"),
    [
        ("creme brulee", {"u53", "u54"}),
        ("coeur", {"u55", "u56"}),
        ("smorrebrod", {"u57"}),
        ("angstrom", {"u58"}),
        ("lodz", {"u59"}),
        ("strasse", {"u60", "u61"}),
        ("muller milk", {"u62", "u64"}),
        ("loreal", {"u50", "u51"}),
        ("tshirt", {"u27", "u28"}),
        ("wifi", {"u30", "u31"}),
        ("iphone15", {"u34"}),
        ("華為手機", {"z6"}),
    ],
)
def test_letters_and_marks_are_folded(shop: tuple[Services, str], query: str, same: set[str]) -> None:
    assert set(ids(shop, query)[: len(same)]) == same
