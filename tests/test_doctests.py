"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

#: Every module that shows an example.
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("hybrid", "web", "workers", "es_mappings")
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]


def test_the_modules_that_must_show_examples_are_among_them() -> None:
    assert {"hybrid.testing", "hybrid.errors", "hybrid.search.weights", "hybrid.search.fusion"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = doctest.testmod(importlib.import_module(name))
    assert done.attempted > 0
    assert done.failed == 0


@pytest.mark.parametrize("name", ["FakeClock", "MemoryRetrieval", "PinnedWeights", "ToyEncoder"])
def test_every_double_shows_an_example(name: str) -> None:
    """`PinnedWeights` comes from a module of its own, so doctest looks for its examples there."""
    from hybrid import testing

    assert name in testing.__all__
    assert doctest.DocTestParser().get_examples(getattr(testing, name).__doc__)
    assert len(testing.__all__) == 4


def test_they_run_from_the_command_line() -> None:
    """As a shop's engineer would try them: `python -m doctest -v hybrid/testing.py`."""
    command = [sys.executable, "-m", "doctest", "-v", "hybrid/testing.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "Test passed" in done.stdout and "0 failed" in done.stdout
