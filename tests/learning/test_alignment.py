"""Cross-modal alignment: five methods on pairs whose relation is known, and on real photos and titles."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from PIL import ImageOps

from hybrid.encoders import get_encoder
from hybrid.encoders.trained.alignment import Alignment, middle
from hybrid.errors import UsageError
from hybrid.learning.alignment import fit
from hybrid.learning.alignment.fit import METHODS
from hybrid.learning.alignment.held_out import by_photos, figures, ranked
from hybrid.learning.alignment.report import clouds, report
from hybrid.media import open_image
from hybrid.settings import Settings
from hybrid.vectors import unit
from tests.support.baseline import Baseline

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(autouse=True)
def few_steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descents are short where pairs are small and easy; not where real ones are learned."""
    if not request.node.get_closest_marker("slow"):
        short = {"gradient": (40, 80), "contrastive": (40, 80)}
        monkeypatch.setattr(fit, "_SETTINGS", {**fit._SETTINGS, **short})


def photos_of_products(products: int = 30, photos: int = 6, noise: float = 0.5, seed: int = 0) -> Pairs:
    """left (n, 24), right (n, 16), groups (n,): products known by 8 hidden traits, seen with noise on the left."""
    rng = np.random.default_rng(seed)
    traits = rng.standard_normal((products, 8))
    groups = np.repeat(np.arange(products), photos)
    left = traits[groups] @ rng.standard_normal((8, 24)) + noise * rng.standard_normal((len(groups), 24))
    right = traits @ rng.standard_normal((8, 16))
    return unit(left), unit(right)[groups], groups


def single_pairs(count: int = 200, noise: float = 0.1) -> Pairs:
    return photos_of_products(count, 1, noise)


@pytest.mark.parametrize("method", METHODS)
def test_partners_are_found_where_products_have_several_photos(method: str) -> None:
    left, right, groups = photos_of_products()
    result = fit.validate(method, left, right, groups, folds=3)
    assert (result["pairs"], result["candidates"], result["method"]) == (180, 30, method)
    # By chance: 1 in 30.
    assert result["photos"]["left_to_right"]["top1"] > 0.7
    assert result["photos"]["right_to_left"]["precision@10"] > 0.7
    assert result["products"]["left_to_right"]["top5"] > 0.5
    low, high = result["photos"]["left_to_right"]["intervals"]["top1"]
    assert low <= result["photos"]["left_to_right"]["top1"] <= high


@pytest.mark.parametrize("method", METHODS)
def test_partners_are_found_where_products_have_one_photo(method: str) -> None:
    left, right, groups = single_pairs()
    result = fit.validate(method, left, right, groups, folds=3)
    assert result["photos"] is None
    # By chance: 1 in 200.
    assert result["products"]["left_to_right"]["top1"] > 0.3
    assert result["products"]["right_to_left"]["top5"] > 0.5


def test_a_rotation_is_found_exactly() -> None:
    rng = np.random.default_rng(1)
    left = unit(rng.standard_normal((100, 12)))
    turn, _ = np.linalg.qr(rng.standard_normal((12, 12)))
    right = left @ turn.astype(np.float32)
    fitted = fit.fit("procrustes", left, right, np.arange(100))
    cosines = (fitted.project("image", left) * fitted.project("text", right)).sum(1)
    assert cosines.min() > 0.9999
    assert np.allclose(
        fitted.project("image", left) @ fitted.project("image", left).T,
        unit(left - left.mean(0)) @ unit(left - left.mean(0)).T,
        atol=5e-3,
    )


def test_photos_are_recognised_better_by_what_differs_between_products() -> None:
    """What differs within products, a strong light here, misleads a plain map, and is whitened away by `cca`."""
    left, right, groups = photos_of_products(products=40, noise=0.3)
    rng = np.random.default_rng(2)
    lit = unit(left + rng.standard_normal((len(left), 2)) @ rng.standard_normal((2, 24)) * 0.5)
    scores = {
        method: fit.validate(method, lit, right, groups)["photos"]["left_to_right"]["top1"]
        for method in ("procrustes", "cca")
    }
    assert scores["cca"] > scores["procrustes"] + 0.1


@pytest.mark.parametrize("method", METHODS)
def test_the_same_pairs_give_the_same_bytes(method: str) -> None:
    left, right, groups = photos_of_products()
    data = fit.fit(method, left, right, groups, seed=3).to_bytes()
    back = Alignment.from_bytes(data)
    assert back.to_bytes() == data
    fitted = fit.fit(method, left, right, groups, seed=3)
    assert fitted.to_bytes() == data
    assert (back.method, back.shares, back.dims) == (fitted.method, fitted.shares, fitted.dims)
    for name, side in (("image", left), ("text", right)):
        made = back.project(name, side)
        assert np.array_equal(made, fitted.project(name, side))
        assert made.shape == (len(side), back.dims)
        assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)


def test_damaged_bytes_are_refused() -> None:
    left, right, groups = photos_of_products()
    data = fit.fit("ridge", left, right, groups).to_bytes()
    rng = np.random.default_rng(0)
    for broken in (b"", b"PK", b"nonsense" * 100, data[: len(data) // 2], data[:-30], data[200:]):
        with pytest.raises(ValueError, match="no alignment"):
            Alignment.from_bytes(broken)
    changed = 0
    for place in rng.integers(0, len(data), 300).tolist():
        flipped = bytearray(data)
        flipped[place] ^= 0xFF
        try:
            back = Alignment.from_bytes(bytes(flipped))
        except ValueError:
            changed += 1
        else:  # the archive's own padding, which carries nothing
            assert back.to_bytes() == data
    assert changed > 200


def test_parts_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    left, right, groups = photos_of_products()
    np.savez(tmp_path / "one.npz", about=np.frombuffer(b'{"format": 99}', np.uint8))
    with pytest.raises(ValueError, match="format 99"):
        Alignment.from_bytes((tmp_path / "one.npz").read_bytes())
    data = fit.fit("ridge", left, right, groups).to_bytes()
    (tmp_path / "two.npz").write_bytes(data)
    with np.load(tmp_path / "two.npz") as file:
        arrays = dict(file)
    for name, array in (("image.centre", np.zeros(3)), ("text.matrix", np.full((16, 3), np.nan)), ("image.matrix", 0)):
        np.savez(tmp_path / "three.npz", **{**arrays, name: array})
        with pytest.raises(ValueError, match="no alignment"):
            Alignment.from_bytes((tmp_path / "three.npz").read_bytes())


def test_a_product_of_one_part() -> None:
    left, right, groups = photos_of_products()
    pictures = {product: left[groups == product].mean(0) for product in range(30)}
    fitted = fit.fit("cca", left, right, groups, catalogue=pictures)
    assert sum(fitted.shares.values()) == pytest.approx(1)
    parts: dict[str, np.ndarray | None] = {"image": pictures[4], "text": right[groups == 4][0]}
    both = fitted.product(parts)
    assert both is not None
    alone = fitted.product({**parts, "text": None})
    assert alone is not None
    assert np.allclose(alone, fitted.project("image", pictures[4][None])[0], atol=1e-6)
    assert np.allclose(np.linalg.norm(both), 1, atol=1e-5)
    assert fitted.product({"image": None, "text": None}) is None
    assert fitted.product({}) is None
    with pytest.raises(UsageError, match="nothing for sound"):
        fitted.product({"sound": right[0]})


def test_shares_follow_what_the_catalogue_is_worth() -> None:
    left, right, groups = photos_of_products()
    rng = np.random.default_rng(5)
    lost = {product: rng.standard_normal(24) for product in range(30)}
    assert fit.fit("cca", left, right, groups, catalogue=lost).shares["image"] < 0.5
    # Nobody said what products look like: both count the same.
    assert fit.fit("cca", left, right, groups).shares == {"image": 0.5, "text": 0.5}
    # Products without a picture of their own have their text.
    some = {product: left[groups == product].mean(0) for product in range(0, 30, 2)}
    result = fit.validate("cca", left, right, groups, catalogue=some)
    assert result["photos"]["to_product"]["top1"] > result["photos"]["today"]["top1"]


def test_views_of_a_photo_stay_together() -> None:
    left, right, groups = photos_of_products(noise=1.5)
    photos = np.arange(len(left))
    thrice = [np.concatenate([part] * 3) for part in (left, right, groups, photos)]
    plain = fit.validate("ridge", left, right, groups)
    copied = fit.validate("ridge", *thrice[:3], views=thrice[3])
    # Copies teach nothing, and a photo that is held out takes its copies along; were they left, all would be found.
    assert copied["pairs"] == plain["pairs"]
    assert copied["photos"]["left_to_right"]["queries"] == plain["photos"]["left_to_right"]["queries"]
    assert copied["photos"]["left_to_right"]["top1"] == pytest.approx(
        plain["photos"]["left_to_right"]["top1"], abs=0.08
    )


def test_groups_and_views_of_any_kind() -> None:
    left, right, groups = photos_of_products()
    named = np.array([f"product-{group}" for group in groups])
    files = np.array([f"{row}.jpg" for row in range(len(left))])
    pictures = {f"product-{product}": left[groups == product].mean(0) for product in range(30)}
    fitted = fit.fit("ridge", left, right, named, views=files, catalogue=pictures, left_name="a", right_name="b")
    assert set(fitted.heads) == set(fitted.shares) == {"a", "b"}


def test_auto_takes_the_best_and_of_equals_the_simplest() -> None:
    def result(by_photos: float | None, by_products: float) -> dict[str, Any]:
        def scheme(top1: float | None) -> dict[str, Any] | None:
            return None if top1 is None else {"left_to_right": {"top1": top1}}

        return {"photos": scheme(by_photos), "products": scheme(by_products)}

    assert fit.best({"contrastive": result(0.9, 0), "cca": result(0.8, 0.3)}) == "contrastive"
    assert fit.best({"contrastive": result(0.9, 0), "cca": result(0.897, 0)}) == "cca"
    assert fit.best({"gradient": result(None, 0.2), "ridge": result(None, 0.3)}) == "ridge"
    left, right, groups = photos_of_products()
    assert fit.fit("auto", left, right, groups).method in METHODS


def test_too_few_pairs_are_refused() -> None:
    left, right, groups = single_pairs(20)
    assert fit.fit("cca", left, right, groups).dims <= 16
    for method in (*METHODS, "auto"):
        with pytest.raises(UsageError, match=r"19 pairs of 19 products are too few .* at least 20 pairs of 5 products"):
            fit.fit(method, left[:19], right[:19], groups[:19])
    with pytest.raises(UsageError, match="20 pairs of 2 products are too few"):
        fit.validate("cca", left, right, groups % 2)
    with pytest.raises(UsageError, match="1 pairs of 20 products"):
        fit.validate("cca", left, right, groups, views=[0] * 20)
    with pytest.raises(UsageError, match="0 pairs"):
        fit.fit("cca", np.empty((0, 3)), np.empty((0, 3)), [])


@pytest.mark.parametrize("method", METHODS)
def test_the_fewest_pairs_that_are_accepted(method: str) -> None:
    left, right, groups = single_pairs(20)
    result = fit.validate(method, left, right, groups, folds=2)
    assert result["products"]["left_to_right"]["queries"] == 20
    assert np.isfinite(fit.fit(method, left, right, groups).project("image", left)).all()


def test_vectors_that_are_none_are_refused() -> None:
    left, right, groups = single_pairs(40)
    broken = left.copy()
    broken[7, 3] = np.nan
    with pytest.raises(UsageError, match="image vector 7 holds a number that is not finite"):
        fit.fit("ridge", broken, right, groups)
    broken[7] = 0
    with pytest.raises(UsageError, match="image vector 7 is zero"):
        fit.fit("ridge", broken, right, groups)
    with pytest.raises(UsageError, match="text vector 2 is zero"):
        fit.fit("ridge", left, right * (np.arange(40) != 2)[:, None], groups)
    with pytest.raises(UsageError, match="catalogue image vector 0 is zero"):
        fit.fit("ridge", left, right, groups, catalogue={3: np.zeros(24)})
    with pytest.raises(UsageError, match="pairs need as many of each"):
        fit.fit("ridge", left, right[:-1], groups)
    with pytest.raises(UsageError, match='no alignment method "magic"; known: procrustes, cca'):
        fit.fit("magic", left, right, groups)
    fitted = fit.fit("ridge", left, right, groups)
    with pytest.raises(UsageError, match=r"\(40, 16\), where \(rows, 24\) is wanted"):
        fitted.project("image", right)
    with pytest.raises(UsageError, match="vector 7 is zero"):
        fitted.project("image", broken)
    assert fitted.project("image", left[:0]).shape == (0, fitted.dims)


def test_products_that_are_hardly_told_apart() -> None:
    """Nothing to learn, and nothing that breaks."""
    left, _, groups = single_pairs(40)
    right = np.ones((40, 16), np.float32)
    with pytest.raises(UsageError, match="the text vectors are all the same"):
        fit.fit("cca", left, right, groups)
    right[0, 0] = -1
    for method in METHODS:
        result = fit.validate(method, left, right, groups, folds=2)
        # Texts that are the same earn nothing by luck.
        assert result["products"]["left_to_right"]["top1"] < 0.1


def test_ranks_by_hand() -> None:
    candidates = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    queries = unit(np.array([[3, 2, 1], [1, 2, 3.0]]))
    result = ranked(queries, np.array([0, 0]), candidates, np.array([0, 1, 0, 0]))
    # A wrong candidate that ties with the right one stands before it.
    assert result.first.tolist() == [2, 1]
    assert result.precise.tolist() == pytest.approx([2 / 3, 2 / 3])
    told = figures(result, precision=True)
    assert (told["top1"], told["top5"], told["mean_rank"], told["queries"]) == (0.5, 1.0, 1.5, 2)
    assert told["precision@10"] == pytest.approx(0.6667)


def test_photos_are_held_out_in_blocks() -> None:
    left, right, groups = photos_of_products(5, 4)
    pairs, _ = fit._checked(left, right, groups, None, None, "image", "text")
    first, second = by_photos(pairs)
    assert first.tolist() == [True, True, False, False] * 5
    assert second.tolist() == (~first).tolist()


@pytest.mark.slow
@pytest.mark.long
def test_a_whole_catalogue() -> None:
    """20,000 products of one picture, in a model of bounded size; `hybrid bench check` measures the time."""
    left, right, groups = photos_of_products(20_000, 1, 0.3)
    wide = np.random.default_rng(3).standard_normal((24, 512)).astype(np.float32)
    for method in METHODS:
        fitted = fit.fit(method, np.maximum(left @ wide, 0), right, groups)
        assert len(fitted.to_bytes()) < 1_000_000


# -- report ------------------------------------------------------------------------------------------------------


def test_report() -> None:
    left, right, groups = photos_of_products()
    pictures = {product: left[groups == product].mean(0) for product in range(30)}
    results = {
        method: fit.validate(method, left, right, groups, catalogue=pictures) for method in ("procrustes", "cca")
    }
    fitted = fit.fit("cca", left, right, groups)
    drawn = clouds(fitted, left, right, groups, {4: "<b>Käse</b>", 0: "milk"})
    assert drawn.after.partners > drawn.after.strangers + 0.3
    assert drawn.after.top1 > drawn.before.top1
    page = report(results, "cca", index="shop<1>", drawn=drawn, notes=["One & all."])
    assert "<b>Käse" not in page and "milk" in page and "shop&lt;1&gt;" in page and "One &amp; all." in page
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]+"', "", page)
    charts = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    assert len(charts) == 4
    for chart in charts:
        assert "mean cosine" in chart or "right one first" in chart
        assert ET.fromstring(chart).get("aria-label")
    for word in (
        f"{drawn.after.partners:.3f}",
        "without a map",
        "precision@10",
        "Photos held out",
        "Products held out",
    ):
        assert word in page


def test_report_of_single_pairs_without_clouds() -> None:
    left, right, groups = single_pairs()
    page = report({"ridge": fit.validate("ridge", left, right, groups)}, "ridge")
    assert "Photos held out" not in page and "The two clouds" not in page
    assert len(re.findall("<svg ", page)) == 1


# -- real photos -------------------------------------------------------------------------------------------------


@pytest.mark.models
@pytest.mark.long
@pytest.mark.slow
def test_grocery(shared: Path, models: Path, baseline: Baseline) -> None:
    """Photos taken by customers find their product: 0.40 / 0.71 by the catalogue's own pictures alone."""
    folder, settings = shared / "grocery", Settings(data_dir=models, threads=2)
    eyes, reader = get_encoder("efficientnet-lite0", settings), get_encoder("minilm", settings)
    products = [orjson.loads(line) for line in (folder / "products.ndjson").read_bytes().splitlines()]
    ids = [str(product["id"]) for product in products]
    fields = ("name", "category", "department", "description")
    texts = reader.encode_texts([". ".join(product[key] for key in fields if product.get(key)) for product in products])
    seen: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for split in ("train", "val"):
        with (folder / f"{split}.csv").open() as file:
            photos = list(csv.DictReader(file))
        images = [open_image(folder / photo["image"]) for photo in photos]
        shown = [images]
        if split == "train":
            shown += [[ImageOps.mirror(image) for image in images], [middle(image) for image in images]]
        rows = np.array([ids.index(photo["product_id"]) for photo in photos])
        seen[split] = np.concatenate([eyes.encode_images(view) for view in shown]), rows
    left, groups = seen["train"][0], np.tile(seen["train"][1], 3)
    fitted = fit.fit("cca", left, texts[groups], groups, views=np.tile(np.arange(len(left) // 3), 3))
    queries, wanted = seen["val"]
    result = ranked(fitted.project("image", queries), wanted, fitted.project("text", texts), np.arange(len(products)))
    top1, top5 = (result.first <= 1).mean(), (result.first <= 5).mean()
    assert len(fitted.to_bytes()) < 1_000_000
    # Words find photos: a map of the first half of each product's photos, searched among the second.
    half = by_photos(fit._checked(left[: len(left) // 3], texts[groups][: len(left) // 3],
                                        groups[: len(left) // 3], None, None, "image", "text")[0])[0]  # fmt: skip
    learned = np.tile(~half, 3)
    partly = fit.fit(
        "cca", left[learned], texts[groups[learned]], groups[learned], views=np.tile(np.flatnonzero(~half), 3)
    )
    hidden = np.flatnonzero(half)
    found = ranked(
        partly.project("text", texts), np.arange(len(products)), partly.project("image", left[hidden]), groups[hidden]
    )
    baseline.check("grocery, aligned", top1=top1, top5=top5, words_find_photos=found.precise.mean())
