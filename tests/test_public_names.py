"""The face of the package: the names that `hybrid` lists, where they come from, what they cost, and that they work."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import hybrid
from hybrid import errors
from hybrid.node import NodeStatus
from hybrid.sample import SamplePaths
from tests.conftest import ROOT, make_services

TREE = ast.parse((ROOT / "hybrid" / "__init__.py").read_text("utf-8"))


def typed() -> dict[str, tuple[str, str]]:
    """Public name -> (module, name there), as the block for type checkers and editors has it."""
    (block,) = (node for node in TREE.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return {
        alias.asname or alias.name: (statement.module or "", alias.name)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }


def example() -> str:
    """The lines of Python that the package's docstring shows."""
    return textwrap.dedent((hybrid.__doc__ or "").partition("::\n")[2])


def test_the_list_is_what_type_checkers_see() -> None:
    assert set(hybrid.__all__) == {*typed(), "__version__"}
    assert len(hybrid.__all__) == len(set(hybrid.__all__))


@pytest.mark.parametrize("name", sorted(typed()))
def test_a_public_name_is_what_type_checkers_take_it_for(name: str) -> None:
    module, there = typed()[name]
    assert getattr(hybrid, name) is getattr(importlib.import_module(module), there)


def test_every_error_is_public() -> None:
    tree = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and kind.__module__ == errors.__name__
    }
    assert len(tree) > 15
    assert tree <= set(hybrid.__all__)


def test_the_docstring_has_every_public_name() -> None:
    """Errors but their root aside, which are drawn as a tree in hybrid.errors."""
    listed = (hybrid.__doc__ or "").partition("::\n")[0]
    missing = [name for name in typed() if f"`{name}`" not in listed and typed()[name][0] != errors.__name__]
    assert (missing, "`HybridError`" in listed) == ([], True)


def test_no_public_name_hides_a_module() -> None:
    assert not set(hybrid.__all__) & {module.name for module in pkgutil.iter_modules(hybrid.__path__)}


def test_names_that_are_not_there() -> None:
    assert set(hybrid.__all__) <= set(dir(hybrid))
    with pytest.raises(AttributeError, match="module 'hybrid' has no attribute 'serach'"):
        hybrid.serach  # noqa: B018 - it is looked up


def test_importing_the_package_costs_nothing() -> None:
    """No module of it but itself, nothing heavy, under 100 ms of processor time; the best of three, for noise adds."""
    code = (
        "import sys, time; before = time.process_time(); import hybrid; took = time.process_time() - before;"
        "print(took, *(name for name in sys.modules if name.startswith('hybrid.') or name in "
        "('torch', 'flask', 'celery', 'numpy', 'elasticsearch', 'pydantic')))"
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
        took, *loaded = done.stdout.split()
        assert loaded == []
        seconds.append(float(took))
    assert min(seconds) < 0.1


@pytest.mark.es
@pytest.mark.slow
@pytest.mark.timeout(1800)  # 90 seconds of processor time, on a machine that others may use
def test_the_example_runs_as_it_stands(
    engine: NodeStatus, sample_files: SamplePaths, name: str, tmp_path: Path
) -> None:
    """In a process of its own, on the sample, with encoders that need no model: what they find is not at issue."""
    folder = sample_files.products.parent
    environment = {
        **os.environ,
        "HYBRID_ES_URL": engine.es_url or "",
        "HYBRID_ES_TIMEOUT_S": "60",
        "HYBRID_TEXT_ENCODER": "toy:32",
        "HYBRID_IMAGE_ENCODER": "toy:32",
        "HYBRID_CONFIG": str(tmp_path / "none.toml"),
        "PYTHONPATH": str(ROOT),
    }
    code = example()
    assert len(code.strip().splitlines()) <= 15
    run = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", code.replace('"shop"', repr(name))],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    *hits, measured, weights = run.stdout.splitlines()
    print(run.stdout)
    assert len(hits) == 3
    for line in hits:
        _, score, parts = line.split(" ", 2)
        assert sum(ast.literal_eval(parts).values()) == pytest.approx(float(score), abs=0.002)
    assert set(ast.literal_eval(measured)) == {"bm25", "fixed"}
    active = make_services(engine).models("weights").active(name)
    assert weights == (active or "kept fixed-1")
