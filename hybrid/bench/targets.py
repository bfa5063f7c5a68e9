"""`hybrid bench check`: figures that have a limit, measured on this machine and cluster."""

from __future__ import annotations

import os
import secrets
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from hybrid.bench import measurements
from hybrid.elastic.indices.own import TRIAL
from hybrid.elastic.stores.dead_letters import DeadLetter, DeadLetters
from hybrid.elastic.stores.judgments import JudgmentLists
from hybrid.errors import IndexMissingError
from hybrid.evaluation.judgments import Judgments
from hybrid.learning.alignment import fit
from hybrid.operations import failures, indexing, processes
from hybrid.sample import SamplePaths, write_sample
from hybrid.search.features import FEATURES
from hybrid.search.weights import Query, WeightsModel
from hybrid.services import Services
from hybrid.text.vocabulary import Vocabulary
from hybrid.vectors import unit

#: Failures and judgments of the one index that the pages of the admin are measured with.
FAILURES, JUDGED = 20_000, 5_000
REASON = "image_missing"
LIST = "bench"
#: Products of one photo whose alignment is learned.
PAIRS = 20_000
#: Pictures that are encoded.
PICTURES = 128
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that must not be above its limit."""

    name: str
    what: str
    unit: str
    limit: float


TARGETS = {
    target.name: target
    for target in (
        Target("predict", "weights of a query, by a gate of 3 networks; median", "ms", 1.5),
        Target("align", f"learning an alignment of {PAIRS:,} pairs, the slowest method", "s", 60),
        Target("pictures", "encoding a picture, file to vector, against the stock loop", "share", 0.5),
        Target("index_again", "indexing a catalogue that did not change, against the first time", "share", 0.1),
        Target("search", "a search by words and vectors, query vector cached; median", "ms", 50),
        Target("search_ratio", "the same against the slower of BM25 and kNN alone", "times", 2.5),
        Target(
            "admin", f"the slowest page of the admin, with {FAILURES:,} failures and {JUDGED:,} judgments", "ms", 300
        ),
        Target("admin_full", "the overview in one piece, as without script", "ms", 400),
        Target("dismiss", f"forgetting {FAILURES:,} failures", "s", 30),
    )
}


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure, and whether it is within its limit. detail: of the figure, e.g. which page."""

    target: Target
    value: float
    detail: str = ""

    @property
    def met(self) -> bool:
        return self.value <= self.target.limit

    def to_json(self) -> dict[str, str | float | bool]:
        target = self.target
        return {
            "name": target.name, "what": target.what, "unit": target.unit, "limit": target.limit,
            "measured": round(self.value, 4), "detail": self.detail, "met": self.met,
        }  # fmt: skip


def check(services: Services) -> Iterator[Measured]:
    """Measure one target after the other, in the order of TARGETS.

    The check makes an index of the sample catalogue, failures, judgments and an account, and deletes them at the end.

    Raises:
        NodeError: no cluster, or the web server does not start. ClusterError: the cluster refuses something.
    """
    yield Measured(TARGETS["predict"], _predicting_ms())
    yield Measured(TARGETS["align"], *_aligning_s())
    with TemporaryDirectory(prefix="hybrid-bench-") as folder, _index(services, Path(folder)) as (index, paths, again):
        pictures = measurements.encoding_pictures(services.settings, paths.images, PICTURES)
        # Only efficientnet-lite0 has a stock loop; another encoder has nothing to miss.
        yield Measured(TARGETS["pictures"], 1 / pictures["ratio"] if pictures["ratio"] else 0.0)
        yield Measured(TARGETS["index_again"], again)
        speed = measurements.searching(services.searcher, index, paths.judgments)
        yield Measured(TARGETS["search"], speed["fixed_p50_ms"])
        yield Measured(TARGETS["search_ratio"], speed["ratio"])
        _fill(services.dead_letters, services.judgment_lists, index)
        slowest, page, whole = _admin_ms(services, index, Path(folder))
        yield Measured(TARGETS["admin"], slowest, page)
        yield Measured(TARGETS["admin_full"], whole)
        yield Measured(TARGETS["dismiss"], _seconds(lambda: failures.dismiss_all(services.dead_letters, index, REASON)))


def _seconds(do: Callable[[], object]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started


def _predicting_ms() -> float:
    rng = np.random.default_rng(0)
    parameters = {
        "w1": rng.standard_normal((3, 8, len(FEATURES))), "b1": np.zeros((3, 8)),
        "w2": rng.standard_normal((3, 2, 8)),
    }  # fmt: skip
    words = Vocabulary.count([{"title": "red lamp", "brand": "lumen", "category": "lamp"}])
    signals = ("lexical", "text")
    model = WeightsModel("bench", "gate", signals, np.zeros(2), parameters=parameters, vocabulary=words)
    query = Query("red lamp for the kitchen", "red lamp kitchen")
    return 1000 * median(_seconds(lambda: model.predict(query, signals)) for _ in range(200))


def _aligning_s() -> tuple[float, str]:
    """Seconds and name of the slowest method."""
    rng = np.random.default_rng(0)
    traits = rng.standard_normal((PAIRS, 8))
    left = unit(traits @ rng.standard_normal((8, 512)) + 0.3 * rng.standard_normal((PAIRS, 512)))
    right = unit(traits @ rng.standard_normal((8, 16)))
    pairs = left.astype(np.float32), right.astype(np.float32), np.arange(PAIRS)
    return max((_seconds(partial(fit.fit, method, *pairs)), method) for method in fit.METHODS)


@contextmanager
def _index(services: Services, folder: Path) -> Iterator[tuple[str, SamplePaths, float]]:
    """An index of the sample, its files, and the time to index it again, as a share of the first time."""
    paths = write_sample(folder / "sample")
    index = f"{TRIAL}{secrets.token_hex(4)}"

    def run() -> indexing.IndexReport:
        plan = indexing.plan_index(services, paths.products, index)
        return indexing.run_index(services, plan, rejects_path=folder / "rejects")

    try:
        first, again = run(), run()
        yield index, paths, again.seconds / first.seconds
    finally:
        with suppress(IndexMissingError):
            for concrete in services.cluster.indices.behind(index):
                services.cluster.indices.delete(concrete)
        failures.dismiss_all(services.dead_letters, index, REASON)
        services.judgment_lists.delete(index, LIST)


def _fill(dead_letters: DeadLetters, judgment_lists: JudgmentLists, index: str) -> None:
    failed = [DeadLetter(f"p{number:05}", "image", REASON, "not there") for number in range(FAILURES)]
    for start in range(0, FAILURES, 5_000):
        dead_letters.add(index, "bench", failed[start : start + 5_000])
    each = {f"p{number}": float(number % 4) for number in range(50)}
    judged = Judgments({f"query number {number}": each for number in range(JUDGED // len(each))})
    judgment_lists.take_in(index, LIST, judged, "bench")


def _admin_ms(services: Services, index: str, folder: Path) -> tuple[float, str, float]:
    """Milliseconds and address of the slowest page, and milliseconds of the whole overview, each the
    fastest of several: other work of the machine is not the page's.
    """
    account, password = f"bench-{secrets.token_hex(4)}", secrets.token_urlsafe(16)
    port, log = processes.free_port(), folder / "web.log"
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "HYBRID_ES_URL": services.es_url}
    services.accounts.add(account, password, "viewer")
    try:
        with processes.spawned(processes.serve_command("127.0.0.1", port, 1), environment, log) as server:
            processes.wait_for_page(f"{url}/readyz", server, log)
            token = f"{account}:{services.accounts.sign_in(account, password)}"

            def fastest(page: str) -> float:
                request = urllib.request.Request(url + page, headers={"Authorization": f"Bearer {token}"})

                def read() -> None:
                    with urllib.request.urlopen(request, timeout=60) as answer:
                        answer.read()

                return 1000 * min(_seconds(read) for _ in range(_ROUNDS + 1))

            slowest = max((fastest(page), page) for page in _pages(index))
            return *slowest, fastest("/admin/?full=1")
    finally:
        services.accounts.remove(account)


def _pages(index: str) -> list[str]:
    return [
        "/admin/", f"/admin/try?index={index}", f"/admin/try?index={index}&q=red+dress&left=bm25&right=text",
        f"/admin/judgments?index={index}", f"/admin/judgments/{index}/{LIST}", f"/admin/evaluations?index={index}",
        f"/admin/weights?index={index}", "/admin/reindex", f"/admin/reindex/{index}", "/admin/failures",
        f"/admin/failures/{index}/{REASON}", f"/admin/failures/{index}/{REASON}?page=200", "/admin/audit",
    ]  # fmt: skip
