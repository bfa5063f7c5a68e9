"""The page of promises names tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")


def test_each_promise_names_tests_that_there_are() -> None:
    promises = PAGE.split("## What is promised")[1].split("## What is not promised")[0]
    rows = [line for line in promises.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, f"no test shows: {row}"
        for file, test in named:
            functions = {
                node.name
                for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8")))
                if isinstance(node, ast.FunctionDef)
            }
            assert test in functions, f"{file} has no {test}"
