"""Kinds of query, told from the query alone."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from hybrid.sample import queries
from hybrid.search.kinds import KINDS, kind_of


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("code", ["COS4101", "COS 4101", "mx500", "MX 500/2", "tn-2110", "5901234123457", "dsc-rx1"]),
        ("words", ["usb 3", "2 TB", "10,000 mAh", "iphone 8", "brother tn-2110 toner", "towel 30 x 40", ""]),
        ("single word", ["mouse", "1.5m", "30x40", " lamp "]),
        ("sentence", ["what to wear to a summer wedding", "count my steps and pulse", "坐地铁想安静听音乐"]),
        ("words", ["black and white shirts for women", "pink dress with polka dots"]),
        ("other script", ["灯", "红色运动鞋", "ハロウィン ケーキ", "наушники беспроводные", "終わらない夏 我那覇美奈"]),
    ],
)  # fmt: skip
def test_kinds_of_query(kind: str, texts: list[str]) -> None:
    assert {text: kind_of(text) for text in texts} == dict.fromkeys(texts, kind)
    assert {kind_of(text, photo=True) for text in texts if text} == {"photo and words"}
    assert kind_of(" ", photo=True) == "photo" and kind in KINDS


def test_the_sentences_of_the_sample_are_found() -> None:
    told = [(query[1], kind_of(query[0])) for query in (*queries.ENGLISH, *queries.CHINESE)]
    assert sum(kind == "sentence" for meant, kind in told if meant == "meaning") >= 19  # of 21
    assert [kind for meant, kind in told if meant != "meaning" and kind in ("sentence", "code")] == []


def test_what_people_type_is_mostly_words(shared: Path) -> None:
    with (shared / "esci" / "judgments_us.csv").open(newline="", encoding="utf-8") as file:
        typed = {row["query"] for row in csv.DictReader(file)}
    share = {kind: count / len(typed) for kind, count in Counter(map(kind_of, typed)).items()}
    assert share["words"] > 0.85 and 0.02 < share["sentence"] < 0.05 and share["code"] < 0.01
