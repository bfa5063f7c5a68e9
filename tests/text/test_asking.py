"""What is read from a query beside words: phrases, exclusions and prices, and what must stay words."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hybrid.text import operators, prices
from hybrid.text.phrases import readings

#: query -> (phrases, excluded).
OPERATORS: dict[str, tuple[list[str], list[str]]] = {
    '"running shoes" red': (["running shoes"], []),
    "“running  shoes”": (["running shoes"], []),
    "«bottes rouges» noir": (["bottes rouges"], []),
    "„rote Schuhe“ 42": (["rote Schuhe"], []),
    "红色「运动鞋」": (["运动鞋"], []),
    "“运动鞋” 红色": (["运动鞋"], []),
    'shoes -nike -"two words" red': ([], ["nike", "two words"]),
    "-red": ([], ["red"]),
    "mouse −wireless, black": ([], ["wireless"]),
    "耳机 -蓝牙": ([], ["蓝牙"]),
    "-t-shirt red": ([], ["t-shirt"]),
    't-shirt usb - c 5 - 10 -20 degrees -20°C --red 耳机-蓝牙 - "': ([], []),
    '27" monitor 24" 3/4" valve': ([], []),
    '"27" monitor"': (["27"], []),
    '"unclosed shoes': ([], []),
    '"" "!?" a"b c"': ([], []),
    " ".join(f'"w{n}"' for n in range(12)): ([f"w{n}" for n in range(operators.MOST)], []),
}

#: query -> (the words taken, their bounds).
PRICES: dict[str, tuple[str, Mapping[str, float]]] = {
    "headphones under 50": ("under 50", {"lt": 50}),
    "shoes kids under 50": ("under 50", {"lt": 50}),
    "shoes men under 50": ("under 50", {"lt": 50}),
    "under 50": ("under 50", {"lt": 50}),
    "below $50 lamp": ("below $50", {"lt": 50}),
    "less than 50 euro shoes": ("less than 50 euro", {"lt": 50}),
    "lamp over 100": ("over 100", {"gt": 100}),
    "lamp between 20 and 40": ("between 20 and 40", {"gte": 20, "lte": 40}),
    "20-40 euro lamp": ("20-40 euro", {"gte": 20, "lte": 40}),
    "lamp $20 to $40": ("$20 to $40", {"gte": 20, "lte": 40}),
    "lamp over 20 under 50": ("over 20 under 50", {"gt": 20, "lt": 50}),
    "iphone 12 under 1,299.50": ("under 1,299.50", {"lt": 1299.5}),
    "priced below 50 shoes": ("priced below 50", {"lt": 50}),
    "under armour under 50": ("under 50", {"lt": 50}),
    "Lampe von 20 bis 40": ("von 20 bis 40", {"gte": 20, "lte": 40}),
    "Lampe unter 1.299 €": ("unter 1.299 €", {"lt": 1299}),
    "Lampe bis 50 Euro": ("bis 50 Euro", {"lte": 50}),
    "ab 100 Euro Jacke": ("ab 100 Euro", {"gte": 100}),
    "50元以下的耳机": ("50元以下", {"lte": 50}),
    "耳机不超过50元": ("不超过50元", {"lte": 50}),
    "20到40元": ("20到40元", {"gte": 20, "lte": 40}),
    "20-40元之间的杯子": ("20-40元之间", {"gte": 20, "lte": 40}),
    "手机 100元以上": ("100元以上", {"gte": 100}),
    "手机 1万元以下": ("1万元以下", {"lte": 10000}),
    "价格50以下": ("价格50以下", {"lte": 50}),
    "moins de 50 €": ("moins de 50 €", {"lt": 50}),
    "lampe entre 20 et 40 euros": ("entre 20 et 40 euros", {"gte": 20, "lte": 40}),
    "lámpara menos de 50 euros": ("menos de 50 euros", {"lt": 50}),
    "lampada meno di 50 euro": ("meno di 50 euro", {"lt": 50}),
    "lamp onder 50 euro": ("onder 50 euro", {"lt": 50}),
}
NO_PRICES = (
    """
under armour|under 18 team|below 0|under $0|over 30 inch tv|from 5 to 10 people|size under 50
women over 50|kids under 12|over 100 lumen|screws between 20 and 40 mm|under 50cm|monitor over 27"
between 2020 and 2022 cars|over 50 shades|5-10|t-shirt 50|iphone 15 pro|12.5.2020|model 20-40
4-6 person tent|usb 3.0 over 2m|over 50%|dumbbells under 5 pounds|20 to 40|bis 50|ab 100|max 50
50以下|Buch über 1984|Schuhe Größe von 36 bis 40|under 40 over 50 euro|$50 gift card
over the ear headphones|Kabel von 5 bis 10 m
""".strip()
    .replace("\n", "|")
    .split("|")
)


@pytest.mark.parametrize("query", OPERATORS)
def test_quotes_and_minus(query: str) -> None:
    found = operators.find(query)
    assert ([one.text for one in found.phrases], [one.text for one in found.excluded]) == OPERATORS[query]
    assert all(query[one.start : one.end] == one.typed for one in (*found.phrases, *found.excluded))


@pytest.mark.parametrize("query", PRICES)
def test_price_words(query: str) -> None:
    found = prices.find(query)
    assert found and (found.text, found.bounds) == PRICES[query]


@pytest.mark.parametrize("query", NO_PRICES)
def test_no_price_words(query: str) -> None:
    assert prices.find(query) is None


def test_a_phrase_is_read_as_the_index_reads_its_words() -> None:
    assert [one.terms for one in readings("Running Shoes", "en")] == ["run shoe"]
    assert [one.terms for one in readings("usb-c", "en")] == ["usbc usb c", "usb c"]
    assert "rot schuh" in [one.terms for one in readings("rote Schuhe", "de", "en")]
    whole, words = readings("红色运动鞋", "zh")
    assert words.terms == "红色 运动鞋" and words.gaps > 0 and whole.gaps == 0
    assert readings("!?", "en") == ()
