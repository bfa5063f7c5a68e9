"""What the web tests search: two small catalogues on the real engine, and services that are watched."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from hybrid.search.searcher import Searcher
from hybrid.searches import SearchAnswer, SearchRequest
from hybrid.services import Services
from hybrid.settings import Settings
from tests.support.raw import client_of

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"

COLORS = {
    "forest": ("绿色", "#3f6b52"),
    "clay": ("陶土色", "#b8694b"),
    "navy": ("藏蓝", "#33456b"),
    "sand": ("沙色", "#cdb48c"),
    "charcoal": ("炭黑", "#46464a"),
    "mustard": ("芥末黄", "#d3a036"),
}
KINDS = [  # category, category_zh, name, name_zh, brand, price, description
    ("Kitchen", "厨房", "Stoneware mug", "石瓷马克杯", "Alder & Oak", 18.0, "Hand-glazed mug with a wide handle."),
    ("Lighting", "灯具", "Dome table lamp", "圆顶台灯", "Lumen", 89.0, "A reading lamp with a steel dome."),
    ("Bags", "箱包", "Waxed canvas tote", "蜡光帆布托特包", "Fieldwork", 64.5, "A bag with an inner pocket."),
    (
        "Shoes",
        "鞋履",
        "Everyday knit trainers",
        "日常针织运动鞋",
        "Strato",
        119.0,
        "Light running shoes, springy sole.",
    ),
    ("Furniture", "家具", "Lounge chair", "休闲椅", "Alder & Oak", 1349.0, "Low oak chair with a wool cushion."),
    ("Clothing", "服装", "Heavy cotton t-shirt", "厚棉 T 恤", "Strato", 32.0, "A boxy t-shirt of organic cotton."),
]
#: Files that are no pictures, whatever their names say.
NO_PICTURES = {
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "page": b"<html><script>",
    "empty": b"",
}
#: Image values that lead out of the media folder, or to no file in it.
OUTSIDE = {
    "up": "../secret.jpg",
    "absolute": "/etc/passwd",
    "through": "images/../../secret.jpg",
    "folder": "images",
    "link": "link.jpg",
}


def products() -> list[dict[str, Any]]:
    """36 products: six kinds in six colours."""
    return [
        {
            "id": f"p{number:02}",
            "name": f"{name}, {color}",
            "name_zh": f"{name_zh}（{color_zh}）",
            "description": description,
            "brand": brand,
            "category": category,
            "category_zh": category_zh,
            "color": color,
            "price": price + 2.5 * (number % 6),
            "image": f"images/{color}.jpg",
        }
        for number, ((category, category_zh, name, name_zh, brand, price, description), (color, (color_zh, _))) in (
            enumerate((kind, color) for kind in KINDS for color in COLORS.items())
        )
    ]


def odd_products() -> list[dict[str, Any]]:
    """One product of evil strings, and those whose pictures must not be served."""
    # What is within a script tag is no text, so it is not found.
    evil = {"name": f"alert {EVIL}", "description": EVIL, "brand": EVIL, "category": EVIL}
    images = {**OUTSIDE, **{name: f"images/{name}.jpg" for name in NO_PICTURES}}
    plain = [
        {
            "id": id,
            "name": f"Picture {id}",
            "description": "No picture",
            "brand": "Odd",
            "category": "Odd",
            "image": image,
        }
        for id, image in images.items()
    ]
    return [{"id": "evil", **evil, "image": f"images/{EVIL}"}, *plain]


def jpeg(color: str = "#3f6b52", size: int = 32) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (size, size), color).save(data, "JPEG")
    return data.getvalue()


def heic(picture: Image.Image | None = None) -> bytes:
    """A HEIC file, as iPhones write photos."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    data = io.BytesIO()
    (picture or Image.new("RGB", (64, 48), "#3f6b52")).save(data, "HEIF")
    return data.getvalue()


def write_pictures(folder: Path) -> None:
    """The pictures of both catalogues, and what their evil values try to reach."""
    (folder / "images").mkdir()
    for color, (_, shade) in COLORS.items():
        (folder / "images" / f"{color}.jpg").write_bytes(jpeg(shade))
    for name, content in NO_PICTURES.items():
        (folder / "images" / f"{name}.jpg").write_bytes(content)
    (folder.parent / "secret.jpg").write_bytes(jpeg())
    (folder / "link.jpg").symlink_to(folder.parent / "secret.jpg")


@dataclass(frozen=True)
class WebShop:
    """The indices: `name` holds products(), `odd` holds odd_products(), encoded by models of another version."""

    settings: Settings
    name: str
    odd: str

    def services(self, **changes: Any) -> Watched:
        return Watched(self.settings.model_copy(update=changes), [self.name])


def age_models(services: Services, index: str) -> None:
    """Make the index say that models of another version, with an evil name, encoded it: a search degrades."""
    profile = services.searcher.profile(index)
    signals = {name: dataclasses.replace(signal, version=EVIL) for name, signal in profile.signals.items()}
    meta = {"hybrid": dataclasses.replace(profile, signals=signals).to_json()}
    client_of(services).indices.put_mapping(index=index, meta=meta)


class WatchedSearcher(Searcher):
    """The real searcher: keeps what it was asked, and fails where no real cause of a failure is at hand.

    names: the indices that it lists; the engine is shared with other tests, and theirs are not shown.
    """

    def __init__(self, services: Services, names: Sequence[str]) -> None:
        super().__init__(services.retrieval, services.encoder, services.settings.depth)
        self.names = names
        self.asked: list[SearchRequest] = []
        self.failure: Exception | None = None

    def indices(self) -> list[str]:
        return [name for name in super().indices() if name in self.names]

    def search(self, request: SearchRequest) -> SearchAnswer:
        self.asked.append(request)
        if self.failure:
            raise self.failure
        return super().search(request)


class Watched(Services):
    """The real services with a watched searcher."""

    def __init__(self, settings: Settings, names: Sequence[str]) -> None:
        super().__init__(settings)
        self._names = names

    @cached_property
    def searcher(self) -> WatchedSearcher:
        return WatchedSearcher(self, self._names)
