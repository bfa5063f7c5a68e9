"""The sample catalogue: deterministic, complete, judged, and its pictures show what its texts say."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageStat

from hybrid.evaluation.formats import read_judgments
from hybrid.sample import SamplePaths, sample_paths, write_sample
from hybrid.sample.pen import ACCENT, CREAM, RGB
from hybrid.sample.pictures import draw
from hybrid.sample.products import products
from hybrid.sample.queries import judge, photo_queries, text_queries
from hybrid.text.analysis import is_chinese

FIELDS = {
    "id", "name", "name_zh", "description", "description_zh", "brand", "category", "category_zh", "color", "color_zh",
    "pattern", "material", "tags", "price", "in_stock", "released", "model", "rating", "image",
}  # fmt: skip
HAN = re.compile(r"[\u4e00-\u9fff]")
#: Words that say nothing about a product; a query may share them with anything.
STOPWORDS = {
    "a", "all", "and", "at", "don't", "for", "from", "get", "i", "in", "it", "my", "on", "someone", "something",
    "the", "to", "way", "what", "when", "who", "without",
}  # fmt: skip


@pytest.fixture(scope="module")
def sample(sample_files: SamplePaths, tmp_path_factory: pytest.TempPathFactory) -> SamplePaths:
    """A copy, which a test may change."""
    folder = tmp_path_factory.mktemp("copy") / "sample"
    shutil.copytree(sample_files.products.parent, folder)
    return sample_paths(folder)


@pytest.fixture(scope="module")
def rows(sample: SamplePaths) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sample.products.read_text(encoding="utf-8").splitlines()]


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def grades(path: Path, key: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for row in read_csv(path):
        assert row["docid"] not in found[row[key]], "a product is judged once for a query"
        found[row[key]][row["docid"]] = int(row["rating"])
    return found


def test_import_is_light() -> None:
    code = "import sys, hybrid.sample; print([m for m in ('torch', 'flask', 'celery', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_counts_and_fields(sample: SamplePaths, rows: list[dict[str, Any]]) -> None:
    assert len(rows) >= 400
    assert len({row["category"] for row in rows}) >= 10
    assert all(set(row) == FIELDS for row in rows)
    for unique in ("id", "model", "image"):
        assert len({row[unique] for row in rows}) == len(rows)
    assert len({row["name"] for row in rows}) > 0.95 * len(rows)
    for row in rows:
        assert row["color"] in RGB
        assert row["name"].isascii() and len(row["description"].split()) >= 8
        assert HAN.search(row["name_zh"]) and len(HAN.findall(row["description_zh"])) >= 12
        assert HAN.search(row["category_zh"]) and HAN.search(row["color_zh"])
        assert row["color_zh"] in row["name_zh"] and row["color"].title() in row["name"]
        assert re.fullmatch(r"[A-Z]{3}-\d{4}", row["model"])
        assert 5 < row["price"] < 400 and 1 <= row["rating"] <= 5
        assert isinstance(row["in_stock"], bool) and re.fullmatch(r"20\d\d-\d\d-\d\d", row["released"])


def test_every_color_of_a_category_comes_in_plain(rows: list[dict[str, Any]]) -> None:
    looks = {(row["category"], row["color"], row["pattern"]) for row in rows}
    assert {(category, color) for category, color, _ in looks} == {(c, k) for c, k, p in looks if p == "plain"}


def test_every_picture_opens(sample: SamplePaths, rows: list[dict[str, Any]]) -> None:
    folder = sample.products.parent
    for row in rows:
        with Image.open(folder / row["image"]) as picture:
            picture.load()
            assert picture.size == (320, 320) and picture.mode == "RGB" and picture.format == "JPEG"
    assert {path.name for path in sample.images.iterdir()} == {Path(row["image"]).name for row in rows}


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(sample: SamplePaths, tmp_path: Path) -> None:
    # Another process with another hash seed: an order taken from a set would show here.
    code = (
        "import sys; from pathlib import Path; from hybrid.sample import write_sample; write_sample(Path(sys.argv[1]))"
    )
    env = {**os.environ, "PYTHONHASHSEED": "4711"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=env)
    first = sample.products.parent
    names = sorted(str(path.relative_to(first)) for path in first.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert [name for name in names if (first / name).read_bytes() != (tmp_path / name).read_bytes()] == []


def test_second_call_writes_nothing_and_a_cut_run_is_redone(
    sample: SamplePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sample.products.parent
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert write_sample(folder) == sample
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    # Without the stamp, as an interrupted run leaves it, the pictures are drawn again: here the first fails.
    stamp = folder / ".sample-version"
    kept = stamp.read_bytes()
    stamp.unlink()

    def fail(*_: object) -> None:
        raise RuntimeError("drawing")

    monkeypatch.setattr("hybrid.sample.pictures.draw", fail)
    with pytest.raises(RuntimeError, match="drawing"):
        write_sample(folder)
    assert not stamp.exists()
    stamp.write_bytes(kept)


def test_text_judgments(sample: SamplePaths, rows: list[dict[str, Any]]) -> None:
    ids = {row["id"] for row in rows}
    judged = grades(sample.judgments, "query")
    queries = text_queries()
    assert set(judged) == {query.text for query in queries} and len(judged) == len(queries)
    assert sum(query.language == "en" for query in queries) >= 24
    assert sum(query.language == "zh" for query in queries) >= 12
    assert {query.kind for query in queries} == {"plain", "attributes", "brand", "model", "typo", "meaning"}
    for ratings in judged.values():
        assert set(ratings) <= ids
        assert set(ratings.values()) <= {0, 1, 2, 3}
        assert 3 in ratings.values() and 0 in ratings.values()
        assert sum(rating == 3 for rating in ratings.values()) < len(rows) / 8


def test_judgments_follow_the_attributes(sample: SamplePaths, rows: list[dict[str, Any]]) -> None:
    judged = grades(sample.judgments, "query")
    for query, category, color in (("red sneakers", "sneakers", "red"), ("蓝色马克杯", "mugs", "blue")):
        for row in rows:
            right = 3 if (row["category"], row["color"]) == (category, color) else 1
            expected = right if row["category"] == category else 0
            assert judged[query].get(row["id"], 0) == expected
    asked = judged["blue striped t-shirt"]
    for row in rows:
        if row["category"] == "t-shirts":
            assert asked[row["id"]] == 1 + (row["color"] == "blue") + (row["pattern"] == "striped")


def test_meaning_queries_share_no_word_with_their_best_answers(rows: list[dict[str, Any]]) -> None:
    for query in text_queries():
        if query.kind != "meaning" or query.language != "en":
            continue
        asked = {_stem(word) for word in re.findall(r"[a-z']+", query.text.lower()) if word not in STOPWORDS}
        assert len(asked) >= 3
        for product, rating in judge(query.tiers):
            if rating == 3:
                source = product.source
                fields = ("name", "description", "brand", "category", "color", "pattern", "material")
                text = " ".join([*(source[field] for field in fields), *source["tags"]])
                said = {_stem(word) for word in re.findall(r"[a-z']+", text.lower())}
                assert not asked & said, (query.text, asked & said, text)


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def test_photo_queries(sample: SamplePaths, rows: list[dict[str, Any]]) -> None:
    folder = sample.products.parent
    source = {row["id"]: row for row in rows}
    judged = grades(sample.photo_queries, "image")
    queries = photo_queries()
    assert len(queries) >= 16 and list(judged) == [query.image for query in queries]
    assert {query.category for query in queries} == {row["category"] for row in rows}
    for query in queries:
        with Image.open(folder / query.image) as photo:
            photo.load()
            assert photo.mode == "RGB" and min(photo.size) >= 320
        ratings = judged[query.image]
        assert 3 in ratings.values() and set(ratings) <= set(source)
        for row in rows:
            same = [row[key] == getattr(query, key) for key in ("category", "color", "pattern")]
            expected = 0 if not same[0] else 1 if not same[1] else 3 if same[2] else 2
            assert ratings.get(row["id"], 0) == expected


def test_queries_of_a_photo_with_a_word(sample: SamplePaths, rows: list[dict[str, Any]]) -> None:
    judged = read_judgments(sample.all_queries)
    both = [name for name in judged.ratings if judged.query(name).text and judged.query(name).image]
    photos = {query.image: query for query in photo_queries()}
    assert len(judged.ratings) == len(text_queries()) + len(photos) + len(both)
    assert len(both) >= 20 and any(is_chinese(judged.query(name).text) for name in both)
    source = {row["id"]: row for row in rows}
    for name in both:
        query, ratings = judged.query(name), judged.ratings[name]
        photo = photos[query.image]
        best = [source[id] for id, rating in ratings.items() if rating >= 2]
        assert best and {row["category"] for row in best} == {photo.category}
        # The words ask for another colour than the photo shows.
        assert {row["color"] for row in best} - {photo.color} and len({row["color"] for row in best}) == 1
        assert judged.request(name, index="x").image


def _distance(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    return sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) ** 0.5


def _main_pixels(sample: SamplePaths, row: dict[str, Any], style: int) -> tuple[Image.Image, Image.Image]:
    """The picture as written, and where in it the product's own colour shows, edges left out."""
    _, mask = draw(row["category"], row["color"], row["pattern"], style, row["id"])
    with Image.open(sample.products.parent / row["image"]) as picture:
        return picture.convert("RGB"), mask.point(lambda value: 255 if value == 255 else 0)


def test_plain_pictures_show_their_color(sample: SamplePaths) -> None:
    checked = set()
    for product in products():
        row = product.source
        look = (row["category"], row["color"])
        if row["pattern"] != "plain" or look in checked:
            continue
        checked.add(look)
        picture, mask = _main_pixels(sample, row, product.style)
        area = ImageStat.Stat(mask).sum[0] / 255 / (320 * 320)
        assert area > 0.03, f"{look} shows its colour on {area:.1%} of the picture"
        mean = tuple(ImageStat.Stat(picture, mask).mean)
        nearest = min(RGB, key=lambda name: _distance(RGB[name], mean))
        assert nearest == row["color"], (look, mean)
    assert len(checked) >= 100


def test_patterned_pictures_show_both_colors(sample: SamplePaths) -> None:
    checked = set()
    for product in products():
        row = product.source
        look = (row["category"], row["pattern"])
        if row["pattern"] == "plain" or look in checked:
            continue
        checked.add(look)
        picture, mask = _main_pixels(sample, row, product.style)
        main, accent = RGB[row["color"]], ACCENT.get(row["color"], CREAM)
        inside = mask.tobytes()
        pixels = picture.tobytes()
        colors = [tuple(pixels[3 * at : 3 * at + 3]) for at in range(0, len(inside), 7) if inside[at]]
        share = sum(_distance(color, accent) < _distance(color, main) for color in colors) / len(colors)
        assert 0.03 < share < 0.5, (look, row["color"], share)
    assert len(checked) >= 40
