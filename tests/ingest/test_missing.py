"""What a document lacks of the layer: the one rule of loading, pushing, marking and reindexing, case by case.

No cluster: documents, pictures on disk, a profile, and what is noted. What is expected is written by hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hybrid.catalogue import documents
from hybrid.catalogue.layer import Layer, SignalState
from hybrid.contracts import FieldMap, IndexProfile, TagsUse, VectorSignal
from hybrid.elastic.client import Capabilities
from hybrid.elastic.stores.dead_letters import DeadLetters
from hybrid.encoders.toy import Toy
from hybrid.ingest.ingester import Ingester
from hybrid.ingest.inputs import Inputs
from hybrid.ingest.missing import Need, missing
from hybrid.media.fetching import Fetcher
from hybrid.settings import Settings

VERSION = "toy@32+1"
LAMP = {"name": "red lamp", "picture": "a.png", "stock": 3}
URL = "https://shop.example/a.png"
FAR = {"name": "red lamp", "picture": URL}
BOTH = frozenset({"text", "image"})
ALL = frozenset({"text", "image", "fused"})
NONE: frozenset[str] = frozenset()


class LatinToy(Toy):
    """An encoder that was trained on Latin script alone."""

    scripts = frozenset({"Latin"})


def digest(version: str, content: bytes) -> str:
    """A content hash, as DESIGN has it: the version of the encoder and its input."""
    return hashlib.blake2b(version.encode() + b"\0" + content, digest_size=12).hexdigest()


def signal(version: str = VERSION, views: int = 1) -> VectorSignal:
    return VectorSignal("toy:32", version, 32, views)


#: An index that the layer is attached to, with words and pictures.
SHOP = IndexProfile(
    "shop",
    FieldMap({"title": ("name",), "description": ("about",), "brand": ("brand",), "image": ("picture",)}),
    {"text": signal(), "image": signal()},
    "en",
    "words-1",
    attached=True,
)
#: An index that the layer made.
OWN = replace(SHOP, attached=False)
WITH_FUSED = replace(SHOP, signals={**SHOP.signals, "fused": signal("aligned-1")})
TAGGED = replace(SHOP, tags=TagsUse("tags-1", ("image",)))
TAGGED_BY_BOTH = replace(SHOP, tags=TagsUse("tags-1", ("text", "image")))
ALBUM = replace(SHOP, signals={"text": signal(), "image": signal(views=6)})


def with_signals(profile: IndexProfile, **signals: VectorSignal) -> IndexProfile:
    return replace(profile, signals={**profile.signals, **signals})


@dataclass(frozen=True)
class Shop:
    """A folder of pictures, and what reads documents."""

    folder: Path
    inputs: Inputs

    def settled(self, document: Mapping[str, Any], profile: IndexProfile) -> Layer:
        """What is noted of a document that has all it should have."""
        states = {}
        if name := document.get("name", "").strip():
            states["text"] = SignalState(digest(VERSION, name.encode()), VERSION)
        pictures = document.get("picture", [])
        pictures = [pictures] if isinstance(pictures, str) else pictures
        pictures = pictures[: profile.signals["image"].views if "image" in profile.signals else 0]
        if pictures and pictures[0].startswith("https:"):
            states["image"] = SignalState(digest(VERSION, b"what the server sent"), VERSION, "\n".join(pictures), "v1")
        elif pictures:
            content = b"\0".join((self.folder / picture).read_bytes() for picture in pictures)
            states["image"] = SignalState(digest(VERSION, content), VERSION)
        hashes = {part: states[part].hash if part in states else "-" for part in ("text", "image")}
        if "fused" in profile.signals and states:
            made = digest("aligned-1", f"text:{hashes['text']} image:{hashes['image']}".encode())
            states["fused"] = SignalState(made, "aligned-1")
        if profile.tags is not None and states:
            parts = " ".join(f"{part}:{hashes[part]}" for part in sorted(profile.tags.parts))
            states["tags"] = SignalState(digest("tags-1", parts.encode()), "tags-1")
        return Layer("p", documents.fingerprint(document, profile), profile.analysis, at="2026-01-01", states=states)


def forget(*names: str) -> Callable[[Layer], Layer]:
    """Their input is another than what the vector was made of, as marking notes it."""
    return lambda layer: replace(layer, states={k: v for k, v in layer.states.items() if k not in names})


def noting(**states: SignalState) -> Callable[[Layer], Layer]:
    return lambda layer: replace(layer, states={**layer.states, **states})


def waits(*names: str) -> Callable[[Layer], Layer]:
    return lambda layer: replace(layer, pending=names)


def failed(*names: str) -> Callable[[Layer], Layer]:
    return lambda layer: replace(layer, failed=names)


def both(*edits: Callable[[Layer], Layer]) -> Callable[[Layer], Layer]:
    def edit(layer: Layer) -> Layer:
        for one in edits:
            layer = one(layer)
        return layer

    return edit


@dataclass(frozen=True)
class Case:
    """now: the document as it is; was: as the layer last saw it, if that was another. edit: of what was noted then.
    before: the profile that it was noted by, if that was another. does: what happens to the folder meanwhile."""

    says: str
    need: Need
    now: Mapping[str, Any] = field(default_factory=lambda: LAMP)
    was: Mapping[str, Any] | None = None
    edit: Callable[[Layer], Layer] = lambda layer: layer
    profile: IndexProfile = SHOP
    before: IndexProfile | None = None
    present: frozenset[str] = BOTH
    anew: bool = False
    fetches: bool = True
    any_script: bool = True
    does: Callable[[Path], object] = lambda folder: None


def repaint(folder: Path) -> None:
    Image.new("RGB", (9, 9), (0, 0, 200)).save(folder / "a.png")


def lose(folder: Path) -> None:
    (folder / "a.png").unlink()


BLUE = {**LAMP, "name": "blue lamp"}
BARE = {"name": "red lamp"}
FAR_BLUE = {**FAR, "name": "blue lamp"}
PAIR = {"name": "red lamp", "picture": ["a.png", "b.png"]}
NEWER = "toy@32+2"

CASES = [
    # -- the document -------------------------------------------------------------------------------------------
    Case("nothing changed", Need()),
    Case("never seen", Need(words=True, encode=("text", "image")), edit=lambda layer: Layer(), present=NONE),
    Case("its stock changed, which the layer does not read", Need(), now={**LAMP, "stock": 2}, was=LAMP),
    Case("its stock changed, and the layer writes whole rows", Need(words=True), now={**LAMP, "stock": 2}, was=LAMP,
         profile=OWN),
    Case("another title", Need(words=True, encode=("text",)), now=BLUE, was=LAMP),
    Case("a description came", Need(words=True, encode=("text",)), now={**LAMP, "about": "of glass"}, was=LAMP),
    Case("another brand, which no vector is made of", Need(words=True), now={**LAMP, "brand": "Hue"}, was=LAMP),
    Case("no title any more", Need(words=True, drop=("text",)), now={"picture": "a.png"}, was=LAMP),
    Case("a title of spaces", Need(words=True, drop=("text",)), now={**LAMP, "name": "  "}, was=LAMP),
    Case("never had a text", Need(), now={"picture": "a.png"}, present=frozenset({"image"})),
    Case("a title in a script that the encoder does not know", Need(words=True, encode=("image",)),
         now={**LAMP, "name": "红色的灯"}, edit=lambda layer: Layer(), present=NONE, any_script=False),
    Case("words of another version", Need(words=True), edit=lambda layer: replace(layer, analysis="words-0")),
    Case("a copy of another document", Need(words=True), edit=lambda layer: replace(layer, source=None)),
    # -- its picture --------------------------------------------------------------------------------------------
    Case("another picture", Need(words=True, encode=("image",)), now={**LAMP, "picture": "b.png"}, was=LAMP),
    Case("the same picture by another name", Need(words=True), now={**LAMP, "picture": "same.png"}, was=LAMP),
    Case("no picture any more", Need(words=True, drop=("image",)), now=BARE, was=LAMP),
    Case("no picture, and its vector went already", Need(words=True, drop=("image",)), now=BARE, was=LAMP,
         present=frozenset({"text"})),
    Case("no picture any more, nor a note of it, but the vector of an older one", Need(words=True, drop=("image",)),
         now=BARE, was=LAMP, edit=forget("image")),
    Case("the first picture", Need(words=True, encode=("image",)), now=LAMP, was=BARE, present=frozenset({"text"})),
    Case("the file changed under its name, which no fingerprint of an attached index says", Need(), does=repaint),
    Case("the file changed under its name, and files are looked at", Need(encode=("image",)), does=repaint, anew=True),
    Case("the file changed, and its stamp is in the fingerprint", Need(words=True, encode=("image",)), does=repaint,
         profile=OWN),
    Case("the file is gone, and nobody looks", Need(), does=lose),
    Case("the file is gone, and another title: those who encode say why", Need(words=True, encode=("text", "image")),
         now=BLUE, was=LAMP, does=lose),
    Case("a second picture, and the signal has several views", Need(words=True, encode=("image",)), now=PAIR, was=LAMP,
         profile=ALBUM),
    Case("a second picture, and the signal looks at one", Need(words=True), now=PAIR, was=LAMP),
    # -- behind an address --------------------------------------------------------------------------------------
    Case("behind an address, unchanged", Need(), now=FAR),
    Case("behind an address, and files are looked at", Need(encode=("image",), ask=("image",)), now=FAR, anew=True),
    Case("behind an address, another title", Need(words=True, encode=("text",)), now=FAR_BLUE, was=FAR),
    Case("behind another address", Need(words=True, encode=("image",)), now={**FAR, "picture": URL + "?2"}, was=FAR),
    Case("behind an address, its vector gone, files looked at", Need(encode=("image",)), now=FAR, anew=True,
         present=frozenset({"text"})),
    Case("behind an address, of another model", Need(encode=("image",)), now=FAR, anew=True,
         edit=noting(image=SignalState("1", "old", URL))),
    Case("behind an address, and nothing is fetched here", Need(drop=("image",)), now=FAR, fetches=False),
    Case("behind an address, never fetched, nor is it here", Need(), now=FAR, fetches=False, edit=forget("image"),
         present=frozenset({"text"})),
    Case("a file, and nothing is fetched here", Need(), fetches=False),
    # -- vectors that are gone ----------------------------------------------------------------------------------
    Case("a client put a whole _source, which hides vectors on 9.x", Need(restore=("text", "image")), present=NONE),
    Case("one vector is gone", Need(restore=("image",)), present=frozenset({"text"})),
    Case("a vector is gone, and its text changed", Need(words=True, encode=("text",), restore=("image",)), now=BLUE,
         was=LAMP, present=NONE),
    Case("a vector is gone, and it is of another model", Need(encode=("text",)), present=frozenset({"image"}),
         profile=with_signals(SHOP, text=signal(NEWER)), before=SHOP),
    # -- versions -----------------------------------------------------------------------------------------------
    Case("another encoder of texts", Need(encode=("text",)), before=SHOP,
         profile=with_signals(SHOP, text=signal(NEWER))),
    Case("other encoders", Need(encode=("text", "image")), before=SHOP,
         profile=with_signals(SHOP, text=signal(NEWER), image=signal(NEWER))),
    Case("another version of the words", Need(words=True), profile=replace(SHOP, analysis="words-2"), before=SHOP),
    Case("another language", Need(words=True), profile=replace(SHOP, language="de"), before=SHOP),
    Case("the index got pictures later", Need(encode=("image",)), present=frozenset({"text"}),
         before=replace(SHOP, signals={"text": signal()})),
    Case("the index has no pictures any more", Need(), profile=replace(SHOP, signals={"text": signal()}), before=SHOP),
    # -- what waits ---------------------------------------------------------------------------------------------
    Case("nothing is noted of its text but the encoder", Need(encode=("text",)),
         edit=noting(text=SignalState(None, VERSION))),
    Case("it waits for its text", Need(encode=("text",)), edit=both(waits("text"), forget("text"))),
    Case("it waits for its picture, whose older vector is there", Need(encode=("image",)),
         edit=both(waits("image"), noting(image=SignalState("of the older", VERSION)))),
    Case("it waits for a text that is what it was again", Need(), edit=waits("text")),
    Case("it waits, and the text is what it was again, but its vector gone", Need(restore=("text",)),
         edit=waits("text"), present=frozenset({"image"})),
    Case("it waits for a server to be asked", Need(encode=("image",), ask=("image",)), now=FAR, edit=waits("image")),
    Case("it waits for a server to be asked, and its vector is gone", Need(encode=("image",)), now=FAR,
         edit=waits("image"), present=frozenset({"text"})),
    # -- what failed --------------------------------------------------------------------------------------------
    Case("its picture failed", Need(failed=("image",)), edit=both(failed("image"), forget("image")),
         present=frozenset({"text"})),
    Case("its picture failed, and is tried again", Need(encode=("image",)), edit=both(failed("image"), forget("image")),
         present=frozenset({"text"}), anew=True),
    Case("its picture failed, and a retry waits for the workers", Need(encode=("image",)), present=frozenset({"text"}),
         edit=both(failed("image"), waits("image"), forget("image"))),
    Case("its picture failed, and the vector of an older one is there", Need(failed=("image",)), edit=failed("image")),
    Case("its picture failed behind an address whose note holds; another title",
         Need(words=True, encode=("text", "image")), now=FAR_BLUE, was=FAR, edit=failed("image")),
    Case("its picture failed, and was taken from the document", Need(words=True, drop=("image",)), now=BARE, was=LAMP,
         edit=both(failed("image"), forget("image")), present=frozenset({"text"})),
    Case("one of several pictures failed", Need(failed=("image",)), now=PAIR, profile=ALBUM, edit=failed("image")),
    Case("its text failed, its picture changed", Need(words=True, encode=("text", "image")),
         now={**LAMP, "picture": "b.png"}, was=LAMP, edit=both(failed("text"), forget("text"))),
    # -- fused --------------------------------------------------------------------------------------------------
    Case("fused of both", Need(), profile=WITH_FUSED, present=ALL),
    Case("fused: another title", Need(words=True, encode=("text", "fused")), now=BLUE, was=LAMP, profile=WITH_FUSED,
         present=ALL),
    Case("fused: no picture any more", Need(words=True, encode=("fused",), drop=("image",)), now=BARE, was=LAMP,
         profile=WITH_FUSED, present=ALL),
    Case("fused: neither any more", Need(words=True, drop=("text", "image", "fused")), now={"stock": 1}, was=LAMP,
         profile=WITH_FUSED, present=ALL),
    Case("fused: another alignment", Need(encode=("fused",)), profile=with_signals(SHOP, fused=signal("aligned-2")),
         before=WITH_FUSED, present=ALL),
    Case("fused: its vector is gone", Need(restore=("fused",)), profile=WITH_FUSED),
    Case("fused: that of a part is gone, and comes back as it was", Need(restore=("text",)), profile=WITH_FUSED,
         present=frozenset({"image", "fused"})),
    Case("fused: made of a part that is noted as another now", Need(encode=("fused",)), profile=WITH_FUSED,
         present=ALL, edit=noting(fused=SignalState("of other parts", "aligned-1"))),
    Case("fused: of a picture that a server is asked about", Need(encode=("image", "fused"), ask=("image",)), now=FAR,
         profile=WITH_FUSED, present=ALL, anew=True),
    Case("fused: no part has a vector", Need(failed=("text", "image", "fused")), profile=WITH_FUSED, present=NONE,
         edit=both(failed("text", "image", "fused"), forget("text", "image", "fused"))),
    Case("fused: failed, and a part changed", Need(words=True, encode=("text", "fused")), now=BLUE, was=LAMP,
         profile=WITH_FUSED, present=BOTH, edit=both(failed("fused"), forget("fused"))),
    # -- tags ---------------------------------------------------------------------------------------------------
    Case("tags of the picture", Need(), profile=TAGGED),
    Case("tags: none yet", Need(encode=("tags",)), profile=TAGGED, before=SHOP),
    Case("tags: another model", Need(encode=("tags",)), profile=replace(SHOP, tags=TagsUse("tags-2", ("image",))),
         before=TAGGED),
    Case("tags: of another part", Need(encode=("tags",)), profile=TAGGED_BY_BOTH, before=TAGGED),
    Case("tags: another title, which they are not made of", Need(words=True, encode=("text",)), now=BLUE, was=LAMP,
         profile=TAGGED),
    Case("tags: another title, which they are made of", Need(words=True, encode=("text", "tags")), now=BLUE, was=LAMP,
         profile=TAGGED_BY_BOTH),
    Case("tags: no picture any more", Need(words=True, drop=("image", "tags")), now=BARE, was=LAMP, profile=TAGGED),
    Case("tags: the picture is gone, the text is there", Need(words=True, encode=("tags",), drop=("image",)), now=BARE,
         was=LAMP, profile=TAGGED_BY_BOTH),
    Case("tags: they failed", Need(failed=("tags",)), profile=TAGGED, edit=both(failed("tags"), forget("tags"))),
    Case("tags: they failed, and are tried again", Need(encode=("tags",)), profile=TAGGED, anew=True,
         edit=both(failed("tags"), forget("tags"))),
    Case("tags: the index has none any more", Need(drop=("tags",)), before=TAGGED),
    Case("tags: they failed, and the index has none any more", Need(drop=("tags",)), before=TAGGED,
         edit=both(failed("tags"), forget("tags"))),
    Case("tags: made of a picture that is noted as another now", Need(encode=("tags",)), profile=TAGGED,
         edit=noting(tags=SignalState("of another picture", "tags-1"))),
]  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    for name, colour in (("a.png", (200, 0, 0)), ("b.png", (0, 200, 0)), ("same.png", (200, 0, 0))):
        Image.new("RGB", (8, 8), colour).save(tmp_path / name)
    return shop_of(tmp_path)


def shop_of(folder: Path, fetches: bool = True, any_script: bool = True) -> Shop:
    encoder = (Toy if any_script else LatinToy)("toy:32", "32", Settings())
    return Shop(folder, Inputs(lambda spec: encoder, Fetcher(fetches), folder))


@pytest.mark.parametrize("case", CASES, ids=[case.says for case in CASES])
def test_what_is_missing(shop: Shop, case: Case) -> None:
    root = str(shop.folder)
    profile = replace(case.profile, media_root=root)
    noted_by = replace(case.before, media_root=root) if case.before else profile
    was = case.now if case.was is None else case.was
    layer = case.edit(shop.settled(was, noted_by))
    if case.before is not None and (noted_by.language, noted_by.analysis) == (profile.language, profile.analysis):
        assert layer.source == documents.fingerprint(was, profile)  # else the case would be one of another document
    case.does(shop.folder)
    inputs = shop_of(shop.folder, case.fetches, case.any_script).inputs
    need = missing(layer, inputs.of(case.now, profile), profile, case.present, anew=case.anew)
    assert need == case.need
    # What is made is in its place the next time: nothing is written twice.
    if not (need.encode or need.drop or need.failed or case.edit(Layer()).failed):
        again = replace(layer, source=inputs.of(case.now, profile).digest, analysis=profile.analysis, pending=())
        assert missing(again, inputs.of(case.now, profile), profile, case.present | set(need.restore)) == Need()


def test_there_is_a_table_to_speak_of() -> None:
    assert len(CASES) >= 40 and len({case.says for case in CASES}) == len(CASES)
    parts = ("words", "encode", "ask", "restore", "drop", "failed")
    assert all(any(getattr(case.need, part) for case in CASES) for part in parts)


@pytest.mark.parametrize(
    ("need", "pending", "noted"),
    [
        (Need(), (), True),
        (Need(encode=("text",)), ("text",), True),
        (Need(encode=("text", "image")), ("image", "text"), True),
        (Need(encode=("text",)), (), False),
        (Need(), ("text",), False),  # it is what it was again: the waiting is to be ended
        (Need(failed=("image",)), (), True),
        (Need(words=True), (), False),
        (Need(restore=("text",)), (), False),
        (Need(drop=("image",)), (), False),
    ],
)
def test_what_is_to_be_written(need: Need, pending: tuple[str, ...], noted: bool) -> None:
    assert need.is_noted(Layer(pending=pending)) is noted


# -- documents that are written whole: loaded rows, pushed documents ----------------------------------------------

VECTOR = [1.0] + [0.0] * 31


@dataclass(frozen=True)
class Whole:
    """carried: vectors that the document had. states: signals of which the new document notes what was noted."""

    says: str
    pending: tuple[str, ...]
    carried: frozenset[str] = BOTH
    vectors: frozenset[str] = BOTH
    failed: tuple[str, ...] = ()
    now: Mapping[str, Any] = field(default_factory=lambda: LAMP)
    was: Mapping[str, Any] | None = None
    edit: Callable[[Layer], Layer] = lambda layer: layer
    profile: IndexProfile = OWN


WHOLES = [
    Whole("a new row", ("text", "image"), edit=lambda layer: Layer(), carried=NONE, vectors=NONE),
    Whole("another price", (), was={**LAMP, "stock": 1}),
    Whole("another title: searches have the vector of the old one until then", ("text",), now=BLUE, was=LAMP),
    Whole("no picture any more", (), now=BARE, was=LAMP, vectors=frozenset({"text"})),
    Whole("a vector could not be carried", ("image",), carried=frozenset({"text"}), vectors=frozenset({"text"})),
    Whole("behind an address: its server is asked", ("image",), now=FAR_BLUE, was={**FAR_BLUE, "stock": 1}),
    Whole("what failed is tried again, and its letter goes if it succeeds", ("image",), failed=("image",),
          edit=both(failed("image"), forget("image")), carried=frozenset({"text"}), vectors=frozenset({"text"})),
    Whole("it failed beside a vector that seems to fit", ("image",), failed=("image",), edit=failed("image")),
    Whole("fused: moves along with its parts", (), was={**LAMP, "stock": 1}, carried=ALL, vectors=ALL,
          profile=replace(WITH_FUSED, attached=False)),
    Whole("fused: a part was not carried", ("image", "fused"), profile=replace(WITH_FUSED, attached=False),
          carried=frozenset({"text", "fused"}), vectors=frozenset({"text", "fused"})),
]  # fmt: skip


@pytest.mark.parametrize("case", WHOLES, ids=[case.says for case in WHOLES])
def test_a_document_that_is_written_whole(shop: Shop, case: Whole) -> None:
    profile = replace(case.profile, media_root=str(shop.folder))
    before = case.edit(shop.settled(case.now if case.was is None else case.was, profile))
    ingester = Ingester(None, Capabilities((9, 1)), shop.inputs, DeadLetters(None))
    source = shop.inputs.of(case.now, profile)
    layer = ingester.layer_of(
        "p", source, before, {name: (VECTOR, f"code of {name}") for name in case.carried}, profile
    )
    assert (layer.pending, layer.failed) == (case.pending, case.failed)
    assert layer.vectors == dict.fromkeys(case.vectors, VECTOR)
    assert layer.codes == {name: f"code of {name}" for name in case.vectors}
    # What it is of stays noted, so that whoever encodes sees an input that is the same after all.
    assert layer.states == {name: state for name, state in before.states.items() if name in case.vectors}
    assert (layer.id, layer.source, layer.analysis) == ("p", source.digest, "words-1")
    assert layer.terms and ("title" in layer.terms) == ("name" in case.now)
