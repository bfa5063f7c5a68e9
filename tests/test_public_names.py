"""The face of the package: the names that `hybrid` lists, where they come from, what they cost, and that they work."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
import textwrap

import pytest

import hybrid
from hybrid import errors
from tests.conftest import ROOT

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


def test_the_example_is_that_of_the_page_of_python() -> None:
    """There it is run as it stands, see tests/docs/test_run.py."""
    code = example().strip()
    assert f"```python\n{code}\n```" in (ROOT / "docs" / "python.md").read_text("utf-8")
    assert len(code.splitlines()) <= 15
