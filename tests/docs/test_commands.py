"""What the pages say of commands, options, settings, addresses and tests is what the code has. Needs no engine."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

import hybrid
from hybrid.cli.main import app
from hybrid.settings import Settings
from tests.conftest import ROOT
from web import create_app

from .pages import PRODUCTION, RUN, TESTED, blocks, inline_code, pages

#: Read from the environment outside of `Settings`.
OTHER_VARIABLES = {"HYBRID_CONFIG", "HYBRID_TEST_ES"}
#: Where a command ends.
_ENDS = {"|", "||", "&&", ";", ">", "<", ">>", "&"}

every_page = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))


def commands(page: Path, program: str) -> Iterator[tuple[str, list[str]]]:
    """(where, its arguments) of every call of a program, in blocks and in running text."""
    for block in blocks(page):
        for line in block.text.replace("\\\n", " ").splitlines():
            for arguments in _calls(line, program):
                yield f"{block.where}: {line.strip()}", arguments
    for code in inline_code(page):
        if re.match(rf"(?:[A-Z_]+=\S+ )*{program} ", code):
            for arguments in _calls(code, program):
                yield f"{page.name}: {code}", arguments


def _calls(line: str, program: str) -> Iterator[list[str]]:
    if not re.search(rf"\b{program}\b", line):
        return
    try:
        lexer = shlex.shlex(line.replace("$(", " ").replace("`", " "), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:  # an open quote: JSON over several lines, whose first line is all that matters
        words = line.split()
    at = 0
    while at < len(words):
        before = words[at - 1] if at else ";"
        if words[at] == program and (before in _ENDS or re.match(r"[A-Z_]+=", before)):
            end = next((i for i in range(at, len(words)) if words[i] in _ENDS), len(words))
            yield [word.rstrip(")") for word in words[at + 1 : end]]
            at = end
        at += 1


def problem(arguments: list[str]) -> str | None:
    """What is wrong with a call of `hybrid`; None where there are such a command and such options."""
    command: Any = typer.main.get_command(app)
    left = list(arguments)
    while left and hasattr(command, "commands"):
        if left[0] == "--help":
            return None
        name = left.pop(0)
        if name not in command.commands and getattr(command, "of_files", None):
            name = command.of_files
        if name not in command.commands:
            return f"no command {name}"
        command = command.commands[name]
    options = {option for one in command.params if one.param_type_name == "option" for option in one.opts}
    options |= {option for one in command.params for option in one.secondary_opts} | {"--help"}
    unknown = [word for word in left if word.startswith("--") and word.partition("=")[0] not in options]
    return f"no option {unknown[0]}" if unknown else None


@cache
def all_options() -> set[str]:
    """Every option of every command."""

    def of(command: Any) -> Iterator[str]:
        for one in command.params:
            yield from (*one.opts, *one.secondary_opts)
        for child in getattr(command, "commands", {}).values():
            yield from of(child)

    return {*of(typer.main.get_command(app)), "--help"}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("hybrid serch mouse", "no command serch"),
        ("hybrid train wieghts --index shop", "no command wieghts"),
        ("HYBRID_DEPTH=1 hybrid search mouse --idnex shop | jq .", "no option --idnex"),
        ("TOKEN=$(hybrid doctor --jsn | jq -r .x)", "no option --jsn"),
        ("echo hybrid nothing", "none"),
        ("hybrid search 'a --nothing' --index shop", None),
    ],
)
def test_a_wrong_command_is_noticed(line: str, wrong: str | None) -> None:
    calls = list(_calls(line, "hybrid"))
    assert [problem(call) for call in calls] == ([] if wrong == "none" else [wrong])


@every_page
def test_every_command_of_hybrid_is_there(page: Path) -> None:
    wrong = [f"{where}: {why}" for where, call in commands(page, "hybrid") if (why := problem(call))]
    assert wrong == []


@every_page
def test_every_option_in_running_text_is_there(page: Path) -> None:
    named = {code.split()[0].partition("=")[0] for code in inline_code(page) if code.startswith("--")}
    assert named - all_options() == set()


@every_page
def test_every_setting_is_there(page: Path) -> None:
    named = set(re.findall(r"\bHYBRID_[A-Z_]*[A-Z]\b", page.read_text("utf-8")))
    assert named - {f"HYBRID_{name.upper()}" for name in Settings.model_fields} - OTHER_VARIABLES == set()


@every_page
def test_every_make_target_and_module_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {call[0] for _, call in commands(page, "make") if call} <= targets
    modules = {call[1] for _, call in commands(page, "python") if call and call[0] == "-m"}
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []


@every_page
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for block in blocks(page):
        if block.marker.startswith(TESTED):
            for name in block.marker.removeprefix(TESTED).split(", "):
                assert f"def {name}(" in tests, f"{block.where}: there is no test {name}"
        elif block.language in RUN:
            assert block.marker in ("", PRODUCTION), f"{block.where}: {block.marker!r} is no reason"


@every_page
def test_commands_stand_where_they_are_run(page: Path) -> None:
    """A block in another language would escape being run; those of the benchmarks say how a table was measured."""
    if page.name == "benchmarks.md":
        return
    escaped = [
        block.where
        for block in blocks(page)
        if block.language not in RUN and re.search(r"^\$? ?(?:hybrid|make|curl|python) ", block.text, re.MULTILINE)
    ]
    assert escaped == []


def test_the_page_of_architecture_names_every_layer_of_the_contracts() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (spine,) = (contract["layers"] for contract in contracts if contract["id"] == "spine")
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    names = [name.strip() for layer in spine for name in layer.split("|")]
    assert [name for name in names if f"{name}/" not in page and f"{name}.py" not in page] == []


def test_the_page_of_python_has_every_public_name_but_the_errors() -> None:
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    names = [name for name in hybrid.__all__ if not name.endswith("Error") and name != "__version__"]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_page_of_http_names_every_address_and_every_field() -> None:
    from hybrid.services import Services

    services = Services(Settings(es_url="http://127.0.0.1:1"))
    described = create_app(services).test_client().get("/openapi.json").get_json()
    page = (ROOT / "docs" / "http.md").read_text("utf-8")
    addresses = {re.sub(r"\{[^}]*\}", "<>", path) for path in described["paths"] if not path.startswith("/admin/")}
    said = re.sub(r"<[^>]*>", "<>", page)
    assert [path for path in sorted(addresses) if path != "/es/" and path not in said] == []
    models = described["components"]["schemas"]
    for model in ("SearchParams", "SearchAnswer", "Hit", "SignalScore"):
        missing = [name for name in models[model]["properties"] if f"`{name}`" not in page]
        assert missing == [], model
