"""The table of signals, and a new one that stands there and nowhere else: indexed, searched, explained, weighed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from hybrid.contracts import ROLES, FieldMap, IndexProfile, VectorSignal
from hybrid.errors import UsageError
from hybrid.operations import indexing
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.operations.reindex import planning, running
from hybrid.operations.sync import run_sync
from hybrid.search import stating, weights
from hybrid.search.fusion import PLAIN
from hybrid.searches import SearchAnswer, SearchRequest, systems
from hybrid.services import Services
from hybrid.settings import Settings
from hybrid.signals import LEXICAL, SIGNALS, Signal, fixed_weight, kind_of, weak
from tests.conftest import write_rows
from tests.support.raw import client_of
from web.admin.schemas import RunAction
from web.params import SearchParams

#: The colours of a product's pictures, by an encoder that every installation has.
COLOUR = Signal(
    "image", ("picture",), role="image", file="image", encoder="toy:64", weight=2.0, weak=0.2, span=(0.5, 1.0)
)
COLOURS = {"red": (220, 20, 20), "green": (20, 180, 40), "blue": (20, 40, 220), "white": (245, 245, 245)}


@pytest.fixture
def colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIGNALS, "colour", COLOUR)


@pytest.mark.parametrize("name", SIGNALS)
def test_an_entry_is_whole(name: str) -> None:
    entry, before = SIGNALS[name], list(SIGNALS)[: list(SIGNALS).index(name)]
    assert set(entry.parts) <= set(before), "what is derived stands behind its parts"
    assert [bool(entry.parts), entry.setting is not None, entry.encoder is not None].count(True) == 1
    assert entry.setting is None or entry.setting in Settings.model_fields
    assert (entry.role is None) == (entry.file is None) and (entry.role is None or entry.role in ROLES)
    assert entry.modality in ("text", "image", "audio") and set(entry.asked_by) <= {"words", "picture", "sound"}
    assert entry.of is None or (entry.of in before and SIGNALS[entry.of].modality == entry.modality)
    assert entry.asked_by and entry.weight > 0 and entry.span[0] < entry.span[1]


def test_a_request_may_name_what_stands_in_the_table(colour: None) -> None:
    assert SearchParams(system="colour").system == "colour"
    assert RunAction(do="plan", signals=["colour"]).signals == ["colour"]
    described = SearchParams.model_json_schema()["properties"]["system"]["anyOf"][0]
    assert described["enum"] == list(systems()) and "colour" in described["enum"]
    with pytest.raises(ValidationError, match="must be one of text, text_zh, image, video, audio, fused, colour"):
        RunAction(do="plan", signals=["color"])


def test_weights_and_scales_are_those_of_the_table(colour: None) -> None:
    assert fixed_weight(LEXICAL) == 0.72 and fixed_weight("lexical.title") == 0.72
    assert (fixed_weight("fused"), fixed_weight("fused", by_picture=True)) == (0.12, 6.0)
    assert (fixed_weight("colour"), fixed_weight("nothing")) == (2.0, 0.0)
    assert (weak("text"), weak("image"), weak("colour"), weak("lexical"), weak("nothing")) == (
        0.15,
        0.1,
        0.2,
        0.05,
        0.0,
    )
    assert PLAIN.one("colour", 0.75) == (0.75 - 0.5) / (1.0 - 0.5) and PLAIN.one("image", 0.75) == 0.75
    shares = weights.fixed().predict(weights.Query("red", "red", has_photo=True), ["lexical", "colour"]).weights
    assert shares == pytest.approx({"lexical": 0.72 / 2.72, "colour": 2.0 / 2.72})
    assert stating.by_hand({"colour": 1.0}, None, ["lexical", "colour"]) == {"colour": 1.0}
    assert set(weights.alike().signals) == set(SIGNALS)


def test_one_of_several_of_a_kind_answers_to_the_kinds_name() -> None:
    assert [kind_of(name) for name in ("text", "text_zh", "text.title", "lexical.all", "image")] == [
        "text", "text", "text", "lexical", "image",
    ]  # fmt: skip
    assert "text" in systems() and "text_zh" not in systems()
    # The weight of a kind goes to those of it that are in play, unless they are named themselves.
    hand = {"lexical": 1.0, "text": 3.0}
    assert stating.by_hand(hand, None, ["lexical", "text_zh"]) == {**hand, "text_zh": 3.0}
    assert stating.by_hand(hand, None, ["lexical", "text", "text_zh"]) == {"lexical": 1.0, "text": 1.5, "text_zh": 1.5}
    named = {**hand, "text_zh": 1.0}
    assert stating.by_hand(named, None, ["lexical", "text", "text_zh"]) == named
    assert stating.by_hand(None, 0.4, ["lexical", "text_zh"]) == {"lexical": 0.6, "text_zh": 0.4}
    assert stating.by_hand(None, 0.4, ["lexical", "text", "text_zh"]) == {"lexical": 0.6, "text": 0.2, "text_zh": 0.2}
    with pytest.raises(UsageError, match="alpha mixes words with one kind of vector"):
        stating.by_hand(None, 0.4, ["lexical", "text", "image"])


def test_a_signal_that_is_in_no_table_is_refused() -> None:
    with pytest.raises(UsageError, match="no signal 'colour' to weigh"):
        stating.by_hand({"colour": 1.0}, None, ["lexical"])
    data = IndexProfile("i", FieldMap({}), {"text": VectorSignal("toy:32", "1", 32)}, "en", "1").to_json()
    data["signals"]["colour"] = data["signals"]["text"]
    assert list(IndexProfile.from_json("i", data).signals) == ["text"]


def photo(colour: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (48, 48), COLOURS[colour]).save(data, "PNG")
    return data.getvalue()


def rows(folder: Path) -> list[dict[str, Any]]:
    for name in COLOURS:
        (folder / f"{name}.png").write_bytes(photo(name))
    things = [(thing, name) for thing in ("scarf", "mug", "lamp") for name in COLOURS]
    return [{"id": f"{name}-{thing}", "name": f"a {thing}", "image": f"{name}.png"} for thing, name in things]


def search(services: Services, index: str, **request: Any) -> SearchAnswer:
    # As another process has it: nothing is remembered of the index.
    return Services(services.settings).searcher.search(SearchRequest(index, **request))


@pytest.mark.es
def test_a_new_signal_is_indexed_searched_explained_and_weighed(
    services: Services, name: str, tmp_path: Path, colour: None
) -> None:
    catalogue = rows(tmp_path)
    path = write_rows(tmp_path / "c.ndjson", catalogue)
    plan = indexing.plan_index(services, path, name, signals=["text", "colour"])
    report = indexing.run_index(services, plan)
    assert report.complete and report.encoded == 12
    assert services.cluster.indices.count(name, {"exists": {"field": "hybrid.colour"}}) == 12
    # Searched by itself: the picture of a query is all that it understands.
    alone = search(services, name, image=photo("blue"), system="colour", size=3)
    assert {hit.id for hit in alone.hits} == {"blue-scarf", "blue-mug", "blue-lamp"}
    assert alone.hits[0].signals["colour"].raw == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(UsageError, match="system colour needs a photo"):
        search(services, name, system="colour")
    # Beside others: by the weight of its entry, and each hit says what it gave.
    both = search(services, name, q="mug", image=photo("red"), explain=True)
    assert both.hits[0].id == "red-mug"
    assert both.weights["colour"] > both.weights["lexical"] > both.weights["text"] > 0
    part = both.hits[0].signals["colour"]
    assert part.contribution == part.weight * part.scaled > 0
    assert both.hits[0].score == pytest.approx(sum(part.contribution for part in both.hits[0].signals.values()))
    # By hand: nothing but colours.
    by_hand = search(services, name, q="mug", image=photo("green"), weights={"colour": 1.0}, size=3)
    assert {hit.id for hit in by_hand.hits} == {"green-scarf", "green-mug", "green-lamp"}
    assert by_hand.weights == {"colour": 1.0}
    # Words alone say nothing to it; a product like a product has it.
    assert "colour" not in search(services, name, q="mug").weights
    assert search(services, name, like="red-mug").hits[0].id in ("red-scarf", "red-lamp")
    # Kept in step: one picture changes, and one vector is made anew.
    before = services.cluster.products.read(name, ["blue-mug"])["blue-mug"].layer
    changed = [{**row, "image": "red.png"} if row["id"] == "blue-mug" else row for row in catalogue]
    again = indexing.run_index(
        services, indexing.plan_index(services, write_rows(path, changed), name, signals=["text", "colour"])
    )
    assert (again.unchanged, again.written, again.encoded) == (11, 1, 1)
    after = services.cluster.products.read(name, ["blue-mug"])["blue-mug"].layer
    assert after.state("text") == before.state("text") and after.state("colour").encoder == "toy@64+1"
    assert after.state("colour").hash not in (None, before.state("colour").hash)


@pytest.mark.es
def test_a_shops_index_gets_it_in_place_and_keeps_it(
    services: Services, name: str, tmp_path: Path, colour: None
) -> None:
    client = client_of(services)
    for row in rows(tmp_path):
        client.index(index=f"{name}-1", id=row["id"], document=row)
    client.indices.put_alias(index=f"{name}-1", name=name)
    client.indices.refresh(index=name)
    found = run_attach(services, plan_attach(services, name, signals=["text"], media_root=tmp_path))
    assert found.encoded == 12
    found = run_attach(services, plan_attach(services, name, signals=["text", "colour"], media_root=tmp_path))
    assert found.encoded == 12 and services.cluster.indices.count(name, {"exists": {"field": "hybrid.colour"}}) == 12
    client.update(index=name, id="red-mug", doc={"image": "blue.png"}, refresh=True)
    assert run_sync(services, name).encoded == {"colour": 1}
    # A reindex moves its vectors along; nothing is encoded again.
    report = running.run_reindex(services, planning.plan_reindex(services, name))
    assert report.swapped
    nearest = search(services, name, image=photo("blue"), system="colour", size=4)
    assert {hit.id for hit in nearest.hits} == {"blue-scarf", "blue-mug", "blue-lamp", "red-mug"}
