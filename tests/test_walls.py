"""What the walls of the design forbid and import-linter cannot say; its contracts stand in pyproject.toml."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("hybrid", "web", "workers", "es_mappings")
HEAVY = ("torch", "flask", "celery", "transformers", "sentence_transformers", "open_clip", "openvino", "rjieba",
         "wordfreq", "simplemma", "sudachipy", "py3langid")  # fmt: skip


def _files(package: str) -> list[Path]:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"no sources in {package}"
    return files


def test_the_contracts_of_imports_are_kept_and_can_be_broken(tmp_path: Path) -> None:
    """A module of `search` that imports the cluster's client, an adapter and torch breaks a contract each."""
    for package in PACKAGES:
        (tmp_path / package).symlink_to(ROOT / package)
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text("utf-8"), "utf-8")
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    kept = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (kept.returncode, "0 broken" in kept.stdout) == (0, True), kept.stdout

    (tmp_path / "hybrid").unlink()
    search = tmp_path / "hybrid" / "search"
    search.mkdir(parents=True)
    for path in (ROOT / "hybrid").iterdir():
        if path.name not in ("search", "__pycache__"):
            (tmp_path / "hybrid" / path.name).symlink_to(path)
    for path in _files("hybrid/search"):
        (search / path.name).write_text(path.read_text("utf-8"), "utf-8")
    (search / "wrong.py").write_text(
        "def late():\n"
        "    import elasticsearch, torch, flask, celery\n"
        "    from hybrid.elastic import client\n"
        "    from hybrid.search import wrong_too\n",
        "utf-8",
    )
    (search / "wrong_too.py").write_text("from hybrid.search import wrong\n", "utf-8")
    broken = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert broken.returncode == 1
    assert "6 broken" in broken.stdout, broken.stdout


def test_only_settings_reads_the_environment() -> None:
    """Passing the environment on to a child process is not reading it; `os.environ[...]`/get is."""
    broken = []
    for path in [*_files("hybrid"), *_files("web"), *_files("workers")]:
        text = path.read_text("utf-8")
        if path.name != "settings.py" and ("os.environ.get(" in text or "os.environ[" in text or "getenv(" in text):
            broken.append(str(path.relative_to(ROOT)))
    assert broken == []


@pytest.mark.parametrize(
    "module", ["hybrid", "hybrid.cli.main", "hybrid.services", "hybrid.search.searcher", "hybrid.encoders"]
)
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_module_is_of_readable_length() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for package in PACKAGES
        for path in _files(package)
        if (lines := len(path.read_text("utf-8").splitlines())) > 460
    }
    assert long == {}


def test_the_client_of_elasticsearch_stays_in_its_package() -> None:
    """The contracts forbid the import; this forbids the object, by whatever name its attribute has."""
    handed_out = []
    for path in [*_files("hybrid"), *_files("web"), *_files("workers")]:
        if path.is_relative_to(ROOT / "hybrid" / "elastic"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in ("client", "_client")
                and ast.unparse(node.value) != "http"
            ):
                handed_out.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert handed_out == []


#: Functions of one table, which are called alike.
TABLE = {"profile_with"}
#: Parts of Services that cost something, or may be missing, when they are first asked for.
LAZY_PARTS = {"queue", "fetcher", "redis_url", "es_url", "accounts"}


def test_who_uses_one_part_of_the_services_takes_that_part() -> None:
    """Doors have the services, and the verbs that put several parts together; whatever works with one part takes it."""
    broken = []
    for path in _files("hybrid"):
        if path.is_relative_to(ROOT / "hybrid" / "cli"):
            continue
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(function, ast.FunctionDef) or function.name in TABLE:
                continue
            taken = [
                one.arg for one in function.args.args if one.annotation and ast.unparse(one.annotation) == "Services"
            ]
            if not taken:
                continue
            uses = [node for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == taken[0]]
            reads = [node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute) and node.value in uses]
            handed_on, parts = len(uses) > len(reads), set(reads)
            if len(parts) < 2 and not handed_on and not parts & LAZY_PARTS:
                broken.append(f"{path.relative_to(ROOT)}:{function.lineno} {function.name} uses {parts}")
    assert "\n".join(broken) == ""
