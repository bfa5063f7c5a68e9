"""The blocks of the pages, run as they stand: each page is one session in a folder of its own, on a real engine.

A page finds a part of the sample catalogue in its folder, and an index `shop` of it, unless it makes that itself.
Four programs are wrapped, and nothing else is changed: `hybrid` and `python` have their imports done, `hybrid serve`
and `hybrid worker` go on in the background once they are ready, `hybrid train` is quick about weights, and publishes
with --force what a part of the sample is too small to learn better, the port 8000 is a free one, `make demo` runs its
recipe with --once and the other targets are only looked at (`make -n`), and curl fails on an error of the server.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from hybrid import node
from hybrid.node import NodeStatus
from hybrid.sample import SamplePaths
from hybrid.services import Services
from hybrid.settings import Settings
from tests.conftest import ROOT, VERSIONS, index_file, make_services
from tests.support.raw import client_of

from .pages import RUN, Block, blocks, pages

pytestmark = pytest.mark.es

#: The index `shop` of the products, and one of the shop's own.
INDEX, BARE = "index", "bare"
#: What is done before a page's first block, where that is something else than INDEX.
PREPARED: dict[str, tuple[str, ...]] = {
    "README.md": (),
    "docs/getting-started.md": (),
    "docs/catalogue.md": (),
    "docs/python.md": (),
    "docs/operating/connect.md": (),
    "docs/operating/attach.md": (BARE,),
    "docs/operating/models.md": (
        INDEX,
        "hybrid train weights --index shop --kind gate",
        "hybrid train alignment --index shop --method cca --name shop-cca-1 --no-apply",
        "hybrid train tags --index shop --field category --from text --strategy plain --name shop-text-1 --no-apply",
    ),
}
#: As much of the sample as is enough to learn from; each page trains, encodes and copies it again.
PRODUCTS, QUERIES = 192, 20
_WRAPPED = {
    "hybrid": r"""
        case "${1:-}" in
        serve)
          "$DOCS_PYTHON" -m hybrid.cli "$@" --port "$DOCS_PORT" > serve.log 2>&1 &
          echo $! >> pids
          for _ in $(seq 300); do
            if "$DOCS_CURL" -sf "http://127.0.0.1:$DOCS_PORT/readyz" > /dev/null; then exit 0; fi
            sleep 0.2
          done
          cat serve.log >&2; exit 1;;
        worker)
          "$DOCS_PYTHON" -m hybrid.cli "$@" > worker.log 2>&1 &
          echo $! >> pids
          for _ in $(seq 300); do
            if grep -q ' ready\.' worker.log; then exit 0; fi
            sleep 0.2
          done
          cat worker.log >&2; exit 1;;
        train)
          quick=(); if [ "$2" = weights ]; then quick=(--repeats 1 --folds 2 --synthetic 60); fi
          exec $DOCS_FORKED hybrid "$@" "${quick[@]}" --force;;
        up|demo) exec "$DOCS_PYTHON" -m hybrid.cli "$@";;
        *) exec $DOCS_FORKED hybrid "$@";;
        esac""",
    "curl": r"""exec "$DOCS_CURL" -sS --fail-with-body "${@//127.0.0.1:8000/127.0.0.1:$DOCS_PORT}" """,
    "make": r"""
        if [ "$1" = demo ]; then
          recipe=$("$DOCS_MAKE" -n -C "$DOCS_ROOT" demo ARGS="--once --port $DOCS_PORT" | grep -o 'hybrid demo.*')
          exec $recipe
        fi
        exec "$DOCS_MAKE" -n -C "$DOCS_ROOT" "$@" """,
    "python": r"""exec $DOCS_FORKED "$@" """,
}


def run_blocks(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language in RUN and not block.marker]


@pytest.fixture(scope="module")
def docs_engine() -> Iterator[NodeStatus]:
    """An engine of the pages alone: `hybrid doctor` looks at every index, and some of other tests are odd."""
    settings, name = Settings(es_url=None, redis_url=None), f"test-docs-{os.getpid()}"
    try:
        yield node.up(settings, name=name, version=VERSIONS[0])
    finally:
        node.down(settings, name=name, wipe=True)


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The command that runs `hybrid` or a script with its imports done; see tests.support.forked."""
    address = tmp_path_factory.mktemp("forked") / "socket"
    command = [sys.executable, "-m", "tests.support.forked", str(address)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as server:
        assert server.stdin and server.stdout
        assert server.stdout.readline() == b"ready\n"
        yield f"{sys.executable} -I {ROOT / 'tests/support/forked.py'} {address}"
        server.stdin.close()
    assert server.returncode == 0


@pytest.fixture
def shell(
    docs_engine: NodeStatus, forked: str, sample_files: SamplePaths, models: Path, tmp_path: Path
) -> Iterator[tuple[Path, dict[str, str]]]:
    """(a folder with the sample catalogue, an environment) for a session; all indices are deleted afterwards."""
    folder = tmp_path / "session"
    folder.mkdir()
    _write_files(folder, sample_files)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, body in _WRAPPED.items():
        (programs / name).write_text(f"#!/usr/bin/env bash\nset -euo pipefail\n{body}\n")
        (programs / name).chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    engines = ("HYBRID_ES_JVM_OPTIONS", "HYBRID_NODE_DIR")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HYBRID_") or key in engines}
    clean.pop("PYTHONDONTWRITEBYTECODE", None)  # a page starts some ten commands
    environment = {
        **clean,
        "PATH": f"{programs}{os.pathsep}{clean['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DOCS_PYTHON": sys.executable,
        "DOCS_FORKED": forked,
        "DOCS_PORT": str(port),
        "DOCS_ROOT": str(ROOT),
        **{f"DOCS_{name.upper()}": _program(name) for name in ("curl", "make")},
        "HYBRID_ES_URL": str(docs_engine.es_url),
        "HYBRID_REDIS_URL": str(docs_engine.redis_url),
        "HYBRID_TEXT_ENCODER": "toy:32",
        "HYBRID_IMAGE_ENCODER": "toy:32",
        "HYBRID_ES_TIMEOUT_S": "30",
        "HYBRID_DATA_DIR": str(models),
        "HYBRID_NODE": "docs-none",  # should a page reach for an embedded engine, it finds none
        "HYBRID_OWNER_PID": str(os.getpid()),
    }
    try:
        yield folder, environment
    finally:
        _end(folder / "pids")
        client = client_of(make_services(docs_engine))
        for index in list(client.indices.get(index="*", expand_wildcards="all").body):
            client.indices.delete(index=index)


def _program(name: str) -> str:
    path = shutil.which(name)
    assert path, f"{name} is missing: apt-get install -y {name}"
    return path


def _end(pids: Path) -> None:
    for pid in map(int, pids.read_text().split() if pids.exists() else ()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _write_files(folder: Path, sample: SamplePaths) -> None:
    """What the pages call products.ndjson, judgments.csv, photo.jpg, photos.csv, tags.csv and so on."""
    lines = sample.products.read_text("utf-8").splitlines(keepends=True)[:PRODUCTS]
    (folder / "products.ndjson").write_text("".join(lines), "utf-8")
    (folder / "images").mkdir()
    for id in (ids := [json.loads(line)["id"] for line in lines]):
        shutil.copy(sample.images / f"{id}.jpg", folder / "images")
    with sample.judgments.open(newline="", encoding="utf-8") as file:
        judged = [(row["query"], row["docid"], row["rating"]) for row in csv.DictReader(file) if row["docid"] in ids]
    queries = list(dict.fromkeys(query for query, _, rating in judged if rating == "3"))[:QUERIES]
    rows = [row for row in judged if row[0] in queries]
    _write_csv(folder / "judgments.csv", "query,docid,rating", rows)
    shutil.copy(sample.photo_queries.parent / "queries" / "q01.jpg", folder / "photo.jpg")
    (folder / "template.json").write_text(
        '{"mappings": {"properties": {"name": {"type": "text"}, "description": {"type": "text"}}}}'
    )
    _write_csv(folder / "photos.csv", "image,product_id", [(f"images/{id}.jpg", id) for id in ids])
    tagged = [(f"images/{id}.jpg", ("warm", "light")[number % 2]) for number, id in enumerate(ids[:80])]
    _write_csv(folder / "tags.csv", "image,tag", tagged[:60])
    _write_csv(folder / "unseen.csv", "image,tag", tagged[60:])


def _write_csv(path: Path, header: str, rows: Sequence[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([header.split(","), *rows])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "page", [page for page in pages() if run_blocks(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_the_blocks_of_a_page_run_as_they_stand(page: Path, shell: tuple[Path, dict[str, str]]) -> None:
    folder, environment = shell
    steps = PREPARED.get(str(page.relative_to(ROOT)), (INDEX,))
    made = {INDEX: _make_index, BARE: _make_bare_index}
    for step in steps:
        if step in made:
            made[step](folder, environment)
    script = ["set -euo pipefail", *(step for step in steps if step not in made)]
    for block in run_blocks(page):
        script.append(f"echo '== {block.where}' >&2")
        if block.language == "python":
            path = folder / f"line-{block.line}.py"
            path.write_text(block.text.replace("127.0.0.1:8000", f"127.0.0.1:{environment['DOCS_PORT']}"))
            script.append(f"python {path.name}")
        else:
            script.append(block.text)
    (folder / "session.sh").write_text("\n".join(script) + "\n")
    done = subprocess.run(
        ["bash", "session.sh"], cwd=folder, env=environment, capture_output=True, text=True, timeout=800
    )
    last = re.findall(r"^== (.*)$", done.stderr, re.MULTILINE)
    said = f"{done.stdout[-2_000:]}\n{done.stderr[-3_000:]}"
    assert done.returncode == 0, (
        f"{last[-1] if last else 'before the first block'} ended with {done.returncode}\n{said}"
    )
    assert "Traceback" not in done.stderr, said
    assert last == [block.where for block in run_blocks(page)]


def _make_index(folder: Path, environment: dict[str, str]) -> None:
    """What `hybrid index products.ndjson --index shop` does."""
    named = {key: environment[f"HYBRID_{key.upper()}"] for key in ("es_url", "text_encoder", "image_encoder")}
    report = index_file(Services(Settings(es_timeout_s=30, **named)), folder / "products.ndjson", "shop", folder)
    assert report.complete


def _make_bare_index(folder: Path, environment: dict[str, str]) -> None:
    """The alias `shop` of an index that knows nothing of Hybrid, with the sample's products but for their pictures."""
    client = client_of(Services(Settings(es_url=environment["HYBRID_ES_URL"])))
    properties = {"name": {"type": "text"}, "brand": {"type": "keyword"}, "price": {"type": "double"}}
    client.indices.create(index="shop-v1", aliases={"shop": {}}, mappings={"properties": properties})
    lines = (folder / "products.ndjson").read_text("utf-8").splitlines()
    products = [{**json.loads(line), "image": None} for line in lines]
    operations = [part for product in products for part in ({"index": {"_id": product["id"]}}, product)]
    answer = client.options(request_timeout=60).bulk(index="shop-v1", operations=operations, refresh=True)
    assert not answer["errors"]
