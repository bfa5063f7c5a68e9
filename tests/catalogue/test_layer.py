"""The layer's part of a document, to and from what stands in documents."""

from __future__ import annotations

import pytest

from hybrid.catalogue.layer import Layer, SignalState

WHOLE = {
    "id": "p1",
    "terms": {"title": "red lamp", "brand": "hue"},
    "typed": "Red lamp",
    "text": [0.5, -0.5],
    "image": "PwAAAL8AAAA=",
    "codes": {"text": "ADgAuA==", "image": ["ADgAuA==", "AAAAOAC4", "ADwAOAC4"]},
    "tags": [{"name": "lamp", "confidence": 0.91}],
    "meta": {
        "source": "5f0c",
        "analysis": "3.1",
        "pending": ["fused"],
        "failed": ["audio"],
        "at": "2026-11-29T10:00:00Z",
        "revision": {"shard": 0, "seq_no": 7},
        "text": {"hash": "aa", "encoder": "minilm@1"},
        "image": {
            "hash": "bb", "encoder": "lite0@1", "url": "https://shop.example/a.jpg", "etag": '"1"',
            "modified": "Sun, 29 Nov 2026 10:00:00 GMT", "at": [0, 2],
        },
        "video": {"hash": "cc", "encoder": "lite0@1", "at": [0.5, 2.25]},
        "tags": {"hash": "dd", "encoder": "tags-1", "told": [{"name": "lamp", "confidence": 0.91}]},
    },
}  # fmt: skip

DOCUMENTS = {
    "everything": WHOLE,
    "nothing": {},
    "marked": {
        "id": "p1",
        "terms": {"title": "red"},
        "meta": {"source": "5f", "analysis": "3.1", "pending": ["text"], "failed": [], "at": "2026-11-29T10:00:00Z"},
    },
    "no words and no vectors": {
        "id": "p1",
        "terms": {},
        "codes": {},
        "meta": {"source": "5f", "analysis": "3.1", "pending": [], "failed": [], "at": "2026-11-29T10:00:00Z"},
    },
    "no tags are sure enough": {
        "id": "p1",
        "tags": [],
        "meta": {
            "source": "5f", "analysis": "3.1", "pending": [], "failed": [], "at": "2026-11-29T10:00:00Z",
            "tags": {"hash": "dd", "encoder": "tags-1", "told": []},
        },
    },
    "a late write that was mended": {"id": "p1", "meta": {"revision": {"shard": 1, "seq_no": 0}}},
    "what an older version wrote": {"id": "p1", "suggest": {"input": ["red lamp"]}},
}  # fmt: skip


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_the_round_trip_is_exact(document: dict[str, object]) -> None:
    layer = Layer.from_json(document)
    assert layer.to_json() == document
    assert Layer.from_json(layer.to_json()) == layer


def test_what_is_noted_has_types() -> None:
    layer = Layer.from_json(WHOLE)
    assert (layer.pending, layer.failed, layer.revision) == (("fused",), ("audio",), {"shard": 0, "seq_no": 7})
    assert layer.state("video") == SignalState("cc", "lite0@1", at=(0.5, 2.25))
    assert layer.state("audio") == SignalState()
    assert set(layer.vectors) == {"text", "image"} and set(layer.states) == {"text", "image", "video", "tags"}
    assert layer.noted and not Layer.from_json({"id": "p1", "terms": {}}).noted


def test_a_null_is_as_good_as_absent() -> None:
    """What a partial update took away by name stands in the document as null."""
    document = {
        "id": "p1", "typed": None, "suggest": None, "image": None,
        "terms": {"title": "red", "brand": None}, "codes": {"text": "AAAA", "image": None},
        "meta": {"source": "5f", "analysis": "3.1", "pending": [], "failed": [], "at": "now",
                 "text": {"hash": "aa", "encoder": "1", "url": None}, "image": {"hash": None, "encoder": None}},
    }  # fmt: skip
    layer = Layer.from_json(document)
    assert layer.to_json() == {
        "id": "p1", "terms": {"title": "red"}, "codes": {"text": "AAAA"},
        "meta": {"source": "5f", "analysis": "3.1", "pending": [], "failed": [], "at": "now",
                 "text": {"hash": "aa", "encoder": "1"}},
    }  # fmt: skip


@pytest.mark.parametrize(
    "field", [None, 3, "ours", [], [{"meta": {}}], {"meta": 3}, {"meta": {"text": "x"}}, {"codes": 1}]
)
def test_a_field_of_another_shape_notes_nothing(field: object) -> None:
    layer = Layer.from_json(field)
    assert not layer.noted and not layer.codes and layer.id is None


def test_a_change_takes_away_by_name_what_is_no_more() -> None:
    before = SignalState("aa", "1", "https://shop.example/a.jpg", "v1", at=(0, 1))
    after = SignalState("bb", "1", "https://shop.example/a.jpg")
    assert after.change(before) == {
        "hash": "bb", "encoder": "1", "url": "https://shop.example/a.jpg", "etag": None, "at": None,
    }  # fmt: skip
    assert SignalState.from_json({**before.to_json(), **after.change(before)}) == after
    assert after.change(after) == after.to_json()


def test_what_is_given_to_a_layer_is_waited_for_no_longer() -> None:
    layer = Layer("p1", pending=("text", "tags", "image"))
    layer = layer.with_vector("text", [1.0], "ADw=", SignalState("aa", "1"))
    assert layer == Layer(
        "p1", pending=("tags", "image"), vectors={"text": [1.0]}, codes={"text": "ADw="},
        states={"text": SignalState("aa", "1")},
    )  # fmt: skip
    layer = layer.with_tags([{"name": "lamp"}], SignalState("cc", "2"))
    assert (layer.pending, layer.tags, layer.state("tags").hash) == (("image",), ({"name": "lamp"},), "cc")
    assert layer.only(["tags"]).states == {"tags": SignalState("cc", "2")}
