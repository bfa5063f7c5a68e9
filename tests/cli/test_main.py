"""The command line as it is typed: exit codes, one-line errors, JSON, nothing lost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hybrid.cli.output import console, counted
from hybrid.errors import UsageError
from hybrid.operations.processes import address_of, check_address, free_port, spawned, wait_for_page
from hybrid.text.human import size
from tests.conftest import ROOT, write_rows

VERBS = [
    "demo",
    "up",
    "down",
    "status",
    "index",
    "search",
    "evaluate",
    "serve",
    "worker",
    "bench",
    "attach",
    "sync",
    "doctor",
]


def hybrid(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HYBRID_")}
    return subprocess.run(
        [sys.executable, "-m", "hybrid.cli", *args],
        capture_output=True,
        text=True,
        env={**clean, **env},
        timeout=120,
    )


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (999, "999 B"), (2_500, "2 kB"), (99_040_000, "99.0 MB"), (1.25e9, "1.2 GB"), (7e12, "7.0 TB")],
)
def test_bytes_for_people(count: float, said: str) -> None:
    assert size(count) == said


def test_help_of_every_verb_has_an_example() -> None:
    top = hybrid("--help")
    assert top.returncode == 0
    for verb in VERBS:
        assert verb in top.stdout
        shown = hybrid(verb, "--help")
        assert shown.returncode == 0
        assert "xample: hybrid" in shown.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["index", "there-is-none.csv", "--index", "x"], "there-is-none.csv"),
        (["evaluate", "--index", "x", "--judgments", "none.csv"], "no judgments file none.csv"),
        (["evaluate", "--index", "x", "--judgments", "none.csv", "--systems", "magic"], "no system 'magic'"),
        (["search", "a", "--weights", "text"], "write them as text=.6,lexical=.4"),
        (["search", "--image", "none.jpg", "--index", "x"], "cannot read photo none.jpg"),
        (["bench", "nothing"], "hybrid bench encode --file FILE"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(args: list[str], message: str) -> None:
    done = hybrid(*args, HYBRID_ES_URL="http://127.0.0.1:1")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unreachable_cluster_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "c.ndjson", [{"id": 1, "name": "a lamp"}, {"id": 2, "name": "a mug"}])
    for args in (["search", "a", "--index", "x"], ["index", str(path), "--index", "x", "--json"]):
        done = hybrid(*args, HYBRID_ES_URL="http://127.0.0.1:1", HYBRID_TEXT_ENCODER="toy:8")
        assert done.returncode == 1
        lines = [line for line in done.stderr.splitlines() if line.startswith("hybrid:")]
        assert len(lines) == 1
        assert "does not answer" in lines[0]
        assert "Traceback" not in done.stderr


def test_tables_and_bars_show_what_others_wrote_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets are markup of rich: [/_cluster/health] ended in a traceback, and [shop] vanished."""
    from rich.table import Table

    said = "401 for [/_cluster/health] of [shop] [red]:cat:[/red]"
    table = Table("what", title=said)
    table.add_row(said)
    console(stderr=False).print(table)
    console(stderr=False).print(said)
    with counted() as show:
        show(said, 1, 1)
    out, err = capsys.readouterr()
    assert out.count(said) == 3 and said in err


def test_only_one_module_makes_consoles() -> None:
    makers = {
        path.relative_to(ROOT).as_posix()
        for folder in ("hybrid", "web", "workers", "scripts")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"rich(\.console|\.progress|\.text|\.markup)? import (?!Table|table)", path.read_text("utf-8"))
    }
    assert makers == {"hybrid/cli/output.py"}


def test_the_server_says_where_it_is_and_no_more(tmp_path: Path) -> None:
    nobody = {"HYBRID_ES_URL": "http://127.0.0.1:1", "HYBRID_DATA_DIR": str(tmp_path)}
    port = free_port()
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HYBRID_")}
    command = [sys.executable, "-m", "hybrid.cli", "serve", "--port", str(port)]
    with spawned(command, {**clean, **nobody}, tmp_path / "log") as server:
        wait_for_page(f"http://127.0.0.1:{port}/healthz", server, tmp_path / "log")
        taken = hybrid("serve", "--port", str(port), **nobody)
    assert (taken.returncode, taken.stdout) == (1, "")
    assert taken.stderr.splitlines() == [
        f"hybrid: cannot listen on 127.0.0.1 port {port}: another program listens there; choose another --port"
    ]
    lines = (tmp_path / "log").read_text().splitlines()
    page = f"http://127.0.0.1:{port}/"
    assert lines[0] == f"search page: {page}  admin page: {page}admin/  Ctrl-C stops"
    assert [line for line in lines[1:] if "/healthz" not in line and "not warmed up" not in line] == []


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/"),
        ("0.0.0.0", "http://127.0.0.1:80/"),
        ("::", "http://[::1]:80/"),
        ("fd00::1", "http://[fd00::1]:80/"),
        ("shop.example", "http://shop.example:80/"),
    ],
)
def test_the_address_to_open(host: str, address: str) -> None:
    assert address_of(host, 80) == address


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_cannot_be_served(host: str) -> None:
    with pytest.raises(UsageError, match=f"{host}"):
        check_address(host, free_port())


@pytest.mark.es
def test_index_search_evaluate(engine: Any, name: str, tmp_path: Path) -> None:
    env = {
        "HYBRID_ES_URL": engine.es_url,
        "HYBRID_REDIS_URL": engine.redis_url,
        "HYBRID_TEXT_ENCODER": "toy:32",
        "HYBRID_IMAGE_ENCODER": "toy:32",
    }
    things = ["mug", "lamp", "chair"]
    data = [{"id": f"p{n}", "name": f"{things[n % 3]} number {n}", "maker": "Aurora", "price": n} for n in range(30)]
    path = write_rows(tmp_path / "c.ndjson", data)
    done = hybrid("index", str(path), "--index", name, "--map", "title=name,brand=maker", "--json", **env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["encoded"] == 30
    found = hybrid("search", "lamp", "--index", name, "--json", **env)
    answer = json.loads(found.stdout)
    assert answer["total"] >= 10
    assert answer["hits"][0]["source"]["name"].startswith("lamp")
    assert set(answer["hits"][0]["signals"]["lexical"]) == {"raw", "scaled", "weight", "contribution"}
    assert {"weights_version", "degraded", "took_ms"} <= set(answer)
    people = hybrid("search", "lamp", "--index", name, "--explain", **env)
    assert "lexical" in people.stdout and "x weight" in people.stdout
    judgments = tmp_path / "j.csv"
    judgments.write_text("query,docid,rating\n" + "".join(f"lamp,p{n},3\n" for n in range(1, 30, 3)))
    graded = hybrid("evaluate", "--index", name, "--judgments", str(judgments), "--json", **env)
    result = json.loads(graded.stdout)
    assert result["queries"] == 1
    assert result["systems"]["bm25"]["ndcg@10"] == 1.0
    assert {"recall@10", "precision@10", "f1@10", "accuracy@10", "mrr", "p50_ms", "p95_ms"} <= set(
        result["systems"]["fixed"]
    )
    with path.open("a") as file:
        file.write("not json\n")
    rejected = hybrid("index", str(path), "--index", name, "--rejects", str(tmp_path / "r"), **env)
    assert rejected.returncode == 1
    assert "1 rows rejected: 1 bad_json" in rejected.stdout
    wrong = hybrid("index", str(path), "--index", name, "--map", "title=nmae", **env)
    assert wrong.returncode == 2
    assert "name" in wrong.stderr
