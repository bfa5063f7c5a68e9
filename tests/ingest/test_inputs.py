"""When a picture behind an address is asked for, sent, and made a vector of again."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any, cast

import pytest
from PIL import Image

from hybrid.catalogue.layer import NO_STATE
from hybrid.contracts import Encoder, FieldMap, IndexProfile, VectorSignal
from hybrid.encoders import get_encoder
from hybrid.errors import MediaError
from hybrid.ingest.inputs import Inputs
from hybrid.media.fetching import Fetched, Fetcher
from hybrid.settings import Settings

URL = "https://shop.example/a.png"
SOURCE = {"picture": URL}


def png(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (20, 20), (shade, 0, 0)).save(out, "PNG")
    return out.getvalue()


class OnePicture(Fetcher):
    """A server with one picture. asked: the ETag that each request brought along."""

    def __init__(self) -> None:
        super().__init__()
        self.data, self.etag, self.asked = png(10), "v1", list[str | None]()

    def fetch(self, url: str, etag: str | None = None, modified: str | None = None) -> Fetched:
        self.asked.append(etag)
        return Fetched(None if etag == self.etag else self.data, "", self.etag)


@pytest.fixture
def server() -> OnePicture:
    return OnePicture()


@pytest.fixture
def encoder() -> Encoder:
    return get_encoder("toy:32", Settings())


def profile(encoder: Encoder, version: str = "") -> IndexProfile:
    signal = VectorSignal(encoder="toy:32", version=version or encoder.version, dims=32)
    return IndexProfile("shop", FieldMap({"image": ("picture",)}), {"image": signal}, "en", "")


def test_an_unchanged_picture_is_neither_sent_nor_encoded(server: OnePicture, encoder: Encoder) -> None:
    inputs = Inputs(lambda spec: encoder, server)
    first = inputs.read("image", SOURCE, profile(encoder), encoder)
    assert first.content is not None and first.state.url == URL
    made = first.state
    assert made.encoder == encoder.version
    assert inputs.fits("image", SOURCE, profile(encoder), made)
    again = inputs.read("image", SOURCE, profile(encoder), encoder, made)
    assert (again.content, again.state.hash, server.asked) == (None, made.hash, [None, "v1"])
    # Sent again, for its mark is another, and still the same.
    server.etag = "v2"
    marked = inputs.read("image", SOURCE, profile(encoder), encoder, made)
    assert (marked.content, marked.state.etag) == (None, "v2")
    server.data, server.etag = png(200), "v3"
    changed = inputs.read("image", SOURCE, profile(encoder), encoder, made)
    assert changed.content is not None and changed.state.hash != made.hash


def test_another_model_or_address_needs_the_picture(server: OnePicture, encoder: Encoder) -> None:
    inputs = Inputs(lambda spec: encoder, server)
    made = replace(inputs.read("image", SOURCE, profile(encoder), encoder).state, encoder="older")
    assert not inputs.fits("image", SOURCE, profile(encoder), made)
    read = inputs.read("image", SOURCE, profile(encoder), encoder, replace(made, hash="of the older one"))
    assert read.content is not None and server.asked == [None, None]
    moved = {"picture": "https://shop.example/b.png"}
    now = replace(made, encoder=encoder.version)
    assert not inputs.fits("image", moved, profile(encoder), now)
    assert inputs.read("image", moved, profile(encoder), encoder, now).content is None  # the same bytes
    assert server.asked == [None, None, None]


def test_a_file_goes_before_an_address_and_errors_keep_their_place(server: OnePicture, encoder: Encoder) -> None:
    inputs = Inputs(lambda spec: encoder, server)
    wanted = [SOURCE, {"picture": [URL, "none.png"]}, {"picture": ""}, SOURCE]
    found = inputs.read_all("image", [(source, NO_STATE) for source in wanted], profile(encoder), encoder)
    assert [isinstance(one, MediaError) for one in found] == [False, True, True, False]
    assert cast(Any, found[1]).reason == "image_outside_root"
    server.enabled = False
    assert not inputs.wants("image", SOURCE, profile(encoder))
    assert inputs.wants("image", wanted[1], profile(encoder))
