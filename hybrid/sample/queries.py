"""Judged queries for the sample: texts in English and Chinese, and photographs.

Nobody read 512 products for each query. Ratings follow from the products' own attributes by rules written down
here, so they cover every relevant product and say why: 3 is what was asked for, 2 would do, 1 is the right sort
of thing and otherwise not it, 0 is something else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hybrid.sample.products import CATEGORIES, SampleProduct, products
from hybrid.sample.words import COLORS

#: Field -> value, or values any of which will do.
Condition = Mapping[str, str | tuple[str, ...]]
#: (rating, condition), best first; the first that holds rates the product.
Tiers = tuple[tuple[int, Condition], ...]

#: Colours a person would accept, less gladly, when the other was asked for.
NEAR: dict[str, str] = {"blue": "navy", "navy": "blue", "green": "teal", "teal": "green", "beige": "brown"}
#: Judged as wrong for each query: measures that look at unjudged hits need some.
ZEROS = 12


@dataclass(frozen=True, slots=True)
class TextQuery:
    """kind: plain, attributes, brand, model, typo, meaning (shares no word with its best answers)."""

    text: str
    kind: str
    language: str
    tiers: Tiers


@dataclass(frozen=True, slots=True)
class PhotoQuery:
    """A photograph of a thing that is not in the catalogue, but looks like some products."""

    image: str
    category: str
    color: str
    pattern: str
    style: int

    @property
    def tiers(self) -> Tiers:
        same: Condition = {"category": self.category, "color": self.color}
        return ((3, {**same, "pattern": self.pattern}), (2, same), (1, {"category": self.category}))


def look(category: str, **features: str) -> Tiers:
    """All features rate 3, all but one feature (or a near colour) rate 2, the category alone rates 1."""
    tiers: list[tuple[int, Condition]] = [(3, {"category": category, **features})]
    if features.get("color") in NEAR:
        tiers.append((2, {"category": category, **features, "color": NEAR[features["color"]]}))
    if len(features) > 1:
        for missing in features:
            tiers.append((2, {"category": category, **{k: v for k, v in features.items() if k != missing}}))
    tiers.append((1, {"category": category}))
    return tuple(tiers)


def _want(category: str, tags: str | tuple[str, ...], *less: tuple[int, Condition]) -> Tiers:
    """Products of a category with one of the tags are 3; then the lesser answers."""
    return ((3, {"category": category, "tags": tags}), *less)


def _is(*categories: str) -> Condition:
    return {"category": categories}


COFFEE = _want("mugs", "insulated", (2, {"category": "mugs", "tags": "leakproof"}), (1, _is("mugs")))
QUIET = _want(
    "headphones", "noise-cancelling", (2, {"category": "headphones", "tags": "commute"}), (1, _is("headphones"))
)
RAIN: Tiers = (
    (3, _is("umbrellas")),
    (3, {"category": "jackets", "tags": "waterproof"}),
    (2, {"category": "boots", "tags": "waterproof"}),
)
GLARE = _want("sunglasses", "polarised", (2, _is("sunglasses")))
HILLS = _want("boots", "hiking", (2, {"category": "sneakers", "tags": "trail"}), (1, _is("boots")))
COMPUTER = _want(
    "backpacks", "laptop", (2, {"category": "handbags", "tags": "work"}), (1, _is("backpacks")),
)  # fmt: skip
NIGHT = _want("lamps", "bedside", (1, _is("lamps")))
WEDDING = _want("dresses", "formal", (2, {"category": "dresses", "tags": "holiday"}), (1, _is("dresses")))
SPINE = _want("chairs", "ergonomic", (1, _is("chairs")))
OOLONG = _want("teapots", "gongfu", (2, _is("teapots")))
PULSE = _want("watches", "heart-rate", (1, _is("watches")))
SNOW: Tiers = (
    (3, {"category": "scarves", "material": ("wool", "cashmere")}),
    (2, {"category": ("boots", "jackets"), "tags": "winter"}),
    (1, _is("scarves")),
)
DRIVE = _want("mugs", "leakproof", (2, {"category": "mugs", "tags": "insulated"}), (1, _is("mugs")))

ENGLISH: tuple[tuple[str, str, Tiers], ...] = (
    ("red sneakers", "plain", look("sneakers", color="red")),
    ("blue mug", "plain", look("mugs", color="blue")),
    ("green umbrella", "plain", look("umbrellas", color="green")),
    ("white teapot", "plain", look("teapots", color="white")),
    ("black headphones", "plain", look("headphones", color="black")),
    ("pink handbag", "plain", look("handbags", color="pink")),
    ("yellow lamp", "plain", look("lamps", color="yellow")),
    ("navy backpack", "plain", look("backpacks", color="navy")),
    ("striped t-shirt", "attributes", look("t-shirts", pattern="striped")),
    ("blue striped t-shirt", "attributes", look("t-shirts", color="blue", pattern="striped")),
    ("pink dress with polka dots", "attributes", look("dresses", color="pink", pattern="dotted")),
    ("floral dress", "attributes", look("dresses", pattern="floral")),
    ("checked wool scarf", "attributes", look("scarves", pattern="checked", material="wool")),
    ("black leather boots", "attributes", look("boots", color="black", material="leather")),
    ("brown leather backpack", "attributes", look("backpacks", color="brown", material="leather")),
    ("grey office chair", "attributes", look("chairs", color="grey", tags="office")),
    ("yellow rain jacket", "attributes", look("jackets", color="yellow", tags="waterproof")),
    ("round sunglasses", "attributes", look("sunglasses", tags="retro")),
    ("Kilnwood mug", "brand", look("mugs", brand="Kilnwood")),
    ("Packhorn backpack", "brand", look("backpacks", brand="Packhorn")),
    ("Northfell boots black", "brand", look("boots", brand="Northfell", color="black")),
    ("red sneekers", "typo", look("sneakers", color="red")),
    ("noise canceling hedphones", "typo", QUIET),
    ("something to keep my coffee warm at my desk", "meaning", COFFEE),
    ("gift for someone who listens to music on the train", "meaning", QUIET),
    ("I don't want to get soaked on my way home in bad weather", "meaning", RAIN),
    ("protect my eyes from glare at the beach", "meaning", GLARE),
    ("footwear for muddy hills", "meaning", HILLS),
    ("carry a computer to the office", "meaning", COMPUTER),
    ("reading at night without waking my partner", "meaning", NIGHT),
    ("what to wear to a summer wedding", "meaning", WEDDING),
    ("my back hurts from sitting all day", "meaning", SPINE),
    ("brew oolong for friends", "meaning", OOLONG),
    ("count my steps and pulse", "meaning", PULSE),
    ("cosy present for grandmother when it snows", "meaning", SNOW),
    ("stop spilling drinks while driving", "meaning", DRIVE),
)  # fmt: skip

CHINESE: tuple[tuple[str, str, Tiers], ...] = (
    ("红色运动鞋", "plain", look("sneakers", color="red")),
    ("蓝色马克杯", "plain", look("mugs", color="blue")),
    ("黑色双肩包", "plain", look("backpacks", color="black")),
    ("绿色雨伞", "plain", look("umbrellas", color="green")),
    ("白色茶壶", "plain", look("teapots", color="white")),
    ("紅色運動鞋", "plain", look("sneakers", color="red")),  # traditional characters
    ("条纹T恤", "attributes", look("t-shirts", pattern="striped")),
    ("碎花连衣裙", "attributes", look("dresses", pattern="floral")),
    ("紫色格纹围巾", "attributes", look("scarves", color="purple", pattern="checked")),
    ("黑色真皮靴子", "attributes", look("boots", color="black", material="leather")),
    ("降噪耳机", "attributes", QUIET),
    ("Kilnwood 茶壶", "brand", look("teapots", brand="Kilnwood")),
    ("下雨天怎么才不会淋湿", "meaning", RAIN),
    ("坐地铁想安静听音乐", "meaning", QUIET),
    ("坐了一天腰疼", "meaning", SPINE),
    ("睡前看书不吵醒老公", "meaning", NIGHT),
    ("爬山穿什么鞋", "meaning", HILLS),
    ("带电脑去公司", "meaning", COMPUTER),
    ("冬天送奶奶的暖和礼物", "meaning", SNOW),
    ("让咖啡一直热着", "meaning", COFFEE),
)  # fmt: skip


def text_queries() -> tuple[TextQuery, ...]:
    """All text queries; those for model numbers take the numbers from the products themselves."""
    queries = [TextQuery(text, kind, "en", tiers) for text, kind, tiers in ENGLISH]
    # As printed on the box, then the ways people type it.
    spellings = ("{0}", "{0}", "{1}", "{2} {0}")
    for category, spelling in zip(("headphones", "watches", "boots", "backpacks"), spellings, strict=True):
        product = next(p.source for p in products() if p.source["category"] == category)
        model = product["model"]
        text = spelling.format(model, model.lower().replace("-", " "), product["brand"])
        queries.append(TextQuery(text, "model", "en", ((3, {"model": model}),)))
    queries += [TextQuery(text, kind, "zh", tiers) for text, kind, tiers in CHINESE]
    return tuple(queries)


def photo_queries() -> tuple[PhotoQuery, ...]:
    """24 photographs: one of each category, plain and patterned in turn, and a second of every other one."""
    categories: list[tuple[str, bool]] = [(c.name, n % 2 == 1) for n, c in enumerate(CATEGORIES)]
    categories += [(c.name, True) for c in CATEGORIES[::2]]
    taken: Counter[str] = Counter()
    queries: list[PhotoQuery] = []
    for number, (category, patterned) in enumerate(categories, start=1):
        looks: Counter[tuple[str, str]] = Counter()
        styles: dict[tuple[str, str], int] = {}
        for product in products():
            seen = (product.source["color"], product.source["pattern"])
            if product.source["category"] == category and (seen[1] != "plain") == patterned:
                looks[seen] += 1
                styles.setdefault(seen, product.style)
        # Common looks first, so that there is more than one right answer; then colours that no query has yet.
        color, pattern = min(looks, key=lambda seen: (-min(looks[seen], 2), taken[seen[0]], seen))
        taken[color] += 1
        style = styles[color, pattern]
        queries.append(PhotoQuery(f"queries/q{number:02d}.jpg", category, color, pattern, style))
    return tuple(queries)


def photo_and_word_queries() -> tuple[tuple[str, PhotoQuery, Tiers], ...]:
    """(words, photograph, tiers): "like this, but in black", every third one in Chinese.

    The photograph says what sort of thing and what pattern, the words say the colour.
    """
    taken: Counter[str] = Counter()
    queries: list[tuple[str, PhotoQuery, Tiers]] = []
    for number, photo in enumerate(photo_queries()):
        have = Counter(p.source["color"] for p in products() if p.source["category"] == photo.category)
        others = [color for color in have if color != photo.color and have[color] >= 2]
        if not others:
            continue
        color = min(others, key=lambda color: (taken[color], -have[color], color))
        taken[color] += 1
        same: Condition = {"category": photo.category, "color": color}
        tiers: Tiers = ((3, {**same, "pattern": photo.pattern}), (2, same), (1, {"category": photo.category}))
        if not any(rating >= 2 for _, rating in judge(tiers)):
            continue
        words = f"{COLORS[color]}的" if number % 3 == 2 else ("in {0}", "{0}")[number % 2].format(color)
        queries.append((words, photo, tiers))
    return tuple(queries)


def judge(tiers: Tiers) -> Iterator[tuple[SampleProduct, int]]:
    """Every product that rates above 0, in catalogue order, then some that rate 0."""
    wrong: list[SampleProduct] = []
    for product in products():
        rating = next((r for r, condition in tiers if _holds(condition, product.source)), 0)
        if rating:
            yield product, rating
        else:
            wrong.append(product)
    for product in wrong[:: max(1, len(wrong) // ZEROS)][:ZEROS]:
        yield product, 0


def _holds(condition: Condition, source: Mapping[str, Any]) -> bool:
    for field, allowed in condition.items():
        values = source[field] if isinstance(source[field], list) else [source[field]]
        accepted = (allowed,) if isinstance(allowed, str) else allowed
        if not any(value in accepted for value in values):
            return False
    return True
