"""The products of the sample catalogue, put together from the tables by a seeded generator."""

from __future__ import annotations

import datetime
import functools
import itertools
import random
from dataclasses import dataclass
from typing import Any

from hybrid.sample.household import HOUSEHOLD
from hybrid.sample.wardrobe import WARDROBE
from hybrid.sample.words import (
    BRANDS,
    COLORS,
    MATERIALS,
    PATTERN_LETTERS,
    PATTERN_SENTENCES,
    PATTERNS,
    Category,
    Kind,
    Pair,
)

CATEGORIES: tuple[Category, ...] = (*WARDROBE, *HOUSEHOLD)
PER_CATEGORY = 32
SEED = "hybrid sample"

_FIRST_DAY = datetime.date(2021, 3, 1)
_DAYS = 1600


@dataclass(frozen=True, slots=True)
class SampleProduct:
    """One product and what its picture needs. `style` is the place of the kind in its category."""

    source: dict[str, Any]
    style: int

    @property
    def id(self) -> str:
        return str(self.source["id"])


@functools.cache
def products() -> tuple[SampleProduct, ...]:
    """All products, the same in every run: 32 of each category, shuffled so that no page is all shoes."""
    rng = random.Random(SEED)
    chosen = [(category, *combo) for category in CATEGORIES for combo in _combos(category)]
    rng.shuffle(chosen)
    models: set[str] = set()
    return tuple(
        _product(number, category, style, color, pattern, models)
        for number, (category, style, color, pattern) in enumerate(chosen, start=1)
    )


def _combos(category: Category) -> list[tuple[int, str, str]]:
    """(style, colour, pattern) of a category's products, no two alike.

    Every colour first comes twice in plain, in kinds that follow one another, so that a search for a colour
    and a category always finds more than one thing; patterned goods fill the rest.
    """
    plain: list[tuple[int, str, str]] = []
    turn = 0
    for color in category.colors:
        fitting = [s for s, k in enumerate(category.kinds) if "p" in k.patterns and _comes_in(k, color)]
        for _ in range(min(2, len(fitting))):
            plain.append((fitting[turn % len(fitting)], color, "plain"))
            turn += 1
    # A pattern should be something one can search for: all of a category's patterns get the same room, each
    # starting from another colour, so that they do not all come in the same few.
    queues = []
    for place, pattern in enumerate(PATTERN_LETTERS.values()):
        initial = pattern[0]
        queue = []
        for step in range(2 * len(category.colors)):
            color = category.colors[(2 * place - 2 + step) % len(category.colors)]
            fitting = [s for s, k in enumerate(category.kinds) if initial in k.patterns and _comes_in(k, color)]
            if fitting and pattern != "plain":
                # The second time round a colour meets another kind, where there is one.
                queue.append((fitting[(step + step // len(category.colors)) % len(fitting)], color, pattern))
        queues.append(queue)
    others = [combo for rank in itertools.zip_longest(*queues) for combo in rank if combo]
    extra = [
        (style, color, "plain")
        for style, kind in enumerate(category.kinds)
        for color in category.colors
        if "p" in kind.patterns and _comes_in(kind, color)
    ]
    random.Random(f"{SEED}/{category.name}").shuffle(extra)
    return list(dict.fromkeys(plain + others + extra))[:PER_CATEGORY]


def _comes_in(kind: Kind, color: str) -> bool:
    return not kind.colors or color in kind.colors


def _product(number: int, category: Category, style: int, color: str, pattern: str, models: set[str]) -> SampleProduct:
    rng = random.Random(f"{SEED}/{number}")
    kind = category.kinds[style]
    material = rng.choice(kind.materials)
    brand = rng.choice(category.brands)
    identifier = f"p{number:04d}"
    name, name_zh = _names(rng, kind, brand, color, pattern)
    description, description_zh = _descriptions(rng, category, kind, material, pattern)
    low, high = kind.price
    tags = list(kind.tags)
    if pattern != "plain":
        tags.append(pattern)
    source: dict[str, Any] = {
        "id": identifier,
        "name": name,
        "name_zh": name_zh,
        "description": description,
        "description_zh": description_zh,
        "brand": brand,
        "category": category.name,
        "category_zh": category.name_zh,
        "color": color,
        "color_zh": COLORS[color],
        "pattern": pattern,
        "material": material,
        "tags": tags,
        "price": rng.randint(low, high) - rng.choice((0.01, 0.05, 0.1, 0.5)),
        "in_stock": rng.random() < 0.88,
        "released": (_FIRST_DAY + datetime.timedelta(days=rng.randrange(_DAYS))).isoformat(),
        "model": _model(rng, brand, models),
        "rating": round(rng.triangular(3.2, 5.0, 4.5), 1),
        "image": f"images/{identifier}.jpg",
    }
    source["price"] = round(source["price"], 2)
    return SampleProduct(source, style)


def _names(rng: random.Random, kind: Kind, brand: str, color: str, pattern: str) -> Pair:
    look = color.title() if pattern == "plain" else f"{color.title()} {pattern.title()}"
    # "海魂衫" is striped by nature, as a Breton is; saying so again would sound like a machine.
    look_zh = COLORS[color] + ("" if kind.patterns == "s" else PATTERNS[pattern])
    if kind.patterns == "s":
        look = color.title()
    if rng.random() < 0.5:
        return f"{look} {kind.name}", f"{look_zh}{kind.name_zh}"
    return f"{brand} {look} {kind.name}", f"{brand} {look_zh}{kind.name_zh}"


def _descriptions(rng: random.Random, category: Category, kind: Kind, material: str, pattern: str) -> Pair:
    """What it is good for, always; then one or two sentences of material, occasion or pattern."""
    more = [rng.choice(MATERIALS[material]), rng.choice(category.occasions)]
    if pattern != "plain":
        more.append(rng.choice(PATTERN_SENTENCES[pattern]))
    rng.shuffle(more)
    parts = [(kind.use, kind.use_zh), *more[: rng.choice((1, 2, 2))]]
    return " ".join(en for en, _ in parts), "".join(zh for _, zh in parts)


def _model(rng: random.Random, brand: str, taken: set[str]) -> str:
    while True:
        model = f"{BRANDS[brand]}-{rng.randint(1000, 9899)}"
        if model not in taken:
            taken.add(model)
            return model
