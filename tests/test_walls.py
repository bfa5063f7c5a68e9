"""The walls of the design: who may import whom, and what stays unloaded until it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What each package may not import: data flows web -> workers -> hybrid -> es_mappings, never back.
FORBIDDEN = {
    "es_mappings": {"hybrid", "workers", "web", "elasticsearch", "flask", "celery", "torch"},
    "hybrid": {"workers", "web", "flask"},
    "workers": {"web", "flask", "elasticsearch"},
    "web": {"elasticsearch", "torch", "celery"},
}
HEAVY = ("torch", "flask", "celery", "transformers", "sentence_transformers", "open_clip", "openvino", "jieba")


def _imports(path: Path) -> set[tuple[str, bool]]:
    """(top-level module, at module level?) of every import of a file."""
    tree = ast.parse(path.read_text("utf-8"))
    top = {id(node) for node in ast.walk(tree) if isinstance(node, ast.Module) for node in node.body}
    found = set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        found |= {(name, id(node) in top) for name in names}
    return found


def _files(package: str) -> list[Path]:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"no sources in {package}"
    return files


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_flow_one_way(package: str) -> None:
    broken = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in _files(package)
        for module, _ in _imports(path)
        if module.split(".")[0] in FORBIDDEN[package]
    ]
    assert broken == []


def test_only_the_elastic_package_imports_the_client() -> None:
    broken = [
        str(path.relative_to(ROOT))
        for path in _files("hybrid")
        for module, _ in _imports(path)
        if module.split(".")[0] in ("elasticsearch", "elastic_transport") and "elastic" not in path.parts
    ]
    assert broken == []


def test_search_knows_no_elastic_and_elastic_no_fusion() -> None:
    search = {module for module, _ in _imports(ROOT / "hybrid" / "search.py")}
    assert not any(module.startswith("hybrid.elastic") for module in search)
    for path in _files("hybrid/elastic"):
        assert not any(module == "hybrid.fusion" for module, _ in _imports(path)), path


def test_torch_is_imported_only_by_encoders_and_learning() -> None:
    broken = [
        str(path.relative_to(ROOT))
        for path in _files("hybrid")
        for module, _ in _imports(path)
        if module.split(".")[0] == "torch" and not {"encoders", "learning"} & set(path.parts)
    ]
    assert broken == []


def test_only_settings_reads_the_environment() -> None:
    """Passing the environment on to a child process is not reading it; `os.environ[...]`/get is."""
    broken = []
    for path in [*_files("hybrid"), *_files("web"), *_files("workers")]:
        text = path.read_text("utf-8")
        if path.name != "settings.py" and ("os.environ.get(" in text or "os.environ[" in text or "getenv(" in text):
            broken.append(str(path.relative_to(ROOT)))
    assert broken == []


@pytest.mark.parametrize("module", ["hybrid", "hybrid.cli", "hybrid.wiring", "hybrid.search", "hybrid.encoders"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_module_is_of_readable_length() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for package in FORBIDDEN
        for path in _files(package)
        if (lines := len(path.read_text("utf-8").splitlines())) > 460
    }
    assert long == {}
