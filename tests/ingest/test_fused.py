"""The signal `fused` on the real engine: made of vectors that are there, kept in step, carried along, left out."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hybrid.catalogue.layer import Layer
from hybrid.contracts import FUSED
from hybrid.elastic.stores.models import MODELS
from hybrid.encoders.toy import Toy
from hybrid.encoders.trained.alignment import Alignment, Head
from hybrid.errors import IndexConflictError, ModelConflictError, ModelMissingError, ModelVersionError, UsageError
from hybrid.learning.alignment import training
from hybrid.learning.models import active, apply, remove, rollback
from hybrid.learning.trained import publish
from hybrid.operations import indexing, sync
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.operations.reindex import planning, running
from hybrid.searches import SearchAnswer, SearchRequest, by_kind
from hybrid.services import Services
from hybrid.vectors import Code
from tests.conftest import write_rows
from tests.support.raw import client_of
from tests.support.shop_writer import make_shop

pytestmark = pytest.mark.es

COLOURS = {
    "red": (220, 20, 20), "green": (20, 180, 40), "blue": (20, 40, 220), "yellow": (230, 220, 20),
    "black": (10, 10, 10), "white": (245, 245, 245), "purple": (140, 30, 160), "orange": (250, 140, 20),
}  # fmt: skip
THINGS = ("scarf", "mug", "chair", "lamp", "cup", "vase", "shirt", "bag")


def picture(colour: str) -> Image.Image:
    return Image.new("RGB", (48, 48), COLOURS[colour])


def photo(colour: str) -> bytes:
    data = io.BytesIO()
    picture(colour).save(data, "PNG")
    return data.getvalue()


def rows(folder: Path) -> list[dict[str, Any]]:
    """A picture for every thing of a colour but the bags: those have their names alone."""
    made = []
    for colour in COLOURS:
        if not (folder / f"{colour}.png").exists():  # a newer file would be a changed picture
            picture(colour).save(folder / f"{colour}.png")
        for thing in THINGS:
            row = {"id": f"{colour}-{thing}", "name": f"{colour} {thing}", "brand": "Hue"}
            made.append(row if thing == "bag" else {**row, "image": f"{colour}.png"})
    return made


@pytest.fixture
def catalogue(services: Services, name: str, tmp_path: Path) -> Path:
    path = write_rows(tmp_path / "c.ndjson", rows(tmp_path))
    load(services, path, name)
    return path


def load(services: Services, path: Path, name: str) -> indexing.IndexReport:
    plan = indexing.plan_index(services, path, name, signals=["text", "image"])
    return indexing.run_index(services, plan, rejects_path=path.with_suffix(".rejects"))


def align(services: Services, index: str, called: str | None = None) -> str:
    trained, _ = training.train(services, index, "catalogue", "cca")
    return publish(services.models, trained, called)


def search(services: Services, name: str, **asked: Any) -> SearchAnswer:
    return services.searcher.search(SearchRequest(name, **{"system": FUSED, "size": 64, **asked}))


def held(services: Services, name: str, id: str) -> tuple[Layer, dict[str, Code]]:
    """(what is noted, codes) of a product."""
    layer = services.cluster.products.read(name, [id])[id].layer
    return layer, services.cluster.products.codes(name, [id])[id].by_signal


def count(services: Services, name: str) -> int:
    return services.cluster.indices.count(name, {"exists": {"field": f"hybrid.{FUSED}"}})


@pytest.mark.es_both
def test_a_photo_finds_what_has_a_name_alone(
    services: Services, name: str, catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, found = training.train(services, name, "catalogue", "cca")
    assert (trained.pairs, found.texts.shape) == (56, (56, 32))
    version = publish(services.models, trained)
    assert version == f"{name}-cca-1"

    def encoded(*_: object) -> None:
        raise AssertionError("something was encoded again")

    with monkeypatch.context() as patched:
        patched.setattr(Toy, "encode_images", encoded)
        patched.setattr(Toy, "encode_texts", encoded)
        report = apply(services, "alignment", name, version).run
    assert report is not None and report.complete and report.encoded == 64 and count(services, name) == 64
    again = apply(services, "alignment", name, version).run
    assert again is not None and (again.encoded, again.unchanged) == (0, 64)

    fresh = make_services_like(services)
    for colour in COLOURS:
        first = [hit.id for hit in search(fresh, name, image=photo(colour)).hits[:8]]
        assert f"{colour}-bag" in first
        assert sum(id.startswith(colour) for id in first) >= 7
    # Words find pictures in the same space, and both together what is like both.
    worded = [hit.id for hit in search(fresh, name, q="red").hits[:8]]
    assert sum(id.startswith("red") for id in worded) >= 7
    both = search(fresh, name, image=photo("blue"), q="mug").hits[0]
    assert both.id == "blue-mug"
    parts = search(fresh, name, image=photo("blue"), q="mug", system="fixed").hits[0].signals
    assert {"lexical", "text", "image", FUSED} == set(by_kind(parts))


def make_services_like(services: Services) -> Services:
    """As another process has them: nothing is remembered of the index."""
    return Services(services.settings)


def test_it_follows_its_parts(services: Services, name: str, catalogue: Path, tmp_path: Path) -> None:
    apply(services, "alignment", name, align(services, name))
    before, codes = held(services, name, "red-mug")
    made = rows(tmp_path)
    made[1]["name"] = "green mug"  # was red
    made.append({"id": "new-chair", "name": "red chair", "brand": "Hue", "image": "missing.png"})
    made[3]["brand"] = "Tint"  # of no consequence for a vector
    report = load(services, write_rows(catalogue, made), name)
    assert (report.written, report.failed) == (3, {"image_missing": 1})
    layer, after = held(services, name, "red-mug")
    assert layer.state("image") == before.state("image") and layer.state("text") != before.state("text")
    assert layer.state(FUSED).hash != before.state(FUSED).hash and after[FUSED] != codes[FUSED]
    # Without its picture a product keeps to its words.
    broken, codes = held(services, name, "new-chair")
    assert broken.failed == ("image",) and set(codes) == {"text", FUSED} and broken.pending == ()
    assert load(services, catalogue, name).unchanged == 64  # the failed one is tried again
    picture("red").save(tmp_path / "missing.png")
    assert load(services, catalogue, name).complete
    mended, now = held(services, name, "new-chair")
    assert now[FUSED] != codes[FUSED] and "image" in now and mended.failed == ()


def test_nothing_to_make_it_of(services: Services, name: str, catalogue: Path, tmp_path: Path) -> None:
    apply(services, "alignment", name, align(services, name))
    made = [*rows(tmp_path), {"id": "bare", "name": "", "brand": "Hue", "image": "gone.png"}]
    report = load(services, write_rows(catalogue, made), name)
    assert report.failed == {"image_missing": 1, "no_parts": 1}
    assert FUSED not in held(services, name, "bare")[1]


@pytest.mark.es_both
def test_a_shops_own_index(services: Services, name: str, tmp_path: Path) -> None:
    data = rows(tmp_path)
    mappings = {"properties": {"name": {"type": "text"}, "image": {"type": "keyword"}, "brand": {"type": "keyword"}}}
    make_shop(client_of(services), f"{name}-000001", data, alias=name, mappings=mappings)
    plan = plan_attach(services, name, signals=["text", "image"], media_root=tmp_path)
    assert run_attach(services, plan).complete
    version = align(services, name)
    assert apply(services, "alignment", name, version).complete
    assert count(services, name) == 64
    # A whole-document write drops the layer's field; the next sync gives it all again.
    client_of(services).index(index=name, id="red-mug", document={**data[1], "name": "crimson mug"}, refresh=True)
    assert sync.run_sync(services, name).complete
    client_of(services).indices.refresh(index=name)
    assert count(services, name) == 64
    # A new generation carries vectors over that are of the same alignment.
    _, codes = held(services, name, "blue-mug")
    plan = planning.plan_reindex(services, name, shards=2)
    report = running.run_reindex(services, plan, running.Options())
    assert report.complete and held(make_services_like(services), name, "blue-mug")[1] == codes
    assert count(services, name) == 64


def test_another_alignment_in_place_and_back(services: Services, name: str, catalogue: Path) -> None:
    first, second = align(services, name), align(services, name)
    assert (first, second) == (f"{name}-cca-1", f"{name}-cca-2")
    with pytest.raises(ModelVersionError, match="already"):
        align(services, name, called=first)
    apply(services, "alignment", name, first)
    with pytest.raises(ModelConflictError, match="somebody else made"):
        apply(services, "alignment", name, second, instead_of="none")
    applied = apply(services, "alignment", name, second, instead_of=first)
    assert (applied.before, applied.version) == (first, second) and applied.run and applied.run.encoded == 64
    assert held(services, name, "red-mug")[0].states[FUSED].encoder == f"alignment:{second}"
    assert active(services, "alignment", name).before == first
    with pytest.raises(ModelConflictError, match=f"is active for {name}"):
        remove(services, "alignment", name, second)
    remove(services, "alignment", name, first)
    with pytest.raises(ModelMissingError):  # the one before is gone
        rollback(services, "alignment", name)
    apply(services, "alignment", name, "none")
    profile = make_services_like(services).searcher.profile(name)
    assert FUSED not in profile.signals and active(services, "alignment", name).version is None
    assert not search(make_services_like(services), name, q="red mug", system="fixed").degraded
    assert rollback(services, "alignment", name).version == second
    assert make_services_like(services).searcher.profile(name).signals[FUSED].encoder == f"alignment:{second}"


def test_vectors_of_other_dimensions_need_another_generation(services: Services, name: str, catalogue: Path) -> None:
    apply(services, "alignment", name, align(services, name))
    heads = Alignment.from_bytes(services.models("alignment").get(f"{name}-cca-1")[1])
    narrow = {
        part: Head(head.root, head.centre, head.matrix[:, :5].astype(np.float32)) for part, head in heads.heads.items()
    }
    about = services.models("alignment").head(f"{name}-cca-1")
    kept = {key: about[key] for key in ("method", "encoders", "report", "held_out")}
    data = Alignment("cca", narrow, heads.shares, 5).to_bytes()
    services.models("alignment").add(name, f"{name}-narrow", kept, data)
    with pytest.raises(IndexConflictError, match=f"hybrid reindex {name} --signals text,image,fused"):
        apply(services, "alignment", name, f"{name}-narrow")
    assert active(services, "alignment", name).version == f"{name}-cca-1"


@pytest.mark.parametrize("how", ["gone", "damaged", "other model"])
def test_search_goes_on_without_it(services: Services, name: str, catalogue: Path, how: str) -> None:
    version = align(services, name)
    apply(services, "alignment", name, version)
    fresh = make_services_like(services)
    head = f"version:alignment::{version}"
    found = client_of(services).get(index=MODELS, id=head)["_source"]
    if how == "gone":
        services.models("alignment").remove(version)
    elif how == "damaged":
        client_of(services).update(index=MODELS, id=f"part:{found['write']}:0", doc={"data": "AAAA"}, refresh=True)
    else:
        found["encoders"]["text"]["version"] = "toy@32+0"
        client_of(services).update(index=MODELS, id=head, doc={"encoders": found["encoders"]}, refresh=True)
    answer = search(fresh, name, q="red mug", system="fixed")
    assert answer.hits[0].id == "red-mug"
    assert [part.part for part in answer.degraded] == [FUSED]


def test_bad_pairs_are_told_in_one_line(services: Services, name: str, catalogue: Path, tmp_path: Path) -> None:
    def refused(content: str, match: str) -> None:
        path = tmp_path / "pairs.csv"
        path.write_text(content)
        with pytest.raises(UsageError, match=match) as error:
            training.train(services, name, str(path), "cca")
        assert "\n" not in str(error.value)

    refused("photo,product\na.png,1\n", "needs a column `image`")
    refused("image,product_id\n,\n", "no pair")
    refused("image,product_id\nred.png,nobody\n", "none of its 1 products")
    refused("image,product_id\nmissing.png,red-mug\n", "no photo can be used .image_missing")
    with pytest.raises(UsageError, match="cannot be read"):
        training.train(services, name, str(tmp_path / "nowhere.csv"), "cca")
    with pytest.raises(UsageError, match="hybrid train alignment"):
        plan_attach_fused(services, f"{name}x")


def plan_attach_fused(services: Services, name: str) -> None:
    make_shop(
        client_of(services), name, [{"id": "1", "name": "one"}], mappings={"properties": {"name": {"type": "text"}}}
    )
    plan_attach(services, name, signals=[FUSED])


def test_pairs_of_a_file(services: Services, name: str, catalogue: Path, tmp_path: Path) -> None:
    lines = [
        "image,docid",
        *(f"{colour}.png,{colour}-{thing}" for colour in COLOURS for thing in THINGS[:4]),
        "x.png,red-mug",
    ]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    trained, found = training.train(services, name, str(tmp_path / "pairs.csv"), "cca")
    assert (trained.pairs, trained.products, trained.skipped) == (32, 32, {"image_missing": 1})
    assert len(found.photos) == 3 * 32  # whole, mirrored, middle
