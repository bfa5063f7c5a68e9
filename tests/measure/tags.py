"""What tags are worth on clothes, through the real index: val's photos are its products, tagged from its codes.

hybrid up && python -m tests.measure.tags ../shared/data/clothing [--fine-tune]

Prints JSON: the strategies, held out on train; val by the model; val read back from the documents, where a product
without a tag counts as wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from hybrid.errors import ModelMissingError
from hybrid.learning.models import apply
from hybrid.learning.tags import training
from hybrid.learning.tags.calibration import figures
from hybrid.learning.trained import publish
from hybrid.operations import indexing
from hybrid.services import Services, build_services
from tests.support.raw import client_of

SHOWN = ("macro_f1", "worst_recall", "worst", "accuracy", "calibration_error", "with_views")


def measure(services: Services, folder: Path, work: Path, name: str, fine_tune: bool = False) -> dict[str, Any]:
    folder = folder.resolve()
    with (folder / "val.csv").open(newline="") as file:
        photos = list(csv.DictReader(file))
    catalogue = work / "photos.ndjson"
    lines = [orjson.dumps({"id": f"p{n}", "title": "photo", "image": row["image"]}) for n, row in enumerate(photos)]
    catalogue.write_bytes(b"\n".join(lines) + b"\n")
    plan = indexing.plan_index(
        services, catalogue, name, media_root=folder, signals=["image"], mapping="id=id,title=title,image=image"
    )
    assert indexing.run_index(services, plan, rejects_path=work / "rejects").complete
    trained = training.train(
        services, name, str(folder / "train.csv"), validate=folder / "val.csv", fine_tune=fine_tune
    )
    version = publish(services.models, trained, f"{name}-clothing")
    assert apply(services, "tags", name, version).complete
    model = training.published(services.encoder, version).trained
    likely, truth = np.zeros((len(photos), len(model.names))), np.zeros(len(photos), dtype=int)
    search = {"query": {"match_all": {}}, "source": {"includes": ["hybrid.tags"]}}
    for hits in services.cluster.products.pages(name, search, 500):
        for hit in hits:
            row = int(hit["_id"].removeprefix("p"))
            for tag in hit["_source"]["hybrid"]["tags"][:1]:
                likely[row, model.names.index(tag["name"])] = tag["confidence"]
    for row, photo in enumerate(photos):
        truth[row] = model.names.index(photo["tag"])
    written = figures(model.names, truth, likely)
    assert trained.validation is not None
    return {
        "examples": trained.examples,
        "kept": trained.method,
        "strategies": {
            strategy: {key: found[key] for key in SHOWN if key in found} for strategy, found in trained.results.items()
        },
        "val": {how: {key: found[key] for key in SHOWN[:5]} for how, found in trained.validation.items()},
        "documents": {**{key: written[key] for key in SHOWN[:4]}, "tagged": int((likely.max(axis=1) > 0).sum())},
        "classes": written["classes"],
        "threshold": trained.threshold,
        "seconds": {"encode": trained.encode_s, "fit": trained.fit_s},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the clothing data")
    parser.add_argument("--fine-tune", action="store_true", help="also let the network learn from the photos")
    given = parser.parse_args()
    services = build_services()
    client_of(services).options(ignore_status=404).indices.delete(index="measure-clothing-000001")
    with contextlib.suppress(ModelMissingError):
        services.models("tags").remove("measure-clothing-clothing")
    with tempfile.TemporaryDirectory() as work:
        found = measure(services, given.folder, Path(work), "measure-clothing", given.fine_tune)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
