"""A small made-up shop in memory, for the web layer's own tests and for looking at the page.

It stands in for the core where only the page is in question; its scores are made up and say nothing about
relevance. `python tests/browser/shop.py [PORT]` serves it.
"""

from __future__ import annotations

import dataclasses
import html
import math
import re
import sys
import tempfile
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image, ImageDraw, ImageFilter
from werkzeug.serving import make_server

from hybrid.contracts import (
    Degradation,
    FieldMap,
    Hit,
    IndexProfile,
    SearchAnswer,
    SearchRequest,
    SignalScore,
    VectorSignal,
    values_at,
)
from hybrid.errors import ClusterUnreachableError, IndexMissingError

FIELDS = FieldMap(
    roles={
        "id": ("id",),
        "title": ("name", "name_zh"),
        "description": ("description", "description_zh"),
        "brand": ("brand",),
        "category": ("category", "category_zh"),
        "color": ("color", "color_zh"),
        "price": ("price",),
        "image": ("image",),
    },
    types={
        "brand": "keyword",
        "category": "keyword",
        "category_zh": "keyword",
        "color": "keyword",
        "color_zh": "keyword",
        "price": "double",
        "rating": "double",
        "in_stock": "boolean",
    },
    facets=("category", "brand", "color", "price", "in_stock"),
)

COLORS = {
    "forest": ("绿色", "#3f6b52"),
    "clay": ("陶土色", "#b8694b"),
    "navy": ("藏蓝", "#33456b"),
    "sand": ("沙色", "#cdb48c"),
    "charcoal": ("炭黑", "#46464a"),
    "mustard": ("芥末黄", "#d3a036"),
}
KINDS = {  # kind: (category, category_zh, name, name_zh, brand, price, description, description_zh)
    "mug": (
        "Kitchen", "厨房", "Stoneware mug", "石瓷马克杯", "Alder & Oak", 18.0,
        "Hand-glazed mug with a wide handle, holds 350 ml, safe in the dishwasher.",
        "手工上釉马克杯，宽把手，容量 350 毫升，可机洗。",
    ),
    "lamp": (
        "Lighting", "灯具", "Dome table lamp", "圆顶台灯", "Lumen", 89.0,
        "A quiet reading lamp with a steel dome and a dimmer on the cord.",
        "安静的阅读灯，钢制灯罩，线上可调光。",
    ),
    "bag": (
        "Bags", "箱包", "Waxed canvas tote", "蜡光帆布托特包", "Fieldwork", 64.5,
        "Water-repellent tote bag with an inner pocket and a flat base.",
        "防泼水托特包，内有口袋，底部平整。",
    ),
    "shoe": (
        "Shoes", "鞋履", "Everyday knit trainers", "日常针织运动鞋", "Strato", 119.0,
        "Light running shoes with a knitted upper and a springy sole.",
        "轻便跑鞋，针织鞋面，鞋底富有弹性。",
    ),
    "chair": (
        "Furniture", "家具", "Lounge chair", "休闲椅", "Alder & Oak", 1349.0,
        "Low oak chair with a wool cushion, made to be repaired.",
        "低矮橡木椅，羊毛坐垫，易于维修。",
    ),
    "shirt": (
        "Clothing", "服装", "Heavy cotton t-shirt", "厚棉 T 恤", "Strato", 32.0,
        "Boxy t-shirt of heavy organic cotton that keeps its shape.",
        "宽松版型，厚实有机棉，不易变形。",
    ),
}  # fmt: skip
QUICK = {"waterproof": "bag", "sneakers": "shoe", "cup": "mug", "light": "lamp"}  # stands in for meaning


def draw(kind: str, color: str, size: int = 480) -> Image.Image:
    """A simple picture of a product on a soft ground, drawn at twice the size for smooth edges."""
    n = size * 2
    ground = Image.new("RGB", (n, n), "#ece8e0")
    pen = ImageDraw.Draw(ground)
    for y in range(n):
        shade = int(10 * y / n)
        pen.line((0, y, n, y), fill=(238 - shade, 234 - shade, 227 - shade))
    shadow = Image.new("L", (n, n), 0)
    ImageDraw.Draw(shadow).ellipse((n * 0.2, n * 0.74, n * 0.8, n * 0.84), fill=110)
    ground.paste((120, 110, 95), (0, 0), shadow.filter(ImageFilter.GaussianBlur(n / 40)))
    dark = tuple(int(c * 0.78) for c in Image.new("RGB", (1, 1), color).getpixel((0, 0)))

    def at(*numbers: float) -> tuple[float, ...]:
        return tuple(number * n for number in numbers)

    if kind == "mug":
        pen.ellipse(at(0.58, 0.38, 0.82, 0.66), outline=dark, width=int(n * 0.045))
        pen.rounded_rectangle(at(0.26, 0.3, 0.68, 0.79), n * 0.06, fill=color)
        pen.ellipse(at(0.26, 0.26, 0.68, 0.36), fill=dark)
    elif kind == "lamp":
        pen.rectangle(at(0.48, 0.42, 0.52, 0.76), fill="#8d8a84")
        pen.ellipse(at(0.34, 0.73, 0.66, 0.81), fill=dark)
        pen.pieslice(at(0.22, 0.18, 0.78, 0.74), 180, 360, fill=color)
        pen.rectangle(at(0.22, 0.45, 0.78, 0.475), fill=dark)
    elif kind == "bag":
        pen.arc(at(0.36, 0.14, 0.64, 0.62), 180, 360, fill=dark, width=int(n * 0.035))
        pen.polygon([at(0.24, 0.36), at(0.76, 0.36), at(0.7, 0.8), at(0.3, 0.8)], fill=color)
        pen.rectangle(at(0.4, 0.36, 0.6, 0.5), fill=dark)
    elif kind == "shoe":
        outline = [
            (0.16, 0.44),
            (0.3, 0.4),
            (0.42, 0.5),
            (0.56, 0.6),
            (0.78, 0.64),
            (0.86, 0.72),
            (0.16, 0.72),
        ]
        pen.polygon([at(*point) for point in outline], fill=color)
        pen.rounded_rectangle(at(0.14, 0.7, 0.88, 0.79), n * 0.04, fill="#fbfaf7")
        for step in range(4):
            x = 0.38 + step * 0.055
            pen.line(at(x, 0.47 + step * 0.035, x - 0.04, 0.55 + step * 0.03), fill="#fbfaf7", width=int(n * 0.012))
    elif kind == "chair":
        for x in (0.28, 0.68):
            pen.polygon([at(x, 0.5), at(x + 0.04, 0.5), at(x + 0.02, 0.8), at(x, 0.8)], fill="#a57b4e")
        pen.rounded_rectangle(at(0.26, 0.2, 0.74, 0.56), n * 0.05, fill=color)
        pen.rounded_rectangle(at(0.22, 0.52, 0.78, 0.65), n * 0.05, fill=dark)
    else:
        half = [(0.34, 0.22), (0.16, 0.34), (0.24, 0.48), (0.32, 0.42), (0.32, 0.8)]
        mirrored = [(1 - x, y) for x, y in reversed(half)]
        pen.polygon([at(*point) for point in half + mirrored], fill=color)
        pen.pieslice(at(0.41, 0.12, 0.59, 0.32), 0, 180, fill=dark)
    return ground.resize((size, size), Image.LANCZOS)


def catalogue() -> list[dict[str, Any]]:
    """36 products: six kinds in six colours."""
    products = []
    for k, (kind, (category, category_zh, name, name_zh, brand, price, text, text_zh)) in enumerate(KINDS.items()):
        for c, (color, (color_zh, _)) in enumerate(COLORS.items()):
            products.append(
                {
                    "id": f"p{k * 6 + c + 1:04}",
                    "name": f"{name}, {color}",
                    "name_zh": f"{name_zh}（{color_zh}）",
                    "description": text,
                    "description_zh": text_zh,
                    "brand": brand,
                    "category": category,
                    "category_zh": category_zh,
                    "color": color,
                    "color_zh": color_zh,
                    "price": price + c * 2.5,
                    "in_stock": (k + c) % 7 != 3,
                    "rating": 3 + (k * c) % 5 / 2,
                    "image": f"images/{kind}-{color}.jpg",
                }
            )
    return sorted(products, key=lambda product: (int(product["id"][1:]) * 7) % 37)


def paint(folder: Path) -> None:
    (folder / "images").mkdir(exist_ok=True)
    for kind in KINDS:
        for color, (_, shade) in COLORS.items():
            if (kind, color) != ("chair", "sand"):  # one product is without its picture
                draw(kind, shade).save(folder / "images" / f"{kind}-{color}.jpg", quality=88)


class Searcher:
    """Answers like the core, from a list. `asked` keeps the requests for tests to look at."""

    def __init__(self, products: list[dict[str, Any]], media_root: Path | None = None) -> None:
        self.products = {product["id"]: product for product in products}
        self.names = ["shop"]
        self.asked: list[SearchRequest] = []
        self.failure: Exception | None = None
        self.degraded: list[Degradation] = []
        spec = VectorSignal("made-up", "1", 4)
        self._profile = IndexProfile(
            "shop", FIELDS, {"text": spec, "image": spec}, "en", "1", str(media_root) if media_root else None
        )

    def indices(self) -> list[str]:
        if isinstance(self.failure, ClusterUnreachableError):
            raise self.failure
        return self.names

    def profile(self, index: str) -> IndexProfile:
        if index not in self.names:
            raise IndexMissingError(f"no index {index}")
        return dataclasses.replace(self._profile, index=index)

    def product(self, index: str, id: str) -> dict[str, Any] | None:
        self.profile(index)
        return self.products.get(id)

    def suggest(self, index: str, prefix: str, size: int) -> list[dict[str, Any]]:
        self.profile(index)
        start = prefix.lower()
        found = []
        for kind, field in (("category", "category"), ("brand", "brand"), ("product", "name")):
            names = {p[field]: p["id"] for p in self.products.values() if start in p[field].lower()}
            found += [{"text": name, "id": id, "kind": kind} for name, id in sorted(names.items())]
        return found[:size]

    def search(self, request: SearchRequest) -> SearchAnswer:
        self.asked.append(request)
        if self.failure:
            raise self.failure
        fields = self.profile(request.index).fields
        words = re.findall(r"\w+", request.q.lower())
        scored = []
        for product in self.products.values():
            signals = self._signals(product, words, request)
            if (words or request.image) and not any(s.contribution for s in signals.values()):
                continue
            score = sum(signal.contribution for signal in signals.values())
            scored.append(Hit(product["id"], score, signals, product, self._highlight(product, words)))
        scored.sort(key=lambda hit: (-hit.score,))
        found = [hit for hit in scored if _passes(hit.source, request.filters)]
        facets = {}
        for path in fields.facets if request.facets is None else request.facets:
            rest = {name: wanted for name, wanted in request.filters.items() if name != path}
            facets[path] = _count(path, [h.source for h in scored if _passes(h.source, rest)])
        first = (request.page - 1) * request.size
        play = {name: s.weight for name, s in (found or scored)[0].signals.items()} if found or scored else {}
        return SearchAnswer(
            total=len(found),
            hits=found[first : first + request.size],
            facets=facets,
            page=request.page,
            size=request.size,
            system=request.system or "fixed",
            weights=play,
            weights_version="made-up-1",
            total_counts="products that match the words, plus the nearest of each vector signal",
            degraded=list(self.degraded),
            notes=["image: left out, the search has no picture"] if words and not request.image else [],
            took_ms=12.4,
        )

    def _signals(self, product: dict[str, Any], words: list[str], request: SearchRequest) -> dict[str, SignalScore]:
        if not words and not request.image:
            return {}
        text = " ".join(
            str(product[k]) for k in ("name", "name_zh", "description", "description_zh", "brand", "category")
        )
        hit = sum(word in text.lower() for word in words) / (len(words) or 1)
        near = max([0.0, *(0.85 for w in words if QUICK.get(w, "?") in product["image"])]) or hit * 0.7
        weights = {"lexical": 0.55, "text": 0.45} if words else {}
        if request.image:
            weights = {name: weight * 0.5 for name, weight in weights.items()} | {"image": 0.5 if words else 1.0}
        spread = 1 - int(product["id"][1:]) % 6 / 20
        raw = {"lexical": 14 * hit * spread or None, "text": near * spread or None, "image": None}
        if request.image:
            raw["image"] = 0.9 * spread if "shoe" in product["image"] else 0.3 * spread
        scaled = {"lexical": hit * spread, "text": near * spread, "image": raw["image"] or 0.0}
        return {
            name: SignalScore(raw[name], scaled[name], weight, weight * scaled[name])
            for name, weight in weights.items()
        }

    def _highlight(self, product: dict[str, Any], words: list[str]) -> dict[str, str]:
        shown = {}
        for role, path in (("title", "name"), ("description", "description")):
            for name in (path, path + "_zh"):
                text = html.escape(product.get(name, ""))
                for word in words:
                    text = re.sub(rf"({re.escape(html.escape(word))})", r"<mark>\1</mark>", text, flags=re.IGNORECASE)
                if "<mark>" in text:
                    shown.setdefault(role, text)
        return shown


def _passes(source: dict[str, Any], filters: Any) -> bool:
    for path, wanted in filters.items():
        values = list(values_at(source, path))
        if isinstance(wanted, dict):
            low, high = wanted.get("gte", -math.inf), wanted.get("lte", math.inf)
            if not any(low <= value <= high for value in values):
                return False
        else:
            known = {_text(value) for value in values}
            if not known & {_text(item) for item in (wanted if isinstance(wanted, list) else [wanted])}:
                return False
    return True


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _count(path: str, sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    values = [value for source in sources for value in values_at(source, path)]
    if FIELDS.types.get(path) == "double":
        return [{"min": min(values), "max": max(values), "count": len(values)}] if values else []
    return [{"value": value, "count": count} for value, count in Counter(values).most_common()]


class Services:
    """What `create_app` takes."""

    def __init__(self, products: list[dict[str, Any]], media_root: Path | None = None) -> None:
        self.settings = SimpleNamespace(index=None, media_root=media_root)
        self.searcher = Searcher(products, media_root)
        self.alive = True

    def health(self) -> dict[str, Any]:
        engine = {"ok": True, "version": "9.5.2"} if self.alive else {"ok": False, "reason": "connection refused"}
        return {"elasticsearch": engine, "encoders": {"text": {"ok": True}}}


@contextmanager
def serving(services: Services, port: int = 0):
    """The address of a real server in a thread."""
    from web import create_app

    server = make_server("127.0.0.1", port, create_app(services), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        paint(Path(folder))
        with serving(Services(catalogue(), Path(folder)), int(sys.argv[1]) if len(sys.argv) > 1 else 8000) as url:
            print(url, flush=True)
            threading.Event().wait()
