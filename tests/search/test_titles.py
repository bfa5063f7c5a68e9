"""Vectors of titles: beside those of all text, compared with the same query, and kept in step with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid import vectors as coding
from hybrid.contracts import FieldMap, IndexProfile, VectorSignal
from hybrid.elastic.retrieval import cosines
from hybrid.encoders import get_encoder
from hybrid.operations import indexing
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.operations.doctor import examine
from hybrid.operations.reindex.planning import plan_reindex
from hybrid.operations.reindex.running import run_reindex
from hybrid.operations.sync import run_sync
from hybrid.search import fusion
from hybrid.search.prior import SHARES
from hybrid.searches import Hit, SearchRequest
from hybrid.services import Services
from hybrid.settings import Settings
from hybrid.vectors import unit
from tests.conftest import NodeStatus, make_services, write_rows
from tests.support.raw import client_of

ROWS: list[dict[str, Any]] = [
    {"id": "long", "name": "red mug", "description": "holds coffee and tea, safe in the dishwasher, made of stoneware"},
    {"id": "other", "name": "tea towel", "description": "cotton, dries a red mug and all other dishes in no time"},
    {"id": "short", "name": "red mug"},
    {"id": "barely", "name": "a big and very red mug", "description": "red"},
]


@pytest.mark.parametrize("dims", [1, 2, 3, 32, 384])
def test_each_kind_of_code_is_told_by_its_length(dims: int) -> None:
    rng = np.random.default_rng(dims)
    vectors = unit(rng.normal(size=(20, dims)))
    codes = [coding.encode_code(vector, title=other) for vector, other in zip(vectors, vectors[::-1], strict=True)]
    view = coding.encode_code(vectors[0], vectors[:2])[1]
    assert [coding.kind(code, dims) for code in (*codes[0], view)] == ["whole", "title", "view"]
    assert coding.code_fits(codes[0], dims), "a list goes wherever a code does"
    again = coding.decode_titles([pair[1] for pair in codes], dims)[::-1]
    assert np.abs(again @ vectors[0] - vectors @ vectors[0]).max() < 4e-3


def test_a_text_that_is_its_title_has_the_cosine_of_all_text() -> None:
    profile = IndexProfile("shop", FieldMap({}), {"text": VectorSignal("toy:3", "1", 3, titles=True)}, "en", "1")
    query, across = np.array([1.0, 0.0, 0.0]), np.array([0.6, 0.8, 0.0])
    pair = coding.encode_code(across, title=query)
    hits: dict[str, dict[str, Any]] = {
        "both": {"fields": {"hybrid.codes.text": sorted(pair)}},
        "one": {"fields": {"hybrid.codes.text": [coding.encode_code(across)]}},
        "none": {},
    }
    whole, views = cosines.of_hits(hits, profile, "text", query)
    assert whole == {"both": pytest.approx(0.6, abs=1e-3), "one": whole["both"], "none": None} and views == {}
    titles = cosines.of_titles(hits, profile, "text", query, whole)
    assert titles == {"both": pytest.approx(1.0), "one": whole["one"], "none": None}


def hits_of(services: Services, index: str, q: str, **request: Any) -> dict[str, Hit]:
    searcher = Services(services.settings).searcher
    return {hit.id: hit for hit in searcher.search(SearchRequest(index, q, **request)).hits}


@pytest.mark.es
def test_titles_are_compared_beside_all_text(engine: NodeStatus, name: str, tmp_path: Path) -> None:
    services = make_services(engine, title_vectors=True)
    path = write_rows(tmp_path / "c.ndjson", ROWS)
    assert indexing.run_index(services, indexing.plan_index(services, path, name)).complete
    codes = services.cluster.products.codes(name, [row["id"] for row in ROWS])
    titled = {id for id, stored in codes.items() if isinstance(stored.by_signal["text"], list)}
    assert titled == {"long", "other"}, "a vector of its own only where the text says clearly more"

    hits = hits_of(services, name, "red mug")
    encoder = get_encoder("toy:32", Settings())
    query, *titles = encoder.encode_texts(["red mug", "red mug", "tea towel"])
    expected = {"long": query @ titles[0], "other": query @ titles[1]}
    for id, hit in hits.items():
        title = hit.signals["text.title"].raw
        assert title == pytest.approx(expected.get(id, hit.signals["text"].raw), abs=4e-3)
        assert hit.score == fusion.total(hit.signals)
    weights = {part: one.weight for part, one in hits["long"].signals.items()}
    assert weights["text.title"] / weights["text"] == pytest.approx(SHARES["text.title"] / SHARES["text"])

    # The kind stands for both, and each has its own name.
    alone = hits_of(services, name, "red mug", system="text")["long"].signals
    assert {part: one.weight for part, one in alone.items()} == pytest.approx({"text": 0.7, "text.title": 0.3})
    by_hand = hits_of(services, name, "red mug", weights={"lexical": 0.5, "text": 0.4, "text.title": 0.1})["long"]
    assert by_hand.signals["text"].weight == pytest.approx(4 * by_hand.signals["text.title"].weight)
    titles_alone = hits_of(services, name, "red mug", weights={"text.title": 1.0})
    assert list(titles_alone)[-1] == "other" and titles_alone["long"].score == pytest.approx(1.0, abs=4e-3)
    # What is like a product is compared whole.
    assert set(hits_of(services, name, "", like="long")["short"].signals) == {"text"}


@pytest.mark.es
def test_a_change_of_the_setting_is_in_force_where_products_are_encoded(
    engine: NodeStatus, name: str, tmp_path: Path
) -> None:
    off, on = make_services(engine), make_services(engine, title_vectors=True)
    path = write_rows(tmp_path / "c.ndjson", ROWS)
    indexing.run_index(off, indexing.plan_index(off, path, name))
    assert "text.title" not in hits_of(on, name, "red mug")["long"].signals

    def said(services: Services) -> str:
        (check,) = [check for check in examine(services, name).checks if check.what == "text.title"]
        return f"{check.status}: {check.detail}"

    assert said(on) == "note: HYBRID_TITLE_VECTORS is on, and titles have no vectors here"
    # Another run, and all texts are encoded with their titles; no run after it encodes anything.
    assert [indexing.run_index(on, indexing.plan_index(on, path, name)).encoded for _ in range(2)] == [4, 0]
    assert "text.title" in hits_of(on, name, "red mug")["long"].signals and said(off).startswith("ok: ")
    # An index keeps what it has: of a machine where the setting is off, one new title is encoded, and with its vector.
    rows = [{**ROWS[0], "name": "blue mug"}, *ROWS[1:]]
    again = indexing.plan_index(off, write_rows(path, rows), name)
    assert indexing.run_index(off, again).encoded == 1
    long = hits_of(off, name, "blue mug")["long"]
    assert long.signals["text.title"].raw == pytest.approx(1.0, abs=4e-3)
    # A reindex follows the setting.
    plan = plan_reindex(off, name)
    assert "text vectors: of titles no more" in plan.changes
    assert run_reindex(off, plan).swapped
    assert "text.title" not in hits_of(off, name, "red mug")["long"].signals
    assert "text vectors: of titles too" in plan_reindex(on, name).changes


@pytest.mark.es
def test_a_shops_index_gets_them_in_place(engine: NodeStatus, name: str) -> None:
    off, on = make_services(engine), make_services(engine, title_vectors=True)
    for row in ROWS:
        client_of(off).index(index=name, id=row["id"], document=row)
    client_of(off).indices.refresh(index=name)
    run_attach(off, plan_attach(off, name, mapping="title=name,description=description"))
    plan = plan_attach(on, name)
    assert run_attach(on, plan).complete and plan.profile.signals["text"].titles
    assert "text.title" in hits_of(off, name, "red mug")["long"].signals
    client_of(off).update(index=name, id="other", doc={"name": "red mug"}, refresh=True)
    assert run_sync(off, name).encoded == {"text": 1}
    other = hits_of(off, name, "red mug")["other"]
    assert other.signals["text.title"].raw == pytest.approx(1.0, abs=4e-3)
