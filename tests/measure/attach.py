"""Prints the figures of attaching under a writer, and of a sync after 100 changes, on a running engine.

hybrid up && python -m tests.measure.attach --count 2000
python -m tests.measure.attach --products ../shared/data/chorus/products.ndjson.gz
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from hybrid.operations.attach import plan_attach, run_attach
from hybrid.operations.sync import run_sync
from hybrid.services import Services, build_services
from tests.support.raw import client_of
from tests.support.shop_writer import ShopWriter, compare, make_shop

NAME = "show-attach"


def rows_of(path: Path | None, count: int | None) -> list[dict[str, Any]]:
    if path is None:
        return [
            {"id": f"p{n}", "title": f"Product {n} of kind {n % 7}", "short_description": f"Words of {n}", "price": n,
             "supplier": ["Aurora", "Brightly"][n % 2]}
            for n in range(count or 2_000)
        ]  # fmt: skip
    with gzip.open(path) as file:
        return [orjson.loads(line) for _, line in zip(range(count or 10**9), file)]  # noqa: B905


def under_writer(services: Services, rows: list[dict[str, Any]], rate: int, workers: int, shards: int) -> bool:
    """Attach while the shop writes, then PUT a tenth whole, sync, and compare every document."""
    make_shop(client_of(services), NAME, rows, shards)
    writer = ShopWriter(client_of(services), NAME, rows, rate)
    writer.start()
    plan = plan_attach(services, NAME, signals=["text"])
    report = run_attach(services, plan, workers)
    during = sum(writer.kinds.values())
    writer.stop()
    _print("attach under the writer", report.to_json())
    _print("the writer", {**writer.kinds, "writes": during, "per_second": round(during / writer.seconds, 1)})
    put = writer.put_whole(0.1)
    for _ in range(3):  # as a schedule would; the last finds nothing to do
        synced = run_sync(services, NAME, workers)
        _print(f"sync after {put} documents were PUT whole", synced.to_json())
    profile = services.cluster.indices.read_profile(NAME)
    verdict = compare(services, profile, writer.record, vectors=profile.signals["text"].encoder.startswith("toy"))
    _print("every document against the writer's record", verdict.counts())
    return verdict.clean


def after_changes(services: Services, rows: list[dict[str, Any]], changes: int, shards: int) -> bool:
    """Attach in peace, change some texts and some prices, sync."""
    make_shop(client_of(services), NAME, rows, shards)
    run_attach(services, plan_attach(services, NAME, signals=["text"]))
    client_of(services).indices.refresh(index=NAME)
    operations: list[dict[str, Any]] = []
    for number, row in enumerate(rows[: 2 * changes]):
        doc = {"title": f"Another title {number}"} if number % 2 else {"price": 7}
        operations += [{"update": {"_id": str(row["id"])}}, {"doc": doc}]
    client_of(services).bulk(index=NAME, operations=operations)
    started = time.perf_counter()
    first = run_sync(services, NAME)
    seconds = time.perf_counter() - started
    _print(f"sync after {changes} new titles and {changes} new prices in {len(rows):,}", first.to_json())
    again = run_sync(services, NAME)
    _print("the same again", again.to_json())
    return first.encoded == {"text": changes} and again.encoded == {} and seconds < 3


def _print(what: str, figures: dict[str, Any]) -> None:
    print(f"{what}: {json.dumps({key: value for key, value in figures.items() if key != 'notes'})}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=Path, help="a catalogue (.ndjson.gz); generated products if not given")
    parser.add_argument("--count", type=int, help="at most so many products")
    parser.add_argument("--rate", type=int, default=200, help="writes a second")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--only", choices=["writer", "sync"])
    options = parser.parse_args()
    services = build_services()
    _print("engine", {"elasticsearch": services.cluster.capabilities.version_text})
    rows = rows_of(options.products, options.count)
    good = True
    for what, run in (
        ("writer", lambda: under_writer(services, rows, options.rate, options.workers, options.shards)),
        ("sync", lambda: after_changes(services, rows, 100, options.shards)),
    ):
        if options.only in (None, what):
            client_of(services).options(ignore_status=404).indices.delete(index=NAME)
            passed = run()
            print(f"{what}: {'passed' if passed else 'FAILED'}", flush=True)
            good = good and passed
    client_of(services).options(ignore_status=404).indices.delete(index=NAME)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
