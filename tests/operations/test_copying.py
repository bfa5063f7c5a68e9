"""What a copy of a document in a new index takes over of the layer. No cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hybrid.catalogue.layer import Layer, SignalState
from hybrid.contracts import IndexProfile, TagsUse, VectorSignal
from hybrid.elastic.client import Capabilities
from hybrid.elastic.indices.copies import Original
from hybrid.operations.reindex.copying import Copyist
from hybrid.vectors import encode_code
from tests.ingest.test_missing import (
    ALBUM,
    BARE,
    BLUE,
    FAR,
    LAMP,
    SHOP,
    TAGGED,
    VERSION,
    WITH_FUSED,
    Shop,
    both,
    failed,
    forget,
    noting,
    shop_of,
    signal,
    waits,
    with_signals,
)

VECTOR = np.eye(1, 32, dtype=np.float32)[0]
CODE = encode_code(VECTOR)
LONGER = VectorSignal("toy:64", VERSION, 64)
TITLED = VectorSignal("toy:32", VERSION, 32, titles=True)


@dataclass(frozen=True)
class Case:
    """now: the document as it is copied; was: as the layer last saw it. pending: what the copy waits for; moved: the
    signals that it takes over."""

    says: str
    pending: tuple[str, ...]
    moved: tuple[str, ...]
    now: Mapping[str, Any] = field(default_factory=lambda: LAMP)
    was: Mapping[str, Any] | None = None
    edit: Callable[[Layer], Layer] = lambda layer: layer
    before: IndexProfile | None = SHOP
    profile: IndexProfile = SHOP
    codes: tuple[str, ...] | None = None


CASES = [
    Case("all of it", (), ("text", "image")),
    Case("the layer had no part in the old index", ("text", "image"), (), before=None),
    Case("never seen by the layer", ("text", "image"), (), edit=lambda layer: Layer(), codes=()),
    Case("another title, which nobody noted yet", ("text", "image"), (), now=BLUE, was=LAMP),
    Case("other words, the same vectors", (), ("text", "image"), profile=replace(SHOP, analysis="words-2")),
    Case("another encoder of texts", ("text",), ("image",), profile=with_signals(SHOP, text=signal("toy@32+2"))),
    Case("titles have vectors too", ("text",), ("image",), profile=with_signals(SHOP, text=TITLED)),
    Case("vectors of another length", ("text",), ("image",), profile=with_signals(SHOP, text=LONGER)),
    Case("a picture behind an address, which nobody asks now", (), ("text", "image"), now=FAR),
    Case("the files are looked at in more views", ("image",), ("text",), profile=ALBUM),
    Case("the picture is another field's now", ("image",), ("text",), now={**LAMP, "photo": "b.png"},
         profile=replace(SHOP, fields=replace(SHOP.fields, roles={**SHOP.fields.roles, "image": ("photo",)}))),
    Case("no picture any more", (), ("text",), now=BARE, was=LAMP),
    Case("a code is missing", ("image",), ("text",), codes=("text",)),
    Case("it waits for its picture, and has the vector of an older one", ("image",), ("text",), edit=waits("image")),
    Case("its picture failed, and it has the vector of an older one", ("image",), ("text",), edit=failed("image")),
    Case("its picture failed, and it has none", ("image",), ("text",), edit=both(failed("image"), forget("image")),
         codes=("text",)),
    Case("fused moves along", (), ("text", "image", "fused"), before=WITH_FUSED, profile=WITH_FUSED),
    Case("fused is made anew of what moves along", ("fused",), ("text", "image"), profile=WITH_FUSED),
    Case("fused, and a part is made anew", ("text", "fused"), ("image",), before=WITH_FUSED,
         profile=with_signals(WITH_FUSED, text=signal("toy@32+2"))),
    Case("tags move along", (), ("text", "image", "tags"), before=TAGGED, profile=TAGGED),
    Case("tags of another model", ("tags",), ("text", "image"), before=TAGGED,
         profile=replace(SHOP, tags=TagsUse("tags-2", ("image",)))),
    Case("tags that it waits for", ("tags",), ("text", "image"), before=TAGGED, profile=TAGGED, edit=waits("tags")),
    Case("tags, and the picture is made anew", ("image", "tags"), ("text",), before=TAGGED,
         profile=with_signals(TAGGED, image=signal("toy@32+2"))),
    Case("tags that the new index has not", (), ("text", "image"), before=TAGGED),
    Case("what is noted of other parts", ("fused",), ("text", "image"), before=WITH_FUSED, profile=WITH_FUSED,
         edit=noting(fused=SignalState("of others", "aligned-1"))),
]  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    for name, colour in (("a.png", (200, 0, 0)), ("b.png", (0, 200, 0))):
        Image.new("RGB", (8, 8), colour).save(tmp_path / name)
    return shop_of(tmp_path)


@pytest.mark.parametrize("case", CASES, ids=[case.says for case in CASES])
def test_what_a_copy_takes_over(shop: Shop, case: Case) -> None:
    settled = shop.settled(case.now if case.was is None else case.was, case.before or SHOP)
    held = case.edit(replace(settled, tags=({"name": "lamp"},), terms={"title": "old words"}))
    names = [name for name in settled.states if name != "tags"] if case.codes is None else case.codes
    held = replace(held, id="p" if held.noted else None, codes=dict.fromkeys(names, CODE))
    original = Original("p", None, dict(case.now), held, 2, 7)
    # On a machine that has none of the pictures: what a document notes of them has to do.
    away = shop_of(shop.folder / "elsewhere")
    copy = Copyist(away.inputs, Capabilities((9, 1)), case.before, case.profile).copy(original)
    layer = copy.layer
    assert layer is not None and copy.body == {**case.now, "hybrid": layer.to_json()}
    assert (layer.pending, layer.failed) == (case.pending, ())
    assert tuple(layer.states) == case.moved
    vectors = [name for name in case.moved if name != "tags"]
    assert layer.codes == dict.fromkeys(vectors, CODE) and layer.vectors == dict.fromkeys(vectors, VECTOR.tolist())
    assert layer.tags == (({"name": "lamp"},) if "tags" in case.moved else None)
    assert layer.revision == {"shard": 2, "seq_no": 7}
    assert copy.layer == layer and layer.source == away.inputs.of(case.now, case.profile).digest


def test_words_move_along_where_both_indices_make_the_same(shop: Shop) -> None:
    settled = replace(shop.settled(LAMP, SHOP), id="p", terms={"title": "words of before", "brand": ""}, typed="typed")
    original = Original("p", None, dict(LAMP), settled, 0, 0)

    def copied(profile: IndexProfile) -> Layer | None:
        return Copyist(shop.inputs, Capabilities((9, 1)), SHOP, profile).copy(original).layer

    same, anew = copied(SHOP), copied(replace(SHOP, analysis="words-2"))
    assert same is not None and (same.terms, same.typed) == ({"title": "words of before"}, "typed")
    assert anew is not None and anew.terms is not None and anew.terms["title"] != "words of before"


def test_copies_are_encoded_before_they_are_written(shop: Shop) -> None:
    copyist = Copyist(shop.inputs, Capabilities((9, 1)), None, replace(SHOP, media_root=str(shop.folder)))
    gone = {**LAMP, "picture": "gone.png"}
    copies = [copyist.copy(Original(id, None, dict(row), Layer(), 0, 0)) for id, row in (("p", LAMP), ("q", gone))]
    assert [copy.pending for copy in copies] == [("text", "image"), ("text", "image")]
    whole, lacking = copyist.encode(copies, 16)
    assert (whole.pending, lacking.pending) == ((), ("image",))
    assert whole.layer is not None and lacking.layer is not None
    assert set(whole.layer.vectors) == {"text", "image"} and set(lacking.layer.vectors) == {"text"}
    settled = shop.settled(LAMP, SHOP)
    assert whole.layer.states == settled.states and lacking.layer.states == {"text": settled.states["text"]}


def test_an_index_without_the_layer_gets_the_shops_document(shop: Shop) -> None:
    original = Original("p", None, dict(LAMP), Layer(), 0, 0)
    copyist = Copyist(shop.inputs, Capabilities((9, 1)), SHOP, None)
    assert copyist.copy(original).body == LAMP
    assert copyist.encode([copyist.copy(original)], 4) == [copyist.copy(original)]
