"""What an alignment is worth on photos taken in shops, through the real index.

hybrid up && python -m tests.measure.alignment ../shared/data/grocery

Prints JSON. `photo`: val's photos ask for their product, top-1 and top-5 by system, and the same by `hybrid search
--image` for every tenth. `words and photo`: the same photos beside the name of their shelf (the product's category,
as a shopper says "apple" and shows one): words alone leave all of the shelf, the photo alone may be of another.
`words`: the product's name asks for photos without any text; the alignment was then learned from the first half of each
product's photos, and the second half is searched: precision@10, and R-precision, which a product of nine photos can
reach 1 in.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from hybrid.learning.alignment import training
from hybrid.learning.models import apply
from hybrid.learning.trained import publish
from hybrid.operations import indexing
from hybrid.searches import SearchRequest
from hybrid.services import Services, build_services
from tests.support.raw import client_of

PRODUCTS, PHOTOS = "measure-grocery", "measure-grocery-photos"


def rows_of(path: Path) -> list[tuple[str, str]]:
    with path.open(newline="") as file:
        return [(row["image"], row["product_id"]) for row in csv.DictReader(file)]


def index(services: Services, path: Path, name: str, **options: Any) -> None:
    client_of(services).options(ignore_status=404).indices.delete(index=f"{name}-000001")
    plan = indexing.plan_index(services, path, name, **options)
    assert indexing.run_index(services, plan, rejects_path=path.with_suffix(".rejects")).complete


def learn(services: Services, folder: Path, pairs: Path, method: str) -> tuple[str, dict[str, Any]]:
    trained, _ = training.train(services, PRODUCTS, str(pairs), method, media=folder)
    told = {key: getattr(trained, key) for key in ("method", "pairs", "encode_s", "fit_s", "dims", "shares")}
    return publish(services.models, trained, f"{PRODUCTS}-{time.time_ns()}"), told


def top(services: Services, asked: list[tuple[SearchRequest, str]]) -> dict[str, float]:
    first = five = 0
    for request, product in asked:
        ids = [hit.id for hit in services.searcher.search(request).hits]
        first += ids[:1] == [product]
        five += product in ids[:5]
    return {"top1": round(first / len(asked), 3), "top5": round(five / len(asked), 3), "queries": len(asked)}


def by_command(image: Path) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "hybrid.cli",
        "search",
        "--index",
        PRODUCTS,
        "--image",
        str(image),
        "--size",
        "5",
    ]
    return [hit["id"] for hit in json.loads(subprocess.check_output([*command, "--json"]))["hits"]]


def ids_by(services: Services, image: bytes) -> list[str]:
    return [hit.id for hit in services.searcher.search(SearchRequest(PRODUCTS, image=image, size=5)).hits]


def words_to_photos(services: Services, found: dict[str, list[str]], names: dict[str, str]) -> dict[str, float]:
    """found: product -> ids of its photos."""
    at_ten, at_r = [], []
    for product, photos in found.items():
        answer = services.searcher.search(SearchRequest(PHOTOS, names[product], system="fused", size=20))
        ids = [hit.id for hit in answer.hits]
        at_ten.append(sum(id in photos for id in ids[:10]) / 10)
        at_r.append(sum(id in photos for id in ids[: len(photos)]) / len(photos))
    mean = {"precision@10": at_ten, "r_precision": at_r}
    return {**{name: round(sum(values) / len(values), 3) for name, values in mean.items()}, "queries": len(found)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the grocery data")
    parser.add_argument("--work", type=Path, default=Path("/tmp"), help="where its own files are written")
    parser.add_argument("--method", default="auto")
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    services = build_services()
    products = [json.loads(line) for line in (folder / "products.ndjson").open()]
    catalogue = options.work / "measure-grocery.ndjson"
    catalogue.write_text("".join(json.dumps(row) + "\n" for row in products))
    index(services, catalogue, PRODUCTS, media_root=folder)
    train, val = rows_of(folder / "train.csv"), rows_of(folder / "val.csv")
    shelf = {str(row["id"]): row["category"] for row in products}
    names = {str(row["id"]): row["name"] for row in products}

    # The photos of the second half: pictures that nothing was ever written about.
    numbered: dict[str, int] = defaultdict(int)
    total = {product: sum(other == product for _, other in train) for _, product in train}
    halves: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
    for image, product in train:
        halves[numbered[product] * 2 >= total[product]].append((image, product))
        numbered[product] += 1
    half = options.work / "measure-grocery-half.csv"
    half.write_text("image,product_id\n" + "".join(f"{image},{product}\n" for image, product in halves[0]))
    photos = options.work / "measure-grocery-photos.ndjson"
    photos.write_text(
        "".join(
            json.dumps({"id": f"p{number}", "name": "photo", "image": image}) + "\n"
            for number, (image, _) in enumerate(halves[1])
        )
    )
    index(services, photos, PHOTOS, media_root=folder, signals=["image"], mapping="id=id,title=name,image=image")
    version, told_half = learn(services, folder, half, options.method)
    apply(services, "alignment", PHOTOS, version)
    of: dict[str, list[str]] = defaultdict(list)
    for number, (_, product) in enumerate(halves[1]):
        of[product].append(f"p{number}")
    result: dict[str, Any] = {"words": words_to_photos(services, of, names), "learned from half": told_half}

    version, told = learn(services, folder, folder / "train.csv", options.method)
    apply(services, "alignment", PRODUCTS, version)
    services = build_services()
    data = {image: (folder / image).read_bytes() for image, _ in val}

    def photo(system: str | None, words: bool = False, look: bool = True) -> dict[str, float]:
        asked = []
        for image, product in val:
            seen, said = data[image] if look else None, shelf[product] if words else ""
            asked.append((SearchRequest(PRODUCTS, said, seen, system=system, size=5), product))
        return top(services, asked)

    tenth = val[::10]
    seen = [(by_command(folder / image), product) for image, product in tenth]
    result |= {
        "learned": told,
        "photo": {system: photo(system) for system in ("image", "fused", "fixed")},
        "by command": {
            "top1": round(sum(ids[:1] == [product] for ids, product in seen) / len(seen), 3),
            "same as above": [ids for ids, _ in seen] == [ids_by(services, data[image]) for image, _ in tenth],
        },
        "words and photo": {
            "words alone": photo("fixed", words=True, look=False),
            "photo alone": photo("fixed"),
            "both": photo("fixed", words=True),
        },
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
